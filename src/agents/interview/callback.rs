//! "Call me later": a time as people say it, resolved in the callee's zone. Days and hours are reckoned on the
//! callee's clock, hours from now on the real one, so a change to summer time moves neither.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::dates;
use super::words::{first_of, has, number, words};
use crate::base::clock::Millis;

/// The hour of a day that was named without one.
const MORNING: i8 = 10;
/// Nobody is asked to wait longer than this.
const FARTHEST_DAYS: i32 = 60;

/// A resolved time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// When.
    pub(crate) at: Millis,
    /// As it is read back, in the callee's time: "tomorrow, Tuesday, March 3, at 3 PM".
    pub(crate) spoken: String,
}

/// Why a time cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// It has passed.
    #[error("this time has passed; ask for another")]
    Past,
    /// Beyond the calling hours.
    #[error("calls are made between 8 in the morning and 9 in the evening; ask for another time")]
    Hours,
    /// Too far away.
    #[error("this is more than sixty days away; ask for an earlier time")]
    Far,
    /// No such date, or outside of what a clock can show.
    #[error("there is no such time; ask again")]
    None,
}

/// Resolves `text` against `now` in the IANA `zone` (an unknown zone counts as UTC). A day without an hour means ten
/// in the morning of that day; no day and no hour means ten the next morning; an hour without "am" or "pm" is the
/// one between 8 and 20.
pub(crate) fn resolve(text: &str, now: Millis, zone: &str) -> Result<Resolved, Problem> {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let now =
        i64::try_from(now).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or(Problem::None)?;
    let now = now.to_zoned(zone);
    let said = words(text);
    let at = match after(&said, &now)? {
        Some(at) => at,
        None => on_the_calendar(&said, &now)?,
    };
    if at <= now {
        return Err(Problem::Past);
    }
    if at.date() > now.date().checked_add(FARTHEST_DAYS.days()).map_err(|_| Problem::None)? {
        return Err(Problem::Far);
    }
    let spoken = spoken(&at, &now);
    Ok(Resolved { at: Millis::try_from(at.timestamp().as_millisecond()).map_err(|_| Problem::None)?, spoken })
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
fn on_the_calendar(said: &[String], now: &Zoned) -> Result<Zoned, Problem> {
    let (day, used) = day(said, now.date())?;
    let clock = clock(said, &used)?;
    let today = now.date();
    let civil = |date: Date, (hour, minute): (i8, i8)| -> Result<Zoned, Problem> {
        let time = Time::new(hour, minute, 0, 0).map_err(|_| Problem::None)?;
        DateTime::from_parts(date, time).to_zoned(now.time_zone().clone()).map_err(|_| Problem::None)
    };
    let tomorrow = today.tomorrow().map_err(|_| Problem::None)?;
    match (day, clock) {
        (Some(day), Some(clock)) => civil(day, clock),
        // "Today", "later today": in two hours where the day is long enough, else it has to be tomorrow.
        (Some(day), None) if day == today => {
            let soon = now.checked_add(2.hours()).map_err(|_| Problem::None)?;
            let fits = soon.date() == today && soon.hour() < 20;
            if fits { Ok(soon) } else { civil(tomorrow, (MORNING, 0)) }
        }
        (Some(day), None) => civil(day, (MORNING, 0)),
        (None, Some(clock)) => {
            let at = civil(today, clock)?;
            if at > *now { Ok(at) } else { civil(tomorrow, clock) }
        }
        (None, None) => civil(tomorrow, (MORNING, 0)),
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

/// The hour and minute named, on the 24-hour clock.
fn clock(said: &[String], used: &[usize]) -> Result<Option<(i8, i8)>, Problem> {
    let part = first_of(
        said,
        &["morning", "afternoon", "evening", "tonight", "night", "after work", "after lunch", "lunch"],
    );
    if first_of(said, &["noon", "midday"]).is_some() {
        return Ok(Some((12, 0)));
    }
    if has(said, "midnight") {
        return Err(Problem::Hours);
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
        // Within the hours of calling; what lies outside was named on purpose, and has to be asked again.
        if !(8..21).contains(&hour) {
            return Err(Problem::Hours);
        }
        return Ok(Some((hour, minute)));
    }
    Ok(part.map(|part| match part {
        "morning" => (MORNING, 0),
        "afternoon" | "after lunch" => (15, 0),
        "lunch" => (12, 0),
        "after work" | "evening" => (18, 0),
        _ => (19, 0),
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

fn spoken(at: &Zoned, now: &Zoned) -> String {
    let day = at.strftime("%A, %B %-d");
    let time = if at.minute() == 0 {
        at.strftime("%-I %p").to_string()
    } else {
        at.strftime("%-I:%M %p").to_string()
    };
    let tomorrow = now.date().tomorrow().ok();
    if at.date() == now.date() {
        format!("today at {time}")
    } else if Some(at.date()) == tomorrow {
        format!("tomorrow, {day}, at {time}")
    } else {
        format!("on {day}, at {time}")
    }
}

#[cfg(test)]
#[path = "callback_cases.rs"]
mod cases;
