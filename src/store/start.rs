//! Claimed calls that wait, in batches: their dials started, put off to a time, or put back where they stood. One script
//! for each shard.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;

use futures::future::join_all;
use serde_json::{Value as Json, json};

use crate::base::clock::{DAY, Millis};
use crate::domain::call::{Call, Change, Event, Phase, Rules};
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::commit::{Applied, Tally};
use crate::store::connect::{Store, StoreError};
use crate::store::scripts::Args;
use crate::store::{keys, scripts};

/// Calls that one script takes at most: the server serves nobody else meanwhile.
const BATCH: usize = 100;
/// How often a call is started again that somebody wrote to since it was read.
const ROUNDS: usize = 4;

/// A dial that is to be started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The call, as it was claimed.
    pub call: Call,
    /// The number it is made from, E.164.
    pub caller: String,
    /// What that number is called in evidence: a keyed hash.
    pub caller_key: String,
    /// Why it may be called, an object.
    pub evidence: Json,
}

/// What is checked of the person beside the house's own limits.
#[derive(Clone, Copy, Debug)]
pub struct StartChecks {
    /// How soon to look again while another call of theirs has a leg out, ms.
    pub leg_wait: Millis,
}

/// What became of it.
#[derive(Debug)]
pub enum Started {
    /// `DialStarted` is written: it may ring now.
    Done(Box<Call>),
    /// It may not ring now; nothing was written.
    Refused {
        /// The call as it was claimed.
        call: Box<Call>,
        /// `suppressed`, `leg_outstanding` or `frequency`.
        reason: String,
        /// When to look again, ms.
        until: Millis,
    },
    /// It is somebody else's by now, or over, or gone: nothing was written.
    Lost(Box<Call>),
    /// The shard's server was replaced: nothing is dialed from it until the carrier was asked. Nothing was written.
    Held(Box<Call>),
    /// `DialStarted` is written and too few replicas have it: it must not be dialed.
    Unreplicated(Box<Call>),
    /// Redis did not answer: it may be started or not. It must not be dialed; its lease brings it back.
    Unclear(Box<Call>, StoreError),
}

/// Splits into shards, each in the order given, and into batches.
fn batches<T>(items: Vec<T>, shard: impl Fn(&T) -> Shard) -> Vec<(Shard, Vec<T>)> {
    let mut by_shard: BTreeMap<Shard, Vec<Vec<T>>> = BTreeMap::new();
    for item in items {
        let lists = by_shard.entry(shard(&item)).or_default();
        match lists.last_mut().filter(|list| list.len() < BATCH) {
            Some(list) => list.push(item),
            None => lists.push(vec![item]),
        }
    }
    by_shard.into_iter().flat_map(|(shard, lists)| lists.into_iter().map(move |list| (shard, list))).collect()
}

fn hex(n: u32) -> String {
    format!("{n:08x}")
}

/// The record as it will stand, as `commit` would write it.
fn written(change: Change) -> Call {
    let mut call = change.call;
    call.head.version = change.before.version.wrapping_add(1);
    call.head.token = rand::random();
    call
}

impl Start {
    /// The line of evidence, an object; the script puts what it counted in front.
    fn line(&self, out: &mut Vec<u8>) {
        let from = out.len();
        // Neither texts nor numbers can fail to be written to a Vec.
        let _ = match &self.evidence {
            Json::Object(fields) => serde_json::to_writer(&mut *out, fields),
            _ => serde_json::to_writer(&mut *out, &serde_json::Map::new()),
        };
        // Behind its fields, in the same object.
        out.pop();
        let mut lead: &[u8] = if out.len() == from + 1 { b"" } else { b"," };
        let mut put = |name: &str, value: &dyn fmt::Display| {
            out.extend_from_slice(lead);
            lead = b",";
            let _ = write!(out, "\"{name}\":{value}");
        };
        put("event", &"\"dial\"");
        put("call", &format_args!("\"{}\"", self.call.id));
        put("attempt", &self.call.body.attempt);
        put("phone_hash", &json!(self.call.phone_hash.as_str()));
        put("caller", &json!(self.caller_key));
        if let Some(campaign) = &self.call.campaign {
            put("campaign", &format_args!("\"{campaign}\""));
        }
        out.push(b'}');
    }
}

impl Store {
    /// Starts dials: for each the checks of the person (do-not-call, prefixes, another leg, frequency) and `DialStarted`
    /// with its line of evidence, in one step. The answers come in no particular order.
    pub async fn start(&self, starts: Vec<Start>, rules: &Rules, checks: StartChecks) -> Vec<Started> {
        let mut out = Vec::with_capacity(starts.len());
        let mut left = starts;
        for round in 0..ROUNDS {
            let batches = batches(std::mem::take(&mut left), |start| start.call.id.shard());
            let answers = join_all(
                batches.into_iter().map(|(shard, list)| self.start_batch(shard, list, rules, checks)),
            );
            for (done, again) in answers.await {
                out.extend(done);
                left.extend(again);
            }
            if left.is_empty() {
                break;
            }
            if round + 1 == ROUNDS {
                out.extend(left.drain(..).map(|start| Started::Lost(Box::new(start.call))));
            }
        }
        out
    }

    /// What was answered, and what is to be started again since somebody wrote to it under our lease.
    async fn start_batch(
        &self,
        shard: Shard,
        starts: Vec<Start>,
        rules: &Rules,
        checks: StartChecks,
    ) -> (Vec<Started>, Vec<Start>) {
        let now = self.clock.now();
        let day = keys::day(now);
        let keys = vec![
            keys::due(shard),
            keys::suppression(shard),
            keys::prefixes(shard),
            keys::dnc_version(shard),
            keys::stats(shard, &day),
            keys::audit(shard),
            keys::server(shard),
        ];
        let mut args = Args::with_room(5 + 10 * starts.len(), 96);
        args.push(&keys::tag(shard));
        args.push_shown(self.config.frequency_cap);
        args.push_shown(DAY);
        args.push_shown(checks.leg_wait);
        args.push(&keys::hourly(now, "started"));
        let (mut done, mut again, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for start in starts {
            let mut change = start.call.clone().change();
            let event =
                Event::DialStarted { caller: start.caller.clone(), evidence: Some(start.evidence.clone()) };
            if change.apply(event, rules, now).is_err() {
                done.push(Started::Lost(Box::new(start.call)));
                continue;
            }
            let mut tally = Tally::of(&change, now);
            let waited_for = tally.waits.pop().map(|(reason, _)| reason).unwrap_or_default();
            let call = written(change);
            let before = start.call.head;
            args.push(call.id.as_str());
            args.push_shown(format_args!("{:08x}", before.version));
            args.push_shown(format_args!("{:08x}", before.epoch));
            args.push_with(|out| call.encode_into(out));
            args.push_shown(call.head.due);
            args.push_shown(call.body.attempt);
            args.push(call.body.phone.e164());
            args.push(call.campaign.as_ref().map_or("", CampaignId::as_str));
            args.push_with(|out| start.line(out));
            args.push(&waited_for);
            asked.push((start, call));
        }
        if asked.is_empty() {
            return (done, again);
        }
        let rows = match scripts::START.run(self, keys, args).await {
            Ok(answer) => answer.into_array(),
            Err(error) => {
                let why = error.to_string();
                done.extend(asked.into_iter().map(|(start, _)| {
                    Started::Unclear(Box::new(start.call), StoreError::Redis(why.clone()))
                }));
                return (done, again);
            }
        };
        if rows.first().map(scripts::word) == Some("held") {
            done.extend(asked.into_iter().map(|(start, _)| Started::Held(Box::new(start.call))));
            return (done, again);
        }
        let begun = rows.chunks_exact(3).any(|row| row.first().map(scripts::word) == Some("ok"));
        let replicated = !begun || self.replicated(shard).await.unwrap_or(false);
        let mut rows = rows.chunks_exact(3);
        for (mut start, call) in asked {
            let row = rows.next().unwrap_or_default();
            let text = row.get(1).map_or("", scripts::word);
            done.push(match row.first().map(scripts::word) {
                Some("ok") if replicated => Started::Done(Box::new(call)),
                Some("ok") => Started::Unreplicated(Box::new(call)),
                Some("refused") => Started::Refused {
                    call: Box::new(start.call),
                    reason: text.to_owned(),
                    until: u64::try_from(scripts::number(row.get(2))).unwrap_or(now),
                },
                Some("conflict") => match Call::decode(&start.call.id, text) {
                    Ok(theirs) if theirs.head.epoch == start.call.head.epoch => {
                        start.call = theirs;
                        again.push(start);
                        continue;
                    }
                    _ => Started::Lost(Box::new(start.call)),
                },
                Some("gone") => Started::Lost(Box::new(start.call)),
                _ => Started::Unclear(Box::new(start.call), StoreError::Protocol("start")),
            });
        }
        (done, again)
    }

    /// Puts claimed calls that were not decided about back to the heads of their lanes, in the order given. One that is
    /// somebody else's by now is left as it is.
    ///
    /// # Errors
    /// Where Redis does not answer: those calls come due again by their leases.
    pub async fn put_back(&self, calls: &[&Call]) -> Result<(), StoreError> {
        // From the last batch to the first, so that the first stands at the head in the end.
        let mut batches = batches(calls.to_vec(), |call| call.id.shard());
        batches.reverse();
        let mut by_shard: BTreeMap<Shard, Vec<Vec<&Call>>> = BTreeMap::new();
        for (shard, list) in batches {
            by_shard.entry(shard).or_default().push(list);
        }
        let answers = join_all(by_shard.into_iter().map(|(shard, lists)| async move {
            for list in lists {
                let mut args = vec![keys::tag(shard)];
                for call in list {
                    args.extend([call.id.to_string(), hex(call.head.epoch)]);
                }
                scripts::YIELD.run(self, vec![keys::due(shard), keys::active(shard)], args).await?;
            }
            Ok(())
        }));
        answers.await.into_iter().collect()
    }

    /// Makes a claimed call due at once whose step was broken off: another node need not wait for the lease. Where
    /// somebody else has it by now nothing happens.
    ///
    /// # Errors
    /// Where Redis does not answer: the call comes due again by its lease.
    pub async fn hand_back(&self, call: &CallId, epoch: u32) -> Result<(), StoreError> {
        let shard = call.shard();
        let args = vec![keys::tag(shard), call.to_string(), hex(epoch)];
        scripts::HAND_BACK.run(self, vec![keys::due(shard)], args).await.map(drop)
    }

    /// Applies [`Event::Deferred`] to claimed calls that wait, each with its own event. A call that somebody else has by
    /// now is left as it is.
    ///
    /// # Errors
    /// Where Redis does not answer: those calls come due again by their leases.
    pub async fn defer(&self, calls: Vec<(Call, Event)>, rules: &Rules) -> Result<(), StoreError> {
        let answers = join_all(
            batches(calls, |(call, _)| call.id.shard())
                .into_iter()
                .map(|(shard, list)| self.defer_batch(shard, list, rules)),
        );
        answers.await.into_iter().collect()
    }

    async fn defer_batch(
        &self,
        shard: Shard,
        calls: Vec<(Call, Event)>,
        rules: &Rules,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut args = vec![keys::tag(shard)];
        let mut asked = Vec::new();
        for (call, event) in calls {
            let mut change = call.clone().change();
            if change.apply(event.clone(), rules, now).is_err() {
                continue;
            }
            if change.call.phase() != Phase::Queued || !change.effects.is_empty() || !change.counts.is_empty()
            {
                // More than a wait comes of it: that goes through the write door.
                self.apply(call, event, rules).await?;
                continue;
            }
            let Tally { waits, passes, .. } = Tally::of(&change, now);
            let reason = |sign: i64| {
                waits.iter().find(|(_, by)| *by == sign).map(|(reason, _)| reason.clone()).unwrap_or_default()
            };
            let before = call.head;
            let after = written(change);
            args.extend([
                after.id.to_string(),
                hex(before.version),
                hex(before.epoch),
                after.encode(),
                after.head.due.to_string(),
                after.campaign.as_ref().map(ToString::to_string).unwrap_or_default(),
                reason(-1),
                reason(1),
                passes.map(|(reason, _)| reason).unwrap_or_default(),
            ]);
            asked.push((call, event));
        }
        if asked.is_empty() {
            return Ok(());
        }
        let answer = scripts::DEFER.run(self, vec![keys::due(shard)], args).await?.into_array();
        for ((call, event), left) in asked.into_iter().zip(answer) {
            let left = scripts::text(&left);
            if !matches!(left.as_str(), "ok" | "gone")
                && let Ok(theirs) = Call::decode(&call.id, &left)
                && theirs.head.epoch == call.head.epoch
            {
                let _: Applied = self.apply(theirs, event, rules).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::Body;
    use crate::domain::ids::PhoneHash;
    use crate::domain::phone::Phone;

    /// The script counts by itself what it starts: whatever else the machine makes of it would be lost.
    #[test]
    fn a_start_counts_itself_and_leaves_nothing_else_to_do() {
        let phone = Phone::from_e164("+14155550100").expect("a number");
        let (id, hash) = (CallId::new(Shard(7)), PhoneHash::of(b"a key", phone.e164()));
        let mut call = Call::new(id, hash, Some(CampaignId::random()), Body::new(phone, 1));
        call.body.waiting_for = Some("window".into());
        let mut change = call.change();
        let event = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
        change.apply(event, &Rules::default(), 2).expect("not stale");
        assert_eq!(change.counts, [("started".to_owned(), 1)]);
        assert!(change.effects.is_empty() && change.lines.is_empty() && change.decides);
        let tally = Tally::of(&change, 2);
        assert_eq!(tally.waits, [("window".to_owned(), -1)]);
        assert_eq!(tally.passes, None);
    }

    #[test]
    fn the_line_of_evidence_holds_the_verdict_and_whose_dial_it_was() {
        let phone = Phone::from_e164("+14155550100").expect("a number");
        let (id, hash) = (CallId::new(Shard(7)), PhoneHash::of(b"a key", phone.e164()));
        let call = Call::new(id.clone(), hash.clone(), Some(CampaignId::derived("c")), Body::new(phone, 1));
        for evidence in [json!({"window": {"a": "\"}"}}), json!({}), json!(null)] {
            let given = evidence.as_object().cloned().unwrap_or_default();
            let start = Start { call: call.clone(), caller: "+1".into(), caller_key: "k\"".into(), evidence };
            let mut out = b"before".to_vec();
            start.line(&mut out);
            let line: Json = serde_json::from_slice(&out[6..]).expect("JSON");
            let mut wanted = json!({"event": "dial", "call": id, "attempt": 1, "phone_hash": hash, "caller": "k\"",
                "campaign": CampaignId::derived("c")});
            wanted.as_object_mut().expect("an object").extend(given);
            assert_eq!(line, wanted);
        }
    }

    #[test]
    fn batches_keep_the_order_within_a_shard() {
        let items: Vec<(u16, usize)> = (0..250).map(|i| (u16::from(i % 5 == 0), i)).collect();
        let made = batches(items, |(shard, _)| Shard(*shard));
        let sizes: Vec<(u16, usize)> = made.iter().map(|(shard, list)| (shard.0, list.len())).collect();
        assert_eq!(sizes, [(0, 100), (0, 100), (1, 50)]);
        for (_, list) in made {
            assert!(list.is_sorted());
        }
    }
}
