//! Takes events out of the outbox, delivers them, settles them. Any number of pumps may run on one Redis: an event is
//! leased to one of them, and only a call's first undelivered event is ever due, which keeps a call's events in order.
//!
//! A dead endpoint stands in nobody's way: it has few places of its own, its breaker opens after some failures, and what
//! waits for it is put back, which is no attempt.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::BreakerPolicy;
use super::deliver::{Deliverer, Verdict, next_delay, seed_of};
use super::endpoints::{Endpoint, Endpoints};
use super::settling::Settling;
use crate::base::backoff;
use crate::base::clock::{Clock, DAY, Millis, SECOND};
use crate::base::fault;
use crate::base::telemetry::Metrics;
use crate::domain::ids::{SHARDS, Shard};
use crate::store::{OutboxClaims, OutboxEntry, Settle, Store, StoreError};

/// Shards asked at once.
const CLAIMS_AT_ONCE: usize = 2;
/// Events of a call that are delivered one after the other under one lease, beside the first.
const FOLLOWING: usize = 7;
/// Endpoints of one shard that one claim takes.
const ENDPOINTS: usize = 32;
/// How long a shard is not looked at in which nothing is due and of which nothing is heard: a message that tells of a new
/// event may be lost.
const SWEEP: Duration = Duration::from_secs(5);
/// Shards whose looks lie closer together than this are looked at in one round.
const TOGETHER: Duration = Duration::from_millis(50);
/// Between two rounds, at least.
const GAP: Duration = Duration::from_millis(5);
/// How soon events are looked at again whose endpoints had no seats left here.
const CROWDED: Duration = Duration::from_millis(25);
/// Shards in a row in which there was nothing but such events; then the round is over.
const CROWDED_MOST: usize = 4;
/// How soon a node whose clock is wrong looks whether it still is.
const ASKEW: Duration = Duration::from_millis(250);
/// An event that is pending for longer is parked when it fails once more.
const LONGEST_PENDING: Millis = 7 * DAY;
/// How long an event is put back whose endpoint has no place left here.
const PUT_BACK: Millis = SECOND;
/// Beyond the delivery time-out: reading the end of an answer, and Redis.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a claimed event may wait here for a place, at most; where a receiver gets less time than that to answer, so
/// does the queue. It is part of the lease, which is what passes until another node takes over after a crash.
const QUEUE_TIME: Duration = Duration::from_secs(20);
/// How events are retried and how many leave at once.
#[derive(Clone, Debug)]
pub struct PumpConfig {
    /// Attempts after the first (`WEBHOOK_MAX_RETRIES`); then it is a dead letter.
    pub max_retries: u32,
    /// The waits between attempts.
    pub backoff: backoff::Policy,
    /// When an endpoint is given a rest.
    pub breaker: BreakerPolicy,
    /// Events of one endpoint that may wait here for a place (`WEBHOOK_BATCH_SIZE`).
    pub batch_size: usize,
    /// The longest pause between two looks, also while Redis is away (`WEBHOOK_PROCESS_INTERVAL`).
    pub process_interval: Duration,
    /// The deliverer's own time-out (`WEBHOOK_TIMEOUT`); leases are longer.
    pub timeout: Duration,
    /// Deliveries at once.
    pub concurrency: usize,
    /// Deliveries at once to one endpoint.
    pub per_endpoint: usize,
}

impl Default for PumpConfig {
    fn default() -> Self {
        Self {
            max_retries: 5,
            backoff: backoff::Policy::WEBHOOK,
            breaker: BreakerPolicy::default(),
            batch_size: 50,
            process_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            concurrency: 128,
            per_endpoint: 16,
        }
    }
}

/// The outbox pump of one node. Cheap to clone; clones share breakers and places.
#[derive(Clone)]
pub struct Pump {
    inner: Arc<Inner>,
    give_up: CancellationToken,
}

struct Inner {
    store: Store,
    deliverer: Deliverer,
    config: PumpConfig,
    metrics: Metrics,
    clock: Clock,
    places: Semaphore,
    endpoints: Endpoints,
    settling: Settling,
    stop: CancellationToken,
}

/// When each shard is looked at again.
struct Looks {
    at: Vec<Instant>,
    /// Where the next round begins, so that no shard is always the last.
    turn: usize,
}

impl Looks {
    fn new(sweep: Duration) -> Self {
        let now = Instant::now();
        // Spread, so that quiet shards are not all asked at the same moment.
        Self { at: (0..u32::from(SHARDS)).map(|i| now + sweep * i / u32::from(SHARDS)).collect(), turn: 0 }
    }

    fn set(&mut self, shard: Shard, at: Instant) {
        if let Some(look) = self.at.get_mut(usize::from(shard.0)) {
            *look = at;
        }
    }

    /// Those whose time has come.
    fn due(&mut self) -> Vec<Shard> {
        let soon = Instant::now() + TOGETHER;
        let in_turn = Shard::all().skip(self.turn).chain(Shard::all().take(self.turn));
        in_turn.filter(|shard| self.at.get(usize::from(shard.0)).is_some_and(|at| *at <= soon)).collect()
    }

    fn next(&self) -> Instant {
        self.at.iter().copied().min().unwrap_or_else(Instant::now)
    }
}

impl Pump {
    /// A pump that ends when `stop` is cancelled.
    #[must_use]
    pub fn new(
        store: Store,
        deliverer: Deliverer,
        config: PumpConfig,
        metrics: Metrics,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        let mut config = config;
        // A probe that is still under way is not lost.
        let longest = millis(config.timeout + MARGIN);
        config.breaker.probe_lease = config.breaker.probe_lease.max(longest);
        config.concurrency = config.concurrency.max(1);
        config.per_endpoint = config.per_endpoint.clamp(1, config.concurrency);
        let places = Semaphore::new(config.concurrency);
        let endpoints = Endpoints::new(config.per_endpoint, config.batch_size);
        let settling = Settling::new(store.clone());
        let inner = Inner { store, deliverer, config, metrics, clock, places, endpoints, settling, stop };
        Self { inner: Arc::new(inner), give_up: CancellationToken::new() }
    }

    /// The same pump, which breaks off what it is delivering when `give_up` is cancelled: another node delivers it again
    /// at once, under the same id.
    #[must_use]
    pub fn giving_up(self, give_up: CancellationToken) -> Self {
        Self { give_up, ..self }
    }

    /// Delivers all that is due now and waits for what becomes of it. Answers of how many calls events were claimed, and when
    /// the next is due (ms; 0 = nothing waits).
    ///
    /// # Errors
    /// Where Redis does not answer. What was claimed is delivered all the same.
    pub async fn tick(&self) -> Result<(usize, Millis), StoreError> {
        let mut tasks = JoinSet::new();
        let (mut claimed, mut next_due, mut failed) = (0, 0, None);
        for shard in Shard::all() {
            let asked = Instant::now();
            match self.claim(shard, &[]).await {
                Ok(claims) => {
                    if claims.next_due > 0 && (next_due == 0 || claims.next_due < next_due) {
                        next_due = claims.next_due;
                    }
                    claimed += self.send(shard, claims, asked, &mut tasks);
                }
                Err(error) => failed = Some(error),
            }
        }
        while tasks.join_next().await.is_some() {}
        failed.map_or(Ok((claimed, next_due)), Err)
    }

    /// Pumps until it is stopped, then sees what is under way to its end (at most the delivery time-out and a margin).
    /// Redis being away is logged and waited out.
    pub async fn run(&self) {
        let inner = &self.inner;
        inner.store.listen(&inner.stop);
        let woken = &inner.store.wakes().outbox;
        let mut looks = Looks::new(SWEEP.min(inner.config.process_interval));
        let mut tasks = JoinSet::new();
        let mut failures = 0_u32;
        while !inner.stop.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            for shard in woken.take() {
                looks.set(shard, Instant::now());
            }
            let mut rest = GAP;
            if tasks.len() >= 4 * inner.config.concurrency {
                rest = CROWDED;
            } else if !inner.store.clocks_agree() {
                // Receivers would refuse its signatures, and each refusal is an attempt.
                rest = ASKEW;
            } else {
                match self.round(&mut looks, &mut tasks).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        tracing::warn!(%error, failures, "the outbox cannot be read");
                        rest = backoff::delay(
                            failures,
                            &backoff::Policy::SERVICE,
                            u64::from(std::process::id()),
                        )
                        .min(inner.config.process_interval);
                    }
                }
                inner.metrics.outbox_queue_size.set(inner.store.outbox_backlog());
            }
            tokio::select! {
                () = inner.stop.cancelled() => break,
                () = tokio::time::sleep(rest) => {}
            }
            tokio::select! {
                () = inner.stop.cancelled() => {}
                () = woken.wait() => {}
                () = tokio::time::sleep_until(looks.next()) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Claims from the shards whose time has come and sends each event on its way.
    async fn round(&self, looks: &mut Looks, tasks: &mut JoinSet<()>) -> Result<(), StoreError> {
        let inner = &self.inner;
        let sweep = SWEEP.min(inner.config.process_interval);
        let (mut crowded, mut failed) = (0, None);
        // What was asked is taken all the same: it is leased to us.
        let over = AtomicBool::new(false);
        let mut claims = stream::iter(looks.due())
            .take_while(|_| std::future::ready(!over.load(Ordering::Relaxed)))
            .map(|shard| async move {
                let passed_over = inner.endpoints.full(self.of_each() * CLAIMS_AT_ONCE);
                // Before the claim, so that a lease is never longer in our eyes than in Redis'.
                let asked = Instant::now();
                (shard, asked, self.claim(shard, &passed_over).await)
            })
            .buffered(CLAIMS_AT_ONCE);
        while let Some((shard, asked, claims)) = claims.next().await {
            let claims = match claims {
                Ok(claims) => claims,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            let stuck = claims.entries.is_empty() && claims.next_due > 0 && claims.next_due <= claims.now;
            let wait = match claims.next_due {
                0 => sweep,
                _ if stuck => CROWDED,
                due => Duration::from_millis(due.saturating_sub(claims.now)).min(sweep),
            };
            looks.set(shard, Instant::now() + wait);
            looks.turn = usize::from(shard.0) + 1;
            self.send(shard, claims, asked, tasks);
            crowded = if stuck { crowded + 1 } else { 0 };
            over.fetch_or(crowded >= CROWDED_MOST, Ordering::Relaxed);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Events of an endpoint that one claim takes.
    fn of_each(&self) -> usize {
        self.inner.config.batch_size.div_ceil(4).max(1)
    }

    fn queue_time(&self) -> Duration {
        QUEUE_TIME.min(self.inner.config.timeout)
    }

    async fn claim(&self, shard: Shard, passed_over: &[String]) -> Result<OutboxClaims, StoreError> {
        let lease = self.inner.config.timeout + MARGIN + self.queue_time();
        let store = &self.inner.store;
        store.outbox_look(shard, millis(lease), self.of_each(), ENDPOINTS, FOLLOWING, passed_over).await
    }

    /// Sends what was claimed on its way, each call's events by themselves. Answers of how many calls.
    fn send(&self, shard: Shard, claims: OutboxClaims, asked: Instant, tasks: &mut JoinSet<()>) -> usize {
        let mut calls: Vec<VecDeque<OutboxEntry>> = Vec::new();
        for entry in claims.entries {
            match calls.last_mut().filter(|call| call.front().is_some_and(|e| e.call_id == entry.call_id)) {
                Some(call) => call.push_back(entry),
                None => calls.push(VecDeque::from([entry])),
            }
        }
        self.inner.settling.expect(shard, calls.len());
        let (n, start_by) = (calls.len(), asked + self.queue_time());
        for events in calls {
            let pump = self.clone();
            tasks.spawn(async move {
                let verdicts = pump.handle(events, start_by).await;
                pump.inner.settling.settle(shard, verdicts).await;
            });
        }
        n
    }

    /// The claimed events of a call: a place for them, then one after the other until one is not settled for good. Each
    /// must be on its way by `start_by`.
    async fn handle(
        &self,
        mut events: VecDeque<OutboxEntry>,
        start_by: Instant,
    ) -> Vec<(OutboxEntry, Settle)> {
        let inner = &self.inner;
        let mut verdicts = Vec::with_capacity(events.len());
        let Some(first) = events.pop_front() else { return verdicts };
        let endpoint = inner.endpoints.get(&first.endpoint);
        let Ok(_seat) = endpoint.seats.try_acquire() else {
            return vec![(first, Settle::Back(inner.clock.now() + PUT_BACK))];
        };
        let deadline = tokio::time::sleep_until(start_by);
        let places = async {
            // The endpoint's own place first: whoever waits for a slow endpoint holds none of the common ones.
            let own = endpoint.places.acquire().await;
            (own, inner.places.acquire().await)
        };
        let _places = tokio::select! {
            places = places => places,
            () = deadline => return vec![(first, Settle::Back(inner.clock.now() + PUT_BACK))],
            () = inner.stop.cancelled() => return vec![(first, Settle::Back(inner.clock.now()))],
        };
        let mut next = Some(first);
        while let Some(entry) = next.take() {
            let (entry, verdict) = self.one(entry, &endpoint).await;
            verdicts.push((entry, verdict));
            let goes_on = matches!(verdict, Settle::Delivered | Settle::Dead);
            if goes_on && Instant::now() < start_by && !inner.stop.is_cancelled() {
                next = events.pop_front();
            }
        }
        verdicts
    }

    /// One event: the breaker's leave, the delivery, the verdict.
    async fn one(&self, mut entry: OutboxEntry, endpoint: &Endpoint) -> (OutboxEntry, Settle) {
        let inner = &self.inner;
        let now = inner.clock.now();
        let Some(until) = endpoint.wait(now, &inner.config.breaker) else {
            return self.deliver(entry, endpoint).await;
        };
        if now.saturating_sub(entry.created_at) > LONGEST_PENDING {
            entry.last_error.get_or_insert_with(|| "pending for more than 7 days".to_owned());
            entry.settled_at = Some(now);
            return (entry, Settle::Dead);
        }
        (entry, Settle::Back(until))
    }

    async fn deliver(&self, mut entry: OutboxEntry, endpoint: &Endpoint) -> (OutboxEntry, Settle) {
        let inner = &self.inner;
        fault::point("webhook_before_send");
        let began = Instant::now();
        let verdict = tokio::select! {
            biased;
            () = self.give_up.cancelled() => return (entry, Settle::Back(inner.clock.now())),
            verdict = inner.deliverer.deliver(&entry.url, &entry.id, entry.body.as_bytes(), inner.clock.now()) => verdict,
        };
        inner.metrics.webhook_delivery_duration.observe(began.elapsed().as_secs_f64());
        fault::point("webhook_after_send");
        let now = inner.clock.now();
        endpoint.learn(&verdict, now, &inner.config.breaker, seed_of(&entry.endpoint));
        entry.attempts = entry.attempts.saturating_add(1);
        let settle = inner.judge(&mut entry, &verdict, now);
        let status = match settle {
            Settle::Delivered => "delivered",
            Settle::Dead => "dead",
            Settle::Again(_) | Settle::Back(_) => "retry",
        };
        inner.metrics.webhook_deliveries.with_label_values(&[status]).inc();
        let (event, attempts) = (&entry.id, entry.attempts);
        let (call_id, kind, endpoint) = (&entry.call_id, &entry.kind, &entry.endpoint);
        match (&settle, &entry.last_error) {
            (Settle::Delivered, _) => {
                tracing::info!(%call_id, event, kind, endpoint, attempts, "webhook delivered");
            }
            (Settle::Dead, why) => {
                tracing::error!(%call_id, event, kind, endpoint, attempts, why, "webhook is a dead letter");
            }
            (Settle::Again(due) | Settle::Back(due), why) => {
                let wait_ms = due.saturating_sub(now);
                tracing::warn!(%call_id, event, kind, endpoint, attempts, why, wait_ms, "webhook failed");
            }
        }
        (entry, settle)
    }
}

impl Inner {
    fn judge(&self, entry: &mut OutboxEntry, verdict: &Verdict, now: Millis) -> Settle {
        let settle = match verdict {
            Verdict::Delivered { .. } => {
                entry.last_error = None;
                Settle::Delivered
            }
            Verdict::Dead { why, .. } => {
                entry.last_error = Some(why.clone());
                Settle::Dead
            }
            Verdict::Retry { why, after, .. } => {
                entry.last_error = Some(why.clone());
                let too_old = now.saturating_sub(entry.created_at) > LONGEST_PENDING;
                if entry.attempts > self.config.max_retries || too_old {
                    Settle::Dead
                } else {
                    let wait = next_delay(entry.attempts, *after, &self.config.backoff, seed_of(&entry.id));
                    Settle::Again(now.saturating_add(millis(wait)))
                }
            }
        };
        if matches!(settle, Settle::Delivered | Settle::Dead) {
            entry.settled_at = Some(now);
        }
        settle
    }
}

fn millis(d: Duration) -> Millis {
    Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX)
}
