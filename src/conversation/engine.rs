//! What is heard → what is done. Guards come before the model and need none; what is left is the model's.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::base::clock::SECOND;
use crate::domain::agent::{Agent, Observed};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::talk::{Act, Heard, Line, Note, Speaker, Turn, is_machine};
use crate::llm::Model;

use super::answer::Answer;
use super::guard::{consent, machine, optout};
use super::input::{Journal, TurnFailure, TurnInput, Voicemail};
use super::messages::{heard_text, keys};
use super::{model_turn, render};

/// Below this the recogniser itself does not believe its words.
const MIN_CONFIDENCE: f64 = 0.35;
/// So often "sorry?" is said in a row; then we go on with what was heard.
const MAX_MISHEARD: u32 = 3;
/// The answer to the consent question may be unclear so often; the next time counts as refused.
const MAX_UNCLEAR: usize = 2;
/// How a carrier's verdict on a machine is written in the transcript; read again in later turns.
const MACHINE_EVENT: &str = "[machine ";

/// Takes one turn. `said` receives each act as soon as it is known; the returned turn holds them all.
///
/// # Errors
/// Only where the turn has no result at all, see [`TurnFailure`]. A failing model gives a turn that apologises and ends.
pub async fn take_turn(
    model: &Model,
    input: TurnInput<'_>,
    journal: &mut impl Journal,
    said: Option<&mpsc::Sender<Act>>,
) -> Result<Turn, TurnFailure> {
    let mut answer = Answer::new(input, said);
    if let Next::Model { machine } = without_model(&mut answer) {
        model_turn::run(&mut answer, model, journal, machine).await?;
    }
    Ok(answer.finish().await)
}

/// The turn that says the agent's failure line and ends the call: for a transport whose bridges have run out, or after a
/// [`TurnFailure`]. What journaled tool calls have done stays done.
#[must_use]
pub fn failure_turn(input: TurnInput<'_>) -> Turn {
    let mut answer = Answer::new(input, None);
    record(&mut answer);
    for entry in std::mem::take(&mut answer.input.journal) {
        answer.absorb(&entry);
    }
    answer.dialogue.failures += 1;
    model_turn::apologise(&mut answer);
    answer.close()
}

/// The `k`-th bridge line (from 0) while a turn takes its time; the last one repeats.
#[must_use]
pub fn bridge_line(agent: &Agent, k: usize, variables: &BTreeMap<String, String>) -> String {
    let bridges = &agent.definition.lines.bridges;
    let template = bridges.get(k).or(bridges.last()).map_or("One moment, please.", String::as_str);
    render::line(&agent.definition, template, &render::clean(variables))
}

/// What the guards decided.
enum Next {
    /// The turn is complete.
    Done,
    /// The model takes it; `machine`: neither consent nor opt-out may be taken.
    Model { machine: bool },
}

fn without_model(answer: &mut Answer<'_>) -> Next {
    record(answer);
    match answer.input.heard.clone() {
        Heard::Started => {
            answer.say_line(&answer.input.agent.definition.lines.greeting);
            answer.ask();
        }
        Heard::Machine { kind } => carrier_machine(answer, &kind),
        Heard::TransferEnded { status } => transfer_ended(answer, &status),
        Heard::Silence => silence(answer),
        Heard::Speech { text, .. } if text.trim().is_empty() => silence(answer),
        Heard::Speech { text, confidence } => return speech(answer, &text, confidence),
        Heard::Keys { digits } => return key_press(answer, &digits),
    }
    Next::Done
}

/// Writes what was heard into the transcript.
fn record(answer: &mut Answer<'_>) {
    match answer.input.heard.clone() {
        Heard::Started => {}
        Heard::Speech { text, .. } if text.trim().is_empty() => answer.event("[silence]".to_owned()),
        Heard::Speech { text, .. } if is_machine_text(answer, &text) => {
            let words = heard_text(&answer.input.heard);
            answer.event(format!("[machine] {words}"));
        }
        Heard::Speech { confidence, .. } => {
            let words = heard_text(&answer.input.heard);
            answer.callee(words, confidence);
        }
        Heard::Keys { digits } => {
            let plural = if keys(&digits).len() == 1 { "key" } else { "keys" };
            answer.event(format!("[{plural} {}]", keys(&digits)));
        }
        Heard::Silence => answer.event("[silence]".to_owned()),
        Heard::Machine { kind } => answer.event(format!("{MACHINE_EVENT}{}]", word(&kind))),
        Heard::TransferEnded { status } => answer.event(format!("[transfer {}]", word(&status))),
    }
}

/// A carrier's word, as a word.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(40).collect()
}

fn is_machine_text(answer: &Answer<'_>, text: &str) -> bool {
    let talking = answer.dialogue.consent == Some(true)
        || (!answer.input.agent.definition.needs_consent && answer.input.n > 2);
    machine::speaks(text, talking)
}

/// Has the carrier called this attempt's callee a machine? Somebody who has consented is believed to be a person.
fn known_machine(answer: &Answer<'_>) -> bool {
    answer.dialogue.consent != Some(true)
        && (answer.input.answered_by.is_some_and(is_machine)
            || of_attempt(answer).any(|l| l.speaker == Speaker::Event && l.text.starts_with(MACHINE_EVENT)))
}

fn of_attempt<'a>(answer: &Answer<'a>) -> impl Iterator<Item = &'a Line> + use<'a> {
    let attempt = answer.input.attempt;
    answer.input.lines.iter().filter(move |l| l.attempt == attempt)
}

fn speech(answer: &mut Answer<'_>, text: &str, confidence: Option<f64>) -> Next {
    let by_carrier = known_machine(answer);
    // Before the opt-out: a greeting's "leave your number" is nobody's wish.
    if is_machine_text(answer, text) {
        answer.note(Note::Machine { kind: "speech".to_owned() });
        spoken_machine(answer);
        return Next::Done;
    }
    if optout::opts_out(text) {
        opt_out(answer, heard_text(&answer.input.heard));
        return Next::Done;
    }
    if by_carrier && answer.input.voicemail != Voicemail::Continue {
        spoken_machine(answer);
        return Next::Done;
    }
    if confidence.is_some_and(|c| c < MIN_CONFIDENCE) {
        if answer.dialogue.misheard < MAX_MISHEARD && !over_limit(answer) {
            misheard(answer);
            return Next::Done;
        }
    } else {
        answer.dialogue.misheard = 0;
    }
    answer.dialogue.silences = 0;
    let consent = || if by_carrier { consent::Answer::Unclear } else { consent::classify(text) };
    person(answer, consent, by_carrier)
}

fn key_press(answer: &mut Answer<'_>, digits: &str) -> Next {
    let by_carrier = known_machine(answer);
    if optout::keys_opt_out(digits) && !by_carrier {
        opt_out(answer, format!("key {}", keys(digits)));
        return Next::Done;
    }
    answer.dialogue.silences = 0;
    answer.dialogue.misheard = 0;
    let consent = || if by_carrier { consent::Answer::Unclear } else { consent::classify_keys(digits) };
    person(answer, consent, by_carrier)
}

/// Somebody speaks: score, consent, limits, then the model.
fn person(answer: &mut Answer<'_>, consent: impl FnOnce() -> consent::Answer, machine: bool) -> Next {
    let end = observe(answer);
    let lines = &answer.input.agent.definition.lines;
    if answer.needs_consent() {
        match consent() {
            consent::Answer::Yes => answer.note(Note::Consent { given: true }),
            consent::Answer::No => return refused(answer, "consent_refused"),
            consent::Answer::Unclear if unclear_before(answer) >= MAX_UNCLEAR && machine => {
                answer.hang_up(Ending::new(Disposition::Voicemail, "machine"));
                return Next::Done;
            }
            consent::Answer::Unclear if unclear_before(answer) >= MAX_UNCLEAR => {
                return refused(answer, "consent_unclear");
            }
            consent::Answer::Unclear => {}
        }
    }
    if let Some((line, ending)) = end {
        answer.say_line(&line);
        answer.hang_up(ending);
        return Next::Done;
    }
    if over_limit(answer) {
        answer.say_line(&lines.limit_goodbye);
        answer.hang_up(Ending::new(Disposition::Completed, "limit"));
        return Next::Done;
    }
    Next::Model { machine }
}

fn refused(answer: &mut Answer<'_>, reason: &str) -> Next {
    answer.note(Note::Consent { given: false });
    answer.say_line(&answer.input.agent.definition.lines.refused);
    answer.hang_up(Ending::by_callee(Disposition::Rejected, reason));
    Next::Done
}

/// How often the consent question was answered before without an answer to it. Words that we asked to be repeated do
/// not count.
fn unclear_before(answer: &Answer<'_>) -> usize {
    of_attempt(answer)
        .filter(|l| match l.speaker {
            Speaker::Callee => !l.confidence.is_some_and(|c| c < MIN_CONFIDENCE),
            Speaker::Event => l.text.starts_with("[key"),
            Speaker::Agent | Speaker::Bridge => false,
        })
        .count()
}

/// The agent scores what it heard. It runs on the committed notes, so that a resumed turn scores the same once.
fn observe(answer: &mut Answer<'_>) -> Option<(String, Ending)> {
    let question = of_attempt(answer).filter(|l| l.speaker == Speaker::Agent).last();
    let observed = Observed {
        turn: answer.input.n,
        heard: &answer.input.heard,
        question: question.map_or("", |l| l.text.as_str()),
        consent: answer.dialogue.consent,
        now: answer.input.now,
    };
    let observation = (answer.input.agent.observe)(&mut answer.dialogue.draft, &observed);
    answer.dialogue.adversarial_score = Some(observation.score.clamp(0.0, 10.0));
    observation.end
}

fn opt_out(answer: &mut Answer<'_>, words: String) {
    answer.note(Note::OptedOut { words });
    answer.say_line(&answer.input.agent.definition.lines.opted_out);
    answer.hang_up(Ending::new(Disposition::OptedOut, "opted_out"));
}

fn misheard(answer: &mut Answer<'_>) {
    let lines = &answer.input.agent.definition.lines.misheard;
    let k = answer.dialogue.misheard as usize;
    answer.dialogue.misheard += 1;
    answer.dialogue.silences = 0;
    match lines.get(k).or(lines.last()) {
        Some(line) => answer.say_line(line),
        None => answer.say_ask(),
    }
    answer.ask();
}

fn silence(answer: &mut Answer<'_>) {
    let definition = &answer.input.agent.definition;
    if known_machine(answer) && answer.input.voicemail != Voicemail::Continue {
        // The greeting is over and the machine listens.
        spoken_machine(answer);
        return;
    }
    answer.dialogue.silences += 1;
    if answer.dialogue.silences >= definition.limits.max_silences.max(1) {
        answer.say_line(&definition.lines.silent_goodbye);
        answer.hang_up(Ending::by_callee(Disposition::Completed, "no_speech"));
        return;
    }
    if over_limit(answer) {
        answer.say_line(&definition.lines.limit_goodbye);
        answer.hang_up(Ending::new(Disposition::Completed, "limit"));
        return;
    }
    let lines = &definition.lines.silence;
    let k = answer.dialogue.silences as usize - 1;
    match lines.get(k).or(lines.last()) {
        Some(line) => answer.say_line(line),
        None => answer.say_ask(),
    }
    answer.ask();
}

/// A machine's greeting was heard to its end.
fn spoken_machine(answer: &mut Answer<'_>) {
    let lines = &answer.input.agent.definition.lines;
    match answer.input.voicemail {
        Voicemail::HangUp => answer.hang_up(Ending::new(Disposition::Voicemail, "machine")),
        Voicemail::Message => leave_message(answer),
        // A screener wants to know who calls.
        Voicemail::Continue => {
            answer.say_line(&lines.greeting);
            if over_limit(answer) {
                answer.hang_up(Ending::new(Disposition::Voicemail, "machine"));
            } else {
                answer.ask();
            }
        }
    }
}

/// The carrier says that it is a machine.
fn carrier_machine(answer: &mut Answer<'_>, kind: &str) {
    // A verdict that comes after somebody's clear consent is late or wrong.
    if matches!(kind, "human" | "unknown") || answer.dialogue.consent == Some(true) {
        answer.ask();
        return;
    }
    let kind = word(kind);
    answer.note(Note::Machine { kind: kind.clone() });
    match answer.input.voicemail {
        _ if kind == "fax" => answer.hang_up(Ending::new(Disposition::Voicemail, "fax")),
        Voicemail::HangUp => answer.hang_up(Ending::new(Disposition::Voicemail, "machine")),
        // Its greeting is over: `machine_end_beep`, `machine_end_silence`, `machine_end_other`.
        Voicemail::Message if kind.starts_with("machine_end") => leave_message(answer),
        // It still speaks: listen until it is done.
        Voicemail::Message | Voicemail::Continue => answer.ask(),
    }
}

fn leave_message(answer: &mut Answer<'_>) {
    answer.say_line(&answer.input.agent.definition.lines.voicemail);
    answer.hang_up(Ending::new(Disposition::Voicemail, "message_left"));
}

fn transfer_ended(answer: &mut Answer<'_>, status: &str) {
    if matches!(status, "completed" | "answered") {
        answer.hang_up(Ending::new(Disposition::Completed, "transferred"));
        return;
    }
    answer.nobody_there();
}

/// Has the call used up its turns or its minutes?
fn over_limit(answer: &Answer<'_>) -> bool {
    let limits = &answer.input.agent.definition.limits;
    let seconds = answer.input.now.saturating_sub(answer.input.answered_at) / SECOND;
    answer.input.n > limits.max_turns || seconds >= u64::from(limits.max_seconds)
}
