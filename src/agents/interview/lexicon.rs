//! The words by which a turn is judged. All phrases are matched word for word against text whose contractions were
//! written out (see [`super::words`]): "no problem" is not "no", "nonstop" is not "stop".

use super::score::Reason;
use super::words::{find, first_of, has, number, words};

/// Abuse that is aimed at somebody whatever stands around it.
const ABUSE: [&str; 22] = [
    "fuck you",
    "fuck off",
    "fuck yourself",
    "go fuck",
    "screw you",
    "piss off",
    "bugger off",
    "go to hell",
    "asshole",
    "arsehole",
    "bastard",
    "bitch",
    "motherfucker",
    "dickhead",
    "son of a bitch",
    "scammer",
    "scammers",
    "scumbag",
    "you suck",
    "drop dead",
    "kiss my ass",
    "eat shit",
];
/// Words of abuse only where they are aimed at us: "you idiot", "stupid robot", or nothing else is said. "My boss was
/// an idiot" is a story.
const AIMED: [&str; 14] = [
    "idiot",
    "idiots",
    "moron",
    "morons",
    "stupid",
    "dumb",
    "jerk",
    "creep",
    "liar",
    "loser",
    "fool",
    "pathetic",
    "useless",
    "worthless",
];
const TARGETS: [&str; 10] =
    ["robot", "machine", "bot", "computer", "question", "questions", "call", "thing", "ai", "program"];
const ANGER: [&str; 20] = [
    "shut up",
    "get lost",
    "go away",
    "leave me alone",
    "how dare you",
    "wasting my time",
    "waste of time",
    "waste my time",
    "stop bothering me",
    "stop pestering me",
    "sick of this",
    "sick of you",
    "sick of these",
    "fed up with",
    "i will sue",
    "hate you",
    "hate robots",
    "hate these calls",
    "what the fuck",
    "what the hell do you",
];
const REFUSALS: [&str; 24] = [
    "i refuse",
    "i will not answer",
    "i will not tell",
    "i will not say",
    "will not be answering",
    "not telling you",
    "not going to tell",
    "not going to answer",
    "not going to say",
    "not gonna tell",
    "not gonna answer",
    "not answering",
    "none of your business",
    "none of your beeswax",
    "not your business",
    "no business of yours",
    "i am not interested",
    "do not want to answer",
    "do not want to talk to",
    "do not want to tell you",
    "do not have to tell you",
    "do not have to answer",
    "mind your own business",
    "i will not do this",
];
const MOCKERY: [&str; 30] = [
    "beep boop",
    "beep beep",
    "blah blah",
    "bla bla",
    "la la la",
    "your mother",
    "your mom",
    "your mama",
    "yo mama",
    "i am the pope",
    "i am the king",
    "i am the queen",
    "i am the president",
    "i am batman",
    "i am superman",
    "i am santa",
    "i am santa claus",
    "i am elvis",
    "i am god",
    "i am mickey mouse",
    "i am napoleon",
    "i am darth vader",
    "james bond",
    "does not compute",
    "on the moon",
    "on mars",
    "knock knock",
    "very funny robot",
    "oh great a robot",
    "skynet",
];
const LAUGHS: [&str; 8] = ["haha", "hahaha", "ha ha", "ha ha ha", "lol", "hehe", "rofl", "lmao"];
/// Evasions whatever else is said.
const COUNTER: [&str; 19] = [
    "why do you need",
    "why do you want",
    "why do you ask",
    "why are you asking",
    "why would you need",
    "why would you want",
    "what do you need that for",
    "what do you need it for",
    "what do you want that for",
    "what is it to you",
    "what do you care",
    "why does that matter",
    "why does it matter",
    "that is private",
    "that is personal",
    "rather not say",
    "rather not answer",
    "prefer not to",
    "i would rather not",
];
/// Evasions only where they are the whole answer: "I don't know exactly, 2015 I think" is an answer.
const SHRUGS: [&str; 18] = [
    "i do not know",
    "do not know",
    "no idea",
    "who knows",
    "no clue",
    "it depends",
    "does not matter",
    "whatever",
    "hard to say",
    "could be anything",
    "maybe maybe not",
    "here and there",
    "this and that",
    "not sure",
    "no comment",
    "some place",
    "some time",
    "do not want to talk about",
];
/// Words besides a shrug that leave it a shrug.
const SHRUG_ROOM: usize = 6;
const CORRECTIONS: [&str; 9] = [
    "actually",
    "sorry",
    "i mean",
    "i meant",
    "correction",
    "wait",
    "my mistake",
    "i misspoke",
    "come to think",
];
const YES: [&str; 19] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "sure",
    "of course",
    "certainly",
    "absolutely",
    "correct",
    "right",
    "exactly",
    "i do",
    "i did",
    "i am",
    "i have",
    "i was",
    "it is",
    "that is right",
    "indeed",
];
const NO: [&str; 6] = ["no", "nope", "nah", "not really", "i did not", "never"];
/// "No" that says yes or nothing.
const NOT_NO: [&str; 5] = ["no problem", "no worries", "no doubt", "no one", "no longer"];
/// What opens a question that yes or no answers.
const AUXILIARIES: [&str; 22] = [
    "are", "is", "am", "do", "does", "did", "have", "has", "had", "can", "could", "would", "will", "was",
    "were", "may", "shall", "should", "any", "anything", "so", "still",
];
/// Question words whose full answer may be a single word.
const CLOSED: [&str; 28] = [
    "when",
    "what year",
    "which year",
    "what month",
    "which month",
    "how long",
    "how many",
    "how old",
    "your name",
    "full name",
    "what name",
    "who was",
    "who is",
    "which company",
    "what company",
    "where",
    "what city",
    "which city",
    "job title",
    "your title",
    "what date",
    "which one",
    "your position",
    "your role",
    "since when",
    "until when",
    "what is the name",
    "how do you spell",
];
const OPEN: [&str; 13] = [
    "tell me",
    "describe",
    "what",
    "how",
    "why",
    "walk me through",
    "which",
    "who",
    "when",
    "where",
    "talk about",
    "explain",
    "name",
];

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
        !self.is_yes_no()
            && first_of(&self.words, &OPEN).is_some()
            && first_of(&self.words, &CLOSED).is_none()
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
        let no = if first_of(head, &NOT_NO).is_some() { None } else { place(&NO) };
        match (place(&YES), no) {
            (None, None) => None,
            (Some(yes), Some(no)) => Some(yes < no),
            (yes, _) => Some(yes.is_some()),
        }
    }

    /// Does the callee correct themselves?
    pub(crate) fn corrects_itself(&self) -> bool {
        first_of(&self.words, &CORRECTIONS).is_some()
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
        if first_of(&self.words, &ABUSE).is_some() {
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
        let laughs = self.words.len() <= 3 && first_of(&self.words, &LAUGHS).is_some();
        let parrot = self.words.windows(3).any(|w| {
            w[0] == w[1]
                && w[1] == w[2]
                && !["no", "yes", "yeah", "very", "sorry", "hello", "wait", "ok", "okay", "bye"]
                    .contains(&w[0].as_str())
                && number(std::slice::from_ref(&w[0])).is_none()
        });
        laughs || parrot || first_of(&self.words, &MOCKERY).is_some()
    }

    fn evades(&self) -> bool {
        if first_of(&self.words, &COUNTER).is_some() {
            return true;
        }
        let shrug = first_of(&self.words, &SHRUGS).map(|s| s.split_whitespace().count());
        shrug.is_some_and(|taken| self.words.len() - taken <= SHRUG_ROOM && !self.has_digits())
    }

    fn refuses(&self) -> bool {
        let whole = ["not interested", "no comment", "no way", "never", "pass", "forget it", "i pass"];
        first_of(&self.words, &REFUSALS).is_some() || whole.contains(&self.text().as_str())
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
    if first_of(&answer.words, &ANGER).is_some() {
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
