//! The binary's commands, run as a user runs them: in a directory of their own, with nothing but a `.env` there.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// What a command said.
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

/// A user's directory.
pub(super) struct Shell {
    dir: TempDir,
    /// What every command is given besides, such as `--url`.
    common: Vec<String>,
}

impl Shell {
    /// With this text in `.env`.
    pub(super) fn new(dotenv: &str, common: &[&str]) -> Self {
        let dir = TempDir::with_prefix("carillon-user-").expect("a directory");
        std::fs::write(dir.path().join(".env"), dotenv).expect("a .env");
        Self { dir, common: common.iter().map(|&word| word.to_owned()).collect() }
    }

    /// Writes a file into the directory.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(name), bytes).expect("a file");
    }

    /// Reads a file of the directory.
    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// Runs `carillon` with these words and prints what it said.
    pub(super) async fn run(&self, words: &[&str]) -> Said {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_carillon"));
        command.env_clear();
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .args(words)
            .args(&self.common)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.expect("the command ends").expect("the command runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        println!("$ carillon {}", words.join(" "));
        for line in said.err.lines().chain(said.out.lines()) {
            println!("  {line}");
        }
        if said.code != 0 {
            println!("  (exit status {})", said.code);
        }
        said
    }
}
