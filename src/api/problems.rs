//! Every way a request can fail, as RFC 9457 problems: one enum, one sentence of documentation for each type.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problems {
    ($($(#[doc = $doc:literal])+ $name:ident = $slug:literal, $status:ident, $title:literal;)+) => {
        /// The types of problem this API answers. Each is served, with its meaning, under `/problems/{slug}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[doc = $doc])+ $name,)+ }

        impl Kind {
            /// Every type, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The last part of its URI.
            #[must_use]
            pub fn slug(self) -> &'static str { match self { $(Self::$name => $slug),+ } }

            /// The HTTP status it comes with.
            #[must_use]
            pub fn status(self) -> StatusCode { match self { $(Self::$name => StatusCode::$status),+ } }

            /// A short name for it, the same each time.
            #[must_use]
            pub fn title(self) -> &'static str { match self { $(Self::$name => $title),+ } }

            /// What it means and what to do about it.
            #[must_use]
            pub fn meaning(self) -> &'static str { match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ } }
        }
    };
}

problems! {
    /// The body is not JSON; `detail` names line and column.
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not JSON";
    /// A query parameter is unknown or has no valid value; `errors` names it.
    InvalidQuery = "invalid_query", BAD_REQUEST, "A query parameter is not valid";
    /// The body was broken off or could not be read. What was read of a list until then has been accepted; with an Idempotency-Key the list may be posted again.
    BrokenBody = "broken_body", BAD_REQUEST, "The body could not be read";
    /// A header is not valid; `errors` names it.
    InvalidHeader = "invalid_header", BAD_REQUEST, "A header is not valid";
    /// No API key was given, or one that is not known. Send `Authorization: Bearer <key>`.
    Unauthorized = "unauthorized", UNAUTHORIZED, "An API key is required";
    /// The signature of a carrier's callback is missing or wrong: it is not the carrier's, or `BASE_URL` is not the URL that the carrier calls.
    ForgedCallback = "forged_callback", FORBIDDEN, "Not a callback of the carrier's";
    /// A callback's URL is not one that was handed to the carrier.
    MalformedCallback = "malformed_callback", BAD_REQUEST, "The callback is not valid";
    /// There is nothing at this address. `/openapi.json` lists what there is.
    NotFound = "not_found", NOT_FOUND, "There is nothing here";
    /// No call has this id, or it ended so long ago that nothing is kept of it.
    UnknownCall = "unknown_call", NOT_FOUND, "There is no such call";
    /// No campaign has this id.
    UnknownCampaign = "unknown_campaign", NOT_FOUND, "There is no such campaign";
    /// No dead letter has this id: it was never one, or it was replayed, or its 30 days are over.
    UnknownEvent = "unknown_event", NOT_FOUND, "There is no such dead letter";
    /// The number or prefix is not on the do-not-call list.
    UnknownSuppression = "unknown_suppression", NOT_FOUND, "There is no such do-not-call entry";
    /// The address exists, but not with this method; the `Allow` header names those that do.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This method is not allowed here";
    /// The request took too long to arrive or to be answered. It may be sent again.
    Timeout = "timeout", REQUEST_TIMEOUT, "The request took too long";
    /// The campaign's state takes no further rows: it is over, or being ended. Make another one.
    CampaignClosed = "campaign_closed", CONFLICT, "The campaign takes no further rows";
    /// The call is over; nothing is left to cancel.
    AlreadyEnded = "already_ended", CONFLICT, "The call has ended";
    /// The campaign's state does not allow this; `detail` names the state and what it would take.
    CampaignState = "campaign_state", CONFLICT, "The campaign's state does not allow this";
    /// The body is larger than this address takes. A long list goes as CSV or NDJSON, which have no limit.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body's Content-Type is not one that is understood here.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "This media type is not supported";
    /// The body is JSON, but not what is expected; `errors` names each field and why.
    InvalidRequest = "invalid_request", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// No row of the list can be called; `errors` says why for each of the first 1,000.
    NoValidRows = "no_valid_rows", UNPROCESSABLE_ENTITY, "No row of the list is valid";
    /// The number is on the do-not-call list and is not called.
    NumberSuppressed = "number_suppressed", UNPROCESSABLE_ENTITY, "The number is on the do-not-call list";
    /// The same Idempotency-Key was used before for another request. Use a new key for a new request.
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request";
    /// Too many requests with this API key; `Retry-After` says when to come again.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// This node serves as many event streams as it can; `Retry-After` says when to come again. Another node may have room.
    TooManyStreams = "too_many_streams", SERVICE_UNAVAILABLE, "Too many event streams";
    /// An error of ours. It is in the log under the request's id.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here";
    /// Redis does not answer. Nothing is lost; try again.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store is not available";
    /// The archive does not answer. Nothing is lost; try again.
    ArchiveUnavailable = "archive_unavailable", SERVICE_UNAVAILABLE, "The archive is not available";
}

impl Kind {
    /// Its URI, relative to the server.
    #[must_use]
    pub fn uri(self) -> String {
        format!("/problems/{}", self.slug())
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The row of a list, from 1: the position in a JSON list, the line of an NDJSON body, the row that a spreadsheet
    /// shows of a CSV file (its header is row 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The field (`calls[3].phone_number`), parameter or column; empty where the whole is meant.
    pub field: String,
    /// Why, for a person to read.
    pub reason: String,
    /// Why, as a stable word by which rows of a list are counted.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub code: &'static str,
    /// What stood there, shortened; only where it helps to find the mistake in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Most characters of a bad value that are told back.
const SHOWN: usize = 40;

impl FieldError {
    /// An error that concerns no row of a list.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { row: None, field: field.into(), reason: reason.into(), code: "", value: None }
    }

    /// The same, with the word it is counted by.
    #[must_use]
    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same, with what stood there.
    #[must_use]
    pub(super) fn showing(self, text: &str) -> Self {
        let mut value: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        if text.chars().nth(SHOWN).is_some() {
            value.push('…');
        }
        Self { value: Some(value), ..self }
    }
}

/// A request that failed.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    errors_truncated: bool,
    retry_after_s: Option<u64>,
}

/// A problem on the wire (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// `/problems/{slug}`, relative to the server.
    #[serde(rename = "type")]
    kind: String,
    /// The same for all problems of this type.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Were there more errors than `errors` holds?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    errors_truncated: bool,
}

impl Problem {
    /// A problem of this type, with what happened.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), errors_truncated: false, retry_after_s: None }
    }

    /// A problem with the fields that are wrong; the detail counts them.
    #[must_use]
    pub fn fields(kind: Kind, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.field.is_empty() => one.reason.clone(),
            [one] => format!("{}: {}", one.field, one.reason),
            many => format!("{} fields are not valid", many.len()),
        };
        Self { errors, ..Self::new(kind, detail) }
    }

    /// The same, with its errors; `truncated` where there were more.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>, truncated: bool) -> Self {
        Self { errors, errors_truncated: truncated, ..self }
    }

    /// The same, with a `Retry-After`.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds.max(1)), ..self }
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let body = ProblemBody {
            kind: self.kind.uri(),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: self.detail,
            errors: self.errors,
            errors_truncated: self.errors_truncated,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"carillon\""));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For the request log: the one word that says what went wrong.
        response.extensions_mut().insert(self.kind);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Redis(_) => {
                tracing::warn!(%error, "a request failed");
                Self::new(Kind::StoreUnavailable, "Redis does not answer; try again").retry_after(1)
            }
            error => {
                tracing::error!(%error, "a request failed");
                Self::new(Kind::Internal, "the store holds something unexpected")
            }
        }
    }
}

/// A type of problem, as its page shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemType {
    /// Its URI.
    #[serde(rename = "type")]
    kind: String,
    /// Its title.
    title: &'static str,
    /// Its HTTP status.
    status: u16,
    /// What it means and what to do.
    meaning: &'static str,
}

impl ProblemType {
    fn of(kind: Kind) -> Self {
        Self {
            kind: kind.uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            meaning: kind.meaning(),
        }
    }
}

/// Every type of problem.
#[utoipa::path(get, path = "/problems", tag = "documentation", responses((status = 200, body = [ProblemType])))]
pub(super) async fn list() -> Json<Vec<ProblemType>> {
    Json(Kind::ALL.iter().map(|k| ProblemType::of(*k)).collect())
}

/// One type of problem.
#[utoipa::path(get, path = "/problems/{slug}", tag = "documentation",
    params(("slug" = String, Path, description = "the last part of a problem's `type`")),
    responses((status = 200, body = ProblemType), (status = 404, body = ProblemBody)))]
pub(super) async fn one(Path(slug): Path<String>) -> Result<Json<ProblemType>, Problem> {
    let kind = Kind::ALL.iter().find(|k| k.slug() == slug);
    kind.map(|k| Json(ProblemType::of(*k)))
        .ok_or_else(|| Problem::new(Kind::NotFound, "there is no such type of problem; see /problems"))
}

/// What a route that does not exist answers.
pub(super) async fn no_route() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this address; see /docs or /openapi.json")
}

/// What a route answers to a method it does not have. `Allow` is added by the router.
pub(super) async fn no_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "see the Allow header for what is allowed here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_documented_and_distinct() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|k| k.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.meaning().ends_with('.'), "{}", kind.slug());
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
