//! One attempt to deliver one webhook, and the verdict on it. What follows from the verdict (waiting, dead letter) is the
//! pump's business; how long to wait is [`next_delay`].

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, StatusCode};
use reqwest::redirect;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::guard::{Guard, Refused, check_url_shape};
use super::sign::{SigningSecret, signature};
use crate::base::backoff;
use crate::base::clock::{Millis, SECOND};

/// How we introduce ourselves to receivers.
pub const AGENT: &str = concat!("Carillon/", env!("CARGO_PKG_VERSION"));
/// Connections to one endpoint that are kept while nothing is sent: as many as are used at once, or each batch would
/// begin with handshakes.
const CONNECTIONS: usize = 16;
/// How much of an answer is read before the connection is given up; its content is never used.
const DRAIN_BYTES: usize = 1_024;
/// How long an answer's body may take once its status is known.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// A receiver may put us off for this long at most.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// How webhooks are sent.
#[derive(Clone, Debug)]
pub struct DeliverConfig {
    /// For a whole attempt, from the look-up of the name to the answer's status (`WEBHOOK_TIMEOUT`).
    pub timeout: Duration,
    /// Whether receivers on loopback and private networks are allowed (`WEBHOOK_ALLOW_PRIVATE`).
    pub allow_private: bool,
    /// The keys every webhook is signed with; several while one is being rotated, none for unsigned webhooks.
    pub secrets: Vec<SigningSecret>,
}

/// What became of an attempt. `why` is fit for an operator's eyes: it holds no secret, no URL, nothing the receiver sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver answered 2xx.
    Delivered {
        /// Its status.
        status: u16,
    },
    /// It may work later.
    Retry {
        /// The receiver's status, where it answered.
        status: Option<u16>,
        /// How long the receiver asked us to wait.
        after: Option<Duration>,
        /// What went wrong.
        why: String,
    },
    /// It will never work: the receiver is gone for good (410), or the URL is none that we deliver to.
    Dead {
        /// The receiver's status, where it answered.
        status: Option<u16>,
        /// What is wrong.
        why: String,
    },
}

impl Verdict {
    /// The label in `webhook_deliveries_total`: delivered, retry or dead.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Retry { .. } => "retry",
            Self::Dead { .. } => "dead",
        }
    }

    /// Whether the attempt speaks against the endpoint as such, for its breaker. A receiver that refuses one event
    /// (4xx) is alive, and its other events have no reason to wait.
    #[must_use]
    pub fn blames_endpoint(&self) -> bool {
        match self {
            Self::Delivered { .. } | Self::Dead { .. } => false,
            Self::Retry { status: Some(status), .. } => {
                matches!(status, 408 | 425 | 429) || !(400..500).contains(status)
            }
            Self::Retry { status: None, .. } => true,
        }
    }
}

/// Sends webhooks. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Deliverer {
    http: reqwest::Client,
    allow_private: bool,
    timeout: Duration,
    secrets: Vec<SigningSecret>,
    newest: Newest,
}

/// A URL as it was given and as it was read.
type Known = (Box<str>, Url);

/// The newest URL that passed the guard. Whether it passes is a matter of its text and
/// the configuration alone. Its `Debug` shows nothing: a URL may carry a receiver's token.
#[derive(Clone, Default)]
struct Newest(Arc<Mutex<Option<Known>>>);

impl fmt::Debug for Newest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Newest")
    }
}

impl Deliverer {
    /// A deliverer over a client of its own, whose resolver is the [`Guard`]. Proxies of the environment are not used:
    /// a proxy would resolve names for itself, past the guard.
    ///
    /// # Errors
    /// Where the TLS library cannot be set up.
    pub fn new(config: DeliverConfig) -> Result<Self, reqwest::Error> {
        let guard = Guard::new(config.allow_private);
        Self::with_guard(config, guard)
    }

    fn with_guard(config: DeliverConfig, guard: Guard) -> Result<Self, reqwest::Error> {
        // The process's provider, should the program not have installed one yet; a second installation is refused and
        // changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allow_private = guard.allow_private();
        let http = reqwest::Client::builder()
            .dns_resolver(guard)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(config.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(CONNECTIONS)
            .build()?;
        Ok(Self {
            http,
            allow_private,
            timeout: config.timeout,
            secrets: config.secrets,
            newest: Newest::default(),
        })
    }

    /// Posts `body` (JSON) to `url` once. `event_id` goes out as `webhook-id` and must be the same on every attempt;
    /// `now` is what the signature is made over. Never takes longer than the time-out and a second.
    pub async fn deliver(&self, url: &str, event_id: &str, body: &[u8], now: Millis) -> Verdict {
        // Again, although intake has checked it: the rule may have changed since.
        let url = match self.checked(url) {
            Ok(url) => url,
            Err(why) => return Verdict::Dead { status: None, why: format!("the URL {why}") },
        };
        let Some(headers) = self.headers(event_id, body, now) else {
            return Verdict::Dead {
                status: None,
                why: "the event's id cannot be sent as a header".to_owned(),
            };
        };
        let request = self.http.post(url).headers(headers).body(body.to_vec()).send();
        match tokio::time::timeout(self.timeout, request).await {
            Ok(Ok(answer)) => {
                let verdict = judge(answer.status(), answer.headers(), now);
                drain(answer).await;
                verdict
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => self.timed_out(),
        }
    }

    /// The URL, judged; most events go where the one before went.
    fn checked(&self, url: &str) -> Result<Url, Refused> {
        let mut newest = self.newest.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((text, known)) = &*newest
            && **text == *url
        {
            return Ok(known.clone());
        }
        let known = check_url_shape(url, self.allow_private)?;
        *newest = Some((url.into(), known.clone()));
        Ok(known)
    }

    fn headers(&self, event_id: &str, body: &[u8], now: Millis) -> Option<HeaderMap> {
        let timestamp = now / SECOND;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert("webhook-id", HeaderValue::from_str(event_id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        if let Some(signature) = signature(&self.secrets, event_id, timestamp, body) {
            headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
        }
        Some(headers)
    }

    fn timed_out(&self) -> Verdict {
        Verdict::Retry { status: None, after: None, why: format!("no answer within {:?}", self.timeout) }
    }

    fn failed(&self, error: &reqwest::Error) -> Verdict {
        if error.is_timeout() {
            return self.timed_out();
        }
        let why = if let Some(refused) = refusal(error) {
            // Tried again all the same: a name may come back to a public address, and a dead letter follows if not.
            format!("the host's name {refused}")
        } else {
            let stage = if error.is_connect() { "connection failed" } else { "request failed" };
            match root(error) {
                Some(cause) => format!("{stage}: {cause}"),
                None => stage.to_owned(),
            }
        };
        Verdict::Retry { status: None, after: None, why }
    }
}

/// The verdict on an answer. 3xx is a failure since redirects are not followed: they could lead past the guard. Other 4xx
/// are tried again too, since receivers are deployed and repaired; the maximum of attempts ends it.
fn judge(status: StatusCode, headers: &HeaderMap, now: Millis) -> Verdict {
    let code = status.as_u16();
    if status.is_success() {
        return Verdict::Delivered { status: code };
    }
    if status == StatusCode::GONE {
        return Verdict::Dead { status: Some(code), why: "the receiver wants no more (410)".to_owned() };
    }
    let why = if status.is_redirection() {
        format!("the receiver redirects ({code}), which is not followed")
    } else {
        format!("the receiver answered {code}")
    };
    Verdict::Retry { status: Some(code), after: retry_after(headers, now), why }
}

/// `Retry-After` in either of its forms, seconds or a date; a day at most.
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        let at = u64::try_from(at.as_millisecond()).ok()?;
        Duration::from_millis(at.saturating_sub(now))
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// Reads a little of the answer so that the connection can serve again; whatever is longer or slower is dropped with it.
async fn drain(mut answer: reqwest::Response) {
    let read = async {
        let mut left = DRAIN_BYTES;
        while let Ok(Some(chunk)) = answer.chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // Elapsed or not, the verdict stands.
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

/// The guard's refusal, where that is what stopped a request.
fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        // An io::Error shows its source's source, not what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) = wrapped.and_then(|w| w.downcast_ref::<Refused>()) {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// The innermost cause, which is the telling one and, unlike the outer ones, quotes no URL.
fn root(error: &reqwest::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

/// How long to wait after `attempt` failed attempts: the policy's wait, or the receiver's own where that is longer.
/// `seed` as in [`backoff::delay`]: take [`seed_of`] the event's id.
#[must_use]
pub fn next_delay(
    attempt: u32,
    retry_after: Option<Duration>,
    policy: &backoff::Policy,
    seed: u64,
) -> Duration {
    let ours = backoff::delay(attempt, policy, seed);
    retry_after.map_or(ours, |theirs| ours.max(theirs.min(LONGEST_RETRY_AFTER)))
}

/// A number that sets one id's waits apart from another's.
#[must_use]
pub fn seed_of(id: &str) -> u64 {
    let hash = Sha256::digest(id.as_bytes());
    hash.iter().take(8).fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
