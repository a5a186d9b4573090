//! The do-not-call list: numbers and prefixes, with source and evidence.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::App;
use crate::api::calls::observe;
use crate::api::fields::{Query, small_json};
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::base::clock::{Millis, SECOND, rfc3339};
use crate::domain::call::{Event, Phase};
use crate::domain::phone::Phone;
use crate::store::{Scope, StoreError, Suppression};

/// How old a node's copy of the prefixes may be. A dial checks them again.
const FRESH: Millis = SECOND;

/// A copy of the prefixes on the list, with the time it was read.
#[derive(Default)]
pub(super) struct PrefixCache(Mutex<Option<(Millis, Arc<Vec<Suppression>>)>>);

impl PrefixCache {
    /// Is there a prefix in force that covers `e164`?
    pub(super) async fn covers(&self, app: &App, e164: &str) -> Result<bool, StoreError> {
        let now = app.api.clock.now();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entries = match known.filter(|(read, _)| now.saturating_sub(*read) < FRESH) {
            Some((_, entries)) => entries,
            None => {
                let entries = Arc::new(app.store().prefixes().await?);
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&entries)));
                entries
            }
        };
        Ok(entries.iter().any(|e| e.holds(now) && e164.starts_with(&e.number)))
    }
}

/// An entry of the list. Times are RFC 3339.
#[derive(Serialize, ToSchema)]
pub(super) struct SuppressionView {
    /// The number, E.164; absent for a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    /// The prefix; absent for a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// Whom it concerns.
    scope: Scope,
    /// `opt_out`, `api`, or what the client named.
    source: String,
    /// What proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
    /// The call it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    /// Since when.
    created_at: String,
    /// Until when; absent = for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl From<Suppression> for SuppressionView {
    fn from(entry: Suppression) -> Self {
        let (phone_number, prefix) =
            if entry.prefix { (None, Some(entry.number)) } else { (Some(entry.number), None) };
        Self {
            phone_number,
            prefix,
            scope: entry.scope,
            source: entry.source,
            evidence: entry.evidence,
            call_id: entry.call_id,
            created_at: rfc3339(entry.created_at),
            expires_at: entry.expires_at.map(rfc3339),
        }
    }
}

/// A page of the list.
#[derive(Serialize, ToSchema)]
pub(super) struct SuppressionList {
    /// Newest first.
    suppressions: Vec<SuppressionView>,
    /// How many there are in all.
    total: usize,
}

/// A new entry: `phone_number` or `prefix`.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation; the body is read field by field
pub(super) struct SuppressionRequest {
    /// A number in any notation.
    phone_number: Option<String>,
    /// The beginning of numbers: a plus sign and 1 to 14 digits.
    #[schema(example = "+1900")]
    prefix: Option<String>,
    /// Where it comes from; `api` by default.
    source: Option<String>,
    /// What proves it.
    evidence: Option<String>,
    /// Until when (RFC 3339); else for good.
    expires_at: Option<String>,
}

/// The do-not-call list, or the entries that forbid calling one number.
#[utoipa::path(get, path = "/api/suppressions", tag = "suppressions", security(("api_key" = [])),
    params(
        ("phone_number" = Option<String>, Query, description = "only the entry that forbids this number, if there is one"),
        ("limit" = Option<usize>, Query, description = "1 to 1000, by default 200"),
        ("offset" = Option<usize>, Query, description = "how many to pass over")),
    responses((status = 200, body = SuppressionList), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<SuppressionList>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let phone = take_phone(&mut query, &app);
    let limit = query.number_in("limit", 1, 1_000, 200);
    let offset = query.number_in("offset", 0, usize::MAX, 0);
    query.finish()?;
    let mut entries = match phone {
        Some(phone) => app.store().suppressed(phone.e164(), app.api.clock.now()).await?.into_iter().collect(),
        None => app.store().suppressions().await?,
    };
    entries.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.number.cmp(&b.number)));
    let total = entries.len();
    let page = entries.into_iter().skip(offset).take(limit).map(SuppressionView::from).collect();
    Ok(Json(SuppressionList { suppressions: page, total }))
}

fn take_phone(query: &mut Query, app: &App) -> Option<Phone> {
    let text = query.number("phone_number")?;
    match Phone::parse(&text, &app.api.config.default_region) {
        Ok(phone) => Some(phone),
        Err(e) => {
            query.wrong("phone_number", e.to_string());
            None
        }
    }
}

fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|d| {
        (1..=14).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()) && !d.starts_with('0')
    })
}

/// Put a number or a prefix on the list. A number's waiting calls end within a second, its live ones are hung up.
///
/// An entry that stands for good is not shortened by one that expires: take it off first.
#[utoipa::path(post, path = "/api/suppressions", tag = "suppressions", security(("api_key" = [])),
    request_body = SuppressionRequest,
    responses((status = 201, body = SuppressionView), (status = 200, description = "it stood there for good", body = SuppressionView),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SuppressionView>), Problem> {
    let now = app.api.clock.now();
    let mut fields = small_json(&headers, body, app.api.config.body_limit).await?;
    let number = fields.text("phone_number", 128);
    let prefix = fields.text("prefix", 16);
    let source = fields.text("source", 100).unwrap_or_else(|| "api".into());
    let evidence = fields.text("evidence", 2_000);
    let expires_at = fields.time("expires_at");
    if expires_at.is_some_and(|at| at <= now) {
        fields.wrong("expires_at", "lies in the past");
    }
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
    let Some((number, prefix)) = whom.filter(|_| errors.is_empty()) else {
        return Err(Problem::fields(Kind::InvalidRequest, errors));
    };
    let entry = Suppression {
        number,
        prefix,
        scope: Scope::Global,
        source,
        evidence,
        call_id: None,
        created_at: now,
        expires_at,
    };
    let standing = app.store().suppressed(&entry.number, now).await?;
    let standing =
        standing.filter(|s| s.number == entry.number && s.prefix == prefix && s.expires_at.is_none());
    // On the list first: from here on nothing new is dialed.
    if standing.is_none() {
        app.store().suppress(&entry).await?;
    }
    if !prefix && opt_out_live_calls(&app, &entry).await? && standing.is_none() {
        // The opt-outs have written their own entry; the client's says more.
        app.store().suppress(&entry).await?;
    }
    Ok(match standing {
        Some(standing) => (StatusCode::OK, Json(standing.into())),
        None => (StatusCode::CREATED, Json(entry.into())),
    })
}

/// Ends what this person has under way. Waiting calls are ended by the next claim, which sees the entry.
async fn opt_out_live_calls(app: &App, entry: &Suppression) -> Result<bool, Problem> {
    let mut any = false;
    for id in app.store().open_calls(&entry.number).await? {
        let Some(call) = app.store().load(&id).await? else { continue };
        if !matches!(call.phase(), Phase::Queued | Phase::Ended) {
            any = true;
            let words =
                entry.evidence.clone().unwrap_or_else(|| format!("put on the list by {}", entry.source));
            observe(app, call, || Event::OptedOut { words: words.clone() }).await?;
        }
    }
    Ok(any)
}

/// Take a number or a prefix off the list.
#[utoipa::path(delete, path = "/api/suppressions", tag = "suppressions", security(("api_key" = [])),
    params(
        ("phone_number" = Option<String>, Query, description = "the number"),
        ("prefix" = Option<String>, Query, description = "or the prefix")),
    responses((status = 204, description = "it is off the list"), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let mut query = Query::parse(query.as_deref());
    let phone = take_phone(&mut query, &app);
    let prefix = query.number("prefix");
    query.finish()?;
    let gone = match (phone, prefix) {
        (Some(phone), None) => app.store().unsuppress(phone.e164(), false).await?,
        (None, Some(prefix)) => app.store().unsuppress(&prefix, true).await?,
        _ => {
            let error = FieldError::new("phone_number", "send either phone_number or prefix");
            return Err(Problem::fields(Kind::InvalidQuery, vec![error]));
        }
    };
    if gone {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(Kind::UnknownSuppression, "this is not on the do-not-call list"))
    }
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
