//! Times as people say them, and what they come to.

use super::*;

/// Friday, November 20, 2026, 13:00 in New York.
const NOW: &str = "2026-11-20T13:00[America/New_York]";

fn millis(at: &Zoned) -> Millis {
    Millis::try_from(at.timestamp().as_millisecond()).expect("after 1970")
}

/// By the law as it stands, for a number of which nothing is known but its zones: 8 to 21 on all their clocks.
fn times(zones: &[&str]) -> CallTimes {
    let names: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
    let clocks: Vec<TimeZone> = names.iter().filter_map(|name| TimeZone::get(name).ok()).collect();
    let open = move |ms: Millis| {
        let at = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        clocks.iter().all(|zone| (8..21).contains(&at.to_zoned(zone.clone()).hour())).then_some(ms)
    };
    // To the minute is as near as a test needs.
    let opening = move |ms: Millis| (0..3 * 1440).find_map(|minute| open(ms + minute * 60_000));
    CallTimes { zones: names, opening: std::sync::Arc::new(opening) }
}

fn resolved(text: &str, now: &str, zones: &[&str]) -> Result<Resolved, Problem> {
    let now: Zoned = now.parse().expect("a zoned time");
    resolve(text, millis(&now), &times(zones))
}

/// Resolved at `now` in its zone, as its clock shows it; `>` where it was moved to the next opening.
fn at(text: &str, now: &str) -> String {
    let zone: Zoned = now.parse().expect("a zoned time");
    let zone = zone.time_zone();
    match resolved(text, now, &[zone.iana_name().expect("a named zone")]) {
        Ok(found) => {
            let at = Timestamp::from_millisecond(i64::try_from(found.at).expect("in range")).expect("a time");
            let at = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
            if found.moved { format!("> {at}") } else { at }
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
        ("same time tomorrow", "2026-11-21 13:00"),
        ("this time on Monday", "2026-11-23 13:00"),
        ("same time next week", "2026-11-27 13:00"),
        ("in 24 hours", "2026-11-21 13:00"),
        ("in two days at the same time", "2026-11-22 13:00"),
        // Nobody is called then: the next opening.
        ("tomorrow at 11 pm", "> 2026-11-22 08:00"),
        ("tomorrow at 5 am", "> 2026-11-21 08:00"),
        ("in nine hours", "> 2026-11-21 08:00"),
        ("tomorrow at midnight", "Midnight"),
        ("in ten weeks", "Far"),
        ("June 5th", "Far"),
        ("February 31st", "None"),
    ];
    for (said, expected) in cases {
        assert_eq!(at(said, NOW), expected, "{said}");
    }
}

/// Summer time began in New York on March 8, 2026, at 2 in the morning, and ended on November 1 at 2.
#[test]
fn a_change_of_the_clocks_moves_no_promise() {
    for (text, now, want) in [
        // The day before the hour is skipped.
        ("tomorrow at three", "2026-03-07T15:00[America/New_York]", "2026-03-08 15:00"),
        ("same time tomorrow", "2026-03-07T15:00[America/New_York]", "2026-03-08 15:00"),
        ("in 24 hours", "2026-03-07T15:00[America/New_York]", "2026-03-08 16:00"),
        ("in a day at 9", "2026-03-07T15:00[America/New_York]", "2026-03-08 09:00"),
        ("Monday morning", "2026-03-07T15:00[America/New_York]", "2026-03-09 10:00"),
        ("next week", "2026-03-07T15:00[America/New_York]", "2026-03-09 10:00"),
        // The day before the hour is repeated.
        ("tomorrow at three", "2026-10-31T15:00[America/New_York]", "2026-11-01 15:00"),
        ("same time tomorrow", "2026-10-31T15:00[America/New_York]", "2026-11-01 15:00"),
        ("in 24 hours", "2026-10-31T15:00[America/New_York]", "2026-11-01 14:00"),
        ("in two days at 9", "2026-10-31T15:00[America/New_York]", "2026-11-02 09:00"),
        // Within the night itself, and moved to the opening of that day.
        ("tomorrow at 2:30 am", "2026-03-07T15:00[America/New_York]", "> 2026-03-08 08:00"),
        ("at 1:30 am", "2026-10-31T15:00[America/New_York]", "> 2026-11-01 08:00"),
        // Where the clocks never change, and where they change on another day.
        ("tomorrow at three", "2026-03-07T15:00[America/Phoenix]", "2026-03-08 15:00"),
        ("tomorrow at three", "2026-03-28T15:00[Europe/London]", "2026-03-29 15:00"),
    ] {
        assert_eq!(at(text, now), want, "{text} at {now}");
    }
}

#[test]
fn an_hour_that_the_clocks_skip_or_repeat() {
    let anytime = CallTimes::always("America/New_York");
    let instant = |text: &str, now: &str| {
        let now: Zoned = now.parse().expect("a zoned time");
        let found = resolve(text, millis(&now), &anytime).expect("a time");
        let at = Timestamp::from_millisecond(i64::try_from(found.at).expect("in range")).expect("a time");
        (at.to_string(), found.spoken)
    };
    let (at, spoken) = instant("tomorrow at 2:30 am", "2026-03-07T15:00[America/New_York]");
    assert_eq!(at, "2026-03-08T07:30:00Z");
    assert_eq!(
        spoken, "tomorrow, Sunday, March 8th, at three thirty in the morning, your time",
        "as it will be"
    );
    let (at, spoken) = instant("tomorrow at 1:30 am", "2026-10-31T15:00[America/New_York]");
    assert_eq!(at, "2026-11-01T05:30:00Z", "the first of the two");
    assert_eq!(spoken, "tomorrow, Sunday, November 1st, at one thirty in the morning, your time");
    assert_eq!(instant("in two hours", "2026-03-08T01:00[America/New_York]").0, "2026-03-08T08:00:00Z");
}

#[test]
fn it_is_read_back_with_day_date_time_and_zone() {
    let spoken = |text| resolved(text, NOW, &["America/New_York"]).map(|r| r.spoken).unwrap_or_default();
    for (text, want) in [
        ("tomorrow at three", "tomorrow, Saturday, November 21st, at three in the afternoon, your time"),
        ("today at 3:30 pm", "today, Friday, November 20th, at three thirty in the afternoon, your time"),
        ("Monday at 9", "on Monday, November 23rd, at nine in the morning, your time"),
        ("December 2nd at noon", "on Wednesday, December 2nd, at noon, your time"),
        (
            "tomorrow at three Pacific time",
            "tomorrow, Saturday, November 21st, at three in the afternoon, Pacific time",
        ),
        ("this evening at 6:05", "today, Friday, November 20th, at six oh five in the evening, your time"),
    ] {
        assert_eq!(spoken(text), want, "{text}");
    }
    assert!(resolved("tomorrow", NOW, &["Nowhere/Land"]).is_ok());
}

#[test]
fn a_number_in_two_zones() {
    // Area code 850: Florida by the Eastern and by the Central clock.
    let both = ["America/New_York", "America/Chicago"];
    let spoken = |text: &str| resolved(text, NOW, &both).map(|r| r.spoken);
    let asked = Err(Problem::Zone(vec!["Eastern time".into(), "Central time".into()]));
    assert_eq!(spoken("tomorrow at three"), asked);
    let central = "tomorrow, Saturday, November 21st, at three in the afternoon, Central time";
    assert_eq!(spoken("tomorrow at three Central").as_deref(), Ok(central));
    assert_eq!(spoken("tomorrow at three central time").as_deref(), Ok(central));
    let eastern = "tomorrow, Saturday, November 21st, at three in the afternoon, Eastern time";
    assert_eq!(spoken("tomorrow at 3 pm Eastern Standard Time").as_deref(), Ok(eastern));
    // The same moment by every clock; and a part of the day, when it has come by all of them.
    let soon = "today, Friday, November 20th, at two in the afternoon, Central time";
    assert_eq!(spoken("in two hours").as_deref(), Ok(soon));
    let morning = "tomorrow, Saturday, November 21st, at ten in the morning, Central time";
    assert_eq!(spoken("tomorrow morning").as_deref(), Ok(morning));
    // Eight by the Eastern clock is seven by the Central one: the law moves it.
    let moved = resolved("tomorrow at eight Eastern", NOW, &both).expect("a time");
    assert!(moved.moved, "{moved:?}");
    assert_eq!(moved.spoken, "tomorrow, Saturday, November 21st, at nine in the morning, Eastern time");
    // Two zones of one name, of which one knows no summer time.
    let arizona = ["America/Denver", "America/Phoenix"];
    let summer = "2026-07-10T13:00[America/Denver]";
    let asked = Err(Problem::Zone(vec!["Denver time".into(), "Phoenix time".into()]));
    assert_eq!(resolved("tomorrow at three", summer, &arizona), asked);
    assert!(resolved("tomorrow at three Phoenix time", summer, &arizona).is_ok());
    assert!(resolved("tomorrow at three", NOW, &arizona).is_ok(), "in winter it is the same hour");
}

#[test]
fn where_no_hour_is_open_another_time_is_asked_for() {
    let now: Zoned = NOW.parse().expect("a zoned time");
    let never = CallTimes { zones: vec!["America/New_York".into()], opening: std::sync::Arc::new(|_| None) };
    assert_eq!(resolve("tomorrow", millis(&now), &never), Err(Problem::Closed));
}
