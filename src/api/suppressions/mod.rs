//! The do-not-call list: numbers and prefixes, of everybody or of one campaign, with source and evidence.

mod entry;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod import;
mod list;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::calls::observe;
use crate::api::fields::{Fields, Query, media_type, small_json};
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::base::clock::{Millis, SECOND};
use crate::domain::call::{Event, Phase};
use crate::domain::ids::CampaignId;
use crate::domain::phone::Phone;
use crate::store::{Listed, Scope, StoreError, Suppression};

use entry::Defaults;
pub(super) use entry::SuppressionView;
pub(super) use list::SuppressionList;
use list::{Filter, Format, Place};

/// How old a node's copy of the prefixes may be. A dial checks them again.
const FRESH: Millis = SECOND;
/// Most entries of a list in JSON.
const ENTRIES: usize = 10_000;

/// A copy of the prefixes on the list, with the time it was read.
#[derive(Default)]
pub(super) struct PrefixCache(Mutex<Option<(Millis, Arc<Vec<Suppression>>)>>);

impl PrefixCache {
    /// A cache that has just been told, at `now`, that there is no prefix.
    #[cfg(any(test, fuzzing))]
    pub(super) fn knowing_none(now: Millis) -> Self {
        Self(Mutex::new(Some((now, Arc::default()))))
    }

    /// Is there a prefix in force that forbids every call to `e164`?
    pub(super) async fn covers(&self, app: &App, e164: &str) -> Result<bool, StoreError> {
        self.covers_for(app, e164, None).await
    }

    /// Is there a prefix in force that forbids a call of this campaign to `e164`?
    pub(super) async fn covers_for(
        &self,
        app: &App,
        e164: &str,
        campaign: Option<&CampaignId>,
    ) -> Result<bool, StoreError> {
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
        Ok(entries.iter().any(|e| e.forbids(e164, campaign, now)))
    }
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
    /// The campaign whose calls it concerns; else every call.
    campaign_id: Option<String>,
    /// `global` or `campaign`; follows from `campaign_id`.
    scope: Option<String>,
    /// Where it comes from; `api` by default.
    source: Option<String>,
    /// What proves it.
    evidence: Option<String>,
    /// The call it came from.
    call_id: Option<String>,
    /// Since when (RFC 3339); else now.
    created_at: Option<String>,
    /// Until when (RFC 3339); else for good.
    expires_at: Option<String>,
}

/// Many entries.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // see `SuppressionRequest`
pub(super) struct SuppressionListRequest {
    /// At most 10,000; a longer list goes as CSV.
    entries: Vec<SuppressionRequest>,
}

/// One entry, or many.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // see `SuppressionRequest`
pub(super) enum SuppressionPost {
    /// One.
    One(Box<SuppressionRequest>),
    /// Many.
    Many(SuppressionListRequest),
}

/// What became of a list of entries.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ListReport {
    /// Entries that stand now where none in force stood.
    added: u64,
    /// Entries that took the place of one that expires sooner.
    replaced: u64,
    /// Entries whose place was taken by one that lasts as long.
    kept: u64,
    /// Rows that are no entry; `errors` says why.
    rejected: u64,
    /// The first 1,000 mistakes, each with its row: the header of a CSV file is row 1, the first entry in JSON too.
    errors: Vec<FieldError>,
    /// Were there more?
    errors_truncated: bool,
    /// Columns of a CSV file that mean nothing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_columns: Vec<String>,
}

/// One or the other answer.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // the shape for the documentation
pub(super) enum SuppressionAnswer {
    /// To one entry.
    One(SuppressionView),
    /// To a list.
    Many(ListReport),
}

/// The do-not-call list, or the entries that forbid calling one number.
///
/// `format=csv` and `format=ndjson` stream the whole list; the CSV may be imported again.
#[utoipa::path(get, path = "/api/suppressions", tag = "suppressions", security(("api_key" = [])),
    params(
        ("phone_number" = Option<String>, Query, description = "only the entries that forbid calling this number"),
        ("campaign_id" = Option<String>, Query, description = "only entries of this campaign; with phone_number: what forbids a call of it"),
        ("scope" = Option<String>, Query, description = "global: only entries that concern every call"),
        ("source" = Option<String>, Query, description = "only entries of this source"),
        ("format" = Option<String>, Query, description = "json (a page, the default), csv or ndjson (everything)"),
        ("limit" = Option<usize>, Query, description = "1 to 1000, by default 200"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, content((SuppressionList = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref());
    let phone = take_phone(&mut query, &app);
    let limit = query.number_in("limit", 1, 1_000, 200);
    let format = query.one_of("format", Format::parse, "json, csv or ndjson").unwrap_or(Format::Json);
    let place = query.one_of("cursor", Place::parse, "the next_cursor of a page").unwrap_or_default();
    let source = query.text("source");
    let mut fields = query.fields();
    let scope = entry::scope(&mut fields);
    let errors = fields.finish();
    if !errors.is_empty() {
        return Err(Problem::fields(Kind::InvalidQuery, errors));
    }
    let Some(phone) = phone else {
        let filter = Filter { scope, source };
        return match format {
            Format::Json => list::page(&app, &filter, place, limit).await.map(IntoResponse::into_response),
            _ => Ok(list::export(app, filter, format)),
        };
    };
    let now = app.api.clock.now();
    let found: Vec<Suppression> = match scope.as_ref().map(Scope::campaign) {
        Some(campaign) => {
            app.store().suppressed_for(phone.e164(), campaign, now).await?.into_iter().collect()
        }
        None => app.store().suppressions_of(phone.e164(), now).await?,
    };
    let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let suppressions = found.into_iter().map(SuppressionView::from).collect();
    Ok(Json(SuppressionList { suppressions, total, next_cursor: None }).into_response())
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

/// Put numbers or prefixes on the list. A number's waiting calls end within a second, its live ones are hung up.
///
/// One entry as a JSON object, many as `{"entries": […]}`, or as `text/csv` with a header row, streamed, of any length; there
/// `source`, `evidence` and `campaign_id` for all rows may stand in the query, and `map=Rufnummer:phone_number,bis:expires_at`
/// says what columns mean. A number that ends in `*` is a prefix. An entry of a campaign concerns its waiting calls alone.
///
/// An entry that lasts longer is not shortened by one that expires sooner: take it off first.
#[utoipa::path(post, path = "/api/suppressions", tag = "suppressions", security(("api_key" = [])),
    params(
        ("source" = Option<String>, Query, description = "CSV: where the list comes from; import by default"),
        ("evidence" = Option<String>, Query, description = "CSV: what proves it"),
        ("campaign_id" = Option<String>, Query, description = "CSV: the campaign whose calls it concerns"),
        ("scope" = Option<String>, Query, description = "CSV: global or campaign"),
        ("map" = Option<String>, Query, description = "CSV: column:field, separated by commas")),
    request_body(content((SuppressionPost = "application/json"), (String = "text/csv"))),
    responses((status = 201, description = "it is on the list", body = SuppressionView),
        (status = 200, description = "one that lasts as long stood there; or a list was read", body = SuppressionAnswer),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 408, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref());
    if matches!(media_type(&headers).as_str(), "text/csv" | "application/csv") {
        let (defaults, map) = shared(query)?;
        let report = Box::pin(import::csv(&app, &headers, body, &defaults, &map)).await?;
        tracing::info!(
            added = report.added,
            replaced = report.replaced,
            kept = report.kept,
            rejected = report.rejected,
            "a do-not-call list was imported"
        );
        return Ok(Json(report).into_response());
    }
    query.finish()?;
    let now = app.api.clock.now();
    let defaults = Defaults { source: "api".into(), evidence: None, scope: Scope::Global };
    let mut fields = small_json(&headers, body, app.api.config.body_limit).await?;
    if let Some(entries) = fields.take("entries") {
        return Box::pin(many(&app, fields, entries, &defaults, now)).await.map(IntoResponse::into_response);
    }
    let entry = entry::read(fields, &app, &defaults, now)
        .map_err(|errors| Problem::fields(Kind::InvalidRequest, errors))?;
    if put_on(&app, std::slice::from_ref(&entry)).await? != [Listed::Kept] {
        return Ok((StatusCode::CREATED, Json(SuppressionView::from(entry))).into_response());
    }
    let standing = match entry.prefix {
        true => app.store().prefixes().await?,
        false => app.store().suppressions_of(&entry.number, now).await?,
    };
    let same =
        |e: &Suppression| (e.prefix, &e.number, &e.scope) == (entry.prefix, &entry.number, &entry.scope);
    let standing = standing.into_iter().find(same);
    Ok(Json(SuppressionView::from(standing.unwrap_or(entry))).into_response())
}

/// What the rows of a CSV file share: it stands in the query.
fn shared(query: Query) -> Result<(Defaults, Vec<(String, String)>), Problem> {
    let mut fields = query.fields();
    let source = fields.text("source", 100).unwrap_or_else(|| "import".into());
    let evidence = fields.text("evidence", 2_000);
    let scope = entry::scope(&mut fields).unwrap_or_default();
    let mut map = Vec::new();
    for pair in fields.text("map", 2_000).iter().flat_map(|text| text.split(',')) {
        match pair.split_once(':') {
            Some((column, field)) => map.push((column.trim().to_lowercase(), field.trim().to_owned())),
            None => fields.wrong("map", "must be column:field, separated by commas"),
        }
    }
    let errors = fields.finish();
    if errors.is_empty() {
        Ok((Defaults { source, evidence, scope }, map))
    } else {
        Err(Problem::fields(Kind::InvalidQuery, errors))
    }
}

async fn many(
    app: &App,
    rest: Fields,
    entries: Value,
    defaults: &Defaults,
    now: Millis,
) -> Result<Json<ListReport>, Problem> {
    let mut errors = rest.finish();
    let rows = match entries {
        Value::Array(rows) if rows.len() <= ENTRIES => rows,
        Value::Array(_) => {
            errors.push(FieldError::new("entries", "are more than 10,000; send them as text/csv"));
            Vec::new()
        }
        _ => {
            errors.push(FieldError::new("entries", "must be a list of objects"));
            Vec::new()
        }
    };
    if !errors.is_empty() {
        return Err(Problem::fields(Kind::InvalidRequest, errors));
    }
    let mut intake = import::Intake::new(app);
    for (i, row) in (1_u64..).zip(rows) {
        let prefix = format!("entries[{}].", i - 1);
        let entry = match row {
            Value::Object(object) => entry::read(Fields::new(prefix, object), app, defaults, now),
            _ => Err(vec![FieldError::new(prefix.trim_end_matches('.'), "must be an object")]),
        };
        intake.offer(i, entry).await?;
    }
    intake.finish().await.map(Json)
}

/// Puts entries on the list and ends what their people have under way.
async fn put_on(app: &App, entries: &[Suppression]) -> Result<Vec<Listed>, Problem> {
    // On the list first: from here on nothing new is dialed.
    let puts = app.store().suppress_many(entries).await?;
    for (entry, put) in entries.iter().zip(&puts) {
        let global = entry.scope == Scope::Global && !entry.prefix;
        if global && put.legs > 0 && opt_out_live_calls(app, entry).await? && put.listed != Listed::Kept {
            // The opt-outs have written their own entry; the client's says more.
            app.store().suppress(entry).await?;
        }
    }
    Ok(puts.into_iter().map(|put| put.listed).collect())
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
        ("prefix" = Option<String>, Query, description = "or the prefix"),
        ("campaign_id" = Option<String>, Query, description = "off the list of this campaign; else off everybody's"),
        ("scope" = Option<String>, Query, description = "global or campaign; follows from campaign_id")),
    responses((status = 204, description = "it is off the list"), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let mut query = Query::parse(query.as_deref());
    let phone = take_phone(&mut query, &app);
    let prefix = query.number("prefix");
    let mut fields = query.fields();
    let scope = entry::scope(&mut fields).unwrap_or_default();
    let errors = fields.finish();
    if !errors.is_empty() {
        return Err(Problem::fields(Kind::InvalidQuery, errors));
    }
    let gone = match (phone, prefix) {
        (Some(phone), None) => app.store().unsuppress(phone.e164(), false, &scope).await?,
        (None, Some(prefix)) => app.store().unsuppress(&prefix, true, &scope).await?,
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
