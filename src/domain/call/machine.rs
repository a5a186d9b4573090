//! The machine: state × event → state and effects. Pure; what is not written here is [`Stale`].

use serde_json::json;

use crate::base::clock::Millis;
use crate::domain::call::change::{Change, Effect, LegOutcome, Rules, Stale};
use crate::domain::call::event::{Event, HangUpCause, Leg};
use crate::domain::call::state::{Phase, State};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::talk::is_machine;

impl Change {
    /// Applies one event. Several may be applied before a commit; they are written together.
    ///
    /// # Errors
    /// [`Stale`] where the event changes nothing; the change is then as it was.
    pub fn apply(&mut self, event: Event, rules: &Rules, now: Millis) -> Result<(), Stale> {
        use Event as E;
        match event {
            E::DialStarted { caller, evidence } => self.dial_started(caller, evidence, rules, now),
            E::Deferred { until, reason } => self.requeue(&[Phase::Queued], until, Some(reason)),
            E::NotSent { until } => self.requeue(&[Phase::Dialing], until, None),
            E::RefusedForNow { until } => self.requeue(&[Phase::Dialing], until, Some("carrier")),
            E::RefusedForGood { ending } => match self.call.state {
                State::Dialing { sid: None } => {
                    self.decides = true;
                    self.attempt_over(ending, rules, now);
                    Ok(())
                }
                _ => Err(Stale),
            },
            E::DialUnknown => self.dial_unknown(rules, now),
            E::LookedUpAbsent => self.looked_up_absent(rules, now),
            E::Suppressed => self.end_unplaced(Ending::new(Disposition::Suppressed, "do_not_call"), now),
            E::ConsentMissing => {
                self.end_unplaced(Ending::new(Disposition::Suppressed, "consent_missing"), now)
            }
            E::Expired => self.end_unplaced(Ending::new(Disposition::Expired, "expired"), now),
            E::OutOfWindow { reason } => {
                self.end_unplaced(Ending::new(Disposition::OutOfWindow, &reason), now)
            }
            E::Superseded => self.end_unplaced(Ending::new(Disposition::Superseded, "other_number"), now),
            E::NoOtherNumber => self.no_other_number(now),
            E::Watched => self.watched(rules, now),
            E::MaxDuration => self.max_duration(rules, now),
            E::Concluded { artefacts, outcome, adversarial_score, employment_gaps } => {
                self.concluded(artefacts, outcome, adversarial_score, employment_gaps, rules, now)
            }
            E::Accepted(leg) => self.seen(&leg, Phase::Dialing, rules, now),
            E::Rang(leg) => self.seen(&leg, Phase::Ringing, rules, now),
            E::Answered(leg) => self.seen(&leg, Phase::InProgress, rules, now),
            E::AnsweredBy(leg, kind) => self.answered_by(&leg, kind, rules, now),
            E::HungUp { leg, cause, code, duration_s } => {
                self.hung_up(&leg, cause, code, duration_s, rules, now)
            }
            E::TurnTaken(leg, turn) => self.turn_taken(&leg, *turn, rules, now),
            E::OptedOut { words } => self.opted_out(words, rules, now),
            E::Cancel => self.cancel(rules, now),
            E::RecordingStarted { recording } => self.recording_started(recording),
            E::RecordingReady { recording } => self.recording_ready(recording, rules, now),
            E::StraysDeleted => self.strays_deleted(now),
            E::ArtefactAdded { artefact } => self.artefact_added(artefact, now),
        }
    }

    fn dial_started(
        &mut self,
        caller: String,
        evidence: Option<serde_json::Value>,
        rules: &Rules,
        now: Millis,
    ) -> Result<(), Stale> {
        if self.call.phase() != Phase::Queued {
            return Err(Stale);
        }
        self.decides = true;
        self.call.state = State::Dialing { sid: None };
        self.call.head.due = now + rules.timings.dial_lease;
        self.call.body.dialed_at = Some(now);
        self.call.body.waiting_for = None;
        self.call.body.caller = Some(caller);
        self.call.body.evidence = evidence;
        self.count("started");
        Ok(())
    }

    /// Back to waiting, with the same attempt: nothing rang.
    fn requeue(&mut self, from: &[Phase], until: Millis, reason: Option<&'static str>) -> Result<(), Stale> {
        let nothing_sent = matches!(self.call.state, State::Queued | State::Dialing { sid: None });
        if !from.contains(&self.call.phase()) || !nothing_sent {
            return Err(Stale);
        }
        self.decides = true;
        if self.call.phase() == Phase::Dialing {
            self.unplaced = true;
            self.effects.push(Effect::ReleaseSlot { outcome: None });
            self.call.body.dialed_at = None;
            self.counts.push(("started".into(), -1));
            if self.call.body.cancel_requested {
                self.end(Ending::new(Disposition::Canceled, "canceled"), until);
                return Ok(());
            }
        }
        self.call.state = State::Queued;
        self.call.head.due = until;
        self.call.body.waiting_for = reason.map(str::to_owned);
        Ok(())
    }

    fn dial_unknown(&mut self, rules: &Rules, now: Millis) -> Result<(), Stale> {
        if self.call.state != (State::Dialing { sid: None }) {
            return Err(Stale);
        }
        self.decides = true;
        self.call.state = State::Unconfirmed { since: now, lookups: 0 };
        // The first look is soon: an answer lost on the wire is usually found at once.
        self.call.head.due = now + (rules.timings.lookup_every / 10).max(1);
        Ok(())
    }

    fn looked_up_absent(&mut self, rules: &Rules, now: Millis) -> Result<(), Stale> {
        let State::Unconfirmed { since, lookups } = self.call.state else { return Err(Stale) };
        self.decides = true;
        let lookups = lookups + 1;
        if lookups >= rules.timings.lookups && now >= since + rules.timings.lookup_for {
            self.wrap_up(Ending::new(Disposition::Unconfirmed, "not_found_at_carrier"), now);
        } else {
            self.call.state = State::Unconfirmed { since, lookups };
            self.call.head.due = now + rules.timings.lookup_every;
        }
        Ok(())
    }

    /// An end without a dial: from Queued alone.
    fn end_unplaced(&mut self, ending: Ending, now: Millis) -> Result<(), Stale> {
        if self.call.phase() != Phase::Queued {
            return Err(Stale);
        }
        self.decides = true;
        // A call that was tried and then ran out of time ended as its last attempt did.
        let ending = match (ending.disposition, self.call.body.past.last()) {
            (Disposition::Expired, Some(last)) => {
                let known = Disposition::parse(&last.outcome).unwrap_or(Disposition::Expired);
                Ending::new(known, "expired_between_attempts")
            }
            _ => ending,
        };
        self.end(ending, now);
        Ok(())
    }

    fn watched(&mut self, rules: &Rules, now: Millis) -> Result<(), Stale> {
        let wait = match self.call.phase() {
            phase if phase.holds_slot() && self.call.body.cancel_requested => rules.timings.hang_up_watch,
            Phase::Dialing if self.call.state.sid().is_some() => rules.timings.ring_watch,
            Phase::Ringing => rules.timings.ring_watch,
            Phase::InProgress if self.call.body.dialogue.ending.is_some() => rules.timings.hang_up_watch,
            Phase::InProgress => rules.timings.talk_watch,
            Phase::Unconfirmed => rules.timings.lookup_every,
            // Nothing of it is left to do: nobody looks again.
            Phase::Ended if self.call.head.due == 0 => return Err(Stale),
            Phase::WrapUp | Phase::Ended => {
                self.call.body.setbacks += 1;
                crate::base::clock::SECOND << self.call.body.setbacks.min(8)
            }
            _ => return Err(Stale),
        };
        self.decides = true;
        self.call.head.due = now + wait;
        Ok(())
    }

    fn max_duration(&mut self, rules: &Rules, now: Millis) -> Result<(), Stale> {
        let State::InProgress { sid, .. } = &self.call.state else { return Err(Stale) };
        self.decides = true;
        self.effects.push(Effect::HangUp { sid: sid.clone() });
        if self.call.body.dialogue.ending.is_none() {
            self.call.body.dialogue.ending = Some(Ending::new(Disposition::Completed, "max_duration"));
        }
        self.call.head.due = now + rules.timings.hang_up_watch;
        Ok(())
    }

    /// A leg is seen in `phase`: the call follows forward, never back. Any state that may have dialed adopts it.
    pub(super) fn seen(&mut self, leg: &Leg, phase: Phase, rules: &Rules, now: Millis) -> Result<(), Stale> {
        let own = self.own_leg(leg)?;
        if !own {
            // An older attempt's leg that lives while we have moved on: nobody may be left talking to it.
            self.effects.push(Effect::HangUp { sid: leg.sid.clone() });
            return Ok(());
        }
        let sid = leg.sid.clone();
        let rank = |p: Phase| match p {
            Phase::Queued | Phase::Unconfirmed => 0,
            Phase::Dialing => 1,
            Phase::Ringing => 2,
            Phase::InProgress => 3,
            Phase::WrapUp | Phase::Ended => 4,
        };
        let adopts = self.call.state == (State::Dialing { sid: None }) && phase == Phase::Dialing;
        if rank(phase) <= rank(self.call.phase()) && !adopts {
            return Err(Stale);
        }
        if self.call.phase() == Phase::Queued {
            // A dial that failover or a lost refusal forgot.
            self.call.body.dialed_at.get_or_insert(now);
            self.call.body.waiting_for = None;
            self.count("started");
            self.count("adopted");
            self.adopted = Some(self.call.body.attempt);
        }
        self.call.body.last_sid = Some(sid.clone());
        let timings = &rules.timings;
        let (state, wait) = match phase {
            Phase::InProgress => {
                (State::InProgress { sid: sid.clone(), answered_by: None }, timings.talk_watch)
            }
            Phase::Ringing => (State::Ringing { sid: sid.clone() }, timings.ring_watch),
            _ => (State::Dialing { sid: Some(sid.clone()) }, timings.ring_watch),
        };
        self.call.state = state;
        self.call.head.due = now + wait;
        if phase == Phase::InProgress {
            // The turn that its answer asked for may know the moment better.
            self.call.body.answered_at.get_or_insert(now);
            self.count("answered");
            if self.call.campaign.is_some() {
                self.effects.push(Effect::Answered);
            }
        }
        if self.call.body.cancel_requested || self.call.body.opted_out {
            self.call.head.due = now + timings.hang_up_watch;
            self.effects.push(Effect::HangUp { sid });
        }
        Ok(())
    }

    /// Is `leg` this attempt's own? An older attempt's is not; a second leg of the same attempt, or any leg of a
    /// call that is over, is stale.
    pub(super) fn own_leg(&self, leg: &Leg) -> Result<bool, Stale> {
        if matches!(self.call.phase(), Phase::WrapUp | Phase::Ended) || leg.attempt > self.call.body.attempt {
            return Err(Stale);
        }
        if leg.attempt < self.call.body.attempt {
            let known = self.call.body.past.iter().any(|p| p.sid.as_deref() == Some(leg.sid.as_str()));
            return if known { Err(Stale) } else { Ok(false) };
        }
        match self.call.state.sid() {
            Some(sid) if sid != leg.sid => Err(Stale),
            _ => Ok(true),
        }
    }

    fn answered_by(&mut self, leg: &Leg, kind: String, rules: &Rules, now: Millis) -> Result<(), Stale> {
        if !self.own_leg(leg)? {
            return Err(Stale);
        }
        if self.call.phase() != Phase::InProgress {
            self.seen(leg, Phase::InProgress, rules, now)?;
        }
        let State::InProgress { sid, answered_by } = &mut self.call.state else { return Err(Stale) };
        if answered_by.as_deref() == Some(kind.as_str()) {
            return Err(Stale);
        }
        let machine = is_machine(&kind);
        let (sid, kind) = (sid.clone(), answered_by.insert(kind).clone());
        // Who has consented is a person, whatever the detector thinks it heard.
        let person = self.call.body.dialogue.consent == Some(true);
        if machine && !person && (rules.hang_up_on_machine || kind == "fax") {
            self.call.body.dialogue.ending =
                Some(Ending::new(Disposition::Voicemail, "machine").with_code(Some(kind)));
            self.call.head.due = now + rules.timings.hang_up_watch;
            self.effects.push(Effect::HangUp { sid });
        }
        Ok(())
    }

    fn hung_up(
        &mut self,
        leg: &Leg,
        cause: HangUpCause,
        code: Option<String>,
        duration_s: Option<u32>,
        rules: &Rules,
        now: Millis,
    ) -> Result<(), Stale> {
        if !self.own_leg(leg)? {
            return Err(Stale);
        }
        if self.call.phase() == Phase::Queued {
            // Never heard of it before, and it is over already: it rang all the same.
            self.call.body.dialed_at.get_or_insert(now);
            self.count("started");
            self.count("adopted");
            self.adopted = Some(self.call.body.attempt);
        }
        self.call.body.last_sid = Some(leg.sid.clone());
        self.call.body.hung_up_at = Some(now);
        self.call.body.duration_s = duration_s;
        let answered = self.call.phase() == Phase::InProgress || cause == HangUpCause::Completed;
        if answered || self.call.body.cancel_requested || self.call.body.opted_out {
            let ending = self.talk_ending(code);
            self.attempt_over(ending, rules, now);
            return Ok(());
        }
        let disposition = match cause {
            HangUpCause::Busy => Disposition::Busy,
            HangUpCause::NoAnswer => Disposition::NoAnswer,
            HangUpCause::Canceled => Disposition::Canceled,
            HangUpCause::Failed | HangUpCause::Completed => {
                code.as_deref().map_or(Disposition::CarrierFailed, classify_failure)
            }
        };
        let ending = Ending::new(disposition, disposition.as_str()).with_code(code);
        self.attempt_over(ending, rules, now);
        Ok(())
    }

    /// How an answered call ended, in the order of what weighs most.
    fn talk_ending(&self, code: Option<String>) -> Ending {
        let body = &self.call.body;
        let dialogue = &body.dialogue;
        if body.opted_out {
            return Ending::new(Disposition::OptedOut, "opt_out").with_code(code);
        }
        if let Some(ending) = &dialogue.ending {
            return ending.clone();
        }
        if body.cancel_requested {
            return Ending::new(Disposition::Canceled, "canceled").with_code(code);
        }
        if dialogue.turn == 0 {
            // Answered, and no answer of ours was ever fetched.
            return Ending::new(Disposition::Abandoned, "no_voice").with_code(code);
        }
        Ending::by_callee(Disposition::Completed, "hung_up").with_code(code)
    }

    pub(super) fn wrap_up(&mut self, ending: Ending, now: Millis) {
        let outcome = LegOutcome::of(ending.disposition, self.call.body.voice_after_ms);
        self.call.state = State::WrapUp { ending };
        self.call.head.due = now;
        self.call.body.setbacks = 0;
        self.call.body.waiting_for = None;
        self.effects.push(Effect::ReleaseSlot { outcome: Some(outcome) });
    }

    /// Final: counts it and tells downstream.
    pub(super) fn end(&mut self, ending: Ending, now: Millis) {
        let disposition = ending.disposition;
        if self.call.phase() != Phase::WrapUp {
            // It held no line: with it, a campaign's calls that wait are told from those under way.
            self.count("undialed");
        }
        self.call.state = State::Ended { ending };
        // What earlier attempts recorded is still to be deleted.
        self.call.head.due = if self.call.body.stray_recordings.is_empty() { 0 } else { now };
        self.call.body.ended_at = Some(now);
        self.call.body.waiting_for = None;
        self.count("ended");
        self.count(format!("disposition:{}", disposition.as_str()));
        if disposition == Disposition::Superseded {
            return;
        }
        let kind = if disposition == Disposition::Completed { "call_completed" } else { "call_failed" };
        let mut more = Vec::new();
        if let Some(score) = self.call.body.dialogue.adversarial_score {
            more.push(("adversarial_score", json!(score)));
        }
        if let Some(consent) = self.call.body.dialogue.consent {
            more.push(("consent_given", json!(consent)));
        }
        if !self.call.body.artefacts.is_empty() {
            more.push(("artefacts", json!(self.call.body.artefacts)));
        }
        if let Some(at) = self.call.body.dialogue.callback_at {
            let child = self.call.callback_child(at, now);
            more.push(("callback_at", json!(crate::base::clock::rfc3339(at))));
            more.push(("callback_call_id", json!(child.id)));
            self.effects.push(Effect::ChildCall(Box::new(child)));
        }
        self.notice(kind, 0, &more, now);
    }
}

/// What a carrier's failure code says about the number. Source: Twilio's error dictionary.
fn classify_failure(code: &str) -> Disposition {
    match code.trim_start_matches("sip_") {
        // 21211/21214/21217/21421: not a valid number; 13224: invalid or not dialable; 404/410/484/604: SIP says the same.
        "21211" | "21214" | "21217" | "21421" | "13224" | "404" | "410" | "484" | "604" => {
            Disposition::InvalidNumber
        }
        // 21215/13227: geographic permission; 21216/13225/13226: blocked; 21610: unsubscribed; 603/607/608: declined or unwanted.
        "21215" | "21216" | "13225" | "13226" | "13227" | "21610" | "603" | "607" | "608" => {
            Disposition::CarrierBlocked
        }
        _ => Disposition::CarrierFailed,
    }
}
