//! The employment interview: it completes a person's work history, also that of a reluctant one, and leaves a worker
//! profile. Data: `agent.toml`, `prompt.md`, `schema.json`. Exact, and so code: the facts and their dates, the gaps,
//! the score, the course of the talk, the times of a call back.

mod callback;
mod clock_words;
mod dates;
mod desk;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gaps;
mod judge;
mod lexicon;
mod notes;
mod profile;
mod read_back;
mod reconcile;
mod record;
mod score;
mod stage;
mod steps;
mod tools;
mod words;

use serde_json::{Value, json};

use self::dates::Date;
use self::judge::Answer;
use self::notes::{Notes, Settings};
use self::stage::Stage;
use super::blueprint::Blueprint;
use crate::domain::agent::{Conclusion, Observation, Observed, Outcome, StateView};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::draft::Draft;
use crate::domain::talk::Heard;

/// The agent `interview`.
pub(super) const BLUEPRINT: Blueprint = Blueprint {
    name: "interview",
    definition: include_str!("agent.toml"),
    prompt: include_str!("prompt.md"),
    schema: include_str!("schema.json"),
    tools: || tools::TOOLS.into_iter().map(crate::agents::tool::Plain::ready).collect(),
    state,
    observe,
    conclude,
};

/// What the model is told about where the interview stands.
fn state(view: &StateView<'_>) -> Value {
    let mut notes = Notes::read(view.draft);
    notes.settings = Settings::of(view.variables);
    let plan = stage::plan(&notes, view.consent, Date::today(view.now));
    let jobs: Vec<Value> = notes
        .newest_first()
        .into_iter()
        .map(|i| &notes.jobs[i])
        .map(|job| {
            json!({
                "company": job.company, "title": job.title, "start": job.start, "end": job.end,
                "current": job.current.unwrap_or(false),
            })
        })
        .collect();
    let skills: Vec<&str> = notes.skills.iter().map(|s| s.value.as_str()).collect();
    let schools = notes.education.iter();
    let education: Vec<Value> = schools
        .map(
            |e| json!({ "institution": e.institution, "degree": e.degree, "field": e.field, "year": e.year }),
        )
        .collect();
    json!({
        "agent": "interview",
        "stage": plan.stage.as_str(),
        "consent": view.consent,
        "name": notes.name.as_ref().map(|n| n.value.as_str()),
        "jobs": jobs,
        "gap": plan.gap_json(),
        "skills": skills,
        "education": education,
        "style": plan.style.as_str(),
        "ask": plan.ask,
        "read_back": plan.read_back,
    })
}

/// Scores what was heard and counts the topic it was an answer to. Ends the talk where it has become hopeless.
fn observe(draft: &mut Draft, observed: &Observed<'_>) -> Observation {
    let mut notes = Notes::read(draft);
    let Heard::Speech { text, .. } = observed.heard else {
        return Observation { score: rounded(notes.score.value()), end: None };
    };
    let plan = stage::plan(&notes, observed.consent, Date::today(observed.now));
    let may_repeat = plan.gap.is_some() || matches!(plan.stage, Stage::Consent | Stage::ReadBack);
    notes.score.hear(score::Heard {
        turn: observed.turn,
        question: observed.question,
        answer: text,
        may_repeat,
    });
    // "I'm not working", "no schooling": the question is answered, though no tool has a fact to record.
    let closed =
        matches!(plan.topic.as_str(), "current_job" | "skills" | "education") && Answer::of(text).denies();
    let weight = plan.weight(observed.question);
    let count = notes.asked.entry(plan.topic).or_default();
    *count = if closed { u8::MAX } else { count.saturating_add(weight) };
    let end = notes.score.is_hopeless().then(|| {
        let disposition = if notes.has_facts() { Disposition::Completed } else { Disposition::Rejected };
        let line = "I understand, and I will leave it at that. Thank you for your time. Goodbye.".to_owned();
        (line, Ending::by_callee(disposition, "hostile"))
    });
    *draft = notes.write();
    Observation { score: rounded(notes.score.value()), end }
}

fn conclude(conclusion: &Conclusion<'_>) -> Outcome {
    profile::conclude(conclusion)
}

/// Two decimals: enough to compare, few enough to read.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod talk_cases;
