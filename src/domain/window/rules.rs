//! The rules that are stricter than the configured window: rows of a data file, read and checked.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};

use super::calendar::On;
use super::memo::Memo;
use crate::domain::phone::Phone;

mod file;

/// Minutes in a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Hours of a day, in minutes after midnight, callee-local: from `open` on, and before `close`. Where `close` does
/// not lie after `open`, the hours cross midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    /// First minute, 0 to 1439.
    pub open: u16,
    /// The minute at which it is over, 1 to 1440.
    pub close: u16,
}

impl Hours {
    /// Whether the hours run into the next day.
    #[must_use]
    pub fn crosses_midnight(self) -> bool {
        self.close <= self.open
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = (self.open, self.close);
        write!(f, "{:02}:{:02}-{:02}:{:02}", open / 60, open % 60, close / 60, close % 60)
    }
}

impl FromStr for Hours {
    type Err = String;
    /// Reads `HH:MM-HH:MM`; `24:00` may stand as the end.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a pair of times such as 08:00-21:00");
        let minute = |part: &str| -> Option<u16> {
            let (h, m) = part.trim().split_once(':')?;
            let plain = |s: &str| s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
            if !plain(h) || !plain(m) {
                return None;
            }
            let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
            (m < 60 && h * 60 + m <= DAY_MINUTES).then_some(h * 60 + m)
        };
        let (open, close) = text.split_once('-').ok_or_else(wrong)?;
        let (open, close) = (minute(open).ok_or_else(wrong)?, minute(close).ok_or_else(wrong)?);
        if open == close || open == DAY_MINUTES {
            return Err(format!("{text:?} leaves no time; write 00:00-24:00 for the whole day"));
        }
        // Midnight as an end is the end of the day that opened.
        Ok(Self { open, close: if close == 0 { DAY_MINUTES } else { close } })
    }
}

/// A day of a rule: some hours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    Closed,
    Open(Hours),
}

impl Day {
    fn read(text: &str) -> Result<Self, String> {
        if text == "closed" {
            return Ok(Self::Closed);
        }
        let hours: Hours = text.parse()?;
        if hours.crosses_midnight() {
            return Err(format!("{text:?}: a rule's hours may not cross midnight"));
        }
        Ok(Self::Open(hours))
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its stable name, for the evidence.
    pub id: String,
    regions: Vec<String>,
    zones: Vec<String>,
    /// Monday first.
    days: [Day; 7],
    holidays: bool,
    /// Where the rule stands.
    pub source: String,
}

impl Rule {
    fn day(&self, weekday: Weekday) -> Day {
        usize::try_from(weekday.to_monday_zero_offset())
            .ok()
            .and_then(|n| self.days.get(n))
            .map_or(Day::Closed, |d| *d)
    }
}

#[derive(Clone, Debug)]
struct Holiday {
    id: String,
    regions: Vec<String>,
    on: On,
    observed: bool,
}

/// A number that no region is known of.
const NOWHERE: u16 = u16::MAX;

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Rules {
    version: String,
    rules: Vec<Rule>,
    holidays: Vec<Holiday>,
    regions: Vec<String>,
    /// By area code, 0 to 999: the region's place in `regions`.
    area_codes: Vec<u16>,
    pub(super) memo: Memo,
}

impl Rules {
    /// The rules that the binary carries.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Rules> = LazyLock::new(|| {
            Rules::parse(include_str!("../data/rules.toml"))
                .unwrap_or_else(|e| unreachable!("a test reads the embedded rules: {e}"))
        });
        &BUILTIN
    }

    /// Reads a file of rules. A word that is not known is a mistake, never ignored. A file without `[area_codes]` takes
    /// those of the program.
    ///
    /// # Errors
    /// What is wrong, in which row and field.
    pub fn parse(text: &str) -> Result<Self, String> {
        file::read(text)
    }

    /// The version written in the file.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The region (ISO 3166-2) that the number's area code belongs to, where it is known.
    #[must_use]
    pub fn region(&self, phone: &Phone) -> Option<&str> {
        self.regions.get(usize::from(self.region_number(phone)?)).map(String::as_str)
    }

    /// The region's place among all.
    pub(super) fn region_number(&self, phone: &Phone) -> Option<u16> {
        let code: usize = phone.area_code()?.parse().ok()?;
        self.area_codes.get(code).copied().filter(|region| *region != NOWHERE)
    }

    /// The rules for a number of `region` whose candidate zones are `zones`.
    pub(super) fn for_place<'a>(
        &'a self,
        region: Option<&'a str>,
        zones: &'a [&str],
    ) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| {
            names(&rule.regions, region) || rule.zones.iter().any(|zone| zones.contains(&zone.as_str()))
        })
    }

    /// The hours that `rule` leaves open on a day; `None`: it is closed.
    pub(super) fn hours(&self, rule: &Rule, region: Option<&str>, date: Date) -> Option<Hours> {
        if rule.holidays && self.holiday(region, date).is_some() {
            return None;
        }
        match rule.day(date.weekday()) {
            Day::Closed => None,
            Day::Open(hours) => Some(hours),
        }
    }

    /// The holiday on a day. One that is observed closes the Monday after its Sunday and the Friday before its
    /// Saturday too.
    fn holiday(&self, region: Option<&str>, date: Date) -> Option<&str> {
        let falls = |holiday: &Holiday| {
            let moved = match date.weekday() {
                Weekday::Monday => date.yesterday().ok(),
                Weekday::Friday => date.tomorrow().ok(),
                _ => None,
            };
            holiday.on.falls_on(date)
                || (holiday.observed && moved.is_some_and(|other| holiday.on.falls_on(other)))
        };
        self.holidays
            .iter()
            .find(|h| (h.regions.is_empty() || names(&h.regions, region)) && falls(h))
            .map(|h| h.id.as_str())
    }
}

/// Whether a list of regions names this one, by itself or by its country.
fn names(list: &[String], region: Option<&str>) -> bool {
    region.is_some_and(|region| {
        let country = region.split('-').next().unwrap_or(region);
        list.iter().any(|name| name == region || name == country)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_rules_are_sound() {
        let rules = Rules::builtin();
        assert!(rules.rules.iter().all(|r| !r.source.is_empty()));
        for (number, region) in [
            ("+12055550100", Some("US-AL")),
            ("+12035550100", Some("US-CT")),
            ("+13055550100", Some("US-FL")),
            ("+14165550100", Some("CA-ON")),
            ("+18005550100", None),
            ("+442079460018", None),
        ] {
            let phone = Phone::from_e164(number).expect("shape");
            assert_eq!(rules.region(&phone), region, "{number}");
        }
    }

    #[test]
    fn hours_are_read_strictly() {
        for (text, want) in [
            ("08:00-21:00", Some((480, 1260))),
            ("00:00-24:00", Some((0, 1440))),
            ("22:00-06:00", Some((1320, 360))),
            ("18:00-00:00", Some((1080, 1440))),
            ("8-21", None),
            ("08:00", None),
            ("08:60-21:00", None),
            ("25:00-26:00", None),
            ("+8:00-21:00", None),
            ("08:00-08:00", None),
            ("24:00-08:00", None),
        ] {
            let got = text.parse::<Hours>().ok().map(|h| (h.open, h.close));
            assert_eq!(got, want, "{text}");
        }
        let shown = |text: &str| text.parse::<Hours>().map(|h| h.to_string());
        assert_eq!(shown("18:00-00:00").as_deref(), Ok("18:00-24:00"));
        assert_eq!(shown("08:05-21:30").as_deref(), Ok("08:05-21:30"));
    }

    #[test]
    fn holidays_fall_where_the_calendar_says() {
        let rules = Rules::builtin();
        let on = |region, date: &str| rules.holiday(Some(region), date.parse().expect("date"));
        assert_eq!(on("US-AL", "2026-11-26"), Some("thanksgiving"));
        assert_eq!(on("US-AL", "2026-11-19"), None);
        assert_eq!(on("US-MS", "2027-01-18"), Some("mlk-day"));
        assert_eq!(on("US-LA", "2027-05-31"), Some("memorial-day"));
        // The fourth of July 2027 is a Sunday, 2026 a Saturday.
        assert_eq!(on("US-LA", "2027-07-05"), Some("independence-day"));
        assert_eq!(on("US-LA", "2026-07-03"), Some("independence-day"));
        assert_eq!(on("US-CA", "2026-12-25"), None);
    }
}
