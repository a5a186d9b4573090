//! A campaign: what the calls of one list share, and its life from draft to end.

#[cfg(test)]
mod cases;
mod life;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Millis;
use crate::domain::ids::CampaignId;
use crate::domain::retry::RetryPolicy;
use crate::domain::talk::Voicemail;

pub use life::{Command, Refusal, State, Toward, Transition};

/// The share of a campaign that names none.
pub const DEFAULT_WEIGHT: u32 = 1;

/// How urgently a call is wanted within its campaign: higher lanes are drained first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before the others.
    High,
    /// In the order of the list.
    #[default]
    Normal,
    /// After the others.
    Low,
}

impl Priority {
    /// What a lane of this priority ends in; campaign ids hold letters and digits alone.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::High => "+",
            Self::Normal => "",
            Self::Low => "~",
        }
    }

    /// Cuts a lane into campaign and priority.
    #[must_use]
    pub fn of_lane(lane: &str) -> (&str, Self) {
        if let Some(base) = lane.strip_suffix('+') {
            (base, Self::High)
        } else if let Some(base) = lane.strip_suffix('~') {
            (base, Self::Low)
        } else {
            (lane, Self::Normal)
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "high" => Some(Self::High),
            "normal" => Some(Self::Normal),
            "low" => Some(Self::Low),
            _ => None,
        }
    }
}

/// On what ground a person may be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consent {
    /// `express` (said or clicked) or `written`.
    pub basis: ConsentBasis,
    /// When it was given, Unix ms.
    pub at: Millis,
    /// Where it is recorded: a form, a file, a call.
    pub source: String,
}

/// How consent was given, the weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentBasis {
    /// Said, clicked, or evident from a number left for the purpose: for informational calls.
    Express,
    /// Signed, on paper or electronically: for marketing.
    Written,
}

/// Where a number that is there already counts as a duplicate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// Once in this campaign.
    #[default]
    Campaign,
    /// Not while any call to this number waits or lives in the whole account.
    Account,
}

/// Keeps conversations going instead of lines ringing: dials ahead of the share that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerRate {
    /// Conversations wanted at the same time.
    pub conversations: u32,
}

/// A list of calls and what they share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Raised by every write; a write names the one it saw.
    #[serde(default)]
    pub version: u32,
    /// Where it is in its life.
    #[serde(default)]
    pub state: State,
    /// How it came there, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Transition>,
    /// What its client calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The agent that talks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What a machine gets that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<Voicemail>,
    /// Where its notices go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// Its share beside other campaigns, 1 to 1,000.
    #[serde(default = "default_weight", skip_serializing_if = "is_default_weight")]
    pub weight: u32,
    /// Calls started per second; `None`: only the account's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cps: Option<f64>,
    /// Calls at the same time; `None`: only the account's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// Numbers it may call from, E.164; empty: all of the account's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caller_ids: Vec<String>,
    /// Hours in the callee's time (`09:00-18:00`), beside `CALL_WINDOW` and the rules: all must be open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Its own retries; `None`: the house's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetryPolicy>,
    /// The consent that each of its calls must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_consent: Option<ConsentBasis>,
    /// Where a number counts as a duplicate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dedupe: Dedupe,
    /// Dial ahead of the share that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_rate: Option<AnswerRate>,
    /// Does it wait for further rows once all are over, instead of being completed?
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_open: bool,
    /// Is a list being read into it? It is not completed under the reader's hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading_since: Option<Millis>,
    /// The campaign whose calls it calls again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CampaignId>,
    /// When it was made, Unix ms.
    pub created_at: Millis,
    /// It starts by itself, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Millis>,
    /// Its calls are not placed after, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// The answer its post was given, so that a repeat under the same key gets the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<serde_json::Value>,
    /// Fingerprint of the request that made it, where it came with an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}
// serde's `skip_serializing_if` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_default_weight(weight: &u32) -> bool {
    *weight == DEFAULT_WEIGHT
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(b: &bool) -> bool {
    !*b
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_default(dedupe: &Dedupe) -> bool {
    *dedupe == Dedupe::default()
}

impl Campaign {
    /// A campaign that says nothing of its calls yet, in its first state: a draft.
    #[must_use]
    pub fn new(id: CampaignId, created_at: Millis) -> Self {
        Self {
            id,
            version: 0,
            state: State::Draft,
            history: Vec::new(),
            name: None,
            agent: None,
            voicemail: None,
            webhook_url: None,
            weight: DEFAULT_WEIGHT,
            max_cps: None,
            max_concurrent: None,
            caller_ids: Vec::new(),
            window: None,
            retries: None,
            require_consent: None,
            dedupe: Dedupe::default(),
            answer_rate: None,
            keep_open: false,
            reading_since: None,
            parent: None,
            created_at,
            starts_at: None,
            expires_at: None,
            answer: None,
            fingerprint: None,
        }
    }
}
