//! The primary that grants every dial is killed under load: when dialing stops, and how long after the promotion of its
//! replica it goes on by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carillon::sim::SimConfig;

use super::judge::{self, Blow, Evidence, Table};
use super::look::Look;
use super::plan::Faults;
use super::rig::Rig;
use super::{Soak, TIME_SCALE, list, post, settle};
use crate::support::fleet::now_ms;
use crate::support::wait::{try_until, until};
use crate::support::{Lag, RawRedis, Value};

/// Numbers on the list, and dials after which the primary dies.
const CALLS: usize = 260;
const BEFORE: usize = 80;
const PATIENCE: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Failover {
    /// From the kill to the promotion of the replica.
    pub(crate) promoted: Duration,
    /// Dials that left between the kill and the promotion: at the most those whose moments were granted before.
    pub(crate) meanwhile: usize,
    /// From the promotion to the first dial.
    pub(crate) first_dial: Duration,
    /// What must not be.
    pub(crate) findings: Vec<String>,
}

/// Runs it.
pub(crate) async fn run(seed: u64, env: &[(&str, &str)]) -> Failover {
    let soak = Soak {
        calls: CALLS,
        faults: Faults::parse("none").expect("no faults"),
        seed,
        limit: PATIENCE,
        cps: 20.0,
        speed: 60.0,
        wait: 0,
    };
    let world = SimConfig {
        seed,
        speed: soak.speed,
        max_cps: 2.0 * soak.cps,
        max_concurrent: 600,
        ..SimConfig::default()
    };
    let rig = Arc::new(Rig::start(world, soak.cps, 300, TIME_SCALE, env).await);
    let people = list(rig.sim.world(), &soak);
    let campaign = post(&rig, &people).await;
    let ledger = rig.sim.ledger().clone();
    let lag = Lag::watch(&ledger);
    let creates = || ledger.with(|book| book.creates.len());
    let busy = ledger.until(|book| (book.creates.len() >= BEFORE).then_some(()));
    tokio::time::timeout(PATIENCE, busy).await.expect("the list is being dialed");

    let mut redis = rig.redis.lock().await;
    let (masters, addrs) = (redis.masters().await, redis.addrs());
    let mut victim = None;
    for &n in &masters {
        let mut client = RawRedis::connect(addrs[n]).await.expect("a primary answers");
        // The others say MOVED.
        if matches!(client.try_cmd(&["EXISTS", "CAPACITY:{cap}"]).await, Ok(Value::Int(1))) {
            victim = Some(n);
        }
    }
    let victim = victim.expect("one primary holds the fleet's slot");
    let from = now_ms();
    redis.node(victim).kill().await;
    let (dead, dialed) = (Instant::now(), creates());
    until("a replica to take over", PATIENCE, || async {
        let now = redis.masters().await;
        (now.len() == masters.len() && !now.contains(&victim)).then_some(())
    })
    .await;
    let promoted_at = ledger.elapsed_us();
    let (promoted, before_promotion) = (dead.elapsed(), creates());
    let first = ledger.until(|book| {
        book.creates.iter().rev().take_while(|c| c.t_us >= promoted_at).last().map(|create| create.t_us)
    });
    let first = tokio::time::timeout(PATIENCE, first).await.expect("dialing goes on by itself");
    redis.settled().await;
    redis.node(victim).restart().await;
    drop(redis);

    let done = try_until(PATIENCE, || async {
        if Look::at(&addrs).await.results(&campaign).await >= CALLS {
            return Some(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        None
    })
    .await;
    let settled = settle(&addrs).await;
    let blows = [Blow { name: "primary", from, to: now_ms() }];
    let mut findings = table(&rig, &addrs, &people, &blows, &lag).await.findings;
    findings.extend(ledger.summary().broken);
    findings.extend(rig.violations().await);
    if done.is_none() || !settled {
        findings.push("not all ended, or not all that follows was done".to_owned());
        findings.push(rig.logs(30).await);
    }
    Failover {
        promoted,
        meanwhile: before_promotion - dialed,
        first_dial: Duration::from_micros(first - promoted_at),
        findings,
    }
}

/// The table of a run.
pub(super) async fn table(
    rig: &Rig,
    nodes: &[std::net::SocketAddr],
    people: &[(String, carillon::sim::people::Kind)],
    blows: &[Blow],
    lag: &Lag,
) -> Table {
    let mut look = Look::at(nodes).await;
    let (records, left) = (look.records().await, look.left().await);
    let parked = look.calls_of(&left.parked).await;
    let people: HashMap<_, _> = people.iter().cloned().collect();
    rig.sim.ledger().with(|book| {
        judge::table(&Evidence {
            people: &people,
            records: &records,
            left: &left,
            parked: &parked,
            blows,
            book,
            late_ms: lag.worst(0..=u64::MAX) / 1_000,
        })
    })
}
