//! A call whose time came without news: the carrier is asked. A dial that nobody confirmed is looked up in the
//! carrier's list and adopted where it is found.

use crate::base::clock::{Millis, SECOND};
use crate::carrier::twilio::CallView;
use crate::carrier::twilio::wire::CallStatus;
use crate::dialing::Dialer;
use crate::domain::call::{Call, Event, HangUpCause, Leg, Phase, State};
use crate::store::StoreError;

/// How much earlier than `DialStarted` the carrier may say a call was made: clocks differ, and its dates have seconds.
const SKEW: Millis = 5 * SECOND;

impl Dialer {
    /// Looks at a call under way whose due time has come.
    ///
    /// # Errors
    /// Where Redis does not answer; the call comes due again by its lease.
    pub async fn watch(&self, call: Call) -> Result<(), StoreError> {
        match call.state.clone() {
            // The lease of a dial lapsed: its worker died between DialStarted and the answer.
            State::Dialing { sid: None } => {
                let Some(call) = self.apply(call, Event::DialUnknown).await? else { return Ok(()) };
                self.look_up(call).await
            }
            State::Unconfirmed { .. } => self.look_up(call).await,
            State::Dialing { sid: Some(sid) } | State::Ringing { sid } | State::InProgress { sid, .. } => {
                self.ask(call, sid).await
            }
            State::Queued | State::WrapUp { .. } | State::Ended { .. } => Ok(()),
        }
    }

    async fn ask(&self, call: Call, sid: String) -> Result<(), StoreError> {
        let leg = Leg { attempt: call.body.attempt, sid: sid.clone() };
        let now = self.clock.now();
        let wants_end = call.body.cancel_requested
            || call.body.opted_out
            || (call.body.dialogue.ending.is_some() && matches!(call.state, State::InProgress { .. }));
        let event = match self.twilio.get(&sid).await {
            Ok(view) => event_of(&view, leg),
            // The carrier knows no such call: it is over, and nobody can say how.
            Err(error) if error.is_absent() => Some(Event::HungUp {
                leg,
                cause: HangUpCause::Failed,
                code: Some("20404".into()),
                duration_s: None,
            }),
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "the carrier could not be asked");
                None
            }
        };
        let lasted = call.body.answered_at.map_or(0, |at| now.saturating_sub(at));
        let over = matches!(event, Some(Event::HungUp { .. }));
        if !over && wants_end {
            self.effects.hang_up(&call, &sid).await;
        }
        if !over && lasted > self.rules.timings.max_call {
            return self.apply(call, Event::MaxDuration).await.map(drop);
        }
        if let Some(event) = event
            && self.apply(call.clone(), event).await?.is_some()
        {
            return Ok(());
        }
        if call.phase() == Phase::InProgress {
            // Whoever wrote of the answer may have died before pacing was told.
            self.effects.answered(&call).await;
        }
        self.apply(call, Event::Watched).await.map(drop)
    }

    async fn look_up(&self, call: Call) -> Result<(), StoreError> {
        let since = call.body.dialed_at.unwrap_or(call.body.created_at).saturating_sub(SKEW);
        // The number of this very attempt: it was written before the request left. Another's dials are not ours.
        let from = call.body.caller.as_deref().unwrap_or(&self.config.from);
        let found = match self.twilio.find(&call.body.phone, from, since).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "the carrier's list could not be read");
                return self.apply(call, Event::Watched).await.map(drop);
            }
        };
        let ours =
            |view: &&CallView| !call.body.past.iter().any(|p| p.sid.as_deref() == Some(view.sid.as_str()));
        let candidates: Vec<&CallView> = found.iter().filter(ours).collect();
        let [view] = candidates.as_slice() else {
            if candidates.len() > 1 {
                tracing::warn!(call_id = %call.id, candidates = candidates.len(), "more than one dial could be ours");
            }
            return self.apply(call, Event::LookedUpAbsent).await.map(drop);
        };
        let leg = Leg { attempt: call.body.attempt, sid: view.sid.clone() };
        tracing::info!(call_id = %call.id, phone_hash = %call.phone_hash, sid = leg.sid, "an unconfirmed dial was found");
        let Some(adopted) = self.apply(call, Event::Accepted(leg.clone())).await? else { return Ok(()) };
        match event_of(view, leg) {
            Some(event) => self.apply(adopted, event).await.map(drop),
            None => Ok(()),
        }
    }
}

/// What the carrier's view of a call says that we may not know; `None` where it only waits.
pub(super) fn event_of(view: &CallView, leg: Leg) -> Option<Event> {
    let hung_up = |cause| {
        Some(Event::HungUp {
            leg: leg.clone(),
            cause,
            code: None,
            duration_s: view.duration_s.and_then(|s| u32::try_from(s).ok()),
        })
    };
    match view.status {
        CallStatus::Ringing => Some(Event::Rang(leg)),
        CallStatus::InProgress => Some(Event::Answered(leg)),
        CallStatus::Completed => hung_up(HangUpCause::Completed),
        CallStatus::Busy => hung_up(HangUpCause::Busy),
        CallStatus::NoAnswer => hung_up(HangUpCause::NoAnswer),
        CallStatus::Failed => hung_up(HangUpCause::Failed),
        CallStatus::Canceled => hung_up(HangUpCause::Canceled),
        _ => None,
    }
}
