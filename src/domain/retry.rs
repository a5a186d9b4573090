//! When a call that did not get through is tried again.
use crate::base::clock::Millis;
/// Why it did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Busy.
    Busy,
    /// No answer.
    NoAnswer,
    /// Failed.
    Failed,
}
/// The policy.
#[derive(Clone, Debug, Default)]
pub struct RetryPolicy;
impl RetryPolicy {
    /// The wait before the attempt after `attempt`; `None`: no more.
    #[must_use]
    pub fn next(&self, _cause: Cause, attempt: u32) -> Option<Millis> {
        (attempt < 3).then_some(60_000)
    }
}
