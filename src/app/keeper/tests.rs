//! Rounds of a keeper on a real Redis: what it does with a campaign that nobody touches.

use std::sync::Mutex;

use futures::FutureExt;

use super::*;
use crate::domain::call::{Body, Call, Effect, Leg, Phase};
use crate::domain::ids::CallId;
use crate::domain::phone::Phone;
use crate::store::testing::TestRedis;
use crate::store::{Start, StartChecks, Started, Wants};

struct Bed {
    _redis: TestRedis,
    keeper: Keeper,
    memory: Memory,
    performed: Arc<Mutex<Vec<Effect>>>,
}

impl Bed {
    async fn start() -> Self {
        let redis = TestRedis::start().await;
        let store = redis.store(Clock::System).await;
        let performed = Arc::new(Mutex::new(Vec::new()));
        let done = Arc::clone(&performed);
        let keeper = Keeper {
            store,
            perform: Arc::new(move |_, effects| {
                done.lock().expect("unpoisoned").extend(effects);
                async {}.boxed()
            }),
            rules: Arc::new(Rules::default()),
            clock: Clock::System,
            name: "this one".into(),
        };
        Self { _redis: redis, keeper, memory: Memory::default(), performed }
    }

    fn store(&self) -> &Store {
        &self.keeper.store
    }

    async fn campaign(&self, change: impl FnOnce(&mut Campaign)) -> CampaignId {
        let mut it = Campaign::new(CampaignId::random(), Clock::System.now());
        change(&mut it);
        assert!(self.store().create_campaign(&it).await.expect("written").is_none());
        it.id
    }

    async fn call(&self, n: u32, campaign: &CampaignId, due: Millis) -> CallId {
        let phone = Phone::from_e164(&format!("+1415555{n:04}")).expect("a number");
        let hash = self.store().hash(phone.e164());
        let id = CallId::new(Shard::of(phone.e164()));
        let now = Clock::System.now();
        let mut body = Body::new(phone, now);
        body.schedule_at = (due > 0).then_some(due);
        let call = Call::new(id.clone(), hash, Some(campaign.clone()), body);
        self.store().submit_one(&call, None, now).await.expect("in");
        id
    }

    async fn claimed(&self, id: &CallId) -> Option<Call> {
        let campaign = self.store().load(id).await.expect("read").and_then(|call| call.campaign);
        let wants =
            Wants { live: 50, urgent: 50, campaigns: campaign.into_iter().map(|c| (c, 50)).collect() };
        let claims = self.store().claim(id.shard(), 600_000, &wants).await.expect("claimed");
        claims.calls.into_iter().map(|c| c.call).find(|c| c.id == *id)
    }

    async fn apply(&self, call: Call, event: Event) -> Call {
        match self.store().apply(call, event, &self.keeper.rules).await.expect("redis answers") {
            Applied::Done(call, _) => *call,
            other => panic!("{other:?}"),
        }
    }

    async fn ring(&self, id: &CallId) -> Call {
        let call = self.claimed(id).await.expect("it waits");
        let checks = StartChecks { leg_wait: 1_000 };
        let start = Start {
            call,
            caller: "+14155550199".into(),
            caller_key: "a number of ours".into(),
            evidence: serde_json::json!({}),
        };
        let started = self.store().start(vec![start], &self.keeper.rules, checks).await.pop();
        let Some(Started::Done(call)) = started else { panic!("{started:?}") };
        self.apply(*call, Event::Rang(Leg { attempt: 1, sid: format!("CA{id}") })).await
    }

    async fn round(&mut self) {
        self.keeper.round(&mut self.memory).await.expect("redis answers");
    }

    async fn state(&self, id: &CampaignId) -> State {
        self.store().campaign_fresh(id).await.expect("read").expect("there").state
    }
}

fn command(command: Command) -> impl FnOnce(&mut Campaign) {
    move |it| assert!(it.command(command, "api:test", None, 1).expect("it goes"))
}

#[tokio::test]
async fn times_come_and_the_brake_stops() {
    let mut bed = Bed::start().await;
    let now = Clock::System.now();
    let started = bed.campaign(command(Command::Schedule { at: now - 1 })).await;
    let later = bed.campaign(command(Command::Schedule { at: now + 600_000 })).await;
    let expired = bed.campaign(|it| it.expires_at = Some(now - 1)).await;
    bed.round().await;
    assert_eq!(bed.state(&started).await, State::Running);
    assert_eq!(bed.state(&later).await, State::Scheduled);
    assert_eq!(bed.state(&expired).await, State::Draining { toward: Toward::Expired });
    bed.round().await;
    assert_eq!(bed.state(&expired).await, State::Expired, "it had no call");
    let history = bed.store().campaign(&started).await.expect("read").expect("there").history.clone();
    assert_eq!((history[1].by.as_str(), history[1].to), ("keeper", State::Running));
    // Over, it is looked at no more.
    assert!(bed.store().open_campaigns().await.expect("open").iter().all(|it| it.id != expired));
    let brake = OpenCampaign {
        brake: Some("3/60".into()),
        ..bed.store().open_campaigns().await.expect("open").remove(0)
    };
    let running = OpenCampaign { life: "running".into(), starts_at: None, ..brake };
    let (stop, by, why) = due(&running, now).expect("it stops");
    assert_eq!(
        (stop, by, why.as_str()),
        (Command::Pause, "brake", "3 of 60 live answers in 30 days heard no voice of ours in time")
    );
    assert_eq!(due(&OpenCampaign { life: "paused".into(), ..running }, now), None);
}

#[tokio::test]
async fn a_campaign_drains_refills_and_is_completed_once_all_is_over() {
    let mut bed = Bed::start().await;
    let id = bed.campaign(command(Command::Start)).await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Running, "without a row there is nothing to complete");
    let first = bed.call(1, &id, 0).await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Running);
    let ringing = bed.ring(&first).await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Draining { toward: Toward::Completed }, "it rings, none waits");
    let second = bed.call(2, &id, 0).await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Running);
    bed.apply(ringing, Event::Cancel).await;
    let waiting = bed.claimed(&second).await.expect("it waits");
    bed.apply(waiting, Event::Expired).await;
    bed.round().await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Draining { toward: Toward::Completed }, "one rings still");
    let call = bed.store().load(&first).await.expect("read").expect("there");
    let leg = Leg { attempt: 1, sid: format!("CA{first}") };
    let cause = crate::domain::call::HangUpCause::Canceled;
    let call = bed.apply(call, Event::HungUp { leg, cause, code: None, duration_s: None }).await;
    assert_eq!(call.phase(), Phase::WrapUp);
    let ended =
        Event::Concluded { artefacts: vec![], outcome: None, adversarial_score: None, employment_gaps: None };
    bed.apply(call, ended).await;
    // Not under the hands of who reads a list into it.
    let reading =
        |at| move |it: &mut Campaign| -> Result<bool, ()> { Ok(it.reading_since.replace(at) != Some(at)) };
    bed.store().change_campaign(&id, reading(Clock::System.now())).await.expect("written");
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Draining { toward: Toward::Completed });
    bed.store().change_campaign(&id, reading(Clock::System.now() - READING)).await.expect("written");
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Completed);
    assert!(!bed.store().pulses(&id).await.expect("read").is_empty());
}

#[tokio::test]
async fn a_cancelled_campaign_leaves_nothing_in_the_future_and_hangs_up() {
    let mut bed = Bed::start().await;
    let id = bed.campaign(command(Command::Start)).await;
    let other = bed.campaign(|_| {}).await;
    let live = bed.call(1, &id, 0).await;
    bed.ring(&live).await;
    let tomorrow = Clock::System.now() + 86_400_000;
    let later = bed.call(2, &id, tomorrow).await;
    let not_its = bed.call(2, &other, tomorrow).await;
    assert!(bed.claimed(&later).await.is_none());
    bed.keeper.command(&id, Command::Cancel, "api:test", "wrong list", |_| true).await.expect("written");
    bed.round().await;
    assert!(bed.performed.lock().expect("unpoisoned").contains(&Effect::HangUp { sid: format!("CA{live}") }));
    assert!(bed.store().load(&live).await.expect("read").expect("there").body.cancel_requested);
    let waiting = bed.claimed(&later).await.expect("it is due now");
    assert!(bed.claimed(&not_its).await.is_none(), "another campaign's is not");
    bed.apply(waiting, Event::Cancel).await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Draining { toward: Toward::Cancelled });
    let call = bed.store().load(&live).await.expect("read").expect("there");
    let leg = Leg { attempt: 1, sid: format!("CA{live}") };
    let cause = crate::domain::call::HangUpCause::Canceled;
    let call = bed.apply(call, Event::HungUp { leg, cause, code: None, duration_s: None }).await;
    let ended =
        Event::Concluded { artefacts: vec![], outcome: None, adversarial_score: None, employment_gaps: None };
    bed.apply(call, ended).await;
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Cancelled);
    let counts = bed.store().campaign_counts(&id).await.expect("counted");
    assert_eq!((counts.accepted(), counts.ended(), counts.open(), counts.ready), (2, 2, 0, 0));
}

#[tokio::test]
async fn one_keeps_and_the_others_wait() {
    let mut bed = Bed::start().await;
    bed.round().await;
    let id = bed.campaign(command(Command::Schedule { at: 1 })).await;
    let other = Keeper { name: "another".into(), ..bed.keeper.clone() };
    other.round(&mut Memory::default()).await.expect("redis answers");
    assert_eq!(bed.state(&id).await, State::Scheduled);
    bed.round().await;
    assert_eq!(bed.state(&id).await, State::Running);
}
