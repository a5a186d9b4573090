//! The carrier's JSON, in field names of our own typing, so that a misspelling cannot agree with itself.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::base::clock::Millis;

/// The version in every path and callback.
pub(crate) const API_VERSION: &str = "2010-04-01";

/// Form parameters in the order in which they were sent.
pub(crate) type Form = Vec<(String, String)>;

/// The first value of `name`, where it is not empty.
pub(crate) fn get<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
}

/// `true` in the carrier's reading.
pub(crate) fn is_true(form: &Form, name: &str) -> bool {
    get(form, name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// `at` as RFC 2822 in UTC with a numeric zone, such as `Tue, 31 Aug 2010 20:36:28 +0000`.
pub(crate) fn rfc2822(at: Millis) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .and_then(|t| jiff::fmt::rfc2822::to_string(&t.to_zoned(jiff::tz::TimeZone::UTC)).ok())
        .unwrap_or_default()
}

/// Where a call stands, in the carrier's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    Initiated,
    Ringing,
    InProgress,
    Completed,
    Busy,
    Failed,
    NoAnswer,
    Canceled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled)
    }
}

/// A refusal in the carrier's form.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(404, 20404, format!("The requested resource {path} was not found"))
    }

    pub(crate) fn response(&self) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        });
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        if self.status == 401 {
            let basic = http::HeaderValue::from_static("Basic realm=\"Twilio API\"");
            response.headers_mut().insert(http::header::WWW_AUTHENTICATE, basic);
        }
        response
    }

    /// A refusal that a fault asked for: 429 is 20429 unless a code was given.
    pub(crate) fn by_fault(status: u16, code: Option<&str>) -> Response {
        let code = code.and_then(|c| c.parse().ok()).unwrap_or(match status {
            429 => 20429,
            503 => 20503,
            500..=599 => 20500,
            401 => 20003,
            404 => 20404,
            _ => 20001,
        });
        let message = match status {
            429 => "Too Many Requests",
            500..=599 => "An internal server error has occurred",
            _ => "The request was refused",
        };
        Self::new(status, code, message).response()
    }
}

/// All that the resource of a call tells.
#[derive(Clone, Debug)]
pub(crate) struct CallView<'a> {
    pub(crate) account: &'a str,
    pub(crate) sid: &'a str,
    pub(crate) parent: Option<&'a str>,
    pub(crate) to: &'a str,
    pub(crate) from: &'a str,
    pub(crate) status: Status,
    pub(crate) answered_by: Option<&'a str>,
    pub(crate) created: Millis,
    pub(crate) updated: Millis,
    pub(crate) started: Option<Millis>,
    pub(crate) ended: Option<Millis>,
    pub(crate) duration: Option<u64>,
    pub(crate) queue_ms: u64,
}

impl CallView<'_> {
    /// The resource as the API gives it.
    pub(crate) fn json(&self) -> Value {
        let base = format!("/{API_VERSION}/Accounts/{}/Calls/{}", self.account, self.sid);
        let sub = |name: &str| format!("{base}/{name}.json");
        json!({
            "sid": self.sid,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.updated),
            "parent_call_sid": self.parent,
            "account_sid": self.account,
            "to": self.to,
            "to_formatted": formatted(self.to),
            "from": self.from,
            "from_formatted": formatted(self.from),
            "phone_number_sid": null,
            "status": self.status.as_str(),
            "start_time": self.started.map(rfc2822),
            "end_time": self.ended.map(rfc2822),
            "duration": self.duration.map(|d| d.to_string()),
            "price": null,
            "price_unit": "USD",
            "direction": if self.parent.is_some() { "outbound-dial" } else { "outbound-api" },
            "answered_by": self.answered_by,
            "api_version": API_VERSION,
            "forwarded_from": null,
            "group_sid": null,
            "caller_name": null,
            "queue_time": self.queue_ms.to_string(),
            "trunk_sid": null,
            "uri": format!("{base}.json"),
            "subresource_uris": {
                "notifications": sub("Notifications"),
                "recordings": sub("Recordings"),
                "payments": sub("Payments"),
                "events": sub("Events"),
                "siprec": sub("Siprec"),
                "streams": sub("Streams"),
                "transcriptions": sub("Transcriptions"),
                "user_defined_message_subscriptions": sub("UserDefinedMessageSubscriptions"),
                "user_defined_messages": sub("UserDefinedMessages"),
            },
        })
    }
}

/// `+14158675309` as `(415) 867-5309`; numbers of other countries stay as they are.
fn formatted(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(n) if n.len() == 10 && n.is_ascii() => format!("({}) {}-{}", &n[..3], &n[3..6], &n[6..]),
        _ => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_look_like_the_carriers() {
        assert_eq!(rfc2822(1_283_286_988_000), "Tue, 31 Aug 2010 20:36:28 +0000");
        assert_eq!(formatted("+14158675309"), "(415) 867-5309");
        assert_eq!(formatted("+442071838750"), "+442071838750");
    }
}
