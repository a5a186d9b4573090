//! Mounts the model on its port, with the faults of this world: the connection's here, the protocol's in the model.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceExt as _;

use super::controls::Controls;
use super::faults::{Fault, Faults, Target};
use super::ledger::{Ledger, ModelStruck};
use super::model::{self, ModelConfig, ModelFault};
use super::serve::slam;

/// The largest request whose turn is named in the ledger.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// How the model answers.
#[derive(Clone, Debug, Default)]
pub struct MindConfig {
    /// The only key that is accepted; none accepts any.
    pub api_key: Option<String>,
    /// Wall time to the first token.
    pub first_token: Duration,
    /// Wall time between two chunks.
    pub per_chunk: Duration,
}

tokio::task_local! {
    /// What is to go wrong with the request at hand; asked by the model's hook within the same task.
    static FAULT: Option<ModelFault>;
}

/// The model's routes under the faults of [`Target::Model`], whose key is the path.
pub(crate) fn router(config: &MindConfig, ledger: Ledger, faults: Faults, controls: Controls) -> Router {
    let inner = model::router(ModelConfig {
        api_key: config.api_key.clone(),
        latency_first_token: config.first_token,
        latency_per_chunk: config.per_chunk,
        faults: Arc::new(|| FAULT.try_with(|f| *f).ok().flatten()),
        ..ModelConfig::default()
    });
    Router::new().fallback(move |request: Request| {
        let (inner, ledger) = (inner.clone(), ledger.clone());
        let (faults, controls) = (faults.clone(), controls.clone());
        async move {
            let mut response = answer(inner, &ledger, &faults, request).await;
            for (name, value) in controls.read().model_limits.headers() {
                if let Ok(value) = http::HeaderValue::from_str(&value) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
    })
}

async fn answer(inner: Router, ledger: &Ledger, faults: &Faults, request: Request) -> Response {
    let mut fault = None;
    let mut drop_after = false;
    // Listing the models is no completion; only what thinks fails.
    let struck = if request.method() == http::Method::POST {
        faults.strike(Target::Model, request.uri().path())
    } else {
        Vec::new()
    };
    let request = if struck.is_empty() { request } else { written_down(ledger, &struck, request).await };
    for f in struck {
        match f {
            Fault::DelayMs(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Fault::DropBefore => return slam(),
            Fault::AcceptThenDrop => drop_after = true,
            other => fault = fault.or(in_protocol(&other)),
        }
    }
    let Ok(response) = FAULT.scope(fault, inner.oneshot(request)).await;
    if drop_after { slam() } else { response }
}

/// Notes whose turn is struck, by what was said last in it: nothing else in a request names the call.
async fn written_down(ledger: &Ledger, struck: &[Fault], request: Request) -> Request {
    let at = Ledger::now();
    let (head, body) = request.into_parts();
    // A body that breaks off is refused as no JSON.
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut messages = asked["messages"].as_array().into_iter().flatten().rev();
    let heard = messages.find(|m| m["role"] == "user").and_then(|m| m["content"].as_str());
    ledger.model_struck(ModelStruck {
        at,
        faults: struck.iter().map(|fault| format!("{fault:?}")).collect(),
        heard: heard.unwrap_or_default().to_owned(),
    });
    Request::from_parts(head, Body::from(body))
}

/// The fault as the model's own protocol knows it.
fn in_protocol(fault: &Fault) -> Option<ModelFault> {
    Some(match fault {
        Fault::Hang => ModelFault::Hang,
        Fault::DropMidStream => ModelFault::DropMidStream,
        Fault::Malformed => ModelFault::MalformedSse,
        Fault::Obey => ModelFault::Obey,
        Fault::Status { code: 429, error_code: Some(c), .. } if c == "insufficient_quota" => {
            ModelFault::InsufficientQuota
        }
        Fault::Status { code: 429, retry_after_s, .. } => ModelFault::RateLimited(retry_after_s.unwrap_or(1)),
        Fault::Status { code, .. } => ModelFault::Status(*code),
        _ => return None,
    })
}
