//! What slows or stops dialing: breakers, the carrier's throttle, gates, the brake, the answer-rate controller.

use std::time::Duration;

use carillon::base::clock::{Clock, HOUR};
use carillon::domain::call::LegOutcome;
use carillon::domain::campaign::AnswerRate;
use carillon::domain::ids::CallId;
use carillon::store::{Denial, Feedback, Gate, GateKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Bed, Desk, caller, reason, running};
use crate::support::until;

const SOON: Duration = Duration::from_secs(20);

async fn kinds(desk: &Desk, key: &str) -> Vec<String> {
    let all = desk.store.fleet_events(None).await.expect("redis answers");
    all.into_iter().filter(|e| e.key == key).map(|e| e.kind).collect()
}

/// Ends a breaker's rest, by what Redis knows of it: nobody has to wait, and nobody can be late.
async fn rested(bed: &Bed, breaker: &str) {
    let entry = bed.redis.cmd(&["HGET", "BREAKERS:{cap}", breaker]).await.text().expect("it is open");
    let mut words: Vec<String> = entry.split(' ').map(str::to_owned).collect();
    assert_eq!(words[0], "o", "{entry}");
    words[1] = (Clock::System.now() - 1_000).to_string();
    bed.redis.cmd(&["HSET", "BREAKERS:{cap}", breaker, &words.join(" ")]).await;
}

pub(crate) async fn a_destination_that_fails_is_left_alone_and_tried_again(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let desk = Desk::of(bed, 0.0, 0).await;
    // Four of ten fail: it stays closed. Then more.
    for n in 0..14 {
        let outcome = if n < 6 { LegOutcome::NoAnswer } else { LegOutcome::Failed };
        desk.leg(&campaign.id, "1212", outcome).await;
        if n == 9 {
            assert_eq!(kinds(&desk, "destination:1212").await, [""; 0], "four of ten");
        }
        if kinds(&desk, "destination:1212").await == ["breaker_open"] {
            assert_eq!(n, 11, "half of twelve");
            break;
        }
    }
    let to = async |prefix: &str| {
        let ask = desk.ask(Some(&campaign.id), prefix);
        (desk.one(&ask).await, ask.id)
    };
    let (answer, _) = to("1212").await;
    let denied = answer.expect_err("open");
    assert_eq!(denied.reason, Denial::DestinationBreaker);
    assert!((1..=desk.account.tuning.breaker_open).contains(&denied.wait), "{denied:?}");
    let (answer, id) = to("1415").await;
    assert_eq!(reason(answer), None, "that prefix only");
    desk.release(&[id], Some(LegOutcome::Other)).await;

    rested(bed, "destination:1212").await;
    let (answer, probe) = to("1212").await;
    assert_eq!(reason(answer), None, "half-open");
    assert_eq!(reason(to("1212").await.0), Some(Denial::DestinationBreaker), "one probe at a time");
    desk.release(&[probe], Some(LegOutcome::Blocked)).await;
    assert_eq!(reason(to("1212").await.0), Some(Denial::DestinationBreaker), "open again");
    rested(bed, "destination:1212").await;
    let (answer, probe) = to("1212").await;
    assert_eq!(reason(answer), None, "half-open again");
    // A probe that was never placed, or of which nothing is known, leaves the place to the next.
    desk.release(&[probe], None).await;
    for n in 0..3 {
        let (answer, id) = to("1212").await;
        assert!(answer.is_ok(), "probe {n}: {answer:?}");
        if n == 0 {
            // An answered call is known to be good before it is over.
            desk.tell(Feedback { answered: vec![id.clone()], ..Feedback::default() }).await;
            let (next, id) = to("1212").await;
            assert!(next.is_ok(), "{next:?}");
            desk.release(&[id], Some(LegOutcome::Busy)).await;
        }
        desk.release(&[id], Some(LegOutcome::Answered)).await;
    }
    let expected =
        ["breaker_open", "breaker_half_open", "breaker_open", "breaker_half_open", "breaker_closed"];
    assert_eq!(kinds(&desk, "destination:1212").await, expected);
    assert!(desk.store.pacing(None).await.expect("redis answers").breakers.is_empty());
}

pub(crate) async fn a_number_that_fails_is_passed_over(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let mut desk = Desk::of(bed, 0.0, 0).await;
    desk.callers = vec![caller("bad"), caller("good")];
    for n in 0..10 {
        // To ten destinations, so that none of them is to blame.
        desk.leg(&campaign.id, &format!("12{n:02}"), LegOutcome::Blocked).await;
    }
    assert_eq!(kinds(&desk, "caller:bad").await, ["breaker_open"]);
    let ask = desk.ask(Some(&campaign.id), "1415");
    assert_eq!(desk.one(&ask).await.map(|g| g.caller), Ok(1));
    desk.release(&[ask.id], None).await;
    let open = desk.store.pacing(None).await.expect("redis answers").breakers;
    assert_eq!((open.len(), open[0].kind.as_str(), open[0].key.as_str()), (1, "caller", "bad"));
}

pub(crate) async fn a_carrier_that_fails_is_probed(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let desk = Desk::of(bed, 0.0, 0).await;
    let accepted = |accepted| Feedback { accepted, ..Feedback::default() };
    let failed = |failed| Feedback { failed, ..Feedback::default() };
    desk.tell(accepted(6)).await;
    desk.tell(failed(5)).await;
    assert_eq!(kinds(&desk, "carrier").await, [""; 0]);
    desk.tell(failed(1)).await;
    assert_eq!(kinds(&desk, "carrier").await, ["breaker_open"]);
    let urgent = desk.ask(None, "1415");
    assert_eq!(reason(desk.one(&urgent).await), Some(Denial::ProviderBreaker), "urgent calls too");
    let round = desk.permit(vec![], &[(campaign.id.clone(), 9)]).await;
    assert_eq!(round.planned(&campaign.id), 0);
    let probe = async || {
        let round = desk.permit(desk.asks(&campaign.id, 2), &[(campaign.id.clone(), 9)]).await;
        assert_eq!(round.reasons(), [Denial::ProviderBreaker], "one at a time");
        desk.release(&round.granted(), Some(LegOutcome::Other)).await;
    };
    rested(bed, "carrier").await;
    probe().await;
    desk.tell(failed(1)).await;
    assert_eq!(reason(desk.one(&urgent).await), Some(Denial::ProviderBreaker));
    rested(bed, "carrier").await;
    for _ in 0..3 {
        probe().await;
        desk.tell(accepted(1)).await;
    }
    let round = desk.permit(desk.asks(&campaign.id, 2), &[]).await;
    assert_eq!(round.granted().len(), 2);
    desk.release(&round.granted(), None).await;
    let seen = kinds(&desk, "carrier").await;
    assert_eq!(seen.last().map(String::as_str), Some("breaker_closed"));
    assert_eq!(seen.iter().filter(|k| *k == "breaker_open").count(), 2);
}

pub(crate) async fn the_carriers_throttle_halves_the_rate_and_gives_it_back(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let mut desk = Desk::of(bed, 100.0, 0).await;
    desk.account.tuning.throttle_step = HOUR;
    let factor = async || desk.store.pacing(None).await.expect("redis answers").account;
    let throttled = || Feedback { throttled: 3, retry_after: 60_000, ..Feedback::default() };
    desk.tell(throttled()).await;
    desk.tell(throttled()).await;
    let account = factor().await;
    assert!((0.5..0.51).contains(&account.factor), "once a second at most: {account:?}");
    assert!(account.held_until > 0 && account.cps == 0.0, "{account:?}");
    let denied = desk.one(&desk.ask(None, "1415")).await.expect_err("held");
    assert_eq!(denied.reason, Denial::CarrierThrottle);
    bed.redis.cmd(&["HSET", "CAPACITY:{cap}", "hold", "1"]).await;
    let round = desk.permit(desk.asks(&campaign.id, 30), &[]).await;
    // 200 ms of 50 calls a second.
    assert_eq!(round.granted().len(), 11, "{:?}", round.moments());
    assert_eq!(round.reasons().first(), Some(&Denial::CarrierThrottle));
    desk.release(&round.granted(), None).await;
    // A long queue counts as well; the seconds of this rehearsal are short.
    desk.account.tuning.throttle_step = 5;
    until("the whole rate again", SOON, || async {
        desk.tell(Feedback::default()).await;
        (desk.store.pacing(None).await.ok()?.account.factor >= 1.0).then_some(())
    })
    .await;
    let throttles = async || {
        let all = desk.store.fleet_events(None).await.expect("redis answers");
        all.iter().filter(|e| e.kind == "throttle").count()
    };
    let before = throttles().await;
    desk.tell(Feedback { queue_time: 1_900, ..Feedback::default() }).await;
    assert_eq!(throttles().await, before, "a queue as any carrier has");
    desk.tell(Feedback { queue_time: 2_500, ..Feedback::default() }).await;
    assert_eq!(throttles().await, before + 1);
}

pub(crate) async fn gates_take_part_in_the_minimum(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let desk = Desk::of(bed, 200.0, 0).await;
    let now = Clock::System.now();
    let gate = |kind, max_cps, until| Gate { kind, max_cps, until };
    desk.store.set_gate(gate(GateKind::Outbox, 0.0, now + HOUR)).await.expect("redis answers");
    let denied = desk.one(&desk.ask(Some(&campaign.id), "1415")).await.expect_err("held");
    assert_eq!(denied.reason, Denial::OutboxBacklog);
    assert!(denied.wait > 1_000);
    assert!(desk.permit(vec![], &[(campaign.id.clone(), 5)]).await.permits.plan.is_empty());
    desk.store.set_gate(gate(GateKind::Outbox, 0.0, 1)).await.expect("redis answers");
    desk.store.set_gate(gate(GateKind::Model, 10.0, now + HOUR)).await.expect("redis answers");
    let round = desk.permit(desk.asks(&campaign.id, 9), &[]).await;
    assert!((2..=3).contains(&round.granted().len()), "{:?}", round.permits);
    assert_eq!(round.reasons().first(), Some(&Denial::ModelLimit));
    let view = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((view.gates.len(), view.account.cps), (1, 10.0));
    assert_eq!(view.campaigns[0].limit, Some(Denial::ModelLimit));
    desk.release(&round.granted(), None).await;
    // It ends by itself: moments are as close again as the account's own rate has them.
    desk.store.set_gate(gate(GateKind::Model, 10.0, 1)).await.expect("redis answers");
    let round = until("two moments", SOON, || async {
        let round = desk.permit(desk.asks(&campaign.id, 60), &[]).await;
        desk.release(&round.granted(), None).await;
        (round.granted().len() > 1).then_some(round)
    })
    .await;
    let moments = round.moments();
    assert!(moments.windows(2).all(|p| (4..=6).contains(&(p[1] - p[0]))), "{moments:?}");
    assert!(round.reasons().iter().all(|r| *r == Denial::AccountCps), "{:?}", round.reasons());
    let view = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((view.gates.len(), view.account.cps), (0, 200.0));
}

pub(crate) async fn too_many_abandoned_calls_stop_a_campaign(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let desk = Desk::of(bed, 0.0, 0).await;
    for _ in 0..28 {
        desk.leg(&campaign.id, "1415", LegOutcome::Answered).await;
    }
    desk.leg(&campaign.id, "1415", LegOutcome::Abandoned).await;
    assert!(desk.store.braked().await.expect("redis answers").is_empty(), "29 answers are too few to judge");
    desk.leg(&campaign.id, "1415", LegOutcome::Abandoned).await;
    assert_eq!(desk.store.braked().await.expect("redis answers"), std::slice::from_ref(&campaign.id));
    let round = desk.permit(desk.asks(&campaign.id, 1), &[(campaign.id.clone(), 1)]).await;
    assert_eq!(round.reasons(), [Denial::CampaignState]);
    assert_eq!(round.permits.braked, std::slice::from_ref(&campaign.id));
    // Whoever writes the campaign without knowing of it does not let it go on.
    bed.store.put_campaign(&campaign).await.expect("redis answers");
    assert_eq!(reason(desk.one(&desk.ask(Some(&campaign.id), "1")).await), Some(Denial::CampaignState));
    let shown = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!(shown.campaigns[0].brake.as_deref(), Some("2/30"));
    let events = desk.store.fleet_events(None).await.expect("redis answers");
    let last = events.last().expect("an event");
    assert_eq!((last.kind.as_str(), last.campaign.as_ref()), ("brake", Some(&campaign.id)));
    let after = desk.store.fleet_events(Some(&last.id)).await.expect("redis answers");
    assert!(after.is_empty());

    desk.store.note_brake(&campaign.id).await.expect("redis answers");
    assert!(desk.store.braked().await.expect("redis answers").is_empty());
    desk.store.reset_brake(&campaign.id).await.expect("redis answers");
    bed.store.put_campaign(&campaign).await.expect("redis answers");
    desk.leg(&campaign.id, "1415", LegOutcome::Abandoned).await;
    assert_eq!(
        desk.store.braked().await.expect("redis answers").len(),
        1,
        "the month is still over the limit"
    );
}

pub(crate) async fn conversations_are_kept_going_by_the_share_that_answers(bed: &Bed) {
    let campaign = running(bed, |c| {
        c.answer_rate = Some(AnswerRate { conversations: 4 });
        c.max_concurrent = Some(15);
    })
    .await;
    let mut desk = Desk::of(bed, 0.0, 0).await;
    let fill = async |desk: &Desk| desk.permit(desk.asks(&campaign.id, 30), &[]).await.granted();
    // Nothing is known: as if everybody answered.
    let held = fill(&desk).await;
    assert_eq!(held.len(), 4);
    desk.release(&held, None).await;
    // One in four answers.
    for n in 0..40 {
        let outcome = if n % 4 == 0 { LegOutcome::Answered } else { LegOutcome::Busy };
        desk.leg(&campaign.id, "1415", outcome).await;
    }
    let held = fill(&desk).await;
    assert!(
        (13..=15).contains(&held.len()),
        "four conversations need about sixteen lines, fifteen are allowed: {}",
        held.len()
    );
    // Two of them talk: two more are wanted, which is eight lines.
    desk.feedback.answered = held[..2].to_vec();
    assert_eq!(desk.permit(desk.asks(&campaign.id, 1), &[]).await.reasons(), [Denial::CampaignSlots]);
    desk.release(&held[6..], None).await;
    let more = fill(&desk).await;
    assert!((3..=5).contains(&more.len()), "two talk, about eight ring: {}", more.len());
    // Four talk: nobody else is called.
    desk.feedback.answered = held[..4].to_vec();
    desk.release(&more, None).await;
    desk.release(&held[4..6], None).await;
    assert_eq!(fill(&desk).await.len(), 0);
    let shown = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((shown.campaigns[0].live, shown.campaigns[0].answered), (4, 4));
    assert!(shown.campaigns[0].answer_rate.is_some_and(|rate| (0.2..0.32).contains(&rate)));
    desk.release(&held[..4], Some(LegOutcome::Answered)).await;
    let shown = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((shown.campaigns[0].live, shown.campaigns[0].answered), (0, 0));
}

/// K1 by any order of asks and releases: never more slots than there are, and the counts are those of the slots.
pub(crate) async fn slots_and_counts_agree_whatever_is_asked(bed: &Bed) {
    let campaigns =
        [running(bed, |c| c.max_concurrent = Some(3)).await, running(bed, |c| c.weight = 3).await];
    let mut desk = Desk::of(bed, 0.0, 8).await;
    desk.callers = vec![caller("a"), caller("b")];
    desk.callers[0].max_concurrent = 4;
    let outcomes = [None, Some(LegOutcome::Answered), Some(LegOutcome::Other), Some(LegOutcome::Busy)];
    let step = (0..4_u8, 0..24_usize, 1..4_u32, 0..4_usize);
    let mut runner = TestRunner::deterministic();
    let ids: Vec<CallId> = (0..24).map(|_| desk.ask(None, "1").id).collect();
    for _ in 0..12 {
        let tree = proptest::collection::vec(step.clone(), 1..30).new_tree(&mut runner).expect("values");
        for (what, n, epoch, outcome) in tree.current() {
            let id = ids[n].clone();
            if what < 3 {
                let mut ask = desk.ask(campaigns.get(usize::from(what)).map(|c| &c.id), "1415");
                (ask.id, ask.epoch) = (id, epoch);
                let answer = desk.one(&ask).await;
                assert!(answer.is_ok() || answer.is_err_and(|d| d.wait > 0));
            } else {
                let release = carillon::store::Release { id, epoch, outcome: outcomes[outcome] };
                // Twice, as when the answer is lost.
                for _ in 0..2 {
                    desk.store.release(std::slice::from_ref(&release)).await.expect("redis answers");
                }
            }
            let slots = bed.redis.cmd(&["HVALS", "CAPACITY_SLOTS:{cap}"]).await.texts();
            assert!(slots.len() <= 8, "{slots:?}");
            let mut counted = std::collections::BTreeMap::<String, String>::new();
            for slot in &slots {
                let words: Vec<&str> = slot.split(' ').collect();
                for field in [words[2].to_owned(), format!("@{}", words[3])] {
                    if field != "-" {
                        let n = counted.get(&field).map_or(0, |n| n.parse::<u32>().expect("a number"));
                        counted.insert(field, (n + 1).to_string());
                    }
                }
            }
            let kept: std::collections::BTreeMap<String, String> =
                bed.redis.cmd(&["HGETALL", "CAPACITY_LIVE:{cap}"]).await.map().into_iter().collect();
            assert_eq!(kept, counted, "after {what} of {n} at {epoch}");
            assert!(
                kept.get(campaigns[0].id.as_str()).is_none_or(|n| n.parse::<u32>().is_ok_and(|n| n <= 3))
            );
        }
        let all: Vec<_> = ids
            .iter()
            .map(|id| carillon::store::Release { id: id.clone(), epoch: 9, outcome: None })
            .collect();
        desk.store.release(&all).await.expect("redis answers");
    }
}
