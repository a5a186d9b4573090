//! Dependencies away: health says which, dialing stops or waits, nothing accepted is lost, all goes on by itself.

use std::net::SocketAddr;
use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::people::Kind;
use serde_json::json;

use super::table;
use crate::support::fleet::{Fleet, FleetConfig, seed};
use crate::support::{TcpProxy, until};

const LIST_WITHIN: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);
/// How long dialing is watched that must rest: many of its rounds.
const QUIET: Duration = Duration::from_secs(3);

fn config() -> FleetConfig {
    let sim = SimConfig { seed: seed(), speed: 30.0, max_cps: 10.0, ..SimConfig::default() };
    FleetConfig { sim, ..FleetConfig::default() }
}

/// Waits until a node's `/health` says `state` of `dependency`, and prints it.
async fn health(fleet: &Fleet, url: &str, dependency: &str, state: &str) {
    let found = until(&format!("{dependency} to be {state}"), SOON, || async {
        let (code, report) = fleet.get(&format!("{url}/health")).await?;
        let all = report["dependencies"].as_array()?;
        let one = all.iter().find(|d| d["name"] == dependency)?.clone();
        (one["state"] == state).then_some((code, report["status"].clone(), one))
    })
    .await;
    println!("  /health {}: status {}, {}", found.0, found.1, found.2);
}

async fn readiness(fleet: &Fleet, url: &str) -> u16 {
    fleet.get(&format!("{url}/readyz")).await.map_or(0, |(code, _)| code)
}

async fn in_order(mut fleet: Fleet) {
    fleet.settled(SOON).await;
    let broken = fleet.invariants().await;
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_stopped_and_comes_back() {
    let mut fleet = Fleet::start(FleetConfig { apis: 2, workers: 2, durable: true, ..config() }).await;
    println!("\n== Redis is stopped in the middle of a list, and started again with its append-only file ==");
    let list = fleet.people(30);
    let numbers: Vec<String> = list.iter().map(|(number, _)| number.clone()).collect();
    let campaign = fleet.post(&numbers).await;
    let some = fleet.sim.ledger().until(|book| (book.creates.len() >= 10).then_some(()));
    tokio::time::timeout(SOON, some).await.expect("dialing began");
    fleet.redis.server().stop().await;
    let (api, worker) = (fleet.api_url(0), fleet.worker_url(0));
    health(&fleet, &api, "redis", "down").await;
    let dials = || fleet.sim.ledger().with(|book| book.creates.len());
    health(&fleet, &worker, "redis", "down").await;
    for url in [&api, &worker] {
        until("not to be ready", SOON, || async { (readiness(&fleet, url).await == 503).then_some(()) })
            .await;
    }
    let (code, answer) = fleet.get(&format!("{api}/api/calls")).await.expect("the node itself lives");
    println!("  a client hears {code} {answer}");
    assert_eq!(code, 503);
    // Whatever had been granted has left by now; what follows takes many of the dialer's rounds.
    let before = dials();
    let more = fleet.sim.ledger().until(|book| (book.creates.len() > before).then_some(()));
    assert!(tokio::time::timeout(QUIET, more).await.is_err(), "nothing is dialed without Redis");
    fleet.redis.server().restart().await;
    for url in [fleet.api_url(0), fleet.api_url(1), fleet.worker_url(0), fleet.worker_url(1)] {
        until("to be ready again", SOON, || async { (readiness(&fleet, &url).await == 200).then_some(()) })
            .await;
    }
    let ended = fleet.ended(&campaign, numbers.len(), LIST_WITHIN).await;
    fleet.settled(SOON).await;
    let rows = table::rows(&fleet, &list, &ended);
    table::print(&rows);
    let told = rows.iter().filter(|row| row.told == 1).count();
    let summary = fleet.sim.ledger().summary();
    println!("  {told} of {} told; longest dead air {:.1} s", rows.len(), summary.longest_dead_air.seconds);
    assert_eq!(told, rows.len(), "every end is told once");
    assert_eq!(summary.carrier_errors_heard, 0);
    in_order(fleet).await;
}

async fn s3_away() {
    let fleet = Fleet::start(config()).await;
    fleet
        .sim
        .faults()
        .add(Rule::always(Target::S3, Fault::Status { code: 503, retry_after_s: None, error_code: None }));
    let call = fleet.call(&fleet.sim.world().number(Kind::Cooperative, 0), json!({})).await;
    println!("\n== S3 is away while a call is wrapped up ==");
    health(&fleet, &fleet.worker_url(0), "s3", "degraded").await;
    until("the call to wait in wrap-up", LIST_WITHIN, || async {
        (fleet.status(&call).await["status"] == "wrap_up").then_some(())
    })
    .await;
    // A try to archive has failed, and the call stays.
    until("an archive that fails", SOON, || async {
        let puts = fleet.worker_counter(0, "carillon_s3_puts_total").await;
        (puts > 0).then_some(())
    })
    .await;
    let status = fleet.status(&call).await;
    assert_eq!(status["status"], "wrap_up", "{status}");
    assert_eq!(status["artefacts"], json!([]), "A1: nothing is named that does not stand there");
    assert_eq!(readiness(&fleet, &fleet.worker_url(0)).await, 200, "readiness depends on Redis alone");
    fleet.sim.faults().set(Vec::new());
    let status = fleet.call_ended(&call, SOON).await;
    println!(
        "  S3 is back: {} with {} artefacts",
        status["status"],
        status["artefacts"].as_array().map_or(0, Vec::len)
    );
    assert_eq!(status["disposition"], "completed");
    health(&fleet, &fleet.worker_url(0), "s3", "ok").await;
    in_order(fleet).await;
}

async fn model_away() {
    // The proxy needs the model's address, which the world knows once it runs: so the world is told its port.
    let port = crate::support::ports::stable();
    let proxy = TcpProxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let mut config = config();
    config.sim.ports.model = port;
    config.env.push(("OPENAI_BASE_URL".into(), format!("http://{}/v1", proxy.addr())));
    let fleet = Fleet::start(config).await;
    println!("\n== the model is away ==");
    proxy.cut();
    health(&fleet, &fleet.api_url(0), "model", "degraded").await;
    let call = fleet.call(&fleet.sim.world().number(Kind::Cooperative, 1), json!({})).await;
    let over = fleet.sim.ledger().until(|book| book.legs.first()?.ended_at);
    tokio::time::timeout(LIST_WITHIN, over).await.expect("the call is ended");
    let sid = fleet.sim.ledger().with(|book| book.legs[0].sid.clone());
    println!("{}", fleet.sim.ledger().timeline(&sid).unwrap_or_default());
    proxy.heal();
    health(&fleet, &fleet.api_url(0), "model", "ok").await;
    let status = fleet.call_ended(&call, SOON).await;
    assert_eq!(status["disposition"], "agent_failed");
    let later = fleet.call(&fleet.sim.world().number(Kind::Cooperative, 2), json!({})).await;
    assert_eq!(
        fleet.call_ended(&later, LIST_WITHIN).await["disposition"],
        "completed",
        "it goes on by itself"
    );
    let late = 2.0 * fleet.lag.worst(0..=u64::MAX) as f64 / 1e6;
    assert!(fleet.sim.ledger().summary().longest_dead_air.seconds <= 5.0 + late);
    in_order(fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_or_the_model_is_away() {
    tokio::join!(s3_away(), model_away());
}

async fn twilio_refuses() {
    let fleet = Fleet::start(config()).await;
    let busy = Fault::Status { code: 429, retry_after_s: Some(1), error_code: Some("20429".into()) };
    let broken = Fault::Status { code: 503, retry_after_s: None, error_code: None };
    fleet.sim.faults().add(Rule::next(Target::TwilioCreate, busy, 6));
    fleet.sim.faults().add(Rule::always(Target::TwilioGet, broken));
    println!("\n== Twilio answers 429 to dials and 503 to questions ==");
    health(&fleet, &fleet.worker_url(0), "twilio", "degraded").await;
    let world = fleet.sim.world();
    let numbers: Vec<String> = (0..6).map(|i| world.number(Kind::Cooperative, i)).collect();
    let campaign = fleet.post(&numbers).await;
    let refused = fleet
        .sim
        .ledger()
        .until(|book| (book.creates.iter().filter(|create| create.status == 429).count() >= 6).then_some(()));
    tokio::time::timeout(SOON, refused).await.expect("dials are refused");
    fleet.sim.faults().set(Vec::new());
    let ended = fleet.ended(&campaign, numbers.len(), LIST_WITHIN).await;
    println!("  creates by status: {:?}", fleet.sim.ledger().summary().creates_by_status);
    assert!(ended.iter().all(|end| end.disposition == "completed" && end.attempts == 1), "{ended:?}");
    health(&fleet, &fleet.worker_url(0), "twilio", "ok").await;
    in_order(fleet).await;
}

async fn receiver_fails() {
    let fleet = Fleet::start(config()).await;
    let fails = Fault::Status { code: 500, retry_after_s: None, error_code: None };
    fleet.sim.faults().add(Rule::always(Target::Receiver, fails));
    println!("\n== the webhooks' receiver answers 500 for a while ==");
    let call = fleet.call(&fleet.sim.world().number(Kind::Invalid, 0), json!({})).await;
    fleet.call_ended(&call, SOON).await;
    let failed = fleet.sim.ledger().until(|book| (!book.webhooks.is_empty()).then_some(()));
    tokio::time::timeout(SOON, failed).await.expect("a delivery is tried");
    let (_, stats) = fleet.ask(|http, base| http.get(format!("{base}/api/system/stats"))).await;
    println!("  /api/system/stats: {}", stats["webhook_stats"]);
    assert_eq!(stats["webhook_stats"]["pending"], 1, "{stats}");
    fleet.sim.faults().set(Vec::new());
    fleet.settled(SOON).await;
    let tries = fleet
        .sim
        .ledger()
        .with(|book| book.webhooks.iter().map(|w| (w.id.clone(), w.answered)).collect::<Vec<_>>());
    println!("  deliveries: {tries:?}");
    assert!(tries.iter().all(|(id, _)| *id == tries[0].0), "O2: one id on every attempt");
    in_order(fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twilio_or_the_receiver_fails_for_a_while() {
    tokio::join!(twilio_refuses(), receiver_fails());
}
