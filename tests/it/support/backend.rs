//! One Redis server or a cluster, looked into in the same words.

use super::{RawRedis, RedisCluster, RedisServer, Value};

/// What a test of the store runs on.
pub(crate) enum Backend {
    /// One server.
    One(RedisServer),
    /// A cluster.
    Many(RedisCluster),
}

impl Backend {
    /// `REDIS_URL` for it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Many(cluster) => cluster.url(),
        }
    }

    /// Runs a command where its key, the first argument after the name, lives.
    pub(crate) async fn cmd(&self, args: &[&str]) -> Value {
        match self {
            Self::One(server) => server.client().await.cmd(args).await,
            Self::Many(cluster) => cluster.cmd(args).await,
        }
    }

    /// All keys that match, sorted.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        match self {
            Self::One(server) => server.client().await.keys(pattern).await,
            Self::Many(cluster) => cluster.keys(pattern).await,
        }
    }

    /// Runs a command without a key on every primary.
    pub(crate) async fn everywhere(&mut self, args: &[&str]) {
        match self {
            Self::One(server) => drop(server.client().await.cmd(args).await),
            Self::Many(cluster) => {
                for n in 0..cluster.primaries() {
                    let mut client: RawRedis = cluster.node(n).client().await;
                    client.cmd(args).await;
                }
            }
        }
    }
}
