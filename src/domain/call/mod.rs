//! A call: its record, the states it passes, the events that move it, and the pure machine between them.
//!
//! `call.apply(event)` is the only way a record changes. It returns what the record becomes and the effects that go
//! with it; `store::commit` writes both at once. Late, repeated and impossible events come back as [`Stale`], which is
//! an answer and no error.

mod again;
mod change;
mod event;
mod machine;
mod packed;
mod record;
mod state;
mod talking;

pub use change::{Change, Effect, LegOutcome, Rules, Stale, Timings};
pub use event::{Event, HangUpCause, Leg};
pub use record::{Artefact, Body, Call, Head, MalformedRecord, PastAttempt, Recording, RecordingStatus};
pub use state::{Phase, State};

#[cfg(test)]
mod again_cases;
#[cfg(test)]
mod every_case;
#[cfg(test)]
mod tests;
