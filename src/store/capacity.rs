//! Calls per second and calls at once, for the whole fleet: one place grants both.

use fred::prelude::*;

use crate::base::clock::Millis;
use crate::domain::ids::CallId;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// A call that asks for a moment and a slot.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which call.
    pub id: CallId,
    /// The epoch of its claim.
    pub epoch: u32,
    /// May it take what is kept for urgent calls?
    pub urgent: bool,
}

/// What was granted.
#[derive(Debug, Default)]
pub struct Permits {
    /// Redis' time, ms.
    pub now: Millis,
    /// Slots left after these grants.
    pub free: u64,
    /// How long until the rate allows the next dial, ms.
    pub wait: Millis,
    /// For each ask, in order: `Ok(ms from now to the earliest POST)` or `Err(ms to wait before asking again)`.
    pub grants: Vec<Result<Millis, Millis>>,
}

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
    /// Asks for moments and slots, and gives slots back (by call and the newest epoch that may hold it).
    ///
    /// # Errors
    /// Where Redis does not answer: nothing may be dialed then.
    pub async fn permit(
        &self,
        limits: (f64, u32),
        horizon: Millis,
        asks: &[Ask],
        releases: &[(CallId, u32)],
    ) -> Result<Permits, StoreError> {
        let (cps, cap) = limits;
        // 1 % of the slots, at least one, is kept for urgent calls; a cap of one has nothing to keep.
        let reserve = if cap > 1 { (cap / 100).max(1) } else { 0 };
        let asks_json = asks.iter().map(|a| (a.id.as_str(), a.epoch, u8::from(a.urgent))).collect::<Vec<_>>();
        let releases_json = releases.iter().map(|(id, e)| (id.as_str(), *e)).collect::<Vec<_>>();
        let args = vec![
            cps.to_string(),
            cap.to_string(),
            reserve.to_string(),
            horizon.to_string(),
            serde_json::to_string(&asks_json).unwrap_or_default(),
            serde_json::to_string(&releases_json).unwrap_or_default(),
        ];
        let keys = vec![slots_key(), keys::fleet("CAPACITY_RATE")];
        let answer = scripts::PERMIT.run(self, keys, args).await?.into_array();
        let at = |i: usize| u64::try_from(scripts::number(answer.get(i))).unwrap_or(0);
        let now = at(0);
        let grants = answer
            .get(3..)
            .unwrap_or_default()
            .iter()
            .map(|v| match scripts::number(Some(v)) {
                n if n < 0 => Err(n.unsigned_abs()),
                n => Ok(n.unsigned_abs().saturating_sub(now)),
            })
            .collect();
        Ok(Permits { now, free: at(1), wait: at(2), grants })
    }

    /// Gives slots back.
    ///
    /// # Errors
    /// Where Redis does not answer; the sweep gives them back later.
    pub async fn release(&self, releases: &[(CallId, u32)]) -> Result<(), StoreError> {
        if releases.is_empty() {
            return Ok(());
        }
        self.permit((0.0, 0), 0, &[], releases).await.map(drop)
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
