//! What is told of the rows that were not taken: counts by reason, the first thousand in the answer, all of them in
//! the campaign's report.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::problems::FieldError;

/// Errors that stand in the answer.
const TOLD: usize = 1_000;
/// Lines of the report that are written together.
const LINES: usize = 1_000;

/// Why a row was not taken.
pub(super) enum Reason {
    /// Its number stood further up, or in an earlier list of the campaign.
    Duplicate,
    /// Another call to its number is open.
    OpenElsewhere,
    /// Its number is on the do-not-call list.
    DoNotCall,
}

impl Reason {
    /// As an error of the row.
    pub(super) fn error(&self) -> FieldError {
        let (code, reason) = match self {
            Self::Duplicate => ("duplicate", "the campaign has this number already"),
            Self::OpenElsewhere => ("open_elsewhere", "another call to this number is open"),
            Self::DoNotCall => ("do_not_call", "is on the do-not-call list"),
        };
        FieldError::new("phone_number", reason).code(code)
    }
}

/// Rows that were not taken.
#[derive(Default)]
pub(super) struct Report {
    first: Vec<FieldError>,
    more: bool,
    reasons: BTreeMap<String, u64>,
    lines: Vec<String>,
    intake: String,
}

impl Report {
    /// Of the list that is called `intake` in the campaign's report.
    pub(super) fn of(intake: &str) -> Self {
        Self { intake: intake.to_owned(), ..Self::default() }
    }

    /// Notes why row `n` was not taken; it counts once, by its first error.
    pub(super) fn row(&mut self, n: u64, errors: Vec<FieldError>) {
        for (i, error) in errors.into_iter().enumerate() {
            let error = FieldError { row: Some(n), ..error };
            if i == 0 {
                let word = if error.code.is_empty() { "invalid_field" } else { error.code };
                match self.reasons.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(self.reasons.insert(word.to_owned(), 1)),
                }
            }
            let mut line = json!(error);
            if let Value::Object(object) = &mut line {
                object.insert("intake".into(), Value::String(self.intake.clone()));
            }
            self.lines.push(line.to_string());
            if self.first.len() < TOLD {
                self.first.push(error);
            } else {
                self.more = true;
            }
        }
    }

    /// Lines for the campaign's report, once there are enough of them; `all` at the end.
    pub(super) fn lines(&mut self, all: bool) -> Option<Vec<String>> {
        (self.lines.len() >= LINES || (all && !self.lines.is_empty()))
            .then(|| std::mem::take(&mut self.lines))
    }

    /// The first errors by row, whether there were more, and the counts.
    pub(super) fn told(mut self) -> (Vec<FieldError>, bool, BTreeMap<String, u64>) {
        self.first.sort_by_key(|error| error.row);
        (self.first, self.more, self.reasons)
    }
}
