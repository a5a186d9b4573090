//! What Twilio posts to us, typed. A word that we do not know is kept as it is and fails nothing: Twilio adds words.

use std::fmt;

use url::form_urlencoded;

/// An enum of words of Twilio's, with room for the ones to come.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that we do not know, as it came.
            Other(String),
        }

        impl $name {
            /// Reads a word; every word is something.
            #[must_use]
            pub fn read(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }

            /// The word as Twilio writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }
    };
}

words! {
    /// Where a call stands.
    CallStatus {
        /// Taken, not yet dialed.
        Queued = "queued",
        /// Being dialed.
        Initiated = "initiated",
        /// The phone rings.
        Ringing = "ringing",
        /// Answered.
        InProgress = "in-progress",
        /// Answered and over.
        Completed = "completed",
        /// The line was busy, or the callee declined.
        Busy = "busy",
        /// Could not be completed.
        Failed = "failed",
        /// Rang out.
        NoAnswer = "no-answer",
        /// Taken back before it was answered.
        Canceled = "canceled",
        /// Answered; the word that a transfer's `DialCallStatus` uses.
        Answered = "answered",
    }
}

impl CallStatus {
    /// The call is over and stays so.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled)
    }
}

words! {
    /// Who answered, as detection heard it.
    AnsweredBy {
        /// A person.
        Human = "human",
        /// A machine, its greeting still running.
        MachineStart = "machine_start",
        /// A machine, after its beep.
        MachineEndBeep = "machine_end_beep",
        /// A machine, after its greeting, silence.
        MachineEndSilence = "machine_end_silence",
        /// A machine, after its greeting.
        MachineEndOther = "machine_end_other",
        /// A fax.
        Fax = "fax",
        /// Could not be told; counts as a person.
        Unknown = "unknown",
    }
}

impl AnsweredBy {
    /// Surely no person.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        matches!(
            self,
            Self::MachineStart
                | Self::MachineEndBeep
                | Self::MachineEndSilence
                | Self::MachineEndOther
                | Self::Fax
        )
    }
}

words! {
    /// Where a recording stands.
    RecordingStatus {
        /// Recording.
        InProgress = "in-progress",
        /// Can be fetched.
        Completed = "completed",
        /// There is none.
        Absent = "absent",
        /// Stopped.
        Stopped = "stopped",
        /// Could not be made.
        Failed = "failed",
    }
}

/// The form that every callback of Twilio's posts; what a kind of callback does not have is `None`.
#[derive(Clone, Default, PartialEq)]
pub struct CallbackForm {
    /// Every parameter as it came: what the signature is checked against.
    pub params: Vec<(String, String)>,
    /// The call, `CA…`.
    pub call_sid: Option<String>,
    /// The account, `AC…`.
    pub account_sid: Option<String>,
    /// The call that dialed this one.
    pub parent_call_sid: Option<String>,
    /// Where the call stands.
    pub call_status: Option<CallStatus>,
    /// Order among the status callbacks of a call, from 0.
    pub sequence_number: Option<u64>,
    /// Seconds connected.
    pub call_duration_s: Option<u64>,
    /// Whom it calls.
    pub to: Option<String>,
    /// Who calls.
    pub from: Option<String>,
    /// `inbound`, `outbound-api`, …
    pub direction: Option<String>,
    /// Who answered.
    pub answered_by: Option<AnsweredBy>,
    /// How long detection took, ms.
    pub machine_detection_ms: Option<u64>,
    /// The words heard; `None` where the parameter is absent, as opposed to empty.
    pub speech_result: Option<String>,
    /// The recogniser's confidence, 0 to 1.
    pub confidence: Option<f64>,
    /// Keys pressed.
    pub digits: Option<String>,
    /// The recording, `RE…`.
    pub recording_sid: Option<String>,
    /// Where its media is.
    pub recording_url: Option<String>,
    /// Where it stands.
    pub recording_status: Option<RecordingStatus>,
    /// Its length, seconds.
    pub recording_duration_s: Option<u64>,
    /// How a transfer's second leg ended.
    pub dial_call_status: Option<CallStatus>,
    /// A transfer's second leg.
    pub dial_call_sid: Option<String>,
    /// How long the transfer was connected, seconds.
    pub dial_call_duration_s: Option<u64>,
    /// Twilio's error code: of a failed call, or of the request that the fallback stands in for.
    pub error_code: Option<u32>,
    /// The SIP answer of the far end.
    pub sip_response_code: Option<u32>,
    /// Who was called when the call was forwarded to us.
    pub called_via: Option<String>,
}

impl CallbackForm {
    /// Reads an urlencoded body. Nothing in it makes this fail: a number that is none is taken as absent, a repeated
    /// parameter counts by its first value.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let params: Vec<(String, String)> =
            form_urlencoded::parse(body).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        Self::from_params(params)
    }

    /// The same from parameters already decoded.
    #[must_use]
    pub fn from_params(params: Vec<(String, String)>) -> Self {
        let mut form = Self::default();
        for (name, value) in params.iter().rev() {
            form.take(name, value);
        }
        form.params = params;
        form
    }

    fn take(&mut self, name: &str, value: &str) {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        let whole = || value.trim().parse::<u64>().ok();
        let code = || value.trim().parse::<u32>().ok();
        match name {
            "CallSid" => self.call_sid = text(),
            "AccountSid" => self.account_sid = text(),
            "ParentCallSid" => self.parent_call_sid = text(),
            "CallStatus" => self.call_status = text().as_deref().map(CallStatus::read),
            "SequenceNumber" => self.sequence_number = whole(),
            "CallDuration" => self.call_duration_s = whole(),
            "To" => self.to = text(),
            "From" => self.from = text(),
            "Direction" => self.direction = text(),
            "AnsweredBy" => self.answered_by = text().as_deref().map(AnsweredBy::read),
            "MachineDetectionDuration" => self.machine_detection_ms = whole(),
            "SpeechResult" => self.speech_result = Some(value.to_owned()),
            "Confidence" => {
                self.confidence =
                    value.trim().parse::<f64>().ok().filter(|c| c.is_finite()).map(|c| c.clamp(0.0, 1.0));
            }
            "Digits" => self.digits = text(),
            "RecordingSid" => self.recording_sid = text(),
            "RecordingUrl" => self.recording_url = text(),
            "RecordingStatus" => self.recording_status = text().as_deref().map(RecordingStatus::read),
            "RecordingDuration" => self.recording_duration_s = whole(),
            "DialCallStatus" => self.dial_call_status = text().as_deref().map(CallStatus::read),
            "DialCallSid" => self.dial_call_sid = text(),
            "DialCallDuration" => self.dial_call_duration_s = whole(),
            "ErrorCode" => self.error_code = code(),
            "SipResponseCode" => self.sip_response_code = code(),
            "ForwardedFrom" | "CalledVia" => self.called_via = text(),
            _ => {}
        }
    }

    /// The provider's word for how a call ended: its error code, else the SIP answer, else the status.
    #[must_use]
    pub fn provider_code(&self) -> Option<String> {
        self.error_code
            .map(|c| c.to_string())
            .or_else(|| self.sip_response_code.map(|c| format!("sip_{c}")))
            .or_else(|| self.call_status.as_ref().map(|s| s.as_str().to_owned()))
    }
}

/// Without numbers and words of people's: safe to log, whatever a callback writes where a word of Twilio's belongs.
impl fmt::Debug for CallbackForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sid = |sid: &&str| {
            sid.len() == 34 && sid.starts_with("CA") && sid.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        f.debug_struct("CallbackForm")
            .field("call_sid", &self.call_sid.as_deref().filter(sid))
            .field("call_status", &self.call_status.as_ref().map(|word| shown(word.as_str())))
            .field("sequence_number", &self.sequence_number)
            .field("answered_by", &self.answered_by.as_ref().map(|word| shown(word.as_str())))
            .field("recording_status", &self.recording_status.as_ref().map(|word| shown(word.as_str())))
            .field("dial_call_status", &self.dial_call_status.as_ref().map(|word| shown(word.as_str())))
            .field("error_code", &self.error_code)
            .finish_non_exhaustive()
    }
}

/// A word as Twilio writes words; anything else is not repeated.
fn shown(word: &str) -> &str {
    let plain = word.len() <= 24 && word.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'));
    if plain { word } else { "?" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_read() {
        let form = CallbackForm::parse(
            b"CallSid=CA1&AccountSid=AC1&CallStatus=in-progress&SpeechResult=I+work+at+%22T%26M%22&Confidence=0.93\
              &To=%2B14155550100&From=%2B12125550100&Unheard=1",
        );
        assert_eq!(form.call_sid.as_deref(), Some("CA1"));
        assert_eq!(form.call_status, Some(CallStatus::InProgress));
        assert_eq!(form.speech_result.as_deref(), Some("I work at \"T&M\""));
        assert_eq!(form.confidence, Some(0.93));
        assert_eq!(form.params.len(), 8);
        assert!(!format!("{form:?}").contains("4155550100"));
        let form = CallbackForm::parse(b"CallStatus=%2B14155550100&CallSid=14155550100&AnsweredBy=human");
        let shown = format!("{form:?}");
        assert!(!shown.contains("4155550100") && shown.contains("human"), "{shown}");
    }

    #[test]
    fn an_end_is_read() {
        let form = CallbackForm::parse(
            b"CallSid=CA1&CallStatus=busy&SequenceNumber=3&CallDuration=0&SipResponseCode=486&AnsweredBy=",
        );
        assert_eq!(form.call_status.as_ref().map(CallStatus::is_final), Some(true));
        assert_eq!((form.sequence_number, form.call_duration_s), (Some(3), Some(0)));
        assert_eq!(form.answered_by, None);
        assert_eq!(form.provider_code().as_deref(), Some("sip_486"));
    }

    #[test]
    fn recordings_and_transfers_are_read() {
        let form = CallbackForm::parse(b"RecordingSid=RE1&RecordingStatus=completed&RecordingDuration=61");
        assert_eq!(form.recording_status, Some(RecordingStatus::Completed));
        assert_eq!(form.recording_duration_s, Some(61));
        let form = CallbackForm::parse(b"DialCallStatus=no-answer&DialCallSid=CA2");
        assert_eq!(form.dial_call_status, Some(CallStatus::NoAnswer));
    }

    #[test]
    fn unknown_words_and_broken_values_fail_nothing() {
        let form = CallbackForm::parse(
            b"CallStatus=levitating&AnsweredBy=parrot&SequenceNumber=x&Confidence=NaN&%zz=%ff&&=&Digits=1&Digits=2",
        );
        assert_eq!(form.call_status, Some(CallStatus::Other("levitating".to_owned())));
        assert_eq!(form.answered_by.as_ref().map(AnsweredBy::is_machine), Some(false));
        assert_eq!((form.sequence_number, form.confidence), (None, None));
        assert_eq!(form.digits.as_deref(), Some("1"));
        assert_eq!(form.speech_result, None);
        assert_eq!(CallbackForm::parse(b""), CallbackForm::default());
    }

    #[test]
    fn every_machine_is_one() {
        for (word, machine) in [
            ("human", false),
            ("unknown", false),
            ("machine_start", true),
            ("machine_end_beep", true),
            ("machine_end_silence", true),
            ("machine_end_other", true),
            ("fax", true),
        ] {
            assert_eq!(AnsweredBy::read(word).is_machine(), machine, "{word}");
            assert_eq!(AnsweredBy::read(word).as_str(), word);
        }
    }
}
