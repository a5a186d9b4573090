//! What processes and the machine used, from `/proc`: CPU, memory, the idle share; and percentiles of latencies.

use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc/*/stat`; the kernel shows 100 to every program.
const TICKS: f64 = 100.0;

/// CPU that a process used since it began, user and system, µs (in steps of 10 ms); 0 where it is gone.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS * 1e6
}

/// CPU of the calling thread, µs.
pub(crate) fn thread_cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1_000.0
}

/// A line of `/proc/<pid>/status`, bytes: `VmRSS`, `VmHWM` (the most it ever was).
pub(crate) fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// How many processors there are.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The machine's time, all processors together, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    idle: f64,
    all: f64,
}

impl Times {
    pub(crate) fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guests are in user already.
        let idle = ticks.get(3).unwrap_or(&0.0) + ticks.get(4).unwrap_or(&0.0);
        Self { idle, all: ticks.iter().take(8).sum() }
    }

    /// The share of the time since `before` in which processors had nothing to do, 0 to 1.
    pub(crate) fn idle_since(self, before: Self) -> f64 {
        let all = self.all - before.all;
        if all > 0.0 { (self.idle - before.idle) / all } else { 1.0 }
    }
}

/// Latencies, µs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    all: Vec<u32>,
}

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.all.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn join(&mut self, mut more: Self) {
        self.all.append(&mut more.all);
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The value that this share of them does not exceed, ms.
    pub(crate) fn at(&mut self, share: f64) -> f64 {
        self.all.sort_unstable();
        let rank = (share * self.all.len() as f64).ceil() as usize;
        self.all.get(rank.clamp(1, self.all.len().max(1)) - 1).map_or(0.0, |us| f64::from(*us) / 1_000.0)
    }

    /// Median, 95th, 99th and the longest, ms, in words.
    pub(crate) fn words(&mut self) -> String {
        format!(
            "p50 {:.2}  p95 {:.2}  p99 {:.2}  max {:.1} ms",
            self.at(0.5),
            self.at(0.95),
            self.at(0.99),
            self.at(1.0)
        )
    }
}

/// A stretch of the wall and of the machine's time.
pub(crate) struct Watch {
    began: Instant,
    times: Times,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), times: Times::now() }
    }

    /// Seconds of the wall so far, and the idle share.
    pub(crate) fn read(&self) -> (f64, f64) {
        (self.began.elapsed().as_secs_f64(), Times::now().idle_since(self.times))
    }
}
