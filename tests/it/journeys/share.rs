//! Several nodes share a list: every number is rung once for each attempt, every call ends as its person dictates,
//! turns of one call are taken by different nodes.

use std::time::Duration;

use super::table;
use crate::support::fleet::{Fleet, FleetConfig, seed};

/// Numbers of one list: fewer live answers than the abandonment brake asks for, since a busy machine may answer late and
/// what the brake stops waits for an operator.
const LIST: usize = 30;
const LIST_WITHIN: Duration = Duration::from_secs(150);
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

async fn share(cluster: bool, people: usize) {
    let mut fleet =
        Fleet::start(FleetConfig { apis: 2, workers: 2, cluster, ..FleetConfig::default() }).await;
    let list = fleet.people(people);
    let began = std::time::Instant::now();
    let mut campaigns = Vec::new();
    for some in list.chunks(LIST) {
        let numbers: Vec<String> = some.iter().map(|(number, _)| number.clone()).collect();
        campaigns.push((fleet.post(&numbers).await, numbers.len()));
    }
    let mut ended = Vec::new();
    for (campaign, people) in campaigns {
        ended.extend(fleet.ended(&campaign, people, LIST_WITHIN).await);
    }
    fleet.settled(SETTLED_WITHIN).await;

    let backend = if cluster { "a Redis Cluster of 3 primaries" } else { "one Redis" };
    println!("\n== two apis and two workers on {backend} share {people} numbers (seed {}) ==", seed());
    let rows = table::rows(&fleet, &list, &ended);
    table::print(&rows);
    let dialed = [0, 1].map(|i| fleet.worker_counter(i, "carillon_dial_outcomes_total"));
    let dialed = futures::future::join_all(dialed).await;
    let shared = rows.iter().filter(|row| row.nodes.len() > 1).count();
    let talked = rows.iter().filter(|row| row.turns > 1).count();
    let summary = fleet.sim.ledger().summary();
    println!("dials by worker (carillon_dial_outcomes_total at each /metrics): {dialed:?}");
    println!(
        "calls whose turns were taken by both apis (by the addresses the carrier fetched from): {shared} of {talked}"
    );
    println!(
        "carrier: {} dials, {} legs, at most {} at once and {} dials in a second; longest dead air {:.1} s; {:.0} s in all",
        summary.creates,
        summary.legs,
        summary.peak_concurrent,
        summary.peak_creates_per_s,
        summary.longest_dead_air.seconds,
        began.elapsed().as_secs_f64(),
    );

    let mut wrong = table::wrong(&rows);
    wrong.extend(fleet.invariants().await);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(dialed.iter().all(|n| *n > 0), "both workers dial: {dialed:?}");
    assert!(shared * 2 > talked, "most conversations pass through both apis: {shared} of {talked}");
    let creates = fleet.sim.ledger().snapshot().creates;
    assert_eq!(fleet.lag.full_seconds(fleet.sim.config().max_cps, &creates), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_and_two_apis_share_a_list() {
    share(false, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_a_cluster() {
    share(true, 30).await;
}
