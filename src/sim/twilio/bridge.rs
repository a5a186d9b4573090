//! `<Dial><Number>`: the callee is connected to somebody else.

use std::sync::Arc;

use super::call::{Rung, outcome};
use super::callbacks;
use super::is_e164;
use super::line::Line;
use super::session::{Flow, Session};
use super::twiml::Dial;
use super::wire::{Form, Status};
use crate::sim::ledger::{Transfer, Who};

/// How long two people talk once they are connected, in simulated seconds.
const TALK: f64 = 20.0;

impl Session {
    pub(super) async fn dial(&mut self, dial: &Dial) -> Flow {
        let began = self.clock.now();
        let line = self.open_child(dial);
        self.child = Some(Arc::clone(&line));
        let (status, talked) = self.bridge(dial, &line).await;
        self.child = None;
        let spoken = match status {
            // `DialCallStatus` says "completed" for a bridge that stood and has ended.
            Status::Completed => "completed",
            other => other.as_str(),
        };
        self.finish_child(&line, status, talked);
        let transfer = Transfer {
            t: began,
            to: dial.number.clone(),
            sid: line.sid.clone(),
            status: spoken.to_owned(),
            talked_s: talked,
        };
        self.carrier.ledger.edit(&self.line.sid, |leg| leg.transfers.push(transfer));
        let Some(action) = dial.action.as_deref() else { return Flow::Next };
        let mut extra: Form = vec![
            ("DialCallStatus".into(), spoken.into()),
            ("DialCallSid".into(), line.sid.clone()),
            ("DialBridged".into(), (status == Status::Completed).to_string()),
        ];
        if status == Status::Completed {
            extra.push(("DialCallDuration".into(), format!("{talked:.0}")));
        }
        self.goto(Some(action), &dial.method, extra)
    }

    fn open_child(&self, dial: &Dial) -> Arc<Line> {
        let from = dial.caller_id.clone().unwrap_or_else(|| self.line.from.clone());
        let mut form: Form = vec![("To".into(), dial.number.clone()), ("From".into(), from)];
        if let Some(url) = &dial.callback {
            form.push(("StatusCallback".into(), self.absolute(url)));
            form.push(("StatusCallbackMethod".into(), dial.callback_method.clone()));
            form.extend(dial.callback_events.iter().map(|e| ("StatusCallbackEvent".into(), e.clone())));
        }
        let (line, _controls) = Line::open(&self.carrier, form, Some(&self.line.sid), 0);
        line
    }

    fn child_becomes(&self, line: &Arc<Line>, status: Status) {
        line.become_(&self.carrier, status);
        callbacks::status(&self.carrier, line);
    }

    async fn bridge(&mut self, dial: &Dial, line: &Arc<Line>) -> (Status, f64) {
        self.child_becomes(line, Status::Initiated);
        if !is_e164(&dial.number) {
            self.heard(Who::Transfer, 0.5, "not a number").await;
            return (Status::Failed, 0.0);
        }
        match outcome(&self.carrier, &self.line.from, &dial.number, dial.timeout) {
            Rung::Down { status, rings, wait } => {
                if rings {
                    self.child_becomes(line, Status::Ringing);
                }
                self.heard(Who::Transfer, wait, status.as_str()).await;
                (status, 0.0)
            }
            Rung::Up { wait, .. } => {
                self.child_becomes(line, Status::Ringing);
                self.heard(Who::Transfer, wait, "ringing").await;
                self.child_becomes(line, Status::InProgress);
                let talk = TALK.min(dial.time_limit);
                self.heard(Who::Transfer, talk, "talking to a person").await;
                (Status::Completed, talk)
            }
        }
    }

    fn finish_child(&self, line: &Arc<Line>, status: Status, talked: f64) {
        let whole = std::time::Duration::try_from_secs_f64(talked).unwrap_or_default();
        line.state().duration = Some(whole.as_secs());
        self.carrier.ledger.edit(&line.sid, |leg| leg.duration_s = talked);
        self.child_becomes(line, status);
    }

    /// Ends a transfer leg whose parent ended or was sent elsewhere.
    pub(super) fn drop_child(&mut self) {
        if let Some(line) = self.child.take() {
            let status =
                if line.status() == Status::InProgress { Status::Completed } else { Status::Canceled };
            self.finish_child(&line, status, 0.0);
        }
    }
}
