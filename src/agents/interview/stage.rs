//! Where the interview stands and what to ask next: a pure function of the notes. The model phrases it, the program
//! decides it, so that a talk always comes to its end whatever the model makes of it.

use serde_json::{Value, json};

use super::dates::Date;
use super::gaps::Gap;
use super::notes::{Job, Notes};
use super::read_back;
use super::score::Level;
use super::words::{company_words, words};

/// The stages of the interview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// May we go on?
    Consent,
    /// Name and current work.
    Situation,
    /// Jobs, newest to oldest.
    History,
    /// What lay between them.
    Gaps,
    /// Skills and education.
    Skills,
    /// Is it all right so?
    ReadBack,
    /// Thanks.
    Goodbye,
}

impl Stage {
    /// The word as the model sees it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Situation => "situation",
            Self::History => "history",
            Self::Gaps => "gaps",
            Self::Skills => "skills",
            Self::ReadBack => "read_back",
            Self::Goodbye => "goodbye",
        }
    }
}

/// How the interviewer goes about it: from a medium score on it softens, at high it asks the least it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Everything is asked.
    Normal,
    /// Choices are offered, less is asked, each thing at most once more.
    Soft,
    /// The essentials, once each.
    Minimal,
}

impl Style {
    /// The style for a level.
    pub(crate) fn of(level: Level) -> Self {
        match level {
            Level::Low => Self::Normal,
            Level::Medium => Self::Soft,
            Level::High => Self::Minimal,
        }
    }

    /// The word as the model sees it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Soft => "soft",
            Self::Minimal => "minimal",
        }
    }
}

/// The next step of the interview.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The stage it belongs to.
    pub(crate) stage: Stage,
    /// What it is about; counted in [`Notes::asked`] so that nothing is asked for ever.
    pub(crate) topic: String,
    /// What to ask.
    pub(crate) ask: String,
    /// The stretch that is asked about.
    pub(crate) gap: Option<Gap>,
    /// What to read back before asking.
    pub(crate) read_back: Option<String>,
    /// How.
    pub(crate) style: Style,
}

impl Plan {
    fn new(stage: Stage, style: Style, topic: &str, ask: impl Into<String>) -> Self {
        Self { stage, topic: topic.to_owned(), ask: ask.into(), gap: None, read_back: None, style }
    }

    /// The stretch as the model sees it.
    pub(crate) fn gap_json(&self) -> Value {
        self.gap.as_ref().map_or(Value::Null, |gap| {
            let (start, end) = (Date::of_month(gap.start), Date::of_month(gap.end));
            json!({ "start": start, "end": end, "months": gap.months() })
        })
    }
}

/// What one hearing counts where the question was put as planned…
const ASKED: u8 = 2;
/// …and where the model asked something else in its place, so that a topic is neither skipped for it nor kept for ever.
const DRIFTED: u8 = 1;

impl Plan {
    /// What hearing an answer to `question` counts against this plan's topic.
    pub(crate) fn weight(&self, question: &str) -> u8 {
        const SMALL: &[&str] = &[
            "a", "an", "and", "are", "as", "at", "be", "did", "do", "for", "have", "i", "if", "in", "is",
            "it", "may", "me", "my", "of", "on", "or", "please", "so", "that", "the", "then", "there", "to",
            "was", "we", "were", "what", "when", "where", "will", "with", "you", "your",
        ];
        let planned = format!("{} {}", self.ask, self.read_back.as_deref().unwrap_or_default());
        let asked = words(question);
        let mut telling = words(&planned);
        telling.retain(|word| !SMALL.contains(&word.as_str()));
        telling.sort_unstable();
        telling.dedup();
        let shared = telling.iter().filter(|word| asked.contains(word)).count();
        if shared >= telling.len().min(2) { ASKED } else { DRIFTED }
    }
}

/// How important a topic is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Asked in every style.
    Essential,
    /// Not asked of somebody who makes it very hard.
    Useful,
    /// Asked only while all goes well.
    Extra,
}

/// Decides the next step. `today` is the current month.
pub(crate) fn plan(notes: &Notes, consent: Option<bool>, today: Date) -> Plan {
    let style = Style::of(notes.score.level());
    let step = Step { notes, style };
    if consent != Some(true) {
        let ask = "Is it all right with you if we go on, with the call being recorded?";
        return Plan::new(Stage::Consent, style, "consent", ask);
    }
    // What was confirmed is the end of the course, also where a milder score would now allow for more questions.
    if notes.finished || notes.read_back.confirmed {
        return goodbye(notes, style);
    }
    let situation = || step.situation();
    let history = || step.history();
    situation()
        .or_else(history)
        .or_else(|| step.gaps(today))
        .or_else(|| step.skills())
        .or_else(|| step.read_back())
        .unwrap_or_else(|| goodbye(notes, style))
}

fn goodbye(notes: &Notes, style: Style) -> Plan {
    let name = first_name(notes).map(|name| format!(", {name}")).unwrap_or_default();
    let ask = format!("Thank you very much{name}, that is all I need. Have a good day. Goodbye.");
    Plan::new(Stage::Goodbye, style, "goodbye", ask)
}

fn first_name(notes: &Notes) -> Option<&str> {
    notes.name.as_ref().and_then(|name| name.value.split_whitespace().next())
}

struct Step<'a> {
    notes: &'a Notes,
    style: Style,
}

impl Step<'_> {
    /// Is there still reason to ask this? Each topic has a number of tries, fewer the harder the talk is.
    fn open(&self, topic: &str, need: Need) -> bool {
        if need == Need::Extra && self.notes.asked.keys().any(|topic| topic.starts_with("read_back")) {
            return false;
        }
        let tries = match (self.style, need) {
            (Style::Normal | Style::Soft, Need::Essential) => 3,
            (Style::Normal | Style::Soft, Need::Useful) => 2,
            (Style::Normal, Need::Extra) | (Style::Minimal, Need::Essential) => 1,
            (Style::Soft, Need::Extra) | (Style::Minimal, _) => 0,
        };
        self.notes.asked.get(topic).copied().unwrap_or(0) < tries * ASKED
    }

    fn ask(&self, stage: Stage, topic: &str, need: Need, ask: &str) -> Option<Plan> {
        self.open(topic, need).then(|| Plan::new(stage, self.style, topic, ask))
    }

    fn situation(&self) -> Option<Plan> {
        if self.notes.name.is_none() {
            let ask = match self.style {
                Style::Normal => "May I have your full name, please?",
                Style::Soft | Style::Minimal => "What name may I put down for you?",
            };
            if let Some(plan) = self.ask(Stage::Situation, "name", Need::Essential, ask) {
                return Some(plan);
            }
        }
        let known = !self.notes.jobs.is_empty() || self.notes.history_complete;
        if known || self.notes.explanations.iter().any(|e| e.kind == super::notes::Kind::Retired) {
            return None;
        }
        let ask = match self.style {
            Style::Normal => "Are you working at the moment, and if so, where and as what?",
            Style::Soft => {
                "Are you working at the moment? If so, just the company and what you are there will do."
            }
            Style::Minimal => "Are you working at the moment, and where?",
        };
        self.ask(Stage::Situation, "current_job", Need::Useful, ask)
    }

    fn history(&self) -> Option<Plan> {
        let order = self.notes.newest_first();
        let Some(oldest) = order.last().map(|i| &self.notes.jobs[*i]) else {
            if self.notes.history_complete {
                return None;
            }
            let ask = "What was your last job, where was it and what were you there?";
            return self.ask(Stage::History, "last_job", Need::Essential, ask);
        };
        for (place, i) in order.iter().enumerate() {
            if let Some(plan) = self.details(&self.notes.jobs[*i], place == 0) {
                return Some(plan);
            }
        }
        if self.notes.history_complete {
            return None;
        }
        let ask = match self.style {
            Style::Normal => format!("What did you do before that, before {}?", oldest.company),
            Style::Soft | Style::Minimal => {
                format!(
                    "Did you have another job before that, before {}? Just the company will do.",
                    oldest.company
                )
            }
        };
        let topic = format!("before:{}:{}", self.notes.jobs.len(), key(oldest));
        self.ask(Stage::History, &topic, Need::Useful, &ask)
    }

    /// What is missing of one job.
    fn details(&self, job: &Job, newest: bool) -> Option<Plan> {
        let company = &job.company;
        let open_end = job.end.is_none() && job.current != Some(true);
        let need = if newest { Need::Essential } else { Need::Useful };
        let (what, ask) = match (job.start.is_none(), open_end) {
            (true, true) if newest && job.current.is_none() => {
                ("dates", format!("When did you start at {company}, and are you still there?"))
            }
            (true, true) => ("dates", format!("When did you start at {company}, and when did you leave?")),
            (true, false) => (
                "start",
                format!("When did you start at {company}? The month and the year, if you know them."),
            ),
            (false, true) if newest && job.current.is_none() => {
                ("end", format!("Are you still at {company}, or when did you leave?"))
            }
            (false, true) => ("end", format!("When did you leave {company}?")),
            (false, false) => ("", String::new()),
        };
        if !what.is_empty()
            && let Some(plan) = self.ask(Stage::History, &format!("{what}:{}", key(job)), need, &ask)
        {
            return Some(plan);
        }
        if job.title.is_some() {
            return None;
        }
        let ask = format!("What was your job title at {company}?");
        let need = if newest { Need::Useful } else { Need::Extra };
        self.ask(Stage::History, &format!("title:{}", key(job)), need, &ask)
    }

    fn gaps(&self, today: Date) -> Option<Plan> {
        let gaps = self.notes.gaps(today);
        let open = |gap: &Gap| gap.explained_by.is_none() && self.open(&gap.key(), Need::Useful);
        let gap = gaps.into_iter().find(open)?;
        let span = gap.spoken();
        let ask = match self.style {
            Style::Normal => format!(
                "What were you doing between {span}? For example another job, say in construction or retail, care of \
                 family, study, or an illness."
            ),
            Style::Soft | Style::Minimal => format!(
                "What were you doing between {span}? Was it work, family, school or something else? We can also \
                 leave it out."
            ),
        };
        Some(Plan { gap: Some(gap.clone()), ..Plan::new(Stage::Gaps, self.style, &gap.key(), ask) })
    }

    fn skills(&self) -> Option<Plan> {
        if self.notes.skills.is_empty() {
            let ask = match self.style {
                Style::Normal => "What skills do you have that an employer should know about?",
                Style::Soft | Style::Minimal => "What are you good at? One or two skills are enough.",
            };
            if let Some(plan) = self.ask(Stage::Skills, "skills", Need::Useful, ask) {
                return Some(plan);
            }
        }
        if self.notes.education.is_empty() {
            let ask = "Do you have any schooling or training that should be on your profile?";
            return self.ask(Stage::Skills, "education", Need::Extra, ask);
        }
        None
    }

    fn read_back(&self) -> Option<Plan> {
        let state = &self.notes.read_back;
        if state.rejected > 2 || !self.notes.has_facts() {
            return None;
        }
        if state.correcting {
            let topic = format!("correction:{}", state.rejected);
            return self.ask(Stage::ReadBack, &topic, Need::Essential, "What should I correct?");
        }
        let topic = read_back_topic(self.notes);
        let plan = self.ask(Stage::ReadBack, &topic, Need::Essential, "Is that right?")?;
        Some(Plan { read_back: Some(read_back::text(self.notes)), ..plan })
    }
}

/// The topic of the read-back that comes next; a corrected one is a new one.
pub(crate) fn read_back_topic(notes: &Notes) -> String {
    format!("read_back:{}", notes.read_back.rejected)
}

fn key(job: &Job) -> String {
    company_words(&job.company).join("_")
}
