//! Calls coming in: one, or many as JSON, CSV or NDJSON. All roads lead through `row`, which judges one call, and all
//! lists through `list`, which hands them to the store in batches.

mod csv;
mod json;
mod list;
mod ndjson;
mod one;
pub(super) mod row;
mod source;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
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
use crate::domain::talk::Voicemail;

/// What a call is posted with.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation; bodies are read by `row`, which finds all mistakes at once
pub(super) struct CallRequest {
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
}

/// What the calls of a list share.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // see `CallRequest`
pub(super) struct CampaignRequest {
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
pub(super) struct ListRequest {
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
pub(super) enum InitiateRequest {
    /// One.
    One(Box<CallRequest>),
    /// Many.
    Many(Box<ListRequest>),
}

/// What became of a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct ListAnswer {
    /// The campaign that was made of it.
    pub(super) campaign_id: String,
    /// Calls that wait now.
    pub(super) accepted: u64,
    /// Rows that cannot be called; `errors` says why.
    pub(super) rejected: u64,
    /// Rows whose number stood further up in the list.
    pub(super) duplicates: u64,
    /// Rows whose number is on the do-not-call list.
    pub(super) suppressed: u64,
    /// Why rows were rejected: the first 1,000 errors.
    #[schema(value_type = Vec<FieldError>)]
    pub(super) errors: Vec<Value>,
    /// Were there more?
    pub(super) errors_truncated: bool,
}

/// One or the other answer.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // the shape for the documentation
pub(super) enum InitiateAnswer {
    /// To one call.
    One(CallTicket),
    /// To a list.
    Many(ListAnswer),
}

/// An `Idempotency-Key`, scoped to its client.
pub(super) struct RepeatKey {
    /// What it is called in Redis: a hash, since a client may put anything in it.
    pub(super) scoped: String,
}

impl RepeatKey {
    pub(super) fn of(headers: &HeaderMap, client: &Client) -> Result<Option<Self>, Problem> {
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
/// have any length; `campaign` (its name), `agent`, `voicemail`, `webhook_url`, `schedule_at`, `expires_at` and `time_zone` for all
/// rows stand in the query then. In CSV one column holds the number (`phone_number`, `phone`, `number`, `tel`, …);
/// columns that are no field of a call become variables.
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
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = RepeatKey::of(&headers, &client)?;
    let query = Query::parse(query.as_deref());
    let source = source::Source::new(body);
    match media_type(&headers).as_str() {
        "application/json" => {
            query.finish()?;
            Box::pin(json::initiate(&app, source, key)).await
        }
        "text/csv" | "application/csv" => {
            let list = list::List::from_query(&app, query)?;
            Box::pin(csv::initiate(list, source, key)).await
        }
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            let list = list::List::from_query(&app, query)?;
            Box::pin(ndjson::initiate(list, source, key)).await
        }
        _ => Err(Problem::new(
            Kind::UnsupportedMediaType,
            "send application/json, text/csv or application/x-ndjson and name it in Content-Type",
        )),
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
