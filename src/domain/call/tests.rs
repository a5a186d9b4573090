//! The machine, pair by pair: every event in every state, and what must hold whatever happens.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::clock::{HOUR, Millis};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::ids::{CallId, PhoneHash, Shard};
use crate::domain::phone::Phone;
use crate::domain::talk::{Act, Dialogue, Heard, Note, Turn};

const NOW: Millis = 1_800_000_000_000;
const SID: &str = "CA00000000000000000000000000000001";

pub(super) fn rules() -> Rules {
    Rules { record_after_consent: true, hang_up_on_machine: true, ..Rules::default() }
}

pub(super) fn waiting() -> Call {
    let phone = Phone::parse("+14155550123", "US").expect("a valid number");
    let hash = PhoneHash::of(b"a key of the tests", phone.e164());
    let mut call = Call::new(CallId::new(Shard::of(phone.e164())), hash, None, Body::new(phone, NOW));
    call.head.epoch = 1;
    call
}

fn leg(attempt: u32) -> Leg {
    Leg { attempt, sid: SID.into() }
}

fn turn(n: u32) -> Event {
    turn_with(n, Vec::new(), Vec::new())
}

fn turn_with(n: u32, acts: Vec<Act>, notes: Vec<Note>) -> Event {
    let dialogue = Dialogue { turn: n + 1, ..Dialogue::default() };
    let heard = Heard::Speech { text: "yes".into(), confidence: None };
    Event::TurnTaken(leg(1), Box::new(Turn { n, heard, acts, notes, lines: Vec::new(), dialogue }))
}

fn hung_up(cause: HangUpCause) -> Event {
    Event::HungUp { leg: leg(1), cause, code: None, duration_s: Some(60) }
}

pub(super) fn concluded() -> Event {
    Event::Concluded {
        artefacts: vec![Artefact { kind: "audit".into(), key: "audit/x.json".into() }],
        outcome: None,
        adversarial_score: Some(1.0),
        employment_gaps: None,
    }
}

fn after(mut call: Call, events: impl IntoIterator<Item = Event>) -> Call {
    for event in events {
        let mut change = call.change();
        change.apply(event, &rules(), NOW + 1_000).expect("the event is not stale");
        call = change.call;
    }
    call
}

pub(super) fn started() -> Event {
    Event::DialStarted {
        caller: "+14155550199".into(),
        evidence: Some(json!({"zone": "America/Los_Angeles"})),
    }
}

/// A call in each state; Dialing once without and once with a sid (`d`).
fn states() -> Vec<(char, Call)> {
    let end = [hung_up(HangUpCause::Completed), concluded()];
    vec![
        ('Q', waiting()),
        ('D', after(waiting(), [started()])),
        ('d', after(waiting(), [started(), Event::Accepted(leg(1))])),
        ('U', after(waiting(), [started(), Event::DialUnknown])),
        ('R', after(waiting(), [started(), Event::Rang(leg(1))])),
        ('P', after(waiting(), [started(), Event::Answered(leg(1)), turn(0)])),
        ('W', after(waiting(), [started(), Event::Answered(leg(1)), turn(0), end[0].clone()])),
        (
            'E',
            after(waiting(), [started(), Event::Answered(leg(1)), turn(0), end[0].clone(), end[1].clone()]),
        ),
    ]
}

fn letter(call: &Call) -> char {
    match &call.state {
        State::Dialing { sid: Some(_) } => 'd',
        state => state.phase().letter(),
    }
}

/// What each event makes of each state: Q D d U R P W E, `.` = stale.
fn table() -> Vec<(&'static str, Event, &'static str)> {
    let machine = || Event::AnsweredBy(leg(1), "machine_start".into());
    let recording = || "RE00000000000000000000000000000001".to_owned();
    vec![
        //                                                          QDdURPWE
        ("dial started", started(), "D......."),
        ("deferred", Event::Deferred { until: NOW + 1, reason: "window" }, "Q......."),
        ("not sent", Event::NotSent { until: NOW + 1 }, ".Q......"),
        ("refused for now", Event::RefusedForNow { until: NOW + 1 }, ".Q......"),
        (
            "refused for good",
            Event::RefusedForGood { ending: Ending::new(Disposition::InvalidNumber, "refused") },
            ".W......",
        ),
        ("dial unknown", Event::DialUnknown, ".U......"),
        ("looked up, absent", Event::LookedUpAbsent, "...U...."),
        ("suppressed", Event::Suppressed, "E......."),
        ("no consent", Event::ConsentMissing, "E......."),
        ("expired", Event::Expired, "E......."),
        ("out of window", Event::OutOfWindow { reason: "zone_unknown".into() }, "E......."),
        ("superseded", Event::Superseded, "E......."),
        // It has none to wait for; see `a_contacts_other_number_*`.
        ("no other number", Event::NoOtherNumber, "........"),
        ("watched", Event::Watched, "..dURPW."),
        ("max duration", Event::MaxDuration, ".....P.."),
        ("concluded", concluded(), "......E."),
        ("accepted", Event::Accepted(leg(1)), "dd.d...."),
        ("rang", Event::Rang(leg(1)), "RRRR...."),
        ("answered", Event::Answered(leg(1)), "PPPPP..."),
        ("answered by a machine", machine(), "PPPPPP.."),
        ("busy", hung_up(HangUpCause::Busy), "QQQQQW.."),
        ("no answer", hung_up(HangUpCause::NoAnswer), "QQQQQW.."),
        ("failed", hung_up(HangUpCause::Failed), "QQQQQW.."),
        ("canceled by the carrier", hung_up(HangUpCause::Canceled), "WWWWWW.."),
        ("completed", hung_up(HangUpCause::Completed), "WWWWWW.."),
        ("the greeting's turn", turn(0), "PPPPP..."),
        ("a turn", turn(1), ".....PW."),
        ("opted out", Event::OptedOut { words: "stop".into() }, "EDdURPWE"),
        ("cancel", Event::Cancel, "EDdURP.."),
        ("recording started", Event::RecordingStarted { recording: recording() }, "QDdURPWE"),
        ("recording ready", Event::RecordingReady { recording: recording() }, "QDdURPWE"),
        ("strays deleted", Event::StraysDeleted, "........"),
        ("artefact added", Event::ArtefactAdded { artefact: None }, "........"),
    ]
}

#[test]
fn every_event_in_every_state() {
    let mut wrong = Vec::new();
    for (name, event, row) in table() {
        for ((before, call), want) in states().into_iter().zip(row.chars()) {
            let head = call.clone();
            let mut change = call.change();
            let got = match change.apply(event.clone(), &rules(), NOW + 2_000) {
                Ok(()) => letter(&change.call),
                Err(Stale) => {
                    assert_eq!(change.call, head, "stale changes nothing: {name} in {before}");
                    '.'
                }
            };
            if got != want {
                wrong.push(format!("{name} in {before}: {got}, expected {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn effects_of(call: Call, event: Event) -> (Call, Vec<Effect>) {
    let mut change = call.change();
    change.apply(event, &rules(), NOW + 2_000).expect("not stale");
    (change.call, change.effects)
}

fn notices(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Notice(n) = e { Some(n.kind.as_str()) } else { None })
        .collect()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    for (_, call) in states() {
        let text = call.encode();
        assert_eq!(Call::decode(&call.id, &text).expect("readable"), call);
    }
}

#[test]
fn a_waiting_record_stays_small() {
    let mut call = waiting();
    call.campaign = Some(crate::domain::ids::CampaignId::random());
    let text = call.encode();
    assert!(text.len() <= 150, "{} bytes: {text}", text.len());
}

#[test]
fn a_busy_line_is_tried_again_and_then_is_the_disposition() {
    let mut call = waiting();
    for attempt in 1..=3 {
        let leg = Leg { attempt, sid: format!("CA{attempt:032}") };
        let events = [
            started(),
            Event::Accepted(leg.clone()),
            Event::HungUp { leg, cause: HangUpCause::Busy, code: Some("busy".into()), duration_s: None },
        ];
        call = after(call, events);
    }
    assert_eq!(call.phase(), Phase::WrapUp);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::Busy));
    assert_eq!(call.body.past.len(), 2);
}

#[test]
fn no_retry_beyond_the_expiry() {
    let mut call = waiting();
    call.body.expires_at = Some(NOW + 60_000);
    let call = after(call, [started(), hung_up(HangUpCause::NoAnswer)]);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::NoAnswer));
}

#[test]
fn an_older_attempts_leg_that_lives_is_hung_up() {
    let call = after(waiting(), [started(), hung_up(HangUpCause::Busy)]);
    assert_eq!(call.body.attempt, 2);
    let stray = Leg { attempt: 1, sid: "CA99".into() };
    let (call, effects) = effects_of(call, Event::Rang(stray));
    assert_eq!(call.phase(), Phase::Queued);
    assert_eq!(effects, vec![Effect::HangUp { sid: "CA99".into() }]);
}

#[test]
fn a_second_leg_of_one_attempt_is_not_adopted() {
    let call = after(waiting(), [started(), Event::Rang(leg(1))]);
    let mut change = call.change();
    assert_eq!(
        change.apply(Event::Answered(Leg { attempt: 1, sid: "CA99".into() }), &rules(), NOW),
        Err(Stale)
    );
}

#[test]
fn an_opt_out_suppresses_tells_and_hangs_up() {
    let call = after(waiting(), [started(), Event::Answered(leg(1)), turn(0)]);
    let (call, effects) = effects_of(call, Event::OptedOut { words: "never again".into() });
    assert_eq!(notices(&effects), ["opt_out"]);
    assert!(effects.contains(&Effect::Suppress { words: "never again".into() }));
    assert!(effects.contains(&Effect::HangUp { sid: SID.into() }));
    let call = after(call, [hung_up(HangUpCause::Completed)]);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::OptedOut));
}

#[test]
fn an_opt_out_said_in_the_last_turn_counts_after_the_hang_up() {
    let call =
        after(waiting(), [started(), Event::Answered(leg(1)), turn(0), hung_up(HangUpCause::Completed)]);
    let words = Note::OptedOut { words: "stop".into() };
    let (_, effects) = effects_of(call, turn_with(1, Vec::new(), vec![words]));
    assert!(effects.iter().any(|e| matches!(e, Effect::Suppress { .. })));
}

#[test]
fn a_cancel_hangs_up_and_is_the_disposition() {
    let call = after(waiting(), [started(), Event::Rang(leg(1))]);
    let (call, effects) = effects_of(call, Event::Cancel);
    assert_eq!(effects, vec![Effect::HangUp { sid: SID.into() }]);
    let call = after(call, [hung_up(HangUpCause::Canceled)]);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::Canceled));
}

#[test]
fn a_cancel_before_the_sid_is_known_hangs_up_when_it_is() {
    let call = after(waiting(), [started(), Event::Cancel]);
    let (_, effects) = effects_of(call, Event::Accepted(leg(1)));
    assert_eq!(effects, vec![Effect::HangUp { sid: SID.into() }]);
}

#[test]
fn who_wants_no_more_calls_is_heard_though_the_call_is_over() {
    let over =
        after(waiting(), [started(), Event::Answered(leg(1)), hung_up(HangUpCause::Completed), concluded()]);
    assert_eq!(over.phase(), Phase::Ended);
    let mut change = over.clone().change();
    assert!(change.apply(turn(0), &rules(), NOW).is_err(), "other words come too late");
    let (call, effects) =
        effects_of(over, turn_with(0, Vec::new(), vec![Note::OptedOut { words: "stop".into() }]));
    assert!(call.body.opted_out);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Suppress { .. })), "{effects:?}");
}

#[test]
fn nobody_looks_again_at_a_call_that_was_cancelled_and_is_over() {
    let mut change = after(waiting(), [Event::Cancel]).change();
    assert_eq!(change.call.phase(), Phase::Ended);
    assert!(change.apply(Event::Watched, &rules(), NOW).is_err());
    // While it is wrapped up each failed look comes later than the one before, as without a cancel.
    let over = after(
        waiting(),
        [started(), Event::Answered(leg(1)), Event::Cancel, hung_up(HangUpCause::Completed)],
    );
    assert_eq!(over.phase(), Phase::WrapUp);
    let again = after(over, [Event::Watched, Event::Watched]);
    assert_eq!(again.body.setbacks, 2);
}

#[test]
fn consent_starts_the_recording_once() {
    let call = after(waiting(), [started(), Event::Answered(leg(1)), turn(0)]);
    let (call, effects) = effects_of(call, turn_with(1, Vec::new(), vec![Note::Consent { given: true }]));
    assert_eq!(effects, vec![Effect::StartRecording { sid: SID.into() }]);
    let (_, effects) = effects_of(call, turn(2));
    assert_eq!(effects, vec![]);
}

#[test]
fn a_machine_is_hung_up_on_and_is_the_disposition() {
    let call = after(waiting(), [started(), Event::Answered(leg(1)), turn(0)]);
    let (call, effects) = effects_of(call, Event::AnsweredBy(leg(1), "machine_start".into()));
    assert_eq!(effects, vec![Effect::HangUp { sid: SID.into() }]);
    let call = after(call, [hung_up(HangUpCause::Completed)]);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::Voicemail));
}

#[test]
fn a_recording_that_was_never_started_is_started_two_turns_later() {
    let mut call = after(waiting(), [started(), Event::Answered(leg(1)), turn(0)]);
    let taken = |n: u32| {
        let dialogue =
            Dialogue { turn: n + 1, consent: Some(true), consent_turn: Some(1), ..Dialogue::default() };
        let heard = Heard::Speech { text: "yes".into(), confidence: None };
        let (acts, notes, lines) = (Vec::new(), Vec::new(), Vec::new());
        Event::TurnTaken(leg(1), Box::new(Turn { n, heard, acts, notes, lines, dialogue }))
    };
    let started: Vec<bool> = (1..=4)
        .map(|n| {
            let (next, effects) = effects_of(call.clone(), taken(n));
            call = next;
            effects.contains(&Effect::StartRecording { sid: SID.into() })
        })
        .collect();
    assert_eq!(started, [true, false, true, false]);
}

#[test]
fn who_has_consented_is_no_machine() {
    let call = after(waiting(), [started(), Event::Answered(leg(1)), turn(0)]);
    let consent = turn_with(1, Vec::new(), vec![Note::Consent { given: true }]);
    let (call, effects) =
        effects_of(after(call, [consent]), Event::AnsweredBy(leg(1), "machine_start".into()));
    assert_eq!(effects, vec![]);
    assert_eq!(call.body.dialogue.ending, None);
}

#[test]
fn a_callback_is_scheduled_once_with_the_end() {
    let call = after(waiting(), [started(), Event::Answered(leg(1)), turn(0)]);
    let note = Note::CallBack { at: NOW + 24 * HOUR, words: "tomorrow".into() };
    let call = after(call, [turn_with(1, Vec::new(), vec![note]), hung_up(HangUpCause::Completed)]);
    let (ended, effects) = effects_of(call.clone(), concluded());
    let child = effects.iter().find_map(|e| if let Effect::ChildCall(c) = e { Some(c) } else { None });
    let child = child.expect("a child call");
    assert_eq!(child.head.due, NOW + 24 * HOUR);
    assert_eq!(child.id.shard(), ended.id.shard());
    let (_, again) = effects_of(call, concluded());
    assert!(again.iter().any(|e| matches!(e, Effect::ChildCall(c) if c.id == child.id)));
}

#[test]
fn an_unconfirmed_dial_is_looked_for_long_enough() {
    let call = after(waiting(), [started(), Event::DialUnknown]);
    let rules = rules();
    let mut change = call.change();
    for _ in 0..5 {
        change.apply(Event::LookedUpAbsent, &rules, NOW + 90_000).expect("still looked for");
    }
    assert_eq!(change.call.phase(), Phase::Unconfirmed, "two minutes have not passed");
    change.apply(Event::LookedUpAbsent, &rules, NOW + 200_000).expect("given up");
    assert_eq!(change.call.ending().map(|e| e.disposition), Some(Disposition::Unconfirmed));
}

#[test]
fn a_superseded_call_tells_nobody() {
    let (_, effects) = effects_of(waiting(), Event::Superseded);
    assert_eq!(notices(&effects), Vec::<&str>::new());
    let (_, effects) = effects_of(waiting(), Event::Expired);
    assert_eq!(notices(&effects), ["call_failed"]);
}

#[test]
fn answered_and_never_spoken_to_is_abandoned() {
    let call = after(waiting(), [started(), Event::Answered(leg(1)), hung_up(HangUpCause::Completed)]);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::Abandoned));
}

proptest! {
    /// C2: whatever comes in whatever order, an end is final and said once, and there is never a second live leg.
    #[test]
    fn any_order_of_events_keeps_the_invariants(order in proptest::collection::vec(0_usize..30, 1..60)) {
        let table = table();
        let mut call = waiting();
        let mut ended: Option<Ending> = None;
        let mut finals = 0;
        for (step, i) in order.into_iter().enumerate() {
            let mut change = call.clone().change();
            let event = table[i % table.len()].1.clone();
            let before = call.phase();
            if change.apply(event, &rules(), NOW + step as u64).is_ok() {
                finals += notices(&change.effects).iter().filter(|k| k.starts_with("call_")).count();
                call = change.call;
            }
            if let Some(ending) = &ended {
                prop_assert_eq!(call.ending(), Some(ending));
            }
            if call.phase() == Phase::Ended {
                ended = call.ending().cloned();
            }
            prop_assert!(before != Phase::Ended || call.phase() == Phase::Ended);
            // Q1: what is not over has a time at which somebody looks again, or waits in its lane.
            prop_assert!(call.phase() == Phase::Ended || call.phase() == Phase::Queued || call.head.due > 0);
            prop_assert_eq!(Call::decode(&call.id, &call.encode()).expect("readable"), call.clone());
        }
        prop_assert!(finals <= 1);
        prop_assert_eq!(finals == 1, call.phase() == Phase::Ended && call.ending().is_some_and(|e| e.disposition != Disposition::Superseded));
    }
}
