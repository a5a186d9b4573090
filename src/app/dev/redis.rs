//! A Redis of our own: a child process on a free port of loopback, fresh, never evicting, gone with us.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct OwnRedis {
    child: Child,
    port: u16,
}

/// Programs that speak Redis' protocol, in the order they are looked for.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

impl OwnRedis {
    /// Starts one.
    ///
    /// # Errors
    /// Where no server is installed, or it does not come up within ten seconds.
    pub async fn start() -> anyhow::Result<Self> {
        let named = std::env::var("CARILLON_REDIS_SERVER").ok();
        let candidates: Vec<&str> = named.as_deref().into_iter().chain(PROGRAMS).collect();
        for program in candidates {
            // The port is free now; should another take it in between, the server says so and we try once more.
            for _ in 0..3 {
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                let child = Command::new(program)
                    .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                    .args(["--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    // A terminal's Ctrl-C is for us: Redis is needed until what runs has been finished.
                    .process_group(0)
                    .kill_on_drop(true)
                    .spawn();
                match child {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                    Err(error) => return Err(error).context(program.to_owned()),
                    Ok(child) => {
                        let mut own = Self { child, port };
                        if own.ready().await? {
                            return Ok(own);
                        }
                    }
                }
            }
        }
        bail!("no redis-server was found; ./scripts/dev installs one (apt-get install redis-server)")
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Waits until it takes connections; false where it ended instead.
    async fn ready(&mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(false)
    }
}
