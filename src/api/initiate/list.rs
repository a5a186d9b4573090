//! A list of calls on its way in: rows are judged one by one, handed to the store some thousand at a time, and counted.
//! It holds one batch and the first thousand errors, however long the list is.

use std::collections::HashSet;

use axum::response::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::App;
use crate::api::fields::{Fields, Query};
use crate::api::initiate::report::{Reason, Report};
use crate::api::initiate::row::{self, CONSENT, Row, Shared};
use crate::api::initiate::{ListAnswer, RepeatKey, accepted, mismatch};
use crate::api::problems::{FieldError, Kind, Problem};
use crate::base::clock::{MINUTE, Millis};
use crate::domain::call::Call;
use crate::domain::campaign::{Campaign, Command, Dedupe, State};
use crate::domain::ids::{CallId, CampaignId, Shard};
use crate::store::{Changed, Submitted};

/// Rows that are handed in together: some sixty for each shard.
const BATCH: usize = 4_000;
/// How often a campaign is told that its list is still being read.
const REMIND: Millis = 2 * MINUTE;

/// Is told of a call that a dry run would accept.
pub(in crate::api) type Judge<'a> = Box<dyn FnMut(&Call, Option<Millis>) + Send + 'a>;

/// A list being read.
pub(in crate::api) struct List<'a> {
    app: &'a App,
    now: Millis,
    campaign: Campaign,
    shared: Shared,
    batch: Vec<(u64, Call)>,
    /// When the batch began: what its calls say of when they were accepted, so that the index finds them.
    stamp: Millis,
    answer: ListAnswer,
    report: Report,
    rows: u64,
    /// The campaign is there already, and gets further rows.
    exists: bool,
    /// It was there before this list, which did not make it.
    further: bool,
    /// The answer is kept under this key, not in the campaign.
    appends_under: Option<String>,
    /// The mark that its campaign carries while we read.
    marked: Option<Millis>,
    /// Nothing is written: this is told of each call that would be accepted, and until when the frequency cap holds it.
    dry: Option<Judge<'a>>,
    /// A list that is posted again after it was broken off: rows of the first try exist already and are accepted
    /// all the same. Only then must the rows of this try be remembered, to tell them from duplicates.
    resumed: Option<HashSet<u64>>,
}

impl<'a> List<'a> {
    /// A list that makes a campaign; its shared fields stand beside it in JSON.
    pub(super) fn from_fields(app: &'a App, mut fields: Fields) -> Result<Self, Problem> {
        let now = app.api.clock.now();
        let mut campaign = Campaign::new(CampaignId::random(), now);
        let mut errors = Vec::new();
        match fields.take("campaign") {
            None => {}
            Some(Value::Object(object)) => {
                let mut own = Fields::new("campaign.", object);
                campaign.name = own.line("name", 200);
                campaign.agent = row::agent(&mut own, app);
                campaign.voicemail = row::voicemail(&mut own);
                campaign.webhook_url = row::webhook_url(&mut own, app);
                campaign.expires_at = row::expires_at(&mut own, "expires_at", now);
                errors = own.finish();
            }
            Some(_) => fields.wrong("campaign", "must be an object"),
        }
        let shared = Shared::take(&mut fields, app, now);
        errors.extend(fields.finish());
        if !errors.is_empty() {
            return Err(Problem::fields(Kind::InvalidRequest, errors));
        }
        Ok(Self::makes(app, now, campaign, shared))
    }

    /// A list that makes a campaign; its shared fields stand in the query.
    pub(super) fn from_query(app: &'a App, query: Query) -> Result<Self, Problem> {
        let now = app.api.clock.now();
        let mut fields = query.fields();
        let mut campaign = Campaign::new(CampaignId::random(), now);
        campaign.name = fields.line("campaign", 200);
        let shared = shared_of_query(app, fields, now)?;
        Ok(Self::makes(app, now, campaign, shared))
    }

    /// Further rows of a campaign; what they share stands beside them in JSON.
    pub(in crate::api) fn further(
        app: &'a App,
        campaign: Campaign,
        mut fields: Fields,
    ) -> Result<Self, Problem> {
        let now = app.api.clock.now();
        let shared = Shared::take(&mut fields, app, now);
        let errors = fields.finish();
        if !errors.is_empty() {
            return Err(Problem::fields(Kind::InvalidRequest, errors));
        }
        Ok(Self::extends(app, now, campaign, shared))
    }

    /// Further rows of a campaign; what they share stands in the query.
    pub(in crate::api) fn further_of_query(
        app: &'a App,
        campaign: Campaign,
        query: Query,
    ) -> Result<Self, Problem> {
        let now = app.api.clock.now();
        let shared = shared_of_query(app, query.fields(), now)?;
        Ok(Self::extends(app, now, campaign, shared))
    }

    fn makes(app: &'a App, now: Millis, mut campaign: Campaign, mut shared: Shared) -> Self {
        // What all calls share stays in the campaign, so that a waiting call's record is small.
        campaign.agent = campaign.agent.or_else(|| shared.agent.take());
        campaign.voicemail = campaign.voicemail.or_else(|| shared.voicemail.take());
        campaign.webhook_url = campaign.webhook_url.or_else(|| shared.webhook_url.take());
        campaign.expires_at = campaign.expires_at.or(shared.expires_at);
        // A list that is simply posted is dialed at once.
        let _ = campaign.command(Command::Start, "api", None, now);
        Self::new(app, now, campaign, shared)
    }

    fn extends(app: &'a App, now: Millis, campaign: Campaign, mut shared: Shared) -> Self {
        // What the campaign says anyway need not stand in each record.
        shared.agent = shared.agent.filter(|own| campaign.agent.as_ref() != Some(own));
        shared.voicemail = shared.voicemail.filter(|own| campaign.voicemail != Some(*own));
        shared.webhook_url = shared.webhook_url.filter(|own| campaign.webhook_url.as_ref() != Some(own));
        let mut list = Self::new(app, now, campaign, shared);
        (list.exists, list.further) = (true, true);
        list
    }

    fn new(app: &'a App, now: Millis, campaign: Campaign, mut shared: Shared) -> Self {
        // The record's own rule for expiry does not look at the campaign.
        shared.expires_at = shared.expires_at.or(campaign.expires_at);
        shared.required = campaign.require_consent;
        let intake = hex::encode(&Sha256::digest(CampaignId::random().as_str())[..6]);
        Self {
            app,
            now,
            campaign,
            shared,
            batch: Vec::with_capacity(BATCH),
            stamp: now,
            report: Report::of(&intake),
            answer: ListAnswer { intake_id: intake, ..ListAnswer::default() },
            rows: 0,
            exists: false,
            further: false,
            appends_under: None,
            marked: None,
            dry: None,
            resumed: None,
        }
    }

    /// The same list as a dry run: nothing is written, `judge` is told of what would be.
    pub(in crate::api) fn dry(mut self, judge: Judge<'a>) -> Self {
        self.dry = Some(judge);
        self.resumed = Some(HashSet::new());
        self
    }

    /// Binds it to an idempotency key, where there is one: the campaign's id follows from the key, its calls' ids from
    /// the campaign's. True: this list was read to its end before, and is to be answered by [`List::replay`].
    pub(in crate::api) async fn repeats(&mut self, key: Option<RepeatKey>) -> Result<bool, Problem> {
        let Some(key) = key else { return Ok(false) };
        let store = self.app.store();
        if self.further {
            // The key is the campaign's own: what it is bound to says which.
            let kind = format!("rows:{}", self.campaign.id);
            if store.bind_repeat_key(&key.scoped, &kind).await? != kind {
                return Err(mismatch());
            }
            self.campaign.answer = None;
            if let Some(kept) = store.repeat_answer(&key.scoped).await? {
                match kept.split_once(' ') {
                    Some((print, answer)) if !answer.is_empty() => {
                        self.campaign.fingerprint = Some(print.to_owned());
                        self.campaign.answer = serde_json::from_str(answer).ok();
                    }
                    _ => self.resumed = Some(HashSet::new()),
                }
            } else {
                // Kept at once, though without an answer: a second try knows that there was a first.
                store.put_repeat_answer(&key.scoped, "begun ").await?;
            }
            self.appends_under = Some(key.scoped);
            return Ok(self.campaign.answer.is_some());
        }
        let kind = "list";
        if store.bind_repeat_key(&key.scoped, kind).await? != kind {
            return Err(mismatch());
        }
        self.campaign.id = CampaignId::derived(&format!("list:{}", key.scoped));
        if let Some(first) = store.campaign_fresh(&self.campaign.id).await? {
            self.campaign = first;
            self.exists = true;
            self.resumed = Some(HashSet::new());
        }
        Ok(self.campaign.answer.is_some())
    }

    /// The first answer, where the body is the same.
    pub(in crate::api) fn replay(self, fingerprint: &str) -> Result<Response, Problem> {
        match (&self.campaign.answer, &self.campaign.fingerprint) {
            (Some(answer), Some(first)) if first == fingerprint => Ok(accepted(answer, true)),
            _ => Err(mismatch()),
        }
    }

    /// A list that reports nothing to the store while it is read; see [`List::taken`].
    #[cfg(any(test, fuzzing))]
    pub(super) fn unwritten(self) -> Self {
        self.dry(Box::new(|_, _| {}))
    }

    /// How many rows were read, how many of them were rejected, and the calls that the others make.
    #[cfg(any(test, fuzzing))]
    pub(super) fn taken(self) -> (u64, u64, Vec<(u64, Call)>) {
        (self.rows, self.answer.rejected, self.batch)
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
                self.report.row(n, errors);
                return self.write_report(false).await;
            }
        };
        let e164 = row.phone.e164();
        if self.app.prefixes.covers_for(self.app, e164, Some(&self.campaign.id)).await? {
            self.answer.suppressed += 1;
            self.report.row(n, vec![Reason::DoNotCall.error()]);
            return self.write_report(false).await;
        }
        if self.batch.is_empty() {
            self.stamp = self.app.api.clock.now();
        }
        let id = CallId::derived(Shard::of(e164), &format!("{}:{e164}", self.campaign.id));
        let call = row.call(self.app, id, Some(self.campaign.id.clone()), self.stamp);
        self.batch.push((n, call));
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.dry.is_some() {
            return self.preview().await;
        }
        // Before its first call, so that whoever claims that call finds it.
        self.mark().await?;
        let (rows, calls): (Vec<u64>, Vec<Call>) = self.batch.drain(..).unzip();
        let answers = self.app.store().submit_list(&calls, self.campaign.dedupe, self.stamp).await?;
        let mut created = 0;
        for ((n, call), answer) in rows.into_iter().zip(calls).zip(answers) {
            let seen_now = match &mut self.resumed {
                None => true,
                Some(seen) => !seen.insert(short_hash(&call.id)),
            };
            let (count, reason) = match answer {
                Submitted::Created => {
                    created += 1;
                    continue;
                }
                Submitted::Suppressed => (&mut self.answer.suppressed, Reason::DoNotCall),
                Submitted::OpenElsewhere => (&mut self.answer.duplicates, Reason::OpenElsewhere),
                Submitted::Exists | Submitted::Repeat { .. } if seen_now => {
                    (&mut self.answer.duplicates, Reason::Duplicate)
                }
                Submitted::Exists | Submitted::Repeat { .. } => {
                    self.answer.accepted += 1;
                    continue;
                }
            };
            *count += 1;
            self.report.row(n, vec![reason.error()]);
        }
        self.answer.accepted += created;
        self.app.api.ops.metrics.calls_started.inc_by(created);
        self.write_report(false).await
    }

    async fn preview(&mut self) -> Result<(), Problem> {
        let (rows, calls): (Vec<u64>, Vec<Call>) = self.batch.drain(..).unzip();
        let previews = self.app.store().preview(&self.campaign.id, &calls, self.stamp).await?;
        for ((n, call), preview) in rows.into_iter().zip(calls).zip(previews) {
            let seen = self.resumed.as_mut().is_some_and(|seen| !seen.insert(short_hash(&call.id)));
            let strict = self.campaign.dedupe == Dedupe::Account;
            let (count, reason) = if preview.there || seen {
                (&mut self.answer.duplicates, Reason::Duplicate)
            } else if preview.banned {
                (&mut self.answer.suppressed, Reason::DoNotCall)
            } else if strict && preview.open_elsewhere {
                (&mut self.answer.duplicates, Reason::OpenElsewhere)
            } else {
                self.answer.accepted += 1;
                if let Some(judge) = &mut self.dry {
                    judge(&call, preview.capped_until);
                }
                continue;
            };
            *count += 1;
            self.report.row(n, vec![reason.error()]);
        }
        self.write_report(false).await
    }

    /// Says in the campaign that a list is being read into it, so that it is not completed meanwhile.
    async fn mark(&mut self) -> Result<(), Problem> {
        let now = self.app.api.clock.now();
        if self.marked.is_some_and(|since| now < since + REMIND) {
            return Ok(());
        }
        let store = self.app.store();
        if !self.exists {
            self.campaign.reading_since = Some(now);
            store.create_campaign(&self.campaign).await?;
            self.exists = true;
            self.marked = Some(now);
            return Ok(());
        }
        let marked = |campaign: &mut Campaign| {
            if !campaign.state.takes_rows() {
                return Err(campaign.state);
            }
            Ok(campaign.reading_since.replace(now) != Some(now))
        };
        match store.change_campaign(&self.campaign.id, marked).await? {
            Changed::Done(_) | Changed::Same(_) => self.marked = Some(now),
            Changed::Refused(state) => return Err(closed(state)),
            Changed::Unknown => {
                return Err(Problem::new(Kind::UnknownCampaign, "the campaign is gone"));
            }
        }
        Ok(())
    }

    /// Takes our mark away again, and with it keeps the answer of the list that made the campaign.
    async fn unmark(&mut self, answer: Option<(Value, String)>) -> Result<(), Problem> {
        let ours = self.marked;
        let change = |campaign: &mut Campaign| {
            if campaign.reading_since == ours {
                campaign.reading_since = None;
            }
            if let Some((answer, fingerprint)) = &answer {
                campaign.answer = Some(answer.clone());
                campaign.fingerprint = Some(fingerprint.clone());
            }
            Ok::<bool, ()>(true)
        };
        self.app.store().change_campaign(&self.campaign.id, change).await?;
        Ok(())
    }

    async fn write_report(&mut self, all: bool) -> Result<(), Problem> {
        if let Some(lines) = self.report.lines(all)
            && self.dry.is_none()
        {
            self.app.store().put_rejections(&self.campaign.id, lines).await?;
        }
        Ok(())
    }

    /// Answers, once the list was read to its end or could not be read any further: what was read of it is accepted.
    pub(in crate::api) async fn close(
        mut self,
        read: Result<(), Problem>,
        fingerprint: String,
    ) -> Result<Response, Problem> {
        match read {
            Ok(()) => self.finish(fingerprint).await,
            Err(problem) => {
                if problem.kind() != Kind::StoreUnavailable {
                    self.flush().await?;
                    self.write_report(true).await?;
                }
                if self.marked.is_some() {
                    self.unmark(None).await?;
                }
                Err(problem)
            }
        }
    }

    /// What a dry run found, and how many rows there were.
    pub(in crate::api) async fn found(
        mut self,
        read: Result<(), Problem>,
    ) -> Result<(ListAnswer, u64), Problem> {
        read?;
        self.flush().await?;
        let (errors, truncated, reasons) = std::mem::take(&mut self.report).told();
        self.answer.errors = errors.iter().map(|e| json!(e)).collect();
        self.answer.errors_truncated = truncated;
        self.answer.reasons = reasons;
        Ok((std::mem::take(&mut self.answer), self.rows))
    }

    /// Hands the rest in and answers.
    async fn finish(mut self, fingerprint: String) -> Result<Response, Problem> {
        self.flush().await?;
        self.write_report(true).await?;
        if self.rows == 0 {
            let error = FieldError::new("", "the list is empty");
            return Err(Problem::fields(Kind::InvalidRequest, vec![error]));
        }
        let (errors, truncated, reasons) = std::mem::take(&mut self.report).told();
        if self.answer.rejected == self.rows {
            let detail = format!("none of the {} rows can be called", self.rows);
            return Err(Problem::new(Kind::NoValidRows, detail).with_errors(errors, truncated));
        }
        // A list that is on the do-not-call list as a whole makes a campaign all the same.
        self.mark().await?;
        self.answer.campaign_id = self.campaign.id.to_string();
        self.answer.errors = errors.iter().map(|e| json!(e)).collect();
        self.answer.errors_truncated = truncated;
        self.answer.reasons = reasons;
        let answer = serde_json::to_value(&self.answer).unwrap_or_default();
        match &self.appends_under {
            Some(key) => {
                let kept = format!("{fingerprint} {answer}");
                self.app.store().put_repeat_answer(key, &kept).await?;
                self.unmark(None).await?;
            }
            None if !self.further => self.unmark(Some((answer, fingerprint))).await?,
            None => self.unmark(None).await?,
        }
        let ListAnswer { accepted: ok, rejected, duplicates, suppressed, .. } = self.answer;
        tracing::info!(campaign_id = %self.campaign.id, accepted = ok, rejected, duplicates, suppressed, "a list was accepted");
        Ok(accepted(&self.answer, false))
    }
}

/// What the rows of a query's list share.
fn shared_of_query(app: &App, mut fields: Fields, now: Millis) -> Result<Shared, Problem> {
    for name in ["variables", "metadata", "consent"] {
        if fields.take(name).is_some() {
            fields.wrong(name, "cannot stand in the query; give each row its own");
        }
    }
    fields.gather("consent", &CONSENT);
    let shared = Shared::take(&mut fields, app, now);
    let errors = fields.finish();
    if errors.is_empty() { Ok(shared) } else { Err(Problem::fields(Kind::InvalidQuery, errors)) }
}

/// A campaign in this state takes no rows.
pub(in crate::api) fn closed(state: State) -> Problem {
    Problem::new(
        Kind::CampaignClosed,
        format!("the campaign is {} and takes no further rows", state.as_str()),
    )
}

/// Eight bytes of an id: two rows of a list that agree in them by chance would need billions of rows.
fn short_hash(id: &CallId) -> u64 {
    let hash = Sha256::digest(id.as_str().as_bytes());
    hash.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}
