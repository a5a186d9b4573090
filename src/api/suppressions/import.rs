//! A do-not-call list coming in as CSV with a header row: streamed, judged row by row, put on the list a thousand at a
//! time. It holds one batch and the first thousand errors, however long the list is.

use axum::body::Body;
use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::api::App;
use crate::api::fields::Fields;
use crate::api::initiate::{PHONE, Records, Source, Step, text};
use crate::api::problems::{FieldError, Kind, Problem};
use crate::api::suppressions::entry::{self, Defaults};
use crate::api::suppressions::{ListReport, put_on};
use crate::store::{Listed, Suppression};

/// Entries that are put on the list together.
const BATCH: usize = 1_000;
/// Errors that are told.
const ERRORS: usize = 1_000;

/// What columns may be called, beside the names of the fields themselves and what a campaign's list calls the number.
const NAMES: [(&str, &str); 7] = [
    ("e164", "phone_number"),
    ("campaign", "campaign_id"),
    ("reason", "evidence"),
    ("note", "evidence"),
    ("expires", "expires_at"),
    ("expiry", "expires_at"),
    ("until", "expires_at"),
];
/// The fields of an entry.
const FIELDS: [&str; 9] = [
    "phone_number",
    "prefix",
    "scope",
    "campaign_id",
    "source",
    "evidence",
    "call_id",
    "created_at",
    "expires_at",
];

/// Entries being put on the list, counted.
pub(super) struct Intake<'a> {
    app: &'a App,
    batch: Vec<Suppression>,
    errors: Vec<FieldError>,
    report: ListReport,
    rows: u64,
}

impl<'a> Intake<'a> {
    pub(super) fn new(app: &'a App) -> Self {
        Self { app, batch: Vec::new(), errors: Vec::new(), report: ListReport::default(), rows: 0 }
    }

    /// Takes an entry or what was wrong with it; `row` is how the client counts.
    pub(super) async fn offer(
        &mut self,
        row: u64,
        entry: Result<Suppression, Vec<FieldError>>,
    ) -> Result<(), Problem> {
        self.rows += 1;
        match entry {
            Ok(entry) => self.batch.push(entry),
            Err(errors) => {
                self.report.rejected += 1;
                let room = ERRORS - self.errors.len();
                self.report.errors_truncated |= errors.len() > room;
                self.errors.extend(errors.into_iter().take(room).map(|e| FieldError { row: Some(row), ..e }));
            }
        }
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        for listed in put_on(self.app, &self.batch).await? {
            match listed {
                Listed::Added => self.report.added += 1,
                Listed::Replaced => self.report.replaced += 1,
                Listed::Kept => self.report.kept += 1,
            }
        }
        self.batch.clear();
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<ListReport, Problem> {
        self.flush().await?;
        if self.rows == 0 {
            return Err(Problem::fields(
                Kind::InvalidRequest,
                vec![FieldError::new("", "the list is empty")],
            ));
        }
        if self.report.rejected == self.rows {
            let detail = format!("none of the {} rows can be put on the list", self.rows);
            return Err(Problem::new(Kind::NoValidRows, detail)
                .with_errors(self.errors, self.report.errors_truncated));
        }
        self.report.errors = self.errors;
        Ok(self.report)
    }
}

/// Reads a list. The header row is row 1.
pub(super) async fn csv(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    defaults: &Defaults,
    map: &[(String, String)],
) -> Result<ListReport, Problem> {
    let mut intake = Intake::new(app);
    match Box::pin(read(&mut intake, Source::new(body, headers)?, defaults, map)).await {
        Ok(()) => intake.finish().await,
        Err(problem) => {
            // What was read holds: a list of people who are not to be called is no worse for being half a list.
            intake.flush().await?;
            Err(problem)
        }
    }
}

/// The entries of a list that is short enough for one batch, for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) async fn entries(app: &App, body: Body, defaults: &Defaults) -> Vec<Suppression> {
    let mut intake = Intake::new(app);
    if let Ok(source) = Source::new(body, &HeaderMap::new()) {
        // What was read of a list that is broken off stands all the same.
        let _ = Box::pin(read(&mut intake, source, defaults, &[])).await;
    }
    intake.batch
}

async fn read(
    intake: &mut Intake<'_>,
    mut source: Source,
    defaults: &Defaults,
    map: &[(String, String)],
) -> Result<(), Problem> {
    let app = intake.app;
    let now = app.api.clock.now();
    let (mut records, mut piece) = Records::open(&mut source).await?;
    let mut header: Option<Header> = None;
    loop {
        let mut input: &[u8] = &piece;
        let at_end = input.is_empty();
        loop {
            match records.next(&mut input, at_end) {
                Step::NeedsMore | Step::End => break,
                Step::TooLong => {
                    let why = "a row is too long (a quotation mark that is not closed?); the rows before it are on the list";
                    return Err(Problem::fields(Kind::InvalidRequest, vec![FieldError::new("", why)]));
                }
                Step::Record => {}
            }
            if records.fields().all(|field| field.trim_ascii().is_empty()) {
                continue;
            }
            match &header {
                None if records.unclosed => {
                    return Err(bad_header("a quotation mark in the header row is never closed"));
                }
                None => {
                    let read = Header::read(records.fields(), map)?;
                    intake.report.ignored_columns.clone_from(&read.ignored);
                    header = Some(read);
                }
                Some(_) if records.unclosed => {
                    // All rows below it stand in one of its cells.
                    let why = "a quotation mark in it is never closed; this row and all after it are not on the list";
                    let error = FieldError::new("", why).code("malformed_row");
                    intake.offer(records.row, Err(vec![error])).await?;
                }
                Some(header) => {
                    let object = header.object(records.fields());
                    let entry = object.and_then(|o| entry::read(Fields::new("", o), app, defaults, now));
                    intake.offer(records.row, entry).await?;
                }
            }
        }
        if at_end {
            break;
        }
        piece = source.next().await?.map(Vec::from).unwrap_or_default();
    }
    if header.is_none() {
        return Err(bad_header("there is no header row"));
    }
    Ok(())
}

fn bad_header(reason: impl Into<String>) -> Problem {
    Problem::fields(Kind::InvalidRequest, vec![FieldError::new("header", reason)])
}

/// What the columns mean: a field of an entry, or nothing.
struct Header {
    columns: Vec<Option<&'static str>>,
    ignored: Vec<String>,
}

impl Header {
    fn read<'a>(fields: impl Iterator<Item = &'a [u8]>, map: &[(String, String)]) -> Result<Self, Problem> {
        let (mut columns, mut ignored) = (Vec::new(), Vec::new());
        for field in fields {
            let name = text(field);
            let plain = name.trim().to_lowercase().replace([' ', '-', '.'], "_");
            let mapped = map.iter().find(|(from, _)| from.eq_ignore_ascii_case(name.trim()));
            let wanted = mapped.map_or(plain.as_str(), |(_, to)| to.as_str());
            let wanted = NAMES.iter().find(|(other, _)| *other == wanted).map_or(wanted, |(_, name)| name);
            let wanted = if PHONE.contains(&wanted) { "phone_number" } else { wanted };
            let known = FIELDS.iter().find(|known| **known == wanted).copied();
            if known.is_some() && columns.contains(&known) {
                return Err(bad_header(format!("two columns mean {wanted}")));
            }
            if known.is_none() && !plain.is_empty() {
                ignored.push(plain.chars().take(100).collect());
            }
            columns.push(known);
        }
        if !columns.iter().any(|c| matches!(c, Some("phone_number" | "prefix"))) {
            return Err(bad_header(
                "no column is called phone_number (or phone, number, tel, mobile, …) or prefix, or is named so by map",
            ));
        }
        Ok(Self { columns, ignored })
    }

    fn object<'a>(
        &self,
        fields: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Map<String, Value>, Vec<FieldError>> {
        let mut object = Map::new();
        for (i, field) in fields.enumerate() {
            let text = text(field);
            let text = text.trim();
            match self.columns.get(i) {
                _ if text.is_empty() => {}
                None => return Err(vec![FieldError::new("", "has more fields than the header has columns")]),
                Some(None) => {}
                Some(Some(name)) => drop(object.insert((*name).to_owned(), text.into())),
            }
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names_or_by_the_clients() {
        let read = |names: &[&str], map: &[(&str, &str)]| {
            let names: Vec<&[u8]> = names.iter().map(|n| n.as_bytes()).collect();
            let map: Vec<(String, String)> = map.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            Header::read(names.into_iter(), &map).map(|h| (h.columns, h.ignored)).map_err(|p| p.kind())
        };
        let (columns, ignored) = read(&["Phone", "Reason", "Name"], &[]).expect("a header");
        assert_eq!(columns, [Some("phone_number"), Some("evidence"), None]);
        assert_eq!(ignored, ["name"]);
        let (columns, _) =
            read(&["Rufnummer", "bis"], &[("rufnummer", "phone_number"), ("bis", "expires_at")])
                .expect("a header");
        assert_eq!(columns, [Some("phone_number"), Some("expires_at")]);
        assert_eq!(read(&["name"], &[]), Err(Kind::InvalidRequest));
        assert_eq!(read(&["phone", "number"], &[]), Err(Kind::InvalidRequest));
    }
}
