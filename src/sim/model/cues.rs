//! What words mean whatever was asked: yes and no, evasion, and the wishes that override every question.

use super::dates::{self, says};
use super::listen::{Context, Fact};
use super::question::Topic;

/// What may be said at any time and overrides every question.
pub(crate) fn anywhere(ctx: &Context, answer: &str, text: &str) -> Option<Fact> {
    const OPT_OUT: &str = "stop calling|don't call|do not call|don't ever call|never call|take me off|\
        remove me|remove my number|stop contacting|unsubscribe|off your list|quit calling|\
        stop phoning|lose my number|delete my number";
    const WRONG: &str = "wrong number|wrong person|nobody here by that name|no one here by that name|\
        no one by that name|nobody by that name|you dialed wrong|not the person";
    const LATER: &str = "call me back|call back|call me later|call later|call again|call me again|\
        call me tomorrow|call tomorrow|another time|bad time|not a good time|i'm driving|\
        in a meeting|can't talk|cannot talk|busy right now|call me in|ring me|try me";
    const PERSON: &str = "speak to a person|talk to a person|speak with a person|speak to a human|\
        talk to a human|real person|human being|speak to someone|talk to someone|\
        transfer me|real human";
    const MACHINE: &str = "leave a message|leave your message|after the tone|after the beep|at the tone|\
        record your message";
    const WHO: &str = "who is this|who's this|who are you|who's calling|who is calling|what is this about|\
        what's this about|are you a robot|is this a robot|is this a machine|\
        are you a machine|am i talking to a|is this a recording|are you real|\
        what do you want";
    if says(text, OPT_OUT) || matches!(text.trim_matches(['.', '!', ' ']), "stop" | "unsubscribe") {
        return Some(Fact::OptOut);
    }
    if says(text, WRONG) {
        return Some(Fact::WrongNumber);
    }
    if says(text, MACHINE) {
        return Some(Fact::Voicemail);
    }
    if ctx.question.asks(Topic::CallbackTime) && !denies(text) {
        return Some(Fact::CallBack(answer.trim().trim_end_matches('.').to_owned()));
    }
    if says(text, LATER) && !ctx.question.asks(Topic::Gap) {
        return Some(Fact::CallBack(time_phrase(text)));
    }
    if says(text, PERSON) {
        return Some(Fact::WantsPerson);
    }
    (says(text, WHO) && !affirms(text)).then_some(Fact::WhoAreYou)
}

/// "tomorrow at ten" of "can you call me back tomorrow at ten?"; "later" where no time was named.
fn time_phrase(text: &str) -> String {
    const CUES: &str = "tomorrow|tonight|in an hour|in half|in a|in one|in two|in three|next|on monday|\
        on tuesday|on wednesday|on thursday|on friday|on saturday|on sunday|monday|tuesday|\
        wednesday|thursday|friday|saturday|this evening|this afternoon|after|later|at noon|\
        at one|at two|at three|at four|at five|at six|at ten|at eleven";
    let tail = ["call", "ring", "try"]
        .iter()
        .filter_map(|c| dates::place(text, c))
        .min()
        .map_or(text, |at| &text[at..]);
    let at = CUES.split('|').filter_map(|c| dates::place(tail, c)).min();
    let phrase = at.map_or("later", |at| tail[at..].split(['.', '?', '!', ',']).next().unwrap_or("later"));
    phrase.trim().trim_end_matches(" please").to_owned()
}

/// What fills a gap, by its words.
pub(crate) fn gap_kind(text: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &str)] = &[
        (
            "caring",
            "looking after|took care|taking care|caring for|cared for|stayed home with|stay at home|my kids|the kids|\
             raising|my children|the children|had a baby|maternity|caregiver|nursing my",
        ),
        (
            "prison",
            "prison|jail|locked up|incarcerated|doing time|did time|behind bars|serving a sentence|served time",
        ),
        ("school", "school|studying|studied|college|university|classes|training|degree|student|course"),
        (
            "abroad",
            "abroad|overseas|out of the country|another country|foreign country|back in mexico|in europe",
        ),
        (
            "illness",
            "sick|ill|illness|surgery|health|hospital|disability|injured|injury|got hurt|recovering|cancer|depression|\
             rehab|accident",
        ),
        ("retired", "retired|retirement"),
        (
            "unemployment",
            "unemployed|unemployment|looking for work|looking for a job|laid off|out of work|between jobs|couldn't find|\
             could not find|no work|nobody was hiring|job hunting|not working",
        ),
    ];
    KINDS.iter().find(|(_, cues)| says(text, cues)).map(|(kind, _)| *kind)
}

/// Yes, in any of its words. "No problem" is one.
pub(crate) fn affirms(text: &str) -> bool {
    says(
        text,
        "yes|yeah|yep|yup|sure|ok|okay|fine|go ahead|all right|alright|of course|\
            no problem|why not|i guess so|i guess|absolutely|certainly|go on|works for me|\
            please do|uh-huh|i agree|make it quick|that's right|correct|exactly|right",
    ) && !denies(text)
}

/// No, in any of its words.
pub(crate) fn denies(text: &str) -> bool {
    let text = text
        .replace("no problem", "")
        .replace("no worries", "")
        .replace("why not", "")
        .replace("not at all", "")
        .replace("don't mind", "");
    says(
        &text,
        "no|nope|nah|not interested|leave me alone|i don't want|don't want|no way|\
            get lost|go away|absolutely not|i refuse|not really",
    )
}

/// Avoids the question.
pub(crate) fn evades(text: &str) -> bool {
    says(
        text,
        "why do you need|why do you want|why do you ask|none of your business|\
            mind your own|i don't know|don't remember|can't remember|rather not|not telling|\
            that's personal|bit personal|too personal|don't want to say|what's it to you|\
            does that matter|does it matter|why should i|real job|stupid|idiots|\
            what do you mean|don't understand|get lost|leave me alone",
    )
}
