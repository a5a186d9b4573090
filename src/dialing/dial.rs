//! The point of no return: `DialStarted` is durable before the request leaves at its granted moment, and what is unclear
//! afterwards is looked up, never dialed again.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::base::clock::{Millis, SECOND};
use crate::base::fault;
use crate::carrier::twilio::{Amd, CreateCall, DialOutcome, FinalKind, RefusalKind};
use crate::dialing::Dialer;
use crate::domain::call::{Call, Event, Leg};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::talk::Voicemail;
use crate::store::{Start, StoreError};

/// How long before its moment a call is started that was granted a far one.
const RUN_UP: Duration = Duration::from_millis(100);

/// How long what came of a dial is tried to be written: longer than a failover takes.
const NOTE_WITHIN: Duration = Duration::from_secs(60);
/// The pause between two tries.
const NOTE_AGAIN: Duration = Duration::from_millis(250);

/// A call that was granted a moment.
#[derive(Debug)]
pub struct DialOrder {
    pub(super) dial: Dial,
    pub(super) moment: Moment,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Dial {
    /// `DialStarted` is written.
    Started(Box<Call>),
    /// Still to be started: its moment is far.
    Far(Box<Start>),
}

/// When and how it is dialed.
#[derive(Debug)]
pub(super) struct Moment {
    /// Not before.
    pub earliest: Instant,
    /// Not after: its moment in the fleet's rate is gone then.
    pub use_by: Instant,
    /// What a machine gets that answers.
    pub voicemail: Voicemail,
}

impl Dialer {
    /// Dials one call at its moment; where `stop` comes before a far moment, the call goes back instead.
    ///
    /// # Errors
    /// Where Redis does not answer. Before `DialStarted` nothing was sent; after it the lease brings the call back as one
    /// that may have been dialed.
    pub async fn dial(&self, order: DialOrder, stop: &CancellationToken) -> Result<(), StoreError> {
        let DialOrder { dial, moment: Moment { earliest, use_by, voicemail } } = order;
        let call = match dial {
            Dial::Started(call) => call,
            Dial::Far(start) => {
                let near = earliest.checked_sub(RUN_UP).unwrap_or(earliest);
                tokio::select! {
                    () = stop.cancelled() => return self.give_back(&start.call).await,
                    () = tokio::time::sleep_until(near.into()) => {}
                }
                let Some(call) = self.start_one(*start).await? else { return Ok(()) };
                call
            }
        };
        tokio::time::sleep_until(earliest.into()).await;
        fault::point("before_post");
        if Instant::now() > use_by {
            // Another dial may have its moment now.
            self.metrics.dial_outcomes.with_label_values(&["not_sent"]).inc();
            self.unsent.keep(&call);
            let until = self.clock.now();
            self.apply((*call).clone(), Event::NotSent { until }).await?;
            self.unsent.forget(&call);
            return Ok(());
        }
        let outcome = self.post(&call, voicemail).await;
        fault::point("after_post");
        self.senses.note(&outcome);
        let (event, label) = self.consequence(&call, outcome);
        self.metrics.dial_outcomes.with_label_values(&[label]).inc();
        self.note_down(*call, event, stop).await
    }

    /// Writes what came of a dial, however long Redis is away: a sid that nobody wrote down must be looked for, and one
    /// that a failover forgot is adopted by this.
    async fn note_down(&self, call: Call, event: Event, stop: &CancellationToken) -> Result<(), StoreError> {
        let give_up = Instant::now() + NOTE_WITHIN;
        loop {
            match self.apply(call.clone(), event.clone()).await {
                Err(StoreError::Redis(why)) if Instant::now() < give_up && !stop.is_cancelled() => {
                    tracing::debug!(call_id = %call.id, why, "what came of a dial is written again");
                    tokio::time::sleep(NOTE_AGAIN).await;
                }
                other => return other.map(drop),
            }
        }
    }

    async fn post(&self, call: &Call, voicemail: Voicemail) -> DialOutcome {
        let attempt = call.body.attempt;
        let (answer, fallback) = (self.urls.answer(&call.id, attempt), self.urls.fallback(&call.id, attempt));
        let (status, amd) = (self.urls.status(&call.id, attempt), self.urls.amd(&call.id, attempt));
        let recording = self.urls.recording(&call.id, attempt);
        let request = CreateCall {
            to: &call.body.phone,
            from: call.body.caller.as_deref().unwrap_or(&self.config.from),
            answer_url: &answer,
            fallback_url: &fallback,
            status_url: &status,
            // Only who leaves a message waits for the end of the machine's greeting.
            amd: self
                .config
                .detect_machines
                .then_some(Amd { url: &amd, message_end: voicemail == Voicemail::Message }),
            ring_timeout_s: self.config.ring_timeout_s,
            time_limit_s: self.config.time_limit_s,
            record: self.config.record_from_answer.then_some(recording.as_str()),
        };
        self.twilio.create(&request).await
    }

    /// What the carrier's answer means for the call.
    fn consequence(&self, call: &Call, outcome: DialOutcome) -> (Event, &'static str) {
        let now = self.clock.now();
        let leg = |sid: String| Leg { attempt: call.body.attempt, sid };
        match outcome {
            DialOutcome::Accepted { sid, .. } => (Event::Accepted(leg(sid)), "accepted"),
            DialOutcome::NotSent(why) => {
                tracing::warn!(call_id = %call.id, phone_hash = %call.phone_hash, why, "the carrier was not reached");
                (Event::NotSent { until: now + self.backoff(call) }, "not_sent")
            }
            DialOutcome::Unknown(why) => {
                tracing::warn!(call_id = %call.id, phone_hash = %call.phone_hash, why, "a dial's answer is unknown");
                (Event::DialUnknown, "unknown")
            }
            DialOutcome::Refused(refusal) => {
                let code = refusal.provider_code();
                tracing::info!(call_id = %call.id, phone_hash = %call.phone_hash, code, "the carrier refused");
                let for_good = |disposition| Event::RefusedForGood {
                    ending: Ending::new(disposition, "refused").with_code(Some(code.clone())),
                };
                let event = match refusal.kind {
                    RefusalKind::RateLimited { after } => {
                        let wait = after.and_then(|d| Millis::try_from(d.as_millis()).ok());
                        Event::RefusedForNow { until: now + wait.unwrap_or_else(|| self.backoff(call)) }
                    }
                    RefusalKind::Concurrency => Event::RefusedForNow { until: now + self.backoff(call) },
                    // The operator's account: nobody's number is at fault, and the calls wait for it to be mended.
                    RefusalKind::Account | RefusalKind::Retryable => {
                        Event::RefusedForNow { until: now + 15 * self.backoff(call) }
                    }
                    RefusalKind::Final(FinalKind::InvalidNumber) => for_good(Disposition::InvalidNumber),
                    RefusalKind::Final(FinalKind::CarrierBlocked) => for_good(Disposition::CarrierBlocked),
                };
                (event, "refused")
            }
        }
    }

    /// How long a call waits whose request never left: the carrier is away for all calls alike.
    fn backoff(&self, call: &Call) -> Millis {
        // Spread over two seconds by the call's own id, so that not all come back at once.
        let spread =
            call.id.as_str().bytes().fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
        SECOND + spread % (2 * SECOND)
    }
}
