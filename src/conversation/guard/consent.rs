//! Yes, no or unclear, to "may we go on?". Consent needs clear words; whatever is not clear goes to the model, which may
//! answer questions and asks again.

use std::sync::LazyLock;

use super::words::{Pattern, Utterance, cut, is_all, words};

type Patterns = LazyLock<Vec<Pattern>>;

/// An answer to the consent question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Clearly given.
    Yes,
    /// Clearly refused.
    No,
    /// Neither: a question, a wish, a word that may mean anything.
    Unclear,
}

/// Refusals that stand above everything else in the sentence.
static REFUSALS: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "no thanks",
        "no thank you",
        "not interested",
        "no interest",
        "dont record",
        "not record",
        "without recording",
        "not recorded",
        "dont want to|this|any|it|that|you|none|anything|no",
        "dont consent|agree|accept|authorize|approve|permit|allow",
        "not consent|agree|accept",
        "i refuse|decline",
        "rather|prefer not",
        "absolutely|definitely|certainly|hell|of not|no",
        "course not",
        "no way",
        "not comfortable|okay|ok|allowed|happy|willing",
        "dont feel comfortable",
        "dont think so",
        "you may|can not",
        "you cant",
        "dont have? time? for? this go away",
        "go away",
        "get lost",
        "hang up",
        "hanging up",
        "dont care",
        "no me interesa",
        "no quiero",
        "no gracias",
        "never mind",
        "wont do",
        "not doing this|that|it",
    ])
});

/// A "no" that is a yes: "no problem".
static NO_BUT_YES: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "no problem|problems|worries|objection|objections|issue|issues|trouble|sweat",
        "not a? problem|an|issue",
        "no big deal",
        "no i? dont mind",
        "i dont mind",
        "dont mind",
        "wouldnt mind",
        "no not at all",
        "not at all",
        "no go ahead|on",
        "no thats|its fine|ok|okay|alright|good|great|cool",
        "why not",
        "cant complain",
        "cant see why not",
        "dont see why not",
        "no doubt",
    ])
});

/// Plain refusals; together with a yes they are unclear.
static NO: Patterns = LazyLock::new(|| Pattern::list(&["no|nope|nah|negative|naw"]));

/// A refusal only where nothing else is said.
static NO_ALONE: Patterns =
    LazyLock::new(|| Pattern::list(&["bye", "goodbye", "bye bye", "never", "not really", "not"]));

/// A yes wherever it stands.
static YES: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "yes|yeah|yep|yup|yea|yah|aye|sure|surely|okay|ok|okey|alright|absolutely|certainly|definitely|affirmative",
        "all right",
        "go ahead|on|for",
        "of course",
        "i guess|suppose",
        "sounds good|fine|great|okay|ok|alright",
        "thats|its|thatll|that be? fine|ok|okay|alright|cool|good",
        "you can|may",
        "i agree|consent|accept|approve",
        "please do|continue|proceed",
        "works for me",
        "be my guest",
        "fire away",
        "lets do|go|start|begin|get",
        "uh huh",
        "mm hmm|hm|mhm",
        "mhm",
        "mmhmm",
        "by all means",
        "im|am okay|ok|fine|good|happy with|to",
        "happy|glad to",
        "proceed",
        "carry on",
        "fine with|by me",
        "i can do that",
        "thats right",
        "you have my consent|permission",
    ])
});

/// A yes only as a clause of its own.
static YES_ALONE: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "fine",
        "right",
        "i do",
        "ready",
        "shoot",
        "correct",
        "si",
        "claro",
        "continue",
        "i will",
        "good",
        "great",
        "cool",
        "fine please? continue",
        "we can",
        "im ready",
        "perfect",
        "true",
        "please",
    ])
});

/// A question to us: its yes is a "yes?" into the telephone.
static QUESTIONS: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "who|whos|what|whats|why|how|where|when|which is|are|was|this|that|you|did|do|does|company|for|kind|about|long|much|calling|speaking|the|we|it|would|will|exactly|come",
        "who whos|is? calling|this|speaking",
        "is|are this|it|you a? real|robot|scam|human|computer|recording|machine|bot|ai|joke|sales|person",
        "are|is you|this * robot|scam|human|machine",
        "do|can i|you have|need|get|tell|explain|repeat",
        "say that again",
        "come again",
    ])
});

/// Wishes that the model answers with a tool: another time, another person, a wrong number.
static WISHES: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "call|ring|phone|try|reach me? back|later|again|tomorrow|another|tonight|next|in|some|monday|tuesday|wednesday|thursday|friday|saturday|sunday",
        "another|different|better time|day",
        "bad|good|best time",
        "not now",
        "not right now",
        "not at the|this moment|time|minute",
        "im|am driving|busy|working|eating|sleeping|in",
        "at work",
        "in a? meeting",
        "later today|tonight|maybe|please|$",
        "wrong number|person|guy|one",
        "nobody|no one|noone by|here|with|called|named",
        "not|doesnt|dont live|lives|here|him|her",
        "you have|got the? wrong",
        "this is his|her|their|my|not",
        "speak|talk to|with a|an|someone|somebody|the|real|your",
        "real person|human",
        "passed away",
        "is dead|deceased",
    ])
});

/// Shaky words that take a yes away: "I'm not sure".
static DOUBTS: Patterns = LazyLock::new(|| {
    Pattern::list(&[
        "not sure|okay|ok|really|necessarily|exactly|fine|alright",
        "dont know|understand|get|follow",
        "i guess not",
        "depends",
        "maybe",
        "perhaps",
        "for sure not",
        "yes and no",
        "what",
        "if|unless|except|only you|dont|i|not|after|when",
        "but you|dont|not|no|after|when|what|who|why",
    ])
});

/// Classifies what was said after the consent question.
pub(crate) fn classify(text: &str) -> Answer {
    let heard = Utterance::read(text);
    let mut rest = words(text);
    let soft = cut(&mut rest, &NO_BUT_YES);
    let left = Utterance::read(&rest.join(" "));
    if left.has(&REFUSALS) {
        // "No thanks, call me tomorrow" is a wish; the record may be kept from, "no" may not.
        return if heard.has(&WISHES[..1]) { Answer::Unclear } else { Answer::No };
    }
    if heard.has(&WISHES) || heard.has(&QUESTIONS) || (soft == 0 && text.trim_end().ends_with('?')) {
        return Answer::Unclear;
    }
    let no = left.has(&NO) || is_all(left.whole(), &NO_ALONE);
    let alone = heard.clauses().iter().any(|clause| is_all(clause, &YES_ALONE));
    let yes = soft > 0 || alone || yes_in_place(&left);
    match (yes, no) {
        (true, false) if !left.has(&DOUBTS) => Answer::Yes,
        (false, true) => Answer::No,
        _ => Answer::Unclear,
    }
}

/// In a long answer only a yes at its start counts: further on it may be part of a story.
fn yes_in_place(left: &Utterance) -> bool {
    const LONG: usize = 14;
    let words = left.whole();
    if words.len() <= LONG {
        return left.has(&YES);
    }
    Utterance::read(&words[..4].join(" ")).has(&YES)
}

/// Keys in the consent stage: 1 is yes, 2 is no.
pub(crate) fn classify_keys(digits: &str) -> Answer {
    match digits.trim_end_matches('#') {
        "1" => Answer::Yes,
        "2" => Answer::No,
        _ => Answer::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::super::consent_cases::CASES;
    use super::*;

    #[test]
    fn answers_are_classified() {
        let mut wrong = Vec::new();
        for (wanted, texts) in CASES {
            for text in *texts {
                let got = classify(text);
                if got != *wanted {
                    wrong.push(format!("{text:?}: {got:?}, not {wanted:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn keys_are_classified() {
        assert_eq!(classify_keys("1"), Answer::Yes);
        assert_eq!(classify_keys("2#"), Answer::No);
        assert_eq!(classify_keys("12"), Answer::Unclear);
    }
}
