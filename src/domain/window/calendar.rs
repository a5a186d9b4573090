//! Days that a calendar names: fixed dates, weekdays of a month, weekdays beside a date, days counted from Easter.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// When a holiday falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// Month and day of every year.
    Yearly(i8, i8),
    /// One date.
    Once(Date),
    /// The n-th weekday of a month; -1 is the last.
    Nth(i8, Weekday, i8),
    /// The weekday next before (-1) or after (1) a month's day, which itself is none.
    Beside(Weekday, i8, i8, i8),
    /// So many days after (or before) Western Easter Sunday.
    Easter(i16),
}

/// What [`On::read`] takes, for a person who wrote something else.
pub(super) const FORMS: &str = "MM-DD, YYYY-MM-DD, \"third monday 1\", \"monday before 05-25\", \"tuesday after 11-01\" or \"easter-47\"";

impl On {
    /// Reads one of [`FORMS`].
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(days) = text.strip_prefix("easter") {
            let signed = days.is_empty() || days.starts_with(['+', '-']);
            let days = if days.is_empty() { 0 } else { days.parse().ok()? };
            return (signed && (-90..=90).contains(&days)).then_some(Self::Easter(days));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [weekday, side @ ("before" | "after"), day] = words[..] {
            let (month, day) = month_and_day(day)?;
            return Some(Self::Beside(
                weekday_of(weekday)?,
                if side == "before" { -1 } else { 1 },
                month,
                day,
            ));
        }
        if let [nth, weekday, month] = words[..] {
            let nth = match nth {
                "first" => 1,
                "second" => 2,
                "third" => 3,
                "fourth" => 4,
                "last" => -1,
                _ => return None,
            };
            let month = month.parse().ok().filter(|m| (1..=12).contains(m))?;
            return Some(Self::Nth(nth, weekday_of(weekday)?, month));
        }
        if text.len() == 5 {
            return month_and_day(text).map(|(month, day)| Self::Yearly(month, day));
        }
        text.parse().ok().map(Self::Once)
    }

    /// Does it fall on `date`?
    pub(super) fn falls_on(self, date: Date) -> bool {
        match self {
            Self::Yearly(month, day) => (date.month(), date.day()) == (month, day),
            Self::Once(once) => date == once,
            Self::Nth(nth, weekday, month) => {
                date.month() == month && date.nth_weekday_of_month(nth, weekday).is_ok_and(|d| d == date)
            }
            Self::Beside(weekday, side, month, day) => Date::new(date.year(), month, day)
                .and_then(|beside| beside.nth_weekday(i32::from(side), weekday))
                .is_ok_and(|found| found == date),
            Self::Easter(days) => easter(date.year())
                .and_then(|sunday| sunday.checked_add(i32::from(days).days()).ok())
                .is_some_and(|found| found == date),
        }
    }
}

fn month_and_day(text: &str) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-')?;
    let plain = |s: &str| s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
    if !plain(month) || !plain(day) {
        return None;
    }
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    Date::new(2024, month, day).ok()?; // a leap year: 02-29 may be named
    Some((month, day))
}

/// A weekday's English name.
pub(super) fn weekday_of(word: &str) -> Option<Weekday> {
    Some(match word {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// Western Easter Sunday (the Gregorian computus, as Meeus, Jones and Butcher wrote it).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let h = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let day_of_march = h + l - 7 * m + 22; // 22 to 56: those over 31 lie in April
    let (month, day) = if day_of_march > 31 { (4, day_of_march - 31) } else { (3, day_of_march) };
    Date::new(year, month, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_fall_where_the_almanac_says() {
        for (on, date) in [
            ("easter", "2024-03-31"),
            ("easter", "2025-04-20"),
            ("easter", "2026-04-05"),
            ("easter", "2027-03-28"),
            ("easter", "2038-04-25"),
            ("easter-47", "2025-03-04"),
            ("easter-47", "2026-02-17"),
            ("easter-47", "2027-02-09"),
            ("easter-47", "2028-02-29"),
            ("easter-2", "2026-04-03"),
            ("easter-2", "2027-03-26"),
            ("easter+1", "2026-04-06"),
            // Victoria Day: never the 25th itself
            ("monday before 05-25", "2026-05-18"),
            ("monday before 05-25", "2027-05-24"),
            // election day: never the 1st itself
            ("tuesday after 11-01", "2026-11-03"),
            ("tuesday after 11-01", "2022-11-08"),
            ("third monday 1", "2027-01-18"),
            ("last monday 5", "2027-05-31"),
            ("02-29", "2028-02-29"),
            ("2027-02-09", "2027-02-09"),
        ] {
            let date: Date = date.parse().expect("date");
            let read = On::read(on).unwrap_or_else(|| panic!("{on}"));
            let start = Date::new(date.year(), 1, 1).expect("date");
            let found: Vec<Date> = start
                .series(1.day())
                .take_while(|d| d.year() == date.year())
                .filter(|d| read.falls_on(*d))
                .collect();
            assert_eq!(found, [date], "{on}");
        }
    }

    #[test]
    fn nothing_else_is_read() {
        for bad in [
            "",
            "easter47",
            "easter-",
            "easter-400",
            "easter monday",
            "monday near 05-25",
            "moonday before 05-25",
            "monday before 5-25",
            "fifth monday 1",
            "first monday 13",
            "13-01",
            "1-1",
            "02-30",
            "2027-02-30",
            "tomorrow",
        ] {
            assert_eq!(On::read(bad), None, "{bad}");
        }
    }
}
