//! Placing a call: the request that must never be sent twice.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::refusal::Refusal;
use super::rest::{Twilio, error_code, form, is_unclear, read, reason, retry_after, shape};
use crate::domain::phone::Phone;

/// A phone must ring at least so long before nobody is taken to be there, seconds.
const MIN_RING: u32 = 15;
/// The longest that Twilio lets it ring, seconds.
const MAX_RING: u32 = 600;

/// A call to be placed. Every URL carries call id and attempt, so that a call whose answer was lost identifies itself
/// when it rings.
#[derive(Clone, Debug)]
pub struct CreateCall<'a> {
    /// Whom to call.
    pub to: &'a Phone,
    /// The caller id, E.164, one of the account's.
    pub from: &'a str,
    /// Asked for TwiML when the call is answered.
    pub answer_url: &'a str,
    /// Asked where `answer_url` (or a later one) fails.
    pub fallback_url: &'a str,
    /// Told that it rings and that it is over.
    pub status_url: &'a str,
    /// Detection of answering machines, if wanted.
    pub amd: Option<Amd<'a>>,
    /// How long it rings, seconds; brought into 15 to 600.
    pub ring_timeout_s: u32,
    /// The longest a call may last, seconds.
    pub time_limit_s: u32,
    /// Record from the answer on, both channels, and tell this URL; `None`: nothing is recorded yet.
    pub record: Option<&'a str>,
}

/// Detection of answering machines, always asynchronous: the greeting is not held back for it.
#[derive(Clone, Copy, Debug)]
pub struct Amd<'a> {
    /// Told what was detected.
    pub url: &'a str,
    /// Wait for the end of the machine's greeting, as one must who wants to leave a message.
    pub message_end: bool,
}

/// What is known after asking Twilio to place a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// Twilio has the call.
    Accepted {
        /// Its id, `CA…`.
        sid: String,
        /// How long Twilio will queue it before dialing, ms (calls per second exceeded).
        queue_time_ms: u64,
    },
    /// The request never left (DNS, connecting, TLS): no call was placed, the same attempt may be made again.
    NotSent(String),
    /// Twilio said no: no call was placed.
    Refused(Refusal),
    /// Nobody knows whether a call was placed: no answer in time, a lost connection, a 5xx, an answer that cannot be
    /// read. To be looked up, never to be sent again.
    Unknown(String),
}

impl Twilio {
    /// Asks Twilio to place a call. Sends the request once, whatever happens.
    pub async fn create(&self, call: &CreateCall<'_>) -> DialOutcome {
        let ring = call.ring_timeout_s.clamp(MIN_RING, MAX_RING).to_string();
        let limit = call.time_limit_s.max(1).to_string();
        let mut fields = vec![
            ("To", call.to.e164()),
            ("From", call.from),
            ("Url", call.answer_url),
            ("Method", "POST"),
            ("FallbackUrl", call.fallback_url),
            ("FallbackMethod", "POST"),
            ("StatusCallback", call.status_url),
            ("StatusCallbackMethod", "POST"),
            // "answered" is what the request to `Url` says by itself.
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", &ring),
            ("TimeLimit", &limit),
        ];
        if let Some(amd) = &call.amd {
            fields.extend([
                ("MachineDetection", if amd.message_end { "DetectMessageEnd" } else { "Enable" }),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", amd.url),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]);
        }
        if let Some(url) = call.record {
            fields.extend([
                ("Record", "true"),
                ("RecordingChannels", "dual"),
                ("RecordingStatusCallback", url),
                ("RecordingStatusCallbackMethod", "POST"),
                ("RecordingStatusCallbackEvent", "completed"),
                ("RecordingStatusCallbackEvent", "absent"),
            ]);
        }
        let path = self.path(format_args!("/Calls.json"));
        let response = match form(self.api(Method::POST, &path), &fields).send().await {
            Ok(response) => response,
            // A connection that could not be made carried nothing; neither did a request that could not be built.
            Err(e) if e.is_connect() || e.is_builder() => return DialOutcome::NotSent(reason(e)),
            Err(e) => return DialOutcome::Unknown(reason(e)),
        };
        let status = response.status();
        if is_unclear(status) {
            return DialOutcome::Unknown(format!("the carrier answered {}", status.as_u16()));
        }
        if !status.is_success() {
            let after = retry_after(&response);
            return DialOutcome::Refused(Refusal::of(status.as_u16(), error_code(response).await, after));
        }
        accepted(status, read(response).await)
    }
}

fn accepted(status: StatusCode, body: Result<bytes::Bytes, String>) -> DialOutcome {
    #[derive(Deserialize)]
    struct Created {
        sid: String,
        queue_time: Option<serde_json::Value>,
    }
    let body = match body {
        Ok(body) => body,
        Err(why) => return DialOutcome::Unknown(format!("answer {} was lost: {why}", status.as_u16())),
    };
    match serde_json::from_slice::<Created>(&body) {
        Ok(created) if super::rest::require_sid(&created.sid).is_ok() => {
            let queue_time_ms = match &created.queue_time {
                Some(serde_json::Value::String(text)) => text.trim().parse().unwrap_or(0),
                Some(value) => value.as_u64().unwrap_or(0),
                None => 0,
            };
            DialOutcome::Accepted { sid: created.sid, queue_time_ms }
        }
        Ok(_) => DialOutcome::Unknown("the answer names no sid".to_owned()),
        Err(e) => DialOutcome::Unknown(shape(&e)),
    }
}
