//! A redis-server of the test's own: a fresh directory, a port of its own, ended on drop.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::ports;
use super::process::{Process, Spawn};
use super::raw::RawRedis;
use super::wait::try_until;

/// How long a server may take until it answers, on a machine that does much else.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What a test may want of its server.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisOptions {
    /// Append-only file with an fsync on every write, so that [`RedisServer::kill`] loses nothing.
    pub(crate) aof: bool,
    /// On a disk that [`RedisServer::fill_disk`] can fill.
    pub(crate) disk: bool,
    /// Further settings, as on the command line but without the dashes; a later one wins.
    pub(crate) settings: Vec<(String, String)>,
}

impl RedisOptions {
    /// With the append-only file.
    pub(crate) fn durable() -> Self {
        Self { aof: true, ..Self::default() }
    }

    /// With the append-only file, written once a second, on a disk that can be full.
    pub(crate) fn on_small_disk() -> Self {
        Self { aof: true, disk: true, ..Self::default() }.with("appendfsync", "everysec")
    }

    /// With one setting more.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running server, or one that was stopped and can be started again on the same port and data.
pub(crate) struct RedisServer {
    port: u16,
    options: RedisOptions,
    process: Option<Process>,
    dir: TempDir,
}

impl RedisServer {
    /// A fresh server that forgets all when it ends.
    pub(crate) async fn start() -> Self {
        Self::with(RedisOptions::default()).await
    }

    /// A fresh server with `options`.
    pub(crate) async fn with(options: RedisOptions) -> Self {
        let dir = TempDir::with_prefix("carillon-redis-").expect("a temporary directory");
        let mut server = Self { port: 0, options, process: None, dir };
        // Another process may take the port between our look and the server's own bind.
        for _ in 0..20 {
            server.port = ports::stable();
            if server.launch().await {
                return server;
            }
        }
        panic!("redis-server would not start:\n{}", server.log());
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its address as `REDIS_URL` has it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// A connection for looking in; panics where the server is down.
    pub(crate) async fn client(&self) -> RawRedis {
        RawRedis::connect(self.addr()).await.expect("redis-server answers")
    }

    /// Sets something now and for every start to come.
    pub(crate) async fn keep(&mut self, name: &str, value: &str) {
        self.client().await.cmd(&["CONFIG", "SET", name, value]).await;
        self.options.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Ends it as an operator would; unsaved data of a server without the append-only file is gone.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate().await;
        }
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts it again on the same port and directory; ends it first where it still runs.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        assert!(self.launch().await, "redis-server would not start again:\n{}", self.log());
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub(crate) fn freeze(&self) {
        self.running().signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.running().signal("CONT");
    }

    /// From now on no file of the server's can grow: what it writes fails as on a full disk. Done by the limit that the
    /// system sets to file sizes, so that no file system has to be mounted.
    pub(crate) fn fill_disk(&self) {
        self.limit_files("0");
    }

    /// There is space again.
    pub(crate) fn free_disk(&self) {
        self.limit_files("unlimited");
    }

    fn limit_files(&self, size: &str) {
        assert!(self.options.disk, "the server was not started on such a disk");
        let pid = self.running().pid().to_string();
        let done = std::process::Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={size}:unlimited")])
            .status()
            .expect("prlimit, of util-linux");
        assert!(done.success(), "prlimit: {done}");
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// True once this very process answers; false where it ended instead, as it does when its port is taken.
    async fn launch(&mut self) -> bool {
        let mut spawn = match self.options.disk {
            // A write beyond the limit is to fail and not to kill.
            true => Spawn::new("sh").arg("-c").arg("trap '' XFSZ; exec \"$@\"").arg("sh").arg(program()),
            false => Spawn::new(program()),
        }
        .dir(self.dir.path());
        let port = self.port.to_string();
        let aof = if self.options.aof { "yes" } else { "no" };
        let fixed = [
            ("port", port.as_str()),
            ("bind", "127.0.0.1"),
            ("save", ""),
            ("appendonly", aof),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
            ("daemonize", "no"),
        ];
        let own = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            spawn = spawn.arg(format!("--{name}")).arg(value);
        }
        let process = self.process.insert(spawn.start());
        let (addr, pid) = ((Ipv4Addr::LOCALHOST, self.port).into(), process.pid().to_string());
        let answers = try_until(READY_WITHIN, || {
            let ended = process.has_ended();
            let pid = pid.clone();
            async move {
                if ended {
                    return Some(false);
                }
                let mut client = RawRedis::connect(addr).await.ok()?;
                // A stranger on our port is not our server; one that still loads its data answers with an error.
                (client.try_cmd(&["PING"]).await.ok()?.text_is("PONG")
                    && client.info("process_id").await.is_some_and(|found| found == pid))
                .then_some(true)
            }
        })
        .await;
        answers == Some(true)
    }
}

impl super::Value {
    fn text_is(&self, expected: &str) -> bool {
        matches!(self, Self::Text(text) if text == expected)
    }
}

/// The server's program: `CARILLON_REDIS_SERVER`, else `redis-server` or `valkey-server` on the PATH.
pub(crate) fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("CARILLON_REDIS_SERVER").filter(|named| !named.is_empty()) {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|dir| ["redis-server", "valkey-server"].map(|name| dir.join(name)))
        .find(|candidate| candidate.is_file())
        .expect("no redis-server and no valkey-server on the PATH: run ./scripts/setup")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::Value;

    #[tokio::test]
    async fn a_server_answers_and_keeps_its_data_over_a_kill_where_asked() {
        let mut server = RedisServer::with(RedisOptions::durable().with("maxclients", "100")).await;
        let mut client = server.client().await;
        client.cmd(&["HSET", "h", "a", "1", "b", "2"]).await;
        client.cmd(&["ZADD", "z", "5", "m"]).await;
        assert_eq!(client.cmd(&["ZCARD", "z"]).await.int(), 1);
        assert_eq!(client.cmd(&["HGETALL", "h"]).await.map()["b"], "2");
        assert_eq!(client.cmd(&["GET", "absent"]).await.text(), None);
        assert!(matches!(client.try_cmd(&["NOSUCH"]).await, Ok(Value::Error(_))));
        assert_eq!(client.keys("*").await, ["h", "z"]);
        assert_eq!(client.cmd(&["CONFIG", "GET", "maxclients"]).await.map()["maxclients"], "100");

        let addr = server.addr();
        server.kill().await;
        assert!(client.try_cmd(&["PING"]).await.is_err(), "the old connection is gone");
        server.restart().await;
        assert_eq!(server.addr(), addr, "the same port again");
        assert_eq!(server.client().await.cmd(&["DBSIZE"]).await.int(), 2);
    }

    #[tokio::test]
    async fn a_frozen_server_answers_after_the_thaw() {
        let server = RedisServer::start().await;
        let mut client = server.client().await;
        server.freeze();
        let early = tokio::time::timeout(Duration::from_millis(50), client.cmd(&["PING"])).await;
        assert!(early.is_err(), "frozen");
        server.thaw();
        let mut fresh = server.client().await;
        assert_eq!(fresh.cmd(&["PING"]).await.text().as_deref(), Some("PONG"));
    }

    #[tokio::test]
    async fn nothing_is_left_running_after_drop() {
        let server = RedisServer::start().await;
        let addr = server.addr();
        drop(server);
        assert!(RawRedis::connect(addr).await.is_err());
    }
}
