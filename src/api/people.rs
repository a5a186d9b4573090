//! A person's data: exported and erased, on their request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::calls::observe;
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::api::suppressions::SuppressionView;
use crate::api::view::CallView;
use crate::archive;
use crate::domain::call::{Artefact, Event, Phase};
use crate::domain::phone::Phone;

/// Everything that is held of one person.
#[derive(Serialize, ToSchema)]
pub(super) struct PersonExport {
    /// The keyed hash their number is known by.
    phone_hash: String,
    /// The entry that forbids calling them, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppression: Option<SuppressionView>,
    /// Their calls that are open or ended in the last 48 hours, oldest first, each with its transcript. `artefacts` names
    /// what stands in the archive: transcript, outcome, audit entry, recording.
    calls: Vec<PersonCall>,
}

/// A call with all that was told and said.
#[derive(Serialize, ToSchema)]
pub(super) struct PersonCall {
    /// The call with its transcript.
    #[serde(flatten)]
    call: CallView,
    /// What the client told the agent of the person.
    variables: BTreeMap<String, String>,
}

/// What an erasure did.
#[derive(Serialize, ToSchema)]
pub(super) struct Erasure {
    /// The keyed hash their number is known by.
    phone_hash: String,
    /// Calls whose record, transcript, archived objects and webhook events are gone; events that had not been delivered
    /// will not be.
    erased: Vec<String>,
    /// Calls that are being hung up or wrapped up. Ask again in a minute to erase them.
    pending: Vec<String>,
    /// Is the number still on the do-not-call list? That entry is kept: without it they would be called again.
    suppressed: bool,
}

fn phone_of(app: &App, text: &str) -> Result<Phone, Problem> {
    Phone::parse(text, &app.api.config.default_region)
        .map_err(|e| Problem::fields(Kind::InvalidRequest, vec![FieldError::new("phone", e.to_string())]))
}

/// All that is held of a person.
#[utoipa::path(get, path = "/api/people/{phone}", tag = "people", security(("api_key" = [])),
    params(("phone" = String, Path, description = "the number, in any notation")),
    responses((status = 200, body = PersonExport), (status = 401, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Path(phone): Path<String>,
) -> Result<Json<PersonExport>, Problem> {
    let phone = phone_of(&app, &phone)?;
    let store = app.store();
    let mut calls = Vec::new();
    for call in store.calls_of(phone.e164()).await? {
        let lines = store.transcript(&call.id).await?;
        let campaign = store.campaign_of(&call).await?;
        calls.push(PersonCall {
            call: CallView::of(&call).with_campaign(&call, campaign).with_transcript(lines),
            variables: call.body.variables,
        });
    }
    let suppression = store.suppressed(phone.e164(), app.api.clock.now()).await?.map(SuppressionView::from);
    Ok(Json(PersonExport { phone_hash: store.hash(phone.e164()).to_string(), suppression, calls }))
}

/// Erase a person. Waiting calls end, live ones are hung up; what is over is erased here and in the archive.
///
/// Calls older than 48 hours stand in the archive alone and are not found by number.
#[utoipa::path(delete, path = "/api/people/{phone}", tag = "people", security(("api_key" = [])),
    params(("phone" = String, Path, description = "the number, in any notation")),
    responses((status = 200, description = "all is erased", body = Erasure),
        (status = 202, description = "some calls are still being ended", body = Erasure),
        (status = 401, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn erase(
    State(app): State<Arc<App>>,
    Path(phone): Path<String>,
) -> Result<(StatusCode, Json<Erasure>), Problem> {
    let phone = phone_of(&app, &phone)?;
    let store = app.store();
    let hash = store.hash(phone.e164());
    let (mut erased, mut pending) = (Vec::new(), Vec::new());
    for call in store.calls_of(phone.e164()).await? {
        let id = call.id.clone();
        let call = if call.phase() == Phase::Ended {
            call
        } else {
            let Some(call) = observe(&app, call, || Event::Cancel).await? else { continue };
            call
        };
        let over = call.phase() == Phase::Ended && call.head.due == 0;
        // A call that was never dialed has a status document alone, once its evidence is sealed.
        if over && (app.api.archive.is_some() || !call.body.artefacts.is_empty()) {
            let Some(hooks) = &app.api.archive else {
                pending.push(id.to_string());
                continue;
            };
            // The archive first: the record is what names its objects.
            let mut objects = call.body.artefacts.clone();
            objects.push(Artefact { kind: "status".into(), key: archive::keys::index(&id) });
            (hooks.delete)(objects).await.map_err(|error| {
                tracing::warn!(call_id = %id, %error, "the archive did not erase");
                Problem::new(Kind::ArchiveUnavailable, "the archive does not answer; erase again")
            })?;
        }
        if over && store.erase_ended(&call, &app.api.outcome_events).await? {
            &mut erased
        } else {
            &mut pending
        }
        .push(id.to_string());
    }
    let suppressed = store.suppressed(phone.e164(), app.api.clock.now()).await?.is_some();
    tracing::info!(phone_hash = %hash, erased = erased.len(), pending = pending.len(), "a person was erased");
    let status = if pending.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Erasure { phone_hash: hash.to_string(), erased, pending, suppressed })))
}
