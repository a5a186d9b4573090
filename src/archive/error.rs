//! What can go wrong with S3, sorted by what helps.

use std::error::Error as StdError;
use std::fmt::Write as _;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// Why an operation on the archive failed. Texts name the operation, never a credential.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// S3 was not reached, was too slow, or answered 5xx, 429 or the like: the same again, later, may work.
    #[error("{operation}: S3 is not available: {why}")]
    Unavailable {
        /// The operation, as S3 calls it.
        operation: &'static str,
        /// What was seen.
        why: String,
    },
    /// S3 refused: no such bucket, wrong credentials, an invalid request. Somebody has to change something first.
    #[error("{operation}: S3 refused with {status}: {why}")]
    Refused {
        /// The operation, as S3 calls it.
        operation: &'static str,
        /// The HTTP status; 0 where the request could not even be made.
        status: u16,
        /// S3's error code and message.
        why: String,
    },
    /// What was to be stored broke off, stalled, or was not as long as announced. S3 is not to blame; nothing was stored.
    #[error("the source failed: {0}")]
    Source(String),
    /// A value that is not JSON, on its way in or out.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl ArchiveError {
    /// Whether the same operation may work later without anybody changing anything.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Source(_))
    }

    /// The label in `carillon_s3_puts_total`.
    #[must_use]
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "retry",
            Self::Source(_) => "source",
            Self::Refused { .. } | Self::Json(_) => "refused",
        }
    }

    pub(super) fn from_sdk<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let status = status_of(error);
        let why = match error {
            SdkError::ServiceError(_) => {
                let code = error.code().unwrap_or("unknown");
                error.message().map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"))
            }
            other => chain(other),
        };
        match error {
            SdkError::ConstructionFailure(_) => Self::Refused { operation, status: 0, why },
            SdkError::ServiceError(_) if !passing(status, error.code()) => {
                Self::Refused { operation, status, why }
            }
            _ => Self::Unavailable { operation, why },
        }
    }
}

/// Whether a service's refusal passes by itself.
fn passing(status: u16, code: Option<&str>) -> bool {
    const CODES: [&str; 6] = [
        "SlowDown",
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "OperationAborted",
        // Our clock or theirs: the SDK corrects for it on the next request.
        "RequestTimeTooSkewed",
    ];
    status >= 500 || matches!(status, 408 | 425 | 429) || code.is_some_and(|code| CODES.contains(&code))
}

/// The HTTP status of a failed request, 0 where none came back.
pub(super) fn status_of<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |answer| answer.status().as_u16())
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for (status, code, wanted) in [
            (500, None, true),
            (503, Some("SlowDown"), true),
            (429, None, true),
            (400, Some("RequestTimeout"), true),
            (403, Some("AccessDenied"), false),
            (404, Some("NoSuchBucket"), false),
            (400, Some("InvalidRequest"), false),
        ] {
            assert_eq!(passing(status, code), wanted, "{status} {code:?}");
        }
    }
}
