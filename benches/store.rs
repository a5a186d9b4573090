//! The store's batched steps on real Redis servers that it starts: one server, and a cluster of three primaries. Beside
//! criterion's time it prints what Redis did for each call: scripts, CPU and bytes.

mod kit;

use std::time::{Duration, Instant};

use carillon::base::clock::{Clock, Millis};
use carillon::domain::call::{Call, Event, Leg, Rules};
use carillon::domain::campaign::Dedupe;
use carillon::domain::ids::{CampaignId, SHARDS, Shard};
use carillon::store::{
    Account, Applied, Ask, Caller, Feedback, Request, Settle, Start, StartChecks, Started, Store, Wants,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use kit::calls::{self, Maker};
use kit::meter::RedisUse;
use kit::support;
use support::{Backend, RedisCluster, RedisServer};

/// Calls in one script, or one pipeline.
const BATCHES: [usize; 3] = [1, 32, 100];
/// Calls made ready before the clock runs, at most: what is kept in Redis stays small.
const READY: usize = 1_000;
/// A lease that does not end.
const LONG: Millis = 3_600_000;

/// A step of a call's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Submit,
    Claim,
    Permit,
    Start,
    Commit,
    Settle,
}

impl Step {
    const ALL: [Self; 6] = [Self::Submit, Self::Claim, Self::Permit, Self::Start, Self::Commit, Self::Settle];

    fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Claim => "claim",
            Self::Permit => "permit",
            Self::Start => "start",
            Self::Commit => "commit",
            Self::Settle => "settle",
        }
    }
}

/// A batch that is ready for a step.
struct Batch {
    shard: Shard,
    calls: Vec<Call>,
}

struct Bed {
    redis: Backend,
    store: Store,
    rules: Rules,
    campaign: CampaignId,
    callers: Vec<Caller>,
    maker: Maker,
    turn: u16,
}

impl Bed {
    async fn on(redis: Backend) -> Self {
        let store = calls::store(&redis.url()).await;
        let campaign = calls::campaign(&store).await;
        let callers =
            vec![Caller { key: "0123456789ab".into(), max_cps: 0.0, max_concurrent: 0, max_daily: 0 }];
        Self { redis, store, rules: Rules::default(), campaign, callers, maker: Maker::new(), turn: 0 }
    }

    /// An empty Redis with a running campaign.
    async fn fresh(&mut self) {
        self.redis.everywhere(&["FLUSHDB"]).await;
        calls::put_campaign(&self.store, &self.campaign).await;
    }

    async fn ready(&mut self, step: Step, size: usize) -> Batch {
        self.turn = (self.turn + 1) % SHARDS;
        let shard = Shard(self.turn);
        let mut calls = self.maker.of_shard(&self.store, shard, size, Some(&self.campaign));
        if step == Step::Submit {
            return Batch { shard, calls };
        }
        self.submit(&calls).await;
        match step {
            // An event that waits, by the shortest way to one.
            Step::Settle => self.apply(&calls, |_| Event::Cancel).await,
            Step::Permit | Step::Start | Step::Commit => {
                calls = self.claim(shard, size).await;
                if step == Step::Commit {
                    calls = self.start(calls).await;
                }
            }
            Step::Submit | Step::Claim => {}
        }
        Batch { shard, calls }
    }

    async fn run(&self, step: Step, batch: Batch) {
        let Batch { shard, calls } = batch;
        match step {
            Step::Submit => self.submit(&calls).await,
            Step::Claim => drop(self.claim(shard, calls.len()).await),
            Step::Permit => self.permit(&calls).await,
            Step::Start => drop(self.start(calls).await),
            Step::Commit => {
                let sid = |call: &Call| Leg { attempt: 1, sid: format!("CA{}", call.id) };
                self.apply(&calls, |call| Event::Accepted(sid(call))).await;
            }
            Step::Settle => self.settle(shard, calls.len()).await,
        }
    }

    async fn submit(&self, calls: &[Call]) {
        let now = Clock::System.now();
        let answers = self.store.submit_list(calls, Dedupe::Campaign, now).await.expect("Redis answers");
        assert!(answers.iter().all(|a| *a == carillon::store::Submitted::Created), "{answers:?}");
    }

    async fn claim(&self, shard: Shard, size: usize) -> Vec<Call> {
        let n = u32::try_from(size).expect("a batch");
        let wants = Wants { live: 0, urgent: 0, campaigns: vec![(self.campaign.clone(), n)] };
        let claims = self.store.claim(shard, LONG, &wants).await.expect("Redis answers");
        assert_eq!(claims.calls.len(), size);
        claims.calls.into_iter().map(|claimed| claimed.call).collect()
    }

    async fn permit(&self, calls: &[Call]) {
        let asks: Vec<Ask> = calls
            .iter()
            .map(|call| Ask {
                id: call.id.clone(),
                epoch: call.head.epoch,
                campaign: call.campaign.clone(),
                destination: call.body.phone.destination().to_owned(),
                callers: vec![0],
            })
            .collect();
        let request = Request {
            account: Account::default(),
            callers: &self.callers,
            asks: &asks,
            waiting: &[(self.campaign.clone(), 100_000)],
            releases: &[],
            feedback: &Feedback::default(),
            most: 1_000,
        };
        let permits = self.store.permit(request).await.expect("Redis answers");
        assert!(permits.grants.iter().all(Result::is_ok), "{:?}", permits.grants);
    }

    async fn start(&self, calls: Vec<Call>) -> Vec<Call> {
        let starts = calls.into_iter().map(|call| Start {
            call,
            caller: "+14155550199".into(),
            caller_key: "0123456789ab".into(),
            evidence: serde_json::json!({"zones": [{"zone": "America/New_York", "time": "12:00"}], "zones_from": "number",
                "rules": ["window"], "hours": "08:00-21:00", "rules_version": "1"}),
        });
        let checks = StartChecks { leg_wait: 5_000 };
        let started = self.store.start(starts.collect(), &self.rules, checks).await;
        let done = started.into_iter().map(|started| match started {
            Started::Done(call) => *call,
            other => panic!("not started: {other:?}"),
        });
        done.collect()
    }

    /// There is no commit of many: they go out together, in one pipeline.
    async fn apply(&self, calls: &[Call], event: impl Fn(&Call) -> Event) {
        let commits = calls.iter().map(|call| self.store.apply(call.clone(), event(call), &self.rules));
        for applied in futures::future::join_all(commits).await {
            assert!(matches!(applied, Ok(Applied::Done(..))), "{applied:?}");
        }
    }

    async fn settle(&self, shard: Shard, size: usize) {
        let (entries, _) = self.store.outbox_claim(shard, LONG, size, 32).await.expect("Redis answers");
        assert_eq!(entries.len(), size);
        let settles = entries.iter().map(|entry| self.store.outbox_settle(entry, Settle::Delivered));
        for settled in futures::future::join_all(settles).await {
            assert!(settled.expect("Redis answers"), "settled before");
        }
    }
}

/// What Redis did in the time that was measured, and for how many calls.
#[derive(Default)]
struct Spent {
    redis: RedisUse,
    calls: usize,
    time: Duration,
}

impl Spent {
    fn print(&self, name: &str) {
        if self.calls == 0 {
            return;
        }
        let per = |n: f64| n / self.calls as f64;
        println!(
            "  {name:<18} for each call: {:>6.3} scripts  {:>7.2} µs of Redis' CPU  {:>6.0} B in  {:>6.0} B out  {:>7.2} µs of time",
            per(self.redis.scripts as f64),
            per(self.redis.cpu_us),
            per(self.redis.bytes_in as f64),
            per(self.redis.bytes_out as f64),
            per(self.time.as_secs_f64() * 1e6),
        );
    }
}

/// Runs `step` `iterations` times on batches made ready before, outside of the measured time.
async fn measured(bed: &mut Bed, step: Step, size: usize, iterations: u64, spent: &mut Spent) -> Duration {
    let (mut left, mut total) = (iterations, Duration::ZERO);
    while left > 0 {
        let chunk = left.min((READY / size).max(1) as u64);
        bed.fresh().await;
        let mut batches = Vec::new();
        for _ in 0..chunk {
            batches.push(bed.ready(step, size).await);
        }
        // What looking costs is taken out again.
        let look = RedisUse::of_all(&mut bed.redis).await;
        let before = RedisUse::of_all(&mut bed.redis).await;
        let began = Instant::now();
        for batch in batches {
            bed.run(step, batch).await;
        }
        let took = began.elapsed();
        spent.redis += RedisUse::of_all(&mut bed.redis).await - before - (before - look);
        spent.calls += size * usize::try_from(chunk).expect("few");
        spent.time += took;
        total += took;
        left -= chunk;
    }
    total
}

fn steps(c: &mut Criterion, runtime: &tokio::runtime::Runtime, on: &str, bed: &mut Bed) {
    let mut group = c.benchmark_group(format!("store/{on}"));
    group.sampling_mode(SamplingMode::Flat);
    let mut lines = Vec::new();
    for step in Step::ALL {
        for size in BATCHES {
            let mut spent = Spent::default();
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::new(step.word(), size), |b| {
                b.iter_custom(|n| runtime.block_on(measured(bed, step, size, n, &mut spent)));
            });
            lines.push((format!("{} ×{size}", step.word()), spent));
        }
    }
    group.finish();
    println!("\n{on}: what Redis did");
    for (name, spent) in lines {
        spent.print(&name);
    }
    println!();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for on in ["one", "cluster"] {
        let mut bed = runtime.block_on(async {
            Bed::on(match on {
                "one" => Backend::One(RedisServer::start().await),
                _ => Backend::Many(RedisCluster::start(3, 0).await),
            })
            .await
        });
        steps(&mut criterion, &runtime, on, &mut bed);
        runtime.block_on(bed.store.close());
        // Its processes are ended while the runtime still lives.
        drop(bed);
    }
    criterion.final_summary();
}
