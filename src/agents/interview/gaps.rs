//! Employment gaps: which months between the first job and today (or the stated retirement) no job covers.
//!
//! Jobs are half-open intervals of months; a bare year counts at its outer edge, so a job "2010 to 2015" covers
//! January 2010 through December 2015. Overlaps merge. An uncovered stretch of at least the threshold is a gap. An
//! explanation resolves the months it names, as whole months at the outer edges too, without inventing a job.

use super::dates::{Date, MonthIndex};
use super::notes::{Explanation, Job, Kind};

/// Months without work that make a gap, where nothing else is configured.
pub(crate) const THRESHOLD: MonthIndex = 6;
/// A stretch over this length is asked about in pieces.
const LONG: MonthIndex = 120;

/// A stretch without work: months `start..end`, `end` not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Its first month.
    pub(crate) start: MonthIndex,
    /// The month after its last.
    pub(crate) end: MonthIndex,
    /// The index of the explanation that covers it.
    pub(crate) explained_by: Option<usize>,
    /// An explanation was given that says what was done. `unknown` is none.
    pub(crate) resolved: bool,
}

impl Gap {
    /// How many months.
    pub(crate) fn months(&self) -> MonthIndex {
        self.end - self.start
    }

    /// As it is asked: "1977 and 1985", "March 2010 and January 2012".
    pub(crate) fn spoken(&self) -> String {
        let edge = |month: MonthIndex| {
            let date = Date::of_month(month);
            if month.rem_euclid(12) == 0 { date.year.to_string() } else { date.spoken() }
        };
        format!("{} and {}", edge(self.start), edge(self.end))
    }

    /// The key under which it is remembered that this was asked.
    pub(crate) fn key(&self) -> String {
        format!("gap:{}", Date::of_month(self.start))
    }
}

/// The gaps of a history, oldest first, those over ten years in pieces. `today` is the current month, which itself
/// is not counted; `threshold` is in months, at least 1.
pub(crate) fn find(
    jobs: &[Job],
    explanations: &[Explanation],
    today: Date,
    threshold: MonthIndex,
) -> Vec<Gap> {
    let threshold = threshold.max(1);
    let horizon = retirement(explanations, jobs).map_or(today.first(), |at| at.min(today.first()));
    let stretches = uncovered(merged(jobs.iter().filter_map(|job| interval(job, today)).collect()), horizon);
    let stretches = stretches.into_iter().filter(|(start, end)| end - start >= threshold);
    stretches.flat_map(|(start, end)| explain(start, end, explanations, threshold)).collect()
}

/// The months a job covers. With one date only it covers that date; without any, nothing.
fn interval(job: &Job, today: Date) -> Option<(MonthIndex, MonthIndex)> {
    let end = if job.current == Some(true) { Some(today.first() + 1) } else { job.end.map(Date::after) };
    match (job.start, end) {
        (Some(start), Some(end)) => (start.first() < end).then_some((start.first(), end)),
        (Some(start), None) => Some((start.first(), start.after())),
        (None, Some(_)) => job.end.map(|end| (end.first(), end.after())),
        (None, None) => None,
    }
}

fn merged(mut intervals: Vec<(MonthIndex, MonthIndex)>) -> Vec<(MonthIndex, MonthIndex)> {
    intervals.sort_unstable();
    let mut merged: Vec<(MonthIndex, MonthIndex)> = Vec::new();
    for (start, end) in intervals {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// What lies between the merged intervals, and between the last and the horizon.
fn uncovered(covered: Vec<(MonthIndex, MonthIndex)>, horizon: MonthIndex) -> Vec<(MonthIndex, MonthIndex)> {
    let ends = covered.iter().map(|(_, end)| *end);
    let starts = covered.iter().skip(1).map(|(start, _)| *start).chain([horizon]);
    ends.zip(starts).map(|(from, to)| (from, to.min(horizon))).filter(|(from, to)| from < to).collect()
}

/// The month of a stated retirement: no work is expected after it, unless a job began later.
fn retirement(explanations: &[Explanation], jobs: &[Job]) -> Option<MonthIndex> {
    let stated = explanations.iter().filter(|e| e.kind == Kind::Retired).map(|e| e.start.first()).max()?;
    let worked_later = jobs
        .iter()
        .any(|job| job.current == Some(true) || job.start.is_some_and(|start| start.first() > stated));
    (!worked_later).then_some(stated)
}

/// Splits one stretch at its explanations, then cuts what is unexplained into pieces.
fn explain(
    start: MonthIndex,
    end: MonthIndex,
    explanations: &[Explanation],
    threshold: MonthIndex,
) -> Vec<Gap> {
    let mut parts: Vec<Gap> = Vec::new();
    let mut at = start;
    while at < end {
        // The newest explanation of a month counts: people correct themselves.
        let by = explanations.iter().rposition(|e| e.start.first() <= at && at < e.end.after());
        let resolved = by.is_some_and(|i| explanations[i].kind != Kind::Unknown);
        match parts.last_mut() {
            Some(last) if last.explained_by == by => last.end = at + 1,
            _ => parts.push(Gap { start: at, end: at + 1, explained_by: by, resolved }),
        }
        at += 1;
    }
    absorb(&mut parts, threshold);
    parts
        .into_iter()
        .flat_map(|part| if part.explained_by.is_none() { pieces(part, threshold) } else { vec![part] })
        .collect()
}

/// An unexplained rest shorter than the threshold belongs to the explanation beside it: nobody is asked about the
/// month between "until May" and "from July".
fn absorb(parts: &mut Vec<Gap>, threshold: MonthIndex) {
    while parts.len() > 1 {
        let short = |gap: &Gap| gap.explained_by.is_none() && gap.months() < threshold;
        let Some(i) = parts.iter().position(short) else { return };
        let rest = parts.remove(i);
        match i.checked_sub(1) {
            Some(before) => parts[before].end = rest.end,
            None => parts[0].start = rest.start,
        }
    }
}

/// The pieces in which a stretch is asked about: up to ten years it is one; a longer one is cut at each January of a
/// year that ends in 5 (1977–2004 → 1977–1985, 1985–1995, 1995–2004), so the cuts stay
/// where they are while neighbouring pieces get explained. No piece is longer than ten years, but for an edge shorter
/// than the threshold, which is not asked about on its own.
fn pieces(gap: Gap, threshold: MonthIndex) -> Vec<Gap> {
    if gap.months() <= LONG {
        return vec![gap];
    }
    let mut pieces = Vec::new();
    let mut start = gap.start;
    for year in Date::of_month(gap.start).year..=Date::of_month(gap.end).year {
        let cut = i32::from(year) * 12;
        if year % 10 == 5 && cut - start >= threshold && gap.end - cut >= threshold {
            pieces.push(Gap { start, end: cut, ..gap.clone() });
            start = cut;
        }
    }
    pieces.push(Gap { start, ..gap });
    pieces
}

#[cfg(test)]
#[path = "gaps_cases.rs"]
mod cases;
