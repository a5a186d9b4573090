//! Fuzz target of evidence: what stands in the archive may have been changed by anybody.

use super::segment::{Segment, call_of, document, sha256};
use crate::archive::keys::{read_segment, segment};
use crate::base::clock::Millis;
use crate::base::fuzz::{choice, texts};

/// Lines of any kind are sealed so that they are read back, all of them and in order; a segment of any kind is read or
/// refused.
pub(crate) fn evidence(data: &[u8]) {
    let (way, rest) = choice(data);
    if way % 2 == 0 {
        if let Ok(segment) = Segment::read(rest) {
            segment.entries.iter().for_each(|entry| drop(call_of(entry.get())));
        }
        if let Some(name) = std::str::from_utf8(rest).ok().and_then(read_segment) {
            assert!(name.seq < u64::MAX && name.short.len() == 16);
        }
        return;
    }
    let lines: Vec<String> = texts(rest).collect();
    let at = Millis::from(way) * 1_000_000_000;
    let bytes = document("s07", 3, Some("ab"), at, &lines);
    let read =
        Segment::read(&bytes).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&bytes)));
    assert_eq!((read.entries.len(), read.seq, read.prev.as_deref()), (lines.len(), 3, Some("ab")));
    for (entry, line) in read.entries.iter().zip(&lines) {
        let kept = entry.get() == line.trim()
            || serde_json::from_str::<serde_json::Value>(entry.get())
                .is_ok_and(|entry| entry["malformed"].as_str() == Some(line));
        assert!(kept, "{line:?} became {}", entry.get());
    }
    let name = read_segment(&segment(at, "s07", 3, &sha256(&bytes)));
    assert!(name.is_some_and(|name| sha256(&bytes).starts_with(&name.short)));
}
