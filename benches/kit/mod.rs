//! What the benches share: what the integration tests stand on, calls to make up, and what Redis used.

// Each bench uses a part of it.
#![allow(dead_code)]

pub(crate) mod calls;
pub(crate) mod meter;
#[path = "../../tests/it/support/mod.rs"]
pub(crate) mod support;
