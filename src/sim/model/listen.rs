//! Understanding one answer in the light of its question. Sees nothing but words; knows no person and no truth.

use super::cues::{affirms, anywhere, denies, evades, gap_kind};
use super::dates::{self, says};
use super::jobs::{self, Patch};
use super::question::{Question, Topic};
use super::told::{education, name, skills};

/// Something an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Consent(bool),
    Name(String),
    Job(Patch),
    NeverWorkedAt(String),
    Gap {
        start: String,
        end: Option<String>,
        kind: &'static str,
        words: String,
    },
    Skills(Vec<String>),
    Education {
        institution: Option<String>,
        degree: Option<String>,
        year: Option<i32>,
    },
    Email(String),
    NoEarlierJob,
    ReadBack(bool),
    NothingMore,
    OptOut,
    WrongNumber,
    CallBack(String),
    WantsPerson,
    Voicemail,
    // What is answered by words alone:
    WhoAreYou,
    Evasion,
    NotWorking,
    /// A job without its company.
    WhichCompany,
}

/// What is known when the answer is heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// The last question.
    pub(crate) question: Question,
    /// Its words.
    pub(crate) asked: String,
    /// The answer before this one, for a fact in two pieces.
    pub(crate) before: Option<String>,
    /// No consent yet.
    pub(crate) needs_consent: bool,
    /// Jobs known.
    pub(crate) jobs: Vec<Patch>,
    /// The gap that is asked about, `YYYY-MM` or `YYYY`.
    pub(crate) gap: Option<(String, Option<String>)>,
}

/// All that `answer` says.
pub(crate) fn understand(ctx: &Context, answer: &str) -> Vec<Fact> {
    let text = dates::lower(answer);
    if let Some(fact) = anywhere(ctx, answer, &text) {
        return vec![fact];
    }
    let yes = affirms(&text);
    let no = denies(&text);
    if ctx.needs_consent {
        return match (yes, no) {
            (_, true) => vec![Fact::Consent(false)],
            (true, false) => vec![Fact::Consent(true)],
            // Avoids the question twice: that is a no.
            _ if evades(&text) => {
                let again = ctx.before.as_deref().is_some_and(|b| evades(&dates::lower(b)));
                vec![if again { Fact::Consent(false) } else { Fact::Evasion }]
            }
            _ => vec![],
        };
    }
    let mut out = Vec::new();
    let topics =
        if ctx.question.topics.is_empty() { vec![Topic::Previous] } else { ctx.question.topics.clone() };
    let mut answer = answer.to_owned();
    if let Some(name) = name(&answer, &text, topics.contains(&Topic::Name)) {
        // The name is no company, though it stands where one might.
        if let Some(at) = dates::lower(&answer).find(&dates::lower(&name)).filter(|_| answer.is_ascii()) {
            answer.replace_range(at..at + name.len(), "");
        }
        out.push(Fact::Name(name));
    }
    let text = dates::lower(&answer);
    let answer = answer.as_str();
    let evasive = evades(&text);
    let only_evasive = evasive && dates::words(answer).len() <= 9;
    let topics = if only_evasive { vec![] } else { topics };
    for topic in topics {
        let facts = about(topic, ctx, answer, &text, (yes, no));
        out.extend(facts.into_iter().filter(|f| !matches!(f, Fact::Name(_))));
    }
    if out.is_empty() && evasive {
        let again = ctx.before.as_deref().is_some_and(|b| evades(&dates::lower(b)));
        return match &ctx.gap {
            Some((start, end)) if again && ctx.question.asks(Topic::Gap) => {
                vec![Fact::Gap {
                    start: start.clone(),
                    end: end.clone(),
                    kind: "unknown",
                    words: answer.trim().to_owned(),
                }]
            }
            _ => vec![Fact::Evasion],
        };
    }
    out
}

fn about(topic: Topic, ctx: &Context, answer: &str, text: &str, (yes, no): (bool, bool)) -> Vec<Fact> {
    let known: Vec<String> = ctx.jobs.iter().filter_map(|j| j.company.clone()).collect();
    let mut found = jobs::find(answer, &known, Some(topic));
    match topic {
        Topic::Current => {
            if says(
                text,
                "not working|out of work|don't have a job|unemployed|between jobs|no job|retired|\
            not employed",
            ) && found.iter().all(|p| p.company.is_none())
            {
                return vec![Fact::NotWorking];
            }
            if let [first, ..] = found.as_mut_slice()
                && first.end.is_none()
                && first.current.is_none()
            {
                first.current = Some(true);
            }
            placed(found)
        }
        Topic::Previous => {
            if found.iter().all(|p| p.company.is_none() && p.title.is_none()) {
                let none = no
                    || says(
                        text,
                        "nothing|first job|first one|none|in school|at school|was a kid|never worked|\
            no other|that's all|that's it|that was it|nope",
                    );
                return if none { vec![Fact::NoEarlierJob] } else { vec![] };
            }
            placed(found)
        }
        Topic::Start | Topic::End | Topic::Dates | Topic::Title => {
            let mut patch = found.drain(..).next().unwrap_or_default();
            if patch.is_empty() {
                return vec![];
            }
            if topic != Topic::Title {
                patch.title = patch.company.is_some().then_some(patch.title).flatten();
            }
            patch.company = patch.company.or_else(|| subject(ctx, topic));
            placed(vec![patch])
        }
        Topic::Company => {
            let mut patch = found.drain(..).next().unwrap_or_default();
            patch.company = patch.company.or_else(|| short(answer));
            if let Some(before) = &ctx.before {
                for earlier in
                    jobs::find(before, &[], Some(Topic::Previous)).into_iter().filter(|p| p.company.is_none())
                {
                    patch.complete(earlier);
                }
            }
            if patch.company.is_some() && !evades(text) { vec![Fact::Job(patch)] } else { vec![] }
        }
        Topic::Gap => gap(ctx, answer, text, found),
        Topic::Skills => skills(answer, text, no),
        Topic::Education => education(answer, text),
        Topic::Email => answer
            .split_whitespace()
            .find(|w| w.contains('@'))
            .map(|w| Fact::Email(w.trim_matches(['.', ',']).to_owned()))
            .into_iter()
            .collect(),
        Topic::ReadBack | Topic::Correction => correction(topic, answer, text, found, (yes, no)),
        Topic::More => {
            let jobs = placed(found.into_iter().filter(|p| p.company.is_some()).collect());
            if jobs.is_empty() && no { vec![Fact::NothingMore] } else { jobs }
        }
        Topic::Consent
        | Topic::Name
        | Topic::City
        | Topic::Reason
        | Topic::CallbackTime
        | Topic::Presence => vec![],
    }
}

/// Jobs with a company; one without is asked for.
fn placed(found: Vec<Patch>) -> Vec<Fact> {
    let orphan = found.iter().any(|p| p.company.is_none() && (p.title.is_some() || p.start.is_some()));
    let out: Vec<Fact> = found.into_iter().filter(|p| p.company.is_some()).map(Fact::Job).collect();
    if out.is_empty() && orphan { vec![Fact::WhichCompany] } else { out }
}

/// The job a question for a detail is about: the one it names, else the last one that lacks the detail.
fn subject(ctx: &Context, topic: Topic) -> Option<String> {
    let asked = dates::lower(&ctx.asked).replace('&', "and");
    let place =
        |p: &Patch| p.company.as_ref().and_then(|c| asked.rfind(&dates::lower(c).replace('&', "and")));
    let named = ctx.jobs.iter().filter_map(|p| place(p).map(|at| (at, p))).max_by_key(|(at, _)| *at);
    let lacks = |p: &&Patch| match topic {
        Topic::Title => p.title.is_none(),
        Topic::End => p.end.is_none() && p.current != Some(true),
        _ => p.start.is_none(),
    };
    named.map(|(_, p)| p).or_else(|| ctx.jobs.iter().rev().find(lacks)).or(ctx.jobs.last())?.company.clone()
}

/// A short answer as a name: "harbor foods" where the recogniser wrote no capitals.
fn short(answer: &str) -> Option<String> {
    let words = dates::words(answer);
    let skip = words
        .iter()
        .take_while(|w| {
            matches!(
                dates::lower(w.text).as_str(),
                "that" | "was" | "it" | "it's" | "with" | "at" | "for" | "the" | "um" | "well"
            )
        })
        .count();
    let rest = &words[skip..];
    (1..=4)
        .contains(&rest.len())
        .then(|| rest.iter().map(|w| jobs::capital(w.text)).collect::<Vec<_>>().join(" "))
}

fn gap(ctx: &Context, answer: &str, text: &str, found: Vec<Patch>) -> Vec<Fact> {
    let jobs = placed(
        found
            .into_iter()
            .filter(|p| p.company.is_some() && (p.start.is_some() || p.title.is_some()))
            .collect(),
    );
    if !jobs.is_empty() {
        return jobs;
    }
    let (Some((start, end)), kind) = (ctx.gap.clone(), gap_kind(text)) else { return vec![] };
    let fact = |kind| vec![Fact::Gap { start, end, kind, words: answer.trim().to_owned() }];
    match kind {
        Some(kind) => fact(kind),
        None if evades(text) || dates::words(answer).len() < 2 => vec![],
        None => fact("other"),
    }
}

fn correction(
    topic: Topic,
    answer: &str,
    text: &str,
    found: Vec<Patch>,
    (yes, no): (bool, bool),
) -> Vec<Fact> {
    let mut out = Vec::new();
    let wrong = no || says(text, "not quite|not right|wrong|incorrect|missing|actually");
    if topic == Topic::ReadBack && !wrong {
        return if yes || says(text, "correct|exactly|right|perfect|whatever|i think so|guess so") {
            vec![Fact::ReadBack(true)]
        } else {
            vec![]
        };
    }
    if topic == Topic::ReadBack {
        out.push(Fact::ReadBack(false));
    } else if no && found.is_empty() || says(text, "nothing|it's fine|all good") {
        return vec![Fact::ReadBack(true)];
    }
    if says(text, "never worked|didn't work|did not work|not worked") {
        out.extend(found.into_iter().filter_map(|p| p.company).map(Fact::NeverWorkedAt));
        return out;
    }
    let useful = |p: &Patch| {
        p.company.is_some()
            && (p.start.is_some() || p.end.is_some() || p.title.is_some() || p.current.is_some())
    };
    out.extend(found.into_iter().filter(useful).map(Fact::Job));
    if let Some(name) = name(answer, text, false) {
        out.push(Fact::Name(name));
    }
    out
}
