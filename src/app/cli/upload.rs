//! A list in a file on its way to the API: streamed, never whole in memory; and what was said of its rows.

use std::path::Path;

use anyhow::{Context, bail};
use reqwest::{RequestBuilder, header};
use serde_json::Value;

use crate::app::cli::table::shown;

/// How many rejected rows are printed.
const SHOWN_ERRORS: usize = 20;

/// A file that was opened.
pub(super) struct Upload {
    file: tokio::fs::File,
    media: &'static str,
    gzipped: bool,
    query: String,
}

impl Upload {
    /// Opens a list. `map` tells columns by the names of their fields, `COLUMN:FIELD` each.
    ///
    /// # Errors
    /// It is not there, or its name does not tell what it is.
    pub(super) async fn open(path: &Path, map: &[String]) -> anyhow::Result<Self> {
        let (media, gzipped) = kind(path)?;
        let file =
            tokio::fs::File::open(path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let query = if map.is_empty() {
            String::new()
        } else {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            format!("?{}", query.append_pair("map", &map.join(",")).finish())
        };
        Ok(Self { file, media, gzipped, query })
    }

    /// The request with the file as its body; `request` is given the query.
    pub(super) fn onto(self, request: impl FnOnce(&str) -> RequestBuilder) -> RequestBuilder {
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(self.file));
        let request = request(&self.query).header(header::CONTENT_TYPE, self.media).body(body);
        if self.gzipped { request.header(header::CONTENT_ENCODING, "gzip") } else { request }
    }
}

/// Media type by the file's name, and whether it is gzipped.
fn kind(file: &Path) -> anyhow::Result<(&'static str, bool)> {
    let name = file.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (plain, gzipped) = match name.strip_suffix(".gz") {
        Some(plain) => (plain, true),
        None => (name.as_str(), false),
    };
    match plain.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv" | "tsv" | "txt") => Ok(("text/csv", gzipped)),
        Some("ndjson" | "jsonl") => Ok(("application/x-ndjson", gzipped)),
        _ => bail!(
            "{}: its name must end in .csv, .tsv, .ndjson or .jsonl, or in one of these and .gz",
            file.display()
        ),
    }
}

/// How many rows were taken, in a line.
pub(super) fn accepted(answer: &Value) -> String {
    let count = |name: &str| answer[name].as_u64().unwrap_or(0);
    let mut line = format!("{} accepted", count("accepted"));
    for name in ["rejected", "duplicates", "suppressed"] {
        if count(name) > 0 {
            line.push_str(&format!(", {} {name}", count(name)));
        }
    }
    line
}

/// Tells which rows and fields were wrong.
pub(super) fn print_errors(answer: &Value) {
    let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice);
    for error in errors.iter().take(SHOWN_ERRORS) {
        eprintln!("  {}", error_line(error));
    }
    if errors.len() > SHOWN_ERRORS {
        eprintln!("  … and {} more", errors.len() - SHOWN_ERRORS);
    }
}

/// `row 3: phone_number "12" is too short`.
pub(super) fn error_line(error: &Value) -> String {
    let row = error["row"].as_u64().map(|n| format!("row {n}: ")).unwrap_or_default();
    let field =
        error["field"].as_str().filter(|f| !f.is_empty()).map(|f| format!("{f} ")).unwrap_or_default();
    let value =
        error["value"].as_str().filter(|v| !v.is_empty()).map(|v| format!("{v:?} ")).unwrap_or_default();
    shown(&format!("{row}{field}{value}{}", error["reason"].as_str().unwrap_or("is not valid")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_a_file_is() {
        let cases = [
            ("people.csv", Some(("text/csv", false))),
            ("People.CSV.GZ", Some(("text/csv", true))),
            ("a.b.jsonl", Some(("application/x-ndjson", false))),
            ("people.tsv", Some(("text/csv", false))),
            ("people.xlsx", None),
            ("people.gz", None),
            ("csv", None),
        ];
        for (name, expected) in cases {
            assert_eq!(kind(Path::new(name)).ok(), expected, "{name}");
        }
    }

    #[test]
    fn an_error_names_row_field_and_value() {
        let error =
            serde_json::json!({"row": 3, "field": "phone_number", "value": "12", "reason": "is too short"});
        assert_eq!(error_line(&error), "row 3: phone_number \"12\" is too short");
        assert_eq!(error_line(&serde_json::json!({"field": "", "reason": "is empty"})), "is empty");
    }
}
