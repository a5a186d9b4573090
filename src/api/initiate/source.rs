//! A body as it arrives, piece by piece: never waited for longer than thirty seconds, its fingerprint taken on the way,
//! then unzipped and turned into UTF-8 where it is not.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::api::initiate::unpack::{GZIP, Gunzip, Utf16, no_workbook};
use crate::api::problems::{FieldError, Kind, Problem};

/// How long a client may be silent in the middle of a body.
const IDLE: Duration = Duration::from_secs(30);
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A body being read.
pub(in crate::api) struct Source {
    stream: BodyDataStream,
    hash: Sha256,
    /// Did anything of it arrive?
    any: bool,
    /// Not yet looked at, as it arrived.
    raw: Option<Bytes>,
    gunzip: Option<Gunzip>,
    /// Its first piece was looked at for a compression, and for a byte order mark.
    begun: bool,
    wide: Option<Utf16>,
    ended: bool,
}

impl Source {
    /// # Errors
    /// Where it is packed in a way that is not known here.
    pub(in crate::api) fn new(body: Body, headers: &HeaderMap) -> Result<Self, Problem> {
        let packed = headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?").trim());
        let gunzip = match packed.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "identity") => None,
            Some("gzip" | "x-gzip") => Some(Gunzip::default()),
            Some(_) => {
                let error = FieldError::new("Content-Encoding", "must be gzip or identity");
                return Err(Problem::fields(Kind::UnsupportedMediaType, vec![error]));
            }
        };
        Ok(Self {
            stream: body.into_data_stream(),
            hash: Sha256::new(),
            any: false,
            raw: None,
            gunzip,
            begun: false,
            wide: None,
            ended: false,
        })
    }

    /// Is there a body at all?
    pub(in crate::api) async fn is_empty(&mut self) -> Result<bool, Problem> {
        if !self.any
            && let Some(piece) = self.wire().await?
        {
            self.raw = Some(piece);
        }
        Ok(!self.any)
    }

    /// The next piece of text; `None` at the end. It need not end with a whole character.
    pub(in crate::api) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut piece = if self.begun { self.plain().await? } else { self.first().await? };
        loop {
            match (&mut self.wide, piece) {
                (None, piece) => return Ok(piece),
                (Some(wide), Some(bytes)) => {
                    let text = wide.text(&bytes, false);
                    if !text.is_empty() {
                        return Ok(Some(text));
                    }
                }
                (Some(wide), None) => {
                    let text = if std::mem::replace(&mut self.ended, true) {
                        Bytes::new()
                    } else {
                        wide.text(&[], true)
                    };
                    return Ok((!text.is_empty()).then_some(text));
                }
            }
            piece = self.plain().await?;
        }
    }

    /// The first piece, without its byte order mark, which may be cut in two; it says what the text is written in.
    async fn first(&mut self) -> Result<Option<Bytes>, Problem> {
        self.begun = true;
        // A zipped file is known by its first two bytes, whatever its type says.
        let mut head = BytesMut::new();
        while head.len() < GZIP.len() {
            match self.wire().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        if head.starts_with(GZIP) && self.gunzip.is_none() {
            self.gunzip = Some(Gunzip::default());
        }
        self.raw = (!head.is_empty()).then(|| head.freeze());
        let mut head = BytesMut::new();
        while head.len() < BOM.len() {
            match self.plain().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        let head = head.freeze();
        no_workbook(&head)?;
        let head = if head.starts_with(BOM) {
            head.slice(BOM.len()..)
        } else if let Some(wide) = Utf16::marked(&head) {
            self.wide = Some(wide);
            head.slice(2..)
        } else {
            head
        };
        if head.is_empty() { self.plain().await } else { Ok(Some(head)) }
    }

    /// The next piece, unzipped.
    async fn plain(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(gunzip) = &mut self.gunzip
                && let Some(piece) = gunzip.next()?
            {
                return Ok(Some(piece));
            }
            let piece = match self.raw.take() {
                Some(piece) => Some(piece),
                None => self.wire().await?,
            };
            match (&mut self.gunzip, piece) {
                (None, piece) => return Ok(piece),
                (Some(gunzip), Some(piece)) => gunzip.feed(piece),
                (Some(gunzip), None) => return gunzip.finish(),
            }
        }
    }

    /// The next piece as it arrived.
    async fn wire(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some(piece) = self.raw.take() {
            return Ok(Some(piece));
        }
        loop {
            let next = tokio::time::timeout(IDLE, self.stream.next()).await.map_err(|_| {
                let detail = format!("nothing arrived for {} s; what was read is accepted", IDLE.as_secs());
                Problem::new(Kind::Timeout, detail)
            })?;
            match next {
                None => return Ok(None),
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.any = true;
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
    pub(in crate::api) async fn whole(&mut self, limit: usize) -> Result<Bytes, Problem> {
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
    pub(in crate::api) async fn fingerprint(mut self) -> Result<String, Problem> {
        while self.wire().await?.is_some() {}
        Ok(self.fingerprint_so_far())
    }

    /// The fingerprint of what was read.
    pub(in crate::api) fn fingerprint_so_far(&self) -> String {
        hex::encode(&self.hash.clone().finalize()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&'static [u8]]) -> Source {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            pieces.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        Source::new(Body::from_stream(futures::stream::iter(pieces)), &HeaderMap::new()).unwrap()
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
    async fn what_is_packed_or_wide_is_plain_text_in_the_end() {
        use std::io::Write as _;
        let utf16: Vec<u8> =
            b"\xFF\xFE".iter().copied().chain("é,😀".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(&utf16).unwrap();
        let zipped = zip.finish().unwrap();
        for (bytes, step) in [(&utf16, 1), (&utf16, 3), (&zipped, 1), (&zipped, 7), (&zipped, 1_000)] {
            let pieces: Vec<Result<Bytes, std::io::Error>> =
                bytes.chunks(step).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            let body = Body::from_stream(futures::stream::iter(pieces));
            let mut source = Source::new(body, &HeaderMap::new()).unwrap();
            assert_eq!(source.whole(100).await.unwrap(), "é,😀".as_bytes(), "in pieces of {step}");
        }
        let cut = zipped[..zipped.len() - 3].to_vec();
        let mut source = Source::new(Body::from(cut), &HeaderMap::new()).unwrap();
        assert_eq!(source.whole(100).await.unwrap_err().kind(), Kind::BrokenBody);
    }

    #[tokio::test]
    async fn a_workbook_is_no_list() {
        for head in [b"PK\x03\x04rest", b"\xD0\xCF\x11\xE0rest"] {
            let refused = pieces(&[&head[..1], &head[1..]]).whole(100).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::UnsupportedMediaType);
        }
        assert_eq!(pieces(&[b"PK,phone"]).whole(100).await.unwrap().as_ref(), b"PK,phone");
    }

    #[tokio::test]
    async fn a_bomb_is_refused_before_it_fills_the_memory() {
        use std::io::Write as _;
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        zip.write_all(&[b' '; 1 << 20]).unwrap();
        let bomb = zip.finish().unwrap().repeat(40);
        let mut source = Source::new(Body::from(bomb), &HeaderMap::new()).unwrap();
        let mut read = 0;
        let refused = loop {
            match source.next().await {
                Ok(Some(piece)) => {
                    assert!(piece.len() <= 8 << 20, "{}", piece.len());
                    read += piece.len();
                }
                Ok(None) => panic!("a bomb was read to its end"),
                Err(problem) => break problem,
            }
        };
        assert_eq!(refused.kind(), Kind::PayloadTooLarge);
        assert!(read < 64 << 20, "{read}");
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
