//! Calling windows: when a number may ring, in its own time.
//!
//! The configured window, every rule for the number's region and every zone it may lie in must all be open, from the
//! moment of dialing until the call has rung out. Where a zone is not known, nothing is open.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::base::clock::{DAY, Millis};
use crate::domain::phone::Phone;

mod calendar;
mod memo;
mod rules;

pub use rules::{Hours, Rule, Rules};

/// How far ahead an opening is looked for; longer than a week, so that a weekly rule is passed by.
const HORIZON_DAYS: u64 = 8;

/// `CALL_WINDOW`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// No window and no rules: for rehearsals against a simulated carrier alone.
    Off,
    /// The hours of every day, callee-local.
    Daily(Hours),
}

impl Default for Window {
    /// 08:00–21:00.
    fn default() -> Self {
        Self::Daily(Hours { open: 8 * 60, close: 21 * 60 })
    }
}

impl FromStr for Window {
    type Err = String;
    /// Reads `08:00-21:00` (which may cross midnight) or `off`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "off" => Ok(Self::Off),
            hours => hours.parse().map(Self::Daily),
        }
    }
}

/// Why a number was, or was not, allowed to ring at a moment: kept with the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Every candidate zone with its local time at that moment.
    pub zones: Vec<ZoneTime>,
    /// Where the zones come from: `contact`, `number` or `off`.
    pub zones_from: String,
    /// The region whose rules were applied (ISO 3166-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The ids of the rules applied: `window` (the configured hours) and `campaign` (its own) before those of the law.
    pub rules: Vec<String>,
    /// The configured hours (`08:00-21:00`); absent where they are off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The campaign's own hours, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_hours: Option<String>,
    /// The version of the rules.
    pub rules_version: String,
}

/// A zone and the time it had there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneTime {
    /// IANA name.
    pub zone: String,
    /// Local time with its offset, RFC 3339.
    pub local: String,
}

/// The answer for one number at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It may be dialed now, and at any moment before this one.
    OpenUntil(Millis, Arc<Evidence>),
    /// Not now; it may be dialed from this moment on.
    ClosedUntil(Millis, Arc<Evidence>),
    /// No permitted moment can be named: a stable word (`zone_unknown`, `zone_invalid`, `no_common_hour`).
    Never(&'static str),
}

/// Whether a number may be dialed at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `CALL_WINDOW`.
    pub window: Window,
    /// The campaign's own hours, callee-local, beside the window and the rules: all must be open. They hold where the
    /// window is off, too.
    pub campaign: Option<Hours>,
    /// The law as data. Its answers are remembered there.
    pub rules: &'a Rules,
    /// Whom to call.
    pub phone: &'a Phone,
    /// The contact's zone, which wins over what the number says; one that does not exist closes (fails closed), it is not
    /// ignored.
    pub zone: Option<&'a str>,
    /// How long a call takes until it is answered (queueing at the carrier and ringing): the whole of it must lie inside.
    pub lead: Duration,
}

impl Question<'_> {
    /// The answer at `now`.
    #[must_use]
    pub fn at(&self, now: Millis) -> Opening {
        if self.window == Window::Off && self.campaign.is_none() {
            return Opening::OpenUntil(now.saturating_add(DAY), Arc::new(unlimited(self.rules)));
        }
        let stretches = match self.rules.memo.stretches(self, now) {
            Ok(stretches) => stretches,
            Err(why) => return Opening::Never(why),
        };
        let lead = Millis::try_from(self.lead.as_millis()).unwrap_or(Millis::MAX);
        let horizon = now.saturating_add(HORIZON_DAYS * DAY);
        for Span { from, to } in &stretches.spans {
            // The last moment at which a dial still rings out inside.
            let Some(last) = to.checked_sub(lead).filter(|last| last > from) else { continue };
            if *from <= now && now < last {
                return Opening::OpenUntil(last, stretches.evidence(now));
            }
            if *from > now && *from <= horizon {
                return Opening::ClosedUntil(*from, stretches.evidence(now));
            }
        }
        Opening::Never("no_common_hour")
    }
}

/// [`Question::at`] for a call without a campaign's hours.
#[must_use]
pub fn open_until(
    window: Window,
    rules: &Rules,
    phone: &Phone,
    own_zone: Option<&str>,
    now: Millis,
    lead: Duration,
) -> Opening {
    Question { window, campaign: None, rules, phone, zone: own_zone, lead }.at(now)
}

fn unlimited(rules: &Rules) -> Evidence {
    Evidence {
        zones: Vec::new(),
        zones_from: "off".to_owned(),
        region: None,
        rules: Vec::new(),
        hours: None,
        campaign_hours: None,
        rules_version: rules.version().to_owned(),
    }
}

/// A zone that exists. `Etc/Unknown` is a name that the library knows as "no zone".
fn zone_by_name(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|tz| !tz.is_unknown())
}

/// A stretch of time, from inclusive, to exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: Millis,
    to: Millis,
}

/// The open stretches in one zone for the UTC day that begins `at`, and the horizon behind it, in order, those that touch
/// joined. Where a clock change makes a time of day happen twice or never, opening takes the later reading and closing
/// the earlier.
fn open_spans(zone: &TimeZone, at: Timestamp, hours: impl Fn(Date) -> Option<Hours>) -> Vec<Span> {
    let Ok(first) = zone.to_datetime(at).date().yesterday() else { return Vec::new() };
    let mut spans: Vec<Span> = Vec::new();
    // The day before (its hours may cross midnight), the two local days that a UTC day touches, the days of the horizon,
    // and one for what runs on behind it.
    for date in first.series(jiff::ToSpan::day(1)).take(usize::try_from(HORIZON_DAYS).unwrap_or(8) + 4) {
        let Some(hours) = hours(date) else { continue };
        let closing_day = if hours.crosses_midnight() { date.tomorrow().ok() } else { Some(date) };
        let from = moment(date, hours.open).and_then(|dt| zone.to_ambiguous_timestamp(dt).later().ok());
        let to = closing_day
            .and_then(|day| moment(day, hours.close))
            .and_then(|dt| zone.to_ambiguous_timestamp(dt).earlier().ok());
        let (Some(from), Some(to)) = (from.and_then(millis), to.and_then(millis)) else { continue };
        match spans.last_mut() {
            Some(last) if from <= last.to => last.to = last.to.max(to),
            _ if from < to => spans.push(Span { from, to }),
            _ => {}
        }
    }
    spans
}

/// Minute `minute` of a day, 1440 being midnight at its end.
fn moment(date: Date, minute: u16) -> Option<DateTime> {
    let (date, minute) = if minute >= 1440 { (date.tomorrow().ok()?, 0) } else { (date, minute) };
    Some(date.at(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0))
}

fn millis(at: Timestamp) -> Option<Millis> {
    Millis::try_from(at.as_millisecond()).ok()
}

/// What lies in both.
fn intersect(a: &[Span], b: &[Span]) -> Vec<Span> {
    let (mut i, mut j, mut both) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (from, to) = (x.from.max(y.from), x.to.min(y.to));
        if from < to {
            both.push(Span { from, to });
        }
        if x.to <= y.to { i += 1 } else { j += 1 }
    }
    both
}

#[cfg(test)]
mod tests;
