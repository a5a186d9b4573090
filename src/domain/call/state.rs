//! The states of a call. Each carries only what is true in it.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::domain::disposition::Ending;

/// Where a call stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Waiting for its due time, for admission, or for the next attempt.
    Queued,
    /// The point of no return is passed: the request to the carrier may have left.
    Dialing {
        /// The carrier's id, once it told us.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sid: Option<String>,
    },
    /// Perhaps dialed: nobody told us. Looked up at the carrier, never dialed again blindly.
    Unconfirmed {
        /// Since when.
        since: Millis,
        /// Look-ups so far that found nothing.
        lookups: u32,
    },
    /// The callee's phone rings.
    Ringing {
        /// The carrier's id.
        sid: String,
    },
    /// Answered; the conversation runs.
    // Short in the record, which is never as large as in this state; the long names are those of before.
    #[serde(rename = "p", alias = "in_progress")]
    InProgress {
        /// The carrier's id.
        sid: String,
        /// What the carrier says answered (`human`, `machine_start`, …).
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "b", alias = "answered_by")]
        answered_by: Option<String>,
    },
    /// Over; transcript and outcome are being archived.
    WrapUp {
        /// How it ended.
        ending: Ending,
    },
    /// Over and archived. Final (C2).
    Ended {
        /// How it ended.
        ending: Ending,
    },
}

/// The state without what it carries: one letter in a record's head, one word on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// See [`State::Queued`].
    Queued,
    /// See [`State::Dialing`].
    Dialing,
    /// See [`State::Unconfirmed`].
    Unconfirmed,
    /// See [`State::Ringing`].
    Ringing,
    /// See [`State::InProgress`].
    InProgress,
    /// See [`State::WrapUp`].
    WrapUp,
    /// See [`State::Ended`].
    Ended,
}

impl Phase {
    /// Every phase, in the order a call passes them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Dialing,
        Self::Unconfirmed,
        Self::Ringing,
        Self::InProgress,
        Self::WrapUp,
        Self::Ended,
    ];

    /// Its letter in a record's head, which the scripts read.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Queued => 'Q',
            Self::Dialing => 'D',
            Self::Unconfirmed => 'U',
            Self::Ringing => 'R',
            Self::InProgress => 'P',
            Self::WrapUp => 'W',
            Self::Ended => 'E',
        }
    }

    /// Its word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dialing => "dialing",
            Self::Unconfirmed => "unconfirmed",
            Self::Ringing => "ringing",
            Self::InProgress => "in_progress",
            Self::WrapUp => "wrap_up",
            Self::Ended => "ended",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }

    /// Does a call in this phase hold, or perhaps hold, a line at the carrier?
    #[must_use]
    pub fn holds_slot(self) -> bool {
        matches!(self, Self::Dialing | Self::Unconfirmed | Self::Ringing | Self::InProgress)
    }
}

impl State {
    /// The state without what it carries.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Queued => Phase::Queued,
            Self::Dialing { .. } => Phase::Dialing,
            Self::Unconfirmed { .. } => Phase::Unconfirmed,
            Self::Ringing { .. } => Phase::Ringing,
            Self::InProgress { .. } => Phase::InProgress,
            Self::WrapUp { .. } => Phase::WrapUp,
            Self::Ended { .. } => Phase::Ended,
        }
    }

    /// The carrier's id of the leg that is live now.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        match self {
            Self::Dialing { sid } => sid.as_deref(),
            Self::Ringing { sid } | Self::InProgress { sid, .. } => Some(sid),
            _ => None,
        }
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            Self::WrapUp { ending } | Self::Ended { ending } => Some(ending),
            _ => None,
        }
    }
}
