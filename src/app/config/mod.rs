//! Configuration from the environment and `.env`: small sections, each naming its variables; every mistake reported at
//! once; secrets never shown.
//!
//! A new variable is a row in [`VARIABLES`] and a line in the section that reads it; tests find whichever was forgotten.

mod api;
mod calling;
mod dotenv;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod model;
mod node;
mod reader;
mod redis;
mod s3;
mod twilio;
mod typos;
mod variables;
mod webhook;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use serde::Serialize;

pub use api::ApiSection;
pub use calling::{CallingSection, Recording};
pub use model::{ModelProvider, ModelSection};
pub use node::{Environment, LogSection, NodeSection};
pub use redis::RedisSection;
pub use s3::{AccessKeys, S3Section};
pub use twilio::TwilioSection;
pub use variables::{VARIABLES, env_example};
pub use webhook::WebhookSection;

use crate::store::RedisConfig;
use dotenv::Sources;
use reader::Reader;

/// What a node is started as; which variables it needs follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves clients and Twilio.
    Api,
    /// Dials, wraps up, delivers.
    Worker,
    /// Both.
    All,
    /// Looks whether all of it would work: needs what [`Role::All`] needs.
    Check,
}

impl Role {
    /// Whether clients are served, so that keys matter.
    fn serves_clients(self) -> bool {
        self != Self::Worker
    }

    /// Whether calls are dialed and webhooks delivered.
    fn works(self) -> bool {
        self != Self::Api
    }
}

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The variable it is about, or `.env`.
    pub variable: String,
    /// What is wrong with it and what is expected. Holds no secret and no telephone number.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.message)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// What must be corrected; not empty.
    pub problems: Vec<Problem>,
    /// What is suspicious, such as a misspelt name.
    pub warnings: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s):", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The whole configuration, valid. Its `Debug` shows no secret and no telephone number.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node.
    pub node: NodeSection,
    /// Its HTTP side.
    pub api: ApiSection,
    /// Redis.
    pub redis: RedisSection,
    /// Twilio.
    pub twilio: TwilioSection,
    /// Calling.
    pub calling: CallingSection,
    /// The model.
    pub model: ModelSection,
    /// The archive.
    pub s3: S3Section,
    /// Webhooks.
    pub webhook: WebhookSection,
    /// Logs.
    pub log: LogSection,
    /// What is suspicious without being wrong; to be logged once logging stands.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the environment of the process and, under it, `.env` in the working directory.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(role: Role) -> Result<Self, Problems> {
        Self::from_sources(Sources::new(std::env::vars_os(), dotenv::read(Path::new(".env"))), role)
    }

    fn from_sources(mut sources: Sources, role: Role) -> Result<Self, Problems> {
        sources.warnings.extend(typos::suspects(sources.values.keys().map(String::as_str)));
        let read = Self::from_env(&|name| sources.values.get(name).cloned(), role);
        match read {
            Ok(mut config) if sources.problems.is_empty() => {
                config.warnings.append(&mut sources.warnings);
                Ok(config)
            }
            Ok(config) => {
                sources.warnings.extend(config.warnings);
                Err(Problems { problems: sources.problems, warnings: sources.warnings })
            }
            Err(found) => {
                sources.problems.extend(found.problems);
                sources.warnings.extend(found.warnings);
                Err(Problems { problems: sources.problems, warnings: sources.warnings })
            }
        }
    }

    /// Reads through `get`, which answers what a name is set to; empty counts as not set.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_env(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Result<Self, Problems> {
        let mut from = Reader::new(get);
        let real = TwilioSection::is_real(&from);
        let environment = Environment::read(&mut from);
        // Every section is read before any is missed.
        let node = NodeSection::read(&mut from, role, environment);
        let api = ApiSection::read(&mut from, role.serves_clients(), real);
        let redis = RedisSection::read(&mut from, environment, real);
        let twilio = TwilioSection::read(&mut from, role.works());
        let calling = CallingSection::read(&mut from, real);
        let model = ModelSection::read(&mut from);
        let s3 = S3Section::read(&mut from);
        let webhook = WebhookSection::read(&mut from, role.works());
        let log = LogSection::read(&mut from, environment);
        let Reader { problems, warnings, .. } = from;
        let sections = (node, api, redis, twilio, calling, model, s3, webhook, log);
        match sections {
            (
                Some(node),
                Some(api),
                Some(redis),
                Some(twilio),
                Some(calling),
                Some(model),
                Some(s3),
                Some(webhook),
                Some(log),
            ) if problems.is_empty() => {
                Ok(Self { node, api, redis, twilio, calling, model, s3, webhook, log, warnings })
            }
            _ => Err(Problems { problems, warnings }),
        }
    }

    /// Reads what the archive needs alone, and Redis where it is configured: whoever looks at evidence need not be able
    /// to call anybody. `None` in the place of Redis: `PHONE_HASH_KEY` is not set or something about it is wrong.
    ///
    /// # Errors
    /// What is wrong with the archive's variables.
    pub fn archive_alone() -> Result<(S3Section, Option<RedisConfig>), Problems> {
        let sources = Sources::new(std::env::vars_os(), dotenv::read(Path::new(".env")));
        let get = |name: &str| sources.values.get(name).cloned();
        let mut from = Reader::new(&get);
        let s3 = S3Section::read(&mut from).filter(|_| from.problems.is_empty());
        let Some(s3) = s3 else {
            return Err(Problems { problems: from.problems, warnings: from.warnings });
        };
        // The strength of the key is the business of the nodes.
        let redis = RedisSection::read(&mut from, None, false);
        let redis = redis.map(|redis| RedisConfig {
            url: redis.url.expose_secret().to_owned(),
            phone_hash_key: redis.phone_hash_key,
            default_webhook_url: None,
            frequency_cap: 1,
            wait_replicas: 0,
            allow_eviction: true,
        });
        Ok((s3, redis))
    }

    /// What the store is connected with.
    #[must_use]
    pub fn store(&self) -> RedisConfig {
        RedisConfig {
            url: self.redis.url.expose_secret().to_owned(),
            phone_hash_key: Arc::clone(&self.redis.phone_hash_key),
            default_webhook_url: self.webhook.default_url.as_ref().map(|url| url.expose_secret().to_owned()),
            frequency_cap: self.calling.frequency_cap,
            wait_replicas: self.redis.wait_replicas,
            allow_eviction: self.redis.allow_eviction,
        }
    }
}
