//! Time, injected: every deadline in the program reads this clock, so that a test can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fault;

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = u64;

/// One second in [`Millis`].
pub const SECOND: Millis = 1_000;
/// One minute in [`Millis`].
pub const MINUTE: Millis = 60 * SECOND;
/// One hour in [`Millis`].
pub const HOUR: Millis = 60 * MINUTE;
/// One day of 24 hours in [`Millis`].
pub const DAY: Millis = 24 * HOUR;

/// Where "now" comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// The machine's clock, set right by so many milliseconds: a node's, which follows Redis'.
    Corrected(Arc<AtomicI64>),
    /// A clock that stands where it was set; for tests.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `at` until it is moved.
    #[must_use]
    pub fn manual(at: Millis) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(at)))
    }

    /// The machine's clock, to be corrected once somebody knows better.
    #[must_use]
    pub fn corrected() -> Self {
        Self::Corrected(Arc::default())
    }

    /// By how much it is corrected, ms; negative: the machine's is ahead.
    #[must_use]
    pub fn correction(&self) -> i64 {
        match self {
            Self::Corrected(by) => by.load(Ordering::SeqCst),
            Self::System | Self::Manual(_) => 0,
        }
    }

    /// Corrects it from now on; the others are not corrected.
    pub fn correct(&self, ms: i64) {
        if let Self::Corrected(by) = self {
            by.store(ms, Ordering::SeqCst);
        }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Millis {
        match self {
            Self::Corrected(by) => Self::System.now().saturating_add_signed(by.load(Ordering::SeqCst)),
            #[allow(clippy::disallowed_methods)] // the one place that reads the machine's clock
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
                .saturating_add_signed(fault::clock_off()),
            Self::Manual(at) => at.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock forward; the system's clock is not moved.
    pub fn advance(&self, by: Millis) {
        if let Self::Manual(at) = self {
            at.fetch_add(by, Ordering::SeqCst);
        }
    }
}

/// `at` as RFC 3339 in UTC with milliseconds, the form used on every wire of ours.
#[must_use]
pub fn rfc3339(at: Millis) -> String {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| String::from("9999-12-31T23:59:59.999Z"), |t| format!("{t:.3}"))
}
