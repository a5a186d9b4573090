//! Fuzz targets of what clients send: lists of calls, do-not-call lists, queries and cursors. They stand on an API whose
//! Redis is never asked.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::api::campaigns::{Looks, Streams};
use crate::api::fields::{Query, moment};
use crate::api::{Api, ApiConfig, App, HealthReport, Ops, auth, calls, suppressions};
use crate::base::clock::Clock;
use crate::base::fuzz::choice;
use crate::base::telemetry::Metrics;
use crate::domain::call::Rules;
use crate::store::fuzz::unconnected;

pub(crate) use crate::api::initiate::fuzz::intake;
pub(crate) use crate::api::suppressions::fuzz::import;

/// November 18, 2026.
const NOW: u64 = 1_795_000_000_000;

static ROOM: LazyLock<(Runtime, App)> = LazyLock::new(|| {
    let runtime =
        Builder::new_current_thread().enable_all().build().unwrap_or_else(|why| unreachable!("{why}"));
    let app = {
        let _entered = runtime.enter();
        app()
    };
    (runtime, app)
});

/// Runs `work` on the API of all targets.
pub(super) fn on_app<T>(work: impl AsyncFnOnce(&App) -> T) -> T {
    let (runtime, app) = &*ROOM;
    runtime.block_on(work(app))
}

fn app() -> App {
    let clock = Clock::manual(NOW);
    let api = Api {
        ops: Ops {
            store: unconnected(clock.clone()),
            metrics: Metrics::new(),
            health: Arc::new(|| async { HealthReport::of("api", Vec::new()) }.boxed()),
            draining: Arc::new(AtomicBool::new(false)),
        },
        config: ApiConfig::default(),
        clock,
        rules: Rules::default(),
        agents: Arc::new(|name| name == "interview"),
        outcome_events: Vec::new(),
        perform: Arc::new(|_, _| async {}.boxed()),
        archive: None,
    };
    App {
        limiter: auth::Limiter::new(0),
        prefixes: suppressions::PrefixCache::knowing_none(NOW),
        looks: Looks::default(),
        streams: Streams::default(),
        api,
    }
}

/// A body that arrives in pieces.
pub(super) fn body(bytes: &[u8], step: usize) -> Body {
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        bytes.chunks(step.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(futures::stream::iter(pieces))
}

/// Queries, cursors and moments.
pub(crate) fn queries(data: &[u8]) {
    let (_, rest) = choice(data);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if let Some((at, id)) = calls::read_cursor(text) {
        assert!(crate::domain::ids::CallId::parse(id.as_str()).is_some() && at < u64::MAX);
    }
    suppressions::fuzz::cursor(text);
    let _ = moment(text);
    let mut query = Query::parse(Some(text));
    let _ = (query.text("source"), query.number("phone_number"), query.time("from"));
    let limit = query.number_in("limit", 1, 1_000, 200);
    assert!((1..=1_000).contains(&limit));
    let _ = query.finish();
}
