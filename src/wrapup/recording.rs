//! The recording of an ended call: streamed from the carrier into S3, never held in memory, then deleted at the carrier.
//! Without consent it is deleted and nothing is fetched.

use crate::archive::keys;
use crate::base::fault;
use crate::carrier::twilio::CarrierError;
use crate::domain::call::{Artefact, Call, Event, Phase, RecordingStatus};
use crate::store::{Committed, StoreError};
use crate::wrapup::conclude::log_archive;
use crate::wrapup::{WrapUp, documents, refused};

/// How often a recording that is not there is asked for before it is given up: with the spacing of the watch, some 20
/// minutes. Twilio may answer 404 in the first seconds.
const MOST_ABSENCES: u32 = 10;
/// How often the deletion at the carrier is tried before the recording is announced all the same.
const MOST_DELETIONS: u32 = 5;

impl WrapUp {
    /// Archives, or deletes, the recording of a claimed call that has ended, where one is ready.
    ///
    /// # Errors
    /// Where Redis does not answer; the call comes due again by its lease.
    pub async fn archive_recording(&self, call: Call) -> Result<(), StoreError> {
        if call.phase() == Phase::Ended && !call.body.stray_recordings.is_empty() {
            return self.delete_strays(call).await;
        }
        // One that should still run has lost its callback: the call is over, and the carrier knows whether it is there.
        let open = |status| matches!(status, RecordingStatus::Ready | RecordingStatus::Running);
        let ready = call.body.recording.as_ref().filter(|r| open(r.status));
        let Some(sid) = ready.map(|r| r.sid.clone()).filter(|_| call.phase() == Phase::Ended) else {
            return Ok(());
        };
        let agent = self.agent_of(&call).await?;
        let refused = refused(&call, agent.is_none_or(|a| a.definition.needs_consent))
            || (call.body.opted_out && call.body.dialogue.consent != Some(true));
        let key = keys::recording(call.body.created_at, &call.id);
        if refused {
            return match self.forget(&sid, &key).await {
                Ok(()) => Box::pin(self.settle(call, None)).await,
                Err(why) => {
                    tracing::warn!(call_id = %call.id, why, "a recording without consent is not deleted yet");
                    self.later(call).await
                }
            };
        }
        match Box::pin(self.fetch(&call, &sid, &key)).await {
            Fetched::Stored => {}
            Fetched::Later => return self.later(call).await,
            Fetched::Absent if call.body.setbacks < MOST_ABSENCES => return self.later(call).await,
            Fetched::Absent => {
                tracing::warn!(call_id = %call.id, "the carrier does not have the recording; given up");
                return Box::pin(self.settle(call, None)).await;
            }
        }
        fault::point("recording_before_delete");
        if let Err(error) = self.twilio.delete_recording(&sid).await {
            let setbacks = call.body.setbacks;
            tracing::warn!(call_id = %call.id, %error, setbacks, "a recording is not deleted at the carrier");
            if setbacks < MOST_DELETIONS {
                return self.later(call).await;
            }
        }
        let artefact = Artefact { kind: "recording".to_owned(), key };
        Box::pin(self.settle(call, Some(artefact))).await
    }

    /// Deletes what earlier attempts recorded; the call's own recording comes after, due at once.
    async fn delete_strays(&self, call: Call) -> Result<(), StoreError> {
        for sid in &call.body.stray_recordings {
            if let Err(error) = self.twilio.delete_recording(sid).await {
                let setbacks = call.body.setbacks;
                tracing::warn!(call_id = %call.id, %error, setbacks, "an earlier attempt's recording is not deleted");
                if setbacks < MOST_DELETIONS {
                    return self.later(call).await;
                }
            }
        }
        self.store.apply(call, Event::StraysDeleted, &self.rules).await.map(drop)
    }

    async fn fetch(&self, call: &Call, sid: &str, key: &str) -> Fetched {
        // The carrier is asked first, which mostly has it. What is not there is not there yet, or an earlier try came as far
        // as the put, and perhaps further, before it failed or its node died: an object exists only whole. Who tries for the
        // third time asks S3 first, so that nothing long is fetched again and again for a deletion that fails.
        let tries = call.body.setbacks;
        if tries > 1
            && let Some(known) = self.stored(call, key).await
        {
            return known;
        }
        let media = match self.twilio.recording_media(sid).await {
            Ok(media) => media,
            Err(error) => {
                tracing::info!(call_id = %call.id, %error, "the recording cannot be fetched yet");
                return match error.is_absent() {
                    true if tries == 1 => self.stored(call, key).await.unwrap_or(Fetched::Absent),
                    true => Fetched::Absent,
                    false => Fetched::Later,
                };
            }
        };
        let put = self.archive.put_stream(key, "audio/wav", media.content_length, media.stream);
        match Box::pin(put).await {
            Ok(bytes) => {
                tracing::info!(call_id = %call.id, bytes, "recording archived");
                Fetched::Stored
            }
            Err(error) => {
                log_archive(call, &error);
                Fetched::Later
            }
        }
    }

    /// What S3 knows of it: it is there, or cannot be asked for now. `None`: it is not there.
    async fn stored(&self, call: &Call, key: &str) -> Option<Fetched> {
        match self.archive.exists(key).await {
            Ok(there) => there.then_some(Fetched::Stored),
            Err(error) => {
                log_archive(call, &error);
                Some(Fetched::Later)
            }
        }
    }

    /// Deletes it wherever it may be.
    async fn forget(&self, sid: &str, key: &str) -> Result<(), String> {
        self.twilio.delete_recording(sid).await.map_err(|e: CarrierError| e.to_string())?;
        self.archive.delete(key).await.map_err(|e| e.to_string())
    }

    /// Writes it down: in the status document first, since that may be late but not lost.
    async fn settle(&self, call: Call, artefact: Option<Artefact>) -> Result<(), StoreError> {
        let epoch = call.head.epoch;
        let mut call = call;
        loop {
            let mut change = call.clone().change();
            let event = Event::ArtefactAdded { artefact: artefact.clone() };
            if change.apply(event, &self.rules, self.clock.now()).is_err() {
                return Ok(());
            }
            let status = documents::status(&change.call);
            if let Err(error) = self.archive.put_json(&keys::index(&call.id), &status).await {
                log_archive(&call, &error);
                return self.later(call).await;
            }
            match self.store.commit(change, None).await? {
                Committed::Done(call, effects) => {
                    if !effects.is_empty() {
                        (self.perform)(*call, effects).await;
                    }
                    return Ok(());
                }
                Committed::Conflict(theirs) if theirs.head.epoch == epoch => call = *theirs,
                _ => return Ok(()),
            }
        }
    }
}

/// How far a recording came.
enum Fetched {
    /// It stands in S3.
    Stored,
    /// The carrier does not have it, not yet or not any more.
    Absent,
    /// It did not work this time.
    Later,
}
