//! Which tools this stage allows, and one call run under its limit. What it did beyond the talk is journaled before anyone
//! sees its result.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::domain::agent::ToolContext;
use crate::domain::talk::Note;
use crate::llm::{ToolCall, ToolSpec};

use super::answer::Answer;
use super::input::{CallTaken, Journal, JournalEntry, TurnFailure};
use super::messages::heard_text;

/// A tool that takes longer has an unknown outcome. (Shorter in unit tests, whose stuck tool never comes back.)
const TOOL_LIMIT: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 5_000 });
/// Calls of one answer that are run; a model that wants more is running away.
const MAX_CALLS_PER_ROUND: usize = 8;
/// The tools a call may use before consent: nothing that stores a fact.
const BEFORE_CONSENT: &[&str] =
    &[CONSENT_TOOL, "schedule_callback", "wrong_number", "transfer_to_person", OPT_OUT_TOOL];
const CONSENT_TOOL: &str = "record_consent";
const OPT_OUT_TOOL: &str = "opt_out";

/// May `name` be called now? Consent and opt-out are never taken from a machine.
fn allowed(answer: &Answer<'_>, name: &str, machine: bool) -> bool {
    let of_agent = answer.input.agent.definition.tools.iter().any(|t| t == name);
    let of_stage = !answer.needs_consent() || BEFORE_CONSENT.contains(&name);
    let of_person = !machine || !matches!(name, CONSENT_TOOL | OPT_OUT_TOOL);
    of_agent && of_stage && of_person
}

/// The tools the model is shown now.
pub(super) fn specs(answer: &Answer<'_>, machine: bool) -> Vec<ToolSpec> {
    answer
        .input
        .agent
        .tools
        .iter()
        .filter(|t| allowed(answer, t.name(), machine))
        .map(|t| ToolSpec(t.declaration()))
        .collect()
}

/// Runs the calls of one answer of the model's in order. Where a call did something that the turn's commit does not do, its
/// result is durable before the next one runs.
pub(super) async fn run(
    answer: &mut Answer<'_>,
    journal: &mut impl Journal,
    done: &mut Vec<Arc<JournalEntry>>,
    calls: Vec<ToolCall>,
    machine: bool,
) -> Result<(), TurnFailure> {
    let round = done.last().map_or(0, |e| e.round + 1);
    for (i, call) in calls.into_iter().enumerate() {
        let taken = CallTaken { args: call.args().unwrap_or(Value::Null), id: call.id, name: call.name };
        let contained = contained(answer, &taken.name);
        let entry = Arc::new(one(answer, done, round, taken, machine, i).await);
        if contained && may_be_lost(answer, &entry) {
            journal.hold(Arc::clone(&entry));
        } else {
            journal.append(Arc::clone(&entry)).await?;
        }
        answer.absorb(&entry);
        done.push(entry);
    }
    Ok(())
}

/// Does a call of this name do nothing outside before the turn's commit? One of no tool at all does nothing anywhere.
fn contained(answer: &Answer<'_>, name: &str) -> bool {
    answer.input.agent.tools.iter().find(|t| t.name() == name).is_none_or(|t| t.contained())
}

/// Is nothing known to anybody that a turn taken anew might contradict? Sentences that a transport passes on at once may
/// rest on the result. And who asks not to be called again is not left to whether a model says the same twice.
fn may_be_lost(answer: &Answer<'_>, entry: &JournalEntry) -> bool {
    !answer.streams() && !entry.notes.iter().any(|note| matches!(note, Note::OptedOut { .. }))
}

async fn one(
    answer: &Answer<'_>,
    done: &[Arc<JournalEntry>],
    round: u32,
    call: CallTaken,
    machine: bool,
    position: usize,
) -> JournalEntry {
    let draft = answer.dialogue.draft.clone();
    let without_effect = |call, result| JournalEntry {
        round,
        call,
        result,
        draft_after: draft.clone(),
        acts: Vec::new(),
        notes: Vec::new(),
    };
    let refuse = |why: &str| json!({"ok": false, "problems": [why]});
    // Asked for again with the same arguments (a model that repeats itself, a turn resumed): told again, not done again.
    if let Some(before) = done.iter().find(|e| e.call.name == call.name && e.call.args == call.args) {
        return without_effect(call, before.result.clone());
    }
    if position >= MAX_CALLS_PER_ROUND {
        return without_effect(call, refuse("too many calls at once"));
    }
    let tool = answer.input.agent.tools.iter().find(|t| t.name() == call.name);
    let Some(tool) = tool.filter(|_| allowed(answer, &call.name, machine)) else {
        return without_effect(call, refuse("this tool cannot be used now"));
    };
    if call.args.is_null() {
        return without_effect(call, refuse("the arguments are not a JSON object"));
    }
    // The tool works on a copy, so that one that is cut off has changed nothing.
    let mut context = context(answer);
    match timeout(TOOL_LIMIT, tool.call(&call.args, &mut context)).await {
        Ok(result) => {
            let notes = with_consent(&call, &result, context.notes);
            JournalEntry { round, call, result, draft_after: context.draft, acts: context.acts, notes }
        }
        Err(_) => {
            tracing::warn!(call_id = answer.input.call_id, tool = tool.name(), "a tool ran out of time");
            let why = "it is not known whether this worked; do not say that it did";
            without_effect(call, json!({"ok": false, "unknown": true, "problems": [why]}))
        }
    }
}

/// A consent the tool accepted always reaches the dialogue, also from a tool that leaves the note to us.
fn with_consent(call: &CallTaken, result: &Value, mut notes: Vec<Note>) -> Vec<Note> {
    let noted = notes.iter().any(|n| matches!(n, Note::Consent { .. }));
    if call.name == CONSENT_TOOL
        && !noted
        && result["ok"] == true
        && let Some(given) = call.args["given"].as_bool()
    {
        notes.push(Note::Consent { given });
    }
    notes
}

fn context(answer: &Answer<'_>) -> ToolContext {
    ToolContext {
        draft: answer.dialogue.draft.clone(),
        turn: answer.input.n,
        heard: heard_text(&answer.input.heard),
        consent: answer.dialogue.consent,
        now: answer.input.now,
        times: answer.input.times.clone(),
        variables: answer.variables.clone(),
        acts: Vec::new(),
        notes: Vec::new(),
    }
}
