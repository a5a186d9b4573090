//! Pure types and rules: call, talk, agent, draft, phone, window, retry, disposition, notice. Nothing here waits, reads a
//! clock or knows a wire.

pub mod agent;
pub mod call;
pub mod campaign;
pub mod disposition;
pub mod draft;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod ids;
pub mod notice;
pub mod phone;
pub mod retry;
pub mod talk;
pub mod window;
