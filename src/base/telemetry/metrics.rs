//! Every metric the program exports, declared once: the doc comment of a field is its help text.
//!
//! Labels come from closed sets (a disposition, a route's template, a status class), never from input: no number, no
//! id, no URL.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

/// The ids of the invariants that are watched in production; each is exported from the start, at 0.
/// Their meaning: `docs/architecture.md`, "Invariants".
pub const INVARIANTS: [&str; 10] = ["C1", "C2", "C3", "Q1", "K1", "K2", "O1", "O2", "A1", "S1"];

/// Seconds of a request to something near: Redis, a model's first token, a webhook.
const REQUEST: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Seconds of a spoken turn; fine around the 4 s at which a bridge line is due.
const TURN: &[f64] = &[0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0];
/// Seconds of a whole call.
const CALL: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0, 1_800.0];

/// What the macro needs to know of a kind of metric.
trait Metric: Collector + Clone + Sized + 'static {
    fn build(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> prometheus::Result<Self>;
}

impl Metric for IntCounter {
    fn build(name: &str, help: &str, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Metric for IntGauge {
    fn build(name: &str, help: &str, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Metric for IntCounterVec {
    fn build(name: &str, help: &str, labels: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Metric for Histogram {
    fn build(name: &str, help: &str, _: &[&str], buckets: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    }
}

impl Metric for HistogramVec {
    fn build(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> prometheus::Result<Self> {
        Self::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
    }
}

macro_rules! metrics {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $kind:ident = $name:literal $([$($label:literal),+])? $(in $buckets:ident)?;
    )+) => {
        /// The program's metrics, in a registry of their own: two apps in one process do not share numbers.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            fn build() -> prometheus::Result<Self> {
                let registry = Registry::new();
                $(
                    let $field = <$kind as Metric>::build(
                        $name,
                        concat!($($help),+).trim(),
                        &[$($($label),+)?],
                        metrics!(@buckets $($buckets)?),
                    )?;
                    registry.register(Box::new($field.clone()))?;
                )+
                Ok(Self { registry, $($field),+ })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

metrics! {
    /// Calls accepted and queued.
    calls_started: IntCounter = "calls_started_total";
    /// Calls that reached their final disposition, by it and by how reluctant the person was (none, low, medium, high).
    calls_completed: IntCounterVec = "calls_completed_total" ["status", "adversarial_level"];
    /// Seconds from answer to hang-up.
    call_duration: Histogram = "call_duration_seconds" in CALL;
    /// Webhook attempts by result (delivered, retry, dead).
    webhook_deliveries: IntCounterVec = "webhook_deliveries_total" ["status"];
    /// Seconds one webhook attempt took.
    webhook_delivery_duration: Histogram = "webhook_delivery_duration_seconds" in REQUEST;
    /// Calls that are being dialed, ring or are answered.
    active_call_sessions: IntGauge = "active_call_sessions";
    /// Webhook events that wait for delivery.
    outbox_queue_size: IntGauge = "outbox_queue_size";

    /// Seconds of a conversation turn by stage (load, model, tools, commit, total).
    turn_latency: HistogramVec = "carillon_turn_latency_seconds" ["stage"] in TURN;
    /// Dial attempts by outcome (accepted, refused, not_sent, unknown).
    dial_outcomes: IntCounterVec = "carillon_dial_outcomes_total" ["outcome"];
    /// Times a call was held back, by reason (account_cps, account_slots, fair_share, caller_id, window, frequency, …).
    pacing_waits: IntCounterVec = "carillon_pacing_waits_total" ["reason"];
    /// Redis operations by script.
    redis_ops: IntCounterVec = "carillon_redis_ops_total" ["script"];
    /// Redis operations that failed, by script.
    redis_errors: IntCounterVec = "carillon_redis_errors_total" ["script"];
    /// Objects put to S3 by result (ok, retry, refused, source).
    s3_puts: IntCounterVec = "carillon_s3_puts_total" ["result"];
    /// Milliseconds by which this node's clock is ahead of Redis'; beyond 5000 either way it takes up no work.
    clock_ahead: IntGauge = "carillon_clock_ahead_milliseconds";
    /// Lines of evidence that are not sealed yet.
    audit_lines_waiting: IntGauge = "carillon_audit_lines_waiting";
    /// Segments of evidence sealed by this process.
    audit_segments: IntCounter = "carillon_audit_segments_total";
    /// Requests to the model by result.
    model_requests: IntCounterVec = "carillon_model_requests_total" ["result"];
    /// Violations of an invariant seen in production; anything but 0 is a bug of ours.
    invariant_violations: IntCounterVec = "carillon_invariant_violations_total" ["id"];
    /// HTTP requests served, by the route's template and the status class.
    http_requests: IntCounterVec = "carillon_http_requests_total" ["route", "status"];
    /// Bridge lines spoken because a turn was not ready in time.
    bridges_spoken: IntCounter = "carillon_bridges_spoken_total";
}

impl Metrics {
    /// All metrics, at 0. The series that alerts and dashboards count on exist from the start.
    #[must_use]
    pub fn new() -> Self {
        // Fails only on a name that is malformed or declared twice; the tests below build it.
        let metrics = Self::build().unwrap_or_else(|e| unreachable!("a metric is declared wrongly: {e}"));
        for id in INVARIANTS {
            metrics.invariant_violations.with_label_values(&[id]);
        }
        for status in ["delivered", "retry", "dead"] {
            metrics.webhook_deliveries.with_label_values(&[status]);
        }
        for result in ["ok", "retry", "refused", "source"] {
            metrics.s3_puts.with_label_values(&[result]);
        }
        for level in ["none", "low", "medium", "high"] {
            metrics.calls_completed.with_label_values(&["completed", level]);
        }
        metrics
    }

    /// Prometheus' text form, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Vec::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        String::from_utf8(out).unwrap_or_default()
    }

    /// Counts a violated invariant and says so in the log, which is where the detail belongs. `id` is one of
    /// [`INVARIANTS`]; another is logged, but gets no series.
    pub fn violated(&self, id: &str, detail: &str) {
        tracing::error!(invariant = id, detail, "invariant violated");
        if INVARIANTS.contains(&id) {
            self.invariant_violations.with_label_values(&[id]).inc();
        }
    }

    /// Counts a call that is over, by its disposition and by how reluctant the person was (`none` where nobody was
    /// heard).
    pub fn call_over(&self, disposition: &str, level: &'static str) {
        self.calls_completed.with_label_values(&[disposition, level]).inc();
    }

    /// Counts a served request; `route` is the template that matched ("/api/calls/status/{call_id}"), or "none".
    pub fn served(&self, route: &str, status: u16) {
        self.http_requests.with_label_values(&[route, status_class(status)]).inc();
    }

    /// Records how long a stage of a turn took.
    pub fn turn_stage(&self, stage: &'static str, took: Duration) {
        self.turn_latency.with_label_values(&[stage]).observe(took.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The class of an HTTP status, which is all a label needs to tell.
#[must_use]
pub fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_names_are_exported_from_the_start() {
        let text = Metrics::new().render();
        for name in [
            "calls_started_total 0",
            "calls_completed_total{adversarial_level=\"low\",status=\"completed\"} 0",
            "call_duration_seconds_count 0",
            "webhook_deliveries_total{status=\"dead\"} 0",
            "webhook_delivery_duration_seconds_count 0",
            "active_call_sessions 0",
            "outbox_queue_size 0",
        ] {
            assert!(text.lines().any(|line| line == name), "{name} is missing in\n{text}");
        }
        for id in INVARIANTS {
            assert!(text.contains(&format!("carillon_invariant_violations_total{{id=\"{id}\"}} 0")));
        }
        assert!(text.contains("# HELP calls_started_total Calls accepted and queued."));
    }

    #[test]
    fn two_apps_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.calls_started.inc();
        one.violated("Q1", "an id without a record");
        one.violated("Z9", "unknown");
        assert_eq!((one.calls_started.get(), other.calls_started.get()), (1, 0));
        assert!(one.render().contains("violations_total{id=\"Q1\"} 1"));
        assert!(!one.render().contains("Z9"));
    }
}
