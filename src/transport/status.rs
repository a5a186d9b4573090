//! Status, machine-detection and recording callbacks: observations, in any order and any number.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::carrier::twilio::urls::Leg as LegName;
use crate::carrier::twilio::wire::{CallStatus, RecordingStatus};
use crate::domain::call::{Call, Event, HangUpCause, Leg, Rules, State};
use crate::domain::ids::CallId;
use crate::domain::talk::Voicemail;
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
        let leg = Leg { attempt: query.attempt, sid: sid.clone() };
        let event = Event::AnsweredBy(leg, who.as_str().to_owned());
        let noted = async {
            let Some(call) = self.observe(&id, event).await? else { return Ok(None) };
            Ok::<_, StoreError>(Some((self.store.voicemail_of(&call).await?, call)))
        };
        match noted.await {
            Ok(Some((voicemail, call))) => {
                if leaves_message(&call, &sid, voicemail) {
                    self.send_to_machine_turn(&call, &sid).await;
                }
                Noted::Yes
            }
            Ok(None) => Noted::Unknown,
            Err(error) => away(&id, &error),
        }
    }

    /// Has the live call ask for its open turn, in which the agent leaves its message. Where that fails the next turn
    /// leaves it: it knows from the record that a machine answered.
    async fn send_to_machine_turn(&self, call: &Call, sid: &str) {
        let url = self.urls.machine(&call.id, call.body.attempt, call.body.dialogue.turn);
        if let Err(error) = self.effects.twilio.redirect(sid, &url).await {
            tracing::warn!(call_id = %call.id, %error, "a call could not be sent to its machine turn");
        }
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
            Err(error) => away(id, &error),
        }
    }

    /// Applies an observation and does what it leaves to do; the call as it stands then. `None`: there is none any more.
    async fn observe(&self, id: &CallId, event: Event) -> Result<Option<Call>, StoreError> {
        let mut copy = self.store.recent(id);
        loop {
            let (call, is_copy) = match copy.take() {
                Some(call) => (call, true),
                None => match self.store.load(id).await? {
                    Some(call) => (call, false),
                    None => return Ok(None),
                },
            };
            let own = self.own_rules(&call, &event).await?;
            let (read, rules) = (call.head, own.as_ref().unwrap_or(&self.rules));
            match self.store.apply(call, event.clone(), rules).await? {
                Applied::Done(call, effects) => {
                    self.store.remember(&call);
                    self.effects.perform(&call, effects).await;
                    return Ok(Some(*call));
                }
                // Late or repeated by a copy: the record may be at another attempt by now.
                Applied::Stale(call) if is_copy && call.head == read => {}
                Applied::Stale(call) => {
                    self.store.remember(&call);
                    return Ok(Some(*call));
                }
                Applied::Gone => return Ok(None),
            }
        }
    }

    /// What the call or its campaign wants done with a machine, where the event says who answered.
    async fn own_rules(&self, call: &Call, event: &Event) -> Result<Option<Rules>, StoreError> {
        let Event::AnsweredBy(..) = event else { return Ok(None) };
        let hang_up_on_machine = self.store.voicemail_of(call).await? == Voicemail::HangUp;
        Ok(Some(Rules { hang_up_on_machine, ..(*self.rules).clone() }))
    }
}

fn away(id: &CallId, error: &StoreError) -> Noted {
    tracing::warn!(call_id = %id, %error, "a callback could not be written");
    Noted::Away
}

/// Is this leg's callee a machine that has finished its greeting and waits for our message? Not where somebody consented:
/// then the verdict is late or wrong; and not where the talk is at its end already.
fn leaves_message(call: &Call, sid: &str, voicemail: Voicemail) -> bool {
    let State::InProgress { sid: own, answered_by: Some(kind) } = &call.state else { return false };
    let dialogue = &call.body.dialogue;
    voicemail == Voicemail::Message
        && own == sid
        && kind.starts_with("machine_end")
        && dialogue.consent != Some(true)
        && dialogue.ending.is_none()
        && !(call.body.cancel_requested || call.body.opted_out)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
