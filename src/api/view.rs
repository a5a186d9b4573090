//! A call as clients see it. The number never leaves: a call is known by its id and its number's keyed hash.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::clock::{Millis, rfc3339};
use crate::domain::call::{Artefact, Call, PastAttempt, Phase, RecordingStatus, State};
use crate::domain::campaign::Campaign;
use crate::domain::disposition::{Disposition, EndResult};
use crate::domain::ids::CallId;
use crate::domain::talk::Line;

/// The answer to a call that was accepted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CallTicket {
    /// Its id.
    #[schema(example = "call_07024cabe7dd8f6d1c6e4a83")]
    call_id: String,
    /// `queued`.
    status: String,
    /// The keyed hash of its number.
    phone_hash: String,
    /// When it was accepted (RFC 3339).
    created_at: String,
    /// Not to be placed before (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_at: Option<String>,
}

impl CallTicket {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            call_id: call.id.to_string(),
            status: Phase::Queued.as_str().to_owned(),
            phone_hash: call.phone_hash.to_string(),
            created_at: rfc3339(call.body.created_at),
            schedule_at: call.body.schedule_at.map(rfc3339),
        }
    }

    /// The same under the id of an earlier call.
    pub(super) fn for_id(self, id: &CallId) -> Self {
        Self { call_id: id.to_string(), ..self }
    }
}

/// An attempt that is over.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AttemptView {
    /// Its number, from 1.
    attempt: u32,
    /// The carrier's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    twilio_call_sid: Option<String>,
    /// When it was dialed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// When it was over (RFC 3339).
    ended_at: String,
    /// `busy`, `no_answer`, …
    outcome: String,
}

impl From<&PastAttempt> for AttemptView {
    fn from(past: &PastAttempt) -> Self {
        Self {
            attempt: past.attempt,
            twilio_call_sid: past.sid.clone(),
            started_at: past.dialed_at.map(rfc3339),
            ended_at: rfc3339(past.ended_at),
            outcome: past.outcome.clone(),
        }
    }
}

/// A line of the transcript.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LineView {
    /// The turn it belongs to; the greeting is turn 0.
    turn: u32,
    /// The attempt it was spoken in.
    attempt: u32,
    /// Who spoke.
    speaker: crate::domain::talk::Speaker,
    /// The words.
    text: String,
    /// When (RFC 3339).
    at: String,
    /// The recogniser's confidence, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        Self {
            turn: line.turn,
            attempt: line.attempt,
            speaker: line.speaker,
            text: line.text,
            at: rfc3339(line.at),
            confidence: line.confidence,
        }
    }
}

/// A call as it stands. Times are RFC 3339; what is absent has not happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallView {
    /// Its id.
    call_id: String,
    /// `queued`, `dialing`, `unconfirmed`, `ringing`, `in_progress`, `wrap_up` or `ended`.
    status: &'static str,
    /// How it ended, once the call is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    disposition: Option<Disposition>,
    /// Who brought the end about.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<EndResult>,
    /// Why, as a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The carrier's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// The keyed hash of its number.
    phone_hash: String,
    /// Its campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<String>,
    /// The call that scheduled this one, where the callee asked to be called again.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_call_id: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// The agent's version that talked.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    /// The attempt that is being made, comes next, or was the last; from 1.
    attempt: u32,
    /// Attempts that are over, but the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    past_attempts: Vec<AttemptView>,
    /// When it was accepted.
    created_at: String,
    /// Not to be placed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_at: Option<String>,
    /// Not to be placed after; absent while its campaign waits to be started and neither names an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Why it waits: `window`, `frequency`, `retry`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<String>,
    /// When it is looked at next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_due: Option<String>,
    /// When the present or last attempt was dialed.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<String>,
    /// When the line was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    hung_up_at: Option<String>,
    /// When it was over and archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    /// Seconds the answered call lasted, as the carrier counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<u32>,
    /// The carrier's id of the newest leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    twilio_call_sid: Option<String>,
    /// What the carrier says answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<String>,
    /// Consent to go on: absent while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent_given: Option<bool>,
    /// Did the person opt out?
    opted_out: bool,
    /// Was a person asked for?
    human_requested: bool,
    /// Was its end asked for?
    cancel_requested: bool,
    /// When the callee wants to be called again.
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_at: Option<String>,
    /// How difficult the callee is, 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    adversarial_score: Option<f64>,
    /// Gaps in the employment history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    employment_gaps: Option<Value>,
    /// `running`, `ready`, `stored` or `deleted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<&'static str>,
    /// What stands in the archive.
    artefacts: Vec<Artefact>,
    /// The client's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// What was said so far; absent in listings.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<Vec<LineView>>,
}

impl CallView {
    /// A call without its transcript.
    pub(super) fn of(call: &Call) -> Self {
        let body = &call.body;
        let dialogue = &body.dialogue;
        let ending = call.ending();
        let due = |at: Millis| (at > 0).then(|| rfc3339(at));
        Self {
            call_id: call.id.to_string(),
            status: call.phase().as_str(),
            disposition: ending.map(|e| e.disposition),
            result: ending.map(|e| e.result),
            reason: ending.map(|e| e.reason.clone()),
            provider_code: ending.and_then(|e| e.provider_code.clone()),
            phone_hash: call.phone_hash.to_string(),
            campaign_id: call.campaign.as_ref().map(ToString::to_string),
            parent_call_id: body.parent.as_ref().map(ToString::to_string),
            agent: body.agent.clone(),
            agent_version: body.agent_version.clone(),
            attempt: body.attempt,
            past_attempts: body.past.iter().map(AttemptView::from).collect(),
            created_at: rfc3339(body.created_at),
            schedule_at: body.schedule_at.map(rfc3339),
            expires_at: Some(rfc3339(call.expires_at())),
            waiting_for: body.waiting_for.clone(),
            next_due: due(call.head.due),
            started_at: body.dialed_at.map(rfc3339),
            answered_at: body.answered_at.map(rfc3339),
            hung_up_at: body.hung_up_at.map(rfc3339),
            completed_at: body.ended_at.map(rfc3339),
            duration_seconds: body.duration_s,
            twilio_call_sid: call.state.sid().map(str::to_owned).or_else(|| body.last_sid.clone()),
            answered_by: match &call.state {
                State::InProgress { answered_by, .. } => answered_by.clone(),
                _ => None,
            },
            consent_given: dialogue.consent,
            opted_out: body.opted_out,
            human_requested: dialogue.human_requested,
            cancel_requested: body.cancel_requested,
            callback_at: dialogue.callback_at.map(rfc3339),
            adversarial_score: dialogue.adversarial_score,
            employment_gaps: body.employment_gaps.clone(),
            recording: body.recording.as_ref().map(|r| match r.status {
                RecordingStatus::Running => "running",
                RecordingStatus::Ready => "ready",
                RecordingStatus::Stored => "stored",
                RecordingStatus::Deleted => "deleted",
            }),
            artefacts: body.artefacts.clone(),
            metadata: body.metadata.clone(),
            transcript: None,
        }
    }

    /// The same with what was said.
    pub(super) fn with_transcript(self, lines: Vec<Line>) -> Self {
        Self { transcript: Some(lines.into_iter().map(LineView::from).collect()), ..self }
    }

    /// The same with its campaign's agent, where it names none itself.
    pub(super) fn with_campaign(self, call: &Call, campaign: Option<&Campaign>) -> Self {
        let expires = call.expires_in(campaign);
        Self {
            expires_at: (expires < Millis::MAX).then(|| rfc3339(expires)),
            agent: self.agent.or(campaign.and_then(|it| it.agent.clone())),
            ..self
        }
    }
}
