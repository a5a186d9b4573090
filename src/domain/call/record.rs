//! A call's record: a fixed-width head that the scripts read, and a JSON body that they don't.
//!
//! ```text
//! vvvvvvvv eeeeeeee tttttttt S ddddddddddddd hhhhhhhhhhhhhhhhhhhhhhhh lane \n {json}      (without the blanks)
//! version  epoch    token    state due       phone hash               campaign or "-"
//! ```
//! Version, epoch and token are eight hex digits, due is Unix milliseconds in thirteen decimal ones (0 = none), the
//! phone hash is 24 characters: with it a script finds all that concerns the person.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::clock::{HOUR, Millis};
use crate::domain::call::packed;
use crate::domain::call::state::{Phase, State};
use crate::domain::campaign::{Campaign, Consent, Priority};
use crate::domain::disposition::Ending;
use crate::domain::ids::{CallId, CampaignId, PhoneHash};
use crate::domain::phone::Phone;
use crate::domain::talk::{Dialogue, Voicemail};

/// Characters of the head up to the lane.
pub(crate) const HEAD_WIDTH: usize = 8 + 8 + 8 + 1 + 13 + 24;
/// How long a call waits before it expires where the request names no time.
pub(crate) const DEFAULT_EXPIRY: Millis = 48 * HOUR;

/// A call as it stands in Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its id; it carries the shard.
    pub id: CallId,
    /// What the scripts read.
    pub head: Head,
    /// The keyed hash of its number.
    pub phone_hash: PhoneHash,
    /// Where it stands.
    pub state: State,
    /// Its campaign; `None` for a call posted alone, which travels in the urgent lane.
    pub campaign: Option<CampaignId>,
    /// Everything else.
    pub body: Body,
}

/// The part of the record that guards it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Raised by every commit; a commit names the one it saw.
    pub version: u32,
    /// Raised by every claim; a decision names the one it holds.
    pub epoch: u32,
    /// Drawn anew for each commit, so that a re-sent commit knows itself.
    pub token: u32,
    /// When somebody must next look at it; 0 = never, or waiting in READY.
    pub due: Millis,
}

/// One attempt that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// The carrier's id, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When it was dialed, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialed_at: Option<Millis>,
    /// When it was over, Unix ms.
    pub ended_at: Millis,
    /// The word for its end (`busy`, `no_answer`, …).
    pub outcome: String,
}

/// What is known of a call's recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The carrier's id.
    pub sid: String,
    /// How far it is.
    pub status: RecordingStatus,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingStatus {
    /// The carrier records.
    Running,
    /// It can be fetched.
    Ready,
    /// It stands in S3 and is deleted at the carrier.
    Stored,
    /// It is deleted everywhere.
    Deleted,
}

/// An object in S3. It is named only once it exists (A1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artefact {
    /// `transcript`, `outcome`, `audit`, `recording`.
    pub kind: String,
    /// Its key.
    pub key: String,
}

/// The body of the record. Absent means default, so that a waiting call stays under 150 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The number, E.164.
    #[serde(rename = "p")]
    pub phone: Phone,
    /// When it was accepted, Unix ms.
    #[serde(rename = "t")]
    pub created_at: Millis,
    /// The attempt that is being made or comes next, from 1.
    #[serde(default = "one", skip_serializing_if = "is_one", rename = "n")]
    pub attempt: u32,
    /// Not to be placed before, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_at: Option<Millis>,
    /// Not to be placed after, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// The agent, where the call names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent's version that talked.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "av")]
    pub agent_version: Option<String>,
    /// What a machine gets that answers, where the call says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<Voicemail>,
    /// Where its notices go, where the call names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// What the agent may say and know of this person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "v")]
    pub variables: BTreeMap<String, String>,
    /// The client's own data, given back in notices.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "m")]
    pub metadata: Option<Value>,
    /// The callee's zone, where the client names it (IANA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How urgent it is within its campaign. It stands in the lane, not in the body.
    #[serde(skip)]
    pub priority: Priority,
    /// On what ground this person may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// Further numbers of the same contact, tried in this order by a call of their own each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Phone>,
    /// The number the newest attempt was made from, E.164.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "f")]
    pub caller: Option<String>,
    /// Milliseconds from the answer to our first words, of the newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "w")]
    pub voice_after_ms: Option<u32>,
    /// The call that scheduled this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CallId>,
    /// Why it waits, while it waits for more than its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When the present attempt was dialed.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "d")]
    pub dialed_at: Option<Millis>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "a")]
    pub answered_at: Option<Millis>,
    /// When the leg was over.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "h")]
    pub hung_up_at: Option<Millis>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// Seconds the answered leg lasted, as the carrier counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// The carrier's id of the newest leg.
    // Written beside the body, and only where the state does not name it.
    #[serde(skip)]
    pub last_sid: Option<String>,
    /// Attempts that are over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastAttempt>,
    /// Why the newest dial was allowed.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "e", with = "packed")]
    pub evidence: Option<Value>,
    /// The client wants it ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancel_requested: bool,
    /// The person opted out in this call, or while it waited.
    #[serde(default, skip_serializing_if = "is_false")]
    pub opted_out: bool,
    /// Where the talk stands.
    #[serde(default, skip_serializing_if = "is_default", rename = "g")]
    pub dialogue: Dialogue,
    /// Its recording.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "r")]
    pub recording: Option<Recording>,
    /// Recordings of earlier attempts, the carrier's ids: nobody needs them, and they are deleted at the carrier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stray_recordings: Vec<String>,
    /// What stands in S3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<Artefact>,
    /// Gaps found, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employment_gaps: Option<Value>,
    /// Failures of our own steps in a row (archive, look-up); spaces the next try.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub setbacks: u32,
}

fn one() -> u32 {
    1
}
// serde's `skip_serializing_if` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(n: &u32) -> bool {
    *n == 1
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(b: &bool) -> bool {
    !*b
}
fn is_default(d: &Dialogue) -> bool {
    *d == Dialogue::default()
}

impl Body {
    /// A waiting call's body.
    #[must_use]
    pub fn new(phone: Phone, created_at: Millis) -> Self {
        Self {
            phone,
            created_at,
            attempt: 1,
            schedule_at: None,
            expires_at: None,
            agent: None,
            agent_version: None,
            voicemail: None,
            webhook_url: None,
            variables: BTreeMap::new(),
            metadata: None,
            time_zone: None,
            priority: Priority::Normal,
            consent: None,
            alternatives: Vec::new(),
            caller: None,
            voice_after_ms: None,
            parent: None,
            waiting_for: None,
            dialed_at: None,
            answered_at: None,
            hung_up_at: None,
            ended_at: None,
            duration_s: None,
            last_sid: None,
            past: Vec::new(),
            evidence: None,
            cancel_requested: false,
            opted_out: false,
            dialogue: Dialogue::default(),
            recording: None,
            stray_recordings: Vec::new(),
            artefacts: Vec::new(),
            employment_gaps: None,
            setbacks: 0,
        }
    }
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(rename = "s", skip_serializing_if = "is_queued")]
    state: &'a State,
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    last_sid: Option<&'a str>,
    #[serde(flatten)]
    body: &'a Body,
}

/// What stands beside the body. The two are read one after the other: `flatten` would copy every value of the record
/// before it reads it.
#[derive(Deserialize)]
struct Stand {
    #[serde(rename = "s", default = "queued")]
    state: State,
    #[serde(rename = "l", default)]
    last_sid: Option<String>,
}

fn queued() -> State {
    State::Queued
}
fn is_queued(state: &&State) -> bool {
    matches!(state, State::Queued)
}

/// A record that cannot be read: an operator's hand or another program's, never ours.
#[derive(Debug, thiserror::Error)]
#[error("the record of {id} cannot be read: {why}")]
pub struct MalformedRecord {
    id: CallId,
    why: String,
}

impl Call {
    /// A new waiting call.
    #[must_use]
    pub fn new(id: CallId, phone_hash: PhoneHash, campaign: Option<CampaignId>, body: Body) -> Self {
        let due = body.schedule_at.unwrap_or(0);
        Self {
            id,
            head: Head { version: 1, due, ..Head::default() },
            phone_hash,
            state: State::Queued,
            campaign,
            body,
        }
    }

    /// The lane it waits in: its campaign's and its priority's (`cmp_…`, `cmp_…+`, `cmp_…~`), or `-`, the urgent one.
    #[must_use]
    pub fn lane(&self) -> String {
        match &self.campaign {
            None => "-".to_owned(),
            Some(id) => format!("{id}{}", self.body.priority.suffix()),
        }
    }

    /// Its phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// Why it waits, where it waits for more than its turn: a stable lower-case word.
    #[must_use]
    pub fn waits_for(&self) -> Option<&str> {
        self.body.waiting_for.as_deref().filter(|_| self.phase() == Phase::Queued)
    }

    /// When it expires unless it was placed before, by what it says itself.
    #[must_use]
    pub fn expires_at(&self) -> Millis {
        self.expires_within(0, None)
    }

    /// When it expires, its campaign considered. `Millis::MAX`: its campaign has not been started.
    #[must_use]
    pub fn expires_in(&self, campaign: Option<&Campaign>) -> Millis {
        let Some(campaign) = campaign else { return self.expires_at() };
        self.expires_within(campaign.first_dials_at().unwrap_or(Millis::MAX), campaign.expires_at)
    }

    /// When it expires that may be dialed from `start` on, by `end`. Its own end and that of its campaign both bind; where
    /// neither is named, it waits for 48 hours from when it may first be dialed.
    #[must_use]
    pub fn expires_within(&self, start: Millis, end: Option<Millis>) -> Millis {
        match (self.body.expires_at, end) {
            (Some(own), Some(end)) => own.min(end),
            (Some(named), None) | (None, Some(named)) => named,
            (None, None) => {
                let from = self.body.schedule_at.unwrap_or(self.body.created_at).max(start);
                from.saturating_add(DEFAULT_EXPIRY)
            }
        }
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.state.ending()
    }

    /// How reluctant the person was: `none` where nothing was scored, else `low` < 3 ≤ `medium` < 6 ≤ `high`.
    #[must_use]
    pub fn adversarial_level(&self) -> &'static str {
        match self.body.dialogue.adversarial_score {
            None => "none",
            Some(score) if score < 3.0 => "low",
            Some(score) if score < 6.0 => "medium",
            Some(_) => "high",
        }
    }

    /// The record as it is written.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The same, appended to what is there.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let Head { version, epoch, token, due } = self.head;
        let letter = self.phase().letter();
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{version:08x}{epoch:08x}{token:08x}{letter}{due:013}");
        match self.phone_hash.as_str() {
            hash if hash.len() == 24 && hash.is_ascii() => out.extend_from_slice(hash.as_bytes()),
            hash => drop(write!(out, "{hash:0>24.24}")),
        }
        match &self.campaign {
            None => out.push(b'-'),
            Some(id) => {
                out.extend_from_slice(id.as_str().as_bytes());
                out.extend_from_slice(self.body.priority.suffix().as_bytes());
            }
        }
        out.push(b'\n');
        let last_sid = self.body.last_sid.as_deref().filter(|sid| self.state.sid() != Some(sid));
        let stored = Stored { state: &self.state, last_sid, body: &self.body };
        let head = out.len();
        if serde_json::to_writer(&mut *out, &stored).is_err() {
            out.truncate(head);
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where head or body are not of this shape.
    pub fn decode(id: &CallId, text: &str) -> Result<Self, MalformedRecord> {
        let bad = |why: String| MalformedRecord { id: id.clone(), why };
        let head = text.get(..HEAD_WIDTH).ok_or_else(|| bad("the head is short".into()))?;
        // Its fields have their places by bytes; written again, wider characters would move them.
        if !head.is_ascii() {
            return Err(bad("the head is not ASCII".into()));
        }
        let hex = |range: std::ops::Range<usize>| {
            head.get(range)
                .and_then(|t| u32::from_str_radix(t, 16).ok())
                .ok_or_else(|| bad("the head is not hex".into()))
        };
        let due = head
            .get(25..38)
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| bad("the due time is no number".into()))?;
        let (lane, json) =
            text[HEAD_WIDTH..].split_once('\n').ok_or_else(|| bad("the head does not end".into()))?;
        let (base, priority) = Priority::of_lane(lane);
        let campaign = match base {
            "-" => None,
            other => Some(CampaignId::parse(other).ok_or_else(|| bad("the lane is no campaign".into()))?),
        };
        let mut body: Body = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let Stand { state, last_sid } = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        body.priority = priority;
        body.last_sid = last_sid.or_else(|| state.sid().map(str::to_owned));
        Ok(Self {
            id: id.clone(),
            head: Head { version: hex(0..8)?, epoch: hex(8..16)?, token: hex(16..24)?, due },
            phone_hash: PhoneHash(head.get(38..).unwrap_or_default().to_owned()),
            state,
            campaign,
            body,
        })
    }
}
