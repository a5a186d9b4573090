//! One call as a client describes it, judged field by field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::App;
use crate::api::fields::{Fields, kind_of};
use crate::api::initiate::number::{self, parse};
use crate::api::problems::FieldError;
use crate::base::clock::{DAY, Millis};
use crate::domain::call::{Body, Call};
use crate::domain::campaign::{Consent, ConsentBasis, Priority};
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
pub(super) const VARIABLE: usize = 1_000;
/// Most bytes of metadata.
const METADATA: usize = 4_096;
/// Most numbers of a contact beside the first.
pub(super) const ALTERNATIVES: usize = 5;
/// The parts of a consent, as columns and parameters name them behind `consent_`.
pub(super) const CONSENT: [&str; 3] = ["basis", "at", "source"];

/// What may stand in a call, and for all calls of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::api) struct Shared {
    pub(in crate::api) agent: Option<String>,
    pub(in crate::api) voicemail: Option<Voicemail>,
    pub(in crate::api) webhook_url: Option<String>,
    pub(in crate::api) variables: BTreeMap<String, String>,
    pub(in crate::api) schedule_at: Option<Millis>,
    pub(in crate::api) expires_at: Option<Millis>,
    pub(in crate::api) metadata: Option<Value>,
    pub(in crate::api) time_zone: Option<String>,
    pub(in crate::api) priority: Option<Priority>,
    pub(in crate::api) consent: Option<Consent>,
    /// The consent that each call of the list must carry; the campaign says so, no row.
    pub(in crate::api) required: Option<ConsentBasis>,
}

impl Shared {
    /// Takes its fields.
    pub(in crate::api) fn take(fields: &mut Fields, app: &App, now: Millis) -> Self {
        let schedule_at = alias(fields, "schedule_at", "earliest");
        let expiry = alias(fields, "expires_at", "latest");
        let mut shared = Self {
            agent: agent(fields, app),
            voicemail: voicemail(fields),
            webhook_url: webhook_url(fields, app),
            variables: fields.texts("variables", VARIABLES, VARIABLE),
            expires_at: expires_at(fields, expiry, now),
            metadata: fields.object("metadata", METADATA),
            priority: priority(fields),
            consent: consent(fields, now),
            ..Self::default()
        };
        shared.schedule_at = fields.time(schedule_at).filter(|at| *at > now);
        if shared.schedule_at.is_some_and(|at| at > now + FURTHEST) {
            fields.wrong(schedule_at, "is more than 30 days ahead");
        }
        if let (Some(from), Some(to)) = (shared.schedule_at, shared.expires_at)
            && from >= to
        {
            fields.wrong(expiry, format!("is not after {schedule_at}"));
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
        let variables = if list.variables.is_empty() {
            self.variables
        } else {
            let mut both = list.variables.clone();
            both.extend(self.variables);
            both
        };
        Self {
            agent: self.agent.or_else(|| list.agent.clone()),
            voicemail: self.voicemail.or(list.voicemail),
            webhook_url: self.webhook_url.or_else(|| list.webhook_url.clone()),
            variables,
            schedule_at: self.schedule_at.or(list.schedule_at),
            expires_at: self.expires_at.or(list.expires_at),
            metadata: self.metadata.or_else(|| list.metadata.clone()),
            time_zone: self.time_zone.or_else(|| list.time_zone.clone()),
            priority: self.priority.or(list.priority),
            consent: self.consent.or_else(|| list.consent.clone()),
            required: list.required,
        }
    }

    /// Why its consent is not what the campaign asks for; `None` where it is.
    fn consent_error(&self, prefix: &str) -> Option<FieldError> {
        let required = self.required?;
        let wanted = if required == ConsentBasis::Written { "written" } else { "express" };
        match &self.consent {
            Some(consent) if consent.basis >= required => None,
            Some(_) => {
                let error = FieldError::new(
                    format!("{prefix}consent.basis"),
                    format!("the campaign requires {wanted} consent"),
                );
                Some(error.code("consent_too_weak"))
            }
            None => {
                let error = FieldError::new(
                    format!("{prefix}consent"),
                    format!("is missing; the campaign requires {wanted} consent"),
                );
                Some(error.code("consent_missing"))
            }
        }
    }
}

/// Which of two names of the same field stands there; both is a mistake.
fn alias(fields: &mut Fields, name: &'static str, other: &'static str) -> &'static str {
    match (fields.has(name), fields.has(other)) {
        (true, true) => {
            fields.take(other);
            fields.wrong(other, format!("stands beside {name}, which means the same; send one of them"));
            name
        }
        (false, true) => other,
        _ => name,
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

/// How urgent it is within its campaign.
fn priority(fields: &mut Fields) -> Option<Priority> {
    let word = fields.text("priority", 100)?;
    let known = Priority::parse(&word.to_ascii_lowercase());
    if known.is_none() {
        fields.wrong("priority", "must be high, normal or low");
    }
    known
}

/// On what ground the person may be called.
fn consent(fields: &mut Fields, now: Millis) -> Option<Consent> {
    let mut own = fields.nested("consent")?;
    let missing: Vec<&str> = CONSENT.into_iter().filter(|part| !own.has(part)).collect();
    for part in missing {
        own.wrong(part, "is missing; a consent has basis, at and source");
    }
    let basis = own.text("basis", 100).and_then(|word| {
        let known = match word.to_ascii_lowercase().as_str() {
            "express" => Some(ConsentBasis::Express),
            "written" => Some(ConsentBasis::Written),
            _ => None,
        };
        if known.is_none() {
            own.wrong("basis", "must be express or written");
        }
        known
    });
    let at = own.time("at");
    if at.is_some_and(|at| at > now) {
        own.wrong("at", "lies in the future");
    }
    let source = own.text("source", 200);
    fields.absorb(own);
    Some(Consent { basis: basis?, at: at?, source: source? })
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

/// A moment to come, in the field `name`.
pub(in crate::api) fn expires_at(fields: &mut Fields, name: &str, now: Millis) -> Option<Millis> {
    let at = fields.time(name)?;
    if at <= now {
        fields.wrong(name, "lies in the past");
    } else if at > now + LATEST_EXPIRY {
        fields.wrong(name, "is more than 60 days ahead");
    } else {
        return Some(at);
    }
    None
}

/// A call as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::api) struct Row {
    pub(in crate::api) phone: Phone,
    pub(in crate::api) alternatives: Vec<Phone>,
    pub(in crate::api) fields: Shared,
}

/// A row of a number and variables, as it stands in JSON: nothing is built of it that is not kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain<'a> {
    #[serde(borrow)]
    phone_number: Cow<'a, str>,
    #[serde(default)]
    variables: Option<BTreeMap<String, String>>,
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
        let region = &app.api.config.default_region;
        let phone = match fields.take("phone_number") {
            None => {
                fields.push(FieldError::new("phone_number", "is missing").code("phone_empty"));
                None
            }
            Some(Value::String(text)) => match parse(&text, region, "phone_number") {
                Ok(phone) => Some(phone),
                Err(error) => {
                    fields.push(error);
                    None
                }
            },
            Some(_) => {
                let error = FieldError::new("phone_number", "must be a string such as \"+14155550100\"");
                fields.push(error.code("phone_not_a_number"));
                None
            }
        };
        let alternatives = alternatives(&mut fields, region, phone.as_ref());
        let own = Shared::take(&mut fields, app, now);
        Self::put_together(fields, prefix, phone, alternatives, own, list)
    }

    /// A row that is a number and variables and no more, where nothing is wrong with it; all others are [`Row::read`].
    pub(super) fn plain(app: &App, plain: Plain<'_>, list: &Shared) -> Option<Self> {
        let variables = plain.variables.unwrap_or_default();
        // Bytes are no fewer than characters.
        let fits =
            |(name, text): (&String, &String)| (1..=100).contains(&name.len()) && text.len() <= VARIABLE;
        let phone = parse(&plain.phone_number, &app.api.config.default_region, "").ok()?;
        let few = variables.len() <= VARIABLES && variables.iter().all(fits);
        let own = Shared { variables, ..Shared::default() }.over(list);
        let orderly = own.schedule_at.is_none() || own.expires_at.is_none();
        let fine = few && orderly && own.variables.len() <= VARIABLES && own.consent_error("").is_none();
        fine.then(|| Self { phone, alternatives: Vec::new(), fields: own })
    }

    fn put_together(
        mut fields: Fields,
        prefix: &str,
        phone: Option<Phone>,
        alternatives: Vec<Phone>,
        own: Shared,
        list: &Shared,
    ) -> Result<Self, Vec<FieldError>> {
        let own = own.over(list);
        if let (Some(from), Some(to)) = (own.schedule_at, own.expires_at)
            && from >= to
        {
            fields.wrong("schedule_at", "is not before the call expires");
        }
        if own.variables.len() > VARIABLES {
            fields.wrong("variables", format!("together with the list's, more than {VARIABLES}"));
        }
        let mut errors = fields.finish();
        errors.extend(own.consent_error(prefix));
        match phone {
            Some(phone) if errors.is_empty() => Ok(Self { phone, alternatives, fields: own }),
            _ => Err(errors),
        }
    }

    /// A row of a sheet: numbers and variables as its columns gave them, everything else in `rest`.
    pub(super) fn of_columns(
        app: &App,
        phones: Result<(Phone, Vec<Phone>), FieldError>,
        variables: BTreeMap<String, String>,
        rest: Map<String, Value>,
        list: &Shared,
        now: Millis,
    ) -> Result<Self, Vec<FieldError>> {
        let bare = rest.is_empty();
        let mut fields = Fields::new("", rest);
        let (phone, alternatives) = match phones {
            Ok((phone, alternatives)) => (Some(phone), alternatives),
            Err(error) => {
                fields.push(error);
                (None, Vec::new())
            }
        };
        for (name, text) in &variables {
            // Bytes are no fewer than characters: only a long text need be counted.
            if text.len() > VARIABLE && text.chars().count() > VARIABLE {
                fields.wrong(name, format!("is longer than {VARIABLE} characters"));
            }
        }
        let mut own = if bare {
            Shared::default()
        } else {
            fields.gather("consent", &CONSENT);
            Shared::take(&mut fields, app, now)
        };
        own.variables = variables;
        Self::put_together(fields, "", phone, alternatives, own, list)
    }

    /// A number alone, with the fields of its list.
    pub(super) fn bare(app: &App, text: &str, field: &str, list: &Shared) -> Result<Self, Vec<FieldError>> {
        let phone = parse(text, &app.api.config.default_region, field).map_err(|error| vec![error])?;
        match list.consent_error("") {
            Some(error) => Err(vec![error]),
            None => Ok(Self { phone, alternatives: Vec::new(), fields: list.clone() }),
        }
    }

    /// The waiting call that it makes.
    pub(in crate::api) fn call(
        self,
        app: &App,
        id: CallId,
        campaign: Option<CampaignId>,
        now: Millis,
    ) -> Call {
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
        body.priority = fields.priority.unwrap_or_default();
        body.consent = fields.consent;
        body.alternatives = self.alternatives;
        Call::new(id, hash, campaign, body)
    }
}

/// Further numbers of the contact: a list of strings, or one string. The first number and repeats are left out.
fn alternatives(fields: &mut Fields, region: &str, first: Option<&Phone>) -> Vec<Phone> {
    let texts = match fields.take("alternative_numbers") {
        None => return Vec::new(),
        Some(Value::String(one)) => vec![Value::String(one)],
        Some(Value::Array(many)) => many,
        Some(other) => {
            let reason = format!("must be a list of strings, not {}", kind_of(&other));
            fields.wrong("alternative_numbers", reason);
            return Vec::new();
        }
    };
    let mut out: Vec<Phone> = Vec::new();
    for (i, text) in texts.iter().enumerate().take(100) {
        let field = format!("alternative_numbers[{i}]");
        match text {
            Value::String(text) => match parse(text, region, &field) {
                Ok(phone) => number::add(&mut out, first, phone),
                Err(error) => fields.push(error),
            },
            other => fields.wrong(&field, format!("must be a string, not {}", kind_of(other))),
        }
    }
    if out.len() > ALTERNATIVES || texts.len() > 100 {
        fields.wrong("alternative_numbers", format!("has more than {ALTERNATIVES} numbers"));
    }
    out
}
