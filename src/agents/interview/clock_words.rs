//! A moment on the callee's clock as it is said aloud, and the names people give their zones.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::words::{ONES, TENS, has};

/// What people call the zones of North America, the abbreviations of their times, and a zone of that name.
const NAMED: [(&str, [&str; 2], &str); 8] = [
    ("eastern", ["EST", "EDT"], "America/New_York"),
    ("central", ["CST", "CDT"], "America/Chicago"),
    ("mountain", ["MST", "MDT"], "America/Denver"),
    ("pacific", ["PST", "PDT"], "America/Los_Angeles"),
    ("alaska", ["AKST", "AKDT"], "America/Anchorage"),
    ("hawaii", ["HST", "HDT"], "Pacific/Honolulu"),
    ("atlantic", ["AST", "ADT"], "America/Halifax"),
    ("newfoundland", ["NST", "NDT"], "America/St_Johns"),
];

/// "tomorrow, Saturday, November 21st, at three in the afternoon"; the zone stands behind it.
pub(crate) fn moment(at: &Zoned, now: &Zoned, zone: &str) -> String {
    let day = format!("{} {}", at.strftime("%A, %B"), ordinal(at.day()));
    let time = time(at.hour(), at.minute());
    let day = if at.date() == now.date() {
        format!("today, {day}")
    } else if now.date().tomorrow().is_ok_and(|tomorrow| at.date() == tomorrow) {
        format!("tomorrow, {day}")
    } else {
        format!("on {day}")
    };
    format!("{day}, at {time}, {zone}")
}

/// The name of a zone's time at a moment, as it is said: "Eastern time"; "Denver time" where it has none.
pub(crate) fn zone(at: &Zoned) -> String {
    format!("{} time", name(at))
}

/// `Eastern`, or the zone's own city.
pub(crate) fn name(at: &Zoned) -> String {
    let short = at.strftime("%Z").to_string();
    match NAMED.iter().find(|(_, shorts, _)| shorts.contains(&short.as_str())) {
        Some((name, ..)) => capital(name),
        None => city(at.time_zone()),
    }
}

/// The city that stands for a zone.
pub(crate) fn city(zone: &TimeZone) -> String {
    let iana = zone.iana_name().unwrap_or("UTC");
    iana.rsplit('/').next().unwrap_or(iana).replace('_', " ")
}

/// The zone that was named: "three o'clock Central time", "Pacific", "Denver time". One of `candidates` where it bears
/// the name.
pub(crate) fn named(said: &[String], candidates: &[TimeZone], now: &Zoned) -> Option<TimeZone> {
    let by_city = |zone: &&TimeZone| has(said, &format!("{} time", city(zone).to_lowercase()));
    if let Some(zone) = candidates.iter().find(by_city) {
        return Some(zone.clone());
    }
    let (_, shorts, usual) = NAMED.iter().find(|(name, ..)| {
        let at = said.iter().position(|word| word == name);
        at.is_some_and(|at| {
            let next = said.get(at + 1).map(String::as_str);
            matches!(next, None | Some("time" | "standard" | "daylight"))
        })
    })?;
    let bears = |zone: &&TimeZone| {
        let there = now.with_time_zone((*zone).clone());
        shorts.contains(&there.strftime("%Z").to_string().as_str())
    };
    candidates.iter().find(bears).cloned().or_else(|| TimeZone::get(usual).ok())
}

fn time(hour: i8, minute: i8) -> String {
    match (hour, minute) {
        (12, 0) => return "noon".to_owned(),
        (0, 0) => return "midnight".to_owned(),
        _ => {}
    }
    let clock = if hour % 12 == 0 { 12 } else { hour % 12 };
    let minutes = match minute {
        0 => String::new(),
        1..=9 => format!(" oh {}", spelled(minute)),
        _ => format!(" {}", spelled(minute)),
    };
    let part = match hour {
        0..=11 => "in the morning",
        12..=16 => "in the afternoon",
        17..=20 => "in the evening",
        _ => "at night",
    };
    format!("{}{minutes} {part}", spelled(clock))
}

/// 0 to 99 in words.
fn spelled(n: i8) -> String {
    let n = usize::try_from(n).unwrap_or(0);
    if let Some(word) = ONES.get(n) {
        return (*word).to_owned();
    }
    let tens = TENS.get(n / 10 - 2).copied().unwrap_or_default();
    if n % 10 == 0 { tens.to_owned() } else { format!("{tens} {}", ONES[n % 10]) }
}

/// `21st`.
fn ordinal(n: i8) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        for (hour, minute, want) in [
            (15, 0, "three in the afternoon"),
            (8, 30, "eight thirty in the morning"),
            (9, 5, "nine oh five in the morning"),
            (12, 0, "noon"),
            (12, 45, "twelve forty five in the afternoon"),
            (18, 20, "six twenty in the evening"),
            (0, 0, "midnight"),
            (0, 10, "twelve ten in the morning"),
            (21, 0, "nine at night"),
        ] {
            assert_eq!(time(hour, minute), want);
        }
        let days: Vec<String> =
            [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31].into_iter().map(ordinal).collect();
        assert_eq!(days.join(" "), "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 30th 31st");
    }
}
