//! Calls coming in, being looked at and being claimed.

use std::collections::BTreeMap;

use fred::prelude::*;
use futures::future::try_join_all;

use crate::base::clock::{DAY, Millis};
use crate::domain::call::Call;
use crate::domain::campaign::{Dedupe, Priority};
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::domain::talk::Line;
use crate::store::connect::{Store, StoreError};
use crate::store::scripts::Args;
use crate::store::{keys, scripts};

/// What became of a call that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It waits.
    Created,
    /// A call of this id was there before; it is left as it is.
    Exists,
    /// The number is on the do-not-call list.
    Suppressed,
    /// Another call to the number is open, and the campaign wants none beside it.
    OpenElsewhere,
    /// The same idempotency key gave this id before, for a request with this fingerprint.
    Repeat {
        /// The first answer's id.
        id: CallId,
        /// The first request's fingerprint.
        fingerprint: String,
    },
}

/// A call that was claimed: its epoch is ours until the lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The record, epoch raised.
    pub call: Call,
    /// It waits and its person is on the do-not-call list.
    pub suppressed: bool,
}

/// What a claim is to bring at most.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Calls whose time has come: those under way, and those that go back to their lanes.
    pub live: usize,
    /// Calls of the urgent lane.
    pub urgent: usize,
    /// Calls of campaigns; one that is not named brings none.
    pub campaigns: Vec<(CampaignId, u32)>,
}

/// Calls of a campaign that wait in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose.
    pub campaign: CampaignId,
    /// How many in its high, its normal and its low lane.
    pub lanes: [u64; 3],
}

impl Waiting {
    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lanes.iter().sum()
    }
}

/// What one claim brought.
#[derive(Debug, Default)]
pub struct Claims {
    /// The calls, of each campaign in the order they waited.
    pub calls: Vec<Claimed>,
    /// Redis' time, ms.
    pub now: Millis,
    /// When the next call of this shard is due, ms; 0 = none.
    pub next_due: Millis,
    /// How many calls of the urgent lane still wait.
    pub urgent: u64,
    /// Campaigns of which calls still wait.
    pub waiting: Vec<Waiting>,
    /// Ids without a record, removed (invariant Q1).
    pub lost: u64,
}

impl Store {
    /// Hands one call in, perhaps under an idempotency key (already scoped to the client) with the request's
    /// fingerprint. One round trip.
    ///
    /// # Errors
    /// Where Redis does not answer; the call may have been accepted, and the same id may be handed in again.
    pub async fn submit_one(
        &self,
        call: &Call,
        idempotency: Option<(&str, &str)>,
        now: Millis,
    ) -> Result<Submitted, StoreError> {
        let mut answers =
            self.submit_shard(call.id.shard(), &[call], Dedupe::Campaign, idempotency, now).await?;
        answers.pop().ok_or(StoreError::Protocol("submit"))
    }

    /// Hands many calls in, one script for each shard. The answers stand in the order of the calls.
    ///
    /// # Errors
    /// Where Redis does not answer; some may have been accepted, and the same ids may be handed in again.
    pub async fn submit(&self, calls: &[Call], now: Millis) -> Result<Vec<Submitted>, StoreError> {
        self.submit_list(calls, Dedupe::Campaign, now).await
    }

    /// The same for a campaign that says where a number counts as a duplicate.
    ///
    /// # Errors
    /// Where Redis does not answer; some may have been accepted, and the same ids may be handed in again.
    pub async fn submit_list(
        &self,
        calls: &[Call],
        dedupe: Dedupe,
        now: Millis,
    ) -> Result<Vec<Submitted>, StoreError> {
        let mut by_shard: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        for (i, call) in calls.iter().enumerate() {
            by_shard.entry(call.id.shard()).or_default().push(i);
        }
        let batches = by_shard.into_iter().map(|(shard, indices)| async move {
            let group: Vec<&Call> = indices.iter().map(|i| &calls[*i]).collect();
            Ok::<_, StoreError>((indices, self.submit_shard(shard, &group, dedupe, None, now).await?))
        });
        let mut out = vec![Submitted::Exists; calls.len()];
        for (indices, answers) in try_join_all(batches).await? {
            for (i, answer) in indices.into_iter().zip(answers) {
                out[i] = answer;
            }
        }
        Ok(out)
    }

    async fn submit_shard(
        &self,
        shard: Shard,
        calls: &[&Call],
        dedupe: Dedupe,
        idempotency: Option<(&str, &str)>,
        now: Millis,
    ) -> Result<Vec<Submitted>, StoreError> {
        let day = keys::day(now);
        let (key, fingerprint) = idempotency.unwrap_or(("", ""));
        let keys = vec![
            keys::due(shard),
            keys::active(shard),
            keys::calls(shard, &day),
            keys::suppression(shard),
            keys::stats(shard, &day),
            keys::idempotency(shard, key),
        ];
        let scope = if dedupe == Dedupe::Account { "account" } else { "" };
        let mut args = Args::with_room(5 + 2 * calls.len(), 128);
        args.push(&keys::tag(shard));
        args.push_shown(now);
        args.push(fingerprint);
        args.push_shown(2 * DAY);
        args.push(scope);
        for call in calls {
            args.push(call.id.as_str());
            args.push_with(|out| call.encode_into(out));
        }
        let answer = scripts::SUBMIT.run(self, keys, args).await?.into_array();
        if answer.first().is_some_and(|w| scripts::word(w) == "repeat") {
            let word = |i: usize| answer.get(i).map_or("", scripts::word);
            let id = CallId::parse(word(1)).ok_or(StoreError::Protocol("submit"))?;
            let fingerprint = word(2).to_owned();
            self.accepted(shard, vec![keys::session(&id)], now).await?;
            return Ok(vec![Submitted::Repeat { id, fingerprint }]);
        }
        // One that exists may be there from a first try that was refused for want of replicas.
        if self.durable.is_some() {
            let there = calls
                .iter()
                .zip(&answer)
                .filter(|(_, word)| matches!(scripts::word(word), "created" | "exists"));
            let there = there.map(|(call, _)| keys::session(&call.id)).collect();
            self.accepted(shard, there, now).await?;
        }
        answer
            .iter()
            .map(|word| match scripts::word(word) {
                "created" => Ok(Submitted::Created),
                "exists" => Ok(Submitted::Exists),
                "suppressed" => Ok(Submitted::Suppressed),
                "open_elsewhere" => Ok(Submitted::OpenElsewhere),
                _ => Err(StoreError::Protocol("submit")),
            })
            .collect()
    }

    /// Waits until enough replicas have these records; only then they may be called accepted.
    async fn accepted(&self, shard: Shard, records: Vec<String>, now: Millis) -> Result<(), StoreError> {
        if records.is_empty() || self.landed(shard, records, now).await? {
            return Ok(());
        }
        Err(StoreError::Redis("too few replicas took the calls over".to_owned()))
    }

    /// A call as it stands.
    ///
    /// # Errors
    /// Where Redis does not answer or the record cannot be read.
    pub async fn load(&self, id: &CallId) -> Result<Option<Call>, StoreError> {
        let text: Option<String> = self.client().get(keys::session(id)).await?;
        text.map(|text| Call::decode(id, &text).map_err(StoreError::from)).transpose()
    }

    /// Many calls as they stand; an id without a record is `None`.
    ///
    /// # Errors
    /// Where Redis does not answer or a record cannot be read.
    pub async fn load_many(&self, ids: &[CallId]) -> Result<Vec<Option<Call>>, StoreError> {
        try_join_all(ids.iter().map(|id| self.load(id))).await
    }

    /// What was said so far.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn transcript(&self, id: &CallId) -> Result<Vec<Line>, StoreError> {
        let lines: Vec<String> = self.client().lrange(keys::transcript(id), 0, -1).await?;
        Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Claims what is due in a shard and heads of the lanes that are wanted; a campaign's high lane is drained before its
    /// others. Each call is ours for `lease` ms.
    ///
    /// # Errors
    /// Where Redis does not answer. Nothing is lost: what was claimed comes due again.
    pub async fn claim(&self, shard: Shard, lease: Millis, wants: &Wants) -> Result<Claims, StoreError> {
        let keys = vec![keys::due(shard), keys::active(shard), keys::suppression(shard)];
        let mut args =
            vec![keys::tag(shard), lease.to_string(), wants.live.to_string(), wants.urgent.to_string()];
        for (campaign, n) in wants.campaigns.iter().filter(|(_, n)| *n > 0) {
            args.extend([campaign.to_string(), n.to_string()]);
        }
        let answer = scripts::CLAIM.run(self, keys, args).await?.into_array();
        let at = |i: usize| u64::try_from(scripts::number(answer.get(i))).unwrap_or(0);
        let mut claims = Claims { now: at(0), next_due: at(1), lost: at(2), ..Claims::default() };
        let lanes = usize::try_from(at(3)).unwrap_or(0);
        let calls = 4 + 2 * lanes;
        let mut waiting: BTreeMap<CampaignId, [u64; 3]> = BTreeMap::new();
        for i in (4..calls).step_by(2) {
            let lane = answer.get(i).map_or("", scripts::word);
            let (campaign, priority) = Priority::of_lane(lane);
            match CampaignId::parse(campaign) {
                Some(id) => waiting.entry(id).or_default()[priority as usize] += at(i + 1),
                None => claims.urgent += at(i + 1),
            }
        }
        let campaigns = waiting.into_iter();
        claims.waiting = campaigns.map(|(campaign, lanes)| Waiting { campaign, lanes }).collect();
        for row in answer.get(calls..).unwrap_or_default().chunks_exact(3) {
            let id = CallId::parse(scripts::word(&row[0])).ok_or(StoreError::Protocol("claim"))?;
            match Call::decode(&id, scripts::word(&row[1])) {
                Ok(call) => claims.calls.push(Claimed { call, suppressed: scripts::word(&row[2]) == "1" }),
                // One unreadable record stops no others; it comes due again and is logged again.
                Err(error) => tracing::error!(call_id = %id, %error, "a record cannot be read"),
            }
        }
        Ok(claims)
    }

    /// The ids of a person's open calls.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn open_calls(&self, e164: &str) -> Result<Vec<CallId>, StoreError> {
        let shard = Shard::of(e164);
        let hash = self.hash(e164);
        let tokens: Option<String> = self.client().hget(keys::phone(shard, &hash), hash.as_str()).await?;
        Ok(tokens
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|t| CallId::parse(&format!("call_{:02}{}", shard.0, t.trim_start_matches('*'))))
            .collect())
    }
}
