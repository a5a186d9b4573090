//! Carillon, an outbound AI dialer that scales out over Redis.
//!
//! The map of the crate, from the surface down. A room may use the rooms below it, never one above and never a
//! neighbour of its own floor; `tests/it/tidy.rs` enforces this, `docs/architecture.md` explains it.
//!
//! | floor | rooms |
//! | --- | --- |
//! | composition | [`app`] |
//! | surface | [`api`], [`transport`] |
//! | agents | [`agents`] |
//! | engines | [`dialing`], [`conversation`], [`wrapup`], [`outbox`] |
//! | edges | [`store`], [`carrier`], [`llm`], [`archive`] |
//! | ground | [`domain`], [`base`] |
//! | apart | [`sim`] (imports `base` alone) |
#![forbid(unsafe_code)]

pub mod agents;
pub mod api;
pub mod app;
pub mod archive;
pub mod base;
pub mod carrier;
pub mod conversation;
pub mod dialing;
pub mod domain;
pub mod llm;
pub mod outbox;
pub mod sim;
pub mod store;
pub mod transport;
pub mod wrapup;
