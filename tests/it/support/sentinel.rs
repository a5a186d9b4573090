//! A primary and its replica under three Sentinels, who promote the replica when two of them miss the primary.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;

use super::ports;
use super::process::{Process, Spawn};
use super::raw::{RawRedis, Value};
use super::redis::{RedisOptions, RedisServer, program};
use super::wait::until;

const SENTINELS: usize = 3;
const NAME: &str = "carillon";
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

struct Sentinel {
    addr: SocketAddr,
    _process: Process,
    _dir: TempDir,
}

/// Two servers, the first of which begins as the primary, and who watches them.
pub(crate) struct RedisSentinel {
    servers: [RedisServer; 2],
    sentinels: Vec<Sentinel>,
}

impl RedisSentinel {
    /// Starts all of them; returns once the replica is in step and the Sentinels know it and each other.
    pub(crate) async fn start() -> Self {
        let primary = RedisServer::with(RedisOptions::default()).await;
        let replica = RedisServer::with(RedisOptions::default()).await;
        let port = primary.addr().port().to_string();
        replica.client().await.cmd(&["REPLICAOF", "127.0.0.1", &port]).await;
        until("the replica to be in step", SETTLED_WITHIN, || async {
            (replica.client().await.info("master_link_status").await? == "up").then_some(())
        })
        .await;
        let sentinels: Vec<Sentinel> = (0..SENTINELS).map(|_| sentinel(&port)).collect();
        let others = (SENTINELS - 1).to_string();
        for one in &sentinels {
            until("a Sentinel to know the others", SETTLED_WITHIN, || async {
                let mut client = RawRedis::connect(one.addr).await.ok()?;
                let told = client.try_cmd(&["SENTINEL", "MASTER", NAME]).await.ok()?;
                let told = matches!(told, Value::List(_)).then(|| told.map())?;
                (told["num-other-sentinels"] == others && told["num-slaves"] == "1").then_some(())
            })
            .await;
        }
        Self { servers: [primary, replica], sentinels }
    }

    /// `REDIS_URL` for it.
    pub(crate) fn url(&self) -> String {
        let mut url = format!("redis-sentinel://{}?sentinelServiceName={NAME}", self.sentinels[0].addr);
        for other in &self.sentinels[1..] {
            let _ = write!(url, "&node={}", other.addr);
        }
        url
    }

    /// Kills the server that began as the primary.
    pub(crate) async fn kill_primary(&mut self) {
        self.servers[0].kill().await;
    }

    /// A connection to the server that is the primary now; waits where there is none.
    pub(crate) async fn primary(&self) -> RawRedis {
        until("a primary", SETTLED_WITHIN, || async {
            for server in &self.servers {
                let Ok(mut client) = RawRedis::connect(server.addr()).await else { continue };
                if client.info("role").await.as_deref() == Some("master") {
                    return Some(client);
                }
            }
            None
        })
        .await
    }
}

fn sentinel(primary: &str) -> Sentinel {
    let dir = TempDir::with_prefix("carillon-sentinel-").expect("a temporary directory");
    let port = ports::stable();
    let file = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {NAME} 2000\nsentinel failover-timeout {NAME} 10000\n"
    );
    std::fs::write(&file, text).expect("a file for the Sentinel, which it writes to");
    let process = Spawn::new(program()).arg(&file).arg("--sentinel").dir(dir.path()).start();
    Sentinel { addr: (Ipv4Addr::LOCALHOST, port).into(), _process: process, _dir: dir }
}
