//! The write door and what goes through it: the person's checks, the do-not-call list, the outbox.

use std::time::Duration;

use carillon::base::clock::{Clock, DAY, HOUR};
use carillon::domain::call::{Event, HangUpCause, Phase};
use carillon::domain::ids::{CampaignId, Shard};
use carillon::store::{Applied, Committed, OutboxCounts, Scope, Settle, Started, Store, Woken};
use tokio_util::sync::CancellationToken;

use super::{Bed, LONG, config, key, leg};
use crate::support::until;

pub(super) async fn a_stale_epoch_never_writes(bed: &Bed) {
    let ours = bed.claimed(&bed.call(1, None)).await;
    let mut change = ours.clone().change();
    change.apply(Event::RecordingStarted { recording: "RE1".into() }, &bed.rules, 1).expect("not stale");
    assert!(matches!(bed.store.commit(change.clone(), None).await, Ok(Committed::Done(..))));
    assert!(matches!(bed.store.commit(change, None).await, Ok(Committed::Conflict(_))), "version");
    bed.redis.cmd(&["ZADD", &format!("DUE:{{s{:02}}}", ours.id.shard().0), "1", ours.id.as_str()]).await;
    bed.claims(ours.id.shard(), LONG).await;
    assert!(matches!(bed.start(&ours).await, Started::Lost(_)), "C3");
    assert_eq!(bed.load(&ours.id).await.phase(), Phase::Queued);
    // What is seen is a fact whoever holds the lease.
    let seen = bed.done_by(&ours, Event::Rang(leg(&ours))).await;
    assert_eq!((seen.phase(), bed.load(&ours.id).await.phase()), (Phase::Ringing, Phase::Ringing));
}

pub(super) async fn learning_of_a_waiting_call_leaves_it_in_its_place(bed: &Bed) {
    let event = || Event::RecordingStarted { recording: "RE1".into() };
    let waiting = bed.call(1, None);
    bed.submit(&waiting).await;
    bed.done_by(&waiting, event()).await;
    let leased = bed.claimed(&bed.call(2, None)).await;
    bed.done_by(&leased, event()).await;
    // `done` asks for Q1.
}

pub(super) async fn a_dial_is_checked_against_the_person(bed: &Bed) {
    let calls: Vec<_> = (0..5).map(|_| bed.call(1, None)).collect();
    let first = bed.started(&bed.claimed(&calls[0]).await).await;
    let second = bed.claimed(&calls[1]).await;
    let refusal = |answer| match answer {
        Started::Refused { reason, until, .. } => (reason, until),
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(bed.start(&second).await).0, "leg_outstanding");
    bed.done_by(&first, Event::NotSent { until: Clock::System.now() + DAY }).await;
    let rate = format!("RATE_LIMIT:{{s{:02}}}:{}", first.id.shard().0, first.phone_hash.as_str());
    assert_eq!(bed.redis.cmd(&["ZCARD", &rate]).await.int(), 0, "nothing rang");
    let mut waiting = vec![second];
    for call in &calls[2..] {
        waiting.push(bed.claimed(call).await);
    }
    for call in &waiting[..3] {
        let call = bed.started(call).await;
        let cause = HangUpCause::Canceled;
        bed.done_by(&call, Event::HungUp { leg: leg(&call), cause, code: None, duration_s: None }).await;
    }
    let (reason, until) = refusal(bed.start(&waiting[3]).await);
    assert_eq!(reason, "frequency");
    let ahead = until - Clock::System.now();
    assert!(ahead > 23 * HOUR && ahead <= DAY, "{ahead} ms");
}

pub(super) async fn a_dial_that_was_forgotten_counts(bed: &Bed) {
    let calls: Vec<_> = (0..4).map(|_| bed.call(1, None)).collect();
    // Each of three calls rings without a start that anybody remembers: its record waits, a callback knows better.
    for call in &calls[..3] {
        let waiting = bed.claimed(call).await;
        bed.done_by(&waiting, Event::Rang(leg(&waiting))).await;
        let cause = HangUpCause::Canceled;
        bed.done_by(&waiting, Event::HungUp { leg: leg(&waiting), cause, code: None, duration_s: None })
            .await;
    }
    let answer = bed.start(&bed.claimed(&calls[3]).await).await;
    assert!(matches!(&answer, Started::Refused { reason, .. } if reason == "frequency"), "{answer:?}");
}

pub(super) async fn an_opt_out_finds_the_others(bed: &Bed) {
    let talking = bed.started(&bed.claimed(&bed.call(1, None)).await).await;
    let waiting = bed.call(1, None);
    let mut scheduled = bed.call(1, None);
    scheduled.head.due = Clock::System.now() + DAY;
    let stranger = bed.calls_in(talking.id.shard(), 2, None).into_iter();
    let stranger = stranger.clone().find(|c| c.phone_hash != talking.phone_hash).expect("another");
    for call in [&waiting, &scheduled, &stranger] {
        bed.submit(call).await;
    }
    bed.done_by(&talking, Event::OptedOut { words: "never again".into() }).await;
    let claims = bed.claims(talking.id.shard(), LONG).await;
    for claimed in &claims.calls {
        assert_eq!(claimed.suppressed, claimed.call.id != stranger.id);
    }
    assert_eq!(claims.calls.len(), 3);
    let late = claims.calls.iter().find(|c| c.call.id == waiting.id).expect("found").call.clone();
    assert!(matches!(bed.start(&late).await, Started::Refused { reason, .. } if reason == "suppressed"));
    let number = talking.body.phone.e164();
    let entry = bed.store.suppressed(number, Clock::System.now()).await.expect("read").expect("listed");
    assert_eq!(entry.evidence.as_deref(), Some("never again"));
    assert!(bed.store.unsuppress(number, false, &Scope::Global).await.expect("off"));
}

pub(super) async fn an_ended_call_leaves_nothing_behind(bed: &Bed) {
    let list = CampaignId::random();
    let call = bed.claimed(&bed.call(1, Some(&list))).await;
    bed.redis.cmd(&["RPUSH", &key("JOURNAL", &call.id), "left by a dead node"]).await;
    let ended = bed.done_by(&call, Event::Expired).await;
    assert_eq!(ended.phase(), Phase::Ended);
    for kind in ["CALL_SESSION", "JOURNAL"] {
        let ttl = bed.redis.cmd(&["PTTL", &key(kind, &call.id)]).await.int();
        assert!((172_700_000..=172_800_000).contains(&ttl), "{kind}: {ttl}");
    }
    assert!(bed.store.open_calls(call.body.phone.e164()).await.expect("open").is_empty());
    let rows = bed.store.results(&list).await.expect("rows");
    assert!(rows.len() == 1 && rows[0].starts_with(&format!("{} expired 1 ", call.id)), "{rows:?}");
    let counters = bed.store.counters(list.as_str()).await.expect("counters");
    assert_eq!((counters["accepted"], counters["disposition:expired"]), (1, 1));
    assert!(matches!(bed.apply(&ended, Event::Cancel).await, Applied::Stale(_)), "C2");
}

pub(super) async fn events_go_in_order_and_die_and_return(bed: &Bed) {
    let call = bed.claimed(&bed.call(1, None)).await;
    let shard = call.id.shard();
    // The opt-out is told before the end.
    bed.done_by(&call, Event::OptedOut { words: "stop".into() }).await;
    let claim = || async { bed.store.outbox_claim(shard, LONG, 10, 10).await.expect("redis answers").0 };
    let first = claim().await;
    assert_eq!(first.len(), 1, "only a call's first event is due");
    assert!(claim().await.is_empty(), "leased");
    assert!(bed.store.outbox_settle(&first[0], Settle::Again(1)).await.expect("settled"));
    let again = claim().await;
    assert_eq!(again[0].id, first[0].id, "O2");
    assert!(bed.store.outbox_settle(&again[0], Settle::Dead).await.expect("settled"));
    assert!(!bed.store.outbox_settle(&again[0], Settle::Dead).await.expect("settled once"));
    let second = claim().await;
    assert_eq!((first[0].kind.as_str(), second[0].kind.as_str()), ("opt_out", "call_failed"));
    assert!(bed.store.outbox_settle(&second[0], Settle::Delivered).await.expect("settled"));
    let counts = || async { bed.store.outbox_counts().await.expect("counts") };
    assert_eq!(counts().await, OutboxCounts { pending: 0, delivered: 1, dead: 1 });
    assert_eq!(bed.store.outbox_dead(10).await.expect("dead")[0].id, first[0].id);
    assert!(bed.store.outbox_replay(&first[0].id).await.expect("replayed").is_some());
    assert!(bed.store.outbox_replay(&first[0].id).await.expect("no more").is_none());
    assert_eq!(claim().await[0].id, first[0].id);
    assert_eq!(counts().await, OutboxCounts { pending: 1, delivered: 1, dead: 0 });
}

pub(super) async fn a_shards_events_are_settled_in_one_step(bed: &Bed) {
    let calls = bed.calls_in(bed.call(1, None).id.shard(), 4, None);
    let shard = calls[0].id.shard();
    for call in &calls {
        // Two events each: the opt-out, then the end.
        bed.done_by(&bed.claimed(call).await, Event::OptedOut { words: "stop".into() }).await;
    }
    let claim = || async { bed.store.outbox_look(shard, LONG, 10, 10, 0, &[]).await.expect("redis answers") };
    let first = claim().await;
    assert_eq!((first.entries.len(), bed.store.outbox_backlog()), (4, 8));
    let passed_over = [first.entries[0].endpoint.clone()];
    let later = Clock::System.now() + DAY;
    let verdicts = [Settle::Delivered, Settle::Dead, Settle::Again(later), Settle::Back(1)];
    let mut tried = first.entries.clone();
    tried.iter_mut().for_each(|entry| entry.attempts += 1);
    let asked: Vec<_> = tried.iter().zip(verdicts).collect();
    let many = async || bed.store.outbox_settle_many(shard, &asked).await.expect("settled");
    assert_eq!(many().await, (vec![true; 4], true));
    // What is settled for good is not settled again; what is due again may be put off once more.
    assert_eq!(many().await.0, [false, false, true, true]);
    let counts = bed.store.outbox_counts().await.expect("counts");
    assert_eq!(counts, OutboxCounts { pending: 6, delivered: 1, dead: 1 });
    let none = bed.store.outbox_look(shard, LONG, 10, 10, 5, &passed_over).await.expect("redis answers");
    assert!(none.entries.is_empty() && none.next_due > 0 && none.next_due <= none.now, "{none:?}");
    let mut second = claim().await.entries;
    second.sort_by_key(|entry| entry.kind.clone());
    let kinds: Vec<_> = second.iter().map(|entry| (entry.kind.as_str(), entry.attempts)).collect();
    assert_eq!(kinds, [("call_failed", 0), ("call_failed", 0), ("opt_out", 0)], "put back is no attempt");
    // Of what was delivered the id is left, and nothing of the call.
    let left = format!("OUTBOX:{{s{:02}}}:{}", shard.0, first.entries[0].id);
    assert_eq!(bed.redis.cmd(&["GET", &left]).await.text().as_deref(), Some(""));
    assert!((1..=172_800_000).contains(&bed.redis.cmd(&["PTTL", &left]).await.int()));
    let dead = bed.store.outbox_dead(10).await.expect("dead");
    assert_eq!((dead.len(), dead[0].attempts, dead[0].body.is_empty()), (1, 1, false));
}

pub(super) async fn what_comes_up_is_told(bed: &Bed) {
    let other = Store::connect(config(bed.redis.url(), b"a key of the tests"), Clock::System).await;
    let (other, stop) = (other.expect("redis answers"), CancellationToken::new());
    other.listen(&stop);
    let wakes = other.wakes();
    let told = async |woken: &Woken, of: Vec<Shard>| {
        let all = || async { (woken.take().collect::<Vec<_>>() == of).then_some(()) };
        until("the other node to be told", Duration::from_secs(20), all).await;
    };
    let call = bed.call(1, None);
    let shard = call.id.shard();
    // Whoever begins to listen looks everywhere.
    for woken in [&wakes.calls, &wakes.outbox] {
        told(woken, Shard::all().collect()).await;
    }
    bed.submit(&call).await;
    told(&wakes.calls, vec![shard]).await;
    let claimed = bed.claims(shard, LONG).await.calls.remove(0).call;
    let started = bed.started(&claimed).await;
    let (leg, cause) = (leg(&started), HangUpCause::Completed);
    let talking = bed.done_by(&started, Event::Answered(leg.clone())).await;
    bed.done_by(&talking, Event::OptedOut { words: "stop".into() }).await;
    told(&wakes.outbox, vec![shard]).await;
    bed.done_by(&started, Event::HungUp { leg, cause, code: None, duration_s: Some(1) }).await;
    told(&wakes.calls, vec![shard]).await;
    stop.cancel();
}

pub(super) async fn a_calls_events_may_be_brought_together(bed: &Bed) {
    let call = bed.claimed(&bed.call(1, None)).await;
    let shard = call.id.shard();
    bed.done_by(&call, Event::OptedOut { words: "stop".into() }).await;
    let look = || async { bed.store.outbox_look(shard, LONG, 10, 10, 5, &[]).await.expect("redis answers") };
    let both = look().await.entries;
    let kinds: Vec<_> = both.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["opt_out", "call_failed"]);
    assert!(look().await.entries.is_empty(), "leased together");
    // The first fails: the second waits behind it, whatever is said of it.
    let told = [(&both[0], Settle::Back(1)), (&both[1], Settle::Delivered)];
    assert_eq!(bed.store.outbox_settle_many(shard, &told).await.expect("settled").0, [true, false]);
    assert_eq!(look().await.entries.len(), 2);
    let told = [(&both[0], Settle::Delivered), (&both[1], Settle::Delivered)];
    assert_eq!(bed.store.outbox_settle_many(shard, &told).await.expect("settled"), (vec![true; 2], false));
    let counts = bed.store.outbox_counts().await.expect("counts");
    assert_eq!(counts, OutboxCounts { pending: 0, delivered: 2, dead: 0 });
    assert!(look().await.entries.is_empty());
}
