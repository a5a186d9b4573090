//! Fuzz target of the configuration: a `.env` that anybody wrote.

use super::dotenv::Sources;
use super::{Config, Role};
use crate::base::fuzz::choice;

/// What is unmistakably a secret of the input; no message, no `Debug` and no warning may hold it.
const MARK: &str = "s3cr3t";

/// A file is read or refused with messages that name variables; what it marks as secret is shown nowhere.
pub(crate) fn config(data: &[u8]) {
    let (way, rest) = choice(data);
    let text = String::from_utf8_lossy(rest).into_owned();
    let role = match way % 4 {
        0 => Role::Api,
        1 => Role::Worker,
        2 => Role::All,
        _ => Role::Check,
    };
    let sources = Sources::new([], Ok(Some(text.clone())));
    let secrets: Vec<String> = sources
        .values
        .iter()
        .filter(|(name, value)| SECRETS.contains(&name.as_str()) && value.contains(MARK))
        .map(|(_, value)| value.clone())
        .collect();
    // A variable that is not secret may hold the same word.
    let told =
        sources.values.iter().any(|(name, value)| !SECRETS.contains(&name.as_str()) && value.contains(MARK));
    let names_it = sources.values.keys().any(|name| name.contains(MARK));
    let shown = match Config::from_sources(sources, role) {
        Ok(config) => format!("{config:?} {:?}", config.warnings),
        Err(problems) => {
            assert!(!problems.problems.is_empty(), "refused without a word");
            assert!(problems.problems.iter().all(|p| !p.variable.is_empty() && !p.message.is_empty()));
            format!("{problems} {problems:?}")
        }
    };
    if !told && !names_it && !secrets.is_empty() {
        assert!(!shown.contains(MARK), "{shown}");
    }
}

/// The variables that are secrets.
const SECRETS: [&str; 6] = [
    "PHONE_HASH_KEY",
    "TWILIO_AUTH_TOKEN",
    "OPENAI_API_KEY",
    "WEBHOOK_SIGNING_SECRET",
    "API_KEYS",
    "AWS_SECRET_ACCESS_KEY",
];
