//! Evidence: why each attempt was made, and why a call was not. Lines gather in Redis, shard by shard; here they are
//! sealed into segments in the archive, each naming the hash of the one before, so that whoever changes, removes or
//! reorders one afterwards is found out.
//!
//! A segment is put first and named as its chain's head afterwards. A node that dies between the two leaves an object
//! that nothing names; the lines are still there, and are sealed again by whoever comes next.
//!
//! | file | what it does |
//! | --- | --- |
//! | `segment` | a segment's bytes |
//! | `verify` | walks the chains and finds the first break |

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod segment;
mod verify;

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, ArchiveError, keys};
use crate::base::clock::{Clock, Millis, SECOND};
use crate::base::fault;
use crate::base::telemetry::Metrics;
use crate::domain::call::Phase;
use crate::domain::ids::{CallId, Shard};
use crate::store::{AuditHead, Store, StoreError};
use crate::wrapup::documents;

pub use verify::{Break, ChainReport, Heads, Report, lines_of, verify};

/// A shard with so many lines is sealed at once.
const MANY: u64 = 500;
/// The most lines of a segment, and the most bytes of them.
const MOST_LINES: usize = 2_000;
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Segments of one shard that a node seals before it ends.
const MOST_ROUNDS: usize = 100;
/// Shards sealed at once.
const WIDTH: usize = 4;
/// Objects put at once for the calls of one segment.
const INDEX_WIDTH: usize = 16;
/// How long a node that is told to end seals what waits: well within its grace time.
const LAST: Duration = Duration::from_secs(5);
/// How long nothing is sealed after the archive or Redis failed.
const PAUSE: Millis = 5 * SECOND;
/// What an entry says of a call that ended without having been dialed; see `store::commit`.
const NOT_DIALED: &str = "not_dialed";

/// Seals the evidence of all shards. Any number of nodes may run one.
#[derive(Clone)]
pub struct Sealer {
    /// Redis.
    pub store: Store,
    /// S3.
    pub archive: Archive,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
    /// How long a line waits at the most before it is sealed, ms.
    pub after: Millis,
    /// How long a node has a shard to itself: longer than a put takes, ms.
    pub lease: Millis,
}

/// Why a shard was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Redis does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// S3 is away or refuses.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Sealer {
    /// Seals until `stop`; then what waits, once more.
    pub async fn run(self, stop: CancellationToken) {
        // The age of a shard's oldest line is not read but watched, which costs nothing; a node that starts anew sees it
        // a little younger than it is.
        let mut since: HashMap<Shard, Millis> = HashMap::new();
        let mut rest_until = 0;
        let every = Duration::from_millis((self.after / 4).clamp(100, SECOND));
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(every) => {}
            }
            let now = self.clock.now();
            if now < rest_until {
                continue;
            }
            let Ok(waiting) = self.waiting().await else { continue };
            since.retain(|shard, _| waiting.iter().any(|(other, _)| other == shard));
            let mut due = Vec::new();
            for (shard, lines) in waiting {
                let oldest = *since.entry(shard).or_insert(now);
                if lines >= MANY || now.saturating_sub(oldest) >= self.after {
                    due.push(shard);
                    since.remove(&shard);
                }
            }
            if !self.seal_all(due, false).await {
                rest_until = now + PAUSE;
            }
        }
        // What is not sealed in this time is left to other nodes, as if this one had been killed.
        if tokio::time::timeout(LAST, self.seal_last()).await.is_err() {
            tracing::warn!("some evidence is left to be sealed by other nodes");
        }
    }

    async fn seal_last(&self) {
        if let Ok(waiting) = self.waiting().await {
            self.seal_all(waiting.into_iter().map(|(shard, _)| shard).collect(), true).await;
            let _ = self.waiting().await;
        }
    }

    async fn waiting(&self) -> Result<Vec<(Shard, u64)>, StoreError> {
        let waiting = self.store.audit_waiting().await?;
        let lines = waiting.iter().map(|(_, lines)| lines).sum::<u64>();
        self.metrics.audit_lines_waiting.set(i64::try_from(lines).unwrap_or(i64::MAX));
        Ok(waiting)
    }

    /// Seals these shards; `whole`: until they have no line left. Answers whether nothing failed.
    async fn seal_all(&self, shards: Vec<Shard>, whole: bool) -> bool {
        let done = stream::iter(shards)
            .map(|shard| async move {
                let done =
                    if whole { self.seal_whole(shard).await } else { self.seal(shard).await.map(drop) };
                done.inspect_err(|error| {
                    let chain = segment::chain_of(shard);
                    tracing::warn!(chain, %error, "evidence could not be sealed; it waits");
                })
                .is_ok()
            })
            .buffer_unordered(WIDTH)
            .collect::<Vec<bool>>();
        Box::pin(done).await.into_iter().all(|ok| ok)
    }

    async fn seal_whole(&self, shard: Shard) -> Result<(), SealError> {
        for _ in 0..MOST_ROUNDS {
            if self.seal(shard).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Seals the oldest lines of a shard into one segment. Answers how many; 0 where there are none, or another node is
    /// at it.
    ///
    /// # Errors
    /// Where Redis or S3 fails: the lines wait, and none is lost.
    pub async fn seal(&self, shard: Shard) -> Result<usize, SealError> {
        let token = format!("{:016x}", rand::random::<u64>());
        if !self.store.audit_lease(shard, &token, self.lease).await? {
            return Ok(0);
        }
        let sealed = Box::pin(self.seal_leased(shard, &token)).await;
        let _ = self.store.audit_give_back(shard, &token).await;
        sealed
    }

    async fn seal_leased(&self, shard: Shard, token: &str) -> Result<usize, SealError> {
        let (before, mut lines) = self.store.audit_read(shard, MOST_LINES as u64).await?;
        let mut bytes = 0;
        let fits = lines.iter().take_while(|line| {
            bytes += line.len();
            bytes <= MOST_BYTES
        });
        lines.truncate(fits.count().max(1));
        if lines.is_empty() {
            return Ok(0);
        }
        self.index(&lines).await?;
        let (chain, seq, made_at) = (segment::chain_of(shard), before.seq + 1, self.clock.now());
        let prev = (before.seq > 0).then_some(before.hash.as_str());
        let document = segment::document(&chain, seq, prev, made_at, &lines);
        let hash = segment::sha256(&document);
        let key = keys::segment(made_at, &chain, seq, &hash);
        fault::point("audit_before_put");
        self.archive.put_bytes(&key, document).await?;
        fault::point("audit_before_commit");
        let head = AuditHead { seq, hash, key };
        if self.store.audit_seal(shard, token, &head, lines.len()).await? {
            self.metrics.audit_segments.inc();
            return Ok(lines.len());
        }
        // Our lease had lapsed and another sealed. Our object is named by nothing, and says nothing that theirs does not.
        tracing::warn!(key = head.key, "another node sealed this evidence first");
        Ok(0)
    }

    /// Writes the last word on each call that ended without having been dialed, by which it is found once Redis has
    /// forgotten it; for every other call the wrap-up did.
    async fn index(&self, lines: &[String]) -> Result<(), SealError> {
        let ended: Vec<CallId> = lines
            .iter()
            .filter(|line| line.contains(NOT_DIALED))
            .filter_map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).ok()?;
                (entry["event"] == NOT_DIALED).then(|| CallId::parse(entry["call"].as_str()?)).flatten()
            })
            .collect();
        let written = stream::iter(ended)
            .map(|id| async move {
                // A person that was erased meanwhile has no record, and leaves no document behind.
                let Some(call) = self.store.load(&id).await? else { return Ok(()) };
                if call.phase() == Phase::Ended {
                    let whose = keys::person(&call.phone_hash, &id);
                    self.archive.put_json(&whose, &documents::of_person(&call)).await?;
                    self.archive.put_json(&keys::index(&id), &documents::status(&call)).await?;
                    if self.store.load(&id).await?.is_none() {
                        self.archive.delete(&keys::index(&id)).await?;
                        self.archive.delete(&whose).await?;
                    }
                }
                Ok::<_, SealError>(())
            })
            .buffer_unordered(INDEX_WIDTH)
            .collect::<Vec<Result<(), SealError>>>();
        Box::pin(written).await.into_iter().collect()
    }
}
