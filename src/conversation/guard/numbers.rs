//! Telephone numbers in what the agent is about to say. It speaks none but those the callee gave or the caller's own
//! variables hold; years and dates are no telephone numbers.

/// Numbers of fewer digits are nobody's telephone number.
const MIN_DIGITS: usize = 7;

/// Removes foreign telephone numbers from `text`. `known` is text whose digits may be spoken.
pub(crate) fn strip_phones(text: &str, known: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
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
    out
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
    known.iter().any(|k| digits(k).contains(&wanted))
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
        ] {
            assert_eq!(strip_phones(text, &["it is 415-555-0100".to_owned()]), wanted, "{text}");
        }
    }
}
