//! A scripted chat-completions server for unit tests: each request takes the next step of the script and is kept.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::any;
use futures::{StreamExt, stream};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Flavor, Model, ModelConfig};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Streams these words, one chunk a word, and stops.
    Say(&'static str),
    /// Streams words, then calls tools: (id, name, arguments).
    Call(&'static str, Vec<(&'static str, &'static str, Value)>),
    /// Streams these words and ends without a finish reason, as a proxy in between does.
    Cut(&'static str),
    /// Never answers.
    Hang,
    /// Streams these words, then a line that is no JSON.
    Garbled(&'static str),
    /// Streams these words and then nothing.
    Stall(&'static str),
    /// A plain answer.
    Plain(u16, Vec<(&'static str, &'static str)>, Value),
    /// Tells the first that it was asked, waits for the second, and then does this.
    Held(Arc<Notify>, Arc<Notify>, Box<Step>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Clone, Default)]
pub(crate) struct Stub {
    script: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Starts the server and a model that talks to it.
    pub(crate) async fn start(script: Vec<Step>) -> (Self, Model) {
        let (stub, at) = Self::serve(script).await;
        (stub, model(at, Flavor::OpenAi))
    }

    /// The same with a model that soon gives up on silence.
    pub(crate) async fn start_impatient(script: Vec<Step>) -> (Self, Model) {
        let (stub, at) = Self::serve(script).await;
        (stub, model_waiting(at, Flavor::OpenAi, Duration::from_secs(1)))
    }

    async fn serve(script: Vec<Step>) -> (Self, SocketAddr) {
        let stub = Self { script: Arc::new(Mutex::new(script.into())), ..Self::default() };
        let app = Router::new().fallback(any(answer)).with_state(stub.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let at = listener.local_addr().expect("address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        (stub, at)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }

    /// The messages of the `i`-th request.
    pub(crate) fn messages(&self, i: usize) -> Vec<Value> {
        self.seen()[i].body["messages"].as_array().cloned().unwrap_or_default()
    }

    /// The names of the tools of the `i`-th request.
    pub(crate) fn tools(&self, i: usize) -> Vec<String> {
        let body = &self.seen()[i].body;
        let tools = body["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().filter_map(|t| t["function"]["name"].as_str()).map(str::to_owned).collect()
    }
}

/// A model at `at`, patient enough for a busy machine.
pub(crate) fn model(at: SocketAddr, flavor: Flavor) -> Model {
    model_waiting(at, flavor, Duration::from_secs(15))
}

fn model_waiting(at: SocketAddr, flavor: Flavor, first_token_timeout: Duration) -> Model {
    Model::new(ModelConfig {
        flavor,
        base_url: format!("http://{at}"),
        api_key: SecretString::from("sk-test"),
        model: "stub model".to_owned(),
        api_version: "2024-10-21".to_owned(),
        connect_timeout: Duration::from_secs(10),
        first_token_timeout,
        total_timeout: Duration::from_secs(20),
    })
    .expect("a model")
}

async fn answer(State(stub): State<Stub>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    stub.seen.lock().expect("lock").push(Seen { path, headers, body });
    let mut step = stub.script.lock().expect("lock").pop_front();
    if let Some(Step::Held(asked, go, held)) = step {
        asked.notify_one();
        go.notified().await;
        step = Some(*held);
    }
    match step.unwrap_or(Step::Plain(500, vec![], json!({"error": {"code": "script_is_over"}}))) {
        Step::Say(text) => sse(words(text), Some("stop"), End::Done),
        Step::Call(text, calls) => sse([words(text), tools(&calls)].concat(), Some("tool_calls"), End::Done),
        Step::Cut(text) => sse(words(text), None, End::Break),
        Step::Garbled(text) => sse(words(text), None, End::Garbled),
        Step::Stall(text) => sse(words(text), None, End::Never),
        Step::Hang | Step::Held(..) => std::future::pending().await,
        Step::Plain(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body.to_string())).expect("response")
        }
    }
}

fn words(text: &str) -> Vec<Value> {
    text.split_inclusive(' ').map(|w| json!({"content": w})).collect()
}

fn tools(calls: &[(&str, &str, Value)]) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, (id, name, args)) in calls.iter().enumerate() {
        let function = json!({"name": name, "arguments": ""});
        out.push(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}),
        );
        let args = match args {
            Value::String(raw) => raw.clone(),
            args => args.to_string(),
        };
        let (head, tail) = args.split_at(args.len() / 2);
        for part in [head, tail] {
            out.push(json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]}));
        }
    }
    out
}

enum End {
    Done,
    Break,
    Garbled,
    Never,
}

fn sse(deltas: Vec<Value>, finish: Option<&str>, end: End) -> Response {
    let mut data: Vec<String> =
        deltas.iter().map(|d| json!({"choices": [{"index": 0, "delta": d}]}).to_string()).collect();
    if let Some(reason) = finish {
        data.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}).to_string());
    }
    if matches!(end, End::Done) {
        data.push("[DONE]".to_owned());
    } else if matches!(end, End::Garbled) {
        data.push("{nonsense".to_owned());
    }
    let chunks = stream::iter(data.into_iter().map(|d| Ok::<_, std::io::Error>(format!("data: {d}\n\n"))));
    let tail: stream::BoxStream<'static, _> = match end {
        End::Done | End::Break | End::Garbled => stream::empty().boxed(),
        End::Never => stream::pending().boxed(),
    };
    Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-ratelimit-remaining-requests", "41")
        .header("x-ratelimit-reset-requests", "1s")
        .body(Body::from_stream(chunks.chain(tail)))
        .expect("response")
}
