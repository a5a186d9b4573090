//! The fleet's capacity: who may dial when, from which number, and what stops it.

pub(super) mod guards;
pub(super) mod numbers;
pub(super) mod rate;
pub(super) mod share;

use std::cell::Cell;

use carillon::base::clock::{Clock, HOUR, Millis};
use carillon::domain::call::LegOutcome;
use carillon::domain::campaign::{Campaign, State};
use carillon::domain::ids::{CallId, CampaignId, Shard};
use carillon::store::{
    Account, Ask, Caller, Denial, Denied, Feedback, Grant, PacingTuning, Permits, Release, Request, Store,
};

use super::{Bed, config};

/// A round of a worker: what it asks with, and what it holds.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) account: Account,
    pub(super) callers: Vec<Caller>,
    pub(super) feedback: Feedback,
    pub(super) most: u32,
    next: Cell<u16>,
}

/// What was asked, and the answer.
pub(super) struct Round {
    pub(super) asks: Vec<Ask>,
    pub(super) permits: Permits,
}

impl Desk {
    /// A worker of its own, connected to the bed's Redis.
    pub(super) async fn of(bed: &Bed, max_cps: f64, max_concurrent: u32) -> Self {
        let store = Store::connect(config(bed.redis.url(), b"a key of the tests"), Clock::System).await;
        let store = store.unwrap_or_else(|error| panic!("{error}"));
        // Nothing is forgotten and nothing opens by itself while a test runs, however slow the machine is.
        let tuning = PacingTuning {
            breaker_window: HOUR,
            breaker_open: HOUR,
            breaker_open_most: HOUR,
            idle: HOUR,
            ..PacingTuning::default()
        };
        let account = Account { max_cps, max_concurrent, tuning };
        let (callers, feedback) = (vec![caller("a")], Feedback::default());
        Self { store, account, callers, feedback, most: 1_000, next: Cell::new(0) }
    }

    /// A call of `campaign` to `destination` that may be made from every number, in their order.
    pub(super) fn ask(&self, campaign: Option<&CampaignId>, destination: &str) -> Ask {
        self.next.set((self.next.get() + 1) % 64);
        Ask {
            id: CallId::new(Shard(self.next.get())),
            epoch: 1,
            campaign: campaign.cloned(),
            destination: destination.to_owned(),
            callers: (0..u16::try_from(self.callers.len()).expect("few")).collect(),
        }
    }

    pub(super) fn asks(&self, campaign: &CampaignId, count: u32) -> Vec<Ask> {
        (0..count).map(|_| self.ask(Some(campaign), "1415")).collect()
    }

    pub(super) async fn permit(&self, asks: Vec<Ask>, waiting: &[(CampaignId, u64)]) -> Round {
        let request = Request {
            account: self.account,
            callers: &self.callers,
            asks: &asks,
            waiting,
            releases: &[],
            feedback: &self.feedback,
            most: self.most,
        };
        let permits = self.store.permit(request).await.expect("redis answers");
        Round { asks, permits }
    }

    /// One call, alone.
    pub(super) async fn one(&self, ask: &Ask) -> Result<Grant, Denied> {
        self.permit(vec![ask.clone()], &[]).await.permits.grants[0]
    }

    /// What the carrier did, told once.
    pub(super) async fn tell(&self, feedback: Feedback) -> Permits {
        let request = Request {
            account: self.account,
            callers: &[],
            asks: &[],
            waiting: &[],
            releases: &[],
            feedback: &feedback,
            most: 1,
        };
        self.store.permit(request).await.expect("redis answers")
    }

    pub(super) async fn release(&self, ids: &[CallId], outcome: Option<LegOutcome>) {
        let releases: Vec<Release> =
            ids.iter().map(|id| Release { id: id.clone(), epoch: 1, outcome }).collect();
        self.store.release(&releases).await.expect("redis answers");
    }

    /// A leg of `campaign` to `destination` that ends as `outcome`.
    pub(super) async fn leg(&self, campaign: &CampaignId, destination: &str, outcome: LegOutcome) {
        let ask = self.ask(Some(campaign), destination);
        let grant = self.one(&ask).await;
        assert!(grant.is_ok(), "{grant:?}");
        self.release(&[ask.id], Some(outcome)).await;
    }
}

impl Round {
    /// The ids that were granted.
    pub(super) fn granted(&self) -> Vec<CallId> {
        self.asks
            .iter()
            .zip(&self.permits.grants)
            .filter(|(_, g)| g.is_ok())
            .map(|(ask, _)| ask.id.clone())
            .collect()
    }

    /// The moments that were granted, Redis' time.
    pub(super) fn moments(&self) -> Vec<Millis> {
        self.permits.grants.iter().filter_map(|g| Some(self.permits.now + g.ok()?.ahead)).collect()
    }

    /// Why the others were not.
    pub(super) fn reasons(&self) -> Vec<Denial> {
        self.permits.grants.iter().filter_map(|g| Some(g.err()?.reason)).collect()
    }

    pub(super) fn planned(&self, campaign: &CampaignId) -> u32 {
        self.permits.plan.iter().find(|(id, _)| id == campaign).map_or(0, |(_, n)| *n)
    }
}

pub(super) fn caller(key: &str) -> Caller {
    Caller { key: key.into(), max_cps: 0.0, max_concurrent: 0, max_daily: 0 }
}

pub(super) fn reason(answer: Result<Grant, Denied>) -> Option<Denial> {
    answer.err().map(|denied| denied.reason)
}

/// A running campaign, known to the store.
pub(super) async fn running(bed: &Bed, change: impl FnOnce(&mut Campaign)) -> Campaign {
    let mut campaign = Campaign::new(CampaignId::random(), Clock::System.now());
    campaign.state = State::Running;
    change(&mut campaign);
    bed.store.put_campaign(&campaign).await.expect("redis answers");
    campaign
}
