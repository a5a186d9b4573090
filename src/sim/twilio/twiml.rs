//! TwiML, read as strictly as its documentation: what is not in it is an error of the application.

use super::hooks::MAX_DOCUMENT;
pub(crate) use super::xml::TwimlError;
use super::xml::{Element, error, tree};

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    Say { text: String, times: u32 },
    Play { url: String, digits: String, times: u32 },
    Pause { seconds: f64 },
    Gather(Box<Gather>),
    Redirect { url: String, method: String },
    Dial(Box<Dial>),
    Record(Box<Record>),
    Hangup,
}

/// `<Gather>` with its defaults filled in; times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gather {
    pub(crate) speech: bool,
    pub(crate) keys: bool,
    pub(crate) action: Option<String>,
    pub(crate) method: String,
    pub(crate) timeout: f64,
    pub(crate) speech_timeout: f64,
    pub(crate) max_digits: Option<usize>,
    pub(crate) finish_on: String,
    pub(crate) language: String,
    pub(crate) barge_in: bool,
    pub(crate) on_empty: bool,
    pub(crate) prompts: Vec<Verb>,
}

/// `<Dial>` of one number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dial {
    pub(crate) number: String,
    pub(crate) action: Option<String>,
    pub(crate) method: String,
    pub(crate) timeout: f64,
    pub(crate) time_limit: f64,
    pub(crate) caller_id: Option<String>,
    pub(crate) callback: Option<String>,
    pub(crate) callback_method: String,
    pub(crate) callback_events: Vec<String>,
}

/// `<Record>`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) action: Option<String>,
    pub(crate) method: String,
    pub(crate) timeout: f64,
    pub(crate) max_length: f64,
    pub(crate) callback: Option<String>,
}

/// Reads a document.
///
/// # Errors
/// 11750 too large, 12100 no XML, 12200 unknown verb, noun or attribute, 13510 and following for wrong values.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Verb>, TwimlError> {
    if body.len() > MAX_DOCUMENT {
        return error(11750, "the response body is larger than 64 kB");
    }
    let Ok(text) = std::str::from_utf8(body) else { return error(12100, "the document is no UTF-8") };
    let root = tree(text)?;
    if root.name != "Response" {
        return error(12200, format!("the root is <{}> and not <Response>", root.name));
    }
    root.allow(&[])?;
    root.children.iter().map(verb).collect()
}

const SSML: &[&str] =
    &["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w", "speak"];

fn verb(e: &Element) -> Result<Verb, TwimlError> {
    match e.name.as_str() {
        "Say" => {
            e.allow(&["voice", "language", "loop"])?;
            e.childless(SSML)?;
            let text = e.text.split_whitespace().collect::<Vec<_>>().join(" ");
            if text.chars().count() > 4096 {
                return error(13520, "<Say> holds more than 4,096 characters");
            }
            Ok(Verb::Say { text, times: e.number("loop", 1, 0..=1000)?.max(1) })
        }
        "Play" => {
            e.allow(&["loop", "digits"])?;
            e.childless(&[])?;
            let (url, digits) = (e.text.trim().to_owned(), e.attr("digits").unwrap_or_default().to_owned());
            if url.is_empty() && digits.is_empty() {
                return error(13420, "<Play> has no URL");
            }
            Ok(Verb::Play { url, digits, times: e.number("loop", 1, 0..=1000)?.max(1) })
        }
        "Pause" => {
            e.allow(&["length"])?;
            Ok(Verb::Pause { seconds: e.seconds("length", 1, 0..=180)? })
        }
        "Gather" => gather(e).map(|g| Verb::Gather(Box::new(g))),
        "Redirect" => {
            e.allow(&["method"])?;
            e.childless(&[])?;
            Ok(Verb::Redirect { url: e.text.trim().to_owned(), method: e.method()? })
        }
        "Dial" => dial(e).map(|d| Verb::Dial(Box::new(d))),
        "Record" => {
            e.allow(&[
                "action",
                "method",
                "timeout",
                "maxLength",
                "playBeep",
                "trim",
                "finishOnKey",
                "recordingStatusCallback",
                "recordingStatusCallbackMethod",
                "recordingStatusCallbackEvent",
                "transcribe",
                "transcribeCallback",
            ])?;
            Ok(Verb::Record(Box::new(Record {
                action: e.url("action"),
                method: e.method()?,
                timeout: e.seconds("timeout", 5, 0..=600)?,
                max_length: e.seconds("maxLength", 3600, 1..=14400)?,
                callback: e.url("recordingStatusCallback"),
            })))
        }
        "Hangup" => {
            e.allow(&[])?;
            Ok(Verb::Hangup)
        }
        other => error(12200, format!("unknown verb <{other}>")),
    }
}

fn gather(e: &Element) -> Result<Gather, TwimlError> {
    e.allow(&[
        "action",
        "method",
        "input",
        "timeout",
        "speechTimeout",
        "maxSpeechTime",
        "numDigits",
        "finishOnKey",
        "hints",
        "language",
        "speechModel",
        "enhanced",
        "bargeIn",
        "actionOnEmptyResult",
        "profanityFilter",
        "partialResultCallback",
        "partialResultCallbackMethod",
        "debug",
    ])?;
    e.childless(&["Say", "Play", "Pause"])?;
    let input = e.attr("input").unwrap_or("dtmf");
    let (mut speech, mut keys) = (false, false);
    for part in input.split_whitespace() {
        match part {
            "speech" => speech = true,
            "dtmf" => keys = true,
            _ => return error(13311, format!("<Gather input=\"{input}\"> is unknown")),
        }
    }
    let speech_timeout = match e.attr("speechTimeout") {
        Some("auto") if e.attr("speechModel").is_some() => {
            return error(13335, "speechTimeout=auto does not go with a speechModel");
        }
        // With auto, recognition ends about a second after the last word.
        Some("auto") => 1.0,
        Some(_) => e.seconds("speechTimeout", 1, 1..=60)?,
        None => e.seconds("timeout", 5, 1..=600)?,
    };
    if e.attr("hints").is_some_and(|h| h.len() > 10_000) {
        return error(13334, "<Gather hints> is too long");
    }
    let max_digits = e.attr("numDigits").map(|_| e.number("numDigits", 1, 1..=1000)).transpose()?;
    Ok(Gather {
        speech,
        keys,
        action: e.url("action"),
        method: e.method()?,
        timeout: e.seconds("timeout", 5, 1..=600)?,
        speech_timeout,
        max_digits: max_digits.and_then(|n| usize::try_from(n).ok()),
        finish_on: e.attr("finishOnKey").unwrap_or("#").to_owned(),
        language: e.attr("language").unwrap_or("en-US").to_owned(),
        barge_in: e.flag("bargeIn", true)?,
        on_empty: e.flag("actionOnEmptyResult", false)?,
        prompts: e.children.iter().map(verb).collect::<Result<_, _>>()?,
    })
}

fn dial(e: &Element) -> Result<Dial, TwimlError> {
    e.allow(&[
        "action",
        "method",
        "timeout",
        "hangupOnStar",
        "timeLimit",
        "callerId",
        "record",
        "trim",
        "ringTone",
        "answerOnBridge",
        "recordingStatusCallback",
        "recordingStatusCallbackMethod",
        "recordingStatusCallbackEvent",
        "sequential",
        "recordingTrack",
    ])?;
    e.childless(&["Number"])?;
    let mut dial = Dial {
        number: e.text.trim().to_owned(),
        action: e.url("action"),
        method: e.method()?,
        timeout: e.seconds("timeout", 30, 5..=600)?,
        time_limit: e.seconds("timeLimit", 14_400, 1..=86_400)?,
        caller_id: e.attr("callerId").map(str::to_owned),
        callback: None,
        callback_method: "POST".into(),
        callback_events: vec!["completed".into()],
    };
    if let Some(n) = e.children.first() {
        n.allow(&[
            "sendDigits",
            "url",
            "method",
            "statusCallback",
            "statusCallbackMethod",
            "statusCallbackEvent",
            "byoc",
        ])?;
        n.childless(&[])?;
        dial.number = n.text.trim().to_owned();
        dial.callback = n.url("statusCallback");
        dial.callback_method = n.method_in("statusCallbackMethod")?;
        if let Some(events) = n.attr("statusCallbackEvent") {
            dial.callback_events = events.split_whitespace().map(str::to_owned).collect();
        }
    }
    if e.children.len() > 1 {
        return error(12200, "the simulated carrier dials one <Number> at a time");
    }
    Ok(dial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> u32 {
        parse(body.as_bytes()).expect_err("the document is wrong").code
    }

    #[test]
    fn a_turn() {
        let verbs = parse(
            br#"<?xml version="1.0" encoding="UTF-8"?>
            <Response><Gather input="speech dtmf" action="/t?n=1&amp;a=2#rc=2" speechTimeout="auto" actionOnEmptyResult="true">
              <Say voice="Polly.Joanna">Tom &amp; Jerry&#39;s <break time="1s"/> shop?</Say></Gather>
              <Redirect>/t?n=2</Redirect></Response>"#,
        )
        .expect("the document is right");
        let [Verb::Gather(g), Verb::Redirect { url, method }] = verbs.as_slice() else { panic!("{verbs:?}") };
        assert_eq!(g.action.as_deref(), Some("/t?n=1&a=2#rc=2"));
        assert!(g.speech && g.keys && g.on_empty && (g.speech_timeout - 1.0).abs() < 0.01);
        assert_eq!(g.prompts, [Verb::Say { text: "Tom & Jerry's shop?".into(), times: 1 }]);
        assert_eq!((url.as_str(), method.as_str()), ("/t?n=2", "POST"));
    }

    #[test]
    fn what_the_carrier_cannot_execute() {
        assert_eq!(code("<Response><Shout>hi</Shout></Response>"), 12200);
        assert_eq!(code("<Response><Say mood=\"sad\">hi</Say></Response>"), 12200);
        assert_eq!(code("<Response><Say>hi</Response>"), 12100);
        assert_eq!(code("{\"not\":\"xml\"}"), 12100);
        assert_eq!(code(""), 12100);
        assert_eq!(code(&format!("<Response><Say>{}</Say></Response>", "a".repeat(4097))), 13520);
        assert_eq!(code(&format!("<Response><!--{}--></Response>", "a".repeat(65_536))), 11750);
        assert_eq!(
            code(
                "<Response><Gather input=\"speech\" speechTimeout=\"auto\" speechModel=\"phone_call\"/></Response>"
            ),
            13335
        );
        assert_eq!(code("<Response><Gather><Hangup/></Gather></Response>"), 12200);
    }
}
