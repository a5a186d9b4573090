//! Server-sent chunks become text and whole tool calls.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ModelError;
use super::wire::{Chunk, ToolCall, ToolPart, Usage};

/// Arguments longer than this are nobody's: a runaway model.
const MAX_ARGUMENTS: usize = 32 * 1024;
/// More parallel calls than this in one answer are a runaway model.
const MAX_CALLS: usize = 32;

/// One piece of an answer, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Words, any number of them.
    Text(String),
    /// A tool call, whole.
    Tool(ToolCall),
    /// The end; nothing follows.
    Done {
        /// Why it ended.
        finish_reason: Finish,
        /// Tokens used, where the provider tells.
        usage: Option<Usage>,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    Stop,
    /// The model waits for its tools.
    ToolCalls,
    /// The token limit cut it.
    Length,
    /// Another word of the provider's.
    Other,
}

/// Puts one stream together. Feed it each `data:` payload, then call [`Assembler::close`].
#[derive(Debug, Default)]
pub(super) struct Assembler {
    calls: BTreeMap<u32, ToolCall>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    done: bool,
}

impl Assembler {
    /// Is the stream over?
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes one `data:` payload.
    pub(super) fn feed(&mut self, data: &str) -> Result<Vec<Delta>, ModelError> {
        if data.trim() == "[DONE]" {
            return self.close().map(|d| vec![d]);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| ModelError::Malformed("chunk"))?;
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            return Err(ModelError::from_event(&error));
        }
        self.usage = chunk.usage.or(self.usage);
        let mut out = Vec::new();
        // Azure's first chunk and OpenAI's usage chunk have no choices at all.
        for choice in chunk.choices.into_iter().take(1) {
            let part = choice.delta.unwrap_or_default();
            if part.refusal.is_some_and(|r| !r.is_empty()) {
                return Err(ModelError::Refused);
            }
            if let Some(text) = part.content.filter(|t| !t.is_empty()) {
                out.push(Delta::Text(text));
            }
            for piece in part.tool_calls.unwrap_or_default() {
                self.grow(piece)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.finish = Some(match reason.as_str() {
                    "stop" => Finish::Stop,
                    "tool_calls" | "function_call" => Finish::ToolCalls,
                    "length" => Finish::Length,
                    "content_filter" => return Err(ModelError::ContentFilter),
                    _ => Finish::Other,
                });
                out.extend(self.take_calls()?);
            }
        }
        Ok(out)
    }

    /// The stream has ended, by `[DONE]` or by its connection. Without a finish reason it was cut.
    pub(super) fn close(&mut self) -> Result<Delta, ModelError> {
        self.done = true;
        let finish_reason = self.finish.ok_or(ModelError::retryable("cut"))?;
        Ok(Delta::Done { finish_reason, usage: self.usage })
    }

    fn grow(&mut self, piece: ToolPart) -> Result<(), ModelError> {
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&piece.index) {
            return Err(ModelError::Malformed("too many tool calls"));
        }
        let call = self.calls.entry(piece.index).or_insert_with(|| ToolCall {
            id: String::new(),
            name: String::new(),
            args_json: String::new(),
        });
        if let Some(id) = piece.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if let Some(function) = piece.function {
            call.name.push_str(function.name.as_deref().unwrap_or_default());
            call.args_json.push_str(function.arguments.as_deref().unwrap_or_default());
        }
        if call.args_json.len() > MAX_ARGUMENTS || call.name.len() > 128 {
            return Err(ModelError::Malformed("tool call too long"));
        }
        Ok(())
    }

    fn take_calls(&mut self) -> Result<Vec<Delta>, ModelError> {
        std::mem::take(&mut self.calls)
            .into_iter()
            .map(|(index, mut call)| {
                if call.name.is_empty() {
                    return Err(ModelError::Malformed("tool call without a name"));
                }
                if call.id.is_empty() {
                    // Some compatible servers leave the id out; the answer needs one.
                    call.id = format!("call_{index}");
                }
                if call.args_json.trim().is_empty() {
                    "{}".clone_into(&mut call.args_json);
                }
                Ok(Delta::Tool(call))
            })
            .collect()
    }
}

/// Reads the arguments of a call; anything but a JSON object is `None`.
pub(super) fn parse_object(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok().filter(Value::is_object)
}

impl ToolCall {
    /// The arguments as a JSON object; `None` where the model wrote anything else.
    #[must_use]
    pub fn args(&self) -> Option<Value> {
        parse_object(&self.args_json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&str]) -> Result<Vec<Delta>, ModelError> {
        let mut a = Assembler::default();
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(a.feed(chunk)?);
        }
        if !a.is_done() {
            out.push(a.close()?);
        }
        Ok(out)
    }

    #[test]
    fn parallel_calls_are_assembled_by_index() {
        let out = run(&[
            r#"{"choices":[],"prompt_filter_results":[]}"#,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"one","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"two","arguments":"{"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}},{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
            "[DONE]",
        ])
        .expect("a good stream");
        let call = |id: &str, name: &str, args: &str| {
            Delta::Tool(ToolCall { id: id.into(), name: name.into(), args_json: args.into() })
        };
        assert_eq!(
            out,
            vec![
                call("a", "one", r#"{"x":1}"#),
                call("b", "two", "{}"),
                Delta::Done {
                    finish_reason: Finish::ToolCalls,
                    usage: Some(Usage { prompt_tokens: 5, completion_tokens: 7 })
                },
            ]
        );
    }

    #[test]
    fn a_stream_that_is_cut_refused_filtered_or_garbage_says_so() {
        let text = r#"{"choices":[{"delta":{"content":"Hel"}}]}"#;
        assert_eq!(run(&[text]), Err(ModelError::retryable("cut")));
        assert_eq!(run(&[text, "[DONE]"]), Err(ModelError::retryable("cut")));
        assert_eq!(run(&[text, "{nonsense"]), Err(ModelError::Malformed("chunk")));
        assert_eq!(
            run(&[text, r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#]),
            Err(ModelError::ContentFilter)
        );
        assert_eq!(run(&[r#"{"choices":[{"delta":{"refusal":"I can't"}}]}"#]), Err(ModelError::Refused));
        assert_eq!(
            run(&[r#"{"error":{"code":"server_error","message":"boom"}}"#]),
            Err(ModelError::retryable("stream_error"))
        );
        assert_eq!(
            run(&[text, r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#]).map(|v| v.len()),
            Ok(2),
            "a missing [DONE] after a finish reason is no failure"
        );
    }
}
