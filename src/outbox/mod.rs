//! Signed webhooks: sign, deliver, guard, back off, dead letters.

pub mod breaker;
pub mod deliver;
mod endpoints;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod guard;
pub mod pump;
mod settling;
pub mod sign;
