//! Composition only: configuration, roles, lifecycle and wiring.

pub mod cli;
pub mod config;
pub mod dev;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod health;
mod keeper;
pub mod lifecycle;
pub mod logs;
pub mod node;
mod parts;
pub mod serve;
pub mod sim;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use cli::check::{self, CheckArgs, Dependency, Probe, Report};
use config::{Config, Role};

use crate::base::clock::Clock;
use crate::base::telemetry::Metrics;
use crate::store::Store;

/// `carillon check`: validates the configuration and asks every dependency.
///
/// # Errors
/// Where the result cannot be printed.
pub async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let report = match Config::load(Role::Check) {
        Err(problems) => Report::Misconfigured(problems),
        Ok(config) => {
            Report::Asked { warnings: config.warnings.clone(), probes: Box::pin(probes(&config)).await }
        }
    };
    let mut out = std::io::stdout().lock();
    let verdict = check::run(&report, args, &mut out)?;
    out.flush()?;
    Ok(verdict.into())
}

async fn probes(config: &Config) -> Vec<Probe> {
    let redis = health::timed(async {
        let store = Store::connect(config.store(), Clock::System).await.map_err(|e| e.to_string())?;
        let health = store.health().await.map_err(|e| e.to_string())?;
        store.close().await;
        Ok::<_, String>(health)
    });
    let twilio = health::timed(async {
        let twilio = parts::twilio(config).map_err(|e| e.to_string())?;
        twilio.health().await.map_err(|e| e.to_string())
    });
    let model = health::timed(async {
        let model = parts::model(config, false).map_err(|e| e.to_string())?;
        model.health().await.map_err(|e| e.to_string())
    });
    let s3 = health::timed(async {
        let archive = crate::archive::Archive::connect(config.s3.archive(), Metrics::new()).await;
        archive.health().await.map_err(|e| e.to_string())
    });
    let (redis, twilio, model, s3) = tokio::join!(redis, twilio, model, s3);
    let advice = redis.as_ref().map_or_else(|_| Vec::new(), |(_, health)| health.advice.clone());
    let plain = |dependency, result| Probe { dependency, result, advice: Vec::new() };
    vec![
        Probe { dependency: Dependency::Redis, result: redis.map(|(d, _)| d), advice },
        plain(Dependency::Twilio, twilio.map(|(d, _)| d)),
        plain(Dependency::Model, model.map(|(d, ())| d)),
        plain(Dependency::S3, s3.map(|(d, _)| d)),
    ]
}
