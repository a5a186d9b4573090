//! The operator's commands, as far as they are more than starting a role.

pub mod call;
pub mod check;
mod client;
mod table;
