//! The outbox: the real worker delivers what waits to a receiver that says yes.

use std::time::{Duration, Instant};

use carillon::base::clock::Clock;
use carillon::domain::call::{Event, Rules};
use carillon::domain::campaign::Dedupe;
use carillon::store::Applied;
use futures::{StreamExt as _, stream};

use super::Bench;
use super::live::Receiver;
use super::report::Row;
use super::stage::{Outside, RedisFloor, Stage, Used};
use crate::kit::calls::{self, Maker};

/// Writes so many events: each a call that was cancelled before it was dialed.
async fn events(stage: &Stage, count: u64, url: &str) {
    let (store, mut maker) = (&stage.store, Maker::new());
    let campaign = calls::campaign(store).await;
    let rules = &Rules::default();
    let mut left = count;
    while left > 0 {
        let n = left.min(1_000);
        let calls: Vec<_> = (0..n)
            .map(|_| {
                let mut call = maker.next(store, Some(&campaign));
                call.body.webhook_url = Some(url.to_owned());
                call
            })
            .collect();
        store.submit_list(&calls, Dedupe::Campaign, Clock::System.now()).await.expect("Redis answers");
        stream::iter(calls)
            .for_each_concurrent(64, |call| async move {
                let applied = store.apply(call, Event::Cancel, rules).await;
                assert!(matches!(applied, Ok(Applied::Done(..))), "{applied:?}");
            })
            .await;
        left -= n;
    }
}

/// What a drain of `count` events used; `None` where not all arrived.
async fn drained(bench: &mut Bench, count: u64, recorded: bool) -> (Used, RedisFloor) {
    let receiver = Receiver::default();
    let url = receiver.serve().await;
    let outside = Outside { receiver: url.clone(), ..Outside::default() };
    let mut stage = Stage::start(recorded, outside).await;
    stage.node("worker").await;
    // Stopped while the events are written, so that all of them wait when the clock starts.
    let worker = |stage: &Stage, signal| stage.nodes[0].process.signal(signal);
    worker(&stage, "STOP");
    events(&stage, count, &url).await;
    let look = stage.look().await;
    worker(&stage, "CONT");
    let (began, within) = (Instant::now(), Duration::from_secs(60 + count / 500));
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut every = tokio::time::interval(Duration::from_millis(10));
    loop {
        every.tick().await;
        // The outbox itself is asked last, and seldom: that, too, takes Redis' time.
        let arrived = receiver.events() >= wanted;
        if arrived && stage.store.outbox_counts().await.is_ok_and(|counts| counts.pending == 0)
            || began.elapsed() > within
        {
            break;
        }
    }
    let used = stage.used(&look).await;
    let counts = stage.store.outbox_counts().await.unwrap_or_default();
    let mut broken = Vec::new();
    if receiver.events() != wanted || counts.pending != 0 || counts.dead != 0 {
        broken.push(format!("O1: {} of {count} delivered; {counts:?}", receiver.events()));
    }
    if receiver.repeats() > 0 {
        broken.push(format!("{} deliveries of events that had arrived", receiver.repeats()));
    }
    bench.report.breaks("outbox", broken);
    let floor = match recorded {
        true => {
            let recording = stage.recording(&look);
            stage.replayed(recording).await
        }
        false => RedisFloor::default(),
    };
    (used, floor)
}

/// The cycle for each 10,000 events, and the drain of 50,000.
pub(crate) async fn outbox(bench: &mut Bench) {
    let sample = 1_000;
    let (_, redis) = drained(bench, sample, true).await;
    let count = bench.options.count(5_000, 50_000);
    let (used, _) = drained(bench, count, false).await;
    let done = count as f64;
    let floor = redis.with(sample as f64, bench.http, 0.0, 1.0).map(|us| us / 100.0);
    let note = format!("{}; bare: {}", used.words(done), redis.names);
    let row = Row::new("outbox cycle, 10,000 events", "CPU-s", used.cpu_us() / done / 100.0);
    bench.report.row(row.target(0.5).floor(floor).note(note));
    let note = format!("{count} in {:.1} s; idle {:.0} %", used.wall_s, used.idle * 100.0);
    bench.report.row(Row::new("outbox drain", "events/s", done / used.wall_s).note(note));
}
