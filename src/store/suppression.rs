//! The do-not-call list. A person's entries lie in the person's shard under the keyed hash of the number (`<hash>`, or
//! `<hash>:<campaign>`); prefixes lie in every shard alike, so that a dial checks both in its own step. Entries that have
//! expired count as absent and are removed by whoever lists them.

use std::collections::{BTreeMap, HashMap};

use fred::prelude::*;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::domain::call::Call;
use crate::domain::ids::{CampaignId, Shard};
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// Where prefixes are listed from: they are written here last, so that what is listed holds everywhere.
const FIRST: Shard = Shard(0);
/// How many fields a step of a scan looks at.
const STEP: u32 = 500;

/// Whom an entry concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every call.
    #[default]
    Global,
    /// The calls of one campaign.
    Campaign(CampaignId),
}

impl Scope {
    /// The campaign, where it is one's.
    #[must_use]
    pub fn campaign(&self) -> Option<&CampaignId> {
        match self {
            Self::Global => None,
            Self::Campaign(id) => Some(id),
        }
    }

    /// Does it concern a call of this campaign (`None`: a call posted alone)?
    #[must_use]
    pub fn concerns(&self, campaign: Option<&CampaignId>) -> bool {
        self.campaign().is_none_or(|mine| Some(mine) == campaign)
    }

    fn word(&self) -> &str {
        self.campaign().map_or("", CampaignId::as_str)
    }
}

/// One entry, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The number (E.164), or a prefix of numbers (`+1900`). Empty where the person was erased: the entry goes on to hold by
    /// the keyed hash that it stands under.
    pub number: String,
    /// Is `number` a prefix?
    #[serde(default)]
    pub prefix: bool,
    /// Whom it concerns.
    #[serde(default)]
    pub scope: Scope,
    /// Where it came from: `opt_out`, `api`, `import`, …
    pub source: String,
    /// What proves it: the words said, a file's name, a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The call it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Since when, Unix ms.
    pub created_at: Millis,
    /// Until when, Unix ms; absent = for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

impl Suppression {
    /// What a person said in a call concerns every call, whatever campaign it was.
    pub(super) fn opt_out(call: &Call, words: String, now: Millis) -> Self {
        Self {
            number: call.body.phone.e164().to_owned(),
            prefix: false,
            scope: Scope::Global,
            source: "opt_out".into(),
            evidence: Some(words),
            call_id: Some(call.id.to_string()),
            created_at: now,
            expires_at: None,
        }
    }

    /// Is it in force at `now`?
    #[must_use]
    pub fn holds(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    /// Was its person erased, so that it names nobody?
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.number.is_empty() && !self.prefix
    }

    /// Does it forbid calling `e164` for this campaign at `now`? Of an entry whose person was erased, who found it by the
    /// number's hash is believed.
    #[must_use]
    pub fn forbids(&self, e164: &str, campaign: Option<&CampaignId>, now: Millis) -> bool {
        let whom = if self.prefix {
            e164.starts_with(&self.number)
        } else {
            e164 == self.number || self.is_erased()
        };
        whom && self.holds(now) && self.scope.concerns(campaign)
    }

    /// As it is stored: the expiry first, for the scripts.
    pub(super) fn encode(&self) -> String {
        format!("{} {}", self.expires_at.unwrap_or(0), serde_json::to_string(self).unwrap_or_default())
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text.split_once(' ')?.1).ok()
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It stands now; nothing in force stood before.
    Added,
    /// It stands in the place of one that was in force.
    Replaced,
    /// One that lasts as long stood there and was left as it is.
    Kept,
}

/// What became of an entry, and whether the person is on the phone with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// The entry.
    pub listed: Listed,
    /// Legs that are out to this person; 0 for a prefix.
    pub legs: u64,
}

/// How far a scan of the list has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListCursor {
    /// 0: prefixes; from 1 on the shards.
    part: u16,
    /// Redis' own.
    scan: String,
}

impl Default for ListCursor {
    fn default() -> Self {
        Self { part: 0, scan: "0".into() }
    }
}

impl ListCursor {
    /// Its text, for a client to give back.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}.{}", self.part, self.scan)
    }

    /// Reads it; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (part, scan) = text.split_once('.')?;
        let part: u16 = part.parse().ok().filter(|part| Shard::all().count() >= usize::from(*part))?;
        let digits = !scan.is_empty() && scan.len() <= 20 && scan.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| Self { part, scan: scan.to_owned() })
    }
}

/// One change: whom (phone hash or prefix), campaign or "", mode, entry.
type Change = (String, String, &'static str, String);

impl Store {
    /// Puts a number or a prefix on the list, in the place of what stood there. A person's waiting calls are ended at once.
    ///
    /// # Errors
    /// Where Redis does not answer; it may be done again.
    pub async fn suppress(&self, entry: &Suppression) -> Result<(), StoreError> {
        self.put(std::slice::from_ref(entry), "set").await.map(drop)
    }

    /// Puts many on the list; what lasts as long already is left as it is. The answers stand in the order of the entries.
    ///
    /// # Errors
    /// Where Redis does not answer: some may be on the list; all may be put again.
    pub async fn suppress_many(&self, entries: &[Suppression]) -> Result<Vec<Put>, StoreError> {
        self.put(entries, "add").await
    }

    async fn put(&self, entries: &[Suppression], mode: &'static str) -> Result<Vec<Put>, StoreError> {
        let mut by_shard: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        let mut prefixes = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            match entry.prefix {
                true => prefixes.push(i),
                false => by_shard.entry(Shard::of(&entry.number)).or_default().push(i),
            }
        }
        let change = |i: usize, whom: String| -> Change {
            (whom, entries[i].scope.word().to_owned(), mode, entries[i].encode())
        };
        let people = try_join_all(by_shard.into_iter().map(|(shard, indices)| async move {
            let changes =
                indices.iter().map(|i| change(*i, self.hash(&entries[*i].number).to_string())).collect();
            Ok::<_, StoreError>((indices, self.change_people(shard, changes).await?))
        }));
        let mut out = vec![Put { listed: Listed::Kept, legs: 0 }; entries.len()];
        let mut answers = people.await?;
        if !prefixes.is_empty() {
            let changes = prefixes.iter().map(|i| change(*i, entries[*i].number.clone())).collect();
            let words = self.change_prefixes(changes).await?;
            answers.push((prefixes, words));
        }
        for (indices, words) in answers {
            for (i, (word, legs)) in indices.into_iter().zip(words) {
                let listed = match word.as_str() {
                    "added" => Listed::Added,
                    "replaced" => Listed::Replaced,
                    "kept" => Listed::Kept,
                    _ => return Err(StoreError::Protocol("suppress")),
                };
                out[i] = Put { listed, legs };
            }
        }
        Ok(out)
    }

    /// Takes a number or a prefix off the list of everybody or of one campaign. False: it was not on it.
    ///
    /// # Errors
    /// Where Redis does not answer; it may be done again.
    pub async fn unsuppress(&self, number: &str, prefix: bool, scope: &Scope) -> Result<bool, StoreError> {
        let change = |whom: String| vec![(whom, scope.word().to_owned(), "del", String::new())];
        let words = if prefix {
            self.change_prefixes(change(number.to_owned())).await?
        } else {
            self.change_people(Shard::of(number), change(self.hash(number).to_string())).await?
        };
        Ok(words.first().is_some_and(|(word, _)| word == "removed"))
    }

    async fn change_people(
        &self,
        shard: Shard,
        changes: Vec<Change>,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.change_list(shard, keys::suppression(shard), format!("call_{:02}", shard.0), changes).await
    }

    /// Every shard but the first at once, then the first: a change that was broken off is not listed as done.
    async fn change_prefixes(&self, changes: Vec<Change>) -> Result<Vec<(String, u64)>, StoreError> {
        let in_shard =
            |shard: Shard| self.change_list(shard, keys::prefixes(shard), String::new(), changes.clone());
        try_join_all(Shard::all().filter(|shard| *shard != FIRST).map(in_shard)).await?;
        in_shard(FIRST).await
    }

    async fn change_list(
        &self,
        shard: Shard,
        list: String,
        id_prefix: String,
        changes: Vec<Change>,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut args = vec![keys::tag(shard), id_prefix];
        for (whom, campaign, mode, entry) in changes {
            args.extend([whom, campaign, mode.to_owned(), entry]);
        }
        let keys = vec![list, keys::due(shard), keys::dnc_version(shard)];
        let answer = scripts::SUPPRESS.run(self, keys, args).await?.into_array();
        let pairs = answer
            .chunks_exact(2)
            .map(|pair| (scripts::text(&pair[0]), u64::try_from(scripts::number(pair.get(1))).unwrap_or(0)));
        Ok(pairs.collect())
    }

    /// The entry that forbids every call to `number` now, if there is one.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppressed(&self, number: &str, now: Millis) -> Result<Option<Suppression>, StoreError> {
        self.suppressed_for(number, None, now).await
    }

    /// The entry that forbids a call of this campaign to `number` now, if there is one; a global one first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppressed_for(
        &self,
        number: &str,
        campaign: Option<&CampaignId>,
        now: Millis,
    ) -> Result<Option<Suppression>, StoreError> {
        let hash = self.hash(number);
        let mut fields = vec![hash.to_string()];
        fields.extend(campaign.map(|id| format!("{hash}:{id}")));
        let own: Vec<Option<String>> =
            self.client().hmget(keys::suppression(Shard::of(number)), fields).await?;
        let own = own.iter().flatten().filter_map(|text| Suppression::decode(text)).find(|e| e.holds(now));
        if own.is_some() {
            return Ok(own);
        }
        Ok(self.prefixes().await?.into_iter().find(|e| e.forbids(number, campaign, now)))
    }

    /// Every entry that forbids some call to `number` now: of everybody, of campaigns, of prefixes.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppressions_of(&self, number: &str, now: Millis) -> Result<Vec<Suppression>, StoreError> {
        let mut found: Vec<Suppression> = self.prefixes().await?;
        found.extend(self.own_entries(number).await?);
        found.retain(|e| e.forbids(number, e.scope.campaign(), now));
        // A scan may show a field twice.
        found.sort_by(|a, b| {
            (a.prefix, &a.number, a.scope.word()).cmp(&(b.prefix, &b.number, b.scope.word()))
        });
        found.dedup_by(|a, b| a.number == b.number && a.scope == b.scope);
        Ok(found)
    }

    /// The entries of this very number, those that have expired among them.
    async fn own_entries(&self, number: &str) -> Result<Vec<Suppression>, StoreError> {
        let (key, hash) = (keys::suppression(Shard::of(number)), self.hash(number));
        let (mut found, mut scan) = (Vec::new(), "0".to_owned());
        loop {
            let (next, rows) = self.scan(key.clone(), scan, Some(format!("{hash}*"))).await?;
            found.extend(rows.into_iter().map(|(_, entry)| entry));
            if next == "0" {
                return Ok(found);
            }
            scan = next;
        }
    }

    /// Takes the number and the words out of a person's entries. They go on to hold, by the keyed hash alone, and still say
    /// why (`source`) and since when.
    ///
    /// # Errors
    /// Where Redis does not answer; it may be done again.
    pub async fn erase_from_list(&self, number: &str) -> Result<(), StoreError> {
        let hash = self.hash(number).to_string();
        let named = self.own_entries(number).await?.into_iter().filter(|entry| !entry.is_erased());
        let bare = named.map(|entry| Suppression { number: String::new(), evidence: None, ..entry });
        let changes: Vec<Change> =
            bare.map(|entry| (hash.clone(), entry.scope.word().to_owned(), "set", entry.encode())).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.change_people(Shard::of(number), changes).await.map(drop)
    }

    /// The prefixes on the list.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn prefixes(&self) -> Result<Vec<Suppression>, StoreError> {
        let all: HashMap<String, String> = self.client().hgetall(keys::prefixes(FIRST)).await?;
        Ok(all.values().filter_map(|text| Suppression::decode(text)).collect())
    }

    /// How many entries there are, those included that expired and were not yet removed.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn suppression_count(&self) -> Result<u64, StoreError> {
        let people = Shard::all().map(keys::suppression).chain([keys::prefixes(FIRST)]);
        let counts = try_join_all(people.map(|key| async move {
            let count: u64 = self.client().hlen(key).await?;
            Ok::<_, StoreError>(count)
        }));
        Ok(counts.await?.into_iter().sum())
    }

    /// The next entries of the whole list, prefixes first, in no order; some hundreds at most. An entry that is there all
    /// the while is shown; one that comes or goes meanwhile may be. Those that have expired are removed on the way.
    ///
    /// # Errors
    /// Where Redis does not answer; the same cursor may be asked again.
    pub async fn list_suppressions(
        &self,
        cursor: ListCursor,
        now: Millis,
    ) -> Result<(Vec<Suppression>, Option<ListCursor>), StoreError> {
        let shard = cursor.part.checked_sub(1).map(Shard);
        let key = shard.map_or_else(|| keys::prefixes(FIRST), keys::suppression);
        let (scan, rows) = self.scan(key, cursor.scan, None).await?;
        let (rows, expired): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, entry)| entry.holds(now));
        if !expired.is_empty() {
            let sweep = expired.into_iter().map(|(field, entry)| {
                let whom = field.split(':').next().unwrap_or_default().to_owned();
                (whom, entry.scope.word().to_owned(), "sweep", String::new())
            });
            match shard {
                Some(shard) => self.change_people(shard, sweep.collect()).await.map(drop)?,
                None => self.change_prefixes(sweep.collect()).await.map(drop)?,
            }
        }
        let next = match (scan.as_str(), cursor.part) {
            ("0", part) if usize::from(part) >= Shard::all().count() => None,
            ("0", part) => Some(ListCursor { part: part + 1, scan }),
            (_, part) => Some(ListCursor { part, scan }),
        };
        Ok((rows.into_iter().map(|(_, entry)| entry).collect(), next))
    }

    async fn scan(
        &self,
        key: String,
        cursor: String,
        matching: Option<String>,
    ) -> Result<(String, Vec<(String, Suppression)>), StoreError> {
        let mut args = vec![key, cursor, "COUNT".into(), STEP.to_string()];
        if let Some(pattern) = matching {
            args.extend(["MATCH".into(), pattern]);
        }
        let answer = self.command("HSCAN", args).await?.into_array();
        let [next, rows] = answer.as_slice() else { return Err(StoreError::Protocol("HSCAN")) };
        let rows = rows.clone().into_array();
        let rows = rows
            .chunks_exact(2)
            .filter_map(|row| Some((scripts::text(&row[0]), Suppression::decode(&scripts::text(&row[1]))?)));
        Ok((scripts::text(next), rows.collect()))
    }
}
