//! Shares: by weight, whoever asks, with whatever each worker happens to see.

use std::collections::BTreeMap;
use std::time::Duration;

use carillon::domain::call::LegOutcome;
use carillon::domain::campaign::{Campaign, State};
use carillon::domain::ids::CampaignId;
use carillon::store::Denial;

use super::{Bed, Desk, reason, running};
use crate::support::until;

async fn three(bed: &Bed) -> Vec<Campaign> {
    let mut all = Vec::new();
    for weight in [1, 2, 4] {
        all.push(running(bed, |c| c.weight = weight).await);
    }
    all
}

/// Two workers take turns; `brings` says what the n-th of them brings, from its last plan.
async fn rounds(
    bed: &Bed,
    campaigns: &[Campaign],
    dials: u32,
    brings: impl Fn(usize, &CampaignId, u32) -> u32,
) -> BTreeMap<CampaignId, u32> {
    let desks = [Desk::of(bed, 0.0, 30).await, Desk::of(bed, 0.0, 30).await];
    let waiting: Vec<_> = campaigns.iter().map(|c| (c.id.clone(), 10_000)).collect();
    let mut plans = [BTreeMap::new(), BTreeMap::new()];
    let (mut live, mut shares) = (std::collections::VecDeque::new(), BTreeMap::<CampaignId, u32>::new());
    let mut turn = 0;
    while shares.values().sum::<u32>() < dials {
        assert!(turn < 10_000, "{shares:?}");
        let (desk, plan) = (&desks[turn % 2], &mut plans[turn % 2]);
        let asks = campaigns
            .iter()
            .flat_map(|c| desk.asks(&c.id, brings(turn, &c.id, plan.get(&c.id).copied().unwrap_or(0))))
            .collect();
        let round = desk.permit(asks, &waiting).await;
        *plan = round.permits.plan.iter().cloned().collect();
        for (ask, grant) in round.asks.iter().zip(&round.permits.grants) {
            if grant.is_ok() {
                *shares.entry(ask.campaign.clone().expect("of a list")).or_default() += 1;
                live.push_back(ask.id.clone());
            }
        }
        // Calls end, so that slots come free.
        let over: Vec<_> = live.drain(..live.len() / 2).collect();
        desk.release(&over, Some(LegOutcome::Busy)).await;
        turn += 1;
    }
    desks[0].release(&live.drain(..).collect::<Vec<_>>(), Some(LegOutcome::Busy)).await;
    shares
}

fn within(shares: &BTreeMap<CampaignId, u32>, campaigns: &[Campaign], off: f64) {
    let all: f64 = shares.values().map(|n| f64::from(*n)).sum();
    let weights: f64 = campaigns.iter().map(|c| f64::from(c.weight)).sum();
    for campaign in campaigns {
        let due = all * f64::from(campaign.weight) / weights;
        let got = f64::from(shares.get(&campaign.id).copied().unwrap_or(0));
        assert!((got - due).abs() <= due * off, "weight {}: {got} of {due}", campaign.weight);
    }
}

pub(crate) async fn backlogged_campaigns_share_by_weight(bed: &Bed) {
    let campaigns = three(bed).await;
    // By the plan alone.
    let shares = rounds(bed, &campaigns, 2_100, |_, _, planned| planned).await;
    within(&shares, &campaigns, 0.05);
    // And where more is brought than can be dialed.
    let shares = rounds(bed, &campaigns, 2_100, |_, _, _| 20).await;
    within(&shares, &campaigns, 0.05);
}

pub(crate) async fn shares_hold_where_a_worker_sees_some_of_them(bed: &Bed) {
    let campaigns = three(bed).await;
    let (first, last) = (campaigns[0].id.clone(), campaigns[2].id.clone());
    // The one sees all, the other now the lightest alone, now the heaviest.
    let shares = rounds(bed, &campaigns, 2_100, |turn, id, _| match (turn % 2, turn % 3) {
        (0, _) => 20,
        (_, 0) if *id == first => 20,
        (_, 1) if *id == last => 20,
        _ => 0,
    })
    .await;
    within(&shares, &campaigns, 0.05);
}

pub(crate) async fn an_idle_campaign_comes_back_at_the_present(bed: &Bed) {
    let (early, late) = (running(bed, |_| {}).await, running(bed, |_| {}).await);
    let mut desk = Desk::of(bed, 0.0, 40).await;
    desk.account.tuning.idle = 50;
    let dial = |round: super::Round| {
        let of = |c: &Campaign| {
            round
                .asks
                .iter()
                .zip(&round.permits.grants)
                .filter(|(a, g)| g.is_ok() && a.campaign.as_ref() == Some(&c.id))
                .count()
        };
        (of(&early), of(&late), round.granted())
    };
    for n in 0..20 {
        let mut asks = desk.asks(&early.id, 20);
        if n == 0 {
            asks.extend(desk.asks(&late.id, 1));
        }
        let (_, _, held) = dial(desk.permit(asks, &[]).await);
        desk.release(&held, Some(LegOutcome::Busy)).await;
    }
    until("the other to be forgotten", Duration::from_secs(10), || async {
        desk.permit(desk.asks(&early.id, 0), &[(early.id.clone(), 1)]).await;
        let view = desk.store.pacing(None).await.expect("redis answers");
        (!view.campaigns.iter().any(|c| c.id == late.id)).then_some(())
    })
    .await;
    // It is owed nothing of the time it was away.
    let mut asks = desk.asks(&early.id, 40);
    asks.extend(desk.asks(&late.id, 40));
    let (old, new, held) = dial(desk.permit(asks, &[]).await);
    assert!(old + new == 39 && new <= 30 && old >= 9, "{old} and {new}");
    desk.release(&held, None).await;
}

pub(crate) async fn a_pause_binds_at_the_next_permit(bed: &Bed) {
    let mut campaign = running(bed, |_| {}).await;
    let waiting = [(campaign.id.clone(), 100)];
    let desk = Desk::of(bed, 0.0, 100).await;
    let round = desk.permit(desk.asks(&campaign.id, 1), &waiting).await;
    assert!(round.granted().len() == 1 && round.planned(&campaign.id) > 0);
    desk.release(&round.granted(), None).await;

    campaign.state = State::Paused;
    bed.store.put_campaign(&campaign).await.expect("redis answers");
    let round = desk.permit(desk.asks(&campaign.id, 3), &waiting).await;
    assert_eq!(round.reasons(), [Denial::CampaignState; 3]);
    assert_eq!((round.planned(&campaign.id), round.permits.ended.len()), (0, 0));
    let view = bed.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!(
        (view.campaigns[0].state.as_str(), view.campaigns[0].limit),
        ("hold", Some(Denial::CampaignState))
    );
    // Resumed, it is held by nothing, though no permit was asked since.
    campaign.state = State::Running;
    bed.store.put_campaign(&campaign).await.expect("redis answers");
    let view = bed.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((view.campaigns[0].state.as_str(), view.campaigns[0].limit), ("run", None));

    campaign.state = State::Cancelled;
    bed.store.put_campaign(&campaign).await.expect("redis answers");
    let round = desk.permit(desk.asks(&campaign.id, 1), &waiting).await;
    assert_eq!(round.reasons(), [Denial::CampaignState]);
    assert_eq!((round.planned(&campaign.id), &round.permits.ended), (0, &vec![campaign.id.clone()]));

    // Of which nothing is known is not dialed; an urgent call asks no campaign.
    let unknown = CampaignId::random();
    assert_eq!(reason(desk.one(&desk.ask(Some(&unknown), "1415")).await), Some(Denial::CampaignState));
    let urgent = desk.ask(None, "1415");
    assert_eq!(reason(desk.one(&urgent).await), None);
    desk.release(&[urgent.id], None).await;
}

pub(crate) async fn the_plan_brings_what_can_be_dialed(bed: &Bed) {
    let campaigns = three(bed).await;
    let waiting: Vec<_> = campaigns.iter().map(|c| (c.id.clone(), 1_000)).collect();
    let desk = Desk::of(bed, 50.0, 0).await;
    let round = desk.permit(vec![], &waiting).await;
    let plan: Vec<u32> = campaigns.iter().map(|c| round.planned(&c.id)).collect();
    // 350 ms of 50 calls/s, by weight.
    assert!((17..=19).contains(&plan.iter().sum::<u32>()), "{plan:?}");
    assert!(plan[0] < plan[1] && plan[1] < plan[2], "{plan:?}");
    // A low rate brings one, of whom it is the turn.
    let slow = Desk::of(bed, 0.5, 0).await.permit(vec![], &waiting).await;
    assert_eq!(slow.permits.plan.len(), 1);
    assert_eq!(slow.permits.plan[0].1, 1);
    let mut one = Desk::of(bed, 0.0, 0).await;
    one.most = 1;
    let mut next = one.permit(vec![], &waiting).await.permits.plan;
    let mut turns = Vec::new();
    for _ in 0..14 {
        assert_eq!(next.iter().map(|(_, n)| n).sum::<u32>(), 1, "{next:?}");
        turns.push(campaigns.iter().position(|c| c.id == next[0].0).expect("one of them"));
        let round = one.permit(one.asks(&next[0].0, 1), &waiting).await;
        one.release(&round.granted(), Some(LegOutcome::Busy)).await;
        next = round.permits.plan;
    }
    turns.sort_unstable();
    assert_eq!(turns, [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2], "each as often as its weight says");
    // A campaign whose calls the law lets through none of does not take the others' place.
    let lawless = &campaigns[2];
    let round = until("its calls to be brought beside the others'", Duration::from_secs(30), || async {
        let last = desk.permit(vec![], &waiting).await;
        (last.planned(&lawless.id) == 64).then_some(last)
    })
    .await;
    assert_eq!(round.planned(&lawless.id), 64);
}

pub(crate) async fn what_was_not_placed_is_credited(bed: &Bed) {
    let (lucky, other) = (running(bed, |_| {}).await, running(bed, |_| {}).await);
    let desk = Desk::of(bed, 0.0, 12).await;
    let mut counts = [0, 0];
    for _ in 0..40 {
        let mut asks = desk.asks(&lucky.id, 10);
        asks.extend(desk.asks(&other.id, 10));
        let round = desk.permit(asks, &[]).await;
        let ids = round.granted();
        for (n, campaign) in [&lucky, &other].into_iter().enumerate() {
            let mine: Vec<_> = round
                .asks
                .iter()
                .filter(|a| ids.contains(&a.id) && a.campaign.as_ref() == Some(&campaign.id))
                .collect();
            // Of each four of the first, one comes to nothing.
            for (i, ask) in mine.iter().enumerate() {
                let placed = n == 1 || i % 4 != 0;
                counts[n] += u32::from(placed);
                desk.release(std::slice::from_ref(&ask.id), placed.then_some(LegOutcome::Busy)).await;
            }
        }
    }
    let [lucky, other] = counts.map(f64::from);
    assert!((lucky - other).abs() <= 0.06 * other, "{lucky} placed, and {other}");
}
