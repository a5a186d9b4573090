//! What else an answer tells: a name, skills, schooling.

use super::cues::{affirms, denies, evades};
use super::dates::{self, one_of, says};
use super::jobs;
use super::listen::Fact;
use super::names;

/// A name behind "my name is" and the like; where it was asked for, also a bare one.
pub(crate) fn name(answer: &str, text: &str, asked: bool) -> Option<String> {
    const SURE: &str = "my name is|name's|my name's|the name is";
    const LIKELY: &str = "this is|it's|it is|i'm|i am|that's";
    if evades(text) {
        return None;
    }
    let behind =
        |cues: &str| cues.split('|').filter_map(|c| dates::place(text, c).map(|at| at + c.len())).min();
    if let Some(at) = behind(SURE) {
        return spelled(answer.get(at..)?, false);
    }
    if !asked {
        return None;
    }
    // A sentence that is a name and nothing else, then the first cue that a name in capitals follows.
    let bare = dates::sentences(answer).into_iter().filter(|s| (1..=4).contains(&dates::words(s).len()));
    let alone = bare.filter(|s| !affirms(&dates::lower(s)) && !denies(&dates::lower(s))).find_map(|s| {
        let name = spelled(s, true)?;
        (dates::words(s).len() - name.split(' ').count() <= 1 && name.contains(' ')).then_some(name)
    });
    let cued = || {
        let mut places: Vec<usize> =
            LIKELY.split('|').flat_map(|c| text.match_indices(c).map(move |(at, _)| at + c.len())).collect();
        places.sort_unstable();
        places.into_iter().find_map(|at| spelled(answer.get(at..)?, true))
    };
    let short = || {
        (dates::words(answer).len() <= 3 && !affirms(text) && !denies(text))
            .then(|| spelled(answer, false))
            .flatten()
    };
    alone.or_else(cued).or_else(short)
}

/// The name that `tail` begins with; `capitals`: only where it is written as one.
fn spelled(tail: &str, capitals: bool) -> Option<String> {
    const SKIP: &str = "sure|okay|well|um|oh|yes|yeah|let|me|think|the|it's|i'm|is|my|name|this|that's";
    const STOP: &str = "speaking|and|i|i'm|here|a|an|not|no|at|from|i've|the|right|these|still|working|with|retired|was|as|there|for|by|to|on|in|out|good|doing|it";
    let words = dates::words(tail);
    let skip = words.iter().take_while(|w| one_of(&dates::lower(w.text), SKIP)).count();
    let mut out: Vec<String> = Vec::new();
    for (n, word) in words[skip..].iter().enumerate() {
        let glued = n == 0 || tail[words[skip + n - 1].to..word.from].trim().is_empty();
        let upper = word.text.starts_with(char::is_uppercase);
        let alphabetic = word.text.starts_with(char::is_alphabetic);
        if !glued
            || one_of(&dates::lower(word.text), STOP)
            || out.len() == 4
            || !alphabetic
            || (capitals && !upper)
        {
            break;
        }
        out.push(jobs::capital(word.text));
    }
    (!out.is_empty()).then(|| out.join(" "))
}

/// The skills of a list.
pub(crate) fn skills(answer: &str, text: &str, no: bool) -> Vec<Fact> {
    if evades(text) {
        return vec![];
    }
    if no || says(text, "none|nothing|no skills|not really") {
        return vec![Fact::Skills(vec![])];
    }
    let mut rest = answer.trim().trim_end_matches(['.', '!']);
    const LEADS: &str = "let me think.|well,|um,|oh,|sure.|okay.|i'm pretty good at|i'm good at|i am good at|i'm good with|i'd say|\
                         i know how to do|i know|i can do|i can|i have|mostly|mainly|i do|my skills are|i speak|things like|probably";
    for lead in LEADS.split('|') {
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

/// A school or degree.
pub(crate) fn education(answer: &str, text: &str) -> Vec<Fact> {
    let words = dates::words(answer);
    let found = dates::find(answer);
    let marks = ["School", "College", "University", "Institute", "Academy", "High"];
    let mut institution = None;
    let mut i = 0;
    while i < words.len() {
        if words[i].text.starts_with(char::is_uppercase) && !matches!(words[i].text, "I" | "I've" | "GED") {
            let last = names::run(answer, &words, i, &found);
            let name = &answer[words[i].from..words[last].to];
            if marks.iter().any(|m| name.contains(m)) {
                institution = Some(name.to_owned());
            }
            i = last;
        }
        i += 1;
    }
    const DEGREES: &str = "high school diploma|diploma|ged|associate degree|associate's degree|\
        bachelor's degree|bachelor degree|bachelor's|master's degree|master's|\
        welding certificate|certificate|degree";
    let degree = DEGREES.split('|').find(|d| dates::place(text, d).is_some()).map(str::to_owned);
    if institution.is_none() && degree.is_none() {
        return vec![];
    }
    vec![Fact::Education { institution, degree, year: found.last().map(|f| f.date.year) }]
}
