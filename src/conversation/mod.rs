//! One answered call: turn engine, guard rails, transcript and tool journal.
pub(crate) mod guard;
