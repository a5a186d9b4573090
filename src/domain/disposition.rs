//! How a call ended: one word, and beside it who was the cause and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The final word on a call. It never changes once a call has ended (invariant C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// A person answered and the conversation took its course.
    Completed,
    /// A machine answered.
    Voicemail,
    /// The line was busy on every attempt.
    Busy,
    /// Nobody answered on any attempt.
    NoAnswer,
    /// A person answered and declined: no consent, or not the person we asked for.
    Rejected,
    /// The number cannot be called.
    InvalidNumber,
    /// The person asked never to be called again.
    OptedOut,
    /// The number was on a do-not-call list before it rang.
    Suppressed,
    /// No permitted hour was left before the call expired.
    OutOfWindow,
    /// The carrier refused to place calls to this destination.
    CarrierBlocked,
    /// The carrier could not complete the call.
    CarrierFailed,
    /// A person answered and our side failed them.
    AgentFailed,
    /// A person answered and heard no voice of ours in time.
    Abandoned,
    /// The call's time ran out before it could be placed.
    Expired,
    /// The client canceled it.
    Canceled,
    /// Another number of the same contact took its place; no final notice is sent.
    Superseded,
    /// It may have been dialed and nobody can say; it is not dialed again.
    Unconfirmed,
}

impl Disposition {
    /// Every disposition, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Completed,
        Self::Voicemail,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::InvalidNumber,
        Self::OptedOut,
        Self::Suppressed,
        Self::OutOfWindow,
        Self::CarrierBlocked,
        Self::CarrierFailed,
        Self::AgentFailed,
        Self::Abandoned,
        Self::Expired,
        Self::Canceled,
        Self::Superseded,
        Self::Unconfirmed,
    ];

    /// The word as it is written on every wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Voicemail => "voicemail",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::InvalidNumber => "invalid_number",
            Self::OptedOut => "opted_out",
            Self::Suppressed => "suppressed",
            Self::OutOfWindow => "out_of_window",
            Self::CarrierBlocked => "carrier_blocked",
            Self::CarrierFailed => "carrier_failed",
            Self::AgentFailed => "agent_failed",
            Self::Abandoned => "abandoned",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Superseded => "superseded",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == text)
    }

    /// Who brought this end about, where nothing more is known.
    #[must_use]
    pub fn result(self) -> EndResult {
        match self {
            Self::Completed => EndResult::Success,
            Self::Voicemail | Self::Busy | Self::NoAnswer | Self::Rejected | Self::OptedOut => {
                EndResult::Callee
            }
            Self::InvalidNumber | Self::CarrierBlocked | Self::CarrierFailed => EndResult::Carrier,
            Self::Suppressed
            | Self::OutOfWindow
            | Self::AgentFailed
            | Self::Abandoned
            | Self::Expired
            | Self::Canceled
            | Self::Superseded => EndResult::Ours,
            Self::Unconfirmed => EndResult::Unknown,
        }
    }
}

/// Who brought a call's end about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndResult {
    /// The call reached its goal.
    Success,
    /// The person called.
    Callee,
    /// The telephone network.
    Carrier,
    /// Carillon, its operator or its client.
    Ours,
    /// Nobody can say.
    Unknown,
}

impl EndResult {
    /// The word as it is written on every wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Callee => "callee",
            Self::Carrier => "carrier",
            Self::Ours => "ours",
            Self::Unknown => "unknown",
        }
    }
}

/// The end of a call in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ending {
    /// The final word.
    pub disposition: Disposition,
    /// Who was the cause.
    pub result: EndResult,
    /// Why, as a stable lower-case word (`hung_up`, `consent_refused`, `wrong_number`, …).
    pub reason: String,
    /// The provider's own code, kept as it came (`21211`, `busy`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
}

impl Ending {
    /// An ending with the disposition's usual cause.
    #[must_use]
    pub fn new(disposition: Disposition, reason: &str) -> Self {
        Self { disposition, result: disposition.result(), reason: reason.to_owned(), provider_code: None }
    }

    /// The same, caused by the callee: `completed` with `result: callee` is a talk that the callee cut short.
    #[must_use]
    pub fn by_callee(disposition: Disposition, reason: &str) -> Self {
        Self { result: EndResult::Callee, ..Self::new(disposition, reason) }
    }

    /// The same with the provider's code beside it.
    #[must_use]
    pub fn with_code(self, code: Option<String>) -> Self {
        Self { provider_code: code, ..self }
    }
}
