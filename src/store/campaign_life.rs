//! A campaign's life in Redis: written by one script that compares the version, read by the keeper in a few fields,
//! hastened to its end.

use fred::prelude::*;
use serde_json::json;

use crate::base::clock::{DAY, Millis, rfc3339};
use crate::domain::campaign::{Campaign, State};
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::campaigns::key;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// About how many events of a campaign are kept.
const EVENTS: u32 = 1_000;
/// How long they are kept once it is over.
const EVENTS_TTL: Millis = 30 * DAY;
/// Due times that one script looks through: the server serves nobody else meanwhile.
const CHUNK: u32 = 200;
/// How often a change is tried again because somebody else wrote in between.
const CONFLICTS: u32 = 50;

/// What became of a change.
#[derive(Debug)]
pub enum Changed<E> {
    /// It is written.
    Done(Box<Campaign>),
    /// It was so already.
    Same(Box<Campaign>),
    /// The change did not want to be made.
    Refused(E),
    /// There is no such campaign.
    Unknown,
}

/// What the keeper reads of a campaign that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCampaign {
    /// Which.
    pub id: CampaignId,
    /// The word of its state.
    pub life: String,
    /// What it drains toward, where it drains: `completed`, `cancelled`, `expired`.
    pub toward: Option<String>,
    /// Its share.
    pub weight: u32,
    /// It starts by itself, Unix ms.
    pub starts_at: Option<Millis>,
    /// Its time runs out, Unix ms.
    pub expires_at: Option<Millis>,
    /// Since when a list is being read into it, Unix ms.
    pub reading_since: Option<Millis>,
    /// Does it wait for further rows once all are over?
    pub keep_open: bool,
    /// Why pacing stopped it by itself, where it did.
    pub brake: Option<String>,
}

/// What the permit script reads of a campaign: `state` (`run`, `hold`, `end`), `weight`, and `cps`, `cap`, `target`
/// (conversations of the answer-rate controller), 0 where there is none; and behind these, what the keeper reads.
fn pace_fields(campaign: &Campaign) -> Vec<(&'static str, String)> {
    let state = match campaign.state {
        state if state.dials() => "run",
        state if state.ends_waiting().is_some() => "end",
        _ => "hold",
    };
    let toward = match campaign.state {
        State::Draining { toward } => State::after_draining(toward).as_str(),
        _ => "",
    };
    let at = |at: Option<Millis>| at.unwrap_or(0).to_string();
    vec![
        ("state", state.to_owned()),
        ("weight", campaign.weight.to_string()),
        ("cps", campaign.max_cps.unwrap_or(0.0).to_string()),
        ("cap", campaign.max_concurrent.unwrap_or(0).to_string()),
        ("target", campaign.answer_rate.map_or(0, |a| a.conversations).to_string()),
        ("life", campaign.state.as_str().to_owned()),
        ("toward", toward.to_owned()),
        ("starts", at(campaign.starts_at)),
        ("expires", at(campaign.expires_at)),
        ("reading", at(campaign.reading_since)),
        ("keep", u8::from(campaign.keep_open).to_string()),
    ]
}

const KEEPER_FIELDS: [&str; 8] =
    ["life", "toward", "weight", "starts", "expires", "reading", "keep", "brake"];

/// What those who watch are told of a write: its newest step, or that its settings changed.
fn event_of(before: Option<&Campaign>, after: &Campaign) -> String {
    let stepped = before.is_none_or(|b| b.state != after.state || b.starts_at != after.starts_at);
    if !stepped {
        return json!({"event": "settings", "version": after.version}).to_string();
    }
    let step = after.history.last();
    json!({
        "event": "state",
        "state": after.state.as_str(),
        "from": step.filter(|s| s.to == after.state).map(|s| s.from.as_str()),
        "toward": match after.state {
            State::Draining { toward } => Some(toward),
            _ => None,
        },
        "at": step.map_or_else(|| rfc3339(after.created_at), |s| rfc3339(s.at)),
        "by": step.map(|s| s.by.as_str()),
        "why": step.and_then(|s| s.why.as_deref()),
    })
    .to_string()
}

impl Store {
    /// Writes a campaign that does not exist yet. `Some`: one of this id exists, and is left as it is.
    ///
    /// # Errors
    /// Where Redis does not answer; it may be written, and may be written again.
    pub async fn create_campaign(&self, campaign: &Campaign) -> Result<Option<Campaign>, StoreError> {
        let new = Campaign { version: 1, ..campaign.clone() };
        match self.write_campaign(0, None, &new).await? {
            Ok(()) => Ok(None),
            Err(theirs) => Ok(theirs.map(|it| *it)),
        }
    }

    /// Writes a campaign over whatever stands there; for who made it and has it alone.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn put_campaign(&self, campaign: &Campaign) -> Result<(), StoreError> {
        let mut before: Option<Campaign> = None;
        let mut seen = campaign.version;
        for _ in 0..CONFLICTS {
            let new = Campaign { version: seen + 1, ..campaign.clone() };
            match self.write_campaign(seen, before.as_ref(), &new).await? {
                Ok(()) => return Ok(()),
                Err(theirs) => {
                    seen = theirs.as_ref().map_or(0, |it| it.version);
                    before = theirs.map(|it| *it);
                }
            }
        }
        Err(StoreError::Protocol("campaign_put"))
    }

    /// Changes a campaign: `change` is given it as it stands now, answers whether it changed anything, and is given it
    /// again where somebody else wrote meanwhile.
    ///
    /// # Errors
    /// Where Redis does not answer; the change may be written.
    pub async fn change_campaign<E>(
        &self,
        id: &CampaignId,
        mut change: impl FnMut(&mut Campaign) -> Result<bool, E>,
    ) -> Result<Changed<E>, StoreError> {
        let Some(mut before) = self.campaign_fresh(id).await? else { return Ok(Changed::Unknown) };
        for _ in 0..CONFLICTS {
            let mut after = before.clone();
            match change(&mut after) {
                Err(refusal) => return Ok(Changed::Refused(refusal)),
                Ok(false) => return Ok(Changed::Same(Box::new(before))),
                Ok(true) => {}
            }
            after.version = before.version + 1;
            match self.write_campaign(before.version, Some(&before), &after).await? {
                Ok(()) => return Ok(Changed::Done(Box::new(after))),
                Err(Some(theirs)) => before = *theirs,
                Err(None) => return Ok(Changed::Unknown),
            }
        }
        Err(StoreError::Protocol("campaign_put"))
    }

    async fn write_campaign(
        &self,
        seen: u32,
        before: Option<&Campaign>,
        after: &Campaign,
    ) -> Result<Result<(), Option<Box<Campaign>>>, StoreError> {
        let text = serde_json::to_string(after).unwrap_or_default();
        let keys = vec![
            key(&after.id),
            keys::pace(&after.id),
            keys::fleet("CAMPAIGNS"),
            keys::fleet("CAMPAIGNS_OPEN"),
            keys::campaign_events(&after.id),
        ];
        // Who lets a campaign dial again has seen why pacing stopped it.
        let dials_again = after.state.dials() && before.is_some_and(|b| !b.state.dials());
        let mut args = vec![
            after.id.to_string(),
            seen.to_string(),
            text,
            after.created_at.to_string(),
            u8::from(!after.state.is_over()).to_string(),
            EVENTS.to_string(),
            event_of(before, after),
            EVENTS_TTL.to_string(),
            if dials_again { "brake".into() } else { String::new() },
        ];
        args.extend(pace_fields(after).into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        // Two who write the same at once are two all the same.
        args.extend(["wrote".to_owned(), format!("{:016x}", rand::random::<u64>())]);
        let answer = scripts::CAMPAIGN_PUT.run(self, keys, args).await?.into_array();
        match answer.first().map(scripts::text).as_deref() {
            Some("ok") => {
                self.campaigns.keep(after, self.clock.now());
                Ok(Ok(()))
            }
            Some("conflict") => {
                self.campaigns.forget(&after.id);
                let text = answer.get(1).map(scripts::text).unwrap_or_default();
                Ok(Err(serde_json::from_str(&text).ok().map(Box::new)))
            }
            _ => Err(StoreError::Protocol("campaign_put")),
        }
    }

    /// Campaigns that are not over, with what the keeper needs of them.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn open_campaigns(&self) -> Result<Vec<OpenCampaign>, StoreError> {
        let ids: Vec<String> = self.client().smembers(keys::fleet("CAMPAIGNS_OPEN")).await?;
        let mut ids: Vec<CampaignId> = ids.iter().filter_map(|id| CampaignId::parse(id)).collect();
        ids.sort();
        let reads = ids.into_iter().map(|id| async move {
            let row: Vec<Option<String>> =
                self.client().hmget(keys::pace(&id), KEEPER_FIELDS.to_vec()).await?;
            Ok::<_, StoreError>((id, row))
        });
        let rows = futures::future::try_join_all(reads).await?;
        let of = |(id, row): (CampaignId, Vec<Option<String>>)| {
            let text = |i: usize| row.get(i).cloned().flatten().filter(|t| !t.is_empty());
            let at = |i: usize| text(i).and_then(|t| t.parse().ok()).filter(|at: &Millis| *at > 0);
            OpenCampaign {
                life: text(0).unwrap_or_default(),
                toward: text(1),
                weight: text(2).and_then(|t| t.parse().ok()).unwrap_or(0),
                starts_at: at(3),
                expires_at: at(4),
                reading_since: at(5),
                keep_open: text(6).as_deref() == Some("1"),
                brake: text(7),
                id,
            }
        };
        Ok(rows.into_iter().map(of).collect())
    }

    /// Becomes or stays the one keeper of the fleet for `lease` ms, under this node's own name.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn keep_campaigns(&self, name: &str, lease: Millis) -> Result<bool, StoreError> {
        let key = keys::fleet("KEEPER");
        let lease = i64::try_from(lease).unwrap_or(i64::MAX);
        let client = self.client();
        let taken: Option<String> =
            client.set(&key, name, Some(Expiration::PX(lease)), Some(SetOptions::NX), false).await?;
        if taken.is_some() {
            return Ok(true);
        }
        let holder: Option<String> = client.get(&key).await?;
        if holder.as_deref() != Some(name) {
            return Ok(false);
        }
        // Between the two it may have lapsed and become another's: both then keep for a moment, which harms nothing,
        // for every step is compared with the version.
        client.pexpire::<i64, _>(&key, lease, None).await.map(|set| set == 1).map_err(StoreError::from)
    }

    /// Makes all waiting calls of a campaign in one shard due now, so that a worker ends them, and answers those that
    /// live, of which nobody has asked the end yet. In chunks, so that nobody waits for it.
    ///
    /// # Errors
    /// Where Redis does not answer; it may be asked again.
    pub async fn hasten(&self, id: &CampaignId, shard: Shard) -> Result<(u64, Vec<CallId>), StoreError> {
        let (mut cursor, mut moved, mut live) = ("0".to_owned(), 0, Vec::new());
        loop {
            let args = vec![keys::tag(shard), id.to_string(), cursor, CHUNK.to_string()];
            let answer = scripts::HASTEN.run(self, vec![keys::due(shard)], args).await?.into_array();
            moved += u64::try_from(scripts::number(answer.get(1))).unwrap_or(0);
            live.extend(
                answer.get(2..).unwrap_or_default().iter().filter_map(|v| CallId::parse(&scripts::text(v))),
            );
            cursor = answer.first().map(scripts::text).unwrap_or_default();
            if cursor == "0" || cursor.is_empty() {
                // A scan may name an entry twice.
                live.sort();
                live.dedup();
                return Ok((moved, live));
            }
        }
    }
}
