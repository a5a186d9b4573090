//! Many calls: as JSON, CSV and NDJSON; bad rows, duplicates, repeats.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use serde_json::{Value, json};

use super::Fixture;
use crate::domain::ids::CampaignId;

fn counts(body: &Value) -> [i64; 4] {
    ["accepted", "rejected", "duplicates", "suppressed"].map(|name| body[name].as_i64().unwrap_or(-1))
}

fn rows(body: &Value) -> Vec<(i64, &str)> {
    let errors = body["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors.iter().map(|e| (e["row"].as_i64().unwrap_or(0), e["field"].as_str().unwrap_or(""))).collect()
}

#[tokio::test]
async fn a_json_list_is_judged_row_by_row() {
    let f = Fixture::start().await;
    let answer = f
        .initiate(json!({
            "campaign": {"name": "May", "agent": "interview", "webhook_url": "https://hooks.example.com/m"},
            "calls": [
                {"phone_number": "+14155552671", "variables": {"name": "Ann"}},
                {"phone_number": "(415) 555-2671"},
                {"phone_number": "nonsense"},
                {"phone_number": "+14155552672", "agnet": "x"},
                "+14155552673",
                {"phone_number": "+442079460958"}
            ]
        }))
        .await;
    assert_eq!(counts(&answer.is(202).body), [2, 3, 1, 0]);
    let expected =
        [(2, "phone_number"), (3, "calls[2].phone_number"), (4, "calls[3].agnet"), (5, "calls[4]")];
    assert_eq!(rows(&answer.body), expected);
    let reasons = json!({"duplicate": 1, "phone_not_a_number": 1, "invalid_field": 1, "malformed_row": 1});
    assert_eq!(answer.body["reasons"], reasons);
    assert_eq!(answer.body["errors"][1]["value"], "nonsense");

    let id = answer.text("campaign_id");
    let campaign = f.get(&format!("/api/campaigns/{id}")).await;
    assert_eq!(campaign.is(200).body["accepted"], 2);
    assert_eq!(campaign.body["open"], 2);
    assert_eq!(campaign.body["name"], "May");
    assert_eq!(f.get("/api/campaigns").await.body["campaigns"][0]["campaign_id"], id.as_str());
    let list = f.get(&format!("/api/calls?campaign_id={id}&limit=1")).await;
    assert_eq!(list.body["calls"].as_array().unwrap().len(), 1);
    let next = list.text("next_cursor");
    let rest = f.get(&format!("/api/calls?campaign_id={id}&cursor={next}")).await;
    assert_eq!(rest.body["calls"].as_array().unwrap().len(), 1);
    assert_ne!(rest.body["calls"][0]["call_id"], list.body["calls"][0]["call_id"]);
    let call =
        f.get(&format!("/api/calls/status/{}", rest.body["calls"][0]["call_id"].as_str().unwrap())).await;
    assert_eq!(call.body["agent"], "interview", "what all calls share stays in the campaign");

    let of_agent = f.get("/api/calls?agent=interview").await;
    assert_eq!(of_agent.body["calls"].as_array().unwrap().len(), 2);
    assert_eq!(of_agent.body["calls"][0]["agent"], "interview");
    assert_eq!(f.get("/api/calls?agent=other").await.body["calls"], json!([]));

    let ended = rest.body["calls"][0]["call_id"].as_str().unwrap();
    f.send(axum::http::Method::POST, &format!("/api/calls/{ended}/cancel")).await.is(202);
    let results = f.get(&format!("/api/campaigns/{id}/results")).await;
    assert_eq!(results.body["results"][0]["call_id"], ended);
    assert_eq!(results.body["results"][0]["disposition"], "canceled");
    assert_eq!(f.get(&format!("/api/campaigns/{id}")).await.body["dispositions"]["canceled"], 1);
    let metrics = f.get("/metrics").await.body;
    let counted = r#"calls_completed_total{adversarial_level="none",status="canceled"} 1"#;
    assert!(metrics.as_str().unwrap().contains(counted), "{metrics}");
    let analytics = f.get("/api/analytics?days=1").await;
    let hours = analytics.body["by_hour"].as_array().unwrap();
    assert_eq!((hours.len(), hours.iter().filter_map(|h| h["ended"].as_i64()).sum()), (24, 1));
    assert_eq!(analytics.is(200).body["total"]["dispositions"]["canceled"], 1);
    assert_eq!(f.get(&format!("/api/analytics?campaign_id={id}")).await.body["total"]["ended"], 1);
}

#[tokio::test]
async fn a_list_without_a_good_row_makes_no_campaign() {
    let f = Fixture::start().await;
    let answer = f.initiate(json!({"phone_numbers": ["12", 7]})).await;
    answer.is(422).is_problem("no_valid_rows");
    assert_eq!(rows(&answer.body), [(1, "phone_numbers[0]"), (2, "phone_numbers[1]")]);
    for empty in [json!({"phone_numbers": []}), json!({"calls": []}), json!({"calls": "x"})] {
        f.initiate(empty).await.is(422).is_problem("invalid_request");
    }
    let both = json!({"phone_numbers": ["+14155552671"], "calls": [], "phone_number": "1"});
    f.initiate(both).await.is_problem("invalid_request");
    let campaign = json!({"nmae": "x", "voicemail": "beep"});
    let typo = json!({"phone_numbers": ["+14155552671"], "campaign": campaign, "agent": "nobody"});
    assert_eq!(
        f.initiate(typo).await.is_problem("invalid_request").wrong_fields(),
        ["campaign.voicemail", "campaign.nmae", "agent"]
    );
    assert_eq!(f.get("/api/campaigns").await.body["campaigns"], json!([]));
}

#[tokio::test]
async fn csv_columns_are_fields_or_variables() {
    let f = Fixture::start().await;
    let text = b"\xEF\xBB\xBFName;Phone;agent;time_zone\r\nAnn;+14155552671;interview;Europe/Paris\r\n\
        Bob;12;;\r\n\xDCrsula;+14155552672;;\r\n;\"+14155552673\";;\r\nEve;+14155552674;;;;x\r\n";
    let answer = f.upload("text/csv; charset=utf-8", "?campaign=May", Body::from(&text[..])).await;
    assert_eq!(counts(&answer.is(202).body), [3, 2, 0, 0]);
    assert_eq!(rows(&answer.body), [(3, "phone_number"), (6, "")], "as the spreadsheet counts");
    let person = f.get("/api/people/+14155552671").await;
    assert_eq!(person.body["calls"][0]["variables"], json!({"name": "Ann"}));
    assert_eq!(person.body["calls"][0]["agent"], "interview");
    let person = f.get("/api/people/+14155552672").await;
    assert_eq!(person.body["calls"][0]["variables"], json!({"name": "Ürsula"}), "no UTF-8: Windows-1252");

    let no_column = f.upload("text/csv", "", "name,email\nAnn,a@b.c\n").await;
    assert_eq!(no_column.is(422).is_problem("invalid_request").wrong_fields(), ["header"]);
    f.upload("text/csv", "", "").await.is_problem("invalid_request");
    f.upload("text/csv", "", "phone\n").await.is(422).is_problem("invalid_request");
    f.upload("text/csv", "", "phone,agent,agent\n1,,\n").await.is_problem("invalid_request");
    f.upload("text/csv", "?agnet=x", "phone\n+14155552671\n").await.is(400).is_problem("invalid_query");
    let unclosed = format!("phone\n+14155552675\n\"{}", "x".repeat(400_000));
    let answer = f.upload("text/csv", "", unclosed).await;
    assert_eq!(counts(&answer.is(202).body), [1, 1, 0, 0]);
}

#[tokio::test]
async fn ndjson_is_streamed_in_batches() {
    let f = Fixture::start().await;
    // More rows than a batch, cut anywhere, with a bad line and a duplicate among them.
    let mut text = String::from("{\"phone_number\": \"+14155552671\"\n\n");
    for n in 0..2_300 {
        text.push_str(&format!("{{\"phone_number\": \"+1415555{:04}\"}}\n", 2_000 + n));
    }
    text.push_str("\"+14155552000\"");
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        text.as_bytes().chunks(1_013).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    let body = Body::from_stream(futures::stream::iter(pieces));
    let answer = f.upload("application/x-ndjson", "?agent=interview", body).await;
    assert_eq!(counts(&answer.is(202).body), [2_300, 1, 1, 0]);
    assert_eq!(rows(&answer.body), [(1, ""), (2_303, "phone_number")]);
    let campaign = f.get(&format!("/api/campaigns/{}", answer.text("campaign_id"))).await;
    assert_eq!(campaign.body["accepted"], 2_300);
}

#[tokio::test]
async fn a_list_under_a_key_is_taken_once() {
    let f = Fixture::start().await;
    let ask = |body: &str| {
        let request = Request::post("/api/calls/initiate").header("content-type", "text/csv");
        request.header("idempotency-key", "list-1").body(Body::from(body.to_owned())).unwrap()
    };
    let first = f.ask(ask("phone\n+14155552671\n+14155552672\n")).await;
    let again = f.ask(ask("phone\n+14155552671\n+14155552672\n")).await;
    assert_eq!(again.is(202).headers["idempotency-replayed"], "true");
    assert_eq!(again.body, first.body);
    f.ask(ask("phone\n+14155552671\n")).await.is_problem("idempotency_mismatch");

    // A first try that was broken off: its calls are there, its answer is not.
    let id = CampaignId::parse(&first.text("campaign_id")).unwrap();
    let mut campaign = f.store.campaign_fresh(&id).await.unwrap().unwrap();
    campaign.answer = None;
    f.store.put_campaign(&campaign).await.unwrap();
    let resumed = f.ask(ask("phone\n+14155552671\n+14155552672\n+14155552671\n+14155552673\n")).await;
    assert_eq!(counts(&resumed.is(202).body), [3, 0, 1, 0]);
    assert_eq!(resumed.body["campaign_id"], first.body["campaign_id"]);
    assert_eq!(f.get("/api/calls").await.body["calls"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_machine_gets_what_the_call_says_else_its_campaign() {
    use crate::domain::talk::Voicemail::{Continue, HangUp, Message};

    let f = Fixture::start().await;
    let list = json!({"campaign": {"voicemail": "message"}, "calls": [
        {"phone_number": "+14155552671"}, {"phone_number": "+14155552672", "voicemail": "continue"}]});
    let campaign = f.initiate(list).await.is(202).text("campaign_id");
    assert_eq!(f.get(&format!("/api/campaigns/{campaign}")).await.body["voicemail"], "message");
    f.initiate(json!({"phone_number": "+14155552673"})).await.is(202);
    f.upload("text/csv", "?voicemail=message", "phone\n+14155552674\n").await.is(202);
    for (number, expected) in [
        ("+14155552671", Message),
        ("+14155552672", Continue),
        ("+14155552673", HangUp),
        ("+14155552674", Message),
    ] {
        let calls = f.store.calls_of(number).await.unwrap();
        assert_eq!(f.store.voicemail_of(&calls[0]).await.unwrap(), expected, "{number}");
    }
}
