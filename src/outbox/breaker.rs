//! A circuit breaker for each endpoint, as data. Each node keeps its own (see `endpoints`) and learns from its own
//! deliveries; this file only says how the state changes.
//!
//! Closed → (failures in a row) → open for a while → one probe → closed again, or open for longer. Events that wait for
//! an open breaker are postponed, and a postponement is no attempt.

use crate::base::backoff;
use crate::base::clock::Millis;

/// When a breaker opens and how long it stays so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it; 0 counts as 1.
    pub threshold: u32,
    /// How long it stays open, growing with each failed probe.
    pub open_for: backoff::Policy,
    /// How long a probe may be under way before another may try: a delivery that never
    /// reports back blocks nothing. Longer than the delivery time-out.
    pub probe_lease: Millis,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            threshold: 5,
            open_for: backoff::Policy {
                initial: std::time::Duration::from_secs(10),
                max: std::time::Duration::from_secs(600),
                multiplier: 2.0,
                jitter: 0.2,
            },
            probe_lease: 60_000,
        }
    }
}

/// What an endpoint has earned. The default is a closed breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// Deliveries go out; `failures` in a row so far.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// Nothing goes out before `until`; then one probe.
    Open {
        /// How many times it has opened without a success in between.
        trips: u32,
        /// When a probe is due.
        until: Millis,
    },
    /// One delivery is under way to see whether the endpoint lives.
    HalfOpen {
        /// As in `Open`.
        trips: u32,
        /// When the probe counts as lost.
        probe_until: Millis,
    },
    /// Never used yet: treated as closed.
    #[default]
    Fresh,
}

/// May something be delivered now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes, as much as is there.
    Go,
    /// Yes, one event; the others wait for what becomes of it.
    Probe,
    /// No, not before this moment.
    Wait {
        /// When to ask again.
        until: Millis,
    },
}

impl Breaker {
    /// Asks at `now`; an answer of [`Admission::Probe`] has taken the probe: others wait for it.
    pub fn admit(&mut self, now: Millis, policy: &BreakerPolicy) -> Admission {
        match *self {
            Self::Fresh | Self::Closed { .. } => Admission::Go,
            Self::Open { until, .. } if now < until => Admission::Wait { until },
            Self::HalfOpen { probe_until, .. } if now < probe_until => Admission::Wait { until: probe_until },
            Self::Open { trips, .. } | Self::HalfOpen { trips, .. } => {
                *self = Self::HalfOpen { trips, probe_until: now.saturating_add(policy.probe_lease) };
                Admission::Probe
            }
        }
    }

    /// The endpoint answered as a living one does.
    pub fn succeeded(&mut self) {
        *self = Self::Closed { failures: 0 };
    }

    /// The endpoint failed. `seed` spreads the openings of many endpoints.
    pub fn failed(&mut self, now: Millis, policy: &BreakerPolicy, seed: u64) {
        *self = match *self {
            Self::Fresh => Self::counted(1, now, policy, seed),
            Self::Closed { failures } => Self::counted(failures.saturating_add(1), now, policy, seed),
            Self::HalfOpen { trips, .. } => Self::opened(trips.saturating_add(1), now, policy, seed),
            // A delivery that was under way when it opened: known already.
            Self::Open { trips, until } => Self::Open { trips, until },
        };
    }

    /// Whether deliveries are held back, or one of them is being tried.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::HalfOpen { .. })
    }

    fn counted(failures: u32, now: Millis, policy: &BreakerPolicy, seed: u64) -> Self {
        if failures >= policy.threshold {
            Self::opened(1, now, policy, seed)
        } else {
            Self::Closed { failures }
        }
    }

    fn opened(trips: u32, now: Millis, policy: &BreakerPolicy, seed: u64) -> Self {
        let wait = backoff::delay(trips, &policy.open_for, seed);
        Self::Open { trips, until: now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> BreakerPolicy {
        let mut policy = BreakerPolicy { threshold: 3, ..BreakerPolicy::default() };
        policy.open_for.jitter = 0.0;
        policy
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let (mut breaker, policy) = (Breaker::default(), policy());
        for _ in 0..10 {
            breaker.failed(0, &policy, 1);
            breaker.failed(0, &policy, 1);
            breaker.succeeded();
        }
        assert_eq!(breaker.admit(0, &policy), Admission::Go);
        for _ in 0..3 {
            breaker.failed(1_000, &policy, 1);
        }
        assert!(breaker.is_open());
        assert_eq!(breaker.admit(1_000, &policy), Admission::Wait { until: 11_000 });
    }

    #[test]
    fn one_probe_at_a_time_and_a_lost_one_is_replaced() {
        let policy = policy();
        let mut breaker = Breaker::Open { trips: 1, until: 5_000 };
        assert_eq!(breaker.admit(5_000, &policy), Admission::Probe);
        assert_eq!(breaker.admit(5_001, &policy), Admission::Wait { until: 65_000 });
        assert_eq!(breaker.admit(65_000, &policy), Admission::Probe);
    }

    #[test]
    fn a_failed_probe_opens_for_longer_and_a_good_one_closes() {
        let policy = policy();
        let mut breaker = Breaker::Open { trips: 1, until: 0 };
        assert_eq!(breaker.admit(0, &policy), Admission::Probe);
        breaker.failed(0, &policy, 1);
        assert_eq!(breaker, Breaker::Open { trips: 2, until: 20_000 });
        breaker.failed(1, &policy, 1);
        assert_eq!(breaker, Breaker::Open { trips: 2, until: 20_000 }, "a straggler changes nothing");
        assert_eq!(breaker.admit(20_000, &policy), Admission::Probe);
        breaker.succeeded();
        assert_eq!(breaker, Breaker::Closed { failures: 0 });
    }
}
