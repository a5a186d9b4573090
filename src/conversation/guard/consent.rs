//! Yes, no or unclear, to "may we go on?". Consent needs clear words; whatever is not clear goes to the model, which may
//! answer questions and asks again.

use super::words::{Utterance, cut, is_all, words};

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
const REFUSALS: &[&str] = &[
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
];

/// A "no" that is a yes: "no problem".
const NO_BUT_YES: &[&str] = &[
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
];

/// Plain refusals; together with a yes they are unclear.
const NO: &[&str] = &["no|nope|nah|negative|naw"];

/// A yes wherever it stands.
const YES: &[&str] = &[
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
];

/// A yes only as a clause of its own.
const YES_ALONE: &[&str] = &[
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
];

/// A question to us: its yes is a "yes?" into the telephone.
const QUESTIONS: &[&str] = &[
    "who|whos|what|whats|why|how|where|when|which is|are|was|this|that|you|did|do|does|company|for|kind|about|long|much|calling|speaking|the|we|it|would|will|exactly|come",
    "who whos|is? calling|this|speaking",
    "is|are this|it|you a? real|robot|scam|human|computer|recording|machine|bot|ai|joke|sales|person",
    "are|is you|this * robot|scam|human|machine",
    "do|can i|you have|need|get|tell|explain|repeat",
    "say that again",
    "come again",
];

/// Wishes that the model answers with a tool: another time, another person, a wrong number.
const WISHES: &[&str] = &[
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
];

/// Shaky words that take a yes away: "I'm not sure".
const DOUBTS: &[&str] = &[
    "not sure|okay|ok|really|necessarily|exactly|fine|alright",
    "dont know|understand|get|follow",
    "i guess not",
    "depends",
    "maybe",
    "perhaps",
    "for sure not",
    "yes and no",
    "what",
    "if|unless|but|except|only you|dont|i|not|after|when",
];

/// Classifies what was said after the consent question.
pub(crate) fn classify(text: &str) -> Answer {
    let heard = Utterance::read(text);
    let mut rest = words(text);
    let soft = cut(&mut rest, NO_BUT_YES);
    let left = Utterance::read(&rest.join(" "));
    if left.has(REFUSALS) {
        // "No thanks, call me tomorrow" is a wish; the record may be kept from, "no" may not.
        return if heard.has(&WISHES[..1]) { Answer::Unclear } else { Answer::No };
    }
    if heard.has(WISHES) || heard.has(QUESTIONS) || (soft == 0 && text.trim_end().ends_with('?')) {
        return Answer::Unclear;
    }
    let no =
        left.has(NO) || is_all(left.whole(), &["bye", "goodbye", "bye bye", "never", "not really", "not"]);
    let alone = heard.clauses().iter().any(|clause| is_all(clause, YES_ALONE));
    let yes = soft > 0 || alone || yes_in_place(&left);
    match (yes, no) {
        (true, false) if !left.has(DOUBTS) => Answer::Yes,
        (false, true) => Answer::No,
        _ => Answer::Unclear,
    }
}

/// In a long answer only a yes at its start counts: further on it may be part of a story.
fn yes_in_place(left: &Utterance) -> bool {
    const LONG: usize = 14;
    let words = left.whole();
    if words.len() <= LONG {
        return left.has(YES);
    }
    Utterance::read(&words[..4].join(" ")).has(YES)
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
    use super::*;

    const CASES: &[(Answer, &[&str])] = &[
        (
            Answer::Yes,
            &[
                "yes",
                "Yes.",
                "yeah",
                "yep",
                "sure",
                "sure go ahead",
                "Sure, go ahead.",
                "okay",
                "OK",
                "all right",
                "alright",
                "no problem",
                "No problem!",
                "no problem, go ahead",
                "no worries",
                "I guess so",
                "I suppose",
                "of course",
                "fine",
                "that's fine",
                "it's okay",
                "that is okay",
                "yes please",
                "absolutely",
                "definitely",
                "certainly",
                "go ahead",
                "why not",
                "I agree",
                "I consent",
                "you can",
                "yes you may",
                "uh huh",
                "mm-hmm",
                "sounds good",
                "I don't mind",
                "no I don't mind",
                "not at all",
                "no, not at all",
                "no, go ahead",
                "no, that's fine",
                "not a problem",
                "by all means",
                "fire away",
                "let's do it",
                "works for me",
                "please continue",
                "okay let's go",
                "yes I do",
                "I do",
                "correct",
                "right",
                "shoot",
                "I'm okay with that",
                "I'm fine with that",
                "happy to",
                "yeah that's okay",
                "um yeah sure",
                "well okay then",
                "hi yes sure go ahead",
                "sí",
                "yes, I have a few minutes",
                "yes this is John",
                "sure thing",
                "you have my consent",
            ],
        ),
        (
            Answer::No,
            &[
                "no",
                "No.",
                "nope",
                "nah",
                "no thanks",
                "no thank you",
                "No, thank you.",
                "not interested",
                "I'm not interested",
                "sorry, not interested",
                "I don't want to be recorded",
                "I do not want to be recorded",
                "don't record me",
                "yes but don't record me",
                "okay but I don't want to be recorded",
                "I do not consent",
                "I don't agree",
                "I refuse",
                "I decline",
                "I'd rather not",
                "I would prefer not to",
                "absolutely not",
                "definitely not",
                "no way",
                "hell no",
                "of course not",
                "not comfortable with that",
                "I don't feel comfortable",
                "I don't think so",
                "no you may not",
                "you can not",
                "you can't",
                "go away",
                "get lost",
                "I don't want to",
                "I don't want this",
                "not okay",
                "goodbye",
                "bye",
                "never",
                "not really",
                "no no no",
                "no I'm hanging up",
                "never mind",
                "no me interesa",
            ],
        ),
        (
            Answer::Unclear,
            &[
                "",
                "who are you?",
                "Who is this",
                "who's calling",
                "what is this about",
                "what company are you with",
                "is this a robot",
                "are you a real person?",
                "yes? who is this?",
                "yeah, who is this",
                "hello?",
                "hello",
                "Yes?",
                "what",
                "huh",
                "how long will it take",
                "sure, how long will this take?",
                "how did you get my number",
                "call me later",
                "no, call me back tomorrow",
                "can you call me another time",
                "I'm driving",
                "I'm at work",
                "I'm busy right now",
                "not now",
                "it's not a good time",
                "wrong number",
                "no, wrong number",
                "you have the wrong number",
                "nobody by that name here",
                "no, this is his wife",
                "can I speak to a real person",
                "let me talk to a human",
                "I'm not sure",
                "not sure",
                "I don't know",
                "maybe",
                "it depends",
                "yeah no",
                "no yeah",
                "what was that",
                "I don't understand",
                "blue",
                "speaking",
                "this is John",
                "one moment",
                "hm",
                "he asked me and I told them at the time that it was yes for the whole family there",
                "why do you need that",
            ],
        ),
    ];

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
