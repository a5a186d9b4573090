//! What a list comes wrapped in: gzip, and the UTF-16 of spreadsheets.

use std::io::Write as _;

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

use crate::api::problems::{Kind, Problem};

/// How a gzip file begins.
pub(super) const GZIP: &[u8] = b"\x1F\x8B";
/// How workbooks begin: `.xlsx` and `.ods` (both ZIP archives), and the old `.xls`.
const WORKBOOKS: [&[u8]; 2] = [b"PK\x03", b"\xD0\xCF\x11"];
/// Bytes that are unzipped in one step: gzip makes at most a thousand of one, so that a step stays small.
const STEP: usize = 4 * 1024;
/// A text of more than this may not be more than `RATIO` times its zipped form. Real lists reach thirty.
const FREE: u64 = 16 * 1024 * 1024;
const RATIO: u64 = 200;

/// Unzips what it is fed.
pub(super) struct Gunzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    pending: Bytes,
    read: u64,
    written: u64,
    finished: bool,
}

impl Default for Gunzip {
    fn default() -> Self {
        Self {
            decoder: MultiGzDecoder::new(Vec::new()),
            pending: Bytes::new(),
            read: 0,
            written: 0,
            finished: false,
        }
    }
}

fn broken() -> Problem {
    Problem::new(
        Kind::BrokenBody,
        "the gzip data is damaged or incomplete; what was read of a list is accepted",
    )
}

impl Gunzip {
    /// Takes the next piece; it is called once [`Gunzip::next`] answered `None`.
    pub(super) fn feed(&mut self, piece: Bytes) {
        self.pending = piece;
    }

    /// The next piece of text; `None` where more must be fed.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while self.pending.has_remaining() {
            let mut step = self.pending.split_to(self.pending.len().min(STEP));
            self.read += step.len() as u64;
            while step.has_remaining() {
                let used = self.decoder.write(&step).map_err(|_| broken())?;
                if used == 0 {
                    return Err(broken());
                }
                step.advance(used);
            }
            if let Some(out) = self.take()? {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }

    fn take(&mut self) -> Result<Option<Bytes>, Problem> {
        let out = std::mem::take(self.decoder.get_mut());
        self.written += out.len() as u64;
        if self.written > FREE && self.written / RATIO > self.read {
            let detail = format!("the gzip data unfolds to more than {RATIO} times its size");
            return Err(Problem::new(Kind::PayloadTooLarge, detail));
        }
        Ok((!out.is_empty()).then(|| Bytes::from(out)))
    }

    /// What it still held; `None` once there is nothing more.
    ///
    /// # Errors
    /// Where the data is not whole.
    pub(super) fn finish(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.read == 0 || std::mem::replace(&mut self.finished, true) {
            return Ok(None);
        }
        self.decoder.try_finish().map_err(|_| broken())?;
        self.take()
    }
}

/// Refuses what is no text: a workbook that was renamed instead of saved as CSV.
pub(super) fn no_workbook(head: &[u8]) -> Result<(), Problem> {
    if WORKBOOKS.iter().any(|magic| head.starts_with(magic)) {
        let detail = "this is a spreadsheet's workbook or a ZIP archive; save the sheet as CSV and send that";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Ok(())
}

/// UTF-16, as spreadsheets save "Unicode text".
pub(super) struct Utf16(encoding_rs::Decoder);

impl Utf16 {
    /// By the byte order mark at the beginning of a text.
    pub(super) fn marked(head: &[u8]) -> Option<Self> {
        let encoding = match head.get(..2)? {
            b"\xFF\xFE" => encoding_rs::UTF_16LE,
            b"\xFE\xFF" => encoding_rs::UTF_16BE,
            _ => return None,
        };
        Some(Self(encoding.new_decoder_without_bom_handling()))
    }

    /// The next piece as UTF-8; what is no character becomes the replacement character.
    pub(super) fn text(&mut self, bytes: &[u8], last: bool) -> Bytes {
        let room = self.0.max_utf8_buffer_length(bytes.len()).unwrap_or(0);
        let mut out = String::with_capacity(room);
        let _ = self.0.decode_to_string(bytes, &mut out, last);
        Bytes::from(out)
    }
}
