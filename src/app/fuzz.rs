//! Every fuzz target by its name. `./scripts/fuzz` runs them under libFuzzer; the test here replays what is kept of each in
//! `fuzz/corpus`, and some hundred variants of it, on every run of the tests.

use crate::agents::interview;
use crate::app::config;
use crate::wrapup::chain;
use crate::{api, carrier, conversation, domain, llm, outbox, store, transport};

/// A target: it panics where a promise is broken.
pub type Target = fn(&[u8]);

/// The targets.
pub const TARGETS: [(&str, Target); 15] = [
    ("callback", carrier::twilio::fuzz::callback),
    ("config", config::fuzz::config),
    ("evidence", chain::fuzz::evidence),
    ("ids", domain::fuzz::ids),
    ("import", api::fuzz::import),
    ("intake", api::fuzz::intake),
    ("model_stream", llm::fuzz::model_stream),
    ("phone", domain::fuzz::phone),
    ("queries", api::fuzz::queries),
    ("records", store::fuzz::records),
    ("speech", conversation::fuzz::speech),
    ("tools", interview::fuzz::tools),
    ("twiml", transport::fuzz::twiml),
    ("webhook_url", outbox::fuzz::webhook_url),
    ("window", domain::fuzz::window),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#[cfg(test)]
#[path = "fuzz_tests.rs"]
mod tests;
