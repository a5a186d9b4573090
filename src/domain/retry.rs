//! When a call that did not get through is tried again: after which delay, on which number, in which part of the day.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::base::clock::{Millis, SECOND};
use crate::domain::disposition::Disposition;

/// The most attempts a policy may ask for.
const MOST_ATTEMPTS: u32 = 10;
/// The longest delay, s: 30 days.
const LONGEST_DELAY_S: u64 = 30 * 86_400;

/// Why an attempt did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The carrier could not complete the call.
    Failed,
    /// The number is none, or the carrier or the destination refuses it: it is not dialed again, but another number
    /// of the same contact may be.
    Refused,
    /// A machine answered.
    Voicemail,
    /// A person answered and heard no voice of ours in time.
    Abandoned,
    /// A person answered and our side failed them.
    AgentFailed,
}

impl Cause {
    /// Every cause, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Busy,
        Self::NoAnswer,
        Self::Failed,
        Self::Refused,
        Self::Voicemail,
        Self::Abandoned,
        Self::AgentFailed,
    ];

    /// Its word in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Voicemail => "voicemail",
            Self::Abandoned => "abandoned",
            Self::AgentFailed => "agent_failed",
        }
    }

    /// The cause that an attempt's disposition is; `None` for one that is never tried again.
    #[must_use]
    pub fn of(disposition: Disposition) -> Option<Self> {
        use Disposition as D;
        match disposition {
            D::Busy => Some(Self::Busy),
            D::NoAnswer => Some(Self::NoAnswer),
            D::CarrierFailed => Some(Self::Failed),
            D::InvalidNumber | D::CarrierBlocked => Some(Self::Refused),
            D::Voicemail => Some(Self::Voicemail),
            D::Abandoned => Some(Self::Abandoned),
            D::AgentFailed => Some(Self::AgentFailed),
            D::Completed
            | D::Rejected
            | D::OptedOut
            | D::Suppressed
            | D::OutOfWindow
            | D::Expired
            | D::Canceled
            | D::Superseded
            | D::Unconfirmed => None,
        }
    }
}

/// What follows one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The n-th delay passes after the n-th attempt that ended so, s; after the last of them the call is over.
    pub delays_s: Vec<u32>,
    /// Is the next attempt made to another number of the contact, where there is one left?
    #[serde(default = "yes")]
    pub other_number: bool,
    /// Does the next attempt fall into another part of the callee's day (08–12, 12–17, 17–21)?
    #[serde(default)]
    pub other_time: bool,
}

fn yes() -> bool {
    true
}

impl Retry {
    fn after(delays_s: &[u32]) -> Self {
        Self { delays_s: delays_s.to_vec(), other_number: true, other_time: false }
    }
}

/// How often and after which delays a call is tried again, as data: a campaign may bring its own and name only what
/// differs. Whatever the causes, there are no more than `max_attempts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// The most attempts a call gets, the first included, over all numbers of the contact.
    pub max_attempts: u32,
    /// After busy.
    pub busy: Retry,
    /// After no answer.
    pub no_answer: Retry,
    /// After a failure of the carrier.
    pub failed: Retry,
    /// After a number that is none, or that the carrier or the destination refuses: another number, never the same.
    pub refused: Retry,
    /// After a machine answered.
    pub voicemail: Retry,
    /// After a person answered and heard no voice of ours in time.
    pub abandoned: Retry,
    /// After a person answered and our side failed them.
    pub agent_failed: Retry,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            busy: Retry::after(&[10 * 60, 20 * 60]),
            no_answer: Retry::after(&[60 * 60, 120 * 60]),
            failed: Retry::after(&[2 * 60, 10 * 60]),
            refused: Retry::after(&[60, 60]),
            voicemail: Retry::after(&[]),
            abandoned: Retry::after(&[]),
            agent_failed: Retry::after(&[]),
        }
    }
}

/// The next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// How long to wait, ms.
    pub wait: Millis,
    /// On another number, where there is one left.
    pub other_number: bool,
    /// In another part of the day.
    pub other_time: bool,
}

/// A field of a policy that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// Its path below the policy: `no_answer.delays_s[1]`; empty for the policy itself.
    pub field: String,
    /// Why, in words.
    pub reason: String,
}

impl RetryPolicy {
    /// What follows attempt `attempt` (the first is 1), the `times`-th that ended by `cause`; `None`: the call is over.
    #[must_use]
    pub fn next(&self, cause: Cause, times: u32, attempt: u32) -> Option<Next> {
        if attempt == 0 || attempt >= self.max_attempts {
            return None;
        }
        let retry = self.of(cause);
        let delay = *retry.delays_s.get(usize::try_from(times.checked_sub(1)?).ok()?)?;
        Some(Next {
            wait: Millis::from(delay) * SECOND,
            other_number: retry.other_number,
            other_time: retry.other_time,
        })
    }

    /// What follows a cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> &Retry {
        match cause {
            Cause::Busy => &self.busy,
            Cause::NoAnswer => &self.no_answer,
            Cause::Failed => &self.failed,
            Cause::Refused => &self.refused,
            Cause::Voicemail => &self.voicemail,
            Cause::Abandoned => &self.abandoned,
            Cause::AgentFailed => &self.agent_failed,
        }
    }

    fn of_mut(&mut self, cause: Cause) -> &mut Retry {
        match cause {
            Cause::Busy => &mut self.busy,
            Cause::NoAnswer => &mut self.no_answer,
            Cause::Failed => &mut self.failed,
            Cause::Refused => &mut self.refused,
            Cause::Voicemail => &mut self.voicemail,
            Cause::Abandoned => &mut self.abandoned,
            Cause::AgentFailed => &mut self.agent_failed,
        }
    }

    /// Reads a policy as clients write it:
    /// `{"max_attempts":3,"no_answer":{"delays_s":[3600,7200],"other_number":true,"other_time":true}}`. What is not
    /// named is the house's own.
    ///
    /// # Errors
    /// Every field that cannot be taken, unknown ones among them.
    pub fn read(value: &Value) -> Result<Self, Vec<BadField>> {
        let mut policy = Self::default();
        let mut bad = Bad::default();
        let Some(fields) = value.as_object() else {
            bad.field("", "must be an object");
            return Err(bad.0);
        };
        for (name, value) in fields {
            if name == "max_attempts" {
                match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
                    Some(n) if (1..=MOST_ATTEMPTS).contains(&n) => policy.max_attempts = n,
                    _ => bad.field(name, &format!("must be a whole number from 1 to {MOST_ATTEMPTS}")),
                }
            } else if let Some(cause) = Cause::ALL.into_iter().find(|c| c.as_str() == name) {
                match value.as_object() {
                    Some(of) => *policy.of_mut(cause) = retry(cause, of, &mut bad),
                    None => bad.field(name, "must be an object with delays_s"),
                }
            } else {
                let known: Vec<&str> = Cause::ALL.iter().map(|c| c.as_str()).collect();
                bad.field(name, &format!("is not known; known are max_attempts, {}", known.join(", ")));
            }
        }
        if bad.0.is_empty() { Ok(policy) } else { Err(bad.0) }
    }
}

#[derive(Default)]
struct Bad(Vec<BadField>);

impl Bad {
    fn field(&mut self, field: &str, reason: &str) {
        self.0.push(BadField { field: field.to_owned(), reason: reason.to_owned() });
    }
}

fn retry(cause: Cause, fields: &Map<String, Value>, bad: &mut Bad) -> Retry {
    let mut retry = Retry::after(&[]);
    let at = |name: &str| format!("{}.{name}", cause.as_str());
    for (name, value) in fields {
        let field = at(name);
        match (name.as_str(), value) {
            ("delays_s", Value::Array(delays)) => {
                if delays.len() >= MOST_ATTEMPTS as usize {
                    bad.field(&field, &format!("holds more than {} delays", MOST_ATTEMPTS - 1));
                }
                for (i, delay) in delays.iter().enumerate() {
                    match delay.as_u64().filter(|s| (1..=LONGEST_DELAY_S).contains(s)) {
                        Some(s) => retry.delays_s.push(u32::try_from(s).unwrap_or(u32::MAX)),
                        None => bad.field(
                            &format!("{field}[{i}]"),
                            &format!("must be a whole number of seconds from 1 to {LONGEST_DELAY_S}"),
                        ),
                    }
                }
            }
            ("delays_s", _) => bad.field(&field, "must be a list of seconds"),
            ("other_number", Value::Bool(yes)) => retry.other_number = *yes,
            ("other_time", Value::Bool(yes)) => retry.other_time = *yes,
            ("other_number" | "other_time", _) => bad.field(&field, "must be true or false"),
            _ => bad.field(&field, "is not known; known are delays_s, other_number, other_time"),
        }
    }
    if !fields.contains_key("delays_s") {
        bad.field(&at("delays_s"), "is required; an empty list means that it is not tried again");
    }
    if cause == Cause::Refused && !retry.other_number && !retry.delays_s.is_empty() {
        bad.field(&at("other_number"), "must be true: a number that is refused is not dialed again");
    }
    retry
}

/// `span` divided by `scale`, so that a rehearsal passes in seconds; 1.0 is real time, and what is no positive number
/// counts as 1.0. Never below 1 ms, so that a scaled delay stays a delay.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub fn scaled(span: Millis, scale: f64) -> Millis {
    if scale.is_finite() && scale > 0.0 { ((span as f64 / scale).round() as Millis).max(1) } else { span }
}

/// The hours at which the parts of a day begin, and the one at which the last of them ends.
const PARTS: [i8; 4] = [8, 12, 17, 21];

/// The part of the day an hour lies in; `None` by night.
fn part(hour: i8) -> Option<usize> {
    PARTS.windows(2).position(|p| (p[0]..p[1]).contains(&hour))
}

/// The first moment from `earliest` on that lies in another part of the day (08–12, 12–17, 17–21 on the clock of
/// `zone`) than `tried` did. `earliest` itself where the zone is unknown or `tried` lies in none of them.
#[must_use]
pub fn another_part(zone: &str, tried: Millis, earliest: Millis) -> Millis {
    let Ok(zone) = TimeZone::get(zone) else { return earliest };
    let local = |ms: Millis| {
        let at = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        Some(at.to_zoned(zone.clone()))
    };
    let (Some(tried), Some(from)) = (local(tried), local(earliest)) else { return earliest };
    let Some(taken) = part(tried.hour()) else { return earliest };
    if part(from.hour()).is_some_and(|p| p != taken) {
        return earliest;
    }
    let starts = from.date().series(jiff::ToSpan::day(1)).take(3).flat_map(|date| {
        PARTS[..3]
            .iter()
            .enumerate()
            .filter(move |(p, _)| *p != taken)
            .map(move |(_, h)| date.at(*h, 0, 0, 0))
    });
    starts
        .filter_map(|start| start.to_zoned(zone.clone()).ok())
        .filter_map(|start| Millis::try_from(start.timestamp().as_millisecond()).ok())
        .find(|start| *start > earliest)
        .unwrap_or(earliest)
}

#[cfg(test)]
#[path = "retry_cases.rs"]
mod cases;
