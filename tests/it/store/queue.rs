//! Calls coming in, being claimed, being listed, and the slots they ask for.

use std::time::Duration;

use carillon::base::clock::{Clock, DAY};
use carillon::domain::call::Event;
use carillon::domain::ids::{CallId, CampaignId, Shard};
use carillon::store::{Applied, Claims, Scope, Submitted, Suppression, Waiting, Wants};

use super::{Bed, LONG};
use crate::support::until;

pub(super) async fn a_call_is_taken_in_once(bed: &Bed) {
    let (call, now) = (bed.call(1, None), Clock::System.now());
    let key = Some(("client key", "print"));
    assert_eq!(bed.store.submit_one(&call, key, now).await.expect("in"), Submitted::Created);
    assert_eq!(bed.store.submit_one(&call, None, now).await.expect("in"), Submitted::Exists);
    let (other, key) = (bed.call(1, None), Some(("client key", "another print")));
    let repeat = Submitted::Repeat { id: call.id.clone(), fingerprint: "print".into() };
    assert_eq!(bed.store.submit_one(&other, key, now).await.expect("in"), repeat);
    let entry = Suppression {
        number: bed.call(2, None).body.phone.e164().into(),
        prefix: false,
        scope: Scope::Global,
        source: "api".into(),
        evidence: None,
        call_id: None,
        created_at: now,
        expires_at: None,
    };
    bed.store.suppress(&entry).await.expect("on the list");
    let both = bed.store.submit(&[bed.call(2, None), bed.call(3, None)], now).await.expect("in");
    assert_eq!(both, [Submitted::Suppressed, Submitted::Created]);
    assert_eq!(bed.store.open_calls(call.body.phone.e164()).await.expect("open"), [call.id]);
    assert_eq!(bed.store.queue_depth().await.expect("depth").0, 2);
}

pub(super) async fn a_lapsed_lease_is_nobodys(bed: &Bed) {
    let call = bed.call(1, None);
    let shard = call.id.shard();
    bed.submit(&call).await;
    let first = bed.claims(shard, 1).await.calls.remove(0).call;
    assert_eq!(first.head.epoch, 1);
    // Due again, it goes back to its lane without being taken.
    until("the lease to end", Duration::from_secs(10), || async {
        let wants = Wants { live: 10, ..Wants::default() };
        let claims = bed.store.claim(shard, LONG, &wants).await.expect("redis answers");
        (claims.urgent > 0).then_some(())
    })
    .await;
    let late = Event::Deferred { until: Clock::System.now() + DAY, reason: "window" };
    assert!(matches!(bed.apply(&first, late).await, Applied::Stale(_)), "C3");
    let again = bed.claims(shard, LONG).await.calls.remove(0).call;
    assert!(again.head.epoch > first.head.epoch);
    assert!(bed.claims(shard, LONG).await.calls.is_empty(), "leased");
}

pub(super) async fn a_claim_brings_what_is_wanted(bed: &Bed) {
    let shard = Shard(7);
    let lists = [CampaignId::random(), CampaignId::random()];
    let numbers = bed.calls_in(shard, 21, None);
    for (i, call) in numbers.iter().enumerate() {
        let mut call = call.clone();
        call.campaign = (i < 20).then(|| lists[i % 2].clone());
        bed.submit(&call).await;
    }
    let waits = |claims: &Claims, list: &CampaignId| {
        claims.waiting.iter().find(|w| w.campaign == *list).map_or(0, Waiting::total)
    };
    let none = bed.bring(shard, &[]).await;
    assert!(none.calls.is_empty());
    assert_eq!((none.urgent, waits(&none, &lists[0]), waits(&none, &lists[1])), (1, 10, 10));
    let wants = Wants { live: 10, urgent: 1, campaigns: vec![(lists[0].clone(), 3), (lists[1].clone(), 40)] };
    let some = bed.store.claim(shard, LONG, &wants).await.expect("redis answers");
    assert_eq!(some.calls[0].call.id, numbers[20].id, "the urgent lane first");
    let brought = |list| some.calls.iter().filter(|c| c.call.campaign.as_ref() == Some(list)).count();
    assert_eq!((brought(&lists[0]), brought(&lists[1])), (3, 10));
    assert_eq!((some.urgent, some.waiting.len(), waits(&some, &lists[0])), (0, 1, 7));
    let rest = bed.claims(shard, LONG).await;
    assert_eq!(rest.calls.len(), 7);
    assert!(rest.waiting.is_empty(), "emptied lanes are none to come back for");
}

pub(super) async fn ids_without_a_record_are_counted(bed: &Bed) {
    let (waiting, scheduled) = ("READY:{s07}:-", "DUE:{s07}");
    bed.redis.cmd(&["RPUSH", waiting, "call_07nobody"]).await;
    bed.redis.cmd(&["SADD", "ACTIVE:{s07}", "-"]).await;
    bed.redis.cmd(&["ZADD", scheduled, "1", "call_07noone"]).await;
    assert_eq!(bed.claims(Shard(7), LONG).await.lost, 2);
    assert_eq!(bed.claims(Shard(7), LONG).await.lost, 0);
}

pub(super) async fn a_list_is_paged_to_its_end(bed: &Bed) {
    let (list, now) = (CampaignId::random(), Clock::System.now());
    let mut calls = bed.calls_in(Shard(7), 130, Some(&list));
    calls.extend(bed.calls_in(Shard(40), 30, Some(&list)));
    bed.store.submit(&calls, now).await.expect("in");
    let older = bed.calls_in(Shard(50), 20, Some(&list));
    bed.store.submit(&older, now - 2 * DAY).await.expect("in");
    let (mut seen, mut before) = (Vec::<CallId>::new(), None);
    loop {
        let page = bed.store.list_calls(before, 7, |_| true).await.expect("a page");
        seen.extend(page.calls.into_iter().map(|c| c.id));
        let Some(next) = page.next else { break };
        let (at, id) = next.split_once(':').expect("ms:id");
        before = Some((at.parse().expect("ms"), CallId::parse(id).expect("an id")));
    }
    let mut want: Vec<CallId> = calls.iter().chain(&older).map(|c| c.id.clone()).collect();
    assert!(older.iter().all(|c| seen[160..].contains(&c.id)), "the older day last");
    seen.sort();
    want.sort();
    assert_eq!(seen, want, "each call once");
}
