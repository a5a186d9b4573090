//! Further rows for a campaign, and the report of those that were not taken.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::auth::Client;
use crate::api::fields::Query;
use crate::api::initiate::{
    CallRequest, Format, List, ListAnswer, Mapping, RepeatKey, Rows, Source, beside, closed, parse_json,
    read_json, whole_json,
};
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::domain::ids::CampaignId;
use crate::store::Store;

/// Lines of the report that are read together.
const PAGE: usize = 1_000;

/// Further calls of a campaign: `phone_numbers` or `calls`. Every field of a call but its number may stand here for
/// all of them; a call's own wins.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation; bodies are read by `initiate::row`
pub(in crate::api) struct RowsRequest {
    /// Numbers alone.
    phone_numbers: Option<Vec<String>>,
    /// Calls with fields of their own.
    calls: Option<Vec<CallRequest>>,
}

fn unknown() -> Problem {
    Problem::new(Kind::UnknownCampaign, "no campaign has this id")
}

/// Append calls to a campaign.
///
/// The same bodies as `/api/calls/initiate`: JSON, CSV or NDJSON, gzipped or not. Rows of a campaign that is not
/// started, or is paused, wait until it dials. A number that the campaign has already is a duplicate.
///
/// With an `Idempotency-Key` a repeat gets the first answer and adds nothing twice.
#[utoipa::path(post, path = "/api/campaigns/{campaign_id}/calls", tag = "campaigns", security(("api_key" = [])),
    params(
        ("campaign_id" = String, Path, description = "the campaign's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "a repeat under the same key gets the first answer"),
        ("agent" = Option<String>, Query, description = "CSV and NDJSON: the agent, as every field of a call below"),
        ("voicemail" = Option<String>, Query, description = "CSV and NDJSON"),
        ("webhook_url" = Option<String>, Query, description = "CSV and NDJSON"),
        ("schedule_at" = Option<String>, Query, description = "CSV and NDJSON"),
        ("expires_at" = Option<String>, Query, description = "CSV and NDJSON"),
        ("time_zone" = Option<String>, Query, description = "CSV and NDJSON"),
        ("priority" = Option<String>, Query, description = "CSV and NDJSON"),
        ("map" = Option<String>, Query, description = "CSV: column:field, several separated by commas")),
    request_body(content((RowsRequest = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
    responses((status = 202, description = "accepted", body = ListAnswer),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 408, body = ProblemBody), (status = 409, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn append(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = CampaignId::parse(&id).ok_or_else(unknown)?;
    let campaign = app.store().campaign_fresh(&id).await?.ok_or_else(unknown)?;
    let key = RepeatKey::of(&headers, &client)?;
    let mut query = Query::parse(query.as_deref());
    let mut source = Source::new(body, &headers)?;
    let state = campaign.state;
    let (mut list, rows) = match Format::of(&headers)? {
        Format::Json => {
            query.finish()?;
            let bytes = whole_json(&app, &mut source).await?;
            let parsed = parse_json(&app, &bytes)?;
            let Some((name, rows)) = parsed.rows else {
                let error = FieldError::new("calls", "is missing; send calls or phone_numbers");
                return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
            };
            let mut list = List::further(&app, campaign, beside(parsed.rest, name, rows.is_empty()))?;
            if list.repeats(key).await? {
                return list.replay(&source.fingerprint_so_far());
            }
            if !state.takes_rows() {
                return Err(closed(state));
            }
            let read = Box::pin(read_json(&mut list, name, rows)).await;
            return Box::pin(list.close(read, source.fingerprint_so_far())).await;
        }
        Format::Csv => {
            let mapping = Mapping::take(&mut query);
            (List::further_of_query(&app, campaign, query)?, Rows::Csv(mapping))
        }
        Format::NdJson => (List::further_of_query(&app, campaign, query)?, Rows::NdJson),
    };
    if list.repeats(key).await? {
        return list.replay(&source.fingerprint().await?);
    }
    if !state.takes_rows() {
        return Err(closed(state));
    }
    let read = Box::pin(rows.read(&mut list, &mut source)).await;
    Box::pin(list.close(read, source.fingerprint_so_far())).await
}

/// Why rows of a campaign's lists were not taken: all of them, for a week.
///
/// A line for each error: the list it was in (`intake`), its row, field, reason, `code`, and the bad value, shortened.
#[utoipa::path(get, path = "/api/campaigns/{campaign_id}/rejections", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id"),
        ("format" = Option<String>, Query, description = "ndjson (default) or csv")),
    responses((status = 200, description = "a line for each error", body = String, content_type = "application/x-ndjson"),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn rejections(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref());
    let known = |word: &str| ["ndjson", "csv"].into_iter().find(|known| *known == word);
    let csv = query.one_of("format", known, "ndjson or csv") == Some("csv");
    query.finish()?;
    let id = CampaignId::parse(&id).ok_or_else(unknown)?;
    app.store().campaign(&id).await?.ok_or_else(unknown)?;
    // The first page before the status, so that an outage is a problem and no broken answer.
    let first = app.store().rejections(&id, 0, PAGE).await?;
    let media = if csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    let head = if csv { "intake,row,field,code,reason,value\r\n" } else { "" };
    let from = Pages { store: app.store().clone(), id, at: PAGE, ahead: Some(first), csv };
    let pages = futures::stream::try_unfold(from, Pages::next);
    let head = futures::stream::iter((!head.is_empty()).then(|| Ok(Bytes::from_static(head.as_bytes()))));
    let body = Body::from_stream(futures::StreamExt::chain(head, pages));
    Ok(([(header::CONTENT_TYPE, media)], body).into_response())
}

/// A report being sent.
struct Pages {
    store: Store,
    id: CampaignId,
    at: usize,
    ahead: Option<Vec<String>>,
    csv: bool,
}

impl Pages {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        let lines = match self.ahead.take() {
            Some(lines) => lines,
            None => {
                let page = self.store.rejections(&self.id, self.at, PAGE).await;
                self.at += PAGE;
                page.map_err(std::io::Error::other)?
            }
        };
        if lines.is_empty() {
            return Ok(None);
        }
        let mut text = String::new();
        for line in lines {
            if self.csv {
                csv_line(&mut text, &line);
            } else {
                text.push_str(&line);
                text.push('\n');
            }
        }
        Ok(Some((Bytes::from(text), self)))
    }
}

fn csv_line(out: &mut String, line: &str) {
    let error: Value = serde_json::from_str(line).unwrap_or_default();
    for (i, name) in ["intake", "row", "field", "code", "reason", "value"].into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match error.get(name) {
            Some(Value::String(text)) => out.push_str(&cell(text)),
            Some(Value::Number(n)) => out.push_str(&n.to_string()),
            _ => {}
        }
    }
    out.push_str("\r\n");
}

/// A text as a cell. A spreadsheet would run what begins like a formula: an apostrophe makes it text again.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_was_in_it() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(cell("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
        assert_eq!(cell("+1415"), "\"'+1415\"");
    }
}
