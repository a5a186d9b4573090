//! A campaign of those calls of another that ended in certain ways. Ids are derived from (campaign, number), so that a
//! repeat under the same key places nothing twice.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::App;
use crate::api::auth::Client;
use crate::api::campaigns::results::{Rows, none_ended_so};
use crate::api::campaigns::settings::{self, CampaignSettings};
use crate::api::campaigns::{CampaignView, act, found};
use crate::api::initiate::RepeatKey;
use crate::api::problems::{Problem, ProblemBody};
use crate::base::clock::Millis;
use crate::domain::call::{Body as CallBody, Call};
use crate::domain::campaign::Campaign;
use crate::domain::disposition::Disposition;
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::{Changed, Submitted};

/// Which calls are called again, and what is different about it.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation
pub(super) struct RedialRequest {
    /// Calls that ended in one of these ways.
    dispositions: Vec<Disposition>,
    /// What the new campaign has of its own; all else is as in the first.
    #[serde(flatten)]
    settings: CampaignSettings,
}

/// What became of a redial.
#[derive(Serialize, ToSchema)]
pub(super) struct Redialed {
    /// The new campaign.
    #[serde(flatten)]
    campaign: CampaignView,
    /// Calls that ended so.
    matched: u64,
    /// Calls that wait now in the new campaign.
    accepted: u64,
    /// Calls to a number that stands in it already.
    duplicates: u64,
    /// Calls to a number that is on the do-not-call list by now.
    suppressed: u64,
    /// Calls without the consent that the new campaign asks for.
    without_consent: u64,
    /// Calls whose record is gone, 48 hours after their end or because the person was erased: their numbers are not
    /// known any more.
    gone: u64,
}

/// Call again those who were not reached: a new campaign of the calls that ended in certain ways.
///
/// It is a draft unless `start` or `starts_at` says otherwise. Numbers are read from the records, which are kept for 48
/// hours after a call's end; `gone` counts those that came too late.
#[utoipa::path(post, path = "/api/campaigns/{campaign_id}/redial", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign whose calls are called again"),
        ("Idempotency-Key" = Option<String>, Header, description = "a repeat under the same key makes no second one")),
    request_body = RedialRequest,
    responses((status = 201, body = Redialed), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 413, body = ProblemBody), (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn redial(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = RepeatKey::of(&headers, &client)?;
    let parent = found(&app, &id).await?;
    let mut fields = settings::body(&app, &headers, body).await?;
    let fingerprint = format!("{}:{}", parent.id, fields.canonical());
    let now = app.api.clock.now();
    let mut it = child(&parent, now);
    let read = |word: &str| {
        Disposition::parse(word).ok_or_else(|| "must be a disposition, such as busy or no_answer".to_owned())
    };
    let dispositions = fields.list("dispositions", Disposition::ALL.len(), read).unwrap_or_default();
    if dispositions.is_empty() && !fields.is_wrong("dispositions") {
        fields.wrong("dispositions", "is missing or empty: name how the calls ended that are called again");
    }
    settings::clear(&mut fields, &mut it);
    let mut wishes = settings::take(&mut fields, &app, &mut it, now);
    settings::take_start(&mut fields, &mut wishes);
    settings::finish(fields)?;
    it.id = act::new_id(&app, key.as_ref(), &fingerprint).await?;
    // A draft first: nothing is dialed, and nothing is over, while the calls are still being handed in.
    it.reading_since = Some(now);
    let (first, replayed) = match app.store().create_campaign(&it).await? {
        None => (it, false),
        Some(first) => (first, true),
    };
    let mut told = Told::default();
    let mut rows = Rows::of(app.store().clone(), parent.id.clone(), &dispositions);
    while let Some(chunk) = rows.next().await? {
        let mut calls = Vec::new();
        for (_, call) in chunk {
            told.matched += 1;
            let Some(call) = call else {
                told.gone += 1;
                continue;
            };
            if app.prefixes.covers(&app, call.body.phone.e164()).await? {
                told.suppressed += 1;
            } else if first
                .require_consent
                .is_some_and(|asked| call.body.consent.as_ref().is_none_or(|given| given.basis < asked))
            {
                told.without_consent += 1;
            } else {
                calls.push(again(&app, &call, &first.id, now));
            }
        }
        for answer in app.store().submit(&calls, now).await? {
            match answer {
                Submitted::Created => told.accepted += 1,
                Submitted::Suppressed => told.suppressed += 1,
                // A repeat finds those of the first time.
                Submitted::Exists | Submitted::Repeat { .. } if replayed => told.accepted += 1,
                _ => told.duplicates += 1,
            }
        }
    }
    app.api.ops.metrics.calls_started.inc_by(told.accepted);
    let by = act::by(&client);
    let changed = app
        .store()
        .change_campaign(&first.id, |it| {
            let was = it.clone();
            it.reading_since = None;
            if told.accepted > 0 && it.history.is_empty() {
                act::begin(it, &wishes, &by, now)?;
            }
            Ok::<_, Problem>(*it != was)
        })
        .await?;
    let it = match changed {
        Changed::Done(it) | Changed::Same(it) => *it,
        Changed::Refused(problem) => return Err(problem),
        Changed::Unknown => return Err(super::unknown()),
    };
    if told.matched == 0 {
        // Nothing will ever be in it: it is not left lying about as a draft.
        cancel(&app, &it.id, &by, now).await?;
        return Err(none_ended_so());
    }
    let Told { matched, accepted, duplicates, suppressed, without_consent, gone } = told;
    tracing::info!(campaign_id = %it.id, parent = %parent.id, matched, accepted, gone, "a campaign calls again");
    let id = it.id.clone();
    let campaign = it.into();
    let body = Redialed { campaign, matched, accepted, duplicates, suppressed, without_consent, gone };
    Ok(act::created(&id, &body, replayed))
}

#[derive(Default)]
struct Told {
    matched: u64,
    accepted: u64,
    duplicates: u64,
    suppressed: u64,
    without_consent: u64,
    gone: u64,
}

async fn cancel(app: &App, id: &CampaignId, by: &str, now: Millis) -> Result<(), Problem> {
    let command = crate::domain::campaign::Command::Cancel;
    let cancel = |it: &mut Campaign| it.command(command, by, Some("nobody is to be called again"), now);
    app.store().change_campaign(id, cancel).await?;
    Ok(())
}

/// What a campaign that calls again has of the first: all its settings, but no part of its life.
fn child(parent: &Campaign, now: Millis) -> Campaign {
    let name = parent.name.as_ref().map(|name| format!("{name}, again"));
    Campaign {
        name,
        agent: parent.agent.clone(),
        voicemail: parent.voicemail,
        webhook_url: parent.webhook_url.clone(),
        weight: parent.weight,
        max_cps: parent.max_cps,
        max_concurrent: parent.max_concurrent,
        caller_ids: parent.caller_ids.clone(),
        window: parent.window.clone(),
        retries: parent.retries.clone(),
        require_consent: parent.require_consent,
        dedupe: parent.dedupe,
        answer_rate: parent.answer_rate,
        expires_at: parent.expires_at.filter(|at| *at > now),
        parent: Some(parent.id.clone()),
        ..Campaign::new(CampaignId::random(), now)
    }
}

/// The same call to the same person, as if it had never been made.
fn again(app: &App, call: &Call, campaign: &CampaignId, now: Millis) -> Call {
    let old = &call.body;
    let e164 = old.phone.e164();
    let id = CallId::derived(Shard::of(e164), &format!("{campaign}:{e164}"));
    let mut body = CallBody::new(old.phone.clone(), now);
    body.agent.clone_from(&old.agent);
    body.voicemail = old.voicemail;
    body.webhook_url.clone_from(&old.webhook_url);
    body.variables.clone_from(&old.variables);
    body.metadata.clone_from(&old.metadata);
    body.time_zone.clone_from(&old.time_zone);
    body.consent.clone_from(&old.consent);
    body.alternatives.clone_from(&old.alternatives);
    body.priority = old.priority;
    Call::new(id, app.store().hash(e164), Some(campaign.clone()), body)
}
