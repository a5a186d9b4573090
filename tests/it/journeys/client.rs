//! Single calls as a client sees them through the API: from the request to transcript and artefacts, canceled, called
//! back, forbidden, held back.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::people::Kind;
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, FleetConfig, now_ms, seed};
use crate::support::until;

const CALL_WITHIN: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);

fn in_an_hour() -> Value {
    let at = carillon::base::clock::rfc3339(now_ms() + 3_600_000);
    json!({ "schedule_at": at })
}

async fn post(fleet: &Fleet, path: &str, body: Value) -> (u16, Value) {
    fleet.ask(|http, base| http.post(format!("{base}{path}")).json(&body)).await
}

fn legs_to(fleet: &Fleet, number: &str) -> usize {
    fleet.sim.ledger().with(|book| book.legs.iter().filter(|leg| leg.to == number).count())
}

fn is_problem(answer: &Value, slug: &str) -> bool {
    answer["type"].as_str().is_some_and(|kind| kind.ends_with(slug)) && answer["detail"].is_string()
}

async fn a_call_from_request_to_artefacts(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::Cooperative, 0);
    let call = fleet.call(&number, json!({ "metadata": { "row": 7 } })).await;
    let status = fleet.call_ended(&call, CALL_WITHIN).await;
    assert_eq!(status["disposition"], "completed", "{status}");
    assert_eq!(status["metadata"]["row"], 7);
    assert_eq!(status["consent_given"], true);
    assert!(status["twilio_call_sid"].as_str().is_some_and(|sid| sid.starts_with("CA")));
    assert!(status.to_string().find(&number).is_none(), "the number itself is nowhere");
    let lines = status["transcript"].as_array().expect("a transcript");
    for who in ["agent", "callee"] {
        assert!(lines.iter().filter(|line| line["speaker"] == who).count() > 3, "{who} speaks: {lines:?}");
    }
    // A recording follows the end; what the record names stands in S3 (A1).
    let artefacts = until("the recording", SOON, || async {
        let artefacts = fleet.status(&call).await["artefacts"].as_array()?.clone();
        artefacts.iter().any(|a| a["kind"] == "recording").then_some(artefacts)
    })
    .await;
    let bucket = fleet.sim.s3_root().join(&fleet.sim.config().s3.bucket);
    for kind in ["transcript", "outcome", "audit", "recording"] {
        let key = artefacts.iter().find(|a| a["kind"] == kind).and_then(|a| a["key"].as_str());
        let key = key.unwrap_or_else(|| panic!("no {kind} in {artefacts:?}"));
        assert!(bucket.join(key).is_file(), "{key} stands in S3");
        println!("{kind:<11} {key}");
    }
    let told = fleet.sim.ledger().until(|book| {
        let of_call =
            book.webhooks.iter().filter(|w| w.call_id.as_deref() == Some(&call) && w.problem.is_none());
        let kinds: Vec<String> = of_call.map(|w| w.event_type.clone()).collect();
        (kinds.len() >= 2).then_some(kinds)
    });
    let told = tokio::time::timeout(SOON, told).await.expect("webhooks are delivered");
    println!("webhooks    {}", told.join(", "));
    assert!(told.iter().any(|kind| kind == "worker_profile_completed"), "{told:?}");
}

async fn canceled_while_it_waits(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::Cooperative, 1);
    let call = fleet.call(&number, in_an_hour()).await;
    assert_eq!(fleet.status(&call).await["status"], "queued");
    let (code, answer) = post(fleet, &format!("/api/calls/{call}/cancel"), json!({})).await;
    assert_eq!((code, &answer["status"]), (202, &json!("ended")), "{answer}");
    assert_eq!(fleet.status(&call).await["disposition"], "canceled");
    let (code, answer) = post(fleet, &format!("/api/calls/{call}/cancel"), json!({})).await;
    assert_eq!(code, 409, "{answer}");
    assert_eq!(legs_to(fleet, &number), 0, "it never rang");
}

async fn canceled_while_it_talks(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::Cooperative, 2);
    let call = fleet.call(&number, json!({})).await;
    let talks = fleet.sim.ledger().until(|book| {
        book.legs.iter().find(|leg| leg.to == number && leg.heard.len() > 8).map(|leg| leg.sid.clone())
    });
    let sid = tokio::time::timeout(CALL_WITHIN, talks).await.expect("they talk");
    let (code, answer) = post(fleet, &format!("/api/calls/{call}/cancel"), json!({})).await;
    assert_eq!(code, 202, "{answer}");
    let status = fleet.call_ended(&call, CALL_WITHIN).await;
    assert_eq!(status["disposition"], "canceled", "{status}");
    let leg = fleet.sim.ledger().leg(&sid).expect("the leg");
    assert_eq!(leg.ended_by.as_deref(), Some("api"), "we hung up");
}

async fn called_back(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::WantsCallback, 0);
    let call = fleet.call(&number, json!({})).await;
    let status = fleet.call_ended(&call, CALL_WITHIN).await;
    assert!(status["callback_at"].is_string(), "a time was agreed: {status}");
    let hash = status["phone_hash"].as_str().expect("a hash").to_owned();
    let (_, list) = fleet.ask(|http, base| http.get(format!("{base}/api/calls?phone_hash={hash}"))).await;
    let child = list["calls"].as_array().into_iter().flatten().find(|c| c["parent_call_id"] == call.as_str());
    let child = child.unwrap_or_else(|| panic!("no call was scheduled: {list}"));
    assert_eq!(child["status"], "queued");
    println!("called back at {} as {}", child["schedule_at"], child["call_id"]);
}

async fn an_opt_out_reaches_the_persons_other_calls(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::OptsOut, 0);
    let waiting = fleet.call(&number, in_an_hour()).await;
    let first = fleet.call(&number, json!({})).await;
    let status = fleet.call_ended(&first, CALL_WITHIN).await;
    assert_eq!(status["disposition"], "opted_out", "{status}");
    let status = fleet.call_ended(&waiting, SOON).await;
    assert_eq!(status["disposition"], "suppressed", "{status}");
    assert_eq!(legs_to(fleet, &number), 1, "the second call never rang");
    let (code, answer) = post(fleet, "/api/calls/initiate", json!({ "phone_number": number })).await;
    assert!(code == 422 && is_problem(&answer, "number_suppressed"), "{code} {answer}");
}

async fn a_number_on_the_list_is_refused(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::Terse, 0);
    let (code, _) =
        post(fleet, "/api/suppressions", json!({ "phone_number": number, "source": "test" })).await;
    assert_eq!(code, 201);
    let (code, answer) = post(fleet, "/api/calls/initiate", json!({ "phone_number": number })).await;
    assert!(code == 422 && is_problem(&answer, "number_suppressed"), "{code} {answer}");
}

async fn the_fourth_call_in_a_day_waits(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::HangsUp, 0);
    for _ in 0..3 {
        let call = fleet.call(&number, json!({})).await;
        fleet.call_ended(&call, CALL_WITHIN).await;
    }
    let fourth = fleet.call(&number, json!({})).await;
    let status = until("the cap to hold the call", SOON, || async {
        let status = fleet.status(&fourth).await;
        (status["waiting_for"] == "frequency").then_some(status)
    })
    .await;
    assert_eq!(status["status"], "queued");
    assert_eq!(legs_to(fleet, &number), 3);
    println!("the fourth call waits for {} until {}", status["waiting_for"], status["next_due"]);
}

async fn a_key_makes_a_repeat_the_same_call(fleet: &Fleet) {
    let number = fleet.sim.world().number(Kind::Cooperative, 3);
    let other = fleet.sim.world().number(Kind::Cooperative, 4);
    let mut body = in_an_hour();
    let send = |body: Value| async move {
        fleet
            .ask(|http, base| {
                let request = http.post(format!("{base}/api/calls/initiate"));
                request.header("idempotency-key", "the-same-key").json(&body)
            })
            .await
    };
    body["phone_number"] = json!(number);
    let (first, again) = (send(body.clone()).await, send(body.clone()).await);
    assert_eq!((first.0, again.0), (202, 202), "{} {}", first.1, again.1);
    assert_eq!(first.1["call_id"], again.1["call_id"], "one call");
    body["phone_number"] = json!(other);
    let (code, answer) = send(body).await;
    assert!(code == 422 && is_problem(&answer, "idempotency_mismatch"), "{code} {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_calls_through_the_api() {
    let sim = SimConfig { seed: seed(), speed: 30.0, max_cps: 20.0, ..SimConfig::default() };
    let mut fleet = Fleet::start(FleetConfig { sim, ..FleetConfig::default() }).await;
    println!("\n== single calls through the API (seed {}) ==", seed());
    tokio::join!(
        a_call_from_request_to_artefacts(&fleet),
        canceled_while_it_waits(&fleet),
        canceled_while_it_talks(&fleet),
        called_back(&fleet),
        an_opt_out_reaches_the_persons_other_calls(&fleet),
        a_number_on_the_list_is_refused(&fleet),
        the_fourth_call_in_a_day_waits(&fleet),
        a_key_makes_a_repeat_the_same_call(&fleet),
    );
    fleet.settled(SOON).await;
    let broken = fleet.invariants().await;
    assert!(broken.is_empty(), "{broken:#?}");
}
