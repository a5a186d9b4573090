//! From claimed calls to started ones: what costs nothing first (do-not-call, expiry, window), then a permit of the fleet
//! for all of them, then one start for each shard. What is not dialed goes back at once: to the head of its lane, or to
//! the time it may be looked at again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::base::clock::{Millis, SECOND};
use crate::dialing::Dialer;
use crate::dialing::dial::{Dial, DialOrder, Moment};
use crate::dialing::hopper::Hopper;
use crate::domain::call::{Call, Event, Phase};
use crate::domain::campaign::{Campaign, Toward};
use crate::domain::ids::CampaignId;
use crate::store::{
    Applied, Ask, Claimed, Denial, Denied, Permits, Release, Request, Start, StartChecks, Started, StoreError,
};

/// A moment further ahead than this is started only when it comes near: an opt-out in between still counts, and what is
/// started and not yet sent when a worker dies ends unconfirmed.
const LINGER: Millis = 100;
/// A refusal of a breaker or of all callers that lasts longer than this is waited for away from the lane's head.
const ASIDE: Millis = SECOND;
/// Events written at once.
const WIDTH: usize = 16;

/// A call that waits, with what the campaign says of it.
struct Candidate {
    call: Call,
    campaign: Option<Arc<Campaign>>,
    evidence: serde_json::Value,
}

/// What a round of admission says of the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Admitted {
    /// Until the rate allows the next dial, ms.
    pub wait: Millis,
    /// Calls of campaigns asked for a permit.
    pub asked: usize,
    /// Until an urgent call may ask again, ms; 0 = at once.
    pub urgent_wait: Millis,
    /// Was a permit asked for?
    pub permitted: bool,
}

impl Dialer {
    /// Takes claimed calls that wait. Those that may be dialed are started and handed to `dial`; the others go back. The
    /// hopper learns what to bring next; `refresh` asks for that even where nothing was claimed. Once `stop` is cancelled
    /// nothing more is started.
    ///
    /// # Errors
    /// Where Redis does not answer: nothing is dialed (fail closed), and the calls come due again by their leases.
    pub async fn admit(
        &self,
        claimed: Vec<Claimed>,
        hopper: &mut Hopper,
        refresh: bool,
        most: usize,
        stop: &CancellationToken,
        mut dial: impl FnMut(DialOrder),
    ) -> Result<Admitted, StoreError> {
        if stop.is_cancelled() {
            let calls: Vec<&Call> = claimed.iter().map(|c| &c.call).collect();
            self.store.put_back(&calls).await?;
            return Ok(Admitted::default());
        }
        let candidates = self.open_ones(claimed, hopper).await?;
        if candidates.is_empty() && !refresh {
            return Ok(Admitted::default());
        }
        let asks: Vec<Ask> = candidates.iter().map(|candidate| self.asks(candidate)).collect();
        let asked = Instant::now();
        let waiting = hopper.waiting();
        let permits = self
            .store
            .permit(Request {
                account: self.config.account,
                callers: self.config.callers.table(),
                asks: &asks,
                waiting: &waiting,
                releases: &[],
                feedback: &self.senses.take(),
                most: u32::try_from(most).unwrap_or(u32::MAX),
            })
            .await;
        let Permits { now, grants, plan, ended, wait, .. } = match permits {
            Ok(permits) => permits,
            Err(error) => {
                // Where only the fleet's slot is away, the lanes can still take their calls back.
                let calls: Vec<&Call> = candidates.iter().map(|c| &c.call).collect();
                let _ = self.store.put_back(&calls).await;
                return Err(error);
            }
        };
        let answered = Instant::now();
        let (from, to) = self.moments.saw(now, asked, answered);
        hopper.plan(plan, ended);

        let mut admitted = Admitted { wait, permitted: true, ..Admitted::default() };
        let (mut back, mut aside, mut releases) = (Vec::new(), Vec::new(), Vec::new());
        let (mut starts, mut moments) = (Vec::new(), HashMap::new());
        for (candidate, grant) in candidates.into_iter().zip(grants) {
            let urgent = candidate.call.campaign.is_none();
            admitted.asked += usize::from(!urgent);
            let grant = match grant {
                Ok(grant) => grant,
                Err(denied) => {
                    let wait = denied.wait.max(1);
                    if urgent && (admitted.urgent_wait == 0 || wait < admitted.urgent_wait) {
                        admitted.urgent_wait = wait;
                    }
                    match self.put_aside(&candidate, denied) {
                        Some(event) => aside.push((candidate.call, event)),
                        None => back.push(candidate.call),
                    }
                    continue;
                }
            };
            // The granted moment by Redis' clock lies between these two; the carrier must see the call near it.
            let ahead = Duration::from_millis(grant.ahead);
            let (earliest, use_by) = (to + ahead, from + ahead + self.config.use_by);
            if earliest.max(answered) >= use_by {
                self.metrics.pacing_waits.with_label_values(&["late"]).inc();
                releases.push(unplaced(&candidate.call));
                back.push(candidate.call);
                continue;
            }
            let from = self.config.callers.number(grant.caller);
            let key = self.config.callers.table().get(usize::from(grant.caller));
            let voicemail = candidate.call.body.voicemail;
            let moment = Moment {
                voicemail: voicemail.or(candidate.campaign.and_then(|c| c.voicemail)).unwrap_or_default(),
                earliest,
                use_by,
            };
            let start = Start {
                call: candidate.call,
                caller: from.to_owned(),
                caller_key: key.map(|caller| caller.key.clone()).unwrap_or_default(),
                evidence: candidate.evidence,
            };
            if grant.ahead > LINGER {
                dial(DialOrder { dial: Dial::Far(Box::new(start)), moment });
            } else {
                moments.insert(start.call.id.clone(), moment);
                starts.push(start);
            }
        }

        let back: Vec<&Call> = back.iter().collect();
        let (started, put_back, deferred) = futures::join!(
            self.start(starts, &mut releases, |call| {
                if let Some(moment) = moments.remove(&call.id) {
                    dial(DialOrder { dial: Dial::Started(call), moment });
                }
            }),
            self.store.put_back(&back),
            self.store.defer(aside, &self.rules),
        );
        let released = self.store.release(&releases).await;
        started.and(put_back).and(deferred).and(released)?;
        Ok(admitted)
    }

    /// Those of the claimed calls that may be dialed now; the others are ended or put off.
    async fn open_ones(
        &self,
        claimed: Vec<Claimed>,
        hopper: &mut Hopper,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut campaigns: HashMap<CampaignId, Option<Arc<Campaign>>> = HashMap::new();
        let mut found: HashMap<CampaignId, (usize, usize)> = HashMap::new();
        let (mut open, mut deferred, mut ended, mut back) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut elsewhere, mut reread) = (Vec::new(), HashSet::new());
        let now = self.clock.now();
        for Claimed { call, suppressed } in claimed {
            let mut campaign = None;
            if let Some(id) = &call.campaign {
                if !campaigns.contains_key(id) {
                    let read = self.store.campaign(id).await?;
                    campaigns.insert(id.clone(), read);
                }
                campaign = campaigns.get(id).cloned().flatten();
                if hopper.ends(id) && !suppressed {
                    let ends = |campaign: &Option<Arc<Campaign>>| {
                        campaign.as_ref().and_then(|c| c.state.ends_waiting())
                    };
                    if ends(&campaign).is_none() && reread.insert(id.clone()) {
                        // Our copy is older than its end.
                        campaign = self.store.campaign_fresh(id).await?.map(Arc::new);
                        campaigns.insert(id.clone(), campaign.clone());
                    }
                    match ends(&campaign) {
                        Some(Toward::Expired) => ended.push((call, Event::Expired)),
                        Some(Toward::Cancelled) => ended.push((call, Event::Cancel)),
                        // It goes on: somebody let it, since the permit said otherwise.
                        Some(Toward::Completed) | None => back.push(call),
                    }
                    continue;
                }
                found.entry(id.clone()).or_default().0 += 1;
            }
            if !suppressed && call.waits_for_other_number() {
                elsewhere.push(call);
                continue;
            }
            let verdict = match suppressed {
                true => Err(Event::Suppressed),
                false => self.verdict(&call, campaign.as_deref(), now),
            };
            match verdict {
                Ok(evidence) => {
                    if let Some(id) = &call.campaign {
                        found.entry(id.clone()).or_default().1 += 1;
                    }
                    open.push(Candidate { call, campaign, evidence });
                }
                Err(event @ Event::Deferred { .. }) => deferred.push((call, event)),
                Err(event) => ended.push((call, event)),
            }
        }
        for (campaign, (brought, open)) in found {
            hopper.found(&campaign, brought, open);
        }
        for (_, event) in &deferred {
            if let Event::Deferred { reason, .. } = event {
                self.metrics.pacing_waits.with_label_values(&[*reason]).inc();
            }
        }
        let back: Vec<&Call> = back.iter().collect();
        let elsewhere = futures::stream::iter(elsewhere)
            .map(|call| self.hand_over(call))
            .buffer_unordered(WIDTH)
            .fold(Ok(()), |so_far, one| async { so_far.and(one) });
        let (elsewhere, ended, back, deferred) = futures::join!(
            elsewhere,
            self.apply_all(ended),
            self.store.put_back(&back),
            self.store.defer(deferred, &self.rules)
        );
        elsewhere.and(ended).and(back).and(deferred)?;
        // The permit grants in the order of asking: an urgent call never stands behind a list.
        open.sort_by_key(|candidate| candidate.call.campaign.is_some());
        Ok(open)
    }

    fn asks(&self, candidate: &Candidate) -> Ask {
        let Candidate { call, campaign, .. } = candidate;
        Ask {
            id: call.id.clone(),
            epoch: call.head.epoch,
            campaign: call.campaign.clone(),
            destination: call.body.phone.destination().to_owned(),
            callers: self.config.callers.candidates(call, campaign.as_deref()),
        }
    }

    /// The event that puts a denied call aside, where waiting at its lane's head would keep others from being dialed.
    fn put_aside(&self, candidate: &Candidate, denied: Denied) -> Option<Event> {
        let word = word(denied.reason);
        self.metrics.pacing_waits.with_label_values(&[word]).inc();
        let (reason, wait) = match denied.reason {
            Denial::ProviderBreaker | Denial::DestinationBreaker => ("breaker", denied.wait),
            Denial::CallerId => ("caller_cap", denied.wait),
            _ => return None,
        };
        let expires = candidate.call.expires_in(candidate.campaign.as_deref());
        let until = self.clock.now().saturating_add(wait).min(expires);
        (wait > ASIDE).then_some(Event::Deferred { until, reason })
    }

    /// Starts dials and hands those that may ring to `ring`; the refused go back, and their slots into `releases`.
    async fn start(
        &self,
        starts: Vec<Start>,
        releases: &mut Vec<Release>,
        mut ring: impl FnMut(Box<Call>),
    ) -> Result<(), StoreError> {
        let checks = StartChecks { leg_wait: self.config.leg_wait };
        let (mut deferred, mut banned, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for started in self.store.start(starts, &self.rules, checks).await {
            match started {
                Started::Done(call) => ring(call),
                Started::Refused { call, reason, until } => {
                    releases.push(unplaced(&call));
                    // Where that cannot be read it is looked at once more, and expires then.
                    let campaign = self.store.campaign_of(&call).await;
                    let expires = campaign.map_or(Millis::MAX, |it| call.expires_in(it.as_deref()));
                    match self.after_refusal(expires, &reason, until) {
                        event @ Event::Deferred { .. } => deferred.push((*call, event)),
                        event => banned.push((*call, event)),
                    }
                }
                Started::Lost(call) => releases.push(unplaced(&call)),
                Started::Held(call) => {
                    self.holds.note(call.id.shard());
                    releases.push(unplaced(&call));
                    held.push(call);
                }
                Started::Unreplicated(call) => {
                    tracing::warn!(call_id = %call.id, "too few replicas took a dial over; it does not leave");
                    self.unsent.keep(&call);
                }
                Started::Unclear(call, error) => {
                    tracing::warn!(call_id = %call.id, %error, "a dial may be written as started, and is not made");
                    self.unsent.keep(&call);
                }
            }
        }
        let held: Vec<&Call> = held.iter().map(|call| &**call).collect();
        let (banned, deferred, held) = futures::join!(
            self.apply_all(banned),
            self.store.defer(deferred, &self.rules),
            self.store.put_back(&held)
        );
        banned.and(deferred).and(held)
    }

    /// What a refused start makes of a call: it waits with the reason, never less than a moment, or it is over.
    fn after_refusal(&self, expires: Millis, reason: &str, until: Millis) -> Event {
        let now = self.clock.now();
        let (until, reason) = match reason {
            "suppressed" => return Event::Suppressed,
            "frequency" => (until.max(now + SECOND).min(expires.max(now)), "frequency"),
            _ => (until.max(now + 100), "leg_outstanding"),
        };
        self.metrics.pacing_waits.with_label_values(&[reason]).inc();
        Event::Deferred { until, reason }
    }

    /// Starts one dial whose moment came near. `None`: it went back, or is left to its lease.
    pub(super) async fn start_one(&self, start: Start) -> Result<Option<Box<Call>>, StoreError> {
        let (mut releases, mut rings) = (Vec::new(), None);
        let started = self.start(vec![start], &mut releases, |call| rings = Some(call)).await;
        self.store.release(&releases).await?;
        started.map(|()| rings)
    }

    /// Gives a granted call back to its lane before it was started.
    pub(super) async fn give_back(&self, call: &Call) -> Result<(), StoreError> {
        self.store.put_back(&[call]).await?;
        self.store.release(&[unplaced(call)]).await
    }

    async fn apply_all(&self, events: Vec<(Call, Event)>) -> Result<(), StoreError> {
        let done: Vec<Result<Option<Call>, StoreError>> = futures::stream::iter(events)
            .map(|(call, event)| self.apply(call, event))
            .buffer_unordered(WIDTH)
            .collect()
            .await;
        done.into_iter().try_for_each(|done| done.map(drop))
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
            Applied::Stale(_) | Applied::Gone => Ok(None),
        }
    }
}

fn unplaced(call: &Call) -> Release {
    Release { id: call.id.clone(), epoch: call.head.epoch, outcome: None }
}

/// The label of a denial.
fn word(denial: Denial) -> &'static str {
    match denial {
        Denial::AccountCps => "account_cps",
        Denial::AccountSlots => "account_slots",
        Denial::CampaignState => "campaign_state",
        Denial::CampaignCps => "campaign_cps",
        Denial::CampaignSlots => "campaign_slots",
        Denial::FairShare => "fair_share",
        Denial::CallerId => "caller_id",
        Denial::ProviderBreaker => "provider_breaker",
        Denial::DestinationBreaker => "destination_breaker",
        Denial::CarrierThrottle => "carrier_throttle",
        Denial::ModelLimit => "model_limit",
        Denial::OutboxBacklog => "outbox_backlog",
    }
}
