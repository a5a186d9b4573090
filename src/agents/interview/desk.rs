//! The desk every tool works at: the notes taken from the call's context, laid back at the end, and the answer that
//! tells the model what comes next.

use serde_json::{Value, json};

use super::dates::Date;
use super::notes::{Notes, Settings};
use super::stage;
use crate::domain::agent::ToolContext;

/// The notes in hand while one tool runs.
pub(crate) struct Desk<'a> {
    /// The call.
    pub(crate) context: &'a mut ToolContext,
    /// The notes.
    pub(crate) notes: Notes,
    /// The current month.
    pub(crate) today: Date,
}

impl<'a> Desk<'a> {
    /// Takes the notes in hand.
    pub(crate) fn open(context: &'a mut ToolContext) -> Self {
        let mut notes = Notes::read(&context.draft);
        notes.settings = Settings::of(&context.variables);
        let today = Date::today(context.now);
        Self { context, notes, today }
    }

    /// The same, for a tool that stores facts: without consent nothing about the person is stored.
    pub(crate) fn open_with_consent(context: &'a mut ToolContext) -> Result<Self, Value> {
        if context.consent == Some(true) {
            return Ok(Self::open(context));
        }
        let problem = "consent: the callee has not agreed to go on; nothing may be recorded before that";
        Err(Self::open(context).refuse(vec![problem.to_owned()], None))
    }

    /// A fact was written or taken back in this turn: whatever was to be corrected is.
    pub(crate) fn changed(&mut self) {
        self.notes.read_back.correcting = false;
        self.notes.read_back.changed_in = Some(self.context.turn);
    }

    /// Done: lays the notes back and tells what comes next.
    pub(crate) fn done(self, ask: Option<String>) -> Value {
        self.answer(true, Vec::new(), ask)
    }

    /// Not done, or not all: lays the notes back, names the problems, and tells what comes next.
    pub(crate) fn refuse(self, problems: Vec<String>, ask: Option<String>) -> Value {
        self.answer(false, problems, ask)
    }

    /// Done where there are no problems.
    pub(crate) fn settle(self, problems: Vec<String>, ask: Option<String>) -> Value {
        self.answer(problems.is_empty(), problems, ask)
    }

    fn answer(self, ok: bool, problems: Vec<String>, ask: Option<String>) -> Value {
        let plan = stage::plan(&self.notes, self.context.consent, self.today);
        self.context.draft = self.notes.write();
        let mut answer = json!({
            "ok": ok,
            "stage": plan.stage.as_str(),
            "gap": plan.gap_json(),
            "style": plan.style.as_str(),
        });
        if !problems.is_empty() {
            answer["problems"] = json!(problems);
        }
        // A question of the tool's own goes before the plan's; what is read back belongs to the plan's question.
        if ask.is_none()
            && let Some(text) = &plan.read_back
        {
            answer["read_back"] = json!(text);
        }
        answer["ask"] = json!(ask.unwrap_or(plan.ask));
        answer
    }
}
