//! The simulated carrier: Twilio's REST API, its callbacks and its TwiML, as `spec` and SDKs show them.
//!
//! | file | what |
//! | --- | --- |
//! | `rest`, `create`, `wire` | the API that Carillon calls, its errors and its JSON |
//! | `line` | one leg: its state, its callbacks, its controls |
//! | `call` | the life of a leg from the queue to its end |
//! | `session`, `gather`, `bridge` | an answered call: TwiML executed, what is heard, transfers |
//! | `callee` | who is at the other end: a person or a machine |
//! | `twiml`, `xml` | TwiML read strictly |
//! | `hooks`, `signature` | signed requests to Carillon with retries and fallbacks |
//! | `callbacks` | status callbacks, and the faults that befall them |
//! | `recordings` | recordings: started, stopped, fetched, deleted |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::Instant;

use super::controls::Controls;
use super::faults::Faults;
use super::ledger::Ledger;
use super::pace::Pace;
use super::people::{Person, World};
use super::serve::Life;

mod bridge;
mod call;
mod callbacks;
mod callee;
mod create;
mod gather;
#[cfg(test)]
mod harness;
mod hooks;
mod line;
mod recordings;
mod rest;
mod session;
mod signature;
#[cfg(test)]
mod tests;
mod twiml;
#[cfg(test)]
mod weather_tests;
mod wire;
mod xml;

pub(crate) use hooks::Hooks;
use line::Line;
use recordings::Recording;
pub(crate) use rest::router;

/// The account that the simulated carrier serves.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) sid: String,
    pub(crate) token: String,
    /// Calls per second of the wall that leave the queue.
    pub(crate) max_cps: f64,
    /// Calls not over, beyond which a create is refused with 10004.
    pub(crate) max_concurrent: usize,
}

/// Everything a request or a leg needs to know.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) account: Account,
    pub(crate) pace: Pace,
    pub(crate) life: Life,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) controls: Controls,
    pub(crate) world: World,
    pub(crate) hooks: Hooks,
    /// Where this API is reached, once it listens.
    pub(crate) base: OnceLock<String>,
    switch: Mutex<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    lines: HashMap<String, Arc<Line>>,
    order: Vec<String>,
    next_out: Option<Instant>,
    rings: HashMap<String, u32>,
    recordings: HashMap<String, Recording>,
    recording_order: Vec<String>,
}

impl Carrier {
    #[allow(clippy::too_many_arguments)] // the parts of a world, put together in one place
    pub(crate) fn new(
        account: Account,
        pace: Pace,
        life: Life,
        ledger: Ledger,
        faults: Faults,
        controls: Controls,
        world: World,
        hooks: Hooks,
    ) -> Arc<Self> {
        let switch = Mutex::new(Switch::default());
        Arc::new(Self {
            account,
            pace,
            life,
            ledger,
            faults,
            controls,
            world,
            hooks,
            base: OnceLock::new(),
            switch,
        })
    }

    /// Who is at this number: as the world knows, unless somebody was cast for it.
    fn person(&self, number: &str) -> Person {
        match self.controls.read().cast.get(number) {
            Some(role) => self.world.person_as(number, role),
            None => self.world.person(number),
        }
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, sid: &str) -> Option<Arc<Line>> {
        self.switch().lines.get(sid).cloned()
    }

    /// Which ring of this number the next one is, counted from 0; counts it.
    fn ring(&self, number: &str) -> u32 {
        let mut switch = self.switch();
        let n = switch.rings.entry(number.to_owned()).or_default();
        *n += 1;
        *n - 1
    }
}

/// A new sid with the prefix of its kind: `CA`, `RE`, … and 32 hex digits.
fn new_sid(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::new_v4().simple())
}

/// An E.164 number as the carrier accepts it.
fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|d| {
        (8..=15).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()) && !d.starts_with('0')
    })
}
