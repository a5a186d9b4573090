//! A whole run with everything that goes wrong in it, and then every line, metric, key and document is read: no telephone
//! number, no secret.

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use serde_json::json;

use super::{CALL_WITHIN, SOON, objects};
use crate::support::fleet::{Fleet, FleetConfig, seed};

const API_KEY: &str = "api-key-for-the-test-of-leaks-0123456789";
const OURS: &str = "+12025550199";

/// What must stand nowhere, by what it is.
fn private(fleet: &Fleet, numbers: &[String]) -> Vec<(String, String)> {
    let secrets = fleet.env().iter().filter(|(name, value)| {
        let secret = ["TOKEN", "SECRET", "API_KEY", "HASH_KEY"].iter().any(|word| name.contains(word));
        secret && value.len() >= 8
    });
    let secrets = secrets.map(|(name, value)| (name.clone(), value.clone()));
    // Without the plus sign, too: that is how numbers come out of URLs and patterns.
    let numbers = numbers.iter().map(|number| ("a number".to_owned(), number[1..].to_owned()));
    secrets.chain(numbers).collect()
}

#[track_caller]
fn clean(what: &str, text: &str, private: &[(String, String)]) {
    for (name, value) in private {
        let line = text.lines().find(|line| line.contains(value.as_str()));
        assert!(line.is_none(), "{what} holds {name}: {}", line.unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_run_shows_no_number_and_no_secret() {
    let sim = SimConfig { seed: seed(), speed: 40.0, max_cps: 10.0, ..SimConfig::default() };
    let env = [("LOG_LEVEL", "debug"), ("API_KEYS", API_KEY)];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut fleet = Fleet::start(FleetConfig { sim, env, ..FleetConfig::default() }).await;
    let status = |code, error_code: Option<&str>| Fault::Status {
        code,
        retry_after_s: None,
        error_code: error_code.map(str::to_owned),
    };
    // What fails has the most to tell.
    for rule in [
        Rule::next(Target::TwilioCreate, status(400, Some("21211")), 1),
        Rule::next(Target::TwilioCreate, status(503, None), 1),
        Rule::next(Target::TwilioCreate, Fault::AcceptThenDrop, 1),
        Rule::next(Target::Model, Fault::Malformed, 1),
        Rule::next(Target::Model, status(500, None), 1),
        Rule::next(Target::S3, status(500, None), 1),
        Rule::next(Target::Receiver, status(500, None), 2),
        Rule::next(Target::Receiver, Fault::DropBefore, 1),
    ] {
        fleet.sim.faults().add(rule);
    }
    let mut numbers: Vec<String> = fleet.people(16).into_iter().map(|(number, _)| number).collect();
    numbers.dedup();
    let ask = async |path: &str, body: serde_json::Value| {
        fleet.ask(|http, base| http.post(format!("{base}{path}")).bearer_auth(API_KEY).json(&body)).await
    };
    // A number in the path, a bad one, one in a list, one in a wrong field.
    let forbidden = "+14155550177".to_owned();
    assert_eq!(ask("/api/suppressions", json!({"phone_number": forbidden, "source": "test"})).await.0, 201);
    let (code, refused) = ask("/api/calls/initiate", json!({"phone_number": forbidden})).await;
    assert!(code == 422 || code == 409, "{code} {refused}");
    let (code, _) =
        ask("/api/calls/initiate", json!({"phone_number": numbers[0], "agent": numbers[1]})).await;
    assert_eq!(code, 422);
    let (code, answer) = ask("/api/calls/initiate", json!({"phone_numbers": numbers})).await;
    assert_eq!(code, 202, "{answer}");
    let campaign = answer["campaign_id"].as_str().expect("a campaign").to_owned();
    fleet.ended(&campaign, numbers.len(), CALL_WITHIN).await;
    fleet.settled(SOON).await;
    let (code, _) = fleet
        .ask(|http, base| http.get(format!("{base}/api/people/{}", numbers[0])).bearer_auth(API_KEY))
        .await;
    assert_eq!(code, 200);
    let (code, _) =
        fleet.ask(|http, base| http.get(format!("{base}/api/calls")).bearer_auth("wrong-key-0123")).await;
    assert_eq!(code, 401);

    let everybody: Vec<String> =
        numbers.iter().chain([&forbidden]).cloned().chain([OURS.to_owned()]).collect();
    let private = private(&fleet, &everybody);
    assert!(private.len() >= everybody.len() + 5, "secrets of every kind: {}", private.len());

    for url in [fleet.api_url(0), fleet.worker_url(0)] {
        for path in ["/metrics", "/health", "/readyz"] {
            let (code, body) = fleet.get(&format!("{url}{path}")).await.expect("it answers");
            assert_eq!(code, 200, "{path}");
            clean(path, &body.to_string().replace("\\n", "\n"), &private);
        }
    }
    let keys = fleet.redis.keys("*").await;
    assert!(keys.len() > numbers.len(), "{} keys", keys.len());
    clean("a key in Redis", &keys.join("\n"), &private);
    let kept = objects(&fleet);
    assert!(kept.iter().any(|(key, _)| key.starts_with("calls/transcripts/")), "documents were written");
    for (key, bytes) in &kept {
        clean("a key in S3", key, &private);
        clean(key, &String::from_utf8_lossy(bytes), &private);
    }
    let told =
        fleet.sim.ledger().with(|book| book.webhooks.iter().map(|w| w.body.to_string()).collect::<Vec<_>>());
    assert!(told.len() >= numbers.len(), "{} webhooks", told.len());
    clean("a webhook", &told.join("\n"), &private);

    let logs = [fleet.api(0).output(), fleet.worker(0).output()];
    for (log, role) in logs.iter().zip(["the api's log", "the worker's log"]) {
        assert!(log.lines().count() > 10, "{role} has {} lines", log.lines().count());
        clean(role, log, &private);
    }
    let hashed =
        logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains("\"phone_hash\":\"")).count();
    assert!(hashed > 0, "people are known by their hash");
}
