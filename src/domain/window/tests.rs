//! Windows as a table: number, zone, moment → answer.

use std::time::Duration;

use super::*;
use crate::base::clock::{MINUTE, SECOND};

fn ms(text: &str) -> Millis {
    let at: Timestamp = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    millis(at).unwrap_or_else(|| panic!("{text} lies before 1970"))
}

fn ask(window: &str, number: &str, zone: Option<&str>, now: &str, lead_s: u64) -> Opening {
    open_until(
        window.parse().expect("window"),
        Rules::builtin(),
        &Phone::from_e164(number).expect("number"),
        zone,
        ms(now),
        Duration::from_secs(lead_s),
    )
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
        // off
        ("off", NOWHERE, Some("nonsense"), "2026-11-21T05:00:00Z", 0, "open 2026-11-22T05:00:00Z"),
    ];
    assert!(rows.len() >= 40);
    let mut wrong = Vec::new();
    for (window, number, zone, now, lead, want) in rows {
        let got = said(&ask(window, number, *zone, now, *lead));
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
