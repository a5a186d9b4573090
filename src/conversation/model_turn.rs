//! The model speaks: messages, at most four rounds of tools, sentences through the guard, one decision at the end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::domain::disposition::{Disposition, Ending};
use crate::llm::{Delta, Finish, Message, Model, ModelError, Request, ToolCall};

use super::answer::Answer;
use super::input::{FailureKind, Journal, JournalEntry, TurnFailure};
use super::speech::{Filter, Splitter};
use super::{messages, render, tooling};

/// Rounds in which the model may call tools; after these it must speak.
const MAX_ROUNDS: u32 = 4;
/// The model's part of one turn, all rounds together. The transport bridges the wait and gives up sooner.
const MODEL_LIMIT: Duration = Duration::from_secs(40);

/// Bytes of one answer that are read at most.
const RUNAWAY: usize = 8 * 1024;

/// One answer of the model's, heard to its end.
#[derive(Default)]
struct Said {
    /// Whole sentences, in order.
    sentences: Vec<String>,
    calls: Vec<ToolCall>,
    /// It broke off, or was cut by the token limit, after at least one whole sentence.
    cut: bool,
}

/// An answer that came to nothing.
struct Broken {
    error: ModelError,
    /// It had begun. Before that the model's client has tried twice by itself.
    begun: bool,
}

/// May the next answer be a whole one?
fn passes(error: &ModelError) -> bool {
    error.is_retryable() || matches!(error, ModelError::Malformed(_))
}

/// Lets the model take the turn, from where the journal stands.
pub(super) async fn run(
    answer: &mut Answer<'_>,
    model: &Model,
    journal: &mut impl Journal,
    machine: bool,
) -> Result<(), TurnFailure> {
    let deadline = Instant::now() + MODEL_LIMIT;
    let settings = &answer.input.agent.definition.model;
    let state = answer.state();
    let mut request = Request {
        messages: opening(answer, &state)?,
        temperature: settings.temperature,
        ..Request::default()
    };
    let mut done: Vec<Arc<JournalEntry>> =
        std::mem::take(&mut answer.input.journal).into_iter().map(Arc::new).collect();
    request.messages.extend(messages::replay(&done));
    for entry in &done {
        answer.absorb(entry);
    }
    let mut state = if done.is_empty() { state } else { answer.state() };
    let mut once_more = true;
    let filter = Filter {
        known: answer.known_text(),
        tools: answer.input.agent.tools.iter().map(|t| t.name().to_owned()).collect(),
    };
    loop {
        if decided(answer) {
            return Ok(());
        }
        let rounds = done.last().map_or(0, |e| e.round + 1);
        let read_back = answer.make_room(&state);
        request.tools = tooling::specs(answer, machine);
        request.speak_only = rounds >= MAX_ROUNDS;
        // A token is some four characters; three leave a margin for names.
        request.max_tokens = settings.max_tokens + u32::try_from(read_back / 3).unwrap_or_default();
        let mut said = match listen(answer, model, &request, &filter, deadline).await {
            Ok(said) => said,
            // Nothing was spoken and no tool was called: the same may be asked again.
            Err(Broken { error, begun: true }) if once_more && passes(&error) => {
                tracing::warn!(call_id = answer.input.call_id, %error, "the model broke off at once and is asked again");
                once_more = false;
                continue;
            }
            Err(Broken { error, .. }) => {
                failed(answer, &error);
                return Ok(());
            }
        };
        if said.calls.is_empty() || request.speak_only {
            conclude(answer, &said, &filter);
            return Ok(());
        }
        let before = done.len();
        for call in said.calls.iter_mut().filter(|c| done.iter().any(|e| e.call.id == c.id)) {
            // Servers that number their calls anew in each answer would make two results look like one.
            call.id = format!("{}_{rounds}", call.id);
        }
        let text = said.sentences.join(" ");
        tooling::run(answer, journal, &mut done, said.calls.clone(), machine).await?;
        request.messages.push(Message::Assistant { text, calls: said.calls });
        request.messages.extend(done[before..].iter().map(|entry| messages::result(entry)));
        state = answer.state();
    }
}

/// System message, transcript, what was just heard.
fn opening(answer: &Answer<'_>, state: &Value) -> Result<Vec<Message>, TurnFailure> {
    let style = state["style"].as_str().unwrap_or("normal");
    let prompt = render::prompt(answer.input.agent, &answer.variables, style).map_err(|error| {
        tracing::error!(agent = answer.input.agent.definition.name, %error, "the prompt does not render");
        TurnFailure { kind: FailureKind::Prompt }
    })?;
    let mut out = vec![messages::system(&prompt, state)];
    out.extend(messages::transcript(answer.input.lines, answer.input.attempt));
    out.push(Message::User(messages::heard_text(&answer.input.heard)));
    Ok(out)
}

/// Hears one answer. Where a transport listens, sentences leave while the model still speaks; otherwise they wait, so
/// that what was said before a tool call and may be wrong after it is never spoken.
async fn listen(
    answer: &mut Answer<'_>,
    model: &Model,
    request: &Request,
    filter: &Filter,
    deadline: Instant,
) -> Result<Said, Broken> {
    let late = || ModelError::Retryable { after: None, why: "timeout" };
    let opened = timeout_at(deadline, model.stream(request)).await.unwrap_or_else(|_| Err(late()));
    let mut deltas = opened.map_err(|error| Broken { error, begun: false })?;
    let mut said = Said::default();
    let mut splitter = Splitter::default();
    let mut length = 0;
    // A model that talks on beyond all measure is not heard to its end; one that merely talks too much may still call a
    // tool at the end of it.
    while length < RUNAWAY {
        let next = timeout_at(deadline, deltas.next()).await.unwrap_or_else(|_| Some(Err(late())));
        let whole = match next {
            Some(Ok(Delta::Text(text))) => splitter.push(&text),
            Some(Ok(Delta::Tool(call))) => {
                said.calls.push(call);
                continue;
            }
            Some(Ok(Delta::Done { finish_reason: Finish::Length, .. })) if !said.sentences.is_empty() => {
                // Half a sentence is left open by the token limit; the whole ones are spoken.
                said.cut = true;
                return Ok(said);
            }
            Some(Ok(Delta::Done { .. })) | None => break,
            Some(Err(error)) if said.sentences.is_empty() => return Err(Broken { error, begun: true }),
            Some(Err(error)) => {
                tracing::warn!(call_id = answer.input.call_id, %error, "the model broke off");
                // Calls come whole at the end of a stream; after a break none is trusted.
                said.calls.clear();
                said.cut = true;
                return Ok(said);
            }
        };
        for sentence in whole {
            if answer.streams() {
                answer.say_model(&sentence, filter);
                answer.flush().await;
            }
            length += sentence.len();
            said.sentences.push(sentence.trim().to_owned());
        }
    }
    if let Some(rest) = splitter.finish() {
        if answer.streams() {
            answer.say_model(&rest, filter);
            answer.flush().await;
        }
        said.sentences.push(rest.trim().to_owned());
    }
    Ok(said)
}

/// What a tool found out that is no longer the model's to answer. True: the turn is complete.
fn decided(answer: &mut Answer<'_>) -> bool {
    let lines = &answer.input.agent.definition.lines;
    if answer.opted_out() {
        answer.say_line(&lines.opted_out);
        answer.hang_up(Ending::new(Disposition::OptedOut, "opted_out"));
    } else if answer.dialogue.consent == Some(false) && answer.input.agent.definition.needs_consent {
        answer.say_line(&lines.refused);
        answer.hang_up(Ending::by_callee(Disposition::Rejected, "consent_refused"));
    } else if answer.human_asked() {
        answer.transfer();
    } else {
        return false;
    }
    true
}

/// The model has spoken its last of this turn.
fn conclude(answer: &mut Answer<'_>, said: &Said, filter: &Filter) {
    if !answer.streams() {
        for sentence in &said.sentences {
            answer.say_model(sentence, filter);
        }
    }
    let spoken = answer.spoken();
    if let Some(ending) = answer.end_asked.take() {
        if spoken.is_empty() {
            answer.say_ask();
        }
        answer.hang_up(ending);
        return;
    }
    if spoken.is_empty()
        || said.sentences.is_empty()
        || ((said.cut || answer.shortened) && !spoken.contains('?'))
    {
        answer.say_ask();
    } else if answer.needs_consent() && !spoken.contains('?') {
        let lines = &answer.input.agent.definition.lines;
        answer.say_line(&lines.consent_again);
    }
    answer.ask();
}

/// The model failed for good in this turn.
fn failed(answer: &mut Answer<'_>, error: &ModelError) {
    tracing::warn!(call_id = answer.input.call_id, turn = answer.input.n, %error, "the model gave no answer");
    answer.dialogue.failures += 1;
    // A tool had already ended the talk: only the last sentence is missing, and the program knows one.
    if let Some(ending) = answer.end_asked.take() {
        answer.say_ask();
        answer.hang_up(ending);
        return;
    }
    apologise(answer);
}

/// The agent's failure line, then the end.
pub(super) fn apologise(answer: &mut Answer<'_>) {
    let lines = &answer.input.agent.definition.lines;
    answer.say_line(&lines.failure);
    answer.hang_up(Ending::new(Disposition::AgentFailed, "model"));
}
