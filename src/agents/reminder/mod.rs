//! The reminder: names an appointment and records one answer. It is here to show how little an agent is.

use serde_json::{Value, json};

use super::blueprint::Blueprint;
use super::tool::{Args, Plain, object, one_of, text};
use crate::domain::agent::{Conclusion, Observation, Observed, Outcome, StateView, ToolContext};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::draft::Draft;
use crate::domain::talk::Act;

/// The agent `reminder`.
pub(super) const BLUEPRINT: Blueprint = Blueprint {
    name: "reminder",
    definition: include_str!("agent.toml"),
    prompt: include_str!("prompt.md"),
    schema: include_str!("schema.json"),
    tools: || vec![RECORD_ANSWER.ready()],
    state,
    observe,
    conclude,
};

const THANKS: &str = "Thank you, I have noted that. Goodbye.";

const RECORD_ANSWER: Plain = Plain {
    name: "record_answer",
    description: "Call it when the callee has said whether they will come.",
    parameters: || {
        let answer = one_of(&["yes", "no", "other"], "will they come?");
        object(&[("answer", answer)], &[("words", text("in their words"))])
    },
    run: record_answer,
};

fn record_answer(args: &Args<'_>, context: &mut ToolContext) -> Value {
    // The words as heard are the evidence; the model's own are second best.
    let heard = context.heard.trim();
    let words = if heard.is_empty() { args.text("words").unwrap_or_default() } else { heard };
    context.draft =
        Draft::of(&json!({ "answer": args.text("answer"), "words": words, "turn": context.turn }));
    context.acts.push(Act::HangUp { ending: Ending::new(Disposition::Completed, "answered") });
    json!({ "ok": true, "stage": "goodbye", "ask": THANKS })
}

fn state(view: &StateView<'_>) -> Value {
    let draft = view.draft.value();
    let answered = draft["answer"].is_string();
    let appointment = view.variables.get("appointment");
    json!({
        "agent": "reminder",
        "stage": if answered { "goodbye" } else { "question" },
        "appointment": appointment,
        "answer": draft["answer"],
        "ask": if answered { THANKS } else { "Will you be there for your appointment?" },
    })
}

fn observe(_: &mut Draft, _: &Observed<'_>) -> Observation {
    Observation::default()
}

/// The answer that was recorded. A reminder leaves no more to the extraction than it heard itself.
fn conclude(conclusion: &Conclusion<'_>) -> Outcome {
    let draft = conclusion.draft.value();
    let document = draft["answer"].is_string().then(|| {
        json!({
            "schema_version": 1,
            "phone_hash": conclusion.phone_hash,
            "answer": draft["answer"],
            "words": draft["words"],
            "turns": [draft["turn"]],
        })
    });
    Outcome { document, document_field: "reminder", ..Outcome::default() }
}
