//! Dead letters: events that could not be delivered, listed and brought back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::fields::Query;
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::base::clock::rfc3339;
use crate::store::OutboxEntry;

/// An event that was given up.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Its id, the `webhook-id` of every attempt.
    event_id: String,
    /// Its type.
    event_type: String,
    /// The call it tells of.
    call_id: String,
    /// Where it goes, without the query, which may hold a secret.
    url: String,
    /// Attempts made.
    attempts: u32,
    /// What the last attempt met.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// When it happened (RFC 3339).
    created_at: String,
    /// When it was given up (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    died_at: Option<String>,
}

impl From<OutboxEntry> for DeadLetter {
    fn from(entry: OutboxEntry) -> Self {
        Self {
            event_id: entry.id,
            event_type: entry.kind,
            call_id: entry.call_id.to_string(),
            url: entry.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            attempts: entry.attempts,
            last_error: entry.last_error,
            created_at: rfc3339(entry.created_at),
            died_at: entry.settled_at.map(rfc3339),
        }
    }
}

/// Dead letters.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetters {
    /// Newest first.
    dead: Vec<DeadLetter>,
}

/// Events that were given up, newest first. They wait for 30 days.
#[utoipa::path(get, path = "/api/outbox/dead", tag = "webhooks", security(("api_key" = [])),
    params(("limit" = Option<usize>, Query, description = "1 to 1000, by default 100")),
    responses((status = 200, body = DeadLetters), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn dead(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeadLetters>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let limit = query.number_in("limit", 1, 1_000, 100);
    query.finish()?;
    let entries = app.store().outbox_dead(limit).await?;
    Ok(Json(DeadLetters { dead: entries.into_iter().map(DeadLetter::from).collect() }))
}

/// A dead letter that lives again.
#[derive(Serialize, ToSchema)]
pub(super) struct Replayed {
    /// Its id, the same as before.
    event_id: String,
    /// `pending`.
    status: &'static str,
}

/// Try to deliver a dead letter again, with its own id and a full set of attempts.
#[utoipa::path(post, path = "/api/outbox/dead/{event_id}/replay", tag = "webhooks", security(("api_key" = [])),
    params(("event_id" = String, Path, description = "its id")),
    responses((status = 202, body = Replayed), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let known =
        id.starts_with("evt_") && id.len() <= 64 && id[4..].bytes().all(|b| b.is_ascii_alphanumeric());
    let entry = if known { app.store().outbox_replay(&id).await? } else { None };
    let entry = entry.ok_or_else(|| Problem::new(Kind::UnknownEvent, "no dead letter has this id"))?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { event_id: entry.id, status: "pending" })))
}
