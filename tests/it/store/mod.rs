//! The store on a real Redis. Each scenario runs on a server of its own here and, in `cluster`, on a cluster.

mod batches;
mod listed;
mod lives;
mod model;
mod pacing;
mod queue;
mod random;
mod speech;
mod waits;
mod write;

use std::pin::Pin;
use std::sync::Arc;

use carillon::base::clock::{Clock, Millis};
use carillon::domain::call::{Body, Call, Event, Leg, Rules};
use carillon::domain::ids::{CallId, CampaignId, Shard};
use carillon::domain::phone::Phone;
use carillon::store::{
    Applied, Claimed, Claims, RedisConfig, Start, StartChecks, Started, Store, StoreError, Wants,
};
use secrecy::SecretBox;

use pacing::{guards, numbers, rate, share};

use crate::support::{Backend, RedisServer, invariants};

/// A lease that does not end during a test.
pub(crate) const LONG: Millis = 600_000;
/// How soon a refused dial is looked at again.
pub(crate) const CHECKS: StartChecks = StartChecks { leg_wait: 5_000 };

/// A store on a Redis.
pub(crate) struct Bed {
    pub(crate) redis: Backend,
    pub(crate) store: Store,
    pub(crate) rules: Rules,
}

/// What a store of the tests is set up with.
pub(crate) fn config(url: String, hash_key: &[u8]) -> RedisConfig {
    RedisConfig {
        url,
        phone_hash_key: Arc::new(SecretBox::new(Box::new(hash_key.to_vec()))),
        default_webhook_url: Some("http://127.0.0.1:9/hook".into()),
        frequency_cap: 3,
        wait_replicas: 0,
        allow_eviction: false,
    }
}

impl Bed {
    pub(crate) async fn on(redis: Backend) -> Self {
        let store = Store::connect(config(redis.url(), b"a key of the tests"), Clock::System).await;
        let store = store.unwrap_or_else(|error| panic!("{error}"));
        Self { redis, store, rules: Rules::default() }
    }

    /// Ends the store, after the invariants were looked at.
    pub(crate) async fn done(self) -> Backend {
        assert_eq!(invariants::check(&self.redis).await, Vec::<String>::new());
        self.store.close().await;
        self.redis
    }

    /// A waiting call to the n-th number, not handed in.
    pub(crate) fn call(&self, n: u32, campaign: Option<&CampaignId>) -> Call {
        let phone = Phone::from_e164(&format!("+1415555{n:04}")).expect("a number");
        let hash = self.store.hash(phone.e164());
        let id = CallId::new(Shard::of(phone.e164()));
        Call::new(id, hash, campaign.cloned(), Body::new(phone, Clock::System.now()))
    }

    /// Waiting calls to different people of one shard, not handed in.
    pub(crate) fn calls_in(&self, shard: Shard, count: usize, campaign: Option<&CampaignId>) -> Vec<Call> {
        (0..10_000).map(|n| self.call(n, campaign)).filter(|c| c.id.shard() == shard).take(count).collect()
    }

    pub(crate) async fn submit(&self, call: &Call) {
        let now = Clock::System.now();
        let answer = self.store.submit_one(call, None, now).await.expect("redis answers");
        assert_eq!(answer, carillon::store::Submitted::Created);
    }

    pub(crate) async fn claims(&self, shard: Shard, lease: Millis) -> Claims {
        // What waits is known only once it was looked at.
        let wants = Wants { live: 100, urgent: 100, campaigns: Vec::new() };
        let mut first = self.store.claim(shard, lease, &wants).await.expect("redis answers");
        let campaigns = first.waiting.iter().map(|w| (w.campaign.clone(), 100)).collect();
        let wants = Wants { live: 0, urgent: 0, campaigns };
        let then = self.store.claim(shard, lease, &wants).await.expect("redis answers");
        first.calls.extend(then.calls);
        Claims { calls: first.calls, lost: first.lost + then.lost, ..then }
    }

    /// Claims calls whose time has come, and none that wait.
    pub(crate) async fn claims_live(&self, shard: Shard) -> Claims {
        let wants = Wants { live: 100, ..Wants::default() };
        self.store.claim(shard, LONG, &wants).await.expect("redis answers")
    }

    /// Claims so many calls of each of these campaigns, and nothing else.
    pub(crate) async fn bring(&self, shard: Shard, campaigns: &[(&CampaignId, u32)]) -> Claims {
        let campaigns = campaigns.iter().map(|(id, n)| ((*id).clone(), *n)).collect();
        let wants = Wants { live: 0, urgent: 0, campaigns };
        self.store.claim(shard, LONG, &wants).await.expect("redis answers")
    }

    /// Hands a call in and claims it, alone in its shard.
    pub(crate) async fn claimed(&self, call: &Call) -> Call {
        self.submit(call).await;
        let found = self.claims(call.id.shard(), LONG).await.calls.into_iter();
        found.map(|c: Claimed| c.call).find(|c| c.id == call.id).expect("it is claimed")
    }

    pub(crate) async fn apply(&self, call: &Call, event: Event) -> Applied {
        self.store.apply(call.clone(), event, &self.rules).await.expect("redis answers")
    }

    pub(crate) async fn done_by(&self, call: &Call, event: Event) -> Call {
        match self.apply(call, event).await {
            Applied::Done(call, _) => *call,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn start(&self, call: &Call) -> Started {
        self.start_all(std::slice::from_ref(call)).await.remove(0)
    }

    pub(crate) async fn start_all(&self, calls: &[Call]) -> Vec<Started> {
        let starts = calls.iter().map(|call| Start {
            call: call.clone(),
            caller: "+14155550199".into(),
            caller_key: "a key".into(),
            evidence: serde_json::json!({"window": "open"}),
        });
        self.store.start(starts.collect(), &self.rules, CHECKS).await
    }

    pub(crate) async fn started(&self, call: &Call) -> Call {
        match self.start(call).await {
            Started::Done(call) => *call,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn load(&self, id: &CallId) -> Call {
        self.store.load(id).await.expect("redis answers").expect("a record")
    }
}

/// The leg of a call's present attempt.
pub(crate) fn leg(call: &Call) -> Leg {
    Leg { attempt: call.body.attempt, sid: format!("CA{}", call.id) }
}

/// A key of a call.
pub(crate) fn key(kind: &str, id: &CallId) -> String {
    format!("{kind}:{{s{:02}}}:{id}", id.shard().0)
}

type Scenario = fn(Bed) -> Pin<Box<dyn Future<Output = Backend>>>;

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// Every scenario, for a backend that is used again and again.
        pub(crate) fn every_scenario() -> Vec<(&'static str, Scenario)> {
            vec![$((stringify!($name), |bed| Box::pin(async move { $module::$name(&bed).await; bed.done().await }))),*]
        }
        mod one_server {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let bed = Bed::on(Backend::One(RedisServer::start().await)).await;
                $module::$name(&bed).await;
                bed.done().await;
            })*
        }
    };
}

scenarios! {
    lives::nobody_overwrites_what_another_wrote,
    lives::who_watches_is_told_each_step,
    lives::what_waits_for_later_is_hastened,
    lives::one_keeper_at_a_time,
    queue::a_call_is_taken_in_once,
    queue::a_lapsed_lease_is_nobodys,
    queue::a_claim_brings_what_is_wanted,
    queue::ids_without_a_record_are_counted,
    queue::a_list_is_paged_to_its_end,
    batches::denied_calls_go_back_to_the_head,
    batches::a_lane_is_drained_by_priority,
    batches::put_off_calls_keep_what_was_learned,
    batches::a_batch_starts_each_by_its_own_checks,
    batches::a_start_is_written_once,
    batches::campaigns_and_prefixes_are_listed_too,
    listed::an_entry_reaches_whom_it_concerns,
    listed::an_entry_without_its_number_goes_on_to_hold,
    listed::what_lasts_longer_is_not_shortened,
    listed::a_prefix_stands_in_every_shard,
    listed::the_list_is_scanned_to_its_end,
    listed::an_opt_out_ends_the_persons_calls_everywhere,
    write::a_stale_epoch_never_writes,
    write::learning_of_a_waiting_call_leaves_it_in_its_place,
    write::a_dial_is_checked_against_the_person,
    write::an_opt_out_finds_the_others,
    write::a_dial_that_was_forgotten_counts,
    write::an_ended_call_leaves_nothing_behind,
    write::events_go_in_order_and_die_and_return,
    write::a_shards_events_are_settled_in_one_step,
    write::what_comes_up_is_told,
    write::a_calls_events_may_be_brought_together,
    waits::waiting_calls_are_counted_by_reason,
    waits::a_campaign_tries_again_as_it_says,
    waits::a_callback_is_a_call_of_its_campaign,
    speech::a_turn_is_leased_resumed_and_answered_once,
    speech::the_next_turn_is_begun_without_asking,
    speech::what_is_journaled_late_does_not_stay,
    speech::the_first_turn_is_whose_commit_comes_first,
    rate::moments_are_spaced_by_the_rate,
    rate::a_campaign_and_a_number_have_a_rate_of_their_own,
    rate::slots_are_never_more_and_some_are_kept_for_urgent_calls,
    rate::asked_again_it_keeps_slot_moment_and_number,
    share::backlogged_campaigns_share_by_weight,
    share::shares_hold_where_a_worker_sees_some_of_them,
    share::an_idle_campaign_comes_back_at_the_present,
    share::a_pause_binds_at_the_next_permit,
    share::the_plan_brings_what_can_be_dialed,
    share::what_was_not_placed_is_credited,
    numbers::a_number_has_slots_and_a_budget_for_the_day,
    numbers::a_number_that_nobody_answers_rests,
    numbers::a_number_without_one_answer_rests_and_another_serves,
    guards::a_destination_that_fails_is_left_alone_and_tried_again,
    guards::a_number_that_fails_is_passed_over,
    guards::a_carrier_that_fails_is_probed,
    guards::the_carriers_throttle_halves_the_rate_and_gives_it_back,
    guards::gates_take_part_in_the_minimum,
    guards::too_many_abandoned_calls_stop_a_campaign,
    guards::conversations_are_kept_going_by_the_share_that_answers,
    guards::slots_and_counts_agree_whatever_is_asked,
    random::any_workers_bring_every_call_to_an_end,
}

#[tokio::test]
async fn a_flushed_script_cache_and_another_hash_key() {
    let mut bed = Bed::on(Backend::One(RedisServer::start().await)).await;
    bed.submit(&bed.call(1, None)).await;
    bed.redis.everywhere(&["SCRIPT", "FLUSH"]).await;
    bed.submit(&bed.call(2, None)).await;
    let other = Store::connect(config(bed.redis.url(), b"another key"), Clock::System).await;
    assert!(matches!(other, Err(StoreError::Refused(_))));
    bed.redis.everywhere(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let other = Store::connect(config(bed.redis.url(), b"a key of the tests"), Clock::System).await;
    assert!(matches!(other, Err(StoreError::Refused(_))));
    // Who was there before is told.
    let health = bed.store.health().await.expect("redis answers");
    assert!(health.refused && health.maxmemory_policy == "allkeys-lru", "{health:?}");
    bed.redis.everywhere(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    bed.redis.everywhere(&["CONFIG", "SET", "appendonly", "yes"]).await;
    let health = bed.store.health().await.expect("redis answers");
    assert!(!health.refused && health.aof && health.replicas == 0, "{health:?}");
    assert!(health.advice.len() == 1 && health.advice[0].contains("replica"), "{health:?}");
}

#[tokio::test]
async fn of_a_cluster_every_primary_is_asked() {
    let mut cluster = crate::support::RedisCluster::start(3, 0).await;
    let store = Store::connect(config(cluster.url(), b"a key of the tests"), Clock::System).await;
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    let health = store.health().await.expect("redis answers");
    assert!(!health.refused && health.maxmemory_policy == "noeviction", "{health:?}");
    // One of three is enough.
    cluster.node(2).client().await.cmd(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    let health = store.health().await.expect("redis answers");
    assert!(health.refused && health.maxmemory_policy == "volatile-ttl", "{health:?}");
    let other = Store::connect(config(cluster.url(), b"a key of the tests"), Clock::System).await;
    assert!(matches!(other, Err(StoreError::Refused(why)) if why.contains("volatile-ttl")));
}
