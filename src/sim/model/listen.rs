//! Understanding one answer in the light of its question. Sees nothing but words; knows no person and no truth.

use super::dates::{self, says};
use super::jobs::{self, Patch};
use super::question::{Question, Topic};

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
            _ if text.trim_matches(['.', '?', '!', ' ']).len() > 60 => vec![Fact::Consent(true)],
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
    let evades = evades(&text);
    for topic in topics {
        let facts = about(topic, ctx, answer, &text, (yes, no));
        out.extend(facts.into_iter().filter(|f| !matches!(f, Fact::Name(_))));
    }
    if out.is_empty() && evades {
        let again = ctx.before.as_deref().is_some_and(|b| self::evades(&dates::lower(b)));
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

/// What may be said at any time and overrides every question.
fn anywhere(ctx: &Context, answer: &str, text: &str) -> Option<Fact> {
    const OPT_OUT: &[&str] = &[
        "stop calling",
        "don't call",
        "do not call",
        "don't ever call",
        "never call",
        "take me off",
        "remove me",
        "remove my number",
        "stop contacting",
        "unsubscribe",
        "off your list",
        "quit calling",
        "stop phoning",
        "lose my number",
        "delete my number",
    ];
    const WRONG: &[&str] = &[
        "wrong number",
        "wrong person",
        "nobody here by that name",
        "no one here by that name",
        "no one by that name",
        "nobody by that name",
        "you dialed wrong",
        "not the person",
    ];
    const LATER: &[&str] = &[
        "call me back",
        "call back",
        "call me later",
        "call later",
        "call again",
        "call me again",
        "call me tomorrow",
        "call tomorrow",
        "another time",
        "bad time",
        "not a good time",
        "i'm driving",
        "in a meeting",
        "can't talk",
        "cannot talk",
        "busy right now",
        "call me in",
        "ring me",
        "try me",
    ];
    const PERSON: &[&str] = &[
        "speak to a person",
        "talk to a person",
        "speak with a person",
        "speak to a human",
        "talk to a human",
        "real person",
        "human being",
        "speak to someone",
        "talk to someone",
        "transfer me",
        "real human",
    ];
    const MACHINE: &[&str] = &[
        "leave a message",
        "leave your message",
        "after the tone",
        "after the beep",
        "at the tone",
        "record your message",
    ];
    const WHO: &[&str] = &[
        "who is this",
        "who's this",
        "who are you",
        "who's calling",
        "who is calling",
        "what is this about",
        "what's this about",
        "are you a robot",
        "is this a robot",
        "is this a machine",
        "are you a machine",
        "am i talking to a",
        "is this a recording",
        "are you real",
        "what do you want",
    ];
    if says(text, OPT_OUT) || matches!(text.trim_matches(['.', '!', ' ']), "stop" | "unsubscribe") {
        return Some(Fact::OptOut);
    }
    if says(text, WRONG) {
        return Some(Fact::WrongNumber);
    }
    if says(text, MACHINE) {
        return Some(Fact::Voicemail);
    }
    if ctx.question.asks(Topic::CallbackTime) && !denies(text) {
        return Some(Fact::CallBack(answer.trim().trim_end_matches('.').to_owned()));
    }
    if says(text, LATER) && !ctx.question.asks(Topic::Gap) {
        return Some(Fact::CallBack(time_phrase(text)));
    }
    if says(text, PERSON) {
        return Some(Fact::WantsPerson);
    }
    (says(text, WHO) && !affirms(text)).then_some(Fact::WhoAreYou)
}

/// "tomorrow at ten" of "can you call me back tomorrow at ten?"; "later" where no time was named.
fn time_phrase(text: &str) -> String {
    const CUES: &[&str] = &[
        "tomorrow",
        "tonight",
        "in an hour",
        "in half",
        "in a",
        "in one",
        "in two",
        "in three",
        "next",
        "on monday",
        "on tuesday",
        "on wednesday",
        "on thursday",
        "on friday",
        "on saturday",
        "on sunday",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "this evening",
        "this afternoon",
        "after",
        "later",
        "at noon",
        "at one",
        "at two",
        "at three",
        "at four",
        "at five",
        "at six",
        "at ten",
        "at eleven",
    ];
    let tail = ["call", "ring", "try"]
        .iter()
        .filter_map(|c| dates::place(text, c))
        .min()
        .map_or(text, |at| &text[at..]);
    let at = CUES.iter().filter_map(|c| dates::place(tail, c)).min();
    let phrase = at.map_or("later", |at| tail[at..].split(['.', '?', '!', ',']).next().unwrap_or("later"));
    phrase.trim().trim_end_matches(" please").to_owned()
}

fn about(topic: Topic, ctx: &Context, answer: &str, text: &str, (yes, no): (bool, bool)) -> Vec<Fact> {
    let known: Vec<String> = ctx.jobs.iter().filter_map(|j| j.company.clone()).collect();
    let mut found = jobs::find(answer, &known, Some(topic));
    match topic {
        Topic::Current => {
            if says(
                text,
                &[
                    "not working",
                    "out of work",
                    "don't have a job",
                    "unemployed",
                    "between jobs",
                    "no job",
                    "retired",
                    "not employed",
                ],
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
                        &[
                            "nothing",
                            "first job",
                            "first one",
                            "none",
                            "in school",
                            "at school",
                            "was a kid",
                            "never worked",
                            "no other",
                            "that's all",
                            "that's it",
                            "that was it",
                            "nope",
                        ],
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

/// What fills a gap, by its words.
pub(crate) fn gap_kind(text: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &[&str])] = &[
        (
            "caring",
            &[
                "looking after",
                "took care",
                "taking care",
                "caring for",
                "cared for",
                "stayed home with",
                "stay at home",
                "my kids",
                "the kids",
                "raising",
                "my children",
                "the children",
                "had a baby",
                "maternity",
                "caregiver",
                "nursing my",
            ],
        ),
        (
            "prison",
            &[
                "prison",
                "jail",
                "locked up",
                "incarcerated",
                "doing time",
                "did time",
                "behind bars",
                "serving a sentence",
                "served time",
                "inside",
            ],
        ),
        (
            "school",
            &[
                "school",
                "studying",
                "studied",
                "college",
                "university",
                "classes",
                "training",
                "degree",
                "student",
                "course",
            ],
        ),
        (
            "abroad",
            &[
                "abroad",
                "overseas",
                "out of the country",
                "another country",
                "foreign country",
                "back in mexico",
                "in europe",
            ],
        ),
        (
            "illness",
            &[
                "sick",
                "ill",
                "illness",
                "surgery",
                "health",
                "hospital",
                "disability",
                "injured",
                "injury",
                "got hurt",
                "recovering",
                "cancer",
                "depression",
                "rehab",
                "accident",
            ],
        ),
        ("retired", &["retired", "retirement"]),
        (
            "unemployment",
            &[
                "unemployed",
                "unemployment",
                "looking for work",
                "looking for a job",
                "laid off",
                "out of work",
                "between jobs",
                "couldn't find",
                "could not find",
                "no work",
                "nobody was hiring",
                "job hunting",
                "not working",
            ],
        ),
    ];
    KINDS.iter().find(|(_, cues)| says(text, cues)).map(|(kind, _)| *kind)
}

fn skills(answer: &str, text: &str, no: bool) -> Vec<Fact> {
    if evades(text) {
        return vec![];
    }
    if no || says(text, &["none", "nothing", "no skills", "not really"]) {
        return vec![Fact::Skills(vec![])];
    }
    let mut rest = answer.trim().trim_end_matches(['.', '!']);
    for lead in [
        "let me think.",
        "well,",
        "um,",
        "oh,",
        "sure.",
        "okay.",
        "i'm pretty good at",
        "i'm good at",
        "i am good at",
        "i'm good with",
        "i'd say",
        "i know how to do",
        "i know",
        "i can do",
        "i can",
        "i have",
        "mostly",
        "mainly",
        "i do",
        "my skills are",
        "i speak",
        "things like",
        "probably",
    ] {
        if rest.get(..lead.len()).is_some_and(|head| head.eq_ignore_ascii_case(lead)) {
            rest = rest[lead.len()..].trim_start();
        }
    }
    let replaced = rest.replace(" and ", ",").replace(" & ", ",").replace(';', ",");
    let list: Vec<String> = replaced
        .split(',')
        .map(|s| {
            s.trim().trim_start_matches("and ").trim_start_matches("also ").trim_end_matches('.').to_owned()
        })
        .filter(|s| !s.is_empty() && dates::words(s).len() <= 5)
        .collect();
    if list.is_empty() { vec![] } else { vec![Fact::Skills(list)] }
}

fn education(answer: &str, text: &str) -> Vec<Fact> {
    let words = dates::words(answer);
    let found = dates::find(answer);
    let marks = ["School", "College", "University", "Institute", "Academy", "High"];
    let mut institution = None;
    let mut i = 0;
    while i < words.len() {
        if words[i].text.starts_with(char::is_uppercase) && !matches!(words[i].text, "I" | "I've" | "GED") {
            let last = jobs::run(answer, &words, i, &found);
            let name = &answer[words[i].from..words[last].to];
            if marks.iter().any(|m| name.contains(m)) {
                institution = Some(name.to_owned());
            }
            i = last;
        }
        i += 1;
    }
    const DEGREES: &[&str] = &[
        "high school diploma",
        "diploma",
        "ged",
        "associate degree",
        "associate's degree",
        "bachelor's degree",
        "bachelor degree",
        "bachelor's",
        "master's degree",
        "master's",
        "welding certificate",
        "certificate",
        "degree",
    ];
    let degree = DEGREES.iter().find(|d| dates::place(text, d).is_some()).map(|d| (*d).to_owned());
    if institution.is_none() && degree.is_none() {
        return vec![];
    }
    vec![Fact::Education { institution, degree, year: found.last().map(|f| f.date.year) }]
}

fn correction(
    topic: Topic,
    answer: &str,
    text: &str,
    found: Vec<Patch>,
    (yes, no): (bool, bool),
) -> Vec<Fact> {
    let mut out = Vec::new();
    let wrong = no || says(text, &["not quite", "not right", "wrong", "incorrect", "missing", "actually"]);
    if topic == Topic::ReadBack && !wrong {
        return if yes
            || says(text, &["correct", "exactly", "right", "perfect", "whatever", "i think so", "guess so"])
        {
            vec![Fact::ReadBack(true)]
        } else {
            vec![]
        };
    }
    if topic == Topic::ReadBack {
        out.push(Fact::ReadBack(false));
    } else if no && found.is_empty() || says(text, &["nothing", "it's fine", "all good"]) {
        return vec![Fact::ReadBack(true)];
    }
    if says(text, &["never worked", "didn't work", "did not work", "not worked"]) {
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

/// A name behind "my name is" and the like; where it was asked for, also a bare one.
fn name(answer: &str, text: &str, asked: bool) -> Option<String> {
    if evades(text) {
        return None;
    }
    let sure = ["my name is", "name's", "my name's", "the name is"];
    let likely = ["this is", "it's", "it is", "i'm", "i am", "speaking to", "yes,", "that's"];
    let cue = sure.iter().find_map(|c| dates::place(text, c).map(|at| at + c.len()));
    let cue = cue.or_else(|| {
        asked.then(|| likely.iter().find_map(|c| dates::place(text, c).map(|at| at + c.len()))).flatten()
    });
    let start = cue.or(asked.then_some(0))?;
    let tail = answer.get(start..)?;
    let words = dates::words(tail);
    let skip = words
        .iter()
        .take_while(|w| {
            matches!(
                dates::lower(w.text).as_str(),
                "sure"
                    | "okay"
                    | "well"
                    | "um"
                    | "oh"
                    | "yes"
                    | "yeah"
                    | "let"
                    | "me"
                    | "think"
                    | "the"
                    | "it's"
                    | "i'm"
                    | "is"
                    | "my"
                    | "name"
            )
        })
        .count();
    let mut out: Vec<String> = Vec::new();
    for (n, word) in words[skip..].iter().enumerate() {
        let glued = n == 0 || tail[words[skip + n - 1].to..word.from].trim().is_empty();
        let stop = matches!(
            dates::lower(word.text).as_str(),
            "speaking"
                | "and"
                | "i"
                | "i'm"
                | "here"
                | "a"
                | "an"
                | "not"
                | "no"
                | "at"
                | "from"
                | "i've"
                | "the"
                | "right"
                | "these"
        );
        if !glued || stop || out.len() == 4 || !word.text.starts_with(char::is_alphabetic) {
            break;
        }
        out.push(jobs::capital(word.text));
    }
    let capitals = words[skip..].iter().take(out.len()).all(|w| w.text.starts_with(char::is_uppercase));
    let plausible = !out.is_empty()
        && (capitals
            || cue.is_some_and(|_| sure.iter().any(|c| text.contains(c)))
            || (asked && words.len() <= 4 && !affirms(text) && !denies(text)));
    plausible.then(|| out.join(" "))
}

/// Yes, in any of its words. "No problem" is one.
pub(crate) fn affirms(text: &str) -> bool {
    says(
        text,
        &[
            "yes",
            "yeah",
            "yep",
            "yup",
            "sure",
            "ok",
            "okay",
            "fine",
            "go ahead",
            "all right",
            "alright",
            "of course",
            "no problem",
            "why not",
            "i guess so",
            "i guess",
            "absolutely",
            "certainly",
            "go on",
            "works for me",
            "please do",
            "uh-huh",
            "i agree",
            "make it quick",
            "that's right",
            "correct",
            "exactly",
            "right",
        ],
    ) && !denies(text)
}

/// No, in any of its words.
pub(crate) fn denies(text: &str) -> bool {
    let text = text
        .replace("no problem", "")
        .replace("no worries", "")
        .replace("why not", "")
        .replace("not at all", "")
        .replace("don't mind", "");
    says(
        &text,
        &[
            "no",
            "nope",
            "nah",
            "not interested",
            "leave me alone",
            "i don't want",
            "don't want",
            "no way",
            "get lost",
            "go away",
            "absolutely not",
            "i refuse",
            "not really",
        ],
    )
}

/// Avoids the question.
pub(crate) fn evades(text: &str) -> bool {
    says(
        text,
        &[
            "why do you need",
            "why do you want",
            "why do you ask",
            "none of your business",
            "mind your own",
            "i don't know",
            "don't remember",
            "can't remember",
            "rather not",
            "not telling",
            "that's personal",
            "bit personal",
            "too personal",
            "don't want to say",
            "what's it to you",
            "does that matter",
            "does it matter",
            "why should i",
            "real job",
            "stupid",
            "idiots",
            "what do you mean",
            "don't understand",
            "get lost",
            "leave me alone",
        ],
    )
}
