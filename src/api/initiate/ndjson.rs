//! A list as NDJSON: a call a line, as an object or as a number in quotes. Blank lines are passed over.

use bytes::{Buf, BytesMut};
use serde_json::Value;

use crate::api::fields::kind_of;
use crate::api::initiate::list::List;
use crate::api::initiate::row::Row;
use crate::api::initiate::source::Source;
use crate::api::problems::{FieldError, Problem};

/// The longest line.
const LINE: usize = 256 * 1024;

/// Reads it into `list`.
pub(in crate::api) async fn read(list: &mut List<'_>, source: &mut Source) -> Result<(), Problem> {
    let mut lines = Lines::default();
    while let Some(piece) = source.next().await? {
        lines.feed(&piece);
        while let Some((n, line)) = lines.next(false) {
            take(list, n, &line).await?;
        }
    }
    while let Some((n, line)) = lines.next(true) {
        take(list, n, &line).await?;
    }
    Ok(())
}

async fn take(list: &mut List<'_>, n: u64, line: &Line) -> Result<(), Problem> {
    if let Line::Whole(bytes) = line
        && let Ok(plain) = serde_json::from_slice(bytes)
        && let Some(row) = Row::plain(list.app(), plain, list.shared())
    {
        return list.offer(n, Ok(row)).await;
    }
    let row = match line {
        Line::TooLong => Err(bad(format!("the line is longer than {LINE} bytes"))),
        Line::Whole(bytes) if bytes.trim_ascii().is_empty() => return Ok(()),
        Line::Whole(bytes) => match serde_json::from_slice::<Value>(bytes) {
            Err(_) if std::str::from_utf8(bytes).is_err() => Err(bad("the line is not valid UTF-8".into())),
            Err(e) => Err(bad(format!("is not JSON (column {})", e.column()))),
            Ok(Value::Object(object)) => Row::read(list.app(), object, "", list.shared(), list.now()),
            Ok(Value::String(text)) => Row::bare(list.app(), &text, "phone_number", list.shared()),
            Ok(other) => Err(bad(format!("must be an object or a string, not {}", kind_of(&other)))),
        },
    };
    list.offer(n, row).await
}

/// A line that is no row at all.
fn bad(reason: String) -> Vec<FieldError> {
    vec![FieldError::new("", reason).code("malformed_row")]
}

#[derive(Debug, PartialEq)]
enum Line {
    Whole(BytesMut),
    /// What there was of it is forgotten.
    TooLong,
}

/// Cuts what arrives into lines; holds at most one line and one piece.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
    searched: usize,
    too_long: bool,
    n: u64,
}

impl Lines {
    fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line with its number, from 1; at the end also one that no newline ends.
    fn next(&mut self, at_end: bool) -> Option<(u64, Line)> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        let line = match found {
            Some(at) => {
                let line = self.buffer.split_to(self.searched + at);
                self.buffer.advance(1);
                line
            }
            None if at_end && (self.too_long || !self.buffer.is_empty()) => self.buffer.split(),
            None => {
                self.searched = self.buffer.len();
                if self.searched > LINE {
                    self.too_long = true;
                    self.buffer.clear();
                    self.searched = 0;
                }
                return None;
            }
        };
        self.searched = 0;
        self.n += 1;
        let too_long = std::mem::take(&mut self.too_long) || line.len() > LINE;
        Some((self.n, if too_long { Line::TooLong } else { Line::Whole(line) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(u64, Line)> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.feed(piece);
            while let Some(line) = lines.next(false) {
                out.push(line);
            }
        }
        while let Some(line) = lines.next(true) {
            out.push(line);
        }
        out
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let whole = |text: &[u8]| Line::Whole(BytesMut::from(text));
        let expected = vec![(1, whole(b"ab")), (2, whole(b"")), (3, whole(b"c"))];
        assert_eq!(cut(&[b"ab\n\nc\n"]), expected);
        assert_eq!(cut(&[b"a", b"b\n", b"\n", b"c"]), expected);
        assert_eq!(cut(&[]), vec![]);
    }

    #[test]
    fn a_line_without_end_is_not_kept_and_stops_no_other() {
        let long = vec![b'x'; LINE];
        let lines = cut(&[&long, &long, b"\nb"]);
        assert_eq!(lines, vec![(1, Line::TooLong), (2, Line::Whole(BytesMut::from(&b"b"[..])))]);
    }
}
