//! What the model is told: instructions and STATE in the system message, the transcript as plain turns, what was just
//! heard as the newest user message. The callee's words stand in user messages alone.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::talk::{Heard, Line, Speaker};
use crate::llm::{Message, ToolCall};

use super::input::JournalEntry;
use super::render::one_line;

/// Lines of the transcript that are told; what was learned before stands in STATE.
const MAX_LINES: usize = 40;
/// Characters of one thing heard that reach the model.
const MAX_HEARD: usize = 2_000;

/// The system message: the rendered prompt and, at its end on one line, the agent's state.
pub(super) fn system(prompt: &str, state: &Value) -> Message {
    Message::System(format!("{}\nSTATE: {state}", prompt.trim_end()))
}

/// Words of this attempt, callee and agent; bridges and events never.
pub(super) fn transcript(lines: &[Line], attempt: u32) -> Vec<Message> {
    let told: Vec<&Line> = lines
        .iter()
        .filter(|l| l.attempt == attempt && matches!(l.speaker, Speaker::Callee | Speaker::Agent))
        .filter(|l| !l.text.trim().is_empty())
        .collect();
    told[told.len().saturating_sub(MAX_LINES)..]
        .iter()
        .map(|l| match l.speaker {
            Speaker::Callee => Message::User(l.text.clone()),
            _ => Message::Assistant { text: l.text.clone(), calls: Vec::new() },
        })
        .collect()
}

/// What was just heard, as text; empty where there are no words.
pub(super) fn heard_text(heard: &Heard) -> String {
    match heard {
        Heard::Speech { text, .. } => one_line(text, MAX_HEARD),
        Heard::Keys { digits } => format!("(pressed {})", keys(digits)),
        _ => String::new(),
    }
}

/// Keys and nothing else, whatever the wire brought.
pub(super) fn keys(digits: &str) -> String {
    digits.chars().filter(|c| c.is_ascii_digit() || matches!(c, '*' | '#')).take(32).collect()
}

/// Journaled calls as the messages they were: one assistant message for each answer, then its results.
pub(super) fn replay(journal: &[Arc<JournalEntry>]) -> Vec<Message> {
    journal
        .chunk_by(|a, b| a.round == b.round)
        .flat_map(|round| {
            let calls = round
                .iter()
                .map(|e| ToolCall {
                    id: e.call.id.clone(),
                    name: e.call.name.clone(),
                    args_json: if e.call.args.is_null() { "{}".to_owned() } else { e.call.args.to_string() },
                })
                .collect();
            std::iter::once(Message::Assistant { text: String::new(), calls })
                .chain(round.iter().map(|entry| result(entry)))
        })
        .collect()
}

/// The result of one call.
pub(super) fn result(entry: &JournalEntry) -> Message {
    Message::Tool { id: entry.call.id.clone(), content: entry.result.to_string() }
}
