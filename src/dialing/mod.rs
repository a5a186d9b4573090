//! Admit, dial, watch and reconcile: from a due record to a ringing phone, and back to the truth where a message of the
//! carrier was lost.
//!
//! | file | what it does |
//! | --- | --- |
//! | `hopper` | what waits in which shard, and how much of it the next claims bring |
//! | `admit` | claimed calls: a permit of the fleet and a start, or back to where they waited |
//! | `verdict` | may this person be called now? expiry, window, lists |
//! | `callers` | the numbers we call from: which of them, for which callee |
//! | `alternates` | a call that goes on at another number of its contact |
//! | `moments` | when a granted moment of Redis' clock is here |
//! | `dial` | the point of no return: `DialStarted` durable, then the request, then what came of it |
//! | `unsent` | dials that were written and not made: back to their queue, as soon as Redis answers |
//! | `gates` | what carrier, model and outbox say of themselves, for pacing |
//! | `watch` | a call whose time came without news: ask the carrier; look an unconfirmed dial up |
//! | `openings` | when a call may next be dialed, for who promises a time |
//! | `effects` | what a commit leaves to do at the carrier |
//! | `sweep` | capacity slots that nobody gave back |

mod admit;
mod alternates;
mod callers;
mod dial;
mod effects;
mod gates;
mod hopper;
mod moments;
mod openings;
mod sweep;
mod unsent;
mod verdict;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Millis};
use crate::base::telemetry::Metrics;
use crate::carrier::twilio::Twilio;
use crate::carrier::twilio::urls::Urls;
use crate::domain::call::Rules;
use crate::domain::window::{Rules as CallingRules, Window};
use crate::store::{Account, Store};

pub use admit::Admitted;
pub use callers::{CallerLimits, Callers};
pub use dial::DialOrder;
pub use effects::Effects;
pub use gates::{Gates, Senses};
pub use hopper::Hopper;
pub use moments::Moments;
pub use unsent::Unsent;

/// What dialing needs to know.
#[derive(Clone)]
pub struct DialConfig {
    /// Our number, E.164, where no other is named.
    pub from: String,
    /// The numbers we call from.
    pub callers: Arc<Callers>,
    /// The limits of the whole fleet.
    pub account: Account,
    /// `CALL_WINDOW`.
    pub window: Window,
    /// The law as data.
    pub calling_rules: Arc<CallingRules>,
    /// How long a phone rings, seconds (≥ 15).
    pub ring_timeout_s: u32,
    /// The carrier ends a call after so many seconds.
    pub time_limit_s: u32,
    /// Ask the carrier who answered (answering machine detection, asynchronous).
    pub detect_machines: bool,
    /// Record from the answer on (`RECORDING=from_answer`).
    pub record_from_answer: bool,
    /// How soon a call looks again that waits for another leg to the same person.
    pub leg_wait: Millis,
    /// How long after its moment a dial may still leave.
    pub use_by: Duration,
    /// A slot younger than this may belong to a dial that is just being started: longer than a claim's lease.
    pub slot_grace: Millis,
}

/// The dialing engine of one worker.
#[derive(Clone)]
pub struct Dialer {
    /// Redis.
    pub store: Store,
    /// The carrier.
    pub twilio: Twilio,
    /// The URLs we hand to the carrier.
    pub urls: Urls,
    /// The machine's policy.
    pub rules: Arc<Rules>,
    /// Settings.
    pub config: Arc<DialConfig>,
    /// What is left to do after commits.
    pub effects: Effects,
    /// What was learned of the carrier since the last permit.
    pub senses: Arc<Senses>,
    /// Dials that were not made, though Redis may say that they are under way.
    pub unsent: Arc<Unsent>,
    /// Redis' clock, by which moments are granted.
    pub moments: Arc<Moments>,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
}
