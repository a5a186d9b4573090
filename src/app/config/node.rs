//! What concerns the node as such: its role, its environment, how much it does, how it logs.

use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::Role;
use super::reader::{Reader, seconds, whole};
use crate::base::telemetry::logging::Format;

/// `ENVIRONMENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Real calls, or what behaves as if.
    Production,
    /// A developer's machine.
    Development,
}

impl Environment {
    /// The word, as it is configured.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development => "development",
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.read("ENVIRONMENT", |text| match text {
            "production" => Ok(Self::Production),
            "development" => Ok(Self::Development),
            _ => Err("production or development".to_owned()),
        })
    }
}

/// The node.
#[derive(Clone, Debug)]
pub struct NodeSection {
    /// What it was started as.
    pub role: Role,
    /// `ENVIRONMENT`.
    pub environment: Environment,
    /// `WORKER_CONCURRENCY`.
    pub worker_concurrency: usize,
    /// `SHUTDOWN_GRACE`.
    pub shutdown_grace: Duration,
    /// `SHUTDOWN_NOTICE`, of which a worker has none: nobody sends it requests.
    notice: Duration,
}

impl NodeSection {
    pub(super) fn read(from: &mut Reader<'_>, role: Role, environment: Option<Environment>) -> Option<Self> {
        let worker_concurrency = from.read("WORKER_CONCURRENCY", whole(1, 10_000));
        let shutdown_grace = from.read("SHUTDOWN_GRACE", seconds(0.0, 3_600.0));
        let notice = from.read("SHUTDOWN_NOTICE", seconds(0.0, 600.0));
        Some(Self {
            role,
            environment: environment?,
            worker_concurrency: worker_concurrency?,
            shutdown_grace: shutdown_grace?,
            notice: notice?,
        })
    }

    /// How long this node takes requests after it was told to stop.
    #[must_use]
    pub fn shutdown_notice(&self) -> Duration {
        if self.role == Role::Worker { Duration::ZERO } else { self.notice }
    }
}

/// Logs.
#[derive(Clone, Debug)]
pub struct LogSection {
    /// `LOG_LEVEL`, known to be readable.
    pub level: String,
    /// `LOG_FORMAT`, with auto decided.
    pub format: Format,
}

impl LogSection {
    pub(super) fn read(from: &mut Reader<'_>, environment: Option<Environment>) -> Option<Self> {
        let level = from.read("LOG_LEVEL", |text| {
            if is_level(text) {
                Ok(text.to_owned())
            } else {
                Err("trace, debug, info, warn, error, off or a list of target=level".to_owned())
            }
        });
        let format = from.read("LOG_FORMAT", |text| match text {
            "json" => Ok(Format::Json),
            "human" => Ok(Format::Human),
            "auto" => Ok(environment.map_or(Format::Json, |e| Format::fitting(e.as_str()))),
            _ => Err("json, human or auto".to_owned()),
        });
        Some(Self { level: level?, format: format? })
    }
}

/// What logging will accept: a filter takes any word for a target, so that a misspelt level must be found here.
fn is_level(text: &str) -> bool {
    text.parse::<LevelFilter>().is_ok() || (text.contains('=') && EnvFilter::try_new(text).is_ok())
}
