//! What the interviewer has written down: the draft of the call, typed. It is checkpointed with every turn, so every
//! field has a default and an older draft can always be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dates::{Date, MonthIndex};
use super::score::Score;
use super::words::same_company;
use crate::agents::interview::gaps;
use crate::domain::draft::Draft;

/// The draft of one interview.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// The callee's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Said>,
    /// Their mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<Said>,
    /// Where they live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) city: Option<Said>,
    /// Jobs, in the order told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) jobs: Vec<Job>,
    /// Skills, in the order told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) skills: Vec<Said>,
    /// Schools and degrees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) education: Vec<Education>,
    /// What was done between jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) explanations: Vec<Explanation>,
    /// There were no earlier jobs.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) history_complete: bool,
    /// Companies that were taken back; extraction does not bring them up again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<String>,
    /// How often each topic was put to the callee and heard an answer, weighted by [`super::stage::Plan::weight`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) asked: BTreeMap<String, u8>,
    /// How the read-back went.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) read_back: ReadBack,
    /// The callee was told goodbye in earnest: the interview took its course.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) finished: bool,
    /// How difficult the callee is.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) score: Score,
    /// What the call's variables set.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) settings: Settings,
}

/// What is as it is at first is not written: the draft lies in Redis as long as the call lives.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A word of the callee's, with the turns it was said in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// What.
    pub(crate) value: String,
    /// When.
    pub(crate) turns: Vec<u32>,
}

impl Said {
    /// `value`, said in `turn`.
    pub(crate) fn new(value: &str, turn: u32) -> Self {
        Self { value: value.to_owned(), turns: vec![turn] }
    }
}

/// A job as far as it was told; `None` is "not said".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Job {
    /// The employer.
    pub(crate) company: String,
    /// What they were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Date>,
    /// Until when; `None` while current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<Date>,
    /// Do they work there now?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<bool>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    /// One of [`EMPLOYMENT_TYPES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) employment_type: Option<String>,
    /// What they did there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) responsibilities: Option<String>,
    /// Why they left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason_for_leaving: Option<String>,
    /// The turns each field came from, by the field's name.
    pub(crate) turns: BTreeMap<String, Vec<u32>>,
    /// Learned from the transcript after the call, by the model's extraction.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) extracted: bool,
}

/// The kinds of employment of the profile.
pub(crate) const EMPLOYMENT_TYPES: [&str; 6] =
    ["full_time", "part_time", "contract", "temporary", "internship", "volunteer"];

impl Job {
    /// Notes that `field` was said in `turn`.
    pub(crate) fn source(&mut self, field: &str, turn: u32) {
        let turns = self.turns.entry(field.to_owned()).or_default();
        if !turns.contains(&turn) {
            turns.push(turn);
        }
    }

    /// Every turn that something of this job came from, in order.
    pub(crate) fn all_turns(&self) -> Vec<u32> {
        let mut turns: Vec<u32> = self.turns.values().flatten().copied().collect();
        turns.sort_unstable();
        turns.dedup();
        turns
    }

    /// Sorts newest first: current jobs, then by end, then by start; undated ones last, in the order told.
    pub(crate) fn recency(&self) -> (MonthIndex, MonthIndex) {
        let end = match (self.current, self.end, self.start) {
            (Some(true), _, _) => MonthIndex::MAX,
            (_, Some(end), _) => end.after(),
            (_, None, Some(start)) => start.after(),
            (_, None, None) => MonthIndex::MIN,
        };
        (end, self.start.map_or(MonthIndex::MIN, Date::first))
    }
}

/// A school, a course, a degree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Education {
    /// Where.
    pub(crate) institution: Option<String>,
    /// What was earned.
    pub(crate) degree: Option<String>,
    /// In what.
    pub(crate) field: Option<String>,
    /// When it ended.
    pub(crate) year: Option<i16>,
    /// The turns it came from.
    pub(crate) turns: Vec<u32>,
}

/// What filled a stretch without work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// School, study, training.
    School,
    /// Care of children or family.
    Caring,
    /// In prison.
    Prison,
    /// Illness or injury.
    Illness,
    /// Looking for work.
    Unemployment,
    /// Out of the country, travelling.
    Abroad,
    /// Retired: no work is expected from then on.
    Retired,
    /// Anything else that was said.
    Other,
    /// Asked and not answered; the gap stays unresolved and is not asked again.
    Unknown,
}

impl Kind {
    /// Every kind, as the tools name them.
    pub(crate) const WORDS: [&'static str; 9] =
        ["school", "caring", "prison", "illness", "unemployment", "abroad", "retired", "other", "unknown"];

    /// Reads the word of the wire.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        serde_json::from_value(Value::from(word)).ok()
    }
}

/// An explanation for the months from `start` to `end`, both at their outer edges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// From.
    pub(crate) start: Date,
    /// To, included.
    pub(crate) end: Date,
    /// What it was.
    pub(crate) kind: Kind,
    /// In the callee's words.
    pub(crate) text: String,
    /// The turns it came from.
    pub(crate) turns: Vec<u32>,
}

/// How reading back went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReadBack {
    /// The callee said that it is right.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) confirmed: bool,
    /// The callee said that something is wrong and has not said what yet.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) correcting: bool,
    /// How often it was called wrong.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) rejected: u8,
    /// The newest turn in which a fact was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed_in: Option<u32>,
}

/// What a call's variables set for the interview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Months that make a gap (`gap_threshold_months`); `None`: [`gaps::THRESHOLD`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gap_threshold: Option<MonthIndex>,
    /// The year the callee was born in (`birth_year`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) birth_year: Option<i16>,
}

impl Settings {
    /// What `variables` say; nonsense is as good as absent.
    pub(crate) fn of(variables: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| variables.get(name).map(|v| v.trim());
        Self {
            gap_threshold: get("gap_threshold_months")
                .and_then(|v| v.parse().ok())
                .filter(|n| (1..=120).contains(n)),
            birth_year: get("birth_year").and_then(|v| v.parse().ok()).filter(|y| (1900..=2100).contains(y)),
        }
    }
}

impl Notes {
    /// Reads the draft; one that is no interview's is an empty one.
    pub(crate) fn read(draft: &Draft) -> Self {
        draft.read()
    }

    /// Writes the draft.
    pub(crate) fn write(&self) -> Draft {
        Draft::of(self)
    }

    /// Is there any fact about the person?
    pub(crate) fn has_facts(&self) -> bool {
        let person = self.name.is_some() || self.email.is_some() || self.city.is_some();
        let lists = [self.jobs.is_empty(), self.skills.is_empty(), self.education.is_empty()];
        person || lists.contains(&false) || self.explanations.iter().any(|e| e.kind != Kind::Unknown)
    }

    /// Positions in `jobs`, newest job first.
    pub(crate) fn newest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.jobs.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(self.jobs[*i].recency()));
        order
    }

    /// The gaps as of `today`.
    pub(crate) fn gaps(&self, today: Date) -> Vec<gaps::Gap> {
        let threshold = self.settings.gap_threshold.unwrap_or(gaps::THRESHOLD);
        gaps::find(&self.jobs, &self.explanations, today, threshold)
    }

    /// The job that `company` with these dates speaks of, if it is a known one: the same employer, unless both are
    /// fully dated and lie apart, which is a second time with that employer.
    pub(crate) fn job_like(&self, company: &str, start: Option<Date>, end: Option<Date>) -> Option<usize> {
        let same: Vec<usize> =
            (0..self.jobs.len()).filter(|i| same_company(&self.jobs[*i].company, company)).collect();
        if self.read_back.correcting && same.len() == 1 {
            return same.first().copied();
        }
        let apart = |i: &usize| {
            let job = &self.jobs[*i];
            let (Some(start), Some(end), Some(from)) = (start, end, job.start) else { return false };
            let until =
                if job.current == Some(true) { Some(MonthIndex::MAX) } else { job.end.map(Date::after) };
            until.is_some_and(|until| end.after() <= from.first() || start.first() >= until)
        };
        let inside = |i: &usize| {
            let job = &self.jobs[*i];
            let until = job.end.map_or(MonthIndex::MAX, Date::after);
            start
                .is_some_and(|s| job.start.is_some_and(|from| from.first() <= s.first()) && s.first() < until)
        };
        let mut fitting: Vec<usize> = same.into_iter().filter(|i| !apart(i)).collect();
        fitting.sort_by_key(|i| !inside(i));
        fitting.first().copied()
    }
}
