//! The API on a real redis-server, asked as a client asks.

mod campaigns;
mod intake;
mod lists;
mod rows;
mod sheets;
mod suppressions;
mod surface;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use futures::FutureExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::api::{Api, ApiConfig, ArchiveHooks, DependencyHealth, DependencyState, HealthReport, Ops};
use crate::base::clock::Clock;
use crate::base::telemetry::Metrics;
use crate::domain::call::{Effect, Rules};
use crate::domain::ids::CallId;
use crate::store::Store;
use crate::store::testing::TestRedis;

/// Documents of calls, as an archive keeps them.
type Archived = Arc<Mutex<Vec<(CallId, Option<Value>)>>>;

/// An API of the test's own.
pub(crate) struct Fixture {
    _redis: TestRedis,
    store: Store,
    clock: Clock,
    pub(crate) router: Router,
    draining: Arc<AtomicBool>,
    performed: Arc<Mutex<Vec<Effect>>>,
    /// Keys of objects that the archive was told to delete.
    deleted: Arc<Mutex<Vec<String>>>,
    /// What the archive holds of the number in use, beside what Redis knows.
    archived: Archived,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Value,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(ApiConfig { rate_per_second: 0, ..ApiConfig::default() }).await
    }

    async fn with(config: ApiConfig) -> Self {
        let redis = TestRedis::start().await;
        // The scripts ask Redis for the time, so the clock has to agree with it.
        let clock = Clock::System;
        let store = redis.store(clock.clone()).await;
        let draining = Arc::new(AtomicBool::new(false));
        let performed = Arc::new(Mutex::new(Vec::new()));
        let done = Arc::clone(&performed);
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let gone = Arc::clone(&deleted);
        let archived: Archived = Arc::default();
        let older = Arc::clone(&archived);
        let api = Api {
            ops: Ops {
                store: store.clone(),
                metrics: Metrics::new(),
                health: Arc::new(|| {
                    let s3 = DependencyHealth {
                        name: "s3".into(),
                        state: DependencyState::Degraded,
                        latency_ms: None,
                        detail: Some("slow".into()),
                        advice: Vec::new(),
                    };
                    async move { HealthReport::of("api", vec![s3]) }.boxed()
                }),
                draining: Arc::clone(&draining),
            },
            config,
            clock: clock.clone(),
            rules: Rules::default(),
            agents: Arc::new(|name| name == "interview"),
            outcome_events: vec!["worker_profile_completed".into()],
            perform: Arc::new(move |_, effects| {
                done.lock().unwrap().extend(effects);
                async {}.boxed()
            }),
            archive: Some(ArchiveHooks {
                status: Arc::new(|_| async { Ok(None) }.boxed()),
                of_person: Arc::new(move |_| {
                    let found = older.lock().unwrap().clone();
                    async { Ok(found) }.boxed()
                }),
                delete: Arc::new(move |objects| {
                    gone.lock().unwrap().extend(objects.into_iter().map(|o| o.key));
                    async { Ok(()) }.boxed()
                }),
            }),
        };
        Self {
            _redis: redis,
            store,
            clock,
            router: super::router(api),
            draining,
            performed,
            deleted,
            archived,
        }
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str) -> Answer {
        self.ask(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(json_request(path, &body.to_string())).await
    }

    async fn initiate(&self, body: Value) -> Answer {
        self.post("/api/calls/initiate", body).await
    }

    async fn upload(&self, media: &str, query: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(format!("/api/calls/initiate{query}")).header("content-type", media);
        self.ask(request.body(body.into()).unwrap()).await
    }
}

fn json_request(path: &str, body: &str) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

impl Answer {
    /// A problem of this type and status, well-formed.
    #[track_caller]
    fn is_problem(&self, slug: &str) -> &Self {
        assert_eq!(self.body["type"], format!("/problems/{slug}"), "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert!(self.body["title"].is_string() && self.body["detail"].is_string());
        self
    }

    /// The fields that are wrong, in order.
    fn wrong_fields(&self) -> Vec<&str> {
        self.body["errors"]
            .as_array()
            .map_or(vec![], |e| e.iter().filter_map(|e| e["field"].as_str()).collect())
    }

    #[track_caller]
    fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }
}
