//! Status, machine-detection and recording callbacks: observations, in any order and any number.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::carrier::twilio::urls::Leg as LegName;
use crate::carrier::twilio::wire::{CallStatus, RecordingStatus};
use crate::domain::call::{Call, Event, HangUpCause, Leg};
use crate::domain::ids::CallId;
use crate::store::{Applied, StoreError};
use crate::transport::{Callback, Transport, problem};

/// How a callback went.
pub(super) enum Noted {
    /// It is written, or it changed nothing.
    Yes,
    /// No such call.
    Unknown,
    /// Redis is away; Twilio may bring it again, and the watch asks for it.
    Away,
}

pub(super) fn answer(noted: Noted) -> Response {
    match noted {
        Noted::Yes => StatusCode::NO_CONTENT.into_response(),
        Noted::Unknown => problem(
            StatusCode::NOT_FOUND,
            "unknown_call",
            "There is no such call",
            "The call id in the path is not known.",
        ),
        Noted::Away => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "The store is not available",
            "The callback could not be written; bring it again.",
        ),
    }
}

impl Transport {
    pub(super) async fn status(&self, callback: Callback) -> Noted {
        let Callback { id: Some(id), query, form } = callback else { return Noted::Unknown };
        // The transferred leg's status changes nothing of the callee's call; its end comes as the Dial's action.
        if query.leg == LegName::Transfer {
            return Noted::Yes;
        }
        let (Some(sid), Some(status)) = (form.call_sid.clone(), form.call_status.clone()) else {
            return Noted::Yes;
        };
        let leg = Leg { attempt: query.attempt, sid };
        let duration_s = form.call_duration_s.and_then(|s| u32::try_from(s).ok());
        let hung_up = |leg, cause| Event::HungUp { leg, cause, code: form.provider_code(), duration_s };
        let event = match status {
            CallStatus::Queued | CallStatus::Initiated => Event::Accepted(leg),
            CallStatus::Ringing => Event::Rang(leg),
            CallStatus::InProgress | CallStatus::Answered => Event::Answered(leg),
            CallStatus::Completed => hung_up(leg, HangUpCause::Completed),
            CallStatus::Busy => hung_up(leg, HangUpCause::Busy),
            CallStatus::NoAnswer => hung_up(leg, HangUpCause::NoAnswer),
            CallStatus::Failed => hung_up(leg, HangUpCause::Failed),
            CallStatus::Canceled => hung_up(leg, HangUpCause::Canceled),
            CallStatus::Other(_) => return Noted::Yes,
        };
        self.note(&id, event).await
    }

    pub(super) async fn machine(&self, callback: Callback) -> Noted {
        let Callback { id: Some(id), query, form } = callback else { return Noted::Unknown };
        let (Some(sid), Some(who)) = (form.call_sid.clone(), form.answered_by.clone()) else {
            return Noted::Yes;
        };
        let leg = Leg { attempt: query.attempt, sid };
        self.note(&id, Event::AnsweredBy(leg, who.as_str().to_owned())).await
    }

    pub(super) async fn recording(&self, callback: Callback) -> Noted {
        let Callback { id: Some(id), form, .. } = callback else { return Noted::Unknown };
        let Some(recording) = form.recording_sid.clone() else { return Noted::Yes };
        let event = match form.recording_status {
            Some(RecordingStatus::Completed) => Event::RecordingReady { recording },
            Some(RecordingStatus::InProgress) => Event::RecordingStarted { recording },
            _ => return Noted::Yes,
        };
        self.note(&id, event).await
    }

    async fn note(&self, id: &CallId, event: Event) -> Noted {
        match self.observe(id, event).await {
            Ok(Some(_)) => Noted::Yes,
            Ok(None) => Noted::Unknown,
            Err(error) => {
                tracing::warn!(call_id = %id, %error, "a callback could not be written");
                Noted::Away
            }
        }
    }

    /// Applies an observation and does what it leaves to do. `None`: no such call.
    pub(super) async fn observe(&self, id: &CallId, event: Event) -> Result<Option<Call>, StoreError> {
        let Some(call) = self.store.load(id).await? else { return Ok(None) };
        match self.store.apply(call, event, &self.rules).await? {
            Applied::Done(call, effects) => {
                self.effects.perform(&call, effects).await;
                Ok(Some(*call))
            }
            Applied::Stale(call) => Ok(Some(*call)),
            Applied::Gone | Applied::Refused { .. } => Ok(None),
        }
    }
}
