//! Takes events out of the outbox, delivers them, settles them. Any number of pumps may run on one Redis: an event is
//! leased to one of them, and only a call's first undelivered event is ever due, which keeps a call's events in order.
//!
//! A dead endpoint stands in nobody's way: it has few places of its own, its breaker opens after some failures, and what
//! waits for it is put back, which is no attempt.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::BreakerPolicy;
use super::deliver::{Deliverer, Verdict, next_delay, seed_of};
use super::endpoints::{Endpoint, Endpoints};
use crate::base::backoff;
use crate::base::clock::{Clock, DAY, Millis, SECOND};
use crate::base::fault;
use crate::base::telemetry::Metrics;
use crate::domain::ids::Shard;
use crate::store::{OutboxEntry, Settle, Store, StoreError};

/// Shards asked at once.
const CLAIMS_AT_ONCE: usize = 16;
/// Endpoints of one shard that one claim takes.
const ENDPOINTS: usize = 32;
/// How soon a new event is seen: there is no channel that tells of it.
const POLL: Duration = Duration::from_millis(250);
/// A pump does not look more often than this while it finds nothing.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// An event that is pending for longer is parked when it fails once more.
const LONGEST_PENDING: Millis = 7 * DAY;
/// How long an event is put back whose endpoint has no place left here.
const PUT_BACK: Millis = SECOND;
/// Beyond the delivery time-out: reading the end of an answer, and Redis.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a claimed event may wait here for a place, at most; where a receiver gets less time than that to answer, so
/// does the queue. It is part of the lease, which is what passes until another node takes over after a crash.
const QUEUE_TIME: Duration = Duration::from_secs(20);
/// How often the queue is counted for the gauge.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How often a verdict is told to a Redis that does not answer; after that the event is delivered again.
const SETTLE_TRIES: u32 = 3;

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
    stop: CancellationToken,
}

/// What one look brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Round {
    claimed: usize,
    /// The earliest due time of what is left, ms; 0 = nothing waits.
    next_due: Millis,
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
        let inner = Inner { store, deliverer, config, metrics, clock, places, endpoints, stop };
        Self { inner: Arc::new(inner), give_up: CancellationToken::new() }
    }

    /// The same pump, which breaks off what it is delivering when `give_up` is cancelled: another node delivers it again
    /// at once, under the same id.
    #[must_use]
    pub fn giving_up(self, give_up: CancellationToken) -> Self {
        Self { give_up, ..self }
    }

    /// Delivers all that is due now and waits for what becomes of it. Answers how many events were claimed, and when
    /// the next is due (ms; 0 = nothing waits).
    ///
    /// # Errors
    /// Where Redis does not answer. What was claimed is delivered all the same.
    pub async fn tick(&self) -> Result<(usize, Millis), StoreError> {
        let mut tasks = JoinSet::new();
        let round = self.round(&mut tasks).await;
        while tasks.join_next().await.is_some() {}
        round.map(|round| (round.claimed, round.next_due))
    }

    /// Pumps until it is stopped, then sees what is under way to its end (at most the delivery time-out and a margin).
    /// Redis being away is logged and waited out.
    pub async fn run(&self) {
        let config = &self.inner.config;
        let mut tasks = JoinSet::new();
        let mut failures = 0_u32;
        let mut counted: Option<Instant> = None;
        while !self.inner.stop.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            if counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
                counted = Some(Instant::now());
                self.count().await;
            }
            let full = tasks.len() >= 4 * config.concurrency;
            let wait = if full {
                SHORTEST_WAIT
            } else if !self.inner.store.clocks_agree() {
                // Receivers would refuse its signatures, and each refusal is an attempt.
                POLL
            } else {
                match self.round(&mut tasks).await {
                    Ok(round) => {
                        failures = 0;
                        self.wait_after(round)
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        tracing::warn!(%error, failures, "the outbox cannot be read");
                        backoff::delay(failures, &backoff::Policy::SERVICE, u64::from(std::process::id()))
                            .min(config.process_interval)
                    }
                }
            };
            tokio::select! {
                () = self.inner.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn wait_after(&self, round: Round) -> Duration {
        if round.claimed > 0 {
            // What was settled may have made the call's next event due.
            return SHORTEST_WAIT / 4;
        }
        let longest = POLL.min(self.inner.config.process_interval).max(SHORTEST_WAIT);
        if round.next_due == 0 {
            return longest;
        }
        let until = round.next_due.saturating_sub(self.inner.clock.now());
        Duration::from_millis(until).clamp(SHORTEST_WAIT, longest)
    }

    /// Claims over all shards and sends each event on its way.
    async fn round(&self, tasks: &mut JoinSet<()>) -> Result<Round, StoreError> {
        let inner = &self.inner;
        let queue_time = QUEUE_TIME.min(inner.config.timeout);
        let lease = inner.config.timeout + MARGIN + queue_time;
        let of_each = inner.config.batch_size.div_ceil(CLAIMS_AT_ONCE).max(1);
        // Before the claim, so that a lease is never longer in our eyes than in Redis'.
        let claimed_at = Instant::now();
        let claims = stream::iter(Shard::all())
            .map(|shard| inner.store.outbox_claim(shard, millis(lease), of_each, ENDPOINTS))
            .buffer_unordered(CLAIMS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut round = Round::default();
        let mut failed = None;
        for claim in claims {
            match claim {
                Ok((entries, next)) => {
                    if next > 0 && (round.next_due == 0 || next < round.next_due) {
                        round.next_due = next;
                    }
                    round.claimed += entries.len();
                    for entry in entries {
                        let pump = self.clone();
                        tasks.spawn(async move { pump.handle(entry, claimed_at + queue_time).await });
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(round), Err)
    }

    /// One claimed event: a place, the breaker's leave, the delivery, the verdict. It must be on its way by `start_by`.
    async fn handle(&self, entry: OutboxEntry, start_by: Instant) {
        let inner = &self.inner;
        let endpoint = inner.endpoints.get(&entry.endpoint);
        let Ok(_seat) = endpoint.seats.try_acquire() else {
            return self.put_back(&entry, inner.clock.now() + PUT_BACK).await;
        };
        let deadline = tokio::time::sleep_until(start_by);
        let places = async {
            // The endpoint's own place first: whoever waits for a slow endpoint holds none of the common ones.
            let own = endpoint.places.acquire().await;
            (own, inner.places.acquire().await)
        };
        let _places = tokio::select! {
            places = places => places,
            () = deadline => return self.put_back(&entry, inner.clock.now() + PUT_BACK).await,
            () = inner.stop.cancelled() => return self.put_back(&entry, inner.clock.now()).await,
        };
        let now = inner.clock.now();
        if let Some(until) = endpoint.wait(now, &inner.config.breaker) {
            if now.saturating_sub(entry.created_at) > LONGEST_PENDING {
                let mut entry = entry;
                entry.last_error.get_or_insert_with(|| "pending for more than 7 days".to_owned());
                entry.settled_at = Some(now);
                return self.settle(&entry, Settle::Dead).await;
            }
            return self.put_back(&entry, until).await;
        }
        self.deliver(entry, &endpoint).await;
    }

    async fn deliver(&self, mut entry: OutboxEntry, endpoint: &Endpoint) {
        let inner = &self.inner;
        fault::point("webhook_before_send");
        let began = Instant::now();
        let verdict = tokio::select! {
            biased;
            () = self.give_up.cancelled() => return self.put_back(&entry, inner.clock.now()).await,
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
            Settle::Again(_) => "retry",
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
            (Settle::Again(due), why) => {
                let wait_ms = due.saturating_sub(now);
                tracing::warn!(%call_id, event, kind, endpoint, attempts, why, wait_ms, "webhook failed");
            }
        }
        self.settle(&entry, settle).await;
    }

    /// Due again later, as if it had not been claimed.
    async fn put_back(&self, entry: &OutboxEntry, until: Millis) {
        self.settle(entry, Settle::Again(until)).await;
    }

    async fn settle(&self, entry: &OutboxEntry, verdict: Settle) {
        for attempt in 1..=SETTLE_TRIES {
            match self.inner.store.outbox_settle(entry, verdict).await {
                Ok(true) => return,
                Ok(false) => {
                    return tracing::info!(call_id = %entry.call_id, event = entry.id, "webhook was settled before");
                }
                Err(error) => {
                    tracing::warn!(call_id = %entry.call_id, event = entry.id, %error, "webhook is not settled");
                    let wait = backoff::delay(attempt, &backoff::Policy::SERVICE, seed_of(&entry.id));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn count(&self) {
        // A gauge that is late by one look harms nobody.
        if let Ok(counts) = self.inner.store.outbox_counts().await {
            self.inner.metrics.outbox_queue_size.set(counts.pending);
        }
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
        if !matches!(settle, Settle::Again(_)) {
            entry.settled_at = Some(now);
        }
        settle
    }
}

fn millis(d: Duration) -> Millis {
    Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX)
}
