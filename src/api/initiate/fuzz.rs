//! Fuzz target of lists of calls: CSV, NDJSON and JSON, zipped or not, in pieces of any size.

use axum::http::HeaderMap;

use crate::api::App;
use crate::api::fields::Query;
use crate::api::fuzz::{body, on_app};
use crate::api::initiate::list::List;
use crate::api::initiate::{Mapping, Source, csv, json, ndjson};
use crate::api::problems::Problem;
use crate::base::fuzz::choice;
use crate::domain::call::Call;
use crate::domain::ids::{CallId, CampaignId};

/// Longer inputs fill a batch, which would be handed to the store.
const LONGEST: usize = 4_000;

/// However the network cuts a list, the same calls come of it; what is accepted is written so that it is read again.
pub(crate) fn intake(data: &[u8]) {
    let (way, rest) = choice(data);
    let (step, rest) = choice(rest);
    if rest.len() > LONGEST {
        return;
    }
    on_app(async |app| {
        let whole = Box::pin(read(app, way, rest, rest.len())).await;
        let pieces = Box::pin(read(app, way, rest, usize::from(step))).await;
        // Of a body that is broken (a zip file cut in two) more is read where it comes in pieces; broken it stays.
        if whole.is_ok() || pieces.is_ok() {
            assert_eq!(pieces, whole, "in pieces of {step}");
        }
        for (n, call) in whole.iter().flat_map(|read| &read.calls) {
            assert!(*n > 0, "a row without a number");
            let again = Call::decode(&call.id, &call.encode()).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(&again, call);
            assert!(!call.body.variables.contains_key(""), "a variable without a name");
        }
    });
}

#[derive(Debug, PartialEq)]
struct Read {
    rows: u64,
    rejected: usize,
    calls: Vec<(u64, Call)>,
}

async fn read(app: &App, way: u8, bytes: &[u8], step: usize) -> Result<Read, String> {
    let told = |problem: Problem| format!("{:?}", problem.kind());
    let mut source = Source::new(body(bytes, step), &HeaderMap::new()).map_err(told)?;
    let list = match way % 3 {
        2 => {
            let bytes = json::whole(app, &mut source).await.map_err(told)?;
            let json::Parsed { rest, rows } = json::parse(app, &bytes).map_err(told)?;
            let Some((name, rows)) = rows else { return Err("one call".to_owned()) };
            let mut list =
                List::from_fields(app, json::beside(rest, name, rows.is_empty())).map_err(told)?.unwritten();
            json::read(&mut list, name, rows).await.map_err(told)?;
            list
        }
        way => {
            let mut query = Query::parse(Some("map=Name:variables.first_name"));
            let mapping = Mapping::take(&mut query);
            let mut list = List::from_query(app, query).map_err(told)?.unwritten();
            match way {
                0 => csv::read(&mut list, &mut source, &mapping).await.map_err(told)?,
                _ => ndjson::read(&mut list, &mut source).await.map_err(told)?,
            }
            list
        }
    };
    let (rows, rejected, mut calls) = list.taken();
    assert_eq!(rows, rejected + calls.len() as u64, "a row was lost");
    // A list's own id is drawn by chance, and its calls' with it.
    for (_, call) in &mut calls {
        (call.id, call.campaign) =
            (CallId::derived(call.id.shard(), "a call"), Some(CampaignId::derived("a list")));
    }
    Ok(Read { rows, rejected: usize::try_from(rejected).unwrap_or(usize::MAX), calls })
}
