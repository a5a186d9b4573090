//! When a call that did not get through is tried again.

use serde::{Deserialize, Serialize};

use crate::base::clock::{MINUTE, Millis};

/// Why an attempt did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The carrier could not complete the call.
    Failed,
    /// The carrier refused to take the call, for a reason that may pass.
    RefusedRetryable,
}

/// How often and after which delays a call is tried again, as data: a campaign may bring its own.
///
/// The n-th delay of a cause is what passes between the end of attempt n and attempt n + 1; a cause without an n-th
/// delay is not tried again. Whatever the causes, there are no more than `max_attempts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// The most attempts a call gets, the first included.
    pub max_attempts: u32,
    /// Delays after busy, ms.
    pub busy: Vec<Millis>,
    /// Delays after no answer, ms.
    pub no_answer: Vec<Millis>,
    /// Delays after a failure of the carrier, ms.
    pub failed: Vec<Millis>,
    /// Delays after a refusal that may pass, ms.
    pub refused_retryable: Vec<Millis>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            busy: vec![10 * MINUTE, 20 * MINUTE],
            no_answer: vec![60 * MINUTE, 120 * MINUTE],
            failed: vec![2 * MINUTE, 10 * MINUTE],
            refused_retryable: vec![2 * MINUTE, 10 * MINUTE],
        }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt `attempt` (the first is 1) ended by `cause`; `None`: the call is over.
    /// `scale` divides the delay, so that a rehearsal passes in seconds; 1.0 is real time, and what is no positive
    /// number counts as 1.0.
    #[must_use]
    pub fn next(&self, cause: Cause, attempt: u32, scale: f64) -> Option<Millis> {
        if attempt == 0 || attempt >= self.max_attempts {
            return None;
        }
        let delays = match cause {
            Cause::Busy => &self.busy,
            Cause::NoAnswer => &self.no_answer,
            Cause::Failed => &self.failed,
            Cause::RefusedRetryable => &self.refused_retryable,
        };
        let delay = *delays.get(usize::try_from(attempt - 1).ok()?)?;
        Some(divide(delay, scale))
    }

    /// The same policy with every delay divided by `scale`.
    #[must_use]
    pub fn scaled(&self, scale: f64) -> Self {
        let all = |delays: &[Millis]| delays.iter().map(|d| divide(*d, scale)).collect();
        Self {
            max_attempts: self.max_attempts,
            busy: all(&self.busy),
            no_answer: all(&self.no_answer),
            failed: all(&self.failed),
            refused_retryable: all(&self.refused_retryable),
        }
    }
}

/// Never below 1 ms, so that a scaled delay stays a delay.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn divide(delay: Millis, scale: f64) -> Millis {
    if scale.is_finite() && scale > 0.0 { ((delay as f64 / scale).round() as Millis).max(1) } else { delay }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tries_three_times() {
        let policy = RetryPolicy::default();
        for (cause, attempt, want) in [
            (Cause::Busy, 1, Some(10 * MINUTE)),
            (Cause::Busy, 2, Some(20 * MINUTE)),
            (Cause::Busy, 3, None),
            (Cause::NoAnswer, 1, Some(60 * MINUTE)),
            (Cause::NoAnswer, 2, Some(120 * MINUTE)),
            (Cause::NoAnswer, 3, None),
            (Cause::Failed, 1, Some(2 * MINUTE)),
            (Cause::Failed, 2, Some(10 * MINUTE)),
            (Cause::Failed, 3, None),
            (Cause::RefusedRetryable, 1, Some(2 * MINUTE)),
            (Cause::RefusedRetryable, 7, None),
            (Cause::Busy, 0, None),
        ] {
            assert_eq!(policy.next(cause, attempt, 1.0), want, "{cause:?} {attempt}");
        }
    }

    #[test]
    fn attempts_are_capped_whatever_the_causes() {
        let policy = RetryPolicy { max_attempts: 2, busy: vec![1, 2, 3, 4], ..RetryPolicy::default() };
        assert_eq!(policy.next(Cause::Busy, 1, 1.0), Some(1));
        assert_eq!(policy.next(Cause::Busy, 2, 1.0), None);
    }

    #[test]
    fn a_rehearsal_divides_the_delays() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.next(Cause::Busy, 1, 600.0), Some(1_000));
        assert_eq!(policy.scaled(600.0).next(Cause::NoAnswer, 2, 1.0), Some(12_000));
        assert_eq!(policy.next(Cause::Busy, 1, 1e12), Some(1));
        for odd in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(policy.next(Cause::Busy, 1, odd), Some(10 * MINUTE));
        }
    }

    #[test]
    fn a_campaign_may_name_only_what_differs() {
        let policy: RetryPolicy = serde_json::from_str(r#"{"busy":[1000]}"#).expect("json");
        assert_eq!(policy, RetryPolicy { busy: vec![1_000], ..RetryPolicy::default() });
        assert!(serde_json::from_str::<RetryPolicy>(r#"{"bussy":[1000]}"#).is_err());
    }
}
