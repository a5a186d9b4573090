//! The server over HTTP: what goes over the wire, and what goes wrong on it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{ModelConfig, ModelFault, router};

const KEY: &str = "sk-test";

fn server(fault: Option<ModelFault>) -> Router {
    let fault = Mutex::new(fault);
    let faults = Arc::new(move || fault.lock().expect("no panic holds it").take());
    router(ModelConfig { api_key: Some(KEY.into()), faults, ..ModelConfig::default() })
}

async fn post(router: &Router, path: &str, key: (&str, &str), body: &Value) -> Response<Body> {
    let request = Request::post(path)
        .header(key.0, key.1)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()));
    router.clone().oneshot(request.expect("a request")).await.expect("infallible")
}

async fn chat(router: &Router, body: &Value) -> Response<Body> {
    post(router, "/v1/chat/completions", ("authorization", "Bearer sk-test"), body).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

async fn value(response: Response<Body>) -> Value {
    serde_json::from_str(&text(response).await).expect("JSON")
}

fn body(stage: &str, asked: &str, heard: &str) -> Value {
    let consent = if stage == "consent" { Value::Null } else { json!(true) };
    let state = json!({"agent": "interview", "stage": stage, "consent": consent, "jobs": [], "ask": asked});
    let tool = |name: &str, properties: Value| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}});
    json!({"model": "gpt-4o", "messages": [
            {"role": "system", "content": format!("You are kind.\nSTATE: {state}")},
            {"role": "assistant", "content": asked}, {"role": "user", "content": heard}],
        "tools": [tool("record_consent", json!({"given": {"type": "boolean"}})), tool("record_job", json!({"company": {"type": "string"}, "title": {"type": "string"}, "start": {"type": "string"}}))]})
}

fn events(stream: &str) -> Vec<&str> {
    stream
        .split("\n\n")
        .filter(|e| !e.is_empty())
        .map(|e| e.strip_prefix("data: ").expect("data lines only"))
        .collect()
}

#[tokio::test]
async fn a_stream_of_tool_calls_has_the_vendors_shape() {
    let mut body = body("consent", "Is it okay to go on?", "Yes, sure.");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let response = chat(&server(None), &body).await;
    assert!(response.headers()["content-type"].to_str().is_ok_and(|t| t.starts_with("text/event-stream")));
    assert!(
        response.headers().contains_key("x-request-id")
            && response.headers().contains_key("x-ratelimit-remaining-requests")
    );
    let stream = text(response).await;
    let events = events(&stream);
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|e| serde_json::from_str(e).expect("JSON")).collect();
    let first = &chunks[0]["choices"][0]["delta"];
    assert_eq!(first["role"], "assistant");
    assert_eq!(first["tool_calls"][0]["function"]["name"], "record_consent");
    assert!(first["tool_calls"][0]["id"].as_str().is_some_and(|id| id.starts_with("call_")));
    let arguments: String = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, r#"{"given":true}"#);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    assert!(chunks.last().is_some_and(|c| c["choices"] == json!([]) && c["usage"]["total_tokens"].is_u64()));
}

#[tokio::test]
async fn words_come_in_pieces_and_say_what_the_tool_suggests() {
    let mut body = body("consent", "Is it okay to go on?", "Yes, sure.");
    let messages = body["messages"].as_array_mut().expect("a list");
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "record_consent", "arguments": "{\"given\":true}"}}]}));
    messages.push(json!({"role": "tool", "tool_call_id": "call_1", "content": "{\"ok\":true,\"stage\":\"situation\",\"ask\":\"May I have your full name, please?\"}"}));
    body["stream"] = json!(true);
    let stream = text(chat(&server(None), &body).await).await;
    let events = events(&stream);
    let said: String = events
        .iter()
        .filter_map(|e| {
            serde_json::from_str::<Value>(e).ok()?["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert!(said.ends_with("May I have your full name, please?"), "{said}");
    assert!(events.len() > 4);
}

#[tokio::test]
async fn mistakes_are_refused_in_the_vendors_words() {
    let good = body("consent", "Is it okay to go on?", "Yes.");
    let router = server(None);
    let wrong = post(&router, "/v1/chat/completions", ("authorization", "Bearer nonsense"), &good).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(value(wrong).await["error"]["code"], "invalid_api_key");
    let mut unknown = good.clone();
    unknown["model"] = json!("no-such-model");
    let response = chat(&router, &unknown).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(value(response).await["error"]["code"], "model_not_found");
    let mut unanswered = good.clone();
    let messages = unanswered["messages"].as_array_mut().expect("a list");
    messages.push(json!({"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "record_consent", "arguments": "{}"}}]}));
    let response = chat(&router, &unanswered).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(value(response).await["error"]["message"].as_str().is_some_and(|m| m.contains("call_1")));
    let mut loose = good.clone();
    loose["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    assert_eq!(chat(&router, &loose).await.status(), StatusCode::BAD_REQUEST);
    let response =
        post(&router, "/v1/chat/completions", ("authorization", "Bearer sk-test"), &json!("no object")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn azure_has_its_own_door() {
    let good = body("consent", "Is it okay to go on?", "Yes.");
    let path = "/openai/deployments/mine/chat/completions";
    let router = server(None);
    let response = post(&router, &format!("{path}?api-version=2024-10-21"), ("api-key", KEY), &good).await;
    assert_eq!(value(response).await["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(post(&router, path, ("api-key", KEY), &good).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        post(&router, &format!("{path}?api-version=1"), ("api-key", "no"), &good).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn faults_strike_once_and_as_named() {
    let mut good = body("consent", "Is it okay to go on?", "Hm?");
    good["stream"] = json!(true);
    let router = server(Some(ModelFault::RateLimited(7)));
    let limited = chat(&router, &good).await;
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().ok()), (429, Some("7")));
    assert_eq!(value(limited).await["error"]["code"], "rate_limit_exceeded");
    assert_eq!(chat(&router, &good).await.status(), StatusCode::OK);
    let quota = chat(&server(Some(ModelFault::InsufficientQuota)), &good).await;
    assert_eq!(value(quota).await["error"]["code"], "insufficient_quota");
    assert_eq!(chat(&server(Some(ModelFault::Status(503))), &good).await.status().as_u16(), 503);
    let cut = chat(&server(Some(ModelFault::DropMidStream)), &good).await;
    assert!(cut.into_body().collect().await.is_err());
    let broken = text(chat(&server(Some(ModelFault::MalformedSse)), &good).await).await;
    assert!(events(&broken).iter().any(|e| *e != "[DONE]" && serde_json::from_str::<Value>(e).is_err()));
    let waiting = server(Some(ModelFault::Hang));
    let hung = tokio::time::timeout(Duration::from_millis(20), chat(&waiting, &good)).await;
    assert!(hung.is_err());
}

#[tokio::test]
async fn an_unknown_agent_is_served_too() {
    let state = json!({"agent": "reminder", "stage": "ask", "ask": "Will you be there?"});
    let mut body = json!({"model": "gpt-4o-mini", "messages": [
            {"role": "system", "content": format!("Remind.\nSTATE: {state}")},
            {"role": "assistant", "content": "You have an appointment. Will you be there?"}, {"role": "user", "content": "No, I can't make it, sorry."}],
        "tools": [{"type": "function", "function": {"name": "record_answer", "parameters": {"type": "object", "required": ["answer", "words"],
            "properties": {"answer": {"type": "string", "enum": ["yes", "no", "other"]}, "words": {"type": "string"}}}}}]});
    let answer = value(chat(&server(None), &body).await).await;
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "record_answer");
    assert_eq!(call["arguments"], r#"{"answer":"no","words":"No, I can't make it, sorry."}"#);
    body["messages"][2]["content"] = json!("Who is this?");
    let answer = value(chat(&server(None), &body).await).await;
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap_or("").to_owned();
    assert!(said.contains("AI assistant") && said.ends_with("Will you be there?"), "{said}");
}
