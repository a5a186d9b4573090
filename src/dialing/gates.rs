//! What the outside tells of itself, passed on to the fleet's pacing: the carrier's answers, the model's rate limits and
//! the webhooks that wait.

use std::sync::{Mutex, PoisonError};

use crate::base::clock::Millis;
use crate::carrier::twilio::{DialOutcome, RefusalKind};
use crate::store::Feedback;

/// What a node learned of the carrier since its last permit.
#[derive(Debug, Default)]
pub struct Senses(Mutex<Feedback>);

impl Senses {
    /// Takes note of what came of asking the carrier for a call.
    pub fn note(&self, outcome: &DialOutcome) {
        let mut feedback = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            DialOutcome::Accepted { queue_time_ms, .. } => {
                feedback.accepted += 1;
                feedback.queue_time = feedback.queue_time.max(*queue_time_ms);
            }
            DialOutcome::NotSent(_) | DialOutcome::Unknown(_) => feedback.failed += 1,
            DialOutcome::Refused(refusal) => match refusal.kind {
                RefusalKind::RateLimited { after } => {
                    feedback.throttled += 1;
                    let after = after.and_then(|d| Millis::try_from(d.as_millis()).ok()).unwrap_or(0);
                    feedback.retry_after = feedback.retry_after.max(after);
                }
                RefusalKind::Concurrency => feedback.throttled += 1,
                // Every call would be refused alike.
                RefusalKind::Account => feedback.failed += 1,
                // It answers as it should; the number is at fault.
                RefusalKind::Final(_) => feedback.accepted += 1,
                RefusalKind::Retryable => {}
            },
        }
    }

    /// What was noted since this was last asked.
    pub fn take(&self) -> Feedback {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
