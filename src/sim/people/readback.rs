//! Listening to a summary of one's own life: what is wrong with it?

use super::truth::{Job, Truth};
use crate::sim::model::dates::{self, Date, place};

/// Something a summary gets wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Another name was read.
    Name,
    /// This job's beginning is not among the dates read.
    Start(usize),
    /// This job's end is not among the dates read.
    End(usize),
    /// This job was not read, though others were.
    Missing(usize),
    /// A job that never was.
    Invented(String),
}

/// A company's name as it is compared: lower case, "&" is "and".
pub(crate) fn plain(name: &str) -> String {
    dates::lower(name).replace('&', "and")
}

/// The job that `said` speaks of: the one whose company is named last.
pub(crate) fn named(said: &str, jobs: &[Job]) -> Option<usize> {
    let said = plain(said);
    let full = |(i, j): (usize, &Job)| said.rfind(&plain(&j.company)).map(|at| (at, i));
    let first = |(i, j): (usize, &Job)| {
        let plain = plain(&j.company);
        let word = plain.split(' ').next().filter(|w| w.len() > 4)?;
        place(&said, word).map(|at| (at, i))
    };
    let found = jobs.iter().enumerate().filter_map(full).max();
    found.or_else(|| jobs.iter().enumerate().filter_map(first).max()).map(|(_, i)| i)
}

/// What `said` gets wrong about `truth`, worst first. Only what was said can be wrong: a summary without dates has no wrong dates.
pub(crate) fn mistakes(said: &str, truth: &Truth) -> Vec<Mistake> {
    let text = plain(said);
    let mut out = Vec::new();
    let mut spots: Vec<(usize, usize)> = truth
        .jobs
        .iter()
        .enumerate()
        .filter_map(|(i, j)| text.find(&plain(&j.company)).map(|at| (at, i)))
        .collect();
    spots.sort_unstable();
    out.extend(invented(said, truth).into_iter().map(Mistake::Invented));
    let all = dates::find(&text);
    for (n, &(at, i)) in spots.iter().enumerate() {
        let from = n.checked_sub(1).map_or(0, |p| spots[p].0);
        let to = spots.get(n + 1).map_or(text.len(), |s| s.0);
        let near: Vec<Date> = all.iter().filter(|d| d.from >= from && d.to <= to).map(|d| d.date).collect();
        let after = all.iter().any(|d| d.from > at && d.to <= to) || (n == 0 && !near.is_empty());
        if !after {
            continue;
        }
        let job = &truth.jobs[i];
        let read = |d: Date| near.iter().any(|n| same(*n, d));
        if !read(job.from()) {
            out.push(Mistake::Start(i));
        } else if near.len() > 1
            && let Some(end) = job.to()
            && !read(end)
        {
            out.push(Mistake::End(i));
        }
    }
    if spots.len() >= 2 {
        out.extend((0..truth.jobs.len()).filter(|i| spots.iter().all(|s| s.1 != *i)).map(Mistake::Missing));
    }
    if ["your name is", "you are called"].iter().any(|cue| text.contains(cue))
        && !text.contains(&plain(&truth.name))
    {
        out.push(Mistake::Name);
    }
    out
}

/// The same month, or the same year where one of the two knows no month.
pub(crate) fn same(a: Date, b: Date) -> bool {
    a.year == b.year && (a.month == b.month || a.month.is_none() || b.month.is_none())
}

/// Names behind "at", "for" or "with" that belong to no employer, school or name of the truth.
fn invented(said: &str, truth: &Truth) -> Vec<String> {
    let words = dates::words(said);
    let known = truth.jobs.iter().map(|j| plain(&j.company)).collect::<Vec<_>>().join(" | ");
    let mut out = Vec::new();
    for i in 1..words.len() {
        let cue = matches!(words[i - 1].text, "at" | "for" | "with");
        let capital =
            words[i].text.starts_with(char::is_uppercase) && dates::month_number(words[i].text).is_none();
        if !cue || !capital {
            continue;
        }
        let school =
            truth.education.as_ref().is_some_and(|e| plain(&e.institution).contains(&plain(words[i].text)));
        if school
            || known.contains(&plain(words[i].text))
            || plain(&truth.name).contains(&plain(words[i].text))
        {
            continue;
        }
        let mut to = words[i].to;
        for pair in words[i..].windows(2) {
            let glued = said[pair[0].to..pair[1].from].trim().is_empty();
            if !glued || !(pair[1].text == "&" || pair[1].text.starts_with(char::is_uppercase)) {
                break;
            }
            to = pair[1].to;
        }
        out.push(said[words[i].from..to].to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        let job = |company: &str, title: &str, start: &str, end: Option<&str>| Job {
            company: company.into(),
            title: title.into(),
            start: start.into(),
            end: end.map(Into::into),
            current: end.is_none(),
        };
        Truth {
            name: "Maria Lopez".into(),
            jobs: vec![
                job("Harbor & Sons Logistics", "dispatcher", "2018-04", None),
                job("Delta Freight", "truck driver", "2012-01", Some("2018-03")),
            ],
            gaps: vec![],
            skills: vec![],
            education: None,
        }
    }

    #[test]
    fn a_true_summary_is_accepted() {
        let said = "You are Maria Lopez. Since April 2018 you have been a dispatcher at Harbor and Sons Logistics. \
                    Before that, from January 2012 to March 2018, you were a truck driver at Delta Freight. Is that right?";
        assert_eq!(mistakes(said, &truth()), []);
        let other = "dispatcher at Harbor & Sons Logistics, April 2018 until today; truck driver at Delta Freight, 2012-01 to 2018-03. Is that right?";
        assert_eq!(mistakes(other, &truth()), []);
    }

    #[test]
    fn each_mistake_is_heard() {
        let said = "dispatcher at Harbor & Sons Logistics, May 2018 until today; truck driver at Delta Freight, January 2012 to March 2017.";
        assert_eq!(mistakes(said, &truth()), [Mistake::Start(0), Mistake::End(1)]);
        let said = "dispatcher at Harbor & Sons Logistics since April 2018; cook at Blue Moon Diner, 2001 to 2002; truck driver at Delta Freight, January 2012 to March 2018.";
        assert_eq!(mistakes(said, &truth())[0], Mistake::Invented("Blue Moon Diner".into()));
    }
}
