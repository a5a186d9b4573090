//! The operator's commands: they talk to a running API over HTTP like anybody else, or look at a configuration.

pub mod audit;
pub mod call;
pub mod check;
mod client;
mod table;
