//! Redis under Sentinel: its primary is killed under load, the replica is promoted, the nodes follow.

use std::time::{Duration, Instant};

use carillon::sim::SimConfig;

use super::verdict;
use crate::support::fleet::{Backend, seed};
use crate::support::{FleetConfig, RedisSentinel, until};

const SOON: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_follow_sentinel_to_the_new_primary() {
    let _room = super::room(2).await;
    let redis = Backend::Sentinel(RedisSentinel::start().await);
    let sim =
        SimConfig { seed: seed(), speed: 20.0, max_cps: 5.0, max_concurrent: 200, ..SimConfig::default() };
    let (mut fleet, _balancer) = super::balanced(FleetConfig {
        apis: 2,
        workers: 2,
        redis: Some(redis),
        sim,
        ..FleetConfig::default()
    })
    .await;
    let people = fleet.people(60);
    let lists = verdict::post(&fleet, &people).await;
    let ledger = fleet.sim.ledger().clone();
    let some = ledger.until(|book| (book.creates.len() >= 20).then_some(()));
    tokio::time::timeout(SOON, some).await.expect("the list is being dialed");

    let Backend::Sentinel(watched) = &mut fleet.redis else { panic!("it was given") };
    watched.kill_primary().await;
    let (dead, dialed) = (Instant::now(), ledger.with(|book| book.creates.len()));
    watched.primary().await;
    let (promoted, promoted_at) = (dead.elapsed(), ledger.elapsed_us());
    for url in [fleet.api_url(0), fleet.api_url(1), fleet.worker_url(0), fleet.worker_url(1)] {
        until("to be ready again", SOON, || async {
            fleet.get(&format!("{url}/readyz")).await.filter(|(code, _)| *code == 200).map(drop)
        })
        .await;
    }
    let first = ledger.until(|book| {
        book.creates.iter().rev().take_while(|c| c.t_us >= promoted_at).last().map(|create| create.t_us)
    });
    let first = tokio::time::timeout(PATIENCE, first).await.expect("dialing goes on by itself");
    let meanwhile = ledger
        .with(|book| book.creates.iter().filter(|c| c.t_us < promoted_at).count())
        .saturating_sub(dialed);
    println!(
        "primary under Sentinel killed under load: promoted after {:.2} s, {meanwhile} dials meanwhile, first dial {:.2} s after \
         the promotion (seed {})",
        promoted.as_secs_f64(),
        Duration::from_micros(first - promoted_at).as_secs_f64(),
        seed()
    );

    let (outcomes, broken) = verdict::of_lists(&mut fleet, &lists, PATIENCE).await;
    verdict::print("a primary under Sentinel", &outcomes);
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    assert!(outcomes.iter().all(|outcome| outcome.told), "an end was not told");
    // Moments that were granted before the kill may still be used: a fifth of a second of them.
    assert!(meanwhile <= 5, "{meanwhile} dials left while nobody could grant them");
}
