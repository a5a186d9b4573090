//! Voicemail greetings and call screeners, heard as speech. They are machines: no consent and no opt-out is taken from
//! them.

use std::sync::LazyLock;

use super::words::{Pattern, Utterance};

/// Each is enough by itself before consent; afterwards, when stories are told, two are needed.
const SIGNS: &[&str] = &[
    "at|after|following the|a tone|beep|signal",
    "leave a|your|me|us|detailed|brief? detailed|brief|short|voice? message|messages|voicemail",
    "leave your|a|me your? name",
    "record your|a message",
    "not|isnt|unable|currently available|unavailable|able to take|answer|come|get your|the|this|my|to? call|phone",
    "not|isnt available right|at|to|to take",
    "unable|cant|cannot|couldnt to? take|answer|come|get to? your|the|my call|phone",
    "no|none one|of is|us available|are",
    "you|youve have? reached the|my? voicemail|voice|mailbox|office|phone|number|desk",
    "youve reached",
    "you have reached",
    "the person|party|customer|subscriber|number you are|have|were|re trying|calling|dialed|called|reached",
    "the person|party|customer|subscriber youre trying|calling",
    "wireless|google|verizon|mobile customer|subscriber",
    "has been|is forwarded to|by",
    "forwarded to voice|voicemail|an",
    "mailbox is full|has|belongs",
    "voice mailbox",
    "voice messaging|mail system",
    "google is|will recording|record|screening",
    "google voice|assistant|recording",
    "screening service|assistant|this|your|calls",
    "call assist|assistant|screening",
    "state|say|tell|record|give your name and|the|so",
    "state|say|tell|me|us your? name? and|the? reason|why * calling|call",
    "before i|we try to connect",
    "see|ask|check|find if this|they|the|that|he|she person|is|are|subscriber|available|can * available|connect|you",
    "ill|will|well|i|we get back to you",
    "ill|well return|call you|your back|call as|soon",
    "return your call",
    "press * for more options",
    "hang up or press",
    "please hold while",
    "to leave a callback number",
    "at your convenience as|soon",
];

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| Pattern::list(SIGNS));

/// Said by people about machines: "don't leave a message".
const NEGATIONS: &[&str] =
    &["dont", "stop", "never", "not", "i", "to", "didnt", "would", "they", "we", "had", "could", "im"];

/// Do these words come from a machine? `talking` is true once consent stands, when one sign is not enough.
pub(crate) fn speaks(text: &str, talking: bool) -> bool {
    let heard = Utterance::read(text);
    let found = |sign: &&Pattern| {
        // "I can't come to the phone" is a greeting's own sentence; "I leave a message" is a person's.
        let unless = if sign.text.starts_with("unable") { &[] } else { NEGATIONS };
        heard.has_one(sign, unless)
    };
    let signs = PATTERNS.iter().filter(found).count();
    signs >= if talking { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINES: &[&str] = &[
        "Please leave a message after the tone",
        "leave a message after the beep",
        "Leave your name and number after the tone.",
        "Hi, this is Bob. I can't come to the phone right now, leave me a message.",
        "You've reached the Smith family",
        "You have reached the voicemail of Bob",
        "The person you are trying to reach is not available",
        "The person you're calling is not available. At the tone, please record your message.",
        "Your call has been forwarded to voicemail",
        "Your call has been forwarded to an automatic voice message system",
        "the mailbox is full and cannot accept messages",
        "Google is recording this call",
        "Hi, the person you're calling is using a screening service from Google",
        "State your name and reason for calling",
        "please say your name and why you are calling",
        "Please state your name after the tone and Google Voice will try to connect you",
        "If you record your name and reason for calling, I'll see if this person is available",
        "No one is available to take your call",
        "we are unable to take your call",
        "The number you have dialed is not in service",
        "The wireless customer you are calling is not available",
        "I'll get back to you as soon as I can",
        "We will return your call",
        "Sorry I missed you, leave a brief message",
        "At the tone please record your message. When you have finished recording you may hang up or press 1 for more options",
        "Before I try to connect you can I ask what you're calling about",
    ];

    const PEOPLE: &[&str] = &[
        "hello",
        "yes",
        "who is this",
        "I'm busy",
        "don't leave a message",
        "stop leaving me messages",
        "stop calling me",
        "he's not here",
        "I worked at Google",
        "I was a voice teacher",
        "take me off your list",
        "sure go ahead",
        "I was the person you want",
        "I reached the end of my contract",
        "I'm available on Monday",
        "I'm John, what is this about",
        "what's the reason for this call",
        "is this Google",
        "I had a leave of absence",
        "my name is Bob",
        "I'm not available right now",
    ];

    #[test]
    fn machines_and_people_are_told_apart() {
        let missed: Vec<_> = MACHINES.iter().filter(|t| !speaks(t, false)).collect();
        let wrong: Vec<_> = PEOPLE.iter().filter(|t| speaks(t, false)).collect();
        assert!(missed.is_empty() && wrong.is_empty(), "missed {missed:#?} wrong {wrong:#?}");
    }

    #[test]
    fn a_story_about_voicemail_is_no_voicemail() {
        assert!(!speaks("I had to call customers and leave a message", true));
        assert!(!speaks("then we wait for the thing at the beep", true));
        assert!(speaks("Please leave a message after the tone", true));
    }
}
