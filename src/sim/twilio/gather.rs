//! `<Gather>` and `<Record>`: the callee's turn.

use super::callee::Deed;
use super::session::{Flow, Session};
use super::twiml::{Gather, Record};
use super::wire::Form;
use crate::sim::ledger::Who;

/// Simulated seconds of our prompt that a machine's greeting lets through before it counts as barging in.
const BARGE_IN: f64 = 0.8;

/// What a turn brought.
#[derive(Debug)]
enum Caught {
    Speech { text: String, confidence: f64 },
    Keys { digits: String, finished_on: Option<char> },
    Empty,
    Gone,
}

impl Session {
    pub(super) async fn gather(&mut self, gather: &Gather) -> Flow {
        for prompt in &gather.prompts {
            let over_us = gather.barge_in && gather.speech && self.callee.talks_over_us(self.clock.now());
            self.speak(prompt, if over_us { BARGE_IN } else { f64::INFINITY }).await;
            if over_us {
                break;
            }
        }
        let mut extra = Form::new();
        match self.catch(gather).await {
            Caught::Gone => return Flow::End("callee"),
            Caught::Empty if !gather.on_empty => return Flow::Next,
            Caught::Empty if gather.keys => extra.push(("Digits".into(), String::new())),
            Caught::Empty => {}
            Caught::Speech { text, confidence } => {
                extra.push(("SpeechResult".into(), text));
                extra.push(("Confidence".into(), format!("{confidence}")));
                extra.push(("Language".into(), gather.language.clone()));
            }
            Caught::Keys { digits, finished_on } => {
                extra.push(("Digits".into(), digits));
                extra.push(("FinishedOnKey".into(), finished_on.map(String::from).unwrap_or_default()));
                extra.push(("msg".into(), "Gather End".into()));
            }
        }
        self.goto(gather.action.as_deref(), &gather.method, extra)
    }

    async fn catch(&mut self, gather: &Gather) -> Caught {
        match self.callee.turn(self.clock.now(), gather.timeout) {
            Deed::Nothing => {
                self.heard(Who::Silence, gather.timeout, "silent").await;
                Caught::Empty
            }
            Deed::HangsUp { after } => {
                self.heard(Who::Silence, after, "hangs up").await;
                Caught::Gone
            }
            Deed::Speaks { after, dur, text, confidence } => {
                self.heard(Who::Silence, after, "thinking").await;
                self.heard(Who::Callee, dur, &text).await;
                if gather.speech {
                    self.heard(Who::DeadAir, gather.speech_timeout, "end of speech").await;
                    return Caught::Speech { text, confidence };
                }
                // Words into a gather for keys: nobody listens, and its time runs on.
                self.heard(Who::Silence, (gather.timeout - after).max(0.0), "not listened to").await;
                Caught::Empty
            }
            Deed::Presses { after, digits } => {
                self.heard(Who::Silence, after, "thinking").await;
                self.heard(Who::Callee, 0.3, &format!("[presses {digits}]")).await;
                if gather.keys {
                    return self.keys(gather, &digits).await;
                }
                self.heard(Who::Silence, (gather.timeout - after).max(0.0), "not listened to").await;
                Caught::Empty
            }
        }
    }

    /// Keys end a gather by number, by the finishing key, or by a pause.
    async fn keys(&mut self, gather: &Gather, pressed: &str) -> Caught {
        let mut digits = String::new();
        for key in pressed.chars() {
            if gather.finish_on.contains(key) {
                // The finishing key alone is an empty result.
                if digits.is_empty() {
                    return Caught::Empty;
                }
                return Caught::Keys { digits, finished_on: Some(key) };
            }
            digits.push(key);
            if gather.max_digits == Some(digits.len()) {
                return Caught::Keys { digits, finished_on: None };
            }
        }
        self.heard(Who::Silence, gather.timeout, "no more keys").await;
        Caught::Keys { digits, finished_on: None }
    }

    /// Listens for a recording; its length in seconds, or none where the callee hung up.
    pub(super) async fn listen_for_recording(&mut self, record: &Record) -> Option<f64> {
        match self.callee.turn(self.clock.now(), record.timeout.max(1.0)) {
            Deed::Speaks { after, dur, text, .. } => {
                let dur = dur.min(record.max_length);
                self.heard(Who::Silence, after, "thinking").await;
                self.heard(Who::Callee, dur, &text).await;
                self.heard(Who::Silence, record.timeout, "end of recording").await;
                Some(after + dur)
            }
            Deed::HangsUp { after } => {
                self.heard(Who::Silence, after, "hangs up").await;
                None
            }
            Deed::Presses { after, .. } => {
                self.heard(Who::Silence, after, "presses a key").await;
                Some(after)
            }
            Deed::Nothing => {
                self.heard(Who::Silence, record.timeout, "silent").await;
                Some(0.0)
            }
        }
    }
}
