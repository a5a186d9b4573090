//! A body as it arrives, piece by piece: never waited for longer than thirty seconds, its byte order mark removed, its
//! fingerprint taken on the way.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::api::problems::{Kind, Problem};

/// How long a client may be silent in the middle of a body.
const IDLE: Duration = Duration::from_secs(30);
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A body being read.
pub(super) struct Source {
    stream: BodyDataStream,
    hash: Sha256,
    begun: bool,
}

impl Source {
    pub(super) fn new(body: Body) -> Self {
        Self { stream: body.into_data_stream(), hash: Sha256::new(), begun: false }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.begun {
            return self.piece().await;
        }
        // The mark may be cut in two; a first piece holds at least its three bytes, or all there is.
        self.begun = true;
        let mut head = BytesMut::new();
        while head.len() < BOM.len() {
            match self.piece().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        let head = head.freeze();
        let head = if head.starts_with(BOM) { head.slice(BOM.len()..) } else { head };
        if head.is_empty() { self.piece().await } else { Ok(Some(head)) }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let next = tokio::time::timeout(IDLE, self.stream.next()).await.map_err(|_| {
                let detail = format!("nothing arrived for {} s; what was read is accepted", IDLE.as_secs());
                Problem::new(Kind::Timeout, detail)
            })?;
            match next {
                None => return Ok(None),
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.hash.update(&piece);
                    return Ok(Some(piece));
                }
                Some(Err(_)) => {
                    return Err(Problem::new(
                        Kind::BrokenBody,
                        "the body was broken off; what was read of a list is accepted",
                    ));
                }
            }
        }
    }

    /// All that is left, at most `limit` bytes.
    pub(super) async fn whole(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if all.len() + piece.len() > limit {
                let detail =
                    format!("at most {limit} bytes of JSON are read; send a longer list as CSV or NDJSON");
                return Err(Problem::new(Kind::PayloadTooLarge, detail));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Reads to the end and answers the fingerprint of all that was read.
    pub(super) async fn fingerprint(mut self) -> Result<String, Problem> {
        while self.next().await?.is_some() {}
        Ok(self.fingerprint_so_far())
    }

    /// The fingerprint of what was read.
    pub(super) fn fingerprint_so_far(&self) -> String {
        hex::encode(&self.hash.clone().finalize()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&'static [u8]]) -> Source {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            pieces.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        Source::new(Body::from_stream(futures::stream::iter(pieces)))
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_removed_wherever_it_is_cut() {
        for cut in [
            pieces(&[b"\xEF\xBB\xBFab"]),
            pieces(&[b"\xEF", b"\xBB", b"\xBF", b"ab"]),
            pieces(&[b"\xEF\xBB\xBF", b"a", b"b"]),
            pieces(&[b"a", b"", b"b"]),
        ] {
            let mut source = cut;
            assert_eq!(source.whole(10).await.unwrap().as_ref(), b"ab");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused() {
        assert_eq!(pieces(&[b"abc", b"def"]).whole(5).await.unwrap_err().kind(), Kind::PayloadTooLarge);
    }

    #[tokio::test]
    async fn the_fingerprint_depends_on_the_bytes_and_not_on_the_cuts() {
        let one = pieces(&[b"abcdef"]).fingerprint().await.unwrap();
        assert_eq!(one, pieces(&[b"abc", b"def"]).fingerprint().await.unwrap());
        assert_ne!(one, pieces(&[b"abc", b"deg"]).fingerprint().await.unwrap());
    }
}
