//! What the fuzz targets of all rooms share. A target is a function of bytes that panics where a promise is broken.

/// The texts of an input: cut at bytes 0xFF, which stand in no UTF-8 text, so that a fuzzer moves the cuts freely.
pub(crate) fn texts(data: &[u8]) -> impl Iterator<Item = String> {
    data.split(|byte| *byte == 0xFF).map(|part| String::from_utf8_lossy(part).into_owned())
}

/// The first byte, which chooses among ways to go on, and the rest.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
