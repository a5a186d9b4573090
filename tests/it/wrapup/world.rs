//! What a wrap-up stands on: a Redis, an S3 with a fault switch, a carrier with recordings, a model with an answer, and an
//! agent that notes whatever it is given.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use carillon::archive::{Archive, ArchiveConfig, Credentials};
use carillon::base::clock::Clock;
use carillon::base::telemetry::Metrics;
use carillon::carrier::twilio::{Twilio, TwilioConfig};
use carillon::domain::agent::{Agent, Definition, Limits, Lines, ModelSettings, Observation, Outcome};
use carillon::domain::call::{Body, Call, Event, HangUpCause, Leg, Rules};
use carillon::domain::draft::Draft;
use carillon::domain::ids::{CallId, Shard};
use carillon::domain::phone::Phone;
use carillon::domain::talk::{Act, Dialogue, Heard, Line, Note, Speaker, Turn};
use carillon::llm::{Flavor, Model, ModelConfig};
use carillon::store::{Applied, RedisConfig, Store};
use carillon::wrapup::WrapUp;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use secrecy::{SecretBox, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::RedisServer;

/// The sound of every recording.
pub(super) const SOUND: &[u8] = b"RIFF and so on";

/// The carrier's recordings by sid, and the requests that came.
#[derive(Clone, Default)]
pub(super) struct Carrier {
    pub(super) recordings: Arc<Mutex<HashMap<String, &'static [u8]>>>,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

/// The model: its status, and the requests that came.
#[derive(Clone)]
pub(super) struct Brain {
    pub(super) status: Arc<AtomicU16>,
    pub(super) asked: Arc<Mutex<Vec<Value>>>,
}

pub(super) struct World {
    _redis: RedisServer,
    root: tempfile::TempDir,
    /// Answers every S3 request with this status; 0: as S3 does.
    pub(super) s3_fault: Arc<AtomicU16>,
    pub(super) carrier: Carrier,
    pub(super) brain: Brain,
    pub(super) store: Store,
    pub(super) archive: Archive,
    pub(super) metrics: Metrics,
    pub(super) wrapup: WrapUp,
    /// Effects that were handed on.
    pub(super) performed: Arc<AtomicUsize>,
}

impl World {
    pub(super) async fn start() -> Self {
        let redis = RedisServer::start().await;
        let config = RedisConfig {
            url: redis.url(),
            phone_hash_key: Arc::new(SecretBox::new(Box::new(b"a key of the tests".to_vec()))),
            default_webhook_url: Some("https://hooks.example.com/".into()),
            frequency_cap: 3,
            wait_replicas: 0,
            allow_eviction: false,
        };
        let store = Store::connect(config, Clock::System).await.expect("Redis");
        let metrics = Metrics::new();
        let (root, s3_fault, archive) = s3(&metrics).await;
        let (carrier, twilio) = carrier().await;
        let (brain, model) = brain().await;
        let agent = Arc::new(agent());
        let performed = Arc::new(AtomicUsize::new(0));
        let count = performed.clone();
        let wrapup = WrapUp {
            store: store.clone(),
            archive: archive.clone(),
            twilio,
            model,
            agents: Arc::new(move |name| (name == Some("noter")).then(|| agent.clone())),
            perform: Arc::new(move |_, effects| {
                count.fetch_add(effects.len(), Ordering::SeqCst);
                Box::pin(async {})
            }),
            rules: Arc::new(Rules::default()),
            extract_timeout: Duration::from_secs(5),
            metrics: metrics.clone(),
            clock: Clock::System,
        };
        Self { _redis: redis, root, s3_fault, carrier, brain, store, archive, metrics, wrapup, performed }
    }

    /// A call that was dialed and whose phone rings.
    pub(super) async fn ringing(&self) -> (Call, Leg) {
        let phone = Phone::parse("+14155552671", "US").expect("a number");
        let now = Clock::System.now();
        let mut body = Body::new(phone.clone(), now);
        body.agent = Some("noter".into());
        let call = Call::new(CallId::new(Shard::of(phone.e164())), self.store.hash(phone.e164()), None, body);
        self.store.submit_one(&call, None, now).await.expect("submitted");
        let leg = Leg { attempt: 1, sid: "CA01".into() };
        let evidence = Some(json!({"window": "open"}));
        let call = self.apply(call, Event::DialStarted { caller: "+14155550199".into(), evidence }).await;
        (self.apply(call, Event::Rang(leg.clone())).await, leg)
    }

    /// A call in wrap-up whose callee said `said`, one a turn; consent as given in the first of them.
    pub(super) async fn talked(&self, consent: Option<bool>, said: &[&str], recorded: bool) -> Call {
        let (call, leg) = self.ringing().await;
        let mut call = self.apply(call, Event::Answered(leg.clone())).await;
        if recorded {
            call = self.apply(call, Event::RecordingReady { recording: "RE01".into() }).await;
        }
        for n in 0..=said.len() {
            call = self.apply(call, Event::TurnTaken(leg.clone(), Box::new(turn(n, said, consent)))).await;
        }
        self.hang_up(call, leg, HangUpCause::Completed).await
    }

    pub(super) async fn hang_up(&self, call: Call, leg: Leg, cause: HangUpCause) -> Call {
        self.apply(call, Event::HungUp { leg, cause, code: None, duration_s: Some(61) }).await
    }

    pub(super) async fn apply(&self, call: Call, event: Event) -> Call {
        match self.store.apply(call, event, &Rules::default()).await.expect("Redis answers") {
            Applied::Done(call, _) => *call,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn load(&self, id: &CallId) -> Call {
        self.store.load(id).await.expect("Redis answers").expect("the call")
    }

    /// An object as it stands in S3.
    pub(super) fn object(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.path().join("bucket").join(key)).ok()
    }

    /// Where an object lies on the disk.
    pub(super) fn path(&self, key: &str) -> std::path::PathBuf {
        self.root.path().join("bucket").join(key)
    }

    pub(super) fn document(&self, call: &Call, kind: &str) -> Option<Value> {
        let key = &call.body.artefacts.iter().find(|a| a.kind == kind)?.key;
        Some(serde_json::from_slice(&self.object(key).expect("what is named exists")).expect("JSON"))
    }

    /// The types of the call's events, in order.
    pub(super) async fn notices(&self, call: &CallId) -> Vec<Value> {
        let mut found = Vec::new();
        loop {
            let (entries, _) = self.store.outbox_claim(call.shard(), 60_000, 10, 10).await.expect("claimed");
            if entries.is_empty() {
                return found;
            }
            for entry in entries {
                found.push(serde_json::from_str(&entry.body).expect("JSON"));
                self.store.outbox_settle(&entry, carillon::store::Settle::Delivered).await.expect("settled");
            }
        }
    }
}

fn turn(n: usize, said: &[&str], consent: Option<bool>) -> Turn {
    let number = u32::try_from(n).expect("few turns");
    let line = |speaker, text: &str| Line {
        turn: number,
        attempt: 1,
        speaker,
        text: text.into(),
        at: Clock::System.now(),
        confidence: None,
    };
    let mut lines = Vec::new();
    if n > 0 {
        lines.push(line(Speaker::Callee, said[n - 1]));
    }
    lines.push(line(Speaker::Agent, "And then?"));
    let known = consent.filter(|_| n > 0);
    Turn {
        n: number,
        heard: Heard::Started,
        acts: vec![Act::Ask { timeout_s: 5 }],
        notes: consent.filter(|_| n == 1).map(|given| Note::Consent { given }).into_iter().collect(),
        lines,
        dialogue: Dialogue {
            turn: number + 1,
            consent: known,
            consent_turn: known.map(|_| 1),
            draft: Draft::of(&json!({"noted": "by a tool"})),
            ..Dialogue::default()
        },
    }
}

fn agent() -> Agent {
    let line = || String::from("Well.");
    let lines = Lines {
        greeting: line(),
        bridges: vec![line()],
        silence: vec![line()],
        misheard: vec![line()],
        failure: line(),
        refused: line(),
        consent_again: line(),
        opted_out: line(),
        silent_goodbye: line(),
        limit_goodbye: line(),
        transfer: line(),
        no_transfer: line(),
        voicemail: line(),
    };
    let definition = Definition {
        name: "noter".into(),
        version: "3".into(),
        description: "Notes what is said.".into(),
        voice: "v".into(),
        language: "en-US".into(),
        lines,
        limits: Limits { max_turns: 9, max_seconds: 99, max_silences: 2, silence_s: 5 },
        model: ModelSettings { temperature: 0.0, max_tokens: 9 },
        tools: Vec::new(),
        outcome_event: "note_completed".into(),
        outcome_folder: "notes".into(),
        outcome_file: "note.json".into(),
        hints: Vec::new(),
        needs_consent: true,
    };
    Agent {
        definition,
        prompt: String::new(),
        schema: json!({"type": "object"}),
        tools: Vec::new(),
        state: |_| Value::Null,
        observe: |_, _| Observation::default(),
        // Careless about consent on purpose: the engine has the last word.
        conclude: |c| Outcome {
            document: (!c.lines.is_empty()).then(|| json!({"notes": c.draft, "extraction": c.extraction})),
            document_field: "note",
            adversarial_score: Some(4.0),
            employment_gaps: Some(json!([{"months": 7}])),
        },
    }
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn carrier() -> (Carrier, Twilio) {
    async fn answer(State(carrier): State<Carrier>, method: Method, Path(file): Path<String>) -> Response {
        let sid = file.split('.').next().unwrap_or_default().to_owned();
        carrier.requests.lock().expect("lock").push(format!("{method} {file}"));
        let mut all = carrier.recordings.lock().expect("lock");
        let found = if method == Method::DELETE { all.remove(&sid) } else { all.get(&sid).copied() };
        match found {
            Some(_) if method == Method::DELETE => StatusCode::NO_CONTENT.into_response(),
            Some(sound) => sound.into_response(),
            None => (StatusCode::NOT_FOUND, r#"{"code":20404,"status":404}"#).into_response(),
        }
    }
    let carrier = Carrier::default();
    carrier.recordings.lock().expect("lock").insert("RE01".into(), SOUND);
    let route = "/2010-04-01/Accounts/AC01/Recordings/{file}";
    let base_url = serve(Router::new().route(route, any(answer)).with_state(carrier.clone())).await;
    let twilio = Twilio::new(TwilioConfig {
        account_sid: "AC01".into(),
        auth_token: SecretString::from("token"),
        base_url,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
    });
    (carrier, twilio.expect("a client"))
}

async fn brain() -> (Brain, Model) {
    async fn answer(State(brain): State<Brain>, body: axum::Json<Value>) -> Response {
        brain.asked.lock().expect("lock").push(body.0);
        let status = StatusCode::from_u16(brain.status.load(Ordering::SeqCst)).expect("a status");
        let content = json!({"extracted": true}).to_string();
        let choice = json!({"index": 0, "finish_reason": "stop", "message": {"content": content}});
        (status, axum::Json(json!({"choices": [choice]}))).into_response()
    }
    let brain = Brain { status: Arc::new(AtomicU16::new(200)), asked: Arc::default() };
    let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(brain.clone());
    let model = Model::new(ModelConfig {
        flavor: Flavor::OpenAi,
        base_url: serve(app).await,
        api_key: SecretString::from("sk-test"),
        model: "m".into(),
        api_version: String::new(),
        connect_timeout: Duration::from_secs(1),
        first_token_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(4),
    });
    (brain, model.expect("a model"))
}

async fn s3(metrics: &Metrics) -> (tempfile::TempDir, Arc<AtomicU16>, Archive) {
    let root = tempfile::tempdir().expect("a directory");
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a file system"));
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let fault = Arc::new(AtomicU16::new(0));
    tokio::spawn(serve_s3(listener, builder.build(), fault.clone()));
    let config = ArchiveConfig {
        endpoint_url: Some(url),
        credentials: Some(Credentials {
            access_key: "key".into(),
            secret_key: "secret".into(),
            session_token: None,
        }),
        ..ArchiveConfig::new("bucket", "us-east-1")
    };
    let archive = Archive::connect(config, metrics.clone()).await;
    archive.ensure_bucket().await.expect("a bucket");
    (root, fault, archive)
}

async fn serve_s3(listener: TcpListener, s3: S3Service, fault: Arc<AtomicU16>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (s3, fault) = (s3.clone(), fault.clone());
        let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (s3, fault) = (s3.clone(), fault.load(Ordering::SeqCst));
            async move {
                if fault > 0 {
                    let mut answer = http::Response::new(s3s::Body::empty());
                    *answer.status_mut() = http::StatusCode::from_u16(fault).unwrap_or_default();
                    return Ok(answer);
                }
                hyper::service::Service::call(&s3, request).await
            }
        });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        tokio::spawn(async move {
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

/// Counters by name, for a look at what was counted.
pub(super) fn by_kind(notices: &[Value]) -> BTreeMap<String, Value> {
    notices.iter().map(|n| (n["event_type"].as_str().unwrap_or_default().to_owned(), n.clone())).collect()
}
