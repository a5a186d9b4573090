//! Nodes that are told to stop: one after the other while a list is dialed, one whose work does not end in time, and one
//! that is told twice.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::people::Kind;
use serde_json::json;

use super::verdict;
use crate::support::fleet::{now_ms, seed};
use crate::support::{Fleet, FleetConfig, until};

const SOON: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(150);
const NUMBERS: usize = 75;
/// How often every node is replaced.
const ROUNDS: usize = 2;
/// How long the carrier waits for TwiML, ms.
const CARRIER_WAITS_MS: u64 = 15_000;

fn sim() -> SimConfig {
    SimConfig { seed: seed(), speed: 20.0, max_cps: 5.0, max_concurrent: 200, ..SimConfig::default() }
}

async fn readiness(fleet: &Fleet, url: &str) -> u16 {
    fleet.get(&format!("{url}/readyz")).await.map_or(0, |(code, _)| code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_all_nodes_under_load_is_noticed_by_nobody() {
    let _room = super::room(2).await;
    let (mut fleet, _balancer) = super::balanced(FleetConfig {
        apis: 2,
        workers: 2,
        // What a node has in hand is to be finished, however slow the machine.
        env: vec![("SHUTDOWN_NOTICE".into(), "1".into()), ("SHUTDOWN_GRACE".into(), "120".into())],
        sim: sim(),
        ..FleetConfig::default()
    })
    .await;
    let people = fleet.people(NUMBERS * (1 + 4 * ROUNDS));
    let mut others = people.chunks(NUMBERS);
    let mut lists = verdict::post(&fleet, others.next().expect("the first")).await;
    let ledger = fleet.sim.ledger().clone();
    let mut replaced_under_load = 0;
    for round in 0..ROUNDS {
        for node in 0..4 {
            // Between two nodes the load goes on: some more people are called.
            let living = || ledger.with(|book| book.legs.iter().filter(|leg| leg.ended_at.is_none()).count());
            if living() == 0 {
                lists.extend(verdict::post(&fleet, others.next().expect("one for each node")).await);
            }
            let wanted = ledger.with(|book| book.creates.len()) + 4;
            let more = ledger.until(|book| (book.creates.len() >= wanted).then_some(()));
            let _ = tokio::time::timeout(Duration::from_secs(10), more).await;
            replaced_under_load += usize::from(living() > 0);
            let (i, api) = (node / 2, node % 2 == 1);
            let (url, process) = match api {
                true => (fleet.api_url(i), fleet.api(i)),
                false => (fleet.worker_url(i), fleet.worker(i)),
            };
            process.signal("TERM");
            if api {
                // It still serves, and says that it is to be sent no more.
                until("the api to say that it drains", SOON, || async {
                    (readiness(&fleet, &url).await == 503).then_some(())
                })
                .await;
            }
            let process = if api { fleet.api(i) } else { fleet.worker(i) };
            let code = process.ended(PATIENCE).await.code();
            assert_eq!(code, Some(0), "round {round}, node {node}: all was finished in time");
            match api {
                true => fleet.restart_api(i, &[]).await,
                false => fleet.restart_worker(i, &[]).await,
            }
        }
    }
    let (outcomes, broken) = verdict::of_lists(&mut fleet, &lists, PATIENCE).await;
    verdict::print(&format!("every node replaced {ROUNDS} times; seed {}", seed()), &outcomes);
    let summary = ledger.summary();
    let slowest = ledger.with(|book| {
        let fetches = book.legs.iter().flat_map(|leg| &leg.fetches);
        fetches.map(|fetch| fetch.took_ms).max().unwrap_or_default()
    });
    println!(
        "{replaced_under_load} of {} replacements with calls on the line; {} requests for TwiML, {} failed, the slowest took \
         {slowest} ms; {} callbacks, {} failed; longest dead air {:.1} simulated s",
        4 * ROUNDS,
        summary.fetches,
        summary.fetches_failed,
        summary.callbacks,
        summary.callbacks_failed,
        summary.longest_dead_air.seconds
    );
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    assert!(outcomes.iter().all(|outcome| outcome.told), "an end was not told");
    let unclear: Vec<_> = outcomes.iter().filter(|outcome| outcome.disposition == "unconfirmed").collect();
    assert!(unclear.is_empty(), "a restart left unclear whether these rang: {unclear:#?}");
    assert_eq!(summary.carrier_errors_heard, 0);
    assert!(slowest < CARRIER_WAITS_MS, "a turn waited {slowest} ms");
    assert!(replaced_under_load >= 4, "the list was over before the nodes were replaced");
}

/// A call whose wrap-up is under way and does not end, since the archive never answers.
async fn stuck_in_wrap_up(fleet: &Fleet, nth: u32) -> String {
    fleet.sim.faults().add(Rule::always(Target::S3, Fault::Hang));
    let call = fleet.call(&fleet.sim.world().number(Kind::Cooperative, nth), json!({})).await;
    until("its wrap-up to be claimed", PATIENCE, || async {
        let (state, due) = due_of(fleet, &call).await;
        (state == "W" && due > i64::try_from(now_ms()).expect("a date") + 2_000).then_some(())
    })
    .await;
    call
}

/// A call's state and when it is due, ms.
async fn due_of(fleet: &Fleet, call: &str) -> (String, i64) {
    let tag = format!("{{s{}}}", &call[5..7]);
    let record = fleet.redis.cmd(&["GET", &format!("CALL_SESSION:{tag}:{call}")]).await.text();
    let state = record.as_deref().and_then(|r| r.get(24..25)).unwrap_or("?").to_owned();
    let due = fleet.redis.cmd(&["ZSCORE", &format!("DUE:{tag}"), call]).await.text();
    (state, due.and_then(|due| due.parse::<f64>().ok()).map_or(0, |due| due as i64))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlasts_the_grace_is_handed_back_and_a_second_signal_ends_at_once() {
    let _room = super::room(1).await;
    let mut fleet = Fleet::start(FleetConfig { sim: sim(), ..FleetConfig::default() }).await;
    // A lease of 45 s, as in production: whoever waited for it would wait visibly long.
    fleet.restart_worker(0, &[("TIME_SCALE", "1"), ("SHUTDOWN_GRACE", "5")]).await;
    let first = stuck_in_wrap_up(&fleet, 0).await;
    let (_, leased) = due_of(&fleet, &first).await;
    let url = fleet.worker_url(0);
    fleet.worker(0).signal("TERM");
    until("the worker to say that it drains", SOON, || async {
        (readiness(&fleet, &url).await == 503).then_some(())
    })
    .await;
    // Nothing is claimed any more: an urgent call stays where it stands.
    let second = fleet.call(&fleet.sim.world().number(Kind::Busy, 0), json!({})).await;
    assert_eq!(fleet.worker(0).ended(SOON).await.code(), Some(1), "not all was finished");
    let now = i64::try_from(now_ms()).expect("a date");
    let (state, due) = due_of(&fleet, &first).await;
    println!("handed back {} ms ago, {} ms before its lease would have ended", now - due, leased - due);
    assert_eq!(state, "W");
    assert!(due > 0 && due <= now && due < leased, "due in {} ms", due - now);
    assert_eq!(fleet.status(&second).await["status"], "queued");
    assert!(fleet.worker(0).output().contains("a step was handed back"));

    fleet.sim.faults().set(Vec::new());
    fleet.restart_worker(0, &[("SHUTDOWN_GRACE", "3600")]).await;
    assert_eq!(fleet.call_ended(&first, PATIENCE).await["disposition"], "completed");
    assert_eq!(fleet.call_ended(&second, PATIENCE).await["disposition"], "busy");

    let third = stuck_in_wrap_up(&fleet, 1).await;
    fleet.worker(0).signal("TERM");
    until("the worker to say that it drains", SOON, || async {
        (readiness(&fleet, &url).await == 503).then_some(())
    })
    .await;
    assert!(!fleet.worker(0).has_ended(), "it waits for what runs, for up to an hour");
    fleet.worker(0).signal("TERM");
    assert_eq!(fleet.worker(0).ended(SOON).await.code(), Some(1));
    fleet.sim.faults().set(Vec::new());
    fleet.restart_worker(0, &[]).await;
    assert_eq!(fleet.call_ended(&third, PATIENCE).await["disposition"], "completed");
    fleet.settled(PATIENCE).await;
    let broken = fleet.invariants().await;
    assert!(broken.is_empty(), "{broken:#?}");
}
