//! The simulated model: a server that speaks OpenAI's chat completions (and Azure's variant) with streaming, tools, structured output and
//! errors, in front of a rule-based mind that can conduct an interview.
//!
//! The mind sees nothing but the HTTP request: no person, no truth, no memory between requests.

mod brain;
mod cues;
pub mod dates;
mod extract;
mod generic;
mod jobs;
mod listen;
pub mod mischief;
mod names;

#[cfg(test)]
mod http_cases;
pub mod question;
#[cfg(test)]
mod rehearsal;
mod speak;
mod sse;
mod state;
mod titles;
mod told;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::base::clock::Clock;
use wire::Refused;

/// Something that goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFault {
    /// The answer begins this many milliseconds late.
    Delay(u64),
    /// No answer, ever; the connection stays open.
    Hang,
    /// 429 `rate_limit_exceeded` with `retry-after` in seconds.
    RateLimited(u64),
    /// 429 `insufficient_quota`: no use to try again.
    InsufficientQuota,
    /// This status with a `server_error` body.
    Status(u16),
    /// The connection breaks after about half of the answer.
    DropMidStream,
    /// An event in the middle is no JSON.
    MalformedSse,
    /// It does what anybody bids it.
    Obey,
}

/// Asked once for each completion request: what is to go wrong?
pub type FaultHook = Arc<dyn Fn() -> Option<ModelFault> + Send + Sync>;

/// How the server behaves.
#[derive(Clone)]
pub struct ModelConfig {
    /// The only key that is accepted, as bearer token or `api-key`; `None` accepts any, also none.
    pub api_key: Option<String>,
    /// Wall time to the first token.
    pub latency_first_token: Duration,
    /// Wall time between two chunks of a stream.
    pub latency_per_chunk: Duration,
    /// Faults on request.
    pub faults: FaultHook,
    /// The source of `created`.
    pub clock: Clock,
}

impl Default for ModelConfig {
    /// Accepts every key, answers at once, never fails.
    fn default() -> Self {
        Self {
            api_key: None,
            latency_first_token: Duration::ZERO,
            latency_per_chunk: Duration::ZERO,
            faults: Arc::new(|| None),
            clock: Clock::System,
        }
    }
}

impl fmt::Debug for ModelConfig {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelConfig")
            .field("latency_first_token", &self.latency_first_token)
            .field("latency_per_chunk", &self.latency_per_chunk)
            .finish_non_exhaustive()
    }
}

/// The server's routes: `/v1/chat/completions`, `/v1/models`, and Azure's `/openai/deployments/{deployment}/chat/completions`.
pub fn router(cfg: ModelConfig) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(openai))
        .route("/v1/models", get(models))
        .route("/openai/deployments/{deployment}/chat/completions", post(azure))
        .route("/openai/v1/chat/completions", post(openai))
        .fallback(|uri: axum::http::Uri| async move {
            let refused = Refused {
                status: 404,
                kind: "invalid_request_error",
                code: None,
                param: None,
                message: format!("Invalid URL (POST {})", uri.path()),
            };
            refuse(&refused)
        })
        .with_state(Arc::new(cfg))
}

/// Models this server claims to have.
const MODELS: [&str; 6] = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini"];

fn has_model(name: &str) -> bool {
    ["gpt-4", "gpt-5", "chatgpt-", "o1", "o3", "o4"].iter().any(|p| name.starts_with(p))
}

async fn models(State(cfg): State<Arc<ModelConfig>>, headers: HeaderMap) -> Response {
    if let Err(refused) = authorise(&cfg, &headers) {
        return refuse(&refused);
    }
    let list: Vec<Value> = MODELS
        .iter()
        .map(|id| json!({"id": id, "object": "model", "created": 1_715_367_049, "owned_by": "system"}))
        .collect();
    axum::Json(json!({"object": "list", "data": list})).into_response()
}

async fn openai(State(cfg): State<Arc<ModelConfig>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(refused) = authorise(&cfg, &headers) {
        return refuse(&refused);
    }
    complete(&cfg, &body, None).await
}

#[derive(Deserialize)]
struct AzureQuery {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

async fn azure(
    State(cfg): State<Arc<ModelConfig>>,
    Path(deployment): Path<String>,
    Query(query): Query<AzureQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let plain = |status: StatusCode, code: &str, message: &str| {
        (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
    };
    let key = headers.get("api-key").and_then(|v| v.to_str().ok());
    if cfg.api_key.is_some() && key != cfg.api_key.as_deref() {
        return plain(
            StatusCode::UNAUTHORIZED,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.",
        );
    }
    if query.api_version.is_none_or(|v| v.is_empty()) {
        return plain(StatusCode::NOT_FOUND, "404", "Resource not found");
    }
    complete(&cfg, &body, Some(deployment)).await
}

fn authorise(cfg: &ModelConfig, headers: &HeaderMap) -> Result<(), Refused> {
    let Some(key) = &cfg.api_key else { return Ok(()) };
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let given = text("authorization").and_then(|v| v.strip_prefix("Bearer ")).or_else(|| text("api-key"));
    let (code, message) = match given {
        Some(given) if given == key => return Ok(()),
        Some(_) => (
            Some("invalid_api_key"),
            "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
        ),
        None => (
            None,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        ),
    };
    Err(Refused { status: 401, kind: "invalid_request_error", code, param: None, message: message.into() })
}

fn refuse(refused: &Refused) -> Response {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_headers((status, axum::Json(refused.body())).into_response())
}

/// The headers of every answer of the vendor.
fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "1999000"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "30ms"),
        ("openai-version", "2020-10-01"),
        ("openai-processing-ms", "120"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&format!("req_{}", Uuid::new_v4().simple())) {
        headers.insert("x-request-id", id);
    }
    response
}

/// What a fault makes of a request before any answer; `None` where the answer goes on.
async fn fail(fault: Option<ModelFault>) -> Option<Response> {
    let error = |status: u16, kind, code, message: &str| {
        refuse(&Refused { status, kind, code, param: None, message: message.into() })
    };
    match fault? {
        ModelFault::Hang => std::future::pending().await,
        ModelFault::Delay(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            None
        }
        ModelFault::RateLimited(seconds) => {
            let mut response = error(
                429,
                "requests",
                Some("rate_limit_exceeded"),
                "Rate limit reached for requests. Please try again later.",
            );
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("0"));
            Some(response)
        }
        ModelFault::InsufficientQuota => Some(error(
            429,
            "insufficient_quota",
            Some("insufficient_quota"),
            "You exceeded your current quota, please check your plan and billing details.",
        )),
        ModelFault::Status(status) => Some(error(
            status,
            "server_error",
            None,
            "The server had an error while processing your request. Sorry about that!",
        )),
        ModelFault::DropMidStream | ModelFault::MalformedSse | ModelFault::Obey => None,
    }
}

async fn complete(cfg: &ModelConfig, body: &[u8], deployment: Option<String>) -> Response {
    let fault = (cfg.faults)();
    if let Some(response) = fail(fault).await {
        return response;
    }
    let request: wire::Request = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => {
            let message = if error.is_data() {
                format!("Invalid request: {error}")
            } else {
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)".into()
            };
            return refuse(&Refused {
                status: 400,
                kind: "invalid_request_error",
                code: None,
                param: None,
                message,
            });
        }
    };
    let azure = deployment.is_some();
    let model = match deployment.or_else(|| request.model.clone()) {
        None => return refuse(&Refused::invalid("you must provide a model parameter", "model")),
        Some(model) if !azure && !has_model(&model) => {
            return refuse(&Refused {
                status: 404,
                kind: "invalid_request_error",
                code: Some("model_not_found"),
                param: None,
                message: format!("The model `{model}` does not exist or you do not have access to it."),
            });
        }
        Some(model) => model,
    };
    if let Err(refused) = request.check() {
        return refuse(&refused);
    }
    let obeys = fault == Some(ModelFault::Obey) && request.response_format.is_none();
    let answer = if obeys { mischief::think(&request) } else { brain::think(&request) };
    let envelope = sse::Envelope {
        id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
        created: cfg.clock.now() / 1000,
        model,
        azure,
    };
    let prompt = sse::tokens(&String::from_utf8_lossy(body));
    let limit = request.max_completion_tokens.or(request.max_tokens);
    if request.stream != Some(true) {
        tokio::time::sleep(cfg.latency_first_token).await;
        let text = sse::whole(&envelope, &answer, prompt, limit).to_string();
        if fault == Some(ModelFault::DropMidStream) {
            return with_headers(broken(text));
        }
        return with_headers(([(header::CONTENT_TYPE, "application/json")], text).into_response());
    }
    let usage = request.stream_options.as_ref().is_some_and(|o| o.include_usage);
    let mut events: Vec<Result<String, std::io::Error>> =
        sse::chunks(&envelope, &answer, prompt, limit, usage).into_iter().map(Ok).collect();
    let middle = events.len() / 2;
    match fault {
        Some(ModelFault::DropMidStream) => {
            events.truncate(middle.max(1));
            events.push(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Some(ModelFault::MalformedSse) => {
            events.insert(middle, Ok("data: {\"id\": \"chatcmpl-broken\", \"choices\": [{\n\n".into()))
        }
        _ => {}
    }
    let (first, next) = (cfg.latency_first_token, cfg.latency_per_chunk);
    let paced = stream::iter(events.into_iter().enumerate()).then(move |(i, event)| async move {
        let wait = if i == 0 { first } else { next };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        event
    });
    with_headers(
        (
            [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")],
            Body::from_stream(paced),
        )
            .into_response(),
    )
}

/// Half of a body, then the connection is gone.
fn broken(mut text: String) -> Response {
    let half = (0..=text.len() / 2).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.truncate(half);
    let parts: [Result<String, std::io::Error>; 2] =
        [Ok(text), Err(std::io::ErrorKind::ConnectionReset.into())];
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(stream::iter(parts))).into_response()
}
