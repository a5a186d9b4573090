//! Pause stops all workers within a second; resume goes on; cancel leaves nothing behind.

use std::collections::BTreeMap;
use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::people::Kind;
use serde_json::json;

use super::{SOON, add, clock, command, create, dials, in_order, in_state, numbers, view};
use crate::support::fleet::{Fleet, FleetConfig, seed};

const ROWS: u32 = 600;
const WITHIN_US: u64 = 1_000_000;

/// Dials that came later than a second after `at_us`.
fn late(fleet: &Fleet, at_us: u64) -> usize {
    fleet
        .sim
        .ledger()
        .with(|book| book.creates.iter().rev().take_while(|c| c.t_us > at_us + WITHIN_US).count())
}

/// When the last dial came, in milliseconds after `at_us`.
fn last_after(fleet: &Fleet, at_us: u64) -> u64 {
    let last = fleet.sim.ledger().with(|book| book.creates.last().map_or(0, |c| c.t_us));
    last.saturating_sub(at_us) / 1_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_is_paused_resumed_and_cancelled() {
    let sim = SimConfig { seed: seed(), speed: 30.0, max_cps: 40.0, ..SimConfig::default() };
    let env = vec![("RECORDING".to_owned(), "off".to_owned())];
    let mut fleet =
        Fleet::start(FleetConfig { workers: 2, alone: true, sim, env, ..FleetConfig::default() }).await;
    println!("\n== pause, resume, cancel with two workers (seed {}) ==", seed());
    let id = create(&fleet, json!({ "name": "halting", "retries": { "max_attempts": 1 } })).await;
    // Some hang on for a second, so that a slot is held whatever the moment.
    let half = ROWS / 2;
    let mut list = numbers(&fleet, Kind::Busy, 0..half);
    list.extend(numbers(&fleet, Kind::NoAnswer, 0..half));
    add(&fleet, &id, &list).await;
    command(&fleet, &id, "start").await;
    dials(&fleet, 0, 60, SOON).await;

    assert_eq!(command(&fleet, &id, "pause").await["state"], "paused");
    let paused = fleet.sim.ledger().elapsed_us();
    clock(&fleet, paused + 3 * WITHIN_US).await;
    println!("paused: the last dial came {} ms after the answer", last_after(&fleet, paused));
    assert_eq!(late(&fleet, paused), 0, "dials later than a second after the pause");
    let before = fleet.sim.ledger().with(|book| book.creates.len());
    assert!(before < list.len(), "there was something left to pause");

    assert_eq!(command(&fleet, &id, "resume").await["state"], "running");
    let resumed = fleet.sim.ledger().elapsed_us();
    dials(&fleet, resumed, 40, SOON).await;
    let first = fleet
        .sim
        .ledger()
        .with(|book| book.creates.iter().find(|c| c.t_us >= resumed).map_or(0, |c| c.t_us - resumed));
    println!("resumed: the first dial came {} ms after the answer", first / 1_000);

    command(&fleet, &id, "cancel").await;
    let cancelled = fleet.sim.ledger().elapsed_us();
    let view_at_end = in_state(&fleet, &id, "cancelled", SOON).await;
    clock(&fleet, cancelled + 2 * WITHIN_US).await;
    println!("cancelled: the last dial came {} ms after the answer", last_after(&fleet, cancelled));
    assert_eq!(late(&fleet, cancelled), 0, "dials later than a second after the cancellation");
    let ended = fleet.ended(&id, list.len(), Duration::from_secs(30)).await;
    let mut by: BTreeMap<&str, usize> = BTreeMap::new();
    for end in &ended {
        *by.entry(&end.disposition).or_default() += 1;
    }
    println!("ended as {by:?}");
    for step in view_at_end["history"].as_array().expect("a history") {
        println!("  {} {} → {} by {}", step["at"], step["from"], step["to"], step["by"]);
    }
    assert_eq!(ended.len(), list.len(), "every call ended once");
    let dialed = fleet.sim.ledger().with(|book| book.creates.len());
    let others = ended.len() - by.get("canceled").copied().unwrap_or(0);
    assert!(others <= dialed, "{others} calls ended otherwise than canceled, and {dialed} were dialed");
    // Neither ready entry, nor due time, nor slot is left, and each end was told once.
    in_order(&mut fleet).await;
    for pattern in ["READY:*", "DUE:*"] {
        let left = fleet.redis.keys(pattern).await;
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(fleet.redis.cmd(&["HLEN", "CAPACITY_SLOTS:{cap}"]).await.int(), 0);
    let view = view(&fleet, &id).await;
    assert_eq!(view["state"], "cancelled", "{view}");

    // Workers that brought one campaign to its end go on with the next.
    let next = create(&fleet, json!({ "name": "next", "retries": { "max_attempts": 1 } })).await;
    add(&fleet, &next, &numbers(&fleet, Kind::Busy, half..half + 10)).await;
    command(&fleet, &next, "start").await;
    in_state(&fleet, &next, "completed", SOON).await;
}
