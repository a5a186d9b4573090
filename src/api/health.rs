//! Is it alive, is it ready, how are its dependencies; and its metrics.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::api::Ops;

/// How one dependency is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependencyState {
    /// It answers.
    Ok,
    /// It is not configured; what needs it is off.
    Off,
    /// It fails or is slow; calls wait or retry.
    Degraded,
    /// It is away, and without it nothing goes.
    Down,
}

/// One dependency.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DependencyHealth {
    /// `redis`, `twilio`, `model`, `s3`, …
    pub name: String,
    /// How it is.
    pub state: DependencyState,
    /// A round trip, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// What it met, for a person to read. Never holds secrets or numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What an operator should change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

/// How the program and its dependencies are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthReport {
    /// The worst state of its dependencies.
    pub status: DependencyState,
    /// The program's version.
    pub version: String,
    /// This process' role.
    pub role: String,
    /// Each dependency.
    pub dependencies: Vec<DependencyHealth>,
}

impl HealthReport {
    /// A report whose status is the worst of `dependencies`; what is off harms nothing.
    #[must_use]
    pub fn of(role: &str, dependencies: Vec<DependencyHealth>) -> Self {
        let states = dependencies.iter().map(|d| d.state).filter(|s| *s != DependencyState::Off);
        Self {
            status: states.max().unwrap_or(DependencyState::Ok),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: role.to_owned(),
            dependencies,
        }
    }
}

/// Readiness.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// May requests be sent here?
    ready: bool,
    /// Why not: `redis` or `draining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(super) fn routes(ops: Ops) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops)
}

/// Each dependency with its state and latency. 503 where one without which nothing goes is away.
#[utoipa::path(get, path = "/health", tag = "operations",
    responses((status = 200, body = HealthReport), (status = 503, body = HealthReport)))]
pub(super) async fn health(State(ops): State<Ops>) -> (StatusCode, Json<HealthReport>) {
    let report = (ops.health)().await;
    let down = report.status == DependencyState::Down;
    (if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, Json(report))
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "it runs")))]
pub(super) async fn livez() -> Response {
    Json(json!({"alive": true})).into_response()
}

/// May requests be sent here? Depends on Redis, and on not being shut down.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(super) async fn readyz(State(ops): State<Ops>) -> (StatusCode, Json<Readiness>) {
    let reason = if ops.draining.load(Ordering::Relaxed) {
        Some("draining")
    } else if ops.store.ping().await.is_err() {
        Some("redis")
    } else {
        None
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reason.is_none(), reason }))
}

/// Metrics in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus' text form 0.0.4", content_type = "text/plain")))]
pub(super) async fn metrics(State(ops): State<Ops>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, ops.metrics.render()).into_response()
}
