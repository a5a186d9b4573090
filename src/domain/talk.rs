//! What is heard and what is done about it, on any transport; and what is kept of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Millis;
use crate::domain::disposition::Ending;
use crate::domain::draft::Draft;

/// What is done when a machine answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Voicemail {
    /// Hang up at once.
    #[default]
    HangUp,
    /// Leave the agent's message after the beep, then hang up.
    Message,
    /// Talk on; for campaigns that expect call screeners.
    Continue,
}

impl Voicemail {
    /// Reads its word, as clients write it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "hang_up" => Some(Self::HangUp),
            "message" => Some(Self::Message),
            "continue" => Some(Self::Continue),
            _ => None,
        }
    }
}

/// Is this carrier's word for who answered (`machine_start`, `fax`, `human`, …) that of a machine?
#[must_use]
pub fn is_machine(answered_by: &str) -> bool {
    answered_by.starts_with("machine") || answered_by == "fax"
}

/// What reached us from the callee, whatever the transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "heard", rename_all = "snake_case")]
pub enum Heard {
    /// The call was answered; nothing has been said.
    Started,
    /// Words, with the recogniser's confidence from 0 to 1 where it gives one.
    Speech {
        /// The words as recognised.
        text: String,
        /// 0 to 1; `None` where the transport knows none.
        confidence: Option<f64>,
    },
    /// Keys pressed.
    Keys {
        /// `0`–`9`, `*`, `#`.
        digits: String,
    },
    /// Nothing was said in the time given.
    Silence,
    /// A machine answered.
    Machine {
        /// The carrier's own word (`machine_start`, `fax`, …).
        kind: String,
    },
    /// A transfer came to its end.
    TransferEnded {
        /// The carrier's own word (`completed`, `busy`, `no-answer`, …).
        status: String,
    },
}

/// Why a sentence is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SayKind {
    #[default]
    /// Part of the conversation; the model sees it in later turns.
    Content,
    /// Fills a wait; in the transcript, never in the model's messages.
    Bridge,
}

impl SayKind {
    // serde's `skip_serializing_if` hands over a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_content(&self) -> bool {
        *self == Self::Content
    }
}

/// What is done on the call. A list of acts is one answer of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Speak one sentence.
    Say {
        /// The words, plain text.
        text: String,
        /// Why it is spoken.
        #[serde(default, skip_serializing_if = "SayKind::is_content")]
        kind: SayKind,
    },
    /// Listen for the next turn.
    Ask {
        /// Seconds of silence before the turn counts as silent.
        timeout_s: u32,
    },
    /// Connect a person at `to` (E.164); when that fails the agent speaks on.
    Transfer {
        /// Where to, E.164.
        to: String,
    },
    /// End the call.
    HangUp {
        /// How it ended, as far as we can say now.
        ending: Ending,
    },
}

/// Something a turn found that concerns more than the talk: applied to the call's record with the turn's commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Consent to go on, given or refused.
    Consent {
        /// True: given.
        given: bool,
    },
    /// The person wants no more calls; the words are the evidence.
    OptedOut {
        /// What was said or pressed.
        words: String,
    },
    /// The person wants to be called at another time.
    CallBack {
        /// When.
        at: Millis,
        /// What was said.
        words: String,
    },
    /// The person wants to speak to a person.
    HumanRequested,
    /// It is a machine that speaks.
    Machine {
        /// Where that was learned: `speech`, or the carrier's word.
        kind: String,
    },
}

/// Who spoke a line of the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person called.
    Callee,
    /// Our agent.
    Agent,
    /// Our agent, filling a wait.
    Bridge,
    /// What happened, not what was said: silence, keys, a machine.
    Event,
}

/// A line of the transcript. `turn` is what every value of a profile refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// The turn it belongs to; the greeting is turn 0, the callee's first words are turn 1.
    pub turn: u32,
    /// The attempt it was spoken in.
    pub attempt: u32,
    /// Who.
    pub speaker: Speaker,
    /// The words.
    pub text: String,
    /// When it was committed, Unix ms.
    pub at: Millis,
    /// The recogniser's confidence, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

/// Where a conversation stands: checkpointed with each turn, so that any node can take the next one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The number of the next turn to be taken; 0 = the greeting has not been spoken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u32,
    /// Consent to go on: not yet known, given, refused.
    // What nearly every talk has is short in the record; the long names are those of before.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "c", alias = "consent")]
    pub consent: Option<bool>,
    /// The turn in which consent was given or refused.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ct", alias = "consent_turn")]
    pub consent_turn: Option<u32>,
    /// Silent turns in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silences: u32,
    /// Turns in a row that were not understood.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub misheard: u32,
    /// Model failures in this call.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// The agent's own notes of what it learned; its shape belongs to the agent.
    #[serde(default, skip_serializing_if = "Draft::is_empty")]
    pub draft: Draft,
    /// How the agent ended the talk, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// A call wanted at another time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_at: Option<Millis>,
    /// A person was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub human_requested: bool,
    /// How difficult the callee is, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "as", alias = "adversarial_score")]
    pub adversarial_score: Option<f64>,
}

// serde's `skip_serializing_if` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The result of one turn, as it is committed: what was heard, what we answered, where the talk stands after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Its number.
    pub n: u32,
    /// What was heard.
    pub heard: Heard,
    /// What we answer.
    pub acts: Vec<Act>,
    /// What concerns more than the talk.
    pub notes: Vec<Note>,
    /// The lines it adds to the transcript.
    pub lines: Vec<Line>,
    /// Where the talk stands after it; `dialogue.turn` is `n + 1`.
    pub dialogue: Dialogue,
}
