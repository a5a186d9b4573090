//! A call in wrap-up: its objects are written in an order in which each may name the ones before it, then one commit
//! says that they exist.

use bytes::Bytes;
use serde_json::Value;

use crate::archive::{ArchiveError, keys};
use crate::base::fault;
use crate::domain::agent::{Agent, Conclusion, Outcome};
use crate::domain::call::{Artefact, Call, Event, Phase};
use crate::domain::talk::Line;
use crate::store::{Committed, StoreError};
use crate::wrapup::documents::{self, Extracted, Stored, Talker, over_at, sha256};
use crate::wrapup::{WrapUp, extract, refused};

/// How often the model, or a deletion at the carrier, is tried before the call is concluded without it.
const MOST_SETBACKS: u32 = 3;
/// How often a wrap-up begins anew because somebody wrote to the call meanwhile; its lease brings it back after that.
const MOST_ROUNDS: u32 = 8;

/// Why a wrap-up stops where it is.
enum Halt {
    /// Redis does not answer.
    Store(StoreError),
    /// It may work later.
    Later,
    /// Somebody wrote since the call was read: late words, an opt-out. This is what they left.
    Overtaken(Box<Call>),
    /// The call is gone.
    Gone,
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the agent made of the call.
struct Concluded {
    outcome: Outcome,
    extracted: Extracted,
}

/// A talk whose objects stand in S3.
struct Talk {
    /// The call as it was read.
    call: Call,
    refused: bool,
    talker: Talker,
    outcome: Outcome,
    extracted: Extracted,
    /// Event type, field and document for downstream.
    told: Option<(String, &'static str, Value)>,
    stored: Vec<Stored>,
}

impl Talk {
    /// Would it be the same of `call`? Every line that is added to a transcript changes the record too. A refused talk's
    /// recording is deleted with its objects, so that it matters.
    fn is_of(&self, call: &Call) -> bool {
        let mut known = self.call.clone();
        known.head = call.head;
        known.body.recording.clone_from(&call.body.recording);
        known.body.stray_recordings.clone_from(&call.body.stray_recordings);
        !self.refused && known == *call
    }
}

impl WrapUp {
    /// Concludes a claimed call in wrap-up. Where S3 is away it stays in wrap-up and comes due again.
    ///
    /// # Errors
    /// Where Redis does not answer; the call comes due again by its lease.
    pub async fn run(&self, call: Call) -> Result<(), StoreError> {
        let epoch = call.head.epoch;
        let (mut call, mut talk) = (call, None);
        for _ in 0..MOST_ROUNDS {
            if call.phase() != Phase::WrapUp || call.head.epoch != epoch {
                return Ok(());
            }
            match Box::pin(self.once(&call, &mut talk)).await {
                Ok(()) | Err(Halt::Gone) => return Ok(()),
                Err(Halt::Store(error)) => return Err(error),
                Err(Halt::Later) => return self.later(call).await,
                Err(Halt::Overtaken(theirs)) => call = *theirs,
            }
        }
        Ok(())
    }

    /// Writes the objects and commits. `talk`: those of the round before, which stand for a call of which only the
    /// recording is another by now, as it soon is after a hang-up.
    async fn once(&self, call: &Call, talk: &mut Option<Talk>) -> Result<(), Halt> {
        let talk = match talk.take().filter(|talk| talk.is_of(call)) {
            Some(known) => talk.insert(known),
            None => talk.insert(self.talk(call).await?),
        };
        let mut stored = talk.stored.clone();
        let key = keys::audit(over_at(call), &keys::audit_id(&call.id, "call_concluded", 0));
        let document = documents::audit(call, &talk.talker, talk.extracted, &stored);
        self.put(call, &mut stored, "audit", key, &document).await?;

        let event = Event::Concluded {
            artefacts: stored.into_iter().map(|s| s.artefact).collect(),
            outcome: talk.told.clone(),
            adversarial_score: talk.outcome.adversarial_score,
            employment_gaps: talk.outcome.employment_gaps.clone(),
        };
        self.commit(call, event).await
    }

    /// What was said and what came of it, written.
    async fn talk(&self, call: &Call) -> Result<Talk, Halt> {
        let agent = self.agent_of(call).await?;
        if agent.is_none() {
            tracing::error!(call_id = %call.id, agent = call.body.agent, "the call's agent is gone; it has no outcome");
        }
        let refused = refused(call, agent.as_ref().is_none_or(|a| a.definition.needs_consent));
        let mut lines = self.store.transcript(&call.id).await?;
        if refused {
            lines = self.reduce(call, lines).await?;
            self.delete_at_carrier(call).await?;
        }
        let talker = Talker {
            name: agent.as_ref().map(|a| a.definition.name.clone()).or_else(|| call.body.agent.clone()),
            version: call
                .body
                .agent_version
                .clone()
                .or_else(|| agent.as_ref().map(|a| a.definition.version.clone())),
        };

        fault::point("wrapup_before_archive");
        let created = call.body.created_at;
        let mut stored = Vec::new();
        // First, since it also shows whether S3 is there, before the model is paid for reading.
        if !lines.is_empty() {
            let document = documents::transcript(call, &talker, &lines, refused);
            self.put(call, &mut stored, "transcript", keys::transcript(created, &call.id), &document).await?;
        }
        // An earlier attempt was answered by a machine, or by somebody whom we failed: its words are no part of this talk,
        // and its turns bear the same numbers.
        lines.retain(|line| line.attempt == call.body.attempt);
        let Concluded { mut outcome, extracted } = match &agent {
            Some(agent) => self.conclude(call, agent, &lines, refused).await?,
            None => Concluded { outcome: Outcome::default(), extracted: Extracted::No },
        };
        let mut told = None;
        if let (Some(agent), Some(document)) = (&agent, outcome.document.take()) {
            let definition = &agent.definition;
            let key = keys::outcome(created, &call.id, &definition.outcome_folder, &definition.outcome_file);
            self.put(call, &mut stored, "outcome", key, &document).await?;
            told = Some((definition.outcome_event.clone(), outcome.document_field, document));
        }
        Ok(Talk { call: call.clone(), refused, talker, outcome, extracted, told, stored })
    }

    /// Not through `Store::apply`: where somebody wrote meanwhile, what they wrote belongs into the objects too.
    async fn commit(&self, call: &Call, event: Event) -> Result<(), Halt> {
        let mut change = call.clone().change();
        if change.apply(event, &self.rules, self.clock.now()).is_err() {
            return Err(Halt::Gone);
        }
        // Our setbacks are over; those of the recording are counted from here.
        change.call.body.setbacks = 0;
        // First: what has a status has to be found when its person asks to be forgotten.
        let whose = keys::person(&call.phone_hash, &call.id);
        self.put_only(call, &whose, documents::bytes(&documents::of_person(call))).await?;
        let status = documents::status(&change.call);
        self.put_only(call, &keys::index(&call.id), documents::bytes(&status)).await?;
        fault::point("wrapup_before_commit");
        match self.store.commit(change, None).await? {
            Committed::Done(call, effects) => {
                fault::point("wrapup_after_commit");
                self.count(&call);
                if !effects.is_empty() {
                    (self.perform)(*call, effects).await;
                }
                Ok(())
            }
            Committed::Conflict(theirs) => Err(Halt::Overtaken(theirs)),
            Committed::Gone | Committed::Lost => Err(Halt::Gone),
        }
    }

    /// The agent's outcome, from its notes and, where there is anything to read, from the model's extraction.
    async fn conclude(
        &self,
        call: &Call,
        agent: &Agent,
        lines: &[Line],
        refused: bool,
    ) -> Result<Concluded, Halt> {
        let consent = call.body.dialogue.consent;
        let may_read = !agent.definition.needs_consent || consent == Some(true);
        let (extraction, extracted) = if may_read && extract::wanted(agent, lines) {
            match Box::pin(self.extract(agent, lines, over_at(call))).await {
                Ok(found) => (Some(found), Extracted::Yes),
                Err(error) => {
                    let setbacks = call.body.setbacks;
                    tracing::warn!(call_id = %call.id, %error, setbacks, "the final extraction failed");
                    if error.is_retryable() && setbacks < MOST_SETBACKS {
                        return Err(Halt::Later);
                    }
                    (None, Extracted::Failed(error.kind()))
                }
            }
        } else {
            (None, Extracted::No)
        };
        let Some(ending) = call.ending() else { return Err(Halt::Gone) };
        let mut outcome = (agent.conclude)(&Conclusion {
            draft: &call.body.dialogue.draft,
            lines,
            extraction: extraction.as_ref(),
            phone_hash: call.phone_hash.as_str(),
            consent,
            ending,
            // Not the present: made again, the outcome is the same.
            now: over_at(call),
        });
        if refused {
            // Whatever the agent thinks of it.
            outcome.document = None;
            outcome.employment_gaps = None;
        }
        Ok(Concluded { outcome, extracted })
    }

    /// Keeps of a refused talk the turn that refused, in Redis and for S3.
    async fn reduce(&self, call: &Call, lines: Vec<Line>) -> Result<Vec<Line>, Halt> {
        let turn = call.body.dialogue.consent_turn;
        let all = lines.len();
        let kept: Vec<Line> = lines
            .into_iter()
            .filter(|line| Some(line.turn) == turn && line.attempt == call.body.attempt)
            .collect();
        if kept.len() == all || self.store.replace_transcript(call, &kept).await? {
            return Ok(kept);
        }
        match self.store.load(&call.id).await? {
            Some(theirs) => Err(Halt::Overtaken(Box::new(theirs))),
            None => Err(Halt::Gone),
        }
    }

    /// What was recorded of a refused talk goes at once where it can. What is still being finished at the carrier is
    /// deleted when the carrier reports it ready (see `recording`).
    async fn delete_at_carrier(&self, call: &Call) -> Result<(), Halt> {
        let Some(recording) = &call.body.recording else { return Ok(()) };
        let Err(error) = self.twilio.delete_recording(&recording.sid).await else { return Ok(()) };
        let setbacks = call.body.setbacks;
        tracing::warn!(call_id = %call.id, %error, setbacks, "a refused call's recording is not deleted yet");
        if setbacks < MOST_SETBACKS { Err(Halt::Later) } else { Ok(()) }
    }

    async fn put(
        &self,
        call: &Call,
        stored: &mut Vec<Stored>,
        kind: &str,
        key: String,
        document: &Value,
    ) -> Result<(), Halt> {
        let body = documents::bytes(document);
        let sha256 = sha256(&body);
        self.put_only(call, &key, body).await?;
        stored.push(Stored { artefact: Artefact { kind: kind.to_owned(), key }, sha256 });
        Ok(())
    }

    async fn put_only(&self, call: &Call, key: &str, body: Bytes) -> Result<(), Halt> {
        self.archive.put_bytes(key, body).await.map_err(|error| {
            log_archive(call, &error);
            Halt::Later
        })
    }

    fn count(&self, call: &Call) {
        let status = call.ending().map_or("unconfirmed", |e| e.disposition.as_str());
        self.metrics.call_over(status, call.adversarial_level());
        let body = &call.body;
        if let (Some(answered), Some(over)) = (body.answered_at, body.hung_up_at) {
            self.metrics.call_duration.observe(over.saturating_sub(answered) as f64 / 1_000.0);
        }
        tracing::info!(
            call_id = %call.id, phone_hash = %call.phone_hash, disposition = status,
            reason = call.ending().map(|e| e.reason.as_str()), attempt = body.attempt, "call concluded"
        );
    }
}

/// A refusal will not pass by itself, but neither may it lose a call: it waits for whoever repairs it.
pub(super) fn log_archive(call: &Call, error: &ArchiveError) {
    let setbacks = call.body.setbacks;
    if error.retryable() {
        tracing::warn!(call_id = %call.id, %error, setbacks, "the archive is away; the call waits");
    } else {
        tracing::error!(call_id = %call.id, %error, setbacks, "the archive refuses; the call waits");
    }
}
