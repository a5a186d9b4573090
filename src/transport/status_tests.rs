//! What a detected machine gets: over the routes that Twilio calls, on a real redis-server, with a carrier that notes what
//! it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::http::Request;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::*;
use crate::agents::Book;
use crate::base::clock::Clock;
use crate::base::telemetry::Metrics;
use crate::carrier::twilio::urls::Urls;
use crate::carrier::twilio::{Twilio, TwilioConfig, signature};
use crate::dialing::Effects;
use crate::domain::call::{Body, Phase};
use crate::domain::campaign::{self, AnswerRate, Campaign};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::ids::{CampaignId, Shard};
use crate::domain::phone::Phone;
use crate::domain::talk::Dialogue;
use crate::llm::stub::{Step, Stub};
use crate::store::testing::TestRedis;
use crate::store::{Account, Ask, Caller, Committed, Feedback};
use crate::transport::{TurnTiming, router};

const BASE: &str = "https://calls.example.com";

#[path = "copy_tests.rs"]
mod copies;

/// A form that the carrier was sent, field by field.
type Form = Vec<(String, String)>;

/// A transport whose carrier notes each form it is sent.
struct World {
    redis: TestRedis,
    transport: Transport,
    told: Arc<Mutex<Vec<Form>>>,
}

fn token() -> SecretString {
    SecretString::from("12345".to_owned())
}

impl World {
    async fn start() -> Self {
        Self::with(Vec::new()).await.0
    }

    /// With a model that follows a script.
    async fn with(script: Vec<Step>) -> (Self, Stub) {
        let (stub, model) = Stub::start(script).await;
        let redis = TestRedis::start().await;
        let store = redis.store(Clock::System).await;
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let noted = Arc::clone(&told);
        let carrier = Router::new().fallback(move |body: String| async move {
            let form: Form = serde_urlencoded::from_str(&body).unwrap();
            noted.lock().unwrap().push(form);
            axum::Json(json!({"sid": "CA1", "status": "in-progress"}))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, carrier).await });
        let twilio = Twilio::new(TwilioConfig {
            account_sid: "AC1".into(),
            auth_token: token(),
            base_url: format!("http://{at}"),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        })
        .unwrap();
        let urls = Urls::new(BASE).unwrap();
        let rules = Arc::new(Rules::default());
        let effects = Effects { store: store.clone(), twilio, urls: urls.clone(), rules: Arc::clone(&rules) };
        let transport = Transport {
            store,
            model,
            agents: Arc::new(Book::embedded().unwrap()),
            default_agent: "interview".into(),
            effects,
            rules,
            urls,
            auth_token: token(),
            account_sid: "AC1".into(),
            caller_id: "+14155550100".into(),
            transfer_to: None,
            openings: Arc::new(|_, _, at| Some(at)),
            timing: TurnTiming { hold: Duration::from_secs(30), ..TurnTiming::default() },
            metrics: Metrics::new(),
            clock: Clock::System,
            tasks: TaskTracker::new(),
        };
        (Self { redis, transport, told }, stub)
    }

    /// An answered call of a campaign with this policy; its greeting has been spoken.
    async fn answered(&self, voicemail: Option<Voicemail>) -> Call {
        let store = &self.transport.store;
        let now = Clock::System.now();
        let id = CampaignId::random();
        let campaign = Campaign { voicemail, ..Campaign::new(id.clone(), now) };
        store.put_campaign(&campaign).await.unwrap();
        let phone = Phone::parse("+14155552671", "US").unwrap();
        let (shard, hash) = (Shard::of(phone.e164()), store.hash(phone.e164()));
        let call = Call::new(CallId::new(shard), hash, Some(id), Body::new(phone, now));
        store.submit_one(&call, None, now).await.unwrap();
        let mut change = call.change();
        let leg = Leg { attempt: 1, sid: "CA1".into() };
        for event in
            [Event::DialStarted { caller: "+14155550199".into(), evidence: None }, Event::Answered(leg)]
        {
            change.apply(event, &self.transport.rules, now).unwrap();
        }
        change.call.body.dialogue = Dialogue { turn: 1, ..Dialogue::default() };
        match store.commit(change, None).await.unwrap() {
            Committed::Done(call, _) => *call,
            other => panic!("{other:?}"),
        }
    }

    async fn twilio_asks(&self, url: &str, more: &[(&str, &str)]) -> (u16, String) {
        asks(&self.transport, url, more).await
    }

    async fn detected(&self, call: &Call, kind: &str) -> Call {
        let url = self.transport.urls.amd(&call.id, 1);
        assert_eq!(self.twilio_asks(&url, &[("AnsweredBy", kind)]).await.0, 204);
        self.load(call).await
    }

    async fn load(&self, call: &Call) -> Call {
        self.transport.store.load(&call.id).await.unwrap().unwrap()
    }

    /// What the carrier was told about a field since the last look.
    fn told(&self, name: &str) -> Vec<String> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.into_iter().flatten().filter(|(k, _)| k == name).map(|(_, v)| v).collect()
    }
}

/// A signed request of Twilio's to a URL of ours; answers status and body.
async fn asks(transport: &Transport, url: &str, more: &[(&str, &str)]) -> (u16, String) {
    let url = url.split('#').next().unwrap();
    let mut form = vec![("AccountSid".to_owned(), "AC1".to_owned()), ("CallSid".into(), "CA1".into())];
    form.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let request = Request::post(url.strip_prefix(BASE).unwrap())
        .header("x-twilio-signature", signature::sign(&token(), url, &form))
        .body(HttpBody::from(serde_urlencoded::to_string(&form).unwrap()))
        .unwrap();
    let answer = router(transport.clone()).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_machine_is_hung_up_on_unless_its_campaign_says_otherwise() {
    let world = World::start().await;
    for voicemail in [None, Some(Voicemail::HangUp)] {
        let call = world.answered(voicemail).await;
        let call = world.detected(&call, "machine_start").await;
        assert_eq!(call.body.dialogue.ending.unwrap().disposition, Disposition::Voicemail);
        assert_eq!(world.told("Status"), ["completed"]);
    }
    let call = world.answered(Some(Voicemail::Continue)).await;
    let call = world.detected(&call, "machine_start").await;
    assert_eq!((call.phase(), call.body.dialogue.ending.clone()), (Phase::InProgress, None));
    assert!(world.told("Url").is_empty());
    // A fax is spoken to by nobody.
    let call = world.detected(&call, "fax").await;
    assert_eq!(call.body.dialogue.ending.unwrap().provider_code.as_deref(), Some("fax"));
    assert_eq!(world.told("Status"), ["completed"]);
}

#[tokio::test]
async fn pacing_hears_of_an_answer_where_a_campaign_wants_conversations() {
    let world = World::start().await;
    let store = &world.transport.store;
    for (answer_rate, heard) in [(Some(AnswerRate { conversations: 5 }), 1), (None, 0)] {
        let now = Clock::System.now();
        let mut list = Campaign::new(CampaignId::random(), now);
        list.state = campaign::State::Running;
        list.answer_rate = answer_rate;
        store.put_campaign(&list).await.unwrap();
        let phone = Phone::parse("+14155552671", "US").unwrap();
        let (shard, hash) = (Shard::of(phone.e164()), store.hash(phone.e164()));
        let call = Call::new(CallId::new(shard), hash, Some(list.id.clone()), Body::new(phone, now));
        store.submit_one(&call, None, now).await.unwrap();
        let ask = Ask {
            id: call.id.clone(),
            epoch: call.head.epoch,
            campaign: call.campaign.clone(),
            destination: "1415".into(),
            callers: vec![0],
        };
        let request = crate::store::Request {
            account: Account::default(),
            callers: &[Caller { key: "a".into(), max_cps: 0.0, max_concurrent: 0, max_daily: 0 }],
            asks: &[ask],
            waiting: &[],
            releases: &[],
            feedback: &Feedback::default(),
            most: 0,
        };
        assert!(store.permit(request).await.unwrap().grants[0].is_ok());
        let mut change = call.clone().change();
        let started = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
        change.apply(started, &world.transport.rules, now).unwrap();
        store.commit(change, None).await.unwrap();
        let counts = async || {
            let view = store.pacing(Some(&list.id)).await.unwrap();
            (view.campaigns[0].live, view.campaigns[0].answered)
        };
        let url = world.transport.urls.status(&call.id, 1);
        let status = async |word| assert_eq!(world.twilio_asks(&url, &[("CallStatus", word)]).await.0, 204);
        status("ringing").await;
        assert_eq!(counts().await, (1, 0));
        // Told twice, counted once.
        for _ in 0..2 {
            status("in-progress").await;
            assert_eq!(counts().await, (1, heard));
        }
        status("completed").await;
        assert_eq!(counts().await, (0, 0));
    }
}

#[tokio::test]
async fn a_message_is_left_after_the_beep() {
    let world = World::start().await;
    let call = world.answered(Some(Voicemail::Message)).await;
    let call = world.detected(&call, "machine_end_beep").await;
    let sent_to = world.told("Url");
    assert_eq!(sent_to, [world.transport.urls.machine(&call.id, 1, 1)]);

    let (status, twiml) = world.twilio_asks(&sent_to[0], &[]).await;
    assert_eq!(status, 200);
    assert!(twiml.contains("<Say") && twiml.ends_with("<Hangup/></Response>"), "{twiml}");
    let ended = world.load(&call).await;
    let ending = ended.body.dialogue.ending.unwrap();
    assert_eq!((ending.disposition, ending.reason.as_str()), (Disposition::Voicemail, "message_left"));
    // The callback again, and the request again: nothing new.
    world.detected(&call, "machine_end_beep").await;
    assert!(world.told("Url").is_empty());
    assert_eq!(world.twilio_asks(&sent_to[0], &[]).await.1, twiml);
}

#[tokio::test]
async fn a_request_that_is_not_signed_is_refused_on_every_route() {
    let world = World::start().await;
    let id = CallId::new(Shard(3));
    let urls = &world.transport.urls;
    for url in [urls.answer(&id, 1), urls.status(&id, 1), urls.amd(&id, 1), urls.recording(&id, 1)] {
        let path = url.split('#').next().unwrap().strip_prefix(BASE).unwrap().to_owned();
        let request = Request::post(path).body(HttpBody::from("CallSid=CA1")).unwrap();
        let answer = router(world.transport.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), 403, "{url}");
    }
    let (status, _) = world.twilio_asks(&urls.amd(&id, 1), &[("AnsweredBy", "human")]).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn nobody_who_talks_is_sent_to_a_machine_turn() {
    let world = World::start().await;
    let call = world.answered(Some(Voicemail::Message)).await;
    let waits = |kind: &str, change: &dyn Fn(&mut Call)| {
        let mut call = call.clone();
        call.state = State::InProgress { sid: "CA1".into(), answered_by: Some(kind.to_owned()) };
        change(&mut call);
        leaves_message(&call, "CA1", Voicemail::Message)
    };
    assert!(waits("machine_end_other", &|_| ()));
    assert!(!waits("human", &|_| ()) && !waits("machine_start", &|_| ()) && !waits("fax", &|_| ()));
    assert!(!waits("machine_end_beep", &|c| c.body.dialogue.consent = Some(true)));
    assert!(!waits("machine_end_beep", &|c| c.body.cancel_requested = true));
    let over = Ending::new(Disposition::Completed, "done");
    assert!(!waits("machine_end_beep", &|c| c.body.dialogue.ending = Some(over.clone())));
    assert!(!leaves_message(&call, "CA1", Voicemail::Message), "nothing was detected yet");
}
