//! Telephone numbers in what the agent is about to say. It speaks none but those the callee gave or the caller's own
//! variables hold; years and dates are no telephone numbers.

/// Numbers of fewer digits are nobody's telephone number.
const MIN_DIGITS: usize = 7;

/// Removes foreign telephone numbers from `text`, in figures of any script or in words. `known` is text whose digits may
/// be spoken.
pub(crate) fn strip_phones(text: &str, known: &[String]) -> String {
    let text: String = text.chars().map(figure).collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+' || c == '(') {
        out.push_str(&rest[..start]);
        let run = run_length(&rest[start..]);
        let (candidate, after) = rest[start..].split_at(run.max(1));
        if !is_phone(candidate) || is_known(candidate, known) {
            out.push_str(candidate);
        }
        rest = after;
    }
    out.push_str(rest);
    strip_spelled(&out, known)
}

/// A decimal figure of another script as the one that a voice speaks it like; every other character as it is.
fn figure(c: char) -> char {
    /// Where the figures 0 to 9 of a script begin: fullwidth, Arabic, Persian, Devanagari, Bengali.
    const ZEROS: [char; 5] = ['\u{ff10}', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}'];
    let of = |zero: char| (c as u32).checked_sub(zero as u32).filter(|n| *n < 10);
    // The five sets of mathematical figures stand one behind the other.
    let mathematical = (c as u32).checked_sub(0x1d7ce).filter(|n| *n < 50).map(|n| n % 10);
    let n = ZEROS.into_iter().find_map(of).or(mathematical);
    n.and_then(|n| char::from_digit(n, 10)).unwrap_or(c)
}

/// Removes numbers that are spelled: seven and more figures in a row, at least one of them a word.
fn strip_spelled(text: &str, known: &[String]) -> String {
    let words: Vec<(&str, Option<String>)> =
        text.split_inclusive(char::is_whitespace).map(|word| (word, spelled(word))).collect();
    let mut out = String::with_capacity(text.len());
    for run in words.chunk_by(|(_, a), (_, b)| a.is_some() && b.is_some()) {
        let digits: String = run.iter().filter_map(|(_, digits)| digits.as_deref()).collect();
        let in_words = run.iter().any(|(word, _)| word.contains(char::is_alphabetic));
        let foreign =
            in_words && digits.len() >= MIN_DIGITS && !known.iter().any(|k| said_digits(k).contains(&digits));
        if !foreign {
            out.extend(run.iter().map(|(word, _)| *word));
        }
    }
    out
}

/// The figures that a word stands for, `five-five` for two; `None` for any other word.
fn spelled(word: &str) -> Option<String> {
    const FIGURES: [(&str, char); 12] = [
        ("zero", '0'),
        ("oh", '0'),
        ("o", '0'),
        ("one", '1'),
        ("two", '2'),
        ("three", '3'),
        ("four", '4'),
        ("five", '5'),
        ("six", '6'),
        ("seven", '7'),
        ("eight", '8'),
        ("nine", '9'),
    ];
    let mut out = String::new();
    for part in word.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(part);
        } else {
            out.push(FIGURES.iter().find(|(name, _)| part.eq_ignore_ascii_case(name))?.1);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// All figures of a text, those in words as well.
fn said_digits(text: &str) -> String {
    text.split_whitespace().filter_map(spelled).collect()
}

/// How far a run of digits and their usual separators reaches; it ends with its last digit.
fn run_length(text: &str) -> usize {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => end = at + 1,
            '+' | '(' | ')' | '-' | '.' | ' ' | '/' | '–' | '\u{a0}' if at < end + 4 => {}
            _ => break,
        }
    }
    end
}

fn is_phone(run: &str) -> bool {
    let digits = run.chars().filter(char::is_ascii_digit).count();
    if digits < MIN_DIGITS {
        return false;
    }
    let groups: Vec<&str> = run.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).collect();
    let year = |g: &str| g.len() == 4 && (g.starts_with("19") || g.starts_with("20"));
    let dates = groups.iter().any(|g| year(g)) && groups.iter().all(|g| year(g) || g.len() <= 2);
    !dates
}

fn is_known(run: &str, known: &[String]) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let wanted = digits(run);
    known.iter().any(|k| digits(k).contains(&wanted) || said_digits(k).contains(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_numbers_go_and_years_stay() {
        for (text, wanted) in [
            ("Call 212-555-0187 now", "Call  now"),
            ("Call +1 (212) 555-0187.", "Call ."),
            ("It is 2125550187", "It is "),
            ("from 1977-1985", "from 1977-1985"),
            ("from 1977 - 2004, then", "from 1977 - 2004, then"),
            ("on 2015-03-01", "on 2015-03-01"),
            ("1985, 1995, 2004", "1985, 1995, 2004"),
            ("in 03/2015 and 12", "in 03/2015 and 12"),
            ("$1,500,000 (about)", "$1,500,000 (about)"),
            ("yours is 415 555 0100?", "yours is 415 555 0100?"),
            ("a (b) + c", "a (b) + c"),
            (
                "It is \u{ff12}\u{ff11}\u{ff12}\u{ff15}\u{ff15}\u{ff15}\u{ff10}\u{ff11}\u{ff18}\u{ff17}",
                "It is ",
            ),
            ("Call nine zero oh, five five five, 0199 now", "Call now"),
            ("Call nine-zero-zero five-five-five zero-one-nine-nine", "Call "),
            (
                "yours is four one five, five five five, oh one zero zero",
                "yours is four one five, five five five, oh one zero zero",
            ),
            ("one or two of the three", "one or two of the three"),
            ("one two three", "one two three"),
        ] {
            assert_eq!(strip_phones(text, &["it is 415-555-0100".to_owned()]), wanted, "{text}");
        }
    }
}
