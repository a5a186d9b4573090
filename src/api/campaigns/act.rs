//! Campaigns made, changed, and moved along their life.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::App;
use crate::api::auth::Client;
use crate::api::campaigns::settings::{self, CampaignSettings, Wishes};
use crate::api::campaigns::{CampaignView, parse, unknown};
use crate::api::fields::small_json_or_none;
use crate::api::initiate::{RepeatKey, mismatch};
use crate::api::problems::{Kind, Problem, ProblemBody};
use crate::domain::campaign::{Campaign, Command, Refusal};
use crate::domain::ids::CampaignId;
use crate::store::Changed;

/// Why a step is taken.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation
pub(super) struct StepRequest {
    /// Why, for whoever reads the campaign's history; at most 500 characters.
    why: Option<String>,
}

/// Who asks, as a campaign's history names them: of the key nothing is told.
pub(super) fn by(client: &Client) -> String {
    format!("api:{}", &hex::encode(Sha256::digest(client.scope.as_bytes()))[..8])
}

/// The answer to a command that a campaign's state does not take.
pub(super) fn refused(refusal: Refusal, command: Command) -> Problem {
    let state = refusal.state.as_str();
    let (what, hint) = match command {
        Command::Schedule { .. } => ("scheduled", "only a draft or a scheduled campaign can be"),
        Command::Start => ("started", "a draft or a scheduled campaign can be; a paused one is resumed"),
        Command::Pause => ("paused", "a running campaign can be"),
        Command::Resume => ("resumed", "a paused campaign can be"),
        _ => ("changed so", "it is ending or over"),
    };
    Problem::new(Kind::CampaignState, format!("this campaign is {state} and cannot be {what}: {hint}"))
}

/// Carries out what a new campaign is to do at once.
pub(super) fn begin(
    it: &mut Campaign,
    wishes: &Wishes,
    by: &str,
    now: crate::base::clock::Millis,
) -> Result<(), Problem> {
    let command = match wishes.starts_at {
        Some(at) => Command::Schedule { at },
        None if wishes.start => Command::Start,
        None => return Ok(()),
    };
    it.command(command, by, None, now).map(drop).map_err(|refusal| refused(refusal, command))
}

/// 201 and where the campaign stands; with a header where it was answered before.
pub(super) fn created(id: &CampaignId, body: &impl Serialize, replayed: bool) -> Response {
    let location = format!("/api/campaigns/{id}");
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, value);
    }
    if replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// The id that a new campaign gets: a new one, or the one that its idempotency key always gives.
pub(super) async fn new_id(
    app: &App,
    key: Option<&RepeatKey>,
    fingerprint: &str,
) -> Result<CampaignId, Problem> {
    let Some(key) = key else { return Ok(CampaignId::random()) };
    let print = hex::encode(&Sha256::digest(format!("campaign:{fingerprint}").as_bytes())[..16]);
    if app.store().bind_repeat_key(&key.scoped, &print).await? != print {
        return Err(mismatch());
    }
    Ok(CampaignId::derived(&format!("campaign:{}", key.scoped)))
}

/// Make a campaign. It is a draft until it is started: rows are put into it with `POST …/{campaign_id}/calls`.
///
/// With an `Idempotency-Key` a repeat gets the campaign that the first request made, as it stands now.
#[utoipa::path(post, path = "/api/campaigns", tag = "campaigns", security(("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "a repeat under the same key makes no second one")),
    request_body = CampaignSettings,
    responses((status = 201, body = CampaignView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody), (status = 422, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn create(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = RepeatKey::of(&headers, &client)?;
    let mut fields = settings::body(&app, &headers, body).await?;
    let fingerprint = fields.canonical();
    let now = app.api.clock.now();
    let mut it = Campaign::new(CampaignId::random(), now);
    let mut wishes = settings::take(&mut fields, &app, &mut it, now);
    settings::take_start(&mut fields, &mut wishes);
    settings::finish(fields)?;
    begin(&mut it, &wishes, &by(&client), now)?;
    it.id = new_id(&app, key.as_ref(), &fingerprint).await?;
    match app.store().create_campaign(&it).await? {
        None => {
            tracing::info!(campaign_id = %it.id, state = it.state.as_str(), "a campaign was made");
            Ok(created(&it.id.clone(), &CampaignView::from(it), false))
        }
        Some(first) => Ok(created(&first.id.clone(), &CampaignView::from(first), true)),
    }
}

/// Change a campaign. What is absent stays as it is, null takes it away. Limits, weight and numbers bind at the next
/// permit, within a second; what concerns a talk (agent, voicemail) within five.
#[utoipa::path(patch, path = "/api/campaigns/{campaign_id}", tag = "campaigns", security(("api_key" = [])),
    params(("campaign_id" = String, Path, description = "the campaign's id")),
    request_body = CampaignSettings,
    responses((status = 200, body = CampaignView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(in crate::api) async fn change(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CampaignView>, Problem> {
    let id = parse(&id)?;
    let fields = settings::body(&app, &headers, body).await?;
    let (by, now) = (by(&client), app.api.clock.now());
    let changed = app
        .store()
        .change_campaign(&id, |it| {
            if it.state.is_over() {
                return Err(refused(Refusal { state: it.state }, Command::Finish));
            }
            let before = it.clone();
            let mut fields = fields.clone();
            settings::clear(&mut fields, it);
            let wishes = settings::take(&mut fields, &app, it, now);
            settings::finish(fields)?;
            if let Some(at) = wishes.starts_at {
                let command = Command::Schedule { at };
                it.command(command, &by, None, now).map_err(|refusal| refused(refusal, command))?;
            }
            Ok(*it != before)
        })
        .await?;
    answer(changed)
}

fn answer(changed: Changed<Problem>) -> Result<Json<CampaignView>, Problem> {
    match changed {
        Changed::Done(it) | Changed::Same(it) => Ok(Json((*it).into())),
        Changed::Refused(problem) => Err(problem),
        Changed::Unknown => Err(unknown()),
    }
}

async fn step(
    app: &App,
    client: &Client,
    id: &str,
    headers: &HeaderMap,
    body: Body,
    command: Command,
) -> Result<Json<CampaignView>, Problem> {
    let id = parse(id)?;
    let mut fields = small_json_or_none(headers, body, app.api.config.body_limit).await?;
    let why = fields.line("why", 500);
    settings::finish(fields)?;
    let (by, now) = (by(client), app.api.clock.now());
    let changed = app
        .store()
        .change_campaign(&id, |it| {
            it.command(command, &by, why.as_deref(), now).map_err(|refusal| refused(refusal, command))
        })
        .await?;
    if let Changed::Done(it) = &changed {
        if it.state.dials() {
            // Whoever lets it go on has seen why pacing stopped it.
            app.store().reset_brake(&id).await?;
        }
        tracing::info!(campaign_id = %id, state = it.state.as_str(), by, "a campaign moved on");
    }
    answer(changed)
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $name:ident = $path:literal, $command:expr;)+) => { $(
        $(#[doc = $doc])+
        ///
        /// The same again is answered with the same state.
        #[utoipa::path(post, path = $path, tag = "campaigns", security(("api_key" = [])),
            params(("campaign_id" = String, Path, description = "the campaign's id")),
            request_body = Option<StepRequest>,
            responses((status = 200, body = CampaignView), (status = 400, body = ProblemBody),
                (status = 401, body = ProblemBody), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
                (status = 413, body = ProblemBody), (status = 415, body = ProblemBody), (status = 422, body = ProblemBody),
                (status = 503, body = ProblemBody)))]
        pub(in crate::api) async fn $name(
            State(app): State<Arc<App>>,
            Extension(client): Extension<Client>,
            Path(id): Path<String>,
            headers: HeaderMap,
            body: Body,
        ) -> Result<Json<CampaignView>, Problem> {
            step(&app, &client, &id, &headers, body, $command).await
        }
    )+ };
}

steps! {
    /// Start a campaign: a draft, or a scheduled one before its time.
    start = "/api/campaigns/{campaign_id}/start", Command::Start;
    /// Pause a running campaign. Within a second nothing of it is dialed; what lives goes on.
    pause = "/api/campaigns/{campaign_id}/pause", Command::Pause;
    /// Resume a paused campaign.
    resume = "/api/campaigns/{campaign_id}/resume", Command::Resume;
    /// Cancel a campaign: its waiting calls end as canceled, its live ones are hung up. It is `draining` until all are over.
    cancel = "/api/campaigns/{campaign_id}/cancel", Command::Cancel;
}
