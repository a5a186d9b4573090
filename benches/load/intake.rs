//! Calls coming in: one at a time over HTTP, and lists of 100,000 rows.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;

use super::Bench;
use super::record::Recording;
use super::report::Row;
use super::stage::{Outside, RedisFloor, Stage, Used};
use super::wire::{Conn, Post, closed};
use crate::kit::calls::number;

/// Requests at once.
const AT_ONCE: usize = 64;
/// The first number of those that are measured; those before it warm up.
const FIRST: u64 = 100_000;

fn one(n: u64, key: bool) -> Post {
    let body = format!(
        r#"{{"phone_number":"{}","variables":{{"name":"Ada Lovelace"}},"metadata":{{"order":{n}}}}}"#,
        number(n)
    );
    let mut post = Post::json("/api/calls/initiate", body);
    if key {
        post.headers.push(("idempotency-key", format!("bench-{n:012}")));
    }
    post
}

/// Calls posted alone. Answers what it used, the latencies in words, and the floor's part in Redis where recorded.
async fn initiated(bench: &mut Bench, calls: u64, key: bool, recorded: bool) -> (Used, String, RedisFloor) {
    let mut stage = Stage::start(recorded, Outside::default()).await;
    stage.node("api").await;
    // What is recorded is done one thing at a time, so that its round trips can be counted.
    let lanes = if recorded { 1 } else { AT_ONCE };
    let each = calls.div_ceil(lanes as u64);
    let warm = (each / 5).clamp(3, 1_000);
    closed(stage.api(), lanes, warm, move |lane, n| one(lane as u64 * 1_000 + n, key)).await;
    let look = stage.look().await;
    let mut outcome =
        closed(stage.api(), lanes, each, move |lane, n| one(FIRST + lane as u64 * each + n, key)).await;
    let used = stage.used(&look).await;
    bench.report.breaks("initiate", outcome.all(202, "a call"));
    let (waiting, posted) = (waiting(&stage).await, (warm + each) * lanes as u64);
    if waiting != posted {
        bench.report.breaks("initiate", vec![format!("{waiting} calls wait of {posted}")]);
    }
    let floor = match recorded {
        true => {
            let (recording, trips) = (stage.recording(&look), stage.trips(&look));
            RedisFloor { trips, ..stage.replayed(recording).await }
        }
        false => RedisFloor::default(),
    };
    (used, outcome.latencies.words(), floor)
}

/// How many calls stand in lanes.
async fn waiting(stage: &Stage) -> u64 {
    let mut client = stage.redis.client().await;
    let mut sum = 0;
    for key in client.keys("READY:*").await {
        sum += u64::try_from(client.cmd(&["LLEN", &key]).await.int()).unwrap_or(0);
    }
    sum
}

/// One call over HTTP, at 64 at once, with and without an idempotency key.
pub(crate) async fn initiate(bench: &mut Bench) {
    let calls = bench.options.count(8_000, 40_000);
    for (key, name, trips) in
        [(false, "initiate of one call", 1.0), (true, "initiate with an Idempotency-Key", 2.0)]
    {
        let sample = 1_000;
        let (_, _, redis) = initiated(bench, sample, key, true).await;
        let n = sample as f64;
        let (used, latencies, _) = initiated(bench, calls, key, false).await;
        let done = (calls.div_ceil(AT_ONCE as u64) * AT_ONCE as u64) as f64;
        let note = format!("{}; {latencies}; {:.0}/s", used.words(done), done / used.wall_s);
        let row = Row::new(name, "µs CPU", used.cpu_us() / done);
        bench.report.row(row.target(100.0).floor(redis.with(n, bench.http, 1.0, 0.0)).note(note));
        // Five in a hundred are left to the node's own background work.
        let row = Row::new(format!("{name}: Redis"), "round trips", redis.trips as f64 / n);
        bench.report.row(row.target(trips + 0.05).note(redis.names.clone()));
    }
}

/// A list: half of the numbers as E.164, half as Americans write them, one in a hundred twice, one in a thousand none.
fn list(rows: u64, csv: bool) -> (Bytes, u64) {
    let mut text = String::with_capacity(usize::try_from(rows).unwrap_or(0) * 80);
    text.push_str(if csv { "Phone,Name,City\n" } else { r#"{"calls":["# });
    let mut taken = 0;
    for n in 0..rows {
        let e164 = number(if n % 100 == 99 { n - 50 } else { n });
        let phone = match n {
            _ if n % 1_000 == 500 => "12345".to_owned(),
            _ if n % 2 == 0 => e164,
            _ => format!("({}) {}-{}", &e164[2..5], &e164[5..8], &e164[8..]),
        };
        taken += u64::from(n % 100 != 99 && n % 1_000 != 500);
        // Writing to a String does not fail.
        let _ = match csv {
            true => writeln!(text, "{phone},Ada Lovelace {n},London"),
            false => write!(
                text,
                r#"{}{{"phone_number":"{phone}","variables":{{"name":"Ada Lovelace {n}","city":"London"}}}}"#,
                if n == 0 { "" } else { "," }
            ),
        };
    }
    if !csv {
        text.push_str("]}");
    }
    (text.into(), taken)
}

async fn listed(bench: &mut Bench, rows: u64, csv: bool, recorded: bool) -> (Used, RedisFloor, u64) {
    let mut stage = Stage::start(recorded, Outside::default()).await;
    stage.node("api").await;
    let (body, taken) = list(rows, csv);
    let size = body.len() as u64;
    let mut post = Post::json("/api/calls/initiate", body);
    if csv {
        post.headers = vec![("content-type", "text/csv".into())];
    }
    let look = stage.look().await;
    let answer = Conn::to(stage.api()).post(post).await;
    let used = stage.used(&look).await;
    let (status, body) = answer.unwrap_or_default();
    let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let stored = waiting(&stage).await;
    if status != 202 || answer["accepted"].as_u64() != Some(taken) || stored != taken {
        let head: String = answer.to_string().chars().take(300).collect();
        bench.report.breaks("intake", vec![format!("{status}: {stored} stored of {taken}; {head}")]);
    }
    let floor = match recorded {
        true => {
            let recording: Recording = stage.recording(&look);
            stage.replayed(recording).await
        }
        false => RedisFloor::default(),
    };
    (used, floor, size)
}

/// Lists of 100,000 rows, JSON and CSV.
pub(crate) async fn lists(bench: &mut Bench) {
    let rows = bench.options.count(20_000, 100_000);
    let scale = 100_000.0 / rows as f64;
    for (csv, name) in [(false, "intake of 100,000 rows, JSON"), (true, "intake of 100,000 rows, CSV")] {
        let sample = 5_000;
        let (_, redis, _) = listed(bench, sample, csv, true).await;
        let (used, _, size) = listed(bench, rows, csv, false).await;
        let node = bench.options.count(20_000, 100_000);
        let note = format!(
            "{} for each row; {:.1} s; body {:.1} MB{}",
            used.words(rows as f64),
            used.wall_s,
            size as f64 / 1e6,
            if node == 100_000 { String::new() } else { format!("; from {rows} rows") }
        );
        // Of the list's one post nothing is left for each row.
        let floor = redis.with(sample as f64, bench.http, 0.0, 0.0).map(|us| us / 10.0);
        let row = Row::new(name, "CPU-s", used.cpu_us() / 1e6 * scale);
        bench.report.row(row.target(1.5).floor(floor).note(note));
    }
}
