//! The binary: role → configuration → runtime → app.

use std::process::ExitCode;

use carillon::app::config::{Config, Role};
use carillon::app::{cli, dev, lifecycle::Lifecycle, logs, node::Node, serve, sim};
use clap::{Parser, Subcommand};

/// A call is many small values that live for one step: the system's allocator takes a quarter of a turn's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Carillon, an outbound AI dialer: a phone list in, interviewed people, profiles in S3 and signed webhooks out.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    role: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients and the carrier's callbacks.
    Api,
    /// Claim due calls: dial, watch, wrap up, deliver webhooks.
    Worker,
    /// Both in one process.
    All,
    /// The simulated outside world: carrier, model, S3, webhook receiver.
    Sim(sim::SimArgs),
    /// The main job from nothing: own Redis, simulated world, a sample list dialed to the end.
    Dev(dev::DevArgs),
    /// Validate the configuration and ping every dependency.
    Check(cli::check::CheckArgs),
    /// Post numbers or a CSV file to a running API and watch them to the end.
    Call(cli::call::CallArgs),
    /// Make campaigns, start and stop them, watch them, fetch their results.
    Campaign(Box<cli::campaign::CampaignArgs>),
    /// Evidence: verify that it was not changed, or show what there is about a call.
    Audit(cli::audit::AuditArgs),
    /// The do-not-call list of a running API: import, export, add, remove, check.
    Suppressions(cli::suppressions::SuppressionsArgs),
    /// One person's data at a running API: exported, erased.
    People(cli::people::PeopleArgs),
}

fn main() -> ExitCode {
    // Once for the process, before anything speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(cli.role));
    // A second signal, or the end of the grace time, waits for nobody.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| {
        eprintln!("carillon: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Api => node(Role::Api, "api").await,
        Command::Worker => node(Role::Worker, "worker").await,
        Command::All => node(Role::All, "all").await,
        Command::Sim(args) => sim::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Dev(args) => {
            let passed = dev::run(args).await?;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Check(args) => Ok(Box::pin(carillon::app::check(args)).await?),
        Command::Call(args) => Ok(cli::call::run(&args).await),
        Command::Campaign(args) => Ok(cli::campaign::run(&args).await),
        Command::Audit(args) => Ok(Box::pin(cli::audit::run(&args)).await),
        Command::Suppressions(args) => Ok(cli::suppressions::run(&args).await),
        Command::People(args) => Ok(cli::people::run(&args).await),
    }
}

async fn node(role: Role, service: &str) -> anyhow::Result<ExitCode> {
    let config = Config::load(role)?;
    logs::init(&config, service)?;
    let (grace, notice) = (config.node.shutdown_grace, config.node.shutdown_notice());
    let bound = serve::bind(config.api.bind_addr).await?;
    let life = Lifecycle::new();
    Node::start(config, bound, &life).await?;
    let finished = life.run(grace, notice).await?;
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
