//! A short soak among the tests: nodes are killed each second and the carrier errs in every way while a list of two hundred
//! is dialed. The long one, where everything fails, is `./scripts/soak`.

use std::time::Duration;

use crate::soak::{Faults, Soak};
use crate::support::fleet::seed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_loses_nobody() {
    let _room = super::room(super::FLEETS).await;
    let soak = Soak {
        calls: 200,
        faults: Faults::parse("nodes,redis,dials,callbacks,calls,lookups").expect("faults"),
        seed: seed(),
        limit: Duration::from_secs(240),
        cps: 20.0,
        speed: 60.0,
        wait: 1,
    };
    assert!(crate::soak::run(soak).await, "the findings stand above");
}
