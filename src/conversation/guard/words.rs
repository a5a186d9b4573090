//! Words and patterns of words. A word counts as a word: "nonstop" holds no "stop".
//!
//! A pattern is a list of places separated by spaces. A place is a word or alternatives (`stop|quit`); a trailing `?`
//! makes it optional; `*` stands for up to three words of any kind; `^` and `$` for the start and the end of a clause.

/// An utterance as words: the whole of it, and each clause where punctuation divides it.
#[derive(Clone, Debug)]
pub(crate) struct Utterance {
    units: Vec<Vec<String>>,
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
        Self { units }
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
    pub(crate) fn has(&self, patterns: &[&str]) -> bool {
        patterns.iter().any(|p| self.has_one(p, &[]))
    }

    /// Does `pattern` match somewhere, and not right after one of `unless_after`?
    pub(crate) fn has_one(&self, pattern: &str, unless_after: &[&str]) -> bool {
        let places: Vec<&str> = pattern.split(' ').collect();
        self.units.iter().any(|unit| {
            (0..=unit.len()).any(|at| {
                let after = at.checked_sub(1).map(|i| unit[i].as_str());
                !after.is_some_and(|w| unless_after.contains(&w)) && matched(&places, unit, at).is_some()
            })
        })
    }
}

/// Removes from `words` each match of one of `patterns`; returns how many were removed.
pub(crate) fn cut(words: &mut Vec<String>, patterns: &[&str]) -> usize {
    let mut removed = 0;
    for pattern in patterns {
        let places: Vec<&str> = pattern.split(' ').collect();
        let mut at = 0;
        while at < words.len() {
            match matched(&places, words, at) {
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
pub(crate) fn is_all(words: &[String], patterns: &[&str]) -> bool {
    patterns.iter().any(|p| {
        let mut places: Vec<&str> = p.split(' ').collect();
        places.push("$");
        matched(&places, words, 0).is_some()
    })
}

/// Where a match of `places` that begins at `at` ends.
fn matched(places: &[&str], words: &[String], at: usize) -> Option<usize> {
    let Some((place, rest)) = places.split_first() else { return Some(at) };
    match *place {
        "^" => (at == 0).then(|| matched(rest, words, at)).flatten(),
        "$" => (at == words.len()).then(|| matched(rest, words, at)).flatten(),
        "*" => (at..=(at + 3).min(words.len())).find_map(|next| matched(rest, words, next)),
        _ => {
            let (alternatives, optional) = match place.strip_suffix('?') {
                Some(place) => (place, true),
                None => (*place, false),
            };
            // `$` among alternatives: the clause may end here instead.
            let mut choices = alternatives.split('|');
            let taken = words
                .get(at)
                .filter(|word| choices.clone().any(|a| a == word.as_str()))
                .and_then(|_| matched(rest, words, at + 1));
            let ended = || {
                (at == words.len() && choices.any(|a| a == "$")).then(|| matched(rest, words, at)).flatten()
            };
            let skipped = || optional.then(|| matched(rest, words, at)).flatten();
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
        let yes = |text: &str, pattern: &str| assert!(Utterance::read(text).has(&[pattern]), "{text}");
        let no = |text: &str, pattern: &str| assert!(!Utterance::read(text).has(&[pattern]), "{text}");
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
        assert_eq!(cut(&mut w, &["no problem|worries"]), 1);
        assert_eq!(w, ["no"]);
    }
}
