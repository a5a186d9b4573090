//! Verdicts on their way to Redis, gathered by shard: what was claimed together is settled together. A verdict waits only
//! while others of its shard are under way here, and never for long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::backoff;
use crate::domain::ids::{SHARDS, Shard};
use crate::store::{OutboxEntry, Settle, Store};

/// How long a verdict waits for others, at most.
const LINGER: Duration = Duration::from_millis(25);
/// Verdicts told in one step.
const MOST: usize = 64;
/// How often verdicts are told to a Redis that does not answer; after that the events are delivered again.
const TRIES: u32 = 3;

/// One shard's.
#[derive(Default)]
struct Gathered {
    /// Calls with events that were claimed and have no verdict.
    under_way: usize,
    verdicts: Vec<(OutboxEntry, Settle)>,
    /// Counts the times they were told: whoever lingers finds out whether somebody else told them.
    told: u64,
}

/// The verdicts of one node.
pub(super) struct Settling {
    store: Store,
    shards: Vec<Mutex<Gathered>>,
}

impl Settling {
    pub(super) fn new(store: Store) -> Self {
        Self { store, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn of<T>(&self, shard: Shard, with: impl FnOnce(&mut Gathered) -> T) -> T {
        let at = usize::from(shard.0) % self.shards.len();
        with(&mut self.shards[at].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So many calls of a shard have events that were claimed; each will have its verdicts.
    pub(super) fn expect(&self, shard: Shard, n: usize) {
        self.of(shard, |its| its.under_way += n);
    }

    /// Takes the verdicts on a call's events, in their order, and answers once they were told, or left to somebody who
    /// will tell them.
    pub(super) async fn settle(&self, shard: Shard, verdicts: Vec<(OutboxEntry, Settle)>) {
        enum Next {
            Tell(Vec<(OutboxEntry, Settle)>),
            Linger(u64),
            Leave,
        }
        let take = |its: &mut Gathered| {
            its.told += 1;
            std::mem::take(&mut its.verdicts)
        };
        let next = self.of(shard, |its| {
            its.under_way = its.under_way.saturating_sub(1);
            let first = its.verdicts.is_empty();
            its.verdicts.extend(verdicts);
            if its.under_way == 0 || its.verdicts.len() >= MOST {
                Next::Tell(take(its))
            } else if first {
                Next::Linger(its.told)
            } else {
                Next::Leave
            }
        });
        let verdicts = match next {
            Next::Leave => return,
            Next::Tell(verdicts) => verdicts,
            Next::Linger(told) => {
                tokio::time::sleep(LINGER).await;
                self.of(shard, |its| if its.told == told { take(its) } else { Vec::new() })
            }
        };
        if !verdicts.is_empty() {
            self.tell(shard, &verdicts).await;
        }
    }

    async fn tell(&self, shard: Shard, verdicts: &[(OutboxEntry, Settle)]) {
        let asked: Vec<(&OutboxEntry, Settle)> =
            verdicts.iter().map(|(entry, verdict)| (entry, *verdict)).collect();
        for attempt in 1..=TRIES {
            match self.store.outbox_settle_many(shard, &asked).await {
                Ok((settled, is_due)) => {
                    if is_due {
                        self.store.wakes().outbox.mark(shard);
                    }
                    for ((entry, _), _) in verdicts.iter().zip(settled).filter(|(_, settled)| !settled) {
                        tracing::info!(call_id = %entry.call_id, event = entry.id, "webhook was settled before");
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(shard = shard.0, events = verdicts.len(), %error, "webhooks are not settled");
                    let wait = backoff::delay(attempt, &backoff::Policy::SERVICE, u64::from(shard.0));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}
