//! A carrier that answers late, twice, in the wrong order or not at all: nobody is dialed twice for it, and every call
//! comes to its end.

use std::time::Duration;

use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::people::Kind;
use carillon::sim::{SimConfig, ledger::Book};

use super::verdict::{self, Outcome};
use crate::support::fleet::seed;
use crate::support::{Fleet, FleetConfig};

/// Two of each kind.
const NUMBERS: usize = 30;
/// What the fault makes of a call, legitimately: the reason why a number cannot be reached stands in its last callback
/// alone. Without it the carrier says "failed", and that is tried again and ends so.
const WITHOUT_A_REASON: (Kind, &str) = (Kind::Invalid, "carrier_failed");
const PATIENCE: Duration = Duration::from_secs(240);

fn status(code: u16, retry_after_s: Option<u64>, error_code: Option<&str>) -> Fault {
    Fault::Status { code, retry_after_s, error_code: error_code.map(str::to_owned) }
}

/// Dials a list under `rules`; how it ended, with what the carrier wrote down.
async fn dial(title: &str, rules: Vec<Rule>) -> (Vec<Outcome>, Book) {
    let _room = super::room(1).await;
    let mut fleet = Fleet::start(FleetConfig {
        sim: SimConfig {
            seed: seed(),
            speed: 40.0,
            max_cps: 10.0,
            max_concurrent: 200,
            faults: rules,
            ..SimConfig::default()
        },
        env: vec![("TIME_SCALE".into(), "1000".into())],
        ..FleetConfig::default()
    })
    .await;
    let people: Vec<(String, Kind)> = fleet.people(NUMBERS);
    let numbers: Vec<String> = people.iter().map(|(number, _)| number.clone()).collect();
    let campaign = fleet.post(&numbers).await;
    let (outcomes, broken) = verdict::of_list(&mut fleet, &campaign, &people, PATIENCE).await;
    verdict::print(title, &outcomes);
    assert!(broken.is_empty(), "{title}\n{}\n", broken.join("\n"));
    assert!(outcomes.iter().all(|outcome| outcome.told), "{title}: an end was not told");
    (outcomes, fleet.sim.ledger().snapshot())
}

/// Every call ended as its person dictates, but for those that the fault legitimately changes; these are counted.
#[track_caller]
fn all_as_dictated(outcomes: &[Outcome], but: Option<(Kind, &str)>) {
    let mut changed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.as_dictated()).collect();
    if let Some((kind, disposition)) = but {
        let all = changed.len();
        changed.retain(|outcome| (outcome.kind, outcome.disposition.as_str()) != (kind, disposition));
        println!(
            "{} {} calls ended {disposition}, as this fault makes of them",
            all - changed.len(),
            kind.as_str()
        );
    }
    assert!(changed.is_empty(), "{changed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_is_lost_is_known_by_its_callbacks() {
    let drop = Rule::always(Target::TwilioCreate, Fault::AcceptThenDrop);
    let (outcomes, book) = dial("every create accepted, its answer dropped", vec![drop]).await;
    assert!(book.creates.iter().all(|create| create.answer_lost));
    all_as_dictated(&outcomes, Some(WITHOUT_A_REASON));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_and_callbacks_are_lost_is_found_by_looking_it_up() {
    let rules = vec![
        Rule::always(Target::TwilioCreate, Fault::AcceptThenDrop),
        Rule::always(Target::Callbacks, Fault::Missing),
    ];
    let (outcomes, book) = dial("every create's answer dropped, every callback missing", rules).await;
    let looked_up = book.rest.iter().any(|rest| rest.method == "GET" && rest.path.contains("Calls.json?"));
    assert!(looked_up, "nobody asked for the carrier's list");
    // Who answers is a machine by the carrier's word alone; without it, it is told by its greeting.
    all_as_dictated(&outcomes, Some(WITHOUT_A_REASON));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_twice_late_reordered_reversed_and_missing_change_nothing() {
    let rules = vec![
        Rule::likely(Target::Callbacks, Fault::Duplicate, 0.3),
        Rule::likely(Target::Callbacks, Fault::LateMs(2_500), 0.2),
        Rule::likely(Target::Callbacks, Fault::Reorder, 0.2),
        Rule::likely(Target::Callbacks, Fault::Reverse, 0.2),
        Rule::likely(Target::Callbacks, Fault::Missing, 0.2),
    ];
    let (outcomes, book) = dial("callbacks twice, late, reordered, reversed, missing", rules).await;
    let struck = book.legs.iter().flat_map(|leg| &leg.callbacks).filter(|c| c.fault.is_some()).count();
    println!("{struck} callbacks were struck");
    assert!(struck > NUMBERS, "too few callbacks were struck to show anything");
    all_as_dictated(&outcomes, Some(WITHOUT_A_REASON));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_refusals_delays_and_loses_nobody() {
    let rules = vec![
        Rule::next(Target::TwilioCreate, status(429, Some(1), Some("20429")), 12),
        Rule::next(Target::TwilioCreate, status(429, None, Some("10004")), 4).after(20),
    ];
    let (outcomes, book) = dial("a burst of 429", rules).await;
    let refused = book.creates.iter().filter(|create| create.status == 429).count();
    assert_eq!(refused, 16);
    all_as_dictated(&outcomes, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_the_carrier_answers_with_5xx_is_unknown_and_never_repeated() {
    let rules = vec![Rule::next(Target::TwilioCreate, status(503, None, None), 5).after(3)];
    let (outcomes, book) = dial("five creates answered with 503", rules).await;
    let field = |form: &[(String, String)], name: &str| {
        form.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let struck: Vec<String> =
        book.creates.iter().filter(|c| c.status == 503).map(|c| field(&c.form, "To")).collect();
    assert_eq!(struck.len(), 5);
    for outcome in &outcomes {
        if struck.contains(&outcome.number) && outcome.disposition == "unconfirmed" {
            let creates = book.creates.iter().filter(|c| field(&c.form, "To") == outcome.number).count();
            assert_eq!((outcome.legs, creates), (0, 1), "{outcome:?}");
        } else {
            assert!(outcome.as_dictated() && !struck.contains(&outcome.number), "{outcome:?}");
        }
    }
}
