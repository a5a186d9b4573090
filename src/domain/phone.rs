//! Telephone numbers: any notation in, E.164 out, and the time zones a number may lie in.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use rlibphonenumber::{
    PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region, ValidationError,
};
use serde::{Deserialize, Serialize};

/// The longest text that is looked at; RFC 3966 with parameters fits, a document does not.
const MAX_TEXT: usize = 128;

/// Three-digit numbers that reach an emergency or crisis service somewhere; never dialed by a machine.
const EMERGENCY: [&str; 16] = [
    "000", "100", "101", "102", "108", "110", "111", "112", "113", "117", "118", "119", "911", "988", "995",
    "999",
];

/// A number in E.164. `Debug` and `Display` show it redacted (`+1…00`): the whole number leaves by [`Phone::e164`]
/// alone, and by serde, whose form is the plain string of the call's record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phone(Box<str>);

impl Phone {
    /// Reads a number in any notation. `default_region` (ISO 3166-1 alpha-2, `US`) says how to read one that
    /// names no country. Refused, with the reason: what is no valid number, what costs the callee or the caller a
    /// premium, what is short or an emergency service, and what needs an extension keyed in.
    ///
    /// # Errors
    /// [`PhoneError`], which never holds the text.
    pub fn parse(text: &str, default_region: &str) -> Result<Self, PhoneError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PhoneError::Empty);
        }
        if text.len() > MAX_TEXT {
            return Err(PhoneError::TooLong);
        }
        let service = service_digits(text);
        if service.as_deref().is_some_and(|digits| EMERGENCY.contains(&digits)) {
            return Err(PhoneError::Emergency);
        }
        Self::parse_ordinary(text, default_region).map_err(|e| match e {
            PhoneError::TooShort | PhoneError::NotAssigned if service.is_some() => PhoneError::Short,
            other => other,
        })
    }

    fn parse_ordinary(text: &str, default_region: &str) -> Result<Self, PhoneError> {
        let number = match north_american(text, default_region) {
            Some(national_number) => {
                PhoneNumber { country_code: 1, national_number, ..PhoneNumber::default() }
            }
            None => by_library(text, default_region)?,
        };
        let util = &*PHONE_NUMBER_UTIL;
        if number.extension.as_deref().is_some_and(|x| !x.is_empty()) {
            return Err(PhoneError::Extension);
        }
        if number.national_number < 1_000 && EMERGENCY.contains(&number.national_number.to_string().as_str())
        {
            return Err(PhoneError::Emergency);
        }
        match util.get_number_type(&number) {
            // What is of no type is not valid, and only that: it is the same look at the same patterns.
            PhoneNumberType::Unknown => {
                return Err(match util.is_possible_number_with_reason(&number) {
                    Err(ValidationError::InvalidCountryCode) => PhoneError::CountryCode,
                    Err(ValidationError::TooShort) => PhoneError::TooShort,
                    Err(ValidationError::TooLong) => PhoneError::TooLong,
                    _ => PhoneError::NotAssigned,
                });
            }
            PhoneNumberType::PremiumRate => return Err(PhoneError::PremiumRate),
            PhoneNumberType::SharedCost => return Err(PhoneError::SharedCost),
            _ => {}
        }
        Self::from_e164(&util.format(&number, PhoneNumberFormat::E164)).ok_or(PhoneError::NotANumber)
    }

    /// Takes a number that was [`parse`](Self::parse)d before; only the shape is checked (`+`, then 7 to 15 digits,
    /// the first no zero).
    #[must_use]
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let shape = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        shape.then(|| Self(text.into()))
    }

    /// The number in E.164. Not for logs, metrics or keys.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// The digits after the plus sign.
    fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// Where a call to it goes, as a circuit breaker tells destinations apart: country code and area code of a North
    /// American number (`1415`), elsewhere the first five digits.
    #[must_use]
    pub fn destination(&self) -> &str {
        let digits = self.digits();
        let most = if self.area_code().is_some() { 4 } else { 5 };
        digits.get(..most).unwrap_or(digits)
    }

    /// The North American area code, for a number of country code 1.
    #[must_use]
    pub fn area_code(&self) -> Option<&str> {
        let national = self.digits().strip_prefix('1')?;
        (national.len() == 10).then(|| &national[..3])
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", &self.0[..2], &self.0[self.0.len() - 2..])
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Phone {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::from_e164(&text).ok_or("not a telephone number in E.164")
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> Self {
        phone.0.into()
    }
}

/// Why a text is not a number that may be dialed. The message never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PhoneError {
    /// Nothing was given.
    #[error("no telephone number was given")]
    Empty,
    /// No telephone number can be read in it.
    #[error("this is not a telephone number")]
    NotANumber,
    /// No country has this code, or none was given and there is no default region.
    #[error("the country code is missing or does not exist")]
    CountryCode,
    /// Digits are missing.
    #[error("the number has too few digits")]
    TooShort,
    /// Too many digits, or a text too long to be a number.
    #[error("the number has too many digits")]
    TooLong,
    /// The right length, but no such number is in use.
    #[error("no such number is assigned in its country")]
    NotAssigned,
    /// A service number that works inside one country alone.
    #[error("short numbers are not called")]
    Short,
    /// An emergency or crisis service.
    #[error("emergency numbers are never called")]
    Emergency,
    /// A call to it costs more than a call.
    #[error("premium-rate numbers are not called")]
    PremiumRate,
    /// Its owner pays part of the call.
    #[error("shared-cost numbers are not called")]
    SharedCost,
    /// An extension cannot be keyed in.
    #[error("numbers with an extension are not called")]
    Extension,
}

impl PhoneError {
    /// The stable word for it, as it stands in API answers and reports.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "phone_empty",
            Self::NotANumber => "phone_not_a_number",
            Self::CountryCode => "phone_country_code",
            Self::TooShort => "phone_too_short",
            Self::TooLong => "phone_too_long",
            Self::NotAssigned => "phone_not_assigned",
            Self::Short => "phone_short",
            Self::Emergency => "phone_emergency",
            Self::PremiumRate => "phone_premium_rate",
            Self::SharedCost => "phone_shared_cost",
            Self::Extension => "phone_extension",
        }
    }
}

/// Reads a text with all that the library knows of notations.
fn by_library(text: &str, default_region: &str) -> Result<PhoneNumber, PhoneError> {
    let region = default_region.to_ascii_uppercase().parse::<Region>().ok();
    PHONE_NUMBER_UTIL.parse(text, region).map_err(|e| match e {
        ParseError::InvalidCountryCode => PhoneError::CountryCode,
        ParseError::NotANumber(_) => PhoneError::NotANumber,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => PhoneError::TooShort,
        ParseError::TooLongNsn => PhoneError::TooLong,
    })
}

/// The ten digits of a North American number in the notations that most lists have: `+1` and ten digits, in the United
/// States ten alone or with a 1, between them blanks, parentheses, hyphens and points. The library finds the same, by a dozen
/// patterns; whether such a number is in use is its business in any case.
fn north_american(text: &str, default_region: &str) -> Option<u64> {
    const TEN: u64 = 10_000_000_000;
    let international = text.starts_with("+1");
    if !international && !default_region.eq_ignore_ascii_case("US") {
        return None;
    }
    let (mut number, mut digits) = (0_u64, 0_u32);
    for byte in text.bytes().skip(usize::from(international)) {
        match byte {
            b'0'..=b'9' if digits < 11 => {
                number = number * 10 + u64::from(byte - b'0');
                digits += 1;
            }
            b' ' | b'(' | b')' | b'-' | b'.' => {}
            _ => return None,
        }
    }
    let national = match digits {
        10 if !international => number,
        11 if number / TEN == 1 => number % TEN,
        _ => return None,
    };
    // No area code begins with 0 or 1; what does is read in other ways.
    (national >= TEN / 5).then_some(national)
}

/// The digits of a text that has 3 to 6 of them and nothing else but punctuation: where it is no number of the default
/// region, it is a service number, whatever country it is dialed in.
fn service_digits(text: &str) -> Option<String> {
    if text.starts_with('+') || text.chars().any(char::is_alphabetic) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (3..=6).contains(&digits.len()).then_some(digits)
}

/// Mobile numbers that the map puts into one zone of a country which has several, with the country's own prefix: they
/// belong to no place and may be in any of its zones (numbering plans of Australia, Indonesia and Russia).
const NATIONWIDE: [(&str, &str); 3] = [("614", "61"), ("628", "62"), ("79", "7")];

/// Prefix → zones, from the data file.
struct ZoneMap {
    sets: HashMap<&'static str, Vec<&'static str>>,
    longest: usize,
}

static ZONES: LazyLock<ZoneMap> = LazyLock::new(|| {
    let mut sets: HashMap<&'static str, Vec<&'static str>> = HashMap::new();
    for line in include_str!("data/zones.txt").lines().filter(|l| !l.starts_with('#')) {
        let Some((zones, prefixes)) = line.split_once('\t') else { continue };
        for prefix in prefixes.split(' ') {
            sets.insert(prefix, zones.split(',').collect());
        }
    }
    // A North American area code that the map cuts up further may hold, in an exchange that it does not list, any
    // of the zones of its exchanges: all of them are candidates.
    let finer: Vec<(&'static str, Vec<&'static str>)> = sets
        .iter()
        .filter(|(prefix, _)| prefix.starts_with('1') && prefix.len() > 4)
        .map(|(prefix, zones)| (&prefix[..4], zones.clone()))
        .collect();
    for (area, zones) in finer {
        if let Some(all) = sets.get_mut(area) {
            all.extend(zones);
            all.sort_unstable();
            all.dedup();
        }
    }
    for (mobile, country) in NATIONWIDE {
        if let Some(all) = sets.get(country).cloned() {
            sets.retain(|prefix, _| !prefix.starts_with(mobile));
            sets.insert(mobile, all);
        }
    }
    let longest = sets.keys().map(|p| p.len()).max().unwrap_or(0);
    ZoneMap { sets, longest }
});

/// Every IANA time zone the number may lie in, by the longest prefix known. Empty where nothing is known: the caller
/// must then not dial. A number without a place (toll-free) may lie in any zone of its country code.
#[must_use]
pub fn zones(phone: &Phone) -> Vec<&'static str> {
    zone_set(phone).to_vec()
}

/// [`zones`] as they stand in the map: numbers of one prefix get the same slice.
#[must_use]
pub fn zone_set(phone: &Phone) -> &'static [&'static str] {
    let digits = phone.digits();
    (1..=ZONES.longest.min(digits.len()))
        .rev()
        .find_map(|n| ZONES.sets.get(&digits[..n]))
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_notation_becomes_e164() {
        for (text, region, want) in [
            ("+14155550100", "US", "+14155550100"),
            ("(415) 555-0100", "US", "+14155550100"),
            ("1-415-555-0100", "US", "+14155550100"),
            ("415.555.0100", "us", "+14155550100"),
            ("tel:+1-415-555-0100", "US", "+14155550100"),
            ("  +1 415 555 0100 ", "", "+14155550100"),
            ("011 44 20 7946 0018", "US", "+442079460018"),
            ("020 7946 0018", "GB", "+442079460018"),
            ("+44 (0)20 7946 0018", "US", "+442079460018"),
            ("030 901820", "DE", "+4930901820"),
            ("1-800-FLOWERS", "US", "+18003569377"),
            ("+14155550100", "US", "+14155550100"),
            ("201234", "FO", "+298201234"),
            ("+39 06 698 1234", "US", "+39066981234"),
        ] {
            assert_eq!(
                Phone::parse(text, region).map(|p| p.e164().to_owned()),
                Ok(want.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_may_not_be_called_is_refused_with_the_reason() {
        for (text, want) in [
            ("", PhoneError::Empty),
            ("   ", PhoneError::Empty),
            ("hello", PhoneError::NotANumber),
            ("12", PhoneError::TooShort),
            ("+15551234567", PhoneError::NotAssigned),
            ("+19995550100", PhoneError::NotAssigned),
            ("+1415555010", PhoneError::TooShort),
            ("+1415555010099", PhoneError::TooLong),
            ("+999 4155550100", PhoneError::CountryCode),
            ("911", PhoneError::Emergency),
            ("112", PhoneError::Emergency),
            ("+1 911", PhoneError::Emergency),
            ("411", PhoneError::Short),
            ("12345", PhoneError::Short),
            ("+1 900 555 0100", PhoneError::PremiumRate),
            ("+44 909 879 0000", PhoneError::PremiumRate),
            ("+61 1300 655 506", PhoneError::SharedCost),
            ("+1 415 555 0100 ext. 22", PhoneError::Extension),
        ] {
            assert_eq!(Phone::parse(text, "US"), Err(want), "{text}");
        }
        assert_eq!(Phone::parse(&"1".repeat(4_000), "US"), Err(PhoneError::TooLong));
        assert_eq!(Phone::parse("415 555 0100", "??"), Err(PhoneError::CountryCode));
    }

    proptest! {
        #[test]
        fn north_american_numbers_are_read_as_the_library_reads_them(
            lead in "(\\+1|\\+|1|)",
            digits in "[0-9]{3}[2-9][0-9]{6}|(212|415|242|787|204|800|900|555|670|911)[0-9]{7}|[0-9]{8,12}",
            between in proptest::collection::vec("[ ().-]{0,2}", 14),
            region in "US|us|GB|CA|BS|DE|\\?\\?",
        ) {
            let mut text = lead;
            for (digit, mark) in digits.chars().zip(between) {
                text.push_str(&mark);
                text.push(digit);
            }
            if let Some(national) = north_american(&text, &region) {
                let number = PhoneNumber { country_code: 1, national_number: national, ..PhoneNumber::default() };
                prop_assert_eq!(by_library(&text, &region), Ok(number), "{} in {}", text, region);
            }
        }
    }

    #[test]
    fn the_short_way_is_for_whole_north_american_numbers() {
        for (text, region, national) in [
            ("(415) 555-2671", "US", Some(4_155_552_671)),
            ("+1 415.555.2671", "DE", Some(4_155_552_671)),
            ("1-415-555-2671", "us", Some(4_155_552_671)),
            ("415 555 2671", "CA", None),
            ("1-415-555-2671", "GB", None),
            ("+415 555 2671", "US", None),
            ("415 555 267", "US", None),
            ("115 555 2671", "US", None),
            ("415 555 2671 x2", "US", None),
            ("+1 1415 555 2671", "US", None),
        ] {
            assert_eq!(north_american(text, region), national, "{text}");
        }
    }

    #[test]
    fn what_is_of_no_type_is_what_is_not_valid() {
        let util = &*PHONE_NUMBER_UTIL;
        // Every beginning of three digits, and of each some numbers of every length.
        let mut seen = [0_u32; 2];
        for head in 100..1_000_u32 {
            for tail in ["", "2", "30", "415", "2671", "53890", "532671", "5532671", "94035267", "945532671"]
            {
                let Ok(number) = util.parse(format!("+{head}{tail}"), None) else { continue };
                let valid = util.is_valid_number(&number);
                assert_eq!(valid, util.get_number_type(&number) != PhoneNumberType::Unknown, "+{head}{tail}");
                seen[usize::from(valid)] += 1;
            }
        }
        assert!(seen.iter().all(|n| *n > 300), "{seen:?}");
    }

    #[test]
    fn a_number_is_never_shown_whole() {
        let phone = Phone::parse("+14155550123", "US").expect("valid");
        assert_eq!(format!("{phone} {phone:?}"), "+1…23 +1…23");
        assert_eq!(serde_json::to_string(&phone).expect("json"), "\"+14155550123\"");
        assert_eq!(serde_json::from_str::<Phone>("\"+14155550123\"").expect("json"), phone);
        assert!(serde_json::from_str::<Phone>("\"4155550123\"").is_err());
    }

    #[test]
    fn zones_follow_the_longest_prefix() {
        let of = |text: &str| zones(&Phone::from_e164(text).expect("shape"));
        assert_eq!(of("+14155550100"), ["America/Los_Angeles"]);
        assert_eq!(of("+12125550100"), ["America/New_York"]);
        assert_eq!(of("+442079460018"), ["Europe/London"]);
        assert!(of("+18005550100").len() > 30, "a toll-free number may lie anywhere");
        // 850 is Florida's panhandle, cut by the line between Eastern and Central.
        assert_eq!(of("+18505550100"), ["America/Chicago", "America/New_York"]);
        assert!(of("+99912345678").is_empty());
        // Mobiles that roam a wide country are in all of its zones, its landlines in their own.
        assert!(of("+61412345678").contains(&"Australia/Perth") && of("+79031234567").len() > 10);
        assert_eq!(of("+61892345678"), ["Australia/Adelaide", "Australia/Perth"]);
    }

    #[test]
    fn every_zone_of_the_map_exists() {
        for zone in ZONES.sets.values().flatten() {
            assert!(jiff::tz::TimeZone::get(zone).is_ok(), "{zone}");
        }
        assert!(ZONES.sets.len() > 3_000);
    }
}
