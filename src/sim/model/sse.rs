//! An answer as the vendor sends it: one JSON body, or a stream of server-sent events in small pieces.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::wire::Answer;

/// What every chunk of an answer has in common.
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    /// Azure opens a stream with the verdict of its content filter.
    pub(crate) azure: bool,
}

fn call_id() -> String {
    format!("call_{}", &Uuid::new_v4().simple().to_string()[..24])
}

/// About four characters make a token.
pub(crate) fn tokens(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX)
}

fn usage(prompt: u32, completion: u32) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt.saturating_add(completion),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
}

fn arguments(args: &Map<String, Value>) -> String {
    Value::Object(args.clone()).to_string()
}

/// Cuts a text where the token limit falls; the reason says whether it did.
fn limited(text: &str, limit: Option<u32>) -> (&str, &'static str) {
    let most = limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX).saturating_mul(4));
    if text.len() <= most {
        return (text, "stop");
    }
    let cut = (0..=most).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    (&text[..cut], "length")
}

/// The body of an answer that is not streamed.
pub(crate) fn whole(envelope: &Envelope, answer: &Answer, prompt: u32, limit: Option<u32>) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
    let (finish, spent) = match answer {
        Answer::Text(text) => {
            let (text, finish) = limited(text, limit);
            message["content"] = json!(text);
            (finish, tokens(text))
        }
        Answer::Refusal(text) => {
            message["refusal"] = json!(text);
            ("stop", tokens(text))
        }
        Answer::Tools(calls) => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|(name, args)| json!({"id": call_id(), "type": "function", "function": {"name": name, "arguments": arguments(args)}}))
                .collect();
            let spent = tokens(&Value::from(calls.clone()).to_string());
            message["tool_calls"] = calls.into();
            ("tool_calls", spent)
        }
    };
    json!({"id": envelope.id, "object": "chat.completion", "created": envelope.created, "model": envelope.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(prompt, spent), "service_tier": "default", "system_fingerprint": "fp_carillon_sim"})
}

/// The events of a streamed answer, each with its `data:` and blank line, `[DONE]` last.
pub(crate) fn chunks(
    envelope: &Envelope,
    answer: &Answer,
    prompt: u32,
    limit: Option<u32>,
    with_usage: bool,
) -> Vec<String> {
    let mut out = Vec::new();
    if envelope.azure {
        let safe = json!({"filtered": false, "severity": "safe"});
        let filter = json!({"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe});
        out.push(event(&json!({"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": filter}]})));
    }
    let mut push = |delta: Value, finish: Option<&str>| {
        let mut chunk = json!({"id": envelope.id, "object": "chat.completion.chunk", "created": envelope.created, "model": envelope.model,
            "service_tier": "default", "system_fingerprint": "fp_carillon_sim",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]});
        if with_usage {
            chunk["usage"] = Value::Null;
        }
        out.push(event(&chunk));
    };
    let (finish, spent) = match answer {
        Answer::Text(text) => {
            let (text, finish) = limited(text, limit);
            push(json!({"role": "assistant", "content": "", "refusal": null}), None);
            for piece in pieces(text, 2) {
                push(json!({"content": piece}), None);
            }
            (finish, tokens(text))
        }
        Answer::Refusal(text) => {
            push(json!({"role": "assistant", "content": "", "refusal": null}), None);
            for piece in pieces(text, 2) {
                push(json!({"refusal": piece}), None);
            }
            ("stop", tokens(text))
        }
        Answer::Tools(calls) => {
            let mut spent = 0;
            for (index, (name, args)) in calls.iter().enumerate() {
                let args = arguments(args);
                spent += tokens(&args) + 8;
                let head = json!({"index": index, "id": call_id(), "type": "function", "function": {"name": name, "arguments": ""}});
                let mut delta = json!({"tool_calls": [head]});
                if index == 0 {
                    delta["role"] = json!("assistant");
                    delta["content"] = Value::Null;
                }
                push(delta, None);
                for piece in fragments(&args, 7) {
                    push(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), None);
                }
            }
            ("tool_calls", spent)
        }
    };
    push(json!({}), Some(finish));
    if with_usage {
        out.push(event(&json!({"id": envelope.id, "object": "chat.completion.chunk", "created": envelope.created, "model": envelope.model,
            "service_tier": "default", "system_fingerprint": "fp_carillon_sim", "choices": [], "usage": usage(prompt, spent)})));
    }
    out.push("data: [DONE]\n\n".into());
    out
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// `n` words at a time, the space in front of the later ones.
fn pieces(text: &str, n: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (i, word) in text.split_inclusive(' ').enumerate() {
        match out.last_mut() {
            Some(last) if i % n != 0 => last.push_str(word),
            _ => out.push(word.to_owned()),
        }
    }
    out
}

/// `n` characters at a time.
fn fragments(text: &str, n: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(n).map(|c| c.iter().collect()).collect()
}
