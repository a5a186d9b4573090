//! Structured output: reads a numbered transcript with the ears of [`super::listen`] and fills whatever schema was asked for.

use serde_json::{Map, Value, json};

use super::dates::Date;
use super::jobs::Patch;
use super::listen::{self, Context, Fact};
use super::question;
use super::wire::Answer;

/// The answer for `schema` over the transcript in `text`.
pub(crate) fn answer(schema: &Value, text: &str) -> Answer {
    if super::dates::lower(text).contains("please refuse this request") {
        return Answer::Refusal("I'm sorry, I can't assist with that request.".into());
    }
    let facts = read(text);
    Answer::Text(fit(schema, schema, &facts).to_string())
}

/// One line of a transcript.
struct Line<'a> {
    turn: u64,
    callee: bool,
    text: &'a str,
}

/// Lines like `[3] callee: …`.
fn lines(text: &str) -> Vec<Line<'_>> {
    let parse = |line| -> Option<Line<'_>> {
        let line: &str = line;
        let (turn, rest) = line.trim().strip_prefix('[')?.split_once(']')?;
        let (who, text) = rest.split_once(':')?;
        let who = super::dates::lower(who.trim());
        let callee = ["callee", "user", "caller", "person", "worker"].iter().any(|w| who.starts_with(w));
        Some(Line { turn: turn.trim().parse().ok()?, callee, text: text.trim() })
    };
    text.lines().filter_map(parse).collect()
}

/// A value with the turns it was heard in.
fn leaf(value: impl Into<Value>, turns: &[u64]) -> Value {
    json!({"value": value.into(), "turns": turns, "confidence": 0.9})
}

/// The facts of a transcript under the names schemas are likely to use.
fn read(text: &str) -> Value {
    let mut ctx = Context { needs_consent: true, ..Context::default() };
    let mut turns: Vec<Vec<u64>> = Vec::new();
    let mut root = Map::new();
    let (mut skills, mut gaps, mut education): (Vec<Value>, Vec<Value>, Vec<Value>) = Default::default();
    let mut asked = String::new();
    for line in lines(text) {
        if !line.callee {
            asked.push(' ');
            asked.push_str(line.text);
            continue;
        }
        ctx.question = question::read(&asked);
        ctx.asked = std::mem::take(&mut asked);
        let range: Vec<Date> = ctx.question.dates.iter().map(|d| d.date).collect();
        ctx.gap = match range.as_slice() {
            [from, .., to] => Some((from.to_string(), Some(to.to_string()))),
            [from] => Some((from.to_string(), None)),
            [] => None,
        };
        let at = &[line.turn];
        for fact in listen::understand(&ctx, line.text) {
            match fact {
                Fact::Consent(given) => {
                    ctx.needs_consent = false;
                    root.insert("consent_given".into(), leaf(given, at));
                }
                Fact::Name(name) => {
                    root.insert("name".into(), leaf(name, at));
                }
                Fact::Email(email) => {
                    root.insert("email".into(), leaf(email, at));
                }
                Fact::Job(patch) => note(&mut ctx.jobs, &mut turns, patch, line.turn),
                Fact::NeverWorkedAt(company) => {
                    if let Some(i) = ctx.jobs.iter().position(|j| j.company.as_ref() == Some(&company)) {
                        ctx.jobs.remove(i);
                        turns.remove(i);
                    }
                }
                Fact::Gap { start, end, kind, words } => gaps.push(json!({
                    "start": leaf(start, at), "end": leaf(end.unwrap_or_else(|| "present".into()), at), "kind": leaf(kind, at), "explanation": leaf(words, at), "resolved": leaf(kind != "unknown", at), "turns": at,
                })),
                Fact::Skills(list) => skills.extend(list.into_iter().map(|s| leaf(s, at))),
                Fact::Education { institution, degree, year } => education.push(json!({
                    "institution": leaf(institution, at), "degree": leaf(degree, at), "year": leaf(year, at), "turns": at,
                })),
                _ => {}
            }
        }
        ctx.before = Some(line.text.to_owned());
    }
    let jobs: Vec<Value> = ctx.jobs.iter().zip(&turns).map(|(job, turns)| job_json(job, turns)).collect();
    let current = jobs.iter().find(|j| j["current"]["value"] == Value::Bool(true)).cloned();
    root.insert("current_job".into(), current.unwrap_or(Value::Null));
    root.insert("jobs".into(), jobs.into());
    root.insert("gaps".into(), gaps.into());
    root.insert("skills".into(), skills.into());
    root.insert("education".into(), education.into());
    Value::Object(root)
}

fn job_json(job: &Patch, turns: &[u64]) -> Value {
    json!({
        "company": leaf(job.company.clone(), turns), "title": leaf(job.title.clone(), turns),
        "start": leaf(job.start.map(|d| d.to_string()), turns), "end": leaf(job.end.map(|d| d.to_string()), turns),
        "current": leaf(job.current.unwrap_or(false), turns), "turns": turns, "confidence": 0.9,
    })
}

fn note(jobs: &mut Vec<Patch>, turns: &mut Vec<Vec<u64>>, patch: Patch, turn: u64) {
    let plain = |p: &Patch| p.company.as_deref().map(|c| super::dates::lower(c).replace('&', "and"));
    match jobs.iter().position(|j| plain(j) == plain(&patch)) {
        Some(i) => {
            let old = std::mem::replace(&mut jobs[i], patch);
            jobs[i].complete(old);
            if !turns[i].contains(&turn) {
                turns[i].push(turn);
            }
        }
        None => {
            jobs.push(patch);
            turns.push(vec![turn]);
        }
    }
}

/// Other names of the same things.
const ALIASES: &[(&str, &str)] = &[
    ("employment_history", "jobs"),
    ("history", "jobs"),
    ("employment", "jobs"),
    ("work_history", "jobs"),
    ("employment_gaps", "gaps"),
    ("full_name", "name"),
    ("employer", "company"),
    ("position", "title"),
    ("start_date", "start"),
    ("end_date", "end"),
    ("source_turns", "turns"),
    ("turn_numbers", "turns"),
    ("reason", "explanation"),
    ("skill", "value"),
    ("text", "value"),
    ("school", "institution"),
    ("is_current", "current"),
    ("consent", "consent_given"),
];

/// `facts` pressed into the shape of `schema`: every required property is there, nothing is invented; what is unknown is null where null
/// is allowed and empty where not.
fn fit(root: &Value, schema: &Value, facts: &Value) -> Value {
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
        let target =
            if pointer == "#" { Some(root) } else { pointer.strip_prefix('#').and_then(|p| root.pointer(p)) };
        return target.map_or(Value::Null, |t| fit(root, t, facts));
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(word).and_then(Value::as_array) {
            let null = options.iter().any(|o| kinds(o).contains(&"null"));
            if null && unknown(facts) {
                return Value::Null;
            }
            let first = options.iter().find(|o| !kinds(o).contains(&"null"));
            return first.map_or(Value::Null, |o| fit(root, o, facts));
        }
    }
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    let kinds = kinds(schema);
    let object = kinds.contains(&"object") || schema.get("properties").is_some();
    if kinds.contains(&"null") && unknown(facts) {
        return Value::Null;
    }
    if object {
        let properties = schema.get("properties").and_then(Value::as_object);
        let pick = |name: &String| -> Value {
            if let Some(found) = lookup(facts, name) {
                return found.clone();
            }
            // "name_turns" stands beside "name".
            if let Some(of) = name.strip_suffix("_turns") {
                return lookup(facts, of).and_then(|f| f.get("turns")).cloned().unwrap_or(Value::Null);
            }
            if name == "name" && facts.get("turns").is_some() && facts.get("company").is_none() {
                return facts.get("value").cloned().unwrap_or(Value::Null);
            }
            // "contact": {email, …} groups what lies side by side here; a plain value wrapped in an object keeps its turns.
            if name == "contact" || name == "person" || name == "profile" {
                facts.clone()
            } else {
                Value::Null
            }
        };
        return properties
            .into_iter()
            .flatten()
            .map(|(name, sub)| (name.clone(), fit(root, sub, &pick(name))))
            .collect::<Map<String, Value>>()
            .into();
    }
    let value = if facts.get("turns").is_some() { facts.get("value").unwrap_or(&Value::Null) } else { facts };
    if kinds.contains(&"array") {
        let items = schema.get("items").unwrap_or(&Value::Null);
        let list = value.as_array().or_else(|| facts.as_array());
        return list.into_iter().flatten().map(|item| fit(root, items, item)).collect();
    }
    scalar(schema, &kinds, value)
}

fn scalar(schema: &Value, kinds: &[&str], value: &Value) -> Value {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        if choices.contains(value) {
            return value.clone();
        }
        let fallback =
            [Value::Null, json!("unknown"), json!("other")].into_iter().find(|f| choices.contains(f));
        return fallback.or_else(|| choices.first().cloned()).unwrap_or(Value::Null);
    }
    let fits = |kind: &str| match kind {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    };
    if kinds.iter().any(|k| fits(k)) || kinds.is_empty() {
        return value.clone();
    }
    match kinds.iter().find(|k| **k == "null").or(kinds.first()) {
        Some(&"string") => value.as_i64().map_or_else(|| json!(""), |n| json!(n.to_string())),
        Some(&"boolean") => json!(false),
        Some(&"integer") => json!(0),
        Some(&"number") => json!(0.0),
        _ => Value::Null,
    }
}

fn lookup<'a>(facts: &'a Value, name: &str) -> Option<&'a Value> {
    let alias = || ALIASES.iter().find(|(from, _)| *from == name).and_then(|(_, to)| facts.get(*to));
    facts.get(name).or_else(alias)
}

fn unknown(facts: &Value) -> bool {
    facts.is_null() || (facts.get("turns").is_some() && facts.get("value").is_some_and(Value::is_null))
}

fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSCRIPT: &str = "[0] agent: Hello, I'm an AI assistant. This call may be recorded. Is it okay to go on?\n\
        [1] callee: Yes, sure.\n[2] agent: Thank you. May I have your name, and what do you do at the moment?\n\
        [3] callee: My name is Maria Lopez. I'm a cook at Sunrise Bakery.\n[4] agent: When did you start at Sunrise Bakery?\n\
        [5] callee: In May 2019.\n[6] agent: What did you do before that?\n[7] callee: Nothing, that was my first job.\n\
        [8] agent: What skills do you have?\n[9] callee: Mostly welding and Excel.\n";

    #[test]
    fn a_transcript_becomes_a_profile_with_turns() {
        let text = json!({"type": ["string", "null"]});
        let turns = json!({"type": "array", "items": {"type": "integer"}});
        let job = json!({"type": "object", "additionalProperties": false, "required": ["company", "title", "start", "end", "current", "location", "turns"],
            "properties": {"company": {"type": "string"}, "title": text, "start": text, "end": text, "current": {"type": "boolean"}, "location": text, "turns": turns}});
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["name", "employment_history", "skills", "contact"],
            "properties": {"name": {"anyOf": [{"$ref": "#/$defs/said"}, {"type": "null"}]}, "employment_history": {"type": "array", "items": job},
                "skills": {"type": "array", "items": {"$ref": "#/$defs/said"}},
                "contact": {"type": "object", "properties": {"email": text}, "required": ["email"], "additionalProperties": false}},
            "$defs": {"said": {"type": "object", "additionalProperties": false, "required": ["value", "turns"], "properties": {"value": {"type": "string"}, "turns": turns}}}});
        let Answer::Text(text) = answer(&schema, TRANSCRIPT) else { panic!("no text") };
        let profile: Value = serde_json::from_str(&text).expect("JSON");
        jsonschema::validate(&schema, &profile).expect("the schema holds");
        assert_eq!(
            profile,
            json!({"name": {"value": "Maria Lopez", "turns": [3]}, "contact": {"email": null},
                "employment_history": [{"company": "Sunrise Bakery", "title": "cook", "start": "2019-05", "end": null, "current": true, "location": null, "turns": [3, 5]}],
                "skills": [{"value": "welding", "turns": [9]}, {"value": "Excel", "turns": [9]}]})
        );
    }
}
