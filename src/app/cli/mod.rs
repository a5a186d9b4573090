//! The operator's commands: they talk to a running API over HTTP like anybody else, or look at a configuration.

pub mod audit;
pub mod call;
pub mod campaign;
pub mod check;
mod client;
pub mod people;
pub mod suppressions;
mod table;
mod upload;
