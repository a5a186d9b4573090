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
use crate::store::{OutboxEntry, endpoint_of};

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

/// What became of dead letters that were all to be tried again.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayedAll {
    /// So many are pending again.
    replayed: usize,
    /// So many are dead still, of all receivers.
    dead: i64,
}

/// Try to deliver dead letters again: all of them, or those of one receiver, e.g. after it was away for long. Each keeps
/// its own id, has a full set of attempts, and a call's events keep their order. Ask again while `replayed` is the limit.
#[utoipa::path(post, path = "/api/outbox/dead/replay", tag = "webhooks", security(("api_key" = [])),
    params(("limit" = Option<usize>, Query, description = "1 to 10000, by default 1000"),
        ("receiver" = Option<String>, Query,
            description = "a URL of the receiver's, of which scheme, host and port count; all receivers by default")),
    responses((status = 202, body = ReplayedAll), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn replay_all(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Json<ReplayedAll>), Problem> {
    let mut query = Query::parse(query.as_deref());
    let limit = query.number_in("limit", 1, 10_000, 1_000);
    let receiver = query.text("receiver");
    if receiver.as_deref().is_some_and(|text| !url::Url::parse(text).is_ok_and(|url| url.has_host())) {
        query.wrong("receiver", "is not a URL with a host");
    }
    query.finish()?;
    let endpoint = receiver.as_deref().map(endpoint_of);
    let replayed = app.store().outbox_replay_all(limit, endpoint.as_deref()).await?;
    let dead = app.store().outbox_counts().await?.dead;
    Ok((StatusCode::ACCEPTED, Json(ReplayedAll { replayed, dead })))
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
