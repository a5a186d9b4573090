//! What is decided by rule and never left to the model: opt-out, consent, machines, numbers that may be spoken.
//!
//! Everything here is word-exact and pure; each rule has a table of cases beside it.

pub(crate) mod consent;
#[cfg(test)]
mod consent_cases;
pub(crate) mod machine;
pub(crate) mod numbers;
pub(crate) mod optout;
pub(crate) mod words;
