//! Every key's name. `{sNN}` is the hash tag: all that concerns one person lies in one slot, so that one script may
//! touch it, on one server and on a cluster alike.

use crate::base::clock::{HOUR, Millis};
use crate::domain::ids::{CallId, CampaignId, PhoneHash, Shard};

/// The hash tag of a shard.
pub(super) fn tag(shard: Shard) -> String {
    format!("{{s{:02}}}", shard.0)
}

pub(super) fn session(id: &CallId) -> String {
    format!("CALL_SESSION:{}:{id}", tag(id.shard()))
}
pub(super) fn transcript(id: &CallId) -> String {
    format!("TRANSCRIPT:{}:{id}", tag(id.shard()))
}
pub(super) fn turn(id: &CallId) -> String {
    format!("TURN:{}:{id}", tag(id.shard()))
}
pub(super) fn journal(id: &CallId) -> String {
    format!("JOURNAL:{}:{id}", tag(id.shard()))
}
pub(super) fn due(shard: Shard) -> String {
    format!("DUE:{}", tag(shard))
}
/// The server that the shard was dialed from last.
pub(super) fn server(shard: Shard) -> String {
    format!("SERVER:{}", tag(shard))
}
pub(super) fn active(shard: Shard) -> String {
    format!("ACTIVE:{}", tag(shard))
}
pub(super) fn ready(shard: Shard, lane: &str) -> String {
    format!("READY:{}:{lane}", tag(shard))
}
pub(super) fn phone(shard: Shard, hash: &PhoneHash) -> String {
    format!("PHONE:{}:{}", tag(shard), hash.as_str().get(..2).unwrap_or("00"))
}
pub(super) fn rate_limit(shard: Shard, hash: &PhoneHash) -> String {
    format!("RATE_LIMIT:{}:{hash}", tag(shard))
}
pub(super) fn suppression(shard: Shard) -> String {
    format!("SUPPRESSION:{}", tag(shard))
}
/// Do-not-call entries of prefixes, the same in every shard: `+1900`, `+1900:cmp_…`.
pub(super) fn prefixes(shard: Shard) -> String {
    format!("PREFIXES:{}", tag(shard))
}
/// Raised by every change of a do-not-call list that this shard reads.
pub(super) fn dnc_version(shard: Shard) -> String {
    format!("DNC_VERSION:{}", tag(shard))
}
/// Lines of evidence that wait to be sealed.
pub(super) fn audit(shard: Shard) -> String {
    format!("AUDIT:{}", tag(shard))
}
/// The newest segment of the shard's chain of evidence.
pub(super) fn audit_head(shard: Shard) -> String {
    format!("AUDIT_HEAD:{}", tag(shard))
}
/// Who seals the shard's evidence now.
pub(super) fn audit_lease(shard: Shard) -> String {
    format!("AUDIT_LEASE:{}", tag(shard))
}
pub(super) fn stats(shard: Shard, day: &str) -> String {
    format!("STATS:{}:{day}", tag(shard))
}
pub(super) fn calls(shard: Shard, day: &str) -> String {
    format!("CALLS:{}:{day}", tag(shard))
}
pub(super) fn results(shard: Shard, lane: &str) -> String {
    format!("RESULTS:{}:{lane}", tag(shard))
}
pub(super) fn idempotency(shard: Shard, key: &str) -> String {
    format!("IDEMPOTENCY:{}:{key}", tag(shard))
}
pub(super) fn outbox(shard: Shard, event: &str) -> String {
    format!("OUTBOX:{}:{event}", tag(shard))
}
pub(super) fn outbox_due(shard: Shard) -> String {
    format!("OUTBOX_DUE:{}", tag(shard))
}
pub(super) fn outbox_endpoint(shard: Shard, endpoint: &str) -> String {
    format!("OUTBOX_EP:{}:{endpoint}", tag(shard))
}
pub(super) fn outbox_call(id: &CallId) -> String {
    format!("OUTBOX_CALL:{}:{id}", tag(id.shard()))
}
pub(super) fn outbox_count(shard: Shard) -> String {
    format!("OUTBOX_COUNT:{}", tag(shard))
}
pub(super) fn outbox_dead(shard: Shard) -> String {
    format!("OUTBOX_DEAD:{}", tag(shard))
}
/// What pacing reads and keeps of a campaign.
pub(super) fn pace(id: &CampaignId) -> String {
    format!("PACE:{{cap}}:{id}")
}
/// What those who watch a campaign are told.
pub(super) fn campaign_events(id: &CampaignId) -> String {
    format!("CAMPAIGN_EVENTS:{{cap}}:{id}")
}
/// How far a campaign was in the last minute.
pub(super) fn pulse(id: &CampaignId) -> String {
    format!("PULSE:{{cap}}:{id}")
}
/// What belongs to the fleet and to no person.
pub(super) fn fleet(name: &str) -> String {
    format!("{name}:{{cap}}")
}

/// What a counter of the UTC hour a moment lies in is called in the day's counters: `hour:13:started`.
pub(super) fn hourly(at: Millis, name: &str) -> String {
    format!("hour:{:02}:{name}", at / HOUR % 24)
}

/// The UTC day a moment lies in, `yyyymmdd`.
pub(super) fn day(at: Millis) -> String {
    crate::base::clock::rfc3339(at).chars().take(10).filter(|c| *c != '-').collect()
}
