//! What can happen to a call.

use serde_json::Value;

use crate::base::clock::Millis;
use crate::domain::call::record::Artefact;
use crate::domain::disposition::Ending;
use crate::domain::talk::Turn;

/// A leg at the carrier, as a callback or an answer names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The attempt its callback URL carries.
    pub attempt: u32,
    /// The carrier's id.
    pub sid: String,
}

/// Why the carrier says that a leg is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HangUpCause {
    /// It was answered and has been hung up by either side.
    Completed,
    /// The line was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The carrier could not complete it.
    Failed,
    /// It was canceled before it was answered.
    Canceled,
}

/// Everything that moves a call. *Decisions* are taken by whoever holds the lease and are guarded by its epoch;
/// *observations* are facts and are accepted from anybody at any time.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Decision: the request to the carrier is about to leave. Durable before it does.
    DialStarted {
        /// The number it is made from, E.164.
        caller: String,
        /// Why this number may be called now: zones, rule, counters. Kept for the audit.
        evidence: Option<Value>,
    },
    /// Decision: not now (window, frequency, leg outstanding, no capacity).
    Deferred {
        /// When to look again.
        until: Millis,
        /// A stable lower-case word.
        reason: &'static str,
    },
    /// Decision: the request provably never left.
    NotSent {
        /// When to try again.
        until: Millis,
    },
    /// Decision: the carrier stated that it did not and will not place this call now; it may be tried again.
    RefusedForNow {
        /// When to try again.
        until: Millis,
    },
    /// Decision: the carrier stated that this call cannot be placed.
    RefusedForGood {
        /// What that makes of the call.
        ending: Ending,
    },
    /// Decision: the request may have arrived; nobody can say.
    DialUnknown,
    /// Decision: the carrier's list does not know the dial.
    LookedUpAbsent,
    /// Decision: the number is on a do-not-call list.
    Suppressed,
    /// Decision: its campaign asks for a consent that it does not carry.
    ConsentMissing,
    /// Decision: its time ran out.
    Expired,
    /// Decision: no permitted hour is left, ever.
    OutOfWindow {
        /// A stable lower-case word.
        reason: String,
    },
    /// Decision: another number of the same contact took its place.
    Superseded,
    /// Decision: none of the contact's other numbers may be called.
    NoOtherNumber,
    /// Decision: the watch asked the carrier and nothing has changed.
    Watched,
    /// Decision: it has lasted long enough.
    MaxDuration,
    /// Decision: transcript and outcome are archived.
    Concluded {
        /// What stands in S3 now.
        artefacts: Vec<Artefact>,
        /// Event type, field and document for downstream, where there is an outcome.
        outcome: Option<(String, &'static str, Value)>,
        /// 0 to 10.
        adversarial_score: Option<f64>,
        /// Gaps found.
        employment_gaps: Option<Value>,
    },

    /// Observation: the carrier took the call and named it.
    Accepted(Leg),
    /// Observation: the phone rings.
    Rang(Leg),
    /// Observation: it was answered.
    Answered(Leg),
    /// Observation: what answered.
    AnsweredBy(Leg, String),
    /// Observation: the leg is over.
    HungUp {
        /// Which leg.
        leg: Leg,
        /// Why.
        cause: HangUpCause,
        /// The carrier's code.
        code: Option<String>,
        /// Seconds it lasted, as the carrier counts.
        duration_s: Option<u32>,
    },
    /// Observation: a turn was taken.
    TurnTaken(Leg, Box<Turn>),
    /// Observation: the person wants no more calls, learned outside a turn (by API, by another call).
    OptedOut {
        /// The evidence.
        words: String,
    },
    /// Observation: the client wants it ended.
    Cancel,
    /// Observation: a recording runs.
    RecordingStarted {
        /// The carrier's id of the recording.
        recording: String,
    },
    /// Observation: a recording is ready to be fetched.
    RecordingReady {
        /// The carrier's id of the recording.
        recording: String,
    },
    /// Observation: another object stands in S3, or a recording was deleted.
    ArtefactAdded {
        /// The object; `None` where the recording was deleted instead.
        artefact: Option<Artefact>,
    },
}
