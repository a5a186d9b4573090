//! Calls per second and calls at once, for the whole fleet: one place grants both, and learns from what became of them.

mod ask;
mod guard;
mod view;

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use fred::prelude::*;

use crate::base::clock::Millis;
use crate::domain::ids::{CallId, CampaignId};
use crate::store::connect::{Store, StoreError};
use crate::store::scripts::Args;
use crate::store::{keys, scripts};

pub use ask::{
    Account, Ask, Caller, Denial, Denied, Feedback, Grant, PacingTuning, Permits, Release, Request,
};
pub use guard::{FleetEvent, Gate, GateKind};
pub use view::{AccountView, BreakerView, CallerView, CampaignView, PacingView};

/// Waiting campaigns that one request names; of more than these, others each time.
const NAMED: usize = 256;

/// A slot that is held.
#[derive(Clone, Debug)]
pub struct Slot {
    /// By which call.
    pub id: CallId,
    /// Since which claim.
    pub epoch: u32,
    /// Since when, ms.
    pub since: Millis,
}

/// Who asks: the script shares the plan among those that asked of late, and learns how many of the calls that a node
/// was told to bring came to ask.
#[derive(Debug)]
pub(super) struct Asker {
    node: String,
    last: Mutex<Vec<(CampaignId, u32)>>,
}

impl Default for Asker {
    fn default() -> Self {
        Self { node: format!("{:016x}", rand::random::<u64>()), last: Mutex::default() }
    }
}

impl Asker {
    fn take(&self) -> Vec<(CampaignId, u32)> {
        std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, plan: Vec<(CampaignId, u32)>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }
}

pub(super) fn slots_key() -> String {
    keys::fleet("CAPACITY_SLOTS")
}
pub(super) fn live_key() -> String {
    keys::fleet("CAPACITY_LIVE")
}
pub(super) fn fleet_key() -> String {
    keys::fleet("CAPACITY")
}
pub(super) fn share_key() -> String {
    keys::fleet("CAPACITY_SHARE")
}
pub(super) fn breakers_key() -> String {
    keys::fleet("BREAKERS")
}
pub(super) fn events_key() -> String {
    keys::fleet("FLEET_EVENTS")
}
pub(super) fn answers_key() -> String {
    keys::fleet("CALLER_ANSWERS")
}
pub(super) fn braked_key() -> String {
    keys::fleet("BRAKED")
}

impl Store {
    /// How far ahead a dial may be promised to a campaign's call, ms.
    pub const HORIZON: Millis = 200;

    /// Asks for moments, slots and numbers, gives slots back, and learns what to claim next.
    ///
    /// # Errors
    /// Where Redis does not answer: nothing may be dialed then.
    pub async fn permit(&self, request: Request<'_>) -> Result<Permits, StoreError> {
        self.run_permit(request, true).await
    }

    /// Gives slots back.
    ///
    /// # Errors
    /// Where Redis does not answer; the sweep gives them back later.
    pub async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        if releases.is_empty() {
            return Ok(());
        }
        self.tell(releases, &Feedback::default()).await
    }

    /// Tells the answer-rate controllers that these calls are being talked on. A call that holds no slot, or was told of
    /// before, changes nothing.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn answered(&self, calls: &[CallId]) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        self.tell(&[], &Feedback { answered: calls.to_vec(), ..Feedback::default() }).await
    }

    /// What became of calls, without asking for anything.
    async fn tell(&self, releases: &[Release], feedback: &Feedback) -> Result<(), StoreError> {
        let request = Request {
            account: Account::default(),
            callers: &[],
            asks: &[],
            waiting: &[],
            releases,
            feedback,
            most: 0,
        };
        self.run_permit(request, false).await.map(drop)
    }

    /// `knows`: are the request's limits the account's, or only there to fill the place?
    async fn run_permit(&self, request: Request<'_>, knows: bool) -> Result<Permits, StoreError> {
        let brought = if request.most > 0 { self.asker.take() } else { Vec::new() };
        let keys = vec![
            slots_key(),
            live_key(),
            fleet_key(),
            share_key(),
            breakers_key(),
            events_key(),
            keys::fleet("CAPACITY_ASKERS"),
            answers_key(),
            braked_key(),
        ];
        let args = arguments(&request, &self.asker.node, &brought, knows);
        let answer = scripts::PERMIT.run(self, keys, args).await?.into_array();
        let permits = read(&answer, request.asks.len()).ok_or(StoreError::Protocol("permit"))?;
        if request.most > 0 {
            self.asker.keep(permits.plan.clone());
        }
        Ok(permits)
    }

    /// How many slots are held.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn slots_held(&self) -> Result<u64, StoreError> {
        Ok(self.client().hlen(slots_key()).await?)
    }

    /// Every slot that is held, for the sweep.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn slots(&self) -> Result<Vec<Slot>, StoreError> {
        let all: std::collections::HashMap<String, String> = self.client().hgetall(slots_key()).await?;
        Ok(all
            .into_iter()
            .filter_map(|(id, held)| {
                let mut words = held.split(' ');
                let (epoch, since) = (words.next()?, words.next()?);
                Some(Slot { id: CallId::parse(&id)?, epoch: epoch.parse().ok()?, since: since.parse().ok()? })
            })
            .collect())
    }
}

/// A request as the script reads it; see the header of its first part.
fn arguments(request: &Request<'_>, node: &str, brought: &[(CampaignId, u32)], knows: bool) -> Args {
    let Request { account, callers, asks, waiting, releases, feedback, most } = request;
    // Beyond what one request names, each gets its turn by chance.
    let named = waiting.len().min(NAMED);
    let first = if named < waiting.len() { rand::random_range(0..waiting.len()) } else { 0 };
    let mut args = Args::with_room(32 + 5 * asks.len() + 3 * (named + releases.len()), 20);
    args.push_shown(account.max_cps);
    args.push_shown(account.max_concurrent);
    args.push_shown(Store::HORIZON);
    args.push_shown(most);
    args.push(node);
    args.push_shown(u8::from(knows));
    args.push(&account.tuning.wire());
    for n in [callers.len(), asks.len(), named, releases.len(), feedback.answered.len()] {
        args.push_shown(n);
    }
    for n in [feedback.accepted, feedback.failed, feedback.throttled] {
        args.push_shown(n);
    }
    for ms in [feedback.retry_after, feedback.queue_time] {
        args.push_shown(ms);
    }
    for caller in *callers {
        args.push(&caller.key);
        args.push_shown(caller.max_cps);
        args.push_shown(caller.max_concurrent);
        args.push_shown(caller.max_daily);
    }
    for ask in *asks {
        args.push(ask.id.as_str());
        args.push_shown(ask.epoch);
        args.push(ask.campaign.as_ref().map_or("-", CampaignId::as_str));
        args.push(&ask.destination);
        args.push_with(|out| {
            for (i, caller) in ask.callers.iter().enumerate() {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "{}{caller}", if i == 0 { "" } else { "," });
            }
        });
    }
    for (id, calls) in waiting.iter().cycle().skip(first).take(named) {
        let last = brought.iter().find(|(known, _)| known == id).map_or(0, |(_, n)| *n);
        args.push(id.as_str());
        args.push_shown(calls);
        args.push_shown(last);
    }
    for release in *releases {
        args.push(release.id.as_str());
        args.push_shown(release.epoch);
        args.push(release.outcome.map_or("-", |o| o.as_str()));
    }
    for id in &feedback.answered {
        args.push(id.as_str());
    }
    args
}

/// The script's answer; `None` where it is not what it should be.
fn read(answer: &[Value], asks: usize) -> Option<Permits> {
    let number = |i: usize| scripts::number(answer.get(i));
    let list = |i: usize| match answer.get(i) {
        Some(Value::Array(values)) => values.as_slice(),
        _ => &[],
    };
    let campaigns = |i: usize| -> Vec<CampaignId> {
        list(i).iter().filter_map(|v| CampaignId::parse(scripts::word(v))).collect()
    };
    let grants = list(3)
        .chunks_exact(2)
        .map(|pair| {
            let (when, what) = (scripts::number(pair.first()), scripts::number(pair.get(1)));
            Some(if when < 0 {
                Err(Denied { reason: Denial::of(what)?, wait: when.unsigned_abs() })
            } else {
                Ok(Grant { ahead: when.unsigned_abs(), caller: u16::try_from(what).ok()? })
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let plan = list(4)
        .chunks_exact(2)
        .filter_map(|pair| {
            let id = CampaignId::parse(scripts::word(pair.first()?))?;
            Some((id, u32::try_from(scripts::number(pair.get(1))).ok()?))
        })
        .collect();
    (grants.len() == asks && answer.len() == 7).then(|| Permits {
        now: number(0).unsigned_abs(),
        grants,
        plan,
        ended: campaigns(5),
        braked: campaigns(6),
        wait: number(2).unsigned_abs(),
        free: u64::try_from(number(1)).unwrap_or(u64::MAX),
    })
}
