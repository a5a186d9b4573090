//! Server-sent events out of bytes, as the HTML standard reads them (9.2.6): however the network cuts them, whatever
//! stands in them. What is held of an event that does not end is bounded.

use std::collections::VecDeque;

use futures::stream::{self, BoxStream, Stream, StreamExt as _};

/// Most bytes of one line, and of one event's data.
const MOST: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type, `message` where it names none.
    pub event: String,
    /// Its data, lines separated by line feeds.
    pub data: String,
    /// The last id that was named, by this event or an earlier one; empty where none was.
    pub id: String,
}

/// Why there are no more events.
#[derive(Debug)]
pub enum Broken<E> {
    /// The connection broke.
    Stream(E),
    /// An event is longer than anybody's.
    TooLong,
}

/// The events of a stream of bytes. An event that is not ended when the stream ends is dropped, as the standard has it.
pub fn events<S, B, E>(pieces: S) -> BoxStream<'static, Result<Event, Broken<E>>>
where
    S: Stream<Item = Result<B, E>> + Send + 'static,
    B: AsRef<[u8]> + Send + 'static,
    E: Send + 'static,
{
    let state = (pieces.boxed(), Parser::default());
    stream::unfold(state, |(mut pieces, mut parser): (BoxStream<'static, Result<B, E>>, Parser)| async move {
        loop {
            // What came before it broke is good.
            if let Some(event) = parser.ready.pop_front() {
                return Some((Ok(event), (pieces, parser)));
            }
            if parser.over {
                return None;
            }
            if parser.too_long {
                parser.over = true;
                return Some((Err(Broken::TooLong), (pieces, parser)));
            }
            match pieces.next().await {
                Some(Ok(piece)) => parser.feed(piece.as_ref()),
                Some(Err(error)) => {
                    parser.over = true;
                    return Some((Err(Broken::Stream(error)), (pieces, parser)));
                }
                None => return None,
            }
        }
    })
    .boxed()
}

/// What is known between two pieces.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    /// The piece before ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// A first line has been looked at for a byte order mark.
    begun: bool,
    /// Lines of data, joined; `None` before the first.
    data: Option<String>,
    event: String,
    id: String,
    /// Events that are complete.
    ready: VecDeque<Event>,
    /// Nobody's event is so long: no more is read.
    too_long: bool,
    over: bool,
}

impl Parser {
    fn feed(&mut self, mut bytes: &[u8]) {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at(end);
            if !self.grow(line) {
                return;
            }
            let line = std::mem::take(&mut self.line);
            self.take(&line);
            if self.too_long {
                return;
            }
            self.after_return = rest == b"\r";
            bytes = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        }
        self.grow(bytes);
    }

    /// More of the line that is open. False: it is longer than anybody's.
    fn grow(&mut self, more: &[u8]) -> bool {
        if self.line.len() + more.len() > MOST {
            self.too_long = true;
            return false;
        }
        self.line.extend_from_slice(more);
        true
    }

    fn take(&mut self, line: &[u8]) {
        let line = if std::mem::replace(&mut self.begun, true) {
            line
        } else {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        };
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if let Some(data) = self.data.take() {
                let event = if event.is_empty() { "message".to_owned() } else { event };
                self.ready.push_back(Event { event, data, id: self.id.clone() });
            }
            return;
        }
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                let first = self.data.is_none();
                let data = self.data.get_or_insert_default();
                if !first {
                    data.push('\n');
                }
                data.push_str(value);
                self.too_long |= data.len() > MOST;
            }
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // Comments have an empty name; `retry` is for those who reconnect by the server's clock.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::executor::block_on;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Result<Event, ()>> {
        let pieces: Vec<Result<Vec<u8>, Infallible>> =
            pieces.iter().map(|piece| Ok(piece.to_vec())).collect();
        block_on(events(stream::iter(pieces)).map(|event| event.map_err(drop)).collect())
    }

    fn event(event: &str, data: &str, id: &str) -> Result<Event, ()> {
        Ok(Event { event: event.into(), data: data.into(), id: id.into() })
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = "\u{feff}: hello\r\n\r\nevent: state\rid: 7\rdata: {\"a\":\rdata:1}\r\rdata: é\n\n\nid\ndata\n\ndata: cut";
        let wanted =
            [event("state", "{\"a\":\n1}", "7"), event("message", "é", "7"), event("message", "", "")];
        for step in 1..text.len() {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            assert_eq!(read(&pieces), wanted, "in pieces of {step}");
        }
    }

    #[test]
    fn what_does_not_end_is_not_held() {
        let long = vec![b'x'; MOST];
        assert_eq!(
            read(&[b"data: 1\n\ndata: ", &long, b"x", b"\n\ndata: 2\n\n"]),
            [event("message", "1", ""), Err(())]
        );
        let line = [b"data:".as_slice(), &long[..MOST / 2], b"\n"].concat();
        assert_eq!(read(&[&line, &line, &line]), [Err(())]);
    }
}
