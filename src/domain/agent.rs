//! What an agent is: data (definition, prompt, schema) and the few things that must be exact (tools, scoring,
//! conclusion). Engines know this shape and no agent; an agent knows no transport and no store.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::clock::Millis;
use crate::domain::disposition::Ending;
use crate::domain::draft::Draft;
use crate::domain::talk::{Act, Heard, Line, Note};

/// The data of an agent, read from `agent.toml` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The name clients use in `"agent"`.
    pub name: String,
    /// Raised with every change of wording or behaviour; kept in each call's record.
    pub version: String,
    /// What it is for, in one sentence.
    pub description: String,
    /// The carrier's voice (`Polly.Joanna-Neural`, …).
    pub voice: String,
    /// BCP 47, for recogniser and voice.
    pub language: String,
    /// Lines that are spoken without the model.
    pub lines: Lines,
    /// Where it stops.
    pub limits: Limits,
    /// How the model is asked.
    pub model: ModelSettings,
    /// The tools it may call, by name.
    pub tools: Vec<String>,
    /// The event sent with its outcome, e.g. `worker_profile_completed`.
    pub outcome_event: String,
    /// Where its outcome is put in S3: `calls/{outcome_folder}/{date}/{call_id}/{outcome_file}`.
    pub outcome_folder: String,
    /// See `outcome_folder`.
    pub outcome_file: String,
    /// Words the recogniser should expect.
    #[serde(default)]
    pub hints: Vec<String>,
    /// May the talk go on only after consent?
    #[serde(default = "yes")]
    pub needs_consent: bool,
}

fn yes() -> bool {
    true
}

/// Spoken lines; each is a minijinja template over the call's variables (`name`, `company`, …).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// Who calls, that it is an AI and may be recorded, and the question for consent.
    pub greeting: String,
    /// While the model is slow; used in order.
    pub bridges: Vec<String>,
    /// Nothing was heard, by count of silences.
    pub silence: Vec<String>,
    /// Words were heard but not understood, by count.
    pub misheard: Vec<String>,
    /// Our side failed; spoken before hanging up.
    pub failure: String,
    /// Consent was refused.
    pub refused: String,
    /// Consent was neither given nor refused; asked again.
    pub consent_again: String,
    /// After an opt-out.
    pub opted_out: String,
    /// After silence to the end.
    pub silent_goodbye: String,
    /// When a limit is reached.
    pub limit_goodbye: String,
    /// Before a transfer.
    pub transfer: String,
    /// A person was asked for and nobody can take the call now.
    pub no_transfer: String,
    /// Spoken to a machine where the campaign wants a message.
    pub voicemail: String,
}

/// Where a call of this agent stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Turns of the callee.
    pub max_turns: u32,
    /// Seconds from the answer.
    pub max_seconds: u32,
    /// Silent turns in a row.
    pub max_silences: u32,
    /// Seconds of silence that make a silent turn.
    pub silence_s: u32,
}

/// How the model is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// 0 to 2.
    pub temperature: f64,
    /// Tokens of one spoken answer.
    pub max_tokens: u32,
}

/// An agent, ready to talk.
#[derive(Clone)]
pub struct Agent {
    /// Its data.
    pub definition: Definition,
    /// The system message, a minijinja template over `variables`, `definition`, `style`.
    pub prompt: String,
    /// JSON schema of the final extraction; `Null` where it has none.
    pub schema: Value,
    /// Its tools, those allowed by the definition.
    pub tools: Vec<Arc<dyn Tool>>,
    /// The line `STATE: {…}` that ends the system message: what is known and what to ask next.
    pub state: fn(&StateView<'_>) -> Value,
    /// Called once for each thing heard, before the model: scores and counts. Returns the score, 0 to 10, and
    /// whether the agent should thank and end (with the line to say).
    pub observe: fn(&mut Draft, &Observed<'_>) -> Observation,
    /// Called once after the end: the outcome from notes and extraction.
    pub conclude: fn(&Conclusion<'_>) -> Outcome,
}

/// What `state` sees.
pub struct StateView<'a> {
    /// The agent's notes.
    pub draft: &'a Draft,
    /// Consent so far.
    pub consent: Option<bool>,
    /// Now.
    pub now: Millis,
    /// The call's variables.
    pub variables: &'a BTreeMap<String, String>,
}

/// What `observe` sees: one thing heard and the question it answers.
pub struct Observed<'a> {
    /// The turn's number.
    pub turn: u32,
    /// What was heard.
    pub heard: &'a Heard,
    /// What our agent said last.
    pub question: &'a str,
    /// Consent as it stood before this was heard.
    pub consent: Option<bool>,
    /// Now.
    pub now: Millis,
}

/// What `observe` finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// How difficult the callee is so far, 0 to 10.
    pub score: f64,
    /// Thank and end with this line and this ending.
    pub end: Option<(String, Ending)>,
}

/// A tool as models are told of it: one JSON object with `name`, `description` and `parameters`.
#[must_use]
pub fn declaration(name: &str, description: &str, parameters: &Value) -> Arc<RawValue> {
    let all = serde_json::json!({"name": name, "description": description, "parameters": parameters});
    // A JSON value is JSON.
    serde_json::value::to_raw_value(&all).unwrap_or_default().into()
}

/// A tool the model may call. It sees its own call alone, and has no rights beyond it.
pub trait Tool: Send + Sync {
    /// Its name on the wire.
    fn name(&self) -> &'static str;
    /// When to call it, for the model.
    fn description(&self) -> &'static str;
    /// JSON schema of its arguments.
    fn parameters(&self) -> Value;
    /// Name, description and parameters as one JSON object, as models are told of it.
    fn declaration(&self) -> Arc<RawValue> {
        declaration(self.name(), self.description(), &self.parameters())
    }
    /// Is all that it does in what it returns and leaves in its context? Then nothing has happened anywhere before the turn
    /// is committed, and a turn that was lost on its way may be taken anew from its beginning. A tool that reaches beyond
    /// its context says false, and its results are durable before the model sees them.
    fn contained(&self) -> bool {
        false
    }
    /// Does it. Arguments that don't fit the schema are answered with `{"ok":false,"problems":[…]}`, never an error.
    fn call<'a>(&'a self, args: &'a Value, context: &'a mut ToolContext) -> BoxFuture<'a, Value>;
}

/// The first permitted moment from a moment on; `None` where there is none in the days that can be seen ahead.
pub type NextOpening = Arc<dyn Fn(Millis) -> Option<Millis> + Send + Sync>;

/// When a callee may be called, and on which clock they reckon.
#[derive(Clone)]
pub struct CallTimes {
    /// The zones their clock may show (IANA), the likeliest first: the contact's own alone where the client named it,
    /// else all that the number may lie in.
    pub zones: Vec<String>,
    /// What the calling window and the law leave open.
    pub opening: NextOpening,
}

impl CallTimes {
    /// At any time, on this clock.
    #[must_use]
    pub fn always(zone: &str) -> Self {
        Self { zones: vec![zone.to_owned()], opening: Arc::new(Some) }
    }
}

impl std::fmt::Debug for CallTimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallTimes").field("zones", &self.zones).finish_non_exhaustive()
    }
}

/// What a tool may read and change.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// The agent's notes.
    pub draft: Draft,
    /// The turn it runs in.
    pub turn: u32,
    /// What the callee said in this turn, as heard.
    pub heard: String,
    /// Consent so far.
    pub consent: Option<bool>,
    /// Now.
    pub now: Millis,
    /// When the callee may be called, and on which clock they reckon.
    pub times: CallTimes,
    /// The call's variables.
    pub variables: BTreeMap<String, String>,
    /// Acts it asks for: hang up, transfer. The engine decides whether the call may.
    pub acts: Vec<Act>,
    /// What it found that concerns more than the talk.
    pub notes: Vec<Note>,
}

/// What `conclude` sees.
pub struct Conclusion<'a> {
    /// The agent's notes.
    pub draft: &'a Draft,
    /// The transcript.
    pub lines: &'a [Line],
    /// The model's extraction by the agent's schema; `None` where there was none.
    pub extraction: Option<&'a Value>,
    /// The call's keyed number.
    pub phone_hash: &'a str,
    /// Consent.
    pub consent: Option<bool>,
    /// How it ended.
    pub ending: &'a Ending,
    /// Now.
    pub now: Millis,
}

/// What came of a call, in the agent's terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The document for S3 and the webhook; `None` where there is nothing to tell (no consent, no fact).
    pub document: Option<Value>,
    /// The key it stands under in the webhook (`profile`).
    pub document_field: &'static str,
    /// How difficult the callee was, 0 to 10.
    pub adversarial_score: Option<f64>,
    /// Found gaps, for the status API and the counters.
    pub employment_gaps: Option<Value>,
}
