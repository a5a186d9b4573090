//! A person's data: exported and erased, on their request.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::calls::observe;
use crate::api::problems::{FieldError, Kind, Problem, ProblemBody};
use crate::api::suppressions::SuppressionView;
use crate::api::view::CallView;
use crate::api::{App, ArchiveHooks};
use crate::archive;
use crate::domain::call::{Artefact, Event, Phase};
use crate::domain::ids::{CallId, PhoneHash};
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
    /// The status documents of their older calls, which stand in the archive alone.
    archived: Vec<Value>,
}

/// A call with all that was told and said.
#[derive(Serialize, ToSchema)]
pub(super) struct PersonCall {
    #[serde(skip)]
    #[schema(ignore)]
    id: CallId,
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
    /// Is the number still on the do-not-call list? That entry is kept, by its hash and without their words: without it they
    /// would be called again.
    suppressed: bool,
}

/// The objects that a status document names; what is none of ours names none.
fn artefacts(named: Option<&Value>) -> Vec<Artefact> {
    let objects: Vec<Artefact> = named.and_then(|value| Vec::deserialize(value).ok()).unwrap_or_default();
    // What stands in the archive may have been changed: an erasure deletes what belongs to calls, and nothing else.
    objects.into_iter().filter(|object| object.key.starts_with("calls/") || object.kind == "audit").collect()
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
            id: call.id.clone(),
            call: CallView::of(&call).with_campaign(&call, campaign.as_deref()).with_transcript(lines),
            variables: call.body.variables,
        });
    }
    let suppression = store.suppressed(phone.e164(), app.api.clock.now()).await?.map(SuppressionView::from);
    let hash = store.hash(phone.e164());
    let known: HashSet<CallId> = calls.iter().map(|call| call.id.clone()).collect();
    let archived = archived(&app, &hash).await?.into_iter().filter(|(id, _)| !known.contains(id));
    let archived = archived.filter_map(|(_, status)| status).collect();
    Ok(Json(PersonExport { phone_hash: hash.to_string(), suppression, calls, archived }))
}

/// The calls of a person that stand in the archive.
async fn archived(app: &App, person: &PhoneHash) -> Result<Vec<(CallId, Option<Value>)>, Problem> {
    let Some(hooks) = &app.api.archive else { return Ok(Vec::new()) };
    (hooks.of_person)(person.clone()).await.map_err(|error| {
        tracing::warn!(phone_hash = %person, %error, "the archive did not say what it holds of a person");
        unavailable()
    })
}

/// Deletes objects of a call.
async fn delete(hooks: &ArchiveHooks, id: &CallId, objects: Vec<Artefact>) -> Result<(), Problem> {
    (hooks.delete)(objects).await.map_err(|error| {
        tracing::warn!(call_id = %id, %error, "the archive did not erase");
        unavailable()
    })
}

fn unavailable() -> Problem {
    Problem::new(Kind::ArchiveUnavailable, "the archive does not answer; ask again")
}

/// What every call leaves in the archive beside its artefacts. What says whose it was goes last: an erasure that is
/// broken off finds the call again.
fn index_of(person: &PhoneHash, id: &CallId) -> [Artefact; 2] {
    [("status", archive::keys::index(id)), ("person", archive::keys::person(person, id))]
        .map(|(kind, key)| Artefact { kind: kind.to_owned(), key })
}

/// Erase a person. Waiting calls end, live ones are hung up; what is over is erased here and in the archive.
///
/// Calls that ended more than 48 hours ago are found in the archive, by the keyed hash of the number.
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
            objects.extend(index_of(&hash, &id));
            delete(hooks, &id, objects).await?;
        }
        if over && store.erase_ended(&call, &app.api.outcome_events).await? {
            &mut erased
        } else {
            &mut pending
        }
        .push(id.to_string());
    }
    // What Redis has forgotten.
    let known: HashSet<String> = erased.iter().chain(&pending).cloned().collect();
    for (id, status) in archived(&app, &hash).await? {
        let Some(hooks) = app.api.archive.as_ref().filter(|_| !known.contains(id.as_str())) else { continue };
        let mut objects = artefacts(status.as_ref().and_then(|status| status.get("artefacts")));
        objects.extend(index_of(&hash, &id));
        // Events outlive their call's record; what says whose it was goes last.
        store.erase_events(&id, &app.api.outcome_events).await?;
        delete(hooks, &id, objects).await?;
        erased.push(id.to_string());
    }
    store.erase_from_list(phone.e164()).await?;
    let suppressed = store.suppressed(phone.e164(), app.api.clock.now()).await?.is_some();
    tracing::info!(phone_hash = %hash, erased = erased.len(), pending = pending.len(), "a person was erased");
    let status = if pending.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Erasure { phone_hash: hash.to_string(), erased, pending, suppressed })))
}
