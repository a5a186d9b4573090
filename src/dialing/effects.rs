//! What a commit leaves to do: at the carrier, and in the fleet's capacity. All of it may be done twice, and what a
//! dying node leaves undone the watch does again.

use crate::carrier::twilio::urls::Urls;
use crate::carrier::twilio::{CarrierError, HungUp, Twilio};
use crate::domain::call::{Call, Effect, Event, LegOutcome, Phase, Rules};
use crate::store::{Applied, Release, Store};
use std::sync::Arc;

/// The hands of a node.
#[derive(Clone)]
pub struct Effects {
    /// Redis.
    pub store: Store,
    /// The carrier.
    pub twilio: Twilio,
    /// The URLs we hand to the carrier.
    pub urls: Urls,
    /// The machine's policy.
    pub rules: Arc<Rules>,
}

impl Effects {
    /// Does what is left to do. Failures are logged: the watch comes back to each.
    pub async fn perform(&self, call: &Call, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::HangUp { sid } => self.hang_up(call, &sid).await,
                Effect::Answered => self.answered(call).await,
                Effect::ReleaseSlot { outcome } => self.release(call, outcome).await,
                Effect::StartRecording { sid } => self.start_recording(call, &sid).await,
                // Written by the commit itself.
                Effect::Notice(_) | Effect::Suppress { .. } | Effect::ChildCall(_) => {}
            }
        }
    }

    /// Ends a leg, whatever it is doing.
    pub async fn hang_up(&self, call: &Call, sid: &str) {
        // Twilio takes a ringing call back by one word and ends an answered one by another; which it is may change
        // under our hands, so the second word follows where the first found nothing to do.
        let answered = call.phase() == Phase::InProgress;
        let first = if answered { self.twilio.complete(sid).await } else { self.twilio.cancel(sid).await };
        let ended: Result<HungUp, CarrierError> = match first {
            Ok(HungUp::Done) if answered => Ok(HungUp::Done),
            _ => self.twilio.complete(sid).await,
        };
        if let Err(error) = ended {
            tracing::warn!(call_id = %call.id, phone_hash = %call.phone_hash, %error, "a leg could not be hung up yet");
        }
    }

    /// Tells pacing that the call is being talked on, where its campaign keeps so many conversations going. It may be told
    /// again.
    pub async fn answered(&self, call: &Call) {
        let told = async {
            let campaign = self.store.campaign_of(call).await?;
            match campaign.and_then(|campaign| campaign.answer_rate) {
                Some(_) => self.store.answered(std::slice::from_ref(&call.id)).await,
                None => Ok(()),
            }
        };
        if let Err(error) = told.await {
            tracing::warn!(call_id = %call.id, %error, "pacing was not told of an answer; the watch will");
        }
    }

    /// Gives the call's slot back.
    pub async fn release(&self, call: &Call, outcome: Option<LegOutcome>) {
        let release = Release { id: call.id.clone(), epoch: call.head.epoch, outcome };
        if let Err(error) = self.store.release(&[release]).await {
            tracing::warn!(call_id = %call.id, %error, "a slot was not given back; the sweep will");
        }
    }

    async fn start_recording(&self, call: &Call, sid: &str) {
        let callback = self.urls.recording(&call.id, call.body.attempt);
        match self.twilio.start_recording(sid, &callback).await {
            Ok(recording) => {
                let event = Event::RecordingStarted { recording };
                match self.store.apply(call.clone(), event, &self.rules).await {
                    Ok(Applied::Done(..) | Applied::Stale(_) | Applied::Gone) => {}
                    Err(error) => tracing::warn!(call_id = %call.id, %error, "a recording was not noted"),
                }
            }
            Err(error) => tracing::warn!(call_id = %call.id, %error, "a recording could not be started"),
        }
    }
}
