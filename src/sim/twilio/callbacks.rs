//! Callbacks: in the order of their events unless a fault says late, twice, out of order or never.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Carrier;
use super::hooks::Failure;
use super::line::Line;
use super::wire::{Form, Status, get};
use crate::sim::faults::{Fault, Target};
use crate::sim::ledger::{Callback, Ledger};

/// How long a callback that waits to be overtaken waits for that.
const REORDER_PATIENCE: Duration = Duration::from_secs(3);

/// One callback on its way.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    event: String,
    sequence: Option<u32>,
    url: String,
    method: String,
    form: Form,
    token: String,
    /// The last of its leg's status callbacks.
    last: bool,
    fault: Option<String>,
}

/// A leg's callbacks: those waiting, and those that a fault holds back.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Outgoing>,
    sending: bool,
    /// Held until one more has been sent.
    overtaken: Vec<Outgoing>,
    /// Held until the end.
    reversed: Vec<Outgoing>,
}

/// The event's name in `StatusCallbackEvent`.
fn event_name(status: Status) -> &'static str {
    match status {
        Status::Queued | Status::Initiated => "initiated",
        Status::Ringing => "ringing",
        Status::InProgress => "answered",
        _ => "completed",
    }
}

/// The values of a parameter that may be repeated or hold several values between blanks.
fn listed(form: &Form, name: &str, default: &str) -> Vec<String> {
    let all: Vec<String> = form
        .iter()
        .filter(|(n, _)| n == name)
        .flat_map(|(_, v)| {
            v.split([' ', ',']).filter(|v| !v.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    if all.is_empty() { vec![default.to_owned()] } else { all }
}

/// Tells the status callback what the leg has become, where it asked for this event.
pub(crate) fn status(carrier: &Arc<Carrier>, line: &Arc<Line>) {
    let status = line.status();
    let event = event_name(status);
    let Some(url) = get(&line.form, "StatusCallback") else { return };
    if !listed(&line.form, "StatusCallbackEvent", "completed").iter().any(|e| e == event) {
        return;
    }
    let (sequence, form) = line.status_params(carrier);
    let method = get(&line.form, "StatusCallbackMethod").unwrap_or("POST");
    push(
        carrier,
        line,
        Outgoing {
            event: event.into(),
            sequence: Some(sequence),
            url: url.to_owned(),
            method: method.to_owned(),
            form,
            token: uuid::Uuid::new_v4().to_string(),
            last: status.is_over(),
            fault: None,
        },
    );
}

/// Any other callback about this leg: `event` names it in the ledger.
pub(crate) fn other(
    carrier: &Arc<Carrier>,
    line: &Arc<Line>,
    event: &str,
    url: &str,
    method: &str,
    form: Form,
) {
    push(
        carrier,
        line,
        Outgoing {
            event: event.to_owned(),
            sequence: None,
            url: url.to_owned(),
            method: method.to_owned(),
            form,
            token: uuid::Uuid::new_v4().to_string(),
            last: false,
            fault: None,
        },
    );
}

/// Whether a recording callback for `event` was asked for in `form`.
pub(crate) fn wants_recording_event(form: &Form, event: &str) -> bool {
    listed(form, "RecordingStatusCallbackEvent", "completed").iter().any(|e| e == event)
}

fn push(carrier: &Arc<Carrier>, line: &Arc<Line>, outgoing: Outgoing) {
    let mut queue = line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.waiting.push_back(outgoing);
    if !queue.sending {
        queue.sending = true;
        let (carrier_, line) = (Arc::clone(carrier), Arc::clone(line));
        carrier.life.spawn(async move { drain(&carrier_, &line).await });
    }
}

async fn drain(carrier: &Arc<Carrier>, line: &Arc<Line>) {
    loop {
        let next = {
            let mut queue = line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let next = queue.waiting.pop_front();
            queue.sending = next.is_some();
            next
        };
        let Some(outgoing) = next else { return };
        let last = outgoing.last;
        // One that was held before has had its fault.
        if outgoing.fault.is_some() {
            send(carrier, line, &outgoing).await;
        } else {
            under_faults(carrier, line, outgoing).await;
        }
        if last {
            let mut queue = line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let held: Vec<Outgoing> = queue.reversed.drain(..).collect();
            for held in held {
                // Oldest first to the front: the newest ends up before them all.
                queue.waiting.push_front(Outgoing { last: false, ..held });
            }
        }
    }
}

async fn under_faults(carrier: &Arc<Carrier>, line: &Arc<Line>, mut outgoing: Outgoing) {
    let key = format!("{} {}", line.to, outgoing.event);
    let mut twice = false;
    for fault in carrier.faults.strike(Target::Callbacks, &key) {
        match fault {
            Fault::Missing => {
                note(carrier, line, &Outgoing { fault: Some("missing".into()), ..outgoing }, None, None);
                return;
            }
            Fault::LateMs(ms) => {
                outgoing.fault = Some(format!("{ms} ms late"));
                let (carrier_, line) = (Arc::clone(carrier), Arc::clone(line));
                carrier.life.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    send(&carrier_, &line, &outgoing).await;
                });
                return;
            }
            Fault::DelayMs(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Fault::Duplicate => twice = true,
            Fault::Reorder => {
                outgoing.fault = Some("reordered".into());
                hold_for_next(carrier, line, outgoing);
                return;
            }
            Fault::Reverse => {
                outgoing.fault = Some("reversed".into());
                line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner).reversed.push(outgoing);
                return;
            }
            _ => {}
        }
    }
    send(carrier, line, &outgoing).await;
    if twice {
        outgoing.fault = Some("duplicate".into());
        send(carrier, line, &outgoing).await;
    }
    let mut queue = line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
    let overtaken: Vec<Outgoing> = queue.overtaken.drain(..).collect();
    for held in overtaken.into_iter().rev() {
        queue.waiting.push_front(held);
    }
}

/// Holds `outgoing` until the next one was sent, or until it is clear that none comes.
fn hold_for_next(carrier: &Arc<Carrier>, line: &Arc<Line>, outgoing: Outgoing) {
    let token = outgoing.token.clone();
    line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner).overtaken.push(outgoing);
    let (carrier_, line) = (Arc::clone(carrier), Arc::clone(line));
    carrier.life.spawn(async move {
        tokio::time::sleep(REORDER_PATIENCE).await;
        let alone = {
            let mut queue = line.lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let at = queue.overtaken.iter().position(|o| o.token == token);
            at.map(|at| queue.overtaken.remove(at))
        };
        if let Some(alone) = alone {
            push(&carrier_, &line, alone);
        }
    });
}

async fn send(carrier: &Carrier, line: &Line, o: &Outgoing) {
    let mut status = None;
    let mut error = None;
    let result = carrier
        .hooks
        .send(&o.url, &o.method, &o.form, &o.token, |tried| {
            status = tried.status;
            error = tried.error;
        })
        .await;
    if let Err(Failure::Connect(why) | Failure::Read(why)) = result {
        error = Some(why);
    }
    note(carrier, line, o, status, error);
}

fn note(carrier: &Carrier, line: &Line, o: &Outgoing, status: Option<u16>, error: Option<String>) {
    let callback = Callback {
        at: Ledger::now(),
        event: o.event.clone(),
        sequence: o.sequence,
        url: o.url.clone(),
        form: o.form.clone(),
        token: o.token.clone(),
        status,
        error,
        fault: o.fault.clone(),
    };
    carrier.ledger.edit(&line.sid, |leg| leg.callbacks.push(callback));
}
