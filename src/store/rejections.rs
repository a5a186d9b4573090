//! Why rows of a campaign's lists were not taken: one compact line each, kept for a week.

use fred::prelude::*;

use crate::base::clock::DAY;
use crate::domain::ids::CampaignId;
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// Most lines that are kept of one campaign.
const MOST: u64 = 1_000_000;
/// How long they are kept, seconds.
#[allow(clippy::cast_possible_wrap)]
const TTL_S: i64 = (7 * DAY / 1000) as i64;

fn key(campaign: &CampaignId) -> String {
    format!("{}:{campaign}", keys::fleet("REJECTIONS"))
}

impl Store {
    /// Appends lines, in the order they are read back. Those beyond the first million are let go.
    ///
    /// # Errors
    /// Where Redis does not answer; the lines may have been written.
    pub async fn put_rejections(&self, campaign: &CampaignId, lines: Vec<String>) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let client = self.client();
        let kept: u64 = client.rpush(key(campaign), lines).await?;
        if kept > MOST {
            let last = i64::try_from(MOST).unwrap_or(i64::MAX) - 1;
            let _: Value = client.ltrim(key(campaign), 0, last).await?;
        }
        let _: Value = client.expire(key(campaign), TTL_S, None).await?;
        Ok(())
    }

    /// A page of the lines, oldest first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn rejections(
        &self,
        campaign: &CampaignId,
        from: usize,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let to = from.saturating_add(i64::try_from(limit).unwrap_or(i64::MAX)).saturating_sub(1);
        Ok(self.client().lrange(key(campaign), from, to).await?)
    }
}
