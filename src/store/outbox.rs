//! Events on their way downstream. They are written by the commit that made them; here they are claimed, settled, and,
//! once dead, listed and replayed.

use std::sync::atomic::{AtomicI64, Ordering};

use fred::prelude::*;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::clock::{DAY, Millis};
use crate::domain::ids::{CallId, SHARDS, Shard};
use crate::domain::notice::Notice;
use crate::store::connect::{Store, StoreError};
use crate::store::scripts::Args;
use crate::store::{keys, scripts};

/// How long a delivered event's id is kept, without its body: as long as a record that could tell of it once more.
const DELIVERED_TTL: Millis = 2 * DAY;
/// How long a dead letter waits to be replayed.
const DEAD_TTL: Millis = 30 * DAY;

/// An event and what became of it so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// `evt_…`; the `webhook-id` of every attempt (O2).
    pub id: String,
    /// The call it tells of.
    pub call_id: CallId,
    /// Its type.
    pub kind: String,
    /// Where it goes.
    pub url: String,
    /// Hash of the URL's scheme, host and port.
    pub endpoint: String,
    /// The exact bytes that are signed and sent.
    pub body: String,
    /// When it happened, ms.
    pub created_at: Millis,
    /// Attempts made.
    #[serde(default)]
    pub attempts: u32,
    /// What the last attempt met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was settled, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Millis>,
}

impl OutboxEntry {
    pub(super) fn new(call: &CallId, notice: &Notice, url: String, now: Millis) -> Self {
        Self {
            id: notice.id.clone(),
            call_id: call.clone(),
            kind: notice.kind.clone(),
            endpoint: endpoint_of(&url),
            url,
            body: notice.body.to_string(),
            created_at: now,
            attempts: 0,
            last_error: None,
            settled_at: None,
        }
    }
}

/// The endpoint that a URL belongs to, as 16 hex digits: scheme, host and port, for these live and die together. Hashed,
/// so that it is safe in a key and in a log. What is no URL is an endpoint of its own.
#[must_use]
pub fn endpoint_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok().filter(url::Url::has_host);
    let origin = parsed.map_or_else(|| url.to_owned(), |url| url.origin().ascii_serialization());
    hex::encode(&Sha256::digest(origin.as_bytes())[..8])
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct OutboxClaims {
    /// Leased to us; those of a call stand together, in their order.
    pub entries: Vec<OutboxEntry>,
    /// Redis' time, ms.
    pub now: Millis,
    /// When the shard's next event is due, ms; 0 = none waits. Not after `now`: more is due than was claimed.
    pub next_due: Millis,
}

/// Pending events of each shard.
pub(super) struct Backlog([AtomicI64; SHARDS as usize]);

impl Default for Backlog {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicI64::new(0)))
    }
}

impl Backlog {
    fn note(&self, shard: Shard, pending: i64) {
        if let Some(known) = self.0.get(usize::from(shard.0)) {
            known.store(pending, Ordering::Relaxed);
        }
    }
}

/// How an attempt is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// It arrived.
    Delivered,
    /// It will not be tried again by itself.
    Dead,
    /// It failed and is due again then, ms.
    Again(Millis),
    /// It was not tried: due then, ms, as if it had not been claimed. The entry stays as it is written.
    Back(Millis),
}

/// How many events stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutboxCounts {
    /// Waiting or being retried.
    pub pending: i64,
    /// Delivered since the first start.
    pub delivered: i64,
    /// Dead letters.
    pub dead: i64,
}

impl Store {
    /// Claims events that are due in a shard. Answers them with the next due time (0 = none).
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_claim(
        &self,
        shard: Shard,
        lease: Millis,
        per_endpoint: usize,
        endpoints: usize,
    ) -> Result<(Vec<OutboxEntry>, Millis), StoreError> {
        let claims = self.outbox_look(shard, lease, per_endpoint, endpoints, 0, &[]).await?;
        Ok((claims.entries, claims.next_due))
    }

    /// Claims events that are due in a shard, none of endpoints that are to be passed over; behind each come up to
    /// `following` later ones of its call to the same endpoint, which may be delivered once those before them are settled
    /// for good.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_look(
        &self,
        shard: Shard,
        lease: Millis,
        per_endpoint: usize,
        endpoints: usize,
        following: usize,
        passed_over: &[String],
    ) -> Result<OutboxClaims, StoreError> {
        let keys = vec![keys::outbox_due(shard), keys::outbox_count(shard)];
        let mut args =
            vec![keys::tag(shard), lease.to_string(), per_endpoint.to_string(), endpoints.to_string()];
        args.push(following.to_string());
        args.extend_from_slice(passed_over);
        let answer = scripts::OUTBOX_CLAIM.run(self, keys, args).await?.into_array();
        let at = |i: usize| scripts::number(answer.get(i));
        self.backlog.note(shard, at(2));
        let entries = answer.get(3..).unwrap_or_default().iter();
        Ok(OutboxClaims {
            entries: entries.filter_map(|entry| serde_json::from_str(scripts::word(entry)).ok()).collect(),
            now: u64::try_from(at(0)).unwrap_or(0),
            next_due: u64::try_from(at(1)).unwrap_or(0),
        })
    }

    /// Settles an attempt. False: it was settled before.
    ///
    /// # Errors
    /// Where Redis does not answer; the event comes due again when its lease ends.
    pub async fn outbox_settle(&self, entry: &OutboxEntry, verdict: Settle) -> Result<bool, StoreError> {
        let (settled, _) = self.outbox_settle_many(entry.call_id.shard(), &[(entry, verdict)]).await?;
        Ok(settled == [true])
    }

    /// Settles attempts of one shard in one step, those of a call in their order. Answers for each whether it was not settled before, and whether
    /// something is due in the shard now.
    ///
    /// # Errors
    /// Where Redis does not answer; some may be settled, and may be settled again. The others come due when their leases
    /// end.
    pub async fn outbox_settle_many(
        &self,
        shard: Shard,
        settled: &[(&OutboxEntry, Settle)],
    ) -> Result<(Vec<bool>, bool), StoreError> {
        let keys = vec![keys::outbox_due(shard), keys::outbox_count(shard), keys::outbox_dead(shard)];
        let mut args = Args::with_room(3 + 6 * settled.len(), 32);
        args.push(&keys::tag(shard));
        args.push_shown(DELIVERED_TTL);
        args.push_shown(DEAD_TTL);
        for (entry, verdict) in settled {
            let written = || serde_json::to_string(entry).unwrap_or_default();
            let (word, due, text) = match verdict {
                Settle::Delivered => ("delivered", 0, String::new()),
                Settle::Dead => ("dead", 0, written()),
                Settle::Again(due) => ("again", *due, written()),
                Settle::Back(due) => ("again", *due, String::new()),
            };
            for text in [&entry.id, entry.call_id.as_str(), &entry.endpoint, word] {
                args.push(text);
            }
            args.push_shown(due);
            args.push(&text);
        }
        let answer = scripts::OUTBOX_SETTLE.run(self, keys, args).await?.into_array();
        let mut answer = answer.iter().map(|value| scripts::number(Some(value)) == 1);
        let is_due = answer.next().unwrap_or(false);
        let done: Vec<bool> = answer.collect();
        if done.len() != settled.len() {
            return Err(StoreError::Protocol("outbox_settle"));
        }
        Ok((done, is_due))
    }

    /// Events that waited when the shards were last looked at by this node: for a gauge.
    #[must_use]
    pub fn outbox_backlog(&self) -> i64 {
        self.backlog.0.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    fn outbox_keys(entry: &OutboxEntry) -> Vec<String> {
        let shard = entry.call_id.shard();
        vec![
            keys::outbox(shard, &entry.id),
            keys::outbox_due(shard),
            keys::outbox_endpoint(shard, &entry.endpoint),
            keys::outbox_call(&entry.call_id),
            keys::outbox_count(shard),
            keys::outbox_dead(shard),
        ]
    }

    /// Counts over all shards.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let row: Vec<Option<i64>> =
                self.client().hmget(keys::outbox_count(shard), vec!["pending", "delivered", "dead"]).await?;
            Ok::<_, StoreError>(row)
        }))
        .await?;
        let sum = |i: usize| rows.iter().filter_map(|row| row.get(i).copied().flatten()).sum();
        Ok(OutboxCounts { pending: sum(0), delivered: sum(1), dead: sum(2) })
    }

    /// The earliest due time of any pending event, ms; `None` where nothing waits.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_oldest_due(&self) -> Result<Option<Millis>, StoreError> {
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let row: Vec<(String, f64)> =
                self.client().zrange(keys::outbox_due(shard), 0, 0, None, false, None, true).await?;
            Ok::<_, StoreError>(row.first().map(|(_, score)| *score as Millis))
        }))
        .await?;
        Ok(rows.into_iter().flatten().min())
    }

    /// Dead letters, newest first, at most `limit`.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_dead(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let last = i64::try_from(limit).unwrap_or(i64::MAX) - 1;
            let ids: Vec<String> = self.client().zrevrange(keys::outbox_dead(shard), 0, last, false).await?;
            let mut entries = Vec::new();
            for id in ids {
                match self.outbox_entry(shard, &id).await? {
                    Some(entry) => entries.push(entry),
                    // Its 30 days are over.
                    None => {
                        let _: i64 = self.client().zrem(keys::outbox_dead(shard), id.as_str()).await?;
                    }
                }
            }
            Ok::<_, StoreError>(entries)
        }))
        .await?;
        let mut all: Vec<OutboxEntry> = rows.into_iter().flatten().collect();
        all.sort_by_key(|e| std::cmp::Reverse(e.settled_at));
        all.truncate(limit);
        Ok(all)
    }

    async fn outbox_entry(&self, shard: Shard, id: &str) -> Result<Option<OutboxEntry>, StoreError> {
        let text: Option<String> = self.client().get(keys::outbox(shard, id)).await?;
        Ok(text.and_then(|t| serde_json::from_str(&t).ok()))
    }

    /// Brings a dead letter back. `None`: there is no such dead letter.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_replay(&self, id: &str) -> Result<Option<OutboxEntry>, StoreError> {
        for shard in Shard::all() {
            let score: Option<f64> = self.client().zscore(keys::outbox_dead(shard), id).await?;
            if score.is_none() {
                continue;
            }
            let Some(mut entry) = self.outbox_entry(shard, id).await? else { continue };
            return Ok(self.outbox_revive(&mut entry).await?.then_some(entry));
        }
        Ok(None)
    }

    /// Brings back at most `limit` dead letters, of each call in their order, those to `endpoint` (see [`endpoint_of`])
    /// alone where one is named. Answers how many.
    ///
    /// # Errors
    /// Where Redis does not answer; some may have been brought back, and the same may be asked again.
    pub async fn outbox_replay_all(&self, limit: usize, endpoint: Option<&str>) -> Result<usize, StoreError> {
        let mut replayed = 0;
        for shard in Shard::all() {
            let dead = keys::outbox_dead(shard);
            let ids: Vec<String> = self.client().zrange(dead, 0, -1, None, false, None, false).await?;
            for id in ids {
                if replayed >= limit {
                    return Ok(replayed);
                }
                let Some(mut entry) = self.outbox_entry(shard, &id).await? else { continue };
                let wanted = endpoint.is_none_or(|wanted| wanted == entry.endpoint);
                replayed += usize::from(wanted && self.outbox_revive(&mut entry).await?);
            }
        }
        Ok(replayed)
    }

    /// Back into its queue, its attempts counted anew. False: it is no dead letter any more.
    async fn outbox_revive(&self, entry: &mut OutboxEntry) -> Result<bool, StoreError> {
        entry.attempts = 0;
        entry.settled_at = None;
        let text = serde_json::to_string(entry).unwrap_or_default();
        let args = vec![entry.id.clone(), entry.endpoint.clone(), text];
        let answer = scripts::OUTBOX_REPLAY.run(self, Self::outbox_keys(entry), args).await?;
        Ok(scripts::number(Some(&answer)) == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        let of = endpoint_of;
        assert_eq!(of("https://Example.com/a"), of("https://example.com:443/b?c"));
        assert_ne!(of("https://example.com/"), of("http://example.com/"));
        assert_ne!(of("https://example.com/"), of("https://example.com:8443/"));
        assert_ne!(of("nonsense"), of("other nonsense"));
        assert_eq!((of("https://example.com/").len(), of("nonsense").len()), (16, 16));
    }
}
