//! What the outside tells of itself, passed on to the fleet's pacing: the carrier's answers, the model's rate limits and
//! the webhooks that wait.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::clock::{Clock, Millis, SECOND};
use crate::carrier::twilio::{DialOutcome, RefusalKind};
use crate::llm::{Limits, Model};
use crate::store::{Feedback, Gate, GateKind, Store, StoreError};

/// How often model and outbox are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Looks after which the outbox is counted again where little waits: it does not fill within that time.
const FAR: u32 = 5;
/// How long what was seen holds: a node that dies leaves no gate behind.
const HOLDS: Millis = 3 * SECOND;
/// Requests that one conversation makes of the model.
const REQUESTS_A_CALL: f64 = 8.0;
/// Tokens that one conversation takes, prompts and answers together.
const TOKENS_A_CALL: f64 = 12_000.0;
/// Calls per second that need no gate where the account has no limit of its own.
const FAST: f64 = 1_000.0;

/// What a node learned of the carrier since its last permit.
#[derive(Debug, Default)]
pub struct Senses(Mutex<Feedback>);

impl Senses {
    /// Takes note of what came of asking the carrier for a call.
    pub fn note(&self, outcome: &DialOutcome) {
        let mut feedback = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            DialOutcome::Accepted { queue_time_ms, .. } => {
                feedback.accepted += 1;
                feedback.queue_time = feedback.queue_time.max(*queue_time_ms);
            }
            DialOutcome::NotSent(_) | DialOutcome::Unknown(_) => feedback.failed += 1,
            DialOutcome::Refused(refusal) => match refusal.kind {
                RefusalKind::RateLimited { after } => {
                    feedback.throttled += 1;
                    let after = after.and_then(|d| Millis::try_from(d.as_millis()).ok()).unwrap_or(0);
                    feedback.retry_after = feedback.retry_after.max(after);
                }
                RefusalKind::Concurrency => feedback.throttled += 1,
                // Every call would be refused alike.
                RefusalKind::Account => feedback.failed += 1,
                // It answers as it should; the number is at fault.
                RefusalKind::Final(_) => feedback.accepted += 1,
                RefusalKind::Retryable => {}
            },
        }
    }

    /// What was noted since this was last asked.
    pub fn take(&self) -> Feedback {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells the fleet's pacing what model and outbox can take.
#[derive(Clone)]
pub struct Gates {
    /// Redis.
    pub store: Store,
    /// The models of this node.
    pub models: Vec<Model>,
    /// Calls per second of the account; 0 = no limit of ours.
    pub max_cps: f64,
    /// Webhooks that may wait; `None`: another node looks after them.
    pub max_backlog: Option<u64>,
    /// Time.
    pub clock: Clock,
}

/// A model's limits, and when they were first seen as they are.
type Seen = Option<(Limits, Millis)>;

impl Gates {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut seen: Vec<Seen> = vec![None; self.models.len()];
        let (mut held, mut far) = (false, 0_u32);
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            let done = async {
                self.model(&mut seen).await?;
                far = far.saturating_sub(1);
                if far == 0 && !self.outbox(&mut held).await? {
                    far = FAR;
                }
                Ok::<_, StoreError>(())
            };
            if let Err(error) = done.await {
                // Redis is away: then nothing is dialed at all, and its own message says so.
                tracing::debug!(%error, "a gate was not set");
            }
        }
    }

    async fn model(&self, seen: &mut [Seen]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut slowest: Option<(f64, Millis)> = None;
        for (model, seen) in self.models.iter().zip(seen) {
            let Some(limits) = model.last_limits() else { continue };
            if seen.as_ref().is_none_or(|(known, _)| *known != limits) {
                *seen = Some((limits.clone(), now));
            }
            let since = seen.as_ref().map_or(now, |(_, at)| *at);
            if let Some((cps, left)) = allowed(&limits, now.saturating_sub(since))
                && slowest.is_none_or(|(least, _)| cps < least)
            {
                slowest = Some((cps, left));
            }
        }
        let enough = if self.max_cps > 0.0 { self.max_cps } else { FAST };
        match slowest {
            Some((max_cps, left)) if max_cps < enough => {
                let gate = Gate { kind: GateKind::Model, max_cps, until: now + left.min(HOLDS) };
                self.store.set_gate(gate).await
            }
            _ => Ok(()),
        }
    }

    /// Closes the outbox's gate where it must be. False: it will not have to for some time.
    async fn outbox(&self, held: &mut bool) -> Result<bool, StoreError> {
        let Some(most) = self.max_backlog else { return Ok(false) };
        let pending = u64::try_from(self.store.outbox_counts().await?.pending).unwrap_or(0);
        let holds = holds(*held, pending, most);
        if holds != std::mem::replace(held, holds) {
            let said = if holds { "too many webhooks wait; dialing holds" } else { "dialing goes on" };
            tracing::warn!(pending, most, "{said}");
        }
        if !holds {
            return Ok(pending.saturating_mul(4) >= most);
        }
        let until = self.clock.now() + HOLDS;
        self.store.set_gate(Gate { kind: GateKind::Outbox, max_cps: 0.0, until }).await?;
        Ok(true)
    }
}

/// Does the outbox hold all dials? From above the most on, until fewer than half of it wait.
fn holds(held: bool, pending: u64, most: u64) -> bool {
    pending > most || (held && pending * 2 >= most)
}

/// Calls per second that the model's window still allows, `age` ms after its limits were seen, and how long the window
/// lasts, ms. `None`: nothing is known, or the window is over.
fn allowed(limits: &Limits, age: Millis) -> Option<(f64, Millis)> {
    let window = |remaining: Option<u64>, reset: &Option<String>, each: f64| {
        let left = reset.as_deref().and_then(span)?.checked_sub(age).filter(|left| *left > 0)?;
        // Whole calls: with less left than one needs, none is begun.
        let calls = (remaining? as f64 / each).floor();
        Some((calls * 1_000.0 / left as f64, left))
    };
    let requests = window(limits.remaining_requests, &limits.reset_requests, REQUESTS_A_CALL);
    let tokens = window(limits.remaining_tokens, &limits.reset_tokens, TOKENS_A_CALL);
    match (requests, tokens) {
        (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// Reads `1s`, `6m0s`, `120ms`, `1.5s`, `1h2m3s`: ms. `None` for anything else.
fn span(text: &str) -> Option<Millis> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let each = match &tail[..unit] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * each;
        rest = &tail[unit..];
    }
    // The float saturates; a window longer than all time is one all the same.
    Some(total.ceil() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::twilio::{FinalKind, Refusal};
    use crate::domain::call::{Body, Call, Event, Rules};
    use crate::domain::ids::{CallId, Shard};
    use crate::domain::phone::Phone;
    use crate::store::testing::TestRedis;

    #[test]
    fn spans_are_read_as_providers_write_them() {
        for (text, want) in [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1.5s", Some(1_500)),
            ("1h2m3s", Some(3_723_000)),
            ("1d", Some(86_400_000)),
            (" 7ms ", Some(7)),
            ("0s", Some(0)),
            ("", None),
            ("soon", None),
            ("5", None),
            ("s", None),
            ("1.2.3s", None),
            ("5 s", None),
        ] {
            assert_eq!(span(text), want, "{text:?}");
        }
    }

    #[test]
    fn the_window_says_how_fast() {
        let limits = |requests: u64, tokens: u64| Limits {
            remaining_requests: Some(requests),
            reset_requests: Some("10s".into()),
            remaining_tokens: Some(tokens),
            reset_tokens: Some("1s".into()),
        };
        assert_eq!(allowed(&limits(800, 1_000_000), 0), Some((10.0, 10_000)), "requests");
        assert_eq!(allowed(&limits(800, 24_000), 0), Some((2.0, 1_000)), "tokens");
        assert_eq!(allowed(&limits(800, 24_000), 1_000), Some((100.0 / 9.0, 9_000)), "their window is over");
        assert_eq!(allowed(&limits(7, 1_000_000), 0), Some((0.0, 10_000)), "not one call more");
        assert_eq!(allowed(&limits(0, 0), 10_000), None);
        assert_eq!(allowed(&Limits::default(), 0), None);
        let half = Limits { remaining_requests: Some(5), ..Limits::default() };
        assert_eq!(allowed(&half, 0), None, "no window is named");
    }

    #[test]
    fn the_outbox_holds_until_half_is_gone() {
        let mut held = false;
        let seen = [10, 100, 101, 80, 50, 49, 60, 100].map(|pending| {
            held = holds(held, pending, 100);
            held
        });
        assert_eq!(seen, [false, false, true, true, true, false, false, false]);
    }

    #[test]
    fn the_carriers_answers_are_told_apart() {
        let senses = Senses::default();
        let refused = |kind| DialOutcome::Refused(Refusal { status: 400, code: None, kind });
        let accepted = |queue_time_ms| DialOutcome::Accepted { sid: "CA1".into(), queue_time_ms };
        for outcome in [
            accepted(1_500),
            accepted(20),
            refused(RefusalKind::Final(FinalKind::InvalidNumber)),
            refused(RefusalKind::RateLimited { after: Some(Duration::from_secs(3)) }),
            refused(RefusalKind::RateLimited { after: None }),
            refused(RefusalKind::Concurrency),
            refused(RefusalKind::Account),
            refused(RefusalKind::Retryable),
            DialOutcome::Unknown("502".into()),
            DialOutcome::NotSent("no route".into()),
        ] {
            senses.note(&outcome);
        }
        let told = senses.take();
        assert_eq!((told.accepted, told.failed, told.throttled), (3, 3, 3));
        assert_eq!((told.queue_time, told.retry_after), (1_500, 3_000));
        assert_eq!(senses.take().accepted, 0, "told once");
    }

    #[tokio::test]
    async fn a_full_outbox_closes_its_gate() {
        let redis = TestRedis::start().await;
        let store = redis.store(Clock::System).await;
        let phone = Phone::from_e164("+14155550100").expect("a number");
        let (id, hash) = (CallId::new(Shard::of(phone.e164())), store.hash(phone.e164()));
        let call = Call::new(id, hash, None, Body::new(phone, Clock::System.now()));
        store.submit_one(&call, None, Clock::System.now()).await.expect("in");
        store.apply(call, Event::Cancel, &Rules::default()).await.expect("ended, and told");
        let gates = |most| Gates {
            store: store.clone(),
            models: Vec::new(),
            max_cps: 1.0,
            max_backlog: most,
            clock: Clock::System,
        };
        let mut held = false;
        for most in [None, Some(1)] {
            gates(most).outbox(&mut held).await.expect("redis answers");
            assert!(store.pacing(None).await.expect("pacing").gates.is_empty());
        }
        gates(Some(0)).outbox(&mut held).await.expect("redis answers");
        let gate = store.pacing(None).await.expect("pacing").gates.remove(0);
        assert_eq!((gate.kind, gate.max_cps, held), (GateKind::Outbox, 0.0, true));
    }
}
