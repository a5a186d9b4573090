//! What would become of calls: looked at without changing anything, for a dry run.

use fred::prelude::*;
use futures::future::try_join_all;

use crate::base::clock::{DAY, Millis};
use crate::domain::call::{Call, Phase};
use crate::domain::campaign::Priority;
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// Ids that are read together.
const PAGE: usize = 500;

/// What would become of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The campaign has it already.
    pub there: bool,
    /// Its number is on the do-not-call list. Prefixes are not looked at.
    pub banned: bool,
    /// Another call to its number is open.
    pub open_elsewhere: bool,
    /// The frequency cap holds it back until then, Unix ms.
    pub capped_until: Option<Millis>,
}

/// Where [`Store::waiting_page`] goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingCursor {
    queue: usize,
    from: usize,
}

impl Store {
    /// What would become of calls of a campaign, in their order.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn preview(
        &self,
        campaign: &CampaignId,
        calls: &[Call],
        now: Millis,
    ) -> Result<Vec<Preview>, StoreError> {
        let mut by_shard: std::collections::BTreeMap<Shard, Vec<usize>> = std::collections::BTreeMap::new();
        for (i, call) in calls.iter().enumerate() {
            by_shard.entry(call.id.shard()).or_default().push(i);
        }
        let batches = by_shard.into_iter().map(|(shard, indices)| async move {
            let mut args = vec![
                keys::tag(shard),
                now.to_string(),
                DAY.to_string(),
                self.config.frequency_cap.to_string(),
            ];
            for call in indices.iter().filter_map(|i| calls.get(*i)) {
                args.extend([call.id.to_string(), call.phone_hash.to_string(), campaign.to_string()]);
            }
            let answer = scripts::PREVIEW.run(self, vec![keys::suppression(shard)], args).await?;
            let previews = answer.into_array().into_iter().map(|word| read(&scripts::text(&word)));
            Ok::<_, StoreError>((indices, previews.collect::<Option<Vec<Preview>>>()))
        });
        let mut out = vec![Preview::default(); calls.len()];
        for (indices, previews) in try_join_all(batches).await? {
            for (i, preview) in indices.into_iter().zip(previews.ok_or(StoreError::Protocol("preview"))?) {
                if let Some(slot) = out.get_mut(i) {
                    *slot = preview;
                }
            }
        }
        Ok(out)
    }

    /// A page of a campaign's waiting calls in one shard, and where the next begins; `None` at the end. A call that moves
    /// between two pages may be seen twice or not at all.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn waiting_page(
        &self,
        campaign: &CampaignId,
        shard: Shard,
        cursor: WaitingCursor,
    ) -> Result<(Vec<Call>, Option<WaitingCursor>), StoreError> {
        let lanes = [Priority::High, Priority::Normal, Priority::Low];
        let from = i64::try_from(cursor.from).unwrap_or(i64::MAX);
        let to = from.saturating_add(i64::try_from(PAGE).unwrap_or(0)) - 1;
        let client = self.client();
        let ids: Vec<String> = match lanes.get(cursor.queue) {
            Some(lane) => {
                let lane = format!("{campaign}{}", lane.suffix());
                client.lrange(keys::ready(shard, &lane), from, to).await?
            }
            // Those that wait for their time, among everybody's.
            None => client.zrange(keys::due(shard), from, to, None, false, None, false).await?,
        };
        let next = match (ids.len() < PAGE, cursor.queue < lanes.len()) {
            (false, _) => Some(WaitingCursor { from: cursor.from + PAGE, ..cursor }),
            (true, true) => Some(WaitingCursor { queue: cursor.queue + 1, from: 0 }),
            (true, false) => None,
        };
        let ids: Vec<CallId> = ids.iter().filter_map(|id| CallId::parse(id)).collect();
        if ids.is_empty() {
            return Ok((Vec::new(), next));
        }
        let records: Vec<Option<String>> =
            client.mget(ids.iter().map(keys::session).collect::<Vec<_>>()).await?;
        let calls = ids.iter().zip(records).filter_map(|(id, text)| Call::decode(id, &text?).ok());
        let waits = |call: &Call| call.phase() == Phase::Queued && call.campaign.as_ref() == Some(campaign);
        Ok((calls.filter(waits).collect(), next))
    }
}

fn read(word: &str) -> Option<Preview> {
    let (flags, until) = word.split_at_checked(3)?;
    let flag = |i: usize| flags.as_bytes().get(i) == Some(&b'1');
    let until: Millis = until.parse().ok()?;
    Some(Preview {
        there: flag(0),
        banned: flag(1),
        open_elsewhere: flag(2),
        capped_until: (until > 0).then_some(until),
    })
}
