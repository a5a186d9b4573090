//! Campaigns: what became of a list.

mod plan;
pub(super) mod preflight;
pub(super) mod rows;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::analytics::Figures;
use crate::api::fields::Query;
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::base::clock::{Millis, rfc3339};
use crate::domain::campaign::Campaign;
use crate::domain::ids::CampaignId;
use crate::domain::talk::Voicemail;

/// A list of calls.
#[derive(Serialize, ToSchema)]
pub(super) struct CampaignView {
    /// Its id.
    campaign_id: String,
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
    /// When it was posted (RFC 3339).
    created_at: String,
    /// Its calls are not placed after (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl From<Campaign> for CampaignView {
    fn from(campaign: Campaign) -> Self {
        Self {
            campaign_id: campaign.id.to_string(),
            name: campaign.name,
            agent: campaign.agent,
            voicemail: campaign.voicemail.unwrap_or_default(),
            webhook_url: campaign.webhook_url,
            created_at: rfc3339(campaign.created_at),
            expires_at: campaign.expires_at.map(rfc3339),
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
    /// Its calls, counted.
    #[serde(flatten)]
    figures: Figures,
    /// Calls that are not over.
    open: i64,
    /// What its post was answered; absent while its list is being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    intake: Option<serde_json::Value>,
}

/// A call of a campaign that is over.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultRow {
    /// The call.
    call_id: String,
    /// How it ended.
    disposition: String,
    /// Attempts made.
    attempts: u32,
    /// When it was over (RFC 3339).
    ended_at: String,
}

/// A page of results.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultList {
    /// By the time they ended.
    results: Vec<ResultRow>,
    /// How many there are so far.
    total: usize,
}

fn unknown() -> Problem {
    Problem::new(Kind::UnknownCampaign, "no campaign has this id")
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
    let id = CampaignId::parse(&id).ok_or_else(unknown)?;
    let mut campaign = app.store().campaign(&id).await?.ok_or_else(unknown)?;
    let figures = Figures::of(&app.store().counters(id.as_str()).await?);
    let intake = campaign.answer.take();
    let open = figures.open();
    Ok(Json(CampaignStatus { campaign: campaign.into(), figures, open, intake }))
}

/// How the calls of a campaign ended.
#[utoipa::path(get, path = "/api/campaigns/{campaign_id}/results", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id"),
        ("limit" = Option<usize>, Query, description = "1 to 10000, by default 1000"),
        ("offset" = Option<usize>, Query, description = "how many to pass over")),
    responses((status = 200, body = ResultList), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn results(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ResultList>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let limit = query.number_in("limit", 1, 10_000, 1_000);
    let offset = query.number_in("offset", 0, usize::MAX, 0);
    query.finish()?;
    let id = CampaignId::parse(&id).ok_or_else(unknown)?;
    app.store().campaign(&id).await?.ok_or_else(unknown)?;
    let rows = app.store().results(&id).await?;
    let mut rows: Vec<(Millis, &str, &str, u32)> = rows.iter().filter_map(|row| read_result(row)).collect();
    rows.sort_unstable();
    let total = rows.len();
    let results =
        rows.into_iter().skip(offset).take(limit).map(|(at, id, disposition, attempts)| ResultRow {
            call_id: id.to_owned(),
            disposition: disposition.to_owned(),
            attempts,
            ended_at: rfc3339(at),
        });
    Ok(Json(ResultList { results: results.collect(), total }))
}

fn read_result(row: &str) -> Option<(Millis, &str, &str, u32)> {
    let mut words = row.split(' ');
    let (id, disposition) = (words.next()?, words.next()?);
    let attempts = words.next()?.parse().ok()?;
    Some((words.next()?.parse().ok()?, id, disposition, attempts))
}
