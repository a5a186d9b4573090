//! A list as CSV with a header row, cut into records as it arrives. Separators may be commas, semicolons, tabs or bars, as
//! spreadsheets in different countries write them; `columns` says what they separate.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::api::initiate::columns::{Header, Mapping, bad_header};
use crate::api::initiate::list::List;
use crate::api::initiate::source::Source;
use crate::api::problems::{FieldError, Problem};

/// The longest record, in bytes. One that is longer is nearly always a quotation mark that is never closed.
const RECORD: usize = 256 * 1024;
/// Most columns.
const COLUMNS: usize = 512;

/// Reads it into `list`.
pub(in crate::api) async fn read(
    list: &mut List<'_>,
    source: &mut Source,
    mapping: &Mapping,
) -> Result<(), Problem> {
    let (mut records, first) = Records::open(source).await?;
    let mut header: Option<Header> = None;
    let mut piece = first;
    loop {
        let mut input: &[u8] = &piece;
        let at_end = input.is_empty();
        loop {
            match records.next(&mut input, at_end) {
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
                    let error = FieldError::new("", reason).code("malformed_row");
                    list.offer(records.row + 1, Err(vec![error])).await?;
                    while source.next().await?.is_some() {}
                    return Ok(());
                }
                Step::Record => match &header {
                    // Rows without any text may stand above the header, too.
                    None if records.fields().all(|cell| cell.trim_ascii().is_empty()) => {}
                    None if records.unclosed => {
                        return Err(bad_header("a quotation mark in the header row is never closed"));
                    }
                    None => header = Some(Header::read(records.fields(), mapping)?),
                    Some(_) if records.unclosed => {
                        // All rows below it stand in one of its cells.
                        let reason = "a quotation mark in it is never closed; nothing after it was read";
                        let error = FieldError::new("", reason).code("malformed_row");
                        list.offer(records.row, Err(vec![error])).await?;
                    }
                    Some(header) => {
                        if let Some(row) = header.row(records.fields(), list) {
                            list.offer(records.row, row).await?;
                        }
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
    Ok(())
}

pub(in crate::api) enum Step {
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
pub(in crate::api) struct Records {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    written: usize,
    fields: usize,
    complete: bool,
    /// Its last record has been ended.
    closed: bool,
    /// The file ended inside quotation marks.
    pub(in crate::api) unclosed: bool,
    /// The record's row, as a spreadsheet shows it: blank lines count, those inside quotation marks do not.
    pub(in crate::api) row: u64,
    /// Line feeds inside quotation marks so far.
    inside: u64,
    last: u8,
}

impl Records {
    /// Reads up to the end of the first line, to see what separates its columns.
    pub(in crate::api) async fn open(source: &mut Source) -> Result<(Self, Vec<u8>), Problem> {
        let mut head = Vec::new();
        while line_end(&head).is_none() && head.len() < RECORD {
            match source.next().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        // A first line such as `sep=;` is for spreadsheets, which do not show it.
        if let Some((separator, length)) = announced(&head) {
            head.drain(..length);
            if head.is_empty() {
                head = source.next().await?.map(Vec::from).unwrap_or_default();
            }
            return Ok((Self::new(separator), head));
        }
        let line = head.get(..line_end(&head).unwrap_or(head.len())).unwrap_or_default();
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
            closed: false,
            unclosed: false,
            row: 0,
            inside: 0,
            last: 0,
        }
    }

    /// Goes on with `input`, of which it takes what it used; at the end of the file there is no more of it.
    pub(in crate::api) fn next(&mut self, input: &mut &[u8], at_end: bool) -> Step {
        if std::mem::take(&mut self.complete) {
            (self.written, self.fields) = (0, 0);
        }
        if at_end && !std::mem::replace(&mut self.closed, true) {
            // A last line feed ends the last record; only inside quotation marks it is a part of a cell.
            let before = self.written;
            let step = self.read(&mut b"\n".as_slice(), false);
            self.unclosed = matches!(step, Step::NeedsMore) && self.written > before;
            if !matches!(step, Step::NeedsMore) {
                return step;
            }
        }
        self.read(input, at_end)
    }

    fn read(&mut self, input: &mut &[u8], at_end: bool) -> Step {
        loop {
            if input.is_empty() && !at_end {
                return Step::NeedsMore;
            }
            let (result, used, written, fields) =
                self.reader.read_record(input, &mut self.text[self.written..], &mut self.ends[self.fields..]);
            if let Some(last) = used.checked_sub(1).and_then(|at| input.get(at)) {
                self.last = *last;
            }
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
                    self.count();
                    return Step::Record;
                }
                ReadRecordResult::End => return Step::End,
            }
        }
    }

    fn count(&mut self) {
        let text = self.text.get(..self.written).unwrap_or_default();
        self.inside += text.iter().filter(|b| **b == b'\n').count() as u64;
        // A record ends with its line feed, or before it: at a carriage return, or at the end of the file.
        let lines = self.reader.line() - u64::from(self.last == b'\n');
        self.row = lines.saturating_sub(self.inside).max(self.row + 1);
    }

    /// The fields of the record that is complete.
    pub(in crate::api) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends[..self.fields].iter().map(move |to| &self.text[std::mem::replace(&mut from, *to)..*to])
    }
}

/// Where the first line ends that is not inside quotation marks.
fn line_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    text.iter().position(|b| {
        quoted ^= *b == b'"';
        !quoted && matches!(b, b'\n' | b'\r')
    })
}

/// The separator that a first line `sep=;` announces, and that line's length.
fn announced(text: &[u8]) -> Option<(u8, usize)> {
    let end = line_end(text)?;
    let line = text.get(..end)?;
    let (name, separator) = line.split_at_checked(4)?;
    let [separator] = separator else { return None };
    let crlf = text.get(end..end + 2) == Some(b"\r\n");
    name.eq_ignore_ascii_case(b"sep=").then_some((*separator, end + 1 + usize::from(crlf)))
}

fn separator(line: &[u8]) -> u8 {
    let count = |sep: u8| {
        let mut quoted = false;
        let outside = |b: &&u8| {
            quoted ^= **b == b'"';
            !quoted && **b == sep
        };
        line.iter().filter(outside).count()
    };
    let commas = count(b',');
    [b';', b'\t', b'|']
        .into_iter()
        .filter(|sep| count(*sep) > commas)
        .max_by_key(|sep| count(*sep))
        .unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], step: usize) -> Vec<Vec<String>> {
        let line = &text[..line_end(text).unwrap_or(text.len())];
        let mut records = Records::new(separator(line));
        let mut out = Vec::new();
        for piece in text.chunks(step).chain([&b""[..]]) {
            let mut input = piece;
            while let Step::Record = records.next(&mut input, piece.is_empty()) {
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
    fn a_quotation_mark_that_is_never_closed_is_seen() {
        for (text, expected) in [
            ("phone,name\n1,\"Ada\n2,Bob\n", true),
            ("phone,name\n1,\"Ada", true),
            ("phone,name\n1,\"say \"\"hi\"\"", true),
            ("phone,name\n1,\"Ada\"", false),
            ("phone,name\n1,\"Ada\"\n\n", false),
            ("phone,name\n1,5\" pipe\n", false),
            ("phone,name\n1,A", false),
            ("", false),
        ] {
            let mut records = Records::new(b',');
            for piece in [text.as_bytes(), b""] {
                let mut input = piece;
                while let Step::Record = records.next(&mut input, piece.is_empty()) {}
            }
            assert_eq!(records.unclosed, expected, "{text:?}");
        }
    }

    #[test]
    fn separators_are_seen_in_the_header() {
        assert_eq!(cut(b"phone;name\n1;a,b\n", 5)[1], ["1", "a,b"]);
        assert_eq!(cut(b"phone\tname\n1\ta,b\n", 5)[1], ["1", "a,b"]);
        assert_eq!(cut(b"phone|name\r1|a,b\r", 5)[1], ["1", "a,b"]);
        assert_eq!(cut(b"\"phone, or;tel;fax\",name\n1,b\n", 5)[1], ["1", "b"]);
        assert_eq!(cut(b"phone\n1\n", 5)[1], ["1"]);
        assert_eq!(announced(b"sep=;\r\nphone"), Some((b';', 7)));
        assert_eq!(announced(b"SEP=\t\nphone"), Some((b'\t', 6)));
        assert_eq!(announced(b"sep=;"), None);
        assert_eq!(announced(b"sep=no\n"), None);
    }

    #[test]
    fn rows_are_those_that_a_spreadsheet_shows() {
        let lf = "phone,note\n1,\"a\nb\"\n\n\n2,\n,\n3,x";
        for text in [lf.to_owned(), lf.replace('\n', "\r\n")] {
            for step in 1..text.len() {
                let mut records = Records::new(b',');
                let mut rows = Vec::new();
                for piece in text.as_bytes().chunks(step).chain([&b""[..]]) {
                    let mut input = piece;
                    while let Step::Record = records.next(&mut input, piece.is_empty()) {
                        rows.push(records.row);
                    }
                }
                assert_eq!(rows, [1, 2, 5, 6, 7], "in pieces of {step} of {text:?}");
            }
        }
    }

    #[test]
    fn a_record_that_does_not_end_is_not_held() {
        let mut records = Records::new(b',');
        let piece = vec![b'x'; 100_000];
        let mut ended = false;
        for _ in 0..10 {
            let mut input: &[u8] = &piece;
            ended |= matches!(records.next(&mut input, false), Step::TooLong);
        }
        assert!(ended && records.text.len() <= RECORD);
    }
}
