//! The S3 edge: transcripts, profiles, audit records and recordings.
