//! The worker profile: the document for S3 and the webhook. Every value names the turns it came from; what was not
//! said is null.

use serde_json::{Map, Value, json};

use super::dates::Date;
use super::gaps::Gap;
use super::notes::{Job, Notes, Said};
use super::reconcile::reconcile;
use super::rounded;
use crate::domain::agent::{Conclusion, Outcome};
use crate::domain::talk::{Line, Speaker};

/// Raised when a field changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

/// The outcome of an interview. There is a document only with consent and at least one fact; with the same notes,
/// lines and extraction it is the same document, whenever it is made.
pub(crate) fn conclude(conclusion: &Conclusion<'_>) -> Outcome {
    let mut notes = Notes::read(conclusion.draft);
    // The day of the talk, not of its wrap-up: made again tomorrow, the document is the same.
    let today = Date::today(conclusion.lines.iter().map(|line| line.at).max().unwrap_or(conclusion.now));
    let score = rounded(notes.score.value());
    let nothing = Outcome {
        document: None,
        document_field: "profile",
        adversarial_score: Some(score),
        employment_gaps: None,
    };
    if conclusion.consent != Some(true) {
        return nothing;
    }
    if let Some(extraction) = conclusion.extraction {
        reconcile(&mut notes, extraction, conclusion.lines, today);
    }
    if !notes.has_facts() {
        return nothing;
    }
    let gaps: Vec<Value> = notes.gaps(today).iter().map(|gap| gap_json(&notes, gap)).collect();
    let gaps = Value::Array(gaps);
    let document = document(&notes, conclusion, &gaps);
    Outcome { document: Some(document), employment_gaps: Some(gaps), ..nothing }
}

fn document(notes: &Notes, conclusion: &Conclusion<'_>, gaps: &Value) -> Value {
    let confidence = Confidence { lines: conclusion.lines, notes };
    let order = notes.newest_first();
    let history: Vec<Value> = order.iter().map(|i| job_json(&notes.jobs[*i], &confidence)).collect();
    let current = order.iter().map(|i| &notes.jobs[*i]).find(|job| job.current == Some(true));
    let education: Vec<Value> = notes.education.iter().map(|e| json!(e)).collect();
    let skills: Vec<&str> = notes.skills.iter().map(|s| s.value.as_str()).collect();
    let value = |said: &Option<Said>| said.as_ref().map(|s| s.value.clone());
    let points: Vec<Value> = notes
        .score
        .points()
        .iter()
        .map(|p| json!({ "turn": p.turn, "reason": p.reason.as_str(), "points": p.reason.points() }))
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "phone_hash": conclusion.phone_hash,
        "name": value(&notes.name),
        "contact": { "email": value(&notes.email), "city": value(&notes.city) },
        "current_job": current.map(|job| json!({ "title": job.title, "company": job.company, "start": job.start })),
        "employment_history": history,
        "employment_gaps": gaps,
        "education": education,
        "skills": skills,
        "adversarial_score": rounded(notes.score.value()),
        "adversarial": { "level": notes.score.level().as_str(), "points": points },
        "confidence_score": confidence.overall(),
        "consent_given": true,
        "complete": notes.finished || notes.read_back.confirmed,
        "ended": { "disposition": conclusion.ending.disposition, "reason": conclusion.ending.reason },
        "sources": sources(notes),
    })
}

/// The turns of the values that stand alone, by field; jobs, gaps and education carry their own.
fn sources(notes: &Notes) -> Value {
    let mut sources = Map::new();
    for (field, said) in [("name", &notes.name), ("email", &notes.email), ("city", &notes.city)] {
        if let Some(said) = said {
            sources.insert(field.to_owned(), json!(said.turns));
        }
    }
    let skills: Map<String, Value> = notes.skills.iter().map(|s| (s.value.clone(), json!(s.turns))).collect();
    sources.insert("skills".to_owned(), Value::Object(skills));
    Value::Object(sources)
}

fn job_json(job: &Job, confidence: &Confidence<'_>) -> Value {
    json!({
        "company": job.company,
        "title": job.title,
        "start": job.start,
        "end": job.end,
        "current": job.current,
        "location": job.location,
        "employment_type": job.employment_type,
        "responsibilities": job.responsibilities,
        "reason_for_leaving": job.reason_for_leaving,
        "confidence": confidence.job(job),
        "turns": job.all_turns(),
        "sources": job.turns,
    })
}

/// `end` is the month in which the gap is over: the next job's first month, or the month of the call.
fn gap_json(notes: &Notes, gap: &Gap) -> Value {
    let explanation = gap.explained_by.and_then(|i| notes.explanations.get(i));
    json!({
        "start": Date::of_month(gap.start),
        "end": Date::of_month(gap.end),
        "months": gap.months(),
        "kind": explanation.map(|e| e.kind),
        "explanation": explanation.map(|e| e.text.as_str()).filter(|text| !text.is_empty()),
        "resolved": gap.resolved,
        "turns": explanation.map(|e| e.turns.clone()).unwrap_or_default(),
    })
}

/// How sure the profile is of itself, 0 to 1: how much of a job was told, how well it was heard, and whether the
/// callee confirmed it.
struct Confidence<'a> {
    lines: &'a [Line],
    notes: &'a Notes,
}

impl Confidence<'_> {
    fn job(&self, job: &Job) -> f64 {
        let parts = [
            (0.4, true),
            (0.2, job.title.is_some()),
            (0.2, job.start.is_some()),
            (0.2, job.end.is_some() || job.current == Some(true)),
        ];
        let told: f64 = parts.iter().filter(|(_, there)| *there).map(|(share, _)| share).sum();
        let turns = job.all_turns();
        let disputed = self
            .notes
            .score
            .points()
            .iter()
            .any(|p| p.reason == super::score::Reason::Contradiction && turns.contains(&p.turn));
        let mut sure = told * self.heard(&turns);
        if disputed && !self.notes.read_back.confirmed {
            sure *= 0.7;
        }
        if job.extracted {
            sure *= 0.7;
        } else if self.notes.read_back.confirmed {
            // What was read back and confirmed is half way nearer to certain.
            sure += (told - sure).max(0.0) / 2.0;
        }
        rounded(sure.clamp(0.0, 1.0))
    }

    /// The recogniser's mean confidence in these turns; 0.9 where it gave none.
    fn heard(&self, turns: &[u32]) -> f64 {
        let lines =
            self.lines.iter().filter(|line| line.speaker == Speaker::Callee && turns.contains(&line.turn));
        let (mut sum, mut count) = (0.0, 0.0);
        for line in lines {
            sum += line.confidence.unwrap_or(0.9).clamp(0.0, 1.0);
            count += 1.0;
        }
        if count > 0.0 { sum / count } else { 0.9 }
    }

    /// Three quarters the mean of the jobs, one quarter the person; without any job a half at most.
    fn overall(&self) -> f64 {
        let person = self.notes.name.as_ref().map_or(0.0, |name| self.heard(&name.turns));
        if self.notes.jobs.is_empty() {
            return rounded(person / 2.0);
        }
        let count = f64::from(u32::try_from(self.notes.jobs.len()).unwrap_or(u32::MAX));
        let jobs = self.notes.jobs.iter().map(|job| self.job(job)).sum::<f64>() / count;
        rounded(jobs * 0.75 + person * 0.25)
    }
}
