//! How each dependency is, asked at most every few seconds however often `/health` is.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use crate::api::{DependencyHealth, DependencyState, HealthReport};
use crate::app::parts::Parts;
use crate::base::clock::SECOND;
use crate::store::CLOCK_TOLERATED;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(3);
/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The closure behind `/health`.
pub(super) fn report(
    parts: &Parts,
    role: &'static str,
) -> Arc<dyn Fn() -> BoxFuture<'static, HealthReport> + Send + Sync> {
    let parts = parts.clone();
    let last: Arc<Mutex<Option<(Instant, HealthReport)>>> = Arc::default();
    Arc::new(move || {
        let (parts, last) = (parts.clone(), Arc::clone(&last));
        async move {
            let mut last = last.lock().await;
            if let Some((at, report)) = &*last
                && at.elapsed() < FRESH
            {
                return report.clone();
            }
            let report = Box::pin(ask(&parts, role)).await;
            *last = Some((Instant::now(), report.clone()));
            report
        }
        .boxed()
    })
}

async fn ask(parts: &Parts, role: &str) -> HealthReport {
    let (redis, twilio, model, s3) = tokio::join!(
        timed(parts.store.health()),
        timed(parts.twilio.health()),
        timed(parts.model.health()),
        timed(parts.archive.health()),
    );
    let mut redis_health =
        dependency("redis", DependencyState::Down, redis.as_ref().map(|(d, _)| *d).map_err(String::clone));
    if let Ok((_, health)) = redis {
        if health.refused {
            redis_health.state = DependencyState::Down;
            let policy = &health.maxmemory_policy;
            redis_health.detail =
                Some(format!("maxmemory-policy is {policy}: it throws queued calls and webhooks away"));
        }
        redis_health.advice = health.advice;
    }
    let plain = |name, result: Result<Duration, String>| dependency(name, DependencyState::Degraded, result);
    HealthReport::of(
        role,
        vec![
            redis_health,
            clock_health(parts),
            plain("twilio", twilio.map(|(d, _)| d)),
            plain("model", model.map(|(d, ())| d)),
            plain("s3", s3.map(|(d, _)| d)),
        ],
    )
}

/// This node's clock beside Redis'. Turns and requests are served all the same: one wrong clock must not take a fleet off
/// the air.
fn clock_health(parts: &Parts) -> DependencyHealth {
    let ahead = parts.store.clock_ahead();
    let mut clock = dependency("clock", DependencyState::Degraded, Ok(Duration::ZERO));
    clock.latency_ms = None;
    if !parts.store.clocks_agree() {
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let (off, most) = (ahead.unsigned_abs() as f64 / 1000.0, CLOCK_TOLERATED / SECOND);
        clock.state = DependencyState::Degraded;
        clock.detail = Some(format!(
            "this node's clock is {off:.1} s {side} Redis'; beyond {most} s it neither dials nor sends webhooks"
        ));
        clock.advice.push("have every machine of the fleet keep its time, Redis' too (NTP)".to_owned());
    }
    clock
}

/// How long it took, or why it failed.
pub(super) async fn timed<T, E: std::fmt::Display>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<(Duration, T), String> {
    let began = Instant::now();
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok((began.elapsed(), answer)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// A dependency that answers, or is in state `failed`.
fn dependency(name: &str, failed: DependencyState, asked: Result<Duration, String>) -> DependencyHealth {
    let (state, latency_ms, detail) = match asked {
        Ok(took) => (DependencyState::Ok, Some(took.as_secs_f64() * 1000.0), None),
        Err(why) => (failed, None, Some(why)),
    };
    DependencyHealth { name: name.to_owned(), state, latency_ms, detail, advice: Vec::new() }
}
