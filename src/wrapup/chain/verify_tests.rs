//! Chains in memory, and what is done to them.

use proptest::prelude::*;

use super::*;
use crate::wrapup::chain::segment::document;

/// Key and bytes of the segments of a chain, the oldest first.
fn chain(sizes: &[usize]) -> Vec<(String, Vec<u8>)> {
    let (mut out, mut prev) = (Vec::<(String, Vec<u8>)>::new(), None::<String>);
    for (seq, size) in (1_u64..).zip(sizes) {
        let (key, bytes) = link(seq, prev.as_deref(), (0..*size).map(|n| line(seq, n)).collect());
        prev = Some(sha256(&bytes));
        out.push((key, bytes));
    }
    out
}

fn line(seq: u64, n: usize) -> String {
    format!(r#"{{"at":17000{seq}{n},"event":"dial","call":"call_07{seq}_{n}","phone_hash":"a1b2c3"}}"#)
}

fn link(seq: u64, prev: Option<&str>, lines: Vec<String>) -> (String, Vec<u8>) {
    let made_at = 1_705_314_600_000 + seq * 1_000;
    let bytes = document("s07", seq, prev, made_at, &lines).to_vec();
    (keys::segment(made_at, "s07", seq, &sha256(&bytes)), bytes)
}

fn head_of((key, bytes): &(String, Vec<u8>)) -> AuditHead {
    let seq = keys::read_segment(key).expect("a segment's key").seq;
    AuditHead { seq, hash: sha256(bytes), key: key.clone() }
}

fn objects(stored: &[(String, Vec<u8>)]) -> Vec<Object> {
    let mut objects: Vec<Object> =
        stored.iter().map(|(key, bytes)| Object::read(key, bytes).expect("a segment's key")).collect();
    objects.sort_by(|a, b| (a.seq, &a.key).cmp(&(b.seq, &b.key)));
    objects
}

/// The breaks, in order, with what Redis says where it is asked.
fn breaks(stored: &[(String, Vec<u8>)], head: Option<Option<&AuditHead>>, partial: bool) -> Vec<Break> {
    let objects = objects(stored);
    let mut walk = Walk::of(&objects, head, partial);
    assert!(walk.strays.is_empty() || !walk.breaks.is_empty(), "nothing here was left over");
    walk.breaks.sort();
    walk.breaks
}

#[test]
fn an_untouched_chain_is_whole() {
    let stored = chain(&[3, 1, 2000, 5]);
    let head = head_of(&stored[3]);
    assert_eq!(breaks(&stored, Some(Some(&head)), false), []);
    assert_eq!(breaks(&stored, None, false), []);
    // From a later day on.
    assert_eq!(breaks(&stored[2..], Some(Some(&head)), true), []);
    assert_eq!(breaks(&stored[3..], None, true), []);
    assert_eq!(breaks(&[], Some(None), false), []);
    let objects = objects(&stored);
    let walk = Walk::of(&objects, Some(Some(&head)), false);
    assert_eq!(walk.path.iter().map(|o| o.entries).collect::<Vec<_>>(), [5, 2000, 1, 3]);
}

#[test]
fn a_tail_that_is_gone_shows_against_the_head_alone() {
    let stored = chain(&[2, 2, 2]);
    let head = head_of(&stored[2]);
    let found = breaks(&stored[..2], Some(Some(&head)), false);
    assert_eq!((found[0].seq, found[0].key.as_deref()), (3, Some(head.key.as_str())));
    assert!(found[0].why.contains("missing"), "{}", found[0].why);
    assert_eq!(breaks(&stored[..2], None, false), []);
    assert_eq!(breaks(&[], Some(Some(&head)), false).len(), 1, "the whole chain is gone");
    let found = breaks(&stored, Some(None), false);
    assert!(found[0].why.contains("knows no head"), "{}", found[0].why);
}

#[test]
fn a_forged_tail_shows_against_the_head() {
    let mut stored = chain(&[2, 2, 2]);
    let head = head_of(&stored[2]);
    let before = sha256(&stored[1].1);
    // Sound in itself, under a name that fits.
    stored[2] = link(3, Some(&before), vec![line(9, 9)]);
    let found = breaks(&stored, Some(Some(&head)), false);
    assert_eq!(found[0].seq, 3);
}

#[test]
fn what_was_put_and_not_named_is_told_apart() {
    let mut stored = chain(&[2, 2]);
    let head = head_of(&stored[1]);
    let (first, second) = (sha256(&stored[0].1), sha256(&stored[1].1));
    // A lost race of long ago; one that is not named yet, and what already goes on from it.
    stored.push(link(2, Some(&first), vec![line(2, 0)]));
    let third = link(3, Some(&second), vec![line(3, 0)]);
    stored.push(link(4, Some(&sha256(&third.1)), vec![line(4, 0)]));
    stored.push(third);
    let objects = objects(&stored);
    let walk = Walk::of(&objects, Some(Some(&head)), false);
    assert_eq!((walk.path.len(), walk.breaks.len()), (2, 0));
    assert_eq!(walk.strays.iter().map(|o| (o.seq, o.entries)).collect::<Vec<_>>(), [(2, 1)]);
    // Nobody asked: the longest is the chain.
    let walk = Walk::of(&objects, None, false);
    assert_eq!((walk.path.len(), walk.strays.len(), walk.breaks.len()), (4, 1, 0));
    // The very first, put and not named.
    let first = self::objects(&chain(&[1]));
    let walk = Walk::of(&first, Some(None), false);
    assert_eq!((walk.path.len(), walk.strays.len(), walk.breaks.len()), (0, 0, 0));
}

proptest! {
    #[test]
    fn one_changed_byte_is_found(
        sizes in prop::collection::vec(1_usize..6, 1..6), which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(), by in 1_u8..=255, asked in any::<bool>(),
    ) {
        let mut stored = chain(&sizes);
        let head = head_of(stored.last().expect("one at least"));
        let which = which.index(stored.len());
        let place = place.index(stored[which].1.len());
        stored[which].1[place] ^= by;
        let found = breaks(&stored, asked.then_some(Some(&head)), false);
        prop_assert_eq!(found.first().and_then(|b| b.key.clone()), Some(stored[which].0.clone()));
    }

    #[test]
    fn a_segment_that_is_gone_is_found(
        sizes in prop::collection::vec(1_usize..4, 2..7), which in any::<prop::sample::Index>(),
    ) {
        let mut stored = chain(&sizes);
        let head = head_of(stored.last().expect("one at least"));
        let which = which.index(stored.len());
        stored.remove(which);
        let found = breaks(&stored, Some(Some(&head)), false);
        prop_assert_eq!(found.first().map(|b| b.seq), Some(which as u64 + 1));
    }

    #[test]
    fn two_that_are_swapped_are_found(
        sizes in prop::collection::vec(1_usize..4, 2..7), a in any::<prop::sample::Index>(),
        b in any::<prop::sample::Index>(), asked in any::<bool>(),
    ) {
        let mut stored = chain(&sizes);
        let head = head_of(stored.last().expect("one at least"));
        let (a, b) = (a.index(stored.len()), b.index(stored.len()));
        prop_assume!(a != b);
        let bytes = std::mem::take(&mut stored[a].1);
        stored[a].1 = std::mem::replace(&mut stored[b].1, bytes);
        let found = breaks(&stored, asked.then_some(Some(&head)), false);
        prop_assert_eq!(found.first().map(|f| f.seq), Some(a.min(b) as u64 + 1));
    }

    #[test]
    fn a_segment_made_anew_under_a_fitting_name_is_found(
        sizes in prop::collection::vec(1_usize..4, 2..7), which in any::<prop::sample::Index>(),
    ) {
        let mut stored = chain(&sizes);
        // The last can only be told from the head: see above.
        let which = which.index(stored.len() - 1);
        let before = which.checked_sub(1).map(|i| sha256(&stored[i].1));
        stored[which] = link(which as u64 + 1, before.as_deref(), vec![line(99, 1)]);
        let found = breaks(&stored, None, false);
        prop_assert_eq!(found.first().map(|f| f.seq), Some(which as u64 + 1));
    }
}
