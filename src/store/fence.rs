//! Which server each shard was dialed from last. Replication is asynchronous: a replica that was promoted, or a server that
//! was started again, may have forgotten dials that rang. It has another replication id than the one written in the
//! shard, and starts nothing there until somebody has asked the carrier and opened the shard for it.

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};

use crate::base::clock::Millis;
use crate::domain::ids::Shard;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// How long replicas get to take a dial over, ms. It is spent before the dial's moment, or is its end.
const WAIT_MS: u64 = 100;

/// A shard whose server is not the one that it was dialed from last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub shard: Shard,
    /// The server's replication id.
    pub server: String,
}

impl Store {
    /// Every shard from which nothing is dialed until it is opened. One that cannot be reached is left out: nothing is
    /// dialed from it either, and it is found when it is back.
    pub async fn held(&self) -> Vec<Held> {
        let asked = futures::future::join_all(Shard::all().map(|shard| self.fence(shard, "")));
        asked.await.into_iter().filter_map(|answer| answer.ok().flatten()).collect()
    }

    /// Lets a shard be dialed from its present server. Where that has changed once more it stays as it is.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn open_for(&self, held: &Held) -> Result<(), StoreError> {
        self.fence(held.shard, &held.server).await.map(drop)
    }

    async fn fence(&self, shard: Shard, server: &str) -> Result<Option<Held>, StoreError> {
        let answer = scripts::FENCE.run(self, vec![keys::server(shard)], vec![server.to_owned()]).await?;
        let words = answer.into_array();
        let word = |i: usize| words.get(i).map(scripts::text).unwrap_or_default();
        match word(0).as_str() {
            "open" => Ok(None),
            "held" => Ok(Some(Held { shard, server: word(1) })),
            _ => Err(StoreError::Protocol("fence")),
        }
    }

    /// When this number was dialed, as the shard remembers it: of the last 24 hours, oldest first, Unix ms.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn dials(&self, e164: &str) -> Result<Vec<Millis>, StoreError> {
        let shard = Shard::of(e164);
        let key = keys::rate_limit(shard, &self.hash(e164));
        let entries: Vec<(String, f64)> = self.client().zrange(key, 0, -1, None, false, None, true).await?;
        Ok(entries.into_iter().map(|(_, at)| at as Millis).collect())
    }

    /// Has what was written to a shard reached so many replicas as `REDIS_WAIT_REPLICAS` wants? True where it wants
    /// none. The shard's server must still be the one that was written to.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub(super) async fn replicated(&self, shard: Shard) -> Result<bool, StoreError> {
        let Some(client) = &self.durable else { return Ok(true) };
        let key = keys::server(shard);
        let hash = ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()));
        // On one connection, one behind the other: WAIT speaks for the writes of its own connection alone. The first
        // one's write is younger than what it shall speak for, on the same server.
        let pipeline = client.pipeline();
        let script = CustomCommand::new_static("EVAL", hash.clone(), false);
        let write = vec![scripts::CONFIRM.to_owned(), "1".to_owned(), key];
        let _: () = pipeline.custom(script, write).await?;
        let wait = CustomCommand::new_static("WAIT", hash, false);
        let numbers = vec![self.config.wait_replicas.to_string(), WAIT_MS.to_string()];
        let _: () = pipeline.custom(wait, numbers).await?;
        let answers: Vec<Value> = pipeline.all().await?;
        let [same, replicas] = answers.as_slice() else { return Err(StoreError::Protocol("WAIT")) };
        let enough = scripts::number(Some(replicas)) >= i64::from(self.config.wait_replicas);
        Ok(scripts::number(Some(same)) == 1 && enough)
    }
}
