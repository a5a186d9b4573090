//! A campaign's life as a client leads it, its results, its redial, its events.

use axum::body::Body;
use axum::http::{Method, Request};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Answer, Fixture};
use crate::api::{ApiConfig, ApiKeys};
use crate::base::clock::{HOUR, rfc3339};
use crate::domain::campaign::Command;
use crate::domain::ids::CampaignId;
use crate::store::Changed;

impl Fixture {
    async fn patch(&self, path: &str, body: Value) -> Answer {
        let request = Request::patch(path).header("content-type", "application/json");
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn step(&self, id: &str, step: &str) -> Answer {
        self.send(Method::POST, &format!("/api/campaigns/{id}/{step}")).await
    }

    /// What the keeper would do.
    async fn keeper(&self, id: &str, command: Command) {
        let id = CampaignId::parse(id).unwrap();
        let now = self.clock.now();
        let changed = self.store.change_campaign(&id, |it| it.command(command, "keeper", None, now)).await;
        assert!(matches!(changed, Ok(Changed::Done(_))), "{changed:?}");
    }
}

#[tokio::test]
async fn a_campaign_is_led_through_its_life() {
    let keys = ApiKeys::from_plain(["right"]);
    let f = Fixture::with(ApiConfig { keys, rate_per_second: 0, ..ApiConfig::default() }).await;
    let ask = async |method: &str, path: &str, body: Value| -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", "Bearer right");
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        };
        f.ask(request.unwrap()).await
    };
    let made = ask("POST", "/api/campaigns", json!({"name": "May", "agent": "interview", "weight": 4})).await;
    assert_eq!(made.is(201).body["state"], "draft");
    let path = format!("/api/campaigns/{}", made.text("campaign_id"));
    assert_eq!(made.headers["location"], path.as_str());
    let step = async |step: &str, body: Value| ask("POST", &format!("{path}/{step}"), body).await;
    step("pause", Value::Null).await.is(409).is_problem("campaign_state");
    assert_eq!(step("start", Value::Null).await.is(200).body["state"], "running");
    assert_eq!(step("start", Value::Null).await.is(200).body["state"], "running", "a repeat is no mistake");
    let paused = step("pause", json!({"why": "lunch"})).await;
    assert_eq!(paused.is(200).body["last_step"]["why"], "lunch");
    let conflict = step("start", Value::Null).await;
    assert!(conflict.is(409).text("detail").contains("paused"), "{conflict:?}");
    step("pause", json!({"wyh": "lunch"})).await.is(422).is_problem("invalid_request");
    step("resume", Value::Null).await.is(200);
    assert_eq!(step("cancel", Value::Null).await.is(200).body["toward"], "cancelled");
    step("resume", Value::Null).await.is(409);
    step("cancel", Value::Null).await.is(200);
    let shown = ask("GET", &path, Value::Null).await;
    let history = shown.is(200).body["history"].as_array().unwrap().clone();
    let states: Vec<&str> = history.iter().filter_map(|s| s["to"].as_str()).collect();
    assert_eq!(states, ["running", "paused", "running", "draining"]);
    let by = history[0]["by"].as_str().unwrap();
    assert!(by.len() == 12 && by.starts_with("api:") && !by.contains("right"), "{by}");
    ask("POST", "/api/campaigns/cmp_0000000000000000000000/start", Value::Null).await.is(404);
}

#[tokio::test]
async fn every_setting_is_read_shown_and_changed() {
    let f = Fixture::start().await;
    let starts_at = rfc3339(f.clock.now() + HOUR);
    let made = f
        .post(
            "/api/campaigns",
            json!({
                "name": "May", "agent": "interview", "weight": 7, "max_cps": 2.5, "max_concurrent": 9,
                "caller_ids": ["+1 415 555 2671"], "window": "09:00-18:00", "voicemail": "message",
                "retries": {"max_attempts": 2, "busy": {"delays_s": [60]}},
                "webhook_url": "https://hooks.example.com/m", "starts_at": starts_at,
                "expires_at": rfc3339(f.clock.now() + 2 * HOUR), "require_consent": "written", "dedupe": "account",
                "answer_rate": {"conversations": 5}, "keep_open": true
            }),
        )
        .await;
    assert_eq!(made.is(201).body["state"], "scheduled");
    let path = format!("/api/campaigns/{}", made.text("campaign_id"));
    let shown = f.get(&path).await.is(200).body.clone();
    assert_eq!(shown["caller_ids"], json!(["+14155552671"]));
    assert_eq!(
        (&shown["max_cps"], &shown["weight"], &shown["keep_open"]),
        (&json!(2.5), &json!(7), &json!(true))
    );
    assert_eq!(shown["starts_at"], starts_at.as_str());
    assert_eq!(shown["retries"]["busy"]["delays_s"], json!([60]));
    assert_eq!((&shown["window"], &shown["require_consent"]), (&json!("09:00-18:00"), &json!("written")));
    let changed = f.patch(&path, json!({"weight": 2, "max_cps": null, "name": "June"})).await;
    assert_eq!((&changed.is(200).body["weight"], &changed.body["max_cps"]), (&json!(2), &Value::Null));
    assert_eq!((&changed.body["name"], &changed.body["max_concurrent"]), (&json!("June"), &json!(9)));

    let wrong = f
        .post(
            "/api/campaigns",
            json!({
                "agent": "nobody", "weight": 0, "max_cps": 0, "max_concurrent": 1.5, "caller_ids": ["12"],
                "window": "9-18", "voicemail": "beep", "retries": {"bussy": {}}, "webhook_url": "ftp://x/",
                "starts_at": "2001-01-01T00:00:00Z", "require_consent": "yes", "dedupe": "house",
                "answer_rate": {"conversations": 0}, "keep_open": "no", "wieght": 1, "start": true
            }),
        )
        .await;
    let mut fields = wrong.is(422).is_problem("invalid_request").wrong_fields();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "agent",
            "answer_rate.conversations",
            "caller_ids[0]",
            "dedupe",
            "keep_open",
            "max_concurrent",
            "max_cps",
            "require_consent",
            "retries.bussy",
            "start",
            "starts_at",
            "voicemail",
            "webhook_url",
            "weight",
            "wieght",
            "window"
        ]
    );
    f.patch(&path, json!({"starts_at": null, "strat": 1})).await.is(422);
    f.patch(&path, json!({"start": true})).await.is(422);
    f.step(&made.text("campaign_id"), "cancel").await.is(200);
    f.keeper(&made.text("campaign_id"), Command::Finish).await;
    f.patch(&path, json!({"weight": 3})).await.is(409).is_problem("campaign_state");
    assert_eq!(f.step(&made.text("campaign_id"), "cancel").await.is(200).body["state"], "cancelled");
}

#[tokio::test]
async fn a_campaign_under_a_key_is_made_once() {
    let f = Fixture::start().await;
    let ask = |body: &str| {
        let request = Request::post("/api/campaigns").header("content-type", "application/json");
        request.header("idempotency-key", "may").body(Body::from(body.to_owned())).unwrap()
    };
    let first = f.ask(ask(r#"{"name":"May","start":true}"#)).await;
    assert!(first.is(201).headers.get("idempotency-replayed").is_none());
    f.step(&first.text("campaign_id"), "pause").await.is(200);
    let again = f.ask(ask(r#"{"start":true,"name":"May"}"#)).await;
    assert_eq!(again.is(201).headers["idempotency-replayed"], "true");
    assert_eq!(
        (again.text("campaign_id"), again.text("state")),
        (first.text("campaign_id"), "paused".into())
    );
    f.ask(ask(r#"{"name":"June"}"#)).await.is(422).is_problem("idempotency_mismatch");
    assert_eq!(f.get("/api/campaigns").await.body["campaigns"].as_array().unwrap().len(), 1);
}

/// A list of three of whom two are over: one canceled, one erased from Redis since.
async fn a_list(f: &Fixture) -> String {
    let calls = json!([
        {"phone_number": "+14155552671", "variables": {"name": "Ann"}, "metadata": {"row": 1}},
        {"phone_number": "+14155552672"},
        {"phone_number": "+14155552673"}
    ]);
    let list = f.initiate(json!({"campaign": {"name": "May"}, "calls": calls})).await;
    let id = list.is(202).text("campaign_id");
    for number in ["+14155552671", "+14155552672"] {
        let call = f.store.calls_of(number).await.unwrap().remove(0).id;
        f.send(Method::POST, &format!("/api/calls/{call}/cancel")).await.is(202);
    }
    f.send(Method::DELETE, "/api/people/+14155552672").await.is(200);
    id
}

#[tokio::test]
async fn results_are_streamed_as_csv_and_ndjson() {
    let f = Fixture::start().await;
    let id = a_list(&f).await;
    let path = format!("/api/campaigns/{id}/results");
    let csv = f.get(&format!("{path}?format=csv")).await;
    assert_eq!(csv.is(200).headers["content-type"], "text/csv; charset=utf-8");
    let text = csv.body.as_str().unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cell = |row: &csv::StringRecord, name: &str| {
        row.get(header.iter().position(|h| h == name).unwrap()).unwrap().to_owned()
    };
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| cell(row, "disposition") == "canceled"));
    let known: Vec<_> = rows.iter().filter(|row| !cell(row, "phone_number").is_empty()).collect();
    assert_eq!(known.len(), 1, "of an erased person there is no number");
    assert_eq!(
        (cell(known[0], "phone_number"), cell(known[0], "metadata")),
        ("+14155552671".into(), r#"{"row":1}"#.into())
    );
    let none = f.get(&format!("{path}?format=csv&phones=false")).await;
    assert!(!none.is(200).body.to_string().contains("5552671"));
    let request = Request::get(&path).header("accept", "application/x-ndjson").body(Body::empty()).unwrap();
    let lines = f.ask(request).await;
    let lines: Vec<Value> =
        lines.is(200).body.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.len() == 2 && lines.iter().any(|l| l["metadata"]["row"] == 1), "{lines:?}");
    assert_eq!(f.get(&format!("{path}?disposition=busy")).await.body["total"], 0);
    let busy = f.get(&format!("{path}?format=csv&disposition=busy")).await;
    assert_eq!(busy.is(200).body.as_str().unwrap().lines().count(), 1);
    f.get(&format!("{path}?format=xml")).await.is(400).is_problem("invalid_query");
    f.get(&format!("{path}?format=csv&limit=5")).await.is(400);
}

#[tokio::test]
async fn those_who_ended_so_are_called_again() {
    let f = Fixture::start().await;
    let id = a_list(&f).await;
    let path = format!("/api/campaigns/{id}/redial");
    let again =
        f.post(&path, json!({"dispositions": ["canceled", "busy"], "weight": 9, "start": true})).await;
    let told = ["matched", "accepted", "gone", "duplicates", "suppressed", "without_consent"];
    assert_eq!(told.map(|n| again.is(201).body[n].as_i64().unwrap_or(-1)), [2, 1, 1, 0, 0, 0]);
    assert_eq!(
        (again.text("parent"), again.text("state"), again.text("name")),
        (id.clone(), "running".into(), "May, again".into())
    );
    assert_eq!(again.body["weight"], 9);
    let shown = f.get(&format!("/api/campaigns/{}", again.text("campaign_id"))).await;
    assert_eq!(
        (&shown.body["waiting"], &shown.body["ready"], &shown.body["live"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert!(shown.body["reading_since"].is_null());
    let person = f.get("/api/people/+14155552671").await;
    let calls = person.body["calls"].as_array().unwrap();
    let call = calls.iter().find(|c| c["campaign_id"] == again.body["campaign_id"]).unwrap();
    assert_eq!((&call["variables"], &call["status"]), (&json!({"name": "Ann"}), &json!("queued")));

    f.post(&path, json!({"dispositions": ["busy"]})).await.is(422).is_problem("no_valid_rows");
    f.post(&path, json!({"dispositions": ["bussy"]})).await.is(422).is_problem("invalid_request");
    let strict = f.post(&path, json!({"dispositions": ["canceled"], "require_consent": "express"})).await;
    assert_eq!((&strict.is(201).body["without_consent"], &strict.body["accepted"]), (&json!(1), &json!(0)));
    f.post(&path, json!({})).await.is(422).is_problem("invalid_request");
}

#[tokio::test]
async fn what_holds_a_campaign_is_told() {
    let f = Fixture::start().await;
    let list = json!({"campaign": {"name": "May"}, "phone_numbers": ["+14155552671", "+14155552672"]});
    let id = f.initiate(list).await.is(202).text("campaign_id");
    let path = format!("/api/campaigns/{id}/blockers");
    let free = f.get(&path).await;
    assert_eq!((&free.is(200).body["ready"], &free.body["blockers"]), (&json!(2), &json!([])));
    f.ask(super::json_request(&format!("/api/campaigns/{id}/pause"), r#"{"why":"lunch"}"#)).await.is(200);
    let held = f.get(&path).await;
    assert_eq!(held.body["blockers"][0]["reason"], "campaign_state");
    assert_eq!(held.body["blockers"][0]["calls"], 2);
    assert!(held.body["blockers"][0]["detail"].as_str().unwrap().ends_with(": lunch"), "{held:?}");
}

/// The next event of a stream: its name, id and data.
async fn next(stream: &mut (impl futures::Stream<Item = String> + Unpin)) -> Option<(String, String, Value)> {
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(&piece);
        if text.ends_with("\n\n") {
            break;
        }
    }
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    let data = field("data:")?;
    Some((field("event:")?, field("id:").unwrap_or_default(), serde_json::from_str(&data).unwrap()))
}

async fn watch(
    f: &Fixture,
    id: &str,
    after: Option<&str>,
) -> (u16, impl futures::Stream<Item = String> + Unpin) {
    use tower::ServiceExt;
    let mut request = Request::get(format!("/api/campaigns/{id}/events"));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let response = f.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let pieces = response.into_body().into_data_stream();
    (status, Box::pin(pieces.map(|p| String::from_utf8(p.unwrap().to_vec()).unwrap())))
}

#[tokio::test]
async fn what_happens_to_a_campaign_is_streamed_to_its_end() {
    let f = Fixture::start().await;
    let id = f.initiate(json!({"phone_numbers": ["+14155552671"]})).await.is(202).text("campaign_id");
    let (status, mut stream) = watch(&f, &id, None).await;
    assert_eq!(status, 200);
    let (name, first, data) = next(&mut stream).await.unwrap();
    assert_eq!((name.as_str(), &data["state"]), ("state", &json!("running")));
    let (name, none, data) = next(&mut stream).await.unwrap();
    assert_eq!((name.as_str(), none.as_str(), &data["waiting"]), ("progress", "", &json!(1)));
    f.step(&id, "cancel").await.is(200);
    let call = f.store.calls_of("+14155552671").await.unwrap().remove(0).id;
    f.send(Method::POST, &format!("/api/calls/{call}/cancel")).await.is(202);
    f.keeper(&id, Command::Finish).await;
    let mut rest = Vec::new();
    while let Some(event) = next(&mut stream).await {
        rest.push(event);
    }
    let states: Vec<&str> =
        rest.iter().filter(|(n, ..)| n == "state").filter_map(|(.., d)| d["state"].as_str()).collect();
    assert_eq!(states, ["draining", "cancelled"]);
    let (name, _, data) = rest.last().unwrap();
    assert_eq!((name.as_str(), &data["ended"], &data["open"]), ("progress", &json!(1), &json!(0)));

    // Who comes back gets what happened meanwhile, and who has seen it all, nothing.
    let (status, mut stream) = watch(&f, &id, Some(&first)).await;
    let (_, seen, data) = next(&mut stream).await.unwrap();
    assert_eq!((status, &data["state"]), (200, &json!("draining")));
    let (_, last, _) = next(&mut stream).await.unwrap();
    assert!(last > seen);
    assert_eq!(watch(&f, &id, Some(&last)).await.0, 204);
    assert_eq!(watch(&f, &id, Some("yesterday")).await.0, 400);
}
