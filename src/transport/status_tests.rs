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
use crate::llm::stub::Stub;
use crate::store::testing::TestRedis;
use crate::store::{Account, Ask, Caller, Committed, Feedback};
use crate::transport::{TurnTiming, router};

const BASE: &str = "https://calls.example.com";

/// A form that the carrier was sent, field by field.
type Form = Vec<(String, String)>;

/// A transport whose carrier notes each form it is sent.
struct World {
    _redis: TestRedis,
    transport: Transport,
    told: Arc<Mutex<Vec<Form>>>,
}

fn token() -> SecretString {
    SecretString::from("12345".to_owned())
}

impl World {
    async fn start() -> Self {
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
            model: Stub::start(vec![]).await.1,
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
        Self { _redis: redis, transport, told }
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

    /// A signed request of Twilio's to a URL of ours; answers status and body.
    async fn twilio_asks(&self, url: &str, more: &[(&str, &str)]) -> (u16, String) {
        let url = url.split('#').next().unwrap();
        let mut form = vec![("AccountSid".to_owned(), "AC1".to_owned()), ("CallSid".into(), "CA1".into())];
        form.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let request = Request::post(url.strip_prefix(BASE).unwrap())
            .header("x-twilio-signature", signature::sign(&token(), url, &form))
            .body(HttpBody::from(serde_urlencoded::to_string(&form).unwrap()))
            .unwrap();
        let answer = router(self.transport.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
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

/// Another node's write.
async fn elsewhere(store: &crate::store::Store, call: Call, events: Vec<Event>) -> Call {
    let mut change = call.change();
    for event in events {
        change.apply(event, &Rules::default(), Clock::System.now()).unwrap();
    }
    match store.commit(change, None).await.unwrap() {
        Committed::Done(call, _) => *call,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_another_node_wrote_counts_though_this_one_has_a_copy() {
    let world = World::start().await;
    let other = world._redis.store(Clock::System).await;
    let call = world.answered(Some(Voicemail::Continue)).await;
    let says = async |attempt, status: &str| {
        let url = world.transport.urls.status(&call.id, attempt);
        world.twilio_asks(&url, &[("CallStatus", status)]).await.0
    };
    assert_eq!(says(1, "ringing").await, 204);
    let copy = world.transport.store.recent(&call.id).expect("read a moment ago");
    assert_eq!(copy, world.load(&call).await);

    // It moved on within its attempt: the copy is refused and the record written to.
    let leg = Leg { attempt: 1, sid: "CA1".into() };
    elsewhere(&other, copy, vec![Event::RecordingStarted { recording: "RE1".into() }]).await;
    let now = world.detected(&call, "human").await;
    assert!(now.body.recording.is_some());
    assert!(matches!(&now.state, State::InProgress { answered_by: Some(kind), .. } if kind == "human"));
    assert_eq!(world.transport.store.recent(&call.id), Some(now.clone()));

    // Another attempt was begun: by the copy its callbacks are stale, and it is no proof.
    let missed = Event::HungUp { leg, cause: HangUpCause::NoAnswer, code: None, duration_s: None };
    let mut again = now;
    again.state = State::Ringing { sid: "CA1".into() };
    let waits = elsewhere(&other, again, vec![missed]).await;
    assert_eq!((waits.phase(), waits.body.attempt), (Phase::Queued, 2));
    let dial = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
    let leg = Leg { attempt: 2, sid: "CA1".into() };
    elsewhere(&other, waits, vec![dial, Event::Accepted(leg)]).await;
    assert_eq!(says(2, "ringing").await, 204);
    assert_eq!(world.load(&call).await.phase(), Phase::Ringing);

    // It ended and was erased elsewhere: what comes late finds nobody, and writes nobody.
    let over = Event::HungUp {
        leg: Leg { attempt: 2, sid: "CA1".into() },
        cause: HangUpCause::Completed,
        code: None,
        duration_s: Some(1),
    };
    let concluded = Event::Concluded {
        artefacts: Vec::new(),
        outcome: None,
        adversarial_score: None,
        employment_gaps: None,
    };
    let mut ended = elsewhere(&other, world.load(&call).await, vec![over, concluded]).await;
    ended.head.due = 0;
    assert!(other.erase_ended(&ended, &[]).await.unwrap());
    assert!(world.transport.store.recent(&call.id).is_some(), "this node was not told");
    assert_eq!(says(2, "in-progress").await, 404);
    assert_eq!(world.transport.store.load(&call.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_turn_is_taken_on_what_stands_though_this_node_has_a_copy() {
    let world = World::start().await;
    let other = world._redis.store(Clock::System).await;
    let call = world.answered(Some(Voicemail::Message)).await;
    // Nothing is heard: the agent asks whether somebody is there.
    let silence = async |n| world.twilio_asks(&world.transport.urls.turn(&call.id, 1, n), &[]).await.1;
    let first = silence(1).await;
    assert!(first.contains("<Gather"), "{first}");
    let second = silence(2).await;
    assert!(second.contains("<Gather") && second != first, "{second}");
    assert_eq!(world.load(&call).await.body.dialogue.turn, 3);
    assert_eq!(
        world.transport.store.transcript(&call.id).await.unwrap().len(),
        4,
        "silence and words, twice"
    );
    assert_eq!(silence(2).await, second, "asked again it is answered again");

    // A recording that began meanwhile changes nothing of the talk.
    let now = world.load(&call).await;
    elsewhere(&other, now, vec![Event::RecordingStarted { recording: "RE1".into() }]).await;
    let url = world.transport.urls.turn(&call.id, 1, 3);
    let low = [("SpeechResult", "mumble"), ("Confidence", "0.1")];
    assert!(world.twilio_asks(&url, &low).await.1.contains("<Gather"));
    let now = world.load(&call).await;
    assert_eq!((now.body.dialogue.turn, now.body.recording.is_some()), (4, true));

    // That it is a machine was told to another node: it gets its message.
    let leg = Leg { attempt: 1, sid: "CA1".into() };
    elsewhere(&other, now, vec![Event::AnsweredBy(leg, "machine_end_beep".into())]).await;
    let last = silence(4).await;
    assert!(last.ends_with("<Hangup/></Response>"), "{last}");
    let ending = world.load(&call).await.body.dialogue.ending.expect("it ended");
    assert_eq!(ending.reason, "message_left");
}

#[tokio::test]
async fn who_wants_no_more_calls_is_heard_though_the_copy_is_old() {
    let world = World::start().await;
    let other = world._redis.store(Clock::System).await;
    let call = world.answered(Some(Voicemail::Message)).await;
    let says = async |n, words: &str| {
        let said = [("SpeechResult", words), ("Confidence", "0.95")];
        world.twilio_asks(&world.transport.urls.turn(&call.id, 1, n), &said).await.1
    };
    let silence = world.twilio_asks(&world.transport.urls.turn(&call.id, 1, 1), &[]).await.1;
    assert!(silence.contains("<Gather"), "{silence}");
    // Another node is told that it is a machine, and that the leg is over.
    let now = world.load(&call).await;
    let leg = Leg { attempt: 1, sid: "CA1".into() };
    let over =
        Event::HungUp { leg: leg.clone(), cause: HangUpCause::Completed, code: None, duration_s: Some(9) };
    elsewhere(&other, now, vec![Event::AnsweredBy(leg, "machine_end_beep".into()), over]).await;
    says(2, "please never call me again").await;
    assert!(world.load(&call).await.body.opted_out, "the wish counts whatever came in between");
}
