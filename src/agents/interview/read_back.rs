//! What was understood, said back to the callee in a few spoken sentences.

use super::notes::{Job, Notes};

/// The jobs that are read back one by one; more than this nobody listens to.
const JOBS: usize = 8;

/// The notes as they are read back, newest job first. Empty only where nothing is known.
pub(crate) fn text(notes: &Notes) -> String {
    let mut sentences = Vec::new();
    if let Some(name) = &notes.name {
        sentences.push(format!("Your name is {}", name.value));
    }
    let order = notes.newest_first();
    sentences.extend(order.iter().take(JOBS).map(|i| job(&notes.jobs[*i])));
    if order.len() > JOBS {
        sentences.push(format!("Before that there are {} more jobs", order.len() - JOBS));
    }
    if !notes.skills.is_empty() {
        let skills: Vec<&str> = notes.skills.iter().map(|s| s.value.as_str()).collect();
        sentences.push(format!("Your skills are {}", listed(&skills)));
    }
    if let Some(school) =
        notes.education.iter().find_map(|e| e.degree.as_deref().or(e.institution.as_deref()))
    {
        sentences.push(format!("For education I have {school}"));
    }
    if sentences.is_empty() { String::new() } else { format!("{}.", sentences.join(". ")) }
}

fn job(job: &Job) -> String {
    let what = job.title.as_ref().map(|title| format!("as {} ", with_article(title))).unwrap_or_default();
    let company = &job.company;
    match (job.current == Some(true), job.start, job.end) {
        (true, Some(start), _) => format!("You have worked {what}at {company} since {}", start.spoken()),
        (true, None, _) => format!("You work {what}at {company}"),
        (false, Some(start), Some(end)) => {
            format!("You worked {what}at {company} from {} to {}", start.spoken(), end.spoken())
        }
        (false, Some(start), None) => format!("You started {what}at {company} in {}", start.spoken()),
        (false, None, Some(end)) => format!("You worked {what}at {company} until {}", end.spoken()),
        (false, None, None) => format!("You worked {what}at {company}"),
    }
}

/// "a welder", "an electrician"; what has its article, or is no single thing, stays as it is.
fn with_article(what: &str) -> String {
    let lower = what.to_lowercase();
    let has_one = ["a ", "an ", "the ", "my ", "some "].iter().any(|article| lower.starts_with(article));
    if has_one || lower.ends_with("school") || lower.ends_with("training") {
        return what.to_owned();
    }
    let article = if lower.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {what}")
}

fn listed(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
