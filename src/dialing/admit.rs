//! May this number be called now? Lists, expiry and window first, since they cost nothing; then a permit of the fleet.

use std::time::{Duration, Instant};

use crate::base::clock::{Millis, SECOND};
use crate::dialing::Dialer;
use crate::domain::call::{Call, Event, Phase};
use crate::store::{Account, Applied, Ask, Caller, Claimed, Feedback, Request, StoreError, Suppression};

/// How many waiting calls the next claim should bring: more than can be dialed would only be put back.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Calls of campaigns.
    pub ready: usize,
    /// Calls of the urgent lane.
    pub urgent: usize,
    /// When to ask again at the latest.
    pub wait: Duration,
}

impl Dialer {
    /// Takes claimed calls that wait: those that may be dialed now are dialed, each in a task of its own that `spawn`
    /// starts; the others go back with the time they may be looked at again.
    ///
    /// # Errors
    /// Where Redis does not answer: nothing is dialed (fail closed), and the calls come due again by their leases.
    pub async fn admit(
        &self,
        claimed: Vec<Claimed>,
        prefixes: &[Suppression],
        mut spawn: impl FnMut(DialOrder),
    ) -> Result<Budget, StoreError> {
        let mut open = Vec::new();
        for Claimed { call, suppressed } in claimed {
            let now = self.clock.now();
            let banned = suppressed
                || prefixes.iter().any(|p| p.holds(now) && call.body.phone.e164().starts_with(&p.number));
            let campaign = self.store.campaign_of(&call).await?;
            let verdict =
                if banned { Err(Event::Suppressed) } else { self.verdict(&call, campaign.as_ref(), now) };
            match verdict {
                Ok(evidence) => open.push((call, evidence)),
                Err(event) => {
                    if let Event::Deferred { reason, .. } = &event {
                        self.metrics.pacing_waits.with_label_values(&[*reason]).inc();
                    }
                    self.apply(call, event).await?;
                }
            }
        }
        let asks: Vec<Ask> = open
            .iter()
            .map(|(call, _)| Ask {
                id: call.id.clone(),
                epoch: call.head.epoch,
                campaign: call.campaign.clone(),
                destination: call.body.phone.destination().to_owned(),
                callers: vec![0],
            })
            .collect();
        let asked = Instant::now();
        let account = Account {
            max_cps: self.config.max_cps,
            max_concurrent: self.config.max_concurrent,
            ..Account::default()
        };
        let callers = [Caller { key: "0".into(), max_cps: 0.0, max_concurrent: 0, max_daily: 0 }];
        let permits = self
            .store
            .permit(Request {
                account,
                callers: &callers,
                asks: &asks,
                waiting: &[],
                releases: &[],
                feedback: &Feedback::default(),
                most: 1_000,
            })
            .await?;
        for ((call, evidence), grant) in open.into_iter().zip(permits.grants.iter()) {
            match grant {
                Ok(grant) => {
                    let earliest = asked + Duration::from_millis(grant.ahead);
                    spawn(DialOrder { call, evidence, earliest });
                }
                Err(denied) => {
                    self.metrics.pacing_waits.with_label_values(&["capacity"]).inc();
                    let until = self.clock.now() + denied.wait;
                    self.apply(call, Event::Deferred { until, reason: "capacity" }).await?;
                }
            }
        }
        Ok(self.budget(permits.free, permits.wait))
    }

    /// What may be claimed next, from what the last permit left.
    fn budget(&self, free: u64, wait: Millis) -> Budget {
        let free = usize::try_from(free).unwrap_or(usize::MAX).min(1_000);
        if wait > 0 {
            let wait = Duration::from_millis(wait.min(200));
            return Budget { ready: 0, urgent: 0, wait };
        }
        let per_tick = if self.config.max_cps > 0.0 {
            ((self.config.max_cps * 0.2).ceil() as usize).max(1)
        } else {
            500
        };
        Budget { ready: free.min(per_tick), urgent: per_tick, wait: Duration::from_millis(200) }
    }

    /// Applies an event and does what it leaves to do.
    pub(super) async fn apply(&self, call: Call, event: Event) -> Result<Option<Call>, StoreError> {
        match self.store.apply(call, event, &self.rules).await? {
            Applied::Done(call, effects) => {
                if let Some(ending) = call.ending().filter(|_| call.phase() == Phase::Ended) {
                    // Never dialed: there is no wrap-up to count it.
                    self.metrics.call_over(ending.disposition.as_str(), call.adversarial_level());
                }
                self.effects.perform(&call, effects).await;
                Ok(Some(*call))
            }
            Applied::Stale(_) | Applied::Gone | Applied::Refused { .. } => Ok(None),
        }
    }

    /// Puts a refused start back: with the reason, and never sooner than a moment from now.
    pub(super) async fn put_back(&self, call: Call, reason: &str, until: Millis) -> Result<(), StoreError> {
        let now = self.clock.now();
        let expires = call.expires_at();
        self.effects.release(&call, None).await;
        let event = match reason {
            "suppressed" => Event::Suppressed,
            _ if until >= expires && reason == "frequency" => {
                Event::Deferred { until: expires, reason: "frequency" }
            }
            "frequency" => Event::Deferred { until: until.max(now + SECOND), reason: "frequency" },
            _ => Event::Deferred { until: until.max(now + 100), reason: "leg_outstanding" },
        };
        if let Event::Deferred { reason, .. } = &event {
            self.metrics.pacing_waits.with_label_values(&[*reason]).inc();
        }
        self.apply(call, event).await.map(drop)
    }
}

/// A call that may be dialed from `earliest` on.
#[derive(Debug)]
pub struct DialOrder {
    /// The call, claimed and permitted.
    pub call: Call,
    /// Why it may be called.
    pub evidence: serde_json::Value,
    /// Not before.
    pub earliest: Instant,
}
