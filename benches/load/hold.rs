//! What is held: memory of waiting and of live calls in Redis, of nodes beside 100,000 of them while turns flow, and how
//! soon a node serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use carillon::base::clock::Clock;
use carillon::domain::campaign::Dedupe;
use carillon::domain::ids::CampaignId;

use super::Bench;
use super::live::{Carrier, Turns, model, talks};
use super::machine;
use super::report::Row;
use super::speech;
use super::stage::{Outside, Stage};
use super::wire::{closed, open};
use crate::kit::calls::{self, Maker};
use crate::support::RawRedis;

async fn used_memory(client: &mut RawRedis) -> f64 {
    client.info("used_memory").await.and_then(|bytes| bytes.parse().ok()).unwrap_or(0.0)
}

/// Bytes by kind of key, as Redis counts them.
async fn by_kind(client: &mut RawRedis) -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    for key in client.keys("*").await {
        let bytes = client.cmd(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await;
        let kind = key.split(':').next().unwrap_or_default().to_owned();
        *out.entry(kind).or_default() += bytes.text().and_then(|b| b.parse::<f64>().ok()).unwrap_or(0.0);
    }
    out
}

fn kinds(by_kind: &BTreeMap<String, f64>, n: f64) -> String {
    let mut all: Vec<_> = by_kind.iter().filter(|(_, bytes)| **bytes / n >= 1.0).collect();
    all.sort_by(|a, b| b.1.total_cmp(a.1));
    all.iter().map(|(kind, bytes)| format!("{kind} {:.0}", **bytes / n)).collect::<Vec<_>>().join(", ")
}

/// Waiting calls that are written before the memory of others is looked at, and live ones: what Redis keeps once, such as
/// buffers of connections and compiled scripts, is no call's.
const BEFORE: usize = 1_000;
/// The first number of those.
const BEFORE_FROM: u64 = 10_000_000;

/// Redis' memory of a waiting and of a live call.
pub(crate) async fn memory(bench: &mut Bench) {
    let count = usize::try_from(bench.options.count(20_000, 100_000)).unwrap_or(20_000);
    let stage = Stage::start(false, Outside::default()).await;
    let campaign = calls::campaign(&stage.store).await;
    let mut client = stage.redis.client().await;
    wait(&stage, &campaign, BEFORE_FROM, BEFORE).await;
    let (before, kinds_before) = (used_memory(&mut client).await, by_kind(&mut client).await);
    wait(&stage, &campaign, 0, count).await;
    let (n, after) = (count as f64, used_memory(&mut client).await);
    let grown = growth(&by_kind(&mut client).await, &kinds_before);
    let note = format!("of {count}; by key: {}", kinds(&grown, n));
    let row = Row::new("Redis memory of a waiting call", "bytes", (after - before) / n);
    bench.report.row(row.target(500.0).note(note));

    let count = usize::try_from(bench.options.count(5_000, 20_000)).unwrap_or(5_000);
    let stage = speech::stage(false, false).await;
    let mut client = stage.redis.client().await;
    // Of one campaign all: two would have to share.
    let campaign = calls::campaign(&stage.store).await;
    let (_, _, outcome) = speech::greeted(&stage, &campaign, BEFORE_FROM, BEFORE).await;
    bench.report.breaks("memory", outcome.all(200, "a greeting"));
    let (before, kinds_before) = (used_memory(&mut client).await, by_kind(&mut client).await);
    let (talks, _, outcome) = speech::greeted(&stage, &campaign, 0, count).await;
    bench.report.breaks("memory", outcome.all(200, "a greeting"));
    let (n, all) = (talks.len() as f64, used_memory(&mut client).await - before);
    let grown = growth(&by_kind(&mut client).await, &kinds_before);
    let of = |name: &str| grown.get(name).copied().unwrap_or(0.0);
    let live = (all - of("TRANSCRIPT") - of("AUDIT")) / n;
    let note = format!(
        "of {}, two turns in; by key: {}; AUDIT is sealed into S3 within 15 s",
        talks.len(),
        kinds(&grown, n)
    );
    let row = Row::new("Redis memory of a live call, no transcript", "bytes", live);
    bench.report.row(row.target(900.0).note(note));
}

/// Hands so many calls in, each with a variable, to numbers after the `after`-th.
async fn wait(stage: &Stage, campaign: &CampaignId, after: u64, count: usize) {
    let mut maker = Maker::after(after);
    for _ in 0..count / 1_000 {
        let calls: Vec<_> = (0..1_000)
            .map(|_| {
                let mut call = maker.next(&stage.store, Some(campaign));
                call.body.variables.insert("name".into(), "Ada Lovelace".into());
                call
            })
            .collect();
        let answers = stage.store.submit_list(&calls, Dedupe::Campaign, Clock::System.now()).await;
        answers.expect("Redis answers");
    }
}

/// What there is more of each kind than before.
fn growth(now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    now.iter().map(|(kind, bytes)| (kind.clone(), bytes - before.get(kind).copied().unwrap_or(0.0))).collect()
}

/// 100,000 live calls on one Redis, with nodes beside them and turns flowing.
pub(crate) async fn live(bench: &mut Bench) {
    let count = usize::try_from(bench.options.count(5_000, 100_000)).unwrap_or(5_000);
    let outside = Outside {
        carrier: Carrier::default().serve().await,
        model: model(false).await,
        env: vec![("RECORDING".into(), "off".into())],
        ..Outside::default()
    };
    let mut stage = Stage::start(false, outside).await;
    let campaign = calls::campaign(&stage.store).await;
    let talks = Arc::new(talks(&stage.store, &campaign, 0, count).await);
    for role in ["api", "worker"] {
        stage.node(role).await;
    }
    let turns = Turns::of(format!("http://{}", stage.api()));
    let speaking = talks.len().min(3_200);
    let (all, by) = (Arc::clone(&talks), turns.clone());
    let each = (speaking / 32) as u64;
    let greeted = closed(stage.api(), 32, each * 2, move |lane, n| {
        by.post(&all[lane + 32 * usize::try_from(n / 2).unwrap_or(0)], n % 2)
    })
    .await;
    bench.report.breaks("live", greeted.all(200, "a greeting"));
    let look = stage.look().await;
    let (all, rate) = (Arc::clone(&talks), 200.0);
    let total = if bench.options.quick { 1_000 } else { speaking as u64 };
    let mut outcome =
        open(stage.api(), rate, total, move |n| turns.post(&all[usize::try_from(n).unwrap_or(0)], 2)).await;
    // Slots are compared with records every 30 s: that, too, must have happened beside them.
    let rest = Duration::from_secs(if bench.options.quick { 0 } else { 25 });
    tokio::time::sleep(rest).await;
    let used = stage.used(&look).await;
    let mut broken = outcome.all(200, "a turn");
    let held = stage.store.slots_held().await.unwrap_or(0);
    if held != talks.len() as u64 {
        broken.push(format!("K2: {held} slots are held by {} live calls", talks.len()));
    }
    bench.report.breaks("live", broken);
    let redis = used_memory(&mut stage.redis.client().await).await;
    let note = format!(
        "{} live; {rate:.0} turns/s; {}; Redis {:.0} MB; idle {:.0} %",
        talks.len(),
        outcome.latencies.words(),
        redis / 1e6,
        used.idle * 100.0
    );
    bench.report.row(Row::new("live calls held: p99 of a turn", "ms", outcome.latencies.at(0.99)).note(note));
    for (node, role) in stage.nodes.iter().zip(["api", "worker"]) {
        let (now, most) =
            (machine::memory(node.process.pid(), "VmRSS"), machine::memory(node.process.pid(), "VmHWM"));
        let row = Row::new(format!("live calls held: memory of the {role}"), "MB", most as f64 / 1e6);
        bench
            .report
            .row(row.target(100.0).note(format!("the most it had; {:.0} MB at the end", now as f64 / 1e6)));
    }
}

/// From the start of the program to its first answer that it is ready; and what a node takes that does nothing.
pub(crate) async fn start(bench: &mut Bench) {
    let times = if bench.options.quick { 3 } else { 10 };
    for role in ["api", "worker"] {
        let mut took = Vec::new();
        let mut cpu = 0.0;
        for _ in 0..times {
            let mut stage = Stage::start(false, Outside::default()).await;
            took.push(stage.node(role).await.as_secs_f64() * 1e3);
            cpu += machine::cpu_us(stage.nodes[0].process.pid()) / 1e3;
        }
        took.sort_by(f64::total_cmp);
        let note = format!(
            "of {times} starts: least {:.0}, most {:.0} ms; {:.0} ms of CPU each",
            took[0],
            took[times - 1],
            cpu / times as f64
        );
        bench
            .report
            .row(Row::new(format!("start to ready, {role}"), "ms", took[times / 2]).target(100.0).note(note));
    }
    let mut stage = Stage::start(false, Outside::default()).await;
    for role in ["api", "worker"] {
        stage.node(role).await;
    }
    let look = stage.look().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let used = stage.used(&look).await;
    let note = format!(
        "{:.0} scripts/s; Redis {:.2} % of a core",
        used.redis.scripts as f64 / used.wall_s,
        used.redis.cpu_us / used.wall_s / 1e4
    );
    let row =
        Row::new("an api and a worker with nothing to do", "% of a core", used.cpu_us() / used.wall_s / 1e4);
    bench.report.row(row.note(note));
}
