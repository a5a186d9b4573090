//! What comes after an attempt: the next one, by policy; another number; the call the callee asked for.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::clock::{DAY, HOUR, MINUTE, Millis};
use crate::domain::campaign::{Consent, ConsentBasis, Priority};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::draft::Draft;
use crate::domain::ids::{CallId, CampaignId, PhoneHash, Shard};
use crate::domain::phone::Phone;
use crate::domain::retry::{Cause, RetryPolicy};
use crate::domain::talk::{Dialogue, Heard, Note, Turn};

/// A Friday, 13:00 in San Francisco.
const NOW: Millis = 1_795_208_400_000;

fn phone(n: u32) -> Phone {
    Phone::from_e164(&format!("+1415555{n:04}")).expect("a number")
}

fn hash(phone: &Phone) -> PhoneHash {
    PhoneHash::of(b"a key of the tests", phone.e164())
}

fn contact(alternatives: &[u32]) -> Call {
    let own = phone(1);
    let mut body = Body::new(own.clone(), NOW);
    body.alternatives = alternatives.iter().map(|n| phone(*n)).collect();
    let campaign = CampaignId::derived("a list");
    let mut call = Call::new(CallId::new(Shard::of(own.e164())), hash(&own), Some(campaign), body);
    call.head.epoch = 1;
    call
}

fn rules(policy: &serde_json::Value) -> Rules {
    Rules {
        retry: RetryPolicy::read(policy).expect("a policy"),
        hang_up_on_machine: true,
        ..Rules::default()
    }
}

fn leg(call: &Call) -> Leg {
    Leg { attempt: call.body.attempt, sid: format!("CA{:032}", call.body.attempt) }
}

fn step(call: Call, event: Event, rules: &Rules, now: Millis) -> Call {
    let mut change = call.change();
    change.apply(event, rules, now).expect("not stale");
    change.call
}

/// Dials and has the attempt end as `disposition`.
fn attempt(mut call: Call, disposition: Disposition, rules: &Rules, now: Millis) -> Call {
    use Disposition as D;
    call = step(call, Event::DialStarted { caller: "+14155550199".into(), evidence: None }, rules, now);
    let leg = leg(&call);
    let over = |cause, code: Option<&str>| Event::HungUp {
        leg: leg.clone(),
        cause,
        code: code.map(str::to_owned),
        duration_s: None,
    };
    let spoken = |ending: Option<Ending>| {
        let dialogue =
            Dialogue { turn: 1, ending, draft: Draft::of(&json!({"name": "Ann"})), ..Dialogue::default() };
        let (acts, notes, lines) = (Vec::new(), Vec::new(), Vec::new());
        Event::TurnTaken(
            leg.clone(),
            Box::new(Turn { n: 0, heard: Heard::Started, acts, notes, lines, dialogue }),
        )
    };
    let events = match disposition {
        D::Busy => vec![over(HangUpCause::Busy, None)],
        D::NoAnswer => vec![over(HangUpCause::NoAnswer, None)],
        D::CarrierFailed => vec![over(HangUpCause::Failed, None)],
        D::InvalidNumber => vec![over(HangUpCause::Failed, Some("21211"))],
        D::CarrierBlocked => {
            vec![Event::RefusedForGood { ending: Ending::new(D::CarrierBlocked, "refused") }]
        }
        D::Voicemail => vec![
            Event::Answered(leg.clone()),
            spoken(None),
            Event::AnsweredBy(leg.clone(), "machine_start".into()),
            over(HangUpCause::Completed, None),
        ],
        D::Abandoned => vec![Event::Answered(leg.clone()), over(HangUpCause::Completed, None)],
        D::AgentFailed => {
            vec![spoken(Some(Ending::new(D::AgentFailed, "model"))), over(HangUpCause::Completed, None)]
        }
        _ => vec![spoken(None), over(HangUpCause::Completed, None)],
    };
    for event in events {
        call = step(call, event, rules, now);
    }
    call
}

const TRIED: [Disposition; 6] = [
    Disposition::Busy,
    Disposition::NoAnswer,
    Disposition::CarrierFailed,
    Disposition::Voicemail,
    Disposition::Abandoned,
    Disposition::AgentFailed,
];

#[test]
fn each_disposition_by_its_own_policy() {
    for disposition in TRIED {
        let cause = Cause::of(disposition).expect("a cause");
        let rules = rules(&json!({ cause.as_str(): {"delays_s": [3600]} }));
        let call = attempt(contact(&[]), disposition, &rules, NOW);
        assert_eq!((call.phase(), call.body.attempt), (Phase::Queued, 2), "{disposition:?}");
        assert_eq!((call.head.due, call.waits_for()), (NOW + HOUR, Some("retry")), "{disposition:?}");
        // Nothing of this talk goes into the next.
        let body = &call.body;
        assert_eq!(body.dialogue, Dialogue::default());
        assert_eq!((body.answered_at, body.voice_after_ms, body.hung_up_at), (None, None, None));
        assert_eq!(body.past[0].outcome, disposition.as_str());
        let call = attempt(call, disposition, &rules, NOW + HOUR);
        assert_eq!(call.ending().map(|e| e.disposition), Some(disposition), "its one delay is used up");
    }
    let by_default = |disposition| attempt(contact(&[]), disposition, &Rules::default(), NOW).phase();
    for disposition in [Disposition::Voicemail, Disposition::Abandoned, Disposition::AgentFailed] {
        assert_eq!(by_default(disposition), Phase::WrapUp, "{disposition:?} is not tried again unasked");
    }
}

#[test]
fn delays_are_counted_by_disposition() {
    let rules =
        rules(&json!({"max_attempts": 9, "busy": {"delays_s": [60, 120]}, "no_answer": {"delays_s": [600]}}));
    let mut call = contact(&[]);
    for (disposition, wait) in
        [(Disposition::Busy, 60), (Disposition::NoAnswer, 600), (Disposition::Busy, 120)]
    {
        call = attempt(call, disposition, &rules, NOW);
        assert_eq!(call.head.due, NOW + wait * 1_000, "{disposition:?}");
    }
    assert_eq!(attempt(call, Disposition::NoAnswer, &rules, NOW).phase(), Phase::WrapUp);
}

#[test]
fn who_was_reached_is_not_tried_again() {
    let rules = rules(&json!({"voicemail": {"delays_s": [60]}, "abandoned": {"delays_s": [60]}}));
    let live = |note: Option<Note>| {
        let call = step(
            contact(&[]),
            Event::DialStarted { caller: "+14155550199".into(), evidence: None },
            &rules,
            NOW,
        );
        let dialogue = Dialogue { turn: 1, ..Dialogue::default() };
        let notes = note.into_iter().collect();
        let (acts, lines) = (Vec::new(), Vec::new());
        let turn = Turn { n: 0, heard: Heard::Started, acts, notes, lines, dialogue };
        let leg = leg(&call);
        step(call, Event::TurnTaken(leg, Box::new(turn)), &rules, NOW)
    };
    let machine = |call: Call| {
        let leg = leg(&call);
        let call = step(call, Event::AnsweredBy(leg.clone(), "machine_start".into()), &rules, NOW);
        let cause = HangUpCause::Completed;
        step(call, Event::HungUp { leg, cause, code: None, duration_s: None }, &rules, NOW)
    };
    assert_eq!(machine(live(None)).phase(), Phase::Queued);
    for note in [
        Note::OptedOut { words: "stop".into() },
        Note::CallBack { at: NOW + DAY, words: "tomorrow".into() },
        Note::Consent { given: true },
    ] {
        assert_eq!(machine(live(Some(note.clone()))).phase(), Phase::WrapUp, "{note:?}");
    }
    assert_eq!(machine(step(live(None), Event::Cancel, &rules, NOW)).phase(), Phase::WrapUp, "canceled");
}

#[test]
fn a_wish_said_in_an_attempt_that_is_over_is_heard() {
    let rules = rules(&json!({"agent_failed": {"delays_s": [60]}}));
    let call = attempt(contact(&[]), Disposition::AgentFailed, &rules, NOW);
    let late = |notes| {
        let (acts, lines, dialogue) = (Vec::new(), Vec::new(), Dialogue::default());
        let turn = Turn { n: 1, heard: Heard::Silence, acts, notes, lines, dialogue };
        let old = Leg { attempt: 1, sid: format!("CA{:032}", 1) };
        Event::TurnTaken(old, Box::new(turn))
    };
    assert_eq!(call.clone().change().apply(late(Vec::new()), &rules, NOW), Err(Stale));
    let call = step(call, late(vec![Note::OptedOut { words: "never again".into() }]), &rules, NOW);
    assert_eq!(call.ending().map(|e| e.disposition), Some(Disposition::OptedOut));
}

#[test]
fn the_first_words_are_timed_from_the_answer() {
    let rules = Rules::default();
    let call =
        step(contact(&[]), Event::DialStarted { caller: "+14155550199".into(), evidence: None }, &rules, NOW);
    let leg = leg(&call);
    let call = step(call, Event::Answered(leg.clone()), &rules, NOW);
    let spoken = |n| {
        let (acts, notes, lines) = (Vec::new(), Vec::new(), Vec::new());
        let dialogue = Dialogue { turn: n + 1, ..Dialogue::default() };
        Event::TurnTaken(
            leg.clone(),
            Box::new(Turn { n, heard: Heard::Started, acts, notes, lines, dialogue }),
        )
    };
    let call = step(call, spoken(0), &rules, NOW + 2_500);
    let call = step(call, spoken(1), &rules, NOW + 9_000);
    assert_eq!(call.body.voice_after_ms, Some(2_500));
    let mut change = call.change();
    let over = Event::HungUp { leg, cause: HangUpCause::Completed, code: None, duration_s: None };
    change.apply(over, &rules, NOW + 10_000).expect("not stale");
    assert!(change.effects.contains(&Effect::ReleaseSlot { outcome: Some(LegOutcome::Abandoned) }));
}

#[test]
fn a_contacts_other_number_takes_its_turn() {
    let rules = rules(&json!({"max_attempts": 4, "no_answer": {"delays_s": [3600, 3600]}}));
    let mut row = contact(&[2, 3]);
    row.body.consent = Some(Consent { basis: ConsentBasis::Written, at: 1, source: "form".into() });
    row.body.variables = [("name".to_owned(), "Ann".to_owned())].into();
    row.body.priority = Priority::High;
    let call = attempt(row, Disposition::NoAnswer, &rules, NOW);
    assert!(call.waits_for_other_number());
    assert_eq!(call.head.due, NOW + HOUR);
    let due = call.head.due;
    let child = call.to_other_number(0, hash(&phone(2)), call.expires_at(), due).expect("a second number");
    assert_eq!(
        Some(&child.id),
        call.to_other_number(0, hash(&phone(2)), call.expires_at(), due + 9).map(|c| c.id).as_ref()
    );
    assert_eq!(child.id.shard(), Shard::of(phone(2).e164()));
    assert_eq!((child.body.attempt, child.body.past.len(), child.head.due), (2, 1, 0));
    assert_eq!((child.body.alternatives.clone(), child.expires_at()), (vec![phone(3)], call.expires_at()));
    assert_eq!((&child.body.consent, &child.body.variables), (&call.body.consent, &call.body.variables));
    assert_eq!((child.lane(), child.body.parent.clone()), (call.lane(), Some(call.id.clone())));
    assert_eq!(child.body.time_zone, None, "the other number may lie in another zone");
    assert_eq!(call.to_other_number(2, hash(&phone(2)), call.expires_at(), due), None);
    let parent = step(call.clone(), Event::Superseded, &rules, due);
    assert_eq!(parent.ending().map(|e| e.disposition), Some(Disposition::Superseded));
    // Attempts go on being counted; with no number left the same one is tried again.
    let child = attempt(child, Disposition::NoAnswer, &rules, due);
    assert!(child.waits_for_other_number() && child.body.attempt == 3);
    let last = child.to_other_number(0, hash(&phone(3)), child.expires_at(), due).expect("a third number");
    let last = attempt(last, Disposition::Busy, &rules, due);
    assert_eq!((last.waits_for(), last.body.attempt), (Some("retry"), 4));
    assert_eq!(attempt(last, Disposition::Busy, &rules, due).phase(), Phase::WrapUp, "max_attempts");
    // None of them may be called: the same number again.
    let again = step(call, Event::NoOtherNumber, &rules, due);
    assert_eq!((again.waits_for(), again.head.due, again.body.alternatives.len()), (Some("retry"), due, 0));
}

#[test]
fn a_refused_number_is_not_dialed_again_but_another_is() {
    for disposition in [Disposition::InvalidNumber, Disposition::CarrierBlocked] {
        let rules = Rules::default();
        assert_eq!(attempt(contact(&[]), disposition, &rules, NOW).phase(), Phase::WrapUp);
        let call = attempt(contact(&[2]), disposition, &rules, NOW);
        assert!(call.waits_for_other_number(), "{disposition:?}");
        assert_eq!(call.head.due, NOW + MINUTE);
        let ended = step(call, Event::NoOtherNumber, &rules, NOW + MINUTE);
        assert_eq!(
            ended.ending().map(|e| (e.disposition, e.reason.as_str())),
            Some((disposition, "no_other_number"))
        );
    }
}

#[test]
fn what_earlier_attempts_recorded_is_deleted() {
    let rules = rules(&json!({"voicemail": {"delays_s": [60, 60]}}));
    let ready = |sid: &str| Event::RecordingReady { recording: sid.into() };
    // One is known when the attempt ends, one is reported between two attempts, one while the second talks.
    let call =
        step(contact(&[]), Event::DialStarted { evidence: None, caller: "+14155550100".into() }, &rules, NOW);
    let first = leg(&call);
    let call = step(call, Event::Answered(first.clone()), &rules, NOW);
    let call = step(call, Event::RecordingStarted { recording: "RE1".into() }, &rules, NOW);
    let call = step(call, Event::AnsweredBy(first.clone(), "machine_start".into()), &rules, NOW);
    let over = |leg| Event::HungUp { leg, cause: HangUpCause::Completed, code: None, duration_s: None };
    let call = step(call, over(first), &rules, NOW);
    assert_eq!((call.phase(), call.body.recording.clone()), (Phase::Queued, None));
    assert_eq!(call.clone().change().apply(ready("RE1"), &rules, NOW), Err(Stale));
    let call = step(call, ready("RE2"), &rules, NOW);
    let call = step(call, Event::DialStarted { evidence: None, caller: "+14155550100".into() }, &rules, NOW);
    let second = leg(&call);
    let call = step(call, Event::Answered(second.clone()), &rules, NOW);
    let call = step(call, ready("RE3"), &rules, NOW);
    let call = step(call, ready("RE4"), &rules, NOW);
    assert_eq!(call.body.stray_recordings, ["RE1", "RE2", "RE3"]);
    let call = step(call, over(second), &rules, NOW);
    assert_eq!(call.phase(), Phase::WrapUp, "abandoned");
    let concluded = Event::Concluded {
        artefacts: Vec::new(),
        outcome: None,
        adversarial_score: None,
        employment_gaps: None,
    };
    let call = step(call, concluded, &rules, NOW);
    assert_eq!(call.head.due, NOW + rules.timings.media_wait, "its media may not be there yet");
    let call = step(call, Event::StraysDeleted, &rules, NOW + 1);
    assert_eq!((call.head.due, call.body.recording.map(|r| r.sid)), (NOW + 1, Some("RE4".to_owned())));
    assert_eq!(call.body.stray_recordings, Vec::<String>::new());
}

#[test]
fn another_part_of_the_day_and_a_rehearsals_pace() {
    let policy = json!({"no_answer": {"delays_s": [3600], "other_time": true}});
    // Dialed at 13:00 in San Francisco: the evening begins at 17:00.
    let call = attempt(contact(&[]), Disposition::NoAnswer, &rules(&policy), NOW);
    assert_eq!(call.head.due, NOW + 4 * HOUR);
    let fast = Rules { time_scale: 3_600.0, ..rules(&policy) };
    assert_eq!(attempt(contact(&[]), Disposition::NoAnswer, &fast, NOW).head.due, NOW + 4_000);
    // It does not fit any more.
    let mut short = contact(&[]);
    short.body.expires_at = Some(NOW + 3 * HOUR);
    assert_eq!(attempt(short, Disposition::NoAnswer, &rules(&policy), NOW).phase(), Phase::WrapUp);
    let ends = Rules { not_after: Some(NOW + 3 * HOUR), ..rules(&policy) };
    assert_eq!(attempt(contact(&[]), Disposition::NoAnswer, &ends, NOW).phase(), Phase::WrapUp);
}

#[test]
fn the_call_that_was_asked_for_belongs_to_its_campaign() {
    let mut call = contact(&[2]);
    call.body.consent = Some(Consent { basis: ConsentBasis::Express, at: 1, source: "form".into() });
    call.body.caller = Some("+14155550100".into());
    let child = call.callback_child(NOW + DAY, NOW);
    assert_eq!(child.body.consent, call.body.consent);
    assert_eq!((child.body.caller.clone(), child.body.alternatives.len()), (call.body.caller.clone(), 0));
    assert_eq!((child.head.due, child.waits_for()), (NOW + DAY, Some("callback")));
    assert_eq!(child.lane(), format!("{}+", call.campaign.expect("a campaign")));
}

proptest! {
    /// Whatever a policy says and however attempts end: never more attempts than it allows, never one that would pass
    /// the call's expiry, never a refused number dialed again.
    #[test]
    fn attempts_and_expiry_are_never_passed(
        max in 1_u32..=10,
        delays in proptest::collection::vec(1_u32..20_000, 0..9),
        (other_number, other_time) in any::<(bool, bool)>(),
        alternatives in 0_u32..4,
        expires in 1_u64..200_000_000,
        ends in proptest::collection::vec((0_usize..8, 0_u64..10_000_000), 1..16),
    ) {
        let rule = json!({"delays_s": delays, "other_number": other_number, "other_time": other_time});
        let mut policy = json!({"max_attempts": max});
        for cause in Cause::ALL.into_iter().filter(|c| *c != Cause::Refused) {
            policy[cause.as_str()] = rule.clone();
        }
        let rules = rules(&policy);
        let others: Vec<u32> = (2..2 + alternatives).collect();
        let mut call = contact(&others);
        call.body.expires_at = Some(NOW + expires);
        let (mut now, mut dialed, mut refused) = (NOW, 0, Vec::new());
        for (end, later) in ends {
            now = now.max(call.head.due) + later;
            if call.phase() != Phase::Queued || now >= call.expires_at() {
                break;
            }
            if call.waits_for_other_number() {
                let next = phone(2);
                call = call.to_other_number(0, hash(&next), call.expires_at(), now).expect("a number is left");
                call.head.epoch = 1;
            }
            prop_assert!(!refused.contains(&call.body.phone));
            dialed += 1;
            let kinds = [&TRIED[..], &[Disposition::InvalidNumber, Disposition::CarrierBlocked]].concat();
            if end >= TRIED.len() {
                refused.push(call.body.phone.clone());
            }
            call = attempt(call, kinds[end], &rules, now);
            if call.phase() == Phase::Queued {
                prop_assert!(call.head.due > now && call.head.due < call.expires_at());
                prop_assert!(call.body.attempt <= max);
                prop_assert_eq!(call.body.attempt, dialed + 1);
                prop_assert_eq!(call.expires_at(), NOW + expires);
            }
        }
        prop_assert!(dialed <= max, "{} attempts", dialed);
    }
}
