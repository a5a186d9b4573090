//! What an event makes of a call: the record after it and the effects that belong to it.

use serde_json::Value;

use crate::base::clock::{MINUTE, Millis, SECOND};
use crate::domain::call::record::{Call, Head};
use crate::domain::call::state::Phase;
use crate::domain::disposition::Disposition;
use crate::domain::notice::Notice;
use crate::domain::retry::RetryPolicy;
use crate::domain::talk::{Act, Line};

/// An event that changes nothing: late, repeated, or impossible in this state. An answer, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// How long things may take before somebody looks again. All in milliseconds.
#[derive(Clone, Debug)]
pub struct Timings {
    /// A dial: longer than the HTTP time-out and its margin.
    pub dial_lease: Millis,
    /// From the carrier's answer to an end of the ringing: ring time-out and margin.
    pub ring_watch: Millis,
    /// Between two signs of life of an answered call.
    pub talk_watch: Millis,
    /// Between two look-ups of an unconfirmed dial.
    pub lookup_every: Millis,
    /// How long an unconfirmed dial is looked for at the least.
    pub lookup_for: Millis,
    /// Look-ups that must have found nothing.
    pub lookups: u32,
    /// How soon a hang-up that was asked for is checked.
    pub hang_up_watch: Millis,
    /// From the word that a recording is ready to the first try to fetch it: the carrier may still answer 404.
    pub media_wait: Millis,
    /// The longest a call may last.
    pub max_call: Millis,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            dial_lease: 30 * SECOND,
            ring_watch: 50 * SECOND,
            talk_watch: 90 * SECOND,
            lookup_every: 45 * SECOND,
            lookup_for: 2 * MINUTE,
            lookups: 3,
            hang_up_watch: 10 * SECOND,
            media_wait: 2 * SECOND,
            max_call: 15 * MINUTE,
        }
    }
}

impl Timings {
    /// The same, `scale` times shorter: for rehearsals against a world that runs `scale` times faster. Never shorter
    /// than what our own HTTP needs.
    #[must_use]
    pub fn scaled(&self, scale: f64) -> Self {
        let by = |ms: Millis, floor: Millis| ((ms as f64 / scale.max(1.0)) as Millis).max(floor.min(ms));
        Self {
            dial_lease: by(self.dial_lease, 12 * SECOND),
            ring_watch: by(self.ring_watch, 4 * SECOND),
            talk_watch: by(self.talk_watch, 6 * SECOND),
            lookup_every: by(self.lookup_every, SECOND),
            lookup_for: by(self.lookup_for, 3 * SECOND),
            lookups: self.lookups,
            hang_up_watch: by(self.hang_up_watch, SECOND),
            media_wait: by(self.media_wait, 50),
            max_call: self.max_call,
        }
    }
}

/// What the machine needs to know of the house's policy.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Watchdogs.
    pub timings: Timings,
    /// Attempts: the house's policy, or the campaign's own.
    pub retry: RetryPolicy,
    /// Divides the delays between attempts (`TIME_SCALE`), see [`crate::domain::retry::scaled`].
    pub time_scale: f64,
    /// No attempt begins after this moment, where the call's campaign has a say in it ([`Call::expires_in`]); else the call
    /// knows itself.
    pub not_after: Option<Millis>,
    /// Record from the consent on (`RECORDING=after_consent`).
    pub record_after_consent: bool,
    /// A machine that answers is hung up on: the call's `voicemail` is `hang_up`. A fax always is.
    pub hang_up_on_machine: bool,
}

/// What goes with a change. The first three are committed with the record; the others are done after the commit by
/// whoever committed, and again by the watch where that node dies.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell downstream.
    Notice(Notice),
    /// Put the number on the do-not-call list.
    Suppress {
        /// The words.
        words: String,
    },
    /// Schedule another call to the same person.
    ChildCall(Box<Call>),
    /// End this leg at the carrier.
    HangUp {
        /// The carrier's id.
        sid: String,
    },
    /// Start recording at the carrier.
    StartRecording {
        /// The carrier's id.
        sid: String,
    },
    /// Tell pacing that a call of a campaign is being talked on. Statistics: nothing of the call hangs on it.
    Answered,
    /// Give the capacity slot back, and say what became of the leg; `None`: nothing was placed.
    ReleaseSlot {
        /// What became of it.
        outcome: Option<LegOutcome>,
    },
}

/// What the end of a leg says of the number it was made from, of its destination and of its campaign. The words are
/// those of the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegOutcome {
    /// A person answered and heard us in time.
    Answered,
    /// A person answered and heard no voice within two seconds.
    Abandoned,
    /// A machine answered.
    Machine,
    /// Busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The carrier could not complete it.
    Failed,
    /// The carrier or the destination blocks us.
    Blocked,
    /// Ended by us, or nobody can say.
    Other,
}

/// An answer without a voice of ours for longer than this counts as abandoned (FTC 16 CFR 310.4(b)(4)), ms.
const ABANDONED_AFTER: u32 = 2_000;

impl LegOutcome {
    /// What a leg that ended as `disposition` says, where our first words came `voice_after_ms` after the answer.
    #[must_use]
    pub fn of(disposition: Disposition, voice_after_ms: Option<u32>) -> Self {
        use Disposition as D;
        match disposition {
            D::Completed | D::Rejected | D::OptedOut | D::AgentFailed => {
                if voice_after_ms.is_some_and(|ms| ms > ABANDONED_AFTER) {
                    Self::Abandoned
                } else {
                    Self::Answered
                }
            }
            D::Abandoned => Self::Abandoned,
            D::Voicemail => Self::Machine,
            D::Busy => Self::Busy,
            D::NoAnswer => Self::NoAnswer,
            D::CarrierFailed => Self::Failed,
            D::CarrierBlocked => Self::Blocked,
            D::InvalidNumber
            | D::Suppressed
            | D::OutOfWindow
            | D::Expired
            | D::Canceled
            | D::Superseded
            | D::Unconfirmed => Self::Other,
        }
    }

    /// The word as the scripts know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Abandoned => "abandoned",
            Self::Machine => "machine",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Other => "other",
        }
    }
}

/// A change in the making: the record as it will be, what goes with it, and what must still hold when it is written.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record as it will be. Version, epoch and token are still those that were read.
    pub call: Call,
    /// The head that was read.
    pub before: Head,
    /// The phase that was read.
    pub phase_before: Phase,
    /// Why the call waited when it was read (see [`Call::waits_for`]): a campaign counts its calls by it.
    pub waited_for: Option<String>,
    /// Do the events contain a decision, so that the epoch must still be ours?
    pub decides: bool,
    /// Did nothing ring, so that the dial that was counted must not count?
    pub unplaced: bool,
    /// The attempt of a dial that nobody knew of and that rang all the same: it counts against the person's cap.
    pub adopted: Option<u32>,
    /// What goes with it.
    pub effects: Vec<Effect>,
    /// Lines for the transcript.
    pub lines: Vec<Line>,
    /// The answer of a turn that this change commits: attempt, number, acts.
    pub turn: Option<(u32, u32, Vec<Act>)>,
    /// Counters to raise with it (names of `STATS`).
    pub counts: Vec<(String, i64)>,
}

impl Call {
    /// Begins a change.
    #[must_use]
    pub fn change(self) -> Change {
        Change {
            before: self.head,
            phase_before: self.phase(),
            waited_for: self.waits_for().map(str::to_owned),
            call: self,
            decides: false,
            unplaced: false,
            adopted: None,
            effects: Vec::new(),
            lines: Vec::new(),
            turn: None,
            counts: Vec::new(),
        }
    }
}

impl Change {
    pub(super) fn count(&mut self, name: impl Into<String>) {
        self.counts.push((name.into(), 1));
    }

    pub(super) fn notice(&mut self, kind: &str, n: u32, more: &[(&str, Value)], now: Millis) {
        let notice = Notice::of(&self.call, kind, n, more, now);
        self.effects.push(Effect::Notice(notice));
    }
}
