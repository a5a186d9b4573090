//! `POST Calls.json`: checked as the carrier checks it, queued by calls per second.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::line::Line;
use super::wire::{Form, Refusal, get};
use super::{Carrier, call, is_e164};

/// The parameters that the carrier knows.
const KNOWN: &[&str] = &[
    "To",
    "From",
    "Method",
    "FallbackUrl",
    "FallbackMethod",
    "StatusCallback",
    "StatusCallbackEvent",
    "StatusCallbackMethod",
    "SendDigits",
    "Timeout",
    "Record",
    "RecordingChannels",
    "RecordingStatusCallback",
    "RecordingStatusCallbackMethod",
    "SipAuthUsername",
    "SipAuthPassword",
    "MachineDetection",
    "MachineDetectionTimeout",
    "RecordingStatusCallbackEvent",
    "Trim",
    "CallerId",
    "MachineDetectionSpeechThreshold",
    "MachineDetectionSpeechEndThreshold",
    "MachineDetectionSilenceTimeout",
    "AsyncAmd",
    "AsyncAmdStatusCallback",
    "AsyncAmdStatusCallbackMethod",
    "Byoc",
    "CallReason",
    "CallToken",
    "RecordingTrack",
    "TimeLimit",
    "ClientNotificationUrl",
    "Url",
    "Twiml",
    "ApplicationSid",
];

/// Parameters that the carrier would ignore; most likely misspelt.
pub(crate) fn unknown(form: &Form) -> Vec<String> {
    form.iter().filter(|(n, _)| !KNOWN.contains(&n.as_str())).map(|(n, _)| n.clone()).collect()
}

/// Creates a call, or says why not.
///
/// # Errors
/// 21201, 21211 (To), 21213, 21212 (From), 21205 (Url), 21609 (a callback's URL), 20001 (any other value), 10004 (concurrency).
pub(crate) fn create(carrier: &Arc<Carrier>, form: &Form) -> Result<(String, Value), Refusal> {
    check(form)?;
    let (out, queue_ms) = queue(carrier)?;
    let (line, controls) = Line::open(carrier, form.clone(), None, queue_ms);
    let json = line.json(carrier);
    let sid = line.sid.clone();
    call::place(carrier, line, controls, out);
    Ok((sid, json))
}

/// When this call leaves the queue, and how long that is from now.
fn queue(carrier: &Carrier) -> Result<(Instant, u64), Refusal> {
    let (max_cps, max_concurrent) = {
        let controls = carrier.controls.read();
        let account = &carrier.account;
        (
            controls.max_cps.unwrap_or(account.max_cps),
            controls.max_concurrent.unwrap_or(account.max_concurrent),
        )
    };
    let mut switch = carrier.switch();
    let live = switch
        .order
        .iter()
        .rev()
        // Older ones than that are over; a walk through all calls of a long run would make every create slower.
        .take(max_concurrent.saturating_mul(4).max(1_000))
        .filter_map(|sid| switch.lines.get(sid))
        .filter(|l| l.parent.is_none() && !l.status().is_over())
        .count();
    if live >= max_concurrent {
        return Err(Refusal::new(429, 10004, "Call concurrency limit exceeded"));
    }
    let now = Instant::now();
    let out = switch.next_out.map_or(now, |next| next.max(now));
    let gap = Duration::try_from_secs_f64(1.0 / max_cps).unwrap_or(Duration::from_secs(1));
    switch.next_out = Some(out + gap);
    let wait = u64::try_from(out.duration_since(now).as_millis()).unwrap_or(u64::MAX);
    Ok((out, wait))
}

fn check(form: &Form) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(400, code, message));
    match get(form, "To") {
        None => return refuse(21201, "No 'To' number is specified"),
        Some(to) if !is_e164(to) => {
            return refuse(
                21211,
                &format!("The phone number you are attempting to call, {to}, is not valid."),
            );
        }
        Some(_) => {}
    }
    match get(form, "From") {
        None => return refuse(21213, "No 'From' number is specified"),
        Some(from) if !is_e164(from) => {
            return refuse(
                21212,
                &format!("The source phone number provided, {from}, is not yet verified for your account."),
            );
        }
        Some(_) => {}
    }
    match (get(form, "Url"), get(form, "Twiml")) {
        (Some(url), _) if is_http(url) => {}
        (Some(_), _) => return refuse(21205, "Url is not a valid URL"),
        (None, Some(twiml)) if twiml.chars().count() <= 4_000 => {}
        (None, Some(_)) => return refuse(20001, "Twiml is longer than 4000 characters"),
        (None, None) => return refuse(21205, "Url parameter is required."),
    }
    for name in ["StatusCallback", "FallbackUrl", "AsyncAmdStatusCallback", "RecordingStatusCallback"] {
        if get(form, name).is_some_and(|u| !is_http(u)) {
            return refuse(21609, &format!("{name} is not a valid URL"));
        }
    }
    values(form)
}

fn values(form: &Form) -> Result<(), Refusal> {
    let refuse =
        |name: &str, value: &str| Err(Refusal::new(400, 20001, format!("{name}={value} is not valid")));
    let numbers: [(&str, u32, u32); 4] = [
        ("Timeout", 1, 600),
        ("TimeLimit", 1, 86_400),
        ("MachineDetectionTimeout", 3, 59),
        ("MachineDetectionSilenceTimeout", 2_000, 10_000),
    ];
    for (name, least, most) in numbers {
        if let Some(v) = get(form, name)
            && !v.parse::<u32>().is_ok_and(|n| (least..=most).contains(&n))
        {
            return refuse(name, v);
        }
    }
    let words: [(&str, &[&str]); 8] = [
        ("MachineDetection", &["Enable", "DetectMessageEnd"]),
        ("AsyncAmd", &["true", "false"]),
        ("Record", &["true", "false"]),
        ("RecordingChannels", &["mono", "dual"]),
        ("RecordingTrack", &["inbound", "outbound", "both"]),
        ("Method", &["GET", "POST"]),
        ("StatusCallbackMethod", &["GET", "POST"]),
        ("FallbackMethod", &["GET", "POST"]),
    ];
    for (name, allowed) in words {
        if let Some(v) = get(form, name)
            && !allowed.contains(&v)
        {
            return refuse(name, v);
        }
    }
    let events = form.iter().filter(|(n, _)| n == "StatusCallbackEvent").flat_map(|(_, v)| v.split(' '));
    for event in events.filter(|e| !e.is_empty()) {
        if !["initiated", "ringing", "answered", "completed"].contains(&event) {
            return Err(Refusal::new(400, 21626, format!("StatusCallbackEvent {event} is invalid")));
        }
    }
    Ok(())
}

fn is_http(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Form {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn each_mistake_has_its_code() {
        let right = [("To", "+12125550100"), ("From", "+12125550199"), ("Url", "https://me.example/a#rc=2")];
        assert!(check(&form(&right)).is_ok());
        let cases: [(&str, &str, u32); 8] = [
            ("To", "", 21201),
            ("To", "12125550100", 21211),
            ("From", "", 21213),
            ("From", "+0123", 21212),
            ("Url", "", 21205),
            ("Url", "ftp://me.example", 21205),
            ("Timeout", "601", 20001),
            ("MachineDetection", "enable", 20001),
        ];
        for (name, value, code) in cases {
            let mut wrong = form(&right);
            wrong.retain(|(n, _)| n != name);
            wrong.push((name.to_owned(), value.to_owned()));
            assert_eq!(check(&wrong).map_err(|r| r.code), Err(code), "{name}={value}");
        }
        assert_eq!(unknown(&form(&[("To", "1"), ("StatusCallBack", "x")])), ["StatusCallBack"]);
    }
}
