//! Numbers we call from: their limits, and the rest of those that nobody picks up for any more.

use std::time::Duration;

use carillon::base::clock::Clock;
use carillon::domain::call::LegOutcome;
use carillon::store::{CallerView, Denial};

use super::{Bed, Desk, caller, reason, running};
use crate::support::until;

async fn view(desk: &Desk, key: &str) -> CallerView {
    let view = desk.store.pacing(None).await.expect("redis answers");
    view.callers.into_iter().find(|c| c.key == key).unwrap_or_else(|| panic!("no number {key}"))
}

pub(crate) async fn a_number_has_slots_and_a_budget_for_the_day(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let mut desk = Desk::of(bed, 0.0, 0).await;
    desk.callers = vec![caller("best"), caller("next")];
    desk.callers[0].max_daily = 3;
    desk.callers[1].max_concurrent = 2;
    let round = desk.permit(desk.asks(&campaign.id, 6), &[]).await;
    let numbers: Vec<u16> = round.permits.grants.iter().flatten().map(|g| g.caller).collect();
    assert_eq!(numbers, [0, 0, 0, 1, 1], "the best as long as it lasts");
    assert_eq!(round.reasons(), [Denial::CallerId]);
    let ids = round.granted();
    // A dial that was never made costs no budget; one that was does.
    desk.release(&ids[..1], None).await;
    desk.release(&ids[1..], Some(LegOutcome::Busy)).await;
    assert_eq!(view(&desk, "best").await.today, 2);
    let round = desk.permit(desk.asks(&campaign.id, 2), &[]).await;
    assert_eq!(round.permits.grants.iter().flatten().map(|g| g.caller).collect::<Vec<_>>(), [0, 1]);
    desk.release(&round.granted(), Some(LegOutcome::Busy)).await;
    // Spent until the UTC day is over, also for an urgent call.
    desk.callers.truncate(1);
    let denied = desk.one(&desk.ask(None, "1415")).await.expect_err("its day is over");
    let left = 86_400_000 - Clock::System.now() % 86_400_000;
    assert_eq!(denied.reason, Denial::CallerId);
    assert!(denied.wait.abs_diff(left) < 60_000, "{} of {left}", denied.wait);
    let shown = view(&desk, "best").await;
    assert_eq!((shown.today, shown.max_daily, shown.live), (3, 3, 0));
}

pub(crate) async fn a_number_that_nobody_answers_rests(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let mut desk = Desk::of(bed, 0.0, 0).await;
    desk.account.tuning.quarantine = 300;
    desk.account.tuning.quarantine_most = 500;
    let both = [caller("good"), caller("bad")];
    for (n, answers_every) in [(0, 2), (1, 10)] {
        desk.callers = vec![both[n].clone()];
        for i in 0..30 {
            let outcome = if i % answers_every == 0 { LegOutcome::Answered } else { LegOutcome::NoAnswer };
            desk.leg(&campaign.id, "1415", outcome).await;
        }
    }
    assert_eq!(view(&desk, "good").await.answer_rate, Some(0.5));
    let from_bad = async |outcome: Option<LegOutcome>| {
        let ask = desk.ask(Some(&campaign.id), "1415");
        let grant = desk.one(&ask).await;
        if grant.is_ok() {
            desk.release(&[ask.id], outcome).await;
        }
        reason(grant)
    };
    let rests = async || {
        desk.store
            .fleet_events(None)
            .await
            .expect("redis answers")
            .into_iter()
            .filter(|e| e.key == "bad" && e.kind.starts_with("quarantine"))
            .map(|e| (e.kind, e.until.saturating_sub(e.at)))
            .collect::<Vec<_>>()
    };
    assert_eq!(rests().await, [("quarantine".to_owned(), 300)]);
    // Once more it may be tried; nobody answers, and it rests for twice as long, or as long as is allowed.
    for times in 1..=2 {
        until("its rest to end", Duration::from_secs(20), || async {
            from_bad(Some(LegOutcome::NoAnswer)).await.is_none().then_some(())
        })
        .await;
        for n in 1..10 {
            let outcome = if times == 2 && n % 2 == 0 { LegOutcome::Answered } else { LegOutcome::NoAnswer };
            assert_eq!(from_bad(Some(outcome)).await, None, "probe {n}");
        }
    }
    let seen: Vec<_> = rests().await;
    let kinds: Vec<&str> = seen.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["quarantine", "quarantine_probe", "quarantine", "quarantine_probe", "quarantine_over"]
    );
    assert_eq!(seen[2].1, 500);
    assert_eq!(view(&desk, "bad").await.quarantined_until, 0);
}

pub(crate) async fn a_number_without_one_answer_rests_and_another_serves(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let mut desk = Desk::of(bed, 0.0, 0).await;
    // The last one that calls never rests: there is another.
    desk.callers = vec![caller("other")];
    desk.leg(&campaign.id, "1415", LegOutcome::Answered).await;
    desk.callers = vec![caller("mute"), caller("other")];
    for _ in 0..50 {
        desk.leg(&campaign.id, "1415", LegOutcome::NoAnswer).await;
    }
    let shown = view(&desk, "mute").await;
    assert!(shown.quarantined_until > Clock::System.now() + 3_000_000, "an hour: {shown:?}");
    let ask = desk.ask(Some(&campaign.id), "1415");
    assert_eq!(desk.one(&ask).await.map(|g| g.caller), Ok(1));
    desk.release(&[ask.id], None).await;
    // With nothing else to call from, no more than one of its calls is brought to look.
    desk.callers.truncate(1);
    let round = desk.permit(desk.asks(&campaign.id, 2), &[(campaign.id.clone(), 50)]).await;
    assert_eq!(round.reasons(), [Denial::CallerId; 2]);
    assert_eq!(round.planned(&campaign.id), 1);
    let shown = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!(shown.campaigns[0].limit, Some(Denial::CallerId));
    assert!(shown.campaigns[0].until > Clock::System.now() + 3_000_000);
}
