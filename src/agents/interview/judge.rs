//! Judging a turn: what our agent asked, what the callee answered, and which reasons for points are in it.

use super::lexicon::{
    ABUSE, AIMED, ANGER, AUXILIARIES, CLOSED, CORRECTIONS, COUNTER, LAUGHS, MOCKERY, NO, NOT_NO, NOTHING,
    OPEN, REFUSALS, SHRUG_ROOM, SHRUGS, TARGETS, YES,
};
use super::score::Reason;
use super::words::{find, first_of, has, number, words};

/// What our agent said, as far as it asks something: its last sentence with a question in it.
pub(crate) struct Question {
    words: Vec<String>,
}

impl Question {
    /// The question in `said`.
    pub(crate) fn of(said: &str) -> Self {
        let mut sentences = said.split_inclusive(['.', '?', '!']).map(str::trim).filter(|s| !s.is_empty());
        let last = sentences
            .clone()
            .rfind(|s| s.ends_with('?'))
            .or_else(|| sentences.next_back())
            .unwrap_or_default();
        Self { words: words(last) }
    }

    /// Its words without numbers, so that "between 1977 and 1985" and "between 1985 and 1995" are one topic.
    pub(crate) fn topic(&self) -> String {
        let kept = self.words.iter().filter(|w| !w.contains(|c: char| c.is_ascii_digit()));
        kept.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Would yes or no answer it?
    fn is_yes_no(&self) -> bool {
        let lead = ["and", "then", "okay", "ok", "thanks", "alright", "now", "well", "great"];
        let first = self.words.iter().find(|w| !lead.contains(&w.as_str()));
        first.is_some_and(|w| AUXILIARIES.contains(&w.as_str()))
            || self.words.len() >= 2 && has(&self.words[self.words.len() - 2..], "is right")
            || has(&self.words, "is that right")
            || has(&self.words, "all right if")
    }

    /// Does it ask to tell something, so that one word is little?
    fn is_open(&self) -> bool {
        !self.is_yes_no() && first_of(&self.words, OPEN).is_some() && first_of(&self.words, CLOSED).is_none()
    }

    /// Is it about something it names itself? "Anything before that?" is a new question every time.
    pub(crate) fn stands_alone(&self) -> bool {
        const POINTING: [&str; 14] = [
            "that", "there", "it", "else", "other", "more", "before", "anything", "another", "this", "then",
            "those", "right", "correct",
        ];
        self.words.len() >= 4
            && self.is_yes_no()
            && !self.words.iter().any(|w| POINTING.contains(&w.as_str()))
    }
}

/// What the callee said.
pub(crate) struct Answer {
    words: Vec<String>,
}

impl Answer {
    /// The answer as words.
    pub(crate) fn of(said: &str) -> Self {
        Self { words: words(said) }
    }

    /// Its words in one line.
    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }

    /// Yes, no, or neither.
    pub(crate) fn polarity(&self) -> Option<bool> {
        let head = &self.words[..self.words.len().min(4)];
        let place = |list: &[&str]| list.iter().filter_map(|phrase| find(head, phrase)).min();
        let no = if first_of(head, NOT_NO).is_some() { None } else { place(NO) };
        match (place(YES), no) {
            (None, None) => None,
            (Some(yes), Some(no)) => Some(yes < no),
            (yes, _) => Some(yes.is_some()),
        }
    }

    /// Does the callee correct themselves?
    pub(crate) fn corrects_itself(&self) -> bool {
        first_of(&self.words, CORRECTIONS).is_some()
    }

    /// Is there so much in it that saying it twice means something? Yes, no, thanks and numbers may come twice.
    pub(crate) fn is_substantial(&self) -> bool {
        const SMALL: [&str; 40] = [
            "yes", "yeah", "yep", "yup", "no", "nope", "nah", "ok", "okay", "sure", "right", "correct",
            "thanks", "thank", "you", "fine", "i", "am", "do", "did", "not", "that", "is", "it", "what",
            "sorry", "pardon", "hello", "hi", "please", "none", "nothing", "of", "course", "exactly", "was",
            "have", "can", "repeat", "say",
        ];
        let said = |w: &String| !SMALL.contains(&w.as_str()) && !w.contains(|c: char| c.is_ascii_digit());
        self.words.iter().any(|w| said(w) && number(std::slice::from_ref(w)).is_none())
    }

    fn has_digits(&self) -> bool {
        self.words.iter().any(|w| w.contains(|c: char| c.is_ascii_digit()))
    }

    fn insults(&self) -> bool {
        if first_of(&self.words, ABUSE).is_some() {
            return true;
        }
        let aimed = |w: &String| AIMED.contains(&w.as_str());
        let near = |i: usize| {
            let around = &self.words[i.saturating_sub(3)..i];
            let next = self.words.get(i + 1);
            let at_you = around.iter().any(|w| w == "you" || w == "your")
                && !around.iter().any(|w| w == "i" || w == "not");
            at_you || next.is_some_and(|w| TARGETS.contains(&w.as_str())) || find(around, "this is").is_some()
        };
        let alone = self.words.len() <= 2 && !self.words.iter().any(|w| w == "i" || w == "my");
        (0..self.words.len()).any(|i| aimed(&self.words[i]) && (alone || near(i)))
    }

    fn mocks(&self) -> bool {
        let laughs = self.words.len() <= 3 && first_of(&self.words, LAUGHS).is_some();
        let parrot = self.words.windows(3).any(|w| {
            w[0] == w[1]
                && w[1] == w[2]
                && !["no", "yes", "yeah", "very", "sorry", "hello", "wait", "ok", "okay", "bye"]
                    .contains(&w[0].as_str())
                && number(std::slice::from_ref(&w[0])).is_none()
        });
        laughs || parrot || first_of(&self.words, MOCKERY).is_some()
    }

    /// Is it said that there is none of what was asked for?
    pub(crate) fn denies(&self) -> bool {
        self.polarity() == Some(false) || first_of(&self.words, NOTHING).is_some()
    }

    fn evades(&self) -> bool {
        if first_of(&self.words, COUNTER).is_some() {
            return true;
        }
        let shrug = first_of(&self.words, SHRUGS).map(|s| s.split_whitespace().count());
        shrug.is_some_and(|taken| self.words.len() - taken <= SHRUG_ROOM && !self.has_digits())
    }

    fn refuses(&self) -> bool {
        let whole = ["not interested", "no comment", "no way", "never", "pass", "forget it", "i pass"];
        first_of(&self.words, REFUSALS).is_some() || whole.contains(&self.text().as_str())
    }
}

/// What of a single turn gives points. Repetition and contradiction need the turns before; see [`super::score`].
pub(crate) fn reasons(question: &Question, answer: &Answer) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if answer.words.is_empty() {
        return reasons;
    }
    let yes_no = question.is_yes_no() && answer.words.len() <= 2 && answer.polarity().is_some();
    if answer.insults() {
        reasons.push(Reason::Insult);
    }
    if first_of(&answer.words, ANGER).is_some() {
        reasons.push(Reason::Hostility);
    }
    // "Never" answers "have you ever …?".
    if answer.refuses() && !yes_no {
        reasons.push(Reason::Refusal);
    }
    if answer.mocks() {
        reasons.push(Reason::Mockery);
    }
    if reasons.is_empty() && answer.evades() {
        reasons.push(Reason::Evasion);
    }
    if reasons.is_empty() && answer.words.len() == 1 && question.is_open() && !answer.has_digits() {
        reasons.push(Reason::OneWord);
    }
    reasons
}

/// Are two questions the same but for small words? At least six in ten words are shared.
pub(crate) fn alike(a: &str, b: &str) -> bool {
    let set = |text: &str| text.split(' ').map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (a, b) = (set(a), set(b));
    let shared = a.intersection(&b).count();
    shared * 10 >= a.union(&b).count() * 6
}
