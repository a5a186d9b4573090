//! K1 as the carrier saw it: never more dials within a second, nor more lines at once, than the fleet was told. Where a
//! replica that did not know the last grants became a primary this is not promised, and what a wire held back arrives in
//! a heap: these moments are left out.

use carillon::sim::ledger::Create;

use super::judge::Blow;
use crate::support::Lag;

const SECOND_US: u64 = 1_000_000;
/// How long after the end of a blow something of it may still be seen.
const HEAP_MS: u64 = 1_500;
/// How long slots of which a promoted replica never heard may still be used by calls under way.
const FORGOTTEN_SLOTS_MS: u64 = 30_000;

/// What was allowed, and what is known of the moments.
pub(super) struct Pace<'a> {
    /// Dials a second.
    pub(super) cps: f64,
    /// Lines at once.
    pub(super) slots: usize,
    pub(super) blows: &'a [Blow],
    pub(super) lag: &'a Lag,
}

/// What was seen outside the moments that are left out.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Dials of the fullest second.
    pub(super) fullest: usize,
    /// Lines at once.
    pub(super) live: usize,
    /// Breaches of K1.
    pub(super) findings: Vec<String>,
}

impl Pace<'_> {
    /// Judges dials in the order of their arrival.
    pub(super) fn judge(&self, creates: &[Create]) -> Seen {
        let mut seen = Seen::default();
        let mut first = 0;
        for (last, create) in creates.iter().enumerate() {
            while create.t_us - creates[first].t_us >= SECOND_US {
                first += 1;
            }
            let dials = last - first + 1;
            if !self.befell(&["primary", "carrier-wire"], HEAP_MS, creates[first].at, create.at) {
                seen.fullest = seen.fullest.max(dials);
                seen.findings.extend(self.lag.too_many(self.cps, &creates[first], create, dials));
            }
            if !self.befell(&["primary"], FORGOTTEN_SLOTS_MS, create.at, create.at) {
                // The line that it asks for is one more.
                seen.live = seen.live.max(create.live + 1);
            }
        }
        if seen.live > self.slots {
            seen.findings.push(format!("K1 {} lines at once, where {} are allowed", seen.live, self.slots));
        }
        seen.findings.truncate(5);
        seen
    }

    fn befell(&self, names: &[&str], after_ms: u64, from: u64, to: u64) -> bool {
        self.blows.iter().any(|b| names.contains(&b.name) && b.from <= to && b.to + after_ms >= from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn dial(ms: u64, live: usize) -> Create {
        Create {
            at: 1_000_000 + ms,
            t_us: ms * 1_000,
            to: String::new(),
            from: String::new(),
            call_id: None,
            live,
            form: Vec::new(),
            headers: std::collections::BTreeMap::new(),
            status: 201,
            code: None,
            sid: None,
            answer_lost: false,
            unknown: Vec::new(),
        }
    }

    #[test]
    fn too_many_are_found_except_around_what_excuses_them() {
        let lag = Lag::default();
        let judge = |blows: &[Blow], lag: &Lag, creates: &[Create]| {
            Pace { cps: 10.0, slots: 20, blows, lag }.judge(creates).findings
        };
        let even: Vec<Create> = (0..40).map(|i| dial(i * 100, 5)).collect();
        assert!(judge(&[], &lag, &even).is_empty());
        let heap: Vec<Create> = (0..40).map(|i| dial(i * 70, 5)).collect();
        assert!(judge(&[], &lag, &heap)[0].starts_with("K1 13 dials"), "{:?}", judge(&[], &lag, &heap));
        let blow = |name, from: u64, to: u64| [Blow { name, from: 1_000_000 + from, to: 1_000_000 + to }];
        assert!(judge(&blow("primary", 0, 2_000), &lag, &heap).is_empty());
        assert!(judge(&blow("carrier-wire", 0, 2_000), &lag, &heap).is_empty());
        assert!(!judge(&blow("carrier-wire", 0, 10), &lag, &heap).is_empty(), "what comes later is judged");
        assert!(!judge(&blow("api killed", 0, 9_000), &lag, &heap).is_empty(), "no excuse at all");
        let late = Lag(Arc::new(Mutex::new((0..30).map(|i| (i * 100_000, 200_000)).collect())));
        assert!(judge(&[], &late, &heap).is_empty(), "two tenths of a second late are four dials");

        let full = [dial(0, 19), dial(500, 20)];
        assert_eq!(judge(&[], &lag, &full), ["K1 21 lines at once, where 20 are allowed"]);
        assert!(judge(&blow("primary", 0, 100), &lag, &full).is_empty());
    }
}
