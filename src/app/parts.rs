//! The edges of a node, made from its configuration: what `api`, `worker`, `all` and `check` share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::agents::Book;
use crate::app::config::{Config, ModelProvider, Recording};
use crate::archive::Archive;
use crate::base::clock::{Clock, Millis, SECOND};
use crate::base::telemetry::Metrics;
use crate::carrier::twilio::urls::Urls;
use crate::carrier::twilio::{Twilio, TwilioConfig};
use crate::dialing::{CallerLimits, Callers, DialConfig, Dialer, Effects, Gates};
use crate::domain::call::Rules;
use crate::domain::phone::Phone;
use crate::domain::retry::RetryPolicy;
use crate::llm::{Flavor, Model, ModelConfig};
use crate::store::{Account, PacingTuning, Store};
use crate::transport::{Transport, TurnTiming};

/// The agent of a call that names none.
pub(super) const DEFAULT_AGENT: &str = "interview";

/// How long the carrier gets to answer.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(8);

/// The edges and what they share.
#[derive(Clone)]
pub(super) struct Parts {
    /// What all of it was made from.
    pub config: Arc<Config>,
    /// Redis.
    pub store: Store,
    /// The carrier.
    pub twilio: Twilio,
    /// The model, as a conversation waits for it.
    pub model: Model,
    /// The model, as a wrap-up waits for it.
    pub patient_model: Model,
    /// S3.
    pub archive: Archive,
    /// The agents.
    pub agents: Arc<Book>,
    /// The URLs we hand to the carrier.
    pub urls: Urls,
    /// The machine's policy.
    pub rules: Arc<Rules>,
    /// What is left to do after commits.
    pub effects: Effects,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
}

/// The model of a configuration; `patient` where nobody waits on the line.
///
/// # Errors
/// Where its address cannot be used.
pub(super) fn model(config: &Config, patient: bool) -> anyhow::Result<Model> {
    let section = &config.model;
    let seconds = |n| Duration::from_secs(if patient { n * 4 } else { n });
    Ok(Model::new(ModelConfig {
        flavor: match section.provider {
            ModelProvider::OpenAi => Flavor::OpenAi,
            ModelProvider::Azure => Flavor::Azure,
        },
        base_url: section.base_url.clone(),
        api_key: section.api_key.clone(),
        model: section.model.clone(),
        api_version: section.api_version.clone(),
        connect_timeout: Duration::from_secs(2),
        first_token_timeout: seconds(8),
        total_timeout: seconds(15),
    })?)
}

/// The carrier of a configuration.
///
/// # Errors
/// Where its address cannot be used.
pub(super) fn twilio(config: &Config) -> anyhow::Result<Twilio> {
    Ok(Twilio::new(TwilioConfig {
        account_sid: config.twilio.account_sid.clone(),
        auth_token: config.twilio.auth_token.clone(),
        base_url: config.twilio.base_url.clone(),
        // Below the dial's lease, with room for the commit after it.
        timeout: CARRIER_TIMEOUT,
        connect_timeout: Duration::from_secs(3),
    })?)
}

impl Parts {
    /// Makes them all. Redis must answer; the others may be away.
    ///
    /// # Errors
    /// Where a setting cannot be used, or Redis is away or must not be used as it is.
    pub(super) async fn assemble(config: Config) -> anyhow::Result<Self> {
        let clock = Clock::corrected();
        let metrics = Metrics::new();
        let store = Store::connect(config.store(), clock.clone()).await.context("REDIS_URL")?;
        let agents = match &config.calling.agents_dir {
            Some(dir) => Book::with_dir(dir)?,
            None => Book::embedded()?,
        };
        let urls = Urls::new(&config.api.base_url).map_err(|e| anyhow::anyhow!("BASE_URL: {e}"))?;
        let rules = Arc::new(Rules {
            timings: config.calling.timings(),
            retry: RetryPolicy::default(),
            time_scale: config.calling.time_scale,
            not_after: None,
            record_after_consent: config.calling.recording == Recording::AfterConsent,
            hang_up_on_machine: true,
        });
        let twilio = twilio(&config)?;
        let archive = Archive::connect(config.s3.archive(), metrics.clone()).await;
        let effects = Effects {
            store: store.clone(),
            twilio: twilio.clone(),
            urls: urls.clone(),
            rules: Arc::clone(&rules),
        };
        Ok(Self {
            model: model(&config, false)?,
            patient_model: model(&config, true)?,
            config: Arc::new(config),
            store,
            twilio,
            archive,
            agents: Arc::new(agents),
            urls,
            rules,
            effects,
            metrics,
            clock,
        })
    }

    /// The dialing engine.
    #[must_use]
    pub(super) fn dialer(&self) -> Dialer {
        let config = &self.config;
        let seconds = |d: Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
        Dialer {
            store: self.store.clone(),
            twilio: self.twilio.clone(),
            urls: self.urls.clone(),
            rules: Arc::clone(&self.rules),
            config: Arc::new(DialConfig {
                from: config.twilio.from.as_ref().map_or_else(String::new, |p| p.e164().to_owned()),
                callers: Arc::new(Callers::new(
                    &config.twilio.caller_ids,
                    CallerLimits {
                        max_cps: config.twilio.caller_max_cps,
                        max_concurrent: config.twilio.caller_max_concurrent,
                        max_daily: config.twilio.caller_daily_cap,
                    },
                    Arc::clone(&config.calling.rules),
                    |e164| self.store.hash(e164),
                )),
                account: Account {
                    max_cps: config.twilio.max_cps,
                    max_concurrent: config.twilio.max_concurrent,
                    tuning: self.tuning(),
                },
                window: config.calling.window,
                calling_rules: Arc::clone(&config.calling.rules),
                ring_timeout_s: seconds(config.calling.ring_timeout),
                time_limit_s: seconds(config.calling.max_call),
                detect_machines: config.calling.machine_detection,
                record_from_answer: config.calling.recording == Recording::FromAnswer,
                leg_wait: self.scaled(20 * SECOND, SECOND),
                // A tenth of a second may pass between moment and arrival; a quarter of it is left for the way.
                use_by: Duration::from_millis(75),
                // Where replicas have every dial before it leaves, none is forgotten; the carrier is asked all the same.
                hold: match config.redis.wait_replicas {
                    0 => CARRIER_TIMEOUT + Duration::from_secs(1),
                    _ => Duration::from_secs(1),
                },
                slot_grace: self.scaled(60 * SECOND, self.claim_lease() + 2 * SECOND),
            }),
            effects: self.effects.clone(),
            holds: Arc::default(),
            senses: Arc::default(),
            moments: Arc::default(),
            unsent: Arc::default(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        }
    }

    /// When the guards of pacing act: the house's times, at `TIME_SCALE`.
    fn tuning(&self) -> PacingTuning {
        let house = PacingTuning::default();
        PacingTuning {
            breaker_window: self.scaled(house.breaker_window, SECOND),
            breaker_open: self.scaled(house.breaker_open, SECOND),
            breaker_open_most: self.scaled(house.breaker_open_most, SECOND),
            quarantine: self.scaled(house.quarantine, SECOND),
            quarantine_most: self.scaled(house.quarantine_most, SECOND),
            ..house
        }
    }

    /// What model and outbox can take, told to the fleet's pacing; `pumps` where this node sends webhooks too.
    #[must_use]
    pub(super) fn gates(&self, pumps: bool) -> Gates {
        Gates {
            store: self.store.clone(),
            models: vec![self.model.clone(), self.patient_model.clone()],
            max_cps: self.config.twilio.max_cps,
            max_backlog: pumps.then_some(self.config.webhook.max_backlog),
            clock: self.clock.clone(),
        }
    }

    /// Turns and callbacks.
    #[must_use]
    pub(super) fn transport(&self) -> Transport {
        let config = &self.config;
        let dialing = self.dialer().config;
        Transport {
            store: self.store.clone(),
            model: self.model.clone(),
            agents: Arc::clone(&self.agents),
            default_agent: DEFAULT_AGENT.to_owned(),
            effects: self.effects.clone(),
            rules: Arc::clone(&self.rules),
            urls: self.urls.clone(),
            auth_token: config.twilio.auth_token.clone(),
            account_sid: config.twilio.account_sid.clone(),
            caller_id: config.twilio.from.as_ref().map_or_else(String::new, |p| p.e164().to_owned()),
            transfer_to: config.calling.transfer_number.as_ref().map(|p: &Phone| p.e164().to_owned()),
            openings: Arc::new(move |call, campaign, at| dialing.next_opening(call, campaign, at)),
            timing: TurnTiming::default(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            tasks: tokio_util::task::TaskTracker::new(),
        }
    }

    /// How long a claim is ours: longer than a step takes, and three times the worst failover.
    #[must_use]
    pub(super) fn claim_lease(&self) -> Millis {
        self.scaled(45 * SECOND, 8 * SECOND)
    }

    /// How often slots are compared with records.
    #[must_use]
    pub(super) fn sweep_every(&self) -> Duration {
        Duration::from_millis(self.scaled(30 * SECOND, 3 * SECOND))
    }

    /// How long evidence waits at the most before it is sealed.
    #[must_use]
    pub(super) fn seal_after(&self) -> Millis {
        self.scaled(15 * SECOND, 2 * SECOND)
    }

    /// A wait at `TIME_SCALE`, never below `floor`.
    fn scaled(&self, wait: Millis, floor: Millis) -> Millis {
        ((wait as f64 / self.config.calling.time_scale.max(1.0)) as Millis).max(floor)
    }
}
