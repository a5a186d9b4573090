//! What stands around every route: the request's id, its line in the log, its time-out, and the promise that an error
//! is always a problem. Neither paths nor queries nor bodies are logged: they hold numbers.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use crate::api::problems::{self, Kind, Problem};
use crate::base::telemetry::Metrics;

/// How long a request may take. Lists are read for as long as they keep coming.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Routes whose body is streamed; they time out by themselves.
const STREAMED: [&str; 3] =
    ["/api/calls/initiate", "/api/campaigns/{campaign_id}/calls", "/api/campaigns/{campaign_id}/preflight"];

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) fn around(routes: Router, metrics: &Metrics) -> Router {
    routes
        .method_not_allowed_fallback(problems::no_method)
        .fallback(problems::no_route)
        .layer(CatchPanicLayer::custom(panicked))
        // One layer for all the rest, with one counted reference: each is cloned anew for every request.
        .layer(from_fn_with_state(Arc::new(metrics.clone()), watched))
}

async fn in_time(route: &str, request: Request, next: Next) -> Response {
    if STREAMED.contains(&route) {
        return next.run(request).await;
    }
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("no answer within {} s; try again", TIMEOUT.as_secs());
            Problem::new(Kind::Timeout, detail).into_response()
        }
    }
}

// The layer wants this signature.
#[allow(clippy::needless_pass_by_value)]
fn panicked(what: Box<dyn Any + Send + 'static>) -> Response {
    let text =
        what.downcast_ref::<String>().map(String::as_str).or_else(|| what.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), "a request handler panicked");
    Problem::new(Kind::Internal, "an error of ours; it is in the log under this request's id").into_response()
}

/// Errors that a library answered as plain text become problems, too.
fn as_problem(response: Response) -> Response {
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|v| v.to_str().is_ok_and(|t| t.starts_with("text/plain")));
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if !(plain && failed) {
        return response;
    }
    let kind = match response.status() {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Kind::Timeout,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => Kind::RateLimited,
        status if status.is_server_error() => Kind::Internal,
        _ => Kind::InvalidRequest,
    };
    let mut problem = Problem::new(kind, kind.title()).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

/// The client's own request id where it is fit to be logged, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let fit = |v: &&HeaderValue| {
        (1..=64).contains(&v.len())
            && v.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            // A bare number might be somebody's telephone.
            && v.as_bytes().iter().any(u8::is_ascii_alphabetic)
    };
    request.headers().get(&REQUEST_ID).filter(fit).cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().simple().to_string();
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
    })
}

async fn watched(
    State(metrics): State<Arc<Metrics>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let mut response = as_problem(in_time(route, request, next).await);
    let status = response.status().as_u16();
    metrics.served(route, status);
    let problem = response.extensions().get::<Kind>().map_or("", |k| k.slug());
    let latency_ms = began.elapsed().as_secs_f64() * 1000.0;
    let request_id = id.to_str().unwrap_or("");
    if matches!(route, "/health" | "/livez" | "/readyz" | "/metrics") {
        tracing::debug!(%method, route, status, latency_ms, request_id, "served");
    } else {
        tracing::info!(%method, route, status, latency_ms, request_id, problem, "served");
    }
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}
