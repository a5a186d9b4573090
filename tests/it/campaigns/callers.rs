//! The numbers we call from: so many calls a day each, and one that nobody answers rests.

use std::collections::BTreeMap;
use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::people::Kind;
use serde_json::json;

use super::{SOON, add, blockers, command, create, dials, in_order, in_state, numbers};
use crate::support::fleet::{Fleet, FleetConfig, seed};
use crate::support::until;

const CALLERS: [&str; 3] = ["+12025550111", "+13125550122", "+14155550133"];

fn config(speed: f64, more: &[(&str, &str)]) -> FleetConfig {
    let sim = SimConfig { seed: seed(), speed, max_cps: 100.0, max_concurrent: 500, ..SimConfig::default() };
    let callers = CALLERS.join(",");
    let env = [
        ("CALLER_IDS", callers.as_str()),
        ("TWILIO_MAX_CPS", "30"),
        ("RECORDING", "off"),
        ("TIME_SCALE", "60"),
    ];
    let env = env.iter().chain(more).map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    FleetConfig { sim, env, ..FleetConfig::default() }
}

/// Dials by the number they came from, among those after `since_us`.
fn by_caller(fleet: &Fleet, since_us: u64) -> BTreeMap<String, usize> {
    fleet.sim.ledger().with(|book| {
        let mut by = BTreeMap::new();
        for create in book.creates.iter().filter(|c| c.t_us >= since_us) {
            *by.entry(create.from.clone()).or_default() += 1;
        }
        by
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_calls_so_often_a_day_and_no_more() {
    const CAP: usize = 12;
    let mut fleet = Fleet::start(config(60.0, &[("CALLER_ID_DAILY_CAP", "12")])).await;
    let id = create(&fleet, json!({ "name": "daily", "retries": { "max_attempts": 1 } })).await;
    add(&fleet, &id, &numbers(&fleet, Kind::Busy, 0..60)).await;
    command(&fleet, &id, "start").await;
    dials(&fleet, 0, 3 * CAP, SOON).await;
    let blocker = until("a blocker that names the numbers", SOON, || async {
        let found = blockers(&fleet, &id).await;
        found.into_iter().find(|b| b["reason"].as_str().is_some_and(|r| r.starts_with("caller")))
    })
    .await;
    let by = by_caller(&fleet, 0);
    println!("\n== at most {CAP} calls a day from each of three numbers, 60 wanted ==\n{by:?}\n{blocker}");
    assert_eq!(by.len(), 3, "all three numbers are used: {by:?}");
    assert!(by.values().all(|n| *n == CAP), "each up to its cap: {by:?}");
    command(&fleet, &id, "cancel").await;
    in_state(&fleet, &id, "cancelled", SOON).await;
    assert_eq!(by_caller(&fleet, 0), by, "and none beyond it");
    in_order(&mut fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_nobody_answers_rests() {
    // It rests for ten minutes of this test.
    let mut fleet = Fleet::start(config(60.0, &[("TIME_SCALE", "6")])).await;
    let shunned = CALLERS[1];
    fleet
        .sim
        .controls()
        .change(|s| {
            s.answer_rates.insert(shunned.into(), 0.0);
        })
        .expect("it can be used");
    let definition = json!({ "name": "shunned", "retries": { "max_attempts": 1 }, "keep_open": true });
    let id = create(&fleet, definition).await;
    command(&fleet, &id, "start").await;
    println!("\n== a number that nobody answers (seed {}) ==", seed());
    let mut from = 0;
    loop {
        // Lists of people who pick up and soon hang up, until one of the numbers is taken out.
        assert!(from < 600, "no number was taken out after {:?}", by_caller(&fleet, 0));
        add(&fleet, &id, &numbers(&fleet, Kind::HangsUp, from..from + 60)).await;
        from += 60;
        fleet.ended(&id, usize::try_from(from).expect("few"), Duration::from_secs(90)).await;
        let events = fleet.redis.cmd(&["XRANGE", "FLEET_EVENTS:{cap}", "-", "+"]).await;
        if format!("{events:?}").contains("\"quarantine\"") {
            break;
        }
    }
    println!("after {from} calls: {:?}", by_caller(&fleet, 0));
    let since = fleet.sim.ledger().elapsed_us();
    add(&fleet, &id, &numbers(&fleet, Kind::HangsUp, from..from + 60)).await;
    fleet.ended(&id, usize::try_from(from + 60).expect("few"), Duration::from_secs(90)).await;
    let by = by_caller(&fleet, since);
    println!("then {by:?}");
    assert_eq!(by.get(shunned), None, "it rests: {by:?}");
    assert_eq!(by.values().sum::<usize>(), 60, "the others call its people");
    let (status, answer) =
        super::send(&fleet, "PATCH", &format!("/api/campaigns/{id}"), &json!({ "keep_open": false })).await;
    assert_eq!(status, 200, "{answer}");
    in_state(&fleet, &id, "completed", SOON).await;
    in_order(&mut fleet).await;
}
