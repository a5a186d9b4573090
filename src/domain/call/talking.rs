//! The machine's other half: what turns, opt-outs, cancels, recordings and the wrap-up do to a call.

use serde_json::{Value, json};

use crate::base::clock::Millis;
use crate::domain::call::change::{Change, Effect, Rules, Stale};
use crate::domain::call::event::Leg;
use crate::domain::call::record::{Artefact, PastAttempt, Recording, RecordingStatus};
use crate::domain::call::state::{Phase, State};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::draft::Draft;
use crate::domain::talk::{Act, Note, Turn};

impl Change {
    pub(super) fn turn_taken(
        &mut self,
        leg: &Leg,
        turn: Turn,
        rules: &Rules,
        now: Millis,
    ) -> Result<(), Stale> {
        if self.call.phase() == Phase::WrapUp && leg.attempt == self.call.body.attempt {
            return self.late_words(turn, now);
        }
        let over = self.call.phase() == Phase::Ended;
        if over || !self.own_leg_or_past(leg)? {
            // The attempt is over, and perhaps another comes: of its last words only the wish not to be called counts.
            let wish = turn
                .notes
                .into_iter()
                .find_map(|n| if let Note::OptedOut { words } = n { Some(words) } else { None });
            let words = wish.ok_or(Stale)?;
            self.opted_out(words, rules, now)?;
            // Of a call that has ended the transcript is in the archive already.
            if !over {
                self.lines.extend(turn.lines);
            }
            return Ok(());
        }
        if turn.n != self.call.body.dialogue.turn {
            return Err(Stale);
        }
        if self.call.phase() != Phase::InProgress {
            self.seen(leg, Phase::InProgress, rules, now)?;
        }
        if turn.n == 0 {
            let answered = self.call.body.answered_at.unwrap_or(now);
            let after = u32::try_from(now.saturating_sub(answered)).unwrap_or(u32::MAX);
            self.call.body.voice_after_ms.get_or_insert(after);
        }
        let had_consent = self.call.body.dialogue.consent;
        let known_ending = self.call.body.dialogue.ending.take();
        let sid = leg.sid.clone();
        self.call.body.dialogue = turn.dialogue;
        let ends = turn.acts.iter().any(|act| matches!(act, Act::HangUp { .. }));
        // An ending that a callback brought while the turn ran (a machine, the end of its time) stays.
        if known_ending.is_some() {
            self.call.body.dialogue.ending = known_ending;
        }
        self.call.head.due =
            now + if ends { rules.timings.hang_up_watch.max(30_000) } else { rules.timings.talk_watch };
        self.lines.extend(turn.lines);
        for note in turn.notes {
            self.note(note, now);
        }
        let consents = had_consent.is_none() && self.call.body.dialogue.consent == Some(true);
        // Once more two turns later: the node that was to start it may have died before it could.
        let forgotten = self.call.body.dialogue.consent == Some(true)
            && self.call.body.dialogue.consent_turn.is_some_and(|n| turn.n == n + 2);
        if (consents || forgotten) && rules.record_after_consent && self.call.body.recording.is_none() {
            self.effects.push(Effect::StartRecording { sid });
        }
        self.turn = Some((leg.attempt, turn.n, turn.acts));
        Ok(())
    }

    /// As [`Change::own_leg`], but the leg of an attempt that is over is known and not stale.
    fn own_leg_or_past(&self, leg: &Leg) -> Result<bool, Stale> {
        let past = |p: &PastAttempt| p.sid.as_deref() == Some(leg.sid.as_str());
        let over = leg.attempt < self.call.body.attempt && self.call.body.past.iter().any(past);
        if over && self.call.phase() != Phase::Ended { Ok(false) } else { self.own_leg(leg) }
    }

    /// Words that reach us after the hang-up still count as said.
    fn late_words(&mut self, turn: Turn, now: Millis) -> Result<(), Stale> {
        if turn.n != self.call.body.dialogue.turn {
            return Err(Stale);
        }
        let ending = self.call.body.dialogue.ending.take();
        self.call.body.dialogue = turn.dialogue;
        if ending.is_some() {
            self.call.body.dialogue.ending = ending;
        }
        self.lines.extend(turn.lines);
        for note in turn.notes {
            self.note(note, now);
        }
        self.turn = Some((self.call.body.attempt, turn.n, turn.acts));
        Ok(())
    }

    fn note(&mut self, note: Note, now: Millis) {
        match note {
            Note::Consent { given } => self.call.body.dialogue.consent = Some(given),
            Note::OptedOut { words } => self.suppress(words, now),
            Note::CallBack { at, .. } => self.call.body.dialogue.callback_at = Some(at),
            Note::HumanRequested => {
                let first = !self.call.body.dialogue.human_requested;
                self.call.body.dialogue.human_requested = true;
                if first {
                    self.notice("human_requested", 0, &[], now);
                }
            }
            Note::Machine { kind } => {
                if let State::InProgress { answered_by, .. } = &mut self.call.state {
                    answered_by.get_or_insert(kind);
                }
            }
        }
    }

    /// Accepted in every state, the ended one included: who asks not to be called is heard.
    pub(super) fn opted_out(&mut self, words: String, rules: &Rules, now: Millis) -> Result<(), Stale> {
        if self.call.body.opted_out {
            return Err(Stale);
        }
        self.suppress(words, now);
        match self.call.phase() {
            Phase::Queued => {
                self.end(Ending::new(Disposition::OptedOut, "opt_out"), now);
            }
            Phase::WrapUp => {
                self.call.state = State::WrapUp { ending: Ending::new(Disposition::OptedOut, "opt_out") };
            }
            Phase::Ended => {}
            _ => {
                if let Some(sid) = self.call.state.sid() {
                    self.effects.push(Effect::HangUp { sid: sid.to_owned() });
                    self.call.head.due = now + rules.timings.hang_up_watch;
                }
            }
        }
        Ok(())
    }

    fn suppress(&mut self, words: String, now: Millis) {
        if self.call.body.opted_out {
            return;
        }
        self.call.body.opted_out = true;
        self.count("opt_outs");
        self.notice("opt_out", 0, &[("words", json!(words))], now);
        self.effects.push(Effect::Suppress { words });
    }

    pub(super) fn cancel(&mut self, rules: &Rules, now: Millis) -> Result<(), Stale> {
        if self.call.body.cancel_requested {
            return Err(Stale);
        }
        match self.call.phase() {
            Phase::Queued => {
                self.call.body.cancel_requested = true;
                self.end(Ending::new(Disposition::Canceled, "canceled"), now);
                Ok(())
            }
            Phase::WrapUp | Phase::Ended => Err(Stale),
            _ => {
                self.call.body.cancel_requested = true;
                if let Some(sid) = self.call.state.sid() {
                    self.effects.push(Effect::HangUp { sid: sid.to_owned() });
                    self.call.head.due = now + rules.timings.hang_up_watch;
                }
                Ok(())
            }
        }
    }

    pub(super) fn recording_started(&mut self, recording: String) -> Result<(), Stale> {
        if self.call.body.recording.is_some() || self.call.body.stray_recordings.contains(&recording) {
            return Err(Stale);
        }
        self.call.body.recording = Some(Recording { sid: recording, status: RecordingStatus::Running });
        Ok(())
    }

    pub(super) fn recording_ready(
        &mut self,
        recording: String,
        rules: &Rules,
        now: Millis,
    ) -> Result<(), Stale> {
        let body = &mut self.call.body;
        if body.stray_recordings.contains(&recording) {
            return Err(Stale);
        }
        let between =
            matches!(self.call.state, State::Queued | State::Dialing { .. } | State::Ringing { .. });
        if between && !body.past.is_empty() {
            // Nothing is recorded before the answer: this is an earlier attempt's.
            body.stray_recordings.push(recording);
            return Ok(());
        }
        match &mut body.recording {
            Some(known) if known.sid == recording && known.status != RecordingStatus::Running => {
                return Err(Stale);
            }
            slot => {
                let older =
                    slot.replace(Recording { sid: recording.clone(), status: RecordingStatus::Ready });
                body.stray_recordings
                    .extend(older.map(|older| older.sid).filter(|older| *older != recording));
            }
        }
        if self.call.phase() == Phase::Ended {
            self.call.head.due = now + rules.timings.media_wait;
            self.call.body.setbacks = 0;
        }
        Ok(())
    }

    pub(super) fn strays_deleted(&mut self, now: Millis) -> Result<(), Stale> {
        if self.call.phase() != Phase::Ended || self.call.body.stray_recordings.is_empty() {
            return Err(Stale);
        }
        self.decides = true;
        self.call.body.stray_recordings.clear();
        self.call.body.setbacks = 0;
        let status = self.call.body.recording.as_ref().map(|recording| recording.status);
        let open = matches!(status, Some(RecordingStatus::Ready | RecordingStatus::Running));
        self.call.head.due = if open { now } else { 0 };
        Ok(())
    }

    pub(super) fn artefact_added(&mut self, artefact: Option<Artefact>, now: Millis) -> Result<(), Stale> {
        if self.call.phase() != Phase::Ended {
            return Err(Stale);
        }
        let Some(recording) = &mut self.call.body.recording else { return Err(Stale) };
        if matches!(recording.status, RecordingStatus::Stored | RecordingStatus::Deleted) {
            return Err(Stale);
        }
        self.decides = true;
        self.call.head.due = 0;
        self.call.body.setbacks = 0;
        match artefact {
            None => recording.status = RecordingStatus::Deleted,
            Some(artefact) => {
                recording.status = RecordingStatus::Stored;
                self.call.body.artefacts.push(artefact.clone());
                self.notice("artefact_added", 0, &[("artefact", json!(artefact))], now);
            }
        }
        Ok(())
    }

    pub(super) fn concluded(
        &mut self,
        artefacts: Vec<Artefact>,
        outcome: Option<(String, &'static str, Value)>,
        adversarial_score: Option<f64>,
        employment_gaps: Option<Value>,
        rules: &Rules,
        now: Millis,
    ) -> Result<(), Stale> {
        let State::WrapUp { ending } = &self.call.state else { return Err(Stale) };
        let ending = ending.clone();
        self.decides = true;
        self.call.body.artefacts = artefacts;
        if adversarial_score.is_some() {
            self.call.body.dialogue.adversarial_score = adversarial_score;
        }
        let gaps = employment_gaps.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
        self.counts.push(("gaps".into(), i64::try_from(gaps).unwrap_or(0)));
        self.counts.push(("duration_s".into(), i64::from(self.call.body.duration_s.unwrap_or(0))));
        if self.call.body.dialogue.adversarial_score.is_some() {
            self.count(format!("level:{}", self.call.adversarial_level()));
        }
        self.call.body.employment_gaps = employment_gaps;
        // The notes have become the outcome; what is kept for 48 h is what the status API shows.
        self.call.body.dialogue.draft = Draft::default();
        if let Some((kind, field, document)) = outcome {
            self.notice(&kind, 0, &[(field, document)], now);
        }
        self.end(ending, now);
        self.call.body.setbacks = 0;
        match self.call.body.recording.as_ref().map(|r| r.status) {
            Some(RecordingStatus::Ready) => self.call.head.due = now + rules.timings.media_wait,
            // Its callback is on its way, or lost: then the carrier is asked.
            Some(RecordingStatus::Running) => self.call.head.due = now + rules.timings.talk_watch,
            _ => {}
        }
        Ok(())
    }
}
