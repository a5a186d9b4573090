//! The turn itself, in a task of its own: it outlives the request that began it, holds on to its call, and commits the
//! answer. A node that lost the lease gives nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::fault;
use crate::conversation::{FailureKind, TurnInput, failure_turn, take_turn};
use crate::domain::agent::CallTimes;
use crate::domain::call::{Call, Event, Leg, Phase, State};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::ids::CallId;
use crate::domain::phone;
use crate::domain::talk::{Act, Dialogue, Heard, Line, Note, Turn, is_machine};
use crate::store::{Committed, Resumed, StoreError, Talk};
use crate::transport::Transport;
use crate::transport::gather::Answer;
use crate::transport::hold::Hold;

/// How often a commit is tried while Redis is away: the callee hears bridge lines meanwhile.
const COMMIT_TRIES: u32 = 20;

/// On what ground a node takes a turn.
pub(super) struct Try {
    /// What its commit is known by.
    pub(super) token: String,
    /// The callee has waited long enough: apologise and end.
    pub(super) give_up: bool,
    /// Was Redis asked for it? Else it is begun from a copy, and others do not know yet.
    pub(super) asked: bool,
}

impl Transport {
    /// Takes the turn and commits it.
    pub(super) async fn run_turn(
        &self,
        id: &CallId,
        sid: &str,
        turn: (u32, u32),
        resumed: Resumed,
        taken: Try,
    ) -> Answer {
        let (store, lease, journaled) = (&self.store, self.timing.lease, resumed.journal.len());
        let (token, heard) = (taken.token.as_str(), resumed.heard.clone());
        let hold = Hold { store, id, turn, heard, token, lease, journaled, taken: Mutex::default() };
        let work = self.work(&hold, sid, resumed, &taken);
        tokio::select! {
            answer = work => answer,
            () = hold.keep() => if taken.asked { Answer::NotYet { call: None } } else { Answer::Again },
        }
    }

    async fn work(&self, hold: &Hold<'_>, sid: &str, resumed: Resumed, taken: &Try) -> Answer {
        let Hold { id, turn, .. } = *hold;
        let Try { give_up, asked, .. } = *taken;
        let Resumed { mut call, mut heard, lines, journal } = resumed;
        // The request for the greeting is how we learn of the answer: abandonment is counted from here.
        call.body.answered_at.get_or_insert_with(|| self.clock.now());
        let (agent, voicemail) = match (self.agent_of(&call).await, self.store.voicemail_of(&call).await) {
            (Ok(Some(agent)), Ok(voicemail)) => (agent, voicemail),
            (Ok(None), _) => {
                tracing::error!(call_id = %id, "the call's agent does not exist on this node");
                return Answer::Over;
            }
            _ => return not_yet(call, asked),
        };
        // The request for a machine's turn does not say again what was detected; the record does.
        if let (Heard::Machine { kind }, State::InProgress { answered_by: Some(known), .. }) =
            (&mut heard, &call.state)
        {
            known.clone_into(kind);
        }
        let now = self.clock.now();
        let call = Arc::new(call);
        let Ok(times) = self.times_of(&call).await else {
            return not_yet(Arc::unwrap_or_clone(call), asked);
        };
        let answered_by = match &call.state {
            State::InProgress { answered_by, .. } => answered_by.as_deref(),
            _ => None,
        };
        let input = || TurnInput {
            agent: &agent,
            call_id: id.as_str(),
            attempt: turn.0,
            n: turn.1,
            heard: heard.clone(),
            dialogue: call.body.dialogue.clone(),
            lines: &lines,
            variables: &call.body.variables,
            times: &times,
            answered_at: call.body.answered_at.unwrap_or(now),
            now,
            journal: journal.iter().filter_map(|text| serde_json::from_str(text).ok()).collect(),
            transfer_to: self.transfer_to.as_deref(),
            answered_by,
            voicemail,
        };
        fault::point("turn_begun");
        let began = std::time::Instant::now();
        let taken = if give_up {
            Ok(failure_turn(input()))
        } else {
            let mut journal = hold;
            match take_turn(&self.model, input(), &mut journal, None).await {
                Err(failure) if failure.kind == FailureKind::Prompt => {
                    tracing::error!(call_id = %id, "the agent's prompt does not render");
                    Ok(failure_turn(input()))
                }
                other => other,
            }
        };
        self.metrics.turn_stage("model", began.elapsed());
        drop(times);
        let call = Arc::unwrap_or_clone(call);
        match taken {
            Ok(mut taken) => {
                if turn.1 == 0 {
                    taken.dialogue.turn = taken.dialogue.turn.max(1);
                }
                self.commit_turn(call, sid, taken, hold, asked, lines, &agent.definition.version).await
            }
            Err(failure) => {
                tracing::warn!(call_id = %id, %failure, "a turn gave no result on this node");
                not_yet(call, asked)
            }
        }
    }

    /// When this callee may be called, and by which clock they reckon.
    async fn times_of(&self, call: &Arc<Call>) -> Result<CallTimes, StoreError> {
        let campaign = self.store.campaign_of(call).await?;
        let zones = match &call.body.time_zone {
            Some(own) => vec![own.clone()],
            None => phone::zones(&call.body.phone).into_iter().map(str::to_owned).collect(),
        };
        let (openings, call) = (Arc::clone(&self.openings), Arc::clone(call));
        let opening = move |at| openings(&call, campaign.as_deref(), at);
        Ok(CallTimes { zones, opening: Arc::new(opening) })
    }

    // The turn, and what it was taken on.
    #[allow(clippy::too_many_arguments)]
    async fn commit_turn(
        &self,
        mut call: Call,
        sid: &str,
        taken: Turn,
        hold: &Hold<'_>,
        asked: bool,
        mut lines: Vec<Line>,
        version: &str,
    ) -> Answer {
        let Hold { turn, token, .. } = *hold;
        let leg = Leg { attempt: turn.0, sid: sid.to_owned() };
        let acts = taken.acts.clone();
        let wish = taken.notes.iter().any(|note| matches!(note, Note::OptedOut { .. }));
        fault::point("turn_before_commit");
        let began = std::time::Instant::now();
        for _ in 0..COMMIT_TRIES {
            let mut change = call.clone().change();
            let event = Event::TurnTaken(leg.clone(), Box::new(taken.clone()));
            if change.apply(event, &self.rules, self.clock.now()).is_err() {
                return if asked { self.answer_of(call, turn).await } else { Answer::Again };
            }
            if change.call.body.agent_version.is_none() {
                change.call.body.agent_version = Some(version.to_owned());
            }
            match self.store.commit(change, Some(token)).await {
                Ok(Committed::Done(call, effects)) => {
                    fault::point("turn_after_commit");
                    self.metrics.turn_stage("commit", began.elapsed());
                    if acts.iter().any(|act| matches!(act, Act::HangUp { .. })) {
                        self.store.remember(&call);
                    } else {
                        lines.extend(taken.lines);
                        let next = (turn.0, turn.1 + 1);
                        self.store.remember_talk(&call, Talk { next, token: token.to_owned(), lines });
                    }
                    self.effects.perform(&call, effects).await;
                    return Answer::Acts { call, turn, acts };
                }
                // What was heard is answered by what was known then, unless that was old. Who wants no more calls is heard
                // by whatever is known.
                Ok(Committed::Conflict(theirs)) if !asked && !wish && !same_talk(&call, &theirs) => {
                    return Answer::Again;
                }
                Ok(Committed::Conflict(theirs)) => call = *theirs,
                Ok(Committed::Lost) if !asked => return Answer::Again,
                Ok(Committed::Lost) => return Answer::NotYet { call: Some(Box::new(call)) },
                Ok(Committed::Gone) => return Answer::Over,
                Err(error) => {
                    tracing::warn!(call_id = %call.id, %error, "a turn could not be committed yet");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
        Answer::NotYet { call: Some(Box::new(call)) }
    }

    /// The turn was stale: somebody answered it, or the call is over.
    async fn answer_of(&self, call: Call, turn: (u32, u32)) -> Answer {
        match self.store.turn_answer(&call.id).await {
            Ok(Some((newest, acts))) if newest >= turn => {
                Answer::Acts { call: Box::new(call), turn: newest, acts }
            }
            _ => {
                let ending = Ending::new(Disposition::Completed, "over");
                Answer::Acts { call: Box::new(call), turn, acts: vec![Act::HangUp { ending }] }
            }
        }
    }
}

/// The turn gave nothing. One that was begun from a copy is asked for: Redis does not know yet what was heard, and the
/// request that a bridge line brings does not say it again.
fn not_yet(call: Call, asked: bool) -> Answer {
    if asked { Answer::NotYet { call: Some(Box::new(call)) } } else { Answer::Again }
}

/// Would the turn have been taken alike on this record? Its end may have come meanwhile: what was said counts all the same.
fn same_talk(copy: &Call, theirs: &Call) -> bool {
    let talk = |call: &Call| Dialogue { ending: None, ..call.body.dialogue.clone() };
    let machine = |call: &Call| match &call.state {
        State::InProgress { answered_by, .. } => answered_by.as_deref().is_some_and(is_machine),
        _ => false,
    };
    copy.body.attempt == theirs.body.attempt
        && talk(copy) == talk(theirs)
        && (theirs.phase() == Phase::WrapUp || machine(copy) == machine(theirs))
}
