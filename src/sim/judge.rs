//! How much of a profile is true: the share of its fields that agree with what the person really did.

use serde::Serialize;
use serde_json::Value;

use crate::sim::model::dates::Date;
use crate::sim::people::{Gap, Job, Truth};

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Fields compared: the name, the present job, four for each true job, one for each true gap, one for each true skill, and one for
    /// each job in the profile that never was.
    pub fields: u32,
    /// Those that agree.
    pub right: u32,
    /// What does not agree, in words.
    pub misses: Vec<String>,
}

impl Score {
    fn count(&mut self, right: bool, miss: impl FnOnce() -> String) {
        self.fields += 1;
        if right {
            self.right += 1;
        } else {
            self.misses.push(miss());
        }
    }

    /// The share of right fields, 0 to 1; 1 where nothing was to compare.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.fields == 0 { 1.0 } else { f64::from(self.right) / f64::from(self.fields) }
    }
}

/// Compares a profile in the shape of the delivered `worker_profile.json` with the truth. Case, punctuation and "&" for "and" do not
/// matter; a date agrees where year and month do, or the year alone where one side knows no month.
#[must_use]
pub fn compare(profile: &Value, truth: &Truth) -> Score {
    let mut score = Score::default();
    let name = text(profile, "name");
    score.count(same(name, &truth.name), || format!("name: {name:?} for {:?}", truth.name));
    let jobs: &[Value] =
        profile.get("employment_history").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    current(&mut score, profile.get("current_job").unwrap_or(&Value::Null), truth);
    let mut used = vec![false; jobs.len()];
    for job in &truth.jobs {
        let found = (0..jobs.len()).find(|&i| !used[i] && same(text(&jobs[i], "company"), &job.company));
        if let Some(i) = found {
            used[i] = true;
        }
        compare_job(&mut score, found.map_or(&Value::Null, |i| &jobs[i]), job);
    }
    for (i, job) in jobs.iter().enumerate() {
        if !used[i] {
            score.count(false, || format!("invented or repeated job: {:?}", text(job, "company")));
        }
    }
    let gaps: &[Value] = profile.get("employment_gaps").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    for gap in &truth.gaps {
        let resolved = gaps.iter().any(|g| covers(g, gap));
        score.count(resolved, || format!("gap from {} ({}) not resolved", gap.start, gap.kind));
    }
    let skills: Vec<String> = profile
        .get("skills")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|s| s.as_str().or_else(|| s.get("value").or_else(|| s.get("name"))?.as_str()))
        .map(plain)
        .collect();
    for skill in &truth.skills {
        score.count(skills.iter().any(|s| *s == plain(skill)), || format!("skill missing: {skill}"));
    }
    score
}

/// The present job is right where it is any of the true present ones, or absent where there is none.
fn current(score: &mut Score, said: &Value, truth: &Truth) {
    let company = text(said, "company");
    let mut now = truth.jobs.iter().filter(|j| j.current).peekable();
    let right = if now.peek().is_none() {
        company.is_empty()
    } else {
        now.any(|j| same(company, &j.company) && same(text(said, "title"), &j.title))
    };
    score.count(right, || format!("current job: {company:?}"));
}

fn compare_job(score: &mut Score, said: &Value, job: &Job) {
    let about = &job.company;
    score.count(!said.is_null(), || format!("job missing: {about}"));
    let title = text(said, "title");
    score.count(same(title, &job.title), || format!("{about}: title {title:?} for {:?}", job.title));
    let start = text(said, "start");
    score.count(same_date(start, &job.start), || format!("{about}: start {start:?} for {:?}", job.start));
    let end = text(said, "end");
    let right = match &job.end {
        Some(e) => same_date(end, e),
        None => !said.is_null() && end.is_empty(),
    };
    score.count(right, || format!("{about}: end {end:?} for {:?}", job.end));
}

/// A resolved gap of the profile that shares at least two months with the true one.
fn covers(said: &Value, gap: &Gap) -> bool {
    let explained = said.get("explanation").and_then(Value::as_str).is_some_and(|e| !e.is_empty());
    let resolved = said.get("resolved").and_then(Value::as_bool).unwrap_or(explained);
    let from = Date::iso(text(said, "start")).map_or(0, Date::first);
    let to = Date::iso(text(said, "end")).map_or(i32::MAX / 2, Date::last);
    let (a, b) = gap.span();
    resolved && b.min(to) - a.max(from) >= 2
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or("")
}

/// Lower case, letters and digits alone, "&" as "and".
fn plain(text: &str) -> String {
    let text = text.to_lowercase().replace('&', " and ");
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty() && *w != "the")
        .collect::<Vec<_>>()
        .join(" ")
}

fn same(said: &str, truth: &str) -> bool {
    !said.is_empty() && plain(said) == plain(truth)
}

fn same_date(said: &str, truth: &str) -> bool {
    match (Date::iso(said), Date::iso(truth)) {
        (Some(a), Some(b)) => {
            a.year == b.year && (a.month == b.month || a.month.is_none() || b.month.is_none())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::people::{Kind, World};

    fn perfect(truth: &Truth) -> Value {
        let jobs: Vec<Value> =
            truth.jobs.iter().map(|j| serde_json::to_value(j).expect("a job is JSON")).collect();
        let gaps: Vec<Value> =
            truth.gaps.iter().map(|g| json!({"start": g.start, "end": g.end, "resolved": true})).collect();
        let current =
            truth.jobs.iter().find(|j| j.current).map(|j| json!({"company": j.company, "title": j.title}));
        json!({"name": truth.name.to_uppercase(), "current_job": current, "employment_history": jobs,
               "employment_gaps": gaps, "skills": truth.skills})
    }

    #[test]
    fn the_truth_is_right_and_inventions_are_wrong() {
        let world = World::new(11);
        for i in 0..50 {
            let truth = world.person(&world.number(Kind::LongGap, i)).truth;
            let mut profile = perfect(&truth);
            let score = compare(&profile, &truth);
            assert_eq!(score.right, score.fields, "{:?}", score.misses);
            if let Some(jobs) = profile["employment_history"].as_array_mut() {
                jobs.push(json!({"company": "Nowhere Inc"}));
            }
            let worse = compare(&profile, &truth);
            assert_eq!((worse.fields, worse.right), (score.fields + 1, score.right));
        }
    }
}
