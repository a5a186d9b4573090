//! Composition only: configuration, roles, lifecycle and wiring.

pub mod cli;
