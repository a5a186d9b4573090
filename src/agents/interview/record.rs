//! The tools that write down facts. Each fact keeps the turn it was said in; dates that cannot be are not stored but
//! asked again; what was said later corrects what was said before.

use serde_json::Value;

use super::dates::{self, Date, Unclear, When};
use super::desk::Desk;
use super::judge::Answer;
use super::notes::{Education, Explanation, Job, Kind, Notes, Said};
use super::words::{has, same_company, words};
use crate::agents::tool::Args;
use crate::domain::agent::ToolContext;

/// A day has so many facts; beyond this a talk is nonsense, and its record must stay small.
const MANY: usize = 40;

/// `record_person`.
pub(crate) fn person(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    let turn = desk.context.turn;
    let mut problems = Vec::new();
    let given = [args.text("name"), args.text("email"), args.text("city")];
    if given.iter().all(Option::is_none) {
        problems.push("nothing to record: give name, email or city".to_owned());
    }
    if let Some(name) = args.text("name") {
        desk.notes.name = Some(Said::new(name, turn));
    }
    if let Some(city) = args.text("city") {
        desk.notes.city = Some(Said::new(city, turn));
    }
    if let Some(email) = args.text("email") {
        let shaped = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
        if shaped && !email.contains(char::is_whitespace) {
            desk.notes.email = Some(Said::new(email, turn));
        } else {
            problems.push("email: is no mail address; ask to spell it".to_owned());
        }
    }
    if problems.is_empty() {
        desk.changed();
    }
    desk.settle(problems, None)
}

/// `record_job`.
pub(crate) fn job(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    let company = args.text("company").unwrap_or_default();
    let turn = desk.context.turn;
    let mut problems = Vec::new();
    let start = date(args, "start", desk.today, &mut problems).map(|when| match when {
        When::Date(date) => date,
        When::Now => desk.today,
    });
    let end = date(args, "end", desk.today, &mut problems);
    let ended = match end {
        Some(When::Date(date)) => Some(date),
        _ => None,
    };
    let current = match (end, args.flag("current")) {
        (Some(When::Now), _) => Some(true),
        (Some(When::Date(_)), _) => Some(false),
        (None, said) => said,
    };
    let until = if current == Some(true) { Some(desk.today) } else { ended };
    let known = desk.notes.job_like(company, start, until);
    let before = known.map(|i| desk.notes.jobs[i].clone());
    let mut job = before.clone().unwrap_or_else(|| Job { company: company.to_owned(), ..Job::default() });
    job.source("company", turn);
    set_dates(
        &mut job,
        (start, ended, current),
        desk.today,
        desk.notes.settings.birth_year,
        turn,
        &mut problems,
    );
    for field in ["title", "location", "employment_type", "responsibilities", "reason_for_leaving"] {
        let Some(said) = args.text(field) else { continue };
        let place = match field {
            "title" => &mut job.title,
            "location" => &mut job.location,
            "employment_type" => &mut job.employment_type,
            "responsibilities" => &mut job.responsibilities,
            _ => &mut job.reason_for_leaving,
        };
        *place = Some(said.to_owned());
        job.source(field, turn);
    }
    if let Some(before) = &before
        && contradicts(before, &job, &desk)
    {
        desk.notes.score.contradiction(turn);
    }
    let company = job.company.clone();
    let changed = before.as_ref() != Some(&job);
    match known {
        Some(i) => desk.notes.jobs[i] = job,
        None if desk.notes.jobs.len() < MANY => desk.notes.jobs.push(job),
        None => problems.push("too many jobs are recorded; go on to the next question".to_owned()),
    }
    desk.notes.removed.retain(|name| !same_company(name, &company));
    if changed && problems.is_empty() {
        desk.changed();
    }
    let again = problems.first().filter(|p| p.starts_with("start") || p.starts_with("end"));
    let ask = again.map(|problem| {
        let verb = if problem.starts_with("start") { "start at" } else { "leave" };
        let why = problem.split_once(": ").map_or("", |(_, why)| why.trim_end_matches("; ask again"));
        format!("I understood that {why}. When did you {verb} {company}?")
    });
    desk.settle(problems, ask)
}

/// Sets what is possible of the dates just given, and names what is not.
fn set_dates(
    job: &mut Job,
    (start, end, current): (Option<Date>, Option<Date>, Option<bool>),
    today: Date,
    born: Option<i16>,
    turn: u32,
    problems: &mut Vec<String>,
) {
    let single = |start, end| dates::impossible(start, end, today, born);
    let (bad_start, bad_end) = (single(start, None), single(None, end));
    let start = start.filter(|_| bad_start.is_empty());
    let end = end.filter(|_| bad_end.is_empty());
    problems.extend(bad_start);
    let end_was_bad = !bad_end.is_empty();
    problems.extend(bad_end);
    let (new_start, new_end) =
        (start.or(job.start), if current == Some(true) { None } else { end.or(job.end) });
    let order = single(new_start, new_end);
    if !order.is_empty() {
        // Which of the two is wrong nobody knows: what was just said is not stored, what stood before stays.
        problems.extend(order);
        if job.start.is_none() && start.is_some() {
            job.start = start;
            job.source("start", turn);
        }
        return;
    }
    if start.is_some() {
        job.start = start;
        job.source("start", turn);
    }
    if current == Some(true) {
        job.end = None;
        job.current = current;
        job.source("current", turn);
    } else if end.is_some() {
        job.end = end;
        job.current = Some(false);
        job.source("end", turn);
    } else if current == Some(false) && !end_was_bad {
        job.current = current;
        job.source("current", turn);
    }
}

fn date(args: &Args<'_>, name: &str, today: Date, problems: &mut Vec<String>) -> Option<When> {
    match dates::parse(args.text(name)?, today) {
        Ok(when) => Some(when),
        Err(why @ (Unclear::NoYear | Unclear::NoDate)) => {
            problems.push(format!("{name}: the date {why}; ask again"));
            None
        }
    }
}

/// Is a year changed that the callee had said before, by a new one they just said, outside of a correction?
fn contradicts(before: &Job, now: &Job, desk: &Desk<'_>) -> bool {
    let heard = &desk.context.heard;
    let changed = |old: Option<Date>, new: Option<Date>| match (old, new) {
        (Some(old), Some(new)) => old.year != new.year && has(&words(heard), &new.year.to_string()),
        _ => false,
    };
    let asked_again = desk.notes.read_back.correcting || desk.notes.read_back.rejected > 0;
    let reading_back = desk.notes.asked.contains_key(&super::stage::read_back_topic(&desk.notes));
    let changed = changed(before.start, now.start) || changed(before.end, now.end);
    changed && !asked_again && !reading_back && !Answer::of(heard).corrects_itself()
}

/// `remove_job`.
pub(crate) fn remove_job(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    let company = args.text("company").unwrap_or_default().to_owned();
    let mut problems = Vec::new();
    let start = match date(args, "start", desk.today, &mut problems) {
        Some(When::Date(date)) => Some(date),
        _ => None,
    };
    let fits = |job: &Job| same_company(&job.company, &company) && start.is_none_or(|s| job.start == Some(s));
    let fitting = desk.notes.jobs.iter().filter(|job| fits(job)).count();
    match fitting {
        0 => problems.push(format!("company: no job at {company} is recorded")),
        1 => {
            desk.notes.jobs.retain(|job| !fits(job));
            desk.notes.removed.push(company);
            desk.changed();
        }
        _ => problems.push(
            "start: several jobs at this company are recorded; say when the wrong one began".to_owned(),
        ),
    }
    desk.settle(problems, None)
}

/// `explain_gap`.
pub(crate) fn explain_gap(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    let mut problems = Vec::new();
    let day = |when: Option<When>, today| match when {
        Some(When::Date(date)) => Some(date),
        Some(When::Now) => Some(today),
        None => None,
    };
    let start = day(date(args, "start", desk.today, &mut problems), desk.today);
    let end = day(date(args, "end", desk.today, &mut problems), desk.today);
    let kind = args.text("kind").and_then(Kind::parse).unwrap_or(Kind::Other);
    if let (Some(start), Some(end)) = (start, end) {
        problems.extend(dates::impossible(Some(start), None, desk.today, None));
        if end.after() <= start.first() {
            problems.push("end: is before the start; ask again".to_owned());
        }
        if problems.is_empty() {
            let turn = desk.context.turn;
            let text = args.text("explanation").unwrap_or_default().to_owned();
            add_explanation(
                &mut desk.notes,
                desk.today,
                Explanation { start, end, kind, text, turns: vec![turn] },
            );
            desk.changed();
        }
    }
    desk.settle(problems, None)
}

/// Adds an explanation. Where its bounds are those of a gap as it was asked (whose end is not included any more),
/// it covers that gap and no more.
fn add_explanation(notes: &mut Notes, today: Date, mut explanation: Explanation) {
    let asked = notes.gaps(today).into_iter().find(|gap| {
        let (start, end) = (Date::of_month(gap.start), Date::of_month(gap.end));
        let same = |said: Date, edge: Date| said == edge || (said.month.is_none() && said.year == edge.year);
        same(explanation.start, start) && same(explanation.end, end)
    });
    if let Some(gap) = asked {
        explanation.start = Date::of_month(gap.start);
        explanation.end = Date::of_month(gap.end - 1);
    }
    let same = |e: &&mut Explanation| e.start == explanation.start && e.end == explanation.end;
    let room = notes.explanations.len() < MANY;
    match notes.explanations.iter_mut().find(same) {
        // "I don't know" does not take back what was said before.
        Some(_) if explanation.kind == Kind::Unknown => {}
        Some(old) => *old = explanation,
        None if room => notes.explanations.push(explanation),
        None => {}
    }
}

/// `record_skills`.
pub(crate) fn skills(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    let turn = desk.context.turn;
    let named = args.texts("skills");
    if named.is_empty() {
        return desk.refuse(vec!["skills: is empty".to_owned()], None);
    }
    for skill in named {
        let room = desk.notes.skills.len() < MANY;
        let known = desk.notes.skills.iter_mut().find(|s| words(&s.value) == words(skill));
        match known {
            Some(said) if !said.turns.contains(&turn) => said.turns.push(turn),
            Some(_) => {}
            None if room => desk.notes.skills.push(Said::new(skill, turn)),
            None => {}
        }
    }
    desk.changed();
    desk.done(None)
}

/// `record_education`.
pub(crate) fn education(args: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    let turn = desk.context.turn;
    let mut problems = Vec::new();
    let year = match date(args, "year", desk.today, &mut problems) {
        Some(When::Date(date)) => Some(date.year),
        Some(When::Now) => Some(desk.today.year),
        None => None,
    };
    let own = |name: &str| args.text(name).map(str::to_owned);
    let new = Education {
        institution: own("institution"),
        degree: own("degree"),
        field: own("field"),
        year,
        turns: vec![turn],
    };
    if new.institution.is_none() && new.degree.is_none() && new.field.is_none() {
        problems.push("nothing to record: give institution, degree or field".to_owned());
        return desk.refuse(problems, None);
    }
    // The same school, or the same degree with the school not yet said, is completed; another one is added.
    let agree = |a: &Option<String>, b: &Option<String>| match (a, b) {
        (Some(a), Some(b)) => Some(words(a) == words(b)),
        _ => None,
    };
    let room = desk.notes.education.len() < MANY;
    let known = desk.notes.education.iter_mut().find(|old| {
        let matches = [agree(&old.institution, &new.institution), agree(&old.degree, &new.degree)];
        matches.contains(&Some(true)) && !matches.contains(&Some(false))
    });
    match known {
        Some(old) => {
            old.institution = new.institution.or(old.institution.take());
            old.degree = new.degree.or(old.degree.take());
            old.field = new.field.or(old.field.take());
            old.year = new.year.or(old.year);
            if !old.turns.contains(&turn) {
                old.turns.push(turn);
            }
        }
        None if room => desk.notes.education.push(new),
        None => {}
    }
    desk.changed();
    desk.settle(problems, None)
}

/// `history_complete`.
pub(crate) fn history_complete(_: &Args<'_>, context: &mut ToolContext) -> Value {
    let mut desk = match Desk::open_with_consent(context) {
        Ok(desk) => desk,
        Err(answer) => return answer,
    };
    desk.notes.history_complete = true;
    desk.done(None)
}
