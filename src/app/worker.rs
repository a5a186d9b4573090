//! The worker: it claims what is due and hands each call by its state to dialing, watching or wrap-up. It keeps nothing
//! between two rounds but the budget that the last permit gave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::clock::Millis;
use crate::base::telemetry::Metrics;
use crate::dialing::{Budget, Dialer};
use crate::domain::call::{Call, Phase};
use crate::domain::ids::{SHARDS, Shard};
use crate::store::{Claimed, StoreError, Suppression};
use crate::wrapup::WrapUp;

/// Shards asked at once.
const WIDTH: usize = 16;
/// Calls under way that one claim brings from a shard at most.
const LIVE_PER_SHARD: usize = 64;
/// The longest wait between two rounds: what another node queued is seen within this time.
const ROUND: Duration = Duration::from_millis(150);

/// A node's worker.
#[derive(Clone)]
pub(super) struct Worker {
    /// Dialing.
    pub dialer: Dialer,
    /// What comes after the hang-up.
    pub wrapup: WrapUp,
    /// Counters.
    pub metrics: Metrics,
    /// How long a claim is ours, ms.
    pub lease: Millis,
    /// How often slots are compared with records.
    pub sweep_every: Duration,
    /// Steps that run at once.
    pub concurrency: usize,
}

/// What a round leaves for the next.
struct Round {
    budget: Budget,
    shard: u16,
    prefixes: Vec<Suppression>,
    prefixes_read: Option<Instant>,
    swept: Instant,
    away: bool,
}

impl Worker {
    /// Works until `stop`, then lets the steps under way finish.
    pub(super) async fn run(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        let steps = Arc::new(Semaphore::new(worker.concurrency));
        let tasks = TaskTracker::new();
        let mut round = Round {
            budget: Budget { ready: 1, urgent: 1, wait: ROUND },
            shard: rand::random::<u16>() % SHARDS,
            prefixes: Vec::new(),
            prefixes_read: None,
            swept: Instant::now(),
            away: false,
        };
        while !stop.is_cancelled() {
            let began = Instant::now();
            let wait = match worker.round(&mut round, &steps, &tasks).await {
                Ok(wait) => {
                    if std::mem::take(&mut round.away) {
                        tracing::info!("Redis is back; dialing goes on");
                    }
                    wait
                }
                Err(error) => {
                    if !std::mem::replace(&mut round.away, true) {
                        tracing::error!(%error, "Redis is away; nothing is dialed until it is back");
                    }
                    Duration::from_millis(500)
                }
            };
            let pause = wait.saturating_sub(began.elapsed());
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// One round over all shards. Answers how long the next may wait.
    async fn round(
        self: &Arc<Self>,
        round: &mut Round,
        steps: &Arc<Semaphore>,
        tasks: &TaskTracker,
    ) -> Result<Duration, StoreError> {
        if round.prefixes_read.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            round.prefixes = self.dialer.store.prefixes().await?;
            round.prefixes_read = Some(Instant::now());
        }
        if round.swept.elapsed() > self.sweep_every {
            round.swept = Instant::now();
            self.dialer.sweep().await?;
        }
        let free = steps.available_permits();
        let live = (free / 2).min(LIVE_PER_SHARD);
        let Budget { ready, urgent, wait } = round.budget;
        let (ready, urgent) = (ready.min(free), urgent.min(free));
        // What may be claimed is spread over the shards, and where it is less than they are, the first shard rotates.
        let share = ready.div_ceil(usize::from(SHARDS));
        let served = if share == 0 { 0 } else { ready.div_ceil(share) };
        round.shard = (round.shard + u16::try_from(served).unwrap_or(1).max(1)) % SHARDS;
        let first = round.shard;
        let claims: Vec<_> = futures::stream::iter(0..SHARDS)
            .map(|i| {
                let shard = Shard((first + i) % SHARDS);
                let ready = if usize::from(i) < served.max(1) { share } else { 0 };
                let store = &self.dialer.store;
                async move { store.claim(shard, self.lease, live, ready, urgent.min(8)).await }
            })
            .buffer_unordered(WIDTH)
            .collect()
            .await;

        let mut waiting: Vec<Claimed> = Vec::new();
        let mut next_due: Option<Millis> = None;
        let (mut now, mut ready_left, mut worked) = (0, false, false);
        let mut failure = None;
        for claim in claims {
            let claim = match claim {
                Ok(claim) => claim,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            if claim.lost > 0 {
                self.metrics.violated("Q1", "an id without a record stood in a queue");
            }
            now = claim.now;
            ready_left |= claim.ready_left;
            if claim.next_due > 0 {
                next_due = Some(next_due.map_or(claim.next_due, |due: Millis| due.min(claim.next_due)));
            }
            worked |= !claim.calls.is_empty();
            for claimed in claim.calls {
                if claimed.call.phase() == Phase::Queued {
                    waiting.push(claimed);
                } else {
                    self.spawn(steps, tasks, claimed.call);
                }
            }
        }
        // The permit grants in the order of asking: an urgent call never stands behind a list.
        waiting.sort_by_key(|claimed| claimed.call.campaign.is_some());
        let asked = !waiting.is_empty();
        round.budget = self
            .dialer
            .admit(waiting, &round.prefixes, |order| {
                let (worker, steps) = (Arc::clone(self), Arc::clone(steps));
                tasks.spawn(async move {
                    let _step = steps.acquire_owned().await;
                    let id = order.call.id.clone();
                    if let Err(error) = worker.dialer.dial(order).await {
                        tracing::warn!(call_id = %id, %error, "a dial was left to its lease");
                    }
                });
            })
            .await?;
        if let Some(error) = failure {
            return Err(error);
        }
        if asked && ready_left && round.budget.ready > 0 {
            return Ok(Duration::ZERO);
        }
        let until_due = next_due.map_or(ROUND, |due| Duration::from_millis(due.saturating_sub(now).max(5)));
        let pause = if worked { Duration::from_millis(20) } else { ROUND };
        Ok(pause.min(until_due).min(wait.max(Duration::from_millis(5))))
    }

    fn spawn(self: &Arc<Self>, steps: &Arc<Semaphore>, tasks: &TaskTracker, call: Call) {
        let (worker, steps) = (Arc::clone(self), Arc::clone(steps));
        tasks.spawn(async move {
            let _step = steps.acquire_owned().await;
            let id = call.id.clone();
            let done = match call.phase() {
                Phase::WrapUp => worker.wrapup.run(call).await,
                Phase::Ended => worker.wrapup.archive_recording(call).await,
                _ => worker.dialer.watch(call).await,
            };
            if let Err(error) = done {
                tracing::warn!(call_id = %id, %error, "a step was left to its lease");
            }
        });
    }
}
