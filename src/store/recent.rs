//! Calls that this node was just told of by the carrier: the records as they were then. The next callback is applied to
//! such a copy and committed without reading the record first. The commit names version and token of the copy and answers
//! with the record where another stands there, so that an old copy costs what reading would have cost. Nobody is told
//! anything from a copy, and one that makes an event stale is no proof: then the record is read.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::clock::{Millis, SECOND};
use crate::domain::call::{Call, Phase};
use crate::domain::ids::CallId;
use crate::store::connect::Store;

/// How old a copy may be. The ringing, and a turn of a talk, take less.
const FRESH: Millis = 60 * SECOND;
/// How many copies each of the two generations holds: a node keeps at most twice as many, of 2 to 4 kB each.
const GENERATION: usize = 1_024;

/// A record as it was then.
#[derive(Debug)]
struct Copy {
    at: Millis,
    call: Call,
}

/// The copies. The older generation goes as a whole, by count or by age.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<CallId, Copy>,
    old: HashMap<CallId, Copy>,
    /// When the young generation began.
    since: Millis,
}

impl Generations {
    fn turn(&mut self, now: Millis) {
        let aged = now.saturating_sub(self.since) >= FRESH;
        if aged || self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
    }
}

impl Recent {
    fn with<T>(&self, f: impl FnOnce(&mut Generations) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a copy, unless a newer one is there; of a call that is over none is kept.
    fn keep(&self, call: &Call, now: Millis) {
        self.with(|all| {
            if call.phase() == Phase::Ended {
                all.young.remove(&call.id);
                all.old.remove(&call.id);
                return;
            }
            all.turn(now);
            let newer = |known: &Copy| known.call.head.version > call.head.version;
            if all.young.get(&call.id).is_none_or(|known| !newer(known)) {
                all.old.remove(&call.id);
                all.young.insert(call.id.clone(), Copy { at: now, call: call.clone() });
            }
        });
    }

    /// Takes over what was written to a call of which there is a copy.
    pub(super) fn written(&self, call: &Call, now: Millis) {
        let known = self.with(|all| all.young.contains_key(&call.id) || all.old.contains_key(&call.id));
        if known {
            self.keep(call, now);
        }
    }

    fn get(&self, id: &CallId, now: Millis) -> Option<Call> {
        self.with(|all| {
            let copy = all.young.get(id).or_else(|| all.old.get(id));
            copy.filter(|copy| now.saturating_sub(copy.at) < FRESH).map(|copy| copy.call.clone())
        })
    }

    /// Lets go of what is too old.
    pub(super) fn sweep(&self, now: Millis) {
        self.with(|all| {
            let old = |copy: &Copy| now.saturating_sub(copy.at) < FRESH;
            all.young.retain(|_, copy| old(copy));
            all.old.retain(|_, copy| old(copy));
        });
    }
}

impl Store {
    /// A copy of a call's record, at most a minute old, where this node has one. It may be committed to, and nothing
    /// else: see the module.
    #[must_use]
    pub fn recent(&self, id: &CallId) -> Option<Call> {
        self.recent.get(id, self.clock.now())
    }

    /// Keeps a copy of a record that was read or written a moment ago, for the next callback.
    pub fn remember(&self, call: &Call) {
        self.recent.keep(call, self.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::{Body, State};
    use crate::domain::disposition::{Disposition, Ending};
    use crate::domain::ids::{PhoneHash, Shard};
    use crate::domain::phone::Phone;

    fn call() -> Call {
        let phone = Phone::from_e164("+14155550100").unwrap();
        let hash = PhoneHash::of(b"a key", phone.e164());
        Call::new(CallId::new(Shard(3)), hash, None, Body::new(phone, 1))
    }

    #[test]
    fn copies_are_few_and_young_and_the_newest_counts() {
        let recent = Recent::default();
        let mut known = call();
        known.head.version = 7;
        recent.written(&known, 1_000);
        assert_eq!(recent.get(&known.id, 1_000), None, "nobody asked for a copy");
        recent.keep(&known, 1_000);
        let older = Call { head: crate::domain::call::Head { version: 6, ..known.head }, ..known.clone() };
        recent.keep(&older, 1_001);
        assert_eq!(recent.get(&known.id, 1_002), Some(known.clone()));
        assert_eq!(recent.get(&known.id, 1_000 + FRESH), None, "too old");

        for n in 0..5 * GENERATION {
            recent.keep(&call(), 2_000 + n as u64 / 100);
        }
        let kept = recent.with(|all| all.young.len() + all.old.len());
        assert!(kept > GENERATION && kept <= 2 * GENERATION, "{kept}");
        recent.sweep(3_000 + FRESH);
        assert_eq!(recent.with(|all| all.young.len() + all.old.len()), 0);
    }

    #[test]
    fn a_call_that_is_over_leaves_no_copy() {
        let recent = Recent::default();
        let mut known = call();
        recent.keep(&known, 1_000);
        known.head.version += 1;
        known.state = State::Ended { ending: Ending::new(Disposition::Completed, "over") };
        recent.written(&known, 1_001);
        assert_eq!(recent.get(&known.id, 1_002), None);
        recent.keep(&known, 1_003);
        assert_eq!(recent.get(&known.id, 1_004), None);
    }
}
