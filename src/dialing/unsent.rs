//! Dials that this process wrote as started, or tried to, and never made: Redis did not say whether it took the start, or
//! the moment had passed. Only this process knows that nothing was sent. It says so as soon as Redis answers; where it
//! cannot, the lease brings the call back as one that may have rung, which is looked up and never dialed again.

use std::sync::{Mutex, PoisonError};

use crate::dialing::Dialer;
use crate::domain::call::{Call, Event, Phase};
use crate::domain::ids::CallId;
use crate::store::{Store, StoreError};

/// What is to be taken back.
#[derive(Debug, Default)]
pub struct Unsent(Mutex<Vec<Attempt>>);

/// An attempt under our claim.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    call: CallId,
    epoch: u32,
    attempt: u32,
}

impl Unsent {
    /// Takes note of a dial that will not be made.
    pub(super) fn keep(&self, call: &Call) {
        self.all().push(Attempt::of(call));
    }

    /// Redis knows by now.
    pub(super) fn forget(&self, call: &Call) {
        let known = Attempt::of(call);
        self.all().retain(|one| *one != known);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    fn of(call: &Call) -> Self {
        Self { call: call.id.clone(), epoch: call.head.epoch, attempt: call.body.attempt }
    }

    /// The call where this attempt stands in Redis as started. Once somebody else has claimed it, it is theirs to find out.
    async fn under_way(&self, store: &Store) -> Result<Option<Call>, StoreError> {
        let call = store.load(&self.call).await?;
        Ok(call.filter(|call| Self::of(call) == *self && call.phase() == Phase::Dialing))
    }
}

impl Dialer {
    /// Says of all that was written as started and not made that nothing was sent: the same attempt waits again.
    ///
    /// # Errors
    /// Where Redis does not answer; what is left is kept for the next time.
    pub async fn take_back_unsent(&self) -> Result<(), StoreError> {
        let mut all = std::mem::take(&mut *self.unsent.all());
        while let Some(one) = all.pop() {
            if let Err(error) = self.take_back(&one).await {
                all.push(one);
                self.unsent.all().append(&mut all);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn take_back(&self, one: &Attempt) -> Result<(), StoreError> {
        if let Some(call) = one.under_way(&self.store).await? {
            let until = self.clock.now();
            self.apply(call, Event::NotSent { until }).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::domain::call::{Body, Rules};
    use crate::domain::ids::Shard;
    use crate::domain::phone::Phone;
    use crate::store::testing::TestRedis;
    use crate::store::{Committed, Wants};

    async fn done(store: &Store, call: &Call, event: Event) -> Call {
        let mut change = call.clone().change();
        change.apply(event, &Rules::default(), Clock::System.now()).unwrap();
        match store.commit(change, None).await.unwrap() {
            Committed::Done(call, _) => *call,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_what_is_still_ours_and_started_is_taken_back() {
        let redis = TestRedis::start().await;
        let store = redis.store(Clock::System).await;
        let now = Clock::System.now();
        let phone = Phone::from_e164("+14155550123").unwrap();
        let shard = Shard::of(phone.e164());
        let call = Call::new(CallId::new(shard), store.hash(phone.e164()), None, Body::new(phone, now));
        store.submit_one(&call, None, now).await.unwrap();
        let urgent = Wants { live: 1, urgent: 1, campaigns: Vec::new() };
        let claimed = store.claim(shard, 1, &urgent).await.unwrap().calls.remove(0).call;
        let unsent = Attempt::of(&claimed);
        assert!(unsent.under_way(&store).await.unwrap().is_none(), "Redis never took the start");

        let started = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
        let started = done(&store, &claimed, started).await;
        let found = unsent.under_way(&store).await.unwrap().expect("it was taken");
        assert_eq!(found, started);

        let waits = done(&store, &found, Event::NotSent { until: now }).await;
        assert_eq!((waits.phase(), waits.body.attempt), (Phase::Queued, 1));
        assert!(unsent.under_way(&store).await.unwrap().is_none(), "said once");
        let other = Attempt { epoch: started.head.epoch + 1, ..unsent };
        assert!(other.under_way(&store).await.unwrap().is_none(), "another's claim");
    }

    #[test]
    fn what_redis_knows_is_forgotten() {
        let unsent = Unsent::default();
        let phone = Phone::from_e164("+14155550123").unwrap();
        let calls = [1, 2].map(|n| {
            let hash = crate::domain::ids::PhoneHash::of(b"key", phone.e164());
            Call::new(CallId::new(Shard(n)), hash, None, Body::new(phone.clone(), 0))
        });
        calls.iter().for_each(|call| unsent.keep(call));
        unsent.forget(&calls[0]);
        assert_eq!(*unsent.all(), [Attempt::of(&calls[1])]);
    }
}
