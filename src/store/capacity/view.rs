//! Pacing explained: what the limits are now, who takes part, and why a campaign is not being dialed.

use std::collections::{BTreeMap, HashMap};

use fred::prelude::*;

use crate::base::clock::{DAY, Millis, SECOND};
use crate::domain::ids::CampaignId;
use crate::store::capacity::{
    Denial, Gate, GateKind, PacingTuning, answers_key, breakers_key, fleet_key, live_key, share_key,
};
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// The account's limits as they are now.
#[derive(Clone, Debug, Default, serde::Serialize, utoipa::ToSchema)]
pub struct AccountView {
    /// Calls started per second by our own limit; 0 = none.
    pub max_cps: f64,
    /// What the carrier's throttle and the gates leave of it; 0 with `held_until` in the future: nothing. Without a limit
    /// of ours and with none of theirs 0 too.
    pub cps: f64,
    /// The share that the carrier's throttle leaves, 1 = all.
    pub factor: f64,
    /// The carrier or a gate holds all dials until then, Unix ms; 0 = no.
    pub held_until: Millis,
    /// Calls at once; 0 = no limit.
    pub max_concurrent: u64,
    /// Slots held.
    pub slots: u64,
}

/// A campaign as pacing sees it.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CampaignView {
    /// Which.
    #[schema(value_type = String)]
    pub id: CampaignId,
    /// `run`, `hold` or `end`; `hold` too where pacing knows nothing of it.
    pub state: String,
    /// Its weight.
    pub weight: f64,
    /// Its part of all weights that compete now, 0 to 1; 0 = it does not compete.
    pub share: f64,
    /// Slots that its calls hold.
    pub live: u64,
    /// Of those, conversations, where an answer-rate controller counts them.
    pub answered: u64,
    /// The share that answers, as the controller learned it; `None`: it has not seen enough.
    pub answer_rate: Option<f64>,
    /// Why it is not dialed, or not faster.
    pub limit: Option<Denial>,
    /// Until when, Unix ms; 0: until something changes.
    pub until: Millis,
    /// Abandoned and live answers of the brake that stopped it, `4/112`.
    pub brake: Option<String>,
}

/// A breaker that is not closed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct BreakerView {
    /// `carrier`, `destination` or `caller`.
    pub kind: String,
    /// Which destination or caller; empty for the carrier.
    pub key: String,
    /// Does it let probes through?
    pub half_open: bool,
    /// Until when it is open, Unix ms.
    pub until: Millis,
}

/// A number we call from, by its key.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct CallerView {
    /// Its key.
    pub key: String,
    /// Slots that its calls hold.
    pub live: u64,
    /// Calls in this UTC day.
    pub today: u64,
    /// Most of them in a day; 0 = no limit.
    pub max_daily: u64,
    /// In quarantine until then, Unix ms; 0 = no.
    pub quarantined_until: Millis,
    /// Is it on probation after a quarantine?
    pub probing: bool,
    /// The share of its last legs that was answered, of those that rang; `None`: none rang.
    pub answer_rate: Option<f64>,
}

/// Why dialing goes as it goes.
#[derive(Clone, Debug, Default, serde::Serialize, utoipa::ToSchema)]
pub struct PacingView {
    /// The account.
    pub account: AccountView,
    /// The campaign that was asked for; else those seen within the last seconds.
    pub campaigns: Vec<CampaignView>,
    /// Gates that hold now.
    pub gates: Vec<Gate>,
    /// Breakers that are not closed.
    pub breakers: Vec<BreakerView>,
    /// Numbers we call from, that were used of late.
    pub callers: Vec<CallerView>,
}

type Hash = HashMap<String, String>;

fn number<T: std::str::FromStr + Default>(hash: &Hash, field: &str) -> T {
    hash.get(field).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The n-th number of an entry.
fn nth(entry: &str, n: usize) -> f64 {
    entry.split(' ').nth(n).and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// A moment that the script wrote.
fn millis(text: &str) -> Millis {
    text.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Store {
    /// What pacing does and why: of one campaign, or of all that are active. A picture for people, not a transaction.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn pacing(&self, campaign: Option<&CampaignId>) -> Result<PacingView, StoreError> {
        // Many reads at once make a large future; who asks does not carry it.
        Box::pin(self.read_pacing(campaign)).await
    }

    async fn read_pacing(&self, campaign: Option<&CampaignId>) -> Result<PacingView, StoreError> {
        let now = self.clock.now();
        let client = self.client();
        let (fleet, live, shares, open, answers, slots): (Hash, Hash, Hash, Hash, Hash, u64) = futures::try_join!(
            client.hgetall(fleet_key()),
            client.hgetall(live_key()),
            client.hgetall(share_key()),
            client.hgetall(breakers_key()),
            client.hgetall(answers_key()),
            client.hlen(super::slots_key()),
        )?;
        let step = fleet.get("tuning").map_or(0.0, |tuning| nth(tuning, 11));
        let gates: Vec<Gate> = GateKind::ALL
            .iter()
            .filter_map(|kind| Gate::parse(*kind, fleet.get(kind.field())?))
            .filter(|gate| gate.until > now)
            .collect();
        let account = account(&fleet, &gates, slots, step, now);

        let idle = fleet.get("tuning").map_or(PacingTuning::default().idle as f64, |tuning| nth(tuning, 13));
        let fresh = |entry: &String| now as f64 - nth(entry, 1) <= idle;
        let competes = |entry: &String| now as f64 - nth(entry, 2) <= SECOND as f64;
        let weights: f64 = shares.values().filter(|e| competes(e)).map(|e| nth(e, 3)).sum();
        let ids: Vec<CampaignId> = match campaign {
            Some(id) => vec![id.clone()],
            None => {
                shares.iter().filter(|(_, e)| fresh(e)).filter_map(|(id, _)| CampaignId::parse(id)).collect()
            }
        };
        let views = ids.into_iter().map(|id| {
            let entry = shares.get(id.as_str()).filter(|entry| fresh(entry)).cloned().unwrap_or_default();
            let share = if competes(&entry) && weights > 0.0 { nth(&entry, 3) / weights } else { 0.0 };
            self.campaign_view(id, entry, share, &live)
        });
        let mut campaigns: Vec<CampaignView> = futures::future::try_join_all(views).await?;
        campaigns.sort_by(|a, b| a.id.cmp(&b.id));

        let mut breakers: Vec<BreakerView> = open.iter().map(|(name, entry)| breaker(name, entry)).collect();
        breakers.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
        let mut used: BTreeMap<&str, (u64, &str)> =
            answers.iter().map(|(key, entry)| (key.as_str(), (0, entry.as_str()))).collect();
        for (key, count) in live.iter().filter_map(|(field, n)| Some((field.strip_prefix('@')?, n))) {
            used.entry(key).or_default().0 = count.parse().unwrap_or(0);
        }
        let callers = used.into_iter().map(|(key, (live, entry))| self.caller_view(key, live, entry, now));
        let callers = futures::future::try_join_all(callers).await?;
        Ok(PacingView { account, campaigns, gates, breakers, callers })
    }

    async fn campaign_view(
        &self,
        id: CampaignId,
        entry: String,
        share: f64,
        live: &Hash,
    ) -> Result<CampaignView, StoreError> {
        let pace: Hash = self.client().hgetall(keys::pace(&id)).await?;
        let brake = pace.get("brake").cloned();
        let state = match pace.get("state").map(String::as_str) {
            Some("run") if brake.is_some() => "hold",
            Some(known @ ("run" | "end")) => known,
            _ => "hold",
        };
        // The words of the last permit; what does not hang on one is known without: who runs again is no longer held.
        let last = Denial::of(nth(&entry, 7) as i64).filter(|last| *last != Denial::CampaignState);
        let limit = if state == "run" { last } else { Some(Denial::CampaignState) };
        Ok(CampaignView {
            state: state.to_owned(),
            weight: number(&pace, "weight"),
            share,
            live: number(live, id.as_str()),
            answered: number(live, &format!("={id}")),
            answer_rate: (number::<u64>(&pace, "legs") >= 30).then(|| number(&pace, "rate")),
            limit,
            until: if limit.is_some() && limit == last { nth(&entry, 8) as Millis } else { 0 },
            brake,
            id,
        })
    }

    async fn caller_view(
        &self,
        key: &str,
        live: u64,
        entry: &str,
        now: Millis,
    ) -> Result<CallerView, StoreError> {
        let kept: Hash = self.client().hgetall(format!("CALLER:{{cap}}:{key}")).await?;
        let (legs, answered) = (nth(entry, 0) + nth(entry, 2), nth(entry, 1) + nth(entry, 3));
        let is_today = number::<Millis>(&kept, "day") == now / DAY;
        let until: Millis = number(&kept, "till");
        Ok(CallerView {
            key: key.to_owned(),
            live,
            today: if is_today { number(&kept, "today") } else { 0 },
            max_daily: number(&kept, "daily"),
            quarantined_until: if until > now { until } else { 0 },
            probing: until <= now && number::<u32>(&kept, "level") > 0,
            answer_rate: (legs > 0.0).then(|| answered / legs),
        })
    }
}

fn account(fleet: &Hash, gates: &[Gate], slots: u64, step: f64, now: Millis) -> AccountView {
    let max_cps: f64 = number(fleet, "cps");
    let mut factor = fleet.get("factor").and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    if factor < 1.0 && step > 0.0 {
        let since = now.saturating_sub(fleet.get("factor_at").map_or(0, |text| millis(text)));
        factor = (factor + 0.1 * since as f64 / step).min(1.0);
    }
    let own = if max_cps > 0.0 { max_cps } else { number::<f64>(fleet, "unlimited").max(1.0) };
    let rate = (max_cps > 0.0 || factor < 1.0).then_some(own * factor);
    let rates = gates.iter().map(|gate| gate.max_cps).chain(rate);
    let holds = gates.iter().filter(|gate| gate.max_cps <= 0.0).map(|gate| gate.until);
    let held_until = holds.chain([number::<Millis>(fleet, "hold")]).max().unwrap_or(0);
    AccountView {
        max_cps,
        cps: if held_until > now { 0.0 } else { rates.reduce(f64::min).unwrap_or(0.0) },
        factor,
        held_until: if held_until > now { held_until } else { 0 },
        max_concurrent: number(fleet, "cap"),
        slots,
    }
}

fn breaker(name: &str, entry: &str) -> BreakerView {
    let (kind, key) = name.split_once(':').unwrap_or((name, ""));
    BreakerView {
        kind: kind.to_owned(),
        key: key.to_owned(),
        half_open: entry.starts_with('h'),
        until: nth(entry, 1) as Millis,
    }
}
