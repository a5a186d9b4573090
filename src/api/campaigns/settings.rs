//! What a campaign may be told of itself: read field by field, for a new one and for a change.

use axum::body::Body;
use axum::http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::fields::{Fields, small_json};
use crate::api::initiate::row;
use crate::api::problems::{FieldError, Kind, Problem};
use crate::base::clock::{DAY, Millis};
use crate::domain::campaign::{AnswerRate, Campaign, ConsentBasis, DEFAULT_WEIGHT, Dedupe};
use crate::domain::phone::Phone;
use crate::domain::retry::RetryPolicy;
use crate::domain::talk::Voicemail;
use crate::domain::window::Hours;

/// How far ahead a campaign may be scheduled.
const FURTHEST: Millis = 60 * DAY;
/// The greatest share.
const MAX_WEIGHT: u32 = 1_000;
/// Most calls per second that a campaign may name.
const MAX_CPS: f64 = 10_000.0;
/// Most calls at once that a campaign may name.
const MAX_CONCURRENT: u32 = 1_000_000;
/// Most numbers that a campaign may name.
const CALLERS: usize = 1_000;

/// A campaign as it is posted or changed. In a change, what is absent stays as it is, and null takes it away.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // the shape for the documentation; bodies are read field by field
pub(in crate::api) struct CampaignSettings {
    /// What the client calls it.
    name: Option<String>,
    /// The agent that talks.
    agent: Option<String>,
    /// Its share beside other campaigns, 1 to 1,000; 1 by default.
    weight: Option<u32>,
    /// Calls started per second; else only the account's limit.
    max_cps: Option<f64>,
    /// Calls at the same time; else only the account's limit.
    max_concurrent: Option<u32>,
    /// Numbers it may call from, of those this account has; else all of them.
    caller_ids: Option<Vec<String>>,
    /// Hours in the callee's time, beside `CALL_WINDOW` and the law: all must be open.
    #[schema(example = "09:00-18:00")]
    window: Option<String>,
    /// When calls that did not get through are tried again; what is not named is the house's own.
    retries: Option<RetryPolicy>,
    /// What a machine gets that answers.
    voicemail: Option<Voicemail>,
    /// Where its notices go.
    webhook_url: Option<String>,
    /// It starts by itself (RFC 3339, at most 60 days ahead).
    starts_at: Option<String>,
    /// None of its calls is placed after (RFC 3339, at most 60 days ahead). A call's own time holds beside it.
    expires_at: Option<String>,
    /// The consent that each of its calls must carry.
    require_consent: Option<ConsentBasis>,
    /// Where a number counts as a duplicate: in the campaign (default), or while any call to it is open.
    dedupe: Option<Dedupe>,
    /// Keeps so many conversations going, by dialing ahead of the share that answers.
    answer_rate: Option<AnswerRate>,
    /// It waits for further rows once all are over, instead of being completed.
    keep_open: Option<bool>,
    /// Of a new campaign: it dials at once.
    start: Option<bool>,
}

/// What stands in a body beside a campaign's own settings.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// It starts by itself.
    pub(super) starts_at: Option<Millis>,
    /// It dials at once.
    pub(super) start: bool,
}

/// Reads a body that holds a campaign's settings.
pub(super) async fn body(app: &App, headers: &HeaderMap, body: Body) -> Result<Fields, Problem> {
    small_json(headers, body, app.api.config.body_limit).await
}

/// Takes all settings that stand there into `it`.
pub(super) fn take(fields: &mut Fields, app: &App, it: &mut Campaign, now: Millis) -> Wishes {
    fn set<T>(place: &mut Option<T>, value: Option<T>) {
        if value.is_some() {
            *place = value;
        }
    }
    set(&mut it.name, fields.line("name", 200));
    set(&mut it.agent, row::agent(fields, app));
    set(&mut it.voicemail, row::voicemail(fields));
    set(&mut it.webhook_url, row::webhook_url(fields, app));
    set(&mut it.expires_at, row::expires_at(fields, "expires_at", now));
    set(&mut it.max_cps, fields.decimal("max_cps", 0.0, MAX_CPS));
    set(&mut it.max_concurrent, fields.whole("max_concurrent", 1, MAX_CONCURRENT));
    if let Some(weight) = fields.whole("weight", 1, MAX_WEIGHT) {
        it.weight = weight;
    }
    let own = |text: &str| caller(text, app);
    if let Some(mut callers) = fields.list("caller_ids", CALLERS, own) {
        callers.sort();
        callers.dedup();
        it.caller_ids = callers;
    }
    if let Some(hours) = fields.text("window", 20) {
        match hours.parse::<Hours>() {
            Ok(_) => it.window = Some(hours),
            Err(why) => fields.wrong("window", why),
        }
    }
    if let Some(value) = fields.take("retries") {
        match RetryPolicy::read(&value) {
            Ok(policy) => it.retries = Some(policy),
            Err(bad) => {
                for field in bad {
                    let name =
                        if field.field.is_empty() { String::new() } else { format!(".{}", field.field) };
                    fields.wrong(&format!("retries{name}"), field.reason);
                }
            }
        }
    }
    let basis = |word: &str| match word {
        "express" => Some(ConsentBasis::Express),
        "written" => Some(ConsentBasis::Written),
        _ => None,
    };
    set(&mut it.require_consent, fields.word("require_consent", basis, "express or written"));
    let scope = |word: &str| match word {
        "campaign" => Some(Dedupe::Campaign),
        "account" => Some(Dedupe::Account),
        _ => None,
    };
    if let Some(dedupe) = fields.word("dedupe", scope, "campaign or account") {
        it.dedupe = dedupe;
    }
    if let Some(object) = fields.object("answer_rate", 200) {
        match serde_json::from_value::<AnswerRate>(object) {
            Ok(rate) if (1..=MAX_CONCURRENT).contains(&rate.conversations) => it.answer_rate = Some(rate),
            Ok(_) => {
                let reason = format!("must be a whole number from 1 to {MAX_CONCURRENT}");
                fields.wrong("answer_rate.conversations", reason);
            }
            Err(why) => fields.wrong("answer_rate", why.to_string()),
        }
    }
    if let Some(keep_open) = fields.boolean("keep_open") {
        it.keep_open = keep_open;
    }
    let starts_at = fields.time("starts_at");
    match starts_at {
        Some(at) if at <= now => fields.wrong("starts_at", "lies in the past"),
        Some(at) if at > now + FURTHEST => fields.wrong("starts_at", "is more than 60 days ahead"),
        Some(at) if it.expires_at.is_some_and(|end| at >= end) => {
            fields.wrong("starts_at", "is not before expires_at");
        }
        _ => {}
    }
    Wishes { starts_at, start: false }
}

/// Takes `start`, which a new campaign alone has.
pub(super) fn take_start(fields: &mut Fields, wishes: &mut Wishes) {
    wishes.start = fields.boolean("start").unwrap_or(false);
    if wishes.start && wishes.starts_at.is_some() {
        fields.wrong("start", "stands beside starts_at; send one of them");
    }
}

/// Takes away what stands there as null.
pub(super) fn clear(fields: &mut Fields, it: &mut Campaign) {
    for name in fields.nulls() {
        match name.as_str() {
            "name" => it.name = None,
            "agent" => it.agent = None,
            "voicemail" => it.voicemail = None,
            "webhook_url" => it.webhook_url = None,
            "expires_at" => it.expires_at = None,
            "max_cps" => it.max_cps = None,
            "max_concurrent" => it.max_concurrent = None,
            "weight" => it.weight = DEFAULT_WEIGHT,
            "caller_ids" => it.caller_ids = Vec::new(),
            "window" => it.window = None,
            "retries" => it.retries = None,
            "require_consent" => it.require_consent = None,
            "dedupe" => it.dedupe = Dedupe::default(),
            "answer_rate" => it.answer_rate = None,
            "keep_open" => it.keep_open = false,
            "starts_at" => fields.wrong("starts_at", "cannot be taken away; start the campaign or cancel it"),
            // Told as unknown with all the others.
            _ => {}
        }
    }
}

/// All that was wrong, as a problem.
pub(super) fn finish(fields: Fields) -> Result<(), Problem> {
    let errors: Vec<FieldError> = fields.finish();
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(Kind::InvalidRequest, errors)) }
}

fn caller(text: &str, app: &App) -> Result<String, String> {
    let phone = Phone::parse(text, &app.api.config.default_region).map_err(|e| e.to_string())?;
    if app.api.config.knows_caller(phone.e164()) {
        Ok(phone.e164().to_owned())
    } else {
        Err("is not one of the numbers that this account calls from (CALLER_IDS)".into())
    }
}
