//! What is asked of the fleet's capacity and what it answers.

use crate::base::clock::{DAY, HOUR, MINUTE, Millis, SECOND};
use crate::domain::call::LegOutcome;
use crate::domain::ids::{CallId, CampaignId};

/// The limits that the whole account has. The same on every node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Calls started per second; 0 = no limit of ours.
    pub max_cps: f64,
    /// Calls at once; 0 = no limit of ours.
    pub max_concurrent: u32,
    /// When breakers, quarantine, throttle and brake act.
    pub tuning: PacingTuning,
}

/// When the guards of pacing act. The defaults are the house's; a rehearsal shortens the times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PacingTuning {
    /// Attempts that a breaker must know before it may open.
    pub breaker_samples: u32,
    /// Over how long it counts them, ms.
    pub breaker_window: Millis,
    /// The share of bad ones at which it opens, 0 to 1.
    pub breaker_bad: f64,
    /// How long it stays open the first time, ms; doubled each time that its probe fails.
    pub breaker_open: Millis,
    /// How long it stays open at most, ms.
    pub breaker_open_most: Millis,
    /// Good probes, one after another, that close it.
    pub breaker_good: u32,
    /// Legs that rang before a number's answer rate is judged beside the others'.
    pub quarantine_legs: u32,
    /// Legs that rang without one answer, after which it is judged alone.
    pub quarantine_none: u32,
    /// How long a number rests the first time, ms; doubled each time that its probes fail.
    pub quarantine: Millis,
    /// How long it rests at most, ms.
    pub quarantine_most: Millis,
    /// Calls that it may make after its rest before it is judged again.
    pub quarantine_probes: u32,
    /// The second of the carrier's throttle: the rate is halved at most once in it, and a tenth comes back in it, ms.
    pub throttle_step: Millis,
    /// A longer queue at the carrier halves the rate, ms.
    pub throttle_queue: Millis,
    /// A campaign that was not seen waiting for so long is idle, ms.
    pub idle: Millis,
    /// Live answers before the abandonment brake may act.
    pub brake_answers: u32,
    /// The share of abandoned ones above which it acts, 0 to 1.
    pub brake_share: f64,
}

impl Default for PacingTuning {
    fn default() -> Self {
        Self {
            breaker_samples: 10,
            breaker_window: 30 * SECOND,
            breaker_bad: 0.5,
            breaker_open: 30 * SECOND,
            breaker_open_most: 5 * MINUTE,
            breaker_good: 3,
            quarantine_legs: 30,
            quarantine_none: 50,
            quarantine: HOUR,
            quarantine_most: DAY,
            quarantine_probes: 10,
            throttle_step: SECOND,
            throttle_queue: 2 * SECOND,
            idle: 3 * SECOND,
            brake_answers: 30,
            brake_share: 0.03,
        }
    }
}

impl PacingTuning {
    /// The numbers in the order in which the script reads them.
    pub(super) fn wire(&self) -> String {
        format!(
            "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            self.breaker_samples.max(1),
            self.breaker_window.max(3),
            self.breaker_bad,
            self.breaker_open.max(1),
            self.breaker_open_most.max(1),
            self.breaker_good.max(1),
            self.quarantine_legs.max(1),
            self.quarantine_none.max(1),
            self.quarantine.max(1),
            self.quarantine_most.max(1),
            self.quarantine_probes.max(1),
            self.throttle_step.max(1),
            self.throttle_queue,
            self.idle.max(1),
            self.brake_answers,
            self.brake_share
        )
    }
}

/// A number we call from, and its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// What it is called in keys and events: a keyed hash, never the number.
    pub key: String,
    /// Calls started per second; 0 = no limit.
    pub max_cps: f64,
    /// Calls at once; 0 = no limit.
    pub max_concurrent: u32,
    /// Calls in one UTC day; 0 = no limit.
    pub max_daily: u32,
}

/// A claimed call that asks for a moment, a slot and a number to call from.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which call.
    pub id: CallId,
    /// The epoch of its claim.
    pub epoch: u32,
    /// Its campaign; `None`: urgent, it may take what is kept for urgent calls and waits for no campaign.
    pub campaign: Option<CampaignId>,
    /// The first digits of the callee's number, as a breaker knows them ([`crate::domain::phone::Phone::destination`]).
    pub destination: String,
    /// Numbers it may be called from, as indices into the callers of the request, the best first.
    pub callers: Vec<u16>,
}

/// A slot to be given back, and what became of its leg.
#[derive(Clone, Debug)]
pub struct Release {
    /// Whose slot.
    pub id: CallId,
    /// The newest epoch that may hold it.
    pub epoch: u32,
    /// What became of the leg; `None`: nothing was placed, and the campaign's share is given back.
    pub outcome: Option<LegOutcome>,
}

/// What a node learned of the carrier since its last permit; it is statistics, and may be lost with the node.
#[derive(Clone, Debug, Default)]
pub struct Feedback {
    /// Creates that the carrier accepted.
    pub accepted: u32,
    /// Creates that failed on its side or were never answered: 5xx, time-outs, lost connections.
    pub failed: u32,
    /// Creates it refused for their rate or number (429).
    pub throttled: u32,
    /// The longest `Retry-After` among them, ms.
    pub retry_after: Millis,
    /// The longest `queue_time` it named, ms.
    pub queue_time: Millis,
    /// Calls that were answered: needed of campaigns with an answer-rate controller; of any other call it lets the
    /// probe of a breaker be known as good before the call is over.
    pub answered: Vec<CallId>,
}

/// One request for permits.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The account's limits.
    pub account: Account,
    /// The numbers that the asks refer to.
    pub callers: &'a [Caller],
    /// Claimed calls, the older first.
    pub asks: &'a [Ask],
    /// Campaigns that this node saw calls of waiting in its last claims, with how many.
    pub waiting: &'a [(CampaignId, u64)],
    /// Slots to be given back.
    pub releases: &'a [Release],
    /// What it learned.
    pub feedback: &'a Feedback,
    /// The most calls that the plan may bring this node.
    pub most: u32,
}

/// Why a call, or a whole campaign, is not dialed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// The account's calls per second.
    AccountCps,
    /// The account's slots.
    AccountSlots,
    /// The campaign is not running (paused, draft, scheduled, over, unknown).
    CampaignState,
    /// The campaign's calls per second.
    CampaignCps,
    /// The campaign's calls at once.
    CampaignSlots,
    /// Other campaigns are served first now.
    FairShare,
    /// Every number it may be called from has its limit (per second, at once or per day) or is in quarantine.
    CallerId,
    /// The carrier's breaker is open.
    ProviderBreaker,
    /// The breaker of this destination is open.
    DestinationBreaker,
    /// The carrier asked for less (429, queueing).
    CarrierThrottle,
    /// The model's rate limit.
    ModelLimit,
    /// Too many webhooks wait.
    OutboxBacklog,
}

impl Denial {
    /// All, in the order in which the script counts them, from 1.
    pub(super) const ALL: [Self; 12] = [
        Self::AccountCps,
        Self::AccountSlots,
        Self::CampaignState,
        Self::CampaignCps,
        Self::CampaignSlots,
        Self::FairShare,
        Self::CallerId,
        Self::ProviderBreaker,
        Self::DestinationBreaker,
        Self::CarrierThrottle,
        Self::ModelLimit,
        Self::OutboxBacklog,
    ];

    /// The one that the script calls `code`; `None` for 0 and whatever it does not know.
    pub(super) fn of(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?.checked_sub(1)?).copied()
    }
}

/// A granted moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How long from Redis' now to the earliest POST, ms. Who dials keeps near to it (`use_by`).
    pub ahead: Millis,
    /// From which number, as an index into the callers of the request.
    pub caller: u16,
}

/// A refusal, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Denial,
    /// How long to wait at least, ms.
    pub wait: Millis,
}

/// What was granted, and what to claim next.
#[derive(Clone, Debug, Default)]
pub struct Permits {
    /// Redis' time, ms.
    pub now: Millis,
    /// For each ask, in order.
    pub grants: Vec<Result<Grant, Denied>>,
    /// How many calls of each waiting campaign to bring to the next request; a campaign that is not named brings none.
    pub plan: Vec<(CampaignId, u32)>,
    /// Waiting campaigns whose calls are to be ended instead of dialed (cancelled, expired).
    pub ended: Vec<CampaignId>,
    /// Campaigns that the abandonment brake stopped: in this request, or earlier and seen waiting in it.
    pub braked: Vec<CampaignId>,
    /// Until the rate (or what holds all dials) allows the next dial, ms.
    pub wait: Millis,
    /// Slots left; `u64::MAX` without a limit.
    pub free: u64,
}
