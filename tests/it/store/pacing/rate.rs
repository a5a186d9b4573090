//! Moments and slots: exactly spaced, never more than there are, and a few kept for urgent calls.

use carillon::domain::call::LegOutcome;
use carillon::store::Denial;

use super::{Bed, Desk, caller, reason, running};

pub(crate) async fn moments_are_spaced_by_the_rate(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let (one, two) = (Desk::of(bed, 50.0, 0).await, Desk::of(bed, 50.0, 0).await);
    let mut moments = Vec::new();
    let mut held = Vec::new();
    for desk in [&one, &two] {
        let round = desk.permit(desk.asks(&campaign.id, 40), &[]).await;
        assert!(round.permits.grants.iter().flatten().all(|g| g.ahead <= 201), "no further than the horizon");
        assert!(round.reasons().iter().all(|r| *r == Denial::AccountCps));
        assert!(round.permits.grants.iter().filter_map(|g| g.err()).all(|d| d.wait > 0));
        moments.extend(round.moments());
        held.extend(round.granted());
    }
    // An urgent call comes next, ahead of every list, though the horizon of the lists is spent.
    let urgent = two.ask(None, "1415");
    let round = two.permit(vec![urgent.clone()], &[]).await;
    assert!(round.permits.grants[0].is_ok_and(|g| g.ahead <= 1_000));
    moments.extend(round.moments());
    assert!(moments.len() > 10);
    for pair in moments.windows(2) {
        assert!(pair[1] >= pair[0] + 19, "{moments:?}");
    }
    // In one request there is no gap either.
    let span = moments[9] - moments[0];
    assert!((179..=181).contains(&span), "{moments:?}");
    held.push(urgent.id);
    one.release(&held, Some(LegOutcome::NoAnswer)).await;
}

pub(crate) async fn a_campaign_and_a_number_have_a_rate_of_their_own(bed: &Bed) {
    let slow = running(bed, |c| c.max_cps = Some(20.0)).await;
    let other = running(bed, |_| {}).await;
    let mut desk = Desk::of(bed, 100.0, 0).await;
    let mut asks = desk.asks(&slow.id, 20);
    asks.extend(desk.asks(&other.id, 20));
    let round = desk.permit(asks, &[]).await;
    let (mine, theirs) = round.permits.grants.split_at(20);
    let mine: Vec<u64> = mine.iter().flatten().map(|g| g.ahead).collect();
    assert!((4..=5).contains(&mine.len()), "{mine:?}");
    assert!(mine.windows(2).all(|p| (49..=61).contains(&(p[1] - p[0]))), "{mine:?}");
    // The moments that it had to pass over are the other's: nothing of the account's rate is lost.
    let theirs = theirs.iter().flatten().count();
    assert!(theirs + mine.len() >= 20, "{theirs} and {mine:?}");
    desk.release(&round.granted(), None).await;

    desk.account.max_cps = 0.0;
    desk.callers = vec![caller("slow")];
    desk.callers[0].max_cps = 10.0;
    let round = desk.permit(desk.asks(&other.id, 6), &[]).await;
    let moments = round.moments();
    assert!((2..=3).contains(&moments.len()), "{moments:?}");
    assert!(moments.windows(2).all(|p| (99..=101).contains(&(p[1] - p[0]))), "{moments:?}");
    assert!(round.reasons().iter().all(|r| *r == Denial::CallerId));
    desk.release(&round.granted(), None).await;
}

pub(crate) async fn slots_are_never_more_and_some_are_kept_for_urgent_calls(bed: &Bed) {
    let campaign = running(bed, |_| {}).await;
    let desk = Desk::of(bed, 0.0, 200).await;
    let round = desk.permit(desk.asks(&campaign.id, 300), &[(campaign.id.clone(), 900)]).await;
    let mut held = round.granted();
    assert_eq!(held.len(), 198, "1 % is kept");
    assert_eq!((round.permits.free, round.planned(&campaign.id)), (2, 0));
    assert!(round.reasons().iter().all(|r| *r == Denial::AccountSlots));
    let urgent: Vec<_> = (0..3).map(|_| desk.ask(None, "1415")).collect();
    let round = desk.permit(urgent, &[]).await;
    held.extend(round.granted());
    assert_eq!((round.granted().len(), round.reasons()), (2, vec![Denial::AccountSlots]));
    assert_eq!(desk.store.slots_held().await.expect("redis answers"), 200);
    desk.release(&held, Some(LegOutcome::Busy)).await;
    // Given back once, however often it is said.
    desk.release(&held, Some(LegOutcome::Busy)).await;
    assert_eq!(desk.store.slots_held().await.expect("redis answers"), 0);
    let view = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((view.account.slots, view.campaigns[0].live, view.callers[0].live), (0, 0, 0));
}

pub(crate) async fn asked_again_it_keeps_slot_moment_and_number(bed: &Bed) {
    let campaign = running(bed, |c| c.max_concurrent = Some(2)).await;
    let mut desk = Desk::of(bed, 100.0, 5).await;
    desk.callers = vec![caller("a"), caller("b")];
    desk.callers[0].max_daily = 1;
    let asks = desk.asks(&campaign.id, 2);
    let first = desk.permit(asks.clone(), &[]).await;
    let again = desk.permit(asks.clone(), &[]).await;
    assert_eq!(first.granted().len(), 2);
    let numbers: Vec<u16> = first.permits.grants.iter().flatten().map(|g| g.caller).collect();
    assert_eq!(numbers, [0, 1], "the first number had one call left");
    assert_eq!(again.permits.grants.iter().flatten().map(|g| g.caller).collect::<Vec<_>>(), numbers);
    for (was, is) in first.moments().iter().zip(again.moments()) {
        // A moment that is past by now is now.
        assert_eq!((*was).max(again.permits.now), is);
    }
    assert_eq!(desk.store.slots_held().await.expect("redis answers"), 2);

    // Claimed anew after its lease lapsed, a call uses the slot it holds; whoever had it before gets none.
    let mut later = asks[0].clone();
    later.epoch = 2;
    let _ = desk.one(&later).await.expect("its own slot again, though the campaign is full");
    assert_eq!(reason(desk.one(&asks[0]).await), Some(Denial::AccountSlots));
    assert_eq!(reason(desk.one(&desk.ask(Some(&campaign.id), "1415")).await), Some(Denial::CampaignSlots));
    let view = desk.store.pacing(Some(&campaign.id)).await.expect("redis answers");
    assert_eq!((view.campaigns[0].live, view.campaigns[0].limit), (2, Some(Denial::CampaignSlots)));
    // A release of the older claim does not take the newer one's slot.
    desk.release(&[later.id.clone()], None).await;
    assert_eq!(desk.store.slots_held().await.expect("redis answers"), 2);
    let newest = carillon::store::Release { id: later.id, epoch: 2, outcome: None };
    desk.store.release(&[newest]).await.expect("redis answers");
    desk.release(&[asks[1].id.clone()], None).await;
    assert_eq!(desk.store.slots_held().await.expect("redis answers"), 0);
}
