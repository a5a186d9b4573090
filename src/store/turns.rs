//! A turn's lease: one node takes a turn, journals what its tools did, and commits the answer; others get the answer,
//! wait for it, or resume the turn where its node died.

use fred::prelude::*;

use crate::base::clock::Millis;
use crate::domain::call::Call;
use crate::domain::ids::CallId;
use crate::domain::talk::{Act, Heard, Line};
use crate::store::connect::{Store, StoreError};
use crate::store::{acts, keys, scripts};

/// What a node finds when it wants to take a turn.
#[derive(Debug)]
pub enum TurnLease {
    /// There is no such call.
    Gone,
    /// This turn, or a later one, is answered.
    Done {
        /// The call.
        call: Box<Call>,
        /// Attempt and number of the newest answered turn.
        turn: (u32, u32),
        /// Its answer.
        acts: Vec<Act>,
    },
    /// Another node is at it.
    Running {
        /// The call.
        call: Box<Call>,
        /// How long its lease lasts still, ms.
        left: Millis,
    },
    /// It is ours.
    Taken(Box<Resumed>),
}

/// A turn that is ours: new, or resumed from what a dead node journaled.
#[derive(Debug)]
pub struct Resumed {
    /// The call.
    pub call: Call,
    /// What was heard; of a resumed turn, what its first node heard.
    pub heard: Heard,
    /// What was said so far.
    pub lines: Vec<Line>,
    /// What tools did in this turn already, oldest first, as JSON.
    pub journal: Vec<String>,
}

pub(super) fn turn_key(attempt: u32, n: u32) -> String {
    format!("{attempt}:{n}")
}

/// Attempt and number of a turn's key.
fn parsed(key: &str) -> Option<(u32, u32)> {
    let (attempt, n) = key.split_once(':')?;
    Some((attempt.parse().ok()?, n.parse().ok()?))
}

fn texts(value: Option<Value>) -> Vec<String> {
    value.map(|v| v.into_array().iter().map(scripts::text).collect()).unwrap_or_default()
}

fn lines(texts: &[String]) -> Vec<Line> {
    texts.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The key of the turn before this one; of none, where it is the first.
pub(super) fn key_before(attempt: u32, n: u32) -> String {
    n.checked_sub(1).map(|n| turn_key(attempt, n)).unwrap_or_default()
}

impl Store {
    /// Asks for a turn. `token` names this try and is drawn by the caller; `force` takes the turn from a node that runs it
    /// still. One round trip for record, transcript and journal.
    ///
    /// # Errors
    /// Where Redis does not answer or the record cannot be read.
    pub async fn turn_begin(
        &self,
        id: &CallId,
        (attempt, n): (u32, u32),
        heard: &Heard,
        lease: Millis,
        token: &str,
        force: bool,
    ) -> Result<TurnLease, StoreError> {
        let keys = vec![keys::session(id), keys::turn(id), keys::journal(id), keys::transcript(id)];
        let heard = serde_json::to_string(heard).unwrap_or_default();
        let force = if force { "1" } else { "0" };
        let args = vec![turn_key(attempt, n), heard, lease.to_string(), token.to_owned(), force.to_owned()];
        let mut answer = scripts::TURN_BEGIN.run(self, keys, args).await?.into_array().into_iter();
        let word = answer.next().map(|v| scripts::text(&v)).unwrap_or_default();
        if word == "gone" {
            return Ok(TurnLease::Gone);
        }
        let record = answer.next().map(|v| scripts::text(&v)).unwrap_or_default();
        let call = Call::decode(id, &record)?;
        let bad = || StoreError::Protocol("turn_begin");
        match word.as_str() {
            "done" => {
                let key = answer.next().map(|v| scripts::text(&v)).unwrap_or_default();
                let turn = parsed(&key).ok_or_else(bad)?;
                let acts = answer.next().map(|v| scripts::text(&v)).unwrap_or_default();
                let acts = acts::decode(&acts, turn, &lines(&texts(answer.next()))).ok_or_else(bad)?;
                Ok(TurnLease::Done { call: Box::new(call), turn, acts })
            }
            "running" => {
                let left = u64::try_from(scripts::number(answer.next().as_ref())).unwrap_or(0);
                Ok(TurnLease::Running { call: Box::new(call), left })
            }
            "taken" => {
                let heard = answer.next().map(|v| scripts::text(&v)).unwrap_or_default();
                let said = texts(answer.next());
                let journal = texts(answer.next());
                Ok(TurnLease::Taken(Box::new(Resumed {
                    call,
                    heard: serde_json::from_str(&heard).map_err(|_| bad())?,
                    lines: lines(&said),
                    journal,
                })))
            }
            _ => Err(bad()),
        }
    }

    /// Renews the lease and journals `entries`, the first of which is the `first`-th of the turn's journal (from 0). What
    /// stands there already is not written again. A turn that was begun without asking (see [`Store::begun`]) is leased
    /// from here on. False: another node took the turn over, and this one must stop.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn turn_hold(
        &self,
        id: &CallId,
        (attempt, n): (u32, u32),
        token: &str,
        lease: Millis,
        heard: &Heard,
        (first, entries): (usize, Vec<String>),
    ) -> Result<bool, StoreError> {
        let keys = vec![keys::turn(id), keys::journal(id)];
        let heard = serde_json::to_string(heard).unwrap_or_default();
        let mut args = vec![turn_key(attempt, n), token.to_owned(), lease.to_string()];
        args.extend([key_before(attempt, n), heard, first.to_string()]);
        args.extend(entries);
        Ok(scripts::number(Some(&scripts::TURN_HOLD.run(self, keys, args).await?)) == 1)
    }

    /// The newest answered turn of a call and its answer, for a waiting request.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn turn_answer(&self, id: &CallId) -> Result<Option<((u32, u32), Vec<Act>)>, StoreError> {
        let row: Vec<Option<String>> = self.client().hmget(keys::turn(id), vec!["done", "acts"]).await?;
        let mut row = row.into_iter().flatten();
        let (Some(key), Some(kept)) = (row.next(), row.next()) else { return Ok(None) };
        let said: Vec<String> = self.client().lrange(keys::transcript(id), -acts::LINES, -1).await?;
        let answer = |turn| acts::decode(&kept, turn, &lines(&said)).map(|acts| (turn, acts));
        Ok(parsed(&key).and_then(answer))
    }
}
