//! The turn being put together: acts, notes, lines and where the talk stands. Acts leave early where a transport
//! listens.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::domain::agent::StateView;
use crate::domain::disposition::Ending;
use crate::domain::talk::{Act, Dialogue, Heard, Line, Note, SayKind, Speaker, Turn};

use super::input::{JournalEntry, TurnInput};
use super::render;
use super::speech::{self, Filter, MAX_SPOKEN};

/// Characters of a read-back that are made room for.
const MAX_READ_BACK: usize = 2_000;

/// One turn in the making.
pub(super) struct Answer<'a> {
    pub(super) input: TurnInput<'a>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) dialogue: Dialogue,
    /// An end that a tool asked for; it comes after the last sentence.
    pub(super) end_asked: Option<Ending>,
    acts: Vec<Act>,
    notes: Vec<Note>,
    lines: Vec<Line>,
    spoken: Vec<String>,
    model_chars: usize,
    model_room: usize,
    pub(super) shortened: bool,
    said: Option<mpsc::Sender<Act>>,
    sent: usize,
}

impl<'a> Answer<'a> {
    pub(super) fn new(mut input: TurnInput<'a>, said: Option<&mpsc::Sender<Act>>) -> Self {
        let dialogue = std::mem::take(&mut input.dialogue);
        Self {
            variables: render::clean(input.variables),
            input,
            dialogue,
            end_asked: None,
            acts: Vec::new(),
            notes: Vec::new(),
            lines: Vec::new(),
            spoken: Vec::new(),
            model_chars: 0,
            model_room: MAX_SPOKEN,
            shortened: false,
            said: said.cloned(),
            sent: 0,
        }
    }

    /// Does a transport take sentences while the model still speaks?
    pub(super) fn streams(&self) -> bool {
        self.said.is_some()
    }

    /// Hands new acts to a listening transport. Nobody listening any more is no failure: the turn is committed all the same.
    pub(super) async fn flush(&mut self) {
        if let Some(said) = &self.said {
            for act in &self.acts[self.sent..] {
                if said.send(act.clone()).await.is_err() {
                    break;
                }
            }
        }
        self.sent = self.acts.len();
    }

    /// Speaks one of the agent's own lines.
    pub(super) fn say_line(&mut self, template: &str) {
        let text = render::line(&self.input.agent.definition, template, &self.variables);
        for sentence in speech::sentences(&text) {
            self.say(sentence);
        }
    }

    /// Makes room for what the agent's state wants read back in full. Returns the characters of it.
    pub(super) fn make_room(&mut self, state: &Value) -> usize {
        let extra = state["read_back"].as_str().map_or(0, |t| t.chars().count()).min(MAX_READ_BACK);
        self.model_room = MAX_SPOKEN + extra;
        extra
    }

    /// Speaks a sentence of the model's after the guard. Once the turn's room is used up nothing more is spoken, and
    /// `shortened` says so.
    pub(super) fn say_model(&mut self, sentence: &str, filter: &Filter) {
        let Some(text) = filter.clean(sentence) else { return };
        let room = self.model_room.saturating_sub(self.model_chars);
        let length = text.chars().count();
        if length <= room {
            self.model_chars += length + 1;
            self.say(text);
            return;
        }
        // A whole sentence that does not fit is left out; only a first one is cut.
        if self.model_chars == 0 {
            self.say(speech::shorten(&text, room));
        }
        self.model_chars = self.model_room;
        self.shortened = true;
    }

    /// Speaks what the program itself would ask next.
    pub(super) fn say_ask(&mut self) {
        let state = self.state();
        let ask = state["ask"].as_str().unwrap_or_default().trim().to_owned();
        if ask.is_empty() {
            let agent = self.input.agent;
            if let Some(line) = agent.definition.lines.misheard.first() {
                self.say_line(line);
            }
            return;
        }
        let ask = render::one_line(&ask, 1_000);
        for sentence in speech::sentences(&ask) {
            self.say(sentence);
        }
    }

    fn say(&mut self, text: String) {
        self.spoken.push(text.clone());
        self.acts.push(Act::Say { text, kind: SayKind::Content });
    }

    /// All that was spoken in this turn.
    pub(super) fn spoken(&self) -> String {
        self.spoken.join(" ")
    }

    /// Listens for the next turn.
    pub(super) fn ask(&mut self) {
        let timeout_s = self.input.agent.definition.limits.silence_s;
        self.acts.push(Act::Ask { timeout_s });
    }

    /// Ends the call; a turn ends it at most once.
    pub(super) fn hang_up(&mut self, ending: Ending) {
        if !self.ended() {
            self.dialogue.ending = Some(ending.clone());
            self.acts.push(Act::HangUp { ending });
        }
    }

    fn ended(&self) -> bool {
        self.acts.iter().any(|a| matches!(a, Act::HangUp { .. }))
    }

    /// Connects the configured person, or says that nobody is there. No other number is ever dialed.
    pub(super) fn transfer(&mut self) {
        let lines = &self.input.agent.definition.lines;
        if let Some(to) = self.input.transfer_to {
            self.say_line(&lines.transfer);
            self.acts.push(Act::Transfer { to: to.to_owned() });
            return;
        }
        self.nobody_there();
    }

    /// Nobody can take the call now; the talk goes on with its next question.
    pub(super) fn nobody_there(&mut self) {
        let lines = &self.input.agent.definition.lines;
        self.say_line(&lines.no_transfer);
        if self.needs_consent() {
            self.say_line(&lines.consent_again);
        } else if !lines.no_transfer.contains('?') {
            self.say_ask();
        }
        self.ask();
    }

    /// Takes a note with its effect on the dialogue; the same note twice counts once.
    pub(super) fn note(&mut self, note: Note) {
        match &note {
            Note::Consent { given } if self.dialogue.consent == Some(*given) => return,
            Note::Consent { given } => {
                self.dialogue.consent = Some(*given);
                self.dialogue.consent_turn = Some(self.input.n);
            }
            Note::CallBack { at, .. } => self.dialogue.callback_at = Some(*at),
            Note::HumanRequested => self.dialogue.human_requested = true,
            Note::OptedOut { .. } | Note::Machine { .. } => {}
        }
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Has this turn noted an opt-out?
    pub(super) fn opted_out(&self) -> bool {
        self.notes.iter().any(|n| matches!(n, Note::OptedOut { .. }))
    }

    /// Was a person asked for in this turn?
    pub(super) fn human_asked(&self) -> bool {
        self.notes.contains(&Note::HumanRequested)
    }

    /// Takes over what a tool call did, run just now or journaled before.
    pub(super) fn absorb(&mut self, entry: &JournalEntry) {
        self.dialogue.draft = entry.draft_after.clone();
        for note in &entry.notes {
            self.note(note.clone());
        }
        for act in &entry.acts {
            match act {
                Act::HangUp { ending } => self.end_asked = Some(ending.clone()),
                // Whatever number it names: the engine transfers to the configured one or to none.
                Act::Transfer { .. } => self.note(Note::HumanRequested),
                Act::Say { .. } | Act::Ask { .. } => {}
            }
        }
    }

    /// A line of the callee's.
    pub(super) fn callee(&mut self, text: String, confidence: Option<f64>) {
        self.line(Speaker::Callee, text, confidence);
    }

    /// A line that says what happened.
    pub(super) fn event(&mut self, text: String) {
        self.line(Speaker::Event, text, None);
    }

    fn line(&mut self, speaker: Speaker, text: String, confidence: Option<f64>) {
        let (turn, attempt, at) = (self.input.n, self.input.attempt, self.input.now);
        self.lines.push(Line { turn, attempt, speaker, text, at, confidence });
    }

    /// Is consent needed and not there yet?
    pub(super) fn needs_consent(&self) -> bool {
        self.input.agent.definition.needs_consent && self.dialogue.consent.is_none()
    }

    /// The agent's view of the talk, as it stands now.
    pub(super) fn state(&self) -> Value {
        (self.input.agent.state)(&StateView {
            draft: &self.dialogue.draft,
            consent: self.dialogue.consent,
            now: self.input.now,
            variables: &self.variables,
        })
    }

    /// Text that may be quoted with its numbers: the callee's own words and the call's variables.
    pub(super) fn known_text(&self) -> Vec<String> {
        let callee = |l: &&Line| l.speaker == Speaker::Callee;
        let heard = match &self.input.heard {
            Heard::Speech { text, .. } => Some(text.clone()),
            Heard::Keys { digits } => Some(digits.clone()),
            _ => None,
        };
        self.input
            .lines
            .iter()
            .filter(callee)
            .map(|l| l.text.clone())
            .chain(self.variables.values().cloned())
            .chain(heard)
            .collect()
    }

    /// The finished turn.
    pub(super) async fn finish(mut self) -> Turn {
        self.flush().await;
        self.close()
    }

    /// The finished turn, nobody listening.
    pub(super) fn close(mut self) -> Turn {
        let spoken = self.spoken();
        if !spoken.is_empty() {
            self.line(Speaker::Agent, spoken, None);
        }
        let n = self.input.n;
        self.dialogue.turn = n + 1;
        Turn {
            n,
            heard: self.input.heard,
            acts: self.acts,
            notes: self.notes,
            lines: self.lines,
            dialogue: self.dialogue,
        }
    }
}
