//! The ground floor: clock, secret, backoff, telemetry. Imports nothing of the crate.

pub mod clock;
