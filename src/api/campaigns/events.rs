//! What happens to a campaign, as server-sent events.
//!
//! | event | when | data |
//! | --- | --- | --- |
//! | `state` | at first, and with each step of its life | `state`, `from`, `toward`, `at`, `by`, `why` |
//! | `settings` | its settings were changed | `version` |
//! | `fleet` | a breaker, a number's quarantine, the carrier's throttle | as the fleet tells it |
//! | `progress` | at first, and each second in which something changed | as in `GET …/{campaign_id}` |
//!
//! Those that stand in a stream carry its id; who comes back with `Last-Event-ID` gets what happened meanwhile. It ends
//! after the last state.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::App;
use crate::api::campaigns::progress::{self, Progress};
use crate::api::campaigns::{found, parse};
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::base::clock::rfc3339;
use crate::domain::campaign::{Campaign, State as Life};
use crate::domain::ids::CampaignId;
use crate::store::{StoreError, StreamEvent};

/// Streams that a node serves at once.
const STREAMS: usize = 100;
/// How often a stream looks.
const EVERY: Duration = Duration::from_secs(1);
/// After how long a silent stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The streams that this node may still serve.
pub(in crate::api) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

/// What happens to a campaign, as it happens: server-sent events `state`, `progress`, `settings`, `fleet`.
///
/// The stream ends once the campaign is over; who then comes again with `Last-Event-ID` is answered 204.
#[utoipa::path(get, path = "/api/campaigns/{campaign_id}/events", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 204, description = "the campaign is over, and all its events were seen"),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn events(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let it = found(&app, &id).await?;
    let seen = match headers.get("last-event-id").map(|v| v.to_str().unwrap_or("").trim()) {
        None | Some("") => None,
        Some(id) if StreamEvent::is_id(id) => Some(id.to_owned()),
        Some(_) => {
            let error = FieldError::new("Last-Event-ID", "is not the id of an event");
            return Err(Problem::fields(Kind::InvalidHeader, vec![error]));
        }
    };
    let Ok(room) = Arc::clone(&app.streams.0).try_acquire_owned() else {
        let detail = format!("this node serves {STREAMS} event streams already");
        return Err(Problem::new(Kind::TooManyStreams, detail).retry_after(10));
    };
    let mut waiting = VecDeque::new();
    let after = match seen {
        Some(after) => {
            let missed = app.store().campaign_events(&parse(&id)?, &after).await?;
            if missed.is_empty() && it.state.is_over() {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            after
        }
        None => {
            let newest = app.store().newest_event(&it.id).await?;
            waiting.push_back(event("state", Some(&newest), &standing(&it)));
            newest
        }
    };
    let watch = Watch { app, id: it.id, after, waiting, last: None, over: false, first: true, _room: room };
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|event| (Ok::<_, Infallible>(event), watch))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT).text("still here");
    let mut response = Sse::new(stream).keep_alive(alive).into_response();
    // Proxies that gather an answer before they pass it on would hold the events back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// Where a campaign stands, in the words of its events.
fn standing(it: &Campaign) -> Value {
    let step = it.history.last();
    json!({
        "event": "state",
        "state": it.state.as_str(),
        "from": step.map(|s| s.from.as_str()),
        "toward": match it.state {
            Life::Draining { toward } => Some(toward),
            _ => None,
        },
        "at": rfc3339(step.map_or(it.created_at, |s| s.at)),
        "by": step.map(|s| s.by.as_str()),
        "why": step.and_then(|s| s.why.as_deref()),
    })
}

fn event(name: &str, id: Option<&str>, data: &Value) -> Event {
    let event = Event::default().event(name).data(data.to_string());
    match id {
        Some(id) => event.id(id),
        None => event,
    }
}

/// A client that watches.
struct Watch {
    app: Arc<App>,
    id: CampaignId,
    after: String,
    waiting: VecDeque<Event>,
    last: Option<Arc<Progress>>,
    over: bool,
    first: bool,
    _room: OwnedSemaphorePermit,
}

impl Watch {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.over || self.app.api.ops.draining.load(Ordering::Relaxed) {
                return None;
            }
            if !std::mem::take(&mut self.first) {
                tokio::time::sleep(EVERY).await;
            }
            if let Err(error) = self.look().await {
                // The client comes again with the last id it saw.
                tracing::warn!(campaign_id = %self.id, %error, "an event stream was broken off");
                return None;
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        // The campaign before its events: a last state that is seen here stands among them.
        let Some(it) = self.app.store().campaign_fresh(&self.id).await? else {
            self.over = true;
            return Ok(());
        };
        for found in self.app.store().campaign_events(&self.id, &self.after).await? {
            let name = if found.fleet { "fleet" } else { found.data["event"].as_str().unwrap_or("settings") };
            self.waiting.push_back(event(name, Some(&found.id), &found.data));
            self.after = found.id;
        }
        let look = match it.state.is_over() {
            // The last figures are not those of a moment ago.
            true => Arc::new(progress::now(&self.app, &it).await?),
            false => progress::lately(&self.app, &it).await?,
        };
        if !self.last.as_ref().is_some_and(|last| last.is_as_far_as(&look)) {
            let data = serde_json::to_value(&*look).unwrap_or_default();
            self.waiting.push_back(event("progress", None, &data));
            self.last = Some(look);
        }
        self.over = it.state.is_over();
        Ok(())
    }
}
