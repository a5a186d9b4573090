//! A redis-server for the tests beside the code: a port and a directory of its own, ended on drop.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretBox;

use crate::base::clock::Clock;
use crate::store::{RedisConfig, Store};

// The same as the integration tests': not from the range of outgoing connections, in which one that tries a port may be
// given that very port and talk to itself.
#[allow(dead_code)]
#[path = "../../tests/it/support/ports.rs"]
mod ports;

/// A running server.
pub(crate) struct TestRedis {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl TestRedis {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        // Another process may take the port between our look and the server's own bind.
        for _ in 0..20 {
            let mut server = Self::launch();
            if server.answers().await {
                return server;
            }
        }
        panic!("redis-server would not start")
    }

    fn launch() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = ports::stable();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, port, _dir: dir }
    }

    async fn answers(&mut self) -> bool {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..1_000 {
            every.tick().await;
            if self.child.try_wait().ok().flatten().is_some() {
                return false;
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// A store on it.
    pub(crate) async fn store(&self, clock: Clock) -> Store {
        self.store_waiting_for(0, clock).await
    }

    /// A store whose dials and accepted calls wait for so many replicas.
    pub(crate) async fn store_waiting_for(&self, wait_replicas: u32, clock: Clock) -> Store {
        let config = RedisConfig {
            url: format!("redis://127.0.0.1:{}", self.port),
            phone_hash_key: Arc::new(SecretBox::new(Box::new(b"a key for tests".to_vec()))),
            default_webhook_url: Some("https://hooks.example.com/default".into()),
            frequency_cap: 3,
            wait_replicas,
            allow_eviction: false,
        };
        Store::connect(config, clock).await.expect("the server that was just started")
    }
}

impl TestRedis {
    /// Makes it a replica of another one; the data it has goes.
    pub(crate) async fn follow(&self, primary: &Self) {
        let store = self.store(Clock::System).await;
        let of = vec!["127.0.0.1".to_owned(), primary.port.to_string()];
        store.command("REPLICAOF", of).await.expect("it becomes a replica");
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
