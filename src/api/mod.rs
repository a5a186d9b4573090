//! The HTTP API for clients and operators.
//!
//! | file | what it answers |
//! | --- | --- |
//! | `initiate/` | calls coming in: one, many, CSV, NDJSON |
//! | `calls`, `view` | status, list, cancel |
//! | `campaigns/` | campaigns: their life, progress, results, what holds them, what happens to them |
//! | `suppressions`, `people` | do-not-call entries; a person's data |
//! | `outbox` | dead letters |
//! | `health`, `analytics`, `system` | how it goes |
//! | `auth`, `http`, `fields`, `problems`, `docs` | keys and rates; time-outs and the log; reading JSON and queries; errors; the API's description |

mod analytics;
mod auth;
mod calls;
mod campaigns;
mod docs;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod health;
mod http;
mod initiate;
mod outbox;
mod people;
mod problems;
mod suppressions;
mod system;
#[cfg(test)]
pub(crate) mod tests;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::base::clock::Clock;
use crate::base::telemetry::Metrics;
use crate::domain::call::{Artefact, Call, Effect, Rules};
use crate::domain::ids::{CallId, PhoneHash};
use crate::domain::window::{self, Window};
use crate::store::Store;

pub use auth::ApiKeys;
pub use docs::openapi;
pub use health::{DependencyHealth, DependencyState, HealthReport};
pub use problems::{FieldError, Kind as ProblemKind, Problem};

/// What the API is told by configuration.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// `API_KEYS`.
    pub keys: ApiKeys,
    /// How to read numbers that name no country (ISO 3166-1 alpha-2).
    pub default_region: String,
    /// Most bytes of a JSON body that is no list.
    pub body_limit: usize,
    /// Most bytes of a list in JSON. CSV and NDJSON are streamed and have no limit.
    pub bulk_limit: usize,
    /// Requests per second for each key; 0 = no limit.
    pub rate_per_second: u32,
    /// May webhooks go to private addresses (`WEBHOOK_ALLOW_PRIVATE`)?
    pub allow_private_webhooks: bool,
    /// The public URL, named in the API's description.
    pub base_url: String,
    /// Serve `/docs`?
    pub docs: bool,
    /// `CALL_WINDOW`, for dry runs.
    pub window: Window,
    /// The rules in force, for dry runs.
    pub calling_rules: Arc<window::Rules>,
    /// From a dial until the phone has rung out, for dry runs.
    pub lead: Duration,
    /// `TWILIO_MAX_CPS`, shown by `/api/system/stats`.
    pub max_cps: f64,
    /// `TWILIO_MAX_CONCURRENT`, shown by `/api/system/stats`.
    pub max_concurrent: u32,
    /// The numbers that calls come from, E.164 (`CALLER_IDS`). Empty: this node was not told them.
    pub caller_ids: Vec<String>,
}

impl ApiConfig {
    /// May a campaign name this number (E.164) as one to call from? A node that was not told the numbers takes any
    /// well-formed one; dialing, which knows them, never calls from another.
    #[must_use]
    pub fn knows_caller(&self, e164: &str) -> bool {
        if self.caller_ids.is_empty() {
            return crate::domain::phone::Phone::from_e164(e164).is_some();
        }
        self.caller_ids.iter().any(|own| own == e164)
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            keys: ApiKeys::default(),
            default_region: "US".into(),
            body_limit: 1024 * 1024,
            bulk_limit: 256 * 1024 * 1024,
            rate_per_second: 100,
            allow_private_webhooks: false,
            base_url: "http://127.0.0.1:8080".into(),
            docs: true,
            window: Window::default(),
            calling_rules: Arc::new(window::Rules::builtin().clone()),
            lead: Duration::from_secs(35),
            max_cps: 1.0,
            max_concurrent: 0,
            caller_ids: Vec::new(),
        }
    }
}

/// What every role serves: health, readiness, metrics.
#[derive(Clone)]
pub struct Ops {
    /// Redis, on which readiness depends.
    pub store: Store,
    /// This process' metrics.
    pub metrics: Metrics,
    /// Asks every dependency how it is.
    pub health: Arc<dyn Fn() -> BoxFuture<'static, HealthReport> + Send + Sync>,
    /// Set once shutdown has begun: `/readyz` says no, so that no new work is sent here.
    pub draining: Arc<AtomicBool>,
}

/// Finds a person's calls in the archive.
pub type ArchivedCalls =
    Arc<dyn Fn(PhoneHash) -> BoxFuture<'static, anyhow::Result<Vec<(CallId, Option<Value>)>>> + Send + Sync>;

/// What the API asks of the archive. All give up by themselves.
#[derive(Clone)]
pub struct ArchiveHooks {
    /// The status of a call whose record is gone, as JSON; `None` where the archive has nothing of it.
    pub status: Arc<dyn Fn(CallId) -> BoxFuture<'static, anyhow::Result<Option<Value>>> + Send + Sync>,
    /// The calls of a person that stand in the archive, however old, each with its status where that is there.
    pub of_person: ArchivedCalls,
    /// Deletes objects; one that is gone already is no error.
    pub delete: Arc<dyn Fn(Vec<Artefact>) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>,
}

/// Does what a commit left to do (hang up, release the slot, start recording).
pub type Performer = Arc<dyn Fn(Call, Vec<Effect>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the API stands on; put together by `app`.
#[derive(Clone)]
pub struct Api {
    /// Health, metrics and the store.
    pub ops: Ops,
    /// Configuration.
    pub config: ApiConfig,
    /// Now.
    pub clock: Clock,
    /// The house's policy, for events that the API applies to calls.
    pub rules: Rules,
    /// Is there an agent of this name?
    pub agents: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The event types of the agents' outcomes: with them a person's events are found and erased.
    pub outcome_events: Vec<String>,
    /// Called after a commit that left effects to do.
    pub perform: Performer,
    /// The archive, where there is one.
    pub archive: Option<ArchiveHooks>,
}

/// The API and what it keeps between requests.
struct App {
    api: Api,
    limiter: auth::Limiter,
    prefixes: suppressions::PrefixCache,
    looks: campaigns::Looks,
    streams: campaigns::Streams,
}

impl App {
    fn store(&self) -> &Store {
        &self.api.ops.store
    }
}

/// Every route of the API, health and documentation included, with errors, log, time-outs and limits around them.
///
/// Carries the fallback for unknown routes: what is merged with it must have none of its own.
pub fn router(api: Api) -> Router {
    let app = Arc::new(App {
        limiter: auth::Limiter::new(api.config.rate_per_second),
        prefixes: suppressions::PrefixCache::default(),
        looks: campaigns::Looks::default(),
        streams: campaigns::Streams::default(),
        api,
    });
    let guarded = Router::new()
        .route("/api/calls/initiate", post(initiate::initiate))
        .route("/api/calls", get(calls::list))
        .route("/api/calls/status/{call_id}", get(calls::status))
        .route("/api/calls/{call_id}/cancel", post(calls::cancel))
        .route("/api/campaigns", get(campaigns::list).post(campaigns::create))
        .route("/api/campaigns/{campaign_id}", get(campaigns::one).patch(campaigns::change))
        .route("/api/campaigns/{campaign_id}/start", post(campaigns::start))
        .route("/api/campaigns/{campaign_id}/pause", post(campaigns::pause))
        .route("/api/campaigns/{campaign_id}/resume", post(campaigns::resume))
        .route("/api/campaigns/{campaign_id}/cancel", post(campaigns::cancel))
        .route("/api/campaigns/{campaign_id}/redial", post(campaigns::redial))
        .route("/api/campaigns/{campaign_id}/blockers", get(campaigns::blockers))
        .route("/api/campaigns/{campaign_id}/events", get(campaigns::events))
        .route("/api/campaigns/{campaign_id}/results", get(campaigns::results))
        .route("/api/campaigns/{campaign_id}/calls", post(campaigns::rows::append))
        .route("/api/campaigns/{campaign_id}/preflight", post(campaigns::preflight::preflight))
        .route("/api/campaigns/{campaign_id}/rejections", get(campaigns::rows::rejections))
        .route(
            "/api/suppressions",
            get(suppressions::list).post(suppressions::add).delete(suppressions::remove),
        )
        .route("/api/people/{phone}", get(people::export).delete(people::erase))
        .route("/api/outbox/dead", get(outbox::dead))
        .route("/api/outbox/dead/replay", post(outbox::replay_all))
        .route("/api/outbox/dead/{event_id}/replay", post(outbox::replay))
        .route("/api/analytics", get(analytics::analytics))
        .route("/api/system/stats", get(system::stats))
        .route_layer(from_fn_with_state(Arc::clone(&app), auth::require_key))
        .with_state(Arc::clone(&app));
    let open = health::routes(app.api.ops.clone())
        .merge(docs::routes(&app.api.config))
        .route("/problems", get(problems::list))
        .route("/problems/{slug}", get(problems::one));
    http::around(guarded.merge(open), &app.api.ops.metrics)
}

/// Health, readiness and metrics alone, for roles without an API.
pub fn ops_router(ops: Ops) -> Router {
    let metrics = ops.metrics.clone();
    http::around(health::routes(ops), &metrics)
}
