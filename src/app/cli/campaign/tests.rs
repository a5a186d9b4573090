//! The command against an API that answers as the real one does.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: CampaignArgs,
}

/// An API: `answers` is given method, path with query, and how often that came before.
struct Api {
    url: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Api {
    async fn start(answers: impl Fn(&str, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (log, answers) = (Arc::clone(&asked), Arc::new(answers));
        let app = axum::Router::new().fallback(move |method: axum::http::Method, uri: Uri, body: Bytes| {
            let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
            async move {
                let what = format!("{method} {uri}");
                let nth = {
                    let mut log = log.lock().expect("not poisoned");
                    log.push((what.clone(), String::from_utf8_lossy(&body).into_owned()));
                    log.iter().filter(|(w, _)| *w == what).count() - 1
                };
                answers(&what, nth)
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, asked }
    }

    async fn run(&self, words: &[&str]) -> (anyhow::Result<bool>, String) {
        let line =
            ["campaign", "--url", &self.url, "--api-key", "k"].into_iter().chain(words.iter().copied());
        let command = Command::try_parse_from(line).expect("the command line is right");
        let mut out = Vec::new();
        let ended = act(&command.args, &mut out).await;
        (ended, String::from_utf8(out).expect("text"))
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn json(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), axum::Json(body.clone())).into_response()
}

#[tokio::test]
async fn a_campaign_is_made_given_its_list_and_started() {
    let api = Api::start(|what, _| match what {
        "POST /api/campaigns" => json(201, &json!({"campaign_id": "cmp_1", "state": "draft"})),
        w if w.starts_with("POST /api/campaigns/cmp_1/calls?map=") => {
            json(202, &json!({"accepted": 2, "rejected": 1, "errors": [{"row": 3, "field": "phone_number", "reason": "is too short"}]}))
        }
        "POST /api/campaigns/cmp_1/start" => json(200, &json!({"campaign_id": "cmp_1", "state": "running"})),
        _ => json(404, &json!({"title": "nothing here"})),
    })
    .await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("people.csv");
    std::fs::write(&file, "Telefon,Name\n+14155552671,Ann\n").expect("a file");
    let file = file.to_string_lossy();
    let words = [
        "create",
        "--name",
        "spring",
        "--weight",
        "2",
        "--list",
        &file,
        "--map",
        "Telefon:phone_number",
        "--start",
    ];
    let (ended, out) = api.run(&words).await;
    assert!(ended.expect("it was made"));
    assert_eq!(out, "cmp_1\n");
    let asked = api.asked();
    assert_eq!(
        serde_json::from_str::<Value>(&asked[0].1).expect("JSON"),
        json!({"name": "spring", "weight": 2})
    );
    assert_eq!(asked[1].0, "POST /api/campaigns/cmp_1/calls?map=Telefon%3Aphone_number");
    assert!(asked[1].1.contains("+14155552671"));
    assert_eq!(asked[2].0, "POST /api/campaigns/cmp_1/start");

    let (ended, _) = api.run(&["create", "--list", "no-such-file.csv"]).await;
    assert!(ended.expect_err("no file").to_string().contains("cannot read no-such-file.csv"));
    assert_eq!(api.asked().len(), 3, "a file that is not there leaves no campaign behind");
}

#[tokio::test]
async fn a_campaign_whose_list_was_refused_is_taken_back() {
    let refused =
        |_: &str| json(422, &json!({"title": "No row", "detail": "none of the 2 rows can be called"}));
    let accepted = std::sync::atomic::AtomicU64::new(0);
    let accepted = Arc::new(accepted);
    let told = Arc::clone(&accepted);
    let api = Api::start(move |what, _| match what {
        "POST /api/campaigns" => json(201, &json!({"campaign_id": "cmp_1", "state": "draft"})),
        "GET /api/campaigns/cmp_1" => {
            let accepted = told.load(std::sync::atomic::Ordering::Relaxed);
            json(200, &json!({"campaign_id": "cmp_1", "state": "draft", "accepted": accepted}))
        }
        "POST /api/campaigns/cmp_1/cancel" => {
            json(200, &json!({"campaign_id": "cmp_1", "state": "cancelled"}))
        }
        other => refused(other),
    })
    .await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("people.csv");
    std::fs::write(&file, "phone\n12\n911\n").expect("a file");
    let file = file.to_string_lossy();
    let cancels = || api.asked().iter().filter(|(what, _)| what.ends_with("/cancel")).count();

    let (ended, out) = api.run(&["create", "--list", &file]).await;
    let error = format!("{:#}", ended.expect_err("no row was taken"));
    assert!(error.contains("cmp_1 was cancelled again") && error.contains("none of the 2 rows"), "{error}");
    assert!(out.is_empty(), "no id, for a script to go on with: {out}");
    assert_eq!(cancels(), 1);

    // A list that broke off in the middle keeps what was read of it.
    accepted.store(1, std::sync::atomic::Ordering::Relaxed);
    let error = format!("{:#}", api.run(&["create", "--list", &file]).await.0.expect_err("refused"));
    assert!(error.contains("cmp_1 was made, but its list"), "{error}");
    assert_eq!(cancels(), 1, "a campaign that has calls is not cancelled");
}

#[tokio::test]
async fn steps_say_why_and_refusals_say_the_state() {
    let api = Api::start(|what, _| match what {
        "POST /api/campaigns/cmp_1/pause" => json(200, &json!({"campaign_id": "cmp_1", "state": "paused"})),
        _ => json(409, &json!({"title": "Not in this state", "detail": "the campaign is completed"})),
    })
    .await;
    let (ended, out) = api.run(&["pause", "cmp_1", "--why", "lunch"]).await;
    assert!(ended.is_ok() && out == "cmp_1 is paused\n", "{out}");
    assert_eq!(api.asked()[0].1, r#"{"why":"lunch"}"#);
    let error = api.run(&["resume", "cmp_1"]).await.0.expect_err("refused").to_string();
    assert!(error.contains("409") && error.contains("the campaign is completed"), "{error}");
    let error = api.run(&["show", "../calls"]).await.0.expect_err("no id").to_string();
    assert!(error.contains("no campaign's id"), "{error}");
}

#[tokio::test]
async fn a_campaign_is_watched_by_its_events_to_its_end() {
    let api = Api::start(|what, nth| match what {
        "GET /api/campaigns/cmp_1" if nth == 0 => json(200, &json!({"campaign_id": "cmp_1", "state": "running", "accepted": 2, "ended": 0})),
        "GET /api/campaigns/cmp_1" => json(200, &json!({"campaign_id": "cmp_1", "state": "completed", "accepted": 2, "ended": 2, "dispositions": {"busy": 2}})),
        "GET /api/campaigns/cmp_1/events" => {
            let events = "id: 1-0\nevent: progress\ndata: {\"ended\": 1, \"ended_per_minute\": 60}\n\n: beat\n\nid: 2-0\nevent: state\ndata: {\"to\": \"completed\", \"by\": \"keeper\"}\n\n";
            ([("content-type", "text/event-stream")], events).into_response()
        }
        _ => json(404, &json!({})),
    })
    .await;
    let (ended, out) = api.run(&["watch", "cmp_1"]).await;
    assert!(ended.expect("it was watched"), "it was completed");
    assert!(out.contains("busy             2") && out.contains("2 of 2 calls ended"), "{out}");
}

#[tokio::test]
async fn without_events_it_is_asked_for_and_a_cancelled_one_fails() {
    let api = Api::start(|what, nth| match (what, nth) {
        ("GET /api/campaigns/cmp_1", 0) => json(200, &json!({"campaign_id": "cmp_1", "state": "running"})),
        ("GET /api/campaigns/cmp_1", 1) => json(503, &json!({"title": "The store is not available"})),
        ("GET /api/campaigns/cmp_1", _) => {
            json(200, &json!({"campaign_id": "cmp_1", "state": "cancelled", "history": [{"why": "enough"}]}))
        }
        _ => json(404, &json!({})),
    })
    .await;
    let (ended, out) = api.run(&["watch", "cmp_1"]).await;
    assert!(!ended.expect("it was watched"), "a cancelled campaign is no success");
    assert!(out.contains("cancelled") && out.contains("enough"), "{out}");
}

#[tokio::test]
async fn results_go_into_a_file_as_they_come() {
    let api = Api::start(|what, _| match what {
        "GET /api/campaigns/cmp_1/results?format=csv" => "call_id,disposition\ncall_1,busy\n".into_response(),
        "GET /api/campaigns/cmp_1/results?format=ndjson" => {
            "{\"call_id\":\"call_1\",\"disposition\":\"busy\"}\n".into_response()
        }
        "GET /api/campaigns/cmp_1/rejections?format=ndjson" => {
            "{\"row\":3,\"field\":\"phone_number\",\"reason\":\"is too short\"}\n".into_response()
        }
        _ => json(404, &json!({})),
    })
    .await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("results.csv");
    let (ended, out) = api.run(&["results", "cmp_1", "--out", &file.to_string_lossy()]).await;
    assert!(ended.is_ok() && out.is_empty());
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "call_id,disposition\ncall_1,busy\n");
    assert!(api.run(&["results", "cmp_1"]).await.1.contains("call_1   busy"));
    assert!(api.run(&["rejections", "cmp_1"]).await.1.contains("phone_number  is too short"));
}

#[test]
fn a_map_names_column_and_field() {
    let parse = |map: &str| Command::try_parse_from(["campaign", "add", "cmp_1", "a.csv", "--map", map]);
    let command = parse("Telefon:phone_number,Vor:name:variables.first").expect("two pairs");
    let Action::Add { map, .. } = command.args.action else { panic!("add") };
    assert_eq!(map.map, ["Telefon:phone_number", "Vor:name:variables.first"]);
    assert!(parse("Telefon").is_err());
}
