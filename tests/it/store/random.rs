//! Workers that do anything in any order, and die at any moment: every call ends all the same.

use std::time::Duration;

use carillon::base::clock::{Clock, Millis};
use carillon::domain::call::{Call, Event, HangUpCause, Phase};
use carillon::domain::ids::Shard;
use carillon::store::{Started, Wants};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Bed, leg};
use crate::support::{invariants, until};

const SHARD: Shard = Shard(7);
const CALLS: usize = 60;

pub(super) async fn any_workers_bring_every_call_to_an_end(bed: &Bed) {
    let seed: u64 =
        std::env::var("CARILLON_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("CARILLON_SEED={seed}");
    let mut calls = bed.calls_in(SHARD, CALLS / 2, None);
    // Two calls to each person, so that legs stand in each other's way.
    calls.extend(bed.calls_in(SHARD, CALLS / 2, None));
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    futures::future::join_all((0..4).map(|n| worker(bed, StdRng::seed_from_u64(seed.wrapping_add(n))))).await;
    assert_eq!(invariants::check(&bed.redis).await, Vec::<String>::new(), "seed {seed}");
    for call in &calls {
        assert_eq!(bed.load(&call.id).await.phase(), Phase::Ended, "seed {seed}");
    }
}

/// Works until nothing is open.
async fn worker(bed: &Bed, rng: StdRng) {
    let rng = std::cell::RefCell::new(rng);
    until("every call to end", Duration::from_secs(60), || async {
        let lease: Millis = rng.borrow_mut().random_range(1..30);
        let claims = bed
            .store
            .claim(SHARD, lease, &Wants { live: 8, urgent: 4, ..Wants::default() })
            .await
            .expect("redis answers");
        for claimed in claims.calls {
            // Nothing at all: the worker died.
            let dice = rng.borrow_mut().random_range(0..10);
            if dice > 1 {
                Box::pin(step(bed, claimed.call, dice)).await;
            }
        }
        let (ready, due, _) = bed.store.queue_depth().await.expect("redis answers");
        (ready + due == 0).then_some(())
    })
    .await;
}

async fn step(bed: &Bed, call: Call, dice: u32) {
    let soon = Clock::System.now() + 5;
    let event = match (call.phase(), dice) {
        (Phase::Queued, 5) => {
            bed.store.put_back(&[&call]).await.expect("redis answers");
            return;
        }
        (Phase::Queued, 6) => {
            let event = Event::Deferred { until: soon, reason: "window" };
            bed.store.defer(vec![(call, event)], &bed.rules).await.expect("redis answers");
            return;
        }
        (Phase::Queued, 2) => Event::Deferred { until: soon, reason: "window" },
        (Phase::Queued, 3) => Event::RecordingReady { recording: "RE1".into() },
        (Phase::Queued, _) => {
            match bed.start(&call).await {
                Started::Done(call) if dice == 4 => {
                    bed.apply(&call, Event::NotSent { until: soon }).await;
                }
                Started::Done(call) => {
                    let over = Event::HungUp {
                        leg: leg(&call),
                        cause: HangUpCause::Canceled,
                        code: None,
                        duration_s: None,
                    };
                    bed.apply(&call, over).await;
                }
                Started::Refused { call, reason, .. } if reason == "frequency" => {
                    bed.apply(&call, Event::Expired).await;
                }
                _ => {}
            }
            return;
        }
        (Phase::WrapUp, _) => Event::Concluded {
            artefacts: Vec::new(),
            outcome: None,
            adversarial_score: None,
            employment_gaps: None,
        },
        (Phase::Ended, _) => Event::ArtefactAdded { artefact: None },
        _ => return,
    };
    bed.apply(&call, event).await;
}
