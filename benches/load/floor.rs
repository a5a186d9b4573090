//! The floor under HTTP: processes that do nothing but answer posts, or make them, with bare hyper.

use std::net::SocketAddr;
use std::time::Duration;

use super::machine;
use super::options::Options;
use super::report::{Report, Row};
use super::wire::{self, Conn, Post, closed, reply};
use crate::support::Process;
use crate::support::process::Spawn;

/// Tells a process of ours which part it plays.
pub(crate) const PART: &str = "CARILLON_BENCH_PART";
/// What it needs to know for that.
pub(crate) const OF: &str = "CARILLON_BENCH_OF";

/// What a post takes, user and system, µs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HttpFloor {
    /// To answer one.
    pub(crate) served_us: f64,
    /// To make one.
    pub(crate) sent_us: f64,
}

/// This program again, as `part`.
pub(crate) fn part(part: &str, of: &str) -> Process {
    let program = std::env::current_exe().expect("a program knows where it lies");
    Spawn::new(program).env(PART, part).env(OF, of).start()
}

/// The part `server`: answers posts until it is ended.
pub(crate) async fn serve() {
    let addr = wire::serve(|_, _| reply(202, "application/json", ANSWER)).await;
    println!("at {addr}");
    std::future::pending::<()>().await;
}

/// The part `client`: makes posts, 32 at once, and tells what one of them took.
pub(crate) async fn send(of: &str) {
    let (to, each) = of.split_once(' ').expect("an address and a count");
    let (to, each): (SocketAddr, u64) = (to.parse().expect("an address"), each.parse().expect("a count"));
    let before = machine::cpu_us(std::process::id());
    let outcome = closed(to, 32, each, |_, _| Post::json("/x", BODY)).await;
    let used = machine::cpu_us(std::process::id()) - before;
    println!("took {}", used / outcome.latencies.len() as f64);
}

const BODY: &str = r#"{"phone_number":"+12122000001","variables":{"name":"Ada"}}"#;
const ANSWER: &str = r#"{"call_id":"call_07AAAAAAAAAAAAAAAAAAAAAA","status":"queued","phone_hash":"0123456789abcdef01234567"}"#;

/// Measures both.
pub(crate) async fn measure(options: &Options, report: &mut Report) -> HttpFloor {
    let soon = Duration::from_secs(60);
    let each = options.count(500, 2_000).min(2_000);
    let mut server = part("server", "");
    let addr: SocketAddr =
        server.line("its address", soon, |line| line.strip_prefix("at ")?.parse().ok()).await;
    // The first answer is not like the others.
    Conn::to(addr).post(Post::json("/x", BODY)).await.expect("a bare server answers");
    let before = machine::cpu_us(server.pid());
    let outcome = closed(addr, 32, each, |_, _| Post::json("/x", BODY)).await;
    let served_us = (machine::cpu_us(server.pid()) - before) / outcome.latencies.len() as f64;
    let mut client = part("client", &format!("{addr} {each}"));
    let sent_us =
        client.line("its figures", soon, |line| line.strip_prefix("took ")?.parse::<f64>().ok()).await;
    report.row(Row::new("floor: a post answered by bare hyper", "µs CPU", served_us));
    report.row(Row::new("floor: a post made by bare hyper", "µs CPU", sent_us));
    HttpFloor { served_us, sent_us }
}
