//! Callbacks and turns that this node begins from its copy of a record while another node writes to it.

use tokio::sync::Notify;

use super::*;

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
    let other = world.redis.store(Clock::System).await;
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
    let other = world.redis.store(Clock::System).await;
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

/// A call whose callee has agreed to talk and whose second turn this node will begin from its copy; the model follows a
/// script. No renewal tells Redis of the turn by itself.
async fn agreed(script: Vec<Step>, hold: Duration) -> (World, Stub, Call, String) {
    let (mut world, stub) = World::with(script).await;
    world.transport.timing.lease = 3_600_000;
    let mut agreed = world.answered(None).await.change();
    agreed.call.body.dialogue.consent = Some(true);
    let Ok(Committed::Done(call, _)) = world.transport.store.commit(agreed, None).await else { panic!() };
    let silence = world.twilio_asks(&world.transport.urls.turn(&call.id, 1, 1), &[]).await.1;
    assert!(silence.contains("<Gather"), "{silence}");
    let url = world.transport.urls.turn(&call.id, 1, 2);
    world.transport.timing.hold = hold;
    (world, stub, *call, url)
}

const SAID: [(&str, &str); 2] = [("SpeechResult", "You again, about my taxes?"), ("Confidence", "0.95")];

#[tokio::test]
async fn who_wants_no_more_calls_is_heard_though_the_copy_is_old() {
    let (asked, go): (Arc<Notify>, Arc<Notify>) = Default::default();
    let wish = Step::Call("", vec![("c1", "opt_out", json!({"words": "not me again"}))]);
    let held = Step::Held(Arc::clone(&asked), Arc::clone(&go), Box::new(wish));
    let (world, _, call, url) = agreed(vec![held], Duration::from_secs(30)).await;
    let (_, waits) = tokio::join!(world.twilio_asks(&url, &SAID), async {
        asked.notified().await;
        // Another node is told that the leg is over, and the person is to be tried again.
        let other = world.redis.store(Clock::System).await;
        let mut now = world.load(&call).await;
        now.state = State::Ringing { sid: "CA1".into() };
        let leg = Leg { attempt: 1, sid: "CA1".into() };
        let missed = Event::HungUp { leg, cause: HangUpCause::NoAnswer, code: None, duration_s: None };
        let waits = elsewhere(&other, now, vec![missed]).await;
        go.notify_one();
        waits
    });
    assert_eq!((waits.phase(), waits.body.attempt), (Phase::Queued, 2));
    let now = world.load(&call).await;
    assert!(now.body.opted_out && now.phase() == Phase::Ended, "the wish counts whatever came in between");
}

#[tokio::test]
async fn what_was_heard_is_known_to_the_request_after_a_bridge_line() {
    let (asked, go): (Arc<Notify>, Arc<Notify>) = Default::default();
    let held = Step::Held(Arc::clone(&asked), Arc::clone(&go), Box::new(Step::Say("Too late.")));
    let script = vec![held, Step::Say("About your work it is.")];
    let (world, stub, call, url) = agreed(script, Duration::from_millis(50)).await;
    // It takes longer than Twilio is kept waiting: Twilio asks again, and does not say again what it heard.
    let answer = world.twilio_asks(&url, &SAID).await.1;
    asked.notified().await;
    assert!(answer.contains("bridge=1"), "{answer}");
    let mut patient = world.transport.clone();
    patient.timing.hold = Duration::from_secs(30);
    let answer = asks(&patient, &patient.urls.bridge(&call.id, 1, 2, 1), &[]).await.1;
    assert!(answer.contains("About your work"), "{answer}");
    let heard = |i: usize| stub.messages(i).last().unwrap()["content"].as_str().unwrap().to_owned();
    assert!(heard(0).contains("about my taxes") && heard(1) == heard(0), "{} / {}", heard(0), heard(1));
    // The first one's answer is nobody's any more.
    go.notify_one();
    world.transport.tasks.close();
    world.transport.tasks.wait().await;
    let said = world.transport.store.transcript(&call.id).await.unwrap();
    assert!(said.iter().all(|line| line.text != "Too late."), "{said:?}");
}
