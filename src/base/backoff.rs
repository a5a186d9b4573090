//! How long to wait before the next attempt: exponential, capped, spread by jitter.
//!
//! The only file that knows the `backoff` crate, which is no longer maintained; its growth rule is used without its
//! own randomness, clock and retry loop, so that the same attempt of the same event always waits as long.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// The shape of a retry schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The wait after the first failure.
    pub initial: Duration,
    /// No wait is longer than this.
    pub max: Duration,
    /// Each wait is this many times the one before; below 1 counts as 1.
    pub multiplier: f64,
    /// The share of a wait that chance may take off, 0 to 1. It only shortens, so that `max` stays a promise and
    /// waits spread at the ceiling too.
    pub jitter: f64,
}

impl Policy {
    /// Outgoing webhooks: 5 s, 20 s, 80 s, 5 min, 21 min, never above an hour.
    pub const WEBHOOK: Self = Self {
        initial: Duration::from_secs(5),
        max: Duration::from_secs(3_600),
        multiplier: 4.0,
        jitter: 0.2,
    };

    /// A service of ours that is away for a moment: 200 ms doubling to 30 s.
    pub const SERVICE: Self = Self {
        initial: Duration::from_millis(200),
        max: Duration::from_secs(30),
        multiplier: 2.0,
        jitter: 0.5,
    };
}

/// Growth beyond this many steps changes nothing any more, whatever the policy.
const MOST_STEPS: u32 = 64;

/// The wait before trying again after `attempt` failures (1 is the first; 0 counts as 1).
///
/// Lies in `[d·(1 − jitter), d]` for d = min(initial · multiplier^(attempt − 1), max). The same arguments always give
/// the same wait; `seed` is what sets two waiters apart, for instance a hash of the event's id.
#[must_use]
pub fn delay(attempt: u32, policy: &Policy, seed: u64) -> Duration {
    let full = grown(attempt, policy);
    let jitter = if policy.jitter.is_finite() { policy.jitter.clamp(0.0, 1.0) } else { 0.0 };
    let mut random = StdRng::seed_from_u64(seed ^ u64::from(attempt).rotate_left(32));
    full.saturating_sub(full.mul_f64(jitter * random.random::<f64>()))
}

fn grown(attempt: u32, policy: &Policy) -> Duration {
    let initial = policy.initial.min(policy.max);
    let mut steps = ExponentialBackoff {
        current_interval: initial,
        initial_interval: initial,
        randomization_factor: 0.0,
        multiplier: if policy.multiplier >= 1.0 { policy.multiplier } else { 1.0 },
        max_interval: policy.max,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let mut wait = initial;
    for _ in 0..attempt.clamp(1, MOST_STEPS) {
        wait = steps.next_backoff().unwrap_or(policy.max);
    }
    wait.min(policy.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Policy = Policy {
        initial: Duration::from_secs(5),
        max: Duration::from_secs(600),
        multiplier: 4.0,
        jitter: 0.0,
    };

    #[test]
    fn grows_by_the_multiplier_up_to_the_ceiling() {
        let waits: Vec<u64> = (0..=7).map(|n| delay(n, &PLAIN, 1).as_secs()).collect();
        assert_eq!(waits, [5, 5, 20, 80, 320, 600, 600, 600]);
        assert_eq!(delay(u32::MAX, &PLAIN, 1), PLAIN.max);
    }

    #[test]
    fn jitter_only_shortens_and_spreads_at_the_ceiling_too() {
        let policy = Policy { jitter: 0.5, ..PLAIN };
        let waits: Vec<Duration> = (0..200).map(|seed| delay(9, &policy, seed)).collect();
        assert!(waits.iter().all(|w| (policy.max / 2..=policy.max).contains(w)));
        let (least, most) = (waits.iter().min(), waits.iter().max());
        assert!(least < Some(&Duration::from_secs(330)) && most > Some(&Duration::from_secs(570)));
    }

    #[test]
    fn the_same_seed_waits_as_long() {
        let policy = Policy { jitter: 1.0, ..PLAIN };
        assert_eq!(delay(3, &policy, 7), delay(3, &policy, 7));
        assert_ne!(delay(3, &policy, 7), delay(3, &policy, 8));
    }

    #[test]
    fn nonsense_in_a_policy_is_harmless() {
        for (multiplier, jitter) in
            [(f64::NAN, f64::NAN), (-3.0, -1.0), (0.0, 9.0), (f64::INFINITY, f64::INFINITY)]
        {
            let policy = Policy { initial: Duration::from_secs(900), multiplier, jitter, ..PLAIN };
            assert!(delay(5, &policy, 3) <= policy.max);
        }
        let endless = Policy { max: Duration::MAX, ..PLAIN };
        assert!(delay(u32::MAX, &endless, 3) > PLAIN.max);
    }
}
