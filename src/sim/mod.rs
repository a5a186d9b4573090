//! The simulated outside world, over real HTTP: a carrier, people who answer their phones, a model, an object store
//! and a receiver of webhooks. Imports `base` alone and has wire types of its own, so that a misspelt field cannot
//! agree with itself.
//!
//! | room | what it plays |
//! | --- | --- |
//! | `twilio` | Twilio: REST, signed callbacks, TwiML |
//! | [`people`] | who answers, and what they say |
//! | [`model`], `mind` | an OpenAI-compatible model, and its port |
//! | [`judge`] | how much of a profile is true |
//! | `s3`, `receiver` | the object store, the webhooks' receiver |
//! | [`ledger`] | what all of them saw, and what must never be |
//! | [`faults`] | what goes wrong on request |
//! | [`controls`] | what may be changed while it runs |
//! | `serve`, `pace` | servers that can slam the door; simulated time and chance |

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub mod controls;
pub mod faults;
pub mod judge;
pub mod ledger;
mod mind;
pub mod model;
mod pace;
pub mod people;
mod receiver;
mod s3;
mod serve;
#[cfg(test)]
mod tests;
mod twilio;

use controls::Controls;
use faults::{Faults, Rule};
use ledger::Ledger;
pub use mind::MindConfig;
use pace::Pace;
use people::World;
pub use s3::S3Config;
use serve::Life;
use twilio::{Account, Carrier, Hooks};

/// Ports of the simulated servers on 127.0.0.1; 0 takes any free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The carrier.
    pub twilio: u16,
    /// The model.
    pub model: u16,
    /// The object store.
    pub s3: u16,
    /// The webhooks' receiver.
    pub receiver: u16,
    /// Ledger and faults.
    pub control: u16,
}

/// What kind of world to start.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Decides who the people are and whom likely faults strike.
    pub seed: u64,
    /// Simulated seconds to one second of the wall, for ringing, talking and thinking.
    pub speed: f64,
    /// Seconds of Carillon's life to one of the wall: what its answers take is counted, and given up on after 15
    /// such seconds. 1 unless Carillon runs faster than life as well.
    pub webhook_speed: f64,
    /// The carrier's account.
    pub account_sid: String,
    /// Its secret, for Basic auth and for signatures.
    pub auth_token: String,
    /// Calls a second of the wall that leave the carrier's queue.
    pub max_cps: f64,
    /// Calls that may live at once; one more is refused with 10004.
    pub max_concurrent: usize,
    /// Sends the carrier's requests to URLs that begin with the first to the bases in the second by turns; signed is
    /// the URL as it was given.
    pub rewrite: Vec<(String, Vec<String>)>,
    /// The secret that webhooks are verified with, `whsec_` and base64.
    pub webhook_secret: String,
    /// The model.
    pub model: MindConfig,
    /// The object store.
    pub s3: S3Config,
    /// Faults from the start.
    pub faults: Vec<Rule>,
    /// A file that every finished entry of the ledger is appended to, as JSON lines.
    pub journal: Option<PathBuf>,
    /// Where to listen.
    pub ports: Ports,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            speed: 1.0,
            webhook_speed: 1.0,
            account_sid: "AC00000000000000000000000000000001".into(),
            auth_token: "simulated-auth-token".into(),
            max_cps: 1.0,
            max_concurrent: 100,
            rewrite: Vec::new(),
            webhook_secret: "whsec_c2ltdWxhdGVkLXdlYmhvb2stc2VjcmV0".into(),
            model: MindConfig::default(),
            s3: S3Config::default(),
            faults: Vec::new(),
            journal: None,
            ports: Ports::default(),
        }
    }
}

/// A running world. Dropping it ends it.
#[derive(Debug)]
pub struct Sim {
    config: SimConfig,
    life: Life,
    ledger: Ledger,
    faults: Faults,
    controls: Controls,
    world: World,
    s3_root: PathBuf,
    /// The store's directory is ours, and goes with us.
    fleeting: bool,
    twilio: SocketAddr,
    model: SocketAddr,
    s3: SocketAddr,
    receiver: SocketAddr,
    control: SocketAddr,
}

/// Starts a world.
///
/// # Errors
/// When a port is taken, a directory cannot be made, or a setting cannot be used.
pub async fn start(config: SimConfig) -> anyhow::Result<Sim> {
    anyhow::ensure!(config.max_cps.is_finite() && config.max_cps > 0.0, "max_cps must be above 0");
    let life = Life::default();
    let ledger = Ledger::open(config.journal.as_deref())?;
    let faults = Faults::new(config.seed, config.faults.clone());
    let controls = Controls::default();
    let world = World::new(config.seed);
    let pace = Pace::new(config.speed, config.webhook_speed);
    let account = Account {
        sid: config.account_sid.clone(),
        token: config.auth_token.clone(),
        max_cps: config.max_cps,
        max_concurrent: config.max_concurrent,
    };
    let hooks = Hooks::new(&config.auth_token, config.rewrite.clone(), pace)?;
    let carrier = Carrier::new(
        account,
        pace,
        life.clone(),
        ledger.clone(),
        faults.clone(),
        controls.clone(),
        World::new(config.seed),
        hooks,
    );
    let fleeting = config.s3.root.is_none();
    let s3_root = config.s3.root.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("carillon-sim-{}", uuid::Uuid::new_v4().simple()))
    });
    let store = s3::router(&config.s3, &s3_root, faults.clone())?;
    let hook = receiver::router(config.webhook_secret.clone(), ledger.clone(), faults.clone());
    let desk = ledger::http::router(ledger.clone(), faults.clone(), controls.clone());
    let ports = config.ports;
    let twilio = serve::serve(&life, ports.twilio, twilio::router(Arc::clone(&carrier))).await?;
    let _ = carrier.base.set(format!("http://{twilio}"));
    let mind = mind::router(&config.model, ledger.clone(), faults.clone(), controls.clone());
    let model = serve::serve(&life, ports.model, mind).await?;
    let s3 = serve::serve(&life, ports.s3, store).await?;
    let receiver = serve::serve(&life, ports.receiver, hook).await?;
    let control = serve::serve(&life, ports.control, desk).await?;
    Ok(Sim {
        config,
        life,
        ledger,
        faults,
        controls,
        world,
        s3_root,
        fleeting,
        twilio,
        model,
        s3,
        receiver,
        control,
    })
}

impl Sim {
    /// The carrier's base URL, without a path.
    #[must_use]
    pub fn twilio_url(&self) -> String {
        format!("http://{}", self.twilio)
    }

    /// The model's base URL as `OPENAI_BASE_URL` takes it, with `/v1`.
    #[must_use]
    pub fn model_url(&self) -> String {
        format!("http://{}/v1", self.model)
    }

    /// The object store's endpoint (path style).
    #[must_use]
    pub fn s3_url(&self) -> String {
        format!("http://{}", self.s3)
    }

    /// Where webhooks are received; `/name` may be added.
    #[must_use]
    pub fn hook_url(&self) -> String {
        format!("http://{}/hook", self.receiver)
    }

    /// Ledger and faults over HTTP.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The directory under which the object store keeps its buckets.
    #[must_use]
    pub fn s3_root(&self) -> &std::path::Path {
        &self.s3_root
    }

    /// What the world was started with.
    #[must_use]
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// What the outside saw.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What may be changed while it runs.
    #[must_use]
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Who answers which number.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The variables that point a Carillon at this world, as its configuration names them.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let c = &self.config;
        vec![
            ("TWILIO_API_BASE_URL", self.twilio_url()),
            ("TWILIO_ACCOUNT_SID", c.account_sid.clone()),
            ("TWILIO_AUTH_TOKEN", c.auth_token.clone()),
            ("OPENAI_BASE_URL", self.model_url()),
            ("OPENAI_API_KEY", c.model.api_key.clone().unwrap_or_else(|| "simulated".into())),
            ("S3_ENDPOINT_URL", self.s3_url()),
            ("S3_BUCKET_NAME", c.s3.bucket.clone()),
            ("AWS_ACCESS_KEY_ID", c.s3.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", c.s3.secret_key.clone()),
            ("AWS_REGION", "us-east-1".into()),
            ("DEFAULT_WEBHOOK_URL", self.hook_url()),
            ("WEBHOOK_SIGNING_SECRET", c.webhook_secret.clone()),
            ("WEBHOOK_ALLOW_PRIVATE", "true".into()),
        ]
    }

    /// Ends the world: every server closes, every call falls silent.
    pub async fn stop(self) {
        self.life.stop().await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.life.end.cancel();
        if self.fleeting {
            // What cannot be removed is left to the system's own cleaning of its temporary directory.
            let _ = std::fs::remove_dir_all(&self.s3_root);
        }
    }
}
