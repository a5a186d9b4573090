//! What an agent's folder gives to the book: its embedded files and the few functions that must be exact.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::agent::{Conclusion, Observation, Observed, Outcome, StateView, Tool};
use crate::domain::draft::Draft;

/// The embedded files and the code of one agent.
pub(super) struct Blueprint {
    /// The folder's name, which is the agent's name.
    pub(super) name: &'static str,
    /// `agent.toml`.
    pub(super) definition: &'static str,
    /// `prompt.md`.
    pub(super) prompt: &'static str,
    /// `schema.json`; empty where the agent needs no extraction.
    pub(super) schema: &'static str,
    /// Every tool it has; its definition says which of them are allowed.
    pub(super) tools: fn() -> Vec<Arc<dyn Tool>>,
    /// See [`crate::domain::agent::Agent::state`].
    pub(super) state: fn(&StateView<'_>) -> Value,
    /// See [`crate::domain::agent::Agent::observe`].
    pub(super) observe: fn(&mut Draft, &Observed<'_>) -> Observation,
    /// See [`crate::domain::agent::Agent::conclude`].
    pub(super) conclude: fn(&Conclusion<'_>) -> Outcome,
}
