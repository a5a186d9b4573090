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
    /// `TWILIO_PHONE_NUMBER`; there in every role that dials.
    pub from: Option<Phone>,
    /// `TWILIO_API_BASE_URL`, without a slash at the end.
    pub base_url: String,
    /// Whether that is Twilio itself: calls then reach people, and what is for rehearsals alone is refused.
    pub real: bool,
    /// `TWILIO_MAX_CPS`: calls started per second, fleet-wide; above 0.
    pub max_cps: f64,
    /// `TWILIO_MAX_CONCURRENT`: calls at a time, fleet-wide; 1 at least.
    pub max_concurrent: u32,
}

impl TwilioSection {
    pub(super) fn read(from: &mut Reader<'_>, dials: bool) -> Option<Self> {
        let real = Self::is_real(from);
        let account_sid = from.read_quiet("TWILIO_ACCOUNT_SID", |text| account_sid(text, real));
        let auth_token = from.read_quiet("TWILIO_AUTH_TOKEN", secret(1));
        let number = from.needed("TWILIO_PHONE_NUMBER", dials, |text| match number(text) {
            // A simulated carrier may have numbers that no real one has.
            Err(why) if !real => Phone::from_e164(text).ok_or(why),
            other => other,
        });
        let base = from.read("TWILIO_API_BASE_URL", api_base);
        let max_cps = from.read("TWILIO_MAX_CPS", |text| {
            text.parse::<f64>()
                .ok()
                .filter(|n| *n > 0.0 && *n <= 1_000.0)
                .ok_or_else(|| "a number above 0, up to 1000".to_owned())
        });
        let max_concurrent = from.read("TWILIO_MAX_CONCURRENT", whole(1, 100_000));
        let (base_url, real) = base?;
        Some(Self {
            account_sid: account_sid?,
            auth_token: auth_token?,
            from: number?,
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
