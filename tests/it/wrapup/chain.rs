//! Evidence, sealed and verified: a real Redis, S3 in this process, sealers that get in each other's way.

use std::sync::atomic::Ordering;

use carillon::archive::keys;
use carillon::base::clock::Clock;
use carillon::domain::call::{Body, Call, Event, Phase};
use carillon::domain::ids::{CallId, Shard};
use carillon::domain::phone::Phone;
use carillon::wrapup::archived_status;
use carillon::wrapup::chain::{Heads, Report, Sealer, lines_of, verify};
use serde_json::{Value, json};

use super::world::World;

const SHARD: Shard = Shard(7);

fn sealer(world: &World, lease: u64) -> Sealer {
    Sealer {
        store: world.store.clone(),
        archive: world.archive.clone(),
        metrics: world.metrics.clone(),
        clock: Clock::System,
        after: 1,
        lease,
    }
}

/// Calls that are canceled before they were dialed, to people of one shard; `skip` of them belong to another test step.
async fn canceled(world: &World, skip: usize, count: usize) -> Vec<Call> {
    let numbers = (0..100_000).map(|n| format!("+1415{n:07}")).filter(|e164| Shard::of(e164) == SHARD);
    let mut calls = Vec::new();
    for e164 in numbers.skip(skip).take(count) {
        let phone = Phone::from_e164(&e164).expect("a number");
        let now = Clock::System.now();
        let call = Call::new(CallId::new(SHARD), world.store.hash(&e164), None, Body::new(phone, now));
        world.store.submit_one(&call, None, now).await.expect("submitted");
        let ended = world.apply(call, Event::Cancel).await;
        assert_eq!(ended.phase(), Phase::Ended);
        calls.push(ended);
    }
    calls
}

async fn verified(world: &World) -> Report {
    let heads = Heads::read(&world.store).await.expect("Redis answers");
    Box::pin(verify(&world.archive, Some(&heads), None)).await.expect("S3 answers")
}

async fn segments(world: &World) -> Vec<String> {
    let is_segment = |key: &str| keys::read_segment(key).is_some();
    world.archive.list(keys::AUDIT_PREFIX, None, is_segment).await.expect("S3 answers")
}

#[tokio::test]
async fn calls_that_were_never_dialed_are_in_the_chain_and_known_ever_after() {
    let world = World::start().await;
    let sealer = sealer(&world, 60_000);
    assert_eq!(sealer.seal(SHARD).await.expect("nothing to do"), 0);
    let mut calls = Vec::new();
    for (round, size) in [3, 1, 4].into_iter().enumerate() {
        calls.extend(canceled(&world, round * 10, size).await);
        assert_eq!(sealer.seal(SHARD).await.expect("sealed"), size);
    }
    let waiting = canceled(&world, 100, 1).await.remove(0);

    let report = verified(&world).await;
    assert!(report.intact, "{report:?}");
    let [chain] = report.chains.as_slice() else { panic!("{report:?}") };
    assert_eq!((chain.chain.as_str(), chain.segments, chain.entries), ("s07", 3, 8));
    assert_eq!((chain.unnamed, chain.waiting), (0, 1));
    assert_eq!(world.metrics.audit_segments.get(), 3);

    let shown = lines_of(&world.archive, Some(&world.store), &calls[3].id, None).await.expect("read");
    let [(Some(key), line)] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!(keys::read_segment(key).map(|name| name.seq), Some(2));
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["event"], &line["disposition"]), (&json!("not_dialed"), &json!("canceled")));
    assert_eq!(line["phone_hash"], json!(calls[3].phone_hash));
    let shown = lines_of(&world.archive, Some(&world.store), &waiting.id, None).await.expect("read");
    assert!(matches!(shown.as_slice(), [(None, _)]), "{shown:?}");

    for call in &calls {
        let status = archived_status(&world.archive, &call.id).await.expect("S3 answers").expect("a status");
        assert_eq!((&status["status"], &status["disposition"]), (&json!("ended"), &json!("canceled")));
    }
    for key in segments(&world).await {
        let text = String::from_utf8(world.object(&key).expect("it exists")).expect("text");
        assert!(!text.contains("1415"), "no number: {text}");
    }
}

#[tokio::test]
async fn whatever_is_done_to_an_object_is_found() {
    let world = World::start().await;
    let sealer = sealer(&world, 60_000);
    for round in 0..3 {
        canceled(&world, round * 10, 2).await;
        sealer.seal(SHARD).await.expect("sealed");
    }
    let mut names = segments(&world).await;
    names.sort_by_key(|key| keys::read_segment(key).map(|name| name.seq));
    assert_eq!(names.len(), 3);
    let first_break = async || {
        let report = verified(&world).await;
        assert!(!report.intact);
        report.chains[0].breaks[0].clone()
    };
    for (i, name) in names.iter().enumerate() {
        let (path, whole) = (world.path(name), world.object(name).expect("it exists"));
        for place in [0, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&path, changed).expect("written");
            let found = first_break().await;
            assert_eq!((found.seq, found.key.as_ref()), (i as u64 + 1, Some(name)), "{found:?}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(first_break().await.seq, i as u64 + 1);
        let other = world.object(&names[(i + 1) % 3]).expect("it exists");
        std::fs::write(&path, other).expect("written");
        assert_eq!(first_break().await.seq, i as u64 + 1);
        std::fs::write(&path, whole).expect("written");
        assert!(verified(&world).await.intact, "as it was");
    }
}

#[tokio::test]
async fn while_s3_is_away_evidence_waits() {
    let world = World::start().await;
    let sealer = sealer(&world, 60_000);
    let calls = canceled(&world, 0, 3).await;
    world.s3_fault.store(503, Ordering::SeqCst);
    sealer.seal(SHARD).await.expect_err("S3 is away");
    world.s3_fault.store(0, Ordering::SeqCst);
    assert_eq!(world.store.audit_lines(SHARD).await.expect("Redis answers").len(), 3);
    // The lease was given back.
    assert_eq!(sealer.seal(SHARD).await.expect("sealed"), 3);
    let report = verified(&world).await;
    assert!(report.intact, "{report:?}");
    assert_eq!(report.chains[0].entries, calls.len() as u64);
}

#[tokio::test]
async fn sealers_whose_leases_lapse_lose_nothing_and_double_nothing() {
    let world = World::start().await;
    // A lease of a millisecond is no lease: they all seal the same lines, and one of them is named.
    let sealer = sealer(&world, 1);
    let mut all = 0;
    for round in 0..6 {
        all += canceled(&world, round * 10, 4).await.len() as u64;
        let sealing = (0..5).map(|_| async { sealer.seal(SHARD).await.expect("Redis and S3 answer") });
        let sealed: Vec<usize> = futures::future::join_all(sealing).await;
        assert!(sealed.iter().sum::<usize>() <= 4, "{sealed:?}");
    }
    while sealer.seal(SHARD).await.expect("sealed") > 0 {}
    let report = verified(&world).await;
    assert!(report.intact, "{report:?}");
    assert_eq!((report.chains[0].entries, report.chains[0].waiting), (all, 0));
    let unnamed = segments(&world).await.len() as u64 - report.chains[0].segments;
    assert_eq!(report.chains[0].unnamed, unnamed);
}
