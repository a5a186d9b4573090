//! One answered call: turn engine, guard rails, transcript and tool journal. It knows no transport and no store.
//!
//! | file | idea |
//! | --- | --- |
//! | `input` | what a turn needs, what it may journal, how it fails |
//! | `engine` | [`take_turn`]: what is heard → what is done; everything that needs no model |
//! | `model_turn` | the model speaks and calls tools |
//! | `tooling` | which tools this stage allows, one call run under its limit |
//! | `answer` | the turn being put together: acts, notes, lines, dialogue |
//! | `messages` | what the model is told |
//! | `speech` | sentences out of a stream, cleaned for a voice |
//! | `render` | templates over the call's variables |
//! | `guard` | opt-out, consent, machines, numbers: by rule |

mod answer;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod guard;
mod input;
mod messages;
mod model_turn;
mod render;
mod speech;
mod tooling;

#[cfg(test)]
mod tests;

pub use engine::{bridge_line, failure_turn, take_turn};
pub use input::{
    CallTaken, FailureKind, Journal, JournalEntry, JournalError, TurnFailure, TurnInput, Voicemail,
};
pub use render::{RenderError, check_templates};
