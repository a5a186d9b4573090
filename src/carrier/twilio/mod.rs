//! Twilio: its REST API ([`Twilio`]), its callbacks ([`wire`], [`signature`]), its markup ([`twiml`]) and every URL we
//! give it ([`urls`]).
//!
//! The one thing to know: creating a call is not idempotent. [`Twilio::create`] therefore says exactly what is known
//! of a request that did not succeed ([`DialOutcome`]), and what is unclear is looked up ([`Twilio::find`]), never
//! sent again.

mod calls;
mod dial;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod recordings;
mod refusal;
mod rest;
pub mod signature;
pub mod twiml;
pub mod urls;
pub mod wire;

#[cfg(test)]
mod tests;

pub use calls::{CallView, HungUp};
pub use dial::{Amd, CreateCall, DialOutcome};
pub use recordings::Media;
pub use refusal::{FinalKind, Refusal, RefusalKind};
pub use rest::{CarrierError, Twilio, TwilioConfig};
