//! Requests from the carrier to Carillon: signed, each over a connection of its own, with the retry overrides of the
//! URL's fragment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::signature::sign;
use super::wire::Form;
use crate::base::clock::Millis;
use crate::sim::ledger::Ledger;
use crate::sim::pace::Pace;

/// The largest TwiML document; one byte more is read, so that the limit is noticed.
pub(crate) const MAX_DOCUMENT: usize = 64 * 1024;

/// Sends URLs that begin with `from` to the bases in `to`, one after the other.
#[derive(Debug)]
struct Route {
    from: String,
    to: Vec<String>,
    next: AtomicUsize,
}

/// What the fragment `#ct=&rt=&tt=&rc=&rp=` of a URL asks for; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) read_ms: u64,
    pub(crate) total_ms: u64,
    pub(crate) retries: u32,
    policies: Vec<String>,
}

impl Overrides {
    /// Reads the fragment of `url`; what is absent or no number keeps the carrier's default: 15 s, one retry, on
    /// failure to connect alone.
    pub(crate) fn of(url: &str) -> Self {
        let mut o = Self { read_ms: 15_000, total_ms: 15_000, retries: 1, policies: vec!["ct".into()] };
        let Some((_, fragment)) = url.split_once('#') else { return o };
        for (name, value) in url::form_urlencoded::parse(fragment.as_bytes()) {
            let number = value.parse::<u64>().ok();
            match (name.as_ref(), number) {
                ("rt", Some(ms)) => o.read_ms = ms.clamp(100, 15_000),
                ("tt", Some(ms)) => o.total_ms = ms.clamp(100, 15_000),
                ("rc", Some(n)) => o.retries = u32::try_from(n.min(5)).unwrap_or(5),
                ("rp", None) => o.policies = value.split(',').map(|p| p.trim().to_owned()).collect(),
                _ => {}
            }
        }
        o
    }

    fn retries_on(&self, failure: &Failure) -> bool {
        let class = match failure {
            Failure::Connect(_) => "ct",
            Failure::Read(_) => "rt",
            Failure::Status(400..=499) => "4xx",
            Failure::Status(_) => "5xx",
        };
        self.policies.iter().any(|p| p == "all" || p == class)
    }
}

/// An answer with a 2xx status.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Why a request brought no usable answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Connect(String),
    Read(String),
    Status(u16),
}

/// One try of a request, for the ledger.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) at: Millis,
    pub(crate) number: u32,
    pub(crate) sent_to: String,
    pub(crate) took_ms: u64,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) body: Option<String>,
}

/// The carrier's HTTP client.
#[derive(Debug)]
pub(crate) struct Hooks {
    client: reqwest::Client,
    token: String,
    routes: Vec<Route>,
    pace: Pace,
}

impl Hooks {
    pub(crate) fn new(token: &str, rewrite: Vec<(String, Vec<String>)>, pace: Pace) -> anyhow::Result<Self> {
        // Without a provider the client cannot be built; whoever installed one first wins, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .user_agent("TwilioProxy/1.1")
            .redirect(reqwest::redirect::Policy::limited(5))
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        let routes = rewrite
            .into_iter()
            .filter(|(_, to)| !to.is_empty())
            .map(|(from, to)| Route { from, to, next: AtomicUsize::new(0) })
            .collect();
        Ok(Self { client, token: token.to_owned(), routes, pace })
    }

    fn address(&self, url: &str) -> String {
        for route in &self.routes {
            if let Some(rest) = url.strip_prefix(route.from.as_str()) {
                let n = route.next.fetch_add(1, Ordering::Relaxed) % route.to.len();
                return format!("{}{rest}", route.to[n]);
            }
        }
        url.to_owned()
    }

    /// Sends `form` to `url` by `method` (`GET` or `POST`) and tries again as the URL's fragment says; every try is
    /// told to `note` before the next one leaves.
    pub(crate) async fn send(
        &self,
        url: &str,
        method: &str,
        form: &Form,
        token: &str,
        mut note: impl FnMut(Try),
    ) -> Result<Reply, Failure> {
        let overrides = Overrides::of(url);
        let began = Instant::now();
        #[allow(clippy::cast_precision_loss)] // at most 15,000
        let secs = |ms: u64| ms as f64 / 1000.0;
        let total = self.pace.webhook_wall(secs(overrides.total_ms));
        let mut number = 0;
        loop {
            let left = total.saturating_sub(began.elapsed());
            let limit = left.min(self.pace.webhook_wall(secs(overrides.read_ms)));
            let (tried, result) = self.once(url, method, form, token, number, limit).await;
            note(tried);
            match result {
                Err(failure)
                    if number < overrides.retries
                        && overrides.retries_on(&failure)
                        && began.elapsed() < total =>
                {
                    number += 1;
                }
                other => return other,
            }
        }
    }

    async fn once(
        &self,
        url: &str,
        method: &str,
        form: &Form,
        token: &str,
        number: u32,
        limit: Duration,
    ) -> (Try, Result<Reply, Failure>) {
        let url = url.split('#').next().unwrap_or(url);
        let (signed_url, body) = if method.eq_ignore_ascii_case("GET") {
            let query = serde_urlencoded::to_string(form).unwrap_or_default();
            let joint = if url.contains('?') { '&' } else { '?' };
            (format!("{url}{joint}{query}"), None)
        } else {
            (url.to_owned(), Some(form))
        };
        let signature = sign(&self.token, &signed_url, body.map_or(&[], Vec::as_slice));
        let sent_to = self.address(&signed_url);
        let request = match body {
            Some(form) => self.client.post(&sent_to).form(form),
            None => self.client.get(&sent_to),
        }
        .header("X-Twilio-Signature", signature)
        .header("I-Twilio-Idempotency-Token", token)
        .header("Accept", "*/*");
        let at = Ledger::now();
        let began = Instant::now();
        let result = match tokio::time::timeout(limit, answer(request)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Read("time-out".into())),
        };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, error, body, result) = match result {
            Ok((status, reply)) => {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let result =
                    if (200..300).contains(&status) { Ok(reply) } else { Err(Failure::Status(status)) };
                (Some(status), None, Some(text), result)
            }
            Err(failure) => {
                let (Failure::Connect(why) | Failure::Read(why)) = &failure else {
                    return (
                        Try { at, number, sent_to, took_ms, status: None, error: None, body: None },
                        Err(failure),
                    );
                };
                (None, Some(why.clone()), None, Err(failure))
            }
        };
        (Try { at, number, sent_to, took_ms, status, error, body }, result)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(u16, Reply), Failure> {
    let fail = |e: reqwest::Error| {
        // `without_url`: the numbers in a query stay out of error texts.
        let connect = e.is_connect();
        let why = e.without_url().to_string();
        if connect { Failure::Connect(why) } else { Failure::Read(why) }
    };
    let mut response = request.send().await.map_err(fail)?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fail)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_DOCUMENT {
            body.truncate(MAX_DOCUMENT + 1);
            break;
        }
    }
    Ok((status, Reply { content_type, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments() {
        let o = Overrides::of("https://a.example/x?y=1#rc=2&rp=all&rt=8000");
        assert_eq!((o.retries, o.read_ms, o.total_ms), (2, 8000, 15_000));
        assert!(o.retries_on(&Failure::Status(503)) && o.retries_on(&Failure::Read(String::new())));
        let none = Overrides::of("https://a.example/x");
        assert!(none.retries_on(&Failure::Connect(String::new())));
        assert!(!none.retries_on(&Failure::Read(String::new())) && !none.retries_on(&Failure::Status(500)));
        let some = Overrides::of("https://a.example/x#rp=5xx,ct&rc=9");
        assert_eq!(some.retries, 5);
        assert!(some.retries_on(&Failure::Status(500)) && !some.retries_on(&Failure::Status(404)));
    }

    #[test]
    fn routes_take_turns() {
        let rewrite =
            vec![("https://me.example".to_owned(), vec!["http://a".to_owned(), "http://b".to_owned()])];
        let hooks = Hooks::new("t", rewrite, Pace::new(1.0, 1.0)).expect("a client can be built");
        assert_eq!(hooks.address("https://me.example/x"), "http://a/x");
        assert_eq!(hooks.address("https://me.example/y"), "http://b/y");
        assert_eq!(hooks.address("https://other.example/y"), "https://other.example/y");
    }
}
