//! A tool as a table row, and the check of its arguments: what does not fit is answered in words that the model can
//! act upon, never with an error.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, ready};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::domain::agent::{Tool, ToolContext, declaration};

/// A tool that answers at once, from the call's own notes.
pub(super) struct Plain {
    /// Its name on the wire.
    pub(super) name: &'static str,
    /// When to call it.
    pub(super) description: &'static str,
    /// JSON schema of its arguments; see [`check`] for what of it is enforced.
    pub(super) parameters: fn() -> Value,
    /// Does it, with arguments that fit the schema.
    pub(super) run: fn(&Args<'_>, &mut ToolContext) -> Value,
}

impl Plain {
    /// The tool, ready to be called. Its schema and its declaration are the same in every turn, and made once.
    pub(super) fn ready(self) -> Arc<dyn Tool> {
        let schema = (self.parameters)();
        let declaration = declaration(self.name, self.description, &schema);
        Arc::new(Ready { plain: self, schema, declaration })
    }
}

struct Ready {
    plain: Plain,
    schema: Value,
    declaration: Arc<RawValue>,
}

impl Tool for Ready {
    fn name(&self) -> &'static str {
        self.plain.name
    }

    fn description(&self) -> &'static str {
        self.plain.description
    }

    fn parameters(&self) -> Value {
        self.schema.clone()
    }

    fn declaration(&self) -> Arc<RawValue> {
        Arc::clone(&self.declaration)
    }

    // A function of its arguments and of the talk: it waits for nothing and holds on to nothing.
    fn contained(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, args: &'a Value, context: &'a mut ToolContext) -> BoxFuture<'a, Value> {
        let problems = check(&self.schema, args);
        let answer = if problems.is_empty() {
            (self.plain.run)(&Args(args), context)
        } else {
            json!({ "ok": false, "problems": problems })
        };
        ready(answer).boxed()
    }
}

/// Arguments that fit their schema. Null and blank count as absent.
pub(super) struct Args<'a>(&'a Value);

impl<'a> Args<'a> {
    /// A text, trimmed.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty())
    }

    /// A truth value.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    /// A list of texts, trimmed, blanks left out.
    pub(super) fn texts(&self, name: &str) -> Vec<&'a str> {
        let items = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::trim).filter(|t| !t.is_empty()).collect()
    }
}

/// Builds the schema of an object: `required` and `optional` properties, nothing else allowed.
pub(super) fn object(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        required.iter().chain(optional).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

/// The schema of a text of at most 400 characters.
pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "maxLength": 400, "description": description })
}

/// The schema of one word out of `words`.
pub(super) fn one_of(words: &[&str], description: &str) -> Value {
    json!({ "type": "string", "enum": words, "description": description })
}

/// The schema of a truth value.
pub(super) fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

/// What of `args` does not fit `schema`, in words. Covers what our tools use: flat objects of texts, truth values,
/// closed lists and lists of texts. Null stands for an absent optional argument, as models send it.
fn check(schema: &Value, args: &Value) -> Vec<String> {
    let Some(given) = args.as_object() else {
        return vec!["arguments must be one JSON object".to_owned()];
    };
    let mut problems = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let blank =
            given.get(name).is_none_or(|v| v.is_null() || v.as_str().is_some_and(|s| s.trim().is_empty()));
        if blank {
            problems.push(format!("{name}: is required"));
        }
    }
    for (name, value) in given {
        match schema["properties"].get(name) {
            None => problems.push(format!("{name}: is not an argument of this tool")),
            Some(_) if value.is_null() => {}
            Some(property) => problems.extend(misfit(property, value).map(|why| format!("{name}: {why}"))),
        }
    }
    problems
}

fn misfit(property: &Value, value: &Value) -> Option<String> {
    match property["type"].as_str() {
        Some("boolean") => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
        Some("array") => {
            let list = value.as_array();
            let fits = list
                .is_some_and(|l| l.len() <= 50 && l.iter().all(|i| misfit(&property["items"], i).is_none()));
            (!fits).then(|| "must be a list of at most 50 short texts".to_owned())
        }
        _ => {
            let Some(word) = value.as_str() else { return Some("must be a text".to_owned()) };
            let limit = property["maxLength"].as_u64().unwrap_or(u64::MAX);
            if word.chars().count() as u64 > limit {
                return Some(format!("is longer than {limit} characters"));
            }
            let allowed = property["enum"].as_array()?;
            (!word.trim().is_empty() && !allowed.contains(value)).then(|| {
                let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
                format!("must be one of {}", words.join(", "))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let schema = object(
            &[("company", text("who")), ("given", flag("yes?"))],
            &[
                ("kind", one_of(&["a", "b"], "which")),
                ("skills", json!({"type":"array","items":text("one")})),
            ],
        );
        let cases = [
            (json!({"company":"Acme","given":true}), ""),
            (json!({"company":"Acme","given":true,"kind":null}), ""),
            (json!({"company":"Acme","given":true,"kind":"b","skills":["x"]}), ""),
            (json!({"company":" ","given":true}), "company: is required"),
            (json!({"given":true}), "company: is required"),
            (json!({"company":7,"given":true}), "company: must be a text"),
            (json!({"company":"Acme","given":"yes"}), "given: must be true or false"),
            (json!({"company":"Acme","given":true,"kind":"c"}), "kind: must be one of a, b"),
            (json!({"company":"Acme","given":true,"to":"+1"}), "to: is not an argument of this tool"),
            (
                json!({"company":"Acme","given":true,"skills":[1]}),
                "skills: must be a list of at most 50 short texts",
            ),
            (json!({"company":"x".repeat(401),"given":true}), "company: is longer than 400 characters"),
            (json!([]), "arguments must be one JSON object"),
        ];
        for (args, expected) in cases {
            assert_eq!(check(&schema, &args).join("; "), expected, "{args}");
        }
    }
}
