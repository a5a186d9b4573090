//! Finding jobs in free speech: company, title and dates, from the words alone.

use super::dates::{self, Date, Found, Word, says};
use super::question::Topic;

/// What an utterance says of one job; what was not said is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) company: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) start: Option<Date>,
    pub(crate) end: Option<Date>,
    pub(crate) current: Option<bool>,
}

impl Patch {
    /// Nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes from `other` what is missing here.
    pub(crate) fn complete(&mut self, other: Self) {
        self.company = self.company.take().or(other.company);
        self.title = self.title.take().or(other.title);
        self.start = self.start.or(other.start);
        self.end = self.end.or(other.end);
        self.current = self.current.or(other.current);
    }
}

/// Words that end a job title.
const STOPS: &[&str] = &[
    "at",
    "for",
    "with",
    "in",
    "from",
    "since",
    "until",
    "till",
    "to",
    "between",
    "by",
    "there",
    "then",
    "when",
    "but",
    "who",
    "which",
    "on",
    "back",
    "still",
    "right",
    "now",
    "and",
    "through",
    "they",
    "i",
    "i'm",
    "i've",
    "we",
    "because",
    "before",
    "after",
    "during",
    "over",
    "under",
    "where",
    "that",
    "part-time",
    "full-time",
    "started",
    "so",
    "up",
];

/// Words that show that a phrase is a clause and no title.
const CLAUSE: &[&str] = &[
    "i", "i'm", "i've", "i'd", "was", "am", "is", "are", "were", "worked", "work", "working", "been", "had",
    "have", "my", "that", "it", "it's", "they", "we", "started", "joined", "left", "no", "yes", "yeah",
    "not", "never", "before", "job", "don't", "can't", "what", "why", "you", "me", "nothing", "none", "same",
    "one", "still", "looking", "then", "there",
];

/// Capitalised words that begin a sentence or are no name.
const NO_NAME: &[&str] = &[
    "i",
    "i'm",
    "i've",
    "i'd",
    "before",
    "after",
    "from",
    "that",
    "that's",
    "well",
    "right",
    "these",
    "my",
    "then",
    "since",
    "currently",
    "now",
    "at",
    "it",
    "it's",
    "the",
    "yes",
    "no",
    "yeah",
    "sure",
    "ok",
    "okay",
    "oh",
    "um",
    "uh",
    "so",
    "we",
    "they",
    "he",
    "she",
    "and",
    "but",
    "just",
    "until",
    "in",
    "between",
    "prior",
    "first",
    "last",
    "previously",
    "also",
    "hmm",
    "mostly",
    "nothing",
    "none",
    "not",
    "let",
    "with",
    "for",
    "of",
    "maybe",
    "probably",
    "back",
    "working",
    "been",
    "to",
    "as",
    "there",
    "this",
    "a",
    "an",
    "actually",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "still",
    "was",
    "started",
    "joined",
    "left",
    "what",
    "why",
    "who",
    "when",
    "where",
    "because",
    "my",
    "our",
    "one",
    "two",
    "both",
    "currently",
    "at",
    "god",
    "mr",
    "mrs",
    "during",
    "around",
    "about",
];

const START_CUES: &[&str] = &[
    "since",
    "from",
    "started",
    "start",
    "began",
    "begin",
    "joined",
    "join",
    "hired",
    "starting",
    "beginning",
    "came",
];
const END_CUES: &[&str] = &[
    "to", "until", "till", "through", "left", "leave", "ended", "end", "quit", "stopped", "finished",
    "finish", "fired", "off", "thru", "retired", "closed", "over",
];
const STILL: &[&str] = &[
    "still there",
    "until now",
    "till now",
    "up to now",
    "to now",
    "until today",
    "to this day",
    "still work",
    "still working",
    "still am",
    "to the present",
    "at present",
    "these days",
    "right now",
    "currently",
    "at the moment",
    "i've been",
    "i have been",
    "been there since",
    "haven't left",
    "still",
];

/// The jobs of an answer, in the order told. `known`: companies heard of before, found in any spelling. `topic`: what was asked.
pub(crate) fn find(answer: &str, known: &[String], topic: Option<Topic>) -> Vec<Patch> {
    let mut out: Vec<Patch> = Vec::new();
    for segment in segments(answer) {
        let patch = segment_patch(segment, known, topic);
        if patch.is_empty() {
            continue;
        }
        match out.last_mut() {
            Some(last)
                if patch.company.is_none() || last.company.is_none() || last.company == patch.company =>
            {
                last.complete(patch);
            }
            _ => out.push(patch),
        }
    }
    for patch in &mut out {
        if patch.end.is_some() {
            patch.current = Some(false);
        }
    }
    out
}

/// Sentences, cut again where somebody goes on to another job.
fn segments(answer: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for sentence in dates::sentences(answer) {
        let lower = sentence.to_ascii_lowercase();
        let cut = [
            ", and i also",
            " and i also",
            " and also",
            ", before that",
            " and before that",
            ", and then i",
            " and then i",
        ]
        .iter()
        .filter_map(|c| lower.find(c))
        .filter(|&at| at > 8)
        .min();
        match cut {
            Some(at) => out.extend([&sentence[..at], &sentence[at..]]),
            None => out.push(sentence),
        }
    }
    out
}

fn segment_patch(text: &str, known: &[String], topic: Option<Topic>) -> Patch {
    let words = dates::words(text);
    let found = dates::find(text);
    let lower = dates::lower(text);
    let name = company(text, &words, &found, known, topic);
    let mut patch = Patch { title: title(text, &words, &found, name.as_ref(), topic), ..Patch::default() };
    patch.company = name.map(|n| n.name);
    when(&lower, &found, topic, &mut patch);
    if patch.end.is_none() && says(&lower, STILL) {
        patch.current = Some(true);
    }
    patch
}

/// A company's name and the words it takes.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    first: usize,
    last: usize,
    /// A word before it says that a company follows.
    cued: bool,
}

fn company(
    text: &str,
    words: &[Word<'_>],
    found: &[Found],
    known: &[String],
    topic: Option<Topic>,
) -> Option<Named> {
    let plain = |t: &str| dates::lower(t).replace('&', "and");
    let mut best: Option<Named> = None;
    let mut i = 0;
    while i < words.len() {
        if !is_name(words, i, found) {
            i += 1;
            continue;
        }
        let last = run(text, words, i, found);
        let before = i.checked_sub(1).map(|p| dates::lower(words[p].text));
        let cued = before.as_deref().is_some_and(|b| {
            matches!(
                b,
                "at" | "for"
                    | "with"
                    | "joined"
                    | "by"
                    | "called"
                    | "was"
                    | "it's"
                    | "that's"
                    | "left"
                    | "named"
                    | "is"
                    | "company"
                    | "employer"
                    | "quit"
            )
        });
        let place = before.as_deref() == Some("in");
        let single = i == last;
        let begins = i == 0 || text[..words[i].from].trim_end().ends_with(['.', ':', ',', '!', '—', '-']);
        let followed = words.get(last + 1).is_some_and(|w| text[words[last].to..w.from].trim().is_empty());
        // "Cashier." and "Forklift operator" begin with a capital and are no company.
        let sentence_case = begins && !cued && single && (followed || topic != Some(Topic::Company));
        if !place && !sentence_case && (cued || begins || topic == Some(Topic::Company)) {
            let name = text[words[i].from..words[last].to].to_owned();
            let named = Named { name, first: i, last, cued };
            if best.as_ref().is_none_or(|b| !b.cued && cued) {
                best = Some(named);
            }
        }
        i = last + 1;
    }
    let said = plain(text);
    if let Some(best) = best.as_mut() {
        if let Some(k) = known.iter().find(|k| plain(k) == plain(&best.name)) {
            best.name.clone_from(k);
        }
        return Some(best.clone());
    }
    // Not written as a name: one known before, in any spelling; or behind "at", where nothing is capitalised at all.
    if let Some(k) = known.iter().find(|k| dates::place(&said, &plain(k)).is_some()) {
        return Some(Named { name: k.clone(), first: usize::MAX, last: usize::MAX, cued: true });
    }
    let shouting = words
        .iter()
        .any(|w| w.text.starts_with(char::is_uppercase) && !w.text.starts_with('I') && w.from > 0);
    if shouting {
        return None;
    }
    let cue = words.iter().position(|w| matches!(w.text, "at" | "for" | "with"))?;
    let last = (cue + 1..words.len().min(cue + 5))
        .take_while(|&j| {
            let glued = text[words[j - 1].to..words[j].from].trim().is_empty();
            glued
                && !STOPS.contains(&words[j].text)
                && !found.iter().any(|d| d.from <= words[j].from && words[j].to <= d.to)
                && words[j].text != "as"
        })
        .last()?;
    let first = dates::lower(words[cue + 1].text);
    if matches!(
        first.as_str(),
        "a" | "an"
            | "the"
            | "my"
            | "all"
            | "least"
            | "that"
            | "home"
            | "work"
            | "school"
            | "some"
            | "me"
            | "you"
            | "many"
            | "about"
            | "his"
            | "her"
    ) {
        return None;
    }
    let name: Vec<String> = words[cue + 1..=last].iter().map(|w| capital(w.text)).collect();
    Some(Named { name: name.join(" "), first: cue + 1, last, cued: true })
}

fn is_name(words: &[Word<'_>], i: usize, found: &[Found]) -> bool {
    let word = words[i];
    word.text.starts_with(char::is_uppercase)
        && !NO_NAME.contains(&dates::lower(word.text).as_str())
        && !found.iter().any(|d| d.from <= word.from && word.to <= d.to)
        && (dates::month_number(word.text).is_none() || words.get(i + 1).is_some_and(|w| w.text == "&"))
}

/// Nothing but a space between, or the point of "St."
fn glued(text: &str, a: Word<'_>, b: Word<'_>) -> bool {
    let between = text[a.to..b.from].trim();
    between.is_empty() || (between == "." && matches!(a.text, "St" | "Mt" | "Dr" | "Ft"))
}

/// The last word of the name that begins at `i`.
pub(crate) fn run(text: &str, words: &[Word<'_>], i: usize, found: &[Found]) -> usize {
    let mut last = i;
    let mut j = i + 1;
    while j < words.len() && glued(text, words[j - 1], words[j]) {
        let link = matches!(words[j].text, "&" | "and" | "of" | "de" | "the");
        if link {
            let next =
                (j + 1 < words.len() && matches!(words[j + 1].text, "the")).then_some(j + 2).unwrap_or(j + 1);
            let glued = next < words.len()
                && text[words[j].to..words[next].from].trim().chars().all(|c| c.is_alphabetic());
            if !(glued && is_name(words, next, found)) {
                break;
            }
            last = next;
        } else if is_name(words, j, found)
            || words[j].text.starts_with(|c: char| c.is_ascii_uppercase())
                && words[j].text.len() > 1
                && !NO_NAME.contains(&dates::lower(words[j].text).as_str())
        {
            last = j;
        } else {
            break;
        }
        j = last + 1;
    }
    last
}

fn title(
    text: &str,
    words: &[Word<'_>],
    found: &[Found],
    company: Option<&Named>,
    topic: Option<Topic>,
) -> Option<String> {
    const CUES: &[&str] = &[
        "as an",
        "as a",
        "as the",
        "as their",
        "title was",
        "title is",
        "position was",
        "position is",
        "role was",
        "role is",
        "job is",
        "job was",
        "job before was",
        "i'm a",
        "i'm an",
        "i am a",
        "i am an",
        "was a",
        "was an",
        "was the",
        "was their",
        "i'm their",
        "i'm the",
        "been a",
        "been an",
        "been the",
        "be a",
        "be an",
        "being a",
        "being an",
        "hired as",
        "worked as",
        "work as",
        "working as",
        "started as",
        "as",
        "am the",
        "became a",
        "became an",
        "became the",
    ];
    let lower = dates::lower(text);
    let of = |from: usize| phrase(text, words, found, company, from);
    // The longest cue wins where several begin at the same word.
    let mut cues: Vec<(usize, usize)> =
        CUES.iter().filter_map(|c| dates::place(&lower, c).map(|at| (at, at + c.len()))).collect();
    cues.sort_by_key(|&(at, to)| (at, std::cmp::Reverse(to)));
    for (_, to) in cues {
        let next = words.iter().position(|w| w.from >= to)?;
        let article = matches!(words[next].text, "a" | "an" | "the" | "their");
        let next = if article { next + 1 } else { next };
        if let Some(title) = of(next) {
            return Some(title);
        }
    }
    // "forklift operator at Harbor", "Harbor, forklift operator"
    if let Some(c) = company.filter(|c| c.first != usize::MAX) {
        if c.cued && c.first >= 2 && clean(&words[..c.first - 1]) {
            return Some(joined(&words[..c.first - 1]));
        }
        let rest = words.get(c.last + 1..)?;
        let apart =
            rest.first().is_some_and(|w| text[words[c.last].to..w.from].contains([',', '—', '-', ':']));
        if apart {
            return of(c.last + 1).filter(|t| clean(&dates::words(t)));
        }
        return None;
    }
    let whole = found.is_empty()
        && clean(words)
        && matches!(topic, Some(Topic::Title | Topic::Current | Topic::Previous));
    (whole && (topic == Some(Topic::Title) || looks_like_title(words))).then(|| joined(words))
}

/// The words of a title from word `i` on.
fn phrase(
    text: &str,
    words: &[Word<'_>],
    found: &[Found],
    company: Option<&Named>,
    i: usize,
) -> Option<String> {
    let mut last = None;
    for j in i..words.len().min(i + 6) {
        let glued = j == i || text[words[j - 1].to..words[j].from].trim().is_empty();
        let lower = dates::lower(words[j].text);
        let dated = found.iter().any(|d| d.from <= words[j].from && words[j].to <= d.to);
        let named = company.is_some_and(|c| (c.first..=c.last).contains(&j));
        if !glued || dated || named || STOPS.contains(&lower.as_str()) {
            break;
        }
        last = Some(j);
    }
    let slice = words.get(i..=last?)?;
    let first = dates::lower(slice[0].text);
    let no_title = [
        "job", "long", "lot", "bit", "while", "year", "good", "bad", "time", "part", "few", "well", "kid",
        "child", "my", "it", "that", "soon", "far", "i", "one", "i've", "missing",
    ];
    (!no_title.contains(&first.as_str()) && clean(slice)).then(|| joined(slice))
}

fn clean(words: &[Word<'_>]) -> bool {
    (1..=5).contains(&words.len())
        && words.iter().all(|w| {
            !CLAUSE.contains(&dates::lower(w.text).as_str())
                && !STOPS.contains(&dates::lower(w.text).as_str())
        })
}

/// The last word names a person who does something.
fn looks_like_title(words: &[Word<'_>]) -> bool {
    const NOUNS: &[&str] = &[
        "clerk",
        "nurse",
        "aide",
        "cook",
        "guard",
        "assistant",
        "associate",
        "representative",
        "chef",
        "mechanic",
        "lead",
        "agent",
        "staff",
        "helper",
        "hand",
        "rep",
        "intern",
        "temp",
        "electrician",
        "technician",
        "dispatcher",
        "specialist",
        "foreman",
        "analyst",
        "accountant",
        "consultant",
    ];
    words.last().is_some_and(|w| {
        let w = dates::lower(w.text);
        NOUNS.contains(&w.as_str())
            || (w.len() > 4 && ["er", "or", "ist", "ian", "man", "ant"].iter().any(|s| w.ends_with(s)))
    })
}

fn joined(words: &[Word<'_>]) -> String {
    let all: Vec<&str> = words.iter().map(|w| w.text).collect();
    let text = all.join(" ");
    let keep = all.first().is_some_and(|w| w.chars().skip(1).any(char::is_uppercase));
    if keep {
        return text;
    }
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Which of the dates is the beginning and which the end.
fn when(lower: &str, found: &[Found], topic: Option<Topic>, patch: &mut Patch) {
    let mut from = 0;
    let mut loose = Vec::new();
    let between = dates::place(lower, "between").is_some() && found.len() >= 2;
    for (n, found) in found.iter().enumerate() {
        // Byte places of the lower-cased text equal those of the text for all that is said here; where not, no cue is found.
        let before = lower.get(from..found.from).unwrap_or("");
        from = found.to;
        let last = |cues: &[&str]| dates::words(before).iter().rposition(|w| cues.contains(&w.text));
        let (start, end) = (last(START_CUES), last(END_CUES));
        let dash = n > 0 && before.trim().len() <= 3 && before.contains(['-', '–', '—']);
        if between && n < 2 {
            if n == 0 { patch.start = Some(found.date) } else { patch.end = Some(found.date) }
        } else if dash || end > start {
            patch.end = patch.end.or(Some(found.date));
        } else if start.is_some() {
            patch.start = patch.start.or(Some(found.date));
        } else {
            loose.push(found.date);
        }
    }
    match (loose.as_slice(), topic) {
        ([one], Some(Topic::End)) if patch.end.is_none() => patch.end = Some(*one),
        ([one], Some(Topic::Start | Topic::Dates)) if patch.start.is_none() => patch.start = Some(*one),
        ([one], _) if patch.start.is_none() && patch.end.is_some() => patch.start = Some(*one),
        ([one], _) if patch.end.is_none() && patch.start.is_some() => patch.end = Some(*one),
        ([one, two, ..], _) if patch.start.is_none() && patch.end.is_none() => {
            patch.start = Some(*one);
            patch.end = Some(*two);
        }
        _ => {}
    }
}

/// With a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(said: &str, topic: Topic) -> String {
        let patches = find(said, &[], Some(topic));
        let line = |p: &Patch| {
            let date = |d: Option<Date>| d.map_or("-".to_owned(), |d| d.to_string());
            format!(
                "{} | {} | {} | {} | {}",
                p.company.as_deref().unwrap_or("-"),
                p.title.as_deref().unwrap_or("-"),
                date(p.start),
                date(p.end),
                p.current.map_or("-".to_owned(), |c| c.to_string())
            )
        };
        patches.iter().map(line).collect::<Vec<_>>().join(" // ")
    }

    #[test]
    fn other_peoples_wordings() {
        use Topic::*;
        let cases: &[(&str, Topic, &str)] = &[
            (
                "I'm a nurse at St. Mary's Hospital since May 2019.",
                Current,
                "St. Mary's Hospital | nurse | 2019-05 | - | -",
            ),
            (
                "i work at delta freight as a truck driver since 2015",
                Current,
                "Delta Freight | truck driver | 2015 | - | -",
            ),
            (
                "Forklift operator at Harbor & Sons.",
                Previous,
                "Harbor & Sons | forklift operator | - | - | -",
            ),
            ("Harbor and Sons Logistics.", Previous, "Harbor and Sons Logistics | - | - | - | -"),
            ("Cashier.", Previous, "- | cashier | - | - | -"),
            (
                "Before that I was at Bank of Mobile, as a teller, 2010 to 2012.",
                Previous,
                "Bank of Mobile | teller | 2010 | 2012 | false",
            ),
            (
                "I drove for Uber from 03/2016 until 04/2017.",
                Previous,
                "Uber | - | 2016-03 | 2017-04 | false",
            ),
            ("March 2015.", Start, "- | - | 2015-03 | - | -"),
            ("I left in May 2016.", End, "- | - | - | 2016-05 | false"),
            ("I'm still there.", End, "- | - | - | - | true"),
            ("No, I left Harbor Foods in May 2016.", ReadBack, "Harbor Foods | - | - | 2016-05 | false"),
            ("No, at Harbor Foods I started in April 2015.", ReadBack, "Harbor Foods | - | 2015-04 | - | -"),
            ("That was my first job.", Previous, ""),
            (
                "Before that I had a job as a cook with Blue Ridge Foods, that went from June 2001 through July 2003.",
                Previous,
                "Blue Ridge Foods | cook | 2001-06 | 2003-07 | false",
            ),
        ];
        for (said, topic, want) in cases {
            assert_eq!(one(said, *topic), *want, "{said}");
        }
    }

    #[test]
    fn two_jobs_in_one_breath() {
        let said = "I've got two jobs, actually. I'm a cook at Sunrise Bakery, I've been there since May 2019. And on the side: I work for Delta Freight as a dispatcher, started back in 06/2020 and I'm still there.";
        assert_eq!(
            one(said, Topic::Current),
            "Sunrise Bakery | cook | 2019-05 | - | true // Delta Freight | dispatcher | 2020-06 | - | true"
        );
    }
}
