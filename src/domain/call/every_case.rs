//! The machine exhaustively: every order of every event, until nothing new comes of another event, or to the depth
//! named. What a proptest may miss by bad luck is found here by patience.

use std::collections::{BTreeSet, HashSet};

use super::tests::{concluded, rules, started, waiting};
use super::*;
use crate::base::clock::Millis;
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::retry::RetryPolicy;
use crate::domain::talk::{Act, Dialogue, Heard, Note, Turn};

/// One moment for all events: what a state remembers of time must not make two states of one.
const NOW: Millis = 1_800_000_000_000;
/// Events in a row.
const DEPTH: usize = 7;
/// At least so many states are different; fewer, and the walk has not walked.
const LEAST: usize = 400;

/// What an outside observer has seen of a call, beside the call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Seen {
    /// Attempts whose phone rang.
    rung: BTreeSet<u32>,
    /// Attempts whose request may have left and was not taken back.
    out: BTreeSet<u32>,
    /// Final notices.
    finals: usize,
}

fn leg(attempt: u32, letter: char) -> Leg {
    Leg { attempt, sid: format!("CA{letter}{attempt}") }
}

fn turn(call: &Call, n: u32, ends: bool, notes: Vec<Note>) -> Event {
    let ending = Ending::new(Disposition::Completed, "done");
    let dialogue =
        Dialogue { turn: n + 1, ending: ends.then(|| ending.clone()), ..call.body.dialogue.clone() };
    let heard = Heard::Speech { text: "yes".into(), confidence: None };
    let acts = if ends { vec![Act::HangUp { ending }] } else { Vec::new() };
    let turn = Turn { n, heard, acts, notes, lines: Vec::new(), dialogue };
    Event::TurnTaken(leg(call.body.attempt, 'a'), Box::new(turn))
}

/// Whatever may happen to this call next; `true`: a decision, which only the holder of the lease may take.
fn events(call: &Call) -> Vec<(bool, Event)> {
    let n = call.body.attempt;
    let over = |leg: Leg, cause| Event::HungUp { leg, cause, code: None, duration_s: Some(9) };
    let refused = Ending::new(Disposition::InvalidNumber, "refused");
    let decisions = [
        started(),
        Event::Deferred { until: NOW + 1, reason: "window" },
        Event::NotSent { until: NOW + 1 },
        Event::RefusedForNow { until: NOW + 1 },
        Event::RefusedForGood { ending: refused },
        Event::DialUnknown,
        Event::LookedUpAbsent,
        Event::Suppressed,
        Event::Expired,
        Event::Superseded,
        Event::MaxDuration,
        concluded(),
    ];
    let next = call.body.dialogue.turn;
    let mut observations = vec![
        Event::AnsweredBy(leg(n, 'a'), "machine_start".into()),
        Event::OptedOut { words: "stop".into() },
        Event::Cancel,
        turn(call, next, false, vec![Note::Consent { given: true }]),
        turn(call, next, true, Vec::new()),
        turn(call, next, false, vec![Note::OptedOut { words: "stop".into() }]),
    ];
    // The attempt's own leg, a second one of the same attempt, one of the attempt before, one that is yet to come.
    let legs = [leg(n, 'a'), leg(n, 'b'), leg(n.saturating_sub(1), 'a'), leg(n + 1, 'a')];
    for leg in legs {
        observations.extend([
            Event::Accepted(leg.clone()),
            Event::Rang(leg.clone()),
            Event::Answered(leg.clone()),
        ]);
        observations
            .extend([HangUpCause::Completed, HangUpCause::Busy].map(|cause| over(leg.clone(), cause)));
    }
    let decisions = decisions.into_iter().map(|event| (true, event));
    decisions.chain(observations.into_iter().map(|event| (false, event))).collect()
}

/// Judges one step that was not stale; what the observer has seen after it.
fn judge(before: &Call, seen: &Seen, decision: bool, event: &Event, change: &Change) -> Seen {
    let (call, mut seen) = (&change.call, seen.clone());
    let (was, is) = (before.phase(), call.phase());
    let what = || format!("{event:?} in {before:?}\n  -> {call:?}");
    assert_eq!(change.decides, decision, "C3: who may write this? {}", what());
    assert!(call.body.attempt >= before.body.attempt, "an attempt came back: {}", what());

    // C1
    if matches!(event, Event::DialStarted { .. }) {
        let n = call.body.attempt;
        assert!(!seen.rung.contains(&n), "C1: attempt {n} rings again: {}", what());
        assert!(seen.out.insert(n), "C1: attempt {n} is dialed again: {}", what());
    }
    if matches!(event, Event::NotSent { .. } | Event::RefusedForNow { .. }) {
        seen.out.remove(&before.body.attempt);
    }
    if matches!(is, Phase::Ringing | Phase::InProgress) {
        seen.rung.insert(call.body.attempt);
    }
    if let (Some(old), Some(new)) = (before.state.sid(), call.state.sid()) {
        assert_eq!(old, new, "C1: two legs of one call: {}", what());
    }
    // C2
    if was == Phase::Ended {
        assert_eq!((is, call.ending()), (was, before.ending()), "C2: {}", what());
    }
    let finals =
        |effect: &Effect| matches!(effect, Effect::Notice(notice) if notice.kind.starts_with("call_"));
    seen.finals += change.effects.iter().filter(|effect| finals(effect)).count();
    let told = is == Phase::Ended && call.ending().is_some_and(|e| e.disposition != Disposition::Superseded);
    assert_eq!(seen.finals, usize::from(told), "O1: {} final notices: {}", seen.finals, what());
    // K2
    let released = change.effects.iter().filter(|e| matches!(e, Effect::ReleaseSlot { .. })).count();
    let wanted = match (was.holds_slot(), is.holds_slot()) {
        (true, false) => 1..=1,
        (_, true) => 0..=0,
        // What was adopted when it was over already may give back what it never had.
        (false, false) => 0..=1,
    };
    assert!(wanted.contains(&released), "K2: {released} slots given back: {}", what());
    // Q1: it has a time, or waits in its lane, or is over.
    assert!(call.head.due > 0 || matches!(is, Phase::Queued | Phase::Ended), "Q1: {}", what());
    // S1: who has opted out in a call is not asked to be dialed again by it.
    let suppresses = change.effects.iter().any(|e| matches!(e, Effect::Suppress { .. }));
    assert!(!suppresses || call.body.opted_out, "S1: {}", what());
    assert!(
        !call.body.opted_out || is != Phase::Ringing || !matches!(event, Event::Rang(_)) || hangs_up(change),
        "{}",
        what()
    );
    assert_eq!(Call::decode(&call.id, &call.encode()).as_ref().ok(), Some(call), "{}", what());
    seen
}

fn hangs_up(change: &Change) -> bool {
    change.effects.iter().any(|effect| matches!(effect, Effect::HangUp { .. }))
}

#[test]
fn every_order_of_every_event_keeps_the_invariants() {
    let mut rules = rules();
    // Small numbers, so that the walk reaches what comes after them.
    rules.retry = RetryPolicy { max_attempts: 2, ..RetryPolicy::default() };
    (rules.timings.lookups, rules.timings.lookup_for) = (2, 0);
    let nothing = Seen { rung: BTreeSet::new(), out: BTreeSet::new(), finals: 0 };
    let mut known = HashSet::new();
    let mut front = vec![(waiting(), nothing)];
    let mut phases = HashSet::new();
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for (call, seen) in &front {
            for (decision, event) in events(call) {
                let mut change = call.clone().change();
                if change.apply(event.clone(), &rules, NOW).is_err() {
                    assert_eq!(&change.call, call, "stale changes nothing: {event:?}");
                    continue;
                }
                let seen = judge(call, seen, decision, &event, &change);
                phases.insert(change.call.phase());
                if known.insert((change.call.encode(), seen.clone())) {
                    next.push((change.call, seen));
                }
            }
        }
        front = next;
    }
    assert!(known.len() > LEAST, "{} states", known.len());
    assert_eq!(phases.len(), Phase::ALL.len(), "{phases:?}");
}
