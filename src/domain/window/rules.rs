//! The rules that are stricter than the configured window: rows of a data file, read and checked.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Deserializer};

use crate::domain::phone::Phone;

/// Minutes in a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Hours of a day, in minutes after midnight, callee-local: from `open` on, and before `close`. Where `close` does
/// not lie after `open`, the hours cross midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "closed" {
            return Ok(Self::Closed);
        }
        let hours: Hours = text.parse().map_err(serde::de::Error::custom)?;
        if hours.crosses_midnight() {
            return Err(serde::de::Error::custom(format!("{text:?}: a rule's hours may not cross midnight")));
        }
        Ok(Self::Open(hours))
    }
}

/// One rule, as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its stable name, for the evidence.
    pub id: String,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    zones: Vec<String>,
    hours: Day,
    monday: Option<Day>,
    tuesday: Option<Day>,
    wednesday: Option<Day>,
    thursday: Option<Day>,
    friday: Option<Day>,
    saturday: Option<Day>,
    sunday: Option<Day>,
    #[serde(default)]
    holidays: bool,
    /// Where the rule stands.
    #[serde(default)]
    pub source: String,
}

impl Rule {
    fn day(&self, weekday: Weekday) -> Day {
        let own = match weekday {
            Weekday::Monday => self.monday,
            Weekday::Tuesday => self.tuesday,
            Weekday::Wednesday => self.wednesday,
            Weekday::Thursday => self.thursday,
            Weekday::Friday => self.friday,
            Weekday::Saturday => self.saturday,
            Weekday::Sunday => self.sunday,
        };
        own.unwrap_or(self.hours)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holiday {
    id: String,
    #[serde(default)]
    regions: Vec<String>,
    on: On,
    #[serde(default)]
    observed: bool,
}

/// When a holiday falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum On {
    /// Month and day of every year.
    Yearly(i8, i8),
    /// One date.
    Once(Date),
    /// The n-th weekday of a month; -1 is the last.
    Nth(i8, Weekday, i8),
}

impl TryFrom<String> for On {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text).ok_or_else(|| format!("{text:?} is no date of a holiday"))
    }
}

impl On {
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [nth, weekday, month] = words[..] {
            let nth = match nth {
                "first" => 1,
                "second" => 2,
                "third" => 3,
                "fourth" => 4,
                "last" => -1,
                _ => return None,
            };
            let weekday = match weekday {
                "monday" => Weekday::Monday,
                "tuesday" => Weekday::Tuesday,
                "wednesday" => Weekday::Wednesday,
                "thursday" => Weekday::Thursday,
                "friday" => Weekday::Friday,
                "saturday" => Weekday::Saturday,
                "sunday" => Weekday::Sunday,
                _ => return None,
            };
            let month = month.parse().ok().filter(|m| (1..=12).contains(m))?;
            return Some(Self::Nth(nth, weekday, month));
        }
        if text.len() == 5 {
            let (month, day) = text.split_once('-')?;
            let (month, day) = (month.parse().ok()?, day.parse().ok()?);
            Date::new(2024, month, day).ok()?; // a leap year: 02-29 may be named
            return Some(Self::Yearly(month, day));
        }
        text.parse().ok().map(Self::Once)
    }

    fn falls_on(self, date: Date) -> bool {
        match self {
            Self::Yearly(month, day) => (date.month(), date.day()) == (month, day),
            Self::Once(once) => date == once,
            Self::Nth(nth, weekday, month) => {
                date.month() == month && date.nth_weekday_of_month(nth, weekday).is_ok_and(|d| d == date)
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(default)]
    rule: Vec<Rule>,
    #[serde(default)]
    holiday: Vec<Holiday>,
    #[serde(default)]
    area_codes: BTreeMap<String, Vec<u16>>,
}

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Rules {
    version: String,
    rules: Vec<Rule>,
    holidays: Vec<Holiday>,
    area_codes: HashMap<String, String>,
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

    /// Reads a file of rules. A word that is not known is a mistake, never ignored.
    ///
    /// # Errors
    /// What is wrong, and where in the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        for rule in &file.rule {
            if rule.regions.is_empty() && rule.zones.is_empty() {
                return Err(format!("rule {:?} names neither regions nor zones", rule.id));
            }
        }
        let mut area_codes = HashMap::new();
        for (region, codes) in file.area_codes {
            for code in codes {
                if let Some(other) = area_codes.insert(code.to_string(), region.clone()) {
                    return Err(format!("area code {code} stands under {other} and under {region}"));
                }
            }
        }
        Ok(Self { version: file.version, rules: file.rule, holidays: file.holiday, area_codes })
    }

    /// The version written in the file.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The region (ISO 3166-2) that the number's area code belongs to, where it is known.
    #[must_use]
    pub fn region(&self, phone: &Phone) -> Option<&str> {
        self.area_codes.get(phone.area_code()?).map(String::as_str)
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
    }

    #[test]
    fn a_mistake_in_the_file_is_named() {
        for (text, word) in [
            ("rule = []", "version"),
            ("version='1'\n[[rule]]\nid='a'\nregions=['US']\nhours='8-9'", "8-9"),
            ("version='1'\n[[rule]]\nid='a'\nregions=['US']\nhours='22:00-06:00'", "midnight"),
            ("version='1'\n[[rule]]\nid='a'\nhours='08:00-20:00'", "neither"),
            (
                "version='1'\n[[rule]]\nid='a'\nregions=['US']\nhours='08:00-20:00'\nsundays='closed'",
                "sundays",
            ),
            ("version='1'\n[[holiday]]\nid='x'\non='fifth monday 1'", "fifth monday 1"),
            ("version='1'\n[[holiday]]\nid='x'\non='13-01'", "13-01"),
            ("version='1'\n[area_codes]\n'US-AL'=[205]\n'US-GA'=[205]", "205"),
        ] {
            let error = Rules::parse(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
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
