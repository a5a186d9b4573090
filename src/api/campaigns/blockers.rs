//! Why a campaign is not dialing, or not faster: what holds its calls, how many, and until when.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::campaigns::found;
use crate::api::problems::{Problem, ProblemBody};
use crate::base::clock::{Millis, rfc3339};
use crate::domain::campaign::{Campaign, State as Life, Toward};
use crate::store::{CampaignCounts, Denial, PacingView};

/// What holds calls of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Blocker {
    /// A stable word: `campaign_state`, `window`, `frequency`, `retry`, `leg_outstanding`, `account_cps`, `fair_share`, …
    reason: String,
    /// How many calls it holds.
    calls: i64,
    /// When the first of them is looked at again, or the whole passes (RFC 3339); absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// The same in words.
    detail: String,
}

/// Why a campaign is not dialing.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Blockers {
    /// The campaign.
    campaign_id: String,
    /// Its state.
    state: &'static str,
    /// Calls that wait.
    waiting: i64,
    /// Of these, calls that wait for nothing but their turn.
    ready: i64,
    /// What holds them, those that hold the most first. None: nothing waits, or it is dialing as fast as it comes.
    blockers: Vec<Blocker>,
    /// Calls that are over and were never dialed, by why: `suppressed` (do-not-call), `out_of_window`, `expired`,
    /// `canceled`.
    never_dialed: std::collections::BTreeMap<String, i64>,
}

/// Dispositions of calls that may have ended without a dial.
const NEVER_DIALED: [&str; 4] = ["suppressed", "out_of_window", "expired", "canceled"];

/// Why a campaign is not dialing, or not faster.
#[utoipa::path(get, path = "/api/campaigns/{campaign_id}/blockers", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id")),
    responses((status = 200, body = Blockers), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn blockers(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Blockers>, Problem> {
    let it = found(&app, &id).await?;
    let counts = app.store().campaign_counts(&it.id).await?;
    let mut blockers = Vec::new();
    blockers.extend(of_state(&it, counts.waiting()));
    blockers.extend(of_counts(&counts));
    let pacing = app.store().pacing(Some(&it.id)).await?;
    if it.state.dials() {
        blockers.extend(of_pacing(&pacing, counts.ready, app.api.clock.now()));
    }
    name_breakers(&mut blockers, &pacing);
    blockers.sort_by_key(|b| std::cmp::Reverse(b.calls));
    let never = |name: &&str| {
        let n = counts.counters.get(&format!("disposition:{name}")).copied().unwrap_or(0);
        (n > 0).then(|| ((*name).to_owned(), n))
    };
    Ok(Json(Blockers {
        campaign_id: it.id.to_string(),
        state: it.state.as_str(),
        waiting: counts.waiting(),
        ready: counts.ready,
        blockers,
        never_dialed: NEVER_DIALED.iter().filter_map(never).collect(),
    }))
}

/// What the campaign's own state holds: all that waits.
fn of_state(it: &Campaign, waiting: i64) -> Option<Blocker> {
    if it.state.dials() || it.state.is_over() && waiting == 0 {
        return None;
    }
    let (detail, until) = match it.state {
        Life::Draft => ("it is a draft and was not started yet".to_owned(), None),
        Life::Scheduled => ("it is scheduled and starts by itself".to_owned(), it.starts_at),
        Life::Draining { toward: Toward::Cancelled } => ("it is being cancelled".to_owned(), None),
        Life::Draining { toward: Toward::Expired } => ("its time ran out".to_owned(), None),
        other => {
            let step = it.history.last();
            let why = step.and_then(|s| s.why.as_deref()).map(|why| format!(": {why}")).unwrap_or_default();
            let by = step.map(|s| format!(" by {} at {}", s.by, rfc3339(s.at))).unwrap_or_default();
            (format!("it was {}{by}{why}", other.as_str()), None)
        }
    };
    Some(Blocker { reason: "campaign_state".into(), calls: waiting, until: until.map(rfc3339), detail })
}

/// What single calls wait for.
fn of_counts(counts: &CampaignCounts) -> Vec<Blocker> {
    let words = |reason: &str| match reason {
        "window" => "outside the hours in which they may be called",
        "frequency" => "their numbers were called as often as they may be in 24 hours",
        "retry" => "their next attempt is not due yet",
        "other_number" => "the attempt to another number of the contact is not due yet",
        "callback" => "the callee asked to be called at another time",
        "leg_outstanding" => "another call to the same person is under way",
        "breaker" => "the breaker of their destination is open",
        "caller_cap" => "the numbers they may be called from have reached their daily limit",
        "carrier" => "the carrier refused for now",
        _ => "they wait",
    };
    let row = |(reason, calls, until): (&str, i64, Option<Millis>)| Blocker {
        reason: reason.to_owned(),
        calls,
        until: until.map(rfc3339),
        detail: words(reason).to_owned(),
    };
    counts.waiting_for().map(row).collect()
}

/// What holds calls that wait for their turn alone.
fn of_pacing(pacing: &PacingView, ready: i64, now: Millis) -> Vec<Blocker> {
    let Some(view) = pacing.campaigns.first().filter(|_| ready > 0) else { return Vec::new() };
    let row = |reason: Denial, until: Millis, detail: String| Blocker {
        reason: word(reason),
        calls: ready,
        until: (until > now).then(|| rfc3339(until)),
        detail,
    };
    if let Some(brake) = &view.brake {
        let (abandoned, answers) = brake.split_once('/').unwrap_or((brake.as_str(), "?"));
        let detail =
            format!("the abandonment brake: {abandoned} of {answers} live answers heard no voice in time");
        return vec![row(Denial::CampaignState, 0, detail)];
    }
    let Some(limit) = view.limit else { return Vec::new() };
    let account = &pacing.account;
    let detail = match limit {
        Denial::AccountCps => {
            format!("the account starts {} calls per second, and others take their part", account.max_cps)
        }
        Denial::AccountSlots => {
            format!("{} of the account's {} slots are held", account.slots, account.max_concurrent)
        }
        Denial::CampaignState => "pacing was told not to dial it".to_owned(),
        Denial::CampaignCps => "its own max_cps".to_owned(),
        Denial::CampaignSlots => format!("its own max_concurrent: {} of its calls are live", view.live),
        Denial::FairShare => {
            format!("its share of {:.0} % is used; others are served first", view.share * 100.0)
        }
        Denial::CallerId => {
            let held = pacing.callers.iter().filter(|c| c.quarantined_until > now).count();
            let spent = pacing.callers.iter().filter(|c| c.max_daily > 0 && c.today >= c.max_daily).count();
            format!("no number to call from is free: {held} in quarantine, {spent} at their daily limit")
        }
        Denial::ProviderBreaker => "the carrier fails; its breaker is open".to_owned(),
        Denial::DestinationBreaker => "the breaker of their destination is open".to_owned(),
        Denial::CarrierThrottle => {
            format!("the carrier asked for less: {:.0} % of the rate is used", account.factor * 100.0)
        }
        Denial::ModelLimit => "the model's limit of requests or tokens is used up".to_owned(),
        Denial::OutboxBacklog => "too many webhooks wait for delivery".to_owned(),
    };
    vec![row(limit, view.until.max(account.held_until), detail)]
}

/// The stable word of a denial, as it stands on every wire.
fn word(reason: Denial) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Which breakers are open, where calls wait for one.
fn name_breakers(blockers: &mut [Blocker], pacing: &PacingView) {
    let open = pacing.breakers.iter().filter(|b| b.kind != "caller");
    let names: Vec<String> = open.map(|b| format!("{} {}", b.kind, b.key).trim().to_owned()).collect();
    let until = pacing.breakers.iter().filter(|b| b.kind != "caller").map(|b| b.until).min();
    for it in blockers.iter_mut().filter(|b| b.reason.ends_with("breaker") && !names.is_empty()) {
        it.detail = format!("{}: {}", it.detail, names.join(", "));
        it.until = it.until.take().or_else(|| until.map(rfc3339));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::Command;
    use crate::domain::ids::CampaignId;
    use crate::store::{BreakerView, CampaignView as PacedCampaign};

    #[test]
    fn a_state_that_does_not_dial_holds_all_that_waits() {
        let mut it = Campaign::new(CampaignId::derived("x"), 1);
        assert_eq!(of_state(&it, 9).map(|b| b.calls), Some(9));
        assert!(it.command(Command::Schedule { at: 86_400_000 }, "api:1", None, 2).is_ok());
        assert_eq!(of_state(&it, 9).and_then(|b| b.until).as_deref(), Some("1970-01-02T00:00:00.000Z"));
        assert!(it.command(Command::Start, "keeper", None, 2).is_ok());
        assert_eq!(of_state(&it, 9), None);
        assert!(it.command(Command::Pause, "brake", Some("too many abandoned"), 3_000).is_ok());
        let detail = of_state(&it, 9).map(|b| b.detail).unwrap_or_default();
        assert_eq!(detail, "it was paused by brake at 1970-01-01T00:00:03.000Z: too many abandoned");
    }

    #[test]
    fn what_pacing_says_is_put_in_words() {
        let view = |limit, brake: Option<&str>| PacingView {
            campaigns: vec![PacedCampaign {
                id: CampaignId::derived("x"),
                state: "run".into(),
                weight: 1.0,
                share: 0.25,
                live: 3,
                answered: 0,
                answer_rate: None,
                limit,
                until: 5_000,
                brake: brake.map(str::to_owned),
            }],
            breakers: vec![BreakerView {
                kind: "destination".into(),
                key: "+1212".into(),
                half_open: false,
                until: 9_000,
            }],
            ..PacingView::default()
        };
        let fair = of_pacing(&view(Some(Denial::FairShare), None), 7, 1_000);
        assert_eq!((fair[0].reason.as_str(), fair[0].calls), ("fair_share", 7));
        assert_eq!(fair[0].detail, "its share of 25 % is used; others are served first");
        assert_eq!(fair[0].until.as_deref(), Some("1970-01-01T00:00:05.000Z"));
        assert_eq!(of_pacing(&view(Some(Denial::FairShare), None), 0, 1_000), [], "nobody waits for it");
        assert_eq!(of_pacing(&view(None, None), 7, 1_000), []);
        let braked = of_pacing(&view(None, Some("4/100")), 7, 1_000);
        assert!(braked[0].detail.contains("4 of 100 live answers"), "{braked:?}");
        let mut broken = of_pacing(&view(Some(Denial::DestinationBreaker), None), 7, 6_000);
        name_breakers(&mut broken, &view(None, None));
        assert_eq!(broken[0].detail, "the breaker of their destination is open: destination +1212");
        assert_eq!(broken[0].until.as_deref(), Some("1970-01-01T00:00:09.000Z"));
    }
}
