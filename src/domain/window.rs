//! Calling windows: when a number may ring, in its own time.
//!
//! The configured window, every rule for the number's region and every zone it may lie in must all be open, from the
//! moment of dialing until the call has rung out. Where a zone is not known, nothing is open.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::base::clock::{DAY, Millis};
use crate::domain::phone::{self, Phone};

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
    /// The ids of the rules applied, `window` (the configured hours) first.
    pub rules: Vec<String>,
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
    OpenUntil(Millis, Evidence),
    /// Not now; it may be dialed from this moment on.
    ClosedUntil(Millis, Evidence),
    /// No permitted moment can be named: a stable word (`zone_unknown`, `zone_invalid`, `no_common_hour`).
    Never(&'static str),
}

/// Whether `phone` may be dialed at `now`, when a call takes up to `lead` (queueing at the carrier and ringing) until
/// it is answered: the whole of `lead` must lie inside. `own_zone` is the contact's zone, which wins over what the
/// number says; one that does not exist closes (fails closed), it is not ignored.
#[must_use]
pub fn open_until(
    window: Window,
    rules: &Rules,
    phone: &Phone,
    own_zone: Option<&str>,
    now: Millis,
    lead: Duration,
) -> Opening {
    let Window::Daily(daily) = window else {
        return Opening::OpenUntil(now.saturating_add(DAY), unlimited(rules));
    };
    let names = match own_zone {
        Some(zone) => vec![zone],
        None => phone::zones(phone),
    };
    let Some(zones) = names.iter().map(|name| zone_by_name(name)).collect::<Option<Vec<TimeZone>>>() else {
        return Opening::Never("zone_invalid");
    };
    let Some(at) = i64::try_from(now).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()) else {
        return Opening::Never("time_invalid");
    };
    if zones.is_empty() {
        return Opening::Never("zone_unknown");
    }
    let region = rules.region(phone);
    let applied: Vec<&Rule> = rules.for_place(region, &names).collect();

    let mut open: Option<Vec<Span>> = None;
    for zone in &zones {
        let spans = open_spans(zone, at, |_| Some(daily));
        open = Some(open.map_or_else(|| spans.clone(), |so_far| intersect(&so_far, &spans)));
        for rule in &applied {
            let spans = open_spans(zone, at, |date| rules.hours(rule, region, date));
            open = open.map(|so_far| intersect(&so_far, &spans));
        }
    }

    let evidence = Evidence {
        zones: names
            .iter()
            .zip(&zones)
            .map(|(name, tz)| ZoneTime {
                zone: (*name).to_owned(),
                local: at.to_zoned(tz.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            })
            .collect(),
        zones_from: if own_zone.is_some() { "contact" } else { "number" }.to_owned(),
        region: region.map(str::to_owned),
        rules: std::iter::once("window")
            .chain(applied.iter().map(|r| r.id.as_str()))
            .map(str::to_owned)
            .collect(),
        rules_version: rules.version().to_owned(),
    };
    let lead = Millis::try_from(lead.as_millis()).unwrap_or(Millis::MAX);
    let horizon = now.saturating_add(HORIZON_DAYS * DAY);
    for Span { from, to } in open.unwrap_or_default() {
        // The last moment at which a dial still rings out inside.
        let Some(last) = to.checked_sub(lead).filter(|last| *last > from) else { continue };
        if from <= now && now < last {
            return Opening::OpenUntil(last, evidence);
        }
        if from > now && from <= horizon {
            return Opening::ClosedUntil(from, evidence);
        }
    }
    Opening::Never("no_common_hour")
}

fn unlimited(rules: &Rules) -> Evidence {
    Evidence {
        zones: Vec::new(),
        zones_from: "off".to_owned(),
        region: None,
        rules: Vec::new(),
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

/// The open stretches in one zone around `at`, in order, those that touch joined. Where a clock change makes a time of
/// day happen twice or never, opening takes the later reading and closing the earlier.
fn open_spans(zone: &TimeZone, at: Timestamp, hours: impl Fn(Date) -> Option<Hours>) -> Vec<Span> {
    let Ok(first) = zone.to_datetime(at).date().yesterday() else { return Vec::new() };
    let mut spans: Vec<Span> = Vec::new();
    // Yesterday (its hours may cross midnight), today, the days of the horizon, and one for what runs on behind it.
    for date in first.series(jiff::ToSpan::day(1)).take(usize::try_from(HORIZON_DAYS).unwrap_or(8) + 3) {
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
