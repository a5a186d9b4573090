//! The operator's commands: they talk to a running API, over HTTP like anybody else.

pub mod call;
mod client;
mod table;
