//! Finding jobs in free speech: company, title and dates, from the words alone.

use super::dates::{self, Date, Found, one_of, says};
use super::names::company;
use super::question::Topic;
use super::titles::title;

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

const START_CUES: &str = "since|from|started|start|began|begin|joined|join|hired|starting|beginning|came";
const END_CUES: &str = "to|until|till|through|left|leave|ended|end|quit|stopped|finished|finish|fired|off|\
        thru|retired|closed|over";
const STILL: &str = "still there|until now|till now|up to now|to now|until today|to this day|still work|\
        still working|still am|to the present|at present|these days|right now|currently|\
        at the moment|i've been|i have been|been there since|haven't left|still";

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
    const FILLERS: &str =
        "okay|ok|sure|oh|well|um|uh|let|me|think|see|yes|yeah|yep|no|so|hmm|right|alright|all|and|now";
    let mut out = Vec::new();
    for sentence in dates::sentences(answer) {
        let words = dates::words(sentence);
        if words.iter().all(|w| one_of(&dates::lower(w.text), FILLERS)) {
            continue;
        }
        // "Well, forklift operator" begins with what follows the comma.
        let lead = words
            .iter()
            .take_while(|w| {
                matches!(dates::lower(w.text).as_str(), "well" | "um" | "oh" | "uh" | "okay" | "so")
            })
            .count();
        let sentence = words.get(lead).map_or(sentence, |w| &sentence[w.from..]);
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

/// Which of the dates is the beginning and which the end.
fn when(lower: &str, found: &[Found], topic: Option<Topic>, patch: &mut Patch) {
    let mut from = 0;
    let mut loose = Vec::new();
    let between = dates::place(lower, "between").is_some() && found.len() >= 2;
    for (n, found) in found.iter().enumerate() {
        // Byte places of the lower-cased text equal those of the text for all that is said here; where not, no cue is found.
        let before = lower.get(from..found.from).unwrap_or("");
        from = found.to;
        let last = |cues: &str| dates::words(before).iter().rposition(|w| one_of(w.text, cues));
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
