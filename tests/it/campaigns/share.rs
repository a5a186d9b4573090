//! Two workers, 50 calls a second, 200 at once, three campaigns with weights 1 : 2 : 4 that all have more than enough:
//! the carrier's ledger tells how fast, how many at once, for whom, and when an urgent call came.

use std::collections::HashMap;
use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::ledger::Create;
use carillon::sim::people::Kind;
use serde_json::json;

use super::{SOON, add, command, create, dials, in_order, in_state, numbers};
use crate::support::fleet::{Fleet, FleetConfig, seed};

const CPS: usize = 50;
const CAP: usize = 200;
/// The dials that are judged.
const DIALS: usize = 2_000;
/// Those of the first moments, while the campaigns are being started.
const WARM_UP: usize = 100;
const WEIGHTS: [usize; 3] = [1, 2, 4];
/// Rows of each: more than its share of what is dialed.
const ROWS: [u32; 3] = [340, 660, 1_290];
/// A share may be off by so much of itself.
const TOLERANCE: f64 = 0.05;
const URGENT_WITHIN_US: u64 = 1_000_000;

fn config() -> FleetConfig {
    FleetConfig {
        workers: 2,
        alone: true,
        sim: SimConfig {
            seed: seed(),
            // Who lets it ring for 30 s holds a slot for 4 s: rate and slots bind by turns.
            speed: 7.5,
            max_cps: 1_000.0,
            max_concurrent: 1_000,
            ..SimConfig::default()
        },
        env: [
            ("TWILIO_MAX_CPS", CPS.to_string()),
            ("TWILIO_MAX_CONCURRENT", CAP.to_string()),
            ("RING_TIMEOUT", "30".to_owned()),
            ("TIME_SCALE", "7.5".to_owned()),
            ("RECORDING", "off".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
        ..FleetConfig::default()
    }
}

/// Posts a call of its own and waits for its dial; when it was posted and dialed, in microseconds of the ledger's clock.
async fn urgent(fleet: &Fleet, number: &str) -> (u64, u64) {
    let posted = fleet.sim.ledger().elapsed_us();
    fleet.call(number, json!({})).await;
    let dialed =
        fleet.sim.ledger().until(|book| book.creates.iter().rev().find(|c| c.to == number).map(|c| c.t_us));
    let dialed = tokio::time::timeout(SOON, dialed).await.expect("an urgent call is dialed");
    (posted, dialed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_campaigns_share_the_rate_by_their_weights() {
    let mut fleet = Fleet::start(config()).await;
    let mut campaigns = Vec::new();
    let mut whose: HashMap<String, usize> = HashMap::new();
    let mut from = 0;
    for (i, rows) in ROWS.into_iter().enumerate() {
        let definition = json!({ "name": format!("weight {}", WEIGHTS[i]), "weight": WEIGHTS[i], "retries": { "max_attempts": 1 } });
        let id = create(&fleet, definition).await;
        // Most let it ring; some pick up, since a number that nobody at all answers is taken out of use.
        let answered = rows / 6;
        let mut list = numbers(&fleet, Kind::NoAnswer, from..from + rows - answered);
        for (i, number) in numbers(&fleet, Kind::HangsUp, from..from + answered).into_iter().enumerate() {
            list.insert(i * 6, number);
        }
        from += rows;
        add(&fleet, &id, &list).await;
        whose.extend(list.into_iter().map(|number| (number, i)));
        campaigns.push(id);
    }
    // Somebody picked up before: on a slow machine fifty ring out before the first talk of the lists is over, and the
    // only number would be taken out of use.
    for number in numbers(&fleet, Kind::HangsUp, from..from + 3) {
        let call = fleet.call(&number, json!({})).await;
        fleet.call_ended(&call, SOON).await;
    }
    let began = fleet.sim.ledger().elapsed_us();
    for id in &campaigns {
        command(&fleet, id, "start").await;
    }
    let mut waits = Vec::new();
    for i in 0..3_u32 {
        let so_far = WARM_UP + DIALS * (i as usize + 1) / 4;
        dials(&fleet, began, so_far, Duration::from_secs(120)).await;
        // Of people with whom a call is over at once: a busy one would be tried again for minutes.
        waits.push(urgent(&fleet, &numbers(&fleet, Kind::HangsUp, from + 3 + i..from + 4 + i)[0]).await);
    }
    // Three of them are the urgent calls.
    dials(&fleet, began, WARM_UP + DIALS + 3, Duration::from_secs(120)).await;
    let tempo = fleet.sim.ledger().tempo(1_000);
    let creates: Vec<Create> = fleet.sim.ledger().snapshot().creates;
    let held = [held_back(&fleet, 0).await, held_back(&fleet, 1).await];
    for id in &campaigns {
        command(&fleet, id, "cancel").await;
    }

    let judged: Vec<&Create> =
        creates.iter().filter(|c| whose.contains_key(&c.to)).skip(WARM_UP).take(DIALS).collect();
    let mut shares = [0_usize; 3];
    for create in &judged {
        shares[whose[&create.to]] += 1;
    }
    let whole: usize = WEIGHTS.iter().sum();
    println!("\n== two workers, {CPS} calls/s, {CAP} at once, weights 1:2:4 (seed {}) ==", seed());
    println!(
        "{} dials in {:.1} s ({:.1}/s); fullest second {} dials; at most {} live",
        tempo.dials,
        tempo.span_us as f64 / 1e6,
        tempo.dials as f64 * 1e6 / tempo.span_us.max(1) as f64,
        tempo.fullest.dials,
        tempo.peak_live,
    );
    println!("{:<9} {:>6} {:>9} {:>9}", "campaign", "dials", "share", "wanted");
    let mut wrong = Vec::new();
    for (i, dials) in shares.into_iter().enumerate() {
        let (share, wanted) = (dials as f64 / judged.len() as f64, WEIGHTS[i] as f64 / whole as f64);
        println!("weight {:<2} {dials:>6} {:>8.2}% {:>8.2}%", WEIGHTS[i], share * 100.0, wanted * 100.0);
        if (share / wanted - 1.0).abs() > TOLERANCE {
            wrong.push(format!("weight {} had {share:.4} of the dials instead of {wanted:.4}", WEIGHTS[i]));
        }
    }
    println!(
        "urgent calls dialed after {:?} ms",
        waits.iter().map(|(from, to)| (to - from) / 1_000).collect::<Vec<_>>()
    );
    println!("by the second (dials/live): {}", seconds(&tempo));
    println!("held back, worker by worker: {held:#?}");

    assert_eq!(judged.len(), DIALS);
    let mut peak_live = tempo.peak_live;
    for id in &campaigns {
        in_state(&fleet, id, "cancelled", SOON).await;
    }
    in_order(&mut fleet).await;
    peak_live = peak_live.max(fleet.sim.ledger().tempo(1_000).peak_live);
    println!("a timer of this process was {} ms late at worst", fleet.lag.worst(0..=u64::MAX) / 1_000);
    wrong.extend(fleet.lag.full_seconds(CPS as f64, &creates));
    if peak_live > CAP {
        wrong.push(format!("K1: {peak_live} legs at once"));
    }
    for (posted, dialed) in waits {
        let (wait, lag) = (dialed - posted, fleet.lag.worst(posted..=dialed));
        // The request, the node and this carrier each had to wait for the machine.
        if wait > URGENT_WITHIN_US + 2 * lag {
            wrong.push(format!("an urgent call waited {wait} µs, where a timer was {lag} µs late"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a worker counted of calls that were held back and of dials that came to nothing.
async fn held_back(fleet: &Fleet, worker: usize) -> Vec<String> {
    let url = format!("{}/metrics", fleet.worker_url(worker));
    let metrics = reqwest::get(url).await.expect("metrics").text().await.expect("text");
    let told = metrics.lines().filter_map(|line| {
        let (what, n) = line.strip_prefix("carillon_")?.split_once("_total{")?;
        let labels = n.replace("\"} ", ": ").replace("=\"", " ");
        matches!(what, "pacing_waits" | "dial_outcomes").then_some(labels)
    });
    told.collect()
}

fn seconds(tempo: &carillon::sim::ledger::Tempo) -> String {
    tempo.seconds.iter().map(|s| format!("{}/{}", s.dials, s.live)).collect::<Vec<_>>().join(" ")
}
