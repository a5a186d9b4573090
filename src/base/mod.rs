//! The ground floor: clock, secret, backoff, telemetry. Imports nothing of the crate.

pub mod backoff;
pub mod clock;
pub mod fault;
pub mod telemetry;
