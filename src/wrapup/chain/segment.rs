//! A segment of a chain of evidence: some lines, and the hash of the segment before. Its bytes are what is hashed, so
//! they are made here once and never rewritten.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::base::clock::{Millis, rfc3339};
use crate::domain::ids::Shard;

/// Raised when a field of a segment changes its meaning or goes away.
const VERSION: u32 = 1;

/// What a shard's chain is called.
pub(super) fn chain_of(shard: Shard) -> String {
    format!("s{:02}", shard.0)
}

/// The SHA-256 of some bytes, in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A segment's bytes: one JSON document, one entry a line, in the order in which they happened.
pub(super) fn document(
    chain: &str,
    seq: u64,
    prev: Option<&str>,
    made_at: Millis,
    lines: &[String],
) -> Bytes {
    let head = json!(prev);
    let length = lines.iter().map(|line| line.len() + 2).sum::<usize>() + 256;
    let mut out = String::with_capacity(length);
    out.push_str(&format!(
        "{{\"version\":{VERSION},\"chain\":\"{chain}\",\"seq\":{seq},\"prev\":{head},\"made_at\":\"{}\",\"entries\":[",
        rfc3339(made_at)
    ));
    for (i, line) in lines.iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        if is_entry(line) {
            out.push_str(line);
        } else {
            // Nothing of ours writes such a line, but evidence is not thrown away for its form.
            out.push_str(&json!({"malformed": line}).to_string());
        }
    }
    out.push_str("\n]}\n");
    out.into()
}

fn is_entry(line: &str) -> bool {
    line.starts_with('{') && !line.contains(['\n', '\r']) && serde_json::from_str::<&RawValue>(line).is_ok()
}

/// A segment as it is read back.
#[derive(Debug, Deserialize)]
pub(super) struct Segment<'a> {
    version: u32,
    /// Which chain.
    pub(super) chain: String,
    /// Its number, from 1.
    pub(super) seq: u64,
    /// The hash of the one before; `None` for the first.
    pub(super) prev: Option<String>,
    /// The entries, as they were written.
    #[serde(borrow)]
    pub(super) entries: Vec<&'a RawValue>,
}

impl<'a> Segment<'a> {
    /// Reads a segment.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let segment: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {error}"))?;
        if segment.version != VERSION {
            return Err(format!("its version is {}, this program reads {VERSION}", segment.version));
        }
        Ok(segment)
    }
}

/// The call that an entry is about.
pub(super) fn call_of(entry: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(entry).ok()?;
    Some(entry.get("call")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let lines = vec![r#"{"at":1,"call":"call_x"}"#.to_owned(), "no JSON\n".to_owned(), "[1]".to_owned()];
        let bytes = document("s07", 3, Some("ab"), 1_705_314_600_123, &lines);
        let text = std::str::from_utf8(&bytes).expect("text");
        assert_eq!(
            text,
            "{\"version\":1,\"chain\":\"s07\",\"seq\":3,\"prev\":\"ab\",\"made_at\":\"2024-01-15T10:30:00.123Z\",\
             \"entries\":[\n{\"at\":1,\"call\":\"call_x\"},\n{\"malformed\":\"no JSON\\n\"},\n{\"malformed\":\"[1]\"}\n]}\n"
        );
        let segment = Segment::read(&bytes).expect("a segment");
        assert_eq!((segment.chain.as_str(), segment.seq, segment.prev.as_deref()), ("s07", 3, Some("ab")));
        assert_eq!(segment.entries.len(), 3);
        assert_eq!(segment.entries[0].get(), lines[0]);
        assert_eq!(call_of(&lines[0]).as_deref(), Some("call_x"));
        assert_eq!(call_of(&lines[2]), None);
    }

    #[test]
    fn the_first_names_none_before_and_another_version_is_refused() {
        let bytes = document("s00", 1, None, 0, &["{}".to_owned()]);
        assert_eq!(Segment::read(&bytes).expect("a segment").prev, None);
        let newer = String::from_utf8_lossy(&bytes).replace("\"version\":1", "\"version\":2");
        assert!(Segment::read(newer.as_bytes()).is_err_and(|why| why.contains("version is 2")));
    }
}
