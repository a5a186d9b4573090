//! Calls coming in: one, or many as JSON, CSV or NDJSON. All roads lead through `row`, which judges one call, and all
//! lists through `list`, which hands them to the store in batches.

mod columns;
mod csv;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod json;
mod list;
mod ndjson;
mod number;
mod one;
mod report;
pub(super) mod row;
mod source;
mod unpack;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::App;
use crate::api::auth::Client;
use crate::api::fields::{Query, media_type};
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::api::view::CallTicket;
use crate::domain::campaign::{ConsentBasis, Priority};
use crate::domain::talk::Voicemail;

pub(super) use columns::{Mapping, PHONE, text};
pub(super) use csv::{Records, Step};
pub(super) use json::{beside, parse as parse_json, read as read_json, whole as whole_json};
pub(super) use list::{List, closed};
pub(super) use source::Source;

/// What a call is posted with.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation; bodies are read by `row`, which finds all mistakes at once
pub(in crate::api) struct CallRequest {
    /// The number in any notation.
    #[schema(example = "+14155550100")]
    phone_number: String,
    /// The agent that talks.
    #[schema(example = "employment_interview")]
    agent: Option<String>,
    /// What a machine gets that answers: `hang_up`, `message` (the agent's, after the beep) or `continue`; else
    /// what the campaign says, else `hang_up`.
    voicemail: Option<Voicemail>,
    /// Where this call's notices go; else the campaign's, else the default.
    webhook_url: Option<String>,
    /// What the agent may say and know of the person: at most 50 entries of 1,000 characters.
    variables: Option<std::collections::BTreeMap<String, String>>,
    /// Not to be placed before (RFC 3339, at most 30 days ahead; the past means now).
    schedule_at: Option<String>,
    /// Not to be placed after (RFC 3339); else 48 hours.
    expires_at: Option<String>,
    /// The client's own data, given back in notices; at most 4,096 bytes of JSON.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// The callee's time zone (IANA), where the client knows better than the number.
    #[schema(example = "America/New_York")]
    time_zone: Option<String>,
    /// Within its campaign: `high`, `normal` (default) or `low`.
    priority: Option<Priority>,
    /// Further numbers of the same person, tried in this order where the first is not answered; at most 5.
    alternative_numbers: Option<Vec<String>>,
    /// On what ground the person may be called, where the campaign requires it.
    consent: Option<ConsentRequest>,
}

/// The consent of a person to be called.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // see `CallRequest`
pub(in crate::api) struct ConsentRequest {
    /// `express` or `written`.
    basis: ConsentBasis,
    /// When it was given (RFC 3339).
    at: String,
    /// Where it is recorded.
    #[schema(example = "form 2026-03 on the careers page")]
    source: String,
}

/// What the calls of a list share.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // see `CallRequest`
pub(in crate::api) struct CampaignRequest {
    /// What the client calls it.
    name: Option<String>,
    /// The agent that talks.
    agent: Option<String>,
    /// What a machine gets that answers: `hang_up` (default), `message` (the agent's, after the beep) or `continue`.
    voicemail: Option<Voicemail>,
    /// Where its notices go.
    webhook_url: Option<String>,
    /// Its calls are not placed after (RFC 3339).
    expires_at: Option<String>,
}

/// Many calls: `phone_numbers` or `calls`. Every field of a call but its number may stand here for all of them; a
/// call's own wins.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // see `CallRequest`
pub(in crate::api) struct ListRequest {
    /// Numbers alone.
    phone_numbers: Option<Vec<String>>,
    /// Calls with fields of their own.
    calls: Option<Vec<CallRequest>>,
    /// What they share.
    campaign: Option<CampaignRequest>,
}

/// One call, or many.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // see `CallRequest`
pub(in crate::api) enum InitiateRequest {
    /// One.
    One(Box<CallRequest>),
    /// Many.
    Many(Box<ListRequest>),
}

/// What became of a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(in crate::api) struct ListAnswer {
    /// The campaign that was made of it.
    pub(super) campaign_id: String,
    /// Calls that wait now.
    pub(in crate::api) accepted: u64,
    /// Rows that cannot be called; `errors` says why.
    pub(in crate::api) rejected: u64,
    /// Rows whose number stood further up, or (as the campaign wants it) has another call open.
    pub(in crate::api) duplicates: u64,
    /// Rows whose number is on the do-not-call list.
    pub(in crate::api) suppressed: u64,
    /// Rows that were not taken, counted by the `code` of their first error.
    #[serde(default)]
    pub(in crate::api) reasons: std::collections::BTreeMap<String, u64>,
    /// What this list is called in the campaign's report of rejections.
    #[serde(default)]
    pub(super) intake_id: String,
    /// Why rows were not taken: the first 1,000 errors, by row. All of them: `GET /api/campaigns/{id}/rejections`.
    #[schema(value_type = Vec<FieldError>)]
    pub(in crate::api) errors: Vec<Value>,
    /// Were there more?
    pub(in crate::api) errors_truncated: bool,
}

/// One or the other answer.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // the shape for the documentation
pub(in crate::api) enum InitiateAnswer {
    /// To one call.
    One(CallTicket),
    /// To a list.
    Many(ListAnswer),
}

/// An `Idempotency-Key`, scoped to its client.
pub(in crate::api) struct RepeatKey {
    /// What it is called in Redis: a hash, since a client may put anything in it.
    pub(super) scoped: String,
}

impl RepeatKey {
    pub(in crate::api) fn of(headers: &HeaderMap, client: &Client) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        let text = value.to_str().map(str::trim).unwrap_or("");
        if text.is_empty() || text.len() > 255 {
            let error = FieldError::new("Idempotency-Key", "must be 1 to 255 visible ASCII characters");
            return Err(Problem::fields(Kind::InvalidHeader, vec![error]));
        }
        let hash = Sha256::digest(format!("{}:{text}", client.scope));
        Ok(Some(Self { scoped: hex::encode(&hash[..16]) }))
    }
}

/// Place calls.
///
/// One call as a JSON object with `phone_number`; many as `{"phone_numbers": […]}` or `{"calls": […], "campaign": {…}}`,
/// as `text/csv` with a header row, or as `application/x-ndjson`, one call a line. CSV and NDJSON are streamed and may
/// have any length; `campaign` (its name), `agent`, `voicemail`, `webhook_url`, `schedule_at`, `expires_at`, `time_zone`, `priority` and
/// `consent_basis`, `consent_at`, `consent_source` for all rows stand in the query then. Any body may be gzipped.
///
/// In CSV one column holds the number (`phone_number`, `phone`, `tel`, `mobile`, …), further columns of this kind hold further
/// numbers; fields of a call are columns of their name; all others become variables. `map` says it where the names do
/// not: `map=Telefon:phone_number,Vorname:variables.first_name`.
///
/// With an `Idempotency-Key` a repeat gets the first answer and places nothing twice.
#[utoipa::path(post, path = "/api/calls/initiate", tag = "calls", security(("api_key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "a repeat under the same key gets the first answer"),
        ("campaign" = Option<String>, Query, description = "CSV and NDJSON: the campaign's name"),
        ("agent" = Option<String>, Query, description = "CSV and NDJSON: the agent"),
        ("voicemail" = Option<String>, Query, description = "CSV and NDJSON: what a machine gets that answers"),
        ("webhook_url" = Option<String>, Query, description = "CSV and NDJSON: where notices go"),
        ("schedule_at" = Option<String>, Query, description = "CSV and NDJSON: not to be placed before"),
        ("expires_at" = Option<String>, Query, description = "CSV and NDJSON: not to be placed after"),
        ("time_zone" = Option<String>, Query, description = "CSV and NDJSON: the callees' time zone"),
        ("priority" = Option<String>, Query, description = "CSV and NDJSON: high, normal or low"),
        ("consent_basis" = Option<String>, Query, description = "CSV and NDJSON: express or written"),
        ("consent_at" = Option<String>, Query, description = "CSV and NDJSON: when consent was given"),
        ("consent_source" = Option<String>, Query, description = "CSV and NDJSON: where it is recorded"),
        ("map" = Option<String>, Query, description = "CSV: column:field, several separated by commas"),
    ),
    request_body(content(
        (InitiateRequest = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 202, description = "accepted", body = InitiateAnswer),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 408, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 429, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn initiate(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Problem> {
    // Taken apart here: as arguments, headers and query would be copied.
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let key = RepeatKey::of(&headers, &client)?;
    let mut query = Query::parse(uri.query());
    let mut source = Source::new(body, &headers)?;
    let (mut list, rows) = match Format::of(&headers)? {
        Format::Json => {
            query.finish()?;
            let bytes = json::whole(&app, &mut source).await?;
            let json::Parsed { rest, rows } = json::parse(&app, &bytes)?;
            let Some((name, rows)) = rows else {
                return Box::pin(one::initiate(&app, rest, key)).await;
            };
            let mut list = List::from_fields(&app, json::beside(rest, name, rows.is_empty()))?;
            if list.repeats(key).await? {
                return list.replay(&source.fingerprint_so_far());
            }
            let read = Box::pin(json::read(&mut list, name, rows)).await;
            return Box::pin(list.close(read, source.fingerprint_so_far())).await;
        }
        Format::Csv => {
            let mapping = Mapping::take(&mut query);
            (List::from_query(&app, query)?, Rows::Csv(mapping))
        }
        Format::NdJson => (List::from_query(&app, query)?, Rows::NdJson),
    };
    if list.repeats(key).await? {
        return list.replay(&source.fingerprint().await?);
    }
    let read = Box::pin(rows.read(&mut list, &mut source)).await;
    Box::pin(list.close(read, source.fingerprint_so_far())).await
}

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Format {
    /// One JSON document.
    Json,
    /// Comma-separated values, or what spreadsheets take for it.
    Csv,
    /// A JSON document a line.
    NdJson,
}

impl Format {
    /// By its media type.
    pub(in crate::api) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match media_type(headers).as_str() {
            "application/json" => Ok(Self::Json),
            "text/csv" | "application/csv" | "text/tab-separated-values" | "application/vnd.ms-excel" => {
                Ok(Self::Csv)
            }
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Ok(Self::NdJson),
            _ => Err(Problem::new(
                Kind::UnsupportedMediaType,
                "send application/json, text/csv or application/x-ndjson and name it in Content-Type",
            )),
        }
    }
}

/// Rows that are streamed.
pub(in crate::api) enum Rows {
    /// A sheet, with what its columns mean.
    Csv(Mapping),
    /// A row a line.
    NdJson,
}

impl Rows {
    /// Reads them all.
    pub(in crate::api) async fn read(self, list: &mut List<'_>, source: &mut Source) -> Result<(), Problem> {
        match self {
            Self::Csv(mapping) => csv::read(list, source, &mapping).await,
            Self::NdJson => ndjson::read(list, source).await,
        }
    }
}

/// 202, with a header where the answer was given before.
fn accepted<T: Serialize>(answer: &T, replayed: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    if replayed {
        let yes = axum::http::HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", yes);
    }
    response
}

/// The answer to a key that was used for something else.
pub(super) fn mismatch() -> Problem {
    Problem::new(Kind::IdempotencyMismatch, "this Idempotency-Key was used before, for another request")
}
