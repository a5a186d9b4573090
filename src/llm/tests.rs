//! The model client against a scripted server.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;

use super::stub::{Step, Stub, model};
use super::{Delta, Finish, Flavor, Limits, Message, Model, ModelError, Request, ToolSpec};

fn request() -> Request {
    Request {
        messages: vec![Message::System("s".into()), Message::User("u".into())],
        tools: vec![ToolSpec(crate::domain::agent::declaration("t", "d", &json!({"type": "object"})))],
        max_tokens: 100,
        ..Request::default()
    }
}

async fn hear(model: &Model) -> Result<Vec<Delta>, ModelError> {
    let mut stream = model.stream(&request()).await?;
    let mut out = Vec::new();
    while let Some(delta) = stream.next().await {
        out.push(delta?);
    }
    Ok(out)
}

fn text(deltas: &[Delta]) -> String {
    deltas.iter().filter_map(|d| if let Delta::Text(t) = d { Some(t.as_str()) } else { None }).collect()
}

fn limited(code: &'static str) -> Step {
    Step::Plain(429, vec![("retry-after-ms", "1")], json!({"error": {"code": code}}))
}

#[tokio::test]
async fn an_answer_streams_and_its_limits_are_kept() {
    let call = Step::Call("Noted. ", vec![("c1", "t", json!({"x": [1, 2]}))]);
    let (stub, model) = Stub::start(vec![call]).await;
    assert_eq!(model.last_limits(), None);
    let deltas = hear(&model).await.expect("an answer");
    assert_eq!(text(&deltas), "Noted. ");
    let Some(Delta::Tool(call)) = deltas.get(deltas.len() - 2) else { panic!("{deltas:?}") };
    assert_eq!((call.name.as_str(), call.args()), ("t", Some(json!({"x": [1, 2]}))));
    assert_eq!(deltas.last(), Some(&Delta::Done { finish_reason: Finish::ToolCalls, usage: None }));
    let limits =
        Limits { remaining_requests: Some(41), reset_requests: Some("1s".into()), ..Limits::default() };
    assert_eq!(model.last_limits(), Some(limits));
    let seen = &stub.seen()[0];
    assert_eq!((seen.path.as_str(), &seen.body["model"]), ("/v1/chat/completions", &json!("stub model")));
    assert_eq!(seen.headers["authorization"], "Bearer sk-test");
    assert_eq!(seen.body["stream"], true);
}

#[tokio::test]
async fn one_retry_before_the_first_word_and_none_after_it() {
    for first in [
        limited("rate_limit_exceeded"),
        Step::Plain(503, vec![], json!({})),
        Step::Hang,
        Step::Cut(""),
        Step::Garbled(""),
        Step::Stall(""),
    ] {
        let silent = matches!(first, Step::Hang | Step::Stall(_));
        let script = vec![first.clone(), Step::Say("Hello there.")];
        let (stub, model) = match silent {
            true => Stub::start_impatient(script).await,
            false => Stub::start(script).await,
        };
        assert_eq!(hear(&model).await.map(|d| text(&d)).as_deref(), Ok("Hello there."), "{first:?}");
        assert_eq!(stub.seen().len(), 2);
    }
    for first in [Step::Cut("Hello "), Step::Garbled("Hello "), Step::Stall("Hello ")] {
        let (stub, model) = Stub::start_impatient(vec![first, Step::Say("Hello there.")]).await;
        let wrong = ModelError::Malformed("chunk");
        assert!(hear(&model).await.is_err_and(|e| e.is_retryable() || e == wrong));
        assert_eq!(stub.seen().len(), 1, "words that may have been spoken are not asked for again");
    }
    let again = vec![limited("rate_limit_exceeded"), limited("rate_limit_exceeded"), Step::Say("x")];
    let (stub, model) = Stub::start(again).await;
    let after = Some(Duration::from_millis(1));
    assert_eq!(hear(&model).await, Err(ModelError::Retryable { after, why: "rate_limited" }));
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn what_cannot_work_is_asked_once() {
    for (step, wanted) in [
        (limited("insufficient_quota"), ModelError::Exhausted),
        (Step::Plain(401, vec![], json!({"error": {"code": "invalid_api_key"}})), ModelError::Unauthorized),
        (Step::Plain(400, vec![], json!({"error": {"code": "content_filter"}})), ModelError::ContentFilter),
        (
            Step::Plain(429, vec![("retry-after", "55")], json!({})),
            ModelError::Retryable { after: Some(Duration::from_secs(55)), why: "rate_limited" },
        ),
    ] {
        let (stub, model) = Stub::start(vec![step, Step::Say("x")]).await;
        assert_eq!(hear(&model).await, Err(wanted));
        assert_eq!(stub.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_structured_answer_is_json_or_says_why_not() {
    let whole = |message: serde_json::Value| {
        Step::Plain(200, vec![], json!({"choices": [{"message": message, "finish_reason": "stop"}]}))
    };
    let schema = json!({"type": "object"});
    let messages = [Message::User("u".into())];
    for (step, wanted) in [
        (whole(json!({"content": "{\"a\": 1}"})), Ok(json!({"a": 1}))),
        (whole(json!({"content": null, "refusal": "no"})), Err(ModelError::Refused)),
        (whole(json!({"content": "sorry"})), Err(ModelError::Malformed("not a JSON object"))),
        (Step::Plain(200, vec![], json!("x")), Err(ModelError::Malformed("completion"))),
    ] {
        let (stub, model) = Stub::start(vec![step]).await;
        assert_eq!(model.complete_json(&messages, "worker_profile", &schema).await, wanted);
        let format = &stub.seen()[0].body["response_format"];
        assert_eq!(format["json_schema"]["name"], "worker_profile");
        assert_eq!(format["json_schema"]["strict"], true);
    }
}

#[tokio::test]
async fn health_is_one_cheap_request_and_nobody_there_is_a_connection_failure() {
    let (stub, model_there) = Stub::start(vec![Step::Plain(200, vec![], json!({"data": []}))]).await;
    assert_eq!(model_there.health().await, Ok(()));
    assert_eq!(stub.seen()[0].path, "/v1/models");
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let at = free.local_addr().expect("address");
    drop(free);
    let away = model(at, Flavor::Azure).health().await;
    assert_eq!(away, Err(ModelError::Retryable { after: None, why: "connect" }));
    assert!(!format!("{:?}", model(at, Flavor::OpenAi)).contains("sk-test"));
}
