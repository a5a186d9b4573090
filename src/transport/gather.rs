//! A turn over `<Gather>`: whoever gets the request leases the turn or waits for the node that has it; nobody makes the
//! callee wait in silence.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::carrier::twilio::urls::Via;
use crate::conversation::bridge_line;
use crate::domain::agent::Agent;
use crate::domain::call::{Call, Phase};
use crate::domain::ids::CallId;
use crate::domain::talk::{Act, Heard};
use crate::store::{Resumed, Talk, TurnLease};
use crate::transport::markup::{self, Place};
use crate::transport::turn::Try;
use crate::transport::{Callback, Transport};

/// How often a request that waits for another node looks for its answer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a bridge line waits for the agent whose line it is.
const AGENT_WAIT: Duration = Duration::from_millis(250);

/// The greeting of a call that was never answered before: its transcript is empty.
const FIRST: (u32, u32) = (1, 0);

/// Names one try at a turn.
fn token() -> String {
    format!("{:08x}", rand::random::<u32>())
}

/// What came of asking for a turn.
pub(super) enum Answer {
    /// The acts of this turn, or of a later one.
    Acts { call: Box<Call>, turn: (u32, u32), acts: Vec<Act> },
    /// Not in time.
    NotYet { call: Option<Box<Call>> },
    /// The turn was begun from a copy, and it is not ours or the call is another by now: Redis is to be asked.
    Again,
    /// There is nothing to go on with.
    Over,
}

impl Transport {
    /// Answers a request for a turn with TwiML, within the hold time, whatever happens.
    pub(super) async fn take(self: &Arc<Self>, callback: Callback) -> String {
        let began = std::time::Instant::now();
        let Callback { id, query, form } = callback;
        let (Some(id), Some(sid)) = (id, form.call_sid.clone()) else {
            return markup::goodbye(Some("This call is no longer available. Goodbye."));
        };
        let attempt = query.attempt;
        let heard = heard(&query.via, query.turn, &form);
        let deadline = Instant::now() + self.timing.hold;
        let mut n = query.turn;
        if query.via == Via::Fallback {
            // Another URL of ours failed: which turn is open, the record says.
            match self.store.load(&id).await {
                Ok(Some(call)) => n = call.body.dialogue.turn,
                Ok(None) => return markup::goodbye(None),
                Err(_) => return self.bridge(&id, attempt, n, query.bridge, None).await,
            }
        }
        let heard = if n == 0 { Heard::Started } else { heard };
        let patience_over = query.bridge >= self.timing.bridges;
        // A request that is made again may be at work elsewhere.
        let first = query.bridge == 0 && query.via != Via::Fallback;
        let begun = if first { self.begun(&id, &sid, (attempt, n), &heard).await } else { None };
        let answer = self.answer(&id, &sid, (attempt, n), heard, patience_over, begun, deadline).await;
        self.metrics.turn_stage("total", began.elapsed());
        match answer {
            Answer::Acts { call, turn: (attempt, n), acts } => {
                let agent = match self.agent_of(&call).await {
                    Ok(Some(agent)) => agent,
                    _ => return markup::goodbye(None),
                };
                let next = n.saturating_add(1);
                // Who is put through shows the number that the callee knows from this very call.
                let caller_id = call.body.caller.as_deref().unwrap_or(&self.caller_id);
                let place = Place { urls: &self.urls, call: &id, attempt, next, caller_id };
                markup::render(&acts, &agent, &place)
            }
            Answer::NotYet { call } => self.bridge(&id, attempt, n, query.bridge, call.as_deref()).await,
            Answer::Again => self.bridge(&id, attempt, n, query.bridge, None).await,
            Answer::Over => markup::goodbye(None),
        }
    }

    /// The turn, begun without asking Redis, where this node answered the one before, or heard of the ringing, and knows
    /// all that it needs. Only where no tool reaches beyond the talk: while nothing is leased yet, another node may begin
    /// the turn too, and one of the two commits.
    async fn begun(
        &self,
        id: &CallId,
        sid: &str,
        turn: (u32, u32),
        heard: &Heard,
    ) -> Option<(Resumed, String)> {
        let (call, talk) = if turn == FIRST {
            let call = self.store.recent(id).filter(|call| call.body.dialogue.turn == 0)?;
            (call, Talk { next: turn, token: token(), lines: Vec::new() })
        } else {
            self.store.begun(id, turn, heard)?
        };
        if over(&call, turn.0, sid) {
            return None;
        }
        let agent = self.agent_of(&call).await.ok().flatten()?;
        let contained = agent.tools.iter().all(|tool| tool.contained());
        let resumed = Resumed { call, heard: heard.clone(), lines: talk.lines, journal: Vec::new() };
        contained.then_some((resumed, talk.token))
    }

    // What Twilio asked for, how long there is, and what is known.
    #[allow(clippy::too_many_arguments)]
    async fn answer(
        self: &Arc<Self>,
        id: &CallId,
        sid: &str,
        turn: (u32, u32),
        heard: Heard,
        patience_over: bool,
        begun: Option<(Resumed, String)>,
        deadline: Instant,
    ) -> Answer {
        let mut seen: Option<Box<Call>> = None;
        let mut token = token();
        // The request after a bridge line does not say again what was heard. Where this node began the turn and Redis does
        // not know yet, it does.
        let mut heard = heard;
        if !matches!(heard, Heard::Speech { .. } | Heard::Keys { .. })
            && let Some(said) = self.store.said(id, turn)
        {
            heard = said;
        }
        if let Some((resumed, own)) = begun {
            let taken = Try { token: own.clone(), give_up: false, asked: false };
            match self.run(id, sid, turn, resumed, taken, deadline).await {
                // By the same token: a lease that it got meanwhile is ours.
                Answer::Again => token = own,
                answer => return answer,
            }
        }
        loop {
            let lease =
                self.store.turn_begin(id, turn, &heard, self.timing.lease, &token, patience_over).await;
            match lease {
                Ok(TurnLease::Gone) => return Answer::Over,
                Ok(TurnLease::Done { call, turn, acts }) => return Answer::Acts { call, turn, acts },
                Ok(TurnLease::Running { call, .. }) => seen = Some(call),
                Ok(TurnLease::Taken(resumed)) => {
                    if over(&resumed.call, turn.0, sid) {
                        return Answer::Over;
                    }
                    let taken = Try { token, give_up: patience_over, asked: true };
                    return self.run(id, sid, turn, *resumed, taken, deadline).await;
                }
                Err(error) => tracing::warn!(call_id = %id, %error, "a turn could not be asked for"),
            }
            if Instant::now() + LOOK_EVERY >= deadline {
                return Answer::NotYet { call: seen };
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The call, for its agent's bridge line: only if it can be read at once.
    async fn for_bridge(&self, id: &CallId) -> Option<Box<Call>> {
        let read = tokio::time::timeout(AGENT_WAIT, self.store.load(id)).await;
        read.ok().and_then(Result::ok).flatten().map(Box::new)
    }

    /// Takes the turn in a task of its own: a bridge line may answer this request while it goes on.
    async fn run(
        self: &Arc<Self>,
        id: &CallId,
        sid: &str,
        turn: (u32, u32),
        resumed: Resumed,
        taken: Try,
        deadline: Instant,
    ) -> Answer {
        let transport = Arc::clone(self);
        let (own, sid) = (id.clone(), sid.to_owned());
        let task = self
            .tasks
            .spawn(async move { Box::pin(transport.run_turn(&own, &sid, turn, resumed, taken)).await });
        match tokio::time::timeout_at(deadline, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Answer::NotYet { call: self.for_bridge(id).await },
        }
    }

    /// A bridge line and the same turn again; when patience is at its end and even the failure line could not be
    /// committed, an apology and the end.
    async fn bridge(&self, id: &CallId, attempt: u32, n: u32, spoken: u32, call: Option<&Call>) -> String {
        if spoken > self.timing.bridges {
            return markup::goodbye(Some("I am sorry, something went wrong on our side. Goodbye."));
        }
        self.metrics.bridges_spoken.inc();
        let again = self.urls.bridge(id, attempt, n, spoken + 1);
        let agent = match call {
            // The callee has waited long enough: in another voice, if its campaign cannot be read at once.
            Some(call) => tokio::time::timeout(AGENT_WAIT, self.agent_of(call)).await.ok(),
            None => None,
        };
        let agent: Option<Arc<Agent>> = agent.and_then(Result::ok).flatten();
        let line = match (&agent, call) {
            (Some(agent), Some(call)) => bridge_line(agent, spoken as usize, &call.body.variables),
            _ => "One moment, please.".to_owned(),
        };
        markup::bridge(&line, agent.as_deref(), &again)
    }
}

/// Is there nothing to say on this leg any more?
fn over(call: &Call, attempt: u32, sid: &str) -> bool {
    let another_leg = call.state.sid().is_some_and(|known| known != sid);
    matches!(call.phase(), Phase::WrapUp | Phase::Ended) || call.body.attempt != attempt || another_leg
}

pub(super) fn heard(via: &Via, n: u32, form: &crate::carrier::twilio::wire::CallbackForm) -> Heard {
    if let Some(text) = form.speech_result.as_deref().filter(|t| !t.trim().is_empty()) {
        return Heard::Speech { text: text.to_owned(), confidence: form.confidence };
    }
    if let Some(digits) = form.digits.as_deref().filter(|d| !d.is_empty()) {
        return Heard::Keys { digits: digits.to_owned() };
    }
    match via {
        Via::Transfer => Heard::TransferEnded {
            status: form.dial_call_status.as_ref().map_or("failed", |s| s.as_str()).to_owned(),
        },
        Via::Machine => Heard::Machine {
            kind: form.answered_by.as_ref().map_or("machine_start", |a| a.as_str()).to_owned(),
        },
        _ if n == 0 => Heard::Started,
        _ => Heard::Silence,
    }
}
