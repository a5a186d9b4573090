//! How the calls of a campaign ended: a page of them as JSON, or all of them as CSV or NDJSON, streamed.
//!
//! The number stands in the streamed forms, since who posted it cannot tell the rows apart without; it is read from the
//! call's record, and is gone with it 48 hours after the end. `phones=false` leaves it out.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::campaigns::found;
use crate::api::fields::Query;
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::base::clock::{Millis, rfc3339};
use crate::domain::call::Call;
use crate::domain::disposition::{Disposition, EndResult};
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::{Store, StoreError};

/// Rows that are read together.
const CHUNK: usize = 256;

/// A call of a campaign that is over.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultRow {
    /// The call.
    call_id: String,
    /// How it ended.
    disposition: String,
    /// Attempts made.
    attempts: u32,
    /// When it was over (RFC 3339).
    ended_at: String,
}

/// A page of results.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultList {
    /// By the time they ended.
    results: Vec<ResultRow>,
    /// How many there are so far.
    total: usize,
}

/// A row of the streamed forms. In CSV what is not known is empty, and lists and objects are JSON.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultLine {
    /// The call.
    call_id: String,
    /// The number, E.164, while its record is there and unless `phones=false`.
    phone_number: Option<String>,
    /// The keyed hash of the number.
    phone_hash: Option<String>,
    /// How it ended.
    disposition: String,
    /// Who brought the end about.
    result: Option<EndResult>,
    /// Why, as a stable word.
    reason: Option<String>,
    /// The carrier's own code.
    provider_code: Option<String>,
    /// Attempts made.
    attempts: u32,
    /// When it was accepted (RFC 3339).
    created_at: Option<String>,
    /// When its last attempt was dialed.
    started_at: Option<String>,
    /// When that was answered.
    answered_at: Option<String>,
    /// When it was over.
    ended_at: String,
    /// Seconds the answered call lasted.
    duration_seconds: Option<u32>,
    /// Consent to go on.
    consent_given: Option<bool>,
    /// How difficult the callee was, 0 to 10.
    adversarial_score: Option<f64>,
    /// Gaps in the employment history.
    gaps: Option<usize>,
    /// Where its transcript stands in the archive.
    transcript: Option<String>,
    /// Where its outcome (the profile) stands in the archive.
    outcome: Option<String>,
    /// Where its recording stands in the archive.
    recording: Option<String>,
    /// The client's own data.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

impl ResultLine {
    const COLUMNS: [&'static str; 20] = [
        "call_id",
        "phone_number",
        "phone_hash",
        "disposition",
        "result",
        "reason",
        "provider_code",
        "attempts",
        "created_at",
        "started_at",
        "answered_at",
        "ended_at",
        "duration_seconds",
        "consent_given",
        "adversarial_score",
        "gaps",
        "transcript",
        "outcome",
        "recording",
        "metadata",
    ];

    fn of(row: &Row, call: Option<&Call>, phones: bool) -> Self {
        let body = call.map(|c| &c.body);
        let ending = call.and_then(Call::ending);
        let key = |kind: &str| {
            body.and_then(|b| b.artefacts.iter().rfind(|a| a.kind == kind).map(|a| a.key.clone()))
        };
        Self {
            call_id: row.id.to_string(),
            phone_number: body.filter(|_| phones).map(|b| b.phone.e164().to_owned()),
            phone_hash: call.map(|c| c.phone_hash.to_string()),
            disposition: row.disposition.clone(),
            result: ending.map(|e| e.result),
            reason: ending.map(|e| e.reason.clone()),
            provider_code: ending.and_then(|e| e.provider_code.clone()),
            attempts: row.attempts,
            created_at: body.map(|b| rfc3339(b.created_at)),
            started_at: body.and_then(|b| b.dialed_at.map(rfc3339)),
            answered_at: body.and_then(|b| b.answered_at.map(rfc3339)),
            ended_at: rfc3339(row.at),
            duration_seconds: body.and_then(|b| b.duration_s),
            consent_given: body.and_then(|b| b.dialogue.consent),
            adversarial_score: body.and_then(|b| b.dialogue.adversarial_score),
            gaps: body.and_then(|b| b.employment_gaps.as_ref()?.as_array().map(Vec::len)),
            transcript: key("transcript"),
            outcome: key("outcome"),
            recording: key("recording"),
            metadata: body.and_then(|b| b.metadata.clone()),
        }
    }

    fn cells(&self) -> Vec<String> {
        let Ok(Value::Object(mut object)) = serde_json::to_value(self) else { return Vec::new() };
        let cell = |name: &&str| match object.remove(*name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        Self::COLUMNS.iter().map(cell).collect()
    }
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Ndjson,
}

impl Form {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }

    fn accepted(headers: &HeaderMap) -> Self {
        let text = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
        let names = |name: &str| text.split(',').any(|t| t.split(';').next().unwrap_or("").trim() == name);
        if names("text/csv") {
            Self::Csv
        } else if names("application/x-ndjson") || names("application/jsonl") {
            Self::Ndjson
        } else {
            Self::Json
        }
    }
}

/// How the calls of a campaign ended.
///
/// As JSON a page of them, by the time they ended. With `format=csv` or `format=ndjson` (or `Accept: text/csv`,
/// `application/x-ndjson`) all that are over so far, streamed, in no particular order, with the number in each row.
#[utoipa::path(get, path = "/api/campaigns/{campaign_id}/results", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id"),
        ("format" = Option<String>, Query, description = "`json` (default), `csv` or `ndjson`"),
        ("phones" = Option<bool>, Query, description = "CSV and NDJSON: `false` leaves the numbers out"),
        ("disposition" = Option<String>, Query, description = "only calls that ended so"),
        ("limit" = Option<usize>, Query, description = "JSON: 1 to 10000, by default 1000"),
        ("offset" = Option<usize>, Query, description = "JSON: how many to pass over")),
    responses((status = 200, content((ResultList = "application/json"), (String = "text/csv"),
            (ResultLine = "application/x-ndjson"))),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn results(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref());
    let form = query.one_of("format", Form::parse, "json, csv or ndjson");
    let form = form.unwrap_or_else(|| Form::accepted(&headers));
    let phones = query.one_of("phones", |t| t.parse().ok(), "true or false").unwrap_or(true);
    let only = query.one_of("disposition", Disposition::parse, "a disposition, such as completed or busy");
    let (limit, offset) = match form {
        Form::Json => {
            (query.number_in("limit", 1, 10_000, 1_000), query.number_in("offset", 0, usize::MAX, 0))
        }
        _ => (0, 0),
    };
    query.finish()?;
    let it = found(&app, &id).await?;
    let only = only.map(Disposition::as_str);
    if form == Form::Json {
        return Ok(page(&app, &it.id, only, limit, offset).await?.into_response());
    }
    let rows = Rows::new(app.store().clone(), it.id.clone(), only);
    let stream = futures::stream::try_unfold((rows, true), move |(mut rows, first)| async move {
        let mut out = Vec::new();
        if first && form == Form::Csv {
            write_csv(&mut out, ResultLine::COLUMNS.iter().map(|c| (*c).to_owned()).collect());
        }
        let chunk = rows.next().await.map_err(|error| {
            tracing::warn!(%error, "results were broken off");
            std::io::Error::other("Redis does not answer")
        })?;
        let Some(chunk) = chunk else {
            return Ok::<_, std::io::Error>((!out.is_empty()).then(|| (Bytes::from(out), (rows, false))));
        };
        for (row, call) in &chunk {
            let line = ResultLine::of(row, call.as_ref(), phones);
            if form == Form::Csv {
                write_csv(&mut out, line.cells());
            } else {
                out.extend(serde_json::to_vec(&line).unwrap_or_default());
                out.push(b'\n');
            }
        }
        Ok(Some((Bytes::from(out), (rows, false))))
    });
    let (media, end) = match form {
        Form::Csv => ("text/csv; charset=utf-8", "csv"),
        _ => ("application/x-ndjson", "ndjson"),
    };
    let mut response = Body::from_stream(stream).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{}.{end}\"", it.id)) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

async fn page(
    app: &App,
    id: &CampaignId,
    only: Option<&str>,
    limit: usize,
    offset: usize,
) -> Result<Json<ResultList>, Problem> {
    let rows = app.store().results(id).await?;
    let mut rows: Vec<Row> = rows.iter().filter_map(|row| Row::read(row)).collect();
    rows.retain(|row| only.is_none_or(|only| row.disposition == only));
    rows.sort_unstable_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let total = rows.len();
    let results = rows.into_iter().skip(offset).take(limit).map(|row| ResultRow {
        call_id: row.id.to_string(),
        disposition: row.disposition,
        attempts: row.attempts,
        ended_at: rfc3339(row.at),
    });
    Ok(Json(ResultList { results: results.collect(), total }))
}

fn write_csv(out: &mut Vec<u8>, cells: Vec<String>) {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    // Writing to memory cannot fail.
    let _ = writer.write_record(cells);
    let _ = writer.flush();
}

/// A row as the commit wrote it.
pub(super) struct Row {
    /// The call.
    pub(super) id: CallId,
    /// How it ended.
    pub(super) disposition: String,
    attempts: u32,
    at: Millis,
}

impl Row {
    fn read(row: &str) -> Option<Self> {
        let mut words = row.split(' ');
        let (id, disposition) = (CallId::parse(words.next()?)?, words.next()?.to_owned());
        let attempts = words.next()?.parse().ok()?;
        Some(Self { id, disposition, attempts, at: words.next()?.parse().ok()? })
    }
}

/// The rows of a campaign with their records, chunk by chunk; those that are over when a shard is come to.
pub(super) struct Rows {
    store: Store,
    campaign: CampaignId,
    only: Option<Vec<&'static str>>,
    shards: VecDeque<Shard>,
    from: usize,
}

impl Rows {
    fn new(store: Store, campaign: CampaignId, only: Option<&'static str>) -> Self {
        Self { store, campaign, only: only.map(|o| vec![o]), shards: Shard::all().collect(), from: 0 }
    }

    /// Rows that ended in one of these ways.
    pub(super) fn of(store: Store, campaign: CampaignId, only: &[Disposition]) -> Self {
        let only = only.iter().map(|d| d.as_str()).collect();
        Self { only: Some(only), ..Self::new(store, campaign, None) }
    }

    /// The next chunk, which may be empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(Row, Option<Call>)>>, StoreError> {
        while let Some(shard) = self.shards.front().copied() {
            let texts = self.store.results_of(&self.campaign, shard, self.from, CHUNK).await?;
            if texts.len() < CHUNK {
                self.shards.pop_front();
                self.from = 0;
            } else {
                self.from += texts.len();
            }
            let mut rows: Vec<Row> = texts.iter().filter_map(|text| Row::read(text)).collect();
            rows.retain(|row| self.only.as_ref().is_none_or(|only| only.contains(&row.disposition.as_str())));
            if rows.is_empty() {
                continue;
            }
            let ids: Vec<CallId> = rows.iter().map(|row| row.id.clone()).collect();
            let calls = self.store.load_many(&ids).await?;
            return Ok(Some(rows.into_iter().zip(calls).collect()));
        }
        Ok(None)
    }
}

/// The answer where nothing ended as was asked.
pub(super) fn none_ended_so() -> Problem {
    Problem::new(Kind::NoValidRows, "no call of this campaign that is over ended so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_and_its_columns_are_all_there_is() {
        let id = CallId::derived(Shard(7), "x");
        let row = Row::read(&format!("{id} busy 2 1700000000000")).expect("a row");
        assert!(Row::read("call_1 busy").is_none());
        let line = ResultLine::of(&row, None, true);
        let object = serde_json::to_value(&line).expect("json");
        let names: Vec<&String> = object.as_object().expect("an object").keys().collect();
        assert_eq!(names.len(), ResultLine::COLUMNS.len());
        assert!(ResultLine::COLUMNS.iter().all(|c| names.iter().any(|n| n == c)));
        let mut out = Vec::new();
        write_csv(&mut out, line.cells());
        let expected = format!("{id},,,busy,,,,2,,,,2023-11-14T22:13:20.000Z,,,,,,,,\r\n");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn a_form_is_asked_for_by_header_too() {
        let accept = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))]);
            Form::accepted(&headers)
        };
        assert_eq!(accept("text/html, text/csv;q=0.9"), Form::Csv);
        assert_eq!(accept("application/x-ndjson"), Form::Ndjson);
        assert_eq!(accept("*/*"), Form::Json);
    }
}
