//! What breaks, and what is left whole: kill -9 at every named point of a call's life, random kills over a long list,
//! and a carrier that loses, repeats and reorders. Everything is judged by what the outside saw.
//!
//! | file | what it breaks |
//! | --- | --- |
//! | `points` | one process, at one point of one call |
//! | `random` | any process, at any time, while a long list is dialed |
//! | `clocks` | the clocks of nodes |
//! | `disk` | the disk and the memory of Redis |
//! | `evidence` | the node that seals evidence, and the evidence itself |
//! | `carrier` | the carrier's answers and callbacks |
//! | `failover` | a primary of Redis, and what its replica had not heard of yet |
//! | `rolling` | nodes that are told to stop |
//! | `rude` | (receivers with bad manners, for `siege`) |
//! | `siege` | the receivers of webhooks, in every way at once |
//! | `sentinel` | the primary of a Redis under Sentinel |
//! | `soak` | everything at once, for a minute |
//! | `verdict` | how a list ended, against who the people are |
//!
//! `./scripts/test faults --seed N` shows the tables; the seed decides the people and the moments.

mod carrier;
mod clocks;
mod disk;
mod evidence;
mod failover;
mod points;
mod random;
mod rolling;
mod rude;
mod sentinel;
mod siege;
mod soak;
mod verdict;

use carillon::sim::people::Kind;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::support::{Balancer, Fleet, FleetConfig};

/// How many fleets share the machine: each is some processes, and a starved one only shows that it was starved.
const FLEETS: u32 = 4;

static ROOM: Semaphore = Semaphore::const_new(FLEETS as usize);

/// Waits for room for a fleet that is as busy as `n` small ones.
async fn room(n: u32) -> SemaphorePermit<'static> {
    ROOM.acquire_many(n.min(FLEETS)).await.expect("the room is never closed")
}

/// A fleet whose API nodes stand behind a balancer that passes over a dead one, as they would anywhere.
async fn balanced(config: FleetConfig) -> (Fleet, Balancer) {
    let balancer = Balancer::start(&[]).await;
    let (apis, mut env) = (config.apis, config.env);
    env.push(("BASE_URL".to_owned(), format!("http://{}", balancer.addr())));
    let fleet = Fleet::start(FleetConfig { env, ..config }).await;
    let address = |i| fleet.api_url(i).trim_start_matches("http://").parse().expect("an address");
    balancer.set_backends(&(0..apis).map(address).collect::<Vec<_>>());
    (fleet, balancer)
}

/// Does the person dictate this end?
fn dictated(kind: Kind, disposition: &str) -> bool {
    kind.expected_dispositions().contains(&disposition)
}
