//! Agents this model has never heard of: fill the first tool whose parameters can be filled from the callee's words.

use serde_json::{Map, Value, json};

use super::state::Scene;
use super::wire::Request;
use super::{cues, listen};

type Call = (String, Map<String, Value>);

/// Tools that end or leave the call; they need a reason in the callee's words.
const LEAVING: &[(&str, &str)] = &[
    ("opt_out", "opt_out"),
    ("wrong_number", "wrong_number"),
    ("schedule_callback", "callback"),
    ("transfer_to_person", "person"),
    ("finish", "bye"),
];

/// The calls for one answer of the callee.
pub(crate) fn plan(request: &Request, scene: &Scene) -> Vec<Call> {
    if scene.heard.trim().is_empty() {
        return vec![];
    }
    let offered = |name: &str| request.tools.iter().find(|t| t.function.name == name);
    let facts = listen::understand(&scene.context(), &scene.heard);
    for fact in &facts {
        let fixed = match fact {
            listen::Fact::OptOut => Some(("opt_out", json!({"words": scene.heard}))),
            listen::Fact::WrongNumber => Some(("wrong_number", json!({}))),
            listen::Fact::CallBack(when) => Some(("schedule_callback", json!({"when": when}))),
            listen::Fact::WantsPerson => {
                Some(("transfer_to_person", json!({"reason": "the callee asks for a person"})))
            }
            listen::Fact::Consent(given) => Some(("record_consent", json!({"given": given}))),
            listen::Fact::WhoAreYou => return vec![],
            _ => None,
        };
        if let Some((name, args)) = fixed
            && offered(name).is_some()
        {
            return vec![(name.to_owned(), args.as_object().cloned().unwrap_or_default())];
        }
    }
    let leaving = |name: &str| LEAVING.iter().any(|(l, _)| name.starts_with(l));
    let fit =
        request.tools.iter().filter(|t| !leaving(&t.function.name) && t.function.name != "record_consent");
    fit.filter_map(|t| Some((t.function.name.clone(), fill(t.function.parameters.as_ref()?, &scene.heard)?)))
        .take(1)
        .collect()
}

/// A call because the request demands one: the named tool or the first.
pub(crate) fn forced(request: &Request, scene: &Scene, name: Option<&str>) -> Option<Call> {
    let tool = request.tools.iter().find(|t| name.is_none_or(|n| t.function.name == n))?;
    let args = tool.function.parameters.as_ref().and_then(|p| fill(p, &scene.heard)).unwrap_or_default();
    Some((tool.function.name.clone(), args))
}

/// Arguments from the callee's words: booleans and enumerations by yes and no, strings by the words themselves. `None` where a required one
/// cannot be told.
fn fill(parameters: &Value, heard: &str) -> Option<Map<String, Value>> {
    let text = super::dates::lower(heard);
    let (yes, no) = (cues::affirms(&text), cues::denies(&text));
    let properties = parameters.get("properties").and_then(Value::as_object)?;
    let required: Vec<&str> = parameters
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut out = Map::new();
    for (key, schema) in properties {
        let kinds = types(schema);
        let value = if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            let said = words
                .iter()
                .find(|w| super::dates::place(&text, &super::dates::lower(w).replace('_', " ")).is_some());
            let of = |list: &[&str]| words.iter().copied().find(|w| list.contains(w));
            said.copied()
                .or_else(|| if no { of(&["no", "declined", "rejected", "negative"]) } else { None })
                .or_else(|| if yes { of(&["yes", "confirmed", "accepted", "positive"]) } else { None })
                .or_else(|| of(&["other", "unclear", "unknown", "none"]))
                .map(Value::from)
        } else if kinds.contains(&"boolean") {
            (yes || no).then_some(Value::Bool(yes && !no))
        } else if kinds.contains(&"integer") || kinds.contains(&"number") {
            text.split(|c: char| !c.is_ascii_digit())
                .find(|d| !d.is_empty())
                .and_then(|d| d.parse::<i64>().ok())
                .map(Value::from)
        } else if kinds.contains(&"array") {
            Some(json!([heard.trim()]))
        } else if kinds.contains(&"string") {
            Some(Value::from(heard.trim()))
        } else {
            None
        };
        match value {
            Some(value) => {
                out.insert(key.clone(), value);
            }
            None if kinds.contains(&"null") => {
                out.insert(key.clone(), Value::Null);
            }
            None if required.contains(&key.as_str()) => return None,
            None => {}
        }
    }
    (!out.is_empty()).then_some(out)
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

/// Drops what the tool does not know and every null it does not allow; adds the nulls that strict mode wants.
pub(crate) fn shape(request: &Request, name: &str, args: &mut Map<String, Value>) {
    let Some(tool) = request.tools.iter().find(|t| t.function.name == name) else { return };
    let Some(properties) = tool.function.parameters.as_ref().and_then(|p| p.get("properties")?.as_object())
    else {
        return;
    };
    let nullable = |schema: &Value| {
        types(schema).contains(&"null")
            || schema
                .get("anyOf")
                .and_then(Value::as_array)
                .is_some_and(|a| a.iter().any(|s| types(s).contains(&"null")))
    };
    args.retain(|key, value| properties.get(key).is_some_and(|schema| !value.is_null() || nullable(schema)));
    for (key, value) in args.iter_mut() {
        let text = properties.get(key).is_some_and(|schema| types(schema).contains(&"string"));
        if let (true, Value::Number(number)) = (text, &*value) {
            *value = Value::String(number.to_string());
        }
    }
    if tool.function.strict == Some(true) {
        for (key, schema) in properties {
            if !args.contains_key(key) && nullable(schema) {
                args.insert(key.clone(), Value::Null);
            }
        }
    }
}
