//! The HTTP client below every request to Twilio: authentication, time-outs, and errors that hold no number and no
//! secret.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

/// The longest JSON answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// How long an idle connection is kept. Shorter than Twilio keeps it, since a request sent just as the other side
/// closes is one whose fate nobody knows.
const IDLE: Duration = Duration::from_secs(15);

/// What it takes to talk to an account.
#[derive(Clone)]
pub struct TwilioConfig {
    /// `AC…`.
    pub account_sid: String,
    /// The account's auth token; also signs the callbacks.
    pub auth_token: SecretString,
    /// `https://api.twilio.com`, or a simulator.
    pub base_url: String,
    /// For a whole request, connecting included.
    pub timeout: Duration,
    /// For connecting (DNS, TCP, TLS) alone; shorter than `timeout`, so that a request that never left is known as such.
    pub connect_timeout: Duration,
}

/// One account at Twilio. Cheap to clone.
#[derive(Clone)]
pub struct Twilio {
    inner: Arc<Inner>,
}

struct Inner {
    /// For the API: whole-request time-out, no redirects, nothing sent twice.
    api: Client,
    /// For media: redirects are followed (without our credentials to another host), time-out between two reads.
    media: Client,
    base: String,
    account_sid: String,
    auth_token: SecretString,
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twilio").field("base", &self.inner.base).finish_non_exhaustive()
    }
}

/// Why a request other than creating a call gave no result. Safe to log: no URL, no number, no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarrierError {
    /// No answer: DNS, TCP, TLS, time-out, a connection lost.
    #[error("the carrier gave no answer: {0}")]
    Unavailable(String),
    /// An answer other than success.
    #[error("the carrier answered {status}, code {code:?}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's own code.
        code: Option<u32>,
    },
    /// An answer that is not what the API promises, or a request that must not be built.
    #[error("the carrier's protocol was broken: {0}")]
    Protocol(String),
}

impl CarrierError {
    /// The thing asked for is not there (any more, or yet).
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. } | Self::Refused { code: Some(20404), .. })
    }

    /// The call asked about is not connected, so that it can be neither redirected nor recorded: absent, or 21220.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_absent() || matches!(self, Self::Refused { code: Some(21220), .. })
    }
}

impl Twilio {
    /// A client for one account; nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: TwilioConfig) -> Result<Self, CarrierError> {
        // Idempotent; a second installation reports the first, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |what: &str| CarrierError::Protocol(what.to_owned());
        let base = config.base_url.trim_end_matches('/').to_owned();
        let url = url::Url::parse(&base).map_err(|e| wrong(&format!("the base URL is no URL: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("the base URL is neither http nor https"));
        }
        require_sid(&config.account_sid)?;
        // Connecting must run out of time first, else a request that never left would look like one that did.
        let connect = config.connect_timeout.min(config.timeout.mul_f64(0.8));
        let common = || {
            Client::builder()
                .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(connect)
                .pool_idle_timeout(IDLE)
                .retry(retry::never())
        };
        let built = |e: reqwest::Error| CarrierError::Protocol(reason(e));
        let api =
            common().timeout(config.timeout).redirect(redirect::Policy::none()).build().map_err(built)?;
        let media = common()
            .read_timeout(config.timeout)
            .redirect(redirect::Policy::limited(5))
            .build()
            .map_err(built)?;
        let TwilioConfig { account_sid, auth_token, .. } = config;
        Ok(Self { inner: Arc::new(Inner { api, media, base, account_sid, auth_token }) })
    }

    /// The account whose calls these are; a callback that names another is not ours.
    #[must_use]
    pub fn account_sid(&self) -> &str {
        &self.inner.account_sid
    }

    /// Asks for the account itself: the cheapest question that shows that Twilio is there and knows us. Answers the
    /// account's status, `active` where calls can be placed.
    ///
    /// # Errors
    /// [`CarrierError`]; 401 and 403 mean credentials.
    pub async fn health(&self) -> Result<String, CarrierError> {
        #[derive(Deserialize)]
        struct Account {
            status: String,
        }
        let path = format!("/2010-04-01/Accounts/{}.json", self.inner.account_sid);
        let account: Account = self.json(self.api(Method::GET, &path)).await?;
        Ok(account.status)
    }

    /// `…/Accounts/{sid}` and what follows.
    pub(super) fn path(&self, rest: fmt::Arguments<'_>) -> String {
        format!("/2010-04-01/Accounts/{}{rest}", self.inner.account_sid)
    }

    pub(super) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.signed_in(self.inner.api.request(method, format!("{}{path}", self.inner.base)))
    }

    pub(super) fn media(&self, path: &str) -> RequestBuilder {
        self.signed_in(self.inner.media.get(format!("{}{path}", self.inner.base)))
    }

    fn signed_in(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.inner.account_sid, Some(self.inner.auth_token.expose_secret()))
    }

    /// Sends a request and reads its JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CarrierError> {
        let response = self.send(request).await?;
        let body = read(response).await.map_err(CarrierError::Unavailable)?;
        serde_json::from_slice(&body).map_err(|e| CarrierError::Protocol(shape(&e)))
    }

    /// Sends a request; anything but a 2xx is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, CarrierError> {
        let response = request.send().await.map_err(|e| CarrierError::Unavailable(reason(e)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(CarrierError::Refused { status: status.as_u16(), code: error_code(response).await })
    }
}

/// Twilio's own code in an error's body, where there is one.
pub(super) async fn error_code(response: Response) -> Option<u32> {
    #[derive(Deserialize)]
    struct Problem {
        code: Option<u32>,
    }
    let body = read(response).await.ok()?;
    serde_json::from_slice::<Problem>(&body).ok()?.code
}

/// Reads a body of bounded length.
pub(super) async fn read(mut response: Response) -> Result<Bytes, String> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(reason)? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err("the answer is too long".to_owned());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.into())
}

/// Why a request failed, without its URL: a URL may hold a telephone number.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// What is wrong with a JSON answer, without any of its content.
pub(super) fn shape(error: &serde_json::Error) -> String {
    format!("unexpected JSON at line {} column {}", error.line(), error.column())
}

/// A sid becomes part of a path, so it must be one.
pub(super) fn require_sid(sid: &str) -> Result<&str, CarrierError> {
    let well_formed = (2..=64).contains(&sid.len()) && sid.bytes().all(|b| b.is_ascii_alphanumeric());
    well_formed.then_some(sid).ok_or_else(|| CarrierError::Protocol("not a sid".to_owned()))
}

/// A form body; a name may repeat.
pub(super) fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

/// `Retry-After` in seconds, where the answer names it so.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Whether a status says that the request was not, or not surely, processed: the other side may have failed after
/// acting on it.
pub(super) fn is_unclear(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}
