//! A Redis of our own: a child process on a free port of loopback, fresh, never evicting, gone with us, however we go.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// A running server. Dropping it closes its keeper's input, by which the server ends (`KEEPER`).
#[derive(Debug)]
pub struct OwnRedis {
    child: Child,
    port: u16,
}

/// Programs that speak Redis' protocol, in the order they are looked for.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Runs the program that its arguments name and ends it when our end of its standard input closes, which the kernel does
/// even where we were killed with -9. The shell stays the server's parent, so that the id it kills is never another's.
const KEEPER: &str = r#"
"$@" </dev/null &
server=$!
exec 3<&0
(read -r _ <&3; kill -9 "$server") 2>/dev/null &
watch=$!
wait "$server"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
"#;
/// What a shell answers where there is no such program.
const NOT_FOUND: i32 = 127;

/// How far a server came.
enum Came {
    Up,
    /// It ended again: another took the port.
    Ended,
    /// There is no such program.
    Missing,
}

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
                let child = Command::new("sh")
                    .args(["-c", KEEPER, "sh", program])
                    .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                    .args(["--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    // A terminal's Ctrl-C is for us: Redis is needed until what runs has been finished.
                    .process_group(0)
                    .spawn()
                    .context("sh")?;
                let mut own = Self { child, port };
                match own.ready().await? {
                    Came::Up => return Ok(own),
                    Came::Ended => {}
                    Came::Missing => break,
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

    /// Waits until it takes connections.
    async fn ready(&mut self) -> anyhow::Result<Came> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(if status.code() == Some(NOT_FOUND) { Came::Missing } else { Came::Ended });
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(Came::Up);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Came::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until nobody takes connections there any more.
    async fn gone(port: u16) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut every = tokio::time::interval(Duration::from_millis(10));
        while Instant::now() < deadline {
            every.tick().await;
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                return true;
            }
        }
        false
    }

    #[tokio::test]
    async fn a_server_ends_with_its_handle_and_with_its_keepers_input() {
        let own = OwnRedis::start().await.expect("redis-server is installed");
        let port = own.port;
        drop(own);
        assert!(gone(port).await, "it ends when it is dropped");

        // What the kernel does where we are killed: our end of the pipe closes, and nobody says anything.
        let mut own = OwnRedis::start().await.expect("redis-server is installed");
        drop(own.child.stdin.take());
        assert!(gone(own.port).await, "it ends when its keeper's input closes");
        assert!(own.child.wait().await.is_ok(), "its keeper ends, too");
    }
}
