//! What the API answered, for a person to read.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::Value;

use crate::app::cli::table::{shown, table};

/// How many rows are shown in columns; all of them go into a file.
pub(super) const MOST_ROWS: usize = 200;

/// A value as a cell: what is missing is empty.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Null => String::new(),
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.as_u64().is_none() && n.as_i64().is_none() => format!("{f:.1}"),
            _ => n.to_string(),
        },
        Value::Bool(yes) => yes.to_string(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let part = |(name, value): (&String, &Value)| match value {
                Value::Object(_) => format!("{name} ({})", cell(value)),
                _ => format!("{name} {}", cell(value)),
            };
            let given = fields.iter().filter(|(_, value)| !is_nothing(value));
            given.map(part).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Nothing that a person wants to read of.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A number by its name; 0 where there is none.
pub(super) fn count(view: &Value, name: &str) -> u64 {
    view[name].as_u64().or_else(|| view[name].as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)).unwrap_or(0)
}

/// A state's word, also where it carries what it drains toward.
pub(super) fn state_word(state: &Value) -> String {
    match state {
        Value::String(word) => word.clone(),
        Value::Object(tagged) => tagged.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

pub(super) fn state(view: &Value) -> String {
    state_word(&view["state"])
}

pub(super) fn is_over(view: &Value) -> bool {
    matches!(state(view).as_str(), "completed" | "cancelled" | "expired")
}

/// `cmp_… is running`.
pub(super) fn state_of(view: &Value) -> String {
    let id = view["campaign_id"].as_str().unwrap_or("the campaign");
    format!("{id} is {}", state(view))
}

/// How far it is, in a line.
pub(super) fn progress(view: &Value) -> String {
    let mut parts = vec![state(view)];
    for (name, word) in [("live", "live"), ("waiting", "waiting")] {
        if let n @ 1.. = count(view, name) {
            parts.push(format!("{n} {word}"));
        }
    }
    for (name, word) in [("dials_per_minute", "dialed"), ("ended_per_minute", "ended")] {
        if let Some(rate) = view[name].as_f64().filter(|rate| *rate > 0.0) {
            parts.push(format!("{rate:.0} {word}/min"));
        }
    }
    if let Some(seconds) = view["eta_seconds"].as_f64() {
        parts.push(format!("ETA {}", span(seconds)));
    }
    let ended = dispositions(view);
    let ended: Vec<String> = ended.iter().map(|(word, n)| format!("{n} {word}")).collect();
    let mut line = parts.join(", ");
    if !ended.is_empty() {
        let _ = write!(line, "  ({})", ended.join(", "));
    }
    line
}

/// Seconds as a person says them.
fn span(seconds: f64) -> String {
    // Casts saturate, and an estimate needs no more.
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3_600, s % 3_600 / 60),
    }
}

/// How its calls ended, the most frequent first.
fn dispositions(view: &Value) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = view["dispositions"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(word, n)| Some((word.clone(), n.as_u64()?)))
        .filter(|(_, n)| *n > 0)
        .collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// A step of its life.
pub(super) fn transition(step: &Value) -> String {
    let to = ["to", "state"].into_iter().map(|name| state_word(&step[name])).find(|w| !w.is_empty());
    let mut line = to.unwrap_or_default();
    if let Some(by) = step["by"].as_str() {
        let _ = write!(line, " by {by}");
    }
    if let Some(why) = step["why"].as_str() {
        let _ = write!(line, ": {}", shown(why));
    }
    line
}

/// What befell the fleet.
pub(super) fn fleet_event(event: &Value) -> String {
    let part = |name: &str| event[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let until = part("until").map(|until| format!("until {until}"));
    let parts = [part("kind"), part("key"), until];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The end of a campaign.
pub(super) fn outcome(view: &Value) -> String {
    let mut out = String::new();
    let rows: Vec<Vec<String>> =
        dispositions(view).into_iter().map(|(word, n)| vec![word, n.to_string()]).collect();
    if !rows.is_empty() {
        out.push_str(&table(&["disposition", "calls"], &rows));
        out.push('\n');
    }
    let ended = count(view, "ended");
    let _ = write!(out, "{}: {ended} of {} calls ended", state_of(view), count(view, "accepted"));
    if let Some(step) = view["history"].as_array().and_then(|steps| steps.last())
        && let Some(why) = step["why"].as_str()
    {
        let _ = write!(out, " ({})", shown(why));
    }
    out.push('\n');
    out
}

/// A campaign: its state, what it is made of, its counts and its history.
pub(super) fn campaign(view: &Value) -> String {
    let mut out = format!("{}\n", state_of(view));
    let line = progress(view);
    let _ = writeln!(out, "{} of {} ended  {line}\n", count(view, "ended"), count(view, "accepted"));
    // The last step stands in the history, too.
    let known = ["campaign_id", "state", "history", "last_step", "dispositions", "intake"];
    for (name, value) in view.as_object().into_iter().flatten() {
        if !known.contains(&name.as_str()) && !is_nothing(value) {
            let _ = writeln!(out, "{name:<20} {}", cell(value));
        }
    }
    let steps: Vec<Vec<String>> = view["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| {
            vec![
                cell(&s["at"]),
                state_word(&s["from"]),
                state_word(&s["to"]),
                cell(&s["by"]),
                cell(&s["why"]),
            ]
        })
        .collect();
    if !steps.is_empty() {
        out.push('\n');
        out.push_str(&table(&["at", "from", "to", "by", "why"], &steps));
    }
    out
}

/// Campaigns, a line each.
pub(super) fn list(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = answer["campaigns"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| vec![cell(&c["campaign_id"]), state(c), cell(&c["created_at"]), cell(&c["name"])])
        .collect();
    if rows.is_empty() {
        "no campaigns\n".into()
    } else {
        table(&["campaign", "state", "created", "name"], &rows)
    }
}

fn blocker_rows(answer: &Value) -> &[Value] {
    answer["blockers"].as_array().or_else(|| answer.as_array()).map_or(&[], Vec::as_slice)
}

/// Why calls are not dialed.
pub(super) fn blockers(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = blocker_rows(answer)
        .iter()
        .map(|b| ["reason", "calls", "until", "detail"].iter().map(|name| cell(&b[*name])).collect())
        .collect();
    if rows.is_empty() {
        "nothing keeps its calls back\n".into()
    } else {
        table(&["reason", "calls", "until", "detail"], &rows)
    }
}

/// The first reason, in a few words.
pub(super) fn first_blocker(answer: &Value) -> Option<String> {
    let first = blocker_rows(answer).first()?;
    let mut line = format!("waiting for {}", first["reason"].as_str()?);
    if let Some(until) = first["until"].as_str() {
        let _ = write!(line, " until {until}");
    }
    Some(line)
}

/// The first results, in the columns that any of them has.
pub(super) fn results(rows: &[Value]) -> String {
    let names =
        ["call_id", "phone_number", "disposition", "reason", "attempts", "duration_seconds", "ended_at"];
    let mut out = columns(rows, &names);
    if rows.len() == MOST_ROWS {
        let _ = writeln!(out, "the first {MOST_ROWS}; --format csv has all of them");
    }
    out
}

/// The first rejected rows.
pub(super) fn rejections(rows: &[Value]) -> String {
    if rows.is_empty() {
        "no row was rejected\n".into()
    } else {
        columns(rows, &["row", "field", "value", "reason"])
    }
}

fn columns(rows: &[Value], names: &[&str]) -> String {
    if rows.is_empty() {
        return "none yet\n".into();
    }
    let used: Vec<&str> =
        names.iter().copied().filter(|name| rows.iter().any(|row| !row[*name].is_null())).collect();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| used.iter().map(|name| cell(&row[*name])).collect()).collect();
    table(&used, &cells)
}

/// What would become of a list.
pub(super) fn preflight(answer: &Value) -> String {
    let mut out = String::new();
    section(&mut out, "", answer);
    out
}

/// Numbers and words a line each, lists as tables, what is nested under its name.
fn section(out: &mut String, name: &str, value: &Value) {
    if !name.is_empty() {
        let _ = writeln!(out, "\n{name}");
    }
    let Some(fields) = value.as_object() else { return };
    let indent = if name.is_empty() { "" } else { "  " };
    let plain = |v: &Value| !v.is_object() && !v.is_array() && !v.is_null();
    for (field, value) in fields.iter().filter(|(_, v)| plain(v)) {
        let _ = writeln!(out, "{indent}{field:<24} {}", cell(value));
    }
    for (field, value) in fields.iter().filter(|(name, v)| !plain(v) && *name != "errors") {
        match value {
            Value::Object(inner) if !inner.is_empty() => section(out, field, value),
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                let mut names: Vec<&str> = Vec::new();
                for key in rows.iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys) {
                    if !names.contains(&key.as_str()) {
                        names.push(key);
                    }
                }
                let _ = writeln!(out, "\n{field}");
                out.push_str(&columns(rows, &names));
            }
            _ => {}
        }
    }
}

/// The first lines of an NDJSON answer.
pub(super) async fn first_lines(answer: &mut reqwest::Response) -> anyhow::Result<Vec<Value>> {
    let mut rows = Vec::new();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = answer.chunk().await.context("the connection broke")? {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if let Ok(row) = serde_json::from_slice(&line) {
                rows.push(row);
            }
            if rows.len() == MOST_ROWS {
                return Ok(rows);
            }
        }
    }
    if let Ok(row) = serde_json::from_slice(&rest) {
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_in_a_line() {
        let view = json!({"state": {"draining": {"toward": "completed"}}, "ended": 3, "live": 2, "waiting": 0,
            "dials_per_minute": 130, "ended_per_minute": 120.4, "eta_seconds": 125.0, "dispositions": {"busy": 1, "completed": 2, "failed": 0}});
        assert_eq!(
            progress(&view),
            "draining, 2 live, 130 dialed/min, 120 ended/min, ETA 2 min 05 s  (2 completed, 1 busy)"
        );
        assert_eq!(span(7_260.0), "2 h 01 min");
        assert!(!is_over(&view) && is_over(&json!({"state": "expired"})));
    }

    #[test]
    fn a_campaign_is_told_in_words() {
        let view = json!({"campaign_id": "cmp_1", "state": "running", "accepted": 3, "waiting_for": {}, "caller_ids": [],
            "retried": {"busy": 1, "no_answer": 2}, "last_step": {"to": "running"},
            "retries": {"max_attempts": 2, "busy": {"delays_s": [60, 120]}}, "keep_open": false});
        let text = campaign(&view);
        assert!(!text.contains(['{', '[', '"']), "no JSON: {text}");
        for line in [
            "retried              busy 1, no_answer 2\n",
            "retries              busy (delays_s 60, 120), max_attempts 2\n",
            "keep_open            false\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        for empty in ["waiting_for", "caller_ids", "last_step"] {
            assert!(!text.contains(empty), "{empty} in {text}");
        }
    }

    #[test]
    fn blockers_and_the_first_of_them() {
        let answer =
            json!({"blockers": [{"reason": "window", "calls": 12, "until": "2026-03-01T15:00:00Z"}]});
        assert!(blockers(&answer).contains("window     12  2026-03-01T15:00:00Z"), "{}", blockers(&answer));
        assert_eq!(first_blocker(&answer).as_deref(), Some("waiting for window until 2026-03-01T15:00:00Z"));
        assert_eq!(first_blocker(&json!({"blockers": []})), None);
    }

    #[test]
    fn a_preflight_shows_every_number_it_was_given() {
        let answer = json!({"rows": 4, "dialable_now": 2, "skipped": {"invalid": 1, "do_not_call": 1},
            "openings": [{"at": "2026-03-01T15:00:00Z", "calls": 1}], "errors": [{"row": 3}]});
        let text = preflight(&answer);
        for part in
            ["dialable_now             2", "skipped", "  invalid                  1", "openings", "15:00:00Z"]
        {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[test]
    fn results_name_what_there_is() {
        let text = results(&[json!({"call_id": "call_1", "disposition": "busy", "attempts": 2})]);
        assert!(text.contains("call_1   busy"), "{text}");
        assert!(!text.contains("reason"), "a column that nobody fills is left out: {text}");
    }
}
