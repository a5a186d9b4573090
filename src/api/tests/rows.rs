//! Rows of a campaign: appended, overridden one by one, deduplicated, and reported where they were not taken.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Answer, Fixture};
use crate::domain::campaign::{Campaign, Command, ConsentBasis, Dedupe, Priority};
use crate::domain::ids::CampaignId;

fn counts(body: &Value) -> [i64; 4] {
    ["accepted", "rejected", "duplicates", "suppressed"].map(|name| body[name].as_i64().unwrap_or(-1))
}

impl Fixture {
    /// A campaign as the API makes it, changed by `with`.
    async fn campaign(&self, with: impl FnOnce(&mut Campaign)) -> CampaignId {
        let mut campaign = Campaign::new(CampaignId::random(), self.clock.now());
        with(&mut campaign);
        assert_eq!(self.store.create_campaign(&campaign).await.unwrap(), None);
        campaign.id
    }

    async fn append(&self, id: &CampaignId, media: &str, key: Option<&str>, body: impl Into<Body>) -> Answer {
        let mut request = Request::post(format!("/api/campaigns/{id}/calls")).header("content-type", media);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.ask(request.body(body.into()).unwrap()).await
    }
}

#[tokio::test]
async fn rows_are_appended_in_any_form_and_none_twice() {
    let f = Fixture::start().await;
    let id = f.campaign(|c| c.agent = Some("interview".into())).await;
    let json = json!({"calls": [{"phone_number": "+14155552671"}], "agent": "interview"}).to_string();
    let first = f.append(&id, "application/json", None, json).await;
    assert_eq!(counts(&first.is(202).body), [1, 0, 0, 0]);
    let second = f.append(&id, "text/csv", Some("two"), "phone\n4155552671\n4155552672\n").await;
    assert_eq!(counts(&second.is(202).body), [1, 0, 1, 0]);
    assert_eq!(second.body["errors"][0]["row"], 2);
    let again = f.append(&id, "text/csv", Some("two"), "phone\n4155552671\n4155552672\n").await;
    assert_eq!(again.is(202).headers["idempotency-replayed"], "true");
    assert_eq!(again.body, second.body);
    f.append(&id, "text/csv", Some("two"), "phone\n4155552673\n").await.is_problem("idempotency_mismatch");
    let third = f.append(&id, "application/x-ndjson", None, "\"+14155552674\"\n").await;
    assert_eq!(counts(&third.is(202).body), [1, 0, 0, 0]);
    let campaign = f.store.campaign_fresh(&id).await.unwrap().unwrap();
    assert_eq!((campaign.reading_since, campaign.state.as_str()), (None, "draft"));
    let status = f.get(&format!("/api/campaigns/{id}")).await;
    assert_eq!(status.body["accepted"], 3);
    let call = &f.store.calls_of("+14155552671").await.unwrap()[0];
    assert_eq!(call.body.agent, None, "what the campaign says stands in no record");
}

#[tokio::test]
async fn a_campaign_that_is_over_takes_no_rows() {
    let f = Fixture::start().await;
    let id = f.campaign(|c| assert!(c.command(Command::Cancel, "test", None, 1).is_ok())).await;
    let refused = f.append(&id, "text/csv", None, "phone\n4155552671\n").await;
    refused.is(409).is_problem("campaign_closed");
    let nobody = CampaignId::random();
    f.append(&nobody, "text/csv", None, "phone\n1\n").await.is(404).is_problem("unknown_campaign");
    let open = f.campaign(|_| ()).await;
    f.append(&open, "application/json", None, "{}").await.is(422).is_problem("invalid_request");
    f.append(&open, "text/csv", None, "phone\n").await.is(422).is_problem("invalid_request");
    f.append(&open, "text/csv", None, "phone\n12\n").await.is(422).is_problem("no_valid_rows");
    f.append(&open, "text/html", None, "x").await.is(415);
}

#[tokio::test]
async fn a_row_has_fields_of_its_own() {
    let f = Fixture::start().await;
    let id = f.campaign(|_| ()).await;
    let at = crate::base::clock::rfc3339(f.clock.now() + 3_600_000);
    let row = json!({"phone_number": "+14155552671", "priority": "high", "earliest": at,
        "alternative_numbers": ["(415) 555-2672", "+14155552671", "+14155552672"],
        "consent": {"basis": "written", "at": "2026-01-01T00:00:00Z", "source": "form 7"}});
    f.append(&id, "application/json", None, json!({"calls": [row]}).to_string()).await.is(202);
    let call = &f.store.calls_of("+14155552671").await.unwrap()[0];
    assert_eq!(call.body.priority, Priority::High);
    assert_eq!(call.lane(), format!("{id}+"));
    assert!(call.body.schedule_at.is_some());
    let others: Vec<&str> = call.body.alternatives.iter().map(|p| p.e164()).collect();
    assert_eq!(others, ["+14155552672"], "E.164, without the first number and without repeats");
    assert_eq!(call.body.consent.as_ref().unwrap().basis, ConsentBasis::Written);

    let seven: Vec<String> = (0..7).map(|n| format!("+1415555260{n}")).collect();
    let wrong = json!({"calls": [
        {"phone_number": "+14155552681", "priority": "urgent"},
        {"phone_number": "+14155552682", "alternative_numbers": ["12"]},
        {"phone_number": "+14155552683", "alternative_numbers": seven},
        {"phone_number": "+14155552684", "consent": {"basis": "nod", "at": "2999-01-01T00:00:00Z"}},
        {"phone_number": "+14155552685", "earliest": at, "schedule_at": at}]});
    let answer = f.append(&id, "application/json", None, wrong.to_string()).await;
    assert_eq!(
        answer.is(422).wrong_fields(),
        [
            "calls[0].priority",
            "calls[1].alternative_numbers[0]",
            "calls[2].alternative_numbers",
            "calls[3].consent.source",
            "calls[3].consent.basis",
            "calls[3].consent.at",
            "calls[4].earliest"
        ]
    );
}

#[tokio::test]
async fn consent_that_is_required_and_missing_rejects_the_row() {
    let f = Fixture::start().await;
    let id = f.campaign(|c| c.require_consent = Some(ConsentBasis::Written)).await;
    let sheet = "phone,consent_basis,consent_at,consent_source\n4155552671,written,2026-01-01T00:00:00Z,form 7\n\
        4155552672,,,\n4155552673,express,2026-01-01T00:00:00Z,call\n4155552674,written,,\n";
    let answer = f.append(&id, "text/csv", None, sheet).await;
    assert_eq!(counts(&answer.is(202).body), [1, 3, 0, 0]);
    assert_eq!(
        answer.wrong_fields(),
        ["consent", "consent.basis", "consent.at", "consent.source", "consent"]
    );
    let reasons = json!({"consent_missing": 1, "consent_too_weak": 1, "invalid_field": 1});
    assert_eq!(answer.body["reasons"], reasons);
}

#[tokio::test]
async fn a_number_may_be_once_in_the_campaign_or_once_in_the_account() {
    let f = Fixture::start().await;
    let (one, other) = (f.campaign(|_| ()).await, f.campaign(|_| ()).await);
    let strict = f.campaign(|c| c.dedupe = Dedupe::Account).await;
    let sheet = "phone\n4155552671\n(415) 555-2671\n+1 415 555 2671\n";
    assert_eq!(counts(&f.append(&one, "text/csv", None, sheet).await.body), [1, 0, 2, 0]);
    assert_eq!(counts(&f.append(&other, "text/csv", None, sheet).await.body), [1, 0, 2, 0]);
    let answer = f.append(&strict, "text/csv", None, "phone\n4155552671\n4155552672\n4155552672\n").await;
    assert_eq!(counts(&answer.body), [1, 0, 2, 0]);
    assert_eq!(answer.body["reasons"], json!({"open_elsewhere": 1, "duplicate": 1}));
}

#[tokio::test]
async fn every_row_that_was_not_taken_stands_in_the_report() {
    let f = Fixture::start().await;
    let id = f.campaign(|_| ()).await;
    f.append(&id, "text/csv", None, "phone\n4155552671\n=1+2\n4155552671\n").await.is(202);
    let mut sheet = String::from("phone\n4155552672\n");
    for n in 0..1_500 {
        sheet.push_str(&format!("bad {n}\n"));
    }
    let answer = f.append(&id, "text/csv", None, sheet).await;
    assert_eq!(counts(&answer.is(202).body), [1, 1_500, 0, 0]);
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1_000);
    assert_eq!(answer.body["errors_truncated"], true);
    let report = f.get(&format!("/api/campaigns/{id}/rejections")).await;
    let text = report.is(200).body.as_str().unwrap().to_owned();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 1_502);
    assert_eq!(
        (&lines[0]["row"], &lines[0]["code"], &lines[0]["value"]),
        (&json!(3), &json!("phone_not_a_number"), &json!("=1+2"))
    );
    assert_eq!(
        (&lines[1]["row"], &lines[1]["code"], &lines[1]["value"]),
        (&json!(4), &json!("duplicate"), &Value::Null)
    );
    assert_eq!(lines[1_501]["intake"], answer.body["intake_id"]);
    assert_eq!(lines[1_501]["row"], 1_502);
    let sheet = f.get(&format!("/api/campaigns/{id}/rejections?format=csv")).await;
    let sheet = sheet.body.as_str().unwrap().to_owned();
    assert_eq!(sheet.lines().count(), 1_503);
    assert!(sheet.lines().nth(1).unwrap().ends_with("\"'=1+2\""), "a formula is text: {sheet:.200}");
    f.get(&format!("/api/campaigns/{id}/rejections?format=pdf")).await.is(400).is_problem("invalid_query");
}

#[tokio::test]
async fn a_preflight_says_what_would_become_of_a_list_and_stores_nothing() {
    let f = Fixture::start().await;
    let id = f.campaign(|c| (c.max_cps, c.dedupe) = (Some(0.5), Dedupe::Account)).await;
    f.append(&id, "text/csv", None, "phone\n4155552671\n").await.is(202);
    f.post("/api/suppressions", json!({"phone_number": "+14155552672"})).await;
    f.initiate(json!({"phone_number": "+14155552673"})).await.is(202);
    let path = format!("/api/campaigns/{id}/preflight");
    let sheet = "phone,time_zone\n4155552671,\n4155552672,\n4155552673,\n4155552674,\n4155552674,\n12,\n\
        2125552675,America/New_York\n2125552676,Europe/Nowhere\n";
    let before = f.store.calls_of("+14155552674").await.unwrap().len();
    let request = Request::post(&path).header("content-type", "text/csv").body(Body::from(sheet)).unwrap();
    let answer = f.ask(request).await;
    assert_eq!(answer.is(200).body["rows"], 8, "{answer:?}");
    assert_eq!(answer.body["dialable"], 2);
    let skipped = json!({"duplicate": 2, "do_not_call": 1, "open_elsewhere": 1, "phone_too_short": 1, "invalid_field": 1});
    assert_eq!(answer.body["skipped"], skipped);
    assert_eq!(answer.body["zones"], json!({"America/Los_Angeles": 1, "America/New_York": 1}));
    assert_eq!(answer.body["estimate"]["calls_per_second"], 0.5);
    let opening: u64 =
        answer.body["openings"].as_array().unwrap().iter().filter_map(|o| o["calls"].as_u64()).sum();
    assert_eq!(opening, 2);
    assert_eq!((before, f.store.calls_of("+14155552674").await.unwrap().len()), (0, 0));

    // A number that may lie anywhere has no hour that is open in all its zones: it is never dialed, and shown.
    let nowhere = f.campaign(|c| c.window = Some("10:00-16:00".parse().unwrap())).await;
    let request = Request::post(format!("/api/campaigns/{nowhere}/preflight"))
        .header("content-type", "text/csv")
        .body(Body::from("phone\n8005550100\n2125552675\n"))
        .unwrap();
    let answer = f.ask(request).await;
    assert_eq!(answer.is(200).body["skipped"], json!({"no_common_hour": 1}));
    assert_eq!(answer.body["dialable"], 1);

    let waiting = f.send(axum::http::Method::POST, &path).await;
    assert_eq!((&waiting.is(200).body["rows"], &waiting.body["dialable"]), (&json!(1), &json!(1)));
    f.send(axum::http::Method::POST, &format!("{path}?average_seconds=0"))
        .await
        .is(400)
        .is_problem("invalid_query");
}
