//! Failover: a primary of the cluster killed under load, and a promoted replica that has forgotten a dial.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::people::Kind;
use serde_json::json;

use super::verdict::dialed_twice;
use crate::support::fleet::{now_ms, seed};
use crate::support::{Fleet, FleetConfig, until};

const PATIENCE: Duration = Duration::from_secs(150);
/// No server has this replication id.
const ANOTHER: &str = "00000000000000000000000000000000deadbeef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialing_stops_with_a_primary_and_goes_on_after_the_promotion() {
    let _room = super::room(super::FLEETS).await;
    for env in [&[][..], &[("REDIS_WAIT_REPLICAS", "1")]] {
        let ran = crate::soak::failover::run(seed(), env).await;
        println!(
            "primary of {{cap}} killed under load ({env:?}): promoted after {:.2} s, {} dials meanwhile, first dial {:.2} s after \
             the promotion (seed {})",
            ran.promoted.as_secs_f64(),
            ran.meanwhile,
            ran.first_dial.as_secs_f64(),
            seed()
        );
        assert!(ran.findings.is_empty(), "\n{}\n", ran.findings.join("\n"));
        // Moments that were granted before the kill may still be used: a fifth of a second of them.
        assert!(ran.meanwhile <= 10, "{} dials left while nobody could grant them", ran.meanwhile);
    }
}

/// The replica had not heard of the dial when its primary died: the record waits again, the frequency entry is gone, and
/// no callback of the leg arrives. The carrier alone knows of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_that_a_failover_forgot_is_found_at_the_carrier_and_not_made_again() {
    let _room = super::room(1).await;
    let mut fleet = Fleet::start(FleetConfig {
        sim: SimConfig {
            seed: seed(),
            speed: 10.0,
            max_cps: 10.0,
            max_concurrent: 50,
            faults: vec![Rule::always(Target::Callbacks, Fault::Missing)],
            ..SimConfig::default()
        },
        ..FleetConfig::default()
    })
    .await;
    let number = fleet.sim.world().number(Kind::NoAnswer, 3);
    let at = carillon::base::clock::rfc3339(now_ms() + 4_000);
    let call = fleet.call(&number, json!({"schedule_at": at})).await;
    let tag = format!("{{s{}}}", &call[5..7]);
    let session = format!("CALL_SESSION:{tag}:{call}");
    let waiting = fleet.redis.cmd(&["GET", &session]).await.text().expect("a record that waits");
    assert_eq!(waiting.get(24..25), Some("Q"));

    let ledger = fleet.sim.ledger().clone();
    let rings = ledger.until(|book| book.legs.iter().any(|leg| leg.rang_at.is_some()).then_some(()));
    tokio::time::timeout(PATIENCE, rings).await.expect("it rings");
    fleet.kill_worker(0).await;
    let short = &call[7..];
    for key in fleet.redis.keys("PHONE:*").await {
        for hash in fleet.redis.cmd(&["HKEYS", &key]).await.texts() {
            fleet.redis.cmd(&["HSET", &key, &hash, short]).await;
        }
    }
    for key in fleet.redis.keys("RATE_LIMIT:*").await {
        fleet.redis.cmd(&["DEL", &key]).await;
    }
    fleet.redis.cmd(&["SET", &session, &waiting]).await;
    fleet.redis.cmd(&["ZADD", &format!("DUE:{tag}"), &now_ms().to_string(), &call]).await;
    fleet.redis.cmd(&["SET", &format!("SERVER:{tag}"), ANOTHER]).await;

    fleet.restart_worker(0, &[]).await;
    // The record that knows the leg comes first; then the shard is opened.
    let sid = ledger.with(|book| book.legs[0].sid.clone());
    let known = until("the shard to be opened", PATIENCE, || async {
        let server = fleet.redis.cmd(&["GET", &format!("SERVER:{tag}")]).await.text()?;
        let record = fleet.redis.cmd(&["GET", &session]).await.text()?;
        let legs = ledger.with(|book| book.legs.iter().filter(|leg| leg.to == number).count());
        (server != ANOTHER || legs > 1).then_some((record, legs))
    })
    .await;
    assert_eq!(known.1, 1, "nobody dialed it again before the carrier was asked");
    assert!(known.0.contains(&sid), "the leg was adopted: {}", known.0);
    fleet.sim.faults().set(Vec::new());
    let ended = fleet.call_ended(&call, PATIENCE).await;
    assert_eq!(ended["disposition"], "no_answer", "{ended}");
    fleet.settled(PATIENCE).await;
    let mut broken = fleet.invariants().await;
    broken.extend(dialed_twice(&fleet));
    assert!(broken.is_empty(), "{broken:#?}");
}
