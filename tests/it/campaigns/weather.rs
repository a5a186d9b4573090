//! The carrier's bad weather: 429 for ten seconds, then a queue, then a prefix whose calls fail. Pacing backs off, the
//! breaker opens for that prefix alone and closes again, nothing is lost, and the blockers say why.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::people::Kind;
use serde_json::{Value, json};

use super::{SOON, add, blockers, clock, command, create, dials, in_order, in_state};
use crate::support::fleet::{Fleet, FleetConfig, seed};
use crate::support::wait::try_until;

const CPS: usize = 20;
const SICK: &str = "+1312";
const STORM: Duration = Duration::from_secs(10);
const SECOND_US: u64 = 1_000_000;
/// Numbers of the sick prefix, and others.
const ROWS: (usize, usize) = (100, 700);

/// Busy lines: quick, and never answered. Of one area code, or of all the others.
fn busy(fleet: &Fleet, sick: bool, n: usize) -> Vec<String> {
    let world = fleet.sim.world();
    let all = (0..).map(|i| world.number(Kind::Busy, i));
    all.filter(|number| number.starts_with(SICK) == sick).take(n).collect()
}

/// Dials from `from_us` on, for so many seconds: all, and those to the sick prefix.
fn dialed(fleet: &Fleet, from_us: u64, seconds: u64) -> (usize, usize) {
    fleet.sim.ledger().with(|book| {
        let within =
            book.creates.iter().filter(|c| c.t_us >= from_us && c.t_us < from_us + seconds * SECOND_US);
        let to: Vec<&str> = within.map(|c| c.to.as_str()).collect();
        (to.len(), to.iter().filter(|to| to.starts_with(SICK)).count())
    })
}

/// Waits until a blocker tells one of `reasons`; that blocker.
async fn blocked_by(fleet: &Fleet, id: &str, reasons: &[&str]) -> Value {
    let seen = RefCell::new(BTreeSet::new());
    let found = try_until(SOON, || {
        let seen = &seen;
        async move {
            for blocker in blockers(fleet, id).await {
                let reason = blocker["reason"].as_str().unwrap_or_default().to_owned();
                if reasons.contains(&reason.as_str()) {
                    return Some(blocker);
                }
                seen.borrow_mut().insert(reason);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    })
    .await;
    found.unwrap_or_else(|| panic!("no blocker of {reasons:?} was told, but {:?}", seen.borrow()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_carrier_throttles_queues_and_fails_one_prefix() {
    // The carrier takes more than we ask for, until it is told to take less.
    let sim =
        SimConfig { seed: seed(), speed: 30.0, max_cps: 200.0, max_concurrent: 500, ..SimConfig::default() };
    // The breaker's window is 30 s of the house: here 3 s, in which even a slow machine dials its ten samples.
    let env = [("TWILIO_MAX_CPS", CPS.to_string()), ("TIME_SCALE", "10".into()), ("RECORDING", "off".into())]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    let mut fleet =
        Fleet::start(FleetConfig { workers: 2, alone: true, sim, env, ..FleetConfig::default() }).await;
    println!("\n== the carrier's bad weather: {CPS} calls/s wanted (seed {}) ==", seed());
    let retries = json!({ "max_attempts": 2, "busy": { "delays_s": [] }, "failed": { "delays_s": [60] } });
    let id = create(&fleet, json!({ "name": "weather", "retries": retries })).await;
    let (sick, well) = (busy(&fleet, true, ROWS.0), busy(&fleet, false, ROWS.1));
    // The sick ones among the others from the middle on, so that there are some left when the prefix falls ill.
    let mut list: Vec<String> = well[..ROWS.1 / 2].to_vec();
    for (i, number) in well[ROWS.1 / 2..].iter().enumerate() {
        list.push(number.clone());
        list.extend(sick.get(i).cloned());
    }
    add(&fleet, &id, &list).await;
    command(&fleet, &id, "start").await;

    dials(&fleet, 0, 5 * CPS, SOON).await;
    let ledger = fleet.sim.ledger().clone();
    let storm = ledger.elapsed_us();
    let refused = Fault::Status { code: 429, retry_after_s: Some(2), error_code: Some("20429".into()) };
    fleet.sim.faults().add(Rule::always(Target::TwilioCreate, refused).lasting(STORM));
    println!("429: {}", blocked_by(&fleet, &id, &["carrier_throttle", "carrier"]).await);
    clock(&fleet, storm + 10 * SECOND_US).await;
    let (calm, worst) =
        (dialed(&fleet, storm - 3 * SECOND_US, 3).0, dialed(&fleet, storm + 2 * SECOND_US, 8).0);
    println!("dials in 3 s before the storm: {calm}; in its last 8 s: {worst}");
    assert!(worst < 8 * CPS / 4, "pacing backs off while the carrier answers 429: {worst} dials in 8 s");

    let after = ledger.elapsed_us();
    dials(&fleet, after, 3 * CPS, SOON).await;
    println!("{} dials came in {:.1} s after the storm", 3 * CPS, (ledger.elapsed_us() - after) as f64 / 1e6);
    let queue = ledger.elapsed_us();
    fleet.sim.controls().change(|s| s.max_cps = Some(2.0)).expect("it can be used");
    println!("queueing: {}", blocked_by(&fleet, &id, &["carrier_throttle"]).await);
    clock(&fleet, queue + 8 * SECOND_US).await;
    let queued = dialed(&fleet, queue + 4 * SECOND_US, 4).0;
    println!("dials in the last 4 s of 8 s at 2 calls/s of the carrier's: {queued}");
    assert!(queued < 4 * CPS / 2, "pacing backs off where the carrier queues: {queued} dials in 4 s");
    fleet.sim.controls().change(|s| s.max_cps = None).expect("it can be used");

    // So many fail that the breaker's threshold of one half is passed by the first samples, not by luck after a hundred.
    let fails = Fault::CallFails { error_code: 32014, sip: 503 };
    fleet.sim.faults().add(Rule::likely(Target::Calls, fails, 0.9).matching(SICK));
    let open = blocked_by(&fleet, &id, &["destination_breaker", "breaker"]).await;
    let opened = ledger.elapsed_us();
    println!("breaker: {open}");
    assert!(open.to_string().contains(SICK.trim_start_matches('+')), "the blocker names the prefix: {open}");
    dials(&fleet, opened, 2 * CPS, SOON).await;
    let seconds = (ledger.elapsed_us() - opened).div_ceil(SECOND_US).max(1);
    let (all, to_sick) = dialed(&fleet, opened, seconds);
    println!("while it is open: {all} dials in {seconds} s, {to_sick} of them to {SICK}");
    assert!(all - to_sick >= CPS, "the others go on");
    assert!(to_sick * 4 <= all, "the prefix rests: {to_sick} of {all}");
    fleet.sim.faults().set(Vec::new());

    let done = in_state(&fleet, &id, "completed", Duration::from_secs(150)).await;
    println!("dispositions {}", done["dispositions"]);
    let ended = fleet.ended(&id, list.len(), SOON).await;
    assert_eq!(ended.len(), list.len(), "nothing is lost");
    let rung: BTreeSet<String> =
        ledger.with(|book| book.creates.iter().filter(|c| c.sid.is_some()).map(|c| c.to.clone()).collect());
    assert!(list.iter().all(|number| rung.contains(number)), "every number was dialed");
    let lost =
        ended.iter().filter(|end| !["busy", "carrier_failed"].contains(&end.disposition.as_str())).count();
    assert_eq!(lost, 0, "nobody's call ended by the weather alone");
    let failed = ended.iter().filter(|end| end.disposition == "carrier_failed").count();
    assert!(failed <= ROWS.0, "{failed} calls failed, all of the prefix");
    in_order(&mut fleet).await;
}
