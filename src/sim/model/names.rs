//! Finding the name of a company in free speech.

use super::dates::{self, Found, Word, one_of};
use super::jobs::capital;
use super::question::Topic;
use super::titles::STOPS;

/// Capitalised words that begin a sentence or are no name.
const NO_NAME: &str = "i|i'm|i've|i'd|before|after|from|that|that's|well|right|these|my|then|since|\
        currently|now|at|it|it's|the|yes|no|yeah|sure|ok|okay|oh|um|uh|so|we|they|he|she|\
        and|but|just|until|in|between|prior|first|last|previously|also|hmm|mostly|nothing|\
        none|not|let|with|for|of|maybe|probably|back|working|been|to|as|there|this|a|an|\
        actually|monday|tuesday|wednesday|thursday|friday|saturday|sunday|still|was|started|\
        joined|left|what|why|who|when|where|because|my|our|one|two|both|currently|at|god|mr|\
        mrs|during|around|about";

/// A company's name and the words it takes.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// A word before it says that a company follows.
    pub(crate) cued: bool,
}

/// The company that `text` speaks of.
pub(crate) fn company(
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
                && !one_of(words[j].text, STOPS)
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
        && !one_of(&dates::lower(word.text), NO_NAME)
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
            let next = if words.get(j + 1).is_some_and(|w| w.text == "the") { j + 2 } else { j + 1 };
            let glued = next < words.len()
                && text[words[j].to..words[next].from].trim().chars().all(|c| c.is_alphabetic());
            if !(glued && is_name(words, next, found)) {
                break;
            }
            last = next;
        } else if is_name(words, j, found)
            || words[j].text.starts_with(|c: char| c.is_ascii_uppercase())
                && words[j].text.len() > 1
                && !one_of(&dates::lower(words[j].text), NO_NAME)
        {
            last = j;
        } else {
            break;
        }
        j = last + 1;
    }
    last
}
