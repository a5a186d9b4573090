//! Another number of the same contact: a call of its own in that number's shard takes the place of the one that did not
//! get through. The child is written first, then the parent ends superseded; a node that dies between the two is
//! followed by another that finds the child under the same id.

use crate::base::clock::Millis;
use crate::dialing::Dialer;
use crate::domain::call::{Call, Event, Phase, Rules};
use crate::domain::disposition::Disposition;
use crate::store::{Applied, Store, StoreError, Submitted};

impl Dialer {
    /// Hands a claimed call for which [`Call::waits_for_other_number`] holds over to the next of the contact's other
    /// numbers that is not on a do-not-call list. Where there is none it waits for another attempt to its own number, or
    /// ends as its last attempt did.
    ///
    /// # Errors
    /// Where Redis does not answer; the call comes due again by its lease, and handing over twice is the same.
    pub async fn hand_over(&self, call: Call) -> Result<(), StoreError> {
        if let Applied::Done(call, effects) = go_on(&self.store, &self.rules, call, self.clock.now()).await? {
            if let Some(ending) = call.ending().filter(|_| call.phase() == Phase::Ended) {
                self.metrics.call_over(ending.disposition.as_str(), call.adversarial_level());
            }
            self.effects.perform(&call, effects).await;
        }
        Ok(())
    }
}

async fn go_on(store: &Store, rules: &Rules, call: Call, now: Millis) -> Result<Applied, StoreError> {
    let expires = call.expires_in(store.campaign_of(&call).await?.as_deref());
    if now >= expires {
        return store.apply(call, Event::Expired, rules).await;
    }
    let Some(child) = child(store, &call, expires, now).await? else {
        return store.apply(call, Event::NoOtherNumber, rules).await;
    };
    tracing::info!(
        call_id = %call.id, child = %child.id, phone_hash = %child.phone_hash, "a call goes on at another number"
    );
    let superseded = store.apply(call, Event::Superseded, rules).await?;
    // Somebody was faster: another node that hands over too, or a client that canceled. What is ended otherwise goes on
    // nowhere.
    if let Applied::Stale(parent) = &superseded
        && parent.ending().is_some_and(|ending| ending.disposition != Disposition::Superseded)
    {
        store.apply(child, Event::Cancel, rules).await?;
    }
    Ok(superseded)
}

/// The call to the first other number that may be called, written; `None` where there is none.
async fn child(store: &Store, call: &Call, expires: Millis, now: Millis) -> Result<Option<Call>, StoreError> {
    for (n, phone) in call.body.alternatives.iter().enumerate() {
        let Some(child) = call.to_other_number(n, store.hash(phone.e164()), expires, now) else { continue };
        // First: who handed it over before and died may have found another state of the lists.
        if let Some(known) = store.load(&child.id).await? {
            return Ok(Some(known));
        }
        if store.suppressed(phone.e164(), now).await?.is_some() {
            continue;
        }
        match store.submit_one(&child, None, now).await? {
            Submitted::Created => return Ok(Some(child)),
            Submitted::Exists | Submitted::Repeat { .. } => return store.load(&child.id).await,
            Submitted::Suppressed | Submitted::OpenElsewhere => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, HOUR};
    use crate::domain::call::Body;
    use crate::domain::call::{HangUpCause, Leg};
    use crate::domain::ids::{CallId, CampaignId, Shard};
    use crate::domain::phone::Phone;
    use crate::store::testing::TestRedis;
    use crate::store::{Scope, Suppression};

    struct Bed {
        _redis: TestRedis,
        store: Store,
        rules: Rules,
        list: CampaignId,
    }

    fn phone(n: u32) -> Phone {
        Phone::from_e164(&format!("+1415555{n:04}")).unwrap()
    }

    impl Bed {
        async fn start() -> Self {
            let redis = TestRedis::start().await;
            let store = redis.store(Clock::System).await;
            Self { _redis: redis, store, rules: Rules::default(), list: CampaignId::random() }
        }

        async fn ban(&self, n: u32) {
            let entry = Suppression {
                number: phone(n).e164().into(),
                prefix: false,
                scope: Scope::Global,
                source: "api".into(),
                evidence: None,
                call_id: None,
                created_at: 1,
                expires_at: None,
            };
            self.store.suppress(&entry).await.unwrap();
        }

        async fn apply(&self, call: Call, event: Event) -> Call {
            match self.store.apply(call, event, &self.rules).await.unwrap() {
                Applied::Done(call, _) => *call,
                other => panic!("{other:?}"),
            }
        }

        /// A call of the list whose first number was invalid.
        async fn waiting(&self, alternatives: &[u32], cause: HangUpCause) -> Call {
            let now = Clock::System.now();
            let mut body = Body::new(phone(1), now);
            body.alternatives = alternatives.iter().map(|n| phone(*n)).collect();
            let id = CallId::new(Shard::of(phone(1).e164()));
            let call = Call::new(id, self.store.hash(phone(1).e164()), Some(self.list.clone()), body);
            self.store.submit_one(&call, None, now).await.unwrap();
            let leg = Leg { attempt: 1, sid: format!("CA{}", call.id) };
            let code = (cause == HangUpCause::Failed).then(|| "21211".to_owned());
            let call = self.apply(call, Event::HungUp { leg, cause, code, duration_s: None }).await;
            assert!(call.waits_for_other_number());
            call
        }

        async fn hand_over(&self, call: &Call) -> Applied {
            go_on(&self.store, &self.rules, call.clone(), Clock::System.now()).await.unwrap()
        }

        async fn open(&self, n: u32) -> Vec<Call> {
            let ids = self.store.open_calls(phone(n).e164()).await.unwrap();
            self.store.load_many(&ids).await.unwrap().into_iter().flatten().collect()
        }
    }

    #[tokio::test]
    async fn a_call_goes_on_at_the_next_number_that_may_be_called() {
        let bed = Bed::start().await;
        bed.ban(2).await;
        let call = bed.waiting(&[2, 3, 4], HangUpCause::NoAnswer).await;
        assert!(
            matches!(bed.hand_over(&call).await, Applied::Done(ended, _) if ended.phase() == Phase::Ended)
        );
        assert!(bed.open(2).await.is_empty(), "its number is on the list");
        let child = bed.open(3).await.remove(0);
        assert_eq!((child.body.attempt, child.body.alternatives.clone()), (2, vec![phone(4)]));
        assert_eq!(child.campaign.as_ref(), Some(&bed.list));
        let counters = bed.store.counters(bed.list.as_str()).await.unwrap();
        assert_eq!((counters["accepted"], counters["ended"]), (2, 1));
        assert_eq!((counters["waiting:other_number"], counters["disposition:superseded"]), (0, 1));
        // A node that died after the child was written: the same child, whatever the lists say now.
        bed.ban(3).await;
        bed.ban(4).await;
        assert!(matches!(bed.hand_over(&call).await, Applied::Stale(_)));
        assert_eq!(bed.open(3).await.len(), 1, "it was not canceled: its parent is superseded");
        assert!(bed.open(4).await.is_empty());
    }

    #[tokio::test]
    async fn a_canceled_call_goes_on_nowhere() {
        let bed = Bed::start().await;
        let call = bed.waiting(&[2], HangUpCause::NoAnswer).await;
        bed.apply(call.clone(), Event::Cancel).await;
        assert!(matches!(bed.hand_over(&call).await, Applied::Stale(_)));
        assert!(bed.open(2).await.is_empty());
    }

    #[tokio::test]
    async fn without_another_number_the_same_one_unless_it_is_refused() {
        let bed = Bed::start().await;
        bed.ban(2).await;
        let call = bed.waiting(&[2], HangUpCause::Busy).await;
        let Applied::Done(call, _) = bed.hand_over(&call).await else { panic!("it goes on") };
        assert_eq!((call.phase(), call.waits_for()), (Phase::Queued, Some("retry")));
        let call = bed.waiting(&[2], HangUpCause::Failed).await;
        let Applied::Done(call, _) = bed.hand_over(&call).await else { panic!("it ends") };
        let ending = call.ending().map(|e| (e.disposition, e.reason.as_str()));
        assert_eq!(ending, Some((Disposition::InvalidNumber, "no_other_number")));
        let mut late = bed.waiting(&[3], HangUpCause::Busy).await;
        late.body.expires_at = Some(Clock::System.now() - HOUR);
        let Applied::Done(late, _) = bed.hand_over(&late).await else { panic!("it ends") };
        assert_eq!(late.ending().map(|e| e.disposition), Some(Disposition::Busy), "as its last attempt");
        assert!(bed.open(3).await.is_empty());
    }
}
