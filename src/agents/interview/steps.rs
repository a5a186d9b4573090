//! The tools that steer the talk: consent, confirmation, and the ways it can end. A tool asks for an end with an act;
//! whether the call may is the engine's decision.

use serde_json::Value;

use super::callback::{self, Problem};
use super::desk::Desk;
use super::stage::{self, Stage, read_back_topic};
use super::words::{first_of, has, words};
use crate::agents::tool::Args;
use crate::domain::agent::ToolContext;
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::talk::{Act, Note};

/// Words that agree to go on.
const AGREES: [&str; 41] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "yea",
    "ya",
    "aye",
    "sure",
    "ok",
    "okay",
    "fine",
    "alright",
    "all right",
    "go ahead",
    "go on",
    "of course",
    "certainly",
    "absolutely",
    "definitely",
    "please do",
    "i consent",
    "i agree",
    "agreed",
    "why not",
    "sounds good",
    "no problem",
    "not a problem",
    "no worries",
    "i guess",
    "i suppose",
    "uh huh",
    "mm hmm",
    "mhm",
    "fire away",
    "shoot",
    "continue",
    "proceed",
    "happy to",
    "do not mind",
    "be my guest",
    "you may",
];
/// Words that do not agree, whatever else is said.
const REFUSES: [&str; 22] = [
    "not interested",
    "do not want",
    "do not record",
    "do not consent",
    "do not agree",
    "do not call",
    "not now",
    "no thanks",
    "no thank you",
    "not okay",
    "not ok",
    "not fine",
    "not comfortable",
    "stop calling",
    "take me off",
    "remove me",
    "rather not",
    "leave me alone",
    "not sure",
    "hang up",
    "no way",
    "i refuse",
];
/// "No" that refuses nothing.
const HARMLESS_NO: [&str; 6] =
    ["no problem", "no worries", "no that is fine", "no that is ok", "no that is okay", "no go ahead"];
/// Words with which a person asks to end a talk.
const ENDS: [&str; 32] = [
    "bye",
    "goodbye",
    "good bye",
    "hang up",
    "hanging up",
    "have to go",
    "got to go",
    "gotta go",
    "need to go",
    "must go",
    "have to leave",
    "end the call",
    "end this call",
    "end this",
    "stop here",
    "stop this",
    "that is all",
    "that is enough",
    "that is it",
    "no time",
    "no more questions",
    "i am done",
    "we are done",
    "finish here",
    "not interested",
    "do not want to",
    "leave me alone",
    "i am busy",
    "talk later",
    "another time",
    "wrap up",
    "wrap this up",
];

/// Did the callee, in these words, agree to go on?
pub(crate) fn agrees(heard: &str) -> bool {
    let heard = words(heard);
    if first_of(&heard, &REFUSES).is_some() {
        return false;
    }
    let no = has(&heard, "no") || has(&heard, "nope") || has(&heard, "nah");
    (!no || first_of(&heard, &HARMLESS_NO).is_some()) && first_of(&heard, &AGREES).is_some()
}

/// Did the callee ask to end the talk?
fn wants_to_end(heard: &str) -> bool {
    first_of(&words(heard), &ENDS).is_some()
}

/// `record_consent`. Given only where the callee's own words of this turn agree: what the model believes is no
/// consent.
pub(crate) fn consent(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let given = args.flag("given") == Some(true);
    let mut desk = Desk::open(context);
    if given && desk.context.consent == Some(true) {
        return desk.done(None);
    }
    if given && !agrees(&desk.context.heard) {
        let problem = "consent: their words do not clearly agree; ask again whether it is all right to go on";
        return desk.refuse(vec![problem.to_owned()], None);
    }
    desk.context.consent = Some(given);
    desk.context.notes.push(Note::Consent { given });
    if given {
        return desk.done(None);
    }
    hang_up(&mut desk, Ending::by_callee(Disposition::Rejected, "consent_refused"));
    desk.done(Some("That is all right. Thank you for your time. Goodbye.".to_owned()))
}

/// `confirm_read_back`. Only after it was read to the callee.
pub(crate) fn confirm_read_back(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    if !desk.notes.asked.contains_key(&read_back_topic(&desk.notes)) {
        let problem = "the callee has not heard the read-back yet; read it to them first";
        return desk.refuse(vec![problem.to_owned()], None);
    }
    let state = &mut desk.notes.read_back;
    if args.flag("correct") == Some(true) {
        state.confirmed = true;
        state.correcting = false;
    } else if !state.correcting {
        state.confirmed = false;
        // "No, I left in 2012" says it all at once, and the model may record the year first.
        state.correcting = state.changed_in != Some(desk.context.turn);
        state.rejected = state.rejected.saturating_add(1);
    }
    desk.done(None)
}

/// `finish_interview`. Only at the end of the course, or where the callee asks for the end.
pub(crate) fn finish(_: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = Desk::open(context);
    let stage = stage::plan(&desk.notes, desk.context.consent, desk.today).stage;
    let ending = if stage == Stage::Goodbye {
        desk.notes.finished = true;
        Ending::new(Disposition::Completed, "done")
    } else if wants_to_end(&desk.context.heard) {
        let talked = desk.context.consent == Some(true);
        let disposition = if talked { Disposition::Completed } else { Disposition::Rejected };
        Ending::by_callee(disposition, "ended_early")
    } else {
        let problem = format!("the interview is in the stage {}; ask what comes next", stage.as_str());
        return desk.refuse(vec![problem], None);
    };
    hang_up(&mut desk, ending);
    desk.done(Some("Thank you very much for your time. Have a good day. Goodbye.".to_owned()))
}

/// `schedule_callback`.
pub(crate) fn schedule_callback(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = Desk::open(context);
    let when = args.text("when").unwrap_or_default();
    match callback::resolve(when, desk.context.now, &desk.context.times) {
        Ok(time) => {
            let heard = desk.context.heard.trim();
            let said = if heard.is_empty() { when } else { heard }.to_owned();
            desk.context.notes.push(Note::CallBack { at: time.at, words: said });
            hang_up(&mut desk, Ending::by_callee(Disposition::Completed, "callback_scheduled"));
            let when = time.spoken;
            desk.done(Some(if time.moved {
                format!(
                    "I am not permitted to call at that hour, so I will call you at the next one I may: {when}. Thank you, \
                     and goodbye."
                )
            } else {
                format!("Of course. I will call you again {when}. Thank you, and goodbye.")
            }))
        }
        Err(problem) => {
            let ask = match &problem {
                Problem::Zone(zones) => format!("By which clock do you mean that: {}?", zones.join(" or ")),
                _ => "What day and time would suit you better?".to_owned(),
            };
            desk.refuse(vec![format!("when: {problem}")], Some(ask))
        }
    }
}

/// `wrong_number`.
pub(crate) fn wrong_number(_: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = Desk::open(context);
    hang_up(&mut desk, Ending::by_callee(Disposition::Rejected, "wrong_number"));
    desk.done(Some(
        "I am sorry to have disturbed you. I will note that this is the wrong number. Goodbye.".to_owned(),
    ))
}

/// `transfer_to_person`.
pub(crate) fn transfer(_: &Args<'_>, context: &mut ToolContext) -> Value {
    let desk = Desk::open(context);
    desk.context.notes.push(Note::HumanRequested);
    desk.done(Some("Of course, let me see whether somebody can take the call.".to_owned()))
}

/// `opt_out`. The evidence is what was heard, not what the model made of it.
pub(crate) fn opt_out(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = Desk::open(context);
    let heard = desk.context.heard.trim();
    let said = if heard.is_empty() { args.text("words").unwrap_or_default() } else { heard }.to_owned();
    desk.context.notes.push(Note::OptedOut { words: said });
    hang_up(&mut desk, Ending::new(Disposition::OptedOut, "asked"));
    desk.done(Some("I am sorry for the disturbance. We will not call you again. Goodbye.".to_owned()))
}

fn hang_up(desk: &mut Desk<'_>, ending: Ending) {
    desk.context.acts.push(Act::HangUp { ending });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_by_words() {
        for yes in [
            "Yes",
            "Yeah, sure",
            "OK",
            "go ahead",
            "no problem",
            "No, that's fine, go ahead",
            "I guess so",
            "Sounds good to me",
            "I don't mind",
            "Fine.",
            "yes please",
        ] {
            assert!(agrees(yes), "{yes}");
        }
        for no in [
            "",
            "No",
            "no thanks",
            "Who is this?",
            "I'm not sure",
            "Yes, take me off your list",
            "Sure, stop calling me",
            "not now",
            "I'd rather not",
            "yesterday",
            "Nope",
            "I don't want to be recorded",
            "what?",
            "not ok",
        ] {
            assert!(!agrees(no), "{no}");
        }
    }
}
