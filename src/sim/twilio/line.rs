//! One leg to a phone: what the carrier knows about it, and how it is told to change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::callbacks::Lane;
use super::wire::{API_VERSION, CallView, Form, Status, get, rfc2822};
use super::{Carrier, new_sid};
use crate::base::clock::Millis;
use crate::sim::ledger::{Ledger, Leg};

/// What the REST API asks of a live leg.
#[derive(Debug)]
pub(crate) enum Control {
    /// Hang up.
    HangUp,
    /// Execute another document from now on.
    Goto(Source),
}

/// Where the next document comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Asked for at this URL, with these parameters beside the usual ones.
    Fetch { url: String, method: String, extra: Form },
    /// Given.
    Inline(String),
}

/// Where a leg stands.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) answered_by: Option<String>,
    pub(crate) updated: Millis,
    pub(crate) started: Option<Millis>,
    pub(crate) ended: Option<Millis>,
    pub(crate) duration: Option<u64>,
    /// Why the carrier could not complete it: its own error code, and the far end's SIP answer.
    pub(crate) failure: Option<(u32, u16)>,
    /// The next `SequenceNumber`.
    pub(crate) sequence: u32,
}

/// One leg.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) sid: String,
    pub(crate) parent: Option<String>,
    pub(crate) to: String,
    pub(crate) from: String,
    /// The parameters of its creation.
    pub(crate) form: Form,
    pub(crate) created: Millis,
    pub(crate) queue_ms: u64,
    pub(crate) lane: Lane,
    state: Mutex<State>,
    control: mpsc::UnboundedSender<Control>,
}

/// Call id and attempt as a URL of Carillon's names them: its path segment `call_…` and its query's `attempt`.
pub(crate) fn names_in(url: &str) -> (Option<String>, Option<String>) {
    let Ok(url) = url::Url::parse(url) else { return (None, None) };
    let query = |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
    let id = url
        .path_segments()
        .and_then(|mut s| s.find(|s| s.starts_with("call_")).map(str::to_owned))
        .or_else(|| query("call_id"));
    (id, query("attempt"))
}

impl Line {
    /// Registers a leg, in the switch and in the ledger. The receiver takes its controls.
    pub(crate) fn open(
        carrier: &Carrier,
        form: Form,
        parent: Option<&str>,
        queue_ms: u64,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Control>) {
        let (control, controls) = mpsc::unbounded_channel();
        let now = Ledger::now();
        let value = |name| get(&form, name).unwrap_or_default().to_owned();
        let (to, from) = (value("To"), value("From"));
        let status = if parent.is_some() { Status::Initiated } else { Status::Queued };
        let state = State {
            status,
            answered_by: None,
            updated: now,
            started: None,
            ended: None,
            duration: None,
            failure: None,
            sequence: 0,
        };
        let line = Arc::new(Self {
            sid: new_sid("CA"),
            parent: parent.map(str::to_owned),
            to,
            from,
            form,
            created: now,
            queue_ms,
            lane: Lane::default(),
            state: Mutex::new(state),
            control,
        });
        let url = ["Url", "StatusCallback"].iter().find_map(|n| get(&line.form, n)).unwrap_or_default();
        let (call_id, attempt) = names_in(url);
        let person = serde_json::to_value(carrier.person(&line.to)).unwrap_or_default();
        carrier.ledger.open_leg(Leg {
            sid: line.sid.clone(),
            parent: line.parent.clone(),
            to: line.to.clone(),
            from: line.from.clone(),
            person,
            call_id,
            attempt,
            created_at: now,
            status: status.as_str().into(),
            ..Leg::default()
        });
        let mut switch = carrier.switch();
        switch.lines.insert(line.sid.clone(), Arc::clone(&line));
        switch.order.push(line.sid.clone());
        drop(switch);
        (line, controls)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> Status {
        self.state().status
    }

    /// Hands `control` to the task that lives this leg's life.
    pub(crate) fn tell(&self, control: Control) {
        // Nobody listens any more where the leg is over, and then nothing is to be changed.
        let _ = self.control.send(control);
    }

    /// Moves the leg on, in its own state and in the ledger.
    pub(crate) fn become_(&self, carrier: &Carrier, status: Status) {
        let now = Ledger::now();
        {
            let mut state = self.state();
            state.status = status;
            state.updated = now;
            if status == Status::InProgress {
                state.started = Some(now);
            }
            if status.is_over() {
                state.ended = Some(now);
                state.duration.get_or_insert(0);
            }
        }
        carrier.ledger.edit(&self.sid, |leg| {
            leg.status = status.as_str().into();
            match status {
                Status::Initiated => leg.started_at = Some(now),
                Status::Ringing => leg.rang_at = Some(now),
                Status::InProgress => leg.answered_at = Some(now),
                s if s.is_over() => leg.ended_at = Some(now),
                _ => {}
            }
        });
    }

    /// The parameters that every request about this leg carries.
    pub(crate) fn params(&self, carrier: &Carrier) -> Form {
        let direction = if self.parent.is_some() { "outbound-dial" } else { "outbound-api" };
        let mut form: Form = [
            ("CallSid", self.sid.as_str()),
            ("AccountSid", &carrier.account.sid),
            ("From", &self.from),
            ("To", &self.to),
            ("Caller", &self.from),
            ("Called", &self.to),
            ("CallStatus", self.status().as_str()),
            ("ApiVersion", API_VERSION),
            ("Direction", direction),
        ]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .to_vec();
        if let Some(parent) = &self.parent {
            form.push(("ParentCallSid".into(), parent.clone()));
        }
        form
    }

    /// The parameters of the status callback for the moment that the leg has reached; takes a `SequenceNumber`.
    pub(crate) fn status_params(&self, carrier: &Carrier) -> (u32, Form) {
        let mut form = self.params(carrier);
        let state = {
            let mut state = self.state();
            state.sequence += 1;
            state.clone()
        };
        let sequence = state.sequence - 1;
        let mut add = |name: &str, value: String| form.push((name.to_owned(), value));
        add("Timestamp", rfc2822(state.updated));
        add("CallbackSource", "call-progress-events".into());
        add("SequenceNumber", sequence.to_string());
        if state.status.is_over() {
            let seconds = state.duration.unwrap_or(0);
            add("CallDuration", seconds.to_string());
            add("Duration", seconds.div_ceil(60).to_string());
            let failed = state.failure.map(|(_, sip)| sip.to_string());
            let sip = match state.status {
                Status::Failed if failed.is_some() => failed.as_deref(),
                Status::Completed => Some("200"),
                Status::Busy => Some("486"),
                Status::Failed => Some("404"),
                Status::NoAnswer | Status::Canceled => Some("487"),
                _ => None,
            };
            if let Some(sip) = sip {
                add("SipResponseCode", sip.into());
            }
            if let Some((code, _)) = state.failure {
                add("ErrorCode", code.to_string());
            }
        }
        if let Some(by) = state.answered_by {
            add("AnsweredBy", by);
        }
        (sequence, form)
    }

    /// The leg as the REST API shows it.
    pub(crate) fn json(&self, carrier: &Carrier) -> serde_json::Value {
        let state = self.state().clone();
        CallView {
            account: &carrier.account.sid,
            sid: &self.sid,
            parent: self.parent.as_deref(),
            to: &self.to,
            from: &self.from,
            status: state.status,
            answered_by: state.answered_by.as_deref(),
            created: self.created,
            updated: state.updated,
            started: state.started,
            ended: state.ended,
            duration: state.duration,
            queue_ms: self.queue_ms,
        }
        .json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_a_dial_name_call_and_attempt() {
        let url = "https://me.example/api/calls/webhook/call_07ab?attempt=2&t=1#rc=2&rp=all";
        assert_eq!(names_in(url), (Some("call_07ab".into()), Some("2".into())));
        assert_eq!(names_in("not a url"), (None, None));
    }
}
