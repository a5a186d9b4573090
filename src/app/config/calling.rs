//! The rules that calls are made under.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};

use super::reader::{Reader, flag, seconds, whole};
use super::twilio::number;
use crate::base::clock::{Millis, SECOND};
use crate::domain::call::Timings;
use crate::domain::phone::Phone;
use crate::domain::window::{Rules, Window};

/// What passes, beyond the ringing itself, until a missing callback is looked into.
const RING_MARGIN: Millis = 20 * SECOND;

/// `RECORDING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// From the committed consent on.
    AfterConsent,
    /// From the moment of answering; a refusal deletes it.
    FromAnswer,
    /// Never.
    Off,
}

/// Calling.
#[derive(Clone, Debug)]
pub struct CallingSection {
    /// `CALL_WINDOW`; never off with Twilio itself.
    pub window: Window,
    /// The built-in rules, or those of the file `CALLING_RULES`.
    pub rules: Arc<Rules>,
    /// `DEFAULT_REGION`, two capital letters.
    pub default_region: String,
    /// `FREQUENCY_CAP`: calls to one number in 24 h.
    pub frequency_cap: u32,
    /// `RING_TIMEOUT`: 15 s to 600 s.
    pub ring_timeout: Duration,
    /// `MAX_CALL_SECONDS`.
    pub max_call: Duration,
    /// `MACHINE_DETECTION`.
    pub machine_detection: bool,
    /// `RECORDING`.
    pub recording: Recording,
    /// `TRANSFER_NUMBER`, or its older name `REAL_PHONE_NUMBER`.
    pub transfer_number: Option<Phone>,
    /// `AGENTS_DIR`; a directory that exists.
    pub agents_dir: Option<PathBuf>,
    /// `TIME_SCALE`: 1 with Twilio itself.
    pub time_scale: f64,
}

impl CallingSection {
    pub(super) fn read(from: &mut Reader<'_>, real_carrier: bool) -> Option<Self> {
        let window = from.read("CALL_WINDOW", |text| {
            text.parse::<Window>().map_err(|_| {
                "a stretch of the day such as 08:00-21:00 (the whole day: 00:00-24:00), or off".to_owned()
            })
        });
        if real_carrier && window == Some(Window::Off) {
            from.wrong(
                "CALL_WINDOW",
                "is off, but TWILIO_API_BASE_URL is Twilio itself: people would be called at night",
            );
        }
        let rules = from.maybe("CALLING_RULES", rules);
        let default_region = from.read("DEFAULT_REGION", region);
        let frequency_cap = from.read("FREQUENCY_CAP", whole(1, 1_000));
        if real_carrier && frequency_cap.is_some_and(|cap| cap > 3) {
            from.warn("FREQUENCY_CAP", "is above 3 calls to one number in 24 hours, which many rules forbid");
        }
        let ring_timeout = from.read("RING_TIMEOUT", seconds(15.0, 600.0));
        let max_call = from.read("MAX_CALL_SECONDS", seconds(30.0, 14_400.0));
        let machine_detection = from.read("MACHINE_DETECTION", flag);
        let recording = from.read("RECORDING", |text| match text {
            "after_consent" => Ok(Recording::AfterConsent),
            "from_answer" => Ok(Recording::FromAnswer),
            "off" => Ok(Recording::Off),
            _ => Err("after_consent, from_answer or off".to_owned()),
        });
        let transfer_number = transfer_number(from);
        let agents_dir = from.maybe("AGENTS_DIR", |text| {
            let path = Path::new(text);
            if path.is_dir() { Ok(path.to_owned()) } else { Err("a directory that exists".to_owned()) }
        });
        let time_scale = from.read("TIME_SCALE", |text| {
            text.parse::<f64>()
                .ok()
                .filter(|n| (1.0..=100_000.0).contains(n))
                .ok_or_else(|| "a number from 1 (real time) to 100000".to_owned())
        });
        if real_carrier && time_scale.is_some_and(|scale| scale > 1.0) {
            from.wrong("TIME_SCALE", "is not 1, but TWILIO_API_BASE_URL is Twilio itself: people would be called again within seconds");
        }
        Some(Self {
            window: window?,
            rules: rules?.unwrap_or_else(|| Arc::new(Rules::builtin().clone())),
            default_region: default_region?,
            frequency_cap: frequency_cap?,
            ring_timeout: ring_timeout?,
            max_call: max_call?,
            machine_detection: machine_detection?,
            recording: recording?,
            transfer_number: transfer_number?,
            agents_dir: agents_dir?,
            time_scale: time_scale?,
        })
    }

    /// The watchdogs that follow from this, at `TIME_SCALE`.
    #[must_use]
    pub fn timings(&self) -> Timings {
        let ring = Millis::try_from(self.ring_timeout.as_millis()).unwrap_or(Millis::MAX);
        let max_call = Millis::try_from(self.max_call.as_millis()).unwrap_or(Millis::MAX);
        Timings { ring_watch: ring.saturating_add(RING_MARGIN), max_call, ..Timings::default() }
            .scaled(self.time_scale)
    }
}

/// Two names for one thing; where both are set they have to agree.
fn transfer_number(from: &mut Reader<'_>) -> Option<Option<Phone>> {
    let new = from.maybe("TRANSFER_NUMBER", number);
    let old = from.maybe("REAL_PHONE_NUMBER", number);
    match (new?, old?) {
        (Some(new), Some(old)) if new != old => {
            from.wrong("TRANSFER_NUMBER", "and REAL_PHONE_NUMBER, its older name, are both set and differ");
            None
        }
        (new, old) => Some(new.or(old)),
    }
}

fn rules(path: &str) -> Result<Arc<Rules>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("a file of calling rules; this one cannot be read ({})", why.kind()))?;
    let rules = Rules::parse(&text).map_err(|why| format!("a file of calling rules: {}", why.trim()))?;
    Ok(Arc::new(rules))
}

fn region(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let known = upper
        .parse::<Region>()
        .is_ok_and(|region| PHONE_NUMBER_UTIL.get_supported_regions().any(|known| known == region));
    if known && upper.len() == 2 {
        Ok(upper)
    } else {
        Err("a country's code of two letters, such as US or DE".to_owned())
    }
}
