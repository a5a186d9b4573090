//! Finding a job title in free speech.

use super::dates::{self, Found, Word, one_of};
use super::names::Named;
use super::question::Topic;

/// Words that end a job title.
pub(crate) const STOPS: &str = "at|for|with|in|from|since|until|till|to|between|by|there|then|when|but|who|which|on|\
        back|still|right|now|and|through|they|i|i'm|i've|we|because|before|after|during|\
        over|under|where|that|part-time|full-time|started|so|up";

/// Words that show that a phrase is a clause and no title.
const CLAUSE: &str = "i|i'm|i've|i'd|was|am|is|are|were|worked|work|working|been|had|have|my|that|it|it's|\
        they|we|started|joined|left|no|yes|yeah|not|never|before|job|don't|can't|what|why|\
        you|me|nothing|none|same|one|still|looking|then|there";

/// The job title that `text` speaks of.
pub(crate) fn title(
    text: &str,
    words: &[Word<'_>],
    found: &[Found],
    company: Option<&Named>,
    topic: Option<Topic>,
) -> Option<String> {
    const CUES: &str = "as an|as a|as the|as their|title was|title is|position was|position is|role was|\
        role is|job is|job was|job before was|i'm a|i'm an|i am a|i am an|was a|was an|\
        was the|was their|i'm their|i'm the|been a|been an|been the|be a|be an|being a|\
        being an|hired as|worked as|work as|working as|started as|as|am the|became a|\
        became an|became the";
    let lower = dates::lower(text);
    let of = |from: usize| phrase(text, words, found, company, from);
    // The longest cue wins where several begin at the same word.
    let mut cues: Vec<(usize, usize)> =
        CUES.split('|').filter_map(|c| dates::place(&lower, c).map(|at| (at, at + c.len()))).collect();
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
        if !glued || dated || named || one_of(&lower, STOPS) {
            break;
        }
        last = Some(j);
    }
    let slice = words.get(i..=last?)?;
    let first = dates::lower(slice[0].text);
    const NO_TITLE: &str = "job|long|lot|bit|while|year|good|bad|time|part|few|well|kid|child|my|it|that|soon|far|i|one|i've|missing";
    (!one_of(&first, NO_TITLE) && clean(slice)).then(|| joined(slice))
}

fn clean(words: &[Word<'_>]) -> bool {
    (1..=5).contains(&words.len())
        && words
            .iter()
            .all(|w| !one_of(&dates::lower(w.text), CLAUSE) && !one_of(&dates::lower(w.text), STOPS))
}

/// The last word names a person who does something.
fn looks_like_title(words: &[Word<'_>]) -> bool {
    const NOUNS: &str = "clerk|nurse|aide|cook|guard|assistant|associate|representative|chef|mechanic|lead|\
        agent|staff|helper|hand|rep|intern|temp|electrician|technician|dispatcher|\
        specialist|foreman|analyst|accountant|consultant";
    words.last().is_some_and(|w| {
        let w = dates::lower(w.text);
        one_of(&w, NOUNS)
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
