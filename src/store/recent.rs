//! Calls that this node was just told of by the carrier: the records as they were then. The next callback is applied to
//! such a copy and committed without reading the record first. The commit names version and token of the copy and answers
//! with the record where another stands there, so that an old copy costs what reading would have cost. Nobody is told
//! anything from a copy, and one that makes an event stale is no proof: then the record is read.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::clock::{Millis, SECOND};
use crate::domain::call::{Call, Phase};
use crate::domain::ids::CallId;
use crate::domain::talk::{Heard, Line};
use crate::store::connect::Store;

/// How old a copy may be. The ringing, and a turn of a talk, take less.
const FRESH: Millis = 60 * SECOND;
/// How many copies each of the two generations holds: a node keeps at most twice as many, of 2 to 8 kB each.
const GENERATION: usize = 512;

/// Words of a transcript that are kept beside a record at most, bytes.
const WORDS: usize = 6_000;

/// A record as it was then.
#[derive(Debug)]
struct Copy {
    at: Millis,
    call: Call,
    talk: Option<Talk>,
    /// What was heard in a turn that was begun from this copy; Redis may not know it yet.
    said: Option<((u32, u32), Heard)>,
}

/// Where a talk stands whose newest turn this node answered. While nobody else begins the next turn it is this node's,
/// by the token that the last commit left in Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// Attempt and number of the next turn.
    pub next: (u32, u32),
    /// The token of the turn before.
    pub token: String,
    /// The whole transcript.
    pub lines: Vec<Line>,
}

impl Talk {
    /// Does the call stand where this talk does? Of somebody who opted out lines may have come in from elsewhere.
    fn is_of(&self, call: &Call) -> bool {
        self.next == (call.body.attempt, call.body.dialogue.turn)
            && call.phase() == Phase::InProgress
            && !call.body.opted_out
    }
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

    /// Keeps a copy, unless a newer one is there; of a call that is over none is kept. A talk that the copy before knew
    /// is known still, unless the record is of another turn.
    fn keep(&self, call: &Call, talk: Option<Talk>, now: Millis) {
        self.with(|all| {
            let known = all.young.remove(&call.id).or_else(|| all.old.remove(&call.id));
            if call.phase() == Phase::Ended {
                return;
            }
            let copy = match known {
                // What was written after that came here before it.
                Some(Copy { at, call: newer, talk: known, said })
                    if newer.head.version > call.head.version =>
                {
                    let talk = known.or(talk).filter(|talk| talk.is_of(&newer));
                    Copy { at, call: newer, talk, said }
                }
                known => {
                    let (known, said) = known.map_or((None, None), |copy| (copy.talk, copy.said));
                    let stands = (call.body.attempt, call.body.dialogue.turn);
                    let talk = talk.or(known).filter(|talk| talk.is_of(call));
                    let said = said.filter(|(turn, _)| *turn == stands);
                    Copy { at: now, call: call.clone(), talk, said }
                }
            };
            all.turn(now);
            all.young.insert(call.id.clone(), copy);
        });
    }

    /// Takes over what was written to a call of which there is a copy. `lines`: its transcript grew.
    pub(super) fn written(&self, call: &Call, lines: bool, now: Millis) {
        let known = self.with(|all| {
            let Generations { young, old, .. } = all;
            let copy = young.get_mut(&call.id).or_else(|| old.get_mut(&call.id));
            copy.map(|copy| {
                if lines {
                    copy.talk = None
                }
            })
            .is_some()
        });
        if known {
            self.keep(call, None, now);
        }
    }

    fn get(&self, id: &CallId, now: Millis) -> Option<Call> {
        self.with(|all| {
            let copy = all.young.get(id).or_else(|| all.old.get(id));
            copy.filter(|copy| now.saturating_sub(copy.at) < FRESH).map(|copy| copy.call.clone())
        })
    }

    /// Takes the talk whose next turn this is; the copy stays, and does not know it any more.
    fn take(&self, id: &CallId, turn: (u32, u32), heard: &Heard, now: Millis) -> Option<(Call, Talk)> {
        self.with(|all| {
            let copy = all.young.get_mut(id).or_else(|| all.old.get_mut(id))?;
            let talk = copy.talk.take()?;
            let fresh = now.saturating_sub(copy.at) < FRESH && talk.next == turn;
            copy.said = fresh.then(|| (turn, heard.clone()));
            fresh.then(|| (copy.call.clone(), talk))
        })
    }

    fn said(&self, id: &CallId, turn: (u32, u32), now: Millis) -> Option<Heard> {
        self.with(|all| {
            let copy = all.young.get(id).or_else(|| all.old.get(id))?;
            let said = copy.said.as_ref().filter(|_| now.saturating_sub(copy.at) < FRESH);
            said.filter(|(of, _)| *of == turn).map(|(_, heard)| heard.clone())
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
        self.recent.keep(call, None, self.clock.now());
    }

    /// Keeps with it where its talk stands, for the next turn. A very long transcript is read again instead.
    pub fn remember_talk(&self, call: &Call, talk: Talk) {
        let words: usize = talk.lines.iter().map(|line| line.text.len()).sum();
        self.recent.keep(call, Some(talk).filter(|_| words <= WORDS), self.clock.now());
    }

    /// A turn of a talk whose turn before this node answered: the record as it was then, and the talk. It may be begun
    /// without asking Redis. Whoever begins it elsewhere takes it from this node, whose commit then says so; and where
    /// the record was written to since, the commit answers with it. Given once.
    #[must_use]
    pub fn begun(&self, id: &CallId, turn: (u32, u32), heard: &Heard) -> Option<(Call, Talk)> {
        self.recent.take(id, turn, heard, self.clock.now())
    }

    /// What was heard in a turn that this node began without asking ([`Self::begun`]) and that nobody answered yet.
    #[must_use]
    pub fn said(&self, id: &CallId, turn: (u32, u32)) -> Option<Heard> {
        self.recent.said(id, turn, self.clock.now())
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
        recent.written(&known, false, 1_000);
        assert_eq!(recent.get(&known.id, 1_000), None, "nobody asked for a copy");
        recent.keep(&known, None, 1_000);
        let older = Call { head: crate::domain::call::Head { version: 6, ..known.head }, ..known.clone() };
        recent.keep(&older, None, 1_001);
        assert_eq!(recent.get(&known.id, 1_002), Some(known.clone()));
        assert_eq!(recent.get(&known.id, 1_000 + FRESH), None, "too old");

        for n in 0..5 * GENERATION {
            recent.keep(&call(), None, 2_000 + n as u64 / 100);
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
        recent.keep(&known, None, 1_000);
        known.head.version += 1;
        known.state = State::Ended { ending: Ending::new(Disposition::Completed, "over") };
        recent.written(&known, false, 1_001);
        assert_eq!(recent.get(&known.id, 1_002), None);
        recent.keep(&known, None, 1_003);
        assert_eq!(recent.get(&known.id, 1_004), None);
    }

    #[test]
    fn a_talk_is_given_once_and_for_its_next_turn_alone() {
        let recent = Recent::default();
        let mut known = call();
        known.state = State::InProgress { sid: "CA1".into(), answered_by: None };
        known.body.dialogue.turn = 3;
        let talk = Talk { next: (1, 3), token: "t".into(), lines: Vec::new() };
        let keep = |call: &Call| recent.keep(call, Some(talk.clone()), 1_000);
        keep(&known);
        assert_eq!(
            recent.take(&known.id, (1, 3), &Heard::Silence, 1_001),
            Some((known.clone(), talk.clone()))
        );
        assert_eq!(recent.take(&known.id, (1, 3), &Heard::Silence, 1_001), None, "given already");
        assert!(recent.get(&known.id, 1_001).is_some());
        assert_eq!(recent.said(&known.id, (1, 3), 1_001), Some(Heard::Silence), "until the turn is answered");
        assert_eq!(recent.said(&known.id, (1, 4), 1_001), None);

        // A callback that came in between is known of; a line that came in between makes the transcript another.
        keep(&known);
        known.head.version += 1;
        known.body.recording = None;
        recent.written(&known, false, 1_001);
        assert_eq!(
            recent.take(&known.id, (1, 3), &Heard::Silence, 1_002).map(|(call, _)| call),
            Some(known.clone())
        );
        keep(&known);
        known.head.version += 1;
        recent.written(&known, true, 1_001);
        assert_eq!(recent.take(&known.id, (1, 3), &Heard::Silence, 1_002), None);

        for (turn, at) in [((1, 2), 1_001), ((1, 4), 1_001), ((2, 3), 1_001), ((1, 3), 1_000 + FRESH)] {
            keep(&known);
            assert_eq!(recent.take(&known.id, turn, &Heard::Silence, at), None, "{turn:?} at {at}");
        }
        // A callback that was written after the turn and is heard of before it.
        let answered = known.clone();
        known.head.version += 1;
        recent.keep(&known, None, 1_000);
        keep(&answered);
        assert_eq!(
            recent.take(&known.id, (1, 3), &Heard::Silence, 1_001),
            Some((known.clone(), talk.clone()))
        );
        known.body.dialogue.turn = 4;
        known.head.version += 1;
        keep(&known);
        assert_eq!(recent.take(&known.id, (1, 3), &Heard::Silence, 1_001), None, "it was answered elsewhere");
    }
}
