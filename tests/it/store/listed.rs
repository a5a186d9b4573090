//! The do-not-call list: of everybody, of one campaign, of prefixes; what expires; whom it reaches.

use std::collections::BTreeSet;

use carillon::base::clock::{Clock, DAY, HOUR, Millis, SECOND};
use carillon::domain::call::Event;
use carillon::domain::disposition::Disposition;
use carillon::domain::ids::{CampaignId, Shard};
use carillon::store::{ListCursor, Listed, Scope, Started, Suppression};

use super::{Bed, LONG};

/// An entry for good.
fn entry(number: &str, scope: Scope) -> Suppression {
    Suppression {
        number: number.into(),
        prefix: false,
        scope,
        source: "api".into(),
        evidence: Some("letter of 3 May".into()),
        call_id: None,
        created_at: Clock::System.now(),
        expires_at: None,
    }
}

fn prefix(number: &str, scope: Scope) -> Suppression {
    Suppression { prefix: true, ..entry(number, scope) }
}

async fn put(bed: &Bed, entry: &Suppression) -> Listed {
    bed.store.suppress_many(std::slice::from_ref(entry)).await.expect("redis answers")[0].listed
}

async fn version(bed: &Bed, shard: u16) -> i64 {
    bed.redis.cmd(&["INCRBY", &format!("DNC_VERSION:{{s{shard:02}}}"), "0"]).await.int()
}

pub(super) async fn an_entry_reaches_whom_it_concerns(bed: &Bed) {
    let (mine, other) = (CampaignId::random(), CampaignId::random());
    let call = bed.call(1, Some(&mine));
    let (number, shard) = (call.body.phone.e164().to_owned(), call.id.shard());
    let elsewhere = bed.call(1, Some(&other));
    let mut high = bed.call(1, Some(&mine));
    high.body.priority = carillon::domain::campaign::Priority::High;
    for call in [&call, &elsewhere, &high] {
        bed.submit(call).await;
    }
    let now = Clock::System.now();
    let found = |campaign: Option<CampaignId>| {
        let number = number.clone();
        async move { bed.store.suppressed_for(&number, campaign.as_ref(), now).await.expect("read") }
    };
    let due = |call: &carillon::domain::call::Call| {
        let (key, id) = (format!("DUE:{{s{:02}}}", shard.0), call.id.to_string());
        async move { bed.redis.cmd(&["ZSCORE", &key, &id]).await.text().is_some() }
    };
    // Of one campaign: it alone, and its waiting calls are looked at now, in whatever lane they stand.
    let own = entry(&number, Scope::Campaign(mine.clone()));
    assert_eq!(put(bed, &own).await, Listed::Added);
    assert_eq!(found(Some(mine.clone())).await, Some(own.clone()));
    assert_eq!((found(Some(other.clone())).await, found(None).await), (None, None));
    assert!(due(&call).await && due(&high).await && !due(&elsewhere).await);
    // Of everybody.
    let global = entry(&number, Scope::Global);
    assert_eq!(put(bed, &global).await, Listed::Added);
    assert_eq!(found(Some(other.clone())).await, Some(global.clone()));
    assert_eq!(bed.store.suppressed(&number, now).await.expect("read"), Some(global.clone()));
    assert!(due(&elsewhere).await);
    assert_eq!(bed.store.suppressions_of(&number, now).await.expect("read"), [global, own]);
    // Off again, one by one.
    let campaign = Scope::Campaign(mine.clone());
    let number = call.body.phone.e164();
    assert!(bed.store.unsuppress(number, false, &campaign).await.expect("off"));
    assert!(!bed.store.unsuppress(number, false, &campaign).await.expect("off"));
    assert!(
        bed.store.suppressed_for(number, Some(&mine), now).await.expect("read").is_some(),
        "still of everybody"
    );
    assert!(bed.store.unsuppress(number, false, &Scope::Global).await.expect("off"));
    assert_eq!(bed.store.suppressions_of(number, now).await.expect("read"), []);
    assert_eq!(version(bed, shard.0).await, 4, "each change, and nothing that changed nothing");
}

pub(super) async fn an_entry_without_its_number_goes_on_to_hold(bed: &Bed) {
    let (now, number, list) = (Clock::System.now(), "+14155550001", CampaignId::random());
    let call = bed.claimed(&bed.call(1, None)).await;
    for scope in [Scope::Global, Scope::Campaign(list.clone())] {
        bed.store.suppress(&entry(number, scope)).await.expect("listed");
    }
    bed.store.erase_from_list(number).await.expect("erased");
    bed.store.erase_from_list(number).await.expect("once more");
    let found = bed.store.suppressions_of(number, now).await.expect("read");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|e| e.is_erased() && e.evidence.is_none() && e.source == "api"), "{found:?}");
    assert!(bed.store.suppressed(number, now).await.expect("read").is_some());
    assert!(bed.store.suppressed("+14155550002", now).await.expect("read").is_none());
    assert!(matches!(bed.start(&call).await, Started::Refused { reason, .. } if reason == "suppressed"));
}

pub(super) async fn what_lasts_longer_is_not_shortened(bed: &Bed) {
    let now = Clock::System.now();
    let until = |at: Option<Millis>| Suppression { expires_at: at, ..entry("+14155550001", Scope::Global) };
    assert_eq!(put(bed, &until(Some(now + DAY))).await, Listed::Added);
    assert_eq!(put(bed, &until(Some(now + HOUR))).await, Listed::Kept);
    assert_eq!(put(bed, &until(Some(now + 2 * DAY))).await, Listed::Replaced);
    assert_eq!(put(bed, &until(None)).await, Listed::Replaced);
    assert_eq!(put(bed, &until(Some(now + 9 * DAY))).await, Listed::Kept);
    assert_eq!(put(bed, &until(None)).await, Listed::Kept);
    let standing = bed.store.suppressed("+14155550001", now).await.expect("read");
    assert_eq!(standing.and_then(|e| e.expires_at), None);
    // What is written outright is written.
    bed.store.suppress(&until(Some(now + HOUR))).await.expect("written");
    assert!(bed.store.suppressed("+14155550001", now).await.expect("read").is_some());
    // Expired: as if it were not there, for a question, for a new entry and for a call.
    assert_eq!(bed.store.suppressed("+14155550001", now + HOUR).await.expect("read"), None);
    bed.store.suppress(&until(Some(now - SECOND))).await.expect("written");
    assert_eq!(bed.store.suppression_count().await.expect("count"), 1);
    assert_eq!(put(bed, &until(Some(now + HOUR))).await, Listed::Added);
    bed.store.suppress(&until(Some(now - SECOND))).await.expect("written");
    let call = bed.call(1, None);
    assert_eq!(call.body.phone.e164(), "+14155550001");
    assert_eq!(bed.claimed(&call).await.id, call.id);
}

pub(super) async fn a_prefix_stands_in_every_shard(bed: &Bed) {
    let mine = CampaignId::random();
    let scoped = Scope::Campaign(mine.clone());
    let now = Clock::System.now();
    assert_eq!(put(bed, &prefix("+1900", Scope::Global)).await, Listed::Added);
    assert_eq!(put(bed, &prefix("+1415", scoped.clone())).await, Listed::Added);
    assert_eq!(put(bed, &prefix("+1415", scoped.clone())).await, Listed::Kept);
    for shard in Shard::all() {
        let key = format!("PREFIXES:{{s{:02}}}", shard.0);
        let global = bed.redis.cmd(&["HGET", &key, "+1900"]).await.text().expect("there");
        assert!(global.starts_with("0 {"), "{global}");
        assert!(bed.redis.cmd(&["HGET", &key, &format!("+1415:{mine}")]).await.text().is_some());
        assert_eq!(version(bed, shard.0).await, 2);
    }
    let found = bed.store.suppressed_for("+14155550001", Some(&mine), now).await.expect("read");
    assert_eq!(found.map(|e| (e.number, e.prefix)), Some(("+1415".into(), true)));
    assert_eq!(bed.store.suppressed("+14155550001", now).await.expect("read"), None);
    assert!(bed.store.suppressed("+19005550001", now).await.expect("read").is_some());
    assert!(bed.store.unsuppress("+1415", true, &scoped).await.expect("off"));
    assert!(!bed.store.unsuppress("+1415", true, &Scope::Global).await.expect("off"));
    assert_eq!(bed.store.prefixes().await.expect("read").len(), 1);
}

pub(super) async fn the_list_is_scanned_to_its_end(bed: &Bed) {
    let now = Clock::System.now();
    let mut entries: Vec<Suppression> =
        (0..3_000).map(|n| entry(&format!("+1415555{n:04}"), Scope::Global)).collect();
    // One shard with more than a step of the scan brings at once.
    let crowd = (0..200_000).map(|n| format!("+1212{n:07}")).filter(|number| Shard::of(number) == Shard(7));
    entries.extend(crowd.take(1_500).map(|number| entry(&number, Scope::Global)));
    entries.push(prefix("+1900", Scope::Global));
    let gone = Suppression { expires_at: Some(now - SECOND), ..entry("+16505550001", Scope::Global) };
    let gone_prefix = Suppression { expires_at: Some(now - SECOND), ..prefix("+1901", Scope::Global) };
    bed.store.suppress_many(&entries).await.expect("on the list");
    for expired in [&gone, &gone_prefix] {
        bed.store.suppress(expired).await.expect("on the list");
    }
    assert_eq!(bed.store.suppression_count().await.expect("count"), 4_503);
    let (mut seen, mut cursor) = (BTreeSet::new(), Some(ListCursor::default()));
    while let Some(at) = cursor {
        let at = ListCursor::parse(&at.text()).expect("its own text");
        let (page, next) = bed.store.list_suppressions(at, now).await.expect("a step");
        assert!(page.len() < 1_000, "a step is bounded");
        seen.extend(page.into_iter().map(|e| e.number));
        cursor = next;
    }
    assert_eq!(seen, entries.into_iter().map(|e| e.number).collect());
    assert_eq!(bed.store.suppression_count().await.expect("count"), 4_501, "expired entries are swept");
    for bad in ["", "1", "65.0", "-1.0", "0.x", "0."] {
        assert_eq!(ListCursor::parse(bad), None, "{bad}");
    }
}

/// Said in one call, while the same number waits in two other campaigns: neither rings.
pub(super) async fn an_opt_out_ends_the_persons_calls_everywhere(bed: &Bed) {
    let lists = [CampaignId::random(), CampaignId::random(), CampaignId::random()];
    let talking = bed.started(&bed.claimed(&bed.call(1, Some(&lists[0]))).await).await;
    let shard = talking.id.shard();
    let waiting: Vec<_> = lists[1..].iter().map(|list| bed.call(1, Some(list))).collect();
    let mut later = bed.call(1, Some(&lists[2]));
    later.head.due = Clock::System.now() + DAY;
    for call in waiting.iter().chain([&later]) {
        bed.submit(call).await;
    }
    let before = version(bed, shard.0).await;
    bed.done_by(&talking, Event::OptedOut { words: "take me off your list".into() }).await;
    assert!(version(bed, shard.0).await > before, "the list has changed");
    let claims = bed.claims(shard, LONG).await.calls;
    assert_eq!(claims.len(), 3, "all come up at once, scheduled or not");
    for claimed in claims {
        assert!(claimed.suppressed);
        assert!(matches!(
            bed.start(&claimed.call).await,
            carillon::store::Started::Refused { reason, .. } if reason == "suppressed"
        ));
        let ended = bed.done_by(&claimed.call, Event::Suppressed).await;
        let ending = ended.ending().expect("over");
        assert_eq!((ending.disposition, ending.reason.as_str()), (Disposition::Suppressed, "do_not_call"));
    }
    let number = talking.body.phone.e164();
    for list in &lists {
        let entry = bed.store.suppressed_for(number, Some(list), Clock::System.now()).await.expect("read");
        assert_eq!(entry.map(|e| e.scope), Some(Scope::Global), "said in one call, it holds for every one");
    }
}
