//! What the calls of one list share, read by every node, which keeps a copy for a while. Written in `campaign_life`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
pub(super) struct Cache(Mutex<HashMap<CampaignId, (Millis, Arc<Campaign>)>>);

impl Cache {
    pub(super) fn forget(&self, id: &CampaignId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn fresh(&self, id: &CampaignId, now: Millis) -> Option<Arc<Campaign>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(id).filter(|(read, _)| now.saturating_sub(*read) < FRESH).map(|(_, it)| Arc::clone(it))
    }

    pub(super) fn keep(&self, campaign: &Campaign, now: Millis) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= KEPT {
            cache.retain(|_, (read, _)| now.saturating_sub(*read) < FRESH);
        }
        cache.insert(campaign.id.clone(), (now, Arc::new(campaign.clone())));
    }
}

pub(super) fn key(id: &CampaignId) -> String {
    format!("CAMPAIGN:{{cap}}:{id}")
}

impl Store {
    /// A campaign, at most five seconds old.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign(&self, id: &CampaignId) -> Result<Option<Arc<Campaign>>, StoreError> {
        match self.campaigns.fresh(id, self.clock.now()) {
            Some(campaign) => Ok(Some(campaign)),
            None => Ok(self.campaign_fresh(id).await?.map(Arc::new)),
        }
    }

    /// A campaign as it stands in Redis now.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign_fresh(&self, id: &CampaignId) -> Result<Option<Campaign>, StoreError> {
        let now = self.clock.now();
        let text: Option<String> = self.client().get(key(id)).await?;
        let campaign = text.and_then(|t| serde_json::from_str::<Campaign>(&t).ok());
        if let Some(campaign) = &campaign {
            self.campaigns.keep(campaign, now);
        }
        Ok(campaign)
    }

    /// A call's campaign, at most five seconds old; `None` for a call posted alone.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign_of(&self, call: &Call) -> Result<Option<Arc<Campaign>>, StoreError> {
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
        Ok(self.campaign_of(call).await?.and_then(|campaign| campaign.agent.clone()))
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
            out.extend(self.campaign(&id).await?.map(Arc::unwrap_or_clone));
        }
        Ok(out)
    }
}
