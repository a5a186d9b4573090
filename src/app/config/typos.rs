//! Variables that look like ours and are not: a misspelt name would otherwise be silence.

use super::Problem;
use super::variables::VARIABLES;

/// How many letters may differ.
const FAR: usize = 2;

/// One warning for each name that begins as ours do, is none of them, and is nearly one of them.
pub(super) fn suspects<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<Problem> {
    names.into_iter().filter_map(|name| Some((name, meant(name)?))).map(warning).collect()
}

fn warning((name, meant): (&str, &str)) -> Problem {
    Problem { variable: name.to_owned(), message: format!("is not a variable of ours; is {meant} meant?") }
}

fn meant(name: &str) -> Option<&'static str> {
    let ours = || VARIABLES.iter().map(|(known, _, _)| *known);
    if name.len() > 64 || ours().any(|known| known == name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let prefix = |known: &str| known.split_once('_').map(|(first, _)| first.to_owned());
    let first = prefix(&upper)?;
    if !ours().any(|known| prefix(known).as_ref() == Some(&first)) {
        return None;
    }
    ours()
        .map(|known| (distance(&upper, known), known))
        .filter(|(far, _)| *far <= FAR)
        .min_by_key(|(far, _)| *far)
        .map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_named_and_strangers_left_alone() {
        for (name, meant) in [
            ("TWILIO_ACOUNT_SID", Some("TWILIO_ACCOUNT_SID")),
            ("TWILIO_AUTH_TOKNE", Some("TWILIO_AUTH_TOKEN")),
            ("twilio_auth_token", Some("TWILIO_AUTH_TOKEN")),
            ("API_KEY", Some("API_KEYS")),
            ("REDIS_URI", Some("REDIS_URL")),
            ("WEBHOOK_MAX_RETRY", None),
            ("WEBHOOK_MAX_RETRYS", Some("WEBHOOK_MAX_RETRIES")),
            ("TWILIO_API_KEY_SECRET", None),
            ("AWS_PROFILE", None),
            ("REDIS_URL", None),
            ("PATH", None),
            ("MY_REDIS_URL", None),
            ("XEDIS_URL", None),
        ] {
            let found = suspects([name]);
            assert_eq!(found.len(), usize::from(meant.is_some()), "{name}: {found:?}");
            if let Some(meant) = meant {
                assert!(found[0].message.contains(meant) && found[0].variable == name, "{found:?}");
            }
        }
    }

    #[test]
    fn distances() {
        for (a, b, far) in
            [("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("abc", "acb", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
            assert_eq!(distance(b, a), far, "{b} {a}");
        }
    }
}
