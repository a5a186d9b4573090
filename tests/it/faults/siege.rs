//! The outbox under siege: receivers that are away, slow, rude, redirecting, talking garbage or for ever, or that never
//! close, beside good ones, for an hour. The house's own waits are used, all divided by [`FASTER`]: the hour takes 14 s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use carillon::base::backoff;
use carillon::domain::ids::CallId;
use carillon::outbox::breaker::BreakerPolicy;
use carillon::outbox::pump::{Pump, PumpConfig};
use carillon::outbox::sign::SigningSecret;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::rude::{Manners, Rude, Seen};
use crate::outbox::World;
use crate::support::until;

/// How many times faster than by the clock the waits between attempts and of breakers pass.
const FASTER: u32 = 250;
const HOUR: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(90);
/// How much the receiver that is asked too often wants to be left alone, not divided: the header has whole seconds.
const ASKED_WAIT: Duration = Duration::from_secs(2);
/// After it a delivery counts as failed. The slow receiver, which takes 0.4 s, is to be in time on a busy machine, too.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How many deliveries of a run may be made again because a busy machine did not bring the answer within [`TIMEOUT`].
const LATE_ANSWERS: usize = 3;
/// Redis counts in whole milliseconds: a wait may seem shorter by one at each of its ends.
const WHOLE_MS: Duration = Duration::from_millis(2);
/// Deliveries at once to one endpoint, of each of the two pumps.
const PLACES: usize = 4;
const OLD: &str = "whsec_b2xkZXIgdGhhbiB0aGUgb3RoZXIga2V5IQ==";
const NEW: &str = "whsec_bmV3ZXIgdGhhbiB0aGUgb3RoZXIga2V5IQ==";

fn faster(policy: backoff::Policy) -> backoff::Policy {
    backoff::Policy { initial: policy.initial / FASTER, max: policy.max / FASTER, ..policy }
}

/// The house's settings, but for their tempo and the time-out.
fn config() -> PumpConfig {
    let house = PumpConfig::default();
    PumpConfig {
        backoff: faster(house.backoff),
        breaker: BreakerPolicy { open_for: faster(house.breaker.open_for), ..house.breaker },
        timeout: TIMEOUT,
        concurrency: 8,
        per_endpoint: PLACES,
        ..house
    }
}

/// Two nodes' pumps, until they are stopped.
struct Pumps {
    stop: CancellationToken,
    running: Vec<JoinHandle<()>>,
}

impl Pumps {
    fn start(world: &World, secrets: &str) -> Self {
        let stop = CancellationToken::new();
        let secrets = SigningSecret::parse_list(secrets).expect("secrets");
        let pump = || world.pump_signing(config(), secrets.clone(), stop.clone());
        let running = [pump(), pump()].map(|pump: Pump| tokio::spawn(async move { pump.run().await }));
        Self { stop, running: running.into() }
    }

    async fn stop(self) {
        self.stop.cancel();
        for pump in self.running {
            tokio::time::timeout(PATIENCE, pump).await.expect("it stops").expect("without a panic");
        }
    }
}

/// A receiver, who it is, and the calls whose events go there.
struct Endpoint {
    what: &'static str,
    rude: Arc<Rude>,
    calls: Vec<CallId>,
}

impl Endpoint {
    fn seen(&self) -> Vec<Seen> {
        self.rude.seen()
    }

    /// How many of its events were accepted, each counted once.
    fn accepted(&self) -> usize {
        let mut ids: Vec<String> = self.seen().into_iter().filter(|s| s.accepted).map(|s| s.id).collect();
        ids.sort();
        ids.dedup();
        ids.len()
    }

    /// Events that came again: before their answer can have been late, and after that.
    fn again(&self) -> (usize, usize) {
        let (mut early, mut late) = (0, 0);
        let mut last: BTreeMap<String, Instant> = BTreeMap::new();
        for one in self.seen() {
            match last.insert(one.id, one.at) {
                Some(before) if one.at - before < TIMEOUT => early += 1,
                Some(_) => late += 1,
                None => {}
            }
        }
        (early, late)
    }

    /// Everything that is wrong with what came here, in words. `parked`: events that were dead letters once.
    fn wrong(&self, parked: &[String]) -> Vec<String> {
        let (mut wrong, seen) = (Vec::new(), self.seen());
        let mut first_taken: BTreeMap<&str, usize> = BTreeMap::new();
        for (n, one) in seen.iter().enumerate() {
            if !one.signed {
                wrong.push(format!(
                    "{}: {} came with no signature that its receiver knows",
                    self.what, one.id
                ));
            }
            if one.accepted {
                first_taken.entry(&one.id).or_insert(n);
            }
        }
        for call in &self.calls {
            let of_call = |kind: &str| seen.iter().position(|s| s.call == call.as_str() && s.kind == kind);
            let (Some(first), Some(second)) = (of_call("opt_out"), of_call("call_failed")) else {
                wrong.push(format!("{}: {call} was not told of by both its events", self.what));
                continue;
            };
            let id = &seen[first].id;
            let taken = first_taken.get(id.as_str()).copied();
            if taken.is_none() || !first_taken.contains_key(seen[second].id.as_str()) {
                wrong.push(format!("{}: an event of {call} was never accepted", self.what));
            }
            if !parked.contains(id) && taken.is_some_and(|taken| taken > second) {
                wrong
                    .push(format!("{}: {call}: its second event came before its first was taken", self.what));
            }
        }
        wrong
    }
}

async fn endpoint(world: &mut World, what: &'static str, manners: Manners, calls: usize) -> Endpoint {
    let rude = Rude::start(manners, &[OLD]).await;
    let mut endpoint = Endpoint { what, rude, calls: Vec::new() };
    for _ in 0..calls {
        endpoint.calls.push(world.two_events(&endpoint.rude.url()).await);
    }
    endpoint
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_of_every_kind_for_an_hour() {
    let mut world = World::start().await;
    let quick = |status, headers| Manners::Status(status, headers);
    let mut all = Vec::new();
    for (what, manners) in [
        ("away for an hour", Manners::Away),
        ("slow (0.4 s)", Manners::Slow(Duration::from_millis(400))),
        ("500", quick(500, "")),
        ("410", quick(410, "")),
        ("429, Retry-After 2", quick(429, "retry-after: 2\r\n")),
        ("redirects", quick(302, "location: http://127.0.0.1:9/\r\n")),
        ("talks garbage", Manners::Garbage),
        ("header without end", Manners::EndlessHeader),
        ("200, body without end", Manners::EndlessBody),
        ("200, never closes", Manners::NeverCloses),
        ("takes, never answers", Manners::Silent),
        ("slams the door", Manners::Slams),
        ("refuses one event (400)", Manners::Poisoned),
    ] {
        all.push(endpoint(&mut world, what, manners, 6).await);
    }
    let bad = all.len();
    let began = Instant::now();
    let pumps = Pumps::start(&world, OLD);

    // While they are under siege the others are told as if nothing were.
    all.push(endpoint(&mut world, "good", Manners::Good, 30).await);
    let good = || &all[bad];
    until("all events of the good one", PATIENCE, || async { (good().accepted() == 60).then_some(()) }).await;
    let took = began.elapsed();
    let (pending, _, dead) = world.counts().await;
    let blocked = ["away for an hour", "500", "takes, never answers", "slams the door", "talks garbage"];
    for one in all.iter().filter(|one| blocked.contains(&one.what)) {
        assert_eq!(one.accepted(), 0, "{} took something", one.what);
    }
    assert!(
        pending + dead >= 2 * 6 * i64::try_from(blocked.len()).expect("few"),
        "{pending} pending, {dead} dead"
    );
    assert_eq!(good().again().0, 0, "each once");

    // The key is changed: first the sender signs with both, then receivers change over, then the old one is dropped.
    pumps.stop().await;
    let pumps = Pumps::start(&world, &format!("{NEW} {OLD}"));
    let late = endpoint(&mut world, "good, other key", Manners::Good, 10).await;
    late.rude.know(&[NEW]);
    all.push(late);
    all[bad].rude.know(&[NEW]);
    for _ in 0..10 {
        let call = world.two_events(&all[bad].rude.url()).await;
        all[bad].calls.push(call);
    }
    let told = || (all[bad].accepted(), all[bad + 1].accepted());
    until("both good ones", PATIENCE, || async { (told() == (80, 20)).then_some(()) }).await;
    for one in &all {
        one.rude.know(&[NEW, OLD]);
    }
    pumps.stop().await;
    all.iter().for_each(|one| one.rude.know(&[NEW]));
    let pumps = Pumps::start(&world, NEW);

    // The hour is over. What was given up meanwhile is parked; the rest is delivered by itself.
    let over = || began.elapsed() >= HOUR / FASTER;
    until("the hour to be over", PATIENCE, || async { over().then_some(()) }).await;
    for one in &all[..bad] {
        if !one.rude.manners().refuse_for_good() {
            one.rude.set(Manners::Good).await;
        }
    }
    until("an empty outbox", PATIENCE, || async { (world.counts().await.0 == 0).then_some(()) }).await;
    let dead = world.store.outbox_dead(1_000).await.expect("dead letters");
    let parked: Vec<String> = dead.iter().map(|letter| letter.id.clone()).collect();
    let of = |one: &Endpoint| dead.iter().filter(|d| one.calls.contains(&d.call_id)).count();

    println!(
        "\n| receiver | events | requests | most at once | delivered in the end | parked | its last error |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for one in &all {
        let error = dead.iter().find(|d| one.calls.contains(&d.call_id)).and_then(|d| d.last_error.clone());
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            one.what,
            2 * one.calls.len(),
            one.rude.requests(),
            one.rude.most_at_once(),
            one.accepted(),
            of(one),
            error.unwrap_or_default()
        );
    }
    println!(
        "the 60 events of the good one took {took:.1?} beside all that ({FASTER} times the house's tempo)"
    );

    for one in &all {
        let parked = of(one);
        assert_eq!(one.accepted() + parked, 2 * one.calls.len(), "{}: delivered or parked", one.what);
        assert!(one.rude.most_at_once() <= 2 * PLACES, "{}: {} at once", one.what, one.rude.most_at_once());
        match one.what {
            // Each of its events is refused for good at the first attempt.
            "410" => assert_eq!((parked, one.again().0), (12, 0)),
            "refuses one event (400)" => assert_eq!((one.accepted(), parked), (11, 1)),
            "good" | "good, other key" | "slow (0.4 s)" | "200, body without end" | "200, never closes" => {
                assert_eq!((parked, one.again().0), (0, 0), "{}: each once", one.what);
            }
            // Breakers rest an hour's failures to few attempts: more of them is a hammered receiver.
            _ => assert!(one.rude.requests() < 120, "{}: {} requests", one.what, one.rude.requests()),
        }
    }
    let once =
        ["410", "good", "good, other key", "slow (0.4 s)", "200, body without end", "200, never closes"];
    let late: usize = all.iter().filter(|one| once.contains(&one.what)).map(|one| one.again().1).sum();
    println!("{late} deliveries were made again for an answer that came after {TIMEOUT:.1?}");
    assert!(late <= LATE_ANSWERS, "{late} deliveries were made again");
    let asked = all.iter().find(|one| one.what.starts_with("429")).expect("it is there");
    let mut last: BTreeMap<String, Instant> = BTreeMap::new();
    for one in asked.seen() {
        if let Some(before) = last.insert(one.id.clone(), one.at) {
            assert!(
                one.at - before + WHOLE_MS >= ASKED_WAIT,
                "{} came again after {:?}",
                one.id,
                one.at - before
            );
        }
    }

    // What was parked is sent again on request, under its own id.
    for one in all.iter().filter(|one| one.rude.manners().refuse_for_good()) {
        one.rude.set(Manners::Good).await;
    }
    for id in &parked {
        assert!(world.store.outbox_replay(id).await.expect("Redis answers").is_some(), "{id} is replayed");
    }
    until("all that was replayed", PATIENCE, || async {
        let (pending, _, dead) = world.counts().await;
        (pending == 0 && dead == 0).then_some(())
    })
    .await;
    pumps.stop().await;
    let wrong: Vec<String> = all.iter().flat_map(|one| one.wrong(&parked)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
