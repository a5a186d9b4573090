//! What a campaign's calls wait for, counted; retries by the campaign's own policy.

use std::collections::BTreeMap;

use carillon::base::clock::{Clock, DAY, HOUR, MINUTE};
use carillon::domain::call::{Call, Effect, Event, HangUpCause, Phase};
use carillon::domain::campaign::Campaign;
use carillon::domain::ids::CampaignId;
use carillon::domain::retry::RetryPolicy;
use carillon::domain::talk::{Dialogue, Heard, Note, Turn};
use serde_json::json;

use super::{Bed, leg};

/// What the counters say waits, and what the records say.
async fn waiting(bed: &Bed, list: &CampaignId, calls: &[Call]) -> BTreeMap<String, i64> {
    let counters = bed.store.counters(list.as_str()).await.expect("counters");
    let counted: BTreeMap<String, i64> = counters
        .iter()
        .filter(|(_, n)| **n != 0)
        .filter_map(|(name, n)| Some((name.strip_prefix("waiting:")?.to_owned(), *n)))
        .collect();
    let mut found = BTreeMap::new();
    for call in calls {
        if let Some(reason) = bed.load(&call.id).await.waits_for() {
            *found.entry(reason.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(counted, found, "the counters are those of the records");
    counted
}

fn want(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
    of.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect()
}

pub(super) async fn waiting_calls_are_counted_by_reason(bed: &Bed) {
    let (list, now) = (CampaignId::random(), Clock::System.now());
    let calls: Vec<Call> = (1..=5).map(|n| bed.call(n, Some(&list))).collect();
    let mut claimed = Vec::new();
    for call in &calls {
        claimed.push(bed.claimed(call).await);
    }
    assert_eq!(waiting(bed, &list, &calls).await, want(&[]));
    // Two wait for their window, the later of them first; a third for its person's other call.
    let (late, early) = (now + 2 * HOUR, now + HOUR);
    let list = &list;
    let defer = |call: &Call, until, reason| {
        let call = call.clone();
        async move { bed.done_by(&call, Event::Deferred { until, reason }).await }
    };
    let first = defer(&claimed[0], late, "window").await;
    let until = |reason: &'static str| async move {
        let counters = bed.store.counters(list.as_str()).await.expect("counters");
        counters.get(&format!("until:{reason}")).copied().and_then(|ms| u64::try_from(ms).ok())
    };
    assert_eq!(until("window").await, Some(late));
    defer(&claimed[1], early, "window").await;
    defer(&claimed[2], now + MINUTE, "leg_outstanding").await;
    assert_eq!(waiting(bed, list, &calls).await, want(&[("leg_outstanding", 1), ("window", 2)]));
    assert_eq!(until("window").await, Some(early), "the earliest");
    // The same reason again is no second call; another reason is another place.
    let first = defer(&first, late + 1, "window").await;
    assert_eq!(waiting(bed, list, &calls).await, want(&[("leg_outstanding", 1), ("window", 2)]));
    assert_eq!(until("window").await, Some(early));
    let first = defer(&first, now + DAY, "frequency").await;
    assert_eq!(
        waiting(bed, list, &calls).await,
        want(&[("frequency", 1), ("leg_outstanding", 1), ("window", 1)])
    );
    // Dialed, tried again, adopted, ended: whatever leads out of waiting.
    let dialed = bed.started(&first).await;
    bed.done_by(
        &dialed,
        Event::HungUp { leg: leg(&dialed), cause: HangUpCause::Busy, code: None, duration_s: None },
    )
    .await;
    let other = bed.started(&claimed[3]).await;
    bed.done_by(&other, Event::RefusedForNow { until: now + MINUTE }).await;
    assert_eq!(
        waiting(bed, list, &calls).await,
        want(&[("carrier", 1), ("leg_outstanding", 1), ("retry", 1), ("window", 1)])
    );
    let second = bed.load(&calls[1].id).await;
    bed.done_by(&second, Event::Rang(leg(&second))).await;
    for call in [&calls[0], &calls[2], &calls[3], &calls[4]] {
        bed.done_by(&bed.load(&call.id).await, Event::Cancel).await;
    }
    assert_eq!(waiting(bed, list, &calls).await, want(&[]));
}

pub(super) async fn a_campaign_tries_again_as_it_says(bed: &Bed) {
    let (list, now) = (CampaignId::random(), Clock::System.now());
    let mut campaign = Campaign::new(list.clone(), now);
    let policy = json!({"max_attempts": 2, "voicemail": {"delays_s": [7200]}, "busy": {"delays_s": []}});
    campaign.retries = Some(RetryPolicy::read(&policy).expect("a policy"));
    bed.store.put_campaign(&campaign).await.expect("written");
    let over = |call: &Call, cause| Event::HungUp { leg: leg(call), cause, code: None, duration_s: None };
    let busy = bed.started(&bed.claimed(&bed.call(1, Some(&list))).await).await;
    assert_eq!(bed.done_by(&busy, over(&busy, HangUpCause::Busy)).await.phase(), Phase::WrapUp);
    // The house's policy holds for a call that was posted alone.
    let alone = bed.started(&bed.claimed(&bed.call(2, None)).await).await;
    assert_eq!(bed.done_by(&alone, over(&alone, HangUpCause::Busy)).await.phase(), Phase::Queued);

    let call = bed.started(&bed.claimed(&bed.call(3, Some(&list))).await).await;
    let rules = carillon::domain::call::Rules { hang_up_on_machine: true, ..bed.rules.clone() };
    let machine = Event::AnsweredBy(leg(&call), "machine_start".into());
    let call = match bed.store.apply(call, machine, &rules).await.expect("redis answers") {
        carillon::store::Applied::Done(call, _) => *call,
        other => panic!("{other:?}"),
    };
    let call = bed.done_by(&call, over(&call, HangUpCause::Completed)).await;
    assert_eq!((call.phase(), call.body.attempt, call.waits_for()), (Phase::Queued, 2, Some("retry")));
    assert!(call.head.due >= now + 2 * HOUR, "its own delay");
    assert_eq!(call.body.dialogue, Dialogue::default());
}

pub(super) async fn a_callback_is_a_call_of_its_campaign(bed: &Bed) {
    let (list, now) = (CampaignId::random(), Clock::System.now());
    let call = bed.started(&bed.claimed(&bed.call(1, Some(&list))).await).await;
    let at = now + DAY;
    let taken = Turn {
        n: 0,
        heard: Heard::Started,
        acts: Vec::new(),
        notes: vec![Note::CallBack { at, words: "tomorrow".into() }],
        lines: Vec::new(),
        dialogue: Dialogue { turn: 1, ..Dialogue::default() },
    };
    let mut call = bed.done_by(&call, Event::TurnTaken(leg(&call), Box::new(taken))).await;
    let over = Event::HungUp { leg: leg(&call), cause: HangUpCause::Completed, code: None, duration_s: None };
    call = bed.done_by(&call, over).await;
    let concluded = Event::Concluded {
        artefacts: Vec::new(),
        outcome: None,
        adversarial_score: None,
        employment_gaps: None,
    };
    call = bed.done_by(&call, concluded).await;
    let open = bed.store.open_calls(call.body.phone.e164()).await.expect("open");
    let child = bed.load(&open[0]).await;
    assert_eq!((open.len(), child.waits_for(), child.lane()), (1, Some("callback"), format!("{list}+")));
    assert_eq!(waiting(bed, &list, std::slice::from_ref(&child)).await, want(&[("callback", 1)]));
    let counters = bed.store.counters(list.as_str()).await.expect("counters");
    assert_eq!((counters["accepted"], counters["ended"]), (2, 1));
    assert_eq!(counters["until:callback"], i64::try_from(at).expect("in range"));
    let effects = match bed.apply(&child, Event::Cancel).await {
        carillon::store::Applied::Done(_, effects) => effects,
        other => panic!("{other:?}"),
    };
    assert!(!effects.iter().any(|e| matches!(e, Effect::ReleaseSlot { .. })));
    assert_eq!(waiting(bed, &list, &[child]).await, want(&[]));
}
