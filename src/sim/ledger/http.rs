//! The ledger and the faults over HTTP, for scripts and for tests that run the world in another process.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;

use super::{Ledger, Who};
use crate::sim::faults::{Faults, Rule};

#[derive(Clone)]
struct Desk {
    ledger: Ledger,
    faults: Faults,
}

/// `GET|DELETE /ledger`, `GET /ledger/calls|webhooks|creates|rest|summary`, `GET /ledger/calls/{sid}`,
/// `GET /ledger/timeline/{sid}` (text), `GET|PUT /faults`.
pub(crate) fn router(ledger: Ledger, faults: Faults) -> Router {
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
        .route("/faults", get(|State(d): State<Desk>| async move { Json(d.faults.rules()) }).put(set_faults))
        .with_state(Desk { ledger, faults })
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
