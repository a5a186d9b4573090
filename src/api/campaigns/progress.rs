//! How far a campaign is and how fast it goes. Those who watch the same campaign share one look a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::analytics::Figures;
use crate::base::clock::{MINUTE, Millis, SECOND, rfc3339};
use crate::domain::campaign::Campaign;
use crate::domain::ids::CampaignId;
use crate::store::{CampaignCounts, Pulse, StoreError};

/// How old a look may be that is shared.
const FRESH: Millis = 900;
/// How many looks are kept.
const KEPT: usize = 1_000;
/// The shortest span that a rate is told of.
const SPAN: Millis = 2 * SECOND;

/// How far a campaign is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Progress {
    /// Its calls, counted.
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Calls that are not over.
    pub(super) open: i64,
    /// Of these, calls that wait, whatever for.
    pub(super) waiting: i64,
    /// Of these, calls that wait for nothing but their turn.
    pub(super) ready: i64,
    /// Of these, by what they wait for: `window`, `retry`, `frequency`, …
    pub(super) waiting_for: BTreeMap<String, i64>,
    /// Calls being dialed, ringing, talked in or wrapped up.
    pub(super) live: i64,
    /// Dials a minute, over the last minute; absent while nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dials_per_minute: Option<f64>,
    /// Calls that were over a minute, over the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended_per_minute: Option<f64>,
    /// When all its calls are over, at the pace of the last minute (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eta: Option<String>,
    /// In how many seconds that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eta_seconds: Option<u64>,
}

impl Progress {
    /// What the counters say, with the pace of the last minute.
    pub(super) fn of(counts: &CampaignCounts, pulses: &[Pulse], dials: bool, now: Millis) -> Self {
        let figures = Figures::of(&counts.counters);
        let open = counts.open();
        let first = pulses.iter().find(|p| p.at + MINUTE + 5 * SECOND >= now && p.at + SPAN <= now);
        let rate = |n: i64, was: i64, at: Millis| {
            let per_ms = (n - was).max(0) as f64 / (now - at) as f64;
            (per_ms * MINUTE as f64 * 10.0).round() / 10.0
        };
        let dials_per_minute = first.map(|p| rate(figures.started, p.started, p.at));
        let ended_per_minute = first.map(|p| rate(figures.ended, p.ended, p.at));
        let eta_seconds = ended_per_minute
            .filter(|rate| dials && open > 0 && *rate > 0.0)
            .map(|rate| (open as f64 / rate * 60.0).ceil() as u64);
        Self {
            open,
            waiting: counts.waiting(),
            ready: counts.ready,
            waiting_for: counts.waiting_for().map(|(reason, n, _)| (reason.to_owned(), n)).collect(),
            live: counts.under_way(),
            dials_per_minute,
            ended_per_minute,
            eta: eta_seconds.map(|s| rfc3339(now + s * SECOND)),
            eta_seconds,
            figures,
        }
    }
}

impl Progress {
    /// Is nothing different but the clock?
    pub(super) fn is_as_far_as(&self, other: &Self) -> bool {
        let timeless = |it: &Self| Self { eta: None, ..it.clone() };
        timeless(self) == timeless(other)
    }
}

/// Looks of the last second, shared.
#[derive(Default)]
pub(in crate::api) struct Looks(Mutex<HashMap<CampaignId, (Millis, Arc<Progress>)>>);

impl Looks {
    fn known(&self, id: &CampaignId, now: Millis) -> Option<Arc<Progress>> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(id).filter(|(at, _)| now.saturating_sub(*at) < FRESH).map(|(_, it)| Arc::clone(it))
    }

    fn keep(&self, id: &CampaignId, now: Millis, it: &Arc<Progress>) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= KEPT {
            looks.retain(|_, (at, _)| now.saturating_sub(*at) < FRESH);
        }
        looks.insert(id.clone(), (now, Arc::clone(it)));
    }
}

/// How far a campaign is now.
pub(super) async fn now(app: &App, it: &Campaign) -> Result<Progress, StoreError> {
    let counts = app.store().campaign_counts(&it.id).await?;
    let pulses = app.store().pulses(&it.id).await?;
    Ok(Progress::of(&counts, &pulses, it.state.dials(), app.api.clock.now()))
}

/// How far a campaign was within the last second.
pub(super) async fn lately(app: &App, it: &Campaign) -> Result<Arc<Progress>, StoreError> {
    let at = app.api.clock.now();
    if let Some(known) = app.looks.known(&it.id, at) {
        return Ok(known);
    }
    let look = Arc::new(now(app, it).await?);
    app.looks.keep(&it.id, at, &look);
    Ok(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_the_last_minute() {
        let rows = [("accepted", 100), ("started", 60), ("ended", 40)];
        let counters = rows.into_iter().map(|(n, c)| (n.to_owned(), c)).collect();
        let counts = CampaignCounts { counters, ready: 40 };
        let pulses = [
            Pulse { at: 1_000, started: 0, ended: 0 },
            Pulse { at: 100_000, started: 30, ended: 20 },
            Pulse { at: 129_000, started: 59, ended: 40 },
        ];
        let it = Progress::of(&counts, &pulses, true, 130_000);
        assert_eq!((it.dials_per_minute, it.ended_per_minute), (Some(60.0), Some(40.0)));
        assert_eq!((it.open, it.live, it.waiting, it.eta_seconds), (60, 20, 40, Some(90)));
        assert_eq!(Progress::of(&counts, &pulses, false, 130_000).eta, None, "nothing comes of a paused one");
        assert_eq!(Progress::of(&counts, &pulses[2..], true, 130_000).ended_per_minute, None);
        assert_eq!(Progress::of(&CampaignCounts::default(), &pulses, true, 130_000).eta, None);
    }
}
