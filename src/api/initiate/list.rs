//! A list of calls on its way in: rows are judged one by one, handed to the store a thousand at a time, and counted.
//! It holds one batch and the first thousand errors, however long the list is.

use std::collections::HashSet;

use axum::response::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::App;
use crate::api::fields::{Fields, Query};
use crate::api::initiate::row::{self, Row, Shared};
use crate::api::initiate::{ListAnswer, RepeatKey, accepted, mismatch};
use crate::api::problems::{FieldError, Kind, Problem};
use crate::base::clock::Millis;
use crate::domain::call::Call;
use crate::domain::campaign::{Campaign, Command};
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::Submitted;

/// Rows that are handed in together.
const BATCH: usize = 1_000;
/// Errors that are told.
const ERRORS: usize = 1_000;

/// A list being read.
pub(super) struct List<'a> {
    app: &'a App,
    now: Millis,
    campaign: Campaign,
    shared: Shared,
    batch: Vec<Call>,
    answer: ListAnswer,
    errors: Vec<FieldError>,
    rows: u64,
    written: bool,
    /// A list that is posted again after it was broken off: rows of the first try exist already and are accepted
    /// all the same. Only then must the rows of this try be remembered, to tell them from duplicates.
    resumed: Option<HashSet<u64>>,
}

impl<'a> List<'a> {
    /// A list whose shared fields stand beside it in JSON; `empty` names its field where it has no rows.
    pub(super) fn from_fields(
        app: &'a App,
        mut fields: Fields,
        empty: Option<&str>,
    ) -> Result<Self, Problem> {
        let now = app.api.clock.now();
        let mut campaign = Campaign::new(CampaignId::random(), now);
        let mut errors = Vec::new();
        match fields.take("campaign") {
            None => {}
            Some(Value::Object(object)) => {
                let mut own = Fields::new("campaign.", object);
                campaign.name = own.text("name", 200);
                campaign.agent = row::agent(&mut own, app);
                campaign.voicemail = row::voicemail(&mut own);
                campaign.webhook_url = row::webhook_url(&mut own, app);
                campaign.expires_at = row::expires_at(&mut own, now);
                errors = own.finish();
            }
            Some(_) => fields.wrong("campaign", "must be an object"),
        }
        if let Some(name) = empty {
            fields.wrong(name, "is empty or no list");
        }
        let shared = Shared::take(&mut fields, app, now);
        errors.extend(fields.finish());
        if !errors.is_empty() {
            return Err(Problem::fields(Kind::InvalidRequest, errors));
        }
        Ok(Self::new(app, now, campaign, shared))
    }

    /// A list whose shared fields stand in the query.
    pub(super) fn from_query(app: &'a App, query: Query) -> Result<Self, Problem> {
        let now = app.api.clock.now();
        let mut fields = query.fields();
        let mut campaign = Campaign::new(CampaignId::random(), now);
        campaign.name = fields.text("campaign", 200);
        for name in ["variables", "metadata"] {
            if fields.take(name).is_some() {
                fields.wrong(name, "cannot stand in the query; give each row its own");
            }
        }
        let shared = Shared::take(&mut fields, app, now);
        let errors = fields.finish();
        if !errors.is_empty() {
            return Err(Problem::fields(Kind::InvalidQuery, errors));
        }
        Ok(Self::new(app, now, campaign, shared))
    }

    fn new(app: &'a App, now: Millis, mut campaign: Campaign, mut shared: Shared) -> Self {
        // What all calls share stays in the campaign, so that a waiting call's record is small.
        campaign.agent = campaign.agent.or_else(|| shared.agent.take());
        campaign.voicemail = campaign.voicemail.or_else(|| shared.voicemail.take());
        campaign.webhook_url = campaign.webhook_url.or_else(|| shared.webhook_url.take());
        campaign.expires_at = campaign.expires_at.or(shared.expires_at);
        // A list that is simply posted is dialed at once.
        let _ = campaign.command(Command::Start, "api", None, now);
        // The record's own rule for expiry does not look at the campaign.
        shared.expires_at = shared.expires_at.or(campaign.expires_at);
        Self {
            app,
            now,
            campaign,
            shared,
            batch: Vec::with_capacity(BATCH),
            answer: ListAnswer::default(),
            errors: Vec::new(),
            rows: 0,
            written: false,
            resumed: None,
        }
    }

    /// Binds it to an idempotency key, where there is one: the campaign's id follows from the key, its calls' ids from
    /// the campaign's. True: this list was read to its end before, and is to be answered by [`List::replay`].
    pub(super) async fn repeats(&mut self, key: Option<RepeatKey>) -> Result<bool, Problem> {
        let Some(key) = key else { return Ok(false) };
        let kind = "list";
        if self.app.store().bind_repeat_key(&key.scoped, kind).await? != kind {
            return Err(mismatch());
        }
        self.campaign.id = CampaignId::derived(&format!("list:{}", key.scoped));
        if let Some(first) = self.app.store().campaign(&self.campaign.id).await? {
            self.campaign.created_at = first.created_at;
            self.campaign.answer = first.answer;
            self.campaign.fingerprint = first.fingerprint;
            self.resumed = Some(HashSet::new());
        }
        Ok(self.campaign.answer.is_some())
    }

    /// The first answer, where the body is the same.
    pub(super) fn replay(self, fingerprint: &str) -> Result<Response, Problem> {
        match (&self.campaign.answer, &self.campaign.fingerprint) {
            (Some(answer), Some(first)) if first == fingerprint => Ok(accepted(answer, true)),
            _ => Err(mismatch()),
        }
    }

    pub(super) fn app(&self) -> &'a App {
        self.app
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn now(&self) -> Millis {
        self.now
    }

    /// Takes the next row, good or bad.
    pub(super) async fn offer(&mut self, n: u64, row: Result<Row, Vec<FieldError>>) -> Result<(), Problem> {
        self.rows += 1;
        let row = match row {
            Ok(row) => row,
            Err(errors) => {
                self.answer.rejected += 1;
                for error in errors {
                    if self.errors.len() < ERRORS {
                        self.errors.push(FieldError { row: Some(n), ..error });
                    } else {
                        self.answer.errors_truncated = true;
                    }
                }
                return Ok(());
            }
        };
        let e164 = row.phone.e164();
        if self.app.prefixes.covers_for(self.app, e164, Some(&self.campaign.id)).await? {
            self.answer.suppressed += 1;
            return Ok(());
        }
        let id = CallId::derived(Shard::of(e164), &format!("{}:{e164}", self.campaign.id));
        let call = row.call(self.app, id, Some(self.campaign.id.clone()), self.now);
        self.batch.push(call);
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let store = self.app.store();
        if !self.written {
            // Before its first call, so that whoever claims that call finds it.
            store.put_campaign(&self.campaign).await?;
            self.written = true;
        }
        let answers = store.submit(&self.batch, self.now).await?;
        let mut created = 0;
        for (call, answer) in self.batch.drain(..).zip(answers) {
            let seen_now = match &mut self.resumed {
                None => true,
                Some(seen) => !seen.insert(short_hash(&call.id)),
            };
            match answer {
                Submitted::Created => created += 1,
                Submitted::Suppressed => self.answer.suppressed += 1,
                Submitted::Exists | Submitted::Repeat { .. } if seen_now => self.answer.duplicates += 1,
                Submitted::Exists | Submitted::Repeat { .. } => self.answer.accepted += 1,
            }
        }
        self.answer.accepted += created;
        self.app.api.ops.metrics.calls_started.inc_by(created);
        Ok(())
    }

    /// Hands the rest in and answers.
    pub(super) async fn finish(mut self, fingerprint: String) -> Result<Response, Problem> {
        self.flush().await?;
        if self.rows == 0 {
            let error = FieldError::new("", "the list is empty");
            return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
        }
        if self.answer.rejected == self.rows {
            let detail = format!("none of the {} rows can be called", self.rows);
            return Err(Problem::new(Kind::NoValidRows, detail)
                .with_errors(self.errors, self.answer.errors_truncated));
        }
        self.answer.campaign_id = self.campaign.id.to_string();
        self.answer.errors = self.errors.iter().map(|e| json!(e)).collect();
        self.campaign.answer = serde_json::to_value(&self.answer).ok();
        self.campaign.fingerprint = Some(fingerprint);
        self.app.store().put_campaign(&self.campaign).await?;
        let ListAnswer { accepted: ok, rejected, duplicates, suppressed, .. } = self.answer;
        tracing::info!(campaign_id = %self.campaign.id, accepted = ok, rejected, duplicates, suppressed, "a list was accepted");
        Ok(accepted(&self.answer, false))
    }
}

/// Eight bytes of an id: two rows of a list that agree in them by chance would need billions of rows.
fn short_hash(id: &CallId) -> u64 {
    let hash = Sha256::digest(id.as_str().as_bytes());
    hash.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}
