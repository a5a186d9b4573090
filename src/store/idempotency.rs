//! What an idempotency key was used for first. The call itself is remembered in its person's slot; this entry lies in
//! one place, so that a key that comes back for another number is seen.

use fred::prelude::*;

use crate::base::clock::DAY;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

/// How long a key is remembered, seconds.
#[allow(clippy::cast_possible_wrap)]
const TTL_S: i64 = (2 * DAY / 1000) as i64;

impl Store {
    /// Binds a key (scoped to its client, hashed) to the fingerprint of its request, and answers the fingerprint it is
    /// bound to: this one, or an earlier one. Asking again changes nothing.
    ///
    /// # Errors
    /// Where Redis does not answer; the key may be bound.
    pub async fn bind_repeat_key(&self, key: &str, fingerprint: &str) -> Result<String, StoreError> {
        let key = format!("{}:{key}", keys::fleet("IDEMPOTENCY"));
        let args = vec![fingerprint.to_owned(), TTL_S.to_string()];
        let bound = scripts::BIND.run(self, vec![key], args).await?;
        bound.as_string().ok_or(StoreError::Protocol("bind"))
    }

    /// Keeps the answer to a request under a key, for as long as the key is remembered.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn put_repeat_answer(&self, key: &str, answer: &str) -> Result<(), StoreError> {
        let key = format!("{}:{key}:answer", keys::fleet("IDEMPOTENCY"));
        let _: Value = self.client().set(key, answer, Some(Expiration::EX(TTL_S)), None, false).await?;
        Ok(())
    }

    /// The answer that was kept under a key.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn repeat_answer(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.client().get(format!("{}:{key}:answer", keys::fleet("IDEMPOTENCY"))).await?)
    }
}
