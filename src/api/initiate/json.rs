//! A JSON body: one call or a list. A list is cut into rows without being unfolded, so that it takes little more memory
//! than its text.

use std::collections::BTreeMap;

use axum::response::Response;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::App;
use crate::api::fields::{Fields, kind_of, malformed};
use crate::api::initiate::list::List;
use crate::api::initiate::row::Row;
use crate::api::initiate::source::Source;
use crate::api::initiate::{RepeatKey, one};
use crate::api::problems::{FieldError, Kind, Problem};

pub(super) async fn initiate(
    app: &App,
    mut source: Source,
    key: Option<RepeatKey>,
) -> Result<Response, Problem> {
    let bytes = source.whole(app.api.config.bulk_limit).await?;
    let raw: &RawValue = serde_json::from_slice(&bytes).map_err(|e| malformed(&e))?;
    let Ok(mut body) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()) else {
        let error = FieldError::new("", "must be a JSON object");
        return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
    };
    let is_list = body.contains_key("phone_numbers") || body.contains_key("calls");
    if bytes.len() > app.api.config.body_limit && !is_list {
        let detail = format!("at most {} bytes are read for one call", app.api.config.body_limit);
        return Err(Problem::new(Kind::PayloadTooLarge, detail));
    }
    let numbers = body.remove("phone_numbers");
    let calls = body.remove("calls");
    let mut rest = Map::new();
    for (name, value) in body {
        rest.insert(name, serde_json::from_str(value.get()).map_err(|e| malformed(&e))?);
    }
    let (name, rows) = match (numbers, calls) {
        (None, None) => return one::initiate(app, rest, key).await,
        (Some(rows), None) => ("phone_numbers", rows),
        (None, Some(rows)) => ("calls", rows),
        (Some(_), Some(_)) => {
            let error = FieldError::new("calls", "stands beside phone_numbers; send one of them");
            return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
        }
    };

    let mut fields = Fields::new("", rest);
    if fields.take("phone_number").is_some() {
        fields.wrong("phone_number", format!("stands beside {name}; send one of them"));
    }
    let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).unwrap_or_else(|_| {
        fields.wrong(name, "must be a list");
        Vec::new()
    });
    let mut list = List::from_fields(app, fields, (rows.is_empty()).then_some(name))?;
    if list.repeats(key).await? {
        return list.replay(&source.fingerprint_so_far());
    }
    for (i, raw) in rows.into_iter().enumerate() {
        let n = i as u64 + 1;
        let path = format!("{name}[{i}]");
        let row = match serde_json::from_str::<Value>(raw.get()).map_err(|e| malformed(&e))? {
            Value::String(text) if name == "phone_numbers" => Row::bare(app, &text, &path, list.shared()),
            Value::Object(object) if name == "calls" => {
                Row::read(app, object, &format!("{path}."), list.shared(), list.now())
            }
            other => {
                let expected = if name == "calls" { "an object" } else { "a string" };
                let reason = format!("must be {expected}, not {}", kind_of(&other));
                Err(vec![FieldError::new(path, reason)])
            }
        };
        list.offer(n, row).await?;
    }
    list.finish(source.fingerprint_so_far()).await
}
