//! Our writer of TwiML: what may be said to Twilio, always well-formed and within its limits.

use std::fmt::Write as _;

/// The most characters in one `<Say>`.
const MAX_SAY: usize = 4_096;
/// A document may have 64 kB; what is spoken stays below this, so that the verbs that steer the call always fit.
const MAX_SPOKEN: usize = 48_000;
/// Hints of a `<Gather>` that are written at most, characters of each, and of all together, so that they leave room for
/// what is spoken.
const MAX_HINTS: usize = 100;
const MAX_HINT_CHARS: usize = 100;
const MAX_ALL_HINTS: usize = 2_000;

/// How something is spoken.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// `Polly.Joanna-Neural`, `alice`, …; empty leaves it to Twilio.
    pub name: &'a str,
    /// BCP 47, `en-US`; empty leaves it to Twilio.
    pub language: &'a str,
}

/// Listening for words and keys. What is said meanwhile can be interrupted by the callee.
#[derive(Clone, Copy, Debug)]
pub struct Gather<'a> {
    /// Where what was heard is posted. Silence falls through to the next verb.
    pub action: &'a str,
    /// Seconds of silence before it counts as such.
    pub timeout_s: u32,
    /// Words to expect.
    pub hints: &'a [String],
    /// Language of the speech, BCP 47; empty leaves it to Twilio.
    pub language: &'a str,
    /// Keys after which the turn is over at once; `None`: `#` or the time-out ends it.
    pub num_digits: Option<u32>,
    /// Spoken while listening.
    pub say: &'a [&'a str],
    /// How.
    pub voice: Voice<'a>,
}

/// Connecting a person.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// E.164.
    pub number: &'a str,
    /// Asked for TwiML when the bridge ends or is not made.
    pub action: &'a str,
    /// How long it rings, seconds.
    pub timeout_s: u32,
    /// Shown to the person called, E.164; empty leaves it to Twilio.
    pub caller_id: &'a str,
    /// Told when that person answers: the only sign that a transfer is connected.
    pub status_url: &'a str,
}

/// A document in the making. Every text is escaped and freed of what XML forbids; the result is well-formed whatever
/// goes in.
#[derive(Clone, Debug, Default)]
pub struct Doc {
    body: String,
}

impl Doc {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks a text; nothing for an empty one. A text over 4,096 characters becomes several `<Say>`, cut between
    /// words; what exceeds the document's limit is left out.
    #[must_use]
    pub fn say(mut self, voice: Voice<'_>, text: &str) -> Self {
        self.push_say(voice, text);
        self
    }

    /// Listens. A [`Doc::redirect`] should follow, for silence.
    #[must_use]
    pub fn gather(mut self, gather: &Gather<'_>) -> Self {
        self.body.push_str("<Gather input=\"speech dtmf\"");
        self.attr("action", gather.action);
        self.attr("method", "POST");
        self.attr("timeout", &gather.timeout_s.max(1).to_string());
        // "auto" goes without a speech model alone.
        self.attr("speechTimeout", "auto");
        self.attr("language", gather.language);
        if let Some(digits) = gather.num_digits {
            self.attr("numDigits", &digits.to_string());
        }
        self.attr("hints", &hints(gather.hints));
        self.attr("actionOnEmptyResult", "false");
        self.body.push('>');
        for text in gather.say {
            self.push_say(gather.voice, text);
        }
        self.body.push_str("</Gather>");
        self
    }

    /// Goes on at another URL.
    #[must_use]
    pub fn redirect(mut self, url: &str) -> Self {
        self.body.push_str("<Redirect method=\"POST\">");
        escape(&mut self.body, url);
        self.body.push_str("</Redirect>");
        self
    }

    /// Says nothing for some seconds.
    #[must_use]
    pub fn pause(mut self, seconds: u32) -> Self {
        let _ = write!(self.body, "<Pause length=\"{}\"/>", seconds.max(1));
        self
    }

    /// Plays a file.
    #[must_use]
    pub fn play(mut self, url: &str) -> Self {
        self.body.push_str("<Play>");
        escape(&mut self.body, url);
        self.body.push_str("</Play>");
        self
    }

    /// Connects a person.
    #[must_use]
    pub fn dial(mut self, dial: &Dial<'_>) -> Self {
        self.body.push_str("<Dial");
        self.attr("action", dial.action);
        self.attr("method", "POST");
        self.attr("timeout", &dial.timeout_s.max(1).to_string());
        self.attr("callerId", dial.caller_id);
        self.body.push_str("><Number");
        self.attr("statusCallback", dial.status_url);
        self.attr("statusCallbackEvent", "answered completed");
        self.attr("statusCallbackMethod", "POST");
        self.body.push('>');
        escape(&mut self.body, dial.number);
        self.body.push_str("</Number></Dial>");
        self
    }

    /// Ends the call.
    #[must_use]
    pub fn hangup(mut self) -> Self {
        self.body.push_str("<Hangup/>");
        self
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{}</Response>", self.body)
    }

    fn push_say(&mut self, voice: Voice<'_>, text: &str) {
        for part in parts(text.trim(), MAX_SAY) {
            let before = self.body.len();
            self.body.push_str("<Say");
            self.attr("voice", voice.name);
            self.attr("language", voice.language);
            self.body.push('>');
            escape(&mut self.body, part);
            self.body.push_str("</Say>");
            if self.body.len() > MAX_SPOKEN {
                self.body.truncate(before);
                return;
            }
        }
    }

    /// Writes an attribute; none for an empty value.
    fn attr(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let _ = write!(self.body, " {name}=\"");
            escape(&mut self.body, value);
            self.body.push('"');
        }
    }
}

/// Hints as Twilio wants them: separated by commas, which therefore cannot be part of one.
fn hints(list: &[String]) -> String {
    let clean = |hint: &String| {
        let hint: String = hint.replace(',', " ").chars().take(MAX_HINT_CHARS).collect();
        hint.trim().to_owned()
    };
    let mut left = MAX_ALL_HINTS;
    let fits = |hint: &String| {
        let room = left.checked_sub(hint.chars().count() + 1);
        left = room.unwrap_or(0);
        room.is_some()
    };
    let kept = list.iter().map(clean).filter(|h| !h.is_empty()).take(MAX_HINTS).take_while(fits);
    kept.collect::<Vec<_>>().join(",")
}

/// A text in pieces of at most `max` characters, cut at white space where there is some.
fn parts(mut text: &str, max: usize) -> Vec<&str> {
    let mut out = Vec::new();
    while let Some((end, _)) = text.char_indices().nth(max) {
        let head = &text[..end];
        let cut = head.rfind(char::is_whitespace).filter(|at| *at > 0).unwrap_or(end);
        out.push(text[..cut].trim_end());
        text = text[cut..].trim_start();
    }
    if !text.is_empty() {
        out.push(text);
    }
    out
}

/// Escapes for element and attribute alike, and leaves out every character that XML 1.0 does not allow.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: Voice<'_> = Voice { name: "Polly.Joanna-Neural", language: "en-US" };

    fn gather<'a>(say: &'a [&'a str], hints: &'a [String]) -> Gather<'a> {
        Gather {
            action: "https://x.test/t?a=1&b=2#rc=2",
            timeout_s: 6,
            hints,
            language: "en-US",
            num_digits: Some(1),
            say,
            voice: VOICE,
        }
    }

    fn well_formed(xml: &str) {
        let mut reader = quick_xml::Reader::from_str(xml);
        loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => return,
                Ok(_) => {}
                Err(e) => panic!("{e}: {xml}"),
            }
        }
    }

    #[test]
    fn a_turn_in_full() {
        let hints = vec!["nurse".to_owned(), "a, b".to_owned(), " ".to_owned()];
        let xml =
            Doc::new().gather(&gather(&["Hi & bye."], &hints)).redirect("https://x.test/?s=1&t=2").finish();
        assert_eq!(
            xml,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Gather input=\"speech dtmf\" \
             action=\"https://x.test/t?a=1&amp;b=2#rc=2\" method=\"POST\" timeout=\"6\" speechTimeout=\"auto\" \
             language=\"en-US\" numDigits=\"1\" hints=\"nurse,a  b\" actionOnEmptyResult=\"false\">\
             <Say voice=\"Polly.Joanna-Neural\" language=\"en-US\">Hi &amp; bye.</Say></Gather>\
             <Redirect method=\"POST\">https://x.test/?s=1&amp;t=2</Redirect></Response>"
        );
        well_formed(&xml);
    }

    #[test]
    fn a_transfer_in_full() {
        let dial = Dial {
            number: "+14155550100",
            action: "https://x.test/d",
            timeout_s: 30,
            caller_id: "",
            status_url: "https://x.test/s",
        };
        assert_eq!(
            Doc::new().pause(1).dial(&dial).hangup().finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Pause length=\"1\"/>\
             <Dial action=\"https://x.test/d\" method=\"POST\" timeout=\"30\"><Number statusCallback=\"https://x.test/s\" \
             statusCallbackEvent=\"answered completed\" statusCallbackMethod=\"POST\">+14155550100</Number></Dial>\
             <Hangup/></Response>"
        );
    }

    #[test]
    fn nothing_that_is_said_can_break_out() {
        for text in [
            "</Say><Dial>+1900</Dial>",
            "a\u{0}b\u{8}c\u{1b}[0m\u{ffff}",
            "]]>",
            "\"'&<>",
            "\u{85}ü\u{1F600}",
        ] {
            let xml = Doc::new().say(VOICE, text).gather(&gather(&[text], &[text.to_owned()])).finish();
            well_formed(&xml);
            assert_eq!(xml.matches("<Dial").count(), 0, "{xml}");
            assert!(!xml.chars().any(char::is_control), "{xml:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_words() {
        let text = "word ".repeat(2_000);
        let xml = Doc::new().say(VOICE, &text).finish();
        assert_eq!(xml.matches("<Say").count(), 3);
        assert_eq!(xml.matches("word").count(), 2_000);
        let unbroken = "é".repeat(5_000);
        assert_eq!(
            parts(&unbroken, MAX_SAY).iter().map(|p| p.chars().count()).collect::<Vec<_>>(),
            [4_096, 904]
        );
        assert!(parts("", MAX_SAY).is_empty());
    }

    #[test]
    fn a_document_stays_below_64_kb() {
        let text = "&".repeat(200_000);
        let xml =
            Doc::new().gather(&gather(&[&text], &[])).say(VOICE, &text).redirect("https://x.test/").finish();
        assert!(xml.len() < 64_000, "{}", xml.len());
        assert!(xml.ends_with("<Redirect method=\"POST\">https://x.test/</Redirect></Response>"));
        well_formed(&xml);
    }

    #[test]
    fn silence_needs_no_say() {
        assert_eq!(
            Doc::new().say(VOICE, " \n ").finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>"
        );
    }
}
