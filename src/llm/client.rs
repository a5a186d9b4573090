//! The model as the engines see it: a stream of deltas, one structured answer, a health check.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::base::sse::{Broken, events};

use super::assemble::{Assembler, Delta, parse_object};
use super::config::{Endpoints, Flavor, ModelConfig};
use super::error::ModelError;
use super::limits::Limits;
use super::wire::{Completion, Message, ToolSpec};

/// Waited before the one retry where the provider names no time.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Most of an error's body that is read.
const MAX_ERROR_BODY: usize = 16 * 1024;
/// Most of a whole answer's body that is read.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// An answer as it comes. It ends after [`Delta::Done`] or an error, whichever is first.
pub type DeltaStream = BoxStream<'static, Result<Delta, ModelError>>;

/// What the model is asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// It must speak now: tools are described (earlier calls refer to them) but may not be called.
    pub speak_only: bool,
    /// 0 to 2.
    pub temperature: f64,
    /// Tokens of the answer.
    pub max_tokens: u32,
}

/// A chat-completions model. Cheap to clone; clones share connections and limits.
#[derive(Clone, Debug)]
pub struct Model {
    config: ModelConfig,
    endpoints: Endpoints,
    http: reqwest::Client,
    limits: Arc<Mutex<Option<Limits>>>,
}

impl Model {
    /// Makes the client; nothing is connected yet.
    ///
    /// # Errors
    /// `Rejected` where the base URL is not http(s) or the key cannot stand in a header.
    pub fn new(config: ModelConfig) -> Result<Self, ModelError> {
        // reqwest is built without a TLS provider of its own; installing it twice does no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoints = config.endpoints()?;
        auth(&config)?;
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("Carillon/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| ModelError::Rejected { status: 0, code: "client".to_owned() })?;
        Ok(Self { config, endpoints, http, limits: Arc::default() })
    }

    /// Asks and answers as the model speaks. Returns once the first delta is there; until then one retryable failure, or
    /// one garbled answer, is tried again, as far as `total_timeout` allows. After that a failure is an item of the stream.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub async fn stream(&self, request: &Request) -> Result<DeltaStream, ModelError> {
        let body = self.stream_body(request)?;
        let deadline = Instant::now() + self.config.total_timeout;
        // Tool calls come whole at their end, so that an answer of calls alone has given nothing when it is garbled.
        self.retrying(deadline, true, || self.open(&body, deadline)).await
    }

    /// One structured answer by `schema` (strict), e.g. the final extraction.
    ///
    /// # Errors
    /// `Refused` where the model declines, `Malformed` where the answer is no JSON object; else see [`ModelError`].
    pub async fn complete_json(
        &self,
        messages: &[Message],
        schema_name: &str,
        schema: &Value,
    ) -> Result<Value, ModelError> {
        let body = Extraction {
            model: self.named(),
            messages,
            temperature: 0,
            response_format: json!({"type": "json_schema",
                "json_schema": {"name": schema_name, "strict": true, "schema": schema}}),
        };
        let body = text_of(&body)?;
        let deadline = Instant::now() + self.config.total_timeout;
        self.retrying(deadline, false, || async {
            timeout_at(deadline, self.whole(&body)).await.unwrap_or(Err(ModelError::retryable("timeout")))
        })
        .await
    }

    /// Is the model there and the key good? One cheap request (`GET /models`), no retry.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub async fn health(&self) -> Result<(), ModelError> {
        let limit = self.config.connect_timeout + self.config.first_token_timeout;
        let request = self.authorized(self.http.get(self.endpoints.models.clone()))?.timeout(limit);
        let response = request.send().await.map_err(|e| ModelError::from_transport(&e))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(failure(response).await)
    }

    /// The rate limits of the provider's last answer; `None` before the first or where it sends none.
    #[must_use]
    pub fn last_limits(&self) -> Option<Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stream_body(&self, request: &Request) -> Result<Bytes, ModelError> {
        let has_tools = !request.tools.is_empty();
        text_of(&Talk {
            model: self.named(),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            messages: &request.messages,
            temperature: request.temperature,
            max_completion_tokens: request.max_tokens,
            tools: has_tools.then_some(request.tools.as_slice()),
            tool_choice: (has_tools && request.speak_only).then_some("none"),
        })
    }

    /// Azure has the model in its path.
    fn named(&self) -> Option<&str> {
        (self.config.flavor == Flavor::OpenAi).then_some(self.config.model.as_str())
    }

    fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder, ModelError> {
        let value = auth(&self.config)?;
        Ok(match self.config.flavor {
            Flavor::OpenAi => request.header(AUTHORIZATION, value),
            Flavor::Azure => request.header("api-key", value),
        })
    }

    /// Runs `once`, and a second time after a retryable failure (or a `garbled` answer, where that is asked for) where the
    /// deadline leaves room for the pause.
    async fn retrying<T, F, Fut>(&self, deadline: Instant, garbled: bool, once: F) -> Result<T, ModelError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, ModelError>>,
    {
        let first = match once().await {
            Err(error) if error.is_retryable() || (garbled && matches!(error, ModelError::Malformed(_))) => {
                error
            }
            other => return other,
        };
        let after = if let ModelError::Retryable { after, .. } = &first { *after } else { None };
        let resume = Instant::now() + after.unwrap_or(RETRY_PAUSE).max(RETRY_PAUSE);
        if resume >= deadline {
            return Err(first);
        }
        tracing::info!(why = first.kind(), "asking the model once more");
        tokio::time::sleep_until(resume).await;
        once().await
    }

    /// Sends and returns the answer's head; what is not 2xx is an error already.
    async fn send(&self, body: &Bytes) -> Result<Response, ModelError> {
        let request = self.authorized(self.http.post(self.endpoints.completions.clone()))?;
        let request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        let response = request.send().await.map_err(|e| ModelError::from_transport(&e))?;
        if let Some(limits) = Limits::read(response.headers()) {
            *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = Some(limits);
        }
        if response.status().is_success() { Ok(response) } else { Err(failure(response).await) }
    }

    /// One attempt, up to and including the first delta.
    async fn open(&self, body: &Bytes, deadline: Instant) -> Result<DeltaStream, ModelError> {
        let pause = self.config.first_token_timeout;
        let first_by = (Instant::now() + pause).min(deadline);
        let late = ModelError::retryable("timeout");
        let response = timeout_at(first_by, self.send(body)).await.map_err(|_| late.clone())??;
        let mut deltas = deltas(response, pause, deadline);
        let first = timeout_at(first_by, deltas.next())
            .await
            .map_err(|_| late)?
            .ok_or(ModelError::retryable("cut"))??;
        Ok(stream::iter([Ok(first)]).chain(deltas).boxed())
    }

    async fn whole(&self, body: &Bytes) -> Result<Value, ModelError> {
        let response = self.send(body).await?;
        let bytes = read_at_most(response, MAX_BODY).await?;
        let answer: Completion =
            serde_json::from_slice(&bytes).map_err(|_| ModelError::Malformed("completion"))?;
        let choice = answer.choices.into_iter().next().ok_or(ModelError::Malformed("no choice"))?;
        if choice.message.refusal.is_some_and(|r| !r.is_empty()) {
            return Err(ModelError::Refused);
        }
        match choice.finish_reason.as_deref() {
            Some("content_filter") => return Err(ModelError::ContentFilter),
            Some("length") => return Err(ModelError::Malformed("cut by the token limit")),
            _ => {}
        }
        let text = choice.message.content.unwrap_or_default();
        parse_object(&text).ok_or(ModelError::Malformed("not a JSON object"))
    }
}

/// What a streamed answer is asked for with.
#[derive(Serialize)]
struct Talk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    stream: bool,
    stream_options: StreamOptions,
    messages: &'a [Message],
    temperature: f64,
    /// The successor of `max_tokens`, which newer models refuse.
    max_completion_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a [ToolSpec]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What a structured answer is asked for with.
#[derive(Serialize)]
struct Extraction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: &'a [Message],
    temperature: u8,
    response_format: Value,
}

/// A request's body; shared by its two tries.
fn text_of(body: &impl Serialize) -> Result<Bytes, ModelError> {
    let bytes = serde_json::to_vec(body).map_err(|_| ModelError::Malformed("request"))?;
    Ok(bytes.into())
}

/// The key as a header value, marked so that nothing prints it.
fn auth(config: &ModelConfig) -> Result<HeaderValue, ModelError> {
    let key = config.api_key.expose_secret().trim();
    let text = match config.flavor {
        Flavor::OpenAi => format!("Bearer {key}"),
        Flavor::Azure => key.to_owned(),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| ModelError::Rejected { status: 0, code: "api_key".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn failure(response: Response) -> ModelError {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = tokio::time::timeout(Duration::from_secs(1), read_at_most(response, MAX_ERROR_BODY)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    ModelError::from_status(status, &headers, &body)
}

async fn read_at_most(response: Response, most: usize) -> Result<Vec<u8>, ModelError> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| ModelError::from_transport(&e))?;
        if body.len() + piece.len() > most {
            return Err(ModelError::Malformed("too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The deltas of a response. A pause longer than `pause`, or the deadline, ends it with an error.
fn deltas(response: Response, pause: Duration, deadline: Instant) -> DeltaStream {
    let events = events(response.bytes_stream());
    let state = (events, Assembler::default(), VecDeque::new(), false);
    stream::unfold(state, move |(mut events, mut assembler, mut ready, mut over)| async move {
        loop {
            if let Some(delta) = ready.pop_front() {
                return Some((Ok(delta), (events, assembler, ready, over)));
            }
            if over || assembler.is_done() {
                return None;
            }
            let by = (Instant::now() + pause).min(deadline);
            let fed = match timeout_at(by, events.next()).await {
                Err(_) => Err(ModelError::retryable("timeout")),
                Ok(Some(Ok(event))) if event.data.trim().is_empty() => Ok(Vec::new()),
                Ok(Some(Ok(event))) => assembler.feed(&event.data),
                Ok(Some(Err(Broken::Stream(e)))) => Err(ModelError::from_transport(&e)),
                Ok(Some(Err(Broken::TooLong))) => Err(ModelError::Malformed("event too long")),
                Ok(None) => assembler.close().map(|d| vec![d]),
            };
            match fed {
                Ok(more) => ready.extend(more),
                Err(error) => {
                    over = true;
                    return Some((Err(error), (events, assembler, ready, over)));
                }
            }
        }
    })
    .boxed()
}
