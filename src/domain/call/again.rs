//! The machine's third part: what comes after an attempt that did not get through, and the calls that one call leaves
//! behind: to another number of the contact, or at the time the callee asked for.

use crate::base::clock::Millis;
use crate::domain::call::change::{Change, Effect, LegOutcome, Rules, Stale};
use crate::domain::call::record::{Body, Call, PastAttempt};
use crate::domain::call::state::State;
use crate::domain::campaign::Priority;
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::ids::{CallId, PhoneHash, Shard};
use crate::domain::phone;
use crate::domain::retry::{Cause, another_part, scaled};
use crate::domain::talk::Dialogue;

/// Waits for the next attempt.
const RETRY: &str = "retry";
/// Waits to be handed over to a call to another number of the contact.
const OTHER_NUMBER: &str = "other_number";
/// Waits for the time the callee asked for.
const CALLBACK: &str = "callback";

impl Change {
    /// An attempt is over: the next one where the policy has one and it fits before the call expires, else wrap-up.
    pub(super) fn attempt_over(&mut self, ending: Ending, rules: &Rules, now: Millis) {
        match self.next_due(ending.disposition, rules, now) {
            Some((due, waiting_for)) => self.next_attempt(ending.disposition, due, waiting_for, now),
            None => self.wrap_up(ending, now),
        }
    }

    /// When the next attempt is made, and what it waits for until then.
    fn next_due(
        &self,
        disposition: Disposition,
        rules: &Rules,
        now: Millis,
    ) -> Option<(Millis, &'static str)> {
        let body = &self.call.body;
        // Who was reached has said how it goes on.
        if body.cancel_requested || body.opted_out || body.dialogue.callback_at.is_some() {
            return None;
        }
        let cause = Cause::of(disposition)?;
        let so_far = body.past.iter().filter(|p| p.cause() == Some(cause)).count();
        let next = rules.retry.next(cause, u32::try_from(so_far).ok()?.checked_add(1)?, body.attempt)?;
        let other_number = next.other_number && !body.alternatives.is_empty();
        if cause == Cause::Refused && !other_number {
            return None;
        }
        let mut at = now.saturating_add(next.wait);
        if next.other_time {
            at = another_part(self.call.zone(), body.dialed_at.unwrap_or(now), at);
        }
        let due = now.saturating_add(scaled(at - now, rules.time_scale));
        let waiting_for = if other_number { OTHER_NUMBER } else { RETRY };
        let last = rules.not_after.unwrap_or_else(|| self.call.expires_at());
        (due < last).then_some((due, waiting_for))
    }

    /// Back to waiting, with the next attempt. Nothing of this one's talk goes into the next but its transcript, whose
    /// lines name their attempt.
    fn next_attempt(&mut self, outcome: Disposition, due: Millis, waiting_for: &str, now: Millis) {
        let body = &mut self.call.body;
        let leg = LegOutcome::of(outcome, body.voice_after_ms);
        body.past.push(PastAttempt {
            attempt: body.attempt,
            sid: body.last_sid.take(),
            dialed_at: body.dialed_at.take(),
            ended_at: now,
            outcome: outcome.as_str().to_owned(),
        });
        body.attempt += 1;
        body.answered_at = None;
        body.voice_after_ms = None;
        body.hung_up_at = None;
        body.duration_s = None;
        body.dialogue = Dialogue::default();
        body.setbacks = 0;
        body.stray_recordings.extend(body.recording.take().map(|recording| recording.sid));
        body.waiting_for = Some(waiting_for.to_owned());
        self.call.state = State::Queued;
        self.call.head.due = due;
        self.effects.push(Effect::ReleaseSlot { outcome: Some(leg) });
        self.count(format!("attempt:{}", outcome.as_str()));
    }

    /// None of the contact's other numbers may be called: the same number again, or the end where that one is refused.
    pub(super) fn no_other_number(&mut self, now: Millis) -> Result<(), Stale> {
        if !self.call.waits_for_other_number() {
            return Err(Stale);
        }
        self.decides = true;
        self.call.body.alternatives.clear();
        let last = self.call.body.past.last().and_then(|p| Disposition::parse(&p.outcome));
        match last {
            Some(last) if Cause::of(last) == Some(Cause::Refused) => {
                self.end(Ending::new(last, "no_other_number"), now);
            }
            _ => {
                self.call.body.waiting_for = Some(RETRY.to_owned());
                self.call.head.due = now;
            }
        }
        Ok(())
    }
}

impl PastAttempt {
    fn cause(&self) -> Option<Cause> {
        Disposition::parse(&self.outcome).and_then(Cause::of)
    }
}

impl Call {
    /// The zone its times are reckoned in: the contact's own, else the first that its number may lie in, else UTC.
    #[must_use]
    pub fn zone(&self) -> &str {
        let own = self.body.time_zone.as_deref();
        own.or_else(|| phone::zones(&self.body.phone).first().copied()).unwrap_or("UTC")
    }

    /// Is its next attempt one to another number of the contact? Then it is not dialed when it comes due: a call to that
    /// number takes its place ([`Call::to_other_number`]), and it ends superseded.
    #[must_use]
    pub fn waits_for_other_number(&self) -> bool {
        self.waits_for() == Some(OTHER_NUMBER)
    }

    /// The call that takes this one's place: to the n-th of the contact's other numbers, whose hash is `hash`. What the
    /// request said of the contact goes with it, and the attempts go on being counted. Its id is always the same, so
    /// that handing over twice makes no second call; it expires when this one does, at `expires`. `None` where there is no
    /// n-th number.
    #[must_use]
    pub fn to_other_number(&self, n: usize, hash: PhoneHash, expires: Millis, now: Millis) -> Option<Self> {
        let phone = self.body.alternatives.get(n)?.clone();
        let id = CallId::derived(Shard::of(phone.e164()), &format!("{}:number:{}", self.id, phone.e164()));
        let mut body = self.sibling(phone, now);
        body.alternatives = self.body.alternatives[n + 1..].to_vec();
        body.attempt = self.body.attempt;
        body.past.clone_from(&self.body.past);
        body.expires_at = Some(expires);
        body.priority = self.body.priority;
        Some(Self::new(id, hash, self.campaign.clone(), body))
    }

    /// The call that the callee asked for, its id derived so that a repeated conclusion schedules it once. It goes
    /// before the campaign's other calls, and from the number that the callee knows.
    pub(super) fn callback_child(&self, at: Millis, now: Millis) -> Self {
        let id = CallId::derived(self.id.shard(), &format!("{}:callback", self.id));
        let mut body = self.sibling(self.body.phone.clone(), now);
        body.schedule_at = Some(at);
        body.waiting_for = Some(CALLBACK.to_owned());
        body.priority = Priority::High;
        body.caller.clone_from(&self.body.caller);
        Self::new(id, self.phone_hash.clone(), self.campaign.clone(), body)
    }

    /// A new call for the same contact, with what the request said of it.
    fn sibling(&self, phone: phone::Phone, now: Millis) -> Body {
        let mut body = Body::new(phone, now);
        body.agent.clone_from(&self.body.agent);
        body.voicemail = self.body.voicemail;
        body.webhook_url.clone_from(&self.body.webhook_url);
        body.variables.clone_from(&self.body.variables);
        body.metadata.clone_from(&self.body.metadata);
        body.time_zone.clone_from(&self.body.time_zone);
        body.consent.clone_from(&self.body.consent);
        body.parent = Some(self.id.clone());
        body
    }
}
