//! One call as a client describes it, judged field by field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::App;
use crate::api::fields::Fields;
use crate::api::problems::FieldError;
use crate::base::clock::{DAY, Millis};
use crate::domain::call::{Body, Call};
use crate::domain::ids::{CallId, CampaignId};
use crate::domain::phone::Phone;
use crate::domain::talk::Voicemail;
use crate::outbox::guard::check_url_shape;

/// How far ahead a call may be scheduled.
const FURTHEST: Millis = 30 * DAY;
/// The latest a call may expire.
const LATEST_EXPIRY: Millis = 60 * DAY;
/// Most variables, and characters of each.
pub(super) const VARIABLES: usize = 50;
const VARIABLE: usize = 1_000;
/// Most bytes of metadata.
const METADATA: usize = 4_096;

/// What may stand in a call, and for all calls of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shared {
    pub(super) agent: Option<String>,
    pub(super) voicemail: Option<Voicemail>,
    pub(super) webhook_url: Option<String>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) schedule_at: Option<Millis>,
    pub(super) expires_at: Option<Millis>,
    pub(super) metadata: Option<Value>,
    pub(super) time_zone: Option<String>,
}

impl Shared {
    /// Takes its fields.
    pub(super) fn take(fields: &mut Fields, app: &App, now: Millis) -> Self {
        let mut shared = Self {
            agent: agent(fields, app),
            voicemail: voicemail(fields),
            webhook_url: webhook_url(fields, app),
            variables: fields.texts("variables", VARIABLES, VARIABLE),
            expires_at: expires_at(fields, now),
            metadata: fields.object("metadata", METADATA),
            ..Self::default()
        };
        shared.schedule_at = fields.time("schedule_at").filter(|at| *at > now);
        if shared.schedule_at.is_some_and(|at| at > now + FURTHEST) {
            fields.wrong("schedule_at", "is more than 30 days ahead");
        }
        if let (Some(from), Some(to)) = (shared.schedule_at, shared.expires_at)
            && from >= to
        {
            fields.wrong("expires_at", "is not after schedule_at");
        }
        if let Some(zone) = fields.text("time_zone", 64) {
            if jiff::tz::db().get(&zone).is_ok() {
                shared.time_zone = Some(zone);
            } else {
                fields.wrong("time_zone", "is not a known IANA time zone, such as America/New_York");
            }
        }
        shared
    }

    /// This row's fields over those of the list.
    fn over(self, list: &Self) -> Self {
        let mut variables = list.variables.clone();
        variables.extend(self.variables);
        Self {
            agent: self.agent.or_else(|| list.agent.clone()),
            voicemail: self.voicemail.or(list.voicemail),
            webhook_url: self.webhook_url.or_else(|| list.webhook_url.clone()),
            variables,
            schedule_at: self.schedule_at.or(list.schedule_at),
            expires_at: self.expires_at.or(list.expires_at),
            metadata: self.metadata.or_else(|| list.metadata.clone()),
            time_zone: self.time_zone.or_else(|| list.time_zone.clone()),
        }
    }
}

/// An agent's name that exists.
pub(in crate::api) fn agent(fields: &mut Fields, app: &App) -> Option<String> {
    let name = fields.text("agent", 100)?;
    if (app.api.agents)(&name) {
        return Some(name);
    }
    fields.wrong("agent", format!("there is no agent {name:?}"));
    None
}

/// What a machine gets that answers.
pub(in crate::api) fn voicemail(fields: &mut Fields) -> Option<Voicemail> {
    let word = fields.text("voicemail", 100)?;
    let known = Voicemail::parse(&word);
    if known.is_none() {
        fields.wrong("voicemail", "must be hang_up, message or continue");
    }
    known
}

/// A webhook's URL that may be called.
pub(in crate::api) fn webhook_url(fields: &mut Fields, app: &App) -> Option<String> {
    let url = fields.text("webhook_url", crate::outbox::guard::MAX_URL)?;
    match check_url_shape(&url, app.api.config.allow_private_webhooks) {
        Ok(_) => Some(url),
        Err(refused) => {
            fields.wrong("webhook_url", refused.to_string());
            None
        }
    }
}

/// A moment to come.
pub(in crate::api) fn expires_at(fields: &mut Fields, now: Millis) -> Option<Millis> {
    let at = fields.time("expires_at")?;
    if at <= now {
        fields.wrong("expires_at", "lies in the past");
    } else if at > now + LATEST_EXPIRY {
        fields.wrong("expires_at", "is more than 60 days ahead");
    } else {
        return Some(at);
    }
    None
}

/// A call as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) phone: Phone,
    pub(super) fields: Shared,
}

impl Row {
    /// Reads one; `prefix` stands before the names of its fields in errors.
    pub(super) fn read(
        app: &App,
        object: Map<String, Value>,
        prefix: &str,
        list: &Shared,
        now: Millis,
    ) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::new(prefix, object);
        let phone = match fields.take("phone_number") {
            None => {
                fields.wrong("phone_number", "is missing");
                None
            }
            Some(Value::String(text)) => phone(&mut fields, app, &text),
            Some(_) => {
                fields.wrong("phone_number", "must be a string such as \"+14155550100\"");
                None
            }
        };
        let own = Shared::take(&mut fields, app, now).over(list);
        if let (Some(from), Some(to)) = (own.schedule_at, own.expires_at)
            && from >= to
        {
            fields.wrong("schedule_at", "is not before the call expires");
        }
        if own.variables.len() > VARIABLES {
            fields.wrong("variables", format!("together with the list's, more than {VARIABLES}"));
        }
        let errors = fields.finish();
        match phone {
            Some(phone) if errors.is_empty() => Ok(Self { phone, fields: own }),
            _ => Err(errors),
        }
    }

    /// A number alone, with the fields of its list.
    pub(super) fn bare(app: &App, text: &str, field: &str, list: &Shared) -> Result<Self, Vec<FieldError>> {
        match Phone::parse(text, &app.api.config.default_region) {
            Ok(phone) => Ok(Self { phone, fields: list.clone() }),
            Err(e) => Err(vec![FieldError::new(field, e.to_string())]),
        }
    }

    /// The waiting call that it makes.
    pub(super) fn call(self, app: &App, id: CallId, campaign: Option<CampaignId>, now: Millis) -> Call {
        let hash = app.store().hash(self.phone.e164());
        let fields = self.fields;
        let mut body = Body::new(self.phone, now);
        body.agent = fields.agent;
        body.voicemail = fields.voicemail;
        body.webhook_url = fields.webhook_url;
        body.variables = fields.variables;
        body.schedule_at = fields.schedule_at;
        body.expires_at = fields.expires_at;
        body.metadata = fields.metadata;
        body.time_zone = fields.time_zone;
        Call::new(id, hash, campaign, body)
    }
}

fn phone(fields: &mut Fields, app: &App, text: &str) -> Option<Phone> {
    match Phone::parse(text, &app.api.config.default_region) {
        Ok(phone) => Some(phone),
        Err(e) => {
            fields.wrong("phone_number", e.to_string());
            None
        }
    }
}
