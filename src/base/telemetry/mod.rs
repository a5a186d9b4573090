//! What operators see of the program: metrics in Prometheus' text form, logs as JSON lines, and no phone number or
//! secret in either.

pub mod logging;
pub mod metrics;
pub mod redact;

pub use metrics::Metrics;
