//! What the model says: one or two spoken sentences, ending with the question the program wants asked.

use serde_json::Value;

use super::cues;
use super::dates::{self, Date};
use super::listen::{Context, Fact};
use super::question;
use super::state::Scene;

/// To somebody out of work the question for the present job is put differently.
const LAST_JOB: &str =
    "I see, thank you. What was your last job, and from when until when did you work there?";

/// The words of this turn.
pub(crate) fn words(scene: &Scene, ctx: &Context, facts: &[Fact]) -> String {
    if let Some(result) = scene.result() {
        let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or("");
        let stage = if text("stage").is_empty() { scene.text("stage") } else { text("stage") };
        let gap = result.get("gap").filter(|g| g.is_object());
        let question = question(text("ask"), stage, gap, text("read_back"));
        if facts.contains(&Fact::NotWorking) && stage == "situation" {
            return LAST_JOB.into();
        }
        let style = if text("style").is_empty() { scene.text("style") } else { text("style") };
        let last = scene.done.last().map_or("", |(call, _)| call.function.name.as_str());
        if matches!(
            last,
            "finish_interview" | "opt_out" | "wrong_number" | "schedule_callback" | "transfer_to_person"
        ) || result.get("ok") == Some(&Value::Bool(false))
        {
            return question;
        }
        return format!("{}{question}", acknowledgement(scene, style, &question));
    }
    let gap = scene.state.get("gap").filter(|g| g.is_object());
    let ask = question(scene.text("ask"), scene.text("stage"), gap, scene.text("read_back"));
    if scene.heard.trim().is_empty() {
        return ask;
    }
    for fact in facts {
        match fact {
            Fact::WhoAreYou => {
                let again = again(scene, &ask);
                return format!("I'm an AI assistant, and this call may be recorded. {again}");
            }
            Fact::Evasion => {
                let again = again(scene, &ask);
                return format!("That's all right, it only helps to complete your record. {again}");
            }
            Fact::NotWorking => {
                return LAST_JOB.into();
            }
            Fact::WhichCompany => return "Thanks. Which company was that with?".into(),
            _ => {}
        }
    }
    if ctx.needs_consent {
        return format!("Sorry, I didn't get that. {}", again(scene, &ask));
    }
    // "Go ahead", "no, nothing special": no fact to record, and yet the program took it for an answer and moved on.
    let next = question::read(&ask).topics;
    let moved_on = !next.is_empty() && !next.iter().any(|topic| ctx.question.asks(*topic));
    if facts.is_empty() && moved_on && !scene.asked.is_empty() {
        return format!("{}{ask}", acknowledgement(scene, scene.text("style"), &ask));
    }
    if cues::evades(&dates::lower(&scene.heard)) || facts.is_empty() {
        return format!("Sorry, I didn't quite get that. {}", again(scene, &ask));
    }
    ask
}

/// The last question once more: as it was put, so that a question of the model's own is not lost; the program's where nothing was asked.
fn again(scene: &Scene, ask: &str) -> String {
    const OWN: &str = "what was your last job|which company was that with";
    let asked: Vec<&str> = dates::sentences(&scene.asked).into_iter().filter(|s| s.ends_with('?')).collect();
    let own = asked.last().copied().filter(|q| ask.is_empty() || dates::says(&dates::lower(q), OWN));
    own.unwrap_or(ask).to_owned()
}

fn acknowledgement(scene: &Scene, style: &str, question: &str) -> &'static str {
    if style == "minimal"
        || dates::says(&dates::lower(question), "thank|thanks|sorry|great|all right|i see|understood|got it")
    {
        return "";
    }
    let list: &[&str] = match style {
        "soft" => &["Thank you for telling me. ", "I appreciate that. ", "Thank you, that helps. "],
        _ => &["Thank you. ", "Got it. ", "Thanks. ", "All right. ", ""],
    };
    list[scene.length / 2 % list.len()]
}

/// The program's suggestion as a spoken question. A suggestion that is speech already is taken word for word; an instruction ("Ask for the
/// title.") is turned into a question of the stage.
fn question(ask: &str, stage: &str, gap: Option<&Value>, read_back: &str) -> String {
    let ask = ask.trim();
    let lower = dates::lower(ask);
    let verb = lower.split(|c: char| !c.is_alphabetic()).next().unwrap_or("");
    let instruction = matches!(
        verb,
        "ask"
            | "say"
            | "read"
            | "tell"
            | "confirm"
            | "find"
            | "offer"
            | "request"
            | "inquire"
            | "repeat"
            | "end"
    );
    if !read_back.is_empty() && !ask.contains(read_back) && stage == "read_back" {
        let closing =
            if ask.ends_with('?') && ask.len() < 80 && !instruction { ask } else { "Is that right?" };
        return if read_back.trim_end().ends_with('?') {
            read_back.to_owned()
        } else {
            format!("{read_back} {closing}")
        };
    }
    if !ask.is_empty() && !instruction {
        return ask.to_owned();
    }
    if let Some(quoted) = ask.split(['"', '“', '”']).nth(1).filter(|q| q.len() > 8) {
        return quoted.to_owned();
    }
    let date = |key: &str| gap.and_then(|g| g.get(key)?.as_str()).and_then(Date::iso).map(Date::spoken);
    match stage {
        "consent" => "Is it okay to go on?".into(),
        "situation" => "May I have your name, and what do you do for work at the moment?".into(),
        "gaps" => match (date("start"), date("end")) {
            (Some(from), Some(to)) => format!("What were you doing between {from} and {to}?"),
            (Some(from), None) => format!("Since {from} until today, what have you been doing?"),
            _ => "What did you do before that?".into(),
        },
        "skills" => "What skills do you have?".into(),
        "read_back" => "Is all that correct?".into(),
        "goodbye" => "Thank you for your time. Goodbye!".into(),
        _ if dates::says(&lower, "title|position|role") => "What was your job title there?".into(),
        _ if dates::says(&lower, "start|dates|when|since") => {
            "From when until when did you work there?".into()
        }
        _ if dates::says(&lower, "end|leave|left") => "When did you leave that job?".into(),
        "history" => "What did you do before that?".into(),
        _ => "Could you tell me more, please?".into(),
    }
}
