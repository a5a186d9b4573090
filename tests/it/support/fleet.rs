//! The whole program from outside: Redis, the simulated world in this process, and real `carillon api` and `carillon
//! worker` processes between them, each on an address that it keeps over a restart.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use carillon::sim::people::Kind;
use carillon::sim::{self, Sim, SimConfig};
use serde_json::{Value as Json, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::process::{Process, Spawn};
use super::wait::try_until;
use super::{Lag, RedisCluster, RedisOptions, RedisSentinel, RedisServer, Value, ports};

/// How long a node may take until it serves, on a machine that does much else.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What is due later than this is a callback that somebody asked for, and nobody's unfinished work.
const SCHEDULED_AFTER_MS: u64 = 60_000;

/// More fleets at once than there ever are; who wants to be alone takes it all.
const ALL_ROOM: u32 = 64;

static ROOM: Semaphore = Semaphore::const_new(ALL_ROOM as usize);

/// The Redis of a fleet.
pub(crate) enum Backend {
    Single(RedisServer),
    Cluster(RedisCluster),
    Sentinel(RedisSentinel),
}

impl Backend {
    /// `REDIS_URL` for it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Single(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinel(watched) => watched.url(),
        }
    }

    /// One command, sent to the node that owns its first key.
    pub(crate) async fn cmd(&self, args: &[&str]) -> Value {
        match self {
            Self::Single(server) => server.client().await.cmd(args).await,
            Self::Cluster(cluster) => cluster.cmd(args).await,
            Self::Sentinel(watched) => watched.primary().await.cmd(args).await,
        }
    }

    /// All keys that match `pattern`.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        match self {
            Self::Single(server) => server.client().await.keys(pattern).await,
            Self::Cluster(cluster) => cluster.keys(pattern).await,
            Self::Sentinel(watched) => watched.primary().await.keys(pattern).await,
        }
    }

    /// The one server; panics where there are several.
    pub(crate) fn server(&mut self) -> &mut RedisServer {
        match self {
            Self::Single(server) => server,
            Self::Cluster(_) | Self::Sentinel(_) => panic!("this fleet stands on several servers"),
        }
    }
}

/// What kind of fleet to start.
pub(crate) struct FleetConfig {
    pub(crate) apis: usize,
    pub(crate) workers: usize,
    /// A Redis Cluster of three primaries instead of one server.
    pub(crate) cluster: bool,
    /// Redis with an append-only file, so that it may be stopped and started again.
    pub(crate) durable: bool,
    /// This Redis instead.
    pub(crate) redis: Option<Backend>,
    pub(crate) sim: SimConfig,
    /// No other fleet runs meanwhile: for what is judged by the clock.
    pub(crate) alone: bool,
    /// Variables of every node beside those that [`Fleet::start`] sets; a later one wins.
    pub(crate) env: Vec<(String, String)>,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            cluster: false,
            durable: false,
            redis: None,
            alone: false,
            sim: SimConfig {
                seed: seed(),
                speed: 30.0,
                max_cps: 20.0,
                max_concurrent: 200,
                ..SimConfig::default()
            },
            env: Vec::new(),
        }
    }
}

/// The seed of this run: `CARILLON_SEED`, else 1. Printed by whoever uses it.
pub(crate) fn seed() -> u64 {
    std::env::var("CARILLON_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// One node: its role, its address, and the process while it lives.
struct Node {
    role: &'static str,
    addr: SocketAddr,
    process: Option<Process>,
}

/// How one call of a campaign ended, from its row of results.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) call: String,
    pub(crate) disposition: String,
    pub(crate) attempts: u32,
}

/// A running fleet. Processes end first on drop, then the world, then Redis.
pub(crate) struct Fleet {
    apis: Vec<Node>,
    workers: Vec<Node>,
    pub(crate) sim: Sim,
    pub(crate) redis: Backend,
    env: Vec<(String, String)>,
    http: reqwest::Client,
    /// How late this process' own timer is.
    pub(crate) lag: Lag,
    _room: SemaphorePermit<'static>,
}

impl Fleet {
    /// Starts Redis, the world and every node, and returns once each serves.
    pub(crate) async fn start(config: FleetConfig) -> Self {
        let room = if config.alone { ALL_ROOM } else { 1 };
        let room = ROOM.acquire_many(room).await.expect("the room is never closed");
        let redis = match (config.redis, config.cluster, config.durable) {
            (Some(given), ..) => given,
            (None, true, _) => Backend::Cluster(RedisCluster::start(3, 0).await),
            (None, false, true) => Backend::Single(RedisServer::with(RedisOptions::durable()).await),
            (None, false, false) => Backend::Single(RedisServer::start().await),
        };
        let node = |role| Node { role, addr: (Ipv4Addr::LOCALHOST, ports::stable()).into(), process: None };
        let apis: Vec<Node> = (0..config.apis).map(|_| node("api")).collect();
        let workers: Vec<Node> = (0..config.workers).map(|_| node("worker")).collect();
        let base =
            apis.first().map_or_else(|| "http://127.0.0.1:9".into(), |api| format!("http://{}", api.addr));
        let all = apis.iter().map(|api| format!("http://{}", api.addr)).collect();
        let cps = config.sim.max_cps;
        let sim = sim::start(SimConfig { rewrite: vec![(base.clone(), all)], ..config.sim })
            .await
            .expect("the simulated world starts");

        let mut env: Vec<(String, String)> =
            sim.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let own = [
            ("REDIS_URL", redis.url()),
            ("BASE_URL", base),
            ("TWILIO_PHONE_NUMBER", "+12025550199".to_owned()),
            ("TWILIO_MAX_CPS", cps.to_string()),
            ("TWILIO_MAX_CONCURRENT", "100".to_owned()),
            ("PHONE_HASH_KEY", "a key for rehearsals alone: 0123456789abcdef".to_owned()),
            ("CALL_WINDOW", "off".to_owned()),
            ("TIME_SCALE", "300".to_owned()),
            ("RATE_LIMIT_PER_SECOND", "0".to_owned()),
            ("ENVIRONMENT", "development".to_owned()),
            ("LOG_LEVEL", "info,carillon::api=warn".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        env.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
        env.extend(config.env);

        let lag = Lag::watch(sim.ledger());
        let mut fleet = Self { apis, workers, sim, redis, env, http: super::http(), lag, _room: room };
        for i in 0..fleet.apis.len() {
            fleet.apis[i].process = Some(fleet.launch(&fleet.apis[i], &[]));
        }
        for i in 0..fleet.workers.len() {
            fleet.workers[i].process = Some(fleet.launch(&fleet.workers[i], &[]));
        }
        for node in fleet.apis.iter_mut().chain(&mut fleet.workers) {
            ready(node).await;
        }
        fleet
    }

    fn launch(&self, node: &Node, extra: &[(&str, &str)]) -> Process {
        Spawn::carillon(node.role)
            .envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .env("BIND_ADDR", node.addr.to_string())
            .envs(extra.iter().copied())
            .start()
    }

    /// One of the operator's commands, with the variables that the nodes have.
    pub(crate) fn command(&self, name: &str) -> Spawn {
        Spawn::carillon(name).envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The variables of every node.
    pub(crate) fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// The base URL of an API node.
    pub(crate) fn api_url(&self, i: usize) -> String {
        format!("http://{}", self.apis[i].addr)
    }

    /// The base URL of a worker, which serves health and metrics.
    pub(crate) fn worker_url(&self, i: usize) -> String {
        format!("http://{}", self.workers[i].addr)
    }

    /// The process of an API node; panics where it was killed and not started again.
    pub(crate) fn api(&mut self, i: usize) -> &mut Process {
        self.apis[i].process.as_mut().expect("this api runs")
    }

    /// The process of a worker; panics where it was killed and not started again.
    pub(crate) fn worker(&mut self, i: usize) -> &mut Process {
        self.workers[i].process.as_mut().expect("this worker runs")
    }

    /// kill -9 of an API node.
    pub(crate) async fn kill_api(&mut self, i: usize) {
        if let Some(mut process) = self.apis[i].process.take() {
            process.kill().await;
        }
    }

    /// kill -9 of a worker.
    pub(crate) async fn kill_worker(&mut self, i: usize) {
        if let Some(mut process) = self.workers[i].process.take() {
            process.kill().await;
        }
    }

    /// Starts an API node anew on its address, with further variables; kills it first where it runs. Returns once it
    /// serves.
    pub(crate) async fn restart_api(&mut self, i: usize, extra: &[(&str, &str)]) {
        self.kill_api(i).await;
        self.apis[i].process = Some(self.launch(&self.apis[i], extra));
        ready(&mut self.apis[i]).await;
    }

    /// As [`Self::restart_api`], for a worker.
    pub(crate) async fn restart_worker(&mut self, i: usize, extra: &[(&str, &str)]) {
        self.kill_worker(i).await;
        self.workers[i].process = Some(self.launch(&self.workers[i], extra));
        ready(&mut self.workers[i]).await;
    }

    /// Sends a request that `make` builds upon an API node's base URL; a node that does not answer is passed over.
    pub(crate) async fn ask(
        &self,
        make: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> (u16, Json) {
        let answer = try_until(READY_WITHIN, || async {
            for api in &self.apis {
                let base = format!("http://{}", api.addr);
                let Ok(answer) = make(&self.http, &base).send().await else { continue };
                let status = answer.status().as_u16();
                if status == 503 {
                    continue;
                }
                let Ok(text) = answer.text().await else { continue };
                return Some((status, serde_json::from_str(&text).unwrap_or(Json::String(text))));
            }
            None
        })
        .await;
        answer.expect("an api answers")
    }

    /// Posts a list through any live API node, repeated under one key until it is accepted; its campaign's id.
    pub(crate) async fn post(&self, numbers: &[String]) -> String {
        let key = format!("list-{:016x}", rand::random::<u64>());
        let (status, answer) = self
            .ask(|http, base| {
                http.post(format!("{base}/api/calls/initiate"))
                    .header("idempotency-key", &key)
                    .json(&json!({ "phone_numbers": numbers }))
            })
            .await;
        assert_eq!(status, 202, "the list is accepted: {answer}");
        assert_eq!(answer["accepted"], numbers.len(), "every number is accepted: {answer}");
        answer["campaign_id"].as_str().expect("a campaign's id").to_owned()
    }

    /// Posts one call; its id. `extra` adds fields to the request.
    pub(crate) async fn call(&self, number: &str, extra: Json) -> String {
        let mut body = json!({ "phone_number": number });
        if let (Some(body), Json::Object(extra)) = (body.as_object_mut(), extra) {
            body.extend(extra);
        }
        let (status, answer) =
            self.ask(|http, base| http.post(format!("{base}/api/calls/initiate")).json(&body)).await;
        assert_eq!(status, 202, "the call is accepted: {answer}");
        answer["call_id"].as_str().expect("a call's id").to_owned()
    }

    /// The status of a call as the API tells it.
    pub(crate) async fn status(&self, call: &str) -> Json {
        let (status, answer) =
            self.ask(|http, base| http.get(format!("{base}/api/calls/status/{call}"))).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Waits until a call has ended; its status.
    pub(crate) async fn call_ended(&self, call: &str, deadline: Duration) -> Json {
        let ended = try_until(deadline, || async {
            let status = self.status(call).await;
            if status["status"] == "ended" {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            None
        })
        .await;
        match ended {
            Some(status) => status,
            None => panic!("{call} did not end within {deadline:?}: {}", self.status(call).await),
        }
    }

    /// How the calls of a campaign ended, as far as they have.
    pub(crate) async fn results(&self, campaign: &str) -> Vec<Ended> {
        let mut rows = Vec::new();
        for key in self.redis.keys(&format!("RESULTS:*:{campaign}")).await {
            for row in self.redis.cmd(&["LRANGE", &key, "0", "-1"]).await.texts() {
                let mut words = row.split(' ');
                let mut word = || words.next().unwrap_or_default().to_owned();
                rows.push(Ended {
                    call: word(),
                    disposition: word(),
                    attempts: word().parse().unwrap_or_default(),
                });
            }
        }
        rows
    }

    /// Waits until `n` calls of the campaign have ended.
    pub(crate) async fn ended(&self, campaign: &str, n: usize, deadline: Duration) -> Vec<Ended> {
        let rows = try_until(deadline, || async {
            let rows = self.results(campaign).await;
            if rows.len() >= n {
                return Some(rows);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
        if let Some(rows) = rows {
            return rows;
        }
        let open = self.open_calls().await;
        let done = self.results(campaign).await.len();
        panic!("{done} of {n} calls ended within {deadline:?}; open (state, due in ms): {open:#?}");
    }

    /// Waits until webhooks are delivered, recordings archived and slots free: they follow the end of a call.
    pub(crate) async fn settled(&self, deadline: Duration) {
        let settled = try_until(deadline, || async {
            // Twice: what ends while we look may leave a webhook where we looked before.
            if self.unsettled().await.is_empty() && self.unsettled().await.is_empty() {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
        if settled.is_none() {
            panic!("not settled within {deadline:?}: {:#?}", self.unsettled().await);
        }
    }

    /// What still waits to be done, in words.
    pub(crate) async fn unsettled(&self) -> Vec<String> {
        let mut left = Vec::new();
        for key in self.redis.keys("OUTBOX_COUNT:*").await {
            let pending = self.redis.cmd(&["HGET", &key, "pending"]).await.text().unwrap_or_default();
            if !matches!(pending.as_str(), "" | "0") {
                left.push(format!("{key}: {pending} webhooks pending"));
            }
        }
        for key in self.redis.keys("READY:*").await {
            left.push(format!("{key}: {} ready", self.redis.cmd(&["LLEN", &key]).await.int()));
        }
        let soon = (now_ms() + SCHEDULED_AFTER_MS).to_string();
        for key in self.redis.keys("DUE:*").await {
            let due = self.redis.cmd(&["ZRANGEBYSCORE", &key, "-inf", &soon]).await.texts();
            left.extend(due.into_iter().map(|id| format!("{key}: {id} is due")));
        }
        let slots = self.redis.cmd(&["HGETALL", "CAPACITY_SLOTS:{cap}"]).await.map();
        left.extend(slots.into_iter().map(|(id, held)| format!("{id} holds a slot ({held})")));
        left
    }

    /// Calls that have not ended: id → (state letter, ms until it is due).
    pub(crate) async fn open_calls(&self) -> BTreeMap<String, (String, i64)> {
        let mut open = BTreeMap::new();
        for key in self.redis.keys("CALL_SESSION:*").await {
            let Some(record) = self.redis.cmd(&["GET", &key]).await.text() else { continue };
            let state = record.get(24..25).unwrap_or("?").to_owned();
            if state != "E" {
                let due: i64 = record.get(25..38).and_then(|due| due.parse().ok()).unwrap_or_default();
                let id = key.rsplit(':').next().unwrap_or_default().to_owned();
                open.insert(id, (state, due - i64::try_from(now_ms()).unwrap_or(i64::MAX)));
            }
        }
        open
    }

    /// What must never be, as the outside, Redis and the nodes' own counters tell it. To be asked once all is settled.
    pub(crate) async fn invariants(&mut self) -> Vec<String> {
        let mut broken = self.sim.ledger().summary().broken;
        broken.extend(self.told_once().await);
        broken.extend(self.unsettled().await);
        broken.extend(self.queues().await);
        for node in self.apis.iter().chain(&self.workers).filter(|node| node.process.is_some()) {
            let Some(metrics) = metrics(&self.http, node.addr).await else { continue };
            broken.extend(
                metrics
                    .lines()
                    .filter(|l| l.starts_with("carillon_invariant_violations_total") && !l.ends_with(" 0"))
                    .map(|line| format!("{} at {}: {line}", node.role, node.addr)),
            );
        }
        broken
    }

    /// O1, O2: every call that ended was told of by one event, verified and accepted.
    async fn told_once(&self) -> Vec<String> {
        let mut ended = Vec::new();
        for key in self.redis.keys("CALL_SESSION:*").await {
            let record = self.redis.cmd(&["GET", &key]).await.text().unwrap_or_default();
            if record.get(24..25) == Some("E") {
                ended.push(key.rsplit(':').next().unwrap_or_default().to_owned());
            }
        }
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut broken = Vec::new();
        self.sim.ledger().with(|book| {
            for delivery in &book.webhooks {
                if let Some(problem) = &delivery.problem {
                    broken.push(format!("O1 {}: a webhook was not verified: {problem}", delivery.id));
                }
                let last = matches!(delivery.event_type.as_str(), "call_completed" | "call_failed");
                if last && (200..300).contains(&delivery.answered) {
                    let ids = told.entry(delivery.call_id.clone().unwrap_or_default()).or_default();
                    if !ids.contains(&delivery.id) {
                        ids.push(delivery.id.clone());
                    }
                }
            }
        });
        for call in ended {
            let n = told.get(&call).map_or(0, Vec::len);
            if n != 1 {
                broken.push(format!("O1 {call}: its end was told by {n} events"));
            }
        }
        broken
    }

    /// Q1 and the persons' lists: an open call has one entry, an ended one none.
    async fn queues(&self) -> Vec<String> {
        let open = self.open_calls().await;
        let mut entries: BTreeMap<String, u32> = BTreeMap::new();
        for key in self.redis.keys("DUE:*").await {
            for id in self.redis.cmd(&["ZRANGE", &key, "0", "-1"]).await.texts() {
                *entries.entry(id).or_default() += 1;
            }
        }
        for key in self.redis.keys("READY:*").await {
            for id in self.redis.cmd(&["LRANGE", &key, "0", "-1"]).await.texts() {
                *entries.entry(id).or_default() += 1;
            }
        }
        let mut broken = Vec::new();
        for (id, (state, _)) in &open {
            let n = entries.remove(id).unwrap_or_default();
            if n != 1 {
                broken.push(format!("Q1 {id} (state {state}) has {n} entries"));
            }
        }
        broken.extend(entries.into_keys().map(|id| format!("Q1 {id} is over and still due")));
        for key in self.redis.keys("PHONE:*").await {
            for tokens in self.redis.cmd(&["HVALS", &key]).await.texts() {
                for token in tokens.split(' ').map(|token| token.trim_start_matches('*')) {
                    if !open.keys().any(|id| id.ends_with(token)) {
                        broken.push(format!("{key} names {token}, which is over"));
                    }
                }
            }
        }
        broken
    }

    /// The sum of a counter over its labels at a worker's `/metrics`.
    pub(crate) async fn worker_counter(&self, i: usize, name: &str) -> u64 {
        sum_of(&metrics(&self.http, self.workers[i].addr).await.unwrap_or_default(), name)
    }

    /// The same at an API node's.
    pub(crate) async fn api_counter(&self, i: usize, name: &str) -> u64 {
        sum_of(&metrics(&self.http, self.apis[i].addr).await.unwrap_or_default(), name)
    }

    /// GET at any URL: status and body, or `None` where nothing answers.
    pub(crate) async fn get(&self, url: &str) -> Option<(u16, Json)> {
        let answer = self.http.get(url).send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Json::String(text))))
    }

    /// `n` numbers of the world, each kind by turns, with who answers them.
    pub(crate) fn people(&self, n: usize) -> Vec<(String, Kind)> {
        let kinds = Kind::ALL;
        (0..n)
            .map(|i| {
                let kind = kinds[i % kinds.len()];
                let nth = u32::try_from(i / kinds.len()).unwrap_or(u32::MAX);
                (self.sim.world().number(kind, nth), kind)
            })
            .collect()
    }
}

async fn ready(node: &mut Node) {
    let url = format!("http://{}/readyz", node.addr);
    if let Some(process) = &mut node.process {
        process.http_ready(&url, READY_WITHIN).await;
    }
}

async fn metrics(http: &reqwest::Client, addr: SocketAddr) -> Option<String> {
    http.get(format!("http://{addr}/metrics")).send().await.ok()?.text().await.ok()
}

fn sum_of(metrics: &str, name: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    carillon::base::clock::Clock::System.now()
}
