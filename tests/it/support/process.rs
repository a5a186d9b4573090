//! A process of the test's own: the real binary, or any other program. Its output goes to a file, so that no pipe can
//! fill up and nothing is lost by kill -9; a test that fails shows the end of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::wait::{try_until, until};

/// How many lines of a process's output a failed test shows.
const SHOWN: usize = 80;

/// How long a process may take to end after SIGTERM before the test fails.
const END_WITHIN: Duration = Duration::from_secs(60);

/// A process about to be started.
pub(crate) struct Spawn {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    bare: bool,
    dir: Option<PathBuf>,
}

impl Spawn {
    /// `program`, with the test's own environment.
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), bare: false, dir: None }
    }

    /// The binary under test in `role`. It sees no variable but PATH, HOME and those given with [`Self::env`], and
    /// runs in an empty directory, so that no `.env` of the developer's reaches it.
    pub(crate) fn carillon(role: &str) -> Self {
        Self::bare(env!("CARGO_BIN_EXE_carillon"), role)
    }

    /// As [`Self::carillon`], of another build.
    pub(crate) fn bare(program: impl Into<PathBuf>, role: &str) -> Self {
        let mut spawn = Self::new(program).arg(role);
        spawn.bare = true;
        spawn
    }

    /// One argument more.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// One variable more.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Many variables more.
    pub(crate) fn envs<'a>(self, vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        vars.into_iter().fold(self, |spawn, (name, value)| spawn.env(name, value))
    }

    /// Where it runs; a fresh empty directory otherwise.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Starts it. Panics where the program cannot be started.
    pub(crate) fn start(self) -> Process {
        let home = TempDir::with_prefix("carillon-process-").expect("a temporary directory");
        let log = home.path().join("output.log");
        let file = File::create(&log).expect("a file for the output");
        let both = file.try_clone().expect("a second handle on it");
        let mut command = Command::new(&self.program);
        if self.bare {
            command.env_clear();
            for name in ["PATH", "HOME"] {
                command.envs(std::env::var_os(name).map(|value| (name, value)));
            }
        }
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.as_deref().unwrap_or(home.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::from(file))
            .stderr(Stdio::from(both));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Process { name, child, log, _home: home }
    }
}

/// A process that was started; ended by its id on drop.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    _home: TempDir,
}

impl Process {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it wrote, standard output and standard error as they came.
    pub(crate) fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Whether it is over.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for a whole line of output of which `pick` makes something; panics, with the output, when the process
    /// ends or `deadline` passes before. How a test learns the port behind `BIND_ADDR=127.0.0.1:0`.
    pub(crate) async fn line<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> T {
        let found = try_until(deadline, || {
            // Asked before reading: what an ended process wrote is all there.
            let ended = self.has_ended();
            let output = self.output();
            let whole = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let found = whole.into_iter().find_map(&pick);
            std::future::ready(match found {
                Some(found) => Some(Some(found)),
                None => ended.then_some(None),
            })
        })
        .await;
        match found {
            Some(Some(found)) => found,
            Some(None) => panic!("{} ended before {what}\n{}", self.name, self.tail()),
            None => panic!("{} did not come to {what} within {deadline:?}\n{}", self.name, self.tail()),
        }
    }

    /// Waits until GET `url` answers with 2xx; panics, with the output, when the process ends or `deadline` passes.
    pub(crate) async fn http_ready(&mut self, url: &str, deadline: Duration) {
        let client = super::http();
        let ready = try_until(deadline, || {
            let ended = self.has_ended();
            let get = client.get(url).send();
            async move {
                if ended {
                    return Some(false);
                }
                get.await.is_ok_and(|answer| answer.status().is_success()).then_some(true)
            }
        })
        .await;
        assert!(ready == Some(true), "{} is not ready at {url}\n{}", self.name, self.tail());
    }

    /// Waits for its end; panics, with the output, when `deadline` passes first.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let status = try_until(deadline, || std::future::ready(self.child.try_wait().transpose())).await;
        match status {
            Some(status) => status.expect("the system knows its own child"),
            None => panic!("{} still runs after {deadline:?}\n{}", self.name, self.tail()),
        }
    }

    /// kill -9, by its id; returns once it is gone. An end before that is no error.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill();
        self.ended(END_WITHIN).await;
    }

    /// SIGTERM; returns its exit status.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended(END_WITHIN).await
    }

    /// Sends a signal by name (`STOP`, `CONT`, `TERM`). The shell's own `kill` does it, which every machine has.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "sh", name, &self.pid().to_string()])
            .status();
        assert!(sent.is_ok(), "no shell to send SIG{name} with");
    }

    fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let from = lines.len().saturating_sub(SHOWN);
        format!("--- the last lines of {} ({}) ---\n{}", self.name, self.pid(), lines[from..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> Spawn {
        Spawn::new("sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn a_line_is_found_and_the_process_ends_by_its_id() {
        let mut process =
            sh("echo \"$GREETING\" >&2; echo ready on 127.0.0.1:4711; exec cat /dev/zero >/dev/null")
                .env("GREETING", "hello")
                .start();
        let port = process
            .line("its address", SOON, |line| line.strip_prefix("ready on 127.0.0.1:")?.parse::<u16>().ok())
            .await;
        assert_eq!(port, 4711);
        assert!(process.output().contains("hello"), "standard error is kept too");
        assert!(!process.has_ended());
        process.kill().await;
        assert!(process.has_ended());
    }

    #[tokio::test]
    async fn an_exit_status_is_reported_and_sigterm_heard() {
        assert_eq!(sh("exit 7").start().ended(SOON).await.code(), Some(7));
        let mut process =
            sh("trap 'exit 3' TERM; echo armed; while :; do read -r x < /dev/null; done").start();
        process.line("its trap", SOON, |line| (line == "armed").then_some(())).await;
        assert_eq!(process.terminate().await.code(), Some(3));
    }

    #[tokio::test]
    async fn a_process_that_ends_too_early_fails_the_wait_at_once() {
        let waiting = tokio::spawn(async {
            sh("echo broken; exit 1").start().line("readiness", SOON, |_| None::<()>.or(None)).await
        });
        let panic = waiting.await.expect_err("nothing to be ready").into_panic();
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains("ended before readiness") && message.contains("broken"), "{message}");
    }

    #[tokio::test]
    async fn the_binary_starts_without_the_developers_environment() {
        let mut process = Spawn::carillon("--help").envs([("REDIS_URL", "redis://127.0.0.1:1")]).start();
        process.ended(SOON).await;
    }

    #[tokio::test]
    async fn readiness_over_http_is_seen() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/livez", listener.local_addr().expect("bound"));
        let app = axum::Router::new().route("/livez", axum::routing::get(|| async { "ok" }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        sh("exec cat /dev/zero >/dev/null").start().http_ready(&url, SOON).await;
        until("nothing", SOON, || std::future::ready(Some(()))).await;
    }
}
