//! A turn's lease.

use carillon::domain::call::Event;
use carillon::domain::talk::{Dialogue, Heard, Turn};
use carillon::store::{Committed, Resumed, TurnLease};

use super::{Bed, LONG, leg};

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
        bed.store.turn_hold(id, turn, token, LONG, first, entries).await.expect("redis answers")
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
