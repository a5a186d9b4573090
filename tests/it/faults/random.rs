//! Fifty kills and more at random, seeded moments, while lists of every kind of person are dialed by two API nodes and
//! two workers. What is killed is started again at once; one API node is always left, as in any fleet of two.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::ledger::{Book, Ledger};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::verdict;
use crate::support::FleetConfig;
use crate::support::fleet::seed;

const KILLS: usize = 50;
const NUMBERS: usize = 105;
/// Calls that a worker takes with it, for each kill, at most: those that it wrote as started in the tenth of a second
/// before their requests, at two dials a second.
const TAKEN_ALONG: f64 = 1.0 / 3.0;
/// Lists are posted until there were kills enough: on a slow machine what was killed takes longer to come back.
const LISTS: usize = 5;
/// How long nothing at all may be seen outside before the next list is posted.
const QUIET: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(240);

/// How much the outside has seen: the clock by which the kills come.
fn seen(book: &Book) -> usize {
    let legs: usize = book.legs.iter().map(|leg| leg.fetches.len() + leg.callbacks.len()).sum();
    book.creates.len() + book.rest.len() + book.webhooks.len() + legs
}

/// Waits until `more` has been seen; false where the world has gone quiet.
async fn goes_on(ledger: &Ledger, more: usize) -> bool {
    let until = ledger.with(seen) + more;
    let wanted = ledger.until(|book| (seen(book) >= until).then_some(()));
    tokio::time::timeout(QUIET, wanted).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_random_kills_lose_no_call_and_dial_nobody_twice() {
    let _room = super::room(2).await;
    let (mut fleet, _balancer) = super::balanced(FleetConfig {
        apis: 2,
        workers: 2,
        env: vec![("WEBHOOK_TIMEOUT".into(), "2".into())],
        sim: SimConfig {
            seed: seed(),
            speed: 20.0,
            max_cps: 4.0,
            max_concurrent: 200,
            ..SimConfig::default()
        },
        ..FleetConfig::default()
    })
    .await;
    let everybody = fleet.people(LISTS * NUMBERS);
    let ledger = fleet.sim.ledger().clone();
    let mut dice = StdRng::seed_from_u64(seed());
    let (mut workers, mut apis) = (0, 0);
    let mut lists = Vec::new();
    for people in everybody.chunks(NUMBERS) {
        lists.extend(verdict::post(&fleet, people).await);
        while workers + apis < KILLS && goes_on(&ledger, dice.random_range(1..=15)).await {
            let (i, both, api) = (dice.random_range(0..2), dice.random_bool(0.2), dice.random_bool(0.5));
            // Never both API nodes: where nobody listens, the carrier hangs up on people, and no design can help it.
            if api {
                fleet.kill_api(i).await;
                apis += 1;
            }
            if !api || both {
                fleet.kill_worker(i).await;
                workers += 1;
            }
            if !api && both {
                fleet.kill_worker(1 - i).await;
                workers += 1;
                fleet.restart_worker(1 - i, &[]).await;
            }
            if !api || both {
                fleet.restart_worker(i, &[]).await;
            }
            if api {
                fleet.restart_api(i, &[]).await;
            }
        }
        if workers + apis >= KILLS {
            break;
        }
    }

    let dialed: usize = lists.iter().map(|(_, people)| people.len()).sum();
    let (outcomes, broken) = verdict::of_lists(&mut fleet, &lists, PATIENCE).await;
    let title =
        format!("{} kills -9: {workers} of workers, {apis} of api nodes; seed {}", workers + apis, seed());
    verdict::print(&title, &outcomes);
    let summary = ledger.with(|book| (book.creates.len(), book.legs.len(), book.webhooks.len(), seen(book)));
    println!(
        "{} creates, {} legs, {} webhook deliveries; {} things seen",
        summary.0, summary.1, summary.2, summary.3
    );

    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    assert!(workers + apis >= KILLS, "all lists were over after {} kills", workers + apis);
    assert!(outcomes.iter().all(|outcome| outcome.told), "an end was not told");
    for outcome in outcomes.iter().filter(|outcome| !outcome.as_dictated()) {
        // A worker killed between "it will be dialed" and the request: nobody can know that this attempt, the first or a
        // later one, never left.
        let never_left = outcome.disposition == "unconfirmed" && outcome.legs < outcome.attempts;
        assert!(never_left, "no kill makes of it {outcome:?}");
    }
    let right = outcomes.iter().filter(|outcome| outcome.as_dictated()).count();
    let most = TAKEN_ALONG * workers as f64;
    assert!((dialed - right) as f64 <= most, "{right} of {dialed} ended as dictated");
}
