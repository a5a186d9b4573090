//! Counters and listings: what the commit counted, summed over the shards.

use std::collections::BTreeMap;

use fred::prelude::*;
use futures::future::try_join_all;

use crate::base::clock::{DAY, Millis};
use crate::domain::call::Call;
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// Counters by name.
pub type Counters = BTreeMap<String, i64>;

/// How many entries of the index are read at once.
const ENTRIES: usize = 16;
/// Characters of an id behind its shard, as it stands in the index.
const SHORT: usize = 22;

/// The ids of one entry of the index: the parts behind the shard, one after the other, or one id in full.
pub(super) fn listed(shard: Shard, entry: &str) -> Vec<CallId> {
    if let Some(id) = CallId::parse(entry) {
        return vec![id];
    }
    let parts = entry.as_bytes().chunks_exact(SHORT).filter_map(|part| std::str::from_utf8(part).ok());
    parts.filter_map(|part| CallId::parse(&format!("call_{:02}{part}", shard.0))).collect()
}

/// A page of calls, newest first.
#[derive(Debug, Default)]
pub struct CallPage {
    /// The calls.
    pub calls: Vec<Call>,
    /// Where the next page begins: `ms:call_id`; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// The counters of one UTC day, `yyyymmdd`, or of one campaign. Of a campaign also what its calls wait for
    /// (`waiting:<reason>`) and when the first of them is looked at again (`until:<reason>`, Unix ms, only where it
    /// lies ahead).
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn counters(&self, day_or_campaign: &str) -> Result<Counters, StoreError> {
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let row: BTreeMap<String, i64> =
                self.client().hgetall(keys::stats(shard, day_or_campaign)).await?;
            Ok::<_, StoreError>(row)
        }))
        .await?;
        let now = i64::try_from(self.clock.now()).unwrap_or(i64::MAX);
        let mut sum = Counters::new();
        for (name, n) in rows.into_iter().flatten() {
            if name.starts_with("until:") {
                // A moment, not a count: the earliest that lies ahead.
                if n > now {
                    sum.entry(name).and_modify(|known| *known = n.min(*known)).or_insert(n);
                }
                continue;
            }
            *sum.entry(name).or_default() += n;
        }
        Ok(sum)
    }

    /// The UTC day of a moment as the counters name it.
    #[must_use]
    pub fn day_of(at: Millis) -> String {
        keys::day(at)
    }

    /// Calls waiting for admission, calls with a due time, and the earliest due time (ms; 0 = none).
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn queue_depth(&self) -> Result<(u64, u64, Millis), StoreError> {
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let client = self.client();
            let lanes: Vec<String> = client.smembers(keys::active(shard)).await?;
            let mut ready = 0_u64;
            for lane in lanes {
                ready += client.llen::<u64, _>(keys::ready(shard, &lane)).await?;
            }
            let due: u64 = client.zcard(keys::due(shard)).await?;
            let head: Vec<(String, f64)> =
                client.zrange(keys::due(shard), 0, 0, None, false, None, true).await?;
            Ok::<_, StoreError>((ready, due, head.first().map(|(_, score)| *score as Millis)))
        }))
        .await?;
        let ready = rows.iter().map(|r| r.0).sum();
        let due = rows.iter().map(|r| r.1).sum();
        Ok((ready, due, rows.iter().filter_map(|r| r.2).min().unwrap_or(0)))
    }

    /// Calls newest first, those that `keep` keeps, from `before` (exclusive) on. Looks back ten days.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn list_calls(
        &self,
        before: Option<(Millis, CallId)>,
        limit: usize,
        keep: impl Fn(&Call) -> bool,
    ) -> Result<CallPage, StoreError> {
        let now = self.clock.now();
        let mut cursor = before.unwrap_or_else(|| {
            (now + DAY, CallId::derived(Shard(crate::domain::ids::SHARDS - 1), "the end of every list"))
        });
        let mut page = CallPage::default();
        // A filter that keeps little may not read the whole keyspace in one request.
        let mut budget = limit.saturating_mul(20).max(2_000);
        for back in 0..11 {
            let day_start = (now / DAY).saturating_sub(back) * DAY;
            if cursor.0 < day_start {
                continue;
            }
            let day = keys::day(day_start);
            loop {
                let entries = self.day_entries(&day, &cursor, limit.max(50)).await?;
                if entries.is_empty() {
                    break;
                }
                for chunk in entries.chunks(64) {
                    let ids: Vec<CallId> = chunk.iter().map(|(_, id)| id.clone()).collect();
                    for ((at, id), call) in chunk.iter().zip(self.load_many(&ids).await?) {
                        cursor = (*at, id.clone());
                        budget = budget.saturating_sub(1);
                        if let Some(call) = call.filter(|call| keep(call)) {
                            page.calls.push(call);
                        }
                        if page.calls.len() == limit || budget == 0 {
                            page.next = Some(format!("{at}:{id}"));
                            return Ok(page);
                        }
                    }
                }
            }
        }
        Ok(page)
    }

    /// Entries of a day's index older than the cursor, newest first over all shards.
    async fn day_entries(
        &self,
        day: &str,
        (at, id): &(Millis, CallId),
        limit: usize,
    ) -> Result<Vec<(Millis, CallId)>, StoreError> {
        let rows =
            try_join_all(Shard::all().map(|shard| self.shard_entries(shard, day, (*at, id), limit))).await?;
        let mut all: Vec<(Millis, CallId)> = rows.into_iter().flatten().collect();
        all.sort_by(|a, b| b.cmp(a));
        all.truncate(limit);
        Ok(all)
    }

    /// The same of one shard. An entry holds the ids of calls that were posted together, in no order: entries of one
    /// millisecond are read whole, and what the cursor has passed of them is left out here.
    async fn shard_entries(
        &self,
        shard: Shard,
        day: &str,
        (at, id): (Millis, &CallId),
        limit: usize,
    ) -> Result<Vec<(Millis, CallId)>, StoreError> {
        // Ids sort by their shard first: of the cursor's own millisecond, higher shards were listed whole.
        let from = if shard.0 > id.shard().0 { format!("({at}") } else { at.to_string() };
        let mut found: Vec<(Millis, CallId)> = Vec::new();
        let mut offset = 0;
        loop {
            let args = vec![
                keys::calls(shard, day),
                from.clone(),
                "-inf".into(),
                "WITHSCORES".into(),
                "LIMIT".into(),
                offset.to_string(),
                ENTRIES.to_string(),
            ];
            let flat = self.command("ZREVRANGEBYSCORE", args).await?.into_array();
            for pair in flat.chunks_exact(2) {
                let (Some(entry), Some(score)) = (pair[0].as_string(), pair[1].as_f64()) else { continue };
                let score = score as Millis;
                if found.len() >= limit && found.last().is_some_and(|(last, _)| *last != score) {
                    return Ok(found);
                }
                let ids = listed(shard, &entry).into_iter().map(|id| (score, id));
                found.extend(ids.filter(|(score, its)| (*score, its) < (at, id)));
            }
            let read = flat.len() / 2;
            if read < ENTRIES {
                return Ok(found);
            }
            offset += read;
        }
    }

    /// Rows of a campaign's results, oldest first: `call_id disposition attempt ended_at`.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn results(&self, campaign: &CampaignId) -> Result<Vec<String>, StoreError> {
        let rows = try_join_all(Shard::all().map(|shard| async move {
            let rows: Vec<String> =
                self.client().lrange(keys::results(shard, campaign.as_str()), 0, -1).await?;
            Ok::<_, StoreError>(rows)
        }))
        .await?;
        Ok(rows.into_iter().flatten().collect())
    }
}
