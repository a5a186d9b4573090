//! Calls that are there: status, list, cancel.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::fields::Query;
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::api::view::CallView;
use crate::base::clock::Millis;
use crate::domain::call::{Call, Event, Phase};
use crate::domain::disposition::Disposition;
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::{Committed, StoreError};

/// How often a change is tried again because somebody else wrote in between.
const CONFLICTS: u32 = 20;
/// How many campaigns are looked through for those of an agent.
const CAMPAIGNS: usize = 1_000;

pub(super) fn unknown() -> Problem {
    Problem::new(Kind::UnknownCall, "no call has this id")
}

/// A call as it stands, with what was said so far.
///
/// 48 hours after its end a call is answered from the archive.
#[utoipa::path(get, path = "/api/calls/status/{call_id}", tag = "calls", security(("api_key" = [])),
    params(("call_id" = String, Path, description = "the id that the call's post was answered with")),
    responses((status = 200, body = CallView), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn status(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = CallId::parse(&id).ok_or_else(unknown)?;
    if let Some(call) = app.store().load(&id).await? {
        let lines = app.store().transcript(&id).await?;
        let campaign = app.store().campaign_of(&call).await?;
        let view = CallView::of(&call).with_campaign(&call, campaign.as_deref()).with_transcript(lines);
        return Ok(Json(view).into_response());
    }
    let Some(archive) = &app.api.archive else { return Err(unknown()) };
    match (archive.status)(id.clone()).await {
        Ok(Some(status)) => Ok(Json(status).into_response()),
        Ok(None) => Err(unknown()),
        Err(error) => {
            tracing::warn!(call_id = %id, %error, "the archive did not answer");
            Err(Problem::new(
                Kind::ArchiveUnavailable,
                "this call is older than 48 hours, and the archive does not answer",
            ))
        }
    }
}

/// What a cancel leaves.
#[derive(Serialize, ToSchema)]
pub(super) struct Canceled {
    /// The call.
    call_id: String,
    /// Where it stands now: `ended` where it waited, else what it is being called back from.
    status: &'static str,
}

/// Cancel a call. One that waits ends at once; a live one is hung up.
#[utoipa::path(post, path = "/api/calls/{call_id}/cancel", tag = "calls", security(("api_key" = [])),
    params(("call_id" = String, Path, description = "the call's id")),
    responses((status = 202, body = Canceled), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Canceled>), Problem> {
    let id = CallId::parse(&id).ok_or_else(unknown)?;
    let call = app.store().load(&id).await?.ok_or_else(unknown)?;
    if matches!(call.phase(), Phase::WrapUp | Phase::Ended) {
        return Err(Problem::new(Kind::AlreadyEnded, "this call is over; nothing is left to cancel"));
    }
    // Between our look and our write it may have ended: then it is told as it is.
    let call = observe(&app, call, || Event::Cancel).await?.ok_or_else(unknown)?;
    if matches!(call.phase(), Phase::WrapUp | Phase::Ended) && !call.body.cancel_requested {
        return Err(Problem::new(Kind::AlreadyEnded, "this call is over; nothing is left to cancel"));
    }
    let canceled = Canceled { call_id: id.to_string(), status: call.phase().as_str() };
    Ok((StatusCode::ACCEPTED, Json(canceled)))
}

/// Applies an observation to a call until it is written or changes nothing, and has its effects done. `None` where
/// the call is gone.
pub(super) async fn observe(
    app: &App,
    mut call: Call,
    event: impl Fn() -> Event,
) -> Result<Option<Call>, Problem> {
    for _ in 0..CONFLICTS {
        let mut change = call.clone().change();
        if change.apply(event(), &app.api.rules, app.api.clock.now()).is_err() {
            return Ok(Some(call));
        }
        match app.store().commit(change, None).await? {
            Committed::Done(now, effects) => {
                let ended = now.phase() == Phase::Ended && call.phase() != Phase::Ended;
                if let Some(ending) = now.ending().filter(|_| ended) {
                    // Never dialed: there is no wrap-up to count it.
                    app.api.ops.metrics.call_over(ending.disposition.as_str(), now.adversarial_level());
                }
                let call = now;
                if !effects.is_empty() {
                    (app.api.perform)((*call).clone(), effects).await;
                }
                return Ok(Some(*call));
            }
            Committed::Conflict(theirs) => call = *theirs,
            Committed::Gone => return Ok(None),
            Committed::Lost => break,
        }
    }
    tracing::error!(call_id = %call.id, "a change met others again and again");
    Err(Problem::new(Kind::Internal, "the call changes too fast; try again"))
}

/// A page of calls.
#[derive(Serialize, ToSchema)]
pub(super) struct CallList {
    /// Newest first, without their transcripts.
    calls: Vec<CallView>,
    /// Give it back as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Calls of the last ten days, newest first. A page may hold fewer calls than `limit`, even none, and still name a
/// `next_cursor`: a filter that keeps little reads on with the next request.
#[utoipa::path(get, path = "/api/calls", tag = "calls", security(("api_key" = [])),
    params(
        ("status" = Option<String>, Query, description = "`queued`, `dialing`, …, `ended`"),
        ("disposition" = Option<String>, Query, description = "`completed`, `busy`, …"),
        ("campaign_id" = Option<String>, Query, description = "calls of this campaign"),
        ("agent" = Option<String>, Query, description = "calls of this agent"),
        ("phone_hash" = Option<String>, Query, description = "calls to this person"),
        ("created_after" = Option<String>, Query, description = "accepted at or after (RFC 3339)"),
        ("created_before" = Option<String>, Query, description = "accepted before (RFC 3339)"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = CallList), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<CallList>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let phase = query.one_of("status", Phase::parse, "a status, such as queued or ended");
    let disposition =
        query.one_of("disposition", Disposition::parse, "a disposition, such as completed or busy");
    let campaign = query.one_of("campaign_id", CampaignId::parse, "a campaign's id");
    let agent = query.text("agent");
    let hash = query.text("phone_hash");
    let (after, before) = (query.time("created_after"), query.time("created_before"));
    let limit = query.number_in("limit", 1, 200, 50);
    let cursor = query.one_of("cursor", read_cursor, "the next_cursor of another page");
    query.finish()?;

    let campaigns_of_agent = match &agent {
        Some(agent) => campaigns_with(&app, agent).await?,
        None => HashSet::new(),
    };
    let is_agents = |call: &Call, agent: &str| match (&call.body.agent, &call.campaign) {
        (Some(own), _) => own == agent,
        (None, Some(campaign)) => campaigns_of_agent.contains(campaign),
        (None, None) => false,
    };
    let start = cursor.or_else(|| before.map(|at| (at, lowest_id())));
    let page = app
        .store()
        .list_calls(start, limit, |call| {
            phase.is_none_or(|p| call.phase() == p)
                && disposition.is_none_or(|d| call.ending().is_some_and(|e| e.disposition == d))
                && campaign.as_ref().is_none_or(|c| call.campaign.as_ref() == Some(c))
                && agent.as_ref().is_none_or(|a| is_agents(call, a))
                && hash.as_ref().is_none_or(|h| call.phone_hash.as_str() == h)
                && after.is_none_or(|at| call.body.created_at >= at)
                && before.is_none_or(|at| call.body.created_at < at)
        })
        .await?;
    let oldest = |next: &str| next.split_once(':').and_then(|(at, _)| at.parse::<Millis>().ok()).unwrap_or(0);
    // Nothing older than `created_after` can follow.
    let next = page.next.filter(|next| after.is_none_or(|at| oldest(next) >= at));
    let mut calls = Vec::with_capacity(page.calls.len());
    for call in &page.calls {
        calls.push(CallView::of(call).with_campaign(call, app.store().campaign_of(call).await?.as_deref()));
    }
    Ok(Json(CallList { calls, next_cursor: next.map(|next| URL_SAFE_NO_PAD.encode(next)) }))
}

/// The newest campaigns of an agent.
async fn campaigns_with(app: &App, agent: &str) -> Result<HashSet<CampaignId>, StoreError> {
    let campaigns = app.store().campaigns(CAMPAIGNS).await?;
    Ok(campaigns.into_iter().filter(|c| c.agent.as_deref() == Some(agent)).map(|c| c.id).collect())
}

/// An id that stands before all others, so that a cursor of it begins with the moment before.
fn lowest_id() -> CallId {
    let zero = format!("call_{:02}{}", Shard(0).0, "0".repeat(22));
    CallId::parse(&zero).unwrap_or_else(|| CallId::new(Shard(0)))
}

pub(super) fn read_cursor(text: &str) -> Option<(Millis, CallId)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (at, id) = text.split_once(':')?;
    Some((at.parse().ok()?, CallId::parse(id)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_given() {
        let id = CallId::new(Shard(7));
        let cursor = URL_SAFE_NO_PAD.encode(format!("1700000000000:{id}"));
        assert_eq!(read_cursor(&cursor), Some((1_700_000_000_000, id)));
        for bad in ["", "x", "!!", &URL_SAFE_NO_PAD.encode("1:2")] {
            assert_eq!(read_cursor(bad), None);
        }
        assert!(lowest_id() < CallId::new(Shard(0)));
    }
}
