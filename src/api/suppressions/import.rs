//! A do-not-call list coming in as CSV with a header row: streamed, judged row by row, put on the list a thousand at a
//! time. It holds one batch and the first thousand errors, however long the list is.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use futures::StreamExt;
use serde_json::{Map, Value};

use crate::api::App;
use crate::api::fields::Fields;
use crate::api::problems::{FieldError, Kind, Problem};
use crate::api::suppressions::entry::{self, Defaults};
use crate::api::suppressions::{ListReport, put_on};
use crate::store::{Listed, Suppression};

/// Entries that are put on the list together.
const BATCH: usize = 1_000;
/// Errors that are told.
const ERRORS: usize = 1_000;
/// The longest record, bytes.
const RECORD: usize = 64 * 1024;
/// Most columns.
const COLUMNS: usize = 256;
/// How long a client may be silent in the middle of a body.
const IDLE: Duration = Duration::from_secs(30);

/// What columns may be called, beside the names of the fields themselves.
const NAMES: [(&str, &str); 12] = [
    ("number", "phone_number"),
    ("phone", "phone_number"),
    ("telephone", "phone_number"),
    ("tel", "phone_number"),
    ("mobile", "phone_number"),
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
    body: Body,
    defaults: &Defaults,
    map: &[(String, String)],
) -> Result<ListReport, Problem> {
    let mut intake = Intake::new(app);
    match Box::pin(read(&mut intake, body, defaults, map)).await {
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
    // What was read of a list that is broken off stands all the same.
    let _ = Box::pin(read(&mut intake, body, defaults, &[])).await;
    intake.batch
}

async fn read(
    intake: &mut Intake<'_>,
    body: Body,
    defaults: &Defaults,
    map: &[(String, String)],
) -> Result<(), Problem> {
    let app = intake.app;
    let now = app.api.clock.now();
    let mut pieces = body.into_data_stream();
    let mut piece = Vec::new();
    while !piece.contains(&b'\n') && piece.len() < RECORD {
        match next(&mut pieces).await? {
            Some(more) => piece.extend_from_slice(&more),
            None => break,
        }
    }
    if piece.starts_with(b"\xEF\xBB\xBF") {
        piece.drain(..3);
    }
    let mut records = Records::new(&piece);
    let mut header: Option<Header> = None;
    let mut row = 0;
    loop {
        let mut input: &[u8] = &piece;
        let at_end = input.is_empty();
        while let Some(fields) = records.next(&mut input)? {
            row += 1;
            match &header {
                None => {
                    let read = Header::read(&fields, map)?;
                    intake.report.ignored_columns.clone_from(&read.ignored);
                    header = Some(read);
                }
                Some(_) if fields.iter().all(|f| f.trim_ascii().is_empty()) => {}
                Some(header) => {
                    let object = header.object(&fields);
                    let entry = object.and_then(|o| entry::read(Fields::new("", o), app, defaults, now));
                    intake.offer(row, entry).await?;
                }
            }
        }
        if at_end {
            break;
        }
        piece = next(&mut pieces).await?.unwrap_or_default();
    }
    if header.is_none() {
        return Err(bad_header("there is no header row"));
    }
    Ok(())
}

async fn next(pieces: &mut BodyDataStream) -> Result<Option<Vec<u8>>, Problem> {
    loop {
        let piece = tokio::time::timeout(IDLE, pieces.next()).await.map_err(|_| {
            Problem::new(
                Kind::Timeout,
                "nothing arrived for 30 s; what was read is on the list, import it again",
            )
        })?;
        match piece {
            None => return Ok(None),
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => return Ok(Some(piece.to_vec())),
            Some(Err(_)) => {
                let detail = "the body was broken off; what was read is on the list, import it again";
                return Err(Problem::new(Kind::BrokenBody, detail));
            }
        }
    }
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
    fn read(fields: &[&[u8]], map: &[(String, String)]) -> Result<Self, Problem> {
        let (mut columns, mut ignored) = (Vec::new(), Vec::new());
        for field in fields {
            let Ok(name) = std::str::from_utf8(field) else {
                return Err(bad_header("the header row is not valid UTF-8; save the sheet as \"CSV UTF-8\""));
            };
            let plain = name.trim().to_lowercase().replace([' ', '-', '.'], "_");
            let mapped = map.iter().find(|(from, _)| from.eq_ignore_ascii_case(name.trim()));
            let wanted = mapped.map_or(plain.as_str(), |(_, to)| to.as_str());
            let wanted = NAMES.iter().find(|(other, _)| *other == wanted).map_or(wanted, |(_, name)| name);
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
                "no column is called phone_number (or phone, number, tel, mobile) or prefix",
            ));
        }
        Ok(Self { columns, ignored })
    }

    fn object(&self, fields: &[&[u8]]) -> Result<Map<String, Value>, Vec<FieldError>> {
        let mut object = Map::new();
        for (i, field) in fields.iter().enumerate() {
            let text = match std::str::from_utf8(field) {
                Ok(text) => text.trim(),
                Err(_) => {
                    let name = self.columns.get(i).copied().flatten().unwrap_or("");
                    let why = "is not valid UTF-8; save the sheet as \"CSV UTF-8\"";
                    return Err(vec![FieldError::new(name, why)]);
                }
            };
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

/// Cuts what arrives into records; holds at most one.
struct Records {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    written: usize,
    fields: usize,
    complete: bool,
}

impl Records {
    /// `head` shows in its first line what separates the columns.
    fn new(head: &[u8]) -> Self {
        let line = head.split(|b| *b == b'\n').next().unwrap_or(&[]);
        let count = |sep: u8| line.iter().filter(|b| **b == sep).count();
        let separator = [b';', b'\t'].into_iter().find(|sep| count(*sep) > count(b',')).unwrap_or(b',');
        Self {
            reader: ReaderBuilder::new().delimiter(separator).build(),
            text: vec![0; RECORD],
            ends: vec![0; COLUMNS],
            written: 0,
            fields: 0,
            complete: false,
        }
    }

    /// The next record of `input`, of which it takes what it used; an empty input is the end of the file.
    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<&[u8]>>, Problem> {
        if std::mem::take(&mut self.complete) {
            (self.written, self.fields) = (0, 0);
        }
        let (result, used, written, fields) =
            self.reader.read_record(input, &mut self.text[self.written..], &mut self.ends[self.fields..]);
        *input = &input[used..];
        self.written += written;
        self.fields += fields;
        match result {
            ReadRecordResult::InputEmpty | ReadRecordResult::End => Ok(None),
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                let why = format!(
                    "a row is longer than {RECORD} bytes or {COLUMNS} columns (a quotation mark that is not closed?); \
                     the rows before it are on the list"
                );
                Err(Problem::fields(Kind::InvalidRequest, vec![FieldError::new("", why)]))
            }
            ReadRecordResult::Record => {
                self.complete = true;
                let mut from = 0;
                let cut = |to: &usize| &self.text[std::mem::replace(&mut from, *to)..*to];
                Ok(Some(self.ends[..self.fields].iter().map(cut).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_however_they_arrive() {
        let text = b"number;reason\r\n+14155550100;\"said; \"\"no\"\"\"\r\n\r\n+1900*;x";
        for step in 1..text.len() {
            let mut records = Records::new(text);
            let mut out: Vec<Vec<String>> = Vec::new();
            for piece in text.chunks(step).chain([&b""[..]]) {
                let mut input = piece;
                while let Some(fields) = records.next(&mut input).expect("short") {
                    out.push(fields.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect());
                }
            }
            assert_eq!(
                out,
                [vec!["number", "reason"], vec!["+14155550100", "said; \"no\""], vec!["+1900*", "x"]],
                "in pieces of {step}"
            );
        }
    }

    #[test]
    fn columns_are_found_by_their_names_or_by_the_clients() {
        let read = |names: &[&str], map: &[(&str, &str)]| {
            let names: Vec<&[u8]> = names.iter().map(|n| n.as_bytes()).collect();
            let map: Vec<(String, String)> = map.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            Header::read(&names, &map).map(|h| (h.columns, h.ignored)).map_err(|p| p.kind())
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
