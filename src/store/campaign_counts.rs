//! How far a campaign is, summed over the shards, and how fast it goes.

use fred::prelude::*;
use futures::future::{try_join, try_join_all};

use crate::base::clock::{DAY, MINUTE, Millis, SECOND};
use crate::domain::campaign::Priority;
use crate::domain::ids::{CampaignId, Shard};
use crate::store::connect::{Store, StoreError};
use crate::store::keys;
use crate::store::stats::Counters;

/// How often the keeper notes how far a running campaign is.
const PULSE_EVERY: Millis = 5 * SECOND;
/// How many notes are kept: those of the last minute, and one more.
const PULSES: i64 = 13;

/// A campaign's counters, and what follows from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CampaignCounts {
    /// What the commits counted, by name.
    pub counters: Counters,
    /// Calls that wait in a lane for their turn.
    pub ready: i64,
}

impl CampaignCounts {
    fn get(&self, name: &str) -> i64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Calls accepted.
    #[must_use]
    pub fn accepted(&self) -> i64 {
        self.get("accepted")
    }

    /// Calls that are over.
    #[must_use]
    pub fn ended(&self) -> i64 {
        self.get("ended")
    }

    /// Calls that are not over.
    #[must_use]
    pub fn open(&self) -> i64 {
        (self.accepted() - self.ended()).max(0)
    }

    /// Calls being dialed, ringing, talked in, or wrapped up: dials that left, less those that came back for another
    /// attempt, less those that are over.
    #[must_use]
    pub fn under_way(&self) -> i64 {
        let again: i64 =
            self.counters.iter().filter(|(name, _)| name.starts_with("attempt:")).map(|(_, n)| n).sum();
        (self.get("started") - again - (self.ended() - self.get("undialed"))).clamp(0, self.open())
    }

    /// Calls that wait, whatever for.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.open() - self.under_way()
    }

    /// What its calls wait for beside their turn: reason, how many, and when the first of them is looked at again
    /// (Unix ms), where that lies ahead.
    pub fn waiting_for(&self) -> impl Iterator<Item = (&str, i64, Option<Millis>)> {
        self.counters.iter().filter_map(|(name, n)| {
            let reason = name.strip_prefix("waiting:").filter(|_| *n > 0)?;
            let until = self.counters.get(&format!("until:{reason}"));
            Some((reason, *n, until.and_then(|at| Millis::try_from(*at).ok())))
        })
    }
}

/// How far a campaign was at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When, Unix ms.
    pub at: Millis,
    /// Dials that had left.
    pub started: i64,
    /// Calls that were over.
    pub ended: i64,
}

impl Store {
    /// A campaign's counters and its ready calls.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign_counts(&self, id: &CampaignId) -> Result<CampaignCounts, StoreError> {
        let lanes = [Priority::High, Priority::Normal, Priority::Low].map(|p| format!("{id}{}", p.suffix()));
        let lanes = &lanes;
        let ready = try_join_all(Shard::all().flat_map(|shard| {
            lanes.iter().map(move |lane| async move {
                Ok::<_, StoreError>(self.client().llen::<i64, _>(keys::ready(shard, lane)).await?)
            })
        }));
        let (counters, ready) = try_join(self.counters(id.as_str()), ready).await?;
        Ok(CampaignCounts { counters, ready: ready.into_iter().sum() })
    }

    /// Rows of a campaign's results in one shard, oldest first: `count` of them from the `from`-th on.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn results_of(
        &self,
        id: &CampaignId,
        shard: Shard,
        from: usize,
        count: usize,
    ) -> Result<Vec<String>, StoreError> {
        let at = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let key = keys::results(shard, id.as_str());
        Ok(self.client().lrange(key, at(from), at(from.saturating_add(count)) - 1).await?)
    }

    /// Notes how far a campaign is, unless that was noted a moment ago.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn note_pulse(&self, id: &CampaignId, pulse: Pulse) -> Result<(), StoreError> {
        let key = keys::pulse(id);
        let last: Option<String> = self.client().lindex(&key, -1).await?;
        if last.and_then(|t| read(&t)).is_some_and(|last| pulse.at < last.at + PULSE_EVERY) {
            return Ok(());
        }
        let Pulse { at, started, ended } = pulse;
        let _: i64 = self.client().rpush(&key, format!("{at} {started} {ended}")).await?;
        let _: Value = self.client().ltrim(&key, -PULSES, -1).await?;
        let _: Value = self.client().pexpire(&key, i64::try_from(DAY).unwrap_or(i64::MAX), None).await?;
        Ok(())
    }

    /// How far a campaign was in the last minute, oldest first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn pulses(&self, id: &CampaignId) -> Result<Vec<Pulse>, StoreError> {
        let from = self.clock.now().saturating_sub(MINUTE + PULSE_EVERY);
        let rows: Vec<String> = self.client().lrange(keys::pulse(id), 0, -1).await?;
        Ok(rows.iter().filter_map(|row| read(row)).filter(|p| p.at >= from).collect())
    }
}

fn read(row: &str) -> Option<Pulse> {
    let mut words = row.split(' ');
    let at = words.next()?.parse().ok()?;
    Some(Pulse { at, started: words.next()?.parse().ok()?, ended: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, i64)]) -> CampaignCounts {
        let counters = rows.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        CampaignCounts { counters, ready: 0 }
    }

    #[test]
    fn who_waits_is_told_from_who_is_under_way() {
        // Of ten: two were canceled undialed, four dialed of which one came back busy, one is over.
        let it = counts(&[
            ("accepted", 10),
            ("ended", 3),
            ("undialed", 2),
            ("started", 4),
            ("attempt:busy", 1),
            ("waiting:retry", 1),
            ("until:retry", 99),
            ("waiting:window", 0),
        ]);
        assert_eq!((it.open(), it.under_way(), it.waiting()), (7, 2, 5));
        assert_eq!(it.waiting_for().collect::<Vec<_>>(), [("retry", 1, Some(99))]);
        // A call tried once that ran out of time while it waited is over and not under way.
        let it =
            counts(&[("accepted", 1), ("started", 1), ("attempt:busy", 1), ("ended", 1), ("undialed", 1)]);
        assert_eq!((it.open(), it.under_way(), it.waiting()), (0, 0, 0));
        assert_eq!(counts(&[]).waiting(), 0);
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        assert_eq!(read("7 8 9"), Some(Pulse { at: 7, started: 8, ended: 9 }));
        assert_eq!(read("7 8"), None);
    }
}
