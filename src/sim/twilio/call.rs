//! The life of a leg: queued, initiated, ringing, answered, over.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::Carrier;
use super::callbacks;
use super::callee::Callee;
use super::line::{Control, Line, Source};
use super::recordings;
use super::session::Session;
use super::wire::{Form, Status, get, is_true};
use crate::sim::faults::{Fault, Target};
use crate::sim::pace::chance;
use crate::sim::people::{Pickup, Talk};

/// Simulated seconds between leaving the queue and the first ring.
const POST_DIAL_DELAY: f64 = 0.6;
/// Simulated seconds until a busy or an unknown number is reported.
const REFUSAL_DELAY: f64 = 1.2;
/// Simulated seconds that detection takes to be sure of a human, and of a machine's first words.
const AMD_HUMAN: f64 = 2.6;
const AMD_MACHINE: f64 = 3.8;

type Controls = UnboundedReceiver<Control>;

/// Places a call: it leaves the queue at `out`, and its task runs until it is over.
pub(crate) fn place(carrier: &Arc<Carrier>, line: Arc<Line>, controls: Controls, out: Instant) {
    let owner = Arc::clone(carrier);
    // The future of a whole call is large; it lives on the heap.
    carrier.life.spawn(Box::pin(async move { live(&owner, &line, controls, out).await }));
}

async fn live(carrier: &Arc<Carrier>, line: &Arc<Line>, mut controls: Controls, out: Instant) {
    if hung_up(&mut controls, tokio::time::sleep_until(out)).await {
        end(carrier, line, Status::Canceled, "api", 0.0);
        return;
    }
    step(carrier, line, Status::Initiated);
    let Some(callee) = ring(carrier, line, &mut controls).await else { return };
    answered(carrier, line, controls, callee).await;
}

/// Waits; true where the API hung up meanwhile. (Another document is refused before the answer, by the API itself.)
async fn hung_up(controls: &mut Controls, wait: impl Future<Output = ()>) -> bool {
    tokio::pin!(wait);
    loop {
        tokio::select! {
            biased;
            control = controls.recv() => if matches!(control, Some(Control::HangUp)) { return true },
            () = &mut wait => return false,
        }
    }
}

fn step(carrier: &Arc<Carrier>, line: &Arc<Line>, status: Status) {
    line.become_(carrier, status);
    callbacks::status(carrier, line);
}

fn end(carrier: &Arc<Carrier>, line: &Arc<Line>, status: Status, by: &str, seconds: f64) {
    let whole = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    // The carrier bills started seconds.
    line.state().duration = Some(whole.as_secs() + u64::from(whole.subsec_nanos() > 0));
    carrier.ledger.edit(&line.sid, |leg| {
        leg.ended_by = Some(by.to_owned());
        leg.duration_s = seconds;
    });
    step(carrier, line, status);
    recordings::call_over(carrier, line);
}

/// What became of a phone that was made to ring.
pub(crate) enum Rung {
    /// Somebody or something picked up.
    Up { callee: Callee, machine: Option<Detected>, wait: f64 },
    /// Nobody did; the status that this gives, after so many seconds.
    Down { status: Status, rings: bool, wait: f64 },
}

/// What machine detection will find.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detected {
    beep_after: f64,
    answered_by: &'static str,
}

/// What ringing `to` from `from` for at most `timeout` seconds leads to.
pub(crate) fn outcome(carrier: &Carrier, from: &str, to: &str, timeout: f64) -> Rung {
    let leg = carrier.ring(to);
    let person = carrier.person(to);
    let rate = carrier.controls.read().answer_rates.get(from).copied().unwrap_or(1.0);
    // Who knows the caller by now lets it ring.
    let known = rate < 1.0 && chance(carrier.world.seed(), &[to, from, "answers"], u64::from(leg)) >= rate;
    let talk = || -> Talk { person.talk(u64::from(leg)) };
    let (after, callee, machine) = match person.pickup(leg) {
        Pickup::Busy => return Rung::Down { status: Status::Busy, rings: false, wait: REFUSAL_DELAY },
        Pickup::Invalid => return Rung::Down { status: Status::Failed, rings: false, wait: REFUSAL_DELAY },
        Pickup::NoAnswer => return Rung::Down { status: Status::NoAnswer, rings: true, wait: timeout },
        Pickup::Answers { .. } if known => {
            return Rung::Down { status: Status::NoAnswer, rings: true, wait: timeout };
        }
        Pickup::Answers { after_s } => (after_s, Callee::person(talk()), None),
        Pickup::Machine { after_s, greeting, beep_after_s, answered_by } => {
            let detected = Detected { beep_after: beep_after_s, answered_by };
            (after_s, Callee::machine(greeting, beep_after_s), Some(detected))
        }
    };
    if after >= timeout {
        return Rung::Down { status: Status::NoAnswer, rings: true, wait: timeout };
    }
    Rung::Up { callee, machine, wait: after }
}

/// Whether a fault befalls the call itself, once the carrier has taken it: error code and SIP answer.
fn fails(carrier: &Carrier, to: &str) -> Option<(u32, u16)> {
    carrier.faults.strike(Target::Calls, to).into_iter().find_map(|fault| match fault {
        Fault::CallFails { error_code, sip } => Some((error_code, sip)),
        _ => None,
    })
}

async fn ring(
    carrier: &Arc<Carrier>,
    line: &Arc<Line>,
    controls: &mut Controls,
) -> Option<(Callee, Option<Detected>)> {
    let timeout = get(&line.form, "Timeout").and_then(|t| t.parse().ok()).unwrap_or(60.0);
    let delay = carrier.pace.sleep(POST_DIAL_DELAY);
    if hung_up(controls, delay).await {
        end(carrier, line, Status::Canceled, "api", 0.0);
        return None;
    }
    if let Some(failure) = fails(carrier, &line.to) {
        if hung_up(controls, carrier.pace.sleep(REFUSAL_DELAY)).await {
            end(carrier, line, Status::Canceled, "api", 0.0);
        } else {
            line.state().failure = Some(failure);
            end(carrier, line, Status::Failed, "carrier", 0.0);
        }
        return None;
    }
    let rung = outcome(carrier, &line.from, &line.to, timeout);
    let (rings, wait) = match &rung {
        Rung::Up { wait, .. } => (true, *wait),
        Rung::Down { rings, wait, .. } => (*rings, *wait),
    };
    if rings {
        step(carrier, line, Status::Ringing);
    }
    if hung_up(controls, carrier.pace.sleep(wait)).await {
        end(carrier, line, Status::Canceled, "api", 0.0);
        return None;
    }
    match rung {
        Rung::Up { callee, machine, .. } => Some((callee, machine)),
        Rung::Down { status, .. } => {
            end(carrier, line, status, "callee", 0.0);
            None
        }
    }
}

async fn answered(
    carrier: &Arc<Carrier>,
    line: &Arc<Line>,
    mut controls: Controls,
    (callee, machine): (Callee, Option<Detected>),
) {
    step(carrier, line, Status::InProgress);
    if is_true(&line.form, "Record") {
        recordings::start(carrier, line, &line.form, "OutboundAPI");
    }
    let limit = get(&line.form, "TimeLimit").and_then(|t| t.parse().ok()).unwrap_or(14_400.0);
    let mut session = Session::new(carrier, line, callee, limit);
    let detection = detection(line, machine);
    let mut extra = Form::new();
    if let Some((by, after)) = detection {
        if is_true(&line.form, "AsyncAmd") {
            report_later(carrier, line, by, after);
        } else {
            // The document waits for the verdict, and so does the callee.
            session.waits_for_detection(after).await;
            line.state().answered_by = Some(by.to_owned());
            carrier.ledger.edit(&line.sid, |leg| leg.answered_by = Some(by.to_owned()));
            extra.push(("AnsweredBy".into(), by.into()));
        }
    }
    let mut source = match get(&line.form, "Twiml") {
        Some(twiml) => Source::Inline(twiml.to_owned()),
        None => Source::Fetch {
            url: get(&line.form, "Url").unwrap_or_default().to_owned(),
            method: get(&line.form, "Method").unwrap_or("POST").to_ascii_uppercase(),
            extra,
        },
    };
    let by = loop {
        let interrupt = tokio::select! {
            biased;
            control = controls.recv() => control,
            by = session.run(source) => break by,
        };
        session.interrupt();
        match interrupt {
            Some(Control::Goto(next)) => source = next,
            Some(Control::HangUp) | None => break "api",
        }
    };
    end(carrier, line, Status::Completed, by, session.seconds());
}

/// What detection finds and when, where it was asked for.
fn detection(line: &Line, machine: Option<Detected>) -> Option<(&'static str, f64)> {
    let mode = get(&line.form, "MachineDetection").filter(|_| get(&line.form, "SendDigits").is_none())?;
    Some(match machine {
        None => ("human", AMD_HUMAN),
        Some(m) if mode == "DetectMessageEnd" => (m.answered_by, m.beep_after),
        Some(m) if m.answered_by.starts_with("machine") => ("machine_start", AMD_MACHINE.min(m.beep_after)),
        Some(m) => (m.answered_by, AMD_MACHINE),
    })
}

fn report_later(carrier: &Arc<Carrier>, line: &Arc<Line>, by: &'static str, after: f64) {
    let (owner, line) = (Arc::clone(carrier), Arc::clone(line));
    carrier.life.spawn(async move {
        owner.pace.sleep(after).await;
        if line.status().is_over() {
            return;
        }
        line.state().answered_by = Some(by.to_owned());
        owner.ledger.edit(&line.sid, |leg| leg.answered_by = Some(by.to_owned()));
        let Some(url) = get(&line.form, "AsyncAmdStatusCallback") else { return };
        let method = get(&line.form, "AsyncAmdStatusCallbackMethod").unwrap_or("POST");
        let took = std::time::Duration::try_from_secs_f64(after).unwrap_or_default();
        let form = vec![
            ("CallSid".into(), line.sid.clone()),
            ("AccountSid".into(), owner.account.sid.clone()),
            ("AnsweredBy".into(), by.into()),
            ("MachineDetectionDuration".into(), took.as_millis().to_string()),
        ];
        callbacks::other(&owner, &line, "amd", url, method, form);
    });
}
