//! Campaigns from outside: real nodes, one Redis, the simulated world, judged by what the carrier saw. What a test found
//! is printed; `./scripts/test campaigns` shows it.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `share` | the rate, the slots, the shares of three campaigns, an urgent call among them |
//! | `pause` | pause, resume and cancel on all workers |
//! | `optout` | words said in one call reach every campaign |
//! | `weather` | 429, queueing, a prefix that fails |
//! | `sheet` | a spreadsheet with mistakes, by the command line alone |
//! | `callers` | daily caps and quarantine of the numbers we call from |
//! | `promises` | consent, callbacks, the chain of evidence |

mod callers;
mod optout;
mod pause;
mod promises;
mod share;
mod sheet;
mod shell;
mod weather;

use std::time::Duration;

use carillon::sim::people::{Kind, Role};
use serde_json::{Value, json};

use crate::support::{Fleet, until};

/// How long a node may take over anything that is not being measured.
const SOON: Duration = Duration::from_secs(60);

/// One request to the API: status and body.
async fn send(fleet: &Fleet, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let method: http::Method = method.parse().expect("a method");
    fleet
        .ask(|client, base| {
            let request = client.request(method.clone(), format!("{base}{path}"));
            if method == http::Method::GET { request } else { request.json(body) }
        })
        .await
}

/// Makes a campaign of `definition`; its id.
async fn create(fleet: &Fleet, definition: Value) -> String {
    let (status, answer) = send(fleet, "POST", "/api/campaigns", &definition).await;
    assert!((200..300).contains(&status), "the campaign is made: {status} {answer}");
    answer["campaign_id"].as_str().expect("a campaign's id").to_owned()
}

/// Adds numbers, all of which are accepted.
async fn add(fleet: &Fleet, id: &str, numbers: &[String]) {
    let body = json!({ "phone_numbers": numbers });
    let (status, answer) = send(fleet, "POST", &format!("/api/campaigns/{id}/calls"), &body).await;
    assert_eq!(status, 202, "the rows are taken: {answer}");
    assert_eq!(answer["accepted"], numbers.len(), "every row is accepted: {answer}");
}

/// `start`, `pause`, `resume`, `cancel`.
async fn command(fleet: &Fleet, id: &str, word: &str) -> Value {
    let (status, answer) = send(fleet, "POST", &format!("/api/campaigns/{id}/{word}"), &json!({})).await;
    assert_eq!(status, 200, "{word}: {answer}");
    answer
}

/// A campaign as the API tells it.
async fn view(fleet: &Fleet, id: &str) -> Value {
    let (status, answer) = send(fleet, "GET", &format!("/api/campaigns/{id}"), &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Why its calls are not dialed.
async fn blockers(fleet: &Fleet, id: &str) -> Vec<Value> {
    let (status, answer) = send(fleet, "GET", &format!("/api/campaigns/{id}/blockers"), &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer["blockers"].as_array().expect("a list of blockers").clone()
}

/// Waits until the campaign is in `state`; its view.
async fn in_state(fleet: &Fleet, id: &str, state: &str, deadline: Duration) -> Value {
    let found = crate::support::wait::try_until(deadline, || async {
        let view = view(fleet, id).await;
        if view["state"] == state {
            return Some(view);
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        None
    })
    .await;
    match found {
        Some(view) => view,
        None => panic!(
            "{id} is not {state} within {deadline:?}: {:#}\nblockers {:#?}\nopen {:#?}",
            view(fleet, id).await,
            blockers(fleet, id).await,
            fleet.open_calls().await,
        ),
    }
}

/// The `from`-th to the `to`-th number of this kind.
fn numbers(fleet: &Fleet, kind: Kind, range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| fleet.sim.world().number(kind, i)).collect()
}

/// Whoever picks up at `number` plays this role from now on.
fn plays(fleet: &Fleet, number: &str, role: Role) {
    let cast = fleet.sim.controls().change(|s| {
        s.cast.insert(number.to_owned(), role);
    });
    cast.expect("the cast is known");
}

/// Waits until the carrier has seen `n` dials since `since_us`.
async fn dials(fleet: &Fleet, since_us: u64, n: usize, deadline: Duration) {
    let seen = fleet.sim.ledger().until(|book| {
        (book.creates.iter().rev().take_while(|create| create.t_us >= since_us).count() >= n).then_some(())
    });
    let seen = tokio::time::timeout(deadline, seen).await.is_ok();
    let all = fleet.sim.ledger().with(|book| book.creates.len());
    assert!(seen, "{n} dials after {since_us} µs within {deadline:?}; {all} in all");
}

/// Waits until the ledger's clock has passed `at_us`.
async fn clock(fleet: &Fleet, at_us: u64) {
    until("the clock to pass", SOON, || {
        let passed = fleet.sim.ledger().elapsed_us() >= at_us;
        async move { passed.then_some(()) }
    })
    .await;
}

/// What must hold once nothing is left to do.
async fn in_order(fleet: &mut Fleet) {
    fleet.settled(SOON).await;
    let broken = fleet.invariants().await;
    assert!(broken.is_empty(), "{broken:#?}");
}
