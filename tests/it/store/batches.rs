//! Claimed calls that wait, in batches: put back, put off, started.

use carillon::base::clock::{Clock, DAY};
use carillon::domain::call::{Call, Event, Phase};
use carillon::domain::campaign::Priority;
use carillon::domain::ids::{CallId, CampaignId, Shard};
use carillon::store::{Claims, Started};
use serde_json::Value;

use super::{Bed, LONG, leg};

const SHARD: Shard = Shard(7);

fn ids(claims: &Claims) -> Vec<CallId> {
    claims.calls.iter().map(|c| c.call.id.clone()).collect()
}

async fn lines(bed: &Bed, shard: Shard) -> Vec<Value> {
    let key = format!("AUDIT:{{s{:02}}}", shard.0);
    let lines = bed.redis.cmd(&["LRANGE", &key, "0", "-1"]).await.texts();
    lines.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

pub(super) async fn denied_calls_go_back_to_the_head(bed: &Bed) {
    let list = CampaignId::random();
    // More than one batch.
    let calls = bed.calls_in(SHARD, 150, Some(&list));
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    let order: Vec<CallId> = calls.iter().map(|c| c.id.clone()).collect();
    let claims = bed.bring(SHARD, &[(&list, 130)]).await;
    assert_eq!(ids(&claims), order[..130]);
    // One of them is somebody else's by now, one was decided about.
    let (lapsed, ended) = (&claims.calls[3].call, &claims.calls[5].call);
    bed.done_by(ended, Event::Expired).await;
    bed.redis.cmd(&["ZADD", "DUE:{s07}", "1", lapsed.id.as_str()]).await;
    let theirs = bed.claims_live(SHARD).await;
    assert!(theirs.calls.is_empty() && theirs.waiting[0].lanes == [0, 21, 0], "back in its lane");
    let back: Vec<&Call> = claims.calls.iter().map(|c| &c.call).collect();
    bed.store.put_back(&back).await.expect("redis answers");
    bed.store.put_back(&back).await.expect("a repeat changes nothing");
    let again = ids(&bed.bring(SHARD, &[(&list, 1_000)]).await);
    let mut want: Vec<CallId> =
        order.iter().filter(|id| **id != lapsed.id && **id != ended.id).cloned().collect();
    want.push(lapsed.id.clone());
    assert_eq!(again, want);
    assert!(matches!(bed.start(back[0]).await, Started::Lost(_)), "C3");
}

pub(super) async fn a_lane_is_drained_by_priority(bed: &Bed) {
    let list = CampaignId::random();
    let mut calls = bed.calls_in(SHARD, 6, Some(&list));
    for (i, call) in calls.iter_mut().enumerate() {
        call.body.priority = [Priority::Low, Priority::Normal, Priority::High][i % 3];
    }
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    let look = bed.bring(SHARD, &[]).await;
    assert_eq!(look.waiting[0].lanes, [2, 2, 2]);
    let first = bed.bring(SHARD, &[(&list, 3)]).await;
    assert_eq!(ids(&first), [calls[2].id.clone(), calls[5].id.clone(), calls[1].id.clone()]);
    bed.store.put_back(&[&first.calls[1].call, &first.calls[2].call]).await.expect("redis answers");
    let rest = bed.bring(SHARD, &[(&list, 9)]).await;
    assert_eq!(ids(&rest), [5, 1, 4, 0, 3].map(|i| calls[i].id.clone()), "each to the head of its own lane");
    assert_eq!(rest.calls[4].call.body.priority, Priority::Low);
}

pub(super) async fn put_off_calls_keep_what_was_learned(bed: &Bed) {
    let list = CampaignId::random();
    let mut calls = bed.calls_in(SHARD, 40, Some(&list));
    calls.extend(bed.calls_in(Shard(9), 5, Some(&list)));
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    let mut claimed = bed.bring(SHARD, &[(&list, 100)]).await.calls;
    claimed.extend(bed.bring(Shard(9), &[(&list, 100)]).await.calls);
    let learned = &claimed[0].call;
    bed.done_by(learned, Event::RecordingStarted { recording: "RE1".into() }).await;
    let over = &claimed[1].call;
    bed.done_by(over, Event::Expired).await;
    let until = Clock::System.now() + DAY;
    let events = claimed
        .iter()
        .map(|c| (c.call.clone(), Event::Deferred { until, reason: "window" }))
        .collect::<Vec<_>>();
    bed.store.defer(events.clone(), &bed.rules).await.expect("redis answers");
    bed.store.defer(events, &bed.rules).await.expect("a repeat is late");
    for claimed in &claimed {
        let call = bed.load(&claimed.call.id).await;
        if call.id == over.id {
            assert_eq!(call.phase(), Phase::Ended);
            continue;
        }
        assert_eq!((call.head.due, call.body.waiting_for.as_deref()), (until, Some("window")));
        assert_eq!(call.body.recording.is_some(), call.id == learned.id);
    }
    assert_eq!(bed.store.queue_depth().await.expect("depth").0, 0);
    let counters = bed.store.counters(list.as_str()).await.expect("counters");
    assert_eq!(
        (counters["waiting:window"], counters["until:window"]),
        (44, i64::try_from(until).expect("ms"))
    );
}

pub(super) async fn a_batch_starts_each_by_its_own_checks(bed: &Bed) {
    let list = CampaignId::random();
    let mut calls = bed.calls_in(SHARD, 5, Some(&list));
    // A second call to the first person, in the same batch.
    calls.extend(bed.calls_in(SHARD, 1, Some(&list)));
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    let mut claimed: Vec<Call> =
        bed.bring(SHARD, &[(&list, 100)]).await.calls.into_iter().map(|c| c.call).collect();
    claimed.push(bed.claimed(&bed.calls_in(Shard(9), 1, None)[0]).await);
    // The second was taken over, the third ended, the fourth has had its calls, something was learned of the fifth.
    bed.redis.cmd(&["ZADD", "DUE:{s07}", "1", claimed[1].id.as_str()]).await;
    bed.claims_live(SHARD).await;
    bed.done_by(&claimed[2], Event::Cancel).await;
    let (rate, now) =
        (format!("RATE_LIMIT:{{s07}}:{}", claimed[3].phone_hash), Clock::System.now().to_string());
    bed.redis.cmd(&["ZADD", &rate, &now, "a", &now, "b", &now, "c"]).await;
    bed.done_by(&claimed[4], Event::RecordingStarted { recording: "RE1".into() }).await;

    let mut words = Vec::new();
    for answer in bed.start_all(&claimed).await {
        words.push(match answer {
            Started::Done(call) => {
                assert_eq!(call.phase(), Phase::Dialing);
                assert_eq!(*call, bed.load(&call.id).await);
                assert_eq!(call.body.caller.as_deref(), Some("+14155550199"));
                (call.id.clone(), "started".to_owned())
            }
            Started::Refused { call, reason, until } => {
                assert!(until > Clock::System.now());
                assert_eq!(bed.load(&call.id).await.phase(), Phase::Queued);
                (call.id.clone(), reason)
            }
            Started::Lost(call) => (call.id.clone(), "lost".into()),
            Started::Unclear(_, error) => panic!("{error}"),
            other @ (Started::Held(_) | Started::Unreplicated(_)) => panic!("{other:?}"),
        });
    }
    words.sort();
    let want = ["started", "lost", "lost", "frequency", "started", "leg_outstanding", "started"];
    let mut want: Vec<_> = claimed.iter().map(|c| c.id.clone()).zip(want.map(str::to_owned)).collect();
    want.sort();
    assert_eq!(words, want);

    let mut evidence = lines(bed, SHARD).await;
    // The third, which was canceled, left a line of another kind.
    evidence.retain(|line| line["event"] == "dial");
    assert_eq!(evidence.len(), 2);
    let line = evidence.iter().find(|line| line["call"] == claimed[0].id.as_str()).expect("its line");
    assert_eq!((&line["calls_in_24h"], &line["dnc_version"]), (&0.into(), &0.into()));
    assert_eq!(
        (&line["attempt"], &line["window"], &line["event"]),
        (&1.into(), &"open".into(), &"dial".into())
    );
    assert!(!line.to_string().contains(claimed[0].body.phone.e164()), "known by its hash alone");
    assert_eq!(lines(bed, Shard(9)).await.len(), 1);
    let counters = bed.store.counters(list.as_str()).await.expect("counters");
    assert_eq!(counters["started"], 2);
    for id in [&claimed[0].id, &claimed[4].id, &claimed[6].id] {
        let call = bed.load(id).await;
        bed.done_by(&call, Event::Accepted(leg(&call))).await;
    }
}

pub(super) async fn a_start_is_written_once(bed: &Bed) {
    let claimed = bed.claimed(&bed.call(1, None)).await;
    let shard = claimed.id.shard();
    let (first, second) = futures::join!(
        bed.start_all(std::slice::from_ref(&claimed)),
        bed.start_all(std::slice::from_ref(&claimed))
    );
    let started = first.iter().chain(&second).filter(|s| matches!(s, Started::Done(_))).count();
    assert_eq!(started, 1, "{first:?} {second:?}");
    assert_eq!(lines(bed, shard).await.len(), 1);
    // The command itself, sent twice, as a driver does whose connection broke before the answer.
    let other = bed.claimed(&bed.call(2, None)).await;
    let shard = other.id.shard();
    let mut change = other.clone().change();
    let event = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
    change.apply(event, &bed.rules, Clock::System.now()).expect("not stale");
    let mut after = change.call;
    (after.head.version, after.head.token) = (other.head.version + 1, 7);
    let tag = format!("{{s{:02}}}", shard.0);
    let key = |kind: &str| format!("{kind}:{tag}");
    let keys = [
        key("DUE"),
        key("SUPPRESSION"),
        key("PREFIXES"),
        key("DNC_VERSION"),
        key("STATS") + ":today",
        key("AUDIT"),
        key("SERVER"),
    ];
    let (version, epoch) = (format!("{:08x}", other.head.version), format!("{:08x}", other.head.epoch));
    let (record, due) = (after.encode(), after.head.due.to_string());
    let mut args = vec!["EVAL", include_str!("../../../src/store/scripts/start.lua"), "7"];
    args.extend(keys.iter().map(String::as_str));
    args.extend([&tag, "3", "86400000", "5000", "hour:00:started"]);
    args.extend([
        other.id.as_str(),
        &version,
        &epoch,
        &record,
        &due,
        "1",
        other.body.phone.e164(),
        "",
        "{\"a\":1}",
        "",
    ]);
    for _ in 0..2 {
        assert_eq!(bed.redis.cmd(&args).await.texts()[0], "ok");
    }
    assert_eq!(lines(bed, shard).await.iter().filter(|l| l["a"] == 1).count(), 1);
    assert_eq!(bed.redis.cmd(&["HGET", &keys[4], "started"]).await.text().as_deref(), Some("1"));
}

pub(super) async fn campaigns_and_prefixes_are_listed_too(bed: &Bed) {
    let (a, b) = (CampaignId::random(), CampaignId::random());
    let mut calls = bed.calls_in(SHARD, 5, Some(&a));
    calls[1].campaign = Some(b.clone());
    calls[3].campaign = Some(b.clone());
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    let hash = |i: usize| calls[i].phone_hash.to_string();
    let list = "SUPPRESSION:{s07}";
    // The first two are on the list of campaign a alone; the third was, until a second after the epoch.
    for i in 0..2 {
        bed.redis.cmd(&["HSET", list, &format!("{}:{a}", hash(i)), "0 {}"]).await;
    }
    bed.redis.cmd(&["HSET", list, &hash(2), "1000 {}"]).await;
    let claims = bed.bring(SHARD, &[(&a, 10), (&b, 10)]).await;
    let banned: Vec<_> = claims.calls.iter().filter(|c| c.suppressed).map(|c| c.call.id.clone()).collect();
    assert_eq!(banned, [calls[0].id.clone()]);
    // The fourth one's prefix is on the list of its campaign, the fifth one's only on another's.
    let prefix = |i: usize| calls[i].body.phone.e164()[..11].to_owned();
    let prefixes = "PREFIXES:{s07}";
    bed.redis.cmd(&["HSET", prefixes, &format!("{}:{b}", calls[3].body.phone.e164()), "0 {}"]).await;
    bed.redis.cmd(&["HSET", prefixes, &format!("{}:{b}", calls[4].body.phone.e164()), "0 {}"]).await;
    bed.redis.cmd(&["SET", "DNC_VERSION:{s07}", "17"]).await;
    let claimed: Vec<Call> = claims.calls.into_iter().map(|c| c.call).collect();
    let mut refused = Vec::new();
    for answer in bed.start_all(&claimed).await {
        match answer {
            Started::Refused { call, reason, .. } if reason == "suppressed" => refused.push(call.id),
            Started::Done(_) => {}
            other => panic!("{other:?}"),
        }
    }
    refused.sort();
    let mut want = [calls[0].id.clone(), calls[3].id.clone()];
    want.sort();
    assert_eq!(refused, want);
    assert!(lines(bed, SHARD).await.iter().all(|line| line["dnc_version"] == 17));
    // A prefix of everybody stops whoever is left.
    let late = bed.claimed(&bed.calls_in(SHARD, 6, None)[5]).await;
    bed.redis.cmd(&["HSET", prefixes, &prefix(0)[..5], "0 {}"]).await;
    let answer = bed.start_all(&[late]).await.remove(0);
    assert!(matches!(answer, Started::Refused { ref reason, .. } if reason == "suppressed"), "{answer:?}");
    bed.claims(SHARD, LONG).await;
}
