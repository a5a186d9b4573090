//! The worker: it claims what is due and hands each call by its state to dialing, watching or wrap-up. Between two rounds
//! it keeps what it saw waiting, what the last permit planned, and when each shard is to be looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::clock::Millis;
use crate::base::telemetry::Metrics;
use crate::dialing::{Admitted, DialOrder, Dialer, Hopper};
use crate::domain::call::{Call, Phase};
use crate::domain::ids::{CampaignId, SHARDS, Shard};
use crate::store::{Claimed, Claims, StoreError, Wants};
use crate::wrapup::WrapUp;

/// Shards asked at once.
const WIDTH: usize = 16;
/// Calls under way that one claim brings from a shard at most.
const LIVE_PER_SHARD: usize = 64;
/// Calls of the urgent lane that one claim brings from a shard at most.
const URGENT_PER_SHARD: usize = 8;
/// The most calls of campaigns that one round brings.
const MOST: usize = 1_000;
/// How soon a shard is looked at again in which calls wait and none is due.
const QUIET: Duration = Duration::from_millis(250);
/// How soon a shard is looked at again in which nothing waits and of which nothing is heard: a message that tells of a new
/// call may be lost. No longer than what the scripts pass over in silence, since it is due later than this.
const SWEEP: Duration = Duration::from_secs(1);
/// Between two rounds, at least.
const GAP: Duration = Duration::from_millis(5);
/// Shards whose looks lie closer together than this are asked in one round.
const TICK: Duration = Duration::from_millis(25);
/// Between two rounds that bring calls of campaigns, where the rate is what limits them: shorter than a permit's horizon,
/// so that the rate is used whole.
const BRING: Duration = Duration::from_millis(120);
/// Between two permits asked where calls wait and none may be brought: a pause or a full house ends within this time.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The pause after Redis did not answer.
const AWAY: Duration = Duration::from_millis(500);

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

/// Room for steps, and when they are not to begin and not to go on any more.
#[derive(Clone)]
struct Steps {
    room: Arc<Semaphore>,
    stop: CancellationToken,
    give_up: CancellationToken,
}

/// What a round leaves for the next.
struct Round {
    hopper: Hopper,
    /// When each shard is looked at again.
    looks: Vec<Instant>,
    /// When calls of campaigns are brought again, or a plan is asked for.
    bring: Instant,
    /// When calls of the urgent lane are brought again.
    urgent: Instant,
    swept: Instant,
    away: bool,
}

impl Round {
    fn new() -> Self {
        let now = Instant::now();
        // Spread, so that quiet shards are not all asked at the same moment.
        let looks = (0..u32::from(SHARDS)).map(|i| now + SWEEP * i / u32::from(SHARDS)).collect();
        let hopper = Hopper::new(rand::random());
        Self { hopper, looks, bring: now, urgent: now, swept: now, away: false }
    }

    /// When a shard is to be looked at again, from what a claim of it brought.
    fn look_again(&mut self, shard: Shard, claims: &Claims, live: usize) {
        let now = Instant::now();
        let under_way = claims.calls.iter().filter(|c| c.call.phase() != Phase::Queued).count();
        let due = Duration::from_millis(claims.next_due.saturating_sub(claims.now));
        // What was brought may go back to where it waited.
        let quiet = claims.waiting.is_empty() && claims.calls.is_empty();
        let longest = if quiet { SWEEP } else { QUIET };
        let wait = match claims.next_due {
            _ if live > 0 && under_way >= live => Duration::ZERO,
            0 => longest,
            _ => due.clamp(TICK, longest),
        };
        let mut look = now + wait;
        if claims.urgent > 0 {
            look = look.min(self.urgent.max(now));
        }
        if let Some(at) = self.looks.get_mut(usize::from(shard.0)) {
            *at = look;
        }
    }

    /// Something came up in a shard.
    fn look_now(&mut self, shard: Shard) {
        if let Some(at) = self.looks.get_mut(usize::from(shard.0)) {
            *at = Instant::now();
        }
    }

    /// When calls of campaigns are brought again.
    fn bring_again(&mut self, admitted: &Admitted) {
        let now = Instant::now();
        if admitted.urgent_wait > 0 {
            self.urgent = now + Duration::from_millis(admitted.urgent_wait).clamp(TICK, QUIET);
        }
        if !admitted.permitted {
            return;
        }
        self.bring = now
            + match (self.hopper.has_plan(), admitted.asked > 0) {
                (false, _) => ASK_AGAIN,
                // There is none for those that dial, only campaigns to be brought to their ends.
                (true, false) if self.hopper.wants_plan() => TICK,
                // A plan that was asked for without calls in hand: it is what we waited for.
                (true, false) => Duration::ZERO,
                (true, true) if admitted.wait > 0 => BRING,
                (true, true) => TICK,
            };
    }
}

impl Worker {
    /// Works until `stop`, then lets the steps under way finish; those that still run at `give_up` are broken off and
    /// handed back.
    pub(super) async fn run(self, stop: CancellationToken, give_up: CancellationToken) {
        let worker = Arc::new(self);
        let steps = Steps { room: Arc::new(Semaphore::new(worker.concurrency)), stop: stop.clone(), give_up };
        let tasks = TaskTracker::new();
        let mut round = Round::new();
        worker.dialer.store.listen(&stop);
        let woken = &worker.dialer.store.wakes().calls;
        let (dialer, over) = (worker.dialer.clone(), stop.clone());
        tasks.spawn(async move { dialer.keep_reconciled(&over).await });
        while !stop.is_cancelled() {
            if !worker.dialer.store.clocks_agree() {
                // Others have right clocks, or nothing may be dialed: see `store::skew`.
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(AWAY) => continue,
                }
            }
            for shard in woken.take() {
                round.look_now(shard);
            }
            let next = match worker.round(&mut round, &steps, &tasks, &stop).await {
                Ok(next) => {
                    if std::mem::take(&mut round.away) {
                        tracing::info!("Redis is back; dialing goes on");
                    }
                    next
                }
                Err(error) => {
                    if !std::mem::replace(&mut round.away, true) {
                        tracing::error!(%error, "Redis is away; nothing is dialed until it is back");
                    }
                    Instant::now() + AWAY
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(if round.away { AWAY } else { GAP }) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = woken.wait() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// One round over the shards whose time has come. Answers when the next is due.
    async fn round(
        self: &Arc<Self>,
        round: &mut Round,
        steps: &Steps,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Instant, StoreError> {
        if round.swept.elapsed() > self.sweep_every {
            round.swept = Instant::now();
            self.dialer.sweep().await?;
        }
        self.dialer.take_back_unsent().await?;
        let now = Instant::now();
        let free = steps.room.available_permits();
        let mut wants = BTreeMap::new();
        if now >= round.bring && free > 0 {
            wants = round.hopper.wants(free.min(MOST));
        }
        let live = (free / 2).min(LIVE_PER_SHARD);
        let urgent = if now >= round.urgent { free.min(URGENT_PER_SHARD) } else { 0 };
        let claims = self.claim(round, wants, live, urgent).await;

        let mut waiting: Vec<Claimed> = Vec::new();
        let mut failure = None;
        for (shard, claims) in claims {
            let claims = match claims {
                Ok(claims) => claims,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            if claims.lost > 0 {
                self.metrics.violated("Q1", "an id without a record stood in a queue");
            }
            round.hopper.saw(shard, &claims);
            round.look_again(shard, &claims, live);
            for claimed in claims.calls {
                if claimed.call.phase() == Phase::Queued {
                    waiting.push(claimed);
                } else {
                    self.spawn(steps, tasks, claimed.call);
                }
            }
        }
        let plan_wanted = round.hopper.wants_plan() && Instant::now() >= round.bring;
        let dial = |order| self.spawn_dial(steps, tasks, stop, order);
        let most = free.min(MOST);
        let admitted = self.dialer.admit(waiting, &mut round.hopper, plan_wanted, most, stop, dial).await?;
        round.bring_again(&admitted);
        if let Some(error) = failure {
            return Err(error);
        }
        let mut next = round.looks.iter().copied().min().unwrap_or(now) + TICK / 2;
        if !round.hopper.is_empty() {
            next = next.min(round.bring);
        }
        // Where every step is taken nothing can be claimed.
        Ok(if live == 0 { next.max(now + TICK) } else { next.max(now + TICK / 5) })
    }

    /// Claims from every shard whose time has come or of which calls are wanted.
    async fn claim(
        &self,
        round: &Round,
        mut wants: BTreeMap<u16, Vec<(CampaignId, u32)>>,
        live: usize,
        urgent: usize,
    ) -> Vec<(Shard, Result<Claims, StoreError>)> {
        let soon = Instant::now() + TICK / 2;
        let asked: Vec<(Shard, Wants)> = (0..SHARDS)
            .zip(&round.looks)
            .filter_map(|(i, look)| {
                let rests = self.dialer.holds.has(Shard(i));
                let campaigns = wants.remove(&i).filter(|_| !rests);
                let urgent = if rests { 0 } else { urgent };
                let asked = campaigns.is_some() || *look <= soon;
                asked.then(|| (Shard(i), Wants { live, urgent, campaigns: campaigns.unwrap_or_default() }))
            })
            .collect();
        futures::stream::iter(asked)
            .map(|(shard, wants)| {
                let store = &self.dialer.store;
                async move { (shard, store.claim(shard, self.lease, &wants).await) }
            })
            .buffer_unordered(WIDTH)
            .collect()
            .await
    }

    fn spawn_dial(
        self: &Arc<Self>,
        steps: &Steps,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        order: DialOrder,
    ) {
        let (worker, stop) = (Arc::clone(self), stop.clone());
        // It counts among the steps and waits for none: its moment would pass.
        let step = Arc::clone(&steps.room).try_acquire_owned().ok();
        tasks.spawn(async move {
            let _step = step;
            if let Err(error) = worker.dialer.dial(order, &stop).await {
                tracing::warn!(%error, "a dial was left to its lease");
            }
        });
    }

    /// Takes a call its next step. One that has not begun when the node is told to stop is handed back, as is one that
    /// takes too long then: a step may be broken off anywhere, as by a crash, and the next node makes it anew.
    fn spawn(self: &Arc<Self>, steps: &Steps, tasks: &TaskTracker, call: Call) {
        let (worker, steps) = (Arc::clone(self), steps.clone());
        tasks.spawn(async move {
            let (id, epoch) = (call.id.clone(), call.head.epoch);
            let done = tokio::select! {
                biased;
                () = steps.give_up.cancelled() => None,
                done = worker.step(&steps, call) => done,
            };
            match done {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(call_id = %id, %error, "a step was left to its lease"),
                None => match worker.dialer.store.hand_back(&id, epoch).await {
                    Ok(()) => tracing::info!(call_id = %id, "a step was handed back"),
                    Err(error) => tracing::warn!(call_id = %id, %error, "a step was left to its lease"),
                },
            }
        });
    }

    /// `None` where it was not begun.
    async fn step(&self, steps: &Steps, call: Call) -> Option<Result<(), StoreError>> {
        let _step = tokio::select! {
            biased;
            step = steps.room.acquire() => step,
            () = steps.stop.cancelled() => return None,
        };
        Some(match call.phase() {
            Phase::WrapUp => self.wrapup.run(call).await,
            Phase::Ended => self.wrapup.archive_recording(call).await,
            _ => self.dialer.watch(call).await,
        })
    }
}
