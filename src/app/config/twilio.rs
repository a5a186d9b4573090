//! The account at Twilio and what it allows.

use secrecy::SecretString;

use super::reader::{Reader, is_within, plain_url, secret, whole};
use crate::domain::phone::Phone;

/// Twilio.
#[derive(Clone, Debug)]
pub struct TwilioSection {
    /// `TWILIO_ACCOUNT_SID`.
    pub account_sid: String,
    /// `TWILIO_AUTH_TOKEN`.
    pub auth_token: SecretString,
    /// `TWILIO_PHONE_NUMBER`, else the first of `CALLER_IDS`; there in every role that dials.
    pub from: Option<Phone>,
    /// `TWILIO_API_BASE_URL`, without a slash at the end.
    pub base_url: String,
    /// Whether that is Twilio itself: calls then reach people, and what is for rehearsals alone is refused.
    pub real: bool,
    /// `TWILIO_MAX_CPS`: calls started per second, fleet-wide; above 0.
    pub max_cps: f64,
    /// `TWILIO_MAX_CONCURRENT`: calls at a time, fleet-wide; 1 at least.
    pub max_concurrent: u32,
    /// `CALLER_IDS`, else `TWILIO_PHONE_NUMBER` alone: the numbers that are called from, each once. Empty only in roles
    /// that do not dial.
    pub caller_ids: Vec<Phone>,
    /// `CALLER_ID_MAX_CPS`: calls started per second from each of them; 0 = no limit.
    pub caller_max_cps: f64,
    /// `CALLER_ID_MAX_CONCURRENT`: calls at a time from each of them; 0 = no limit.
    pub caller_max_concurrent: u32,
    /// `CALLER_ID_DAILY_CAP`: calls from each of them in one UTC day; 0 = no limit.
    pub caller_daily_cap: u32,
}

impl TwilioSection {
    pub(super) fn read(from: &mut Reader<'_>, dials: bool) -> Option<Self> {
        let real = Self::is_real(from);
        let account_sid = from.read_quiet("TWILIO_ACCOUNT_SID", |text| account_sid(text, real));
        let auth_token = from.read_quiet("TWILIO_AUTH_TOKEN", secret(1));
        // A simulated carrier may have numbers that no real one has.
        let ours = |text: &str| match number(text) {
            Err(why) if !real => Phone::from_e164(text).ok_or(why),
            other => other,
        };
        let pool = from.maybe("CALLER_IDS", |text| caller_ids(text, ours));
        let number = from.needed("TWILIO_PHONE_NUMBER", dials && pool == Some(None), ours);
        let base = from.read("TWILIO_API_BASE_URL", api_base);
        let max_cps = from.read("TWILIO_MAX_CPS", |text| {
            text.parse::<f64>()
                .ok()
                .filter(|n| *n > 0.0 && *n <= 1_000.0)
                .ok_or_else(|| "a number above 0, up to 1000".to_owned())
        });
        let max_concurrent = from.read("TWILIO_MAX_CONCURRENT", whole(1, 100_000));
        let caller_max_cps = from.read("CALLER_ID_MAX_CPS", |text| {
            text.parse::<f64>()
                .ok()
                .filter(|n| (0.0..=1_000.0).contains(n))
                .ok_or_else(|| "a number from 0 (no limit) to 1000".to_owned())
        });
        let caller_max_concurrent = from.read("CALLER_ID_MAX_CONCURRENT", whole(0, 100_000));
        let caller_daily_cap = from.read("CALLER_ID_DAILY_CAP", whole(0, 1_000_000));
        let (base_url, real) = base?;
        let number = number?;
        let caller_ids = pool?.unwrap_or_else(|| number.iter().cloned().collect());
        Some(Self {
            account_sid: account_sid?,
            auth_token: auth_token?,
            from: number.or_else(|| caller_ids.first().cloned()),
            caller_ids,
            caller_max_cps: caller_max_cps?,
            caller_max_concurrent: caller_max_concurrent?,
            caller_daily_cap: caller_daily_cap?,
            base_url,
            real,
            max_cps: max_cps?,
            max_concurrent: max_concurrent?,
        })
    }

    /// Whether the configured host is Twilio's own; `false` too where it cannot be read, which is a mistake of its own.
    pub(super) fn is_real(from: &Reader<'_>) -> bool {
        from.set("TWILIO_API_BASE_URL").is_none_or(|text| api_base(&text).is_ok_and(|(_, real)| real))
    }
}

/// The most numbers of a pool: an index of two bytes stands for each.
const MOST_CALLERS: usize = 1_000;

fn caller_ids(text: &str, read: impl Fn(&str) -> Result<Phone, String>) -> Result<Vec<Phone>, String> {
    let mut pool = Vec::new();
    for (i, item) in text.split(',').map(str::trim).filter(|item| !item.is_empty()).enumerate() {
        // The place tells which one is meant: the number itself is not for logs.
        let number = read(item).map_err(|why| format!("{why}, separated by commas; see entry {}", i + 1))?;
        if pool.contains(&number) {
            return Err(format!("each number once; entry {} stands there twice", i + 1));
        }
        pool.push(number);
    }
    match pool.len() {
        0 => Err("numbers in E.164, separated by commas".to_owned()),
        n if n > MOST_CALLERS => Err(format!("at most {MOST_CALLERS} numbers")),
        _ => Ok(pool),
    }
}

fn account_sid(text: &str, real: bool) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !real && plain {
        return Ok(text.to_owned());
    }
    text.strip_prefix("AC")
        .filter(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(|_| text.to_owned())
        .ok_or_else(|| "AC and 32 hexadecimal digits, as the Twilio console shows it".to_owned())
}

fn api_base(text: &str) -> Result<(String, bool), String> {
    let url = plain_url(text)?;
    // Regions and edges have hosts of their own, such as api.dublin.ie1.twilio.com.
    let real = is_within(&url, "twilio.com");
    if real && url.scheme() != "https" {
        return Err("https:// for Twilio itself".to_owned());
    }
    Ok((text.trim_end_matches('/').to_owned(), real))
}

/// A dialable number in E.164; blanks and dashes within it are forgiven.
pub(super) fn number(text: &str) -> Result<Phone, String> {
    const WANTED: &str = "a number in E.164, such as +12125550123";
    if !text.starts_with('+') {
        return Err(WANTED.to_owned());
    }
    Phone::parse(text, "ZZ").map_err(|why| format!("{WANTED} ({why})"))
}
