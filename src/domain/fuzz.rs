//! Fuzz targets of numbers, ids and the file of calling rules.

use crate::base::fuzz::texts;
use crate::domain::ids::{CallId, CampaignId, PhoneHash, Shard};
use crate::domain::phone::{Phone, zones};
use crate::domain::window::Rules;

/// A number in any notation: what is read is E.164, is read again as itself, and shows itself nowhere.
pub(crate) fn phone(data: &[u8]) {
    let mut parts = texts(data);
    let (text, region) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_else(|| "US".into()));
    let phone = match Phone::parse(&text, &region) {
        Ok(phone) => phone,
        Err(error) => {
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
            assert_eq!(digits(&error.to_string()), 0, "an error repeats what was read");
            assert!(!error.code().is_empty());
            return;
        }
    };
    let e164 = phone.e164();
    assert_eq!(Phone::from_e164(e164).as_ref(), Some(&phone));
    assert_eq!(
        Phone::parse(e164, "US").as_ref(),
        Ok(&phone),
        "{e164} of {text:?} is read again as something else"
    );
    for shown in [format!("{phone}"), format!("{phone:?}"), format!("{:?}", Some(&phone))] {
        assert!(!shown.contains(&e164[2..]), "a number shows itself: {shown}");
    }
    assert!(phone.destination().len() <= 5 && e164.contains(phone.destination()));
    assert!(zones(&phone).iter().all(|zone| !zone.is_empty()));
    assert!(Rules::builtin().region(&phone).is_none_or(|region| !region.is_empty()));
    assert!(!PhoneHash::of(b"a key", e164).as_str().contains(&e164[1..]));
    assert!(Shard::all().any(|shard| shard == Shard::of(e164)));
}

/// The file of calling rules, which an operator writes, and the `CALL_WINDOW`.
pub(crate) fn window(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Whoever wrote the file reads the message: it has to be one.
    assert!(Rules::parse(&text).map_or_else(|why| !why.is_empty(), |rules| !rules.version().is_empty()));
}

/// Ids.
pub(crate) fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(id) = CallId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(Shard::all().any(|shard| shard == id.shard()));
        assert_eq!(serde_json::from_value::<CallId>(text.into()).ok(), Some(id));
    } else {
        assert!(serde_json::from_value::<CallId>(text.into()).is_err());
    }
    assert_eq!(CampaignId::parse(text), serde_json::from_value(text.into()).ok());
}
