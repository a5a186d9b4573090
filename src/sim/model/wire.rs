//! The wire types of the chat completions API, as far as a server needs them. Written from the vendor's documentation, not shared with
//! the client side of this crate, so that a misspelt field cannot agree with itself.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A request body.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    #[serde(default)]
    pub(crate) model: Option<String>,
    pub(crate) messages: Vec<Message>,
    #[serde(default)]
    pub(crate) tools: Vec<Tool>,
    #[serde(default)]
    pub(crate) tool_choice: Option<Value>,
    #[serde(default)]
    pub(crate) parallel_tool_calls: Option<bool>,
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    #[serde(default)]
    pub(crate) stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub(crate) response_format: Option<ResponseFormat>,
    #[serde(default)]
    pub(crate) max_tokens: Option<u32>,
    #[serde(default)]
    pub(crate) max_completion_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamOptions {
    #[serde(default)]
    pub(crate) include_usage: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) content: Option<Value>,
    #[serde(default)]
    pub(crate) tool_calls: Vec<ToolCall>,
    #[serde(default)]
    pub(crate) tool_call_id: Option<String>,
}

impl Message {
    /// The text, whether the content is a string or a list of parts.
    pub(crate) fn text(&self) -> String {
        match &self.content {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|p| p.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) function: FunctionCall,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FunctionCall {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tool {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) function: Function,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) parameters: Option<Value>,
    #[serde(default)]
    pub(crate) strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ResponseFormat {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) json_schema: Option<JsonSchema>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct JsonSchema {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) strict: Option<bool>,
    #[serde(default)]
    pub(crate) schema: Option<Value>,
}

/// What the model answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Words.
    Text(String),
    /// Calls of tools, name and arguments.
    Tools(Vec<(String, Map<String, Value>)>),
    /// It will not.
    Refusal(String),
}

/// An error in the vendor's shape.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn invalid(message: impl Into<String>, param: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code: None,
            param: Some(param.into()),
            message: message.into(),
        }
    }

    pub(crate) fn body(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }
}

impl Request {
    /// What the vendor checks before any model runs.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        if self.messages.is_empty() {
            return Err(Refused::invalid(
                "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
                "messages",
            ));
        }
        for (i, tool) in self.tools.iter().enumerate() {
            if tool.kind != "function" {
                return Err(Refused::invalid(
                    format!("Invalid value: '{}'. Supported values are: 'function'.", tool.kind),
                    format!("tools[{i}].type"),
                ));
            }
            let named = !tool.function.name.is_empty()
                && tool.function.name.len() <= 64
                && tool.function.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if !named {
                return Err(Refused::invalid(
                    format!(
                        "Invalid 'tools[{i}].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
                    ),
                    format!("tools[{i}].function.name"),
                ));
            }
            if tool.function.strict == Some(true)
                && let Some(parameters) = &tool.function.parameters
            {
                strict(parameters, &format!("function '{}'", tool.function.name))?;
            }
        }
        if let Some(format) = &self.response_format
            && format.kind == "json_schema"
        {
            let Some(schema) = &format.json_schema else {
                return Err(Refused::invalid(
                    "Missing required parameter: 'response_format.json_schema'.",
                    "response_format.json_schema",
                ));
            };
            if schema.strict == Some(true)
                && let Some(body) = &schema.schema
            {
                strict(body, &format!("response_format '{}'", schema.name))?;
            }
        }
        self.check_order()
    }

    /// Every tool call has its answer right behind it, and no answer stands alone.
    fn check_order(&self) -> Result<(), Refused> {
        let mut open: Vec<&str> = Vec::new();
        let unanswered = |open: &[&str], i: usize| {
            Refused::invalid(
                format!(
                    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
                    open.join(", ")
                ),
                format!("messages.[{i}].role"),
            )
        };
        let mut answering = false;
        for (i, message) in self.messages.iter().enumerate() {
            match message.role.as_str() {
                "tool" => {
                    let id = message.tool_call_id.as_deref().unwrap_or("");
                    if !answering {
                        return Err(Refused::invalid(
                            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                            format!("messages.[{i}].role"),
                        ));
                    }
                    open.retain(|o| *o != id);
                }
                "system" | "developer" | "user" | "assistant" => {
                    if !open.is_empty() {
                        return Err(unanswered(&open, i));
                    }
                    open = message.tool_calls.iter().map(|c| c.id.as_str()).collect();
                    answering = !open.is_empty();
                }
                other => {
                    return Err(Refused::invalid(
                        format!(
                            "Invalid value: '{other}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
                        ),
                        format!("messages[{i}].role"),
                    ));
                }
            }
        }
        if open.is_empty() { Ok(()) } else { Err(unanswered(&open, self.messages.len())) }
    }
}

/// Strict mode wants every object closed and every property required.
fn strict(schema: &Value, of: &str) -> Result<(), Refused> {
    let invalid = |why: &str| {
        Refused::invalid(
            format!("Invalid schema for {of}: {why}"),
            if of.starts_with("function") { "tools" } else { "response_format" },
        )
    };
    match schema {
        Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                if map.get("additionalProperties") != Some(&Value::Bool(false)) {
                    return Err(invalid(
                        "In context=(), 'additionalProperties' is required to be supplied and to be false.",
                    ));
                }
                let required: Vec<&str> = map
                    .get("required")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                if let Some(missing) = properties.keys().find(|k| !required.contains(&k.as_str())) {
                    return Err(invalid(&format!(
                        "In context=(), 'required' is required to be supplied and to be an array including every key in properties. Missing '{missing}'."
                    )));
                }
            }
            map.values().try_for_each(|v| strict(v, of))
        }
        Value::Array(list) => list.iter().try_for_each(|v| strict(v, of)),
        _ => Ok(()),
    }
}
