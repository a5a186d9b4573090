//! Campaigns: made, moved along, watched, explained.
//!
//! | file | what it answers |
//! | --- | --- |
//! | `settings` | what a campaign may be told of itself |
//! | `act` | create, change, start, pause, resume, cancel |
//! | `progress` | how far it is and how fast it goes |
//! | `results` | how its calls ended: a page, or all as CSV and NDJSON |
//! | `redial` | a campaign of those that ended so |
//! | `blockers` | why it is not dialing |
//! | `events` | what happens to it, as it happens |

mod act;
mod blockers;
mod events;
mod progress;
mod redial;
mod results;
mod settings;

pub(super) mod rows;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::fields::Query;
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::base::clock::rfc3339;
use crate::domain::campaign::{
    AnswerRate, Campaign, ConsentBasis, Dedupe, State as Life, Toward, Transition,
};
use crate::domain::ids::CampaignId;
use crate::domain::retry::RetryPolicy;
use crate::domain::talk::Voicemail;
use progress::Progress;

pub(super) use act::{
    __path_cancel, __path_change, __path_create, __path_pause, __path_resume, __path_start,
};
pub(super) use act::{cancel, change, create, pause, resume, start};
pub(super) use blockers::{__path_blockers, blockers};
pub(super) use events::{__path_events, Streams, events};
pub(super) use progress::Looks;
pub(super) use redial::{__path_redial, redial};
pub(super) use results::{__path_results, results};

/// A step of a campaign's life.
#[derive(Serialize, ToSchema)]
pub(super) struct StepView {
    /// From where.
    from: &'static str,
    /// To where.
    to: &'static str,
    /// When (RFC 3339).
    at: String,
    /// Who: `api:` and a fingerprint of the client, `keeper` (a time came, the list was over), `brake` (too many answers
    /// were abandoned).
    by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl From<&Transition> for StepView {
    fn from(step: &Transition) -> Self {
        Self {
            from: step.from.as_str(),
            to: step.to.as_str(),
            at: rfc3339(step.at),
            by: step.by.clone(),
            why: step.why.clone(),
        }
    }
}

/// A campaign: what its calls share, and where it is in its life.
#[derive(Serialize, ToSchema)]
pub(super) struct CampaignView {
    /// Its id.
    campaign_id: String,
    /// `draft`, `scheduled`, `running`, `paused`, `draining`, `completed`, `cancelled` or `expired`.
    state: &'static str,
    /// What a draining campaign becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    toward: Option<Toward>,
    /// Its newest step.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_step: Option<StepView>,
    /// What its client calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The agent that talks.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// What a machine gets that answers its calls.
    voicemail: Voicemail,
    /// Where its notices go.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    /// Its share beside other campaigns.
    weight: u32,
    /// Calls started per second; absent: only the account's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cps: Option<f64>,
    /// Calls at the same time; absent: only the account's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent: Option<u32>,
    /// Numbers it calls from; none: all of the account's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caller_ids: Vec<String>,
    /// Hours in the callee's time, beside those of the house and the law.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    /// Its own retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<RetryPolicy>,
    /// The consent that each of its calls must carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    require_consent: Option<ConsentBasis>,
    /// Where a number counts as a duplicate.
    dedupe: Dedupe,
    /// Conversations that it keeps going.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_rate: Option<AnswerRate>,
    /// Does it wait for further rows once all are over?
    keep_open: bool,
    /// The campaign whose calls it calls again.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// When it was made (RFC 3339).
    created_at: String,
    /// It starts by itself, or did (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<String>,
    /// Its calls are not placed after (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl From<Campaign> for CampaignView {
    fn from(it: Campaign) -> Self {
        Self {
            campaign_id: it.id.to_string(),
            state: it.state.as_str(),
            toward: match it.state {
                Life::Draining { toward } => Some(toward),
                _ => None,
            },
            last_step: it.history.last().map(StepView::from),
            name: it.name,
            agent: it.agent,
            voicemail: it.voicemail.unwrap_or_default(),
            webhook_url: it.webhook_url,
            weight: it.weight,
            max_cps: it.max_cps,
            max_concurrent: it.max_concurrent,
            caller_ids: it.caller_ids,
            window: it.window,
            retries: it.retries,
            require_consent: it.require_consent,
            dedupe: it.dedupe,
            answer_rate: it.answer_rate,
            keep_open: it.keep_open,
            parent: it.parent.map(|id| id.to_string()),
            created_at: rfc3339(it.created_at),
            starts_at: it.starts_at.map(rfc3339),
            expires_at: it.expires_at.map(rfc3339),
        }
    }
}

/// Campaigns.
#[derive(Serialize, ToSchema)]
pub(super) struct CampaignList {
    /// Newest first.
    campaigns: Vec<CampaignView>,
}

/// A campaign and how far it is.
#[derive(Serialize, ToSchema)]
pub(super) struct CampaignStatus {
    /// The campaign.
    #[serde(flatten)]
    campaign: CampaignView,
    /// How far it is.
    #[serde(flatten)]
    progress: Progress,
    /// Its share of what the account may dial, beside the campaigns that dial now, 0 to 1; absent while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_share: Option<f64>,
    /// Slots that its calls hold.
    slots: u64,
    /// The share of its calls that answers, as its answer-rate controller learned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    learned_answer_rate: Option<f64>,
    /// Its life so far, oldest first.
    history: Vec<StepView>,
    /// Since when a list is being read into it (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    reading_since: Option<String>,
    /// What its list was answered; absent while it is being read, and of a campaign that was made without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    intake: Option<serde_json::Value>,
}

fn unknown() -> Problem {
    Problem::new(Kind::UnknownCampaign, "no campaign has this id")
}

fn parse(id: &str) -> Result<CampaignId, Problem> {
    CampaignId::parse(id).ok_or_else(unknown)
}

/// A campaign as it stands now.
async fn found(app: &App, id: &str) -> Result<Campaign, Problem> {
    app.store().campaign_fresh(&parse(id)?).await?.ok_or_else(unknown)
}

/// Campaigns, newest first.
#[utoipa::path(get, path = "/api/campaigns", tag = "campaigns", security(("api_key" = [])),
    params(("limit" = Option<usize>, Query, description = "1 to 200, by default 50")),
    responses((status = 200, body = CampaignList), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<CampaignList>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let limit = query.number_in("limit", 1, 200, 50);
    query.finish()?;
    let campaigns = app.store().campaigns(limit).await?;
    Ok(Json(CampaignList { campaigns: campaigns.into_iter().map(CampaignView::from).collect() }))
}

/// A campaign and how far it is.
#[utoipa::path(get, path = "/api/campaigns/{campaign_id}", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the id that its post was answered with")),
    responses((status = 200, body = CampaignStatus), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<CampaignStatus>, Problem> {
    let mut it = found(&app, &id).await?;
    let progress = progress::now(&app, &it).await?;
    let pacing = app.store().pacing(Some(&it.id)).await?.campaigns.into_iter().next();
    let weight_share = if it.state.dials() { Some(share(&app, &it).await?) } else { None };
    Ok(Json(CampaignStatus {
        progress,
        weight_share,
        slots: pacing.as_ref().map_or(0, |p| p.live),
        learned_answer_rate: pacing.and_then(|p| p.answer_rate),
        history: it.history.iter().map(StepView::from).collect(),
        reading_since: it.reading_since.map(rfc3339),
        intake: it.answer.take(),
        campaign: it.into(),
    }))
}

/// What weight a campaign has among those that dial now.
async fn share(app: &App, it: &Campaign) -> Result<f64, Problem> {
    let open = app.store().open_campaigns().await?;
    let dials = |life: &str, toward: Option<&str>| {
        life == Life::Running.as_str() || toward == Some(Life::Completed.as_str())
    };
    let others = open.iter().filter(|o| o.id != it.id && dials(&o.life, o.toward.as_deref()));
    let all = u64::from(it.weight) + others.map(|o| u64::from(o.weight)).sum::<u64>();
    Ok((f64::from(it.weight) / all as f64 * 10_000.0).round() / 10_000.0)
}
