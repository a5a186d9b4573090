//! After a failover: what the new primary may have forgotten is asked of the carrier before anything is dialed again.
//!
//! A dial that it forgot is a call that waits while its phone rings. Its callbacks adopt it, as does the answer of the
//! carrier in the hands of the worker that dialed; where both are lost the carrier's list of its recent calls knows it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::base::clock::{MINUTE, Millis, SECOND};
use crate::carrier::twilio::{CallView, CarrierError};
use crate::dialing::Dialer;
use crate::dialing::watch::event_of;
use crate::domain::call::{Call, Event, Leg, Phase};
use crate::domain::ids::Shard;
use crate::store::{Held, StoreError};

/// How far back the carrier's calls are looked at: longer than replication lags behind in any Redis worth the name.
const REACH: Millis = MINUTE;
/// The carrier takes a dial this long after it was started at the most: our time-out and a second for clocks that differ.
const TAKEN_WITHIN: Millis = 10 * SECOND;
/// How much earlier than the start the carrier may say that it took it.
const SKEW: Millis = 3 * SECOND;
/// Before what could not be asked is asked again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Why the carrier's calls could not be compared with ours.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Carrier(#[from] CarrierError),
}

/// The shards from which this worker starts nothing.
#[derive(Debug, Default)]
pub struct Holds {
    shards: Mutex<HashSet<Shard>>,
    noted: Notify,
}

impl Holds {
    /// Notes a shard whose server has changed.
    pub(super) fn note(&self, shard: Shard) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(shard);
        self.noted.notify_one();
    }

    /// Does this shard rest?
    #[must_use]
    pub fn has(&self, shard: Shard) -> bool {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard)
    }

    fn set(&self, shards: impl Iterator<Item = Shard>) {
        *self.shards.lock().unwrap_or_else(PoisonError::into_inner) = shards.collect();
    }
}

impl Dialer {
    /// Opens shards whose server has changed once the carrier's recent calls were compared with ours; until `stop`.
    pub async fn keep_reconciled(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.holds.noted.notified() => {}
            }
            let (held, noticed) = (self.store.held().await, self.clock.now());
            self.holds.set(held.iter().map(|held| held.shard));
            if held.is_empty() {
                continue;
            }
            tracing::warn!(
                shards = held.len(),
                "a Redis primary was replaced or restarted; nothing is dialed from its shards until the carrier was asked"
            );
            // What was on its way to the carrier is known there by then.
            if !pause(self.config.hold, stop).await {
                return;
            }
            loop {
                match self.reconcile(&held, noticed).await {
                    Ok(adopted) => {
                        tracing::info!(
                            shards = held.len(),
                            adopted,
                            "the carrier was asked; dialing goes on"
                        );
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the carrier's recent calls could not be compared yet")
                    }
                }
                if !pause(AGAIN, stop).await {
                    return;
                }
            }
            self.holds.set(std::iter::empty());
        }
    }

    /// Compares the carrier's recent calls to persons of these shards with ours, adopts what we have forgotten, and
    /// opens the shards; answers how many were adopted.
    async fn reconcile(&self, held: &[Held], noticed: Millis) -> Result<usize, Trouble> {
        let shards: HashSet<Shard> = held.iter().map(|held| held.shard).collect();
        let mut of_number: BTreeMap<String, Vec<CallView>> = BTreeMap::new();
        for leg in self.twilio.recent(noticed.saturating_sub(REACH)).await? {
            let ours = leg.parent_sid.is_none() && leg.direction.starts_with("outbound");
            if ours && shards.contains(&Shard::of(&leg.to)) {
                of_number.entry(leg.to.clone()).or_default().push(leg);
            }
        }
        let mut adopted = 0;
        for (number, mut legs) in of_number {
            legs.sort_by_key(|leg| leg.created_at);
            if self.adopt_forgotten(&number, &legs).await? {
                adopted += 1;
            }
        }
        for held in held {
            self.store.open_for(held).await?;
        }
        Ok(adopted)
    }

    /// Adopts the leg to this number that none of our records knows, if there is one and a call that waits for it.
    async fn adopt_forgotten(&self, number: &str, legs: &[CallView]) -> Result<bool, Trouble> {
        let open = self.store.open_calls(number).await?;
        let calls: Vec<Call> = self.store.load_many(&open).await?.into_iter().flatten().collect();
        let waiting: Vec<&Call> = calls.iter().filter(|call| call.phase() == Phase::Queued).collect();
        if waiting.is_empty() {
            return Ok(false);
        }
        let started = self.store.dials(number).await?;
        let Some(leg) = forgotten(legs, &calls, started) else { return Ok(false) };
        let [call] = waiting.as_slice() else {
            // Its callbacks say whose it is.
            tracing::warn!(
                sid = leg.sid,
                calls = waiting.len(),
                "a forgotten dial could be of more than one call"
            );
            return Ok(false);
        };
        tracing::warn!(call_id = %call.id, phone_hash = %call.phone_hash, sid = leg.sid, "a forgotten dial was adopted");
        let own = Leg { attempt: call.body.attempt, sid: leg.sid.clone() };
        let Some(adopted) = self.apply((*call).clone(), Event::Accepted(own.clone())).await? else {
            return Ok(false);
        };
        if let Some(event) = event_of(leg, own) {
            self.apply(adopted, event).await?;
        }
        Ok(true)
    }
}

/// Waits; false where `stop` came first.
async fn pause(time: std::time::Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// The newest of the carrier's legs, given oldest first, that no record names and no start that we remember explains.
fn forgotten<'a>(legs: &'a [CallView], calls: &[Call], mut started: Vec<Millis>) -> Option<&'a CallView> {
    let named: HashSet<&str> = calls
        .iter()
        .flat_map(|call| {
            let past = call.body.past.iter().filter_map(|past| past.sid.as_deref());
            past.chain(call.state.sid()).chain(call.body.last_sid.as_deref())
        })
        .collect();
    let mut newest = None;
    for leg in legs {
        let Some(taken) = leg.created_at else { continue };
        let explains = |start: &Millis| *start <= taken + SKEW && taken <= *start + TAKEN_WITHIN;
        match started.iter().position(explains) {
            Some(i) => drop(started.remove(i)),
            None if named.contains(leg.sid.as_str()) => {}
            None => newest = Some(leg),
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::twilio::wire::CallStatus;
    use crate::domain::call::{Body, PastAttempt};
    use crate::domain::ids::{CallId, PhoneHash};
    use crate::domain::phone::Phone;

    fn leg(sid: &str, created_at: Millis) -> CallView {
        CallView {
            sid: sid.into(),
            status: CallStatus::Busy,
            direction: "outbound-api".into(),
            to: "+14155550100".into(),
            from: "+14155550199".into(),
            created_at: Some(created_at),
            started_at: None,
            ended_at: None,
            duration_s: None,
            answered_by: None,
            parent_sid: None,
        }
    }

    #[test]
    fn a_leg_is_forgotten_that_neither_a_record_nor_a_start_explains() {
        let phone = Phone::from_e164("+14155550100").expect("a number");
        let (id, hash) = (CallId::new(Shard(7)), PhoneHash::of(b"a key", phone.e164()));
        let mut call = Call::new(id, hash, None, Body::new(phone, 1));
        let at = 1_000_000;
        let sid = |found: Option<&CallView>| found.map(|leg| leg.sid.clone());
        let calls = [call.clone()];
        assert_eq!(sid(forgotten(&[leg("CA1", at)], &calls, vec![])), Some("CA1".into()));
        assert_eq!(sid(forgotten(&[leg("CA1", at)], &calls, vec![at - 400])), None, "of a call that is over");
        assert_eq!(sid(forgotten(&[leg("CA1", at)], &calls, vec![at - 60_000])), Some("CA1".into()));
        let two = [leg("CA1", at - 30_000), leg("CA2", at)];
        assert_eq!(sid(forgotten(&two, &calls, vec![at - 30_100])), Some("CA2".into()));
        call.body.past.push(PastAttempt {
            attempt: 1,
            sid: Some("CA1".into()),
            dialed_at: None,
            ended_at: at,
            outcome: "busy".into(),
        });
        assert_eq!(sid(forgotten(&[leg("CA1", at)], &[call], vec![])), None, "a record names it");
    }
}
