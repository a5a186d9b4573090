//! Times as people say them, and what they come to.

use super::*;

/// Friday, November 20, 2026, 13:00 in New York.
const NOW: &str = "2026-11-20T13:00[America/New_York]";

fn at(text: &str, now: &str) -> String {
    let now: Zoned = now.parse().expect("a zoned time");
    let zone = now.time_zone().iana_name().expect("a named zone").to_owned();
    let ms = Millis::try_from(now.timestamp().as_millisecond()).expect("after 1970");
    match resolve(text, ms, &zone) {
        Ok(found) => {
            let at = Timestamp::from_millisecond(i64::try_from(found.at).expect("in range")).expect("a time");
            at.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M").to_string()
        }
        Err(problem) => format!("{problem:?}"),
    }
}

#[test]
fn times_as_people_say_them() {
    let cases = [
        ("tomorrow at three", "2026-11-21 15:00"),
        ("tomorrow at 3 pm", "2026-11-21 15:00"),
        ("tomorrow at 3 p.m.", "2026-11-21 15:00"),
        ("tomorrow at 10", "2026-11-21 10:00"),
        ("tomorrow at ten thirty", "2026-11-21 10:30"),
        ("tomorrow", "2026-11-21 10:00"),
        ("tomorrow morning", "2026-11-21 10:00"),
        ("tomorrow afternoon", "2026-11-21 15:00"),
        ("tomorrow evening at 8", "2026-11-21 20:00"),
        ("tomorrow at 8", "2026-11-21 08:00"),
        ("the day after tomorrow at noon", "2026-11-22 12:00"),
        ("in two hours", "2026-11-20 15:00"),
        ("in an hour", "2026-11-20 14:00"),
        ("in an hour and a half", "2026-11-20 14:30"),
        ("in two and a half hours", "2026-11-20 15:30"),
        ("call me back in half an hour", "2026-11-20 13:30"),
        ("in 20 minutes", "2026-11-20 13:20"),
        ("in twenty five minutes", "2026-11-20 13:25"),
        ("a couple of hours from now", "2026-11-20 15:00"),
        ("in three days", "2026-11-23 10:00"),
        ("in a week at 4 pm", "2026-11-27 16:00"),
        ("next Tuesday morning", "2026-11-24 10:00"),
        ("on Friday at 3:30 pm", "2026-11-27 15:30"),
        ("Monday at 9", "2026-11-23 09:00"),
        ("Monday 3pm", "2026-11-23 15:00"),
        ("on Monday at half past two", "2026-11-23 14:30"),
        ("on Monday at quarter to five", "2026-11-23 16:45"),
        ("Monday at 330", "2026-11-23 15:30"),
        ("next week", "2026-11-23 10:00"),
        ("December 3rd at 4", "2026-12-03 16:00"),
        ("on the 3rd of December", "2026-12-03 10:00"),
        ("at five", "2026-11-20 17:00"),
        ("at eleven", "2026-11-21 11:00"),
        ("15:30", "2026-11-20 15:30"),
        ("today at 4", "2026-11-20 16:00"),
        ("later today", "2026-11-20 15:00"),
        ("this evening", "2026-11-20 18:00"),
        ("tonight", "2026-11-20 19:00"),
        ("after work", "2026-11-20 18:00"),
        ("later", "2026-11-21 10:00"),
        ("some other time", "2026-11-21 10:00"),
        ("", "2026-11-21 10:00"),
        ("today at 11 am", "Past"),
        ("this morning", "Past"),
        ("tomorrow at 11 pm", "Hours"),
        ("tomorrow at 5 am", "Hours"),
        ("tomorrow at midnight", "Hours"),
        ("in ten weeks", "Far"),
        ("June 5th", "Far"),
        ("February 31st", "None"),
    ];
    for (said, expected) in cases {
        assert_eq!(at(said, NOW), expected, "{said}");
    }
}

#[test]
fn a_change_of_the_clocks_moves_nothing() {
    // Summer time began in New York on March 8, 2026, at 2 in the morning.
    assert_eq!(at("tomorrow at three", "2026-03-07T15:00[America/New_York]"), "2026-03-08 15:00");
    assert_eq!(at("in two hours", "2026-03-08T01:00[America/New_York]"), "2026-03-08 04:00");
    assert_eq!(at("tomorrow at three", "2026-10-31T15:00[America/New_York]"), "2026-11-01 15:00");
}

#[test]
fn it_is_read_back_on_the_callees_clock() {
    let now: Zoned = NOW.parse().expect("a zoned time");
    let ms = Millis::try_from(now.timestamp().as_millisecond()).expect("after 1970");
    let spoken = |text| resolve(text, ms, "America/New_York").map(|r| r.spoken).unwrap_or_default();
    assert_eq!(spoken("tomorrow at three"), "tomorrow, Saturday, November 21, at 3 PM");
    assert_eq!(spoken("today at 3:30 pm"), "today at 3:30 PM");
    assert_eq!(spoken("Monday at 9"), "on Monday, November 23, at 9 AM");
    assert!(resolve("tomorrow", ms, "Nowhere/Land").is_ok());
}
