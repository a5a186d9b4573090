//! Wrap-up on a real Redis, S3 in this process, and a carrier and a model on loopback.

mod chain;
mod world;

use std::sync::atomic::Ordering;

use carillon::domain::call::{Event, HangUpCause, Phase, RecordingStatus};
use carillon::domain::disposition::Disposition;
use carillon::wrapup::archived_status;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use world::{SOUND, World, by_kind};

#[tokio::test]
async fn a_talk_becomes_transcript_outcome_audit_status_and_notices() {
    let world = World::start().await;
    let call = world.talked(Some(true), &["Yes.", "I was a baker."], false).await;
    world.wrapup.step(call.clone()).await.expect("Redis answers");

    let ended = world.load(&call.id).await;
    assert_eq!((ended.phase(), ended.head.due, ended.body.setbacks), (Phase::Ended, 0, 0));
    let kinds: Vec<&str> = ended.body.artefacts.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["transcript", "outcome", "audit"]);
    let transcript = world.document(&ended, "transcript").expect("a transcript");
    assert_eq!(transcript["lines"].as_array().map(Vec::len), Some(5));
    assert_eq!(transcript["lines"][3]["text"], "I was a baker.");
    assert_eq!((&transcript["agent"], &transcript["agent_version"]), (&json!("noter"), &json!("3")));
    let note = json!({"notes": {"noted": "by a tool"}, "extraction": {"extracted": true}});
    assert_eq!(world.document(&ended, "outcome"), Some(note.clone()));
    assert!(ended.body.artefacts[1].key.starts_with("calls/notes/"));
    assert!(ended.body.artefacts[1].key.ends_with(&format!("/{}/note.json", call.id)));

    let audit = world.document(&ended, "audit").expect("an audit record");
    for (object, artefact) in audit["objects"].as_array().expect("objects").iter().zip(&ended.body.artefacts)
    {
        assert_eq!(object["key"], artefact.key);
        let bytes = world.object(&artefact.key).expect("it exists");
        assert_eq!(object["sha256"], hex::encode(Sha256::digest(&bytes)));
    }
    assert_eq!(audit["attempts"][0]["evidence"], json!({"window": "open"}));
    assert_eq!(audit["consent"], json!({"given": true, "turn": 1}));
    assert_eq!(audit["extraction"]["result"], "ok");
    for document in [&audit, &transcript] {
        assert!(!document.to_string().contains("4155552671"), "no number");
        assert_eq!(document["phone_hash"], json!(call.phone_hash));
    }

    let status = archived_status(&world.archive, &call.id).await.expect("S3 answers").expect("a status");
    assert_eq!((&status["status"], &status["disposition"]), (&json!("ended"), &json!("completed")));
    assert_eq!(status["artefacts"], json!(ended.body.artefacts));

    let notices = world.notices(&call.id).await;
    assert_eq!(notices[0]["event_type"], "note_completed");
    assert_eq!(notices[0]["note"], note);
    assert_eq!(notices[1]["event_type"], "call_completed");
    assert_eq!(notices.len(), 2);

    let asked = world.brain.asked.lock().expect("lock")[0].clone();
    assert_eq!(asked["response_format"]["json_schema"]["name"], "noter_extraction");
    assert_eq!(asked["messages"][1]["role"], "user");
    let told = asked["messages"][1]["content"].as_str().unwrap_or_default();
    assert!(told.contains("[2] callee: I was a baker.\n"), "{told}");
    assert_eq!(world.metrics.calls_completed.with_label_values(&["completed", "medium"]).get(), 1);
    assert_eq!(world.metrics.call_duration.get_sample_count(), 1);

    // A second node with an old copy changes nothing.
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    assert_eq!(world.load(&call.id).await, ended);
    assert!(world.notices(&call.id).await.is_empty());
}

#[tokio::test]
async fn while_s3_is_away_the_call_stays_and_nothing_is_named() {
    let world = World::start().await;
    let call = world.talked(Some(true), &["Yes."], false).await;
    world.s3_fault.store(503, Ordering::SeqCst);
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    let waiting = world.load(&call.id).await;
    assert_eq!((waiting.phase(), waiting.body.setbacks), (Phase::WrapUp, 1));
    assert!(waiting.head.due > call.head.due && waiting.body.artefacts.is_empty());
    assert!(world.brain.asked.lock().expect("lock").is_empty(), "the model is not paid for nothing");
    // A bucket that is missing is an operator's mistake, and loses no call either.
    world.s3_fault.store(403, Ordering::SeqCst);
    world.wrapup.step(waiting).await.expect("Redis answers");
    let waiting = world.load(&call.id).await;
    assert_eq!((waiting.phase(), waiting.body.setbacks), (Phase::WrapUp, 2));

    world.s3_fault.store(0, Ordering::SeqCst);
    world.wrapup.step(waiting).await.expect("Redis answers");
    let ended = world.load(&call.id).await;
    assert_eq!((ended.phase(), ended.body.artefacts.len(), ended.body.setbacks), (Phase::Ended, 3, 0));
    assert_eq!(world.notices(&call.id).await.len(), 2);
}

#[tokio::test]
async fn of_a_refused_talk_only_the_refusal_is_kept() {
    let world = World::start().await;
    let call = world.talked(Some(false), &["No, I don't want that.", "I was a baker."], true).await;
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    let ended = world.load(&call.id).await;
    assert_eq!(ended.phase(), Phase::Ended);
    let kinds: Vec<&str> = ended.body.artefacts.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["transcript", "audit"]);
    let kept = world.store.transcript(&call.id).await.expect("lines");
    assert!(kept.iter().all(|line| line.turn == 1) && kept.len() == 2, "{kept:?}");
    let transcript = world.document(&ended, "transcript").expect("a transcript").to_string();
    assert!(transcript.contains("I don't want that") && !transcript.contains("baker"));
    assert!(ended.body.employment_gaps.is_none());
    assert!(world.brain.asked.lock().expect("lock").is_empty(), "nothing is extracted");
    assert!(!by_kind(&world.notices(&call.id).await).contains_key("note_completed"));

    // Gone at the carrier already; the record learns it when it comes due.
    assert!(world.carrier.recordings.lock().expect("lock").is_empty());
    assert!(ended.head.due > 0);
    world.wrapup.step(ended).await.expect("Redis answers");
    let settled = world.load(&call.id).await;
    assert_eq!(settled.body.recording.map(|r| r.status), Some(RecordingStatus::Deleted));
    assert_eq!(settled.head.due, 0);
    assert!(!world.carrier.requests.lock().expect("lock").iter().any(|r| r.starts_with("GET")));
}

#[tokio::test]
async fn a_model_that_fails_delays_a_call_and_never_loses_it() {
    let world = World::start().await;
    let call = world.talked(Some(true), &["Yes."], false).await;
    world.brain.status.store(500, Ordering::SeqCst);
    for setbacks in 1..=3 {
        world.wrapup.step(world.load(&call.id).await).await.expect("Redis answers");
        let waiting = world.load(&call.id).await;
        assert_eq!((waiting.phase(), waiting.body.setbacks), (Phase::WrapUp, setbacks));
    }
    world.wrapup.step(world.load(&call.id).await).await.expect("Redis answers");
    let ended = world.load(&call.id).await;
    assert_eq!(ended.phase(), Phase::Ended);
    let note = json!({"notes": {"noted": "by a tool"}, "extraction": null});
    assert_eq!(world.document(&ended, "outcome"), Some(note));
    let audit = world.document(&ended, "audit").expect("an audit record");
    assert_eq!(audit["extraction"], json!({"result": "failed", "reason": "server"}));

    // What asking again would not change is not asked again.
    let world = World::start().await;
    let call = world.talked(Some(true), &["Yes."], false).await;
    world.brain.status.store(401, Ordering::SeqCst);
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    assert_eq!(world.load(&call.id).await.phase(), Phase::Ended);
}

#[tokio::test]
async fn a_call_that_nobody_answered_leaves_an_audit_record_alone() {
    let world = World::start().await;
    let (call, leg) = world.ringing().await;
    let call = world.apply(call, Event::Cancel).await;
    let call = world.hang_up(call, leg, HangUpCause::Canceled).await;
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    let ended = world.load(&call.id).await;
    assert_eq!(ended.ending().map(|e| e.disposition), Some(Disposition::Canceled));
    let kinds: Vec<&str> = ended.body.artefacts.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["audit"]);
    assert!(by_kind(&world.notices(&call.id).await).contains_key("call_failed"));
    assert_eq!(world.performed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_written_meanwhile_reaches_the_objects() {
    let world = World::start().await;
    let read = world.talked(Some(true), &["Yes."], false).await;
    // The node that wraps up read the call before this came.
    world.apply(read.clone(), Event::OptedOut { words: "never again".into() }).await;
    world.wrapup.step(read.clone()).await.expect("Redis answers");
    let ended = world.load(&read.id).await;
    assert_eq!(ended.ending().map(|e| e.disposition), Some(Disposition::OptedOut));
    let audit = world.document(&ended, "audit").expect("an audit record");
    assert_eq!((&audit["opted_out"], &audit["ending"]["disposition"]), (&json!(true), &json!("opted_out")));
}

#[tokio::test]
async fn a_recording_that_is_ready_meanwhile_leaves_the_talk_as_it_was_read() {
    let world = World::start().await;
    let read = world.talked(Some(true), &["Yes."], false).await;
    world.apply(read.clone(), Event::RecordingReady { recording: "RE01".into() }).await;
    world.wrapup.step(read.clone()).await.expect("Redis answers");
    let ended = world.load(&read.id).await;
    assert_eq!(ended.phase(), Phase::Ended);
    assert_eq!(ended.body.recording.as_ref().map(|r| r.status), Some(RecordingStatus::Ready));
    let audit = world.document(&ended, "audit").expect("an audit record");
    assert_eq!(audit["recording"]["status"], "ready");
    let kinds: Vec<&str> = ended.body.artefacts.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["transcript", "outcome", "audit"]);
    assert_eq!(world.brain.asked.lock().expect("lock").len(), 1, "the model is paid once");
}

#[tokio::test]
async fn a_recording_moves_into_s3_and_away_from_the_carrier() {
    let world = World::start().await;
    world.carrier.recordings.lock().expect("lock").clear();
    let call = world.talked(Some(true), &["Yes."], true).await;
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    let ended = world.load(&call.id).await;
    assert!(ended.head.due > 0, "it comes due again for the recording");
    // Not there yet.
    world.wrapup.step(ended).await.expect("Redis answers");
    let waiting = world.load(&call.id).await;
    assert_eq!(waiting.body.setbacks, 1);
    world.carrier.recordings.lock().expect("lock").insert("RE01".into(), SOUND);
    world.wrapup.step(waiting).await.expect("Redis answers");

    let settled = world.load(&call.id).await;
    assert_eq!(settled.body.recording.as_ref().map(|r| r.status), Some(RecordingStatus::Stored));
    let artefact = settled.body.artefacts.last().expect("a recording");
    assert_eq!(artefact.kind, "recording");
    assert_eq!(world.object(&artefact.key).as_deref(), Some(SOUND));
    assert!(world.carrier.recordings.lock().expect("lock").is_empty(), "deleted at the carrier");
    let added = by_kind(&world.notices(&call.id).await)["artefact_added"].clone();
    assert_eq!(added["artefact"], json!(artefact));
    let status = archived_status(&world.archive, &call.id).await.expect("S3 answers").expect("a status");
    assert_eq!(status["artefacts"].as_array().and_then(|a| a.last()), Some(&json!(artefact)));
}

#[tokio::test]
async fn a_recording_that_never_comes_is_given_up() {
    let world = World::start().await;
    world.carrier.recordings.lock().expect("lock").clear();
    let call = world.talked(Some(true), &["Yes."], true).await;
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    for _ in 0..11 {
        world.wrapup.step(world.load(&call.id).await).await.expect("Redis answers");
    }
    let settled = world.load(&call.id).await;
    assert_eq!(settled.body.recording.map(|r| r.status), Some(RecordingStatus::Deleted));
    assert_eq!((settled.head.due, settled.body.setbacks), (0, 0));
}

/// Its node died behind the deletion and before the record: the carrier has nothing any more, S3 has it whole.
#[tokio::test]
async fn a_recording_that_a_dead_node_stored_is_found() {
    let world = World::start().await;
    let call = world.talked(Some(true), &["Yes."], true).await;
    world.wrapup.step(call.clone()).await.expect("Redis answers");
    let ended = world.load(&call.id).await;
    let key = carillon::archive::keys::recording(ended.body.created_at, &ended.id);
    world.archive.put_bytes(&key, SOUND.into()).await.expect("S3 answers");
    world.carrier.recordings.lock().expect("lock").clear();
    for _ in 0..2 {
        world.wrapup.step(world.load(&call.id).await).await.expect("Redis answers");
    }
    let settled = world.load(&call.id).await;
    assert_eq!(settled.body.recording.map(|r| r.status), Some(RecordingStatus::Stored));
    assert_eq!(settled.body.artefacts.last().map(|a| a.key.as_str()), Some(key.as_str()));
}
