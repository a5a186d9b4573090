//! Calls per second and calls at once, for the whole fleet: one place grants both.

mod ask;

use fred::prelude::*;

use crate::base::clock::Millis;
use crate::domain::ids::CallId;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

pub use ask::{Account, Ask, Caller, Denial, Denied, Feedback, Grant, Permits, Release, Request};

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

fn slots_key() -> String {
    keys::fleet("CAPACITY_SLOTS")
}

impl Store {
    /// How far ahead a dial may be promised to a campaign's call, ms.
    pub const HORIZON: Millis = 200;

    /// Asks for moments, slots and numbers, gives slots back, and learns what to claim next.
    ///
    /// # Errors
    /// Where Redis does not answer: nothing may be dialed then.
    pub async fn permit(&self, request: Request<'_>) -> Result<Permits, StoreError> {
        let Account { max_cps, max_concurrent: cap } = request.account;
        // 1 % of the slots, at least one, is kept for urgent calls; a cap of one has nothing to keep.
        let reserve = if cap > 1 { (cap / 100).max(1) } else { 0 };
        let asks = request
            .asks
            .iter()
            .map(|a| (a.id.as_str(), a.epoch, u8::from(a.campaign.is_none())))
            .collect::<Vec<_>>();
        let releases = request.releases.iter().map(|r| (r.id.as_str(), r.epoch)).collect::<Vec<_>>();
        let args = vec![
            max_cps.to_string(),
            cap.to_string(),
            reserve.to_string(),
            Self::HORIZON.to_string(),
            serde_json::to_string(&asks).unwrap_or_default(),
            serde_json::to_string(&releases).unwrap_or_default(),
        ];
        let keys = vec![slots_key(), keys::fleet("CAPACITY_RATE")];
        let answer = scripts::PERMIT.run(self, keys, args).await?.into_array();
        let at = |i: usize| u64::try_from(scripts::number(answer.get(i))).unwrap_or(0);
        let (now, free, wait) = (at(0), at(1), at(2));
        let grants = answer
            .get(3..)
            .unwrap_or_default()
            .iter()
            .zip(request.asks)
            .map(|(v, ask)| match scripts::number(Some(v)) {
                n if n < 0 => Err(Denied { reason: Denial::AccountCps, wait: n.unsigned_abs() }),
                n => Ok(Grant {
                    ahead: n.unsigned_abs().saturating_sub(now),
                    caller: ask.callers.first().copied().unwrap_or(0),
                }),
            })
            .collect();
        let next = u32::try_from(free).unwrap_or(u32::MAX).min(request.most);
        let plan =
            request.waiting.iter().map(|(id, n)| (id.clone(), next.min(u32::try_from(*n).unwrap_or(next))));
        Ok(Permits { now, grants, plan: plan.collect(), ended: Vec::new(), wait, free })
    }

    /// Gives slots back.
    ///
    /// # Errors
    /// Where Redis does not answer; the sweep gives them back later.
    pub async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        if releases.is_empty() {
            return Ok(());
        }
        let account = Account { max_cps: 0.0, max_concurrent: 0 };
        let feedback = Feedback::default();
        let request = Request {
            account,
            callers: &[],
            asks: &[],
            waiting: &[],
            releases,
            feedback: &feedback,
            most: 0,
        };
        self.permit(request).await.map(drop)
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
                let (epoch, since) = held.split_once(' ')?;
                Some(Slot { id: CallId::parse(&id)?, epoch: epoch.parse().ok()?, since: since.parse().ok()? })
            })
            .collect())
    }
}
