//! One call: taken in, refused, repeated, shown, canceled.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::{Fixture, json_request};
use crate::base::clock::{DAY, HOUR, rfc3339};
use crate::domain::call::{Artefact, Effect, Event, HangUpCause, Leg, Phase, Rules};
use crate::domain::ids::{CallId, Shard};
use crate::store::{Applied, Committed, OutboxCounts, Settle, Start, StartChecks, Started, Store, Wants};

const NUMBER: &str = "+1 (415) 555-2671";

#[tokio::test]
async fn a_call_is_accepted_and_shown_without_its_number() {
    let f = Fixture::start().await;
    let at = rfc3339(f.clock.now() + HOUR);
    let answer = f
        .initiate(json!({
            "phone_number": NUMBER, "agent": "interview", "variables": {"name": "Ann"}, "schedule_at": at,
            "metadata": {"crm": 7}, "time_zone": "America/Los_Angeles", "webhook_url": "https://hooks.example.com/x"
        }))
        .await;
    answer.is(202);
    assert_eq!(answer.body["status"], "queued");
    assert_eq!(answer.body["schedule_at"], at);
    let shown = f.get(&format!("/api/calls/status/{}", answer.text("call_id"))).await;
    shown.is(200);
    assert_eq!(shown.body["phone_hash"], answer.body["phone_hash"]);
    assert_eq!(shown.body["metadata"], json!({"crm": 7}));
    assert_eq!(shown.body["transcript"], json!([]));
    assert!(!shown.body.to_string().contains("5552671"), "the number never leaves");
    let list = f.get("/api/calls?status=queued&limit=1").await;
    assert_eq!(list.body["calls"][0]["call_id"], answer.body["call_id"]);
    assert_eq!(f.get("/api/calls?status=ended").await.body["calls"], json!([]));
}

#[tokio::test]
async fn every_mistake_is_told_at_once() {
    let f = Fixture::start().await;
    let answer = f
        .initiate(json!({
            "phone_number": "+1 900 123", "agent": "nobody", "webhook_url": "http://127.0.0.1/x", "variabels": {},
            "variables": {"a": 1}, "metadata": [], "schedule_at": rfc3339(f.clock.now() + 31 * DAY),
            "expires_at": "2001-01-01T00:00:00Z", "time_zone": "Mars/Olympus"
        }))
        .await;
    answer.is(422).is_problem("invalid_request");
    let mut wrong = answer.wrong_fields();
    wrong.sort_unstable();
    assert_eq!(
        wrong,
        [
            "agent",
            "expires_at",
            "metadata",
            "phone_number",
            "schedule_at",
            "time_zone",
            "variabels",
            "variables.a",
            "webhook_url"
        ]
    );
    f.initiate(json!({})).await.is_problem("invalid_request");
    f.initiate(json!([1])).await.is(422).is_problem("invalid_request");
    for url in [
        "ftp://x.example/",
        "https://user:pass@x.example/",
        "http://10.0.0.1/",
        "http://localhost:1/",
        "http://169.254.169.254/",
    ] {
        let answer = f.initiate(json!({"phone_number": NUMBER, "webhook_url": url})).await;
        assert_eq!(answer.is(422).wrong_fields(), ["webhook_url"], "{url}");
    }
    let answer = f.ask(json_request("/api/calls/initiate", "{\"phone_number\":\n tru}")).await;
    answer.is(400).is_problem("malformed_json");
    assert!(answer.text("detail").starts_with("line 2, column"), "{answer:?}");
}

#[tokio::test]
async fn a_repeat_under_a_key_gets_the_first_answer() {
    let f = Fixture::start().await;
    let ask = |body: &str| {
        let mut request = json_request("/api/calls/initiate", body);
        request.headers_mut().insert("idempotency-key", "order-7".parse().unwrap());
        request
    };
    let first = f.ask(ask(r#"{"phone_number":"+14155552671","metadata":{"a":1,"b":2}}"#)).await;
    assert!(first.is(202).headers.get("idempotency-replayed").is_none());
    let again = f.ask(ask(r#"{"metadata":{"b":2,"a":1}, "phone_number":"+14155552671"}"#)).await;
    assert_eq!(again.is(202).headers["idempotency-replayed"], "true");
    assert_eq!(again.body, first.body);
    f.ask(ask(r#"{"phone_number":"+14155552671"}"#)).await.is(422).is_problem("idempotency_mismatch");
    // Another number lies in another slot; the key is known all the same.
    f.ask(ask(r#"{"phone_number":"+442079460958"}"#)).await.is_problem("idempotency_mismatch");
    f.ask(ask(r#"{"phone_numbers":["+14155552671"]}"#)).await.is_problem("idempotency_mismatch");
    let mut empty = json_request("/api/calls/initiate", "{}");
    empty.headers_mut().insert("idempotency-key", "".parse().unwrap());
    f.ask(empty).await.is(400).is_problem("invalid_header");
    assert_eq!(f.get("/api/calls").await.body["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_waiting_call_is_canceled_at_once_and_a_live_one_is_hung_up() {
    let f = Fixture::start().await;
    let id = f.initiate(json!({"phone_number": NUMBER})).await.text("call_id");
    let path = format!("/api/calls/{id}/cancel");
    let answer = f.send(axum::http::Method::POST, &path).await;
    assert_eq!(answer.is(202).body["status"], "ended");
    f.send(axum::http::Method::POST, &path).await.is(409).is_problem("already_ended");
    let shown = f.get(&format!("/api/calls/status/{id}")).await;
    assert_eq!(shown.body["disposition"], "canceled");

    let id = f.initiate(json!({"phone_number": NUMBER})).await.text("call_id");
    ring(&f.store, &id, "CA1").await;
    let answer = f.send(axum::http::Method::POST, &format!("/api/calls/{id}/cancel")).await;
    assert_eq!(answer.is(202).body["status"], "ringing");
    assert_eq!(*f.performed.lock().unwrap(), [Effect::HangUp { sid: "CA1".into() }]);

    f.send(axum::http::Method::POST, "/api/calls/nonsense/cancel").await.is(404).is_problem("unknown_call");
    f.get("/api/calls/status/call_07024cabe7dd8f6d1c6e4a8324").await.is(404).is_problem("unknown_call");
}

/// Brings a waiting call to ringing, as a worker would.
async fn ring(store: &Store, id: &str, sid: &str) {
    let id = CallId::parse(id).unwrap();
    let wants = Wants { live: 10, urgent: 10, ..Wants::default() };
    let claims = store.claim(id.shard(), 10_000, &wants).await.unwrap();
    let call = claims.calls.into_iter().map(|c| c.call).find(|c| c.id == id).unwrap();
    let rules = Rules::default();
    let start = Start {
        call,
        caller: "+14155550199".into(),
        caller_key: "a key".into(),
        evidence: json!({"window": "open"}),
    };
    let done = store.start(vec![start], &rules, StartChecks { leg_wait: 1_000 }).await.remove(0);
    let Started::Done(call) = done else { panic!("{done:?}") };
    let rang = Event::Rang(Leg { attempt: 1, sid: sid.into() });
    let done = store.apply(*call, rang, &rules).await.unwrap();
    let Applied::Done(call, _) = done else { panic!("{done:?}") };
    assert_eq!(call.phase(), Phase::Ringing);
}

#[tokio::test]
async fn a_suppressed_number_is_not_called_and_its_live_call_is_hung_up() {
    let f = Fixture::start().await;
    let live = f.initiate(json!({"phone_number": NUMBER})).await.text("call_id");
    ring(&f.store, &live, "CA1").await;
    let answer =
        f.post("/api/suppressions", json!({"phone_number": NUMBER, "evidence": "letter of 3 May"})).await;
    answer.is(201);
    assert!(f.performed.lock().unwrap().contains(&Effect::HangUp { sid: "CA1".into() }));
    f.initiate(json!({"phone_number": NUMBER})).await.is(422).is_problem("number_suppressed");
    let list = f.get("/api/suppressions").await;
    assert_eq!(list.body["suppressions"][0]["evidence"], "letter of 3 May");
    assert_eq!(list.body["suppressions"][0]["source"], "api");
    // A standing entry is not shortened.
    let short = json!({"phone_number": NUMBER, "expires_at": rfc3339(f.clock.now() + HOUR)});
    assert!(f.post("/api/suppressions", short).await.is(200).body["expires_at"].is_null());

    f.post("/api/suppressions", json!({"prefix": "+4420"})).await.is(201);
    f.send(axum::http::Method::DELETE, "/api/suppressions?phone_number=+14155552671").await.is(204);
    let gone = f.send(axum::http::Method::DELETE, "/api/suppressions?phone_number=%2B14155552671").await;
    gone.is(404).is_problem("unknown_suppression");
    f.post("/api/suppressions", json!({"prefix": "0044"})).await.is_problem("invalid_request");
    f.send(axum::http::Method::DELETE, "/api/suppressions").await.is_problem("invalid_query");
}

#[tokio::test]
async fn a_prefix_covers_its_numbers() {
    let f = Fixture::start().await;
    f.post("/api/suppressions", json!({"prefix": "+4420"})).await.is(201);
    f.initiate(json!({"phone_number": "+442079460958"})).await.is_problem("number_suppressed");
    let list = f.initiate(json!({"phone_numbers": ["+442079460958", NUMBER]})).await;
    assert_eq!(list.is(202).body["suppressed"], 1);
}

/// Every place where a client may name a URL refuses what leads inside, and says which field it was.
#[tokio::test]
async fn no_door_takes_a_url_that_leads_inside() {
    let f = Fixture::start().await;
    let made = f.ask(json_request("/api/campaigns", r#"{"name": "May"}"#)).await;
    let campaign = format!("/api/campaigns/{}", made.is(201).text("campaign_id"));
    for url in [
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://[::ffff:169.254.169.254]/latest",
        "http://0.0.0.0:6379/",
        "http://metadata.google.internal/",
        "https://user:pw@hooks.example.com/",
        "gopher://hooks.example.com/",
        "https://hooks.example.com/\r\nX-Evil: 1",
    ] {
        let call = json!({"phone_number": NUMBER, "webhook_url": url});
        let list = json!({"phone_numbers": [NUMBER], "webhook_url": url});
        let named = json!({"phone_numbers": [NUMBER], "campaign": {"webhook_url": url}});
        let rows = json!({"calls": [call]});
        let setting = json!({"name": "June", "webhook_url": url});
        for (path, body, field) in [
            ("/api/calls/initiate", &call, "webhook_url"),
            ("/api/calls/initiate", &list, "webhook_url"),
            ("/api/calls/initiate", &named, "campaign.webhook_url"),
            ("/api/calls/initiate", &rows, "calls[0].webhook_url"),
            ("/api/campaigns", &setting, "webhook_url"),
            (&format!("{campaign}/calls"), &list, "webhook_url"),
        ] {
            let answer = f.ask(json_request(path, &body.to_string())).await;
            assert_eq!(answer.is(422).wrong_fields(), [field], "{url} at {path}: {body}");
        }
        let patch = Request::patch(&campaign).header("content-type", "application/json");
        let patch = patch.body(Body::from(json!({"webhook_url": url}).to_string())).unwrap();
        assert_eq!(f.ask(patch).await.is(422).wrong_fields(), ["webhook_url"], "{url}");
        let line = format!("{}\n", json!({"phone_number": NUMBER, "webhook_url": url}));
        let answer = f.upload("application/x-ndjson", "", line).await;
        assert_eq!(answer.is(422).wrong_fields(), ["webhook_url"], "{url}");
        let sheet = format!("phone,webhook_url\n{NUMBER},\"{url}\"\n");
        assert_eq!(f.upload("text/csv", "", sheet).await.is(422).wrong_fields(), ["webhook_url"], "{url}");
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("webhook_url", url).finish();
        let answer = f.upload("text/csv", &format!("?{query}"), format!("phone\n{NUMBER}\n")).await;
        assert_eq!(answer.wrong_fields(), ["webhook_url"], "{url}");
    }
}

#[tokio::test]
async fn a_person_is_exported_and_erased() {
    let f = Fixture::start().await;
    let done =
        f.initiate(json!({"phone_number": NUMBER, "variables": {"name": "Ann"}})).await.text("call_id");
    let other = f.initiate(json!({"phone_number": "+442079460958"})).await.text("call_id");
    let person = f.get("/api/people/+14155552671").await;
    assert_eq!(person.is(200).body["calls"][0]["call_id"], done.as_str());
    assert_eq!(person.body["calls"][0]["variables"]["name"], "Ann");
    assert_eq!(person.body["calls"].as_array().unwrap().len(), 1);

    let live = f.initiate(json!({"phone_number": NUMBER})).await.text("call_id");
    ring(&f.store, &live, "CA1").await;
    let delete = || Request::delete("/api/people/+14155552671").body(Body::empty()).unwrap();
    let answer = f.ask(delete()).await;
    assert_eq!(answer.is(202).body["erased"], json!([done]));
    assert_eq!(answer.body["pending"], json!([live]));
    // What should have told of it has gone with it.
    assert_eq!(f.store.outbox_counts().await.unwrap().pending, 0);
    f.get(&format!("/api/calls/status/{done}")).await.is(404);
    f.get(&format!("/api/calls/status/{other}")).await.is(200);
    f.get("/api/people/12").await.is(422).is_problem("invalid_request");
}

#[tokio::test]
async fn an_erasure_takes_archived_objects_and_events_along() {
    let f = Fixture::start().await;
    let id = f.initiate(json!({"phone_number": NUMBER})).await.text("call_id");
    ring(&f.store, &id, "CA1").await;
    let id = CallId::parse(&id).unwrap();
    let mut change = f.store.load(&id).await.unwrap().unwrap().change();
    let (rules, now) = (Rules::default(), f.clock.now());
    let leg = Leg { attempt: 1, sid: "CA1".into() };
    let cause = HangUpCause::Completed;
    change.apply(Event::HungUp { leg, cause, code: None, duration_s: Some(60) }, &rules, now).unwrap();
    let artefact = Artefact { kind: "transcript".into(), key: "calls/transcripts/x".into() };
    let told = ("worker_profile_completed".to_owned(), "profile", json!({"name": "Ann"}));
    let concluded = Event::Concluded {
        artefacts: vec![artefact],
        outcome: Some(told),
        adversarial_score: None,
        employment_gaps: None,
    };
    change.apply(concluded, &rules, now).unwrap();
    assert!(matches!(f.store.commit(change, None).await.unwrap(), Committed::Done(..)));

    let person = f.get("/api/people/+14155552671").await;
    assert_eq!(person.body["calls"][0]["artefacts"][0]["key"], "calls/transcripts/x");
    assert!(person.body["calls"][0]["transcript"].is_array());
    // The first event is a dead letter, the second waits.
    let (mut due, _) = f.store.outbox_claim(id.shard(), 10_000, 10, 10).await.unwrap();
    let first = due.pop().unwrap();
    assert_eq!((first.kind.as_str(), due.len()), ("worker_profile_completed", 0));
    f.store.outbox_settle(&first, Settle::Dead).await.unwrap();
    assert_eq!(f.store.outbox_counts().await.unwrap(), OutboxCounts { pending: 1, delivered: 0, dead: 1 });

    let answer = f.send(axum::http::Method::DELETE, "/api/people/+14155552671").await;
    assert_eq!(answer.is(200).body["erased"], json!([id]));
    assert_eq!(f.store.outbox_counts().await.unwrap(), OutboxCounts::default());
    assert!(f.store.outbox_dead(10).await.unwrap().is_empty());
    assert!(f.store.outbox_claim(id.shard(), 10_000, 10, 10).await.unwrap().0.is_empty());
    let objects = f.deleted.lock().unwrap().clone();
    let hash = f.store.hash("+14155552671");
    let (index, person) = (crate::archive::keys::index(&id), crate::archive::keys::person(&hash, &id));
    assert_eq!(objects, ["calls/transcripts/x".to_owned(), index, person]);
}

#[tokio::test]
async fn what_stands_in_the_archive_alone_is_exported_and_erased() {
    let f = Fixture::start().await;
    let (old, bare) = (CallId::derived(Shard(3), "old"), CallId::derived(Shard(3), "bare"));
    let status = json!({"call_id": old, "disposition": "completed", "artefacts": [
        {"kind": "transcript", "key": "calls/transcripts/2024/01/15/x/transcript.json"},
        {"kind": "audit", "key": "audit/2024/01/15/audit_x.json"},
        {"kind": "recording", "key": "somebody/elses/object"},
    ]});
    *f.archived.lock().unwrap() = vec![(old.clone(), Some(status.clone())), (bare.clone(), None)];
    let person = f.get("/api/people/+14155552671").await;
    assert_eq!((&person.is(200).body["calls"], &person.body["archived"]), (&json!([]), &json!([status])));

    let answer = f.send(axum::http::Method::DELETE, "/api/people/+14155552671").await;
    assert_eq!(answer.is(200).body["erased"], json!([old, bare]));
    let hash = f.store.hash("+14155552671");
    let of = |id: &CallId| [crate::archive::keys::index(id), crate::archive::keys::person(&hash, id)];
    let mut expected = vec![
        "calls/transcripts/2024/01/15/x/transcript.json".to_owned(),
        "audit/2024/01/15/audit_x.json".to_owned(),
    ];
    expected.extend(of(&old).into_iter().chain(of(&bare)));
    assert_eq!(*f.deleted.lock().unwrap(), expected);
}
