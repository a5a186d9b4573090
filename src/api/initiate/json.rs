//! A JSON body: one call or a list. A list is cut into rows without being unfolded, so that it takes little more memory
//! than its text.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::App;
use crate::api::fields::{Fields, kind_of, malformed};
use crate::api::initiate::list::List;
use crate::api::initiate::row::Row;
use crate::api::initiate::source::Source;
use crate::api::problems::{FieldError, Kind, Problem};

/// A body that was cut but not unfolded.
pub(in crate::api) struct Parsed<'a> {
    /// What stands beside the rows; all there is of a single call.
    pub(in crate::api) rest: Map<String, Value>,
    /// The rows, with the name they stand under.
    pub(in crate::api) rows: Option<(&'static str, Vec<&'a RawValue>)>,
}

/// All of a JSON body.
pub(in crate::api) async fn whole(app: &App, source: &mut Source) -> Result<Bytes, Problem> {
    source.whole(app.api.config.bulk_limit).await
}

/// Cuts it.
pub(in crate::api) fn parse<'a>(app: &App, bytes: &'a Bytes) -> Result<Parsed<'a>, Problem> {
    let mut body = serde_json::from_slice::<BTreeMap<String, &RawValue>>(bytes).map_err(|e| {
        if e.is_data() && serde_json::from_slice::<&RawValue>(bytes).is_ok() {
            return Problem::fields(Kind::InvalidRequest, vec![FieldError::new("", "must be a JSON object")]);
        }
        malformed(&e)
    })?;
    let is_list = body.contains_key("phone_numbers") || body.contains_key("calls");
    if bytes.len() > app.api.config.body_limit && !is_list {
        let detail = format!("at most {} bytes are read for one call", app.api.config.body_limit);
        return Err(Problem::new(Kind::PayloadTooLarge, detail));
    }
    let (name, rows) = match (body.remove("phone_numbers"), body.remove("calls")) {
        (None, None) => ("", None),
        (Some(rows), None) => ("phone_numbers", Some(rows)),
        (None, Some(rows)) => ("calls", Some(rows)),
        (Some(_), Some(_)) => {
            let error = FieldError::new("calls", "stands beside phone_numbers; send one of them");
            return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
        }
    };
    let mut rest = Map::new();
    for (name, value) in body {
        rest.insert(name, serde_json::from_str(value.get()).map_err(|e| malformed(&e))?);
    }
    // What is no list has no rows, which the list's own fields are then told of.
    let rows = rows.map(|rows| (name, serde_json::from_str(rows.get()).unwrap_or_default()));
    Ok(Parsed { rest, rows })
}

/// What stands beside the rows, read field by field; a number of its own is out of place there.
pub(in crate::api) fn beside(rest: Map<String, Value>, name: &str, empty: bool) -> Fields {
    let mut fields = Fields::new("", rest);
    if fields.take("phone_number").is_some() {
        fields.wrong("phone_number", format!("stands beside {name}; send one of them"));
    }
    if empty {
        fields.wrong(name, "is empty or no list");
    }
    fields
}

/// Reads the rows into `list`.
pub(in crate::api) async fn read(
    list: &mut List<'_>,
    name: &str,
    rows: Vec<&RawValue>,
) -> Result<(), Problem> {
    let calls = name == "calls";
    for (i, raw) in rows.into_iter().enumerate() {
        let n = i as u64 + 1;
        let app = list.app();
        if calls
            && let Ok(plain) = serde_json::from_str(raw.get())
            && let Some(row) = Row::plain(app, plain, list.shared())
        {
            list.offer(n, Ok(row)).await?;
            continue;
        }
        let path = format!("{name}[{i}]");
        let row = match serde_json::from_str::<Value>(raw.get()).map_err(|e| malformed(&e))? {
            Value::String(text) if name == "phone_numbers" => Row::bare(app, &text, &path, list.shared()),
            Value::Object(object) if calls => {
                Row::read(app, object, &format!("{path}."), list.shared(), list.now())
            }
            other => {
                let expected = if calls { "an object" } else { "a string" };
                let reason = format!("must be {expected}, not {}", kind_of(&other));
                Err(vec![FieldError::new(path, reason).code("malformed_row")])
            }
        };
        list.offer(n, row).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fuzz::on_app;
    use crate::api::initiate::row::Shared;

    #[test]
    fn the_short_way_reads_rows_as_the_long_one_does() {
        let long = "x".repeat(1_001);
        let many: BTreeMap<String, &str> = (0..51).map(|n| (format!("k{n}"), "v")).collect();
        let many = serde_json::to_string(&many).unwrap();
        let rows = [
            // Is it read by the short way?
            (
                r#"{"phone_number":"(415) 555-2671","variables":{"name":"Ada \"x\" \u00e9","":"1"}}"#.into(),
                false,
            ),
            (
                r#"{"phone_number":"(415) 555-2671","variables":{"name":"Ada \"x\" \u00e9","b":""}}"#.into(),
                true,
            ),
            (r#"{"phone_number":"\u002b14155552671","variables":null}"#.into(), true),
            (r#"{"variables":{"a":"1","a":"2"},"phone_number":"4155552671"}"#.into(), true),
            (r#"{"phone_number":"4155552671","phone_number":"4155552672"}"#.into(), false),
            (r#"{"phone_number":"911"}"#.into(), false),
            (r#"{"phone_number":null}"#.into(), false),
            (r#"{"phone_number":"4155552671","variables":{"a":1}}"#.into(), false),
            (r#"{"phone_number":"4155552671","agent":null}"#.into(), false),
            (r#"{"phone_number":"4155552671","agnet":"x"}"#.into(), false),
            (format!(r#"{{"phone_number":"4155552671","variables":{{"a":"{long}"}}}}"#), false),
            (format!(r#"{{"phone_number":"4155552671","variables":{many}}}"#), false),
        ];
        on_app(async |app| {
            let mut lists = [Shared::default(), Shared::default()];
            lists[1].variables.insert("name".into(), "of the list".into());
            lists[1].variables.insert("city".into(), "London".into());
            for (text, short) in &rows {
                for list in &lists {
                    let plain = serde_json::from_str(text).ok().and_then(|row| Row::plain(app, row, list));
                    assert_eq!(plain.is_some(), *short, "{text}");
                    let object = serde_json::from_str(text).unwrap();
                    let full = Row::read(app, object, "", list, 1);
                    assert!(plain.is_none() || full.as_ref().ok() == plain.as_ref(), "{text}");
                }
            }
        });
    }
}
