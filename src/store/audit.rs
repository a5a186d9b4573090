//! Lines of evidence on their way into the archive, and the head of each shard's chain of sealed segments.
//!
//! A line is pushed in the same script that decides what it tells of. It stays until a segment that holds it stands in
//! the archive *and* is named as the chain's head; both happen in one script, so that no line is in none or in two.

use std::collections::HashMap;

use fred::prelude::*;
use futures::future::try_join_all;

use serde_json::{Value as Json, json};

use crate::base::clock::Millis;
use crate::domain::call::{Change, Phase};
use crate::domain::ids::Shard;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// The newest segment of a chain; all zero and empty before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number, from 1.
    pub seq: u64,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// The key of its object.
    pub key: String,
}

/// What a change of a call leaves as evidence: that a call ended without having been dialed and why, or that an attempt
/// whose line says that it was made was not. Dials themselves leave theirs in the script that starts them. No line holds
/// the number.
pub(super) fn evidence(change: &Change, now: Millis) -> Option<Json> {
    let call = &change.call;
    let ended = call.phase() == Phase::Ended && !matches!(change.phase_before, Phase::WrapUp | Phase::Ended);
    let event = match (ended, change.unplaced) {
        (true, _) => "not_dialed",
        (false, true) => "not_placed",
        (false, false) => return None,
    };
    let mut line = json!({
        "at": now, "event": event, "call": call.id, "attempt": call.body.attempt, "phone_hash": call.phone_hash,
    });
    if let Some(campaign) = &call.campaign {
        line["campaign"] = json!(campaign);
    }
    if let Some(ending) = call.ending().filter(|_| ended) {
        line["disposition"] = json!(ending.disposition);
        line["reason"] = json!(ending.reason);
    }
    Some(line)
}

impl Store {
    /// How many lines each shard has waiting; shards without any are left out.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn audit_waiting(&self) -> Result<Vec<(Shard, u64)>, StoreError> {
        let counts = try_join_all(Shard::all().map(|shard| async move {
            Ok::<_, StoreError>((shard, self.client().llen::<u64, _>(keys::audit(shard)).await?))
        }))
        .await?;
        Ok(counts.into_iter().filter(|(_, waiting)| *waiting > 0).collect())
    }

    /// Takes the lease of sealing a shard, for `ttl` ms. `false`: another has it. Two that seal at once do no harm, they
    /// only work in vain.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn audit_lease(&self, shard: Shard, token: &str, ttl: Millis) -> Result<bool, StoreError> {
        let expire = Expiration::PX(i64::try_from(ttl).unwrap_or(i64::MAX));
        let key = keys::audit_lease(shard);
        let taken: Option<String> =
            self.client().set(key, token, Some(expire), Some(SetOptions::NX), false).await?;
        Ok(taken.is_some())
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// Where Redis does not answer; it lapses by itself.
    pub async fn audit_give_back(&self, shard: Shard, token: &str) -> Result<(), StoreError> {
        let keys = vec![keys::audit(shard), keys::audit_head(shard), keys::audit_lease(shard)];
        scripts::AUDIT_SEAL.run(self, keys, vec![token.to_owned(), String::new()]).await.map(drop)
    }

    /// The head of a shard's chain, and its oldest `most` lines. The head is read first: lines that go with a newer head
    /// are refused by [`Self::audit_seal`].
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn audit_read(&self, shard: Shard, most: u64) -> Result<(AuditHead, Vec<String>), StoreError> {
        let head = self.audit_head(shard).await?.unwrap_or_default();
        let last = i64::try_from(most).unwrap_or(i64::MAX) - 1;
        let lines: Vec<String> = self.client().lrange(keys::audit(shard), 0, last).await?;
        Ok((head, lines))
    }

    /// Names `head` as the newest segment, which took the oldest `lines` lines. `false`: another was named meanwhile, and
    /// nothing is changed.
    ///
    /// # Errors
    /// Where Redis does not answer: it may be sealed or not; the same may be asked again.
    pub async fn audit_seal(
        &self,
        shard: Shard,
        token: &str,
        head: &AuditHead,
        lines: usize,
    ) -> Result<bool, StoreError> {
        let keys = vec![keys::audit(shard), keys::audit_head(shard), keys::audit_lease(shard)];
        let args = vec![
            token.to_owned(),
            head.seq.to_string(),
            head.hash.clone(),
            head.key.clone(),
            lines.to_string(),
        ];
        let answer = scripts::AUDIT_SEAL.run(self, keys, args).await?;
        Ok(scripts::number(Some(&answer)) == 1)
    }

    /// The head of a shard's chain; `None` before its first segment.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn audit_head(&self, shard: Shard) -> Result<Option<AuditHead>, StoreError> {
        let fields: HashMap<String, String> = self.client().hgetall(keys::audit_head(shard)).await?;
        let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
        Ok((!fields.is_empty()).then(|| AuditHead {
            seq: text("seq").parse().unwrap_or(0),
            hash: text("hash"),
            key: text("key"),
        }))
    }

    /// The lines of a shard that wait, oldest first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn audit_lines(&self, shard: Shard) -> Result<Vec<String>, StoreError> {
        Ok(self.client().lrange(keys::audit(shard), 0, -1).await?)
    }
}
