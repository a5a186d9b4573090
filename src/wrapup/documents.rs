//! What is written to S3 about a call beside its outcome: the transcript, the audit record, the last word on its status.
//! None of them holds the number, only its keyed hash.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::base::clock::{Millis, rfc3339};
use crate::domain::call::{Artefact, Call};
use crate::domain::talk::Line;

/// Raised when a field of these documents changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

/// An object that stands in S3 now.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) artefact: Artefact,
    pub(super) sha256: String,
}

/// Who talked, as it is written down.
pub(super) struct Talker {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

/// How the final extraction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extracted {
    /// There was nothing to extract, or nothing may be.
    No,
    /// The model answered.
    Yes,
    /// The model did not; the outcome stands on the notes of the call alone.
    Failed(&'static str),
}

/// A document as it is put.
pub(super) fn bytes(document: &Value) -> Bytes {
    // A value is always written; its keys are text.
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// The SHA-256 of these bytes, in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The moment the talk was over: the same whenever the wrap-up runs, unlike the present.
pub(super) fn over_at(call: &Call) -> Millis {
    let body = &call.body;
    body.hung_up_at.or(body.answered_at).or(body.dialed_at).unwrap_or(body.created_at)
}

/// `transcript.json`.
pub(super) fn transcript(call: &Call, talker: &Talker, lines: &[Line], reduced: bool) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut value = json!({
                "turn": line.turn, "attempt": line.attempt, "speaker": line.speaker, "text": line.text,
                "at": rfc3339(line.at),
            });
            if let Some(confidence) = line.confidence {
                value["confidence"] = json!(confidence);
            }
            value
        })
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "call_id": call.id,
        "phone_hash": call.phone_hash,
        "agent": talker.name,
        "agent_version": talker.version,
        "consent_given": call.body.dialogue.consent,
        // Consent was refused: only the turn that says so is kept.
        "reduced_to_consent_turn": reduced,
        "answered_at": call.body.answered_at.map(rfc3339),
        "ended_at": rfc3339(over_at(call)),
        "attempts": attempts(call),
        "lines": lines,
    })
}

/// The audit record: all that happened, and the hashes of what was written about it.
pub(super) fn audit(call: &Call, talker: &Talker, extracted: Extracted, objects: &[Stored]) -> Value {
    let body = &call.body;
    let dialogue = &body.dialogue;
    let objects: Vec<Value> = objects
        .iter()
        .map(|o| json!({"kind": o.artefact.kind, "key": o.artefact.key, "sha256": o.sha256}))
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "kind": "call_concluded",
        "call_id": call.id,
        "phone_hash": call.phone_hash,
        "campaign_id": call.campaign,
        "parent_call_id": body.parent,
        "agent": talker.name,
        "agent_version": talker.version,
        "created_at": rfc3339(body.created_at),
        "scheduled_at": body.schedule_at.map(rfc3339),
        "answered_at": body.answered_at.map(rfc3339),
        "ended_at": rfc3339(over_at(call)),
        "duration_seconds": body.duration_s,
        "attempts": attempts(call),
        "ending": call.ending(),
        "cancel_requested": body.cancel_requested,
        "consent": {"given": dialogue.consent, "turn": dialogue.consent_turn},
        "opted_out": body.opted_out,
        "human_requested": dialogue.human_requested,
        "callback_at": dialogue.callback_at.map(rfc3339),
        "model_failures": dialogue.failures,
        "extraction": match extracted {
            Extracted::No => json!({"result": "none"}),
            Extracted::Yes => json!({"result": "ok"}),
            Extracted::Failed(why) => json!({"result": "failed", "reason": why}),
        },
        "recording": body.recording,
        "objects": objects,
    })
}

/// What says that a call was a person's.
pub(super) fn of_person(call: &Call) -> Value {
    json!({"schema_version": SCHEMA_VERSION, "call_id": call.id, "created_at": rfc3339(call.body.created_at)})
}

/// The status of an ended call as it is answered once Redis has forgotten it.
pub(super) fn status(call: &Call) -> Value {
    let body = &call.body;
    let ending = call.ending();
    let mut status = json!({
        "schema_version": SCHEMA_VERSION,
        "call_id": call.id,
        "phone_hash": call.phone_hash,
        "status": call.phase().as_str(),
        "disposition": ending.map(|e| e.disposition),
        "result": ending.map(|e| e.result),
        "reason": ending.map(|e| e.reason.clone()),
        "provider_code": ending.and_then(|e| e.provider_code.clone()),
        "campaign_id": call.campaign,
        "agent": body.agent,
        "agent_version": body.agent_version,
        "attempt": body.attempt,
        "attempts": attempts(call),
        "created_at": rfc3339(body.created_at),
        "started_at": body.dialed_at.map(rfc3339),
        "answered_at": body.answered_at.map(rfc3339),
        "hung_up_at": body.hung_up_at.map(rfc3339),
        "completed_at": body.ended_at.map(rfc3339),
        "duration_seconds": body.duration_s,
        "twilio_call_sid": body.last_sid,
        "consent_given": body.dialogue.consent,
        "adversarial_score": body.dialogue.adversarial_score,
        "employment_gaps": body.employment_gaps,
        "artefacts": body.artefacts,
        "metadata": body.metadata,
    });
    // As the API answers it: what has not happened is absent.
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    status
}

/// Every attempt, the last one with why it was allowed.
fn attempts(call: &Call) -> Value {
    let body = &call.body;
    let mut all: Vec<Value> = body
        .past
        .iter()
        .map(|past| {
            json!({
                "attempt": past.attempt, "twilio_call_sid": past.sid, "dialed_at": past.dialed_at.map(rfc3339),
                "ended_at": rfc3339(past.ended_at), "outcome": past.outcome,
            })
        })
        .collect();
    if body.dialed_at.is_some() || body.last_sid.is_some() {
        all.push(json!({
            "attempt": body.attempt, "twilio_call_sid": body.last_sid, "dialed_at": body.dialed_at.map(rfc3339),
            "ended_at": rfc3339(over_at(call)), "outcome": call.ending().map(|e| e.disposition),
            "evidence": body.evidence,
        }));
    }
    Value::Array(all)
}
