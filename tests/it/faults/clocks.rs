//! Nodes whose clocks are wrong, by minutes and by seconds. `CARILLON_CLOCK_OFF_MS` moves what a node of a debug build
//! takes for its machine's clock; Redis and the outside keep theirs.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::people::Kind;
use serde_json::Value as Json;

use super::verdict;
use crate::support::fleet::seed;
use crate::support::{Fleet, FleetConfig, until};

const SOON: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(150);
/// How long nodes are watched that must do nothing: several comparisons of the clocks, many rounds of dialing.
const QUIET: Duration = Duration::from_secs(6);
const OFF: &str = "CARILLON_CLOCK_OFF_MS";

fn sim() -> SimConfig {
    SimConfig { seed: seed(), speed: 30.0, max_cps: 8.0, max_concurrent: 200, ..SimConfig::default() }
}

/// What a node's `/health` says of its clock.
async fn clock(fleet: &Fleet, url: &str) -> Json {
    until("health to tell of the clock", SOON, || async {
        let (_, report) = fleet.get(&format!("{url}/health")).await?;
        report["dependencies"].as_array()?.iter().find(|d| d["name"] == "clock").cloned()
    })
    .await
}

async fn run(fleet: &mut Fleet, people: &[(String, Kind)], what: &str) {
    let lists = verdict::post(fleet, people).await;
    let (outcomes, broken) = verdict::of_lists(fleet, &lists, PATIENCE).await;
    verdict::print(&format!("{what}; seed {}", seed()), &outcomes);
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    let otherwise: Vec<_> = outcomes.iter().filter(|o| !o.as_dictated() || !o.told).collect();
    assert!(otherwise.is_empty(), "{otherwise:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_clock_is_wrong_by_minutes_takes_up_nothing() {
    let _room = super::room(2).await;
    let (mut fleet, _balancer) =
        super::balanced(FleetConfig { apis: 2, workers: 2, sim: sim(), ..FleetConfig::default() }).await;
    // Turns and callbacks are served by what there is, however wrong its clock.
    fleet.restart_api(0, &[(OFF, "600000")]).await;
    fleet.restart_api(1, &[(OFF, "-600000")]).await;
    fleet.restart_worker(0, &[(OFF, "180000")]).await;
    for (url, state, side) in [
        (fleet.api_url(0), "degraded", "ahead of"),
        (fleet.api_url(1), "degraded", "behind"),
        (fleet.worker_url(0), "degraded", "ahead of"),
        (fleet.worker_url(1), "ok", ""),
    ] {
        let told = clock(&fleet, &url).await;
        println!("  {told}");
        assert_eq!(told["state"], state, "{told}");
        assert!(told["detail"].as_str().unwrap_or_default().contains(side), "{told}");
    }
    let people = fleet.people(60);
    let (list, rest) = people.split_at(45);
    run(&mut fleet, list, "one worker of two 3 minutes ahead, both api nodes 10 minutes off").await;
    assert_eq!(fleet.worker_counter(0, "carillon_dial_outcomes_total").await, 0, "it dialed nobody");
    assert_eq!(fleet.worker_counter(0, "webhook_deliveries_total").await, 0, "and told nobody");
    assert!(fleet.worker_counter(0, "carillon_clock_ahead_milliseconds").await > 170_000);

    // Where no worker's clock is right nothing is dialed, and nothing is lost.
    fleet.restart_worker(1, &[(OFF, "-120000")]).await;
    let lists = verdict::post(&fleet, rest).await;
    let dials = fleet.sim.ledger().with(|book| book.creates.len());
    let more = fleet.sim.ledger().until(|book| (book.creates.len() > dials).then_some(()));
    assert!(tokio::time::timeout(QUIET, more).await.is_err(), "a node with a wrong clock dials");
    fleet.restart_worker(1, &[]).await;
    let (outcomes, broken) = verdict::of_lists(&mut fleet, &lists, PATIENCE).await;
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    assert!(outcomes.iter().all(|o| o.as_dictated() && o.told), "{outcomes:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_some_seconds_apart_change_nothing() {
    let _room = super::room(2).await;
    let (mut fleet, _balancer) =
        super::balanced(FleetConfig { apis: 2, workers: 2, sim: sim(), ..FleetConfig::default() }).await;
    fleet.restart_api(0, &[(OFF, "-4000")]).await;
    fleet.restart_api(1, &[(OFF, "4000")]).await;
    fleet.restart_worker(0, &[(OFF, "4000")]).await;
    fleet.restart_worker(1, &[(OFF, "-4000")]).await;
    let people = fleet.people(45);
    run(&mut fleet, &people, "two api nodes and two workers 4 s off, either way").await;
    for i in 0..2 {
        let dialed = fleet.worker_counter(i, "carillon_dial_outcomes_total").await;
        assert!(dialed > 0, "worker {i} takes part");
    }
}
