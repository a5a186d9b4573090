//! Another number of the same contact: a call of its own in that number's shard takes the place of the one that did not
//! get through. The child is written first, then the parent ends superseded; a node that dies between the two is
//! followed by another that finds the child under the same id.

use crate::dialing::Dialer;
use crate::domain::call::{Call, Event};
use crate::domain::disposition::Disposition;
use crate::store::{StoreError, Submitted};

impl Dialer {
    /// Hands a claimed call for which [`Call::waits_for_other_number`] holds over to the next of the contact's other
    /// numbers that is not on a do-not-call list. Where there is none it waits for another attempt to its own number, or
    /// ends as its last attempt did.
    ///
    /// # Errors
    /// Where Redis does not answer; the call comes due again by its lease, and handing over twice is the same.
    pub async fn hand_over(&self, call: Call) -> Result<(), StoreError> {
        let now = self.clock.now();
        if now >= call.expires_at() {
            return self.apply(call, Event::Expired).await.map(drop);
        }
        for (n, phone) in call.body.alternatives.iter().enumerate() {
            let hash = self.store.hash(phone.e164());
            let Some(child) = call.to_other_number(n, hash, now) else { continue };
            // A prefix on the list is seen by the child's own admission; a person is refused here already.
            match self.store.submit_one(&child, None, now).await? {
                Submitted::Suppressed | Submitted::OpenElsewhere => {}
                Submitted::Created | Submitted::Exists | Submitted::Repeat { .. } => {
                    tracing::info!(
                        call_id = %call.id, child = %child.id, phone_hash = %child.phone_hash,
                        "a call goes on at another number"
                    );
                    return self.supersede(call, child).await;
                }
            }
        }
        self.apply(call, Event::NoOtherNumber).await.map(drop)
    }

    async fn supersede(&self, call: Call, child: Call) -> Result<(), StoreError> {
        let id = call.id.clone();
        if self.apply(call, Event::Superseded).await?.is_some() {
            return Ok(());
        }
        // Somebody was faster: another node that hands over too, or a client that canceled. What is ended otherwise
        // goes on nowhere.
        let Some(parent) = self.store.load(&id).await? else { return Ok(()) };
        let ended = parent.ending().map(|ending| ending.disposition);
        if ended.is_some_and(|disposition| disposition != Disposition::Superseded) {
            self.apply(child, Event::Cancel).await?;
        }
        Ok(())
    }
}
