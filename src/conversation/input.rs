//! What a turn needs, what it may journal, how it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::clock::Millis;
use crate::domain::agent::{Agent, CallTimes};
use crate::domain::draft::Draft;
use crate::domain::talk::{Act, Dialogue, Heard, Line, Note};

pub use crate::domain::talk::Voicemail;

/// Everything one turn depends on. The same input gives the same guards and the same replay on any node.
#[derive(Clone)]
pub struct TurnInput<'a> {
    /// Who speaks.
    pub agent: &'a Agent,
    /// The call, for logs.
    pub call_id: &'a str,
    /// The attempt the call was answered in.
    pub attempt: u32,
    /// The turn's number; 0 is the greeting.
    pub n: u32,
    /// What was heard.
    pub heard: Heard,
    /// Where the talk stood before this turn, as committed.
    pub dialogue: Dialogue,
    /// The transcript so far.
    pub lines: &'a [Line],
    /// The call's variables; data, never instructions.
    pub variables: &'a BTreeMap<String, String>,
    /// When the callee may be called, and on which clock they reckon.
    pub times: &'a CallTimes,
    /// When the call was answered.
    pub answered_at: Millis,
    /// Now.
    pub now: Millis,
    /// What a node that died in this turn had already journaled, in order; empty on a first try.
    pub journal: Vec<JournalEntry>,
    /// Where a transfer goes, E.164; `None` where nobody can take calls. The only number a call is ever transferred to.
    pub transfer_to: Option<&'a str>,
    /// Who answered, in the carrier's own word, where it has said so by now.
    pub answered_by: Option<&'a str>,
    /// What a machine gets.
    pub voicemail: Voicemail,
}

/// A tool call as it was taken from the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallTaken {
    /// The model's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments; `Null` where the model wrote no JSON object.
    pub args: Value,
}

/// One tool call with all it did. Where the tool reached beyond the talk it is durable before the model sees the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The model's answer (from 0) in which the call stood; calls of one answer are replayed in one message.
    pub round: u32,
    /// The call.
    pub call: CallTaken,
    /// Its result, as the model sees it.
    pub result: Value,
    /// The agent's notes after it.
    pub draft_after: Draft,
    /// Acts it asked for.
    pub acts: Vec<Act>,
    /// Notes it made.
    pub notes: Vec<Note>,
}

/// Why an entry could not be journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another node has taken the turn over.
    #[error("the turn belongs to another node now")]
    Lost,
    /// The journal cannot be reached.
    #[error("the journal is unavailable")]
    Unavailable,
}

/// Keeps a turn's tool calls, in order.
pub trait Journal: Send {
    /// Returns once `entry`, and all that was held back before it, is durable; only then does the model see its result.
    fn append(&mut self, entry: Arc<JournalEntry>) -> BoxFuture<'_, Result<(), JournalError>>;
    /// Takes an entry of which nothing has happened yet outside the turn: it may be lost with its node. It becomes
    /// durable with the next one that must be, or sooner where the turn takes long.
    fn hold(&mut self, entry: Arc<JournalEntry>);
}

/// A journal in memory, for tests and rehearsals.
impl Journal for Vec<JournalEntry> {
    fn append(&mut self, entry: Arc<JournalEntry>) -> BoxFuture<'_, Result<(), JournalError>> {
        self.hold(entry);
        async { Ok(()) }.boxed()
    }
    fn hold(&mut self, entry: Arc<JournalEntry>) {
        self.push(Arc::unwrap_or_clone(entry));
    }
}

/// Why a turn has no result. A failing model is none of these: it gives a turn that apologises and hangs up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the turn has no result: {kind}")]
pub struct TurnFailure {
    /// What failed.
    pub kind: FailureKind,
}

/// See [`TurnFailure`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FailureKind {
    /// Another node took the turn over; its result counts.
    #[error("another node has the turn")]
    Lost,
    /// The journal cannot be reached; nothing was done that is not journaled, the turn may be taken again.
    #[error("the journal is unavailable")]
    JournalUnavailable,
    /// The agent's prompt does not render.
    #[error("the agent's prompt does not render")]
    Prompt,
}

impl From<JournalError> for TurnFailure {
    fn from(error: JournalError) -> Self {
        let kind = match error {
            JournalError::Lost => FailureKind::Lost,
            JournalError::Unavailable => FailureKind::JournalUnavailable,
        };
        Self { kind }
    }
}
