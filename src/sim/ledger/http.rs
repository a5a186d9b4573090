//! The ledger and the faults over HTTP, for scripts and for tests that run the world in another process.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;

use super::{Ledger, Who};
use crate::sim::controls::{Controls, Settings};
use crate::sim::faults::{Faults, Rule};

#[derive(Clone)]
struct Desk {
    ledger: Ledger,
    faults: Faults,
    controls: Controls,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Width {
    window_ms: Option<u64>,
}

/// `GET|DELETE /ledger`, `GET /ledger/calls|webhooks|creates|rest|summary`, `GET /ledger/calls/{sid}`,
/// `GET /ledger/tempo?window_ms=1000`, `GET /ledger/timeline/{sid}` (text), `GET|PUT|POST|DELETE /faults` (all, all anew,
/// one more, none), `GET|PUT /controls`.
pub(crate) fn router(ledger: Ledger, faults: Faults, controls: Controls) -> Router {
    Router::new()
        .route("/ledger", get(all).delete(clear))
        .route("/ledger/summary", get(|State(d): State<Desk>| async move { Json(d.ledger.summary()) }))
        .route("/ledger/calls", get(|State(d): State<Desk>| async move { Json(d.ledger.snapshot().legs) }))
        .route("/ledger/calls/{sid}", get(leg))
        .route(
            "/ledger/creates",
            get(|State(d): State<Desk>| async move { Json(d.ledger.snapshot().creates) }),
        )
        .route("/ledger/rest", get(|State(d): State<Desk>| async move { Json(d.ledger.snapshot().rest) }))
        .route(
            "/ledger/webhooks",
            get(|State(d): State<Desk>| async move { Json(d.ledger.snapshot().webhooks) }),
        )
        .route("/ledger/timeline/{sid}", get(timeline))
        .route("/ledger/tempo", get(tempo))
        .route(
            "/faults",
            get(|State(d): State<Desk>| async move { Json(d.faults.rules()) })
                .put(set_faults)
                .post(add_fault)
                .delete(|State(d): State<Desk>| async move {
                    d.faults.set(Vec::new());
                    StatusCode::NO_CONTENT
                }),
        )
        .route(
            "/controls",
            get(|State(d): State<Desk>| async move { Json(d.controls.get()) }).put(set_controls),
        )
        .with_state(Desk { ledger, faults, controls })
}

async fn all(State(desk): State<Desk>) -> Response {
    let book = desk.ledger.snapshot();
    Json(serde_json::json!({ "summary": desk.ledger.summary(), "book": book })).into_response()
}

async fn clear(State(desk): State<Desk>) -> StatusCode {
    desk.ledger.clear();
    StatusCode::NO_CONTENT
}

async fn set_faults(State(desk): State<Desk>, Json(rules): Json<Vec<Rule>>) -> Json<Vec<Rule>> {
    desk.faults.set(rules);
    Json(desk.faults.rules())
}

async fn add_fault(State(desk): State<Desk>, Json(rule): Json<Rule>) -> Json<Vec<Rule>> {
    desk.faults.add(rule);
    Json(desk.faults.rules())
}

async fn set_controls(State(desk): State<Desk>, Json(settings): Json<Settings>) -> Response {
    match desk.controls.set(settings) {
        Ok(()) => Json(desk.controls.get()).into_response(),
        Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
    }
}

async fn tempo(State(desk): State<Desk>, Query(width): Query<Width>) -> Response {
    Json(desk.ledger.tempo(width.window_ms.unwrap_or(1_000).max(1))).into_response()
}

async fn leg(State(desk): State<Desk>, Path(sid): Path<String>) -> Response {
    desk.ledger.leg(&sid).map_or_else(|| StatusCode::NOT_FOUND.into_response(), |l| Json(l).into_response())
}

async fn timeline(State(desk): State<Desk>, Path(sid): Path<String>) -> Response {
    match desk.ledger.timeline(&sid) {
        Some(text) => text.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Ledger {
    /// What the callee of this leg heard, second by second, one line a stretch; the last line names the longest
    /// silence that the callee did not make.
    #[must_use]
    pub fn timeline(&self, sid: &str) -> Option<String> {
        use std::fmt::Write as _;

        let leg = self.leg(sid)?;
        let mut out = String::new();
        for h in &leg.heard {
            let who = match h.who {
                Who::Agent => "agent",
                Who::Callee => "callee",
                Who::Silence => "(callee silent)",
                Who::DeadAir => "(dead air)",
                Who::CarrierError => "CARRIER ERROR",
                Who::Transfer => "transfer",
            };
            let cut = if h.cut { " [cut]" } else { "" };
            // Writing to a String does not fail.
            let _ = writeln!(out, "{:7.1}s {:6.1}s  {who:<16} {}{cut}", h.t, h.dur, h.text);
        }
        let (t, seconds) = super::checks::longest_dead_air(&leg.heard);
        let _ = writeln!(
            out,
            "longest dead air {seconds:.1}s at {t:.1}s; ended by {}",
            leg.ended_by.as_deref().unwrap_or("-")
        );
        Some(out)
    }
}
