//! One answered call: turn engine, guard rails, transcript and tool journal.
