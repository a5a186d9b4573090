//! The carrier over real HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;

use super::harness::{Got, TOKEN, interview, statuses, twiml, world};
use super::wire::get;
use crate::sim::SimConfig;
use crate::sim::faults::{Fault, Rule, Target};
use crate::sim::ledger::Who;
use crate::sim::people::Kind;
use crate::sim::serve::slam;

#[tokio::test]
async fn a_call_is_rung_answered_spoken_with_and_ended() {
    let w = world(|_| {}, interview).await;
    let leg = w.call(Kind::Cooperative, &[], 4).await;
    assert_eq!((leg.status.as_str(), leg.ended_by.as_deref()), ("completed", Some("agent")), "{leg:?}");
    assert_eq!((leg.call_id.as_deref(), leg.attempt.as_deref()), (Some("call_07x"), Some("1")));
    let status = w.got("/status");
    assert_eq!(statuses(&status), ["initiated", "ringing", "in-progress", "completed"]);
    let numbers: Vec<_> = status.iter().map(|g| get(&g.form, "SequenceNumber").unwrap_or_default()).collect();
    assert_eq!(numbers, ["0", "1", "2", "3"]);
    assert!(get(&status[3].form, "CallDuration").is_some_and(|d| d.parse::<u64>().is_ok_and(|d| d > 3)));
    let all = w.got("/");
    assert!(all.iter().all(|g| g.signed && !g.token.is_empty()), "{all:?}");
    let turn = &w.got("/turn")[0];
    assert!(get(&turn.form, "SpeechResult").is_some() && get(&turn.form, "Confidence").is_some());
    let timeline = w.sim.ledger().timeline(&leg.sid).expect("a timeline");
    assert!(timeline.contains("agent") && timeline.contains("callee"), "{timeline}");
    let summary = w.sim.ledger().summary();
    assert!(summary.broken.is_empty() && summary.legs == 1 && summary.live == 0, "{summary:?}");
    assert!(summary.longest_dead_air.seconds < 5.0, "{timeline}");
    w.sim.stop().await;
}

#[tokio::test]
async fn phones_that_nobody_answers() {
    let w = world(|_| {}, interview).await;
    for (kind, status) in [(Kind::Busy, "busy"), (Kind::NoAnswer, "no-answer"), (Kind::Invalid, "failed")] {
        let more = [("Timeout", "20"), ("StatusCallbackEvent", "completed"), ("StatusCallbackMethod", "GET")];
        let leg = w.call(kind, &more, 1).await;
        assert_eq!(leg.status, status);
        assert!(leg.answered_at.is_none() && leg.callbacks.len() == 1);
    }
    let by_get = w.got("/status?CallSid=");
    assert!(by_get.len() == 3 && by_get.iter().all(|g| g.signed && g.form.is_empty()), "{by_get:?}");
    let (_, json) = w.rest("GET", "/Calls.json?Status=busy", &[]).await.expect("an answer");
    assert_eq!(json["calls"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_machine_is_detected_while_it_greets() {
    let waiting = |got: &Got, _: usize| match got.path.as_str() {
        p if p.starts_with("/turn") => twiml("<Pause length=\"60\"/><Hangup/>"),
        _ => interview(got, 0),
    };
    let w = world(|_| {}, waiting).await;
    let amd = [
        ("MachineDetection", "DetectMessageEnd"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", "https://carillon.example/status/amd"),
    ];
    let leg = w.call(Kind::Voicemail, &amd, 5).await;
    // The greeting barges into our prompt and is heard as speech.
    assert!(leg.heard.iter().any(|h| h.who == Who::Callee), "{:?}", leg.heard);
    assert!(leg.answered_by.as_deref().is_some_and(|a| a.starts_with("machine_end")), "{leg:?}");
    let verdict = &w.got("/status/amd")[0];
    assert_eq!(get(&verdict.form, "AnsweredBy"), leg.answered_by.as_deref());
    assert!(get(&verdict.form, "MachineDetectionDuration").is_some_and(|d| d.parse::<u64>().is_ok()));
}

#[tokio::test]
async fn mistakes_and_credentials() {
    let w = world(|_| {}, interview).await;
    let (status, json) = w.create("12345", &[]).await.expect("an answer");
    assert_eq!((status, json["code"].as_u64(), json["status"].as_u64()), (400, Some(21211), Some(400)));
    let wrong =
        w.client.post(format!("{}/Calls.json", w.account())).basic_auth("AC1", Some("no")).send().await;
    assert_eq!(wrong.map(|r| r.status().as_u16()).ok(), Some(401));
    let (status, json) = w.rest("GET", "/Calls/CA0.json", &[]).await.expect("an answer");
    assert_eq!((status, json["code"].as_u64()), (404, Some(20404)));
    let leg = w.call(Kind::Busy, &[], 1).await;
    let path = format!("/Calls/{}.json", leg.sid);
    let (status, json) = w.rest("POST", &path, &[("Status", "completed")]).await.expect("an answer");
    assert_eq!((status, json["code"].as_u64()), (404, Some(20404)));
}

#[tokio::test]
async fn calls_per_second_queue_and_concurrency_refuses() {
    // Places of the queue are two seconds apart, and who does not answer rings for a minute: time for three requests.
    let tune = |c: &mut SimConfig| {
        c.max_cps = 0.5;
        c.max_concurrent = 3;
        c.speed = 1.0;
    };
    let w = world(tune, interview).await;
    let mut queued = Vec::new();
    for i in 0..3 {
        let (_, json) = w.create(&w.sim.world().number(Kind::NoAnswer, i), &[]).await.expect("an answer");
        queued.push(json["queue_time"].as_str().and_then(|q| q.parse::<u64>().ok()).expect("milliseconds"));
        assert_eq!(json["status"], "queued");
        assert!(json["price"].is_null() && json["direction"] == "outbound-api");
    }
    assert!(queued[0] < queued[1] && queued[1] < queued[2], "{queued:?}");
    let (status, json) = w.create(&w.number(Kind::Cooperative), &[]).await.expect("an answer");
    assert_eq!((status, json["code"].as_u64()), (429, Some(10004)));
}

#[tokio::test]
async fn without_overrides_a_failing_application_is_heard_as_an_error() {
    let failing = |got: &Got, _: usize| {
        if got.path.starts_with("/api/") {
            StatusCode::BAD_GATEWAY.into_response()
        } else {
            interview(got, 0)
        }
    };
    let w = world(|_| {}, failing).await;
    let leg = w.call(Kind::Cooperative, &[], 4).await;
    assert_eq!((leg.fetches.len(), leg.ended_by.as_deref()), (1, Some("carrier")));
    assert_eq!(w.sim.ledger().summary().carrier_errors_heard, 1);
}

#[tokio::test]
async fn overrides_and_the_fallback_save_the_call() {
    // The first two tries of a URL end in a reset; the third would have worked for #rc=2, and a fallback is asked where
    // that is not allowed.
    let resetting = |got: &Got, nth: usize| {
        if got.path.starts_with("/api/") && nth < 2 { slam() } else { interview(got, nth) }
    };
    let w = world(|_| {}, resetting).await;
    let url = "https://carillon.example/api/calls/webhook/call_07x?attempt=1#rc=2&rp=all";
    let leg = w.call(Kind::Cooperative, &[("Url", url)], 4).await;
    assert_eq!(leg.ended_by.as_deref(), Some("agent"));
    let tries: Vec<_> = leg.fetches.iter().take(3).map(|f| (f.attempt, f.status, f.token.clone())).collect();
    assert_eq!(tries.iter().map(|t| (t.0, t.1)).collect::<Vec<_>>(), [(0, None), (1, None), (2, Some(200))]);
    assert!(tries[0].2 == tries[1].2 && tries[1].2 == tries[2].2, "one token for all tries");

    let leg = w
        .call(
            Kind::Cooperative,
            &[
                ("Url", "https://carillon.example/api/other"),
                ("FallbackUrl", "https://carillon.example/fallback"),
            ],
            4,
        )
        .await;
    assert_eq!(leg.ended_by.as_deref(), Some("agent"));
    let fallback = &w.got("/fallback")[0];
    assert_eq!(get(&fallback.form, "ErrorUrl"), Some("https://carillon.example/api/other"));
    assert!(get(&fallback.form, "ErrorCode").is_some());
}

#[tokio::test]
async fn wrong_twiml_is_an_application_error() {
    let w = world(
        |_| {},
        |got, _| {
            if got.path.starts_with("/api/") { twiml("<Shout>hi</Shout>") } else { interview(got, 0) }
        },
    )
    .await;
    let leg = w.call(Kind::Cooperative, &[], 4).await;
    assert!(leg.heard.iter().any(|h| h.who == Who::CarrierError));
    assert!(leg.twiml_errors[0].starts_with("12200"), "{:?}", leg.twiml_errors);
}

#[tokio::test]
async fn callbacks_twice_reversed_and_never() {
    let w = world(|_| {}, interview).await;
    w.sim.faults().set(vec![Rule::always(Target::Callbacks, Fault::Reverse)]);
    w.call(Kind::Cooperative, &[], 4).await;
    assert_eq!(statuses(&w.got("/status")), ["completed", "in-progress", "ringing", "initiated"]);

    w.sim.faults().set(vec![
        Rule::next(Target::Callbacks, Fault::Duplicate, 1).matching("initiated"),
        Rule::always(Target::Callbacks, Fault::Missing).matching("answered"),
        Rule::next(Target::Callbacks, Fault::Reorder, 1).matching("ringing"),
    ]);
    let leg = w.call(Kind::Cooperative, &[], 5).await;
    let second: Vec<_> = w.got("/status").split_off(4);
    assert_eq!(statuses(&second), ["initiated", "initiated", "completed", "ringing"]);
    assert_eq!(second[0].token, second[1].token);
    assert!(leg.callbacks.iter().any(|c| c.fault.as_deref() == Some("missing")));
}

#[tokio::test]
async fn creates_refused_dropped_and_lost() {
    let w = world(|_| {}, interview).await;
    let to = w.number(Kind::Cooperative);
    let refused = Fault::Status { code: 429, retry_after_s: Some(2), error_code: None };
    w.sim.faults().set(vec![Rule::next(Target::TwilioCreate, refused, 1)]);
    let (status, json) = w.create(&to, &[]).await.expect("an answer");
    assert_eq!((status, json["code"].as_u64()), (429, Some(20429)));

    w.sim.faults().set(vec![Rule::next(Target::TwilioCreate, Fault::DropBefore, 1)]);
    assert!(w.create(&to, &[]).await.is_err());
    assert_eq!(w.sim.ledger().snapshot().legs.len(), 0, "nothing was placed");

    w.sim.faults().set(vec![Rule::next(Target::TwilioCreate, Fault::AcceptThenDrop, 1)]);
    assert!(w.create(&to, &[]).await.is_err());
    let book = w.sim.ledger().snapshot();
    assert_eq!((book.legs.len(), book.creates.len()), (1, 3));
    assert!(book.creates[2].answer_lost && book.creates[2].sid.as_deref() == Some(&book.legs[0].sid));
    let (_, json) =
        w.rest("GET", &format!("/Calls.json?To=%2B{}&PageSize=5", &to[1..]), &[]).await.expect("a list");
    assert_eq!(json["calls"][0]["sid"].as_str(), Some(book.legs[0].sid.as_str()));
}

#[tokio::test]
async fn a_live_call_is_redirected_and_hung_up() {
    let script = |got: &Got, _: usize| match got.path.as_str() {
        "/moved" => twiml("<Say>One moment please.</Say><Pause length=\"100\"/>"),
        p if p.starts_with("/api/") => twiml("<Say>Hello.</Say><Pause length=\"170\"/>"),
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    let w = world(|c| c.speed = 20.0, script).await;
    // Of somebody who lets it ring, so that there is time.
    let (_, json) = w.create(&w.number(Kind::NoAnswer), &[]).await.expect("an answer");
    let path = format!("/Calls/{}.json", json["sid"].as_str().expect("a sid"));
    let early = w.rest("POST", &path, &[("Url", "https://carillon.example/moved")]).await.expect("an answer");
    assert_eq!((early.0, early.1["code"].as_u64()), (400, Some(21220)));
    let (_, json) = w.create(&w.number(Kind::Cooperative), &[]).await.expect("an answer");
    let sid = json["sid"].as_str().expect("a sid").to_owned();
    let path = format!("/Calls/{sid}.json");
    let said = |text: &'static str| {
        let sid = sid.clone();
        w.sim.ledger().until(move |b| b.leg(&sid)?.heard.iter().any(|h| h.text == text).then_some(()))
    };
    said("pause").await;
    let (status, _) =
        w.rest("POST", &path, &[("Url", "https://carillon.example/moved")]).await.expect("an answer");
    assert_eq!(status, 200);
    said("One moment please.").await;
    let (status, _) = w.rest("POST", &path, &[("Status", "completed")]).await.expect("an answer");
    assert_eq!(status, 200);
    let leg = w.over(&sid, 4).await;
    assert_eq!((leg.status.as_str(), leg.ended_by.as_deref()), ("completed", Some("api")));
    assert!(leg.heard.iter().any(|h| h.text == "pause" && h.cut && h.dur < 170.0), "{:?}", leg.heard);
}

#[tokio::test]
async fn a_ringing_call_is_canceled() {
    let w = world(|c| c.speed = 10.0, interview).await;
    let (_, json) = w.create(&w.number(Kind::NoAnswer), &[]).await.expect("an answer");
    let sid = json["sid"].as_str().expect("a sid").to_owned();
    w.sim.ledger().until(|b| b.leg(&sid)?.rang_at).await;
    let path = format!("/Calls/{sid}.json");
    assert_eq!(w.rest("POST", &path, &[("Status", "canceled")]).await.expect("an answer").0, 200);
    let leg = w.over(&sid, 3).await;
    assert_eq!(leg.status, "canceled");
    assert_eq!(statuses(&w.got("/status")).last().map(String::as_str), Some("canceled"));
}

#[tokio::test]
async fn a_transfer_rings_talks_and_comes_back() {
    let numbers: Arc<Mutex<HashMap<&str, String>>> = Arc::default();
    let known = Arc::clone(&numbers);
    let w = world(
        |_| {},
        move |got, _| match got.path.as_str() {
            p if p.starts_with("/api/") => {
                let to = known.lock().expect("not poisoned")["to"].clone();
                twiml(&format!(
                    "<Dial action=\"/after\"><Number statusCallback=\"/leg\" \
                 statusCallbackEvent=\"answered completed\">{to}</Number></Dial>"
                ))
            }
            _ => interview(got, 0),
        },
    )
    .await;
    let to = w.sim.world().number(Kind::Cooperative, 9);
    numbers.lock().expect("not poisoned").insert("to", to);
    let leg = w.call(Kind::Terse, &[], 4).await;
    assert_eq!(leg.transfers[0].status, "completed", "{leg:?}");
    let after = &w.got("/after")[0];
    assert_eq!(get(&after.form, "DialCallStatus"), Some("completed"));
    assert_eq!(w.sim.ledger().summary().legs, 1, "the transfer is no leg to a callee");
    let child = w.over(&leg.transfers[0].sid, 2).await;
    assert_eq!(child.parent.as_deref(), Some(leg.sid.as_str()));
    assert_eq!(statuses(&w.got("/leg")), ["in-progress", "completed"]);
}

#[tokio::test]
async fn a_recording_is_made_fetched_and_deleted() {
    let w = world(
        |c| c.speed = 20.0,
        |got, _| match got.path.as_str() {
            p if p.starts_with("/api/") => twiml("<Say>Hello.</Say><Pause length=\"170\"/>"),
            _ => StatusCode::NO_CONTENT.into_response(),
        },
    )
    .await;
    let (_, json) = w.create(&w.number(Kind::Cooperative), &[]).await.expect("an answer");
    let sid = json["sid"].as_str().expect("a sid").to_owned();
    w.sim.ledger().until(|b| b.leg(&sid)?.heard.iter().any(|h| h.text == "pause").then_some(())).await;
    let form =
        [("RecordingStatusCallback", "https://carillon.example/recording"), ("RecordingChannels", "dual")];
    let (status, json) =
        w.rest("POST", &format!("/Calls/{sid}/Recordings.json"), &form).await.expect("an answer");
    assert_eq!((status, json["status"].as_str()), (201, Some("in-progress")));
    let re = json["sid"].as_str().expect("a sid").to_owned();
    let media = format!("/Recordings/{re}.wav");
    assert_eq!(w.rest("GET", &media, &[]).await.expect("an answer").0, 404, "not while it is made");
    let path = format!("/Calls/{sid}/Recordings/Twilio.CURRENT.json");
    assert_eq!(w.rest("POST", &path, &[("Status", "stopped")]).await.expect("an answer").0, 200);
    let sent = |b: &crate::sim::ledger::Book| {
        b.leg(&sid)?.callbacks.iter().any(|c| c.event == "recording").then_some(())
    };
    w.sim.ledger().until(sent).await;
    assert_eq!(get(&w.got("/recording")[0].form, "RecordingStatus"), Some("completed"));
    let fetched = async {
        loop {
            let request = w.client.get(format!("{}{media}", w.account()));
            let request = request.basic_auth(&w.sim.config().account_sid, Some(TOKEN));
            let answer = request.send().await.expect("an answer");
            if answer.status() == 200 {
                return answer.bytes().await.expect("a body");
            }
        }
    };
    let wav = tokio::time::timeout(Duration::from_secs(10), fetched).await.expect("the media comes");
    assert!(wav.starts_with(b"RIFF") && wav[8..12] == *b"WAVE" && wav.len() > 16_000);
    let path = format!("/Recordings/{re}.json");
    assert_eq!(w.rest("DELETE", &path, &[]).await.expect("an answer").0, 204);
    assert_eq!(w.rest("GET", &media, &[]).await.expect("an answer").0, 404);
}

#[tokio::test]
async fn a_crowd_of_every_kind_breaks_nothing() {
    let tune = |c: &mut SimConfig| {
        c.speed = 1000.0;
        c.max_concurrent = 1000;
    };
    let w = world(tune, interview).await;
    for i in 0..4 {
        for kind in Kind::ALL {
            let url =
                format!("https://carillon.example/api/calls/webhook/call_{i}{kind:?}?attempt=1#rc=2&rp=all");
            let to = w.sim.world().number(kind, i);
            let (status, json) = w.create(&to, &[("Url", &url)]).await.expect("an answer");
            assert_eq!(status, 201, "{json}");
        }
    }
    let legs = 4 * Kind::ALL.len();
    let done = w.sim.ledger().until(|b| {
        (b.legs.iter().filter(|l| l.callbacks.iter().any(|c| c.event == "completed")).count() == legs)
            .then_some(())
    });
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("all calls end");
    let s = w.sim.ledger().summary();
    assert!(s.broken.is_empty() && s.live == 0 && s.legs == legs, "{s:?}");
    assert_eq!((s.peak_per_number, s.carrier_errors_heard, s.callbacks_failed), (1, 0, 0));
}
