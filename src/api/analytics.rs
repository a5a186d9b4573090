//! What the counters say: by day, by campaign, in all.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::fields::Query;
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::base::clock::{DAY, rfc3339};
use crate::domain::ids::CampaignId;
use crate::store::{Counters, OutboxCounts, Store};

/// How many days back counters are kept.
const KEPT_DAYS: usize = 40;

/// Calls, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct Figures {
    /// Accepted.
    pub(super) accepted: i64,
    /// Dials that left.
    pub(super) started: i64,
    /// Dials that were answered.
    pub(super) answered: i64,
    /// Calls that are over.
    pub(super) ended: i64,
    /// Calls that are over, by how they ended.
    pub(super) dispositions: BTreeMap<String, i64>,
    /// Attempts after which another one was due, by how they ended.
    pub(super) retried: BTreeMap<String, i64>,
    /// Answered of started, 0 to 1; absent while nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer_rate: Option<f64>,
    /// Seconds that people talked, in all.
    pub(super) talk_seconds: i64,
    /// Seconds of an answered call, on average; absent while none was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) average_talk_seconds: Option<f64>,
    /// Calls by how difficult the person was: `low`, `medium`, `high`.
    pub(super) adversarial: BTreeMap<String, i64>,
    /// Gaps found in employment histories.
    pub(super) gaps: i64,
    /// People who want no more calls.
    pub(super) opt_outs: i64,
}

impl Figures {
    pub(super) fn of(counters: &Counters) -> Self {
        let get = |name: &str| counters.get(name).copied().unwrap_or(0);
        let group = |prefix: &str| -> BTreeMap<String, i64> {
            let rows = counters.iter().filter_map(|(k, n)| Some((k.strip_prefix(prefix)?.to_owned(), *n)));
            rows.collect()
        };
        let (started, answered) = (get("started"), get("answered"));
        Self {
            accepted: get("accepted"),
            started,
            answered,
            ended: get("ended"),
            dispositions: group("disposition:"),
            retried: group("attempt:"),
            answer_rate: share(answered, started),
            talk_seconds: get("duration_s"),
            average_talk_seconds: share(get("duration_s"), answered),
            adversarial: group("level:"),
            gaps: get("gaps"),
            opt_outs: get("opt_outs"),
        }
    }
}

/// One day.
#[derive(Serialize, ToSchema)]
pub(super) struct DayFigures {
    /// The UTC day, `yyyy-mm-dd`.
    day: String,
    /// What was counted on it.
    #[serde(flatten)]
    figures: Figures,
}

/// One hour of the day, over all the days asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct HourFigures {
    /// The UTC hour, 0 to 23.
    #[schema(maximum = 23)]
    hour: u8,
    /// Dials that left.
    started: i64,
    /// Dials that were answered.
    answered: i64,
    /// Calls that are over.
    ended: i64,
    /// Answered of started, 0 to 1; absent while nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_rate: Option<f64>,
}

impl HourFigures {
    fn all(counters: &Counters) -> Vec<Self> {
        let row = |hour: u8| {
            let get = |name: &str| counters.get(&format!("hour:{hour:02}:{name}")).copied().unwrap_or(0);
            let (started, answered) = (get("started"), get("answered"));
            Self { hour, started, answered, ended: get("ended"), answer_rate: share(answered, started) }
        };
        (0..24).map(row).collect()
    }
}

/// `n` of `of` to four places; `None` of nothing.
fn share(n: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| (n as f64 / of as f64 * 10_000.0).round() / 10_000.0)
}

/// Deliveries since the first start.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookFigures {
    /// Waiting or being retried.
    pending: i64,
    /// Delivered.
    delivered: i64,
    /// Given up.
    dead: i64,
    /// Delivered of all that are settled, 0 to 1; absent while none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
}

impl From<OutboxCounts> for WebhookFigures {
    fn from(counts: OutboxCounts) -> Self {
        let OutboxCounts { pending, delivered, dead } = counts;
        let settled = delivered + dead;
        let success_rate = (settled > 0).then(|| delivered as f64 / settled as f64);
        Self { pending, delivered, dead, success_rate }
    }
}

/// What was counted.
#[derive(Serialize, ToSchema)]
pub(super) struct Analytics {
    /// The campaign, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<String>,
    /// In all.
    total: Figures,
    /// By UTC day, newest first; empty for a campaign.
    days: Vec<DayFigures>,
    /// By UTC hour of the day, all days together, from 0 to 23; empty for a campaign.
    by_hour: Vec<HourFigures>,
    /// Deliveries of all campaigns.
    webhooks: WebhookFigures,
}

/// What was counted in the last days, or for one campaign.
#[utoipa::path(get, path = "/api/analytics", tag = "operations", security(("api_key" = [])),
    params(("days" = Option<usize>, Query, description = "today and the days before it: 1 to 40, by default 7"),
        ("campaign_id" = Option<String>, Query, description = "one campaign, over its whole life")),
    responses((status = 200, body = Analytics), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn analytics(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Analytics>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let days = query.number_in("days", 1, KEPT_DAYS, 7);
    let campaign = query.one_of("campaign_id", CampaignId::parse, "a campaign's id");
    query.finish()?;
    let store = app.store();
    let webhooks = store.outbox_counts().await?.into();
    if let Some(id) = campaign {
        if store.campaign(&id).await?.is_none() {
            return Err(Problem::new(Kind::UnknownCampaign, "no campaign has this id"));
        }
        let total = Figures::of(&store.counters(id.as_str()).await?);
        return Ok(Json(Analytics {
            campaign_id: Some(id.to_string()),
            total,
            days: Vec::new(),
            by_hour: Vec::new(),
            webhooks,
        }));
    }
    let now = app.api.clock.now();
    let mut sum = Counters::new();
    let mut rows = Vec::new();
    for back in 0..days as u64 {
        let at = now.saturating_sub(back * DAY);
        let counters = store.counters(&Store::day_of(at)).await?;
        let day = rfc3339(at).chars().take(10).collect();
        rows.push(DayFigures { day, figures: Figures::of(&counters) });
        for (name, n) in counters {
            *sum.entry(name).or_default() += n;
        }
    }
    let by_hour = HourFigures::all(&sum);
    Ok(Json(Analytics { campaign_id: None, total: Figures::of(&sum), days: rows, by_hour, webhooks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_figures() {
        let counters: Counters = [
            ("accepted", 10),
            ("started", 8),
            ("answered", 6),
            ("ended", 7),
            ("disposition:completed", 5),
            ("disposition:busy", 2),
            ("attempt:busy", 3),
            ("duration_s", 600),
            ("level:low", 4),
            ("gaps", 3),
            ("hour:09:started", 5),
            ("hour:09:answered", 4),
        ]
        .into_iter()
        .map(|(k, n)| (k.to_owned(), n))
        .collect();
        let figures = Figures::of(&counters);
        assert_eq!(figures.answer_rate, Some(0.75));
        assert_eq!(figures.average_talk_seconds, Some(100.0));
        assert_eq!(figures.dispositions["busy"], 2);
        let hours = HourFigures::all(&counters);
        assert_eq!((hours.len(), hours[9].hour, hours[9].started), (24, 9, 5));
        assert_eq!((hours[9].answer_rate, hours[10].answer_rate), (Some(0.8), None));
        assert_eq!(Figures::of(&Counters::new()).answer_rate, None);
    }
}
