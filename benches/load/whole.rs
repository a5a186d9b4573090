//! Whole calls through the simulated world: posted, dialed, talked through, wrapped up, archived, told of; at rising rates
//! until the delay grows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use carillon::base::clock::Clock;
use carillon::sim::{self, Sim, SimConfig};
use tempfile::TempDir;

use super::Bench;
use super::machine::Latencies;
use super::report::Row;
use super::stage::{Outside, RedisFloor, Stage, Used};
use super::wire::{Outcome, Post, open};
use crate::kit::calls::number;

/// Turns of a call; the agent takes its leave then.
const TURNS: usize = 6;
/// How much faster than life the simulated people live.
const SPEED: f64 = 30.0;
/// How long nodes are watched with nothing to do.
const IDLE: Duration = Duration::from_secs(3);
/// A call that is dialed later than this after it was posted has waited in a queue.
const LATE: f64 = 1_000.0;

struct World {
    stage: Stage,
    sim: Sim,
    _agents: TempDir,
    next: u64,
}

/// The interview, with fewer turns.
fn agents() -> TempDir {
    let dir = TempDir::with_prefix("carillon-agents-").expect("a temporary directory");
    let own = include_str!("../../src/agents/interview/agent.toml");
    let lines = own.lines().map(|line| match line.starts_with("max_turns") {
        true => format!("max_turns = {TURNS}\n"),
        false => format!("{line}\n"),
    });
    let folder = dir.path().join("interview");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("agent.toml"), lines.collect::<String>()).expect("a file");
    dir
}

async fn world(recorded: bool) -> World {
    let config =
        SimConfig { speed: SPEED, max_cps: 10_000.0, max_concurrent: 100_000, ..SimConfig::default() };
    let sim = sim::start(config).await.expect("the simulated world starts");
    let agents = agents();
    let mut env: Vec<(String, String)> =
        sim.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    env.push(("AGENTS_DIR".into(), agents.path().to_string_lossy().into_owned()));
    env.push(("TIME_SCALE".into(), SPEED.to_string()));
    let mut stage = Stage::start(recorded, Outside { env, ..Outside::default() }).await;
    for role in ["api", "worker"] {
        stage.node(role).await;
    }
    World { stage, sim, _agents: agents, next: 0 }
}

/// What became of calls at one rate.
struct Wave {
    used: Used,
    posts: Outcome,
    /// From the moment a call was to be posted until the carrier was asked for it.
    delays: Latencies,
    turns: f64,
    took_ms: Latencies,
    calls: f64,
    broken: Vec<String>,
}

impl World {
    /// What is not over: entries of queues, slots, webhooks.
    async fn open(&self) -> String {
        let mut client = self.stage.redis.client().await;
        let mut open = 0;
        for (pattern, command) in [("DUE:*", "ZCARD"), ("READY:*", "LLEN")] {
            for key in client.keys(pattern).await {
                open += client.cmd(&[command, &key]).await.int();
            }
        }
        let slots = self.stage.store.slots_held().await.unwrap_or(1);
        let pending = self.stage.store.outbox_counts().await.map_or(1, |counts| counts.pending);
        match (open, slots, pending) {
            (0, 0, 0) => String::new(),
            _ => format!("{open} entries in queues, {slots} slots, {pending} webhooks"),
        }
    }

    async fn wave(&mut self, calls: u64, rate: f64) -> Wave {
        self.sim.ledger().clear();
        let first = self.next;
        self.next += calls;
        let look = self.stage.look().await;
        let began = Clock::System.now();
        let posts = open(self.stage.api(), rate, calls, move |n| {
            let body = format!(r#"{{"phone_number":"{}","variables":{{"name":"Ada"}}}}"#, number(first + n));
            Post::json("/api/calls/initiate", body)
        })
        .await;
        let (posted, within) = (Instant::now(), Duration::from_secs(60));
        let mut left = String::from("nothing was dialed");
        let mut every = tokio::time::interval(Duration::from_millis(500));
        while posted.elapsed() < within {
            every.tick().await;
            let dialed = self.sim.ledger().with(|book| book.legs.len() as u64 >= calls && book.live == 0);
            if dialed {
                left = self.open().await;
                if left.is_empty() {
                    break;
                }
            }
        }
        let used = self.stage.used(&look).await;
        let mut broken = posts.all(202, "a call");
        let (mut delays, mut took_ms, mut fetches) = (Latencies::default(), Latencies::default(), 0);
        let nth: HashMap<String, u64> = (0..calls).map(|n| (number(first + n), n)).collect();
        let legs = self.sim.ledger().with(|book| {
            for create in &book.creates {
                let n = nth.get(&create.to).copied().unwrap_or(0);
                let moment = began as f64 + n as f64 / rate * 1e3;
                delays.add(Duration::from_secs_f64((create.at as f64 - moment).max(0.0) / 1e3));
            }
            for leg in &book.legs {
                fetches += leg.fetches.len();
                for fetch in &leg.fetches {
                    took_ms.add(Duration::from_millis(fetch.took_ms));
                }
            }
            book.legs.len() as u64
        });
        if legs != calls {
            broken.push(format!("{calls} calls were posted and {legs} dialed"));
        }
        if !left.is_empty() {
            broken.push(format!("not over after {within:?}: {left}"));
        }
        let summary = self.sim.ledger().summary();
        broken.extend(summary.broken.into_iter().take(10));
        let ends = self.sim.ledger().with(|book| {
            let last = |event: &str| matches!(event, "call_completed" | "call_failed");
            book.webhooks.iter().filter(|d| last(&d.event_type) && d.repeat_of == 0).count()
        });
        if ends as u64 != calls {
            broken.push(format!("O1: the end of {ends} of {calls} calls was told"));
        }
        Wave {
            used,
            posts,
            delays,
            turns: fetches as f64 / calls as f64,
            took_ms,
            calls: calls as f64,
            broken,
        }
    }
}

/// One whole call at a moderate rate, beside its floor; then rising rates.
pub(crate) async fn calls(bench: &mut Bench) {
    let (sample, mut recorded) = (60, world(true).await);
    // What nodes ask Redis for while there is nothing to do is no call's.
    let look = recorded.stage.look().await;
    tokio::time::sleep(IDLE).await;
    let idle_commands = recorded.stage.commands(&look) as f64 / IDLE.as_secs_f64();
    // The recording begins with the first call.
    let look = recorded.stage.look().await;
    let wave = recorded.wave(sample, 20.0).await;
    let commands = recorded.stage.commands(&look) as f64;
    let own_commands = commands - idle_commands * wave.used.wall_s;
    bench.report.breaks("whole calls", wave.broken);
    let recording = recorded.stage.recording(&look);
    let redis: RedisFloor = recorded.stage.replayed(recording).await;

    let rate = bench.options.rate.unwrap_or(if bench.options.quick { 20.0 } else { 30.0 });
    let calls = bench.options.count(160, 1_200);
    let mut world = world(false).await;
    let look = world.stage.look().await;
    tokio::time::sleep(IDLE).await;
    let idle = world.stage.used(&look).await;
    let mut wave = world.wave(calls, rate).await;
    let idle_us = idle.cpu_us() / idle.wall_s * wave.used.wall_s;
    let n = wave.calls;
    let note = format!(
        "{:.1} requests for TwiML a call at {rate:.0} calls/s; {}; {:.2} ms without what idle nodes take",
        wave.turns,
        wave.used.words(n),
        (wave.used.cpu_us() - idle_us) / n / 1e3
    );
    let (served, sent) = (wave.turns + 1.0 + 4.0, 2.0 * wave.turns + 6.0);
    let floor = redis.with(sample as f64, bench.http, served, sent).map(|us| us / 1e3);
    let row = Row::new("a whole call of 6 turns", "ms CPU", wave.used.cpu_us() / n / 1e3);
    bench.report.row(row.target(2.0).floor(floor).note(note));
    let note = format!(
        "commands and scripts of {sample} calls without what idle nodes ask; {:.1} with that; all: {}",
        commands / sample as f64,
        redis.names
    );
    let row = Row::new("a whole call: Redis calls", "calls", own_commands / sample as f64);
    bench.report.row(row.target(25.0).note(note));
    let note = format!("posted: {}", wave.posts.latencies.words());
    let row = Row::new("a whole call: p95 from post to dial", "ms", wave.delays.at(0.95));
    bench.report.row(row.note(note));
    bench.report.breaks("whole calls", wave.broken);
    if bench.options.rate.is_none() {
        rising(bench, &mut world).await;
    }
}

/// Doubles the rate until calls wait for their dial.
async fn rising(bench: &mut Bench, world: &mut World) {
    let (rates, seconds): (&[f64], f64) = match bench.options.quick {
        true => (&[40.0], 4.0),
        false => (&[60.0, 90.0, 120.0, 160.0, 200.0, 250.0, 300.0, 400.0], 8.0),
    };
    let mut held = 0.0;
    let mut last = String::new();
    for rate in rates {
        let mut wave = world.wave((rate * seconds) as u64, *rate).await;
        let late = wave.delays.at(0.95);
        last = format!(
            "at {rate:.0}/s: post to dial p95 {late:.0} ms, TwiML p95 {:.0} ms, {:.2} ms CPU a call, idle {:.0} %",
            wave.took_ms.at(0.95),
            wave.used.cpu_us() / wave.calls / 1e3,
            wave.used.idle * 100.0
        );
        println!("  {last}");
        bench.report.breaks("whole calls", wave.broken);
        if late > LATE {
            break;
        }
        held = *rate;
    }
    let note = format!("simulators on the same processors; the last rate, {last}");
    bench.report.row(Row::new("whole calls: rate held", "calls/s", held).note(note));
}
