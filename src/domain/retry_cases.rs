//! Retry policies: what follows what, what is refused, and which part of a day comes next.

use serde_json::json;

use super::*;
use crate::base::clock::MINUTE;

#[test]
fn the_default_tries_three_times() {
    let policy = RetryPolicy::default();
    for (cause, times, attempt, want) in [
        (Cause::Busy, 1, 1, Some(10 * MINUTE)),
        (Cause::Busy, 2, 2, Some(20 * MINUTE)),
        (Cause::Busy, 3, 3, None),
        (Cause::NoAnswer, 1, 1, Some(60 * MINUTE)),
        (Cause::NoAnswer, 2, 2, Some(120 * MINUTE)),
        // The first that nobody answered, after one that was busy.
        (Cause::NoAnswer, 1, 2, Some(60 * MINUTE)),
        (Cause::NoAnswer, 3, 3, None),
        (Cause::Failed, 1, 1, Some(2 * MINUTE)),
        (Cause::Failed, 2, 2, Some(10 * MINUTE)),
        (Cause::Refused, 1, 1, Some(MINUTE)),
        (Cause::Voicemail, 1, 1, None),
        (Cause::Abandoned, 1, 1, None),
        (Cause::AgentFailed, 1, 1, None),
        (Cause::Busy, 0, 1, None),
        (Cause::Busy, 1, 0, None),
    ] {
        let got = policy.next(cause, times, attempt).map(|n| n.wait);
        assert_eq!(got, want, "{cause:?} {times} {attempt}");
    }
}

#[test]
fn a_client_names_only_what_differs() {
    let policy = RetryPolicy::read(&json!({
        "max_attempts": 5,
        "no_answer": {"delays_s": [3600, 7200], "other_number": false, "other_time": true},
        "voicemail": {"delays_s": [86400]},
    }))
    .expect("a policy");
    assert_eq!(
        policy,
        RetryPolicy {
            max_attempts: 5,
            no_answer: Retry { delays_s: vec![3_600, 7_200], other_number: false, other_time: true },
            voicemail: Retry::after(&[86_400]),
            ..RetryPolicy::default()
        }
    );
    // As a campaign keeps it.
    let kept = serde_json::to_value(&policy).expect("json");
    assert_eq!(serde_json::from_value::<RetryPolicy>(kept.clone()).expect("the same"), policy);
    assert_eq!(RetryPolicy::read(&kept), Ok(policy), "what is shown can be posted again");
    assert_eq!(RetryPolicy::read(&json!({})), Ok(RetryPolicy::default()));
}

#[test]
fn what_cannot_be_taken_is_named() {
    let fields = |value| {
        let bad = RetryPolicy::read(&value).expect_err("refused");
        bad.into_iter().map(|b| b.field).collect::<Vec<_>>().join(" ")
    };
    let eleven: Vec<u32> = (1..=10).collect();
    for (value, want) in [
        (json!([]), ""),
        (json!({"max_attempts": 0}), "max_attempts"),
        (json!({"max_attempts": 11}), "max_attempts"),
        (json!({"max_attempts": "3"}), "max_attempts"),
        (json!({"bussy": {"delays_s": [1]}}), "bussy"),
        (json!({"busy": [1]}), "busy"),
        (json!({"busy": {}}), "busy.delays_s"),
        (json!({"busy": {"delays_s": 60}}), "busy.delays_s"),
        (json!({"busy": {"delays_s": eleven}}), "busy.delays_s"),
        (
            json!({"busy": {"delays_s": [60, 0, 1.5, 2_592_001]}}),
            "busy.delays_s[1] busy.delays_s[2] busy.delays_s[3]",
        ),
        (json!({"busy": {"delays_s": [60], "other_time": "yes"}}), "busy.other_time"),
        (json!({"busy": {"delays_s": [60], "other_day": true}}), "busy.other_day"),
        (json!({"refused": {"delays_s": [60], "other_number": false}}), "refused.other_number"),
        (json!({"refused": {"delays_s": [], "other_number": false}, "max_attempts": -1}), "max_attempts"),
    ] {
        assert_eq!(fields(value.clone()), want, "{value}");
    }
}

#[test]
fn a_rehearsal_divides_the_delays() {
    assert_eq!(scaled(10 * MINUTE, 600.0), 1_000);
    assert_eq!(scaled(10 * MINUTE, 1e12), 1);
    for odd in [0.0, -3.0, f64::NAN, f64::INFINITY] {
        assert_eq!(scaled(10 * MINUTE, odd), 10 * MINUTE);
    }
}

#[test]
fn another_part_of_the_callees_day() {
    let ms = |text: &str| {
        let at: jiff::Zoned = text.parse().expect("a zoned time");
        Millis::try_from(at.timestamp().as_millisecond()).expect("after 1970")
    };
    for (zone, tried, earliest, want) in [
        // Tried in the morning, an hour later it is still morning: at noon.
        ("America/New_York", "2026-11-20T09:30", "2026-11-20T10:30", "2026-11-20T12:00"),
        ("America/New_York", "2026-11-20T11:30", "2026-11-20T12:30", "2026-11-20T12:30"),
        ("America/New_York", "2026-11-20T13:00", "2026-11-20T14:00", "2026-11-20T17:00"),
        ("America/New_York", "2026-11-20T18:00", "2026-11-20T19:00", "2026-11-21T08:00"),
        ("America/New_York", "2026-11-20T18:00", "2026-11-20T23:00", "2026-11-21T08:00"),
        // A day later at the same hour is the same part.
        ("America/New_York", "2026-11-20T09:00", "2026-11-21T09:00", "2026-11-21T12:00"),
        ("America/New_York", "2026-11-20T09:00", "2026-11-21T02:00", "2026-11-21T12:00"),
        ("America/New_York", "2026-11-20T20:00", "2026-11-21T20:30", "2026-11-22T08:00"),
        // Dialed by night, where windows are off.
        ("America/New_York", "2026-11-20T23:00", "2026-11-21T00:30", "2026-11-21T00:30"),
        // Over a change of the clocks.
        ("America/New_York", "2026-03-07T18:00", "2026-03-07T20:00", "2026-03-08T08:00"),
        ("Asia/Kolkata", "2026-11-20T16:59", "2026-11-20T16:59", "2026-11-20T17:00"),
    ] {
        let zoned = |text: &str| ms(&format!("{text}[{zone}]"));
        let got = another_part(zone, zoned(tried), zoned(earliest));
        assert_eq!(got, zoned(want), "{tried} then {earliest} in {zone}");
    }
    assert_eq!(another_part("Nowhere/Land", 1, 2), 2);
}
