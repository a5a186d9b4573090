//! The outbox pump on a real Redis and real receivers: order, retries, dead letters, replay, dead endpoints.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use carillon::base::backoff;
use carillon::base::clock::Clock;
use carillon::base::telemetry::Metrics;
use carillon::domain::call::{Body, Call, Event, Rules};
use carillon::domain::ids::{CallId, Shard};
use carillon::domain::phone::Phone;
use carillon::outbox::breaker::BreakerPolicy;
use carillon::outbox::deliver::{DeliverConfig, Deliverer};
use carillon::outbox::pump::{Pump, PumpConfig};
use carillon::outbox::sign::SigningSecret;
use carillon::store::{Applied, OutboxEntry, RedisConfig, Store};
use secrecy::SecretBox;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{RedisServer, until};

const SOON: Duration = Duration::from_secs(20);

/// What a receiver answers next; 200 once the script is over. `HANG`: nothing.
const HANG: u16 = 0;

#[derive(Clone, Default)]
struct Receiver {
    script: Arc<Mutex<VecDeque<u16>>>,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    async fn start(script: &[u16]) -> (Self, String) {
        let receiver =
            Self { script: Arc::new(Mutex::new(script.iter().copied().collect())), ..Self::default() };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    /// The types of what came, in order.
    fn kinds(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("lock");
        seen.iter().map(|(_, body)| body["event_type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.seen.lock().expect("lock").iter().map(|(id, _)| id.clone()).collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    receiver.seen.lock().expect("lock").push((id, serde_json::from_str(&body).expect("JSON")));
    let next = receiver.script.lock().expect("lock").pop_front();
    match next.unwrap_or(200) {
        HANG => std::future::pending().await,
        status => StatusCode::from_u16(status).expect("a status"),
    }
}

/// A Redis with calls that have events to tell.
pub(crate) struct World {
    _redis: RedisServer,
    pub(crate) store: Store,
    metrics: Metrics,
    calls: u32,
}

impl World {
    pub(crate) async fn start() -> Self {
        let redis = RedisServer::start().await;
        let config = RedisConfig {
            url: redis.url(),
            phone_hash_key: Arc::new(SecretBox::new(Box::new(b"a key of the tests".to_vec()))),
            default_webhook_url: None,
            frequency_cap: 3,
            wait_replicas: 0,
            allow_eviction: false,
        };
        let store = Store::connect(config, Clock::System).await.expect("Redis");
        Self { _redis: redis, store, metrics: Metrics::new(), calls: 0 }
    }

    fn pump(&self, config: PumpConfig, stop: CancellationToken) -> Pump {
        self.pump_signing(config, Vec::new(), stop)
    }

    /// A pump that signs with `secrets`.
    pub(crate) fn pump_signing(
        &self,
        config: PumpConfig,
        secrets: Vec<SigningSecret>,
        stop: CancellationToken,
    ) -> Pump {
        let deliver = DeliverConfig { timeout: config.timeout, allow_private: true, secrets };
        let deliverer = Deliverer::new(deliver).expect("a client");
        Pump::new(self.store.clone(), deliverer, config, self.metrics.clone(), Clock::System, stop)
    }

    /// Two events of a call to a number of its own: `opt_out`, then `call_failed`.
    pub(crate) async fn two_events(&mut self, url: &str) -> CallId {
        self.calls += 1;
        let phone = Phone::parse(&format!("+1415555{:04}", 2_000 + self.calls), "US").expect("a number");
        let hash = self.store.hash(phone.e164());
        let now = Clock::System.now();
        let mut body = Body::new(phone.clone(), now);
        body.webhook_url = Some(url.to_owned());
        let call = Call::new(CallId::new(Shard::of(phone.e164())), hash, None, body);
        self.store.submit_one(&call, None, now).await.expect("submitted");
        let event = Event::OptedOut { words: "stop".into() };
        let applied = self.store.apply(call.clone(), event, &Rules::default()).await.expect("applied");
        assert!(matches!(applied, Applied::Done(..)), "{applied:?}");
        call.id
    }

    /// Events that are pending, delivered, dead.
    pub(crate) async fn counts(&self) -> (i64, i64, i64) {
        let counts = self.store.outbox_counts().await.expect("counts");
        (counts.pending, counts.delivered, counts.dead)
    }
}

/// Retries in no time, breakers that never open.
fn hasty() -> PumpConfig {
    let backoff = backoff::Policy {
        initial: Duration::from_millis(1),
        max: Duration::from_millis(5),
        multiplier: 1.0,
        jitter: 0.0,
    };
    PumpConfig {
        max_retries: 2,
        backoff,
        breaker: BreakerPolicy { threshold: 1_000, ..BreakerPolicy::default() },
        timeout: Duration::from_secs(10),
        ..PumpConfig::default()
    }
}

/// Ticks until nothing is pending.
async fn drain(world: &World, pump: &Pump) {
    until("an empty outbox", SOON, || async {
        pump.tick().await.expect("a tick");
        (world.counts().await.0 == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_calls_events_come_in_order_however_often_the_first_fails() {
    let mut world = World::start().await;
    let (receiver, url) = Receiver::start(&[500, 503]).await;
    world.two_events(&url).await;
    let pump = world.pump(hasty(), CancellationToken::new());
    drain(&world, &pump).await;
    assert_eq!(receiver.kinds(), ["opt_out", "opt_out", "opt_out", "call_failed"]);
    let ids = receiver.ids();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert_eq!(world.counts().await, (0, 2, 0));
    let count = |status: &str| world.metrics.webhook_deliveries.with_label_values(&[status]).get();
    assert_eq!((count("delivered"), count("retry"), count("dead")), (2, 2, 0));
}

#[tokio::test]
async fn too_many_failures_make_a_dead_letter_that_can_be_replayed() {
    let mut world = World::start().await;
    let (receiver, url) = Receiver::start(&[500, 500, 500]).await;
    let call = world.two_events(&url).await;
    let pump = world.pump(hasty(), CancellationToken::new());
    drain(&world, &pump).await;
    // One attempt and two retries; then the next event has its turn.
    assert_eq!(receiver.kinds(), ["opt_out", "opt_out", "opt_out", "call_failed"]);
    assert_eq!(world.counts().await, (0, 1, 1));
    let dead = world.store.outbox_dead(10).await.expect("dead letters");
    let [letter] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((&letter.call_id, letter.attempts), (&call, 3));
    assert_eq!(letter.last_error.as_deref(), Some("the receiver answered 500"));
    assert!(letter.settled_at.is_some());

    assert!(world.store.outbox_replay(&letter.id).await.expect("replayed").is_some());
    drain(&world, &pump).await;
    assert_eq!(receiver.kinds().last().map(String::as_str), Some("opt_out"));
    assert_eq!(receiver.ids().last(), receiver.ids().first(), "the same id");
    assert_eq!(world.counts().await, (0, 2, 0));
}

#[tokio::test]
async fn all_dead_letters_of_a_receiver_are_replayed_in_the_order_of_their_calls() {
    let mut world = World::start().await;
    let (receiver, url) = Receiver::start(&[410, 410, 410, 410]).await;
    let (other, elsewhere) = Receiver::start(&[410, 410]).await;
    world.two_events(&url).await;
    world.two_events(&elsewhere).await;
    world.two_events(&url).await;
    let pump = world.pump(hasty(), CancellationToken::new());
    drain(&world, &pump).await;
    assert_eq!(world.counts().await, (0, 0, 6));
    let letters = world.store.outbox_dead(10).await.expect("dead letters");

    let endpoint = carillon::store::endpoint_of(&url);
    let replay = |limit| world.store.outbox_replay_all(limit, Some(&endpoint));
    assert_eq!(replay(3).await.expect("Redis answers"), 3);
    assert_eq!(replay(3).await.expect("Redis answers"), 1, "what is left of this receiver");
    assert_eq!(replay(3).await.expect("Redis answers"), 0);
    drain(&world, &pump).await;
    assert_eq!(world.counts().await, (0, 4, 2), "the other receiver's are dead still");
    assert_eq!((receiver.ids().len(), other.ids().len()), (8, 2));
    let again = receiver.ids().split_off(4);
    let place = |letter: &OutboxEntry| again.iter().position(|id| *id == letter.id).expect("replayed");
    for first in letters.iter().filter(|l| l.endpoint == endpoint && l.kind == "opt_out") {
        let second =
            letters.iter().find(|l| l.call_id == first.call_id && l.id != first.id).expect("two each");
        assert!(place(first) < place(second), "{again:?}");
    }

    assert_eq!(world.store.outbox_replay_all(9, None).await.expect("Redis answers"), 2);
    drain(&world, &pump).await;
    assert_eq!(world.counts().await, (0, 6, 0));
}

#[tokio::test]
async fn a_receiver_that_is_gone_ends_all_attempts_of_that_event() {
    let mut world = World::start().await;
    let (receiver, url) = Receiver::start(&[410]).await;
    world.two_events(&url).await;
    drain(&world, &world.pump(hasty(), CancellationToken::new())).await;
    assert_eq!(receiver.kinds(), ["opt_out", "call_failed"]);
    assert_eq!(world.counts().await, (0, 1, 1));
}

#[tokio::test]
async fn an_open_breaker_postpones_and_a_postponement_is_no_attempt() {
    let mut world = World::start().await;
    let (receiver, url) = Receiver::start(&[500, 500]).await;
    for _ in 0..6 {
        world.two_events(&url).await;
    }
    let mut config = hasty();
    config.per_endpoint = 1;
    config.breaker = BreakerPolicy { threshold: 2, ..BreakerPolicy::default() };
    // Longer than one tick takes, however slow the machine.
    config.breaker.open_for.initial = Duration::from_secs(10);
    config.breaker.open_for.jitter = 0.0;
    let pump = world.pump(config, CancellationToken::new());
    let (claimed, _) = pump.tick().await.expect("a tick");
    assert_eq!(claimed, 6);
    assert_eq!(receiver.kinds().len(), 2, "the breaker opened after two failures");
    drain(&world, &pump).await;
    // Twelve events, the two failures beside; nobody was given up for having waited.
    assert_eq!(receiver.kinds().len(), 14);
    assert_eq!(world.counts().await, (0, 12, 0));
}

#[tokio::test]
async fn a_dead_endpoint_stands_in_nobodys_way_and_a_stop_waits_for_what_is_under_way() {
    let mut world = World::start().await;
    let (dead, dead_url) = Receiver::start(&[HANG; 64]).await;
    let (living, url) = Receiver::start(&[]).await;
    for _ in 0..20 {
        world.two_events(&dead_url).await;
    }
    let stop = CancellationToken::new();
    let config = PumpConfig { per_endpoint: 4, concurrency: 8, batch_size: 4, max_retries: 1_000, ..hasty() };
    let pump = world.pump(PumpConfig { timeout: Duration::from_secs(3), ..config }, stop.clone());
    let began = std::time::Instant::now();
    let running = tokio::spawn({
        let pump = pump.clone();
        async move { pump.run().await }
    });
    until("the dead endpoint to be tried", SOON, || async { (dead.kinds().len() >= 4).then_some(()) }).await;
    for _ in 0..20 {
        world.two_events(&url).await;
    }
    until("all events of the living", SOON, || async { (world.counts().await.1 >= 40).then_some(()) }).await;
    assert!(living.kinds().len() >= 40);
    // At no time did more hang than the dead endpoint has places, each for the time-out of 3 s.
    let rounds = 1 + began.elapsed().as_secs() / 3;
    assert!(dead.kinds().len() as u64 <= 4 * rounds, "{} in {rounds} rounds", dead.kinds().len());
    stop.cancel();
    tokio::time::timeout(SOON, running).await.expect("it stops").expect("without a panic");
    let (pending, delivered, _) = world.counts().await;
    assert_eq!((pending, delivered), (40, 40));
}

#[tokio::test]
async fn a_delivery_that_outlasts_the_grace_is_due_again_at_once() {
    let mut world = World::start().await;
    let (receiver, url) = Receiver::start(&[HANG]).await;
    world.two_events(&url).await;
    // A time-out and a lease that nobody here waits for.
    let slow = PumpConfig { timeout: Duration::from_secs(600), ..hasty() };
    let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
    let pump = world.pump(slow, stop.clone()).giving_up(give_up.clone());
    let running = tokio::spawn(async move { pump.run().await });
    until("the first delivery", SOON, || async { (!receiver.kinds().is_empty()).then_some(()) }).await;
    stop.cancel();
    give_up.cancel();
    tokio::time::timeout(SOON, running).await.expect("it stops").expect("without a panic");
    drain(&world, &world.pump(hasty(), CancellationToken::new())).await;
    assert_eq!(receiver.kinds(), ["opt_out", "opt_out", "call_failed"]);
    assert_eq!(receiver.ids()[0], receiver.ids()[1], "the same event under the same id");
    assert_eq!(world.counts().await, (0, 2, 0));
}
