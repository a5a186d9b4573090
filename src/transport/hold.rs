//! A turn's hold on its call: the lease that its node renews, and the tool calls that are journaled under it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::base::clock::Millis;
use crate::base::fault;
use crate::conversation::{Journal, JournalEntry, JournalError};
use crate::domain::ids::CallId;
use crate::domain::talk::Heard;
use crate::store::{Store, StoreError};

/// One node's try at a turn.
pub(super) struct Hold<'a> {
    pub(super) store: &'a Store,
    pub(super) id: &'a CallId,
    /// Attempt and number.
    pub(super) turn: (u32, u32),
    /// What was heard: whoever takes the turn over goes on from it.
    pub(super) heard: Heard,
    /// Drawn for this try, or left by the turn before.
    pub(super) token: &'a str,
    /// How long it lasts unless it is renewed, ms.
    pub(super) lease: Millis,
    /// How many entries the journal held when the turn was taken.
    pub(super) journaled: usize,
    pub(super) taken: Mutex<Taken>,
}

/// The tool calls of this try.
#[derive(Default)]
pub(super) struct Taken {
    entries: Vec<Arc<JournalEntry>>,
    /// How many of them are journaled.
    durable: usize,
}

impl Hold<'_> {
    /// Renews the lease until another node has it.
    pub(super) async fn keep(&self) {
        let every = Duration::from_millis(self.lease / 3);
        loop {
            tokio::time::sleep(every).await;
            // A turn that takes long is worth going on from: what was held back is journaled on this occasion.
            if let Ok(false) = self.renew().await {
                return;
            }
        }
    }

    /// Renews the lease and journals what is not journaled yet. Two at once are no harm: every entry has its place.
    async fn renew(&self) -> Result<bool, StoreError> {
        let (known, fresh) = {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            (taken.durable, taken.entries[taken.durable..].to_vec())
        };
        let texts: Result<Vec<String>, _> =
            fresh.iter().map(|entry| serde_json::to_string(entry.as_ref())).collect();
        let texts = texts.map_err(|_| StoreError::Protocol("turn_hold"))?;
        let first = self.journaled + known;
        let held = self
            .store
            .turn_hold(self.id, self.turn, self.token, self.lease, &self.heard, (first, texts))
            .await;
        if !fresh.is_empty() {
            fault::point("turn_journaled");
        }
        if matches!(held, Ok(true)) {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.durable = taken.durable.max(known + fresh.len());
        }
        held
    }
}

impl Journal for &Hold<'_> {
    fn append(&mut self, entry: Arc<JournalEntry>) -> BoxFuture<'_, Result<(), JournalError>> {
        self.hold(entry);
        async move {
            match self.renew().await {
                Ok(true) => Ok(()),
                Ok(false) => Err(JournalError::Lost),
                Err(_) => Err(JournalError::Unavailable),
            }
        }
        .boxed()
    }

    fn hold(&mut self, entry: Arc<JournalEntry>) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).entries.push(entry);
    }
}
