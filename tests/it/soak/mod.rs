//! The soak: a whole campaign on a whole fleet while everything fails, and the ledger's table at its end.
//!
//! | file | what it does |
//! | --- | --- |
//! | `plan` | which faults there are and when they come, from the seed |
//! | `rig` | the cluster, the world, the nodes, the proxies between them |
//! | `strikes` | does to the rig what the plan says |
//! | `failover` | one primary killed under load, and how long dialing rests for it |
//! | `look` | what stands in Redis |
//! | `judge` | the table |
//! | `causes` | a fault for each call that ended otherwise than its person dictates |
//! | `pace` | dials a second and lines at once, as the carrier saw them |
//!
//! `./scripts/soak --calls 20000 --faults all --seed N` runs it at length; a short one is among the tests of faults.

mod causes;
pub(crate) mod failover;
mod judge;
mod look;
mod pace;
mod plan;
mod rig;
mod strikes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carillon::sim::SimConfig;
use carillon::sim::people::{Kind, World};
use rand::Rng as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use judge::{Blow, Table};
use look::Look;
use pace::Pace;
pub(crate) use plan::Faults;
use rig::Rig;
use strikes::Blows;

use crate::support::Lag;

use crate::openapi::Validator;

/// The share of calls that must end as their person and their fault dictate.
const AS_DICTATED: f64 = 0.99;
/// Rows of one request.
const CHUNK: usize = 1_000;
/// How long what follows the last call may take: a webhook that failed thrice waits for minutes.
const SETTLED_WITHIN: Duration = Duration::from_secs(420);
/// Lines at once.
const SLOTS: u32 = 400;
/// How much faster than life retries and watchdogs run.
const TIME_SCALE: f64 = 1_000.0;
/// Of each thousand numbers so many are of this kind: a list as campaigns have them, where most do not talk.
const MIX: [(Kind, u32); 15] = [
    (Kind::Voicemail, 310),
    (Kind::NoAnswer, 190),
    (Kind::Busy, 70),
    (Kind::Invalid, 40),
    (Kind::WrongNumber, 110),
    (Kind::HangsUp, 90),
    (Kind::OptsOut, 50),
    (Kind::Hostile, 20),
    (Kind::Silent, 10),
    (Kind::WantsCallback, 20),
    (Kind::Cooperative, 50),
    (Kind::Terse, 10),
    (Kind::Evasive, 10),
    (Kind::LongGap, 10),
    (Kind::Overlapping, 10),
];

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Soak {
    /// Numbers on the list.
    pub(crate) calls: usize,
    pub(crate) faults: Faults,
    pub(crate) seed: u64,
    /// The list must be over by then.
    pub(crate) limit: Duration,
    /// Calls started per second.
    pub(crate) cps: f64,
    /// Simulated seconds to one of the wall.
    pub(crate) speed: f64,
    /// `REDIS_WAIT_REPLICAS` of every node.
    pub(crate) wait: u32,
}

/// The list: numbers in the order in which they are posted, and who is there.
fn list(world: &World, soak: &Soak) -> Vec<(String, Kind)> {
    let mut dice = plan::dice(soak.seed, 1);
    let mut next: HashMap<Kind, u32> = HashMap::new();
    let whole: u32 = MIX.iter().map(|(_, share)| share).sum();
    (0..soak.calls)
        .map(|_| {
            let mut at = dice.random_range(0..whole);
            let (kind, _) = MIX
                .into_iter()
                .find(|(_, share)| at.checked_sub(*share).map(|rest| at = rest).is_none())
                .unwrap_or(MIX[0]);
            let nth = next.entry(kind).or_default();
            *nth += 1;
            (world.number(kind, *nth - 1), kind)
        })
        .collect()
}

/// Runs it, prints what it finds, and answers whether all holds.
pub(crate) async fn run(soak: Soak) -> bool {
    let began = Instant::now();
    println!(
        "soak: {} calls, faults {}, seed {}, {} calls/s, {}x life",
        soak.calls,
        soak.faults.shown(),
        soak.seed,
        soak.cps,
        soak.speed
    );
    let world = SimConfig {
        seed: soak.seed,
        speed: soak.speed,
        max_cps: soak.cps * 1.5,
        max_concurrent: 600,
        faults: plan::always(&soak.faults),
        ..SimConfig::default()
    };
    let rig = Arc::new(
        Rig::start(world, soak.cps, SLOTS, TIME_SCALE, &[("REDIS_WAIT_REPLICAS", &soak.wait.to_string())])
            .await,
    );
    let nodes = rig.redis.lock().await.addrs();
    println!(
        "fleet: 2 api, 2 workers, Redis Cluster of 3 primaries and 3 replicas, up after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let lag = Lag::watch(rig.sim.ledger());
    let people = list(rig.sim.world(), &soak);
    let blows = Blows::default();
    let stop = CancellationToken::new();
    let mut fates =
        vec![tokio::spawn(strikes::kills(Arc::clone(&rig), soak.clone(), blows.clone(), stop.clone()))];
    let steps = || tokio::spawn(strikes::steps(Arc::clone(&rig), soak.clone(), blows.clone(), stop.clone()));
    // A 202 that no replica stands behind does not outlive its primary.
    let while_posted = soak.wait > 0;
    if while_posted {
        fates.push(steps());
    }
    let campaign = post(&rig, &people).await;
    println!("{} numbers accepted after {:.1} s", people.len(), began.elapsed().as_secs_f64());
    if !while_posted {
        fates.push(steps());
    }

    let in_time = watch(&rig, &nodes, &campaign, &soak, &blows, began).await;
    stop.cancel();
    for fate in fates {
        fate.await.expect("the strikes end in order");
    }
    rig.sim.faults().set(Vec::new());
    let dialed = began.elapsed();
    println!("all strikes are over after {:.0} s; what is left is settled", dialed.as_secs_f64());
    let settled = settle(&nodes).await;
    println!("all is settled {:.0} s later", (began.elapsed() - dialed).as_secs_f64());
    let ran = Ran { soak, people, blows: blows.all(), lag, in_time: in_time && settled, began };
    report(&rig, &nodes, &ran).await
}

/// Posts the list as a client does that repeats what was not answered; the campaign's id, running.
async fn post(rig: &Rig, people: &[(String, Kind)]) -> String {
    // Who did not answer is tried once more: as in life, most dials are not a call's first.
    let definition = json!({"name": "soak", "retries": {"max_attempts": 2}});
    let (status, made) =
        rig.ask(|http, base| http.post(format!("{base}/api/campaigns")).json(&definition)).await;
    assert!((200..300).contains(&status), "the campaign is made: {status} {made}");
    let id = made["campaign_id"].as_str().expect("a campaign's id").to_owned();
    for (n, rows) in people.chunks(CHUNK).enumerate() {
        let numbers: Vec<&str> = rows.iter().map(|(number, _)| number.as_str()).collect();
        let body = json!({"phone_numbers": numbers});
        let key = format!("soak-{id}-{n}");
        let (status, answer) = rig
            .ask(|http, base| {
                let url = format!("{base}/api/campaigns/{id}/calls");
                http.post(url).header("idempotency-key", &key).json(&body)
            })
            .await;
        assert_eq!(status, 202, "the rows are taken: {answer}");
        // After a crash in the middle the repeat finds some of them there.
        let known = answer["accepted"].as_u64().unwrap_or(0) + answer["duplicates"].as_u64().unwrap_or(0);
        assert_eq!(known, rows.len() as u64, "every row is taken: {answer}");
    }
    let (status, answer) =
        rig.ask(|http, base| http.post(format!("{base}/api/campaigns/{id}/start")).json(&json!({}))).await;
    assert!(status == 200 || status == 409, "it starts, or had: {status} {answer}");
    id
}

/// Waits until the whole list has ended, and says how far it is; false where the time ran out.
async fn watch(
    rig: &Rig,
    nodes: &[std::net::SocketAddr],
    campaign: &str,
    soak: &Soak,
    blows: &Blows,
    began: Instant,
) -> bool {
    let mut every = tokio::time::interval(Duration::from_secs(2));
    let mut said = Instant::now();
    let limit = Instant::now() + soak.limit;
    loop {
        every.tick().await;
        let ended = Look::at(nodes).await.results(campaign).await;
        let done = ended >= soak.calls;
        if done || said.elapsed() >= Duration::from_secs(10) {
            said = Instant::now();
            let (creates, live) = rig.sim.ledger().with(|book| (book.creates.len(), book.live));
            println!(
                "{:>5.0} s  {ended}/{} ended, {creates} creates, {live} legs live; {}",
                began.elapsed().as_secs_f64(),
                soak.calls,
                blows.shown()
            );
        }
        if done {
            return true;
        }
        resume(rig, campaign).await;
        if Instant::now() > limit {
            println!("the time is over: {ended} of {} calls have ended", soak.calls);
            return false;
        }
    }
}

/// Does what an operator does whom the brake told: where everything fails, somebody picks up and hears nobody in time,
/// and after thirty answers one such call pauses the campaign, as it must.
async fn resume(rig: &Rig, campaign: &str) {
    let (_, view) = rig.ask(|http, base| http.get(format!("{base}/api/campaigns/{campaign}"))).await;
    if view["state"] == "paused" {
        println!("        the abandonment brake paused the campaign; it is resumed");
        let (status, answer) = rig
            .ask(|http, base| {
                http.post(format!("{base}/api/campaigns/{campaign}/resume")).json(&json!({"why": "a soak"}))
            })
            .await;
        assert!(status == 200 || status == 409, "it goes on, or had: {status} {answer}");
    }
}

/// Waits until webhooks are delivered, evidence is sealed and slots are free.
async fn settle(nodes: &[std::net::SocketAddr]) -> bool {
    let done = crate::support::wait::try_until(SETTLED_WITHIN, || async {
        if Look::at(nodes).await.left().await.nothing() {
            return Some(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        None
    })
    .await;
    done.is_some()
}

/// A run that is over.
struct Ran {
    soak: Soak,
    people: Vec<(String, Kind)>,
    blows: Vec<Blow>,
    lag: Lag,
    in_time: bool,
    began: Instant,
}

async fn report(rig: &Rig, nodes: &[std::net::SocketAddr], ran: &Ran) -> bool {
    let Ran { soak, people, blows, .. } = ran;
    let mut table = failover::table(rig, nodes, people, blows, &ran.lag).await;
    let left = Look::at(nodes).await.left().await;
    let ledger = rig.sim.ledger();
    let summary = ledger.summary();
    let (errors, broken): (Vec<String>, Vec<String>) =
        summary.broken.into_iter().partition(|line| line.contains("carrier's error message"));
    table.findings.extend(broken);
    table.findings.extend(rig.violations().await);
    if !ran.in_time {
        table.findings.push("not all was done in time".to_owned());
    }
    let pace = Pace { cps: soak.cps, slots: SLOTS as usize, blows, lag: &ran.lag };
    let seen = ledger.with(|book| pace.judge(&book.creates));
    table.findings.extend(seen.findings);
    let tempo = ledger.tempo(1_000);
    print(soak, &table, &left, people.len());
    println!(
        "{:<34} {} in the fullest second of the carrier's ({} but for failovers and held-up wires; {} allowed)",
        "dials", tempo.fullest.dials, seen.fullest, soak.cps
    );
    println!(
        "{:<34} {} at once ({} but for failovers; {SLOTS} allowed)",
        "lines", tempo.peak_live, seen.live
    );
    table.findings.extend(described(rig));
    println!("{:<34} {}", "heard the carrier's error message", errors.len());
    println!("{:<34} {}", "struck", strikes::shown(blows));
    println!("{:<34} {:.0} s", "in all", ran.began.elapsed().as_secs_f64());
    let right = table.by_person + table.by_fault.values().sum::<usize>();
    let share = right as f64 / people.len().max(1) as f64;
    let holds = table.findings.is_empty() && share >= AS_DICTATED;
    for finding in table.findings.iter().take(60) {
        println!("FINDING {finding}");
    }
    if table.findings.len() > 60 {
        println!("… and {} more", table.findings.len() - 60);
    }
    if !holds {
        println!("{}", rig.logs(40).await);
    }
    println!("{}: seed {}", if holds { "PASSED" } else { "FAILED" }, soak.seed);
    holds
}

/// Complaints about requests to the carrier by its own description, which not every machine has.
fn described(rig: &Rig) -> Vec<String> {
    let Some(validator) = Validator::load() else { return Vec::new() };
    let account = &rig.sim.config().account_sid;
    let checked = rig.sim.ledger().with(|book| validator.book(book, account));
    let (requests, shapes) = (checked.seen.values().sum::<usize>(), checked.seen.len());
    println!(
        "{:<34} {requests} of {shapes} shapes, {} against its description",
        "requests to the carrier",
        checked.wrong.len()
    );
    checked.wrong.into_iter().take(20).map(|why| format!("not as the carrier describes it: {why}")).collect()
}

fn print(soak: &Soak, table: &Table, left: &look::Left, accepted: usize) {
    println!(
        "\nledger of a soak of {} calls, faults {}, seed {}",
        soak.calls,
        soak.faults.shown(),
        soak.seed
    );
    let row = |name: &str, value: String| println!("{name:<34} {value}");
    row("accepted = ended", format!("{accepted} = {}", table.ended));
    row("rung, most rings of one attempt", format!("{}, {}", table.rings.0, table.rings.1));
    row(
        "last notices delivered + parked",
        format!("{} + {} (pending {})", table.told, table.parked, left.pending),
    );
    row("slots held", left.slots.len().to_string());
    row("due and ready entries", format!("{} + {}", left.due, left.ready));
    row("recordings that are still fetched", table.recordings.to_string());
    let by_fault: usize = table.by_fault.values().sum();
    let share = |n: usize| 100.0 * n as f64 / accepted.max(1) as f64;
    row(
        "ended as dictated",
        format!(
            "{:.2} % ({} by their person, {by_fault} by a fault)",
            share(table.by_person + by_fault),
            table.by_person
        ),
    );
    for (disposition, n) in &table.dispositions {
        row(&format!("  {disposition}"), n.to_string());
    }
    for (fault, n) in &table.by_fault {
        println!("  {n:>5} {fault}");
    }
}
