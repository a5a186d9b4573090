//! What the request tells the model: the STATE line of the system message, the talk so far, and the results of tools in this turn.

use serde_json::{Map, Value};

use super::dates::Date;
use super::jobs::Patch;
use super::listen::Context;
use super::question;
use super::wire::{Request, ToolCall};

/// A request, read.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    /// The STATE object; null where there is none.
    pub(crate) state: Value,
    /// The agent's last words before the newest answer.
    pub(crate) asked: String,
    /// The newest words of the callee.
    pub(crate) heard: String,
    /// The callee's words before those.
    pub(crate) before: Option<String>,
    /// Tools called in this turn, with their results.
    pub(crate) done: Vec<(ToolCall, Value)>,
    /// How many messages there are; varies the wording.
    pub(crate) length: usize,
}

impl Scene {
    pub(crate) fn new(request: &Request) -> Self {
        let messages = &request.messages;
        let system: Vec<String> = messages
            .iter()
            .filter(|m| matches!(m.role.as_str(), "system" | "developer"))
            .map(super::wire::Message::text)
            .collect();
        let state = system
            .iter()
            .flat_map(|s| s.lines())
            .filter_map(|line| serde_json::from_str(line.trim().strip_prefix("STATE:")?.trim()).ok())
            .next_back()
            .unwrap_or(Value::Null);
        let user = messages.iter().rposition(|m| m.role == "user");
        let head = &messages[..user.unwrap_or(0)];
        let mut done = Vec::new();
        for message in &messages[user.map_or(0, |u| u + 1)..] {
            for call in &message.tool_calls {
                let answer = messages
                    .iter()
                    .rev()
                    .find(|m| m.role == "tool" && m.tool_call_id.as_deref() == Some(&call.id));
                let result = answer.and_then(|m| serde_json::from_str(&m.text()).ok()).unwrap_or(Value::Null);
                done.push((call.clone(), result));
            }
        }
        // Everything said since the callee spoke before is one question, however many messages it took.
        let last_user = head.iter().rposition(|m| m.role == "user");
        let asked: Vec<String> = head[last_user.map_or(0, |u| u + 1)..]
            .iter()
            .filter(|m| m.role == "assistant")
            .map(super::wire::Message::text)
            .filter(|t| !t.is_empty())
            .collect();
        Self {
            state,
            asked: asked.join(" "),
            heard: user.map(|u| messages[u].text()).unwrap_or_default(),
            before: last_user.map(|u| messages[u].text()),
            done,
            length: messages.len(),
        }
    }

    /// A string of STATE.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.state.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// What the listener needs to know.
    pub(crate) fn context(&self) -> Context {
        let asked = if self.asked.is_empty() { self.text("ask").to_owned() } else { self.asked.clone() };
        let mut question = question::read(&asked);
        if question.topics.is_empty() && !self.text("ask").is_empty() {
            question.topics = question::read(self.text("ask")).topics;
        }
        if question.topics.is_empty() {
            question.topics = by_stage(self.text("stage"));
        }
        let consent = self.state.get("consent");
        let text = |v: &Value, key: &str| {
            v.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
        };
        let jobs = self.state.get("jobs").and_then(Value::as_array).into_iter().flatten().map(|job| Patch {
            company: text(job, "company"),
            title: text(job, "title"),
            start: text(job, "start").and_then(|d| Date::iso(&d)),
            end: text(job, "end").and_then(|d| Date::iso(&d)),
            current: job.get("current").and_then(Value::as_bool),
        });
        let gap = self.state.get("gap").filter(|g| g.is_object());
        Context {
            question,
            asked,
            before: self.before.clone(),
            needs_consent: consent.is_some_and(Value::is_null) || self.text("stage") == "consent",
            jobs: jobs.collect(),
            gap: gap.and_then(|g| Some((text(g, "start")?, text(g, "end")))),
        }
    }

    /// The result of the last tool of this turn, if it is an object.
    pub(crate) fn result(&self) -> Option<&Map<String, Value>> {
        self.done.last().and_then(|(_, result)| result.as_object())
    }
}

/// What is being asked where no words tell.
fn by_stage(stage: &str) -> Vec<question::Topic> {
    use question::Topic;
    match stage {
        "situation" => vec![Topic::Name, Topic::Current],
        "history" => vec![Topic::Previous],
        "gaps" => vec![Topic::Gap],
        "skills" => vec![Topic::Skills],
        "read_back" => vec![Topic::ReadBack],
        "goodbye" => vec![Topic::More],
        _ => vec![],
    }
}
