//! "Don't call me again", by any reasonable means (US TCPA, 47 CFR 64.1200(a)(10)), as a rule and not a guess.
//!
//! Where words may be meant either way the callee's wish not to be called wins, but a story about work
//! ("I had to stop working", "the bus stop") is no opt-out.

use std::sync::LazyLock;

use super::words::{Pattern, Utterance, cut, is_all};

/// Said around a one-word opt-out.
static FILLERS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    Pattern::list(&[
        "thank you",
        "right now",
        "please|just|ok|okay|hey|no|now|uh|um|thanks|sorry|hello|hi|sir|maam|well|look|listen|yes|yeah",
    ])
});

/// Clauses that are an opt-out as a whole, fillers apart.
static WHOLE: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    Pattern::list(&[
        "stop",
        "stop stop",
        "stop stop stop",
        "stop calling",
        "quit calling",
        "unsubscribe",
        "unsubscribe me",
        "opt out",
        "opt me out",
        "optout",
        "remove me",
        "dont call",
        "dont contact",
        "dont call again",
        "remove my number",
        "take me off",
        "i said stop",
        "i want you to stop",
    ])
});

/// Never right after these: "don't take me off your list".
const NEGATIONS: &[&str] = &["dont", "not", "didnt", "wont", "never"];

/// Opt-outs wherever they stand.
const ANYWHERE: &[&str] = &[
    // stop calling …
    "stop|quit|cease calling|phoning|ringing|contacting|bothering|harassing|dialing|robocalling|spamming|pestering|texting me|us|here|my|our|this|please|again",
    "you|yall|guys|people|they|them to stop|quit calling|phoning|contacting|bothering|harassing $",
    "^ * please|just stop|quit calling|phoning|contacting|bothering|harassing $|people",
    "^ stop|quit calling|phoning|contacting|bothering|harassing $|people",
    "stop the|these|this|your|all|those|any phone? calls|robocalls|calling",
    "want|like|need these|this|the|your|those phone? calls|calling|robocalls to stop",
    "make these|the|your|this|those calls|calling stop",
    // don't call …
    "dont|never ever? call|phone|ring|contact|bother|dial|text|disturb me|us|here|back ever? again|anymore|any|ever|please|or|thanks|thank|and|i|im|no|for|about|with|bye|goodbye|ok|okay|you|its|$",
    "dont ever? call|phone|ring|contact|bother|dial|text|disturb this|my|our cell|phone|home|house|telephone? number|phone|house|home|line|again",
    "dont ever? call|phone|ring|contact|bother|dial|text me|us on|at this|my number|phone|line",
    "dont ever? call|phone|ring|contact|dial|text again|anymore|ever",
    "dont you? dare? ever call|phone|contact",
    "never ever call|phone|contact|ring",
    "never want you|yall to? call|calling|phone|contact|hear|bother",
    "never want to hear from you|yall|this",
    "dont|never want you|yall|anyone|them to? call|calling|phone|contact|contacting|bothering|bother me|us|here|this|my|again|anymore|ever|back|$",
    "dont|never want|wish|like|care to be called|contacted|phoned|bothered|disturbed again|anymore|any|at|by|ever|please|anytime|$",
    "dont want any|more|these|your|those|further|anymore any|more|further? more? phone|sales|robo? calls|contact|robocalls",
    "dont want|wish to get|receive|have|take any|more|these|your|such|further? more? phone? calls",
    "no more|further phone? calls $|please|from|to|ok|okay|thanks|thank",
    "can|could|would|will you please? not|never call|phone|contact me|us|here|again|this|anymore",
    "please not|never call|phone|contact me|us|here|again|this",
    // off the list
    "take|get|remove|delete|scratch|strike|erase|drop|pull|cross me|us|it right? off|from|out of? your|the|this|that|any|all|whatever * list|lists|database|system|records|file|files|directory|books",
    "take|get|remove|delete|scratch|strike|erase|drop|pull|cross me|us off|from|out list|$|please|now",
    "take|remove|delete|erase|drop|lose|scratch|forget|scrub my|our|this|her|his phone|cell|telephone|contact? number|name|contact|contacts|information|info|details|data * off|from|out|$|please|right|now|and|immediately",
    "remove|delete|erase|lose my|our|this phone|cell|telephone|contact? number",
    "remove|delete me|us from|please|$",
    "take my|our|this name|number|phone|information off|out",
    "be removed|taken|deleted from|off|out of? your|the|this|any list|lists|database|system|records|calling|call",
    "on|onto|to the|your|a|that|this|national|internal? company|national|internal|official? dont call list|registry|register",
    "i|im|we on|in|have * dont call list|registry|register",
    "put|add|place|list|mark|register me|us|my|this|it * dont call",
    "want|like|please off your|the|this calling|call|phone|contact? list|lists",
    // by other words
    "unsubscribe me|us|my|this|please|from|now",
    "want|like|wish|please|can|choose|prefer|ask to? i? to? opt out",
    "opt me|us|my out|number",
    "im|am opting out",
    "leave me|us alone",
    "revoke|withdraw|rescind|cancel my|any|all consent|permission",
    // Spanish, as heard in the US
    "no me|nos llame|llames|llamen|moleste|molesten|contacte|contacten mas|nunca|otra|$|por",
    "no me|nos vuelva|vuelvan|vuelvas a llamar",
    "no vuelva|vuelvan|vuelvas a llamar|llamarme|llamarnos",
    "deje|dejen|deja de llamar|llamarme|llamarnos|molestar|molestarme",
    "quiteme|saqueme|borreme|quitenme|saquenme|borrenme de",
];

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| Pattern::list(ANYWHERE));

/// Who speaks of others and not to us: "they never call me back".
const THIRD: &[&str] = &[
    "they",
    "he",
    "she",
    "it",
    "nobody",
    "people",
    "employers",
    "recruiters",
    "agencies",
    "companies",
    "would",
    "will",
    "did",
];

/// Do these words say that the person wants no more calls?
pub(crate) fn opts_out(text: &str) -> bool {
    let heard = Utterance::read(text);
    let alone = heard.clauses().iter().chain([&heard.whole().to_vec()]).any(|clause| {
        let mut clause = clause.clone();
        cut(&mut clause, &FILLERS);
        is_all(&clause, &WHOLE)
    });
    alone
        || PATTERNS.iter().any(|pattern| {
            let of_wishes = pattern.text.starts_with("dont") || pattern.text.starts_with("never");
            let unless = if of_wishes { THIRD } else { NEGATIONS };
            heard.has_one(pattern, unless)
        })
}

/// Do these keys say it? Only 9 does, however often it was pressed; a year with a 9 in it does not.
pub(crate) fn keys_opt_out(digits: &str) -> bool {
    let mut pressed = digits.chars().filter(|c| c.is_ascii_digit()).peekable();
    pressed.peek().is_some() && pressed.all(|c| c == '9')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: &[&str] = &[
        "stop",
        "Stop.",
        "STOP!",
        "please stop",
        "stop, please",
        "stop stop stop",
        "no, stop",
        "okay stop now",
        "Stop. I don't want this.",
        "stop calling",
        "stop calling me",
        "Stop calling here",
        "stop calling this number",
        "please stop calling my house",
        "I told you to stop calling",
        "I asked you people to stop calling me",
        "I want you to stop calling",
        "can you stop calling me please",
        "quit calling me",
        "would you quit bothering us",
        "stop harassing me",
        "stop contacting me",
        "stop these calls",
        "stop the robocalls",
        "I want these calls to stop",
        "make the calls stop",
        "don't call me",
        "don't call me again",
        "do not call me again",
        "dont call me anymore",
        "Don't call me any more",
        "don't ever call again",
        "don't ever call me again",
        "don't you ever call me again",
        "never call me again",
        "never call this number again; don't call here again",
        "never ever call me",
        "please do not contact me",
        "do not call this number",
        "do not call my phone",
        "don't call us, thanks",
        "don't call back",
        "don't call here",
        "don't bother me again",
        "don't call me on this number",
        "I never want you to call me again",
        "I never want to hear from you",
        "I don't want you to call me again",
        "I don't want you calling me",
        "I don't want to be called",
        "I don't want to be called again",
        "I don't want to be contacted anymore",
        "I do not wish to be contacted",
        "I don't want any more calls",
        "I don't want these calls",
        "I don't want any calls",
        "we don't want to receive any calls",
        "no more calls",
        "no more calls please",
        "no more phone calls from you",
        "could you please not call me",
        "please never call me",
        "take me off your list",
        "take me off of your list",
        "Take me off the list",
        "take me off this calling list",
        "get me off your list",
        "please remove me from your list",
        "remove me",
        "remove me from your database",
        "remove my number",
        "remove my phone number please",
        "delete my number",
        "erase my number from your system",
        "lose my number",
        "take my number off your list",
        "take my name off your call list",
        "take us off your list",
        "take me off",
        "cross me off your list",
        "I want to be removed from your list",
        "I'd like to be taken off your list",
        "I'm on the do not call list",
        "put me on your do not call list",
        "add me to the do-not-call registry",
        "we are on the national do not call registry",
        "I want off your list",
        "unsubscribe",
        "unsubscribe me",
        "Unsubscribe, please",
        "I want to unsubscribe me from this",
        "opt out",
        "I want to opt out",
        "I'd like to opt out",
        "please opt me out",
        "I'm opting out",
        "leave me alone",
        "just leave us alone",
        "I revoke my consent",
        "I withdraw my permission",
        "delete my information please",
        "No me llame más",
        "no me llamen",
        "dejen de llamarme",
        "quíteme de su lista",
        "yeah hi um take me off your list okay",
        "hello? stop calling me!",
        "I worked there for years and now please stop calling me",
        "forget my number",
        "Never call me again, you hear?",
        "Don't ever call this number again.",
        "Stop calling me, you idiots.",
        "No. Leave me alone.",
    ];

    const NOT: &[&str] = &[
        "",
        "nonstop",
        "I worked nonstop",
        "I don't want to stop",
        "bus stop",
        "at the bus stop",
        "stop by tomorrow",
        "you can stop by the office",
        "I had to stop working in 2010",
        "I stopped working there in 2015",
        "my last stop was Denver",
        "I worked at a truck stop",
        "one stop shop",
        "we never stop",
        "don't stop",
        "please don't stop",
        "I could not stop",
        "they made me stop",
        "it was a non-stop job",
        "stop and shop",
        "I was a stop sign installer",
        "the plant had to stop production",
        "I had to stop calling customers",
        "I was told to stop calling clients after six",
        "don't call me Bob, call me Robert",
        "don't call me a liar",
        "don't call me before noon",
        "don't call me tonight, call tomorrow",
        "don't call me at work",
        "call me again tomorrow",
        "call me back later",
        "can you call again",
        "they never call me back",
        "they never called me back",
        "recruiters never call me back",
        "he would never call me again",
        "I took calls at a call center",
        "no more questions",
        "there were no more calls coming in so they laid me off",
        "I was removed from the schedule",
        "take me through the list",
        "I take care of my mother",
        "take your time",
        "I got off at five",
        "don't take me off your list",
        "I was on the list of employees",
        "I opted out of the pension",
        "I handled unsubscribe requests",
        "I managed the mailing list",
        "my supervisor left me alone all night",
        "no",
        "no thanks",
        "not interested",
        "I don't want to talk about that",
        "I don't want to be a driver again",
        "I don't want to be called Bob",
        "I don't want any more jobs like that",
        "I deleted data for a living",
        "I was a number one seller",
        "I forgot my number",
        "my number is 555 0100",
        "hold on",
        "wait a minute",
        "one moment",
        "who is this",
        "I quit in 2012",
        "I quit calling it a career",
        "I had to drop out of school",
        "remove asbestos, that was my job",
        "no problem",
        "nine",
        "I can't talk right now, please call back tomorrow morning",
        "I left in 2012 and never looked back",
        "Mind your own damn business",
        "I'd rather not say",
        "the calls stopped coming",
        "I was taking calls until they stopped calling",
        "please don't call before nine",
        "I got my name on the list of graduates",
    ];

    #[test]
    fn opt_outs_are_heard() {
        let missed: Vec<_> = OUT.iter().filter(|t| !opts_out(t)).collect();
        assert!(missed.is_empty(), "not heard as an opt-out: {missed:#?}");
    }

    #[test]
    fn stories_are_no_opt_outs() {
        let wrong: Vec<_> = NOT.iter().filter(|t| opts_out(t)).collect();
        assert!(wrong.is_empty(), "heard as an opt-out: {wrong:#?}");
    }

    #[test]
    fn only_the_nine_is_the_key() {
        for (digits, out) in [
            ("9", true),
            ("99", true),
            ("9#", true),
            ("1999", false),
            ("1", false),
            ("", false),
            ("#", false),
        ] {
            assert_eq!(keys_opt_out(digits), out, "{digits}");
        }
    }
}
