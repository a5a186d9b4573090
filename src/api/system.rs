//! How the fleet stands at this moment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::problems::{Problem, ProblemBody};
use crate::base::clock::rfc3339;
use crate::store::{Counters, Node, OutboxCounts, RedisHealth, Store};

/// Calls that wait.
#[derive(Serialize, ToSchema)]
pub(super) struct QueueStats {
    /// Waiting for admission.
    ready: u64,
    /// With a moment at which somebody looks at them: scheduled, waiting for a retry, or live.
    due: u64,
    /// The earliest of those moments (RFC 3339); one in the past means that the workers lag behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_due: Option<String>,
    /// How far in the past that is, seconds.
    lag_seconds: f64,
}

/// Lines at the carrier.
#[derive(Serialize, ToSchema)]
pub(super) struct CapacityStats {
    /// Slots held.
    slots_held: u64,
    /// Slots there are; 0 = no limit.
    max_concurrent: u32,
    /// Calls per second allowed; 0 = no limit.
    max_cps: f64,
    /// Dials that left today (UTC).
    started_today: i64,
}

/// Events on their way downstream.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookStats {
    /// Not settled yet.
    pending: i64,
    /// Of these, waiting for another attempt or on their way just now.
    retrying: u64,
    /// Given up.
    dead: i64,
    /// Delivered since the first start.
    delivered: i64,
    /// When the earliest pending event is due (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
}

/// The fleet at this moment.
#[derive(Serialize, ToSchema)]
pub(super) struct SystemStats {
    /// Nodes that told of themselves.
    nodes: Vec<Node>,
    /// Calls that wait.
    queue: QueueStats,
    /// Lines at the carrier.
    capacity: CapacityStats,
    /// Events on their way downstream.
    webhook_stats: WebhookStats,
    /// Redis' memory, policy, persistence.
    redis: RedisHealth,
    /// The time of this answer (RFC 3339).
    now: String,
}

/// The fleet at this moment.
#[utoipa::path(get, path = "/api/system/stats", tag = "operations", security(("api_key" = [])),
    responses((status = 200, body = SystemStats), (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn stats(State(app): State<Arc<App>>) -> Result<Json<SystemStats>, Problem> {
    let store = app.store();
    let now = app.api.clock.now();
    let today = Store::day_of(now);
    let ((ready, due, oldest), slots_held, counts, retrying, oldest_event, nodes, redis, counters) = futures::try_join!(
        store.queue_depth(),
        store.slots_held(),
        store.outbox_counts(),
        store.outbox_retrying(),
        store.outbox_oldest_due(),
        store.nodes(),
        store.health(),
        store.counters(&today),
    )?;
    let counters: Counters = counters;
    let OutboxCounts { pending, delivered, dead } = counts;
    Ok(Json(SystemStats {
        nodes,
        queue: QueueStats {
            ready,
            due,
            oldest_due: (oldest > 0).then(|| rfc3339(oldest)),
            lag_seconds: if oldest > 0 { now.saturating_sub(oldest) as f64 / 1000.0 } else { 0.0 },
        },
        capacity: CapacityStats {
            slots_held,
            max_concurrent: app.api.config.max_concurrent,
            max_cps: app.api.config.max_cps,
            started_today: counters.get("started").copied().unwrap_or(0),
        },
        webhook_stats: WebhookStats { pending, retrying, dead, delivered, oldest: oldest_event.map(rfc3339) },
        redis,
        now: rfc3339(now),
    }))
}
