//! Keys, rates, routes, limits, health, documentation.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use super::{Answer, Fixture, json_request};
use crate::api::{ApiConfig, ApiKeys};
use crate::store::Node;

#[tokio::test]
async fn a_key_is_asked_for_and_may_not_ask_too_often() {
    let keys = ApiKeys::from_plain(["right"]);
    let f = Fixture::with(ApiConfig { keys, rate_per_second: 2, ..ApiConfig::default() }).await;
    let ask = async |value: Option<&str>| -> Answer {
        let mut request = Request::get("/api/campaigns");
        if let Some(value) = value {
            request = request.header("authorization", value);
        }
        f.ask(request.body(Body::empty()).unwrap()).await
    };
    for wrong in [None, Some("Bearer wrong"), Some("Basic right"), Some("right"), Some("Bearer ")] {
        let answer = ask(wrong).await;
        answer.is(401).is_problem("unauthorized");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    ask(Some("Bearer right")).await.is(200);
    ask(Some("bearer right")).await.is(200);
    let answer = ask(Some("Bearer right")).await;
    answer.is(429).is_problem("rate_limited");
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    for open in ["/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs/", "/problems"] {
        f.get(open).await.is(200);
    }
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let f = Fixture::with(ApiConfig { body_limit: 100, bulk_limit: 300, ..ApiConfig::default() }).await;
    f.get("/nowhere").await.is(404).is_problem("not_found");
    let answer = f.send(Method::PATCH, "/api/calls").await;
    answer.is(405).is_problem("method_not_allowed");
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
    f.get("/api/calls?stauts=queued").await.is(400).is_problem("invalid_query");
    for bad in ["limit=0", "limit=x", "cursor=x", "status=lost", "created_after=now", "campaign_id=1"] {
        assert_eq!(f.get(&format!("/api/calls?{bad}")).await.is(400).wrong_fields().len(), 1, "{bad}");
    }
    f.get("/api/campaigns/x").await.is(404).is_problem("unknown_campaign");
    f.get("/api/people/%FF").await.is(422).is_problem("invalid_request");
    f.upload("text/plain", "", "x").await.is(415).is_problem("unsupported_media_type");
    f.upload("application/json", "?agent=interview", "{}").await.is(400).is_problem("invalid_query");
    f.ask(Request::post("/api/suppressions").body(Body::from("{}")).unwrap()).await.is(415);
    let long = format!("{{\"prefix\": \"{}\"}}", "1".repeat(200));
    f.ask(json_request("/api/suppressions", &long)).await.is(413).is_problem("payload_too_large");
    f.ask(json_request("/api/calls/initiate", &long)).await.is(413).is_problem("payload_too_large");
    let list = format!("{{\"calls\": [\"{}\"]}}", "1".repeat(400));
    f.ask(json_request("/api/calls/initiate", &list)).await.is(413).is_problem("payload_too_large");
    f.ask(json_request("/api/suppressions", "{")).await.is(400).is_problem("malformed_json");
    f.ask(json_request("/api/suppressions", "[]")).await.is(422).is_problem("invalid_request");
    f.send(Method::POST, "/api/outbox/dead/evt_x/replay").await.is(404).is_problem("unknown_event");
    f.send(Method::POST, "/api/outbox/dead/replay?receiver=nobody").await.is(400).is_problem("invalid_query");
    let none = f.send(Method::POST, "/api/outbox/dead/replay?receiver=https://a.test").await;
    assert_eq!(none.is(202).body["replayed"], 0);
    f.get("/problems/unknown_call").await.is(200);
    f.get("/problems/none").await.is(404).is_problem("not_found");
}

#[tokio::test]
async fn health_and_readiness_are_told_apart() {
    let f = Fixture::start().await;
    let health = f.get("/health").await;
    assert_eq!(health.is(200).body["status"], "degraded");
    assert_eq!(health.body["dependencies"][0]["name"], "s3");
    f.get("/readyz").await.is(200);
    f.draining.store(true, Ordering::Relaxed);
    assert_eq!(f.get("/readyz").await.is(503).body, json!({"ready": false, "reason": "draining"}));
    f.get("/livez").await.is(200);
    f.initiate(json!({"phone_number": "+14155552671"})).await.is(202);
    let metrics = f.get("/metrics").await;
    assert!(metrics.body.as_str().unwrap().contains("calls_started_total 1"));
}

#[tokio::test]
async fn stats_show_the_fleet() {
    let f = Fixture::start().await;
    f.initiate(json!({"phone_number": "+14155552671"})).await.is(202);
    let node = Node { id: "n1".into(), role: "api".into(), version: "1".into(), started_at: 1, seen_at: 0 };
    f.store.heartbeat(&node, 60_000).await.unwrap();
    f.store.heartbeat(&Node { id: "n2".into(), ..node }, 0).await.unwrap();
    let stats = f.get("/api/system/stats").await;
    assert_eq!(stats.is(200).body["queue"]["ready"], 1);
    assert_eq!(stats.body["nodes"].as_array().unwrap().len(), 1, "a node that is silent is gone");
    assert_eq!(stats.body["webhook_stats"]["pending"], 0);
    assert!(stats.body["redis"]["maxmemory_policy"].is_string());
    let id = f.get("/api/calls").await.body["calls"][0]["call_id"].as_str().unwrap().to_owned();
    f.send(Method::POST, &format!("/api/calls/{id}/cancel")).await.is(202);
    let stats = f.get("/api/system/stats").await;
    assert_eq!(stats.body["webhook_stats"]["pending"], 1);
    assert_eq!(f.get("/api/outbox/dead").await.body, json!({"dead": []}));
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let f = Fixture::start().await;
    let ask = |id: &str| Request::get("/livez").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(f.ask(ask("abc-1")).await.headers["x-request-id"], "abc-1");
    for unfit in ["+14155552671", "14155552671", "a b"] {
        assert_ne!(f.ask(ask(unfit)).await.headers["x-request-id"], unfit);
    }
}

#[tokio::test]
async fn what_is_served_is_described() {
    let f = Fixture::start().await;
    let description = f.get("/openapi.json").await;
    let paths = description.is(200).body["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 30, "{:?}", paths.keys());
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = f.send(method.clone(), &path.replace(['{', '}'], "x")).await;
            let unserved = matches!(answer.body["type"].as_str(), Some("/problems/method_not_allowed"))
                || answer.body["detail"] == "there is nothing at this address; see /openapi.json";
            assert!(!unserved, "{method} {path}: {answer:?}");
        }
    }
    let text = description.body.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let pointer = reference.trim_start_matches('#');
        assert!(description.body.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    assert!(text.contains("api_key") && text.contains("adversarial_score"));
}
