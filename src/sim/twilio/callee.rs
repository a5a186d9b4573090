//! Who is at the other end of an answered call, and what they do when it is their turn.

use crate::sim::people::{Reply, Talk};

/// Characters of speech in a simulated second.
pub(crate) const SPEECH_RATE: f64 = 14.0;

/// How long `text` takes to be said, in simulated seconds.
pub(crate) fn spoken_s(text: &str) -> f64 {
    let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    if chars == 0 { 0.0 } else { (f64::from(chars) / SPEECH_RATE).max(0.3) }
}

/// A person or a machine, with what they heard and have not answered yet.
#[derive(Debug)]
pub(crate) struct Callee {
    voice: Voice,
    said: String,
    pending: Option<Reply>,
}

#[derive(Debug)]
enum Voice {
    Person(Box<Talk>),
    Machine { greeting: String, until: f64 },
}

/// What the callee does in a turn that is theirs; `after` seconds from its start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    Speaks { after: f64, dur: f64, text: String, confidence: f64 },
    Presses { after: f64, digits: String },
    HangsUp { after: f64 },
    Nothing,
}

impl Callee {
    pub(crate) fn person(talk: Talk) -> Self {
        Self { voice: Voice::Person(Box::new(talk)), said: String::new(), pending: None }
    }

    pub(crate) fn machine(greeting: String, beep_after: f64) -> Self {
        Self { voice: Voice::Machine { greeting, until: beep_after }, said: String::new(), pending: None }
    }

    /// Whether a machine's greeting still runs at `now` seconds after the answer.
    pub(crate) fn talks_over_us(&self, now: f64) -> bool {
        matches!(&self.voice, Voice::Machine { until, .. } if now < *until)
    }

    /// The callee hears this.
    pub(crate) fn hears(&mut self, text: &str) {
        if !self.said.is_empty() && !text.is_empty() {
            self.said.push(' ');
        }
        self.said.push_str(text);
    }

    /// The callee's deed within a turn of `window` seconds that begins at `now`. What they would do later is kept for
    /// their next turn.
    pub(crate) fn turn(&mut self, now: f64, window: f64) -> Deed {
        let reply = match (&mut self.voice, self.pending.take()) {
            (Voice::Machine { greeting, until }, _) => {
                if now >= *until {
                    return Deed::Nothing;
                }
                return Deed::Speaks {
                    after: 0.0,
                    dur: *until - now,
                    text: greeting.clone(),
                    confidence: 0.85,
                };
            }
            (Voice::Person(_), Some(pending)) => pending,
            (Voice::Person(talk), None) if !self.said.trim().is_empty() => talk.hear(&self.said),
            (Voice::Person(_), None) => return Deed::Nothing,
        };
        self.said.clear();
        let after = match &reply {
            Reply::Says { after_s, .. } | Reply::Keys { after_s, .. } | Reply::HangsUp { after_s } => {
                *after_s
            }
            Reply::Silent => return Deed::Nothing,
        };
        if after >= window {
            self.pending = Some(later(reply, window));
            return Deed::Nothing;
        }
        match reply {
            Reply::Says { text, confidence, .. } => {
                Deed::Speaks { after, dur: spoken_s(&text), text, confidence }
            }
            Reply::Keys { digits, .. } => Deed::Presses { after, digits },
            Reply::HangsUp { .. } => Deed::HangsUp { after },
            Reply::Silent => Deed::Nothing,
        }
    }
}

/// The same reply with `passed` seconds of its delay behind it.
fn later(reply: Reply, passed: f64) -> Reply {
    let rest = |after_s: f64| (after_s - passed).max(0.3);
    match reply {
        Reply::Says { text, confidence, after_s } => Reply::Says { text, confidence, after_s: rest(after_s) },
        Reply::Keys { digits, after_s } => Reply::Keys { digits, after_s: rest(after_s) },
        Reply::HangsUp { after_s } => Reply::HangsUp { after_s: rest(after_s) },
        Reply::Silent => Reply::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_talks_until_its_beep() {
        let mut machine = Callee::machine("Leave a message.".into(), 6.0);
        machine.hears("Hello, this is a call.");
        assert!(machine.talks_over_us(2.0));
        let Deed::Speaks { dur, .. } = machine.turn(2.0, 5.0) else { panic!("it speaks") };
        assert!((dur - 4.0).abs() < 1e-9);
        assert_eq!(machine.turn(6.5, 5.0), Deed::Nothing);
    }

    #[test]
    fn a_late_answer_is_kept_for_the_next_turn() {
        let Reply::Says { text, .. } =
            later(Reply::Says { text: "Well…".into(), confidence: 0.9, after_s: 7.0 }, 5.0)
        else {
            panic!("still speech");
        };
        assert_eq!(text, "Well…");
    }
}
