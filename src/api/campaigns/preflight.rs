//! A dry run: what would become of a list, or of what waits in a campaign, were it dialed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::campaigns::plan::{Estimate, Law, OpeningView, Plan};
use crate::api::campaigns::rows::RowsRequest;
use crate::api::fields::Query;
use crate::api::initiate::{
    Format, List, ListAnswer, Mapping, Rows, Source, beside, parse_json, read_json, whole_json,
};
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::domain::campaign::Campaign;
use crate::domain::ids::{CampaignId, Shard};
use crate::domain::window::Hours;
use crate::store::WaitingCursor;

/// What a conversation takes where nothing else is said, seconds.
const AVERAGE: usize = 120;

/// What a dry run found.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct PreflightAnswer {
    /// Rows that were looked at.
    rows: u64,
    /// Those that would be dialed, now or later.
    dialable: u64,
    /// Those whose hours are open at this moment.
    dialable_now: u64,
    /// Those that would not be dialed, by reason: `duplicate`, `do_not_call`, `consent_missing`, `no_common_hour`, `zone_unknown`,
    /// `zone_invalid`, `frequency`, `expires_before_opening`, and the codes of rows that are not valid.
    skipped: BTreeMap<String, u64>,
    /// Those that the frequency cap holds back for a while; they are among the dialable.
    frequency_capped: u64,
    /// When hours open, the next 50 openings with how many calls each.
    openings: Vec<OpeningView>,
    /// Calls that open later than those.
    later: u64,
    /// By time zone; where a number may lie in several, all must be open.
    zones: BTreeMap<String, u64>,
    /// By region (ISO 3166-2).
    regions: BTreeMap<String, u64>,
    /// How long it takes, were no other campaign dialing.
    estimate: Estimate,
    /// Why rows are not valid: the first 1,000 errors.
    #[schema(value_type = Vec<FieldError>)]
    errors: Vec<Value>,
    /// Were there more?
    errors_truncated: bool,
}

fn unknown() -> Problem {
    Problem::new(Kind::UnknownCampaign, "no campaign has this id")
}

/// Try a list, or what waits, without dialing.
///
/// With a body (JSON, CSV or NDJSON, as it would be appended) a dry run of its rows: nothing is stored. Without one, of the
/// calls that wait in the campaign.
#[utoipa::path(post, path = "/api/campaigns/{campaign_id}/preflight", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id"),
        ("average_seconds" = Option<usize>, Query, description = "how long a conversation takes, 1 to 3600, by default 120"),
        ("map" = Option<String>, Query, description = "CSV: column:field, several separated by commas"),
        ("time_zone" = Option<String>, Query, description = "CSV and NDJSON: as every field of a call when rows are appended")),
    request_body(content((RowsRequest = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
    responses((status = 200, body = PreflightAnswer), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn preflight(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PreflightAnswer>, Problem> {
    let id = CampaignId::parse(&id).ok_or_else(unknown)?;
    let campaign = app.store().campaign_fresh(&id).await?.ok_or_else(unknown)?;
    let mut query = Query::parse(query.as_deref());
    let average = query.number_in("average_seconds", 1, 3_600, AVERAGE);
    let mut source = Source::new(body, &headers)?;
    let config = &app.api.config;
    let law = Law {
        window: config.window,
        hours: campaign.window.as_deref().and_then(|text| text.parse::<Hours>().ok()),
        rules: &config.calling_rules,
        lead: config.lead,
    };
    let mut plan = Plan::new(law, &campaign, app.api.clock.now());
    let rate = rate(&app, &campaign, average);
    let (answer, rows) = if source.is_empty().await? {
        query.finish()?;
        (ListAnswer::default(), Box::pin(waiting(&app, &campaign, &mut plan)).await?)
    } else {
        let format = Format::of(&headers)?;
        Box::pin(of_body(&app, campaign, format, query, &mut source, &mut plan)).await?
    };
    let mut skipped = plan.skipped.clone();
    for (reason, n) in answer.reasons {
        *skipped.entry(reason).or_default() += n;
    }
    let (openings, later) = plan.openings();
    Ok(Json(PreflightAnswer {
        rows,
        dialable: plan.dialable,
        dialable_now: plan.dialable_now,
        skipped,
        frequency_capped: plan.frequency_capped,
        openings,
        later,
        zones: std::mem::take(&mut plan.zones),
        regions: std::mem::take(&mut plan.regions),
        estimate: plan.estimate(rate),
        errors: answer.errors,
        errors_truncated: answer.errors_truncated,
    }))
}

/// Calls a second, by the limits of account and campaign and by how long a line is taken.
fn rate(app: &App, campaign: &Campaign, average: usize) -> f64 {
    let limits = [Some(app.api.config.max_cps), campaign.max_cps];
    let lines = [Some(app.api.config.max_concurrent), campaign.max_concurrent];
    let by_lines = lines.into_iter().flatten().map(|n| f64::from(n) / average as f64);
    let least = limits.into_iter().flatten().chain(by_lines).filter(|rate| *rate > 0.0).reduce(f64::min);
    least.unwrap_or(1.0)
}

async fn of_body(
    app: &App,
    campaign: Campaign,
    format: Format,
    mut query: Query,
    source: &mut Source,
    plan: &mut Plan<'_>,
) -> Result<(ListAnswer, u64), Problem> {
    let judge = Box::new(|call: &_, capped| plan.call(call, capped));
    let (mut list, rows) = match format {
        Format::Json => {
            query.finish()?;
            let bytes = whole_json(app, source).await?;
            let parsed = parse_json(app, &bytes)?;
            let Some((name, rows)) = parsed.rows else {
                let error = FieldError::new("calls", "is missing; send calls or phone_numbers");
                return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
            };
            let fields = beside(parsed.rest, name, rows.is_empty());
            let mut list = List::further(app, campaign, fields)?.dry(judge);
            let read = read_json(&mut list, name, rows).await;
            return list.found(read).await;
        }
        Format::Csv => {
            let mapping = Mapping::take(&mut query);
            (List::further_of_query(app, campaign, query)?, Rows::Csv(mapping))
        }
        Format::NdJson => (List::further_of_query(app, campaign, query)?, Rows::NdJson),
    };
    list = list.dry(judge);
    let read = rows.read(&mut list, source).await;
    list.found(read).await
}

/// What waits in the campaign; answers how many calls that are.
async fn waiting(app: &App, campaign: &Campaign, plan: &mut Plan<'_>) -> Result<u64, Problem> {
    let mut rows = 0;
    for shard in Shard::all() {
        let mut cursor = Some(WaitingCursor::default());
        while let Some(from) = cursor {
            let (calls, next) = app.store().waiting_page(&campaign.id, shard, from).await?;
            cursor = next;
            if calls.is_empty() {
                continue;
            }
            rows += calls.len() as u64;
            let previews = app.store().preview(&campaign.id, &calls, app.api.clock.now()).await?;
            for (call, preview) in calls.iter().zip(previews) {
                let consents = campaign
                    .require_consent
                    .is_none_or(|needed| call.body.consent.as_ref().is_some_and(|c| c.basis >= needed));
                let e164 = call.body.phone.e164();
                if preview.banned || app.prefixes.covers(app, e164).await? {
                    plan.skip("do_not_call");
                } else if !consents {
                    plan.skip("consent_missing");
                } else {
                    plan.call(call, preview.capped_until);
                }
            }
        }
    }
    Ok(rows)
}
