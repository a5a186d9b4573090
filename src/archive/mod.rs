//! The S3 edge: transcripts, profiles, audit records and recordings.
//!
//! Keys are a function of the call, so a repeated put changes nothing; the record names an object only once a put here
//! has returned (invariant A1).

mod client;
mod error;
pub mod keys;
mod upload;

pub use client::{Archive, ArchiveConfig, Credentials};
pub use error::ArchiveError;

#[cfg(test)]
mod tests;
