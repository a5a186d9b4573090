//! What the integration tests stand on. Everything here is real and local: redis-servers, TCP, the binary itself.
//! Each thing started is ended by its own process id when its handle is dropped.

// A harness offers more than the tests of one day use; each part is tested beside its code all the same.
#![allow(dead_code, unused_imports)]

pub(crate) mod backend;
pub(crate) mod balancer;
pub(crate) mod cluster;
pub(crate) mod fleet;
pub(crate) mod invariants;
pub(crate) mod lag;
pub(crate) mod monitor;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod readme;
pub(crate) mod redis;
pub(crate) mod sentinel;
pub(crate) mod wait;

pub(crate) use backend::Backend;
pub(crate) use balancer::Balancer;
pub(crate) use cluster::RedisCluster;
pub(crate) use fleet::{Fleet, FleetConfig};
pub(crate) use lag::Lag;
pub(crate) use monitor::Monitor;
pub(crate) use process::Process;
pub(crate) use proxy::TcpProxy;
pub(crate) use raw::{RawRedis, Value};
pub(crate) use redis::{RedisOptions, RedisServer};
pub(crate) use sentinel::RedisSentinel;
pub(crate) use wait::until;

/// An HTTP client for tests; installs the TLS provider that reqwest is built without.
pub(crate) fn http() -> reqwest::Client {
    // Whoever comes second finds it installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("a client without special settings builds")
}
