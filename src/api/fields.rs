//! Reading JSON objects field by field, so that every mistake is found at once and each names its field.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::api::problems::{FieldError, Kind, Problem};
use crate::base::clock::Millis;

/// An object being read. What is taken is checked; what is left at the end is unknown.
#[derive(Clone)]
pub(super) struct Fields {
    prefix: String,
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads `object`; `prefix` stands before each field's name in errors (`calls[3].`).
    pub(super) fn new(prefix: impl Into<String>, object: Map<String, Value>) -> Self {
        Self { prefix: prefix.into(), left: object, errors: Vec::new() }
    }

    /// A field's value; JSON's null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|v| !v.is_null())
    }

    /// Notes what is wrong with a field.
    pub(super) fn wrong(&mut self, name: &str, reason: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}{name}", self.prefix), reason));
    }

    /// Was something wrong with this field, or with a part of it?
    pub(super) fn is_wrong(&self, name: &str) -> bool {
        let name = format!("{}{name}", self.prefix);
        let part = |field: &str| {
            field.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        };
        self.errors.iter().any(|error| part(&error.field))
    }

    /// Notes an error that is complete but for the prefix of its field's name.
    pub(super) fn push(&mut self, error: FieldError) {
        self.errors.push(FieldError { field: format!("{}{}", self.prefix, error.field), ..error });
    }

    /// An object inside, read on its own; what was wrong in it comes back by [`Fields::absorb`].
    pub(super) fn nested(&mut self, name: &str) -> Option<Self> {
        match self.take(name)? {
            Value::Object(object) => return Some(Self::new(format!("{}{name}.", self.prefix), object)),
            other => self.wrong(name, format!("must be an object, not {}", kind_of(&other))),
        }
        None
    }

    /// What was wrong with an object inside.
    pub(super) fn absorb(&mut self, nested: Self) {
        self.errors.extend(nested.finish());
    }

    /// Puts loose fields into an object inside, as a column or a parameter names them: `consent_basis` → `consent.basis`.
    pub(super) fn gather(&mut self, name: &str, parts: &[&str]) {
        let mut object = Map::new();
        for part in parts {
            if let Some(value) = self.take(&format!("{name}_{part}")) {
                object.insert((*part).to_owned(), value);
            }
        }
        if !object.is_empty() {
            self.left.insert(name.to_owned(), Value::Object(object));
        }
    }

    /// Is there a field of this name?
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text of at most `max` characters, not empty.
    pub(super) fn text(&mut self, name: &str, max: usize) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.trim().is_empty() => self.wrong(name, "is empty"),
            Value::String(text) if text.chars().count() > max => {
                self.wrong(name, format!("is longer than {max} characters"));
            }
            Value::String(text) => return Some(text.trim().to_owned()),
            other => self.wrong(name, format!("must be a string, not {}", kind_of(&other))),
        }
        None
    }

    /// The same for what lists, logs and terminals show in one line: control characters are refused.
    pub(super) fn line(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.text(name, max)?;
        if text.chars().any(char::is_control) {
            self.wrong(name, "has control characters");
            return None;
        }
        Some(text)
    }

    /// A moment in RFC 3339, as Unix ms.
    pub(super) fn time(&mut self, name: &str) -> Option<Millis> {
        let text = self.text(name, 64)?;
        let at = moment(&text);
        if at.is_none() {
            self.wrong(name, "is not a time in RFC 3339 with an offset, such as 2026-01-31T09:30:00Z");
        }
        at
    }

    /// A map of at most `entries` texts of at most `length` characters each.
    pub(super) fn texts(&mut self, name: &str, entries: usize, length: usize) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let object = match self.take(name) {
            None => return out,
            Some(Value::Object(object)) => object,
            Some(other) => {
                self.wrong(name, format!("must be an object of strings, not {}", kind_of(&other)));
                return out;
            }
        };
        if object.len() > entries {
            self.wrong(name, format!("has more than {entries} entries"));
            return out;
        }
        for (key, value) in object {
            let path = format!("{name}.{key}");
            match value {
                _ if key.is_empty() || key.chars().count() > 100 => {
                    self.wrong(name, "has a name that is empty or longer than 100 characters");
                }
                Value::String(text) if text.chars().count() > length => {
                    self.wrong(&path, format!("is longer than {length} characters"));
                }
                Value::String(text) => drop(out.insert(key, text)),
                other => self.wrong(&path, format!("must be a string, not {}", kind_of(&other))),
            }
        }
        out
    }

    /// An object whose JSON is at most `bytes` long.
    pub(super) fn object(&mut self, name: &str, bytes: usize) -> Option<Value> {
        match self.take(name)? {
            value @ Value::Object(_) if value.to_string().len() <= bytes => return Some(value),
            Value::Object(_) => self.wrong(name, format!("is longer than {bytes} bytes")),
            other => self.wrong(name, format!("must be an object, not {}", kind_of(&other))),
        }
        None
    }

    /// True or false.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(yes) => return Some(yes),
            other => self.wrong(name, format!("must be true or false, not {}", kind_of(&other))),
        }
        None
    }

    /// A whole number from `min` to `max`.
    pub(super) fn whole(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        let value = self.take(name)?;
        let n = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (min..=max).contains(n));
        if n.is_none() {
            self.wrong(name, format!("must be a whole number from {min} to {max}"));
        }
        n
    }

    /// A number above `above` and at most `max`.
    pub(super) fn decimal(&mut self, name: &str, above: f64, max: f64) -> Option<f64> {
        let value = self.take(name)?;
        let n = value.as_f64().filter(|n| *n > above && *n <= max);
        if n.is_none() {
            self.wrong(name, format!("must be a number above {above} and at most {max}"));
        }
        n
    }

    /// A list of at most `entries` texts, each of which `read` understands or says what is wrong with it.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        entries: usize,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = match self.take(name)? {
            Value::Array(items) => items,
            other => {
                self.wrong(name, format!("must be a list of strings, not {}", kind_of(&other)));
                return None;
            }
        };
        if items.len() > entries {
            self.wrong(name, format!("has more than {entries} entries"));
            return None;
        }
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = format!("{name}[{i}]");
            match item.as_str().map(&read) {
                Some(Ok(value)) => out.push(value),
                Some(Err(why)) => self.wrong(&path, why),
                None => self.wrong(&path, format!("must be a string, not {}", kind_of(item))),
            }
        }
        Some(out)
    }

    /// A word that `read` understands.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let text = self.text(name, 100)?;
        let value = read(&text);
        if value.is_none() {
            self.wrong(name, format!("must be {expected}"));
        }
        value
    }

    /// Names that stand there with JSON's null.
    pub(super) fn nulls(&self) -> Vec<String> {
        self.left.iter().filter(|(_, v)| v.is_null()).map(|(k, _)| k.clone()).collect()
    }

    /// What is left, as one text in which the order of names says nothing.
    pub(super) fn canonical(&self) -> String {
        let sorted: BTreeMap<&String, &Value> = self.left.iter().collect();
        serde_json::to_string(&sorted).unwrap_or_default()
    }

    /// Everything that was wrong; what was never taken is unknown.
    pub(super) fn finish(mut self) -> Vec<FieldError> {
        for name in std::mem::take(&mut self.left).keys() {
            let shown: String = name.chars().take(100).collect();
            self.wrong(&shown, "is not a known field");
        }
        self.errors
    }
}

/// What a JSON value is, for a person to read.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A moment in RFC 3339 as Unix ms; `None` for what is none or lies before 1970.
pub(super) fn moment(text: &str) -> Option<Millis> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Millis::try_from(at.as_millisecond()).ok()
}

/// The media type of a request, lower-case, without parameters; empty where none is named.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    text.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// What JSON's parser says, as a problem.
pub(super) fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let why = text.split(" at line ").next().unwrap_or("it cannot be read");
    Problem::new(Kind::MalformedJson, format!("line {line}, column {column}: {why}"))
}

/// Reads a small JSON body, an object, whole.
pub(super) async fn small_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<Fields, Problem> {
    wants_json(headers)?;
    object_of(&whole(body, limit).await?)
}

fn wants_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media = media_type(headers);
    if media == "application/json" || media.ends_with("+json") {
        return Ok(());
    }
    Err(Problem::new(Kind::UnsupportedMediaType, "send application/json"))
}

async fn whole(body: Body, limit: usize) -> Result<Bytes, Problem> {
    to_bytes(body, limit).await.map_err(|e| {
        if is_too_large(&e) {
            Problem::new(Kind::PayloadTooLarge, format!("at most {limit} bytes are read here"))
        } else {
            Problem::new(Kind::BrokenBody, "the body was broken off")
        }
    })
}

/// The same where a body is no must: none at all is an empty object.
pub(super) async fn small_json_or_none(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Fields, Problem> {
    if headers.contains_key(header::CONTENT_TYPE) {
        wants_json(headers)?;
    }
    let bytes = whole(body, limit).await?;
    if bytes.is_empty() { Ok(Fields::new("", Map::new())) } else { object_of(&bytes) }
}

fn object_of(bytes: &[u8]) -> Result<Fields, Problem> {
    match serde_json::from_slice::<Value>(bytes).map_err(|e| malformed(&e))? {
        Value::Object(object) => Ok(Fields::new("", object)),
        other => {
            let reason = format!("must be a JSON object, not {}", kind_of(&other));
            Err(Problem::fields(Kind::InvalidRequest, vec![FieldError::new("", reason)]))
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(e) = source {
        if e.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = e.source();
    }
    false
}

/// Query parameters being read. Unknown ones are refused, since a misspelt filter would silently answer too much.
pub(super) struct Query(Fields);

impl Query {
    /// Reads a query string. A parameter that stands twice counts once, the last time.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or("").as_bytes());
        let object = pairs.map(|(k, v)| (k.into_owned(), Value::String(v.into_owned()))).collect();
        Self(Fields::new("", object))
    }

    /// A parameter's text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.text(name, 2_048)
    }

    /// A telephone number or prefix: a plus sign that a client left unencoded arrives as a blank.
    pub(super) fn number(&mut self, name: &str) -> Option<String> {
        match self.0.take(name)? {
            Value::String(text) if text.starts_with(' ') => Some(format!("+{}", text.trim())),
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.wrong(name, "is empty");
                None
            }
        }
    }

    /// A moment.
    pub(super) fn time(&mut self, name: &str) -> Option<Millis> {
        // An unencoded plus sign of an offset arrives as a blank, too.
        if let Some(Value::String(text)) = self.0.left.get_mut(name) {
            *text = text.trim().replace(' ', "+");
        }
        self.0.time(name)
    }

    /// A whole number from `min` to `max`; `default` where it is absent.
    pub(super) fn number_in(&mut self, name: &str, min: usize, max: usize, default: usize) -> usize {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(n) if (min..=max).contains(&n) => n,
            _ => {
                self.wrong(name, format!("must be a whole number from {min} to {max}"));
                default
            }
        }
    }

    /// A parameter that `read` understands.
    pub(super) fn one_of<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.wrong(name, format!("must be {expected}"));
        }
        value
    }

    /// Notes what is wrong with a parameter.
    pub(super) fn wrong(&mut self, name: &str, reason: impl Into<String>) {
        self.0.wrong(name, reason);
    }

    /// The parameters as fields, where they say the same as a body's.
    pub(super) fn fields(self) -> Fields {
        self.0
    }

    /// # Errors
    /// With all that was wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let mut errors = self.0.finish();
        for error in &mut errors {
            error.reason = error.reason.replace("a known field", "a known parameter");
        }
        if errors.is_empty() { Ok(()) } else { Err(Problem::fields(Kind::InvalidQuery, errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(object) => Fields::new("calls[3].", object),
            _ => unreachable!("tests read objects"),
        }
    }

    #[test]
    fn every_mistake_is_found_at_once_and_names_its_field() {
        let mut f = fields(
            json!({"agent": 3, "schedule_at": "tomorrow", "variables": {"a": 1}, "agnet": "x", "metadata": null}),
        );
        assert_eq!(f.text("agent", 10), None);
        assert_eq!(f.time("schedule_at"), None);
        assert!(f.texts("variables", 50, 10).is_empty());
        assert_eq!(f.object("metadata", 10), None);
        let names: Vec<String> = f.finish().into_iter().map(|e| e.field).collect();
        assert_eq!(
            names,
            ["calls[3].agent", "calls[3].schedule_at", "calls[3].variables.a", "calls[3].agnet"]
        );
    }

    #[test]
    fn moments_need_an_offset() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(moment("1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(moment("2026-01-01T00:00:00"), None);
        assert_eq!(moment("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn a_query_keeps_its_plus_signs_and_refuses_what_it_does_not_know() {
        let mut q = Query::parse(Some("number=+14155550100&created_after=1970-01-01T02:00:01+02:00&limt=3"));
        assert_eq!(q.number("number").as_deref(), Some("+14155550100"));
        assert_eq!(q.time("created_after"), Some(1_000));
        assert!(q.finish().is_err());
    }
}
