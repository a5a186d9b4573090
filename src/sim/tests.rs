//! The world's other servers over real HTTP: object store, receiver, model, control desk.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::faults::{Fault, Rule, Target};
use super::ledger::Ledger;
use super::{Sim, SimConfig, start};

async fn world() -> (Sim, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = SimConfig { journal: Some(dir.path().join("ledger.jsonl")), ..SimConfig::default() };
    config.s3.root = Some(dir.path().join("s3"));
    (start(config).await.expect("the world starts"), dir)
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A request to the store, signed by AWS's version 4 by hand: the SDK belongs to the archive alone.
async fn s3(sim: &Sim, secret: &str, method: &str, path: &str, body: &'static str) -> (u16, String) {
    let host = sim.s3_url().trim_start_matches("http://").to_owned();
    let now =
        jiff::Timestamp::from_millisecond(i64::try_from(Ledger::now()).expect("a date")).expect("a date");
    let (at, day) = (now.strftime("%Y%m%dT%H%M%SZ").to_string(), now.strftime("%Y%m%d").to_string());
    let (names, open) = ("host;x-amz-content-sha256;x-amz-date", "UNSIGNED-PAYLOAD");
    let headers = format!("host:{host}\nx-amz-content-sha256:{open}\nx-amz-date:{at}\n");
    let canonical = format!("{method}\n{path}\n\n{headers}\n{names}\n{open}");
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let digest = hex::encode(Sha256::digest(canonical.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = keyed(&key, part);
    }
    let signature = hex::encode(keyed(&key, &format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}")));
    let access = &sim.config().s3.access_key;
    let auth =
        format!("AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}");
    let method = method.parse::<http::Method>().expect("a method");
    let answer = reqwest::Client::new()
        .request(method, format!("{}{path}", sim.s3_url()))
        .header("x-amz-content-sha256", open)
        .header("x-amz-date", at)
        .header("authorization", auth)
        .body(body)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn the_store_keeps_what_it_is_given_and_fails_on_request() {
    let (sim, _dir) = world().await;
    let secret = sim.config().s3.secret_key.clone();
    let path = "/carillon/calls/profiles/a.json";
    assert_eq!(s3(&sim, &secret, "PUT", path, "{}").await.0, 200);
    assert_eq!(s3(&sim, &secret, "GET", path, "").await, (200, "{}".to_owned()));
    assert!(sim.s3_root().join("carillon/calls/profiles/a.json").exists());

    let busy = Fault::Status { code: 503, retry_after_s: None, error_code: None };
    sim.faults().set(vec![Rule::next(Target::S3, busy, 1).matching("PUT /carillon/")]);
    let (status, body) = s3(&sim, &secret, "PUT", path, "[]").await;
    assert!(status == 503 && body.contains("<Code>SlowDown</Code>"), "{status} {body}");
    assert_eq!(s3(&sim, &secret, "PUT", path, "[]").await.0, 200, "it has recovered");
    assert_eq!(s3(&sim, "wrong", "GET", path, "").await.0, 403);
}

fn signature(secret: &str, id: &str, at: u64, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn the_receiver_verifies_counts_and_fails_on_request() {
    let (sim, dir) = world().await;
    let client = reqwest::Client::new();
    let post = |id: &'static str, forged: bool| {
        let body = json!({"event_type": "call_completed", "call_id": "call_1"}).to_string();
        let at = Ledger::now() / 1000;
        let secret = &sim.config().webhook_secret;
        let sign = if forged { "v1,AAAA".to_owned() } else { signature(secret, id, at, &body) };
        client
            .post(format!("{}/orders", sim.hook_url()))
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", sign)
            .body(body)
            .send()
    };
    let gone = Fault::Status { code: 429, retry_after_s: Some(7), error_code: None };
    sim.faults().set(vec![Rule::next(Target::Receiver, gone, 1).matching("/hook/orders")]);
    let first = post("msg_1", false).await.expect("an answer");
    assert_eq!((first.status().as_u16(), first.headers()["retry-after"].to_str().ok()), (429, Some("7")));
    for (id, forged, status) in [("msg_1", false, 204), ("msg_1", false, 204), ("msg_2", true, 401)] {
        assert_eq!(post(id, forged).await.expect("an answer").status().as_u16(), status);
    }
    sim.faults().set(vec![Rule::next(Target::Receiver, Fault::DropBefore, 1)]);
    assert!(post("msg_3", false).await.is_err());
    let book = sim.ledger().snapshot();
    let seen: Vec<_> = book.webhooks.iter().map(|d| (d.answered, d.repeat_of, d.problem.is_some())).collect();
    assert_eq!(seen, [(429, 0, false), (204, 0, false), (204, 1, false), (401, 0, true), (0, 0, false)]);
    assert_eq!(
        (book.webhooks[0].hook.as_str(), book.webhooks[0].call_id.as_deref()),
        ("orders", Some("call_1"))
    );
    let s = sim.ledger().summary();
    assert_eq!((s.webhooks, s.webhooks_unique, s.webhooks_repeated, s.webhooks_unverified), (5, 1, 1, 1));
    let journal = std::fs::read_to_string(dir.path().join("ledger.jsonl")).expect("a journal");
    assert_eq!(journal.lines().filter(|l| l.contains(r#""kind":"webhook""#)).count(), 5);
}

#[tokio::test]
async fn the_model_answers_and_fails_on_request() {
    let (sim, _dir) = world().await;
    let client = reqwest::Client::new();
    let ask = || {
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]});
        client.post(format!("{}/chat/completions", sim.model_url())).json(&body).send()
    };
    assert_eq!(ask().await.expect("an answer").status().as_u16(), 200);
    let quota =
        Fault::Status { code: 429, retry_after_s: None, error_code: Some("insufficient_quota".into()) };
    sim.faults().set(vec![
        Rule::next(Target::Model, quota, 1),
        Rule::next(Target::Model, Fault::DropBefore, 1).after(1),
    ]);
    let refused = ask().await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 429);
    let body: Value = serde_json::from_slice(&refused.bytes().await.expect("a body")).expect("JSON");
    assert_eq!(body["error"]["code"], "insufficient_quota");
    assert!(ask().await.is_err(), "the connection closes");
    assert_eq!(ask().await.expect("an answer").status().as_u16(), 200);
    let struck: Vec<(String, String)> = sim.ledger().with(|book| {
        book.model_struck.iter().map(|struck| (struck.heard.clone(), struck.faults.join(" "))).collect()
    });
    assert_eq!(struck.len(), 2, "{struck:?}");
    assert!(struck.iter().all(|(heard, _)| heard == "Hello"), "{struck:?}");
    assert!(struck[0].1.contains("insufficient_quota") && struck[1].1 == "DropBefore", "{struck:?}");
    sim.faults().set(vec![Rule::next(Target::Model, Fault::Hang, 1)]);
    assert!(tokio::time::timeout(Duration::from_millis(100), ask()).await.is_err());
}

#[tokio::test]
async fn ledger_and_faults_are_reached_from_outside() {
    let (sim, _dir) = world().await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", sim.control_url());
    let rules = json!([{"target": "s3", "fault": {"delay_ms": 5}, "next": 2}]);
    let put = client.put(url("/faults")).json(&rules).send().await.expect("an answer");
    assert_eq!(put.status().as_u16(), 200);
    assert_eq!(sim.faults().rules(), [Rule::next(Target::S3, Fault::DelayMs(5), 2)]);
    let wrong = client.put(url("/faults")).json(&json!([{"target": "mars", "fault": "hang"}])).send().await;
    assert_eq!(wrong.expect("an answer").status().as_u16(), 422);
    for path in ["/ledger", "/ledger/summary", "/ledger/calls", "/ledger/webhooks"] {
        assert_eq!(client.get(url(path)).send().await.expect("an answer").status().as_u16(), 200, "{path}");
    }
    let none = client.get(url("/ledger/timeline/CA0")).send().await.expect("an answer");
    assert_eq!(none.status().as_u16(), 404);
    assert_eq!(client.delete(url("/ledger")).send().await.expect("an answer").status().as_u16(), 204);
    let base = sim.twilio_url();
    sim.stop().await;
    assert!(client.get(base).send().await.is_err(), "nobody listens any more");
}
