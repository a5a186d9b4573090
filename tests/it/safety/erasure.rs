//! A person is forgotten: what Redis and the archive hold of them goes, however old; what proves that the law was kept
//! stays, and still verifies.

use carillon::sim::people::Kind;
use serde_json::{Value, json};

use super::{CALL_WITHIN, SOON, objects};
use crate::support::fleet::{Fleet, FleetConfig};
use crate::support::until;

async fn verified(fleet: &Fleet) -> Value {
    let mut audit = fleet.command("audit").arg("verify").arg("--json").start();
    let status = audit.ended(SOON).await;
    let report =
        serde_json::from_str(&audit.output()).unwrap_or_else(|why| panic!("{why}: {}", audit.output()));
    assert!(status.success(), "{report}");
    report
}

/// Forgets a call as Redis does by itself 48 hours after its end.
async fn forget(fleet: &Fleet, call: &str) {
    for kind in ["CALL_SESSION", "TRANSCRIPT", "TURN", "JOURNAL"] {
        for key in fleet.redis.keys(&format!("{kind}:*:{call}")).await {
            fleet.redis.cmd(&["DEL", &key]).await;
        }
    }
}

async fn status_of(fleet: &Fleet, call: &str) -> u16 {
    fleet.ask(|http, base| http.get(format!("{base}/api/calls/status/{call}"))).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_forgotten_and_the_evidence_still_verifies() {
    let fleet = Fleet::start(FleetConfig::default()).await;
    let (person, other) =
        (fleet.sim.world().number(Kind::Cooperative, 0), fleet.sim.world().number(Kind::Cooperative, 1));
    let later = carillon::base::clock::rfc3339(crate::support::fleet::now_ms() + 3_600_000);
    // One talked and is old, one was never dialed and is old, one talked just now; and somebody else's.
    let old = fleet.call(&person, json!({"variables": {"name": "Ann Example"}})).await;
    let kept = fleet.call(&other, json!({})).await;
    fleet.call_ended(&old, CALL_WITHIN).await;
    fleet.call_ended(&kept, CALL_WITHIN).await;
    let never = fleet.call(&person, json!({"schedule_at": later})).await;
    fleet.ask(|http, base| http.post(format!("{base}/api/calls/{never}/cancel"))).await;
    let recent = fleet.call(&person, json!({})).await;
    fleet.call_ended(&recent, CALL_WITHIN).await;
    fleet.settled(SOON).await;
    until("all evidence sealed", SOON, || async {
        fleet.redis.keys("AUDIT:*").await.is_empty().then_some(())
    })
    .await;
    for call in [&old, &never] {
        forget(&fleet, call).await;
        assert_eq!(status_of(&fleet, call).await, 200, "the archive remembers it");
    }
    let named = |call: &str| objects(&fleet).into_iter().filter(|(key, _)| key.contains(call)).count();
    assert!(named(&old) >= 3 && named(&never) >= 1 && named(&recent) >= 3 && named(&kept) >= 3);
    let path = |base: &str| format!("{base}/api/people/{person}");
    let (code, held) = fleet.ask(|http, base| http.get(path(base))).await;
    let archived: Vec<&str> =
        held["archived"].as_array().into_iter().flatten().filter_map(|c| c["call_id"].as_str()).collect();
    assert_eq!(code, 200, "{held}");
    assert!(archived.contains(&old.as_str()) && archived.contains(&never.as_str()), "{held}");
    let entry = json!({"phone_number": person, "source": "letter", "evidence": "they wrote to us"});
    assert_eq!(
        fleet.ask(|http, base| http.post(format!("{base}/api/suppressions")).json(&entry)).await.0,
        201
    );
    let before = verified(&fleet).await;

    let erased = until("nothing to be pending", SOON, || async {
        let (code, answer) = fleet.ask(|http, base| http.delete(path(base))).await;
        (code == 200).then_some(answer)
    })
    .await;
    assert_eq!(erased["suppressed"], true, "or they would be called again: {erased}");
    for call in [&old, &never, &recent] {
        assert_eq!(status_of(&fleet, call).await, 404, "{call}");
        assert_eq!(named(call), 0, "objects of {call} are left");
        assert!(fleet.redis.keys(&format!("*{call}*")).await.is_empty(), "keys of {call} are left");
    }
    for key in fleet.redis.keys("OUTBOX:*").await {
        let event = fleet.redis.cmd(&["GET", &key]).await.text().unwrap_or_default();
        let of = [&old, &never, &recent].into_iter().find(|call| event.contains(call.as_str()));
        assert_eq!(of, None, "an event is left: {event}");
    }
    let held = fleet.redis.keys("SUPPRESSION:*").await;
    for key in &held {
        let entries = fleet.redis.cmd(&["HVALS", key]).await.texts().join("\n");
        assert!(!entries.contains(&person[1..]) && !entries.contains("they wrote to us"), "{entries}");
        assert!(entries.contains("letter"), "why it stands there is kept: {entries}");
    }
    assert_eq!(held.len(), 1);
    let hash = erased["phone_hash"].as_str().expect("a hash").to_owned();
    for (key, bytes) in objects(&fleet) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("Ann Example"), "{key} holds a name");
        // The hash stands in evidence alone.
        assert!(key.starts_with("audit/") || !(text.contains(&hash) || key.contains(&hash)), "{key} is left");
    }
    assert_eq!(status_of(&fleet, &kept).await, 200, "somebody else's is there");
    assert!(named(&kept) >= 3);
    let (_, held) = fleet.ask(|http, base| http.get(path(base))).await;
    assert_eq!((&held["calls"], &held["archived"]), (&json!([]), &json!([])), "{held}");
    let (code, refused) = fleet
        .ask(|http, base| {
            http.post(format!("{base}/api/calls/initiate")).json(&json!({"phone_number": person}))
        })
        .await;
    assert!(code >= 400, "they are not called again: {refused}");
    let after = verified(&fleet).await;
    let entries = |report: &Value| -> u64 {
        report["chains"].as_array().into_iter().flatten().filter_map(|chain| chain["entries"].as_u64()).sum()
    };
    assert!(entries(&after) >= entries(&before) && entries(&before) > 0, "evidence was lost");
}
