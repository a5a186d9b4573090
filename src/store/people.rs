//! One person's data: found by their number in their own shard, and erased once their calls are over.

use std::collections::BTreeSet;

use fred::prelude::*;

use crate::base::clock::DAY;
use crate::domain::call::{Call, Phase};
use crate::domain::ids::{CallId, Shard};
use crate::domain::notice::{KINDS, Notice};
use crate::store::connect::{Store, StoreError};
use crate::store::stats::listed;
use crate::store::{keys, scripts};

/// How many days the index of calls goes back.
const DAYS: u64 = 11;
/// How many entries of the index, of up to 64 ids each, are read at once.
const PAGE: usize = 50;

impl Store {
    /// Every call to this number whose record is there: those that are open, and those that ended in the last 48 hours.
    /// Oldest first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn calls_of(&self, e164: &str) -> Result<Vec<Call>, StoreError> {
        let shard = Shard::of(e164);
        let hash = self.hash(e164);
        let mut ids: BTreeSet<CallId> = self.open_calls(e164).await?.into_iter().collect();
        let mut calls = Vec::new();
        let now = self.clock.now();
        for back in 0..DAYS {
            let key = keys::calls(shard, &keys::day(now.saturating_sub(back * DAY)));
            let mut from = 0_i64;
            loop {
                let to = from + i64::try_from(PAGE).unwrap_or(0) - 1;
                let page: Vec<String> =
                    self.client().zrange(&key, from, to, None, false, None, false).await?;
                from = to + 1;
                let last = page.len() < PAGE;
                let page: Vec<CallId> = page.iter().flat_map(|entry| listed(shard, entry)).collect();
                for call in self.load_many(&page).await?.into_iter().flatten() {
                    if call.phone_hash == hash {
                        ids.remove(&call.id);
                        calls.push(call);
                    }
                }
                if last {
                    break;
                }
            }
        }
        // Open calls that are older than the index.
        let older: Vec<CallId> = ids.into_iter().collect();
        calls.extend(self.load_many(&older).await?.into_iter().flatten());
        calls.sort_by_key(|call| call.body.created_at);
        calls.dedup_by(|a, b| a.id == b.id);
        Ok(calls)
    }

    /// Erases the record, transcript, turns and events of a call that is over; `outcomes` are the event types under which
    /// its agent may have told what it learned. False, and nothing is done, where it is not
    /// over or where its recording is still to be fetched. Counters and the campaign's row of results stay: they name
    /// nobody.
    ///
    /// # Errors
    /// Where Redis does not answer; erasing again is the same.
    pub async fn erase_ended(&self, call: &Call, outcomes: &[String]) -> Result<bool, StoreError> {
        if call.phase() != Phase::Ended || call.head.due != 0 {
            return Ok(false);
        }
        let id = &call.id;
        let shard = id.shard();
        let client = self.client();
        // First: the record is what leads to them.
        self.erase_events(id, outcomes).await?;
        let keys = vec![keys::session(id), keys::transcript(id), keys::turn(id), keys::journal(id)];
        let _: i64 = client.del(keys).await?;
        let _: i64 = client.zrem(keys::due(shard), id.as_str()).await?;
        let day = keys::calls(shard, &keys::day(call.body.created_at));
        scripts::UNLIST.run(self, vec![day], vec![id.to_string(), call.body.created_at.to_string()]).await?;
        Ok(true)
    }

    /// Erases the events that told of a call, delivered or not; they outlive its record. `outcomes` as in
    /// [`Store::erase_ended`].
    ///
    /// # Errors
    /// Where Redis does not answer; erasing again is the same.
    pub async fn erase_events(&self, id: &CallId, outcomes: &[String]) -> Result<(), StoreError> {
        let shard = id.shard();
        let kinds = KINDS.into_iter().chain(outcomes.iter().map(String::as_str));
        let mut args = vec![keys::tag(shard)];
        args.extend(kinds.map(|kind| Notice::id_of(id, kind, 0)));
        let keys = vec![keys::outbox_call(id), keys::outbox_count(shard), keys::outbox_dead(shard)];
        scripts::OUTBOX_ERASE.run(self, keys, args).await.map(drop)
    }
}
