//! Recordings: started and stopped on a live call, fetched as a stream, deleted.

use std::fmt;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Method;
use serde::Deserialize;

use super::rest::{CarrierError, Twilio, form, reason, require_sid};

/// A recording's sound, as it comes in; never held in memory as a whole.
pub struct Media {
    /// Bytes to come, where Twilio says so.
    pub content_length: Option<u64>,
    /// The WAV file in parts.
    pub stream: BoxStream<'static, Result<Bytes, CarrierError>>,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("content_length", &self.content_length).finish_non_exhaustive()
    }
}

impl Twilio {
    /// Begins to record a live call, both channels; `callback_url` is told when the recording can be fetched, or that
    /// there is none. Answers the recording's sid, `RE…`.
    ///
    /// # Errors
    /// [`CarrierError`]; [`CarrierError::is_over`] where the call is not connected.
    pub async fn start_recording(&self, call_sid: &str, callback_url: &str) -> Result<String, CarrierError> {
        #[derive(Deserialize)]
        struct Started {
            sid: String,
        }
        let path = self.path(format_args!("/Calls/{}/Recordings.json", require_sid(call_sid)?));
        let fields = [
            ("RecordingChannels", "dual"),
            ("RecordingStatusCallback", callback_url),
            ("RecordingStatusCallbackMethod", "POST"),
            ("RecordingStatusCallbackEvent", "completed"),
            ("RecordingStatusCallbackEvent", "absent"),
        ];
        let started: Started = self.json(form(self.api(Method::POST, &path), &fields)).await?;
        Ok(started.sid)
    }

    /// Stops a recording; `false` where there was nothing to stop.
    ///
    /// # Errors
    /// [`CarrierError`].
    pub async fn stop_recording(&self, call_sid: &str, recording_sid: &str) -> Result<bool, CarrierError> {
        let (call, recording) = (require_sid(call_sid)?, require_sid(recording_sid)?);
        let path = self.path(format_args!("/Calls/{call}/Recordings/{recording}.json"));
        absent_is_false(self.send(form(self.api(Method::POST, &path), &[("Status", "stopped")])).await)
    }

    /// Deletes a recording at Twilio; `false` where it was gone already.
    ///
    /// # Errors
    /// [`CarrierError`].
    pub async fn delete_recording(&self, recording_sid: &str) -> Result<bool, CarrierError> {
        let path = self.path(format_args!("/Recordings/{}.json", require_sid(recording_sid)?));
        absent_is_false(self.send(self.api(Method::DELETE, &path)).await)
    }

    /// Opens a recording's WAV file. The configured time-out holds between two parts, not for the whole.
    ///
    /// # Errors
    /// [`CarrierError`]; [`CarrierError::is_absent`] is usual in the first seconds after a call: ask again later.
    pub async fn recording_media(&self, recording_sid: &str) -> Result<Media, CarrierError> {
        let path = self.path(format_args!("/Recordings/{}.wav", require_sid(recording_sid)?));
        let response = self.send(self.media(&path)).await?;
        let content_length = response.content_length();
        let stream =
            response.bytes_stream().map(|part| part.map_err(|e| CarrierError::Unavailable(reason(e))));
        Ok(Media { content_length, stream: stream.boxed() })
    }
}

fn absent_is_false<T>(result: Result<T, CarrierError>) -> Result<bool, CarrierError> {
    match result {
        Ok(_) => Ok(true),
        Err(e) if e.is_absent() => Ok(false),
        Err(e) => Err(e),
    }
}
