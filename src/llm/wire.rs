//! The JSON of chat completions: what we send and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A tool call as the model asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's own id, repeated in the answer.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments as the model wrote them; not necessarily valid JSON.
    pub args_json: String,
}

/// One message of a conversation with the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Instructions.
    System(String),
    /// What the callee said.
    User(String),
    /// What our agent said, and the tools it called.
    Assistant {
        /// The words; may be empty where there are calls.
        text: String,
        /// The calls.
        calls: Vec<ToolCall>,
    },
    /// The answer to a tool call.
    Tool {
        /// The call's id.
        id: String,
        /// The result, JSON.
        content: String,
    },
}

impl Message {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::System(text) => json!({"role": "system", "content": text}),
            Self::User(text) => json!({"role": "user", "content": text}),
            Self::Assistant { text, calls } if calls.is_empty() => {
                json!({"role": "assistant", "content": text})
            }
            Self::Assistant { text, calls } => {
                let content = if text.is_empty() { Value::Null } else { json!(text) };
                let calls: Vec<Value> = calls
                    .iter()
                    .map(|c| {
                        json!({"id": c.id, "type": "function",
                               "function": {"name": c.name, "arguments": c.args_json}})
                    })
                    .collect();
                json!({"role": "assistant", "content": content, "tool_calls": calls})
            }
            Self::Tool { id, content } => {
                json!({"role": "tool", "tool_call_id": id, "content": content})
            }
        }
    }
}

/// A tool as it is described to the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

impl ToolSpec {
    pub(super) fn to_json(&self) -> Value {
        json!({"type": "function", "function": {
            "name": self.name, "description": self.description, "parameters": self.parameters}})
    }
}

/// Tokens used, as the provider counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Of the request.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// One server-sent chunk. Everything is optional: providers leave out what they like.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    pub(super) delta: Option<Part>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    pub(super) content: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolPart>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolPart {
    pub(super) index: u32,
    pub(super) id: Option<String>,
    pub(super) function: Option<FunctionPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FunctionPart {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

/// A whole answer, not streamed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Completion {
    pub(super) choices: Vec<WholeChoice>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WholeChoice {
    pub(super) message: Part,
    pub(super) finish_reason: Option<String>,
}
