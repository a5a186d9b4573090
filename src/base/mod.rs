//! The ground floor: clock, secret, backoff, telemetry. Imports nothing of the crate.

pub mod backoff;
pub mod clock;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod sse;
pub mod telemetry;
