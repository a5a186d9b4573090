//! The client against a scripted server: what each failure of a request is taken to mean.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::wire::{AnsweredBy, CallStatus};
use super::*;
use crate::domain::phone::Phone;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const SID: &str = "CA11111111111111111111111111111111";
const TO: &str = "+14155550123";
const FROM: &str = "+12125550100";

/// What the server got.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    auth: String,
    body: String,
}

type Script = Arc<Mutex<(VecDeque<Response>, Vec<Seen>)>>;

struct Server {
    base: String,
    script: Script,
}

impl Server {
    /// Answers in this order; 599 when there is nothing left.
    async fn start(answers: Vec<Response>) -> Self {
        async fn handle(State(script): State<Script>, request: Request) -> Response {
            let line = format!("{} {}", request.method(), request.uri());
            let auth =
                request.headers().get("authorization").map_or("", |v| v.to_str().unwrap_or("?")).to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("body");
            let body = String::from_utf8_lossy(&body).into_owned();
            let mut script = script.lock().expect("script");
            script.1.push(Seen { line, auth, body });
            script.0.pop_front().unwrap_or_else(|| answer(599, "script is over"))
        }
        let script: Script = Arc::new(Mutex::new((answers.into(), Vec::new())));
        let app = axum::Router::new().fallback(handle).with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, script }
    }

    fn seen(&self) -> Vec<Seen> {
        self.script.lock().expect("script").1.clone()
    }
}

fn answer(status: u16, body: &str) -> Response {
    Response::builder().status(status).body(Body::from(body.to_owned())).expect("response")
}

fn client(base: &str, timeout: Duration) -> Twilio {
    Twilio::new(TwilioConfig {
        account_sid: ACCOUNT.to_owned(),
        auth_token: SecretString::from("secret-token"),
        base_url: base.to_owned(),
        timeout,
        connect_timeout: Duration::from_secs(2),
    })
    .expect("client")
}

fn patient(base: &str) -> Twilio {
    client(base, Duration::from_secs(20))
}

fn phone() -> Phone {
    Phone::from_e164(TO).expect("number")
}

async fn dial(twilio: &Twilio) -> DialOutcome {
    twilio
        .create(&CreateCall {
            to: &phone(),
            from: FROM,
            answer_url: "https://us.test/a?x=1&y=2#rc=2",
            fallback_url: "https://us.test/f",
            status_url: "https://us.test/s",
            amd: Some(Amd { url: "https://us.test/amd", message_end: false }),
            ring_timeout_s: 5,
            time_limit_s: 900,
            record: None,
        })
        .await
}

/// A server below HTTP: each connection is handed to `each` with its request read up to the body's end.
async fn raw(reply: Option<&'static [u8]>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let at = listener.local_addr().expect("address").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0_u8; 8192];
            let _ = socket.read(&mut request).await;
            if let Some(reply) = reply {
                let _ = socket.write_all(reply).await;
            }
        }
    });
    (at, count)
}

#[tokio::test]
async fn a_call_is_created_as_the_api_wants_it() {
    let server = Server::start(vec![answer(
        201,
        &format!(r#"{{"sid":"{SID}","status":"queued","queue_time":"1500"}}"#),
    )])
    .await;
    let got = dial(&patient(&server.base)).await;
    assert_eq!(got, DialOutcome::Accepted { sid: SID.to_owned(), queue_time_ms: 1_500 });
    let seen = &server.seen()[0];
    assert_eq!(seen.line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Calls.json"));
    assert!(seen.auth.starts_with("Basic "));
    let fields: Vec<(String, String)> = serde_urlencoded::from_str(&seen.body).expect("form");
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    };
    for (name, want) in [
        ("To", vec![TO]),
        ("From", vec![FROM]),
        ("Url", vec!["https://us.test/a?x=1&y=2#rc=2"]),
        ("FallbackUrl", vec!["https://us.test/f"]),
        ("StatusCallback", vec!["https://us.test/s"]),
        ("StatusCallbackEvent", vec!["ringing", "completed"]),
        ("Timeout", vec!["15"]),
        ("TimeLimit", vec!["900"]),
        ("MachineDetection", vec!["Enable"]),
        ("AsyncAmd", vec!["true"]),
        ("Record", vec![]),
    ] {
        assert_eq!(all(name), want, "{name}");
    }
}

#[tokio::test]
async fn a_request_that_never_left_is_not_sent() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let at = gone.local_addr().expect("address").to_string();
    drop(gone);
    let outcome = dial(&patient(&format!("http://{at}"))).await;
    assert!(matches!(&outcome, DialOutcome::NotSent(_)), "{outcome:?}");
    // A TLS handshake with someone who speaks no TLS.
    let (at, _) = raw(Some(b"nonsense")).await;
    let outcome = dial(&patient(&format!("https://{at}"))).await;
    assert!(matches!(&outcome, DialOutcome::NotSent(_)), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("4155550123"));
}

#[tokio::test]
async fn what_is_unclear_is_unknown_and_sent_once() {
    let cut: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"sid\":";
    for reply in [None, Some(cut)] {
        let (at, count) = raw(reply).await;
        let outcome = dial(&patient(&format!("http://{at}"))).await;
        assert!(matches!(&outcome, DialOutcome::Unknown(_)), "{outcome:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
    // Accepted, and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let at = silent.local_addr().expect("address").to_string();
    let outcome = dial(&client(&format!("http://{at}"), Duration::from_millis(300))).await;
    assert!(matches!(&outcome, DialOutcome::Unknown(_)), "{outcome:?}");
    for (status, body) in
        [(500, "{}"), (503, r#"{"code":20503}"#), (408, ""), (201, "<html>"), (201, r#"{"sid":""}"#)]
    {
        let server = Server::start(vec![answer(status, body)]).await;
        let outcome = dial(&patient(&server.base)).await;
        assert!(matches!(&outcome, DialOutcome::Unknown(_)), "{status} {body}: {outcome:?}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_stale_pooled_connection_sends_nothing_twice() {
    // The server answers once and closes: whether the client has seen that by its next request or not, each request
    // makes at most one connection, so that none can have gone out twice.
    let reply: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 13\r\n\r\n{\"sid\":\"CA1\"}";
    let (at, count) = raw(Some(reply)).await;
    let twilio = patient(&format!("http://{at}"));
    for n in 1..=5 {
        let outcome = dial(&twilio).await;
        assert!(matches!(outcome, DialOutcome::Accepted { .. } | DialOutcome::Unknown(_)), "{outcome:?}");
        assert!(count.load(Ordering::SeqCst) <= n);
    }
}

#[tokio::test]
async fn a_refusal_is_classified() {
    let limited = Response::builder()
        .status(429)
        .header("retry-after", "7")
        .body(Body::from(r#"{"code":20429,"message":"Too Many Requests"}"#))
        .expect("response");
    let moved =
        Response::builder().status(307).header("location", "/x").body(Body::empty()).expect("response");
    let after = Some(Duration::from_secs(7));
    for (reply, code, want) in [
        (limited, Some(20429), RefusalKind::RateLimited { after }),
        (answer(400, r#"{"code":10004}"#), Some(10004), RefusalKind::Concurrency),
        (answer(400, r#"{"code":21211}"#), Some(21211), RefusalKind::Final(FinalKind::InvalidNumber)),
        (answer(400, r#"{"code":21215}"#), Some(21215), RefusalKind::Final(FinalKind::CarrierBlocked)),
        (answer(401, r#"{"code":20003}"#), Some(20003), RefusalKind::Account),
        (answer(400, "<html>"), None, RefusalKind::Retryable),
        (moved, None, RefusalKind::Account),
    ] {
        let server = Server::start(vec![reply]).await;
        match dial(&patient(&server.base)).await {
            DialOutcome::Refused(refusal) => assert_eq!((refusal.code, refusal.kind), (code, want)),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_call_is_read() {
    let body = format!(
        r#"{{"sid":"{SID}","status":"completed","direction":"outbound-api","to":"{TO}","from":"{FROM}",
        "date_created":"Sat, 21 Nov 2026 10:00:00 +0000","start_time":"Sat, 21 Nov 2026 10:00:05 +0000","end_time":null,
        "duration":"61","answered_by":"machine_start","parent_call_sid":null,"more":1}}"#
    );
    let server = Server::start(vec![answer(200, &body), answer(404, r#"{"code":20404}"#)]).await;
    let twilio = patient(&server.base);
    let call = twilio.get(SID).await.expect("call");
    assert_eq!((call.status.clone(), call.duration_s), (CallStatus::Completed, Some(61)));
    assert_eq!((call.created_at, call.ended_at), (Some(1_795_255_200_000), None));
    assert_eq!(call.answered_by, Some(AnsweredBy::MachineStart));
    assert!(!format!("{call:?}").contains(TO));
    assert!(twilio.get(SID).await.expect_err("absent").is_absent());
    assert!(matches!(twilio.get("../../x").await, Err(CarrierError::Protocol(_))));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_look_up_reads_every_page_and_no_older_call() {
    let call = |n: u32, date: &str| {
        let date =
            if date.is_empty() { "null".to_owned() } else { format!("\"Sat, 21 Nov 2026 {date} +0000\"") };
        format!(r#"{{"sid":"CA{n}","status":"queued","date_created":{date}}}"#)
    };
    let page = |calls: &[String], next: &str| {
        answer(200, &format!(r#"{{"calls":[{}],"next_page_uri":{next}}}"#, calls.join(",")))
    };
    let next = format!("\"/2010-04-01/Accounts/{ACCOUNT}/Calls.json?Page=1&PageToken=PA1\"");
    let server = Server::start(vec![
        page(&[call(1, ""), call(2, "10:00:05"), call(3, "10:00:00")], &next),
        page(&[call(4, "10:00:00"), call(5, "09:59:59")], "null"),
        page(&[], "\"https://elsewhere.test/\""),
        page(&[call(6, "09:00:00")], &next),
    ])
    .await;
    let twilio = patient(&server.base);
    let since = 1_795_255_200_000;
    let sids = |calls: Vec<CallView>| calls.into_iter().map(|c| c.sid).collect::<Vec<_>>();
    assert_eq!(sids(twilio.find(&phone(), FROM, since).await.expect("calls")), ["CA1", "CA2", "CA3", "CA4"]);
    assert!(server.seen()[0].line.contains("/Calls.json?To=%2B14155550123&From=%2B12125550100&PageSize=50"));
    assert!(server.seen()[1].line.ends_with("PageToken=PA1"));
    assert!(matches!(twilio.find(&phone(), FROM, since).await, Err(CarrierError::Protocol(_))));
    // A whole page too old: the next is not asked for.
    assert!(twilio.find(&phone(), FROM, since).await.expect("calls").is_empty());
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn errors_hold_no_number_and_no_secret() {
    let twilio = patient("http://127.0.0.1:1");
    let error = twilio.find(&phone(), FROM, 0).await.expect_err("nobody there");
    let shown = format!("{error} {error:?} {twilio:?}");
    assert!(!shown.contains("4155550123") && !shown.contains("secret-token"), "{shown}");
    let server = Server::start(vec![answer(
        400,
        r#"{"code":21211,"message":"The 'To' number +14155550123 is not a valid phone number."}"#,
    )])
    .await;
    let shown = format!("{:?}", dial(&patient(&server.base)).await);
    assert!(!shown.contains("4155550123"), "{shown}");
}

#[tokio::test]
async fn ending_what_is_over_is_no_error() {
    let server = Server::start(vec![
        answer(200, "{}"),
        answer(404, r#"{"code":20404}"#),
        answer(400, r#"{"code":21220}"#),
        answer(400, r#"{"code":21220}"#),
        answer(500, ""),
    ])
    .await;
    let twilio = patient(&server.base);
    assert_eq!(twilio.complete(SID).await, Ok(HungUp::Done));
    assert_eq!(twilio.cancel(SID).await, Ok(HungUp::AlreadyOver));
    assert_eq!(twilio.redirect(SID, "https://us.test/m").await, Ok(HungUp::AlreadyOver));
    // Answered in the moment of being taken back: not over at all.
    assert_eq!(twilio.cancel(SID).await, Err(CarrierError::Refused { status: 400, code: Some(21220) }));
    assert_eq!(twilio.complete(SID).await, Err(CarrierError::Refused { status: 500, code: None }));
    let bodies: Vec<String> = server.seen().into_iter().map(|s| s.body).collect();
    assert_eq!(bodies[..2], ["Status=completed", "Status=canceled"]);
    assert_eq!(bodies[2], "Url=https%3A%2F%2Fus.test%2Fm&Method=POST");
}

#[tokio::test]
async fn recordings_start_stop_stream_and_go() {
    let elsewhere = Server::start(vec![answer(200, "RIFF-sound")]).await;
    let away = Response::builder()
        .status(302)
        .header("location", format!("{}/media.wav", elsewhere.base.replace("127.0.0.1", "localhost")))
        .body(Body::empty())
        .expect("response");
    let server = Server::start(vec![
        answer(201, r#"{"sid":"RE1","status":"in-progress"}"#),
        answer(200, "{}"),
        answer(404, ""),
        answer(200, "RIFF1234"),
        away,
        answer(204, ""),
        answer(404, r#"{"code":20404}"#),
    ])
    .await;
    let twilio = patient(&server.base);
    assert_eq!(twilio.start_recording(SID, "https://us.test/r").await.as_deref(), Ok("RE1"));
    assert_eq!(twilio.stop_recording(SID, "RE1").await, Ok(true));
    assert!(twilio.recording_media("RE1").await.expect_err("not yet").is_absent());
    for (length, want) in [(8, "RIFF1234"), (10, "RIFF-sound")] {
        let media = twilio.recording_media("RE1").await.expect("media");
        assert_eq!(media.content_length, Some(length));
        let parts: Vec<_> = media.stream.collect().await;
        let whole: Vec<u8> = parts.into_iter().flat_map(|p| p.expect("part").to_vec()).collect();
        assert_eq!(whole, want.as_bytes());
    }
    assert_eq!(elsewhere.seen()[0].auth, "", "our credentials stay with Twilio");
    assert_eq!(twilio.delete_recording("RE1").await, Ok(true));
    assert_eq!(twilio.delete_recording("RE1").await, Ok(false));
    let lines: Vec<String> = server.seen().into_iter().map(|s| s.line).collect();
    assert_eq!(lines[0], format!("POST /2010-04-01/Accounts/{ACCOUNT}/Calls/{SID}/Recordings.json"));
    assert_eq!(lines[3], format!("GET /2010-04-01/Accounts/{ACCOUNT}/Recordings/RE1.wav"));
    assert_eq!(lines[5], format!("DELETE /2010-04-01/Accounts/{ACCOUNT}/Recordings/RE1.json"));
}

#[tokio::test]
async fn health_is_the_accounts_status() {
    let server =
        Server::start(vec![answer(200, r#"{"status":"active"}"#), answer(401, r#"{"code":20003}"#)]).await;
    let twilio = patient(&server.base);
    assert_eq!(twilio.health().await.as_deref(), Ok("active"));
    assert_eq!(twilio.health().await, Err(CarrierError::Refused { status: 401, code: Some(20003) }));
    assert_eq!(server.seen()[0].line, format!("GET /2010-04-01/Accounts/{ACCOUNT}.json"));
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    for (sid, base) in
        [("", "https://api.twilio.com"), ("AC/..", "https://api.twilio.com"), (ACCOUNT, "api.twilio.com")]
    {
        let config = TwilioConfig {
            account_sid: sid.to_owned(),
            auth_token: SecretString::from("t"),
            base_url: base.to_owned(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        };
        assert!(Twilio::new(config).is_err(), "{sid} {base}");
    }
}
