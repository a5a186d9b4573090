//! An answered call's way in and out: carrier wire to `Heard`, `Act` to TwiML.
//!
//! | file | what it does |
//! | --- | --- |
//! | `gather` | a turn over `<Gather>`: lease it, answer it, wait for it, bridge it |
//! | `turn` | the turn itself, in a task of its own: model, tools, commit |
//! | `hold` | a turn's lease, and the journal of its tool calls |
//! | `markup` | acts as TwiML |
//! | `status` | status, machine-detection and recording callbacks |
//!
//! Twilio is always answered with valid TwiML and 200 where it listens; only a request that is not Twilio's gets a 403.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gather;
mod hold;
mod markup;
mod status;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

use crate::agents::Book;
use crate::base::clock::{Clock, Millis};
use crate::base::telemetry::Metrics;
use crate::carrier::twilio::signature::{self, Signed};
use crate::carrier::twilio::urls::{Urls, WebhookQuery};
use crate::carrier::twilio::wire::CallbackForm;
use crate::dialing::Effects;
use crate::domain::agent::Agent;
use crate::domain::call::{Call, Rules};
use crate::domain::campaign::Campaign;
use crate::domain::ids::CallId;
use crate::llm::Model;
use crate::store::{Store, StoreError};

/// The first moment from a moment on at which a call of this campaign may be dialed; `None` where there is none in the
/// days that can be seen ahead.
pub type OpeningOf = Arc<dyn Fn(&Call, Option<&Campaign>, Millis) -> Option<Millis> + Send + Sync>;

/// What a node needs to take turns and callbacks.
#[derive(Clone)]
pub struct Transport {
    /// Redis.
    pub store: Store,
    /// The model.
    pub model: Model,
    /// The agents.
    pub agents: Arc<Book>,
    /// The agent of a call that names none.
    pub default_agent: String,
    /// What is left to do after commits.
    pub effects: Effects,
    /// The machine's policy.
    pub rules: Arc<Rules>,
    /// The URLs we hand to the carrier.
    pub urls: Urls,
    /// What Twilio signs with.
    pub auth_token: SecretString,
    /// Whose callbacks are ours.
    pub account_sid: String,
    /// Our number, shown to the person a call is transferred to where the call itself names none.
    pub caller_id: String,
    /// Where a transfer goes, E.164.
    pub transfer_to: Option<String>,
    /// What the calling window and the law leave open.
    pub openings: OpeningOf,
    /// Waits.
    pub timing: TurnTiming,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
    /// Turns that go on after their request was answered with a bridge line.
    pub tasks: TaskTracker,
}

/// How long a turn may take before somebody speaks.
#[derive(Clone, Copy, Debug)]
pub struct TurnTiming {
    /// A request is answered within this time, if only by a bridge line.
    pub hold: Duration,
    /// A node that has not renewed its lease for so long is gone, ms.
    pub lease: Millis,
    /// Bridge lines of one turn before the agent gives up.
    pub bridges: u32,
}

impl Default for TurnTiming {
    fn default() -> Self {
        // With the second by which Twilio knows that the callee has stopped speaking, silence stays under five.
        Self { hold: Duration::from_millis(3_500), lease: 2_500, bridges: 3 }
    }
}

/// The routes that Twilio calls. They authenticate by signature, not by key.
pub fn router(transport: Transport) -> Router {
    Router::new()
        .route("/api/calls/webhook/{call_id}", post(turn_request))
        .route("/api/calls/webhook/{call_id}/status", post(status_request))
        .route("/api/calls/webhook/{call_id}/amd", post(amd_request))
        .route("/api/calls/webhook/{call_id}/recording", post(recording_request))
        .layer(axum::extract::DefaultBodyLimit::max(64 * 1024))
        .with_state(Arc::new(transport))
}

/// One for all requests: each has a hold on it, none a copy.
type Shared = Arc<Transport>;

/// A request of Twilio's, checked.
pub(crate) struct Callback {
    pub(crate) id: Option<CallId>,
    pub(crate) query: WebhookQuery,
    pub(crate) form: CallbackForm,
}

impl Transport {
    /// Is it Twilio's, and for this account? Else the answer that says so.
    // A refusal is as large as any response; boxing it would only move it.
    #[allow(clippy::result_large_err)]
    fn check(&self, id: &str, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Callback, Response> {
        let form = CallbackForm::parse(body);
        let signature = headers.get("x-twilio-signature").and_then(|v| v.to_str().ok());
        let url = self.urls.public(uri.path_and_query().map_or("", |p| p.as_str()));
        let genuine = signature
            .is_some_and(|s| signature::verify(&self.auth_token, &url, s, Signed::Form(&form.params)));
        if !genuine {
            let detail = match signature {
                None => "The X-Twilio-Signature header is missing.",
                Some(_) => {
                    "The X-Twilio-Signature header does not match. Is BASE_URL the URL that Twilio calls?"
                }
            };
            return Err(problem(
                StatusCode::FORBIDDEN,
                "forged_callback",
                "Not a callback of the carrier's",
                detail,
            ));
        }
        if form.account_sid.as_deref().is_some_and(|sid| sid != self.account_sid) {
            let detail = "AccountSid is not this installation's account.";
            return Err(problem(
                StatusCode::FORBIDDEN,
                "forged_callback",
                "Not a callback of the carrier's",
                detail,
            ));
        }
        let Some(query) = WebhookQuery::parse(uri.query()) else {
            let detail = "The query needs attempt, a number from 1.";
            return Err(problem(
                StatusCode::BAD_REQUEST,
                "malformed_callback",
                "The callback is not valid",
                detail,
            ));
        };
        Ok(Callback { id: CallId::parse(id), query, form })
    }

    /// The agent of a call: its own, its campaign's, the default.
    pub(crate) async fn agent_of(&self, call: &Call) -> Result<Option<Arc<Agent>>, StoreError> {
        let name = self.store.agent_named(call).await?;
        Ok(self.agents.get(name.as_deref().unwrap_or(&self.default_agent)))
    }
}

/// A problem (RFC 9457), in the form that the API answers too.
fn problem(status: StatusCode, slug: &str, title: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("/problems/{slug}"), "title": title, "status": status.as_u16(), "detail": detail,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn twiml(xml: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], xml).into_response()
}

/// A request of Twilio's once it is checked; a request that is not Twilio's is answered before it gets here.
struct Genuine(Callback);

impl FromRequest<Shared> for Genuine {
    type Rejection = Response;

    async fn from_request(request: Request, transport: &Shared) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Path(id) = Path::<String>::from_request_parts(&mut parts, transport)
            .await
            .map_err(IntoResponse::into_response)?;
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        let body = Bytes::from_request(Request::from_parts(parts, body), transport)
            .await
            .map_err(IntoResponse::into_response)?;
        transport.check(&id, &uri, &headers, &body).map(Self)
    }
}

async fn turn_request(State(transport): State<Shared>, Genuine(callback): Genuine) -> Response {
    twiml(transport.take(callback).await)
}

async fn status_request(State(transport): State<Shared>, Genuine(callback): Genuine) -> Response {
    status::answer(transport.status(callback).await)
}

async fn amd_request(State(transport): State<Shared>, Genuine(callback): Genuine) -> Response {
    status::answer(transport.machine(callback).await)
}

async fn recording_request(State(transport): State<Shared>, Genuine(callback): Genuine) -> Response {
    status::answer(transport.recording(callback).await)
}
