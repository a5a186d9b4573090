//! Dates as people say them, with the precision they said: a year, or a month of a year. A vaguer word ("mid 2015",
//! "summer 2015") stays the bare year: better to know less than to invent a month.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::words::{number, words};
use crate::base::clock::Millis;

/// Months since year 0: the unit in which employment is counted.
pub(crate) type MonthIndex = i32;

/// A year, or a month of a year. Written `2015` or `2015-03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Date {
    /// 1900 to 2100.
    pub(crate) year: i16,
    /// 1 to 12 where it was said.
    pub(crate) month: Option<u8>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Date {
    /// The first month it can mean: a bare year begins in January.
    pub(crate) fn first(self) -> MonthIndex {
        i32::from(self.year) * 12 + i32::from(self.month.unwrap_or(1)) - 1
    }

    /// The month after the last it can mean: a bare year lasts through December.
    pub(crate) fn after(self) -> MonthIndex {
        i32::from(self.year) * 12 + i32::from(self.month.unwrap_or(12))
    }

    /// The month with that index.
    pub(crate) fn of_month(index: MonthIndex) -> Self {
        let month = u8::try_from(index.rem_euclid(12) + 1).unwrap_or(1);
        Self { year: i16::try_from(index.div_euclid(12)).unwrap_or(i16::MAX), month: Some(month) }
    }

    /// As it is said: "March 2015" or "2015".
    pub(crate) fn spoken(self) -> String {
        match self.month.and_then(|m| MONTHS.get(usize::from(m).checked_sub(1)?)) {
            Some(month) => format!("{month} {}", self.year),
            None => self.year.to_string(),
        }
    }

    /// The month that `now` lies in (UTC; a month is precise enough here that the zone does not matter).
    pub(crate) fn today(now: Millis) -> Self {
        let at = i64::try_from(now).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let date = at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(jiff::tz::TimeZone::UTC).date();
        Self { year: date.year(), month: u8::try_from(date.month()).ok() }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.month {
            Some(month) => write!(f, "{:04}-{month:02}", self.year),
            None => write!(f, "{:04}", self.year),
        }
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        numeric(&text).ok_or_else(|| serde::de::Error::custom("not YYYY or YYYY-MM"))
    }
}

/// What a text about time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A date.
    Date(Date),
    /// Until now.
    Now,
}

/// Why a text is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    /// A month or a season without its year.
    #[error("has no year")]
    NoYear,
    /// Two years, a decade, no date at all.
    #[error("is no single year or month")]
    NoDate,
}

/// Reads a date as said or written, relative words ("last year", "three years ago") against `today`.
pub(crate) fn parse(text: &str, today: Date) -> Result<When, Unclear> {
    const NOW: [&str; 12] = [
        "now",
        "present",
        "today",
        "current",
        "currently",
        "still",
        "until now",
        "to date",
        "still there",
        "ongoing",
        "the present",
        "right now",
    ];
    let spoken = words(text);
    if NOW.contains(&spoken.join(" ").as_str()) {
        return Ok(When::Now);
    }
    if let Some(date) = numeric(text) {
        return Ok(When::Date(date));
    }
    if text.contains(['-', '/'])
        && text.trim().bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/'))
    {
        return Err(Unclear::NoDate);
    }
    if let Some(date) = relative(&spoken, today) {
        return Ok(When::Date(date));
    }
    // "03/2015" inside a sentence: the slash is lost among the words, so it is read first.
    let slashed =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|p| p.contains('/')).filter_map(numeric);
    let (mut years, mut months): (Vec<i16>, Vec<u8>) = (Vec::new(), Vec::new());
    for date in slashed {
        years.push(date.year);
        months.extend(date.month);
    }
    let mut i = 0;
    while i < spoken.len() {
        let (year, taken) = year_at(&spoken[i..], today).map_or((None, 1), |(y, n)| (Some(y), n));
        match year {
            Some(year) if !years.contains(&year) => years.push(year),
            Some(_) => {}
            None => months.extend(month_named(&spoken[i])),
        }
        i += taken;
    }
    months.dedup();
    match (years.as_slice(), months.as_slice()) {
        ([year], [month]) => Ok(When::Date(Date { year: *year, month: Some(*month) })),
        ([year], _) => Ok(When::Date(Date { year: *year, month: None })),
        ([], [_, ..]) => Err(Unclear::NoYear),
        _ => Err(Unclear::NoDate),
    }
}

/// `2015`, `2015-03`, `2015-03-10`, `03/2015`, `3/10/2015` (the American order).
fn numeric(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.trim().split(['-', '/', '.']).collect();
    let year = |part: &str| {
        (part.len() == 4 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<i16>().ok())?
    };
    let year = |part: &str| year(part).filter(|y| (1900..=2100).contains(y));
    let small = |part: &str, max: u8| part.parse::<u8>().ok().filter(|n| (1..=max).contains(n));
    match parts.as_slice() {
        [y] => Some(Date { year: year(y)?, month: None }),
        [y, m] if y.len() == 4 => Some(Date { year: year(y)?, month: Some(small(m, 12)?) }),
        [m, y] => Some(Date { year: year(y)?, month: Some(small(m, 12)?) }),
        [y, m, d] if y.len() == 4 => {
            small(d, 31).and(Some(Date { year: year(y)?, month: Some(small(m, 12)?) }))
        }
        [m, d, y] => small(d, 31).and(Some(Date { year: year(y)?, month: Some(small(m, 12)?) })),
        _ => None,
    }
}

/// "last year", "this month", "three years ago".
fn relative(spoken: &[String], today: Date) -> Option<Date> {
    let text = spoken.join(" ");
    let ends = |phrase: &str| text == phrase || text.ends_with(&format!(" {phrase}"));
    if ends("this year") {
        return Some(Date { year: today.year, month: None });
    }
    if ends("last year") {
        return Some(Date { year: today.year - 1, month: None });
    }
    if ends("this month") {
        return Some(today);
    }
    if ends("last month") {
        return Some(Date::of_month(today.first() - 1));
    }
    let at = spoken.iter().position(|w| w == "years" || w == "year")?;
    if spoken.get(at + 1).is_none_or(|w| w != "ago") {
        return None;
    }
    // The number may be one or two words long ("twenty five years ago").
    let n = (1..=2).rev().find_map(|len| {
        let head = spoken.get(at.checked_sub(len)?..at)?;
        match head {
            [a] if a == "a" => Some(1),
            _ => number(head).filter(|(_, taken)| *taken == len).map(|(n, _)| n),
        }
    })?;
    Some(Date { year: today.year - i16::try_from(n).ok()?, month: None })
}

/// A year at the head of `spoken`: `2015`, `'98`, "twenty fifteen", "nineteen oh five", "two thousand and three".
fn year_at(spoken: &[String], today: Date) -> Option<(i16, usize)> {
    let head = spoken.first()?;
    if let Some(date) = numeric(head) {
        return Some((date.year, 1));
    }
    if let Some(short) = head.strip_prefix('\'').filter(|s| s.len() == 2) {
        let short: i16 = short.parse().ok()?;
        // '98 can only be a year that has been.
        let century = if 2000 + short > today.year { 1900 } else { 2000 };
        return Some((century + short, 1));
    }
    if head == "two" && spoken.get(1).is_some_and(|w| w == "thousand") {
        let and = usize::from(spoken.get(2).is_some_and(|w| w == "and"));
        return match number(spoken.get(2 + and..).unwrap_or_default()) {
            Some((n, taken)) => Some((2000 + i16::try_from(n).ok()?, 2 + and + taken)),
            None => Some((2000, 2)),
        };
    }
    let century = match head.as_str() {
        "nineteen" => 1900,
        "twenty" => 2000,
        _ => return None,
    };
    let rest = &spoken[1..];
    if rest.first().is_some_and(|w| w == "hundred") && century == 1900 {
        return Some((1900, 2));
    }
    if rest.first().is_some_and(|w| w == "oh" || w == "o") {
        let (n, taken) = number(&rest[1..]).filter(|(n, _)| *n < 10)?;
        return Some((century + i16::try_from(n).ok()?, 2 + taken));
    }
    let (n, taken) = number(rest).filter(|(n, _)| (10..100).contains(n))?;
    Some((century + i16::try_from(n).ok()?, 1 + taken))
}

fn month_named(word: &str) -> Option<u8> {
    let known = |name: &str| {
        let name = name.to_lowercase();
        word == name || (word.len() >= 3 && word.len() <= 4 && name.starts_with(word))
    };
    MONTHS.iter().position(|name| known(name)).and_then(|i| u8::try_from(i + 1).ok())
}

/// The month's name as said, 1 to 12; for other modules that read dates.
pub(crate) fn month(word: &str) -> Option<u8> {
    month_named(word)
}

/// What is impossible about a job's dates, in words that ask again. Empty: possible.
pub(crate) fn impossible(
    start: Option<Date>,
    end: Option<Date>,
    today: Date,
    born: Option<i16>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (what, date) in [("start", start), ("end", end)] {
        let Some(date) = date else { continue };
        if date.first() > today.first() {
            problems.push(format!("{what}: {} is in the future; ask again", date.spoken()));
        }
        if let Some(born) = born.filter(|born| date.year < born + 14) {
            problems
                .push(format!("{what}: {} is before the age of 14 (born {born}); ask again", date.spoken()));
        }
    }
    if let (Some(start), Some(end)) = (start, end)
        && end.after() <= start.first()
    {
        problems.push(format!("end: {} is before the start, {}; ask again", end.spoken(), start.spoken()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = Date { year: 2026, month: Some(11) };

    #[test]
    fn dates_as_people_say_them() {
        let cases = [
            ("2015", "2015"),
            ("2015-03", "2015-03"),
            ("2015-03-10", "2015-03"),
            ("03/2015", "2015-03"),
            ("3/2015", "2015-03"),
            ("3/10/2015", "2015-03"),
            ("March 2015", "2015-03"),
            ("march of 2015", "2015-03"),
            ("Mar. 2015", "2015-03"),
            ("Sept 2015", "2015-09"),
            ("in March, 2015", "2015-03"),
            ("March 3rd, 2015", "2015-03"),
            ("mid 2015", "2015"),
            ("mid-2015", "2015"),
            ("early 2015", "2015"),
            ("summer of 2015", "2015"),
            ("around 2015", "2015"),
            ("March or April 2015", "2015"),
            ("back in 03/2015", "2015-03"),
            ("since 2015", "2015"),
            ("'98", "1998"),
            ("in '05", "2005"),
            ("twenty fifteen", "2015"),
            ("nineteen seventy-seven", "1977"),
            ("nineteen oh five", "1905"),
            ("two thousand and three", "2003"),
            ("two thousand", "2000"),
            ("June twenty twenty one", "2021-06"),
            ("last year", "2025"),
            ("this year", "2026"),
            ("about three years ago", "2023"),
            ("twenty five years ago", "2001"),
            ("a year ago", "2025"),
            ("last month", "2026-10"),
            ("may 2010", "2010-05"),
        ];
        for (said, expected) in cases {
            let found = match parse(said, TODAY) {
                Ok(When::Date(date)) => date.to_string(),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{said}");
        }
        for now in ["now", "Present", "today", "until now", "still there"] {
            assert_eq!(parse(now, TODAY), Ok(When::Now), "{now}");
        }
        assert_eq!(parse("in March", TODAY), Err(Unclear::NoYear));
        for none in [
            "",
            "a while",
            "from 2015 to 2018",
            "2015-2018",
            "the nineties",
            "2015-13",
            "12345",
            "\u{e9}\u{301}",
        ] {
            assert_eq!(parse(none, TODAY), Err(Unclear::NoDate), "{none}");
        }
    }

    #[test]
    fn impossible_dates_are_asked_again() {
        let d = |text: &str| numeric(text);
        let cases = [
            (d("2015"), d("2018"), None, 0),
            (d("2015"), d("2015"), None, 0),
            (d("2015-05"), d("2015"), None, 0),
            (d("2026"), None, None, 0),
            (d("2026-11"), None, None, 0),
            (d("2026-12"), None, None, 1),
            (d("2027"), None, None, 1),
            (d("2015"), d("2031"), None, 1),
            (d("2018"), d("2015"), None, 1),
            (d("2015-06"), d("2015-03"), None, 1),
            (d("1990"), None, Some(1980), 1),
            (d("1994"), None, Some(1980), 0),
            (None, None, Some(1980), 0),
        ];
        for (start, end, born, count) in cases {
            assert_eq!(impossible(start, end, TODAY, born).len(), count, "{start:?} {end:?} {born:?}");
        }
    }

    #[test]
    fn months_count() {
        let march = Date { year: 2015, month: Some(3) };
        assert_eq!((Date::of_month(march.first()), march.after() - march.first()), (march, 1));
        assert_eq!(Date { year: 2015, month: None }.after() - Date { year: 2015, month: None }.first(), 12);
        assert_eq!(Date::today(1_795_000_000_000).to_string(), "2026-11");
        assert_eq!((march.spoken(), march.to_string()), ("March 2015".to_owned(), "2015-03".to_owned()));
    }
}
