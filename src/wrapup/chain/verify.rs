//! Is the evidence what was sealed? Every object is read and hashed, every chain walked from its head to its first
//! segment.
//!
//! What a chain alone cannot show is that its newest segments are gone: only the head in Redis tells. Objects that
//! nothing names are what a node left that died, or lost a race, between its put and its commit: they are in order as
//! long as each of their entries stands in the chain, or still waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::segment::{Segment, call_of, chain_of, sha256};
use crate::archive::{Archive, ArchiveError, keys};
use crate::base::clock::Millis;
use crate::domain::ids::{CallId, Shard};
use crate::store::{AuditHead, Store, StoreError};

/// Objects read at once.
const WIDTH: usize = 16;

/// What Redis knows of the chains.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    chains: BTreeMap<String, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    head: Option<AuditHead>,
    /// The hashes of the lines that wait.
    waiting: HashSet<String>,
}

impl Heads {
    /// Asks Redis. To be done before the archive is read: a line is sealed before it stops waiting.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut chains = BTreeMap::new();
        for shard in Shard::all() {
            let waiting = store.audit_lines(shard).await?;
            let head = store.audit_head(shard).await?;
            let waiting = waiting.iter().map(|line| sha256(line.as_bytes())).collect();
            chains.insert(chain_of(shard), Known { head, waiting });
        }
        Ok(Self { chains })
    }
}

/// What is wrong with a chain at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Break {
    /// The number of the segment.
    pub seq: u64,
    /// The key of its object, where one is known.
    pub key: Option<String>,
    /// What is wrong.
    pub why: String,
}

/// What was found of one chain.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChainReport {
    /// Its name.
    pub chain: String,
    /// Segments that were walked.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Objects that nothing names yet, or any more.
    pub unnamed: u64,
    /// Lines that wait in Redis to be sealed.
    pub waiting: u64,
    /// What is wrong, from the first segment on.
    pub breaks: Vec<Break>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Is nothing wrong?
    pub intact: bool,
    /// Were the chains compared with their heads in Redis? Where not, missing newest segments do not show.
    pub heads_compared: bool,
    /// The chains that have anything.
    pub chains: Vec<ChainReport>,
}

/// A segment's object, read and hashed.
#[derive(Clone, Debug)]
struct Object {
    key: String,
    chain: String,
    seq: u64,
    hash: String,
    prev: Option<String>,
    entries: u64,
    /// Why it is not what it was.
    fault: Option<String>,
}

impl Object {
    fn read(key: &str, bytes: &[u8]) -> Option<Self> {
        let name = keys::read_segment(key)?;
        let hash = sha256(bytes);
        let (mut prev, mut entries) = (None, 0);
        let fault = match Segment::read(bytes) {
            _ if !hash.starts_with(&name.short) => {
                Some("its bytes are not those that its name was made of".into())
            }
            Err(why) => Some(why),
            Ok(segment) if (&segment.chain, segment.seq) != (&name.chain, name.seq) => {
                Some(format!("it says that it is segment {} of {}", segment.seq, segment.chain))
            }
            Ok(segment) => {
                entries = segment.entries.len() as u64;
                prev = segment.prev;
                None
            }
        };
        Some(Self { key: key.to_owned(), chain: name.chain, seq: name.seq, hash, prev, entries, fault })
    }
}

/// Reads the archive and walks every chain; from the segments of a day on where `since` names one. `heads`: what Redis
/// knows, read before.
///
/// # Errors
/// Where S3 is away or refuses.
pub async fn verify(
    archive: &Archive,
    heads: Option<&Heads>,
    since: Option<Millis>,
) -> Result<Report, ArchiveError> {
    let after = since.map(keys::audit_day);
    let listed = archive.list(keys::AUDIT_PREFIX, after.as_deref(), |key| keys::read_segment(key).is_some());
    let mut names: BTreeSet<String> = listed.await?.into_iter().collect();
    // A quiet chain's head may be older than the day asked for.
    let known = heads.iter().flat_map(|heads| heads.chains.values()).filter_map(|known| known.head.as_ref());
    names.extend(known.map(|head| head.key.clone()).filter(|key| keys::read_segment(key).is_some()));
    let mut by_chain: BTreeMap<String, Vec<Object>> =
        Shard::all().map(|shard| (chain_of(shard), Vec::new())).collect();
    let objects = stream::iter(names.iter().map(|key| async move {
        let bytes = archive.get_bytes(key).await?;
        Ok::<_, ArchiveError>(bytes.and_then(|bytes| Object::read(key, &bytes)))
    }));
    let objects: Vec<Option<Object>> = Box::pin(objects.buffer_unordered(WIDTH).try_collect()).await?;
    for object in objects.into_iter().flatten() {
        by_chain.entry(object.chain.clone()).or_default().push(object);
    }
    let nothing = Known::default();
    let mut chains = Vec::new();
    for (chain, mut objects) in by_chain {
        objects.sort_by(|a, b| (a.seq, &a.key).cmp(&(b.seq, &b.key)));
        let known = heads.map(|heads| heads.chains.get(&chain).unwrap_or(&nothing));
        let mut walk = Walk::of(&objects, known.map(|known| known.head.as_ref()), since.is_some());
        let waiting = known.map_or(&nothing.waiting, |known| &known.waiting);
        for stray in std::mem::take(&mut walk.strays) {
            let missing = unproven(archive, &objects, stray, &walk, waiting).await?;
            if missing > 0 {
                let why = format!(
                    "nothing names it, and {missing} of its entries stand in no segment of the chain"
                );
                walk.broken(stray.seq, Some(&stray.key), why);
            }
        }
        walk.breaks.sort();
        let segments = walk.path.len() as u64;
        let report = ChainReport {
            chain,
            segments,
            entries: walk.path.iter().map(|object| object.entries).sum(),
            unnamed: (objects.len() as u64).saturating_sub(segments),
            waiting: waiting.len() as u64,
            breaks: walk.breaks,
        };
        if report.waiting > 0 || !objects.is_empty() || !report.breaks.is_empty() {
            chains.push(report);
        }
    }
    let intact = chains.iter().all(|chain| chain.breaks.is_empty());
    Ok(Report { intact, heads_compared: heads.is_some(), chains })
}

/// A chain, walked.
struct Walk<'a> {
    /// Its segments, the newest first.
    path: Vec<&'a Object>,
    /// Sound objects that are neither on it nor go on from its newest.
    strays: Vec<&'a Object>,
    breaks: Vec<Break>,
}

impl<'a> Walk<'a> {
    /// Walks the objects of one chain, sorted by number. `head`: what Redis knows, where it was asked. `partial`: older
    /// segments may have been left out.
    fn of(objects: &'a [Object], head: Option<Option<&AuditHead>>, partial: bool) -> Self {
        let mut walk = Self { path: Vec::new(), strays: Vec::new(), breaks: Vec::new() };
        for object in objects {
            if let Some(why) = &object.fault {
                walk.broken(object.seq, Some(&object.key), why.clone());
            }
        }
        let sound: Vec<&Object> = objects.iter().filter(|object| object.fault.is_none()).collect();
        let by_hash: HashMap<&str, &Object> =
            sound.iter().map(|object| (object.hash.as_str(), *object)).collect();
        // Where two have the same number, the fuller one was read later.
        let newest = |below: u64| {
            let older = sound.iter().filter(|object| object.seq < below);
            older.copied().max_by_key(|object| (object.seq, object.entries))
        };
        let mut at = match head {
            None => newest(u64::MAX),
            Some(Some(head)) => {
                let named = by_hash.get(head.hash.as_str()).copied().filter(|object| object.seq == head.seq);
                if named.is_none() && !objects.iter().any(|o| o.key == head.key && o.fault.is_some()) {
                    let why = "it is missing, though the head in Redis names it as the newest";
                    walk.broken(head.seq, Some(&head.key), why.into());
                }
                named.or_else(|| newest(head.seq))
            }
            // Put for the first time and not yet named.
            Some(None) if objects.iter().all(|object| object.seq == 1 && object.prev.is_none()) => None,
            Some(None) => {
                walk.broken(
                    newest(u64::MAX).map_or(1, |o| o.seq),
                    None,
                    "Redis knows no head of this chain".into(),
                );
                newest(u64::MAX)
            }
        };
        let tip = at;
        while let Some(object) = at {
            walk.path.push(object);
            at = walk.before(object, objects, &by_hash, partial).unwrap_or_else(|| newest(object.seq));
        }
        // What goes on from the newest was put meanwhile, or will be named or put again.
        let mut linked: HashSet<Option<&str>> = HashSet::from([tip.map(|tip| tip.hash.as_str())]);
        let on_path: HashSet<&str> = walk.path.iter().map(|object| object.hash.as_str()).collect();
        for object in sound {
            let follows =
                object.seq > tip.map_or(0, |tip| tip.seq) && linked.contains(&object.prev.as_deref());
            // Without the heads nobody can say which of two newest is the one that counts.
            let rivals =
                head.is_none() && tip.is_some_and(|tip| (tip.seq, &tip.prev) == (object.seq, &object.prev));
            if follows {
                linked.insert(Some(&object.hash));
            } else if !on_path.contains(object.hash.as_str()) && !rivals {
                walk.strays.push(object);
            }
        }
        walk
    }

    fn broken(&mut self, seq: u64, key: Option<&str>, why: String) {
        self.breaks.push(Break { seq, key: key.map(str::to_owned), why });
    }

    /// The segment before this one; `Some(None)` at the beginning, `None` where the chain is broken.
    #[allow(clippy::option_option)] // it is read in one place, where both questions are asked
    fn before(
        &mut self,
        object: &Object,
        objects: &'a [Object],
        by_hash: &HashMap<&str, &'a Object>,
        partial: bool,
    ) -> Option<Option<&'a Object>> {
        let key = Some(object.key.as_str());
        let Some(prev) = &object.prev else {
            if object.seq == 1 {
                return Some(None);
            }
            self.broken(object.seq, key, "it names no segment before it, though it is not the first".into());
            return None;
        };
        match by_hash.get(prev.as_str()) {
            Some(before) if before.seq + 1 == object.seq => return Some(Some(before)),
            Some(before) => {
                self.broken(object.seq, key, format!("it names segment {} as the one before it", before.seq));
            }
            None if object.seq == 1 => {
                self.broken(1, key, "it names a segment before it, though it is the first".into());
            }
            None => {
                let seq = object.seq - 1;
                if partial && objects.iter().all(|other| other.seq > seq) {
                    return Some(None);
                }
                // A changed object has been told of already.
                if !objects.iter().any(|other| other.seq == seq && other.fault.is_some()) {
                    let why = format!("it is missing: segment {} names one with the hash {prev}", object.seq);
                    self.broken(seq, None, why);
                }
            }
        }
        None
    }
}

/// How many entries of a stray object stand neither in the chain from its number on nor among the lines that wait.
async fn unproven(
    archive: &Archive,
    objects: &[Object],
    stray: &Object,
    walk: &Walk<'_>,
    waiting: &HashSet<String>,
) -> Result<usize, ArchiveError> {
    let mut missing: HashSet<String> = entries(archive, &stray.key).await?.into_iter().collect();
    missing.retain(|entry| !waiting.contains(entry));
    let tip = walk.path.first().map_or(0, |tip| tip.seq);
    let on_path: HashSet<&str> = walk.path.iter().map(|object| object.key.as_str()).collect();
    for object in objects.iter().filter(|object| object.seq >= stray.seq) {
        if missing.is_empty() {
            break;
        }
        if object.seq > tip && object.key != stray.key || on_path.contains(object.key.as_str()) {
            for entry in entries(archive, &object.key).await? {
                missing.remove(&entry);
            }
        }
    }
    Ok(missing.len())
}

/// The hashes of a segment's entries.
async fn entries(archive: &Archive, key: &str) -> Result<Vec<String>, ArchiveError> {
    let bytes = archive.get_bytes(key).await?.unwrap_or_default();
    let segment = Segment::read(&bytes);
    Ok(segment.map(|s| s.entries.iter().map(|e| sha256(e.get().as_bytes())).collect()).unwrap_or_default())
}

/// The lines of evidence about a call, oldest first, each with the key of the segment that holds it; `None`: it waits in
/// Redis, which is asked where `store` is given.
///
/// # Errors
/// Where S3 or Redis is away or refuses.
pub async fn lines_of(
    archive: &Archive,
    store: Option<&Store>,
    call: &CallId,
    since: Option<Millis>,
) -> Result<Vec<(Option<String>, String)>, super::SealError> {
    let chain = chain_of(call.shard());
    let about = |line: &str| line.contains(call.as_str()) && call_of(line).as_deref() == Some(call.as_str());
    // Before the archive: a line is sealed before it stops waiting.
    let waiting = match store {
        Some(store) => store.audit_lines(call.shard()).await?,
        None => Vec::new(),
    };
    let after = since.map(keys::audit_day);
    let ours = |key: &str| keys::read_segment(key).is_some_and(|name| name.chain == chain);
    let mut names = archive.list(keys::AUDIT_PREFIX, after.as_deref(), ours).await?;
    names.sort_by_cached_key(|key| keys::read_segment(key).map(|name| name.seq));
    let read = stream::iter(names.iter().map(|key| async move {
        let bytes = archive.get_bytes(key).await?.unwrap_or_default();
        let segment = Segment::read(&bytes);
        let entries = segment.map(|s| s.entries.iter().map(|e| e.get().to_owned()).collect::<Vec<_>>());
        let found: Vec<String> = entries.unwrap_or_default().into_iter().filter(|line| about(line)).collect();
        Ok::<_, ArchiveError>((key, found))
    }));
    let read: Vec<(&String, Vec<String>)> = Box::pin(read.buffered(WIDTH).try_collect()).await?;
    let mut told: HashSet<String> = HashSet::new();
    let mut all = Vec::new();
    let sealed = read
        .into_iter()
        .flat_map(|(key, found)| found.into_iter().map(move |line| (Some(key.clone()), line)));
    // An object that nothing names repeats what the chain says.
    for (key, line) in sealed.chain(waiting.into_iter().filter(|line| about(line)).map(|line| (None, line))) {
        if told.insert(line.clone()) {
            all.push((key, line));
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
