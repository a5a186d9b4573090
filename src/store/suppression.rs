//! Do-not-call entries: of a person (by keyed hash, in the person's shard, so that a dial checks it in its own step) or
//! of a prefix (in one place, read by every node).

use std::collections::HashMap;

use fred::prelude::*;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Millis;
use crate::domain::call::Call;
use crate::domain::ids::Shard;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// Whom an entry concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every call.
    #[default]
    Global,
}

/// One entry, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suppression {
    /// The number (E.164), or a prefix of numbers (`+1900`).
    pub number: String,
    /// Is `number` a prefix?
    #[serde(default)]
    pub prefix: bool,
    /// Whom it concerns.
    #[serde(default)]
    pub scope: Scope,
    /// Where it came from: `opt_out`, `api`, `import`, …
    pub source: String,
    /// What proves it: the words said, a file's name, a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The call it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Since when, Unix ms.
    pub created_at: Millis,
    /// Until when, Unix ms; absent = for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

impl Suppression {
    pub(super) fn opt_out(call: &Call, words: String, now: Millis) -> Self {
        Self {
            number: call.body.phone.e164().to_owned(),
            prefix: false,
            scope: Scope::Global,
            source: "opt_out".into(),
            evidence: Some(words),
            call_id: Some(call.id.to_string()),
            created_at: now,
            expires_at: None,
        }
    }

    /// As it is stored: the expiry first, for the scripts.
    pub(super) fn encode(&self) -> String {
        format!("{} {}", self.expires_at.unwrap_or(0), serde_json::to_string(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text.split_once(' ')?.1).ok()
    }
}

fn prefixes_key() -> String {
    keys::fleet("SUPPRESSION_PREFIXES")
}

impl Store {
    /// Puts a number or a prefix on the list. Waiting calls of that person are ended at once.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppress(&self, entry: &Suppression) -> Result<(), StoreError> {
        if entry.prefix {
            let _: Value =
                self.client().hset(prefixes_key(), (entry.number.as_str(), entry.encode().as_str())).await?;
            return Ok(());
        }
        self.suppress_script(&entry.number, entry.encode()).await.map(drop)
    }

    /// Takes a number or a prefix off the list. False: it was not on it.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn unsuppress(&self, number: &str, prefix: bool) -> Result<bool, StoreError> {
        if prefix {
            let gone: i64 = self.client().hdel(prefixes_key(), number).await?;
            return Ok(gone > 0);
        }
        self.suppress_script(number, String::new()).await
    }

    async fn suppress_script(&self, number: &str, entry: String) -> Result<bool, StoreError> {
        let shard = Shard::of(number);
        let hash = self.hash(number);
        let keys = vec![keys::suppression(shard), keys::phone(shard, &hash), keys::due(shard)];
        let args = vec![keys::tag(shard), hash.to_string(), entry, format!("call_{:02}", shard.0)];
        Ok(scripts::number(Some(&scripts::SUPPRESS.run(self, keys, args).await?)) == 1)
    }

    /// The entry that forbids calling `number` now, if there is one.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppressed(&self, number: &str, now: Millis) -> Result<Option<Suppression>, StoreError> {
        let shard = Shard::of(number);
        let hash = self.hash(number);
        let text: Option<String> = self.client().hget(keys::suppression(shard), hash.as_str()).await?;
        let own = text.as_deref().and_then(Suppression::decode).filter(|e| e.holds(now));
        if own.is_some() {
            return Ok(own);
        }
        Ok(self.prefixes().await?.into_iter().find(|e| e.holds(now) && number.starts_with(&e.number)))
    }

    /// The prefixes on the list.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn prefixes(&self) -> Result<Vec<Suppression>, StoreError> {
        let all: HashMap<String, String> = self.client().hgetall(prefixes_key()).await?;
        Ok(all.values().filter_map(|text| Suppression::decode(text)).collect())
    }

    /// Every entry, prefixes first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppressions(&self) -> Result<Vec<Suppression>, StoreError> {
        let mut all = self.prefixes().await?;
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let rows: HashMap<String, String> = self.client().hgetall(keys::suppression(shard)).await?;
            Ok::<_, StoreError>(rows)
        }))
        .await?;
        all.extend(rows.iter().flat_map(HashMap::values).filter_map(|text| Suppression::decode(text)));
        Ok(all)
    }
}

impl Suppression {
    /// Is it in force at `now`?
    #[must_use]
    pub fn holds(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}
