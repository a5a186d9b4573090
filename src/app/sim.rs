//! `carillon sim`: the simulated outside world on its own, for whoever wants to point a node of his at it.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::lifecycle::Lifecycle;
use crate::sim::{self, Ports, SimConfig};

/// What `carillon sim` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct SimArgs {
    /// Decides who the people are and whom likely faults strike.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Simulated seconds to one of the wall.
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,
    /// Calls per second of the simulated account.
    #[arg(long, default_value_t = 1.0)]
    pub cps: f64,
    /// Calls at once of the simulated account.
    #[arg(long, default_value_t = 100)]
    pub concurrent: usize,
    /// First of five ports on loopback: carrier, model, S3, webhooks, ledger and faults; 0 takes free ones.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Sends the carrier's requests for URLs that begin with FROM to each of the bases TO in turn: FROM=TO[,TO…].
    #[arg(long, value_parser = rewrite)]
    pub rewrite: Vec<(String, Vec<String>)>,
    /// A file that the ledger is appended to, as JSON lines.
    #[arg(long)]
    pub journal: Option<PathBuf>,
    /// Milliseconds until the model's first token.
    #[arg(long, default_value_t = 0)]
    pub model_latency: u64,
    /// Where S3 keeps its objects; a directory of its own by default.
    #[arg(long)]
    pub s3_root: Option<PathBuf>,
}

fn rewrite(text: &str) -> Result<(String, Vec<String>), String> {
    let (from, to) = text.split_once('=').ok_or("FROM=TO[,TO…]")?;
    Ok((from.to_owned(), to.split(',').map(str::to_owned).collect()))
}

/// Runs it until a signal.
///
/// # Errors
/// Where a port is taken or a setting cannot be used.
pub async fn run(args: SimArgs) -> anyhow::Result<()> {
    let port = |n: u16| if args.port == 0 { 0 } else { args.port + n };
    let mut config = SimConfig {
        seed: args.seed,
        speed: args.speed,
        max_cps: args.cps,
        max_concurrent: args.concurrent,
        rewrite: args.rewrite,
        journal: args.journal,
        ports: Ports { twilio: port(0), model: port(1), s3: port(2), receiver: port(3), control: port(4) },
        ..SimConfig::default()
    };
    config.model.first_token = Duration::from_millis(args.model_latency);
    config.s3.root = args.s3_root;
    let sim = sim::start(config).await?;
    println!("# the variables that point a node at this world; ledger: {}/ledger", sim.control_url());
    for (name, value) in sim.env() {
        println!("{name}={value}");
    }
    // What a rehearsal needs besides: nobody's night is disturbed, and retries keep step with the world.
    println!(
        "TWILIO_PHONE_NUMBER=+12025550199\nTWILIO_MAX_CPS={}\nTWILIO_MAX_CONCURRENT={}",
        args.cps, args.concurrent
    );
    println!("CALL_WINDOW=off\nTIME_SCALE={}\nLEDGER_URL={}", args.speed, sim.control_url());
    println!("# ready");
    Lifecycle::new().run(Duration::from_secs(1), Duration::ZERO).await?;
    sim.stop().await;
    Ok(())
}
