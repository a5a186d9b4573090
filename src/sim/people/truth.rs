//! What really happened in somebody's working life. Made from the seed and the number alone.

use serde::Serialize;

use super::Kind;
use super::lists::{COMPANIES, DEGREES, FIRST, GAPS, LAST, SCHOOLS, SKILLS, TITLES};
use super::seed::Dice;
use crate::sim::model::dates::Date;

/// The true answers of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// First and last name.
    pub name: String,
    /// Newest first; of two at once, the one begun later first. No employer appears twice.
    pub jobs: Vec<Job>,
    /// Every stretch of six months or more without work since the first job, oldest first. A long one may come in several pieces,
    /// each with an explanation of its own.
    pub gaps: Vec<Gap>,
    /// Two to four.
    pub skills: Vec<String>,
    /// Where somebody has any to tell of.
    pub education: Option<Education>,
}

/// One true job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The employer.
    pub company: String,
    /// Lower case, as spoken.
    pub title: String,
    /// `YYYY-MM`, or `YYYY` where the person remembers only the year.
    pub start: String,
    /// Likewise; `None` while it lasts.
    pub end: Option<String>,
    /// The person works there today.
    pub current: bool,
}

/// A true stretch without work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first month without work, `YYYY-MM`.
    pub start: String,
    /// The first month after it, `YYYY-MM`; `None`: it lasts.
    pub end: Option<String>,
    /// school, caring, prison, illness, unemployment or abroad.
    pub kind: String,
    /// In the person's words.
    pub explanation: String,
}

/// A true qualification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Education {
    /// The school.
    pub institution: String,
    /// What was earned there.
    pub degree: String,
    /// When.
    pub year: i32,
}

impl Job {
    /// When it began.
    pub(crate) fn from(&self) -> Date {
        Date::iso(&self.start).unwrap_or(Date { year: 2000, month: None })
    }

    /// When it ended; `None` while it lasts.
    pub(crate) fn to(&self) -> Option<Date> {
        self.end.as_deref().and_then(Date::iso)
    }

    /// First and last month; an open end lies far ahead.
    pub(crate) fn span(&self) -> (i32, i32) {
        (self.from().first(), self.to().map_or(i32::MAX / 2, Date::last))
    }
}

impl Gap {
    /// First month, and the first month after; an open end lies far ahead.
    pub(crate) fn span(&self) -> (i32, i32) {
        let from = Date::iso(&self.start).map_or(0, Date::first);
        (from, self.end.as_deref().and_then(Date::iso).map_or(i32::MAX / 2, Date::first))
    }
}

impl Truth {
    /// The life of the person of this kind behind `number`.
    pub(crate) fn new(seed: u64, number: &str, kind: Kind) -> Self {
        let mut dice = Dice::new(seed, number);
        let name = format!("{} {}", dice.pick(FIRST), dice.pick(LAST));
        let spans = match kind {
            Kind::LongGap => long_gap(&mut dice),
            Kind::Overlapping => overlapping(&mut dice),
            _ => plain(&mut dice),
        };
        let companies = dice.some(spans.len(), COMPANIES);
        let titles = dice.some(spans.len(), TITLES);
        let mut jobs: Vec<Job> = spans
            .iter()
            .zip(companies.iter().zip(titles))
            .map(|(&(from, to), (company, title))| Job {
                company: (*company).to_owned(),
                title: title.to_owned(),
                start: Date::of_index(from).to_string(),
                end: to.map(|to| Date::of_index(to).to_string()),
                current: to.is_none(),
            })
            .collect();
        jobs.sort_by_key(|j| std::cmp::Reverse((j.span().1, j.span().0)));
        blur(&mut jobs, &mut dice);
        let gaps = gaps(&jobs, &mut dice);
        let count = usize::try_from(dice.within(2, 4)).unwrap_or(2);
        let skills = dice.some(count, SKILLS).into_iter().map(str::to_owned).collect();
        let first = jobs.iter().map(|j| j.from().year).min().unwrap_or(2000);
        let education = dice.chance(0.5).then(|| Education {
            institution: dice.pick(SCHOOLS).to_owned(),
            degree: dice.pick(DEGREES).to_owned(),
            year: first,
        });
        Self { name, jobs, gaps, skills, education }
    }
}

type Span = (i32, Option<i32>);

const fn month(year: i32, month: i32) -> i32 {
    year * 12 + month - 1
}

/// Three to five jobs one after the other, some with a gap of ten months or more between; most people work today.
fn plain(dice: &mut Dice) -> Vec<Span> {
    let jobs = dice.within(3, 5);
    let mut out = Vec::new();
    let mut next = if dice.chance(0.85) {
        let from = month(dice.within(2016, 2023), dice.within(1, 12));
        out.push((from, None));
        from
    } else {
        // Out of work today: the last job ended a good while ago.
        month(dice.within(2023, 2024), dice.within(1, 12))
    };
    while out.len() < usize::try_from(jobs).unwrap_or(3) {
        // Pauses are clearly shorter or clearly longer than the six months that make a gap.
        let pause = if dice.chance(0.3) { dice.within(10, 30) } else { dice.within(0, 3) };
        let to = next - 1 - pause;
        let from = to - dice.within(14, 70);
        out.push((from, Some(to)));
        next = from;
    }
    out
}

/// One job that ended in 1977, the next begun in 2004.
fn long_gap(dice: &mut Dice) -> Vec<Span> {
    let end = month(1977, dice.within(2, 10));
    let mut out = vec![(end - dice.within(30, 80), Some(end))];
    let from = month(2004, dice.within(2, 10));
    if dice.chance(0.5) {
        out.push((from, None));
    } else {
        let to = month(dice.within(2010, 2016), dice.within(1, 12));
        out.push((from, Some(to)));
        out.push((to + 1 + dice.within(0, 3), None));
    }
    out
}

/// As [`plain`], with a second job beside one of them.
fn overlapping(dice: &mut Dice) -> Vec<Span> {
    let mut out = plain(dice);
    out.truncate(4);
    let beside = usize::try_from(dice.within(0, 1)).unwrap_or(0);
    let (from, to) = out[beside];
    out.push(match to {
        None => (from + dice.within(6, 20), None),
        Some(to) => (from + dice.within(2, 6), Some(to - dice.within(1, 5))),
    });
    out
}

/// Some remember only the year; never at the edge of a gap, which would become another gap by that.
fn blur(jobs: &mut [Job], dice: &mut Dice) {
    let spans: Vec<(i32, i32)> = jobs.iter().map(Job::span).collect();
    for (i, job) in jobs.iter_mut().enumerate() {
        let (from, to) = spans[i];
        let close = |a: i32, b: i32| (0..=4).contains(&(b - a));
        let before = spans.iter().any(|s| close(s.1, from));
        let after = spans.iter().any(|s| close(to, s.0));
        if before && after && from / 12 < to / 12 - 1 && dice.chance(0.25) {
            job.start.truncate(4);
            if let Some(end) = &mut job.end {
                end.truncate(4);
            }
        }
    }
}

fn gaps(jobs: &[Job], dice: &mut Dice) -> Vec<Gap> {
    let mut spans: Vec<(i32, i32)> = jobs.iter().map(Job::span).collect();
    spans.sort_unstable();
    let mut out = Vec::new();
    let mut covered = spans.first().map_or(0, |s| s.1);
    for &(from, to) in spans.iter().skip(1) {
        if from - covered > 6 {
            explain(covered + 1, Some(from), dice, &mut out);
        }
        covered = covered.max(to);
    }
    if covered < i32::MAX / 4 {
        explain(covered + 1, None, dice, &mut out);
    }
    out
}

/// One explanation, or three in a row for a stretch over ten years.
fn explain(from: i32, to: Option<i32>, dice: &mut Dice, out: &mut Vec<Gap>) {
    let mut cuts = vec![from];
    if let Some(to) = to.filter(|to| to - from > 120) {
        let third = (to - from) / 3;
        cuts.extend([from + third, from + 2 * third]);
    }
    let first = usize::try_from(dice.within(0, i32::try_from(GAPS.len()).unwrap_or(1) - 1)).unwrap_or(0);
    for (i, &start) in cuts.iter().enumerate() {
        let (kind, wordings) = GAPS[(first + i) % GAPS.len()];
        out.push(Gap {
            start: Date::of_index(start).to_string(),
            end: cuts.get(i + 1).copied().or(to).map(|e| Date::of_index(e).to_string()),
            kind: kind.to_owned(),
            explanation: dice.pick(&wordings[1..]).to_owned(),
        });
    }
}
