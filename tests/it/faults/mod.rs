//! What breaks, and what is left whole: kill -9 at every named point of a call's life, random kills over a long list,
//! and a carrier that loses, repeats and reorders. Everything is judged by what the outside saw.
//!
//! | file | what it breaks |
//! | --- | --- |
//! | `points` | one process, at one point of one call |
//! | `random` | any process, at any time, while a long list is dialed |
//! | `carrier` | the carrier's answers and callbacks |
//! | `verdict` | how a list ended, against who the people are |
//!
//! `./scripts/test faults --seed N` shows the tables; the seed decides the people and the moments.

mod carrier;
mod points;
mod random;
mod verdict;

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many fleets share the machine: each is some processes, and a starved one only shows that it was starved.
const FLEETS: u32 = 4;

static ROOM: Semaphore = Semaphore::const_new(FLEETS as usize);

/// Waits for room for a fleet that is as busy as `n` small ones.
async fn room(n: u32) -> SemaphorePermit<'static> {
    ROOM.acquire_many(n.min(FLEETS)).await.expect("the room is never closed")
}
