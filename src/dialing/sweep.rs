//! Capacity slots against records: a slot whose call holds no line any more was leaked by a dying node, or by one that
//! could not reach the fleet's Redis when it gave the slot back (K2).

use crate::base::clock::Millis;
use crate::dialing::Dialer;
use crate::domain::call::LegOutcome;
use crate::domain::ids::CallId;
use crate::store::{Release, Store, StoreError};

impl Dialer {
    /// Gives leaked slots back; answers how many.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        give_back(&self.store, self.clock.now(), self.config.slot_grace).await
    }
}

async fn give_back(store: &Store, now: Millis, grace: Millis) -> Result<usize, StoreError> {
    let old: Vec<_> = store.slots().await?.into_iter().filter(|slot| slot.since + grace < now).collect();
    let mut leaked: Vec<Release> = Vec::new();
    for chunk in old.chunks(256) {
        let ids: Vec<CallId> = chunk.iter().map(|slot| slot.id.clone()).collect();
        for (slot, call) in chunk.iter().zip(store.load_many(&ids).await?) {
            if !call.is_some_and(|call| call.phase().holds_slot()) {
                leaked.push(Release {
                    id: slot.id.clone(),
                    epoch: slot.epoch,
                    outcome: Some(LegOutcome::Other),
                });
            }
        }
    }
    if !leaked.is_empty() {
        tracing::warn!(slots = leaked.len(), "slots that no call holds were given back");
        store.release(&leaked).await?;
    }
    Ok(leaked.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, HOUR};
    use crate::domain::call::{Body, Call, Event, Leg, Phase, Rules};
    use crate::domain::campaign::{AnswerRate, Campaign, State};
    use crate::domain::ids::{CampaignId, Shard};
    use crate::domain::phone::Phone;
    use crate::store::testing::TestRedis;
    use crate::store::{Account, Ask, Caller, Committed, Feedback, Request};

    /// A call of the list to the n-th number, after these events.
    async fn call(store: &Store, list: &CampaignId, n: u32, events: &[Event]) -> Call {
        let now = Clock::System.now();
        let phone = Phone::from_e164(&format!("+1415555{n:04}")).unwrap();
        let (id, hash) = (CallId::new(Shard::of(phone.e164())), store.hash(phone.e164()));
        let call = Call::new(id, hash, Some(list.clone()), Body::new(phone, now));
        store.submit_one(&call, None, now).await.unwrap();
        if events.is_empty() {
            return call;
        }
        let mut change = call.change();
        for event in events {
            change.apply(event.clone(), &Rules::default(), now).unwrap();
        }
        match store.commit(change, None).await.unwrap() {
            Committed::Done(call, _) => *call,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn slots_that_nobody_gave_back_come_back_and_held_ones_stay() {
        let redis = TestRedis::start().await;
        let store = redis.store(Clock::System).await;
        let now = Clock::System.now();
        let mut list = Campaign::new(CampaignId::random(), now);
        list.state = State::Running;
        list.answer_rate = Some(AnswerRate { conversations: 9 });
        store.put_campaign(&list).await.unwrap();
        let started = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
        let leg = Leg { attempt: 1, sid: "CA1".into() };
        let talks = call(&store, &list.id, 1, &[started.clone(), Event::Answered(leg)]).await;
        let unclear = call(&store, &list.id, 2, &[started, Event::DialUnknown]).await;
        let waits = call(&store, &list.id, 3, &[]).await;
        let over = call(&store, &list.id, 4, &[Event::Cancel]).await;
        assert_eq!(
            [&talks, &unclear, &waits, &over].map(Call::phase),
            [Phase::InProgress, Phase::Unconfirmed, Phase::Queued, Phase::Ended]
        );
        let gone = CallId::new(Shard(9));
        let ids = [&talks.id, &unclear.id, &waits.id, &over.id, &gone];
        let asks = ids.map(|id| Ask {
            id: id.clone(),
            epoch: 1,
            campaign: Some(list.id.clone()),
            destination: "1415".into(),
            callers: vec![0],
        });
        let callers = [Caller { key: "a".into(), max_cps: 0.0, max_concurrent: 0, max_daily: 0 }];
        let feedback = Feedback::default();
        let request = Request {
            account: Account::default(),
            callers: &callers,
            asks: &asks,
            waiting: &[],
            releases: &[],
            feedback: &feedback,
            most: 0,
        };
        let permits = store.permit(request).await.unwrap();
        assert!(permits.grants.iter().all(Result::is_ok), "{permits:?}");
        // Of one that talked and is over pacing had heard; with the slot that goes, too.
        store.answered(&[talks.id.clone(), over.id.clone()]).await.unwrap();
        let counts = async || {
            let view = store.pacing(Some(&list.id)).await.unwrap();
            (view.account.slots, view.campaigns[0].live, view.campaigns[0].answered, view.callers[0].live)
        };
        assert_eq!(counts().await, (5, 5, 2, 5));
        assert_eq!(give_back(&store, permits.now, HOUR).await.unwrap(), 0, "they may just be starting");
        let later = permits.now + 2 * HOUR;
        assert_eq!(give_back(&store, later, HOUR).await.unwrap(), 3);
        assert_eq!(counts().await, (2, 2, 1, 2));
        let mut held: Vec<CallId> = store.slots().await.unwrap().into_iter().map(|slot| slot.id).collect();
        held.sort();
        let mut expected = vec![talks.id, unclear.id];
        expected.sort();
        assert_eq!(held, expected);
        assert_eq!(give_back(&store, later, HOUR).await.unwrap(), 0);
    }
}
