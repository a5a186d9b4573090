//! The fleet as `/api/system/stats` shows it: the nodes that live, and the events that are being tried again.

use std::collections::HashMap;

use fred::prelude::*;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Millis;
use crate::domain::ids::Shard;
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// A node that has told of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name, one for each process.
    pub id: String,
    /// `api`, `worker` or `all`.
    pub role: String,
    /// Of the program.
    pub version: String,
    /// Since when it runs, Unix ms.
    pub started_at: Millis,
    /// When it last told of itself, Unix ms.
    #[serde(default)]
    pub seen_at: Millis,
}

fn key() -> String {
    keys::fleet("NODES")
}

impl Store {
    /// Tells that `node` lives; it is forgotten `ttl` ms after it last did. `seen_at` is set here.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn heartbeat(&self, node: &Node, ttl: Millis) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.recent.sweep(now);
        let node = Node { seen_at: now, ..node.clone() };
        let entry = format!("{} {}", now + ttl, serde_json::to_string(&node).unwrap_or_default());
        let _: Value = self.client().hset(key(), (node.id.as_str(), entry.as_str())).await?;
        Ok(())
    }

    /// Takes a node off the list, as it shuts down.
    ///
    /// # Errors
    /// Where Redis does not answer; its time runs out by itself.
    pub async fn goodbye(&self, id: &str) -> Result<(), StoreError> {
        let _: Value = self.client().hdel(key(), id).await?;
        Ok(())
    }

    /// The nodes that live, by name.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let now = self.clock.now();
        let all: HashMap<String, String> = self.client().hgetall(key()).await?;
        let mut nodes = Vec::new();
        for (id, entry) in all {
            let (until, json) = entry.split_once(' ').unwrap_or(("0", ""));
            match serde_json::from_str(json) {
                Ok(node) if until.parse::<Millis>().is_ok_and(|until| until > now) => nodes.push(node),
                _ => {
                    let _: Value = self.client().hdel(key(), id).await?;
                }
            }
        }
        nodes.sort_by(|a: &Node, b| a.id.cmp(&b.id));
        Ok(nodes)
    }

    /// Events that wait for a later moment: tried before and to be tried again, or on their way just now.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn outbox_retrying(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let endpoints: Vec<String> =
                self.client().zrange(keys::outbox_due(shard), 0, -1, None, false, None, false).await?;
            let counts = try_join_all(endpoints.iter().map(|endpoint| async move {
                let key = keys::outbox_endpoint(shard, endpoint);
                let count: u64 = self.client().zcount(key, now as f64, f64::INFINITY).await?;
                Ok::<_, StoreError>(count)
            }))
            .await?;
            Ok::<_, StoreError>(counts.into_iter().sum::<u64>())
        }))
        .await?;
        Ok(rows.into_iter().sum())
    }
}
