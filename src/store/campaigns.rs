//! What the calls of one list share. A campaign is written once and read by every node, which keeps a copy for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fred::prelude::*;

use crate::base::clock::{Millis, SECOND};
use crate::domain::call::Call;
use crate::domain::campaign::Campaign;
use crate::domain::ids::CampaignId;
use crate::domain::talk::Voicemail;
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// How old a node's copy may be.
const FRESH: Millis = 5 * SECOND;
/// How many copies a node keeps.
const KEPT: usize = 1_000;

/// Copies of campaigns, each with the time it was read.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<CampaignId, (Millis, Campaign)>>);

/// What the permit script reads of a campaign: `state` (`run`, `hold`, `end`), `weight`, and `cps`, `cap`, `target`
/// (conversations of the answer-rate controller), 0 where there is none.
fn pace_fields(campaign: &Campaign) -> Vec<(&'static str, String)> {
    let state = match campaign.state {
        state if state.dials() => "run",
        state if state.ends_waiting().is_some() => "end",
        _ => "hold",
    };
    vec![
        ("state", state.to_owned()),
        ("weight", campaign.weight.to_string()),
        ("cps", campaign.max_cps.unwrap_or(0.0).to_string()),
        ("cap", campaign.max_concurrent.unwrap_or(0).to_string()),
        ("target", campaign.answer_rate.map_or(0, |a| a.conversations).to_string()),
    ]
}

fn key(id: &CampaignId) -> String {
    format!("CAMPAIGN:{{cap}}:{id}")
}

impl Store {
    /// Writes a campaign.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn put_campaign(&self, campaign: &Campaign) -> Result<(), StoreError> {
        let text = serde_json::to_string(campaign).unwrap_or_default();
        // What pacing reads of it; written first, so that no call of it is found without.
        let _: Value = self.client().hset(keys::pace(&campaign.id), pace_fields(campaign)).await?;
        let _: Value = self.client().set(key(&campaign.id), text, None, None, false).await?;
        let _: Value = self
            .client()
            .zadd(
                keys::fleet("CAMPAIGNS"),
                None,
                None,
                false,
                false,
                (campaign.created_at as f64, campaign.id.as_str()),
            )
            .await?;
        self.campaigns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&campaign.id);
        Ok(())
    }

    /// A campaign, at most five seconds old.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, StoreError> {
        let now = self.clock.now();
        {
            let cache = self.campaigns.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read, campaign)) = cache.get(id)
                && now.saturating_sub(*read) < FRESH
            {
                return Ok(Some(campaign.clone()));
            }
        }
        let text: Option<String> = self.client().get(key(id)).await?;
        let Some(campaign) = text.and_then(|t| serde_json::from_str::<Campaign>(&t).ok()) else {
            return Ok(None);
        };
        let mut cache = self.campaigns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= KEPT {
            cache.retain(|_, (read, _)| now.saturating_sub(*read) < FRESH);
        }
        cache.insert(id.clone(), (now, campaign.clone()));
        Ok(Some(campaign))
    }

    /// A call's campaign, at most five seconds old; `None` for a call posted alone.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign_of(&self, call: &Call) -> Result<Option<Campaign>, StoreError> {
        match &call.campaign {
            Some(id) => self.campaign(id).await,
            None => Ok(None),
        }
    }

    /// The agent that a call or else its campaign names.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn agent_named(&self, call: &Call) -> Result<Option<String>, StoreError> {
        if call.body.agent.is_some() {
            return Ok(call.body.agent.clone());
        }
        Ok(self.campaign_of(call).await?.and_then(|campaign| campaign.agent))
    }

    /// What a machine gets that answers a call: what the call says, else its campaign, else it is hung up on.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn voicemail_of(&self, call: &Call) -> Result<Voicemail, StoreError> {
        if let Some(own) = call.body.voicemail {
            return Ok(own);
        }
        Ok(self.campaign_of(call).await?.and_then(|campaign| campaign.voicemail).unwrap_or_default())
    }

    /// Campaigns, newest first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaigns(&self, limit: usize) -> Result<Vec<Campaign>, StoreError> {
        let last = i64::try_from(limit).unwrap_or(i64::MAX) - 1;
        let ids: Vec<String> = self.client().zrevrange(keys::fleet("CAMPAIGNS"), 0, last, false).await?;
        let mut out = Vec::new();
        for id in ids.iter().filter_map(|id| CampaignId::parse(id)) {
            out.extend(self.campaign(&id).await?);
        }
        Ok(out)
    }
}
