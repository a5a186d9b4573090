//! One folder per agent: its prompt, tools, outcome types, extraction schema and scoring. Stands on `conversation`.
//!
//! A new agent is a folder with `agent.toml`, `prompt.md`, `schema.json` and a `blueprint::Blueprint`, and one
//! line in `REGISTERED`. No engine knows its name.

mod blueprint;
mod book;
pub(crate) mod interview;
mod reminder;
mod tool;

use blueprint::Blueprint;
pub use book::Book;

/// Every agent of this binary.
const REGISTERED: &[Blueprint] = &[interview::BLUEPRINT, reminder::BLUEPRINT];
