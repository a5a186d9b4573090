//! The JSON of chat completions: what we send and what comes back.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

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

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::System(text) => Plain { role: "system", content: text }.serialize(to),
            Self::User(text) => Plain { role: "user", content: text }.serialize(to),
            Self::Assistant { text, calls } if calls.is_empty() => {
                Plain { role: "assistant", content: text }.serialize(to)
            }
            Self::Assistant { text, calls } => {
                let content = Some(text.as_str()).filter(|text| !text.is_empty());
                let tool_calls = calls.iter().map(Called::of).collect();
                Calling { role: "assistant", content, tool_calls }.serialize(to)
            }
            Self::Tool { id, content } => Told { role: "tool", tool_call_id: id, content }.serialize(to),
        }
    }
}

#[derive(Serialize)]
struct Plain<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Calling<'a> {
    role: &'static str,
    content: Option<&'a str>,
    tool_calls: Vec<Called<'a>>,
}

#[derive(Serialize)]
struct Called<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

impl<'a> Called<'a> {
    fn of(call: &'a ToolCall) -> Self {
        let function = Function { name: &call.name, arguments: &call.args_json };
        Self { id: &call.id, kind: "function", function }
    }
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Told<'a> {
    role: &'static str,
    tool_call_id: &'a str,
    content: &'a str,
}

/// A tool as it is described to the model: a JSON object with its name, its description and the schema of its parameters.
/// It is the same in every request, and so is kept as text.
#[derive(Clone, Debug)]
pub struct ToolSpec(pub Arc<RawValue>);

impl Serialize for ToolSpec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Tool<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            function: &'a RawValue,
        }
        Tool { kind: "function", function: &self.0 }.serialize(to)
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
