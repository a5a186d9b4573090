//! Does this node's clock agree with Redis'? Leases, due times and moments are Redis' time, so a node corrects what it
//! writes by the difference: a fleet has one clock. Where the two come apart by more than [`TOLERATED`] one of them is wrong
//! and nobody here can say which, calling hours and signatures depend on it, and the node takes up no work until they agree.

use std::sync::atomic::{AtomicI64, Ordering};

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};
use futures::future::try_join_all;

use crate::base::clock::{Millis, SECOND};
use crate::store::connect::{Store, StoreError};
use crate::store::scripts;

/// How far the clocks may be apart. Far more than machines that keep their time are, far less than any rule turns on.
pub const TOLERATED: Millis = 5 * SECOND;

/// By how much this node's clock is ahead of Redis', ms, as far as that is certain; negative: behind.
#[derive(Debug, Default)]
pub(super) struct Skew(AtomicI64);

/// What is certain of the difference where Redis' clock was read between two looks at ours: 0 where they may agree.
fn certain(before: Millis, redis: Millis, after: Millis) -> i64 {
    let difference = |ours: Millis| {
        i64::try_from(ours).unwrap_or(i64::MAX).saturating_sub(i64::try_from(redis).unwrap_or(i64::MAX))
    };
    let (least, most) = (difference(before), difference(after));
    if least > 0 { least } else { most.min(0) }
}

impl Store {
    /// Reads the clock of each primary and keeps the greatest difference; answers it: ms that ours is ahead, negative
    /// where it is behind. Our clock is corrected by the smallest: one primary that is wrong moves nobody.
    ///
    /// # Errors
    /// Where one does not answer; what was known is kept.
    pub async fn compare_clocks(&self) -> Result<i64, StoreError> {
        let client = self.client();
        let time = || CustomCommand::new_static("TIME", ClusterHash::Random, false);
        let primaries =
            client.cached_cluster_state().map(|state| state.unique_primary_nodes()).unwrap_or_default();
        let differences = if primaries.is_empty() {
            let before = self.machine_clock();
            let told: Value = client.custom(time(), Vec::<String>::new()).await?;
            vec![certain(before, read(told)?, self.machine_clock())]
        } else {
            let asked = primaries.into_iter().map(|primary| async move {
                let before = self.machine_clock();
                let told: Value =
                    client.with_cluster_node(primary).custom(time(), Vec::<String>::new()).await?;
                Ok::<_, StoreError>(certain(before, read(told)?, self.machine_clock()))
            });
            try_join_all(asked).await?
        };
        let smallest =
            differences.iter().copied().min_by_key(|difference| difference.unsigned_abs()).unwrap_or(0);
        self.clock.correct(smallest.saturating_neg());
        let greatest =
            differences.into_iter().max_by_key(|difference| difference.unsigned_abs()).unwrap_or(0);
        self.skew.0.store(greatest, Ordering::Relaxed);
        Ok(greatest)
    }

    /// What our clock says without correction.
    fn machine_clock(&self) -> Millis {
        self.clock.now().saturating_add_signed(self.clock.correction().saturating_neg())
    }

    /// How far our clock was ahead of Redis' when they were last compared, ms; negative: behind; 0: no more than a round
    /// trip, or never compared.
    #[must_use]
    pub fn clock_ahead(&self) -> i64 {
        self.skew.0.load(Ordering::Relaxed)
    }

    /// Are the two clocks near enough to each other to dial by them?
    #[must_use]
    pub fn clocks_agree(&self) -> bool {
        self.clock_ahead().unsigned_abs() <= TOLERATED
    }
}

/// Seconds and microseconds, as ms.
fn read(told: Value) -> Result<Millis, StoreError> {
    let parts = told.into_array();
    let part = |i: usize| u64::try_from(scripts::number(parts.get(i))).ok().filter(|_| parts.len() == 2);
    match (part(0), part(1)) {
        (Some(seconds), Some(micros)) if seconds > 0 => Ok(seconds * SECOND + micros / 1_000),
        _ => Err(StoreError::Protocol("TIME")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, MINUTE};
    use crate::store::testing::TestRedis;

    #[test]
    fn only_what_a_round_trip_does_not_explain_is_a_difference() {
        assert_eq!(certain(1_000, 1_005, 1_010), 0);
        assert_eq!(certain(1_000, 1_000, 1_000), 0);
        assert_eq!(certain(9_000, 1_000, 9_010), 8_000, "at least so much ahead");
        assert_eq!(certain(1_000, 9_000, 1_010), -7_990, "at least so much behind");
        assert_eq!(certain(1_000, 30_000, 61_000), 0, "whoever was stopped for a minute knows nothing");
    }

    #[tokio::test]
    async fn a_clock_that_is_wrong_is_found_and_one_that_was_set_right_is_trusted_again() {
        let redis = TestRedis::start().await;
        let now = Clock::System.now();
        let clock = Clock::manual(now - 10 * MINUTE);
        let store = redis.store(clock.clone()).await;
        assert!(store.clocks_agree(), "not compared yet");
        let behind = store.compare_clocks().await.unwrap();
        assert!(behind < -9 * 60_000 && !store.clocks_agree(), "{behind}");
        clock.advance(20 * MINUTE);
        let ahead = store.compare_clocks().await.unwrap();
        assert!(ahead > 8 * 60_000 && !store.clocks_agree(), "{ahead}");
        let right = redis.store(Clock::System).await;
        assert!(right.compare_clocks().await.is_ok() && right.clocks_agree());
    }
}
