//! After the hang-up: final extraction, outcome, archive and notices; later the recording.
//!
//! Everything here may run twice, and on two nodes: objects have keys and contents that are a function of the call, and
//! what counts is the one commit at the end. Where S3 is away the call stays where it is and comes due again; the record
//! names an object only once it exists (A1).
//!
//! | file | what it does |
//! | --- | --- |
//! | `conclude` | a call in wrap-up: transcript, outcome, audit, status, then `Concluded` |
//! | `extract` | the model reads the transcript once more, as data, by the agent's schema |
//! | `documents` | what is written: transcript, audit record, status |
//! | `chain/` | evidence: sealed into chains of segments, and verified |
//! | `recording` | the sound: from the carrier into S3, and away from the carrier |

pub mod chain;
mod conclude;
mod documents;
mod extract;
mod recording;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::archive::{Archive, ArchiveError, keys};
use crate::base::clock::Clock;
use crate::base::telemetry::Metrics;
use crate::carrier::twilio::Twilio;
use crate::domain::agent::Agent;
use crate::domain::call::{Call, Effect, Event, Phase, Rules};
use crate::domain::ids::{CallId, PhoneHash};
use crate::llm::Model;
use crate::store::{Applied, Store, StoreError};

/// The agent of that name, or the default one where a call names none; `None` where there is no such agent (any more).
pub type FindAgent = Arc<dyn Fn(Option<&str>) -> Option<Arc<Agent>> + Send + Sync>;

/// Does what a commit leaves to do at the carrier and in the fleet's capacity.
pub type Perform = Arc<dyn Fn(Call, Vec<Effect>) -> BoxFuture<'static, ()> + Send + Sync>;

/// The wrap-up engine of one worker.
#[derive(Clone)]
pub struct WrapUp {
    /// Redis.
    pub store: Store,
    /// S3.
    pub archive: Archive,
    /// The carrier, which holds the recordings.
    pub twilio: Twilio,
    /// The model, for the final extraction.
    pub model: Model,
    /// The agents.
    pub agents: FindAgent,
    /// What commits leave to do.
    pub perform: Perform,
    /// The machine's policy.
    pub rules: Arc<Rules>,
    /// How long the model may take to extract. The lease of a claimed call must be longer than this and the archive's
    /// own time-outs together.
    pub extract_timeout: Duration,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
}

impl WrapUp {
    /// Takes a claimed call the next step: one in wrap-up is concluded, one that has ended has its recording archived.
    ///
    /// # Errors
    /// Where Redis does not answer; the call comes due again by its lease.
    pub async fn step(&self, call: Call) -> Result<(), StoreError> {
        match call.phase() {
            Phase::WrapUp => Box::pin(self.run(call)).await,
            Phase::Ended => Box::pin(self.archive_recording(call)).await,
            _ => Ok(()),
        }
    }

    async fn agent_of(&self, call: &Call) -> Result<Option<Arc<Agent>>, StoreError> {
        Ok((self.agents)(self.store.agent_named(call).await?.as_deref()))
    }

    /// A step failed that may work later: the call comes due again, later each time.
    async fn later(&self, call: Call) -> Result<(), StoreError> {
        match self.store.apply(call, Event::Watched, &self.rules).await? {
            Applied::Done(..) | Applied::Stale(_) | Applied::Gone => Ok(()),
        }
    }
}

/// Did the callee refuse to go on? Then nothing of the talk is kept but the refusal.
fn refused(call: &Call, needs_consent: bool) -> bool {
    needs_consent && call.body.dialogue.consent == Some(false)
}

/// The status of a call that Redis no longer knows (48 h after its end), as it was archived by its wrap-up or, where it
/// was never dialed, when its evidence was sealed; `None` for an unknown id.
///
/// # Errors
/// Where S3 is away or refuses.
pub async fn archived_status(archive: &Archive, call: &CallId) -> Result<Option<Value>, ArchiveError> {
    archive.get_json(&keys::index(call)).await
}

/// The calls of a person that stand in the archive, however old, each with its status where that is there: those that
/// were wrapped up or sealed by a version that writes down whose they were.
///
/// # Errors
/// Where S3 is away or refuses.
pub async fn archived_calls(
    archive: &Archive,
    person: &PhoneHash,
) -> Result<Vec<(CallId, Option<Value>)>, ArchiveError> {
    let named = archive.list(&keys::of_person(person), None, |_| true).await?;
    let mut calls = Vec::with_capacity(named.len());
    for id in named.iter().filter_map(|key| keys::call_of_person(key)) {
        let status = archived_status(archive, &id).await?;
        calls.push((id, status));
    }
    Ok(calls)
}
