//! The simulated model.
pub mod dates;
pub mod question;
