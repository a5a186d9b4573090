//! What a soak runs on: a wired Redis Cluster with replicas, the simulated world, two api and two worker processes of the
//! real binary, and a proxy on each way between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carillon::sim::{self, Sim, SimConfig};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use crate::support::fleet::now_ms;
use crate::support::process::Spawn;
use crate::support::wait::try_until;
use crate::support::{Balancer, Process, RedisCluster, TcpProxy, ports};

/// How long a node may take until it serves, on a machine that does much else.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The ways out of a node that have a proxy, beside those to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Carrier,
    Model,
    Archive,
    Webhooks,
}

impl Way {
    /// All of them, in the order of [`Rig::wires`].
    pub(super) const ALL: [Self; 4] = [Self::Carrier, Self::Model, Self::Archive, Self::Webhooks];
}

/// One node: its role and address, which it keeps, and its process.
pub(super) struct Node {
    pub(super) role: &'static str,
    addr: SocketAddr,
    process: Mutex<Option<Process>>,
    serves: AtomicBool,
}

impl Node {
    fn new(role: &'static str) -> Arc<Self> {
        let addr = (Ipv4Addr::LOCALHOST, ports::stable()).into();
        Arc::new(Self { role, addr, process: Mutex::new(None), serves: AtomicBool::new(false) })
    }

    /// Has it come up since it was last killed?
    pub(super) fn serves(&self) -> bool {
        self.serves.load(Ordering::SeqCst)
    }

    /// Its base URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// The whole of it. Processes end first on drop, then the world, then Redis.
pub(super) struct Rig {
    /// Two api, then two workers.
    pub(super) nodes: Vec<Arc<Node>>,
    _balancer: Balancer,
    wires: Vec<TcpProxy>,
    pub(super) sim: Sim,
    /// Taken by whoever kills primaries.
    pub(super) redis: Mutex<RedisCluster>,
    env: Vec<(String, String)>,
    pub(super) http: reqwest::Client,
}

impl Rig {
    /// Starts all of it, the nodes with `more` variables; returns once every node serves.
    pub(super) async fn start(
        world: SimConfig,
        cps: f64,
        slots: u32,
        time_scale: f64,
        more: &[(&str, &str)],
    ) -> Self {
        let redis = RedisCluster::wired(3, 1).await;
        let nodes: Vec<Arc<Node>> = ["api", "api", "worker", "worker"].map(Node::new).into();
        let apis: Vec<SocketAddr> = nodes.iter().filter(|n| n.role == "api").map(|n| n.addr).collect();
        let balancer = Balancer::start(&apis).await;
        let sim = sim::start(world).await.expect("the simulated world starts");
        let mut env: Vec<(String, String)> =
            sim.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut wires = Vec::new();
        for way in Way::ALL {
            let name = match way {
                Way::Carrier => "TWILIO_API_BASE_URL",
                Way::Model => "OPENAI_BASE_URL",
                Way::Archive => "S3_ENDPOINT_URL",
                Way::Webhooks => "DEFAULT_WEBHOOK_URL",
            };
            let (_, url) = env.iter_mut().find(|(known, _)| known == name).expect("the world names it");
            let mut to = url::Url::parse(url).expect("a URL");
            let far: SocketAddr = (Ipv4Addr::LOCALHOST, to.port().expect("with a port")).into();
            let wire = TcpProxy::start(far).await;
            to.set_port(Some(wire.addr().port())).expect("a URL with a host");
            *url = to.as_str().trim_end_matches('/').to_owned();
            wires.push(wire);
        }
        let own = [
            ("REDIS_URL", redis.url()),
            ("BASE_URL", format!("http://{}", balancer.addr())),
            ("TWILIO_PHONE_NUMBER", "+12025550199".to_owned()),
            ("TWILIO_MAX_CPS", cps.to_string()),
            ("TWILIO_MAX_CONCURRENT", slots.to_string()),
            ("PHONE_HASH_KEY", "a key for rehearsals alone: 0123456789abcdef".to_owned()),
            ("CALL_WINDOW", "off".to_owned()),
            ("TIME_SCALE", time_scale.to_string()),
            ("RATE_LIMIT_PER_SECOND", "0".to_owned()),
            ("WEBHOOK_TIMEOUT", "5".to_owned()),
            ("ENVIRONMENT", "development".to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        env.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let rig = Self {
            nodes,
            _balancer: balancer,
            wires,
            sim,
            redis: Mutex::new(redis),
            env,
            http: crate::support::http(),
        };
        for i in 0..rig.nodes.len() {
            rig.launch(i).await;
        }
        for i in 0..rig.nodes.len() {
            assert!(
                rig.ready(i).await,
                "the {} at {} does not come up",
                rig.nodes[i].role,
                rig.nodes[i].addr
            );
        }
        rig
    }

    /// The proxy on a way.
    pub(super) fn wire(&self, way: Way) -> &TcpProxy {
        &self.wires[way as usize]
    }

    async fn launch(&self, i: usize) {
        let node = &self.nodes[i];
        let process = Spawn::carillon(node.role)
            .envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .env("BIND_ADDR", node.addr.to_string())
            .start();
        *node.process.lock().await = Some(process);
    }

    /// kill -9 of a node, and its restart at once; answers when it was dead, Unix ms. It serves some time later: see
    /// [`Self::ready`].
    pub(super) async fn kill(&self, i: usize) -> u64 {
        self.nodes[i].serves.store(false, Ordering::SeqCst);
        if let Some(mut process) = self.nodes[i].process.lock().await.take() {
            process.kill().await;
        }
        let dead = now_ms();
        self.launch(i).await;
        dead
    }

    /// Waits until a node serves; false where it does not. One that ended by itself is started once more: while Redis
    /// is away a node gives up after a while, as under any supervisor.
    pub(super) async fn ready(&self, i: usize) -> bool {
        let node = &self.nodes[i];
        let url = format!("{}/readyz", node.url());
        let ready = try_until(READY_WITHIN, || async {
            let ended = node.process.lock().await.as_mut().is_none_or(Process::has_ended);
            if ended {
                self.launch(i).await;
            }
            let asked = self.http.get(&url).timeout(Duration::from_secs(2)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        })
        .await;
        node.serves.store(ready.is_some(), Ordering::SeqCst);
        ready.is_some()
    }

    /// The ends of all nodes' logs, for a run that failed.
    pub(super) async fn logs(&self, lines: usize) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            let text = node.process.lock().await.as_ref().map(Process::output).unwrap_or_default();
            let all: Vec<&str> = text.lines().collect();
            out.push_str(&format!("--- {} at {}\n", node.role, node.addr));
            out.push_str(&all[all.len().saturating_sub(lines)..].join("\n"));
            out.push('\n');
        }
        out
    }

    /// Sends a request to one api after the other until one answers with anything but 503.
    pub(super) async fn ask(
        &self,
        make: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> (u16, Json) {
        let answer = try_until(READY_WITHIN, || async {
            for api in self.nodes.iter().filter(|node| node.role == "api") {
                let Ok(answer) = make(&self.http, &api.url()).send().await else { continue };
                let status = answer.status().as_u16();
                let Ok(text) = answer.text().await else { continue };
                if status != 503 {
                    return Some((status, serde_json::from_str(&text).unwrap_or(Json::String(text))));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        })
        .await;
        answer.expect("an api answers")
    }

    /// Counters of violated invariants that a node shows above 0. A node that was killed takes its counts with it.
    pub(super) async fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let Ok(answer) = self.http.get(format!("{}/metrics", node.url())).send().await else { continue };
            let text = answer.text().await.unwrap_or_default();
            let wrong = text
                .lines()
                .filter(|l| l.starts_with("carillon_invariant_violations_total") && !l.ends_with(" 0"));
            found.extend(wrong.map(|line| format!("{} at {}: {line}", node.role, node.addr)));
        }
        found
    }
}
