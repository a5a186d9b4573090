//! Recordings: made while a call lives, ready a moment after they end, fetched with the account's credentials.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::callbacks;
use super::line::Line;
use super::wire::{API_VERSION, Form, get, rfc2822};
use super::{Carrier, new_sid};
use crate::base::clock::Millis;
use crate::sim::ledger::Ledger;

/// Simulated seconds from the end of a recording to its callback.
const PROCESSING: f64 = 1.0;
/// Simulated seconds from the callback until the media is there; before, it is 404.
const MEDIA_LAG: f64 = 0.5;
/// Samples a second of the media: 16-bit mono or stereo PCM.
const RATE: u32 = 8_000;
/// The longest media served, in seconds: it is noise, and nobody listens.
const MAX_MEDIA: u32 = 10;

/// One recording.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    sid: String,
    call: String,
    status: &'static str,
    channels: u8,
    source: String,
    track: String,
    created: Millis,
    began: Instant,
    seconds: Option<u64>,
    ready: Option<Instant>,
    form: Form,
}

impl Recording {
    fn is_live(&self) -> bool {
        matches!(self.status, "in-progress" | "paused")
    }

    fn json(&self, carrier: &Carrier) -> Value {
        let account = &carrier.account.sid;
        let at = rfc2822(self.created);
        json!({
            "account_sid": account,
            "api_version": API_VERSION,
            "call_sid": self.call,
            "conference_sid": null,
            "channels": self.channels,
            "date_created": at,
            "date_updated": at,
            "start_time": at,
            "price": null,
            "price_unit": null,
            "duration": self.seconds.map(|s| s.to_string()),
            "sid": self.sid,
            "source": self.source,
            "status": self.status,
            "error_code": null,
            "encryption_details": null,
            "track": self.track,
            "uri": format!("/{API_VERSION}/Accounts/{account}/Calls/{}/Recordings/{}.json", self.call, self.sid),
        })
    }
}

/// Starts to record a leg as `form` asks; the new recording's sid and JSON.
pub(crate) fn start(carrier: &Arc<Carrier>, line: &Arc<Line>, form: &Form, source: &str) -> (String, Value) {
    let channels = if get(form, "RecordingChannels") == Some("dual") { 2 } else { 1 };
    let recording = Recording {
        sid: new_sid("RE"),
        call: line.sid.clone(),
        status: "in-progress",
        channels,
        source: source.to_owned(),
        track: get(form, "RecordingTrack").unwrap_or("both").to_owned(),
        created: Ledger::now(),
        began: Instant::now(),
        seconds: None,
        ready: None,
        form: form.clone(),
    };
    let (sid, json) = (recording.sid.clone(), recording.json(carrier));
    add(carrier, line, recording);
    report(carrier, line, &sid, "in-progress");
    (sid, json)
}

/// A recording that is over as soon as it is made: a `<Record>` of `seconds`.
pub(crate) fn finished(
    carrier: &Arc<Carrier>,
    line: &Arc<Line>,
    seconds: f64,
    callback: Option<String>,
) -> String {
    let form =
        callback.map(|c| vec![("RecordingStatusCallback".to_owned(), c.to_owned())]).unwrap_or_default();
    let (sid, _) = start(carrier, line, &form, "RecordVerb");
    stop(carrier, line, &sid, Some(seconds));
    sid
}

fn add(carrier: &Carrier, line: &Line, recording: Recording) {
    let sid = recording.sid.clone();
    let mut switch = carrier.switch();
    switch.recording_order.push(sid.clone());
    switch.recordings.insert(sid.clone(), recording);
    drop(switch);
    carrier.ledger.edit(&line.sid, |leg| leg.recordings.push(sid));
}

/// Ends a recording; its media and its callback follow a moment later.
fn stop(carrier: &Arc<Carrier>, line: &Arc<Line>, sid: &str, seconds: Option<f64>) {
    {
        let mut switch = carrier.switch();
        let Some(recording) = switch.recordings.get_mut(sid).filter(|r| r.is_live()) else { return };
        recording.status = "processing";
        let passed = seconds.unwrap_or(recording.began.elapsed().as_secs_f64() * carrier.pace.speed);
        recording.seconds =
            Some(std::time::Duration::try_from_secs_f64(passed).unwrap_or_default().as_secs());
    }
    let (owner, line, sid) = (Arc::clone(carrier), Arc::clone(line), sid.to_owned());
    carrier.life.spawn(async move {
        owner.pace.sleep(PROCESSING).await;
        {
            let mut switch = owner.switch();
            // Deleted meanwhile: there is nothing to report.
            let Some(recording) = switch.recordings.get_mut(&sid) else { return };
            recording.status = "completed";
            recording.ready = Some(Instant::now() + owner.pace.wall(MEDIA_LAG));
        }
        report(&owner, &line, &sid, "completed");
    });
}

/// Ends what still records of a leg that is over.
pub(crate) fn call_over(carrier: &Arc<Carrier>, line: &Arc<Line>) {
    for sid in live_of(carrier, &line.sid) {
        stop(carrier, line, &sid, None);
    }
}

fn live_of(carrier: &Carrier, call: &str) -> Vec<String> {
    let switch = carrier.switch();
    let order = switch.recording_order.iter();
    order
        .filter(|sid| switch.recordings.get(*sid).is_some_and(|r| r.call == call && r.is_live()))
        .cloned()
        .collect()
}

fn report(carrier: &Arc<Carrier>, line: &Arc<Line>, sid: &str, event: &str) {
    let Some(recording) = carrier.switch().recordings.get(sid).cloned() else { return };
    let Some(url) = get(&recording.form, "RecordingStatusCallback") else { return };
    if !callbacks::wants_recording_event(&recording.form, event) {
        return;
    }
    let method = get(&recording.form, "RecordingStatusCallbackMethod").unwrap_or("POST");
    let mut form: Form = [
        ("AccountSid", carrier.account.sid.clone()),
        ("CallSid", line.sid.clone()),
        ("RecordingSid", sid.to_owned()),
        ("RecordingUrl", media_url(carrier, sid)),
        ("RecordingStatus", event.to_owned()),
        ("RecordingChannels", recording.channels.to_string()),
        ("RecordingSource", recording.source.clone()),
        ("RecordingTrack", recording.track.clone()),
        ("RecordingStartTime", rfc2822(recording.created)),
        ("ErrorCode", "0".to_owned()),
    ]
    .map(|(n, v)| (n.to_owned(), v))
    .to_vec();
    if let Some(seconds) = recording.seconds {
        form.push(("RecordingDuration".into(), seconds.to_string()));
    }
    callbacks::other(carrier, line, "recording", url, method, form);
}

/// Where the media is fetched, as the callbacks say it: at the carrier's own API.
pub(crate) fn media_url(carrier: &Carrier, sid: &str) -> String {
    let base = carrier.base.get().map_or("", String::as_str);
    format!("{base}/{API_VERSION}/Accounts/{}/Recordings/{sid}", carrier.account.sid)
}

/// Changes a recording by the API: `Status` stopped, paused or in-progress; `Twilio.CURRENT` is the newest live one.
pub(crate) fn update(carrier: &Arc<Carrier>, line: &Arc<Line>, sid: &str, status: &str) -> Option<Value> {
    let sid = if sid == "Twilio.CURRENT" { live_of(carrier, &line.sid).pop()? } else { sid.to_owned() };
    let known = {
        let mut switch = carrier.switch();
        let recording = switch.recordings.get_mut(&sid).filter(|r| r.call == line.sid && r.is_live())?;
        match status {
            "paused" => recording.status = "paused",
            "in-progress" => recording.status = "in-progress",
            _ => {}
        }
        recording.json(carrier)
    };
    if status != "stopped" {
        return Some(known);
    }
    stop(carrier, line, &sid, None);
    // The answer says "stopped" while the media is still being made.
    let mut json = known;
    json["status"] = Value::from("stopped");
    Some(json)
}

/// The JSON of one recording.
pub(crate) fn show(carrier: &Carrier, sid: &str) -> Option<Value> {
    let recording = carrier.switch().recordings.get(sid).cloned()?;
    Some(recording.json(carrier))
}

/// The JSON of a call's recordings, newest first; of all calls where none is named.
pub(crate) fn list(carrier: &Carrier, call: Option<&str>) -> Vec<Value> {
    let switch = carrier.switch();
    let newest_first = switch.recording_order.iter().rev();
    let found: Vec<Recording> = newest_first
        .filter_map(|sid| switch.recordings.get(sid))
        .filter(|r| call.is_none_or(|c| c == r.call))
        .cloned()
        .collect();
    drop(switch);
    found.iter().map(|r| r.json(carrier)).collect()
}

/// Deletes a recording; false where there was none.
pub(crate) fn delete(carrier: &Carrier, sid: &str) -> bool {
    carrier.switch().recordings.remove(sid).is_some()
}

/// The media as a streamed WAV, or none while it is not there.
pub(crate) fn media(carrier: &Carrier, sid: &str) -> Option<Response> {
    let recording = carrier.switch().recordings.get(sid).cloned()?;
    recording.ready.filter(|r| *r <= Instant::now())?;
    let seconds = u32::try_from(recording.seconds.unwrap_or(0)).unwrap_or(MAX_MEDIA).clamp(1, MAX_MEDIA);
    let channels = u32::from(recording.channels);
    let data = seconds * RATE * channels * 2;
    let chunks = std::iter::once(header(data, recording.channels))
        .chain((0..seconds).map(move |s| second(s, channels)))
        .map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(futures::stream::iter(chunks)));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("audio/x-wav"));
    headers.insert(http::header::CONTENT_LENGTH, (data + 44).into());
    Some(response)
}

fn header(data: u32, channels: u8) -> Bytes {
    let frame = u16::from(channels) * 2;
    let mut h = Vec::with_capacity(44);
    h.extend_from_slice(b"RIFF");
    h.extend_from_slice(&(36 + data).to_le_bytes());
    h.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    h.extend_from_slice(&u16::from(channels).to_le_bytes());
    h.extend_from_slice(&RATE.to_le_bytes());
    h.extend_from_slice(&(RATE * u32::from(frame)).to_le_bytes());
    h.extend_from_slice(&frame.to_le_bytes());
    h.extend_from_slice(b"\x10\0data");
    h.extend_from_slice(&data.to_le_bytes());
    Bytes::from(h)
}

/// One second of a quiet saw-tooth, its pitch told by the second.
fn second(s: u32, channels: u32) -> Bytes {
    let period = 20 + s % 30;
    let mut out = Vec::new();
    for i in 0..RATE {
        let level = i16::try_from((i % period) * 40).unwrap_or(0);
        for _ in 0..channels {
            out.extend_from_slice(&level.to_le_bytes());
        }
    }
    Bytes::from(out)
}
