//! A list as CSV with a header row: one column holds the number, some are fields of a call, all others are variables.
//! Separators may be commas, semicolons or tabs, as spreadsheets in different countries write them.

use axum::response::Response;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use crate::api::initiate::RepeatKey;
use crate::api::initiate::list::List;
use crate::api::initiate::row::{Row, VARIABLES};
use crate::api::initiate::source::Source;
use crate::api::problems::{FieldError, Kind, Problem};

/// The longest record, in bytes. One that is longer is nearly always a quotation mark that is never closed.
const RECORD: usize = 256 * 1024;
/// Most columns.
const COLUMNS: usize = 512;
/// What a column with the number may be called.
const PHONE: [&str; 14] = [
    "phone_number",
    "phone",
    "phonenumber",
    "number",
    "telephone",
    "telephone_number",
    "tel",
    "mobile",
    "mobile_phone",
    "mobile_number",
    "cell",
    "cell_phone",
    "contact_number",
    "msisdn",
];
/// Columns that are fields of a call.
const KNOWN: [&str; 6] = ["agent", "voicemail", "webhook_url", "schedule_at", "expires_at", "time_zone"];

pub(super) async fn initiate(
    mut list: List<'_>,
    mut source: Source,
    key: Option<RepeatKey>,
) -> Result<Response, Problem> {
    if list.repeats(key).await? {
        return list.replay(&source.fingerprint().await?);
    }
    let (mut records, first) = Records::open(&mut source).await?;
    let mut header: Option<Header> = None;
    let mut n = 0_u64;
    let mut piece = first;
    loop {
        let mut input: &[u8] = &piece;
        let at_end = input.is_empty();
        loop {
            match records.next(&mut input) {
                Step::NeedsMore | Step::End => break,
                Step::TooLong if header.is_none() => {
                    return Err(bad_header("the header row is too long"));
                }
                Step::TooLong => {
                    // Where the record ends cannot be known any more: what follows is told to be unread.
                    let reason = format!(
                        "is longer than {RECORD} bytes or {COLUMNS} columns (a quotation mark that is not closed?); \
                         nothing after it was read"
                    );
                    list.offer(n + 1, Err(vec![FieldError::new("", reason)])).await?;
                    while source.next().await?.is_some() {}
                    return list.finish(source.fingerprint_so_far()).await;
                }
                Step::Record => match &header {
                    None => header = Some(Header::read(&records)?),
                    Some(header) => {
                        n += 1;
                        let row = header.row(&records, &list);
                        list.offer(n, row).await?;
                    }
                },
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
    list.finish(source.fingerprint_so_far()).await
}

fn bad_header(reason: &str) -> Problem {
    Problem::fields(Kind::InvalidRequest, vec![FieldError::new("header", reason)])
}

/// What the columns mean.
struct Header {
    names: Vec<String>,
    phone: usize,
}

impl Header {
    fn read(records: &Records) -> Result<Self, Problem> {
        let mut names = Vec::new();
        for field in records.fields() {
            let Ok(name) = std::str::from_utf8(field) else {
                return Err(bad_header("the header row is not valid UTF-8; save the sheet as \"CSV UTF-8\""));
            };
            let name = name.trim().to_lowercase().replace([' ', '-', '.'], "_");
            if !name.is_empty() && names.contains(&name) {
                return Err(bad_header(&format!("two columns are called {name:?}")));
            }
            names.push(name);
        }
        let Some(phone) = PHONE.iter().find_map(|p| names.iter().position(|n| n == p)) else {
            let shown: Vec<&str> = names.iter().map(String::as_str).take(10).collect();
            return Err(bad_header(&format!(
                "no column holds a number: one must be called phone_number (or phone, number, tel, mobile, …); found {}",
                shown.join(", ").chars().filter(|c| !c.is_ascii_digit()).take(200).collect::<String>()
            )));
        };
        let variables = names.iter().filter(|n| !n.is_empty() && !KNOWN.contains(&n.as_str())).count() - 1;
        if variables > VARIABLES {
            return Err(bad_header(&format!("more than {VARIABLES} columns beside the number")));
        }
        Ok(Self { names, phone })
    }

    fn row(&self, records: &Records, list: &List<'_>) -> Result<Row, Vec<FieldError>> {
        let mut object = Map::new();
        let mut variables = Map::new();
        for (i, field) in records.fields().enumerate() {
            let Ok(text) = std::str::from_utf8(field) else {
                let name = self.names.get(i).map_or("", String::as_str);
                return Err(vec![FieldError::new(
                    name,
                    "is not valid UTF-8; save the sheet as \"CSV UTF-8\"",
                )]);
            };
            let text = text.trim();
            match self.names.get(i).map(String::as_str) {
                _ if text.is_empty() => {}
                None => return Err(vec![FieldError::new("", "has more fields than the header has columns")]),
                Some("") => {}
                Some(_) if i == self.phone => drop(object.insert("phone_number".into(), text.into())),
                Some(name) if KNOWN.contains(&name) => drop(object.insert(name.into(), text.into())),
                Some(name) => drop(variables.insert(name.into(), text.into())),
            }
        }
        if !variables.is_empty() {
            object.insert("variables".into(), Value::Object(variables));
        }
        Row::read(list.app(), object, "", list.shared(), list.now())
    }
}

enum Step {
    /// A record is complete; see [`Records::fields`].
    Record,
    /// The input is used up in the middle of a record.
    NeedsMore,
    /// The input has ended.
    End,
    /// A record is longer than what is held.
    TooLong,
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
    /// Reads up to the end of the first line, to see what separates its columns.
    async fn open(source: &mut Source) -> Result<(Self, Vec<u8>), Problem> {
        let mut head = Vec::new();
        while !head.contains(&b'\n') && head.len() < RECORD {
            match source.next().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        let line = head.split(|b| *b == b'\n').next().unwrap_or(&[]);
        Ok((Self::new(separator(line)), head))
    }

    fn new(separator: u8) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(separator).build(),
            text: vec![0; 4_096],
            ends: vec![0; COLUMNS],
            written: 0,
            fields: 0,
            complete: false,
        }
    }

    /// Goes on with `input`, of which it takes what it used; an empty input is the end of the file.
    fn next(&mut self, input: &mut &[u8]) -> Step {
        if std::mem::take(&mut self.complete) {
            (self.written, self.fields) = (0, 0);
        }
        let at_end = input.is_empty();
        loop {
            if input.is_empty() && !at_end {
                return Step::NeedsMore;
            }
            let (result, used, written, fields) =
                self.reader.read_record(input, &mut self.text[self.written..], &mut self.ends[self.fields..]);
            *input = &input[used..];
            self.written += written;
            self.fields += fields;
            match result {
                ReadRecordResult::InputEmpty => return Step::NeedsMore,
                ReadRecordResult::OutputFull if self.text.len() < RECORD => {
                    let double = self.text.len() * 2;
                    self.text.resize(double, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return Step::TooLong,
                ReadRecordResult::Record => {
                    self.complete = true;
                    return Step::Record;
                }
                ReadRecordResult::End => return Step::End,
            }
        }
    }

    /// The fields of the record that is complete.
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends[..self.fields].iter().map(move |to| &self.text[std::mem::replace(&mut from, *to)..*to])
    }
}

fn separator(line: &[u8]) -> u8 {
    let count = |sep: u8| line.iter().filter(|b| **b == sep).count();
    [b';', b'\t'].into_iter().find(|sep| count(*sep) > count(b',')).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], step: usize) -> Vec<Vec<String>> {
        let line = text.split(|b| *b == b'\n').next().unwrap();
        let mut records = Records::new(separator(line));
        let mut out = Vec::new();
        for piece in text.chunks(step).chain([&b""[..]]) {
            let mut input = piece;
            while let Step::Record = records.next(&mut input) {
                out.push(records.fields().map(|f| String::from_utf8_lossy(f).into_owned()).collect());
            }
        }
        out
    }

    #[test]
    fn records_are_whole_however_they_arrive() {
        let text = b"phone,name\r\n+14155550100,\"Smith, \"\"J\"\"\nJr\"\r\n\r\n+14155550101,Ann";
        let expected =
            [vec!["phone", "name"], vec!["+14155550100", "Smith, \"J\"\nJr"], vec!["+14155550101", "Ann"]];
        for step in 1..text.len() {
            assert_eq!(cut(text, step), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn separators_are_seen_in_the_header() {
        assert_eq!(cut(b"phone;name\n1;a,b\n", 5)[1], ["1", "a,b"]);
        assert_eq!(cut(b"phone\tname\n1\ta,b\n", 5)[1], ["1", "a,b"]);
        assert_eq!(cut(b"phone\n1\n", 5)[1], ["1"]);
    }

    #[test]
    fn a_record_that_does_not_end_is_not_held() {
        let mut records = Records::new(b',');
        let piece = vec![b'x'; 100_000];
        let mut ended = false;
        for _ in 0..10 {
            let mut input: &[u8] = &piece;
            ended |= matches!(records.next(&mut input), Step::TooLong);
        }
        assert!(ended && records.text.len() <= RECORD);
    }
}
