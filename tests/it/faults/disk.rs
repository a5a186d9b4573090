//! Redis that answers and cannot write: its disk is full, then its memory. It is as good as away: nothing is dialed,
//! nothing is taken in, and all goes on by itself.

use std::time::Duration;

use carillon::sim::SimConfig;
use serde_json::{Value as Json, json};

use super::verdict;
use crate::support::fleet::{Backend, seed};
use crate::support::{Fleet, FleetConfig, RawRedis, RedisOptions, RedisServer, Value, until};

const SOON: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(150);
/// How long dialing is watched that must rest: many of its rounds.
const QUIET: Duration = Duration::from_secs(3);

/// Waits until Redis says `word` to a write.
async fn refuses(client: &mut RawRedis, word: &str) {
    for _ in 0..6_000 {
        if let Ok(Value::Error(why)) = client.try_cmd(&["SET", "of_the_test", "x"]).await {
            assert!(why.starts_with(word), "{why}");
            println!("  Redis: {why}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("Redis goes on writing");
}

/// What is heard and seen while nothing can be written.
async fn stands_still(fleet: &Fleet, word: &str) {
    let api = fleet.api_url(0);
    for url in [&api, &fleet.worker_url(0)] {
        until("not to be ready", SOON, || async {
            fleet.get(&format!("{url}/readyz")).await.filter(|(code, _)| *code == 503).map(drop)
        })
        .await;
    }
    let redis = until("health to say why", SOON, || async {
        let (_, report) = fleet.get(&format!("{api}/health")).await?;
        let redis = report["dependencies"].as_array()?.iter().find(|d| d["name"] == "redis")?.clone();
        (redis["state"] == "down").then_some(redis)
    })
    .await;
    println!("  /health: {redis}");
    assert!(redis["detail"].as_str().is_some_and(|why| why.contains(word)), "{redis}");
    let dials = || fleet.sim.ledger().with(|book| book.creates.len());
    let before = dials();
    let number = "+14155550142";
    for body in [json!({"phone_number": number}), json!({"phone_numbers": [number]})] {
        let answer = crate::support::http()
            .post(format!("{api}/api/calls/initiate"))
            .json(&body)
            .send()
            .await
            .expect("the node itself lives");
        let (code, text) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
        println!("  a client hears {code} {text}");
        assert_eq!(code, 503, "{text}");
    }
    let more = fleet.sim.ledger().until(|book| (book.creates.len() > before).then_some(()));
    assert!(tokio::time::timeout(QUIET, more).await.is_err(), "it dials");
}

async fn goes_on(fleet: &Fleet) {
    for url in [fleet.api_url(0), fleet.worker_url(0), fleet.worker_url(1)] {
        until("to be ready again", SOON, || async {
            fleet.get(&format!("{url}/readyz")).await.filter(|(code, _)| *code == 200).map(drop)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_a_full_memory_under_redis_stop_dialing_and_lose_nothing() {
    let _room = super::room(2).await;
    let redis = Backend::Single(RedisServer::with(RedisOptions::on_small_disk()).await);
    let sim =
        SimConfig { seed: seed(), speed: 20.0, max_cps: 5.0, max_concurrent: 200, ..SimConfig::default() };
    let mut fleet =
        Fleet::start(FleetConfig { workers: 2, redis: Some(redis), sim, ..FleetConfig::default() }).await;
    let people = fleet.people(45);
    let lists = verdict::post(&fleet, &people).await;
    let ledger = fleet.sim.ledger().clone();
    let dialed = async |n: usize| {
        let some = ledger.until(|book| (book.creates.len() >= n).then_some(()));
        tokio::time::timeout(SOON, some).await.expect("dialing goes on");
    };

    dialed(10).await;
    println!("\n== the disk under Redis is full ==");
    fleet.redis.server().fill_disk();
    let mut client = fleet.redis.server().client().await;
    refuses(&mut client, "MISCONF").await;
    stands_still(&fleet, "MISCONF").await;
    fleet.redis.server().free_disk();
    goes_on(&fleet).await;
    let so_far = ledger.with(|book| book.creates.len());

    dialed(so_far + 5).await;
    println!("== the memory of Redis is full ==");
    client.cmd(&["CONFIG", "SET", "maxmemory", "1"]).await;
    refuses(&mut client, "OOM").await;
    stands_still(&fleet, "OOM").await;
    client.cmd(&["CONFIG", "SET", "maxmemory", "0"]).await;
    goes_on(&fleet).await;

    let (outcomes, broken) = verdict::of_lists(&mut fleet, &lists, PATIENCE).await;
    verdict::print(&format!("a full disk, then a full memory; seed {}", seed()), &outcomes);
    let dictated = outcomes.iter().filter(|outcome| outcome.as_dictated()).count();
    let summary = fleet.sim.ledger().summary();
    println!("longest dead air {:.1} simulated s", summary.longest_dead_air.seconds);
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    assert!(outcomes.iter().all(|outcome| outcome.told), "an end was not told");
    assert_eq!(summary.carrier_errors_heard, 0, "who was on the line heard bridge lines at the worst");
    assert!(!outcomes.iter().any(|outcome| outcome.disposition == "unconfirmed"), "{outcomes:#?}");
    println!(
        "{dictated} of {} ended as their people dictate; the others were on the line meanwhile",
        outcomes.len()
    );

    // Nothing that was written before is gone after a restart from the file.
    let sizes = async |fleet: &Fleet| fleet.redis.keys("CALL_SESSION:*").await.len();
    let before = sizes(&fleet).await;
    fleet.redis.server().restart().await;
    assert_eq!(sizes(&fleet).await, before, "the append-only file is whole");
    let (code, _): (u16, Json) = fleet.get(&format!("{}/livez", fleet.api_url(0))).await.expect("it lives");
    assert_eq!(code, 200);
}
