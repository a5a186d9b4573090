//! The only user of fred: every key, every script, every record in Redis.
//!
//! | file | what it keeps |
//! | --- | --- |
//! | `connect` | one server, Sentinel or Cluster; time-outs; the start-up checks (eviction policy, shard count, hash key) |
//! | `keys` | every key's name |
//! | `scripts` | the Lua scripts and how they are called |
//! | `calls` | submit, load, claim |
//! | `fence` | which server each shard was dialed from last; replicas waited for
//! | `start` | claimed calls that wait: dials started, put off, put back, in batches |
//! | `commit` | the write door |
//! | `audit` | lines of evidence until they are sealed, and the heads of their chains |
//! | `transcript` | a transcript made shorter |
//! | `turns` | a turn's lease and journal |
//! | `acts` | a turn's answer, as it is kept beside the transcript |
//! | `recent` | records that this node saw a moment ago, for the next callback |
//! | `capacity` | calls per second and slots of the whole fleet |
//! | `outbox` | events on their way downstream |
//! | `suppression` | do-not-call entries |
//! | `campaigns` | what the calls of a list share |
//! | `campaign_life` | a campaign written, its life kept, its waiting calls hastened to their end |
//! | `campaign_counts` | how far a campaign is, and how fast |
//! | `campaign_events` | what those who watch a campaign are told |
//! | `stats` | counters and listings |
//! | `preview` | what would become of calls, for a dry run |
//! | `rejections` | why rows of a list were not taken |
//! | `idempotency` | what a client's key was used for first |
//! | `people` | one person's calls, found and erased |
//! | `skew` | does this node's clock agree with Redis'? |
//! | `nodes` | the fleet: who lives, what is being retried |
//! | `wake` | in which shards something came up, told from node to node |

mod acts;
mod audit;
mod calls;
mod campaign_counts;
mod campaign_events;
mod campaign_life;
mod campaigns;
mod capacity;
mod commit;
mod connect;
mod fence;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod idempotency;
mod keys;
mod nodes;
mod outbox;
mod people;
mod preview;
mod recent;
mod rejections;
mod scripts;
mod skew;
mod start;
mod stats;
mod suppression;
#[cfg(test)]
pub(crate) mod testing;
mod transcript;
mod turns;
mod wake;

pub use audit::AuditHead;
pub use calls::{Claimed, Claims, Submitted, Waiting, Wants};
pub use campaign_counts::{CampaignCounts, Pulse};
pub use campaign_events::StreamEvent;
pub use campaign_life::{Changed, OpenCampaign};
pub use capacity::{
    Account, AccountView, Ask, BreakerView, Caller, CallerView, CampaignView, Denial, Denied, Feedback,
    FleetEvent, Gate, GateKind, Grant, PacingTuning, PacingView, Permits, Release, Request, Slot,
};
pub use commit::{Applied, Committed};
pub use connect::{RedisConfig, RedisHealth, Store, StoreError};
pub use fence::Held;
pub use nodes::Node;
pub use outbox::{OutboxClaims, OutboxCounts, OutboxEntry, Settle, endpoint_of};
pub use preview::{Preview, WaitingCursor};
pub use recent::Talk;
pub use skew::TOLERATED as CLOCK_TOLERATED;
pub use start::{Start, StartChecks, Started};
pub use stats::{CallPage, Counters};
pub use suppression::{ListCursor, Listed, Put, Scope, Suppression};
pub use turns::{Resumed, TurnLease};
pub use wake::{Wakes, Woken};
