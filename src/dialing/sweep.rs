//! Capacity slots against records: a slot whose call holds no line any more was leaked by a dying node (K2).

use crate::dialing::Dialer;
use crate::domain::call::LegOutcome;
use crate::domain::ids::CallId;
use crate::store::{Release, StoreError};

impl Dialer {
    /// Gives leaked slots back; answers how many.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let (now, grace) = (self.clock.now(), self.config.slot_grace);
        let old: Vec<_> =
            self.store.slots().await?.into_iter().filter(|slot| slot.since + grace < now).collect();
        let mut leaked: Vec<Release> = Vec::new();
        for chunk in old.chunks(256) {
            let ids: Vec<CallId> = chunk.iter().map(|slot| slot.id.clone()).collect();
            for (slot, call) in chunk.iter().zip(self.store.load_many(&ids).await?) {
                if !call.is_some_and(|call| call.phase().holds_slot()) {
                    leaked.push(Release {
                        id: slot.id.clone(),
                        epoch: slot.epoch,
                        outcome: Some(LegOutcome::Other),
                    });
                }
            }
        }
        if !leaked.is_empty() {
            tracing::warn!(slots = leaked.len(), "slots that no call holds were given back");
            self.store.release(&leaked).await?;
        }
        Ok(leaked.len())
    }
}
