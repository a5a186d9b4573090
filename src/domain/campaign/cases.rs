//! Every state with every command.

use super::*;
use Command as C;
use State as S;
use Toward as T;

const STATES: [S; 10] = [
    S::Draft,
    S::Scheduled,
    S::Running,
    S::Paused,
    S::Draining { toward: T::Completed },
    S::Draining { toward: T::Cancelled },
    S::Draining { toward: T::Expired },
    S::Completed,
    S::Cancelled,
    S::Expired,
];

const COMMANDS: [C; 9] = [
    C::Schedule { at: 7 },
    C::Start,
    C::Pause,
    C::Resume,
    C::Cancel,
    C::Expire,
    C::Drain,
    C::Refill,
    C::Finish,
];

/// What becomes of each state (rows) by each command (columns): its first letters, `-` where it is refused. `dC`, `dX` and
/// `dE` drain toward completed, cancelled and expired.
const TABLE: [[&str; 9]; 10] = [
    // schedule start pause resume cancel expire drain refill finish
    ["sch", "run", "-", "-", "dX", "dE", "-", "-", "-"],
    ["sch", "run", "-", "-", "dX", "dE", "-", "-", "-"],
    ["-", "run", "pau", "run", "dX", "dE", "dC", "run", "-"],
    ["-", "-", "pau", "run", "dX", "dE", "-", "-", "-"],
    ["-", "dC", "pau", "dC", "dX", "dE", "dC", "run", "com"],
    ["-", "-", "-", "-", "dX", "-", "-", "-", "can"],
    ["-", "-", "-", "-", "dX", "dE", "-", "-", "exp"],
    ["-", "-", "-", "-", "-", "-", "-", "-", "-"],
    ["-", "-", "-", "-", "can", "-", "-", "-", "-"],
    ["-", "-", "-", "-", "-", "-", "-", "-", "-"],
];

fn short(state: S) -> &'static str {
    match state {
        S::Draining { toward: T::Completed } => "dC",
        S::Draining { toward: T::Cancelled } => "dX",
        S::Draining { toward: T::Expired } => "dE",
        other => &other.as_str()[..3],
    }
}

fn campaign(state: S) -> Campaign {
    Campaign { state, ..Campaign::new(CampaignId::derived("a test"), 1) }
}

#[test]
fn the_life_of_a_campaign_is_this_table() {
    for (state, row) in STATES.into_iter().zip(TABLE) {
        for (command, expected) in COMMANDS.into_iter().zip(row) {
            let after = state.after(command).map_or("-", short);
            assert_eq!(after, expected, "{state:?} {command:?}");
        }
    }
}

#[test]
fn what_is_over_stays_over_and_what_dials_may_be_stopped() {
    for (state, row) in STATES.into_iter().zip(TABLE) {
        if state.is_over() {
            assert!(row.iter().all(|to| *to == "-" || *to == short(state)), "{state:?}");
            assert!(!state.dials() && !state.takes_rows());
        } else {
            assert!(state.after(C::Cancel).is_some(), "{state:?}");
        }
        if state.dials() {
            assert_eq!(state.after(C::Pause), Some(S::Paused));
            assert_eq!(state.ends_waiting(), None);
        }
        assert!(!(state.takes_rows() && state.ends_waiting().is_some()), "{state:?}");
    }
}

#[test]
fn a_step_is_remembered_with_who_when_and_why_and_a_repeat_is_none() {
    let mut it = campaign(S::Draft);
    assert_eq!(it.command(C::Start, "api:1", None, 10), Ok(true));
    assert_eq!(it.command(C::Start, "api:1", None, 11), Ok(false));
    assert_eq!(it.command(C::Pause, "brake", Some("too many"), 12), Ok(true));
    assert_eq!(it.command(C::Start, "api:1", None, 13), Err(Refusal { state: S::Paused }));
    let last = it.history.last().expect("a step");
    assert_eq!((it.history.len(), last.from, last.to, last.at), (2, S::Running, S::Paused, 12));
    assert_eq!((last.by.as_str(), last.why.as_deref()), ("brake", Some("too many")));
    // A time that is changed is a change, but no step.
    let mut it = campaign(S::Scheduled);
    assert_eq!(it.command(C::Schedule { at: 99 }, "api:1", None, 10), Ok(true));
    assert_eq!((it.starts_at, it.history.len()), (Some(99), 0));
    let mut it = campaign(S::Running);
    for n in 0..500 {
        it.command(if n % 2 == 0 { C::Pause } else { C::Resume }, "api:1", None, n).expect("it goes");
    }
    assert_eq!((it.history.len(), it.history[1].at), (200, 301), "the oldest are forgotten");
    assert_eq!(it.first_dials_at(), Some(it.history[0].at), "but when it was first started");
}
