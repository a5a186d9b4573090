//! Does to the rig what the plan says, and writes down when it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Soak;
use super::judge::Blow;
use super::plan::{self, Strike, Wire};
use super::rig::Rig;
use crate::support::TcpProxy;
use crate::support::fleet::now_ms;
use crate::support::wait::try_until;

/// A node is killed so often.
const KILL_EVERY: Duration = Duration::from_secs(1);
/// How long a failover, and a resynchronisation after it, may take.
const FAILOVER_WITHIN: Duration = Duration::from_secs(60);

/// What was done, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Blows(Arc<Mutex<Vec<Blow>>>);

impl Blows {
    fn add(&self, name: &'static str, from: u64, to: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Blow { name, from, to });
    }

    pub(super) fn all(&self) -> Vec<Blow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each.
    pub(super) fn shown(&self) -> String {
        shown(&self.all())
    }
}

/// How often each blow fell.
pub(super) fn shown(blows: &[Blow]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for blow in blows {
        *counts.entry(blow.name).or_default() += 1;
    }
    let counts: Vec<String> = counts.into_iter().map(|(name, n)| format!("{n} {name}")).collect();
    if counts.is_empty() { "nothing struck".to_owned() } else { counts.join(", ") }
}

/// Kills a node each second and starts it again at once; one api is always left, as in any fleet of two.
pub(super) async fn kills(rig: Arc<Rig>, soak: Soak, blows: Blows, stop: CancellationToken) {
    if !soak.faults.has("nodes") {
        return;
    }
    let mut dice = plan::dice(soak.seed, 3);
    let mut every = tokio::time::interval(KILL_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rising = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = every.tick() => {}
        }
        let i = dice.random_range(0..rig.nodes.len());
        let node = &rig.nodes[i];
        let others = || rig.nodes.iter().enumerate().filter(|(n, other)| *n != i && other.role == "api");
        // Where nobody listens the carrier hangs up on people, and no design can help it.
        if !node.serves() || (node.role == "api" && !others().all(|(_, other)| other.serves())) {
            continue;
        }
        let before = now_ms();
        let dead = rig.kill(i).await;
        if node.role == "worker" {
            blows.add("worker killed", before, dead);
        }
        let (rig, blows) = (Arc::clone(&rig), blows.clone());
        rising.spawn(async move {
            rig.ready(i).await;
            if rig.nodes[i].role == "api" {
                // Of the carrier's requests some went to it until it served again.
                blows.add("api killed", before, now_ms());
            }
        });
        while rising.try_join_next().is_some() {}
    }
    while rising.join_next().await.is_some() {}
}

/// The strikes that come one after the other; the last one is healed.
pub(super) async fn steps(rig: Arc<Rig>, soak: Soak, blows: Blows, stop: CancellationToken) {
    for step in plan::steps(&soak.faults, soak.seed) {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(step.pause) => {}
        }
        let from = now_ms();
        match step.strike {
            Strike::Way(way, wire) => befall(rig.wire(way), wire, step.lasts).await,
            Strike::Redis(node, wire) => befall(rig.redis.lock().await.wire(node), wire, step.lasts).await,
            Strike::Primary(nth) => fail_over(&rig, nth).await,
            Strike::Rules(rules) => {
                for rule in rules {
                    rig.sim.faults().add(rule.lasting(step.lasts));
                }
                tokio::time::sleep(step.lasts).await;
            }
            Strike::Queue(share) => {
                let cps = Some(soak.cps * share);
                rig.sim.controls().change(|s| s.max_cps = cps).expect("a rate");
                tokio::time::sleep(step.lasts).await;
                rig.sim.controls().change(|s| s.max_cps = None).expect("no rate");
            }
        }
        blows.add(step.name, from, now_ms());
    }
}

async fn befall(proxy: &TcpProxy, wire: Wire, lasts: Duration) {
    match wire {
        Wire::Drop => proxy.drop_connections(),
        Wire::Cut => proxy.cut(),
        Wire::Stall => proxy.blackhole(),
        Wire::Delay(each) => proxy.delay(each),
        Wire::LoseAnswers => proxy.lose_answers(),
    }
    tokio::time::sleep(lasts).await;
    proxy.heal();
}

/// Kills a primary, waits until its replica has taken over, and starts it again: it comes back as a replica.
async fn fail_over(rig: &Rig, nth: usize) {
    let mut redis = rig.redis.lock().await;
    let before = redis.masters().await;
    let Some(&victim) = before.get(nth % before.len().max(1)) else { return };
    redis.node(victim).kill().await;
    let promoted = try_until(FAILOVER_WITHIN, || async {
        let now = redis.masters().await;
        (now.len() == before.len() && !now.contains(&victim)).then_some(())
    })
    .await;
    assert!(promoted.is_some(), "no replica took over within {FAILOVER_WITHIN:?}");
    redis.settled().await;
    redis.node(victim).restart().await;
    // It believes to be what it was until the others tell it.
    let back =
        try_until(FAILOVER_WITHIN, || async { (redis.masters().await.len() == before.len()).then_some(()) })
            .await;
    assert!(back.is_some(), "the old primary did not become a replica within {FAILOVER_WITHIN:?}");
    redis.settled().await;
    redis.replicated().await;
}
