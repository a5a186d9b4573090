//! Keys that are changed: the webhooks' secret with both in force, the API's keys, and the one that must never change.

use carillon::sim::people::Kind;
use serde_json::json;

use super::{CALL_WITHIN, SOON};
use crate::support::fleet::{Fleet, FleetConfig};
use crate::support::until;

const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_changed_without_a_gap_and_the_hash_key_not_at_all() {
    let env = vec![("API_KEYS".to_owned(), "first-key-0123456789abcdef".to_owned())];
    let mut fleet = Fleet::start(FleetConfig { env, ..FleetConfig::default() }).await;
    let old = fleet.sim.config().webhook_secret.clone();
    let asked = async |fleet: &Fleet, key: &str| {
        fleet.ask(|http, base| http.get(format!("{base}/api/calls")).bearer_auth(key)).await.0
    };
    assert_eq!(asked(&fleet, "first-key-0123456789abcdef").await, 200);
    // Both keys are good while clients change over, then the new one alone.
    let both = "second-key-0123456789abcdef,first-key-0123456789abcdef";
    fleet.restart_api(0, &[("API_KEYS", both)]).await;
    for key in both.split(',') {
        assert_eq!(asked(&fleet, key).await, 200, "{key}");
    }
    fleet.restart_api(0, &[("API_KEYS", "second-key-0123456789abcdef")]).await;
    assert_eq!(asked(&fleet, "first-key-0123456789abcdef").await, 401);
    fleet.restart_api(0, &[("API_KEYS", "")]).await;

    // The receiver knows the old secret alone; what is signed with both is believed.
    fleet.restart_worker(0, &[("WEBHOOK_SIGNING_SECRET", &format!("{NEW}, {old}"))]).await;
    let call = fleet.call(&fleet.sim.world().number(Kind::Busy, 0), json!({"expires_at": soon()})).await;
    fleet.ask(|http, base| http.post(format!("{base}/api/calls/{call}/cancel"))).await;
    fleet.call_ended(&call, CALL_WITHIN).await;
    let told = async |fleet: &Fleet, call: &str| {
        until("the webhook", SOON, || async {
            fleet.sim.ledger().with(|book| {
                book.webhooks.iter().find(|w| w.call_id.as_deref() == Some(call)).map(|w| w.problem.clone())
            })
        })
        .await
    };
    assert_eq!(told(&fleet, &call).await, None, "a receiver with the old secret believes it");
    // Had the new one come alone, it would not have.
    fleet.restart_worker(0, &[("WEBHOOK_SIGNING_SECRET", NEW)]).await;
    let call = fleet.call(&fleet.sim.world().number(Kind::Busy, 1), json!({"expires_at": soon()})).await;
    fleet.ask(|http, base| http.post(format!("{base}/api/calls/{call}/cancel"))).await;
    assert!(told(&fleet, &call).await.is_some(), "the test sees a wrong signature");

    // A Redis that begins to throw keys away is no Redis for queued calls.
    let api = fleet.api_url(0);
    let redis = async |policy: &str, code: u16| {
        fleet.redis.cmd(&["CONFIG", "SET", "maxmemory-policy", policy]).await;
        until("/health to say so", SOON, || async {
            let (status, report) = fleet.get(&format!("{api}/health")).await?;
            (status == code).then_some(report)
        })
        .await
    };
    let report = redis("allkeys-lru", 503).await;
    assert!(report.to_string().contains("allkeys-lru"), "{report}");
    redis("noeviction", 200).await;

    // With another key nobody's do-not-call entry would be found.
    let mut other =
        fleet.command("worker").env("PHONE_HASH_KEY", "another key for rehearsals: 0123456789abcdef").start();
    assert!(!other.ended(SOON).await.success());
    assert!(other.output().contains("PHONE_HASH_KEY"), "{}", other.output());
    assert!(!other.output().contains("another key for rehearsals"), "{}", other.output());
}

fn soon() -> String {
    carillon::base::clock::rfc3339(crate::support::fleet::now_ms() + 3_600_000)
}
