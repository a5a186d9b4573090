//! The telephone carriers, spoken to in their own protocols.

pub mod twilio;
