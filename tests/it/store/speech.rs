//! A turn's lease.

use carillon::domain::call::{Call, Event, HangUpCause, Phase};
use carillon::domain::talk::{Dialogue, Heard, Turn};
use carillon::store::{Committed, Resumed, TurnLease};

use super::{Bed, LONG, key, leg};

fn said(text: &str) -> Heard {
    Heard::Speech { text: text.into(), confidence: None }
}

pub(super) async fn a_turn_is_leased_resumed_and_answered_once(bed: &Bed) {
    let call = bed.started(&bed.claimed(&bed.call(1, None)).await).await;
    let call = bed.done_by(&call, Event::Answered(leg(&call))).await;
    let (id, turn) = (&call.id, (1, 0));
    let begin = |text: &'static str, token: &'static str, force| async move {
        bed.store.turn_begin(id, turn, &said(text), LONG, token, force).await.expect("redis answers")
    };
    let taken = |lease| -> Resumed {
        match lease {
            TurnLease::Taken(resumed) => *resumed,
            other => panic!("{other:?}"),
        }
    };
    assert!(taken(begin("first", "a", false).await).journal.is_empty());
    taken(begin("first", "a", false).await);
    assert!(matches!(begin("second", "b", false).await, TurnLease::Running { left, .. } if left > 0));
    let hold = |token: &'static str, first: usize, tools: std::ops::Range<usize>| async move {
        let entries = tools.map(|n| format!("{{\"tool\":{n}}}")).collect();
        bed.store
            .turn_hold(id, turn, token, LONG, &said("first"), (first, entries))
            .await
            .expect("redis answers")
    };
    // Sent twice, and once more with what came after: each stands where it belongs, once.
    for tools in [0..1, 0..1, 0..3, 0..2] {
        assert!(hold("a", 0, tools).await);
    }
    assert!(hold("a", 3, 3..4).await && hold("a", 4, 0..0).await);
    assert!(!hold("a", 6, 6..7).await, "those before it are not there");
    let resumed = taken(begin("second", "b", true).await);
    let journal: Vec<String> = (0..4).map(|n| format!("{{\"tool\":{n}}}")).collect();
    assert_eq!((resumed.heard, resumed.journal), (said("first"), journal));
    assert!(!hold("a", 4, 0..0).await && !hold("a", 4, 4..5).await, "taken over");

    let dialogue = Dialogue { turn: 1, ..Dialogue::default() };
    let (acts, notes, lines) = (Vec::new(), Vec::new(), Vec::new());
    let answer = Turn { n: 0, heard: said("first"), acts, notes, lines, dialogue };
    let mut change = resumed.call.change();
    change.apply(Event::TurnTaken(leg(&call), Box::new(answer)), &bed.rules, 1).expect("not stale");
    assert!(matches!(bed.store.commit(change.clone(), Some("a")).await, Ok(Committed::Lost)));
    assert!(matches!(bed.store.commit(change, Some("b")).await, Ok(Committed::Done(..))));
    assert!(matches!(begin("late", "c", true).await, TurnLease::Done { turn: (1, 0), .. }));
    assert_eq!(bed.store.turn_answer(id).await.expect("read"), Some(((1, 0), Vec::new())));
}

/// The node that answered a turn may take the next one without asking, while nobody else begins it.
pub(super) async fn the_next_turn_is_begun_without_asking(bed: &Bed) {
    let call = bed.started(&bed.claimed(&bed.call(1, None)).await).await;
    let mut call = bed.done_by(&call, Event::Answered(leg(&call))).await;
    let id = call.id.clone();
    let begin = |n, token: &'static str| {
        let id = id.clone();
        async move {
            let heard = said("from elsewhere");
            bed.store.turn_begin(&id, (1, n), &heard, LONG, token, false).await.expect("redis answers")
        }
    };
    let commit = |call: &Call, n: u32, token: &'static str| {
        let dialogue = Dialogue { turn: n + 1, ..Dialogue::default() };
        let (acts, notes, lines) = (Vec::new(), Vec::new(), Vec::new());
        let answer = Turn { n, heard: said("here"), acts, notes, lines, dialogue };
        let mut change = call.clone().change();
        change.apply(Event::TurnTaken(leg(call), Box::new(answer)), &bed.rules, 1).expect("not stale");
        async move { bed.store.commit(change, Some(token)).await.expect("redis answers") }
    };
    let hold = |n, token: &'static str, entries: &[&str]| {
        let entries = entries.iter().map(ToString::to_string).collect();
        let id = id.clone();
        async move {
            let heard = said("here");
            bed.store.turn_hold(&id, (1, n), token, LONG, &heard, (0, entries)).await.expect("redis answers")
        }
    };
    let done = |committed| match committed {
        Committed::Done(call, _) => *call,
        other => panic!("{other:?}"),
    };
    assert!(matches!(begin(0, "a").await, TurnLease::Taken(_)));
    assert!(matches!(commit(&call, 0, "b").await, Committed::Lost), "the greeting is begun");
    call = done(commit(&call, 0, "a").await);
    assert!(matches!(commit(&call, 1, "b").await, Committed::Lost), "not whoever comes");
    call = done(commit(&call, 1, "a").await);
    assert!(matches!(begin(1, "b").await, TurnLease::Done { turn: (1, 1), .. }), "answered for everybody");

    // One that takes long is leased by its first renewal: others wait, and go on from what was heard and done here.
    assert!(!hold(2, "b", &[]).await && !hold(3, "a", &[]).await, "not whoever comes, and not any turn");
    assert!(hold(2, "a", &["1"]).await && hold(2, "a", &["1", "2"]).await);
    assert!(matches!(begin(2, "b").await, TurnLease::Running { .. }));
    let forced = bed.store.turn_begin(&id, (1, 2), &said("later"), LONG, "b", true).await;
    let Ok(TurnLease::Taken(resumed)) = forced else { panic!("{forced:?}") };
    assert_eq!((resumed.heard, resumed.journal), (said("here"), vec!["1".to_owned(), "2".to_owned()]));
    assert!(matches!(commit(&call, 2, "a").await, Committed::Lost) && !hold(2, "a", &[]).await);
    call = done(commit(&call, 2, "b").await);

    // Begun elsewhere before it was renewed or committed: it is theirs.
    let TurnLease::Taken(resumed) = begin(3, "c").await else { panic!("nobody has it") };
    assert_eq!((resumed.heard, resumed.journal.len()), (said("from elsewhere"), 0));
    assert!(!hold(3, "b", &["3"]).await);
    assert!(matches!(commit(&call, 3, "b").await, Committed::Lost));
    done(commit(&call, 3, "c").await);
    // A copy from before that is answered with the record.
    assert!(matches!(commit(&call, 3, "b").await, Committed::Conflict(_)));
}

/// A greeting needs no lease: of those who speak it one commits.
pub(super) async fn the_first_turn_is_whose_commit_comes_first(bed: &Bed) {
    let call = bed.started(&bed.claimed(&bed.call(1, None)).await).await;
    let call = bed.done_by(&call, Event::Answered(leg(&call))).await;
    let commit = |call: &Call, n: u32, token: &'static str| {
        let dialogue = Dialogue { turn: n + 1, ..Dialogue::default() };
        let (acts, notes, lines) = (Vec::new(), Vec::new(), Vec::new());
        let answer = Turn { n, heard: Heard::Started, acts, notes, lines, dialogue };
        let mut change = call.clone().change();
        change.apply(Event::TurnTaken(leg(call), Box::new(answer)), &bed.rules, 1).expect("not stale");
        async move { bed.store.commit(change, Some(token)).await.expect("redis answers") }
    };
    let Committed::Done(greeted, _) = commit(&call, 0, "a").await else { panic!("nobody had it") };
    assert!(matches!(commit(&call, 0, "b").await, Committed::Conflict(_)), "it is spoken");
    assert!(matches!(commit(&greeted, 1, "b").await, Committed::Lost), "the next is not anybody's");
    assert!(matches!(commit(&greeted, 1, "a").await, Committed::Done(..)));
}

/// A tool call that is journaled when the call is over already goes when the call goes.
pub(super) async fn what_is_journaled_late_does_not_stay(bed: &Bed) {
    let call = bed.started(&bed.claimed(&bed.call(1, None)).await).await;
    let call = bed.done_by(&call, Event::Answered(leg(&call))).await;
    let lease = bed.store.turn_begin(&call.id, (1, 0), &said("here"), LONG, "a", false).await;
    assert!(matches!(lease, Ok(TurnLease::Taken(_))));
    let hold = async |first, entry: &str| {
        let entries = (first, vec![entry.to_owned()]);
        bed.store.turn_hold(&call.id, (1, 0), "a", LONG, &said("here"), entries).await.expect("redis answers")
    };
    assert!(hold(0, "1").await);
    let ttl = async || bed.redis.cmd(&["PTTL", &key("JOURNAL", &call.id)]).await.int();
    assert_eq!(ttl().await, -1, "of a call that goes on it stays");
    let over = HangUpCause::Completed;
    let over = Event::HungUp { leg: leg(&call), cause: over, code: None, duration_s: Some(1) };
    let call = bed.done_by(&call, over).await;
    let (artefacts, outcome) = (Vec::new(), None);
    let told = Event::Concluded { artefacts, outcome, adversarial_score: None, employment_gaps: None };
    let call = bed.done_by(&call, told).await;
    assert_eq!(call.phase(), Phase::Ended);
    bed.redis.cmd(&["DEL", &key("JOURNAL", &call.id)]).await;
    assert!(hold(0, "1").await);
    assert!((1..=172_800_000).contains(&ttl().await), "{}", ttl().await);
}
