//! API keys: held as hashes, compared in constant time; and how many requests each may make.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::api::App;
use crate::api::problems::{Kind, Problem};

/// The keys that open the API. Only their SHA-256 hashes are held: keys are long and random, so that a plain hash
/// tells nothing.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Hashes keys as the operator wrote them; blanks around a key and empty keys are dropped.
    pub fn from_plain<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let keys = keys.into_iter().map(str::trim).filter(|k| !k.is_empty());
        Self(keys.map(|k| Sha256::digest(k.as_bytes()).into()).collect())
    }

    /// Without keys the API is open; the program then binds loopback alone.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Which key this is. Takes the same time whichever matches, or none.
    fn find(&self, given: &str) -> Option<u32> {
        let hash: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        let mut found = u32::MAX;
        for (n, known) in (0_u32..).zip(&self.0) {
            found.conditional_assign(&n, known.ct_eq(&hash));
        }
        (found != u32::MAX).then_some(found)
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

/// Who asks: a name for the key that says nothing of the key, and is the same on every node.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Scopes idempotency keys.
    pub(super) scope: String,
}

/// Requests per second, for each key.
pub(super) struct Limiter(Option<DefaultKeyedRateLimiter<u32>>);

impl Limiter {
    /// `per_second` with a burst of the same; 0 = no limit.
    pub(super) fn new(per_second: u32) -> Self {
        Self(NonZeroU32::new(per_second).map(|n| RateLimiter::keyed(Quota::per_second(n))))
    }

    /// Seconds to wait, where it is too much.
    fn check(&self, key: u32) -> Result<(), u64> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&key).map_err(|no| no.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
    }
}

/// Lets through who has a key and has not asked too often.
pub(super) async fn require_key(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let keys = &app.api.config.keys;
    let (key, scope) = if keys.is_open() {
        (u32::MAX, "open".to_owned())
    } else {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let Some(given) = given else {
            return Err(Problem::new(Kind::Unauthorized, "send Authorization: Bearer <key>"));
        };
        let token = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            return Err(Problem::new(
                Kind::Unauthorized,
                "the Authorization header is not of the form Bearer <key>",
            ));
        };
        let Some(key) = keys.find(token.trim()) else {
            return Err(Problem::new(Kind::Unauthorized, "this API key is not known"));
        };
        (key, hex::encode(&keys.0[key as usize][..8]))
    };
    app.limiter.check(key).map_err(|wait| {
        Problem::new(Kind::RateLimited, "too many requests with this key").retry_after(wait)
    })?;
    request.extensions_mut().insert(Client { scope });
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let keys = ApiKeys::from_plain(["first", " second ", ""]);
        assert_eq!(keys.find("first"), Some(0));
        assert_eq!(keys.find("second"), Some(1));
        assert_eq!(keys.find(""), None);
        assert_eq!(keys.find("third"), None);
        assert_eq!(format!("{keys:?}"), "ApiKeys(2)");
        assert!(ApiKeys::from_plain([""]).is_open());
    }

    #[test]
    fn each_key_has_its_own_rate() {
        let limiter = Limiter::new(2);
        assert!(limiter.check(1).is_ok() && limiter.check(1).is_ok());
        assert_eq!(limiter.check(1), Err(1));
        assert!(limiter.check(2).is_ok());
        assert!(Limiter::new(0).check(1).is_ok());
    }
}
