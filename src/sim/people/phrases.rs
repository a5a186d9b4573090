//! How people put things: several wordings of every answer, chosen by the dice.

use super::seed::Dice;
use super::truth::Job;
use crate::sim::model::dates::Date;

/// A date in one of the ways people say dates.
pub(crate) fn date(date: Date, dice: &mut Dice) -> String {
    match date.month {
        Some(m) if dice.chance(0.12) => format!("{m:02}/{}", date.year),
        Some(_) if dice.chance(0.08) => date.spoken().replacen(' ', " of ", 1),
        _ => date.spoken(),
    }
}

/// "a forklift operator", "an electrician".
pub(crate) fn with_article(title: &str) -> String {
    let vowel = title.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {title}", if vowel { "an" } else { "a" })
}

/// The company as this speaker says it.
pub(crate) fn company(name: &str, dice: &mut Dice) -> String {
    if dice.chance(0.3) { name.replace('&', "and") } else { name.to_owned() }
}

/// Everything about a present job.
pub(crate) fn present(job: &Job, dice: &mut Dice) -> String {
    let (c, t) = (company(&job.company, dice), job.title.as_str());
    let a = with_article(t);
    let s = date(job.from(), dice);
    match dice.within(0, 7) {
        0 => format!("I'm {a} at {c}, I've been there since {s}."),
        1 => format!("Right now I work at {c} as {a}. I started there in {s}."),
        2 => format!("These days I'm with {c}, I'm their {t}, since {s}."),
        3 => format!("I work for {c} as {a}, started back in {s} and I'm still there."),
        4 => format!("I've been {a} at {c} from {s} until now."),
        5 => format!("I'm working as {a} for {c}. Been there since {s}."),
        6 => format!("At the moment I'm {a} with {c}. I began in {s}."),
        _ => format!("My job is {t} at {c}, and I've been doing that since {s}."),
    }
}

/// Everything about a past job.
pub(crate) fn past(job: &Job, dice: &mut Dice) -> String {
    let Some(end) = job.to() else { return present(job, dice) };
    let (c, t) = (company(&job.company, dice), job.title.as_str());
    let a = with_article(t);
    let (s, e) = (date(job.from(), dice), date(end, dice));
    match dice.within(0, 9) {
        0 => format!("Before that I was {a} at {c}, from {s} to {e}."),
        1 => format!("I worked for {c} as {a} between {s} and {e}."),
        2 => format!("That was {c}. I was their {t} from {s} until {e}."),
        3 => format!("I was with {c} as {a}, {s} to {e}."),
        4 => format!("From {s} till {e} I was {a} at {c}."),
        5 => format!("I started as {a} at {c} in {s} and left in {e}."),
        6 => format!("The job before was {t} with {c}, I began in {s} and it ended in {e}."),
        7 => format!("I used to be {a} at {c}. I joined them in {s} and I stayed until {e}."),
        8 => format!("I had a job as {a} with {c}, that went from {s} through {e}."),
        _ => format!("It was {c}, I was hired as {a} in {s}, and I quit in {e}."),
    }
}

/// Two jobs held at once.
pub(crate) fn both(jobs: &[&Job], dice: &mut Dice) -> String {
    let lead = if jobs.iter().all(|j| j.current) {
        "I've got two jobs, actually."
    } else {
        "I had two jobs at the same time then."
    };
    let told: Vec<String> =
        jobs.iter().map(|j| if j.current { present(j, dice) } else { past(j, dice) }).collect();
    match told.as_slice() {
        [one, other] => format!("{lead} {one} And on the side: {other}"),
        _ => told.join(" "),
    }
}

/// When a job began.
pub(crate) fn start(job: &Job, dice: &mut Dice) -> String {
    let s = date(job.from(), dice);
    match dice.within(0, 4) {
        0 => format!("I started there in {s}."),
        1 => format!("In {s}."),
        2 => format!("That was {s}."),
        3 => format!("I think it was {s}."),
        _ => format!("I began back in {s}."),
    }
}

/// When a job ended.
pub(crate) fn end(job: &Job, dice: &mut Dice) -> String {
    let Some(end) = job.to() else {
        return dice
            .pick(&["I'm still there.", "I still work there.", "I haven't left, I'm still working there."])
            .to_owned();
    };
    let e = date(end, dice);
    match dice.within(0, 3) {
        0 => format!("I left in {e}."),
        1 => format!("Until {e}."),
        2 => format!("It ended in {e}."),
        _ => format!("In {e}."),
    }
}

/// Both ends of a job.
pub(crate) fn dates(job: &Job, dice: &mut Dice) -> String {
    let s = date(job.from(), dice);
    match job.to().map(|e| date(e, dice)) {
        None => match dice.within(0, 1) {
            0 => format!("Since {s}, and I'm still there."),
            _ => format!("I started in {s}, until now."),
        },
        Some(e) => match dice.within(0, 3) {
            0 => format!("From {s} to {e}."),
            1 => format!("{s} until {e}."),
            2 => format!("I started in {s} and left in {e}."),
            _ => format!("Between {s} and {e}."),
        },
    }
}

/// What somebody was, at a job.
pub(crate) fn title(job: &Job, dice: &mut Dice) -> String {
    let a = with_article(&job.title);
    match dice.within(0, 3) {
        0 => format!("I was {a}."),
        1 => format!("{}.", capital(&job.title)),
        2 => format!("I worked as {a}."),
        _ => format!("My title was {}.", job.title),
    }
}

/// Who the employer was.
pub(crate) fn employer(job: &Job, dice: &mut Dice) -> String {
    let c = company(&job.company, dice);
    match dice.within(0, 2) {
        0 => format!("That was {c}."),
        1 => format!("With {c}."),
        _ => format!("{c}."),
    }
}

/// The name, said.
pub(crate) fn name(name: &str, dice: &mut Dice) -> String {
    match dice.within(0, 4) {
        0 => format!("My name is {name}."),
        1 => format!("It's {name}."),
        2 => format!("This is {name} speaking."),
        3 => format!("I'm {name}."),
        _ => format!("{name}."),
    }
}

/// The skills, said.
pub(crate) fn skills(skills: &[String], dice: &mut Dice) -> String {
    let list = listed(skills);
    match dice.within(0, 4) {
        0 => format!("I'm good at {list}."),
        1 => format!("Mostly {list}."),
        2 => format!("I'd say {list}."),
        3 => format!("I know {list}."),
        _ => format!("{}.", capital(&list)),
    }
}

/// "a, b and c".
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// With a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
