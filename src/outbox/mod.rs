//! Signed webhooks: sign, deliver, guard, back off, dead letters.

pub mod breaker;
pub mod deliver;
pub mod guard;
pub mod sign;
