//! `carillon dev`: the main job from nothing. A Redis of its own, the simulated world, one node with every role; a sample
//! list is posted as a client would post it, dialed to the end, and judged by what the outside saw.

mod redis;
mod report;
mod sample;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::config::{Config, Role};
use crate::app::node::Node;
use crate::app::{lifecycle::Lifecycle, logs, serve};
use crate::domain::ids::CampaignId;
use crate::sim::{self, Sim, SimConfig};
use crate::store::Store;

pub use redis::OwnRedis;

/// What `carillon dev` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// End with the verdict as exit status instead of leaving the API up.
    #[arg(long)]
    pub once: bool,
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// People on the sample list, at least 15: one of each kind.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(15..=10_000))]
    pub calls: u32,
    /// Decides who the people are.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Simulated seconds to one of the wall.
    #[arg(long, default_value_t = 20.0)]
    pub speed: f64,
    /// Calls per second of the simulated account.
    #[arg(long, default_value_t = 10.0)]
    pub cps: f64,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 600)]
    pub timeout: u64,
    /// Where the logs go; none: `.carillon/dev.log`.
    #[arg(long)]
    pub log_file: Option<PathBuf>,
}

/// Runs it. The answer is the verdict; false too where a signal came before there was one.
///
/// # Errors
/// Where something could not be started, with what to do about it.
pub async fn run(args: DevArgs) -> anyhow::Result<bool> {
    let life = Lifecycle::new();
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // What was started by then is dropped with the rehearsal: no server outlives us.
    let stage = tokio::select! {
        stage = Box::pin(rehearse(&args, &life)) => Some(stage?),
        _ = int.recv() => None,
        _ = term.recv() => None,
    };
    let Some(stage) = stage else {
        println!("\nended by a signal, before the verdict");
        return Ok(false);
    };
    if args.once {
        life.drain.cancel();
    } else {
        println!("\nThe API stays up at http://{}; Ctrl-C ends it.", stage.addr);
    }
    life.run(Duration::from_secs(10), Duration::ZERO).await?;
    stage.sim.stop().await;
    drop(stage.redis);
    Ok(stage.verdict)
}

/// What stands when the list has been dialed.
struct Stage {
    verdict: bool,
    addr: SocketAddr,
    sim: Sim,
    redis: OwnRedis,
}

async fn rehearse(args: &DevArgs, life: &Lifecycle) -> anyhow::Result<Stage> {
    let began = Instant::now();
    let work = PathBuf::from(".carillon");
    std::fs::create_dir_all(&work).context("the working directory cannot be written to")?;
    let log_file = args.log_file.clone().unwrap_or_else(|| work.join("dev.log"));
    logs::to_file(&log_file, "dev")?;

    let wanted = bind_addr(args);
    let bound = serve::bind(wanted)
        .await
        .with_context(|| format!("`--bind {}:0` listens on any free port instead", wanted.ip()))?;
    let redis = OwnRedis::start().await?;
    println!("redis      {}  (fresh, gone at the end)", redis.url());
    let sim = sim::start(SimConfig {
        seed: args.seed,
        speed: args.speed,
        max_cps: args.cps,
        max_concurrent: 200,
        ..SimConfig::default()
    })
    .await
    .context("the simulated world could not be started")?;
    println!("carrier    {}  (simulated, {}× life)", sim.twilio_url(), args.speed);
    println!("S3         {}  in {}  (gone at the end)", sim.s3_url(), sim.s3_root().display());
    println!("webhooks   {}", sim.hook_url());
    println!("ledger     {}/ledger", sim.control_url());

    let env = environment(args, &redis, &sim, bound.addr);
    let config = Config::from_env(&|name| env.get(name).cloned(), Role::All)?;
    let node = Node::start(config, bound, life).await?;
    println!("API        http://{0}  (no key on loopback; to read: http://{0}/docs)", node.addr);
    println!("logs       {}\n", log_file.display());

    let list = sample::list(&sim, args.calls);
    let campaign = sample::post(node.addr, &list).await?;
    let ended = watch(&node.store, &campaign, list.len() as u64, args.timeout).await?;
    let settled = settle(&node.store).await?;
    let verdict = report::print(&sim, &node.store, &campaign, &list, ended, settled).await?;
    println!("\n{:.0} s in all", began.elapsed().as_secs_f64());
    Ok(Stage { verdict, addr: node.addr, sim, redis })
}

/// A run that ends by itself needs no port that anybody knows, and so stands in nobody's way.
fn bind_addr(args: &DevArgs) -> SocketAddr {
    let standard = args.bind.port() == 8080;
    let taken = std::net::TcpListener::bind(args.bind).is_err();
    if args.once && standard && taken { SocketAddr::new(args.bind.ip(), 0) } else { args.bind }
}

/// The embedded defaults: the variables that an operator would set, pointed at the simulated world.
fn environment(args: &DevArgs, redis: &OwnRedis, sim: &Sim, addr: SocketAddr) -> HashMap<String, String> {
    let mut env: HashMap<String, String> =
        sim.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let own = [
        ("REDIS_URL", redis.url()),
        ("BIND_ADDR", addr.to_string()),
        ("BASE_URL", format!("http://{addr}")),
        ("TWILIO_PHONE_NUMBER", "+12025550199".into()),
        ("TWILIO_MAX_CPS", args.cps.to_string()),
        ("TWILIO_MAX_CONCURRENT", "100".into()),
        ("PHONE_HASH_KEY", "a key for rehearsals alone: 0123456789abcdef".into()),
        ("CALL_WINDOW", "off".into()),
        ("TIME_SCALE", "300".into()),
        ("ENVIRONMENT", "development".into()),
    ];
    env.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    env
}

/// Shows progress until every call of the list has ended. False: the time ran out.
async fn watch(store: &Store, campaign: &CampaignId, total: u64, timeout: u64) -> anyhow::Result<bool> {
    let bar = ProgressBar::new(total);
    bar.set_style(
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} ended  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let plain = bar.is_hidden();
    let deadline = Instant::now() + Duration::from_secs(timeout);
    let mut said = (0, Instant::now());
    loop {
        let counters = store.counters(campaign.as_str()).await?;
        let count = |name: &str| u64::try_from(counters.get(name).copied().unwrap_or(0)).unwrap_or(0);
        let ended = count("ended");
        let live = store.slots_held().await?;
        bar.set_position(ended);
        bar.set_message(format!("{live} live, {} answered", count("answered")));
        if plain && (ended != said.0 && said.1.elapsed() > Duration::from_secs(3)) {
            println!("{ended}/{total} ended, {live} live, {} answered", count("answered"));
            said = (ended, Instant::now());
        }
        if ended >= total {
            bar.finish_and_clear();
            println!("{ended}/{total} ended");
            return Ok(true);
        }
        if Instant::now() > deadline {
            bar.abandon();
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until webhooks are delivered and recordings archived: they follow the end of a call.
async fn settle(store: &Store) -> anyhow::Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let (ready, _, oldest) = store.queue_depth().await?;
        let pending = store.outbox_counts().await?.pending;
        // What is due later than any watchdog is a callback that somebody asked for.
        let soon = crate::base::clock::Clock::System.now() + 5 * crate::base::clock::MINUTE;
        if pending == 0 && ready == 0 && (oldest == 0 || oldest > soon) {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(false)
}

/// A JSON object of an HTTP answer, or what it said instead.
async fn json_of(response: reqwest::Response) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    anyhow::ensure!(status.is_success(), "the API answered {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}
