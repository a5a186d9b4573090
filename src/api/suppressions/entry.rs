//! An entry as a client writes it and as it is shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::fields::Fields;
use crate::api::problems::FieldError;
use crate::base::clock::{Millis, rfc3339};
use crate::domain::ids::CampaignId;
use crate::domain::phone::Phone;
use crate::store::{Scope, Suppression};

/// An entry of the list. Times are RFC 3339.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct SuppressionView {
    /// The number, E.164; absent for a prefix, and where the person was erased: then the entry holds by the number's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phone_number: Option<String>,
    /// The prefix; absent for a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    /// Whom it concerns: `global` (every call) or `campaign`.
    pub(super) scope: &'static str,
    /// The campaign, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) campaign_id: Option<String>,
    /// `opt_out`, `api`, `import`, or what the client named.
    pub(super) source: String,
    /// What proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<String>,
    /// The call it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) call_id: Option<String>,
    /// Since when.
    pub(super) created_at: String,
    /// Until when; absent = for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
}

impl From<Suppression> for SuppressionView {
    fn from(entry: Suppression) -> Self {
        let (phone_number, prefix) = match entry.prefix {
            true => (None, Some(entry.number)),
            false => (Some(entry.number).filter(|number| !number.is_empty()), None),
        };
        Self {
            phone_number,
            prefix,
            scope: if entry.scope == Scope::Global { "global" } else { "campaign" },
            campaign_id: entry.scope.campaign().map(ToString::to_string),
            source: entry.source,
            evidence: entry.evidence,
            call_id: entry.call_id,
            created_at: rfc3339(entry.created_at),
            expires_at: entry.expires_at.map(rfc3339),
        }
    }
}

/// The columns of an export, which an import reads again.
pub(super) const COLUMNS: [&str; 8] =
    ["phone_number", "prefix", "campaign_id", "source", "evidence", "call_id", "created_at", "expires_at"];

impl SuppressionView {
    /// Its cells, in the order of [`COLUMNS`].
    pub(super) fn cells(&self) -> [&str; 8] {
        [
            self.phone_number.as_deref().unwrap_or(""),
            self.prefix.as_deref().unwrap_or(""),
            self.campaign_id.as_deref().unwrap_or(""),
            &self.source,
            self.evidence.as_deref().unwrap_or(""),
            self.call_id.as_deref().unwrap_or(""),
            &self.created_at,
            self.expires_at.as_deref().unwrap_or(""),
        ]
    }
}

/// What entries share that do not say it themselves.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// Where they come from.
    pub(super) source: String,
    /// What proves them.
    pub(super) evidence: Option<String>,
    /// Whom they concern.
    pub(super) scope: Scope,
}

/// A plus sign and 1 to 14 digits, the first no zero.
pub(super) fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|d| {
        (1..=14).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()) && !d.starts_with('0')
    })
}

/// Whom a campaign's id in a field or a parameter means; an error where it is no id.
pub(super) fn scope(fields: &mut Fields) -> Option<Scope> {
    let word = fields.text("scope", 20);
    let id = fields.text("campaign_id", 64);
    let campaign = id.as_deref().map(CampaignId::parse);
    match (word.as_deref(), campaign) {
        (_, Some(None)) => {
            fields.wrong("campaign_id", "is not a campaign's id (cmp_ and 22 letters and digits)");
            None
        }
        (Some("campaign"), None) => {
            fields.wrong("campaign_id", "is missing; scope is campaign");
            None
        }
        (Some("global"), Some(_)) => {
            fields.wrong("scope", "is global, but campaign_id names one");
            None
        }
        (Some("global"), None) => Some(Scope::Global),
        (None | Some("campaign"), Some(Some(id))) => Some(Scope::Campaign(id)),
        (None, None) => None,
        (Some(_), _) => {
            fields.wrong("scope", "must be global or campaign");
            None
        }
    }
}

/// Reads one entry; every mistake names its field.
pub(super) fn read(
    mut fields: Fields,
    app: &App,
    defaults: &Defaults,
    now: Millis,
) -> Result<Suppression, Vec<FieldError>> {
    let number = fields.text("phone_number", 128);
    let prefix = fields.text("prefix", 16);
    let scope = scope(&mut fields).unwrap_or_else(|| defaults.scope.clone());
    let source = fields.line("source", 100).unwrap_or_else(|| defaults.source.clone());
    let evidence = fields.text("evidence", 2_000).or_else(|| defaults.evidence.clone());
    let call_id = fields.text("call_id", 64);
    let created_at = fields.time("created_at");
    if created_at.is_some_and(|at| at > now) {
        fields.wrong("created_at", "lies ahead");
    }
    let expires_at = fields.time("expires_at");
    if expires_at.is_some_and(|at| at <= now) {
        fields.wrong("expires_at", "lies in the past");
    }
    // A list that marks prefixes in the column of numbers: `+1900*`.
    let (number, prefix) = match (number, prefix) {
        (Some(text), None) if text.ends_with('*') => (None, Some(text.trim_end_matches('*').to_owned())),
        other => other,
    };
    let mut whom = None;
    match (&number, &prefix) {
        (Some(text), None) => match Phone::parse(text, &app.api.config.default_region) {
            Ok(phone) => whom = Some((phone.e164().to_owned(), false)),
            Err(e) => fields.wrong("phone_number", e.to_string()),
        },
        (None, Some(text)) if is_prefix(text) => whom = Some((text.clone(), true)),
        (None, Some(_)) => fields.wrong("prefix", "must be a plus sign and 1 to 14 digits, such as +1900"),
        (Some(_), Some(_)) => fields.wrong("prefix", "stands beside phone_number; send one of them"),
        (None, None) => fields.wrong("phone_number", "is missing; send phone_number or prefix"),
    }
    let errors = fields.finish();
    let Some((number, prefix)) = whom.filter(|_| errors.is_empty()) else { return Err(errors) };
    let created_at = created_at.unwrap_or(now);
    Ok(Suppression { number, prefix, scope, source, evidence, call_id, created_at, expires_at })
}

#[cfg(test)]
mod tests {
    use super::is_prefix;

    #[test]
    fn prefixes_are_a_plus_sign_and_digits() {
        assert!(is_prefix("+1") && is_prefix("+1900"));
        for bad in ["", "+", "1900", "+0", "+1 900", "+123456789012345"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
