//! Redis' clock in this process' own time. A permit grants moments of Redis' time; the answer may come late, and what was
//! learned from quicker answers still tells when its moment is, so that a slow answer costs no rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::clock::Millis;

/// By how much two clocks may come apart, in parts of the time that passed (500 ppm): more than quartz does.
const DRIFT: u32 = 2_000;
/// Redis tells whole milliseconds: its moment may have been so much before the answer was made.
const GRAIN: Duration = Duration::from_millis(1);

/// When moments of Redis' time are here, as narrowly as all answers so far tell.
#[derive(Debug, Default)]
pub struct Moments(Mutex<Option<Known>>);

/// Redis' time `at` was between these two moments.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: Millis,
    earliest: Instant,
    latest: Instant,
}

impl Moments {
    /// Redis told its time in an answer that was `asked` for and `answered` at these moments. Between which two moments
    /// was that time here?
    pub fn saw(&self, at: Millis, asked: Instant, answered: Instant) -> (Instant, Instant) {
        let seen = Known { at, earliest: asked.checked_sub(GRAIN).unwrap_or(asked), latest: answered };
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the two contradict each other it is another server, or somebody set its clock.
        let known = place.and_then(|known| known.narrowed(seen)).unwrap_or(seen);
        *place = Some(known);
        (known.earliest, known.latest)
    }
}

impl Known {
    /// Both at once, at the moment of `seen`; `None` where they cannot both be true.
    fn narrowed(self, seen: Self) -> Option<Self> {
        let passed = Duration::from_millis(seen.at.checked_sub(self.at)?);
        let drift = passed / DRIFT;
        let earliest = (self.earliest + passed).checked_sub(drift)?.max(seen.earliest);
        let latest = (self.latest + passed + drift).min(seen.latest);
        (earliest <= latest).then_some(Self { at: seen.at, earliest, latest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_late_answer_is_known_by_an_earlier_quick_one() {
        let (moments, start) = (Moments::default(), Instant::now() + Duration::from_secs(1));
        assert_eq!(moments.saw(5_000, start, start + 2 * MS), (start - MS, start + 2 * MS));
        // Asked 100 ms later, answered after another 300: Redis' clock says when in between.
        let (from, to) = moments.saw(5_250, start + 100 * MS, start + 400 * MS);
        assert!(from >= start + 248 * MS && from <= start + 249 * MS, "{:?}", from - start);
        assert!(to >= start + 252 * MS && to <= start + 253 * MS, "{:?}", to - start);
        // And the other way: what a slow answer left open is narrowed by a quick one.
        let slow = Moments::default();
        slow.saw(5_000, start, start + 500 * MS);
        assert_eq!(slow.saw(5_600, start + 600 * MS, start + 601 * MS), (start + 599 * MS, start + 601 * MS));
    }

    #[test]
    fn another_servers_clock_is_learned_anew() {
        let (moments, start) = (Moments::default(), Instant::now() + Duration::from_secs(1));
        moments.saw(5_000, start, start + 2 * MS);
        for at in [9_000, 4_000, 100] {
            let asked = start + 10 * MS;
            assert_eq!(moments.saw(at, asked, asked + 2 * MS), (asked - MS, asked + 2 * MS));
        }
    }

    #[test]
    fn what_is_old_is_trusted_less() {
        let (moments, start) = (Moments::default(), Instant::now() + Duration::from_secs(1));
        moments.saw(0, start, start + 2 * MS);
        let minute = Duration::from_secs(60);
        let (from, to) = moments.saw(60_000, start, start + 2 * minute);
        assert_eq!((start + minute - from, to - start - minute), (31 * MS, 32 * MS));
    }
}
