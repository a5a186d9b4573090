//! What a node knows of the endpoints it delivers to: their places here, and their breakers. Each node learns for itself;
//! five failures of a dead receiver are soon made, and nothing has to be kept in step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::breaker::{Admission, Breaker, BreakerPolicy};
use super::deliver::Verdict;
use crate::base::clock::{Millis, SECOND};

/// How long an event is put back whose endpoint is being probed.
const BEHIND_PROBE: Millis = 5 * SECOND;
/// Endpoints remembered before those without a history are forgotten.
const KEPT: usize = 4_096;

/// The endpoints, by their hash.
pub(super) struct Endpoints {
    places: usize,
    waiting: usize,
    known: Mutex<HashMap<String, Arc<Endpoint>>>,
}

/// One endpoint.
pub(super) struct Endpoint {
    /// Deliveries under way.
    pub(super) places: Semaphore,
    /// Deliveries under way and events waiting for one.
    pub(super) seats: Semaphore,
    breaker: Mutex<Breaker>,
}

impl Endpoints {
    pub(super) fn new(places: usize, waiting: usize) -> Self {
        Self { places, waiting, known: Mutex::default() }
    }

    pub(super) fn get(&self, name: &str) -> Arc<Endpoint> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > KEPT {
            known.retain(|_, e| Arc::strong_count(e) > 1 || e.is_troubled());
        }
        let made = || {
            Arc::new(Endpoint {
                places: Semaphore::new(self.places),
                seats: Semaphore::new(self.places + self.waiting),
                breaker: Mutex::default(),
            })
        };
        if let Some(endpoint) = known.get(name) {
            return Arc::clone(endpoint);
        }
        known.entry(name.to_owned()).or_insert_with(made).clone()
    }

    /// Those with fewer than `free` seats: what is claimed for them now would have to go back.
    pub(super) fn full(&self, free: usize) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let free = free.min(self.places + self.waiting);
        let full = known.iter().filter(|(_, endpoint)| endpoint.seats.available_permits() < free);
        full.map(|(name, _)| name.clone()).collect()
    }
}

impl Endpoint {
    /// Until when nothing may be sent there; `None`: now.
    pub(super) fn wait(&self, now: Millis, policy: &BreakerPolicy) -> Option<Millis> {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let probed = matches!(*breaker, Breaker::HalfOpen { .. });
        match breaker.admit(now, policy) {
            Admission::Go | Admission::Probe => None,
            Admission::Wait { until } if probed => Some(until.min(now + BEHIND_PROBE)),
            Admission::Wait { until } => Some(until),
        }
    }

    pub(super) fn learn(&self, verdict: &Verdict, now: Millis, policy: &BreakerPolicy, seed: u64) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if verdict.blames_endpoint() {
            breaker.failed(now, policy, seed);
        } else {
            breaker.succeeded();
        }
    }

    fn is_troubled(&self) -> bool {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*breaker, Breaker::Fresh | Breaker::Closed { failures: 0 })
    }
}
