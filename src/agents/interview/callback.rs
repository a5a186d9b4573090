//! "Call me later": a time as people say it, resolved in the callee's zone. Days and hours are reckoned on the
//! callee's clock, hours from now on the real one, so a change to summer time moves neither. A time that a change of
//! the clocks skips is taken an hour later, one that it repeats is taken the first time.
//!
//! What is promised is kept as an instant. Were a country to move its clocks within the sixty days, the call would come
//! by the old ones; the calling window, which is reckoned anew when it is dialed, would still hold.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::words::{first_of, has, number, words};
use super::{clock_words, dates};
use crate::base::clock::Millis;
use crate::domain::agent::CallTimes;

/// The hour of a day that was named without one.
const MORNING: i8 = 10;
/// Nobody is asked to wait longer than this.
const FARTHEST_DAYS: i32 = 60;

/// A resolved time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// When.
    pub(crate) at: Millis,
    /// As it is read back, on the callee's clock: "tomorrow, Tuesday, March 3rd, at three in the afternoon, your time".
    pub(crate) spoken: String,
    /// Is it later than what was asked for, because nobody may be called then?
    pub(crate) moved: bool,
}

/// Why a time cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// It has passed.
    #[error("this time has passed; ask for another")]
    Past,
    /// At midnight: of which of two days, nobody can say.
    #[error("nobody is called at midnight; ask for another time")]
    Midnight,
    /// Too far away.
    #[error("this is more than sixty days away; ask for an earlier time")]
    Far,
    /// No hour is open in the days after it.
    #[error("calls are not permitted then, nor in the days after; ask for another time")]
    Closed,
    /// The number may lie in several zones, and the hour means another moment in each.
    #[error("the callee's clock may show {}; ask which of them is meant", .0.join(" or "))]
    Zone(Vec<String>),
    /// No such date, or outside of what a clock can show.
    #[error("there is no such time; ask again")]
    None,
}

/// A time as it was said.
struct Said {
    at: Zoned,
    /// Was it named to the minute, so that it matters by whose clock?
    exact: bool,
}

/// Resolves `text` against `now` (an unknown zone counts as UTC). A day without an hour means ten in the morning of that
/// day; no day and no hour means ten the next morning; an hour from one to seven without "am" or "pm" is one of the
/// afternoon. Where that is not permitted, the first permitted moment after it is taken.
pub(crate) fn resolve(text: &str, now: Millis, times: &CallTimes) -> Result<Resolved, Problem> {
    let instant = |ms: Millis| {
        i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or(Problem::None)
    };
    let millis = |at: &Zoned| Millis::try_from(at.timestamp().as_millisecond()).map_err(|_| Problem::None);
    let mut zones: Vec<TimeZone> = times.zones.iter().filter_map(|name| TimeZone::get(name).ok()).collect();
    if zones.is_empty() {
        zones.push(TimeZone::UTC);
    }
    let here = instant(now)?.to_zoned(zones[0].clone());
    let said = words(text);
    let named = clock_words::named(&said, &zones, &here);
    let by_name = named.is_some();
    let zones = named.map_or(zones, |zone| vec![zone]);

    let mut found = Vec::new();
    for zone in &zones {
        found.push(understood(&said, &here.with_time_zone(zone.clone()))?);
    }
    let moments: Vec<Timestamp> = found.iter().map(|f| f.at.timestamp()).collect();
    let one_moment = moments.iter().all(|at| *at == moments[0]);
    if !one_moment && found.iter().any(|f| f.exact) {
        return Err(Problem::Zone(names(&found)));
    }
    // "Tomorrow morning" where the clocks differ: when it is morning by all of them.
    let Some(Said { at, exact }) = found.into_iter().max_by_key(|f| f.at.timestamp()) else {
        return Err(Problem::None);
    };
    let now = here.with_time_zone(at.time_zone().clone());
    if at <= now {
        return Err(Problem::Past);
    }
    let opening = (times.opening)(millis(&at)?).ok_or(Problem::Closed)?;
    let at_opening = instant(opening)?.to_zoned(at.time_zone().clone());
    if at_opening.date() > now.date().checked_add(FARTHEST_DAYS.days()).map_err(|_| Problem::None)? {
        return Err(Problem::Far);
    }
    let moved = exact && at_opening > at;
    let whose =
        if by_name || zones.len() > 1 { clock_words::zone(&at_opening) } else { "your time".to_owned() };
    Ok(Resolved { at: opening, spoken: clock_words::moment(&at_opening, &now, &whose), moved })
}

/// What the callee's clock may be called; by their cities where two zones share a name.
fn names(found: &[Said]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for said in found {
        let name = clock_words::name(&said.at);
        let shared = found
            .iter()
            .any(|other| clock_words::name(&other.at) == name && other.at.timestamp() != said.at.timestamp());
        let name = if shared { clock_words::city(said.at.time_zone()) } else { name };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| format!("{name} time")).collect()
}

fn understood(said: &[String], now: &Zoned) -> Result<Said, Problem> {
    match after(said, now)? {
        Some(at) => Ok(Said { at, exact: true }),
        None => on_the_calendar(said, now),
    }
}

/// "In two hours", "in half an hour", "20 minutes from now": real time. Whole days are a matter of the calendar.
fn after(said: &[String], now: &Zoned) -> Result<Option<Zoned>, Problem> {
    if has(said, "half an hour") && !has(said, "and half an hour") || has(said, "half hour") {
        return now.checked_add(30.minutes()).map(Some).map_err(|_| Problem::None);
    }
    let Some((unit_at, minutes)) = said.iter().enumerate().find_map(|(i, w)| match w.as_str() {
        "minute" | "minutes" | "min" | "mins" => Some((i, 1)),
        "hour" | "hours" => Some((i, 60)),
        _ => None,
    }) else {
        return Ok(None);
    };
    let Some(quantity) = quantity(said, unit_at) else { return Ok(None) };
    let half = if minutes == 60 && has(said, "and a half") { 30 } else { 0 };
    let span = (i64::from(quantity) * minutes + half).minutes();
    now.checked_add(span).map(Some).map_err(|_| Problem::None)
}

/// The number before the unit at `unit_at`: "two", "a couple of", "a few", "an", "one and a half".
fn quantity(said: &[String], unit_at: usize) -> Option<u32> {
    let before: Vec<String> = said[..unit_at]
        .iter()
        .filter(|w| !matches!(w.as_str(), "of" | "more" | "and" | "half"))
        .cloned()
        .collect();
    let last = before.last()?;
    match last.as_str() {
        "couple" => return Some(2),
        "few" | "several" => return Some(3),
        "a" | "an" => {
            let one = before.len().checked_sub(2).and_then(|i| number(&before[i..=i]));
            return Some(one.map_or(1, |(n, _)| n));
        }
        _ => {}
    }
    let two = before.len().checked_sub(2).and_then(|i| number(&before[i..])).filter(|(_, taken)| *taken == 2);
    two.or_else(|| number(std::slice::from_ref(last))).map(|(n, _)| n)
}

/// A day, an hour, both or neither.
fn on_the_calendar(said: &[String], now: &Zoned) -> Result<Said, Problem> {
    let (day, used) = day(said, now.date())?;
    let same_time = first_of(said, &["same time", "this time", "same hour"]).is_some();
    let clock = if same_time { Some(((now.hour(), now.minute()), true)) } else { clock(said, &used)? };
    let today = now.date();
    let civil = |date: Date, (hour, minute): (i8, i8)| -> Result<Zoned, Problem> {
        let time = Time::new(hour, minute, 0, 0).map_err(|_| Problem::None)?;
        DateTime::from_parts(date, time).to_zoned(now.time_zone().clone()).map_err(|_| Problem::None)
    };
    let tomorrow = today.tomorrow().map_err(|_| Problem::None)?;
    let vague = |at: Zoned| Said { at, exact: false };
    if same_time && has(said, "next week") {
        let date = today.checked_add(7.days()).map_err(|_| Problem::None)?;
        return Ok(Said { at: civil(date, (now.hour(), now.minute()))?, exact: true });
    }
    match (day, clock) {
        (Some(day), Some((clock, exact))) => Ok(Said { at: civil(day, clock)?, exact }),
        // "Today", "later today": in two hours where the day is long enough, else it has to be tomorrow.
        (Some(day), None) if day == today => {
            let soon = now.checked_add(2.hours()).map_err(|_| Problem::None)?;
            let fits = soon.date() == today && soon.hour() < 20;
            if fits { Ok(vague(soon)) } else { civil(tomorrow, (MORNING, 0)).map(vague) }
        }
        (Some(day), None) => civil(day, (MORNING, 0)).map(vague),
        (None, Some((clock, exact))) => {
            let at = civil(today, clock)?;
            let at = if at > *now { at } else { civil(tomorrow, clock)? };
            Ok(Said { at, exact })
        }
        (None, None) => civil(tomorrow, (MORNING, 0)).map(vague),
    }
}

/// The day named, and which words named it (so that "March 3" is not three o'clock).
fn day(said: &[String], today: Date) -> Result<(Option<Date>, Vec<usize>), Problem> {
    let plus = |days: i32| today.checked_add(days.days()).map(Some).map_err(|_| Problem::None);
    if has(said, "day after tomorrow") {
        return Ok((plus(2)?, Vec::new()));
    }
    if has(said, "tomorrow") {
        return Ok((plus(1)?, Vec::new()));
    }
    if let Some(at) = said.iter().position(|w| matches!(w.as_str(), "day" | "days" | "week" | "weeks"))
        && let Some(n) = quantity(said, at).filter(|_| has(said, "in") || has(said, "from"))
    {
        let days = if said[at].starts_with('d') { n } else { n * 7 };
        return Ok((plus(i32::try_from(days).map_err(|_| Problem::Far)?)?, (0..=at).collect()));
    }
    if let Some((at, weekday)) = said.iter().enumerate().find_map(|(i, w)| Some((i, weekday(w)?))) {
        // The coming one; the same weekday as today means in a week. What was meant is read back.
        let ahead = i32::from(weekday.since(today.weekday()));
        let ahead = if ahead == 0 { 7 } else { ahead };
        let in_week = if has(said, "week from") { 7 } else { 0 };
        return Ok((plus(ahead + in_week)?, vec![at]));
    }
    if let Some((at, month)) = said.iter().enumerate().find_map(|(i, w)| Some((i, dates::month(w)?)))
        && let Some((place, n)) = month_day(said, at)
    {
        let of_year = |year| Date::new(year, i8::try_from(month).unwrap_or(1), n).map_err(|_| Problem::None);
        let date = of_year(today.year())?;
        let date = if date < today { of_year(today.year() + 1)? } else { date };
        return Ok((Some(date), vec![at, place]));
    }
    if has(said, "next week") {
        return Ok((plus(7 - i32::from(today.weekday().to_monday_zero_offset()))?, Vec::new()));
    }
    if first_of(said, &["today", "tonight", "this morning", "this afternoon", "this evening"]).is_some() {
        return Ok((Some(today), Vec::new()));
    }
    Ok((None, Vec::new()))
}

fn weekday(word: &str) -> Option<Weekday> {
    let word = word.strip_suffix('s').unwrap_or(word);
    Some(match word {
        "monday" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// The day of the month beside the month at `at`: "June 5th", "the 5th of June".
fn month_day(said: &[String], at: usize) -> Option<(usize, i8)> {
    let near = [at + 1, at.wrapping_sub(1), at.wrapping_sub(2)];
    near.into_iter().find_map(|i| {
        let digits = said.get(i)?.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        Some((i, digits.parse::<i8>().ok().filter(|n| (1..=31).contains(n))?))
    })
}

/// The hour and minute named, on the 24-hour clock, and whether they were named to the minute or as a part of the day.
#[allow(clippy::type_complexity)]
fn clock(said: &[String], used: &[usize]) -> Result<Option<((i8, i8), bool)>, Problem> {
    let part = first_of(
        said,
        &["morning", "afternoon", "evening", "tonight", "night", "after work", "after lunch", "lunch"],
    );
    if first_of(said, &["noon", "midday"]).is_some() {
        return Ok(Some(((12, 0), true)));
    }
    if has(said, "midnight") {
        return Err(Problem::Midnight);
    }
    for i in (0..said.len()).filter(|i| !used.contains(i)) {
        let Some((hour, minute, suffix)) = time_at(said, i) else { continue };
        let pm = suffix == Some("pm")
            || suffix.is_none() && matches!(part, Some("afternoon" | "evening" | "tonight" | "night"));
        let am = suffix == Some("am") || suffix.is_none() && part == Some("morning");
        let hour = match hour {
            13..=23 => hour,
            12 if am => 0,
            1..=11 if pm => hour + 12,
            1..=7 if !am => hour + 12,
            0..=12 => hour,
            _ => return Err(Problem::None),
        };
        return Ok(Some(((hour, minute), true)));
    }
    Ok(part.map(|part| {
        let time = match part {
            "morning" => (MORNING, 0),
            "afternoon" | "after lunch" => (15, 0),
            "lunch" => (12, 0),
            "after work" | "evening" => (18, 0),
            _ => (19, 0),
        };
        (time, false)
    }))
}

/// A time of day that begins at word `i`: `3:30`, `3pm`, "half past three", "three thirty pm", "at three".
fn time_at(said: &[String], i: usize) -> Option<(i8, i8, Option<&'static str>)> {
    let word = said.get(i)?;
    let before = i.checked_sub(1).map_or("", |b| said[b].as_str());
    let suffix = |at: usize| match said.get(at).map(String::as_str) {
        Some("pm") => Some("pm"),
        Some("am") => Some("am"),
        // "3 p m", as some recognisers write it.
        Some("p") if said.get(at + 1).is_some_and(|w| w == "m") => Some("pm"),
        Some("a") if said.get(at + 1).is_some_and(|w| w == "m") => Some("am"),
        _ => None,
    };
    let own = if word.ends_with("pm") {
        Some("pm")
    } else if word.ends_with("am") {
        Some("am")
    } else {
        None
    };
    let bare = word.trim_end_matches("pm").trim_end_matches("am");
    if let Some((hour, minute)) = bare.split_once(':') {
        let minute = minute.parse::<i8>().ok().filter(|m| (0..60).contains(m))?;
        return Some((
            hour.parse().ok().filter(|h| (0..24).contains(h))?,
            minute,
            own.or_else(|| suffix(i + 1)),
        ));
    }
    if let Some(kind @ ("past" | "to")) = said.get(i + 1).map(String::as_str) {
        let minutes = match word.as_str() {
            "half" => 30,
            "quarter" => 15,
            _ => i8::try_from(number(said.get(i..=i)?)?.0).ok().filter(|m| (1..60).contains(m))?,
        };
        let (hour, taken) = number(said.get(i + 2..)?)?;
        let hour = i8::try_from(hour).ok().filter(|h| (1..24).contains(h))?;
        let time = if kind == "past" {
            (hour, minutes)
        } else {
            (if hour == 1 { 12 } else { hour - 1 }, 60 - minutes)
        };
        return Some((time.0, time.1, suffix(i + 2 + taken)));
    }
    // 330 as some recognisers write 3:30.
    if let Ok(n) = bare.parse::<i16>()
        && (100..2400).contains(&n)
        && n % 100 < 60
    {
        let time = (i8::try_from(n / 100).ok()?, i8::try_from(n % 100).ok()?);
        return Some((time.0, time.1, own.or_else(|| suffix(i + 1))));
    }
    let (hour, _) = number(&[bare.to_owned()])?;
    let hour = i8::try_from(hour).ok().filter(|h| (0..24).contains(h))?;
    let (minute, taken) = match said.get(i + 1..).and_then(number) {
        Some((m, taken)) if (10..60).contains(&m) => (i8::try_from(m).ok()?, taken),
        _ => (0, 0),
    };
    let suffix = own.or_else(|| suffix(i + 1 + taken));
    let oclock = said.get(i + 1).is_some_and(|w| w == "oclock");
    // A bare number is an hour only where a word before it says so: "at three", "tomorrow three".
    let led = ["at", "around", "about", "by", "after", "tomorrow", "today"].contains(&before)
        || weekday(before).is_some();
    (suffix.is_some() || oclock || led || said.len() == 1).then_some((hour, minute, suffix))
}

#[cfg(test)]
#[path = "callback_cases.rs"]
mod cases;
