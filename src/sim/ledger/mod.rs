//! The ledger: what the outside world saw of Carillon, and nothing of what Carillon says about itself.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::base::clock::{Clock, Millis};

mod checks;
mod entry;
pub(crate) mod http;
mod tempo;

pub use checks::{DeadAir, Summary};
pub use entry::{Callback, Create, Delivery, Fetch, Heard, Leg, ModelStruck, Rest, Transfer, Who};
pub use tempo::{Second, Tempo, Window};

/// All entries of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Book {
    /// Create requests, in order of arrival.
    pub creates: Vec<Create>,
    /// Legs, in order of creation.
    pub legs: Vec<Leg>,
    /// Other REST requests.
    pub rest: Vec<Rest>,
    /// Webhooks received.
    pub webhooks: Vec<Delivery>,
    /// Requests to the model that a fault struck, in order of arrival.
    pub model_struck: Vec<ModelStruck>,
    /// Legs to callees that are not over.
    pub live: usize,
    /// The most of them at once, and since when, in microseconds since the ledger was opened.
    pub peak_live: (usize, u64),
    /// Where in `legs` a sid stands.
    #[serde(skip)]
    by_sid: HashMap<String, usize>,
    /// How often a webhook's id was accepted.
    #[serde(skip)]
    accepted: HashMap<String, usize>,
}

impl Book {
    /// The leg with this sid.
    #[must_use]
    pub fn leg(&self, sid: &str) -> Option<&Leg> {
        self.by_sid.get(sid).and_then(|i| self.legs.get(*i))
    }
}

#[derive(Debug)]
struct Inner {
    book: Mutex<Book>,
    journal: Option<Mutex<File>>,
    began: std::time::Instant,
    changed: tokio::sync::watch::Sender<u64>,
}

/// The handle on the ledger. Clones share the book.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Inner>);

impl Ledger {
    /// An empty ledger, that appends every finished entry to `journal` as a JSON line where one is given.
    pub(crate) fn open(journal: Option<&Path>) -> std::io::Result<Self> {
        let journal = match journal {
            Some(path) => Some(Mutex::new(File::options().create(true).append(true).open(path)?)),
            None => None,
        };
        let (changed, _) = tokio::sync::watch::channel(0);
        Ok(Self(Arc::new(Inner {
            book: Mutex::new(Book::default()),
            journal,
            began: std::time::Instant::now(),
            changed,
        })))
    }

    /// The time that entries carry.
    pub(crate) fn now() -> Millis {
        Clock::System.now()
    }

    /// Microseconds since the ledger was opened, by a clock that never jumps.
    #[must_use]
    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The pace of the create requests, in windows of `width_ms`.
    #[must_use]
    pub fn tempo(&self, width_ms: u64) -> Tempo {
        self.with(|book| tempo::of(book, width_ms))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of all that is written.
    #[must_use]
    pub fn snapshot(&self) -> Book {
        self.book().clone()
    }

    /// Looks into the book without copying it. `look` must be quick: the world stands still meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book())
    }

    /// A copy of one leg.
    #[must_use]
    pub fn leg(&self, sid: &str) -> Option<Leg> {
        self.book().leg(sid).cloned()
    }

    /// Counts and broken invariants.
    #[must_use]
    pub fn summary(&self) -> Summary {
        checks::summary(&self.book())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.book() = Book::default();
        self.touch();
    }

    /// Waits until `look` finds what it looks for, woken by every new entry.
    pub async fn until<T>(&self, mut look: impl FnMut(&Book) -> Option<T>) -> T {
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(found) = self.with(&mut look) {
                return found;
            }
            if changed.changed().await.is_err() {
                // The sender lives in `self`, so this does not come about; waiting on is the honest answer.
                std::future::pending::<()>().await;
            }
        }
    }

    fn touch(&self) {
        self.0.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn journal(&self, kind: &str, entry: &impl Serialize) {
        let Some(file) = &self.0.journal else { return };
        let Ok(line) = serde_json::to_string(&serde_json::json!({ "kind": kind, "entry": entry })) else {
            return;
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk loses the journal and not the run.
        let _ = writeln!(file, "{line}");
    }

    /// Notes a create request on arrival; what becomes of it is added by [`Ledger::created`] under the index
    /// returned.
    pub(crate) fn create(&self, mut create: Create) -> usize {
        let at = {
            let mut book = self.book();
            // Under the lock, so that the order of arrival is that of the times.
            create.t_us = self.elapsed_us();
            create.live = book.live;
            book.creates.push(create);
            book.creates.len() - 1
        };
        self.touch();
        at
    }

    pub(crate) fn created(&self, index: usize, edit: impl FnOnce(&mut Create)) {
        let create = {
            let mut book = self.book();
            let Some(create) = book.creates.get_mut(index) else { return };
            edit(create);
            create.clone()
        };
        self.journal("create", &create);
        self.touch();
    }

    pub(crate) fn rest(&self, rest: Rest) {
        self.journal("rest", &rest);
        self.book().rest.push(rest);
        self.touch();
    }

    pub(crate) fn model_struck(&self, struck: ModelStruck) {
        self.journal("model_struck", &struck);
        self.book().model_struck.push(struck);
        self.touch();
    }

    pub(crate) fn delivery(&self, make: impl FnOnce(usize, usize) -> Delivery, id: &str) {
        let delivery = {
            let mut book = self.book();
            let before = book.accepted.get(id).copied().unwrap_or(0);
            let delivery = make(book.webhooks.len(), before);
            if (200..300).contains(&delivery.answered) {
                book.accepted.insert(id.to_owned(), before + 1);
            }
            book.webhooks.push(delivery.clone());
            delivery
        };
        self.journal("webhook", &delivery);
        self.touch();
    }

    pub(crate) fn open_leg(&self, leg: Leg) {
        {
            let mut book = self.book();
            if leg.parent.is_none() {
                book.live += 1;
                if book.live > book.peak_live.0 {
                    book.peak_live = (book.live, self.elapsed_us());
                }
            }
            let at = book.legs.len();
            book.by_sid.insert(leg.sid.clone(), at);
            book.legs.push(leg);
        }
        self.touch();
    }

    /// Changes the entry of one leg; a leg that was cleared away meanwhile is nobody's business any more.
    pub(crate) fn edit(&self, sid: &str, edit: impl FnOnce(&mut Leg)) {
        let ended = {
            let mut book = self.book();
            let Some(at) = book.by_sid.get(sid).copied() else { return };
            let Some(leg) = book.legs.get_mut(at) else { return };
            let live = leg.ended_at.is_none();
            edit(leg);
            let over = (live && leg.ended_at.is_some()).then(|| leg.clone());
            if over.as_ref().is_some_and(|leg| leg.parent.is_none()) {
                book.live -= 1;
            }
            over
        };
        if let Some(leg) = ended {
            self.journal("leg", &leg);
        }
        self.touch();
    }
}
