//! Where a process' log lines go.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;

use crate::app::config::Config;
use crate::base::telemetry::logging::{self, Format};

/// Standard output, as the configuration says; names what is suspicious in it.
///
/// # Errors
/// Where `LOG_LEVEL` is no level, or logging stands already.
pub fn init(config: &Config, service: &str) -> anyhow::Result<()> {
    logging::init(service, &config.log.level, config.log.format)?;
    for warning in &config.warnings {
        tracing::warn!(variable = warning.variable, "{warning}");
    }
    Ok(())
}

/// A file of JSON lines, written anew: for the rehearsal, whose screen shows progress.
///
/// # Errors
/// Where the file cannot be written.
pub fn to_file(path: &Path, service: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let level = std::env::var("LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
    logging::init_to(service, &level, Format::Json, Mutex::new(file))?;
    Ok(())
}
