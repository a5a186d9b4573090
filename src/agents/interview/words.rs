//! Spoken text as words: lower case, no punctuation, contractions written out, so that a rule can say "do not" and
//! hear "don't", and a word is never found inside another word.

/// The words of `text`. `don't` becomes `do not`, `p.m.` becomes `pm`; `3:30` and `'98` stay whole.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lower = text.to_lowercase().replace(['\u{2019}', '\u{2018}', '`'], "'");
    for raw in lower.split(|c: char| c.is_whitespace() || matches!(c, '-' | '\u{2013}' | '\u{2014}' | '/')) {
        let token: String =
            raw.chars().filter(|c| c.is_alphanumeric() || matches!(c, '\'' | ':' | '+' | '#')).collect();
        let token = token.trim_matches(':');
        let token = if token.starts_with('\'') && token[1..].starts_with(|c: char| c.is_ascii_digit()) {
            token
        } else {
            token.trim_matches('\'')
        };
        if token.is_empty() {
            continue;
        }
        match token {
            "won't" => found.extend(["will", "not"].map(str::to_owned)),
            "can't" | "cannot" => found.extend(["can", "not"].map(str::to_owned)),
            "ain't" => found.extend(["is", "not"].map(str::to_owned)),
            "dunno" => found.extend(["do", "not", "know"].map(str::to_owned)),
            "o'clock" => found.push("oclock".to_owned()),
            _ => expand(token, &mut found),
        }
    }
    found
}

fn expand(token: &str, found: &mut Vec<String>) {
    const ENDINGS: [(&str, &str); 7] = [
        ("n't", "not"),
        ("'m", "am"),
        ("'re", "are"),
        ("'ll", "will"),
        ("'ve", "have"),
        ("'d", "would"),
        ("'s", "is"),
    ];
    for (ending, word) in ENDINGS {
        if let Some(stem) = token.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            found.push(stem.to_owned());
            found.push(word.to_owned());
            return;
        }
    }
    found.push(token.to_owned());
}

/// Where `phrase` (words separated by spaces, contractions written out) begins in `words`.
pub(crate) fn find(words: &[String], phrase: &str) -> Option<usize> {
    let mut rest = phrase.split_whitespace();
    let first = rest.next()?;
    // Hundreds of phrases are looked for in every answer, and most of them not even begin in it.
    (0..words.len()).filter(|at| words[*at] == first).find(|at| {
        let mut heard = words[at + 1..].iter();
        rest.clone().all(|word| heard.next().is_some_and(|heard| heard == word))
    })
}

/// Does `phrase` occur in `words`, word for word?
pub(crate) fn has(words: &[String], phrase: &str) -> bool {
    find(words, phrase).is_some()
}

/// The first of `phrases` that occurs.
pub(crate) fn first_of<'p>(words: &[String], phrases: &[&'p str]) -> Option<&'p str> {
    phrases.iter().copied().find(|phrase| has(words, phrase))
}

/// 0 to 19.
pub(crate) const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// 20, 30 … 90.
pub(crate) const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number from 0 to 99 at the head of `words`, in digits or in words, and how many words it took.
pub(crate) fn number(words: &[String]) -> Option<(u32, usize)> {
    let place =
        |list: &[&str], word: &str| list.iter().position(|w| *w == word).and_then(|i| u32::try_from(i).ok());
    let head = words.first()?;
    if let Ok(n) = head.parse::<u32>() {
        return (n < 100).then_some((n, 1));
    }
    if let Some(n) = place(&ONES, head) {
        return Some((n, 1));
    }
    let tens = (place(&TENS, head)? + 2) * 10;
    match words.get(1).and_then(|w| place(&ONES, w)) {
        Some(n @ 1..=9) => Some((tens + n, 2)),
        _ => Some((tens, 1)),
    }
}

/// The words that name a company: without articles and legal forms, so that "Acme" and "The Acme Inc." are one.
pub(crate) fn company_words(company: &str) -> Vec<String> {
    const FORMS: [&str; 14] = [
        "the",
        "inc",
        "incorporated",
        "llc",
        "ltd",
        "limited",
        "corp",
        "corporation",
        "co",
        "company",
        "gmbh",
        "plc",
        "and",
        "of",
    ];
    let all = words(company);
    let kept: Vec<String> = all.iter().filter(|w| !FORMS.contains(&w.as_str())).cloned().collect();
    if kept.is_empty() { all } else { kept }
}

/// Do two names mean the same company? Equal words, or all words of one are in the other.
pub(crate) fn same_company(a: &str, b: &str) -> bool {
    let (a, b) = (company_words(a), company_words(b));
    let inside = |x: &[String], y: &[String]| !x.is_empty() && x.iter().all(|w| y.contains(w));
    inside(&a, &b) || inside(&b, &a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_words() {
        assert_eq!(words("I don\u{2019}t know, it's 3 p.m.!").join(" "), "i do not know it is 3 pm");
        assert_eq!(words("'twas in '98 - non-stop").join(" "), "twas in '98 non stop");
        assert!(!has(&words("nonstop work"), "stop") && !has(&words("I know"), "no"));
        assert_eq!(number(&words("twenty-five years")), Some((25, 2)));
        assert_eq!(number(&words("12 months")), Some((12, 1)));
        assert_eq!(number(&words("many")), None);
    }

    #[test]
    fn companies_are_compared_by_their_names() {
        for (a, b, same) in [
            ("Acme Inc.", "acme", true),
            ("Harbor & Sons Logistics", "Harbor and Sons Logistics", true),
            ("The Company", "Company", true),
            ("Harbor Sons", "Harbor Grill", false),
            ("Walmart", "Target", false),
        ] {
            assert_eq!(same_company(a, b), same, "{a} / {b}");
        }
    }
}
