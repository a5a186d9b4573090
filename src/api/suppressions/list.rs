//! The list shown: page by page, or whole as a stream, read by scanning so that no node ever holds all of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::problems::Problem;
use crate::api::suppressions::entry::{COLUMNS, SuppressionView};
use crate::store::{ListCursor, Scope, StoreError, Suppression};

/// How many steps of a scan one page takes at most, where a filter passes little; more than there are shards.
const STEPS: usize = 200;

/// A page of the list.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuppressionList {
    /// In no order.
    pub(super) suppressions: Vec<SuppressionView>,
    /// Entries on the whole list, without any filter; for one number, those shown. Some may have expired.
    pub(super) total: u64,
    /// Where the next page begins; absent on the last. A page may be short, or empty, and not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) scope: Option<Scope>,
    pub(super) source: Option<String>,
}

impl Filter {
    fn passes(&self, entry: &Suppression) -> bool {
        self.scope.as_ref().is_none_or(|scope| *scope == entry.scope)
            && self.source.as_ref().is_none_or(|source| *source == entry.source)
    }
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    Ndjson,
}

impl Format {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "json" => Self::Json,
            "csv" => Self::Csv,
            "ndjson" => Self::Ndjson,
            _ => return None,
        })
    }
}

/// Where a page begins: a step of the scan, and how many of its entries were shown before.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    step: ListCursor,
    shown: usize,
}

impl Place {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (step, shown) = text.rsplit_once('.')?;
        Some(Self { step: ListCursor::parse(step)?, shown: shown.parse().ok()? })
    }

    pub(super) fn text(&self) -> String {
        format!("{}.{}", self.step.text(), self.shown)
    }
}

/// One page.
pub(super) async fn page(
    app: &App,
    filter: &Filter,
    from: Place,
    limit: usize,
) -> Result<Json<SuppressionList>, Problem> {
    let now = app.api.clock.now();
    let total = app.store().suppression_count().await?;
    let mut suppressions: Vec<SuppressionView> = Vec::new();
    let mut place = Some(from);
    for _ in 0..STEPS {
        let Some(at) = place.take() else { break };
        let (entries, next) = app.store().list_suppressions(at.step.clone(), now).await?;
        let found: Vec<Suppression> = entries.into_iter().filter(|e| filter.passes(e)).collect();
        let room = limit - suppressions.len();
        let left = found.len().saturating_sub(at.shown);
        suppressions.extend(found.into_iter().skip(at.shown).take(room).map(SuppressionView::from));
        place = if left > room {
            Some(Place { shown: at.shown + room, ..at })
        } else {
            next.map(|step| Place { step, shown: 0 })
        };
        if suppressions.len() >= limit {
            break;
        }
    }
    Ok(Json(SuppressionList { suppressions, total, next_cursor: place.map(|place| place.text()) }))
}

/// The whole list as a stream.
pub(super) fn export(app: Arc<App>, filter: Filter, format: Format) -> Response {
    let now = app.api.clock.now();
    let head = (format == Format::Csv).then(|| row(&COLUMNS.map(str::to_owned)));
    let steps = futures::stream::try_unfold(Some(ListCursor::default()), move |at| {
        let (app, filter) = (Arc::clone(&app), filter.clone());
        async move {
            let Some(at) = at else { return Ok::<_, StoreError>(None) };
            let (entries, next) = app.store().list_suppressions(at, now).await?;
            let mut text = Vec::new();
            // An import could do nothing with an entry that names nobody.
            let kept = |entry: &Suppression| format != Format::Csv || !entry.is_erased();
            for entry in entries.into_iter().filter(|e| filter.passes(e) && kept(e)) {
                let view = SuppressionView::from(entry);
                match format {
                    Format::Csv => text.extend(row(&view.cells().map(str::to_owned))),
                    Format::Json | Format::Ndjson => {
                        text.extend(serde_json::to_vec(&view).unwrap_or_default());
                        text.push(b'\n');
                    }
                }
            }
            Ok(Some((Bytes::from(text), next)))
        }
    });
    let head = futures::stream::iter(head.map(|head| Ok(Bytes::from(head))));
    let media = if format == Format::Csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    let mut response = Body::from_stream(futures::StreamExt::chain(head, steps)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A line of CSV.
fn row(cells: &[String; COLUMNS.len()]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // A vector takes everything.
    let _ = writer.write_record(cells);
    writer.into_inner().unwrap_or_default()
}
