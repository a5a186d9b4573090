//! Failures of the model that classify themselves where they are seen.
//!
//! Only codes and kinds are kept, never the provider's message: it may echo a piece of the key or of what was said.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Why the model gave no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// May work in a moment: rate limit, 5xx, connection, time-out, an answer cut short.
    #[error("the model is unavailable for the moment ({why})")]
    Retryable {
        /// The provider's wish, from `retry-after`.
        after: Option<Duration>,
        /// What happened, as a stable word.
        why: &'static str,
    },
    /// The account has no quota left (`insufficient_quota`): asking again does not help.
    #[error("the model account's quota is exhausted")]
    Exhausted,
    /// The model declined to answer.
    #[error("the model refused")]
    Refused,
    /// The provider's filter took the answer or the question.
    #[error("the provider's content filter stopped the answer")]
    ContentFilter,
    /// The answer was not what the protocol or the schema says.
    #[error("the model's answer is malformed ({0})")]
    Malformed(&'static str),
    /// The key is wrong or may not use this model.
    #[error("the model rejected the key")]
    Unauthorized,
    /// Any other answer that asking again would not change (unknown model, bad parameter).
    #[error("the model rejected the request ({status} {code})")]
    Rejected {
        /// HTTP status; 0 where no request was made.
        status: u16,
        /// The provider's own code.
        code: String,
    },
}

impl ModelError {
    pub(super) fn retryable(why: &'static str) -> Self {
        Self::Retryable { after: None, why }
    }

    /// A bounded word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Retryable { why, .. } => why,
            Self::Exhausted => "exhausted",
            Self::Refused => "refused",
            Self::ContentFilter => "content_filter",
            Self::Malformed(_) => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::Rejected { .. } => "rejected",
        }
    }

    /// May the same request succeed a little later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable { .. })
    }

    /// Reads a transport failure. A URL may hold a key, so nothing of reqwest's own text is kept.
    pub(super) fn from_transport(error: &reqwest::Error) -> Self {
        if error.is_connect() {
            Self::retryable("connect")
        } else if error.is_timeout() {
            Self::retryable("timeout")
        } else {
            Self::retryable("connection")
        }
    }

    /// Reads an answer that is not 2xx.
    pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let codes = codes(&body["error"]);
        let has = |word: &str| codes.iter().any(|c| c == word);
        match status.as_u16() {
            401 | 403 => Self::Unauthorized,
            402 => Self::Exhausted,
            429 if has("insufficient_quota") => Self::Exhausted,
            429 => Self::Retryable { after: retry_after(headers), why: "rate_limited" },
            408 | 409 | 425 => Self::Retryable { after: retry_after(headers), why: "busy" },
            s if s >= 500 => Self::Retryable { after: retry_after(headers), why: "server" },
            400 if has("content_filter") || has("content_policy_violation") => Self::ContentFilter,
            s => Self::Rejected { status: s, code: codes.into_iter().next().unwrap_or_default() },
        }
    }

    /// Reads an error that came inside a stream that had begun with 200.
    pub(super) fn from_event(error: &Value) -> Self {
        let codes = codes(error);
        let has = |word: &str| codes.iter().any(|c| c == word);
        if has("insufficient_quota") {
            Self::Exhausted
        } else if has("content_filter") {
            Self::ContentFilter
        } else {
            Self::retryable("stream_error")
        }
    }
}

/// The provider's codes in order of precision, cut to plain short words.
fn codes(error: &Value) -> Vec<String> {
    [&error["code"], &error["type"], &error["innererror"]["code"]]
        .into_iter()
        .filter_map(Value::as_str)
        .map(|c| c.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(48).collect())
        .filter(|c: &String| !c.is_empty())
        .collect()
}

/// `retry-after-ms` (Azure, OpenAI) or `retry-after` in seconds, at most a minute: longer is of no use to a live call.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    number("retry-after-ms")
        .map(|ms| ms / 1_000.0)
        .or_else(|| number("retry-after"))
        .filter(|s| s.is_finite() && *s >= 0.0)
        .map(|s| Duration::from_secs_f64(s.min(60.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, headers: &[(&'static str, &str)], body: &str) -> ModelError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("header"));
        }
        ModelError::from_status(StatusCode::from_u16(status).expect("status"), &map, body.as_bytes())
    }

    #[test]
    fn every_answer_classifies_itself() {
        let quota = r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"m"}}"#;
        let rate = r#"{"error":{"type":"requests","code":"rate_limit_exceeded","message":"m"}}"#;
        let filter = r#"{"error":{"code":"content_filter","message":"m"}}"#;
        let model = r#"{"error":{"code":"model_not_found","message":"secret words"}}"#;
        assert_eq!(read(429, &[("retry-after", "2")], quota), ModelError::Exhausted);
        assert_eq!(
            read(429, &[("retry-after", "2")], rate),
            ModelError::Retryable { after: Some(Duration::from_secs(2)), why: "rate_limited" }
        );
        assert_eq!(
            read(429, &[("retry-after", "2"), ("retry-after-ms", "350")], rate),
            ModelError::Retryable { after: Some(Duration::from_millis(350)), why: "rate_limited" }
        );
        assert_eq!(
            read(503, &[("retry-after", "never")], "<html>"),
            ModelError::Retryable { after: None, why: "server" }
        );
        assert_eq!(read(401, &[], "{}"), ModelError::Unauthorized);
        assert_eq!(read(400, &[], filter), ModelError::ContentFilter);
        let rejected = read(404, &[], model);
        assert_eq!(rejected, ModelError::Rejected { status: 404, code: "model_not_found".to_owned() });
        assert!(!format!("{rejected} {rejected:?}").contains("secret words"));
    }
}
