//! The environment of the process and the `.env` beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::Problem;
use super::variables::VARIABLES;

/// Names to values, with what was wrong on the way.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) values: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Sources {
    /// The real environment over the file's text: a name that is really set wins, even where it is set to nothing.
    pub(super) fn new(
        real: impl IntoIterator<Item = (OsString, OsString)>,
        file: io::Result<Option<String>>,
    ) -> Self {
        let mut sources = Self::default();
        let mut really = BTreeSet::new();
        for (name, value) in real {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    sources.values.insert(name.clone(), value);
                }
                Err(_) if VARIABLES.iter().any(|(ours, _, _)| *ours == name) => {
                    sources.problem(&name, "is not UTF-8");
                }
                Err(_) => {}
            }
            really.insert(name);
        }
        match file {
            Ok(Some(text)) => sources.add_file(&text, &really),
            Ok(None) => {}
            Err(why) => sources.problem(".env", format!("cannot be read: {}", why.kind())),
        }
        sources
    }

    fn problem(&mut self, variable: &str, message: impl Into<String>) {
        self.problems.push(Problem { variable: variable.to_owned(), message: message.into() });
    }

    fn warn(&mut self, variable: &str, message: impl Into<String>) {
        self.warnings.push(Problem { variable: variable.to_owned(), message: message.into() });
    }

    fn add_file(&mut self, text: &str, really: &BTreeSet<String>) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut seen = BTreeSet::new();
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            match entry {
                Ok((name, value)) => {
                    let again = !seen.insert(name.clone());
                    if really.contains(&name) {
                        continue;
                    }
                    // AWS's library reads what we do not from the process, where this file is not.
                    if !again
                        && name.starts_with("AWS_")
                        && !VARIABLES.iter().any(|(ours, _, _)| *ours == name)
                    {
                        self.warn(&name, "stands in .env, but is read from the real environment alone");
                    }
                    // The last counts, as in a shell and with compose. An example's empty line that is answered
                    // further down is no doubt about what is meant.
                    let before = self.values.insert(name.clone(), value);
                    if again && before.is_some_and(|before| !before.trim().is_empty()) {
                        self.warn(&name, "stands twice in .env; the last counts");
                    }
                }
                // The library's message quotes the line, and the line may be a secret: say only where it is.
                Err(dotenvy::Error::LineParse(line, _)) => {
                    // It has the whole entry or its value alone, either of which ends the line.
                    let tail = line.lines().next().unwrap_or("").trim();
                    let at = text.lines().position(|l| !tail.is_empty() && l.trim().ends_with(tail));
                    let at = at.map_or_else(|| "a line".to_owned(), |n| format!("line {}", n + 1));
                    self.problem(
                        ".env",
                        format!(
                            "{at} cannot be read: NAME=value is expected, values with spaces in 'quotes'"
                        ),
                    );
                }
                Err(_) => {
                    self.problem(".env", "cannot be read");
                    return;
                }
            }
        }
    }
}

/// The text of a `.env`; `None` where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}
