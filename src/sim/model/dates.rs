//! Dates as people say them on the telephone: "March 2015", "in 03/2015", "back in 2015".
//! Also used by the simulated people to understand a question; knows nothing of anybody's truth.

use std::fmt;

/// A month, or a whole year where no month was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Date {
    /// Four digits.
    pub year: i32,
    /// 1 to 12, if known.
    pub month: Option<u8>,
}

impl Date {
    /// Reads `YYYY-MM` (a day behind it is ignored) or `YYYY`.
    #[must_use]
    pub fn iso(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let year = parts.next().filter(|y| y.len() == 4)?.parse().ok()?;
        let month = match parts.next() {
            Some(m) => Some(m.parse().ok().filter(|m| (1..=12).contains(m))?),
            None => None,
        };
        Some(Self { year, month })
    }

    /// The months since year 0 of its first month (a bare year counts from January).
    #[must_use]
    pub fn first(self) -> i32 {
        self.year * 12 + i32::from(self.month.unwrap_or(1)) - 1
    }

    /// The months since year 0 of its last month (a bare year counts to December).
    #[must_use]
    pub fn last(self) -> i32 {
        self.year * 12 + i32::from(self.month.unwrap_or(12)) - 1
    }

    /// The month that lies `index` months after year 0.
    #[must_use]
    pub fn of_index(index: i32) -> Self {
        let month = u8::try_from(index.rem_euclid(12) + 1).unwrap_or(1);
        Self { year: index.div_euclid(12), month: Some(month) }
    }

    /// As spoken: "March 2015" or "2015".
    #[must_use]
    pub fn spoken(self) -> String {
        match self.month {
            Some(m) => format!("{} {}", MONTHS[usize::from(m) - 1], self.year),
            None => self.year.to_string(),
        }
    }
}

/// `YYYY-MM` or `YYYY`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.month {
            Some(m) => write!(f, "{:04}-{m:02}", self.year),
            None => write!(f, "{:04}", self.year),
        }
    }
}

/// The English names of the months.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A date and the bytes of the text it stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The date.
    pub date: Date,
    /// First byte.
    pub from: usize,
    /// One past the last byte.
    pub to: usize,
}

/// A word with its place; punctuation is not part of it.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// The word as written.
    pub text: &'a str,
    /// First byte.
    pub from: usize,
    /// One past the last byte.
    pub to: usize,
}

/// The words of a text. Letters, digits, `&`, and inner `'`, `-`, `/`, `.` make a word.
#[must_use]
pub fn words(text: &str) -> Vec<Word<'_>> {
    let mut out = Vec::new();
    let mut start = None;
    let inner =
        |c: char| c.is_alphanumeric() || matches!(c, '&' | '\'' | '’' | '-' | '/' | '.' | '+' | '#' | '@');
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, inner(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                let raw = &text[from..at];
                let left = raw.trim_start_matches(['\'', '’', '-', '/', '.']);
                let from = from + (raw.len() - left.len());
                let word = left.trim_end_matches(['\'', '’', '-', '/', '.']);
                if !word.is_empty() {
                    out.push(Word { text: word, from, to: from + word.len() });
                }
                start = None;
            }
            _ => {}
        }
    }
    out
}

/// The number of a month's name or common abbreviation.
#[must_use]
pub fn month_number(word: &str) -> Option<u8> {
    let word = word.to_lowercase();
    let at = MONTHS.iter().position(|m| {
        let full = m.to_lowercase();
        word == full || word == full[..3] || (full == "september" && word == "sept")
    })?;
    u8::try_from(at + 1).ok()
}

fn year(word: &str) -> Option<i32> {
    (word.len() == 4).then(|| word.parse().ok())?.filter(|y| (1930..=2099).contains(y))
}

/// Every date said in `text`, in order.
#[must_use]
pub fn find(text: &str) -> Vec<Found> {
    let words = words(text);
    let mut out = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let word = words[i];
        if let Some(month) = month_number(word.text) {
            // "March 2015", "March of 2015", "March, 2015", "March 3rd 2015"
            let next = (i + 1..words.len().min(i + 4)).find_map(|j| year(words[j].text).map(|y| (j, y)));
            if let Some((j, year)) = next
                && (i + 1..j).all(|k| {
                    matches!(words[k].text, "of" | "in" | "the" | "year")
                        || words[k].text.starts_with(|c: char| c.is_ascii_digit())
                })
            {
                let date = Date { year, month: Some(month) };
                out.push(Found { date, from: word.from, to: words[j].to });
                i = j + 1;
                continue;
            }
        } else if let Some(year) = year(word.text) {
            out.push(Found { date: Date { year, month: None }, from: word.from, to: word.to });
        } else if let Some((a, b)) = word.text.split_once(['/', '-']) {
            let found = |date| Found { date, from: word.from, to: word.to };
            match (year(a), year(b)) {
                (Some(y), Some(z)) => {
                    out.push(found(Date { year: y, month: None }));
                    out.push(found(Date { year: z, month: None }));
                }
                (Some(year), None) => out.extend(numeric(b, year).map(found)),
                (None, Some(year)) => out.extend(numeric(a, year).map(found)),
                (None, None) => {}
            }
        }
        i += 1;
    }
    out
}

fn numeric(month: &str, year: i32) -> Option<Date> {
    let month = month.parse().ok().filter(|m| (1..=12).contains(m))?;
    Some(Date { year, month: Some(month) })
}

/// The sentences of a text, trimmed, each with its closing mark. "St." and initials do not close one.
#[must_use]
pub fn sentences(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut from = 0;
    let bytes = text.as_bytes();
    for (at, c) in text.char_indices() {
        let closes = matches!(c, '.' | '?' | '!' | ';' | '\n');
        let last = bytes.get(at + c.len_utf8()).is_none_or(u8::is_ascii_whitespace);
        if !closes || !last {
            continue;
        }
        let word = text[from..at].rsplit(char::is_whitespace).next().unwrap_or("");
        let short =
            c == '.' && (word.len() == 1 && word != "I" || matches!(word, "St" | "Mr" | "Mrs" | "Ms" | "Dr"));
        if !short {
            out.push(text[from..at + c.len_utf8()].trim());
            from = at + c.len_utf8();
        }
    }
    out.push(text[from..].trim());
    out.retain(|s| s.chars().any(char::is_alphanumeric));
    out
}

/// True where `text` (lower case) holds one of `phrases`, separated by `|`, at word borders.
#[must_use]
pub fn says(text: &str, phrases: &str) -> bool {
    phrases.split('|').any(|p| place(text, p).is_some())
}

/// True where `word` is one of `words`, separated by `|`.
#[must_use]
pub fn one_of(word: &str, words: &str) -> bool {
    words.split('|').any(|w| w == word)
}

/// Where `phrase` stands in `text` at word borders.
#[must_use]
pub fn place(text: &str, phrase: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find(phrase).map(|i| i + from) {
        let before = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let after = text[at + phrase.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        if before && after {
            return Some(at);
        }
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    None
}

/// Lower case, straight apostrophes.
#[must_use]
pub fn lower(text: &str) -> String {
    text.to_lowercase().replace('’', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_forms_people_use() {
        let said =
            "From March 2015 to 04/2016, then back in 2018, 2019-2020, and since Sept of 2021; maybe in May.";
        let found: Vec<String> = find(said).iter().map(|f| f.date.to_string()).collect();
        assert_eq!(found, ["2015-03", "2016-04", "2018", "2019", "2020", "2021-09"]);
    }

    #[test]
    fn months_count_from_the_outer_edges() {
        let year = Date::iso("2015").expect("a year");
        assert_eq!(year.last() - year.first(), 11);
        assert_eq!(Date::of_index(year.last()).to_string(), "2015-12");
        assert_eq!(Date::iso("2015-13"), None);
    }

    #[test]
    fn sentences_survive_initials() {
        assert_eq!(sentences("I was at St. Mary's. Then J. Smith hired me! OK?").len(), 3);
    }
}
