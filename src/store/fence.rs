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
/// How long they get to take calls over that were handed in, ms: the client waits for its 202 meanwhile.
const INTAKE_WAIT_MS: u64 = 500;

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
        let Some(durable) = &self.durable else { return Ok(true) };
        // Its write is younger than what it shall speak for, on the same server.
        self.behind(&durable.dials, scripts::CONFIRM, vec![keys::server(shard)], WAIT_MS).await
    }

    /// Have these records of one shard, whose calls were handed in, reached so many replicas as `REDIS_WAIT_REPLICAS` wants?
    /// True where it wants none.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub(super) async fn landed(
        &self,
        shard: Shard,
        records: Vec<String>,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let Some(durable) = &self.durable else { return Ok(true) };
        let mut keys = vec![keys::stats(shard, &keys::day(now))];
        keys.extend(records);
        self.behind(&durable.intake, scripts::LANDED, keys, INTAKE_WAIT_MS).await
    }

    /// Runs a script that writes and waits for replicas, one behind the other on one connection: WAIT speaks for the
    /// writes of its own connection alone, and of what came before them on that server. True: the script said 1, and
    /// enough replicas have it.
    async fn behind(
        &self,
        client: &fred::clients::Client,
        script: &'static str,
        keys: Vec<String>,
        wait_ms: u64,
    ) -> Result<bool, StoreError> {
        let slot = keys.first().map(|key| fred::util::redis_keyslot(key.as_bytes())).unwrap_or_default();
        let hash = ClusterHash::Custom(slot);
        let pipeline = client.pipeline();
        let eval = CustomCommand::new_static("EVAL", hash.clone(), false);
        let write: Vec<String> =
            [script.to_owned(), keys.len().to_string()].into_iter().chain(keys).collect();
        let _: () = pipeline.custom(eval, write).await?;
        let wait = CustomCommand::new_static("WAIT", hash, false);
        let numbers = vec![self.config.wait_replicas.to_string(), wait_ms.to_string()];
        let _: () = pipeline.custom(wait, numbers).await?;
        let answers: Vec<Value> = pipeline.all().await?;
        let [said, replicas] = answers.as_slice() else { return Err(StoreError::Protocol("WAIT")) };
        let enough = scripts::number(Some(replicas)) >= i64::from(self.config.wait_replicas);
        Ok(scripts::number(Some(said)) == 1 && enough)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::base::clock::Clock;
    use crate::domain::call::{Body, Call};
    use crate::domain::ids::CallId;
    use crate::domain::phone::Phone;
    use crate::store::Submitted;
    use crate::store::testing::TestRedis;

    #[tokio::test]
    async fn a_call_is_accepted_once_a_replica_has_it() {
        let primary = TestRedis::start().await;
        let store = primary.store_waiting_for(1, Clock::System).await;
        let now = Clock::System.now();
        let call = |n: u32| {
            let phone = Phone::from_e164(&format!("+1415555{n:04}")).unwrap();
            let (id, hash) = (CallId::new(Shard::of(phone.e164())), store.hash(phone.e164()));
            Call::new(id, hash, None, Body::new(phone, now))
        };
        let (one, list) = (call(1), [call(2), call(3), call(4)]);
        let refused = store.submit_one(&one, Some(("key", "print")), now).await;
        assert!(matches!(refused, Err(StoreError::Redis(_))), "no replica has it: {refused:?}");
        assert!(store.submit(&list, now).await.is_err());
        assert!(store.load(&one.id).await.unwrap().is_some(), "a repeat finds it there");

        let replica = TestRedis::start().await;
        replica.follow(&primary).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        let repeat = loop {
            // Each try waits for the replica by itself.
            match store.submit_one(&one, Some(("key", "print")), now).await {
                Ok(answer) => break answer,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        assert_eq!(repeat, Submitted::Repeat { id: one.id.clone(), fingerprint: "print".into() });
        assert_eq!(store.submit(&list, now).await.unwrap(), vec![Submitted::Exists; 3]);
        assert_eq!(store.submit_one(&call(5), None, now).await.unwrap(), Submitted::Created);
        // A server that does not know the call cannot speak for it.
        let unknown = keys::session(&call(6).id);
        assert!(!store.landed(call(6).id.shard(), vec![unknown], now).await.unwrap());
    }
}
