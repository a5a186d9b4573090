//! Turns of a conversation over Gather, by the real API node, with a model that needs no time of its own.

use std::sync::Arc;

use carillon::domain::ids::CampaignId;

use super::Bench;
use super::live::{Talk, Turns, model, talks};
use super::report::Row;
use super::stage::{Outside, RedisFloor, Stage, Used};
use super::wire::{Outcome, closed, open};
use crate::kit::calls;

/// Conversations at once.
const AT_ONCE: usize = 32;
/// Turns of each that are measured, behind the greeting and the consent.
const TURNS: u64 = 6;

pub(super) async fn stage(recorded: bool, tools: bool) -> Stage {
    let outside = Outside {
        model: model(tools).await,
        // Consent would start it at the carrier, which is no part of a turn.
        env: vec![("RECORDING".into(), "off".into())],
        ..Outside::default()
    };
    let mut stage = Stage::start(recorded, outside).await;
    stage.node("api").await;
    stage
}

fn of_lane(talks: &[Talk], lane: usize, n: u64, turns: u64) -> &Talk {
    let each = talks.len() / AT_ONCE;
    &talks[lane * each + usize::try_from(n / turns).unwrap_or(0).min(each - 1)]
}

/// Talks of a campaign with their greeting and consent behind them, to numbers after the `after`-th.
pub(super) async fn greeted(
    stage: &Stage,
    campaign: &CampaignId,
    after: u64,
    count: usize,
) -> (Arc<Vec<Talk>>, Turns, Outcome) {
    let talks = Arc::new(talks(&stage.store, campaign, after, count.next_multiple_of(AT_ONCE)).await);
    let turns = Turns::of(format!("http://{}", stage.api()));
    let (all, by) = (Arc::clone(&talks), turns.clone());
    let each = (talks.len() / AT_ONCE) as u64;
    let outcome =
        closed(stage.api(), AT_ONCE, each * 2, move |lane, n| by.post(of_lane(&all, lane, n, 2), n % 2))
            .await;
    (talks, turns, outcome)
}

async fn spoken(bench: &mut Bench, count: usize, tools: bool, recorded: bool) -> (Used, Outcome, RedisFloor) {
    let stage = stage(recorded, tools).await;
    let (talks, turns, before) = greeted(&stage, &calls::campaign(&stage.store).await, 0, count).await;
    bench.report.breaks("turn", before.all(200, "a greeting"));
    let each = (talks.len() / AT_ONCE) as u64;
    let look = stage.look().await;
    let outcome = closed(stage.api(), AT_ONCE, each * TURNS, move |lane, n| {
        turns.post(of_lane(&talks, lane, n, TURNS), 2 + n % TURNS)
    })
    .await;
    let used = stage.used(&look).await;
    bench.report.breaks("turn", outcome.all(200, "a turn"));
    let done = outcome.latencies.len() as u64;
    // Each turn was truly taken: two lines of transcript each, and none twice.
    let lines = lines(&stage).await;
    let per_call = lines as f64 / (done / TURNS) as f64;
    if per_call < (2 * TURNS) as f64 {
        bench.report.breaks("turn", vec![format!("{lines} lines of transcript for {done} turns")]);
    }
    let floor = match recorded {
        true => {
            let recording = stage.recording(&look);
            stage.replayed(recording).await
        }
        false => RedisFloor::default(),
    };
    (used, outcome, floor)
}

async fn lines(stage: &Stage) -> u64 {
    let mut client = stage.redis.client().await;
    let mut sum = 0;
    for key in client.keys("TRANSCRIPT:*").await {
        sum += u64::try_from(client.cmd(&["LLEN", &key]).await.int()).unwrap_or(0);
    }
    sum
}

/// A turn of one request to the model; one with a tool call in between; and what a turn takes where there is room.
pub(crate) async fn turns(bench: &mut Bench) {
    let count = usize::try_from(bench.options.count(1_000, 4_000)).unwrap_or(1_000);
    for (tools, name, target, sent) in
        [(false, "a Gather turn", Some(100.0), 1.0), (true, "a Gather turn with a tool call", None, 2.0)]
    {
        let (_, sample, redis) = spoken(bench, 64, tools, true).await;
        let n = sample.latencies.len() as f64;
        let (used, mut outcome, _) = spoken(bench, count, tools, false).await;
        let done = outcome.latencies.len() as f64;
        let note = format!(
            "{}; at {AT_ONCE} at once {}; {:.0}/s",
            used.words(done),
            outcome.latencies.words(),
            done / used.wall_s
        );
        let row = Row::new(name, "µs CPU", used.cpu_us() / done);
        let row = Row { target, ..row };
        bench.report.row(row.floor(redis.with(n, bench.http, 1.0, sent)).note(note));
        let row = Row::new(format!("{name}: Redis calls"), "calls", redis.commands as f64 / n);
        bench.report.row(row.note(redis.names.clone()));
        if !tools {
            let row = Row::new("a Gather turn: p99 at 32 at once", "ms", outcome.latencies.at(0.99));
            bench
                .report
                .row(row.target(5.0).note(format!("the machine is full; idle {:.0} %", used.idle * 100.0)));
        }
    }
    open_loop(bench, count).await;
}

/// At a rate that leaves the machine room.
async fn open_loop(bench: &mut Bench, count: usize) {
    let stage = stage(false, false).await;
    let (talks, turns, _) = greeted(&stage, &calls::campaign(&stage.store).await, 0, count).await;
    let (rate, total) = (400.0, talks.len() as u64);
    let look = stage.look().await;
    let mut outcome =
        open(stage.api(), rate, total, move |n| turns.post(&talks[usize::try_from(n).unwrap_or(0)], 2)).await;
    let used = stage.used(&look).await;
    bench.report.breaks("turn", outcome.all(200, "a turn"));
    let note = format!(
        "{rate:.0} turns/s, open loop; {}; idle {:.0} %",
        outcome.latencies.words(),
        used.idle * 100.0
    );
    let row = Row::new("a Gather turn: p99 with room", "ms", outcome.latencies.at(0.99));
    bench.report.row(row.target(5.0).note(note));
}
