//! Calls that Twilio has: looking them up, ending them, sending them elsewhere.

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use url::form_urlencoded;

use super::rest::{CarrierError, Twilio, form, require_sid};
use super::wire::{AnsweredBy, CallStatus};
use crate::base::clock::Millis;
use crate::domain::phone::Phone;

/// Pages of 50 calls that a look-up reads at most; one number never has so many.
const MAX_PAGES: usize = 20;

/// A call as Twilio knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct CallView {
    /// `CA…`.
    pub sid: String,
    /// Where it stands.
    pub status: CallStatus,
    /// `outbound-api`, `inbound`, `outbound-dial`, …
    pub direction: String,
    /// Whom it calls, as Twilio writes it.
    pub to: String,
    /// The caller id.
    pub from: String,
    /// When Twilio took it, Unix ms; one second of granularity.
    pub created_at: Option<Millis>,
    /// When it was answered or, not answered, began, Unix ms.
    pub started_at: Option<Millis>,
    /// When it ended, Unix ms.
    pub ended_at: Option<Millis>,
    /// How long it was connected, seconds.
    pub duration_s: Option<u64>,
    /// Who answered, where detection ran.
    pub answered_by: Option<AnsweredBy>,
    /// The call that dialed this one (a transfer's second leg).
    pub parent_sid: Option<String>,
}

/// Without the numbers.
impl fmt::Debug for CallView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallView")
            .field("sid", &self.sid)
            .field("status", &self.status)
            .field("direction", &self.direction)
            .field("created_at", &self.created_at)
            .field("duration_s", &self.duration_s)
            .finish_non_exhaustive()
    }
}

/// What ending or redirecting a call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungUp {
    /// Twilio did as asked.
    Done,
    /// It was over before; said of a redirect, it is not connected (any more, or yet).
    AlreadyOver,
}

#[derive(Deserialize)]
struct Wire {
    sid: String,
    status: String,
    direction: Option<String>,
    to: Option<String>,
    from: Option<String>,
    date_created: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    duration: Option<String>,
    answered_by: Option<String>,
    parent_call_sid: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    calls: Vec<Wire>,
    next_page_uri: Option<String>,
}

impl From<Wire> for CallView {
    fn from(wire: Wire) -> Self {
        let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
        Self {
            sid: wire.sid,
            status: CallStatus::read(&wire.status),
            direction: wire.direction.unwrap_or_default(),
            to: wire.to.unwrap_or_default(),
            from: wire.from.unwrap_or_default(),
            created_at: wire.date_created.as_deref().and_then(rfc2822),
            started_at: wire.start_time.as_deref().and_then(rfc2822),
            ended_at: wire.end_time.as_deref().and_then(rfc2822),
            duration_s: wire.duration.and_then(|d| d.parse().ok()),
            answered_by: filled(wire.answered_by).as_deref().map(AnsweredBy::read),
            parent_sid: filled(wire.parent_call_sid),
        }
    }
}

/// `Tue, 31 Aug 2010 20:36:28 +0000` as Unix ms.
fn rfc2822(text: &str) -> Option<Millis> {
    let at = jiff::fmt::rfc2822::parse(text).ok()?;
    Millis::try_from(at.timestamp().as_millisecond()).ok()
}

impl Twilio {
    /// One call.
    ///
    /// # Errors
    /// [`CarrierError`]; [`CarrierError::is_absent`] where Twilio knows no such call.
    pub async fn get(&self, sid: &str) -> Result<CallView, CarrierError> {
        let path = self.path(format_args!("/Calls/{}.json", require_sid(sid)?));
        self.json::<Wire>(self.api(Method::GET, &path)).await.map(CallView::from)
    }

    /// Every call from one number to another that Twilio took at or after `not_before` (allow for the clocks' skew).
    /// Asked without a start time, which has the granularity of a day and misses calls that are still queued; a call
    /// without a date is returned.
    ///
    /// # Errors
    /// [`CarrierError`]; an incomplete answer is an error, since an absent call must be truly absent.
    pub async fn find(
        &self,
        to: &Phone,
        from: &str,
        not_before: Millis,
    ) -> Result<Vec<CallView>, CarrierError> {
        self.list(&[("To", to.e164()), ("From", from), ("PageSize", "50")], not_before).await
    }

    /// Every call of the account that Twilio took at or after `not_before`, newest first.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub async fn recent(&self, not_before: Millis) -> Result<Vec<CallView>, CarrierError> {
        self.list(&[("PageSize", "1000")], not_before).await
    }

    async fn list(&self, asked: &[(&str, &str)], not_before: Millis) -> Result<Vec<CallView>, CarrierError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
        let mut path = self.path(format_args!("/Calls.json?{query}"));
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page = self.json(self.api(Method::GET, &path)).await?;
            let calls: Vec<CallView> = page.calls.into_iter().map(CallView::from).collect();
            // Newest first: behind a page that is too old altogether there is nothing for us.
            let all_older =
                !calls.is_empty() && calls.iter().all(|c| c.created_at.is_some_and(|at| at < not_before));
            found.extend(calls.into_iter().filter(|c| c.created_at.is_none_or(|at| at >= not_before)));
            match page.next_page_uri.filter(|uri| !uri.is_empty() && !all_older) {
                None => return Ok(found),
                // Our credentials go with it: it must stay below the API's own path.
                Some(uri) if uri.starts_with("/2010-04-01/") => path = uri,
                Some(_) => return Err(CarrierError::Protocol("a next page outside the API".to_owned())),
            }
        }
        Err(CarrierError::Protocol("more pages than a look-up reads".to_owned()))
    }

    /// Ends a call that is live (ringing or answered).
    ///
    /// # Errors
    /// [`CarrierError`].
    pub async fn complete(&self, sid: &str) -> Result<HungUp, CarrierError> {
        self.update(sid, &[("Status", "completed")]).await
    }

    /// Takes back a call that is queued or ringing; an answered one goes on.
    ///
    /// # Errors
    /// [`CarrierError`].
    pub async fn cancel(&self, sid: &str) -> Result<HungUp, CarrierError> {
        self.update(sid, &[("Status", "canceled")]).await
    }

    /// Has a live call fetch its TwiML from `url`, interrupting what is being said.
    ///
    /// # Errors
    /// [`CarrierError`].
    pub async fn redirect(&self, sid: &str, url: &str) -> Result<HungUp, CarrierError> {
        match self.update(sid, &[("Url", url), ("Method", "POST")]).await {
            Err(e) if e.is_over() => Ok(HungUp::AlreadyOver),
            other => other,
        }
    }

    async fn update(&self, sid: &str, fields: &[(&str, &str)]) -> Result<HungUp, CarrierError> {
        let path = self.path(format_args!("/Calls/{}.json", require_sid(sid)?));
        match self.send(form(self.api(Method::POST, &path), fields)).await {
            Ok(_) => Ok(HungUp::Done),
            // 20404 where it is over. Not 21220 "not in-progress": taking back a call that was just answered says so too.
            Err(e) if e.is_absent() => Ok(HungUp::AlreadyOver),
            Err(e) => Err(e),
        }
    }
}
