//! Words and patterns of words. A word counts as a word: "nonstop" holds no "stop".
//!
//! A pattern is a list of places separated by spaces. A place is a word or alternatives (`stop|quit`); a trailing `?`
//! makes it optional; `*` stands for up to three words of any kind; `^` and `$` for the start and the end of a clause.

/// One place of a pattern.
#[derive(Debug)]
enum Place {
    /// `^`
    Start,
    /// `$`
    End,
    /// `*`
    Any,
    /// One of these words; `optional` (`?`) or, where `end` stands among them (`|$`), the end of the clause instead.
    Word { words: Vec<&'static str>, optional: bool, end: bool },
}

/// A pattern, read once. Most patterns of a long list are told from an utterance by a few bits: what has no word in it
/// for one of their places cannot match.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// As it was written.
    pub(crate) text: &'static str,
    places: Vec<Place>,
    /// For each place that takes a word in any case, the traces of its alternatives.
    needs: Vec<u128>,
}

impl Pattern {
    /// Reads a list.
    pub(crate) fn list(texts: &[&'static str]) -> Vec<Self> {
        texts.iter().map(|text| Self::read(text)).collect()
    }

    fn read(text: &'static str) -> Self {
        let places: Vec<Place> = text.split(' ').map(Place::read).collect();
        let needs = places.iter().filter_map(Place::traces).collect();
        Self { text, places, needs }
    }

    /// May it match where these traces are all there is?
    fn possible(&self, traces: u128) -> bool {
        self.needs.iter().all(|need| need & traces != 0)
    }
}

impl Place {
    fn read(text: &'static str) -> Self {
        match text {
            "^" => Self::Start,
            "$" => Self::End,
            "*" => Self::Any,
            _ => {
                let (alternatives, optional) = match text.strip_suffix('?') {
                    Some(text) => (text, true),
                    None => (text, false),
                };
                let all = alternatives.split('|');
                let end = all.clone().any(|word| word == "$");
                Self::Word { words: all.filter(|word| *word != "$").collect(), optional, end }
            }
        }
    }

    /// The traces of its words; `None` where it may stay without one.
    fn traces(&self) -> Option<u128> {
        match self {
            Self::Word { words, optional: false, end: false } => Some(traces(words.iter().copied())),
            _ => None,
        }
    }
}

/// One bit of 128 for each word; different words may share one.
fn traces<'a>(words: impl Iterator<Item = &'a str>) -> u128 {
    words.fold(0, |traces, word| {
        let hash = word
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        traces | 1 << (hash >> 57)
    })
}

/// An utterance as words: the whole of it, and each clause where punctuation divides it.
#[derive(Clone, Debug)]
pub(crate) struct Utterance {
    units: Vec<Vec<String>>,
    /// The [`traces`] of all its words.
    traces: u128,
}

impl Utterance {
    /// Reads recognised speech.
    pub(crate) fn read(text: &str) -> Self {
        let whole = words(text);
        let clauses: Vec<Vec<String>> = text
            .split(['.', ',', '!', '?', ';', ':', '—', '–', '\n'])
            .map(words)
            .filter(|w| !w.is_empty())
            .collect();
        let mut units = vec![whole];
        if clauses.len() > 1 {
            units.extend(clauses);
        }
        let traces = traces(units.iter().flatten().map(String::as_str));
        Self { units, traces }
    }

    /// All words in order.
    pub(crate) fn whole(&self) -> &[String] {
        &self.units[0]
    }

    /// The clauses; the whole where it is a single one.
    pub(crate) fn clauses(&self) -> &[Vec<String>] {
        if self.units.len() > 1 { &self.units[1..] } else { &self.units }
    }

    /// Does one of `patterns` match anywhere?
    pub(crate) fn has(&self, patterns: &[Pattern]) -> bool {
        patterns.iter().any(|pattern| self.has_one(pattern, &[]))
    }

    /// Does `pattern` match somewhere, and not right after one of `unless_after`?
    pub(crate) fn has_one(&self, pattern: &Pattern, unless_after: &[&str]) -> bool {
        pattern.possible(self.traces)
            && self.units.iter().any(|unit| {
                (0..=unit.len()).any(|at| {
                    let after = at.checked_sub(1).map(|i| unit[i].as_str());
                    !after.is_some_and(|w| unless_after.contains(&w))
                        && matched(&pattern.places, unit, at).is_some()
                })
            })
    }
}

/// Removes from `words` each match of one of `patterns`; returns how many were removed.
pub(crate) fn cut(words: &mut Vec<String>, patterns: &[Pattern]) -> usize {
    // What is cut leaves fewer words: the traces stay an upper bound.
    let there = traces(words.iter().map(String::as_str));
    let mut removed = 0;
    for pattern in patterns.iter().filter(|pattern| pattern.possible(there)) {
        let mut at = 0;
        while at < words.len() {
            match matched(&pattern.places, words, at) {
                Some(end) if end > at => {
                    words.drain(at..end);
                    removed += 1;
                }
                _ => at += 1,
            }
        }
    }
    removed
}

/// Does `pattern` match `words` from start to end?
pub(crate) fn is_all(words: &[String], patterns: &[Pattern]) -> bool {
    let there = traces(words.iter().map(String::as_str));
    patterns.iter().filter(|pattern| pattern.possible(there)).any(|p| ends(&p.places, words))
}

/// Does a match of `places` from the start reach the end?
fn ends(places: &[Place], words: &[String]) -> bool {
    matched_to(places, words, 0, true).is_some()
}

/// Where a match of `places` that begins at `at` ends.
fn matched(places: &[Place], words: &[String], at: usize) -> Option<usize> {
    matched_to(places, words, at, false)
}

/// The same; `whole`: it must end with the words.
fn matched_to(places: &[Place], words: &[String], at: usize, whole: bool) -> Option<usize> {
    let Some((place, rest)) = places.split_first() else {
        return (!whole || at == words.len()).then_some(at);
    };
    let on = |at: usize| matched_to(rest, words, at, whole);
    match place {
        Place::Start => (at == 0).then(|| on(at)).flatten(),
        Place::End => (at == words.len()).then(|| on(at)).flatten(),
        Place::Any => (at..=(at + 3).min(words.len())).find_map(on),
        Place::Word { words: choices, optional, end } => {
            let taken =
                words.get(at).filter(|word| choices.contains(&word.as_str())).and_then(|_| on(at + 1));
            // `$` among alternatives: the clause may end here instead.
            let ended = || (*end && at == words.len()).then(|| on(at)).flatten();
            let skipped = || optional.then(|| on(at)).flatten();
            taken.or_else(ended).or_else(skipped)
        }
    }
}

/// Lower-case words without apostrophes and accents; the usual short forms are made one ("do not" is "dont").
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase).chain([' ']) {
        match fold(c) {
            Some(c) => word.push(c),
            None if matches!(c, '\'' | '’' | '‘' | '`' | '´') => {}
            None if !word.is_empty() => push(&mut out, std::mem::take(&mut word)),
            None => {}
        }
    }
    out
}

fn push(out: &mut Vec<String>, word: String) {
    let joined = match (out.last().map(String::as_str), word.as_str()) {
        (Some("do"), "not") => "dont",
        (Some("can"), "not") => "cant",
        (Some("i"), "am") => "im",
        (Some("i"), "would") => "id",
        (Some("it"), "is") => "its",
        (Some("that"), "is") => "thats",
        (Some("who"), "is") => "whos",
        _ => {
            out.push(if word == "cannot" { "cant".to_owned() } else { word });
            return;
        }
    };
    if let Some(last) = out.last_mut() {
        joined.clone_into(last);
    }
}

fn fold(c: char) -> Option<char> {
    Some(match c {
        'á' | 'à' | 'â' | 'ä' | 'ã' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'ö' | 'õ' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ñ' => 'n',
        c if c.is_alphanumeric() => c,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_words_and_never_parts_of_them() {
        let found = |text: &str, pattern: &'static str| Utterance::read(text).has(&[Pattern::read(pattern)]);
        let yes = |text: &str, pattern: &'static str| assert!(found(text, pattern), "{text}");
        let no = |text: &str, pattern: &'static str| assert!(!found(text, pattern), "{text}");
        yes("Please STOP calling me!", "stop|quit calling me|us");
        no("nonstop calling me", "stop calling");
        yes("Do not call", "dont call $");
        yes("Don’t call", "dont call $");
        no("dont call me later", "dont call me $");
        yes("dont call me. Later we talk", "dont call me $");
        yes("take me right off of your list", "take me * off of? your list");
        yes("call me", "call me again|$");
        no("call me maybe", "call me again|$");
        no("a b c d e f", "a * f");
        yes("¡No me llámes más!", "no me llames mas");
    }

    #[test]
    fn cutting_removes_whole_matches() {
        let mut w = words("no problem no");
        assert_eq!(cut(&mut w, &[Pattern::read("no problem|worries")]), 1);
        assert_eq!(w, ["no"]);
    }
}
