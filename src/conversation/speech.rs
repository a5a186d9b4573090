//! Sentences out of a stream, cleaned for a voice: no markup, no links, no foreign numbers, nothing of our own works.

use super::guard::numbers::strip_phones;

/// Characters of model speech in one turn; more is a lecture, and costs the callee's patience.
pub(super) const MAX_SPOKEN: usize = 600;

/// Words before a full stop that end no sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "st", "jr", "sr", "inc", "co", "corp", "ltd", "vs", "no", "prof", "e.g", "i.e",
    "a.m", "p.m", "u.s",
];

/// Marks of a sentence that talks about the works instead of to the callee.
const LEAKS: &[&str] = &[
    "system prompt",
    "system message",
    "state:",
    "my instructions",
    "my prompt",
    "the instructions i",
    "previous instructions",
    "prior instructions",
    "ignore all",
    "ignore previous",
    "as a language model",
    "as an ai language model",
    "language model",
    "tool call",
    "function call",
    "json",
];

/// Cuts streamed text into sentences.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    open: String,
}

impl Splitter {
    /// Takes more text; returns the sentences that it completes.
    pub(super) fn push(&mut self, text: &str) -> Vec<String> {
        self.open.push_str(text);
        let mut out = Vec::new();
        while let Some(end) = sentence_end(&self.open) {
            let rest = self.open.split_off(end);
            out.push(std::mem::replace(&mut self.open, rest));
        }
        out
    }

    /// What is left when the stream ends.
    pub(super) fn finish(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.open)).filter(|s| !s.trim().is_empty())
    }
}

/// Cuts a whole text.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut splitter = Splitter::default();
    let mut out = splitter.push(text);
    out.extend(splitter.finish());
    out.into_iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

/// Where the first sentence ends: after its mark (and closing quotes), once white space shows that it is over.
fn sentence_end(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\n' && !text[..at].trim().is_empty() {
            return Some(at + 1);
        }
        if !matches!(c, '.' | '!' | '?' | '…' | '。' | '？' | '！') {
            continue;
        }
        let mut end = at + c.len_utf8();
        while let Some((next, c)) =
            chars.next_if(|(_, c)| matches!(c, '.' | '!' | '?' | '"' | '\'' | '”' | '’' | ')' | '*'))
        {
            end = next + c.len_utf8();
        }
        let over = chars.peek().is_some_and(|(_, c)| c.is_whitespace());
        if over && !(c == '.' && is_abbreviation(&text[..at])) {
            return Some(end);
        }
    }
    None
}

fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// What a sentence must not hold.
pub(super) struct Filter {
    /// Text whose numbers may be spoken: what the callee said, the call's variables.
    pub(super) known: Vec<String>,
    /// Names of tools; spoken, they are a leak.
    pub(super) tools: Vec<String>,
}

impl Filter {
    /// The sentence as a voice may speak it; `None` where nothing of it may be spoken.
    pub(super) fn clean(&self, sentence: &str) -> Option<String> {
        if self.leaks(sentence) {
            return None;
        }
        let text = strip_links(&strip_tags(sentence));
        // First what is not spoken goes: within a number or an address it would hide it.
        let text: String = text.chars().filter_map(speakable).collect();
        let mut text = tidy(strip_bullet(&text));
        // What is left of and right of a number that goes may be one in its turn.
        loop {
            let without = tidy(&strip_links(&strip_phones(&text, &self.known)));
            if without == text {
                break;
            }
            text = without;
        }
        if self.leaks(&text) {
            return None;
        }
        text.chars().any(char::is_alphanumeric).then_some(text)
    }
}

impl Filter {
    /// Does it talk about the works?
    fn leaks(&self, sentence: &str) -> bool {
        let lower = sentence.to_lowercase();
        LEAKS.iter().any(|l| lower.contains(l))
            || sentence.contains(['{', '}'])
            || self.tools.iter().any(|t| t.contains('_') && lower.contains(t.as_str()))
    }
}

/// Single blanks, and none before a mark.
fn tidy(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace(" .", ".").replace(" ,", ",").replace(" ?", "?").replace(" !", "!")
}

/// Markup marks and pictures are dropped, dashes become commas' pauses by themselves.
fn speakable(c: char) -> Option<char> {
    match c {
        '*' | '_' | '`' | '#' | '~' | '|' | '<' | '>' | '[' | ']' | '\\' | '^' => None,
        '•' | '●' | '▪' | '→' | '✓' => None,
        c if c.is_control() => Some(' '),
        // Pictographs, variation selectors, joiners, flags, private use.
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2600}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{e0000}'..='\u{e01ff}' => None,
        c => Some(c),
    }
}

/// `<tag …>` goes; a lone `<` stays for `speakable` to drop.
fn strip_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 1..];
        let is_tag = inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        rest = match inner.find('>') {
            Some(end) if is_tag => &inner[end + 1..],
            _ => inner,
        };
    }
    out + rest
}

/// Markdown links keep their words; addresses of pages go.
fn strip_links(text: &str) -> String {
    text.replace("](", "] (")
        .split_inclusive(char::is_whitespace)
        .filter(|word| {
            let word = word.to_lowercase();
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            !(word.contains("://") || bare.starts_with("www."))
        })
        .collect()
}

fn strip_bullet(text: &str) -> &str {
    let text = text.trim_start_matches(['-', '–', '—', '+']).trim_start();
    match text.split_once(". ") {
        // "1. First" is a list; "2015. Then" is an answer.
        Some((n, rest)) if n.len() <= 2 && n.chars().all(|c| c.is_ascii_digit()) && !n.is_empty() => rest,
        _ => text,
    }
}

/// Cuts `text` to `room` characters at a word's end.
pub(super) fn shorten(text: &str, room: usize) -> String {
    match text.char_indices().nth(room) {
        None => text.to_owned(),
        Some((cut, _)) => {
            let head = &text[..cut];
            head.rsplit_once(' ').map_or(head, |(words, _)| words).trim_end_matches([',', ';']).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_is_lost_or_breaks_the_splitter(pieces in proptest::collection::vec("[ a-zA-Z.!?\n\"…é0-9(]{0,12}", 0..8)) {
            let mut splitter = Splitter::default();
            let mut out: Vec<String> = pieces.iter().flat_map(|p| splitter.push(p)).collect();
            out.extend(splitter.finish());
            let (got, given) = (out.concat(), pieces.concat());
            prop_assert_eq!(got.trim(), given.trim());
        }

        #[test]
        fn any_text_can_be_cleaned_and_judged(text in "\\PC{0,60}|[0-9+() ./<>-]{0,40}") {
            let filter = Filter { known: vec![text.clone()], tools: vec![] };
            if let Some(clean) = filter.clean(&text) {
                let marked = clean.contains(['<', '>', '*', '{']);
                prop_assert!(!marked);
            }
            crate::conversation::guard::optout::opts_out(&text);
            crate::conversation::guard::consent::classify(&text);
            crate::conversation::guard::machine::speaks(&text, false);
            shorten(&text, 10);
        }
    }

    #[test]
    fn sentences_are_cut_as_they_stream() {
        let mut s = Splitter::default();
        let mut out = Vec::new();
        for piece in [
            "Than",
            "ks, Mr",
            ". Smith",
            "!",
            " And",
            " at Harbor & Sons Inc. you made 3.5",
            " parts? Yes.",
            " Go",
        ] {
            out.extend(s.push(piece));
        }
        out.extend(s.finish());
        let out: Vec<_> = out.iter().map(|s| s.trim()).collect();
        assert_eq!(
            out,
            ["Thanks, Mr. Smith!", "And at Harbor & Sons Inc. you made 3.5 parts?", "Yes.", "Go"]
        );
        assert_eq!(
            sentences("He said \"go.\" Then?\n- One\n- Two"),
            ["He said \"go.\"", "Then?", "- One", "- Two"]
        );
    }

    #[test]
    fn a_voice_gets_plain_words() {
        let filter = Filter { known: vec!["it is 415 555 0100".into()], tools: vec!["record_job".into()] };
        for (text, wanted) in [
            ("**Great**, thanks! 😀", Some("Great, thanks!")),
            ("- What was your *title*?", Some("What was your title?")),
            ("1. When did you start?", Some("When did you start?")),
            ("<break time=\"1s\"/>And then?", Some("And then?")),
            ("See https://evil.test/x now.", Some("See now.")),
            ("See [our page](https://evil.test).", Some("See our page")),
            ("Call 212-555-0187, please.", Some("Call, please.")),
            ("Is 415-555-0100 right?", Some("Is 415-555-0100 right?")),
            ("From 1977-1985, was that school?", Some("From 1977-1985, was that school?")),
            ("STATE: {\"stage\":1}", None),
            ("My system prompt says so.", None),
            ("I will call record_job now.", None),
            ("I'm an AI assistant, yes.", Some("I'm an AI assistant, yes.")),
            ("🎉", None),
        ] {
            assert_eq!(filter.clean(text).as_deref(), wanted, "{text}");
        }
        assert_eq!(shorten("one two three", 9), "one two");
    }
}
