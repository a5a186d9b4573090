//! Reads variables through a seam and collects what is wrong with them, so that all of it is reported at once.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use super::Problem;
use super::variables::{default_of, meaning_of};

/// Values longer than this are not repeated in a message.
const LONGEST_ECHO: usize = 60;

/// A reader over one environment. A parser says, in a noun phrase, what it expected instead.
pub(super) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn wrong(&mut self, variable: &str, message: impl Into<String>) {
        self.problems.push(Problem { variable: variable.to_owned(), message: message.into() });
    }

    pub(super) fn warn(&mut self, variable: &str, message: impl Into<String>) {
        self.warnings.push(Problem { variable: variable.to_owned(), message: message.into() });
    }

    /// What is set, without the blanks around it (a secret mounted from a file ends in a newline). Empty is not set.
    pub(super) fn set(&self, name: &str) -> Option<String> {
        let value = (self.get)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// A variable that must have a value, its own or the default. `None`: something is wrong and has been noted.
    pub(super) fn read<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.present(name, true, parse)
    }

    /// As [`Reader::read`], for values that no message may repeat.
    pub(super) fn read_quiet<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.present(name, false, parse)
    }

    /// A variable that may be missing: `Some(None)`. `None`: it is there and wrong. No message repeats its value.
    pub(super) fn maybe<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.set(name) {
            None => Some(None),
            Some(text) => self.parsed(name, &text, false, parse).map(Some),
        }
    }

    /// As [`Reader::maybe`], but missing is wrong too where the role `needs` the variable.
    pub(super) fn needed<T>(
        &mut self,
        name: &str,
        needs: bool,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        if needs { self.read_quiet(name, parse).map(Some) } else { self.maybe(name, parse) }
    }

    fn present<T>(
        &mut self,
        name: &str,
        echo: bool,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(text) = self.set(name).or_else(|| default_of(name).map(str::to_owned)) else {
            self.missing(name);
            return None;
        };
        self.parsed(name, &text, echo, parse)
    }

    pub(super) fn missing(&mut self, name: &str) {
        self.wrong(name, format!("is not set. {}", meaning_of(name)));
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        echo: bool,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let message = if echo && text.chars().count() <= LONGEST_ECHO {
                    format!("is {text:?}, expected {expected}")
                } else {
                    format!("expected {expected}")
                };
                self.wrong(name, message);
                None
            }
        }
    }
}

/// `true`, `false`, `1`, `0`.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("true, false, 1 or 0".to_owned()),
    }
}

/// A whole number within bounds.
pub(super) fn whole<T>(least: T, most: T) -> impl FnOnce(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| match text.parse::<T>() {
        Ok(n) if n >= least && n <= most => Ok(n),
        _ => Err(format!("a whole number from {least} to {most}")),
    }
}

/// Seconds within bounds; parts of a second are allowed.
pub(super) fn seconds(least: f64, most: f64) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |text| {
        text.parse::<f64>()
            .ok()
            .filter(|s| *s >= least && *s <= most)
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .ok_or_else(|| format!("a number of seconds from {least} to {most}, without a unit"))
    }
}

/// A secret: one word of at least `least` characters. It is never repeated in a message.
pub(super) fn secret(least: usize) -> impl FnOnce(&str) -> Result<SecretString, String> {
    move |text| {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("a secret without spaces or line breaks".to_owned());
        }
        if text.chars().count() < least {
            return Err(format!("at least {least} characters"));
        }
        Ok(SecretString::from(text))
    }
}

/// An http or https URL with a host and without user, query or fragment.
pub(super) fn plain_url(text: &str) -> Result<Url, String> {
    let wrong = |what: &str| Err(format!("an http:// or https:// URL {what}"));
    let Ok(url) = Url::parse(text) else { return wrong("with a host") };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return wrong("with a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("without a user or password in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("without a query (?) or fragment (#)");
    }
    Ok(url)
}

/// Whether the URL stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
        }
        None => false,
    }
}

/// Whether the URL's host is `domain` or lies below it.
pub(super) fn is_within(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or("").trim_end_matches('.').to_ascii_lowercase();
    host.strip_suffix(domain).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}
