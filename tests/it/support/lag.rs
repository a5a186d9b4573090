//! How late this process' own timer was, and when: where the machine starves, dials that left in time arrive late and
//! several together. Nothing else excuses a full second.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon::sim::ledger::{Create, Ledger};

const SECOND_US: u64 = 1_000_000;
const LOOK_US: u64 = 5_000;

/// Moments and how late the timer was at each, in microseconds of the ledger.
#[derive(Clone, Default)]
pub(crate) struct Lag(pub(crate) Arc<Mutex<Vec<(u64, u64)>>>);

impl Lag {
    /// Measures until the last handle is dropped.
    pub(crate) fn watch(ledger: &Ledger) -> Self {
        let late = Arc::new(Mutex::new(Vec::new()));
        let (told, ledger) = (Arc::downgrade(&late), ledger.clone());
        tokio::spawn(async move {
            while let Some(told) = told.upgrade() {
                let due = ledger.elapsed_us() + LOOK_US;
                tokio::time::sleep(Duration::from_micros(LOOK_US)).await;
                let now = ledger.elapsed_us();
                told.lock().unwrap_or_else(PoisonError::into_inner).push((now, now.saturating_sub(due)));
            }
        });
        Self(late)
    }

    /// The longest within a span.
    pub(crate) fn worst(&self, span: RangeInclusive<u64>) -> u64 {
        let late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = late.partition_point(|(at, _)| at < span.start());
        late[first..].iter().take_while(|(at, _)| at <= span.end()).map(|(_, lag)| *lag).max().unwrap_or(0)
    }

    /// What is wrong with so many dials from `first` to `last`, within a second: more than `cps` and a tenth (a dial keeps
    /// its moment to 75 ms), and more than came late into it.
    pub(crate) fn too_many(&self, cps: f64, first: &Create, last: &Create, dials: usize) -> Option<String> {
        let allowed = cps * 1.1 + 1.0;
        if dials as f64 <= allowed {
            return None;
        }
        let lag = self.worst(first.t_us.saturating_sub(200_000)..=last.t_us + 200_000);
        // Held back by as much in the sender and here, at most.
        let excused = cps * 2.0 * lag as f64 / SECOND_US as f64;
        (dials as f64 > allowed + excused).then(|| {
            format!(
                "K1 {dials} dials within a second, where {cps} are allowed and a timer was {} ms late",
                lag / 1_000
            )
        })
    }

    /// Every second, wherever it begins, with too many dials; they are in the order of their arrival.
    pub(crate) fn full_seconds(&self, cps: f64, creates: &[Create]) -> Vec<String> {
        let (mut wrong, mut first) = (Vec::new(), 0);
        for (last, create) in creates.iter().enumerate() {
            while create.t_us - creates[first].t_us >= SECOND_US {
                first += 1;
            }
            wrong.extend(self.too_many(cps, &creates[first], create, last - first + 1));
        }
        wrong.truncate(5);
        wrong
    }
}
