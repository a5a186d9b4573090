//! What the ledger writes down. All `…_at` are milliseconds since the epoch by the wall; `t` and `dur` are
//! simulated seconds since the call was answered.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::clock::Millis;

/// One `POST Calls.json`, as it came in.
#[derive(Clone, Debug, Serialize)]
pub struct Create {
    /// When.
    pub at: Millis,
    /// When, in microseconds since the ledger was opened, by a clock that never jumps.
    pub t_us: u64,
    /// The number called.
    pub to: String,
    /// The caller's number.
    pub from: String,
    /// The call as Carillon names it: the `call_…` part of its URL.
    pub call_id: Option<String>,
    /// Legs to callees that were not over when it came.
    pub live: usize,
    /// The form as sent, in order, repeated names included.
    pub form: Vec<(String, String)>,
    /// The headers; an `authorization` is reduced to its scheme.
    pub headers: BTreeMap<String, String>,
    /// The HTTP status that was answered; 0 where the connection was closed or no answer has left yet.
    pub status: u16,
    /// The carrier's error code, where it refused.
    pub code: Option<u32>,
    /// The call that came of it.
    pub sid: Option<String>,
    /// Whether a fault kept the answer from its sender.
    pub answer_lost: bool,
    /// Parameters that the carrier does not know (and ignores, as the real one does).
    pub unknown: Vec<String>,
}

/// Any other request to the carrier's REST API.
#[derive(Clone, Debug, Serialize)]
pub struct Rest {
    /// When.
    pub at: Millis,
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The form, where there was one.
    pub form: Vec<(String, String)>,
    /// The HTTP status that was answered.
    pub status: u16,
}

/// Who is heard in a stretch of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Carillon's voice.
    Agent,
    /// The person called, or their machine.
    Callee,
    /// Nobody, because the callee thinks or stays silent.
    Silence,
    /// Nobody, while the callee waits for us: dead air.
    DeadAir,
    /// The carrier's own error message.
    CarrierError,
    /// Somebody the call was transferred to.
    Transfer,
}

/// One stretch of what the callee hears.
#[derive(Clone, Debug, Serialize)]
pub struct Heard {
    /// When it began.
    pub t: f64,
    /// How long it lasted (as far as it got, where it was cut short).
    pub dur: f64,
    /// Who.
    pub who: Who,
    /// The words, or why nothing was heard.
    pub text: String,
    /// Whether it was cut short.
    pub cut: bool,
}

/// One request to a TwiML URL: the answer URL, an action, a redirect, a fallback.
#[derive(Clone, Debug, Serialize)]
pub struct Fetch {
    /// When it was sent.
    pub at: Millis,
    /// The URL as signed.
    pub url: String,
    /// The URL as sent, where the route table changed it.
    pub sent_to: String,
    /// Its parameters.
    pub form: Vec<(String, String)>,
    /// The idempotency token; the tries of one request share it.
    pub token: String,
    /// 0 for the first try.
    pub attempt: u32,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// How long it took, in milliseconds of the wall.
    pub took_ms: u64,
    /// The document, where one came.
    pub body: Option<String>,
}

/// One callback: status, machine detection, recording, transfer leg.
#[derive(Clone, Debug, Serialize)]
pub struct Callback {
    /// When it was sent, or would have been.
    pub at: Millis,
    /// `initiated`, `ringing`, `answered`, `completed`, `amd`, `recording`, …
    pub event: String,
    /// Its `SequenceNumber`, on status callbacks.
    pub sequence: Option<u32>,
    /// Where it went.
    pub url: String,
    /// Its parameters.
    pub form: Vec<(String, String)>,
    /// The idempotency token; a duplicate has the same.
    pub token: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// What a fault did to it.
    pub fault: Option<String>,
}

/// An attempt to connect the callee to somebody else.
#[derive(Clone, Debug, Serialize)]
pub struct Transfer {
    /// When, in simulated seconds since the answer.
    pub t: f64,
    /// The number.
    pub to: String,
    /// The leg's sid.
    pub sid: String,
    /// `DialCallStatus`.
    pub status: String,
    /// How long they talked, in simulated seconds.
    pub talked_s: f64,
}

/// One leg to a phone, from the carrier's side.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Leg {
    /// The carrier's sid.
    pub sid: String,
    /// The leg that dialed this one, for a transfer.
    pub parent: Option<String>,
    /// The number called.
    pub to: String,
    /// The caller's number.
    pub from: String,
    /// Who answers there, with the truth about them.
    pub person: serde_json::Value,
    /// The call as Carillon names it: the `call_…` part of its URL.
    pub call_id: Option<String>,
    /// The attempt as Carillon counts it: `attempt=` in its URL.
    pub attempt: Option<String>,
    /// When the create was accepted.
    pub created_at: Millis,
    /// When the carrier's queue let it out.
    pub started_at: Option<Millis>,
    /// When it began to ring.
    pub rang_at: Option<Millis>,
    /// When it was answered.
    pub answered_at: Option<Millis>,
    /// When it was over.
    pub ended_at: Option<Millis>,
    /// The carrier's status, as it stands.
    pub status: String,
    /// `AnsweredBy`, where detection was asked for.
    pub answered_by: Option<String>,
    /// Who ended it: callee, agent (its TwiML), api (REST), carrier.
    pub ended_by: Option<String>,
    /// Simulated seconds from answer to end.
    pub duration_s: f64,
    /// What the callee heard.
    pub heard: Vec<Heard>,
    /// Requests for TwiML.
    pub fetches: Vec<Fetch>,
    /// Callbacks.
    pub callbacks: Vec<Callback>,
    /// Transfers.
    pub transfers: Vec<Transfer>,
    /// Recordings made, by sid.
    pub recordings: Vec<String>,
    /// TwiML that the carrier could not execute, with its error code.
    pub twiml_errors: Vec<String>,
}

/// One webhook that the receiver got.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// When.
    pub at: Millis,
    /// Its place among all deliveries, from 0.
    pub order: usize,
    /// The part of the path after `/hook`.
    pub hook: String,
    /// `webhook-id`.
    pub id: String,
    /// `event_type` of the body.
    pub event_type: String,
    /// `call_id` of the body.
    pub call_id: Option<String>,
    /// Whether signature and time were right; why not, where not.
    pub problem: Option<String>,
    /// How many deliveries with this id came before and were accepted.
    pub repeat_of: usize,
    /// The HTTP status that was answered (0: the connection closed).
    pub answered: u16,
    /// The body, parsed where it is JSON.
    pub body: serde_json::Value,
}

/// A request to the model that a fault struck.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStruck {
    /// When it came in.
    pub at: Millis,
    /// What struck it.
    pub faults: Vec<String>,
    /// The newest thing that a person said in it: whose turn it was.
    pub heard: String,
}
