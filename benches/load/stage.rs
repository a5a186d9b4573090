//! A Redis of its own, the real binary as nodes, and what they used between two looks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use carillon::store::Store;

use super::floor::HttpFloor;
use super::machine::{self, Watch};
use super::record::{Recorder, Recording};
use crate::kit::calls;
use crate::kit::meter::RedisUse;
use crate::support::process::Spawn;
use crate::support::{self, Process, RedisServer, ports};

/// How long a node may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Numbers we call from.
pub(crate) const CALLERS: [&str; 2] = ["+12025550199", "+12025550198"];

/// What is started as a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Build {
    /// `None`: the program that was built with this bench.
    pub(crate) program: Option<PathBuf>,
    /// Variables that win over the bench's own.
    pub(crate) env: Vec<(String, String)>,
}

/// What all stages start, from here on.
static BUILD: Mutex<Build> = Mutex::new(Build { program: None, env: Vec::new() });

/// Has all stages start this, from here on.
pub(crate) fn measure_build(build: Build) {
    *BUILD.lock().unwrap_or_else(PoisonError::into_inner) = build;
}

/// One node.
pub(crate) struct Node {
    pub(crate) process: Process,
    api: bool,
}

/// Redis and the nodes of one measurement.
pub(crate) struct Stage {
    pub(crate) redis: RedisServer,
    /// The harness's own way into Redis, the same as the nodes'.
    pub(crate) store: Store,
    pub(crate) nodes: Vec<Node>,
    recorder: Option<Recorder>,
    api: SocketAddr,
    env: Vec<(String, String)>,
}

/// A look at what was used so far.
pub(crate) struct Look {
    api_us: f64,
    worker_us: f64,
    redis: RedisUse,
    watch: Watch,
    mark: usize,
    trips: usize,
}

/// What was used since a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// CPU of the api, µs.
    pub(crate) api_us: f64,
    /// CPU of the worker, µs.
    pub(crate) worker_us: f64,
    pub(crate) redis: RedisUse,
    /// Seconds of the wall.
    pub(crate) wall_s: f64,
    /// The machine's idle share, 0 to 1.
    pub(crate) idle: f64,
}

impl Used {
    /// CPU of nodes and Redis, µs.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.api_us + self.worker_us + self.redis.cpu_us
    }

    /// How it is made up, for each of `n`.
    pub(crate) fn words(&self, n: f64) -> String {
        format!(
            "api {:.1} + worker {:.1} + Redis {:.1} µs; {:.2} scripts, {:.0} B; idle {:.0} %",
            self.api_us / n,
            self.worker_us / n,
            self.redis.cpu_us / n,
            self.redis.scripts as f64 / n,
            (self.redis.bytes_in + self.redis.bytes_out) as f64 / n,
            self.idle * 100.0
        )
    }
}

/// The outside world as the nodes' variables name it.
pub(crate) struct Outside {
    pub(crate) carrier: String,
    pub(crate) model: String,
    pub(crate) receiver: String,
    /// Further variables; a later one wins.
    pub(crate) env: Vec<(String, String)>,
}

impl Default for Outside {
    fn default() -> Self {
        // Nobody listens there: for sections that need nobody.
        let nobody = || "http://127.0.0.1:9".to_owned();
        Self { carrier: nobody(), model: nobody(), receiver: nobody(), env: Vec::new() }
    }
}

/// The account and its secret, as every node here knows it.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// See [`ACCOUNT`].
pub(crate) const TOKEN: &str = "simulated-auth-token";

impl Stage {
    /// Starts Redis; with `recorded`, everybody speaks to it through a recorder.
    pub(crate) async fn start(recorded: bool, outside: Outside) -> Self {
        let redis = RedisServer::start().await;
        let recorder = if recorded { Some(Recorder::before(redis.addr()).await) } else { None };
        let at = recorder.as_ref().map_or(redis.addr(), |recorder| recorder.addr);
        let url = format!("redis://{at}");
        let api: SocketAddr = (Ipv4Addr::LOCALHOST, ports::stable()).into();
        let own = [
            ("REDIS_URL", url.clone()),
            ("BASE_URL", format!("http://{api}")),
            ("PHONE_HASH_KEY", calls::HASH_KEY.into()),
            ("TWILIO_API_BASE_URL", outside.carrier),
            ("TWILIO_ACCOUNT_SID", ACCOUNT.into()),
            ("TWILIO_AUTH_TOKEN", TOKEN.into()),
            ("CALLER_IDS", CALLERS.join(",")),
            ("TWILIO_MAX_CPS", "1000".into()),
            ("TWILIO_MAX_CONCURRENT", "100000".into()),
            // Every hour of the day, so that hours are judged and never closed.
            ("CALL_WINDOW", "00:00-24:00".into()),
            ("OPENAI_BASE_URL", outside.model),
            ("OPENAI_API_KEY", "simulated".into()),
            ("S3_BUCKET_NAME", "bench".into()),
            ("S3_ENDPOINT_URL", "http://127.0.0.1:9".into()),
            ("AWS_ACCESS_KEY_ID", "simulated".into()),
            ("AWS_SECRET_ACCESS_KEY", "simulated".into()),
            ("DEFAULT_WEBHOOK_URL", outside.receiver),
            ("WEBHOOK_SIGNING_SECRET", "whsec_c2ltdWxhdGVkLXdlYmhvb2stc2VjcmV0".into()),
            ("WEBHOOK_ALLOW_PRIVATE", "true".into()),
            ("RATE_LIMIT_PER_SECOND", "0".into()),
            ("OUTBOX_MAX_BACKLOG", "1000000".into()),
            ("LOG_FORMAT", "json".into()),
        ];
        let mut env: Vec<(String, String)> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.extend(outside.env);
        let store = calls::store(&url).await;
        Self { redis, store, nodes: Vec::new(), recorder, api, env }
    }

    /// Where the API node serves, or will.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// `REDIS_URL` of everybody here.
    pub(crate) fn url(&self) -> String {
        self.env.first().map(|(_, url)| url.clone()).unwrap_or_default()
    }

    /// Starts a node of `role` and waits until it serves. Answers how long that took.
    pub(crate) async fn node(&mut self, role: &str) -> Duration {
        let addr = if role == "api" { self.api } else { (Ipv4Addr::LOCALHOST, ports::stable()).into() };
        let began = Instant::now();
        let build = BUILD.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let spawn = match build.program {
            Some(program) => Spawn::bare(program, role),
            None => Spawn::carillon(role),
        };
        let vars = self.env.iter().chain(&build.env);
        let mut process = spawn
            .envs(vars.map(|(name, value)| (name.as_str(), value.as_str())))
            .env("BIND_ADDR", addr.to_string())
            .start();
        let http = support::http();
        let mut every = tokio::time::interval(Duration::from_millis(1));
        loop {
            every.tick().await;
            let answer = http.get(format!("http://{addr}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            let ended = process.has_ended();
            assert!(!ended && began.elapsed() < READY_WITHIN, "{role} does not serve:\n{}", process.output());
        }
        let took = began.elapsed();
        self.nodes.push(Node { process, api: role == "api" });
        took
    }

    pub(crate) async fn look(&self) -> Look {
        Look {
            mark: self.recorder.as_ref().map_or(0, Recorder::mark),
            trips: self.recorder.as_ref().map_or(0, Recorder::trips),
            redis: RedisUse::of(&mut self.redis.client().await).await,
            api_us: self.nodes_cpu_us(true),
            worker_us: self.nodes_cpu_us(false),
            watch: Watch::start(),
        }
    }

    fn nodes_cpu_us(&self, api: bool) -> f64 {
        let of = self.nodes.iter().filter(|node| node.api == api);
        of.map(|node| machine::cpu_us(node.process.pid())).sum()
    }

    pub(crate) async fn used(&self, since: &Look) -> Used {
        let (wall_s, idle) = since.watch.read();
        let api_us = self.nodes_cpu_us(true) - since.api_us;
        let worker_us = self.nodes_cpu_us(false) - since.worker_us;
        let redis = RedisUse::of(&mut self.redis.client().await).await - since.redis;
        Used { api_us, worker_us, redis, wall_s, idle }
    }

    /// Commands that clients sent since a look; 0 where nothing is recorded.
    pub(crate) fn commands(&self, since: &Look) -> usize {
        self.recorder.as_ref().map_or(0, |recorder| recorder.mark() - since.mark)
    }

    /// Round trips since a look, of clients that do one thing at a time; 0 where nothing is recorded.
    pub(crate) fn trips(&self, since: &Look) -> usize {
        self.recorder.as_ref().map_or(0, |recorder| recorder.trips() - since.trips)
    }

    /// What was sent since a look; panics where nothing was recorded.
    pub(crate) fn recording(&self, since: &Look) -> Recording {
        self.recorder.as_ref().expect("this stage is recorded").take(since.mark)
    }

    /// Ends the nodes and sends what was recorded once more to the same Redis, emptied: CPU of both sides, µs, and the
    /// commands by name.
    pub(crate) async fn replayed(mut self, recording: Recording) -> RedisFloor {
        self.nodes.clear();
        self.store.close().await;
        let mut client = self.redis.client().await;
        client.cmd(&["FLUSHDB"]).await;
        let (addr, names) = (self.redis.addr(), recording.by_name());
        let work =
            tokio::task::spawn_blocking(move || Recording::send(&recording.before, addr).map(|_| recording));
        let recording = work.await.expect("it does not panic").expect("Redis takes what it took before");
        let before = RedisUse::of(&mut client).await;
        let work = tokio::task::spawn_blocking(move || Recording::send(&recording.measured, addr));
        let replayed = work.await.expect("it does not panic").expect("Redis takes what it took before");
        let used = RedisUse::of(&mut client).await - before;
        RedisFloor {
            commands: replayed.commands,
            cpu_us: used.cpu_us + replayed.client_us,
            errors: replayed.errors,
            trips: 0,
            names: names.into_iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// What the same Redis commands take, sent bare.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisFloor {
    pub(crate) commands: usize,
    pub(crate) cpu_us: f64,
    pub(crate) errors: usize,
    pub(crate) names: String,
    /// Round trips, where they were counted.
    pub(crate) trips: usize,
}

impl RedisFloor {
    /// For each of `n`: together with `served` requests answered and `sent` requests made by bare hyper, µs of CPU.
    pub(crate) fn with(&self, n: f64, http: HttpFloor, served: f64, sent: f64) -> Option<f64> {
        // A script that fails does less than one that succeeds: such a floor would flatter nobody truthfully.
        let sound = self.errors * 50 <= self.commands;
        sound.then(|| self.cpu_us / n + http.served_us * served + http.sent_us * sent)
    }
}
