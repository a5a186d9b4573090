//! The operator's commands: they talk to a running API over HTTP like anybody else, or look at a configuration.

pub mod call;
pub mod check;
mod client;
pub mod suppressions;
mod table;
