//! What Redis used: CPU, commands and bytes, as it tells by `INFO`.

use std::ops::{AddAssign, Sub};

use super::support::{Backend, RawRedis};

/// What servers used since they began, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RedisUse {
    /// CPU, user and system, µs.
    pub(crate) cpu_us: f64,
    /// Scripts that clients called (scripts call none): with this program, nearly all its round trips.
    pub(crate) scripts: u64,
    /// Time inside scripts, µs of the wall.
    pub(crate) script_us: u64,
    /// Commands, those that scripts ran included.
    pub(crate) commands: u64,
    /// Bytes received.
    pub(crate) bytes_in: u64,
    /// Bytes sent.
    pub(crate) bytes_out: u64,
}

impl RedisUse {
    /// Reads one server.
    pub(crate) async fn of(client: &mut RawRedis) -> Self {
        let info = client.cmd(&["INFO", "everything"]).await.text().unwrap_or_default();
        let field = |name: &str| {
            let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or("0").trim().to_owned()
        };
        let seconds = |name: &str| field(name).parse::<f64>().unwrap_or(0.0);
        let count = |name: &str| field(name).parse::<u64>().unwrap_or(0);
        let stat = |command: &str, what: &str| {
            let all = field(command);
            let found = all.split(',').find_map(|part| part.strip_prefix(what)?.strip_prefix('='));
            found.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        let both = |what: &str| stat("cmdstat_evalsha", what) + stat("cmdstat_eval", what);
        Self {
            cpu_us: (seconds("used_cpu_user") + seconds("used_cpu_sys")) * 1e6,
            scripts: both("calls"),
            script_us: both("usec"),
            commands: count("total_commands_processed"),
            bytes_in: count("total_net_input_bytes"),
            bytes_out: count("total_net_output_bytes"),
        }
    }

    /// Reads every primary of a backend.
    pub(crate) async fn of_all(backend: &mut Backend) -> Self {
        let mut all = Self::default();
        match backend {
            Backend::One(server) => all += Self::of(&mut server.client().await).await,
            Backend::Many(cluster) => {
                for n in 0..cluster.primaries() {
                    all += Self::of(&mut cluster.node(n).client().await).await;
                }
            }
        }
        all
    }
}

impl Sub for RedisUse {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            cpu_us: self.cpu_us - before.cpu_us,
            scripts: self.scripts.saturating_sub(before.scripts),
            script_us: self.script_us.saturating_sub(before.script_us),
            commands: self.commands.saturating_sub(before.commands),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
        }
    }
}

impl AddAssign for RedisUse {
    fn add_assign(&mut self, more: Self) {
        self.cpu_us += more.cpu_us;
        self.scripts += more.scripts;
        self.script_us += more.script_us;
        self.commands += more.commands;
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
    }
}
