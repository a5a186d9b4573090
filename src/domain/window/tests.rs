//! Windows as a table: number, zone, moment → answer.

use std::time::Duration;

use super::*;
use crate::base::clock::{MINUTE, SECOND};

fn ms(text: &str) -> Millis {
    let at: Timestamp = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    millis(at).unwrap_or_else(|| panic!("{text} lies before 1970"))
}

/// `window` may hold a campaign's hours, too: `08:00-21:00 & 10:00-12:00`.
fn ask(window: &str, number: &str, zone: Option<&str>, now: &str, lead_s: u64) -> Opening {
    let (window, campaign) = window.split_once(" & ").map_or((window, None), |(w, c)| (w, Some(c)));
    let question = Question {
        window: window.parse().expect("window"),
        campaign: campaign.map(|hours| hours.parse().expect("hours")),
        rules: Rules::builtin(),
        phone: &Phone::from_e164(number).expect("number"),
        zone,
        lead: Duration::from_secs(lead_s),
    };
    question.at(ms(now))
}

/// `open <until>`, `shut <until>` or `never <why>`.
fn said(opening: &Opening) -> String {
    let utc = crate::base::clock::rfc3339;
    match opening {
        Opening::OpenUntil(at, _) => format!("open {}", utc(*at).replace(".000Z", "Z")),
        Opening::ClosedUntil(at, _) => format!("shut {}", utc(*at).replace(".000Z", "Z")),
        Opening::Never(why) => format!("never {why}"),
    }
}

const CA: &str = "+14155550100"; // California
const NY: &str = "+12125550100";
const FL: &str = "+13055550100";
const AL: &str = "+12055550100";
const MS: &str = "+16015550100";
const CT: &str = "+12035550100";
const KY: &str = "+15025550100";
const OK: &str = "+14055550100";
const MA: &str = "+16175550100";
const PANHANDLE: &str = "+18505550100"; // Florida in two zones
const AZ: &str = "+16025550100";
const ON: &str = "+14165550100";
const UK: &str = "+442079460018";
const TOLL_FREE: &str = "+18005550100";
const HI: &str = "+18085550100";
const AK: &str = "+19075550100"; // Anchorage and the outer Aleutians
const PR: &str = "+17875550100";
const IN: &str = "+18125550100"; // Indiana in two zones
const EVANSVILLE: &str = "+18124240100"; // an exchange of it that is known to be Central
const KY_WEST: &str = "+12705550100"; // Kentucky in two zones
const SD: &str = "+16055550100"; // South Dakota in two zones
const TX: &str = "+12145550100";
const EL_PASO: &str = "+19155550100";
const ME: &str = "+12075550100";
const RI: &str = "+14015550100";
const UT: &str = "+18015550100";
const LA: &str = "+15045550100";
const PA: &str = "+12155550100";
const NE: &str = "+14025550100";
const BC: &str = "+16045550100";
const INDIA: &str = "+912223456789";
const RUSSIA: &str = "+79031234567"; // a mobile: any of its eleven zones
const NOWHERE: &str = "+99912345678";
const DAY_HOURS: &str = "08:00-21:00";

/// Window, number, own zone, now, lead in seconds, answer.
type Row = (&'static str, &'static str, Option<&'static str>, &'static str, u64, &'static str);

#[test]
fn the_table() {
    let night = "22:00-06:00";
    let all_day = "00:00-24:00";
    // 2026-11-21 is a Saturday.
    let rows: &[Row] = &[
        // the plain window, winter time in California (UTC-8)
        (DAY_HOURS, CA, None, "2026-11-20T15:59:59Z", 0, "shut 2026-11-20T16:00:00Z"),
        (DAY_HOURS, CA, None, "2026-11-20T16:00:00Z", 0, "open 2026-11-21T05:00:00Z"),
        (DAY_HOURS, CA, None, "2026-11-21T04:59:59Z", 0, "open 2026-11-21T05:00:00Z"),
        (DAY_HOURS, CA, None, "2026-11-21T05:00:00Z", 0, "shut 2026-11-21T16:00:00Z"),
        (DAY_HOURS, CA, None, "2026-11-21T07:00:00Z", 0, "shut 2026-11-21T16:00:00Z"),
        // summer time (UTC-7)
        (DAY_HOURS, CA, None, "2026-07-21T15:00:00Z", 0, "open 2026-07-22T04:00:00Z"),
        // the lead counts
        (DAY_HOURS, CA, None, "2026-11-21T04:58:59Z", 60, "open 2026-11-21T04:59:00Z"),
        (DAY_HOURS, CA, None, "2026-11-21T04:59:00Z", 60, "shut 2026-11-21T16:00:00Z"),
        (DAY_HOURS, CA, None, "2026-11-20T20:00:00Z", 14 * 3600, "never no_common_hour"),
        // New York
        (DAY_HOURS, NY, None, "2026-11-20T13:00:00Z", 0, "open 2026-11-21T02:00:00Z"),
        (DAY_HOURS, NY, None, "2026-11-20T12:59:00Z", 0, "shut 2026-11-20T13:00:00Z"),
        // Arizona knows no summer time
        (DAY_HOURS, AZ, None, "2026-07-21T15:00:00Z", 0, "open 2026-07-22T04:00:00Z"),
        (DAY_HOURS, AZ, None, "2026-11-20T14:59:00Z", 0, "shut 2026-11-20T15:00:00Z"),
        // the contact's zone wins, a wrong one closes
        (DAY_HOURS, CA, Some("America/New_York"), "2026-11-20T13:30:00Z", 0, "open 2026-11-21T02:00:00Z"),
        (DAY_HOURS, CA, Some("Europe/Berlin"), "2026-11-20T07:30:00Z", 0, "open 2026-11-20T20:00:00Z"),
        (DAY_HOURS, CA, Some("America/Gotham"), "2026-11-20T18:00:00Z", 0, "never zone_invalid"),
        (DAY_HOURS, CA, Some(""), "2026-11-20T18:00:00Z", 0, "never zone_invalid"),
        (DAY_HOURS, CA, Some("Etc/Unknown"), "2026-11-20T18:00:00Z", 0, "never zone_invalid"),
        (DAY_HOURS, CA, Some("EST5EDT,M3.2.0,M11.1.0"), "2026-11-20T18:00:00Z", 0, "never zone_invalid"),
        // zones unknown, or so many that they share two hours and a half, or none
        (DAY_HOURS, NOWHERE, None, "2026-11-20T18:00:00Z", 0, "never zone_unknown"),
        (DAY_HOURS, NOWHERE, Some("Asia/Tokyo"), "2026-11-20T03:00:00Z", 0, "open 2026-11-20T12:00:00Z"),
        (DAY_HOURS, TOLL_FREE, None, "2026-11-20T18:00:00Z", 0, "shut 2026-11-20T22:00:00Z"),
        (DAY_HOURS, TOLL_FREE, None, "2026-11-20T22:00:00Z", 0, "open 2026-11-21T00:30:00Z"),
        ("10:00-16:00", TOLL_FREE, None, "2026-11-20T18:00:00Z", 0, "never no_common_hour"),
        (
            DAY_HOURS,
            TOLL_FREE,
            Some("America/Chicago"),
            "2026-11-20T18:00:00Z",
            0,
            "open 2026-11-21T03:00:00Z",
        ),
        // two candidate zones: Eastern has opened, Central not; Florida's rule closes Eastern at 20:00
        (DAY_HOURS, PANHANDLE, None, "2026-11-20T13:30:00Z", 0, "shut 2026-11-20T14:00:00Z"),
        (DAY_HOURS, PANHANDLE, None, "2026-11-20T14:00:00Z", 0, "open 2026-11-21T01:00:00Z"),
        (DAY_HOURS, PANHANDLE, None, "2026-11-21T01:00:00Z", 0, "shut 2026-11-21T14:00:00Z"),
        // stricter states
        (DAY_HOURS, FL, None, "2026-11-20T18:00:00Z", 0, "open 2026-11-21T01:00:00Z"),
        (DAY_HOURS, FL, None, "2026-11-21T01:30:00Z", 0, "shut 2026-11-21T13:00:00Z"),
        (DAY_HOURS, OK, None, "2026-11-21T02:30:00Z", 0, "shut 2026-11-21T14:00:00Z"),
        (DAY_HOURS, MA, None, "2026-11-21T01:30:00Z", 0, "shut 2026-11-21T13:00:00Z"),
        (DAY_HOURS, CT, None, "2026-11-20T13:30:00Z", 0, "shut 2026-11-20T14:00:00Z"),
        (DAY_HOURS, CT, None, "2026-11-20T14:00:00Z", 0, "open 2026-11-21T01:00:00Z"),
        (DAY_HOURS, KY, None, "2026-11-20T14:30:00Z", 0, "shut 2026-11-20T15:00:00Z"),
        (DAY_HOURS, KY, None, "2026-11-21T01:30:00Z", 0, "open 2026-11-21T02:00:00Z"),
        // the configured window may be the stricter one
        ("12:00-17:00", FL, None, "2026-11-20T16:30:00Z", 0, "shut 2026-11-20T17:00:00Z"),
        // Sundays: 2026-11-22
        (DAY_HOURS, AL, None, "2026-11-22T18:00:00Z", 0, "shut 2026-11-23T14:00:00Z"),
        (DAY_HOURS, AL, None, "2026-11-22T03:00:00Z", 0, "shut 2026-11-23T14:00:00Z"),
        (DAY_HOURS, CA, None, "2026-11-22T18:00:00Z", 0, "open 2026-11-23T05:00:00Z"),
        // holidays: Thanksgiving; Christmas 2027 on a Saturday, seen on the Friday, then a Sunday
        (DAY_HOURS, MS, None, "2026-11-26T18:00:00Z", 0, "shut 2026-11-27T14:00:00Z"),
        (DAY_HOURS, AL, None, "2027-12-24T16:00:00Z", 0, "shut 2027-12-27T14:00:00Z"),
        // Canada's weekends
        (DAY_HOURS, ON, None, "2026-11-21T14:30:00Z", 0, "shut 2026-11-21T15:00:00Z"),
        (DAY_HOURS, ON, None, "2026-11-21T15:00:00Z", 0, "open 2026-11-21T23:00:00Z"),
        // no rules of states abroad; London is on UTC in winter
        (DAY_HOURS, UK, None, "2026-11-22T08:00:00Z", 0, "open 2026-11-22T21:00:00Z"),
        // across midnight
        (night, UK, None, "2026-11-20T23:00:00Z", 0, "open 2026-11-21T06:00:00Z"),
        (night, CA, None, "2026-11-20T10:00:00Z", 0, "open 2026-11-20T14:00:00Z"),
        (night, CA, None, "2026-11-20T14:00:00Z", 0, "shut 2026-11-21T06:00:00Z"),
        (night, FL, None, "2026-11-20T10:00:00Z", 0, "never no_common_hour"),
        // a night into a closed Sunday, against an 8-20 rule, leaves what both leave
        ("19:00-02:00", AL, None, "2026-11-22T02:30:00Z", 0, "shut 2026-11-24T01:00:00Z"),
        // the whole day is one stretch
        (all_day, FL, None, "2026-11-21T05:00:00Z", 0, "shut 2026-11-21T13:00:00Z"),
        // clocks go forward in Los Angeles on 2027-03-14 at 02:00: 02:30 does not happen, opening waits until 03:30
        ("02:30-12:00", CA, None, "2027-03-14T09:59:00Z", 0, "shut 2027-03-14T10:30:00Z"),
        // closing at 02:30 that night takes the earlier reading, 01:30
        ("00:30-02:30", CA, None, "2027-03-14T08:45:00Z", 0, "open 2027-03-14T09:30:00Z"),
        // clocks go back on 2026-11-01 at 02:00: 01:30 happens twice; opening takes the second, closing the first
        ("01:30-12:00", CA, None, "2026-11-01T08:45:00Z", 0, "shut 2026-11-01T09:30:00Z"),
        ("00:30-01:30", CA, None, "2026-11-01T08:00:00Z", 0, "open 2026-11-01T08:30:00Z"),
        // the day after a change opens at its own offset
        (DAY_HOURS, NY, None, "2026-11-01T12:30:00Z", 0, "shut 2026-11-01T13:00:00Z"),
        (DAY_HOURS, NY, None, "2027-03-14T11:59:00Z", 0, "shut 2027-03-14T12:00:00Z"),
        // a window across midnight over the night in which the clocks go forward, and over the one in which they go back
        ("22:00-03:00", CA, None, "2027-03-14T08:00:00Z", 0, "open 2027-03-14T10:00:00Z"),
        ("22:00-03:00", CA, None, "2026-11-01T08:30:00Z", 0, "open 2026-11-01T11:00:00Z"),
        // Europe's change is another day's, the southern half of the world's the other way round
        (DAY_HOURS, UK, None, "2027-03-28T06:30:00Z", 0, "shut 2027-03-28T07:00:00Z"),
        (DAY_HOURS, UK, Some("Australia/Sydney"), "2027-04-03T20:30:00Z", 0, "shut 2027-04-03T22:00:00Z"),
        (DAY_HOURS, UK, Some("Australia/Sydney"), "2027-04-02T21:00:00Z", 0, "open 2027-04-03T10:00:00Z"),
        (DAY_HOURS, INDIA, None, "2026-11-20T02:29:59Z", 0, "shut 2026-11-20T02:30:00Z"),
        // no summer time
        (DAY_HOURS, HI, None, "2026-11-20T17:59:00Z", 0, "shut 2026-11-20T18:00:00Z"),
        (DAY_HOURS, HI, None, "2026-07-21T18:00:00Z", 0, "open 2026-07-22T07:00:00Z"),
        (DAY_HOURS, PR, None, "2026-11-20T11:59:00Z", 0, "shut 2026-11-20T12:00:00Z"),
        (DAY_HOURS, PR, None, "2026-07-20T12:00:00Z", 0, "open 2026-07-21T01:00:00Z"),
        // area codes in several zones: the latest opening, the earliest closing
        (DAY_HOURS, AK, None, "2026-11-20T17:30:00Z", 0, "shut 2026-11-20T18:00:00Z"),
        (DAY_HOURS, AK, None, "2026-11-20T18:00:00Z", 0, "open 2026-11-21T06:00:00Z"),
        (DAY_HOURS, IN, None, "2026-11-20T13:30:00Z", 0, "shut 2026-11-20T14:00:00Z"),
        (DAY_HOURS, IN, None, "2026-11-20T14:00:00Z", 0, "open 2026-11-21T02:00:00Z"),
        (DAY_HOURS, EVANSVILLE, None, "2026-11-21T02:30:00Z", 0, "open 2026-11-21T03:00:00Z"),
        (DAY_HOURS, KY_WEST, None, "2026-11-20T15:30:00Z", 0, "shut 2026-11-20T16:00:00Z"),
        (DAY_HOURS, KY_WEST, None, "2026-11-20T16:00:00Z", 0, "open 2026-11-21T02:00:00Z"),
        (DAY_HOURS, RUSSIA, None, "2026-11-20T08:00:00Z", 0, "open 2026-11-20T09:00:00Z"),
        ("09:00-18:00", RUSSIA, None, "2026-11-20T08:00:00Z", 0, "never no_common_hour"),
        // weekdays alone; both zones of the state must have opened
        (DAY_HOURS, SD, None, "2026-11-20T16:00:00Z", 0, "open 2026-11-21T03:00:00Z"),
        (DAY_HOURS, SD, None, "2026-11-21T16:00:00Z", 0, "shut 2026-11-23T16:00:00Z"),
        (DAY_HOURS, ME, None, "2026-11-20T21:30:00Z", 0, "open 2026-11-20T22:00:00Z"),
        (DAY_HOURS, ME, None, "2026-11-20T22:30:00Z", 0, "shut 2026-11-23T14:00:00Z"),
        // Sundays from noon, from one, or not at all
        (DAY_HOURS, TX, None, "2026-11-22T16:00:00Z", 0, "shut 2026-11-22T18:00:00Z"),
        (DAY_HOURS, EL_PASO, None, "2026-11-22T18:30:00Z", 0, "shut 2026-11-22T19:00:00Z"),
        (DAY_HOURS, NE, None, "2026-11-22T18:30:00Z", 0, "shut 2026-11-22T19:00:00Z"),
        (DAY_HOURS, RI, None, "2026-11-21T21:30:00Z", 0, "open 2026-11-21T22:00:00Z"),
        (DAY_HOURS, RI, None, "2026-11-21T22:30:00Z", 0, "shut 2026-11-23T14:00:00Z"),
        (DAY_HOURS, UT, None, "2026-11-22T20:00:00Z", 0, "shut 2026-11-23T15:00:00Z"),
        (DAY_HOURS, PA, None, "2026-11-22T20:00:00Z", 0, "shut 2026-11-23T13:00:00Z"),
        // holidays by rule: Mardi Gras, Good Friday, election day, Pioneer Day and its observed Friday
        (DAY_HOURS, LA, None, "2027-02-09T18:00:00Z", 0, "shut 2027-02-10T14:00:00Z"),
        (DAY_HOURS, LA, None, "2028-02-29T18:00:00Z", 0, "shut 2028-03-01T14:00:00Z"),
        (DAY_HOURS, LA, None, "2027-03-26T18:00:00Z", 0, "shut 2027-03-27T13:00:00Z"),
        (DAY_HOURS, PA, None, "2026-04-03T15:00:00Z", 0, "shut 2026-04-04T12:00:00Z"),
        (DAY_HOURS, PA, None, "2026-11-03T15:00:00Z", 0, "shut 2026-11-04T13:00:00Z"),
        (DAY_HOURS, UT, None, "2026-07-24T18:00:00Z", 0, "shut 2026-07-25T14:00:00Z"),
        (DAY_HOURS, UT, None, "2027-07-23T18:00:00Z", 0, "shut 2027-07-26T14:00:00Z"),
        // New Year 2028 is a Saturday: its Friday lies in the year before
        (DAY_HOURS, AL, None, "2027-12-31T18:00:00Z", 0, "shut 2028-01-03T14:00:00Z"),
        (DAY_HOURS, BC, None, "2026-05-18T18:00:00Z", 0, "shut 2026-05-19T16:00:00Z"),
        (DAY_HOURS, ON, None, "2026-07-01T15:00:00Z", 0, "shut 2026-07-02T13:00:00Z"),
        // a contact's own zone moves the hours, the number's state keeps its rules
        (DAY_HOURS, AL, Some("America/Los_Angeles"), "2026-11-22T20:00:00Z", 0, "shut 2026-11-23T16:00:00Z"),
        // a campaign's own hours, beside the window and the rules: inside, outside, across midnight, none left
        ("08:00-21:00 & 10:00-12:00", CA, None, "2026-11-20T17:00:00Z", 0, "shut 2026-11-20T18:00:00Z"),
        ("08:00-21:00 & 10:00-12:00", CA, None, "2026-11-20T18:30:00Z", 0, "open 2026-11-20T20:00:00Z"),
        ("08:00-21:00 & 10:00-12:00", CA, None, "2026-11-20T20:00:00Z", 0, "shut 2026-11-21T18:00:00Z"),
        ("08:00-21:00 & 07:00-23:00", FL, None, "2026-11-21T00:30:00Z", 0, "open 2026-11-21T01:00:00Z"),
        ("08:00-21:00 & 20:00-09:00", CA, None, "2026-11-20T18:00:00Z", 0, "shut 2026-11-21T04:00:00Z"),
        ("08:00-21:00 & 20:00-09:00", CA, None, "2026-11-20T16:30:00Z", 0, "open 2026-11-20T17:00:00Z"),
        ("08:00-21:00 & 22:00-06:00", CA, None, "2026-11-20T18:00:00Z", 0, "never no_common_hour"),
        ("08:00-21:00 & 09:00-09:01", CA, None, "2026-11-20T17:00:00Z", 60, "never no_common_hour"),
        ("off & 09:00-17:00", FL, None, "2026-11-20T21:30:00Z", 0, "open 2026-11-20T22:00:00Z"),
        ("off & 09:00-17:00", NOWHERE, None, "2026-11-20T21:30:00Z", 0, "never zone_unknown"),
        // off
        ("off", NOWHERE, Some("nonsense"), "2026-11-21T05:00:00Z", 0, "open 2026-11-22T05:00:00Z"),
    ];
    assert!(rows.len() >= 100);
    let mut wrong = Vec::new();
    for (window, number, zone, now, lead, want) in rows {
        let got = said(&ask(window, number, *zone, now, *lead));
        // Shown by `cargo test --lib window::tests::the_table -- --nocapture`.
        println!("{window:26} {number:14} {:20} {now} +{lead:<6} {got}", zone.unwrap_or("by number"));
        if got != *want {
            wrong.push(format!("{window} {number} {zone:?} {now} +{lead}: {got}, not {want}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_evidence_names_what_was_decided_on() {
    let Opening::OpenUntil(_, evidence) = ask(DAY_HOURS, PANHANDLE, None, "2026-11-20T15:00:00Z", 0) else {
        panic!("open");
    };
    assert_eq!(
        serde_json::to_value(&evidence).expect("json"),
        serde_json::json!({
            "zones": [
                {"zone": "America/Chicago", "local": "2026-11-20T09:00:00-06:00"},
                {"zone": "America/New_York", "local": "2026-11-20T10:00:00-05:00"},
            ],
            "zones_from": "number",
            "region": "US-FL",
            "rules": ["window", "us-fl"],
            "hours": "08:00-21:00",
            "rules_version": Rules::builtin().version(),
        })
    );
}

#[test]
fn an_answer_agrees_with_itself() {
    // Every quarter of an hour of nine days: what is closed opens when it said, what is open shuts when it said.
    let numbers = [CA, FL, AL, PANHANDLE, ON];
    let lead = 90;
    let start = ms("2026-10-28T00:07:00Z");
    for number in numbers {
        for step in 0..(9 * 96) {
            let now = start + step * 15 * MINUTE;
            let at =
                |moment: Millis| ask(DAY_HOURS, number, None, &crate::base::clock::rfc3339(moment), lead);
            match at(now) {
                Opening::OpenUntil(until, _) => {
                    assert!(matches!(at(until - SECOND), Opening::OpenUntil(same, _) if same == until));
                    assert!(matches!(at(until), Opening::ClosedUntil(..)));
                }
                Opening::ClosedUntil(from, _) => {
                    assert!(matches!(at(from), Opening::OpenUntil(..)));
                    assert!(matches!(at(from - SECOND), Opening::ClosedUntil(same, _) if same == from));
                }
                Opening::Never(why) => panic!("{why}"),
            }
        }
    }
}

#[test]
fn the_setting_is_read_strictly() {
    assert_eq!("off".parse(), Ok(Window::Off));
    assert_eq!("08:00-21:00".parse(), Ok(Window::default()));
    assert!("Off!".parse::<Window>().is_err());
    assert!("always".parse::<Window>().is_err());
}

#[test]
fn an_answer_is_remembered_for_its_place_and_its_day() {
    let rules = Rules::builtin().clone();
    let at = |number: &str, zone: Option<&str>, now: &str| {
        let phone = Phone::from_e164(number).expect("number");
        open_until(Window::default(), &rules, &phone, zone, ms(now), Duration::from_secs(30))
    };
    at(CA, None, "2026-11-20T18:00:00Z");
    at("+14155550199", None, "2026-11-20T23:59:59Z");
    assert_eq!(rules.memo.len(), 1, "one place, one day");
    at(FL, None, "2026-11-20T18:00:00Z");
    at(CA, Some("America/New_York"), "2026-11-20T18:00:00Z");
    at(CA, None, "2026-11-21T18:00:00Z");
    assert_eq!(rules.memo.len(), 4);
    at(CA, Some("America/Gotham"), "2026-11-21T18:00:00Z");
    assert_eq!(rules.memo.len(), 4, "mistakes take no room");
    for day in 0..6_000 {
        let now = ms("2026-11-20T18:00:00Z") + day * DAY;
        let phone = Phone::from_e164(CA).expect("number");
        let _ = open_until(Window::default(), &rules, &phone, None, now, Duration::from_secs(30));
    }
    assert!(rules.memo.len() <= 4_096, "bounded");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// The definition, without stretches: at this moment the local time of every zone lies in all hours of its day.
    fn open_at(question: &Question<'_>, now: Millis) -> bool {
        let inside = |hours: Hours, local: DateTime| {
            let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
            let (open, close) = (i32::from(hours.open), i32::from(hours.close));
            if hours.crosses_midnight() {
                minute >= open || minute < close
            } else {
                (open..close).contains(&minute)
            }
        };
        let names =
            question.zone.map_or_else(|| crate::domain::phone::zones(question.phone), |zone| vec![zone]);
        let at = Timestamp::from_millisecond(i64::try_from(now).expect("ms")).expect("time");
        let region = question.rules.region(question.phone);
        names.iter().all(|name| {
            let local = zone_by_name(name).expect("zone").to_datetime(at);
            let Window::Daily(daily) = question.window else { return true };
            inside(daily, local)
                && question.campaign.is_none_or(|hours| inside(hours, local))
                && question.rules.for_place(region, &names).all(|rule| {
                    let hours = question.rules.hours(rule, region, local.date());
                    hours.is_some_and(|hours| inside(hours, local))
                })
        })
    }

    fn hours() -> impl Strategy<Value = Hours> {
        (0_u16..1440, 1_u16..=1440)
            .prop_filter_map("no time", |(open, close)| (open != close).then_some(Hours { open, close }))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_remembered_is_what_would_be_computed(
            number in prop::sample::select(vec![CA, NY, FL, AL, PANHANDLE, SD, IN, LA, ON, UK, TOLL_FREE, RUSSIA]),
            zone in prop::sample::select(vec![None, Some("America/New_York"), Some("Pacific/Apia"), Some("Asia/Kathmandu")]),
            daily in hours(),
            campaign in prop::option::of(hours()),
            start in 1_790_000_000_000_u64..1_830_000_000_000,
            steps in prop::collection::vec((0_u64..3 * DAY, 0_u64..7_200), 1..6),
        ) {
            let phone = Phone::from_e164(number).expect("number");
            for (after, lead) in steps {
                let now = start + after;
                let ask = |rules: &Rules| {
                    let lead = Duration::from_secs(lead);
                    Question { window: Window::Daily(daily), campaign, rules, phone: &phone, zone, lead }.at(now)
                };
                // The built-in rules have answered other cases before; a copy remembers nothing.
                let fresh = Rules::builtin().clone();
                let answer = ask(Rules::builtin());
                prop_assert_eq!(&answer, &ask(&fresh));
                prop_assert_eq!(&answer, &ask(&fresh), "from memory");
                let question = Question {
                    window: Window::Daily(daily), campaign, rules: &fresh, phone: &phone, zone, lead: Duration::ZERO,
                };
                match answer {
                    // Whatever the clocks do, a phone that rings rings inside the hours.
                    Opening::OpenUntil(until, _) => {
                        prop_assert!(open_at(&question, now) && until > now);
                        prop_assert!(open_at(&question, now + lead * 1000));
                        prop_assert!(open_at(&question, until + lead * 1000 - 1));
                    }
                    Opening::ClosedUntil(from, _) => prop_assert!(from > now && open_at(&question, from)),
                    Opening::Never(why) => prop_assert_eq!(why, "no_common_hour"),
                }
            }
        }
    }
}
