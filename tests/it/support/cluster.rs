//! A Redis Cluster of the test's own: real nodes on loopback, joined by hand with the commands that `redis-cli
//! --cluster create` sends, so that no other tool is needed.

use std::net::SocketAddr;
use std::time::Duration;

use super::ports::BUS_OFFSET;
use super::proxy::TcpProxy;
use super::raw::{RawRedis, Value};
use super::redis::{RedisOptions, RedisServer};
use super::wait::until;

/// All slots of a cluster.
const SLOTS: usize = 16_384;

/// How long joining, or a failover, may take on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// A running cluster: the primaries first, then the replicas.
pub(crate) struct RedisCluster {
    nodes: Vec<RedisServer>,
    primaries: usize,
    /// One before each node, where it was started so: clients and replicas come through it.
    wires: Vec<TcpProxy>,
}

impl RedisCluster {
    /// So many primaries, and so many replicas for each; returns once every node says that the cluster is well and
    /// every replica is in step.
    pub(crate) async fn start(primaries: usize, replicas: usize) -> Self {
        Self::with(primaries, replicas, false).await
    }

    /// The same with a proxy before each node: every node announces the proxy's port as its own, so that clients and
    /// replicas come through it. The nodes' own gossip does not.
    pub(crate) async fn wired(primaries: usize, replicas: usize) -> Self {
        Self::with(primaries, replicas, true).await
    }

    async fn with(primaries: usize, replicas: usize, wired: bool) -> Self {
        let options = RedisOptions::default()
            .with("cluster-enabled", "yes")
            // Where nobody can take over, a node that was not scheduled for a while is not to be declared dead.
            .with("cluster-node-timeout", if replicas > 0 { "2000" } else { "60000" })
            .with("cluster-config-file", "nodes.conf");
        let count = primaries * (1 + replicas);
        let nodes = futures::future::join_all((0..count).map(|_| RedisServer::with(options.clone()))).await;
        let mut cluster = Self { nodes, primaries, wires: Vec::new() };
        if wired {
            for node in &mut cluster.nodes {
                let (wire, bus) = (TcpProxy::start(node.addr()).await, node.addr().port() + BUS_OFFSET);
                node.keep("cluster-announce-bus-port", &bus.to_string()).await;
                node.keep("cluster-announce-port", &wire.addr().port().to_string()).await;
                cluster.wires.push(wire);
            }
        }
        cluster.join().await;
        cluster
    }

    /// `REDIS_URL` for it: every node is named, so that any one of them may be down.
    pub(crate) fn url(&self) -> String {
        let known = |n: usize| self.wires.get(n).map_or_else(|| self.nodes[n].addr(), TcpProxy::addr);
        let mut addrs = (0..self.nodes.len()).map(|n| known(n).to_string());
        let first = addrs.next().unwrap_or_default();
        let others: Vec<String> = addrs.map(|addr| format!("node={addr}")).collect();
        format!("redis-cluster://{first}?{}", others.join("&"))
    }

    /// The n-th node; the primaries of the start come first.
    pub(crate) fn node(&mut self, n: usize) -> &mut RedisServer {
        &mut self.nodes[n]
    }

    /// The proxy before the n-th node of a wired cluster.
    pub(crate) fn wire(&self, n: usize) -> &TcpProxy {
        &self.wires[n]
    }

    /// Every node's own address, in their order.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(RedisServer::addr).collect()
    }

    /// Which nodes are primaries now, of those that answer.
    pub(crate) async fn masters(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for (n, node) in self.nodes.iter().enumerate() {
            let Ok(mut client) = RawRedis::connect(node.addr()).await else { continue };
            let role = client.try_cmd(&["ROLE"]).await;
            if matches!(&role, Ok(Value::List(words)) if words.first().and_then(Value::text).as_deref() == Some("master"))
            {
                found.push(n);
            }
        }
        found
    }

    /// How many primaries it started with.
    pub(crate) fn primaries(&self) -> usize {
        self.primaries
    }

    /// Runs a command on the node that owns its key, which is the first argument after the name.
    pub(crate) async fn cmd(&self, args: &[&str]) -> Value {
        let mut addr = self.nodes[0].addr();
        for _ in 0..5 {
            let mut client = RawRedis::connect(addr).await.expect("a node answers");
            match client.try_cmd(args).await {
                Ok(Value::Error(error)) if error.starts_with("MOVED ") => {
                    addr =
                        error.rsplit(' ').next().and_then(|to| to.parse().ok()).expect("MOVED names a node");
                }
                Ok(Value::Error(error)) => panic!("{args:?}: {error}"),
                Ok(value) => return value,
                Err(error) => panic!("{args:?}: {error}"),
            }
        }
        panic!("{args:?} is moved in a circle");
    }

    /// All keys of all present primaries that match `pattern`, sorted.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys = Vec::new();
        for mut client in self.present_primaries().await {
            keys.extend(client.keys(pattern).await);
        }
        keys.sort();
        keys
    }

    /// `DBSIZE` over all present primaries.
    pub(crate) async fn dbsize(&self) -> i64 {
        let mut sum = 0;
        for mut client in self.present_primaries().await {
            sum += client.cmd(&["DBSIZE"]).await.int();
        }
        sum
    }

    /// Waits until every node that runs says `cluster_state:ok` with all slots covered, as after a failover.
    pub(crate) async fn settled(&self) {
        until("cluster_state:ok on every node", SETTLED_WITHIN, || async {
            for node in &self.nodes {
                let Ok(mut client) = RawRedis::connect(node.addr()).await else { continue };
                let info = client.try_cmd(&["CLUSTER", "INFO"]).await.ok()?.text()?;
                let well = info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_slots_ok:{SLOTS}"))
                    && info.contains("cluster_slots_fail:0");
                well.then_some(())?;
            }
            Some(())
        })
        .await;
    }

    async fn present_primaries(&self) -> Vec<RawRedis> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let Ok(mut client) = RawRedis::connect(node.addr()).await else { continue };
            if client.info("role").await.as_deref() == Some("master") {
                found.push(client);
            }
        }
        found
    }

    async fn join(&self) {
        let mut clients = Vec::new();
        for node in &self.nodes {
            clients.push(node.client().await);
        }
        let (host, port) = (self.nodes[0].addr().ip().to_string(), self.nodes[0].addr().port());
        for (n, client) in clients.iter_mut().enumerate() {
            // Different epochs from the start, so that no two nodes claim the same one and need to sort it out.
            client.cmd(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]).await;
            if n > 0 {
                let (port, bus) = (port.to_string(), (port + BUS_OFFSET).to_string());
                client.cmd(&["CLUSTER", "MEET", &host, &port, &bus]).await;
            }
            if n < self.primaries {
                let range = n * SLOTS / self.primaries..(n + 1) * SLOTS / self.primaries;
                let slots: Vec<String> = range.map(|slot| slot.to_string()).collect();
                let mut command = vec!["CLUSTER", "ADDSLOTS"];
                command.extend(slots.iter().map(String::as_str));
                client.cmd(&command).await;
            }
        }
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        for node in &self.nodes {
            until("all nodes to know each other", SETTLED_WITHIN, || async {
                let info = node.client().await.cmd(&["CLUSTER", "INFO"]).await.text()?;
                info.contains(&known).then_some(())
            })
            .await;
        }
        for n in self.primaries..self.nodes.len() {
            let primary = clients[n % self.primaries].cmd(&["CLUSTER", "MYID"]).await.text().expect("an id");
            // The replica may know the node and not yet, by gossip, that it is a primary with slots.
            until("a replica to be accepted", SETTLED_WITHIN, || async {
                let mut client = self.nodes[n].client().await;
                let answer = client.try_cmd(&["CLUSTER", "REPLICATE", &primary]).await.ok()?;
                (!matches!(answer, Value::Error(_))).then_some(())
            })
            .await;
        }
        self.replicated().await;
        self.settled().await;
    }

    /// Waits until every node that is a replica is in step with its primary.
    pub(crate) async fn replicated(&self) {
        for node in &self.nodes {
            until("a replica to be in step", SETTLED_WITHIN, || async {
                let mut client = RawRedis::connect(node.addr()).await.ok()?;
                let up = client.info("master_link_status").await;
                (up.is_none() || up.as_deref() == Some("up")).then_some(())
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cluster_of_three_serves_every_slot() {
        let cluster = RedisCluster::start(3, 0).await;
        assert_eq!(cluster.primaries(), 3);
        for shard in 0..64 {
            cluster.cmd(&["SET", &format!("DUE:{{s{shard:02}}}"), "1"]).await;
        }
        assert_eq!(cluster.dbsize().await, 64);
        assert_eq!(cluster.keys("DUE:{s0*").await.len(), 10);
        assert!(cluster.url().starts_with("redis-cluster://127.0.0.1:"));
        assert_eq!(cluster.url().matches("node=").count(), 2);
    }

    #[tokio::test]
    async fn a_replica_takes_over_from_a_killed_primary() {
        let mut cluster = RedisCluster::start(3, 1).await;
        cluster.cmd(&["SET", "{s00}k", "v"]).await;
        cluster.cmd(&["WAIT", "1", "5000"]).await;
        cluster.node(0).kill().await;
        until("three primaries again", SETTLED_WITHIN, || async {
            (cluster.present_primaries().await.len() == 3).then_some(())
        })
        .await;
        cluster.settled().await;
        cluster.node(0).restart().await;
        cluster.settled().await;
        assert_eq!(cluster.dbsize().await, 1);
    }
}
