//! The write door: a change of a call is written whole, with everything that belongs to it, or not at all.

use serde_json::{Value as Json, json};

use crate::base::clock::{DAY, HOUR, Millis};
use crate::domain::call::{Call, Change, Effect, Event, Phase, Rules};
use crate::domain::ids::CallId;
use crate::store::connect::{Store, StoreError};
use crate::store::turns::{key_before, turn_key};
use crate::store::{keys, scripts};

/// How long a call's record stays after its end.
const ENDED_TTL: Millis = 48 * HOUR;

/// Counters that the day keeps by the hour, too. The campaign does not: its hash stays small.
const HOURLY: [&str; 3] = ["started", "answered", "ended"];

/// What a change adds to the counters: of its day, of its campaign, or of both. Whoever writes a change, by whatever
/// script, counts this.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Of both.
    pub counts: Vec<(String, i64)>,
    /// Of the day alone: the same by the hour.
    pub hours: Vec<(String, i64)>,
    /// Of the campaign alone: calls that wait, by reason (`waiting:<reason>`).
    pub waits: Vec<(String, i64)>,
    /// Of the campaign alone: the reason a call waits for and when it is looked at again. The campaign keeps the
    /// earliest such moment that lies ahead (`until:<reason>`).
    pub passes: Option<(String, Millis)>,
}

impl Tally {
    pub(super) fn of(change: &Change, now: Millis) -> Self {
        let Change { call, waited_for, before, counts, .. } = change;
        let hours = counts
            .iter()
            .filter(|(name, _)| HOURLY.contains(&name.as_str()))
            .map(|(name, n)| (keys::hourly(now, name), *n))
            .collect();
        let mut tally = Self { counts: counts.clone(), hours, ..Self::default() };
        if call.campaign.is_none() {
            return tally;
        }
        let waits_for = call.waits_for();
        let moved = waits_for != waited_for.as_deref();
        if moved {
            tally.waits.extend(waited_for.iter().map(|reason| (reason.clone(), -1)));
            tally.waits.extend(waits_for.iter().map(|reason| ((*reason).to_owned(), 1)));
        }
        tally.passes = waits_for
            .filter(|_| call.head.due > 0 && (moved || call.head.due != before.due))
            .map(|reason| (reason.to_owned(), call.head.due));
        tally
    }
}

/// What became of a commit.
#[derive(Debug)]
pub enum Committed {
    /// It is written; this is the record now, with the effects that are left to do.
    Done(Box<Call>, Vec<Effect>),
    /// Somebody else wrote since; this is the record they left. Apply the event again, or let it be.
    Conflict(Box<Call>),
    /// There is no such call (any more).
    Gone,
    /// The turn was taken over by another node; its answer is not ours to give.
    Lost,
}

/// What a dial is called among those to its person: as `start.lua` writes it. (Before, it bore the whole id.)
fn dialed(id: &CallId, attempt: u32) -> String {
    let id = id.as_str();
    format!("{}:{attempt}", id.get(id.len().saturating_sub(8)..).unwrap_or(id))
}

impl Store {
    /// Writes a change. `turn` is the lease token of the turn it commits. A dial is started by [`Store::start`] alone, which
    /// checks the person in the same step.
    ///
    /// # Errors
    /// Where Redis does not answer in time: the change may or may not be written; the same change may be committed again.
    pub async fn commit(&self, change: Change, turn: Option<&str>) -> Result<Committed, StoreError> {
        let now = self.clock.now();
        let evidence = super::audit::evidence(&change, now);
        let tally = Tally::of(&change, now);
        let Change { mut call, before, decides, unplaced, adopted, effects, lines, turn: answer, .. } =
            change;
        call.head.version = before.version.wrapping_add(1);
        call.head.token = rand::random();
        let shard = call.id.shard();
        let day = keys::day(now);
        let added = !lines.is_empty();

        let mut plan = serde_json::Map::new();
        // Version and token as they stand in the head: what a failover lost may have been written anew, as another.
        plan.insert("version".into(), json!(format!("{:08x}", before.version)));
        plan.insert("token".into(), json!(format!("{:08x}", before.token)));
        if decides {
            plan.insert("epoch".into(), json!(format!("{:08x}", before.epoch)));
        }
        plan.insert("due".into(), json!(call.head.due));
        plan.insert("ttl".into(), json!(ENDED_TTL));
        if let (Some((attempt, n, acts)), Some(token)) = (&answer, turn) {
            let acts = super::acts::encode(acts, (*attempt, *n), &lines);
            plan.insert(
                "turn".into(),
                json!({"key": turn_key(*attempt, *n), "before": key_before(*attempt, *n), "token": token, "acts": acts}),
            );
        }
        if !lines.is_empty() {
            let lines: Vec<String> =
                lines.iter().filter_map(|line| serde_json::to_string(line).ok()).collect();
            plan.insert("lines".into(), json!(lines));
        }
        if let Some(line) = evidence {
            plan.insert("audit".into(), json!(line.to_string()));
        }
        if unplaced {
            plan.insert(
                "unplaced".into(),
                json!([dialed(&call.id, call.body.attempt), format!("{}:{}", call.id, call.body.attempt)]),
            );
        }
        if let Some(attempt) = adopted {
            plan.insert("adopted".into(), json!({"member": dialed(&call.id, attempt), "window": DAY}));
        }
        if let Some(campaign) = &call.campaign {
            plan.insert("lane".into(), json!(campaign));
            if let Some(ending) = call.ending().filter(|_| call.phase() == Phase::Ended) {
                let row = format!("{} {} {} {now}", call.id, ending.disposition.as_str(), call.body.attempt);
                plan.insert("result".into(), json!(row));
            }
        }
        let Tally { counts, hours, waits, passes } = tally;
        for (name, of) in [("counts", counts), ("day_counts", hours), ("waits", waits)] {
            if !of.is_empty() {
                plan.insert(name.into(), json!(of));
            }
        }
        if let Some(passes) = passes {
            plan.insert("passes".into(), json!(passes));
        }
        let mut rest = Vec::new();
        let mut notices = Vec::new();
        for effect in effects {
            match effect {
                Effect::Notice(notice) => {
                    let Some(url) = self.route(&call).await? else { continue };
                    let entry = super::outbox::OutboxEntry::new(&call.id, &notice, url, now);
                    notices.push(json!({
                        "id": notice.id, "endpoint": entry.endpoint,
                        "entry": serde_json::to_string(&entry).unwrap_or_default(),
                    }));
                }
                Effect::Suppress { words } => {
                    let entry = super::suppression::Suppression::opt_out(&call, words, now);
                    plan.insert("suppress".into(), json!(entry.encode()));
                }
                Effect::ChildCall(child) => {
                    let mut its =
                        json!({"id": child.id, "record": child.encode(), "due": child.head.due, "day": day});
                    if let Some(reason) = child.waits_for() {
                        its["waits"] = json!(reason);
                    }
                    plan.insert("child".into(), its);
                }
                other => rest.push(other),
            }
        }
        if !notices.is_empty() {
            plan.insert("notices".into(), json!(notices));
        }

        let keys = vec![
            keys::session(&call.id),
            keys::due(shard),
            keys::transcript(&call.id),
            keys::turn(&call.id),
            keys::journal(&call.id),
            keys::outbox_due(shard),
            keys::outbox_count(shard),
            keys::suppression(shard),
            keys::stats(shard, &day),
            keys::phone(shard, &call.phone_hash),
            keys::rate_limit(shard, &call.phone_hash),
            keys::outbox_call(&call.id),
            keys::audit(shard),
        ];
        let args = vec![keys::tag(shard), call.id.to_string(), call.encode(), Json::Object(plan).to_string()];
        let answer = scripts::COMMIT.run(self, keys, args).await?.into_array();
        match answer.first().map(scripts::text).as_deref() {
            Some("ok") => {
                self.recent.written(&call, added, now);
                Ok(Committed::Done(Box::new(call), rest))
            }
            Some("conflict") => {
                let text = answer.get(1).map(scripts::text).unwrap_or_default();
                Ok(Committed::Conflict(Box::new(Call::decode(&call.id, &text)?)))
            }
            Some("gone") => Ok(Committed::Gone),
            Some("lost") => Ok(Committed::Lost),
            _ => Err(StoreError::Protocol("commit")),
        }
    }

    /// Where a call's notices go.
    async fn route(&self, call: &Call) -> Result<Option<String>, StoreError> {
        if let Some(url) = &call.body.webhook_url {
            return Ok(Some(url.clone()));
        }
        let campaigns = self.campaign_of(call).await?.and_then(|campaign| campaign.webhook_url.clone());
        Ok(campaigns.or_else(|| self.config.default_webhook_url.clone()))
    }
}

/// What became of an event.
#[derive(Debug)]
pub enum Applied {
    /// It is written; these effects are left to do.
    Done(Box<Call>, Vec<Effect>),
    /// It changes nothing: late, repeated, impossible, or decided by somebody who has the lease now.
    Stale(Box<Call>),
    /// There is no such call.
    Gone,
}

impl Store {
    /// Applies an event to a call and writes what comes of it. Where somebody else wrote since `call` was read, the
    /// event is applied to what they left; a decision whose epoch is no longer ours comes back as [`Applied::Stale`].
    ///
    /// # Errors
    /// Where Redis does not answer in time.
    pub async fn apply(&self, mut call: Call, event: Event, rules: &Rules) -> Result<Applied, StoreError> {
        let epoch = call.head.epoch;
        let own = self.own_rules(&call, &event, rules).await?;
        let rules = own.as_ref().unwrap_or(rules);
        loop {
            let mut change = call.clone().change();
            if change.apply(event.clone(), rules, self.clock.now()).is_err() {
                return Ok(Applied::Stale(Box::new(call)));
            }
            let decides = change.decides;
            // Boxed: the record and its plan are large, and every engine awaits this from deep inside its own future.
            match Box::pin(self.commit(change, None)).await? {
                Committed::Done(call, effects) => return Ok(Applied::Done(call, effects)),
                Committed::Conflict(theirs) if decides && theirs.head.epoch != epoch => {
                    return Ok(Applied::Stale(theirs));
                }
                Committed::Conflict(theirs) => call = *theirs,
                Committed::Gone => return Ok(Applied::Gone),
                Committed::Lost => return Err(StoreError::Protocol("commit")),
            }
        }
    }

    /// The rules with the retries and the end of the call's campaign, where the event ends an attempt.
    async fn own_rules(
        &self,
        call: &Call,
        event: &Event,
        rules: &Rules,
    ) -> Result<Option<Rules>, StoreError> {
        if !matches!(event, Event::HungUp { .. } | Event::RefusedForGood { .. }) {
            return Ok(None);
        }
        Ok(self.campaign_of(call).await?.map(|campaign| {
            let retry = campaign.retries.clone().unwrap_or_else(|| rules.retry.clone());
            Rules { retry, not_after: Some(call.expires_in(Some(&campaign))), ..rules.clone() }
        }))
    }
}
