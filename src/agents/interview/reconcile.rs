//! Reconciles what was recorded during the call with what the model read out of the transcript afterwards. What a
//! tool recorded stands. The extraction may only fill what is null, and only where it names a line of the callee's
//! that contains the words: nothing is invented.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dates::{self, Date, When};
use super::notes::{EMPLOYMENT_TYPES, Education, Explanation, Job, Kind, Notes, Said};
use super::words::{company_words, same_company, words};
use crate::domain::talk::{Line, Speaker};

/// What the callee said, by turn, as words.
pub(crate) struct Heard {
    turns: BTreeMap<u32, Vec<String>>,
}

impl Heard {
    /// The callee's lines.
    pub(crate) fn of(lines: &[Line]) -> Self {
        let mut turns: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.speaker == Speaker::Callee) {
            turns.entry(line.turn).or_default().extend(words(&line.text));
        }
        Self { turns }
    }

    /// Those of the `named` turns in which the callee said every one of `wanted`; or, where the words are spread over
    /// several of them, all of these together. Empty: it was not said there.
    fn said(&self, wanted: &[String], named: &[u32]) -> Vec<u32> {
        let real: Vec<u32> = named.iter().copied().filter(|turn| self.turns.contains_key(turn)).collect();
        let has = |turn: u32, word: &String| self.turns.get(&turn).is_some_and(|said| said.contains(word));
        if wanted.is_empty() {
            return Vec::new();
        }
        let whole: Vec<u32> = real.iter().copied().filter(|t| wanted.iter().all(|w| has(*t, w))).collect();
        if !whole.is_empty() {
            return whole;
        }
        let spread = wanted.iter().all(|w| real.iter().any(|t| has(*t, w)));
        if spread {
            real.into_iter().filter(|t| wanted.iter().any(|w| has(*t, w))).collect()
        } else {
            Vec::new()
        }
    }

    fn text(&self, item: &Value, field: &str, turns: &[u32]) -> Option<(String, Vec<u32>)> {
        let said = item.get(field)?.as_str()?.trim();
        let found = self.said(&words(said), turns);
        (!found.is_empty()).then(|| (said.to_owned(), found))
    }

    /// A date whose year the callee named, in digits or in words; the month only where they named it too.
    fn date(&self, item: &Value, field: &str, turns: &[u32], today: Date) -> Option<(Date, Vec<u32>)> {
        let When::Date(date) = dates::parse(item.get(field)?.as_str()?, today).ok()? else { return None };
        let year = date.year.to_string();
        let named: Vec<u32> = turns
            .iter()
            .copied()
            .filter(|turn| self.turns.get(turn).is_some_and(|said| year_is_in(said, &year, today)))
            .collect();
        if named.is_empty() {
            return None;
        }
        let months = |turn: &u32| self.turns.get(turn).is_some_and(|said| month_is_in(said, date.month));
        let month = date.month.filter(|_| named.iter().any(months));
        Some((Date { month, ..date }, named))
    }
}

fn year_is_in(said: &[String], year: &str, today: Date) -> bool {
    let spoken = |window: &[String]| matches!(dates::parse(&window.join(" "), today), Ok(When::Date(d)) if d.year.to_string() == year);
    said.iter().any(|w| w == year) || (2..=5).any(|n| said.windows(n).any(spoken))
}

fn month_is_in(said: &[String], month: Option<u8>) -> bool {
    said.iter().any(|w| dates::month(w) == month || w.parse::<u8>().ok() == month)
}

/// Fills what is null in `notes` from `extraction`.
pub(crate) fn reconcile(notes: &mut Notes, extraction: &Value, lines: &[Line], today: Date) {
    let heard = Heard::of(lines);
    let person = |field: &str| {
        let item = extraction.get(field)?;
        let found = heard.text(item, "value", &turns(item, "turns"));
        found.map(|(value, turns)| Said { value, turns })
    };
    notes.name = notes.name.take().or_else(|| person("name"));
    notes.email = notes.email.take().or_else(|| person("email"));
    notes.city = notes.city.take().or_else(|| person("city"));
    let confirmed = notes.read_back.confirmed;
    for item in list(extraction, "jobs") {
        job(notes, item, &heard, today, confirmed);
    }
    for item in list(extraction, "skills") {
        let Some((value, turns)) = heard.text(item, "value", &turns(item, "turns")) else { continue };
        let known = |said: &Said| words(&said.value).iter().any(|w| words(&value).contains(w));
        if !confirmed && !notes.skills.iter().any(known) {
            notes.skills.push(Said { value, turns });
        }
    }
    if notes.education.is_empty() {
        notes.education.extend(list(extraction, "education").filter_map(|item| education(item, &heard)));
    }
    for item in list(extraction, "gaps") {
        gap(notes, item, &heard, today);
    }
}

fn job(notes: &mut Notes, item: &Value, heard: &Heard, today: Date, confirmed: bool) {
    let Some(company) = item["company"].as_str().map(str::trim).filter(|c| !c.is_empty()) else { return };
    let turns = turns(item, "turns");
    let named = heard.said(&company_words(company), &turns);
    let start = heard.date(item, "start", &turns, today);
    let end = heard.date(item, "end", &turns, today);
    let known = notes.job_like(company, start.as_ref().map(|d| d.0), end.as_ref().map(|d| d.0));
    let mut job = match known {
        Some(i) => notes.jobs[i].clone(),
        // A confirmed history has no jobs more than the callee confirmed, and what they took back stays away.
        None if confirmed || named.is_empty() => return,
        None if notes.removed.iter().any(|gone| same_company(gone, company)) => return,
        // A second time with a known company needs the callee's own, explicit correction; it is not read out of lines.
        None if notes.jobs.iter().any(|job| same_company(&job.company, company)) => return,
        None => {
            let turns = BTreeMap::from([("company".to_owned(), named)]);
            Job { company: company.to_owned(), turns, extracted: true, ..Job::default() }
        }
    };
    let fill = |field: &str, place: &mut Option<String>| {
        if place.is_none()
            && let Some((value, found)) = heard.text(item, field, &turns)
        {
            *place = Some(value);
            return Some((field.to_owned(), found));
        }
        None
    };
    let filled = [
        fill("title", &mut job.title),
        fill("location", &mut job.location),
        fill("responsibilities", &mut job.responsibilities),
        fill("reason_for_leaving", &mut job.reason_for_leaving),
    ];
    job.turns.extend(filled.into_iter().flatten());
    if job.employment_type.is_none() {
        let kind = item["employment_type"].as_str().filter(|kind| EMPLOYMENT_TYPES.contains(kind));
        let found = kind.map(|kind| heard.said(&words(&kind.replace('_', " ")), &turns)).unwrap_or_default();
        if !found.is_empty() {
            job.employment_type = kind.map(str::to_owned);
            job.turns.insert("employment_type".to_owned(), found);
        }
    }
    let possible = |start, end| dates::impossible(start, end, today, notes.settings.birth_year).is_empty();
    if job.start.is_none()
        && let Some((start, found)) = start.filter(|(start, _)| possible(Some(*start), job.end))
    {
        job.start = Some(start);
        job.turns.insert("start".to_owned(), found);
    }
    if job.end.is_none()
        && job.current != Some(true)
        && let Some((end, found)) = end.filter(|(end, _)| possible(job.start, Some(*end)))
    {
        job.end = Some(end);
        job.current = Some(false);
        job.turns.insert("end".to_owned(), found);
    }
    match known {
        Some(i) => notes.jobs[i] = job,
        None => notes.jobs.push(job),
    }
}

fn education(item: &Value, heard: &Heard) -> Option<Education> {
    let named = turns(item, "turns");
    let text = |field: &str| heard.text(item, field, &named);
    let (institution, degree, field) = (text("institution"), text("degree"), text("field"));
    let mut found: Vec<u32> =
        [&institution, &degree, &field].into_iter().flatten().flat_map(|(_, t)| t.clone()).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return None;
    }
    let year = item["year"].as_i64().and_then(|y| i16::try_from(y).ok());
    let year = year.filter(|year| !heard.said(&[year.to_string()], &named).is_empty());
    let own = |said: Option<(String, Vec<u32>)>| said.map(|(value, _)| value);
    Some(Education {
        institution: own(institution),
        degree: own(degree),
        field: own(field),
        year,
        turns: found,
    })
}

/// An explanation for a gap that has none, in a line in which the callee said its words.
fn gap(notes: &mut Notes, item: &Value, heard: &Heard, today: Date) {
    let day = |field: &str| match dates::parse(item[field].as_str().unwrap_or_default(), today) {
        Ok(When::Date(date)) => Some(date),
        Ok(When::Now) => Some(today),
        Err(_) => None,
    };
    let (Some(start), Some(end), Some(kind)) =
        (day("start"), day("end"), item["kind"].as_str().and_then(Kind::parse))
    else {
        return;
    };
    // It may explain one open piece as it was asked; it may not open up or cut anything.
    let open = notes
        .gaps(today)
        .into_iter()
        .find(|gap| gap.explained_by.is_none() && start.first() <= gap.start && gap.end <= end.after() + 1);
    let said = heard.text(item, "explanation", &turns(item, "turns"));
    if let (Some(gap), Some((text, turns))) = (open, said)
        && !matches!(kind, Kind::Unknown | Kind::Retired)
    {
        let (start, end) = (Date::of_month(gap.start), Date::of_month(gap.end - 1));
        notes.explanations.push(Explanation { start, end, kind, text, turns });
    }
}

fn turns(item: &Value, field: &str) -> Vec<u32> {
    let turns = item.get(field).and_then(Value::as_array).into_iter().flatten();
    turns.filter_map(Value::as_u64).filter_map(|turn| u32::try_from(turn).ok()).collect()
}

fn list<'a>(extraction: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    extraction.get(field).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
#[path = "reconcile_cases.rs"]
mod cases;
