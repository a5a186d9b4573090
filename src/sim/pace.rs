//! How fast the simulated world lives, and deterministic chance.
//!
//! What the world itself does (ringing, talking, thinking) passes `speed` times faster than the wall. What
//! Carillon takes to answer is its own: it is counted as it was measured, times `webhook_speed` (1 unless a test
//! runs Carillon faster than life too), so that the silence in a timeline is the one a real callee would hear.

use std::time::Duration;

use tokio::time::Instant;

/// The two speeds of a run. Copied freely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Simulated seconds to one second of the wall.
    pub(crate) speed: f64,
    /// Seconds of Carillon's life to one second of the wall.
    pub(crate) webhook_speed: f64,
}

impl Pace {
    /// A pace with both speeds forced into what arithmetic and timers can bear.
    pub(crate) fn new(speed: f64, webhook_speed: f64) -> Self {
        let sane = |x: f64| if x.is_finite() { x.clamp(0.01, 10_000.0) } else { 1.0 };
        Self { speed: sane(speed), webhook_speed: sane(webhook_speed) }
    }

    /// The wall time that `seconds` simulated seconds take.
    pub(crate) fn wall(self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds.max(0.0) / self.speed).unwrap_or(Duration::from_secs(3600))
    }

    /// The wall time that `seconds` of Carillon's life take.
    pub(crate) fn webhook_wall(self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds.max(0.0) / self.webhook_speed)
            .unwrap_or(Duration::from_secs(3600))
    }

    /// Sleeps `seconds` simulated seconds.
    pub(crate) async fn sleep(self, seconds: f64) {
        tokio::time::sleep(self.wall(seconds)).await;
    }
}

/// Simulated seconds since a call was answered. A stretch that is cut short by a dropped future is settled by
/// [`CallClock::settle`] with what had really passed.
#[derive(Debug)]
pub(crate) struct CallClock {
    pace: Pace,
    t: f64,
    open: Option<(Instant, f64, f64)>,
}

impl CallClock {
    /// A clock at zero.
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, t: 0.0, open: None }
    }

    /// Simulated seconds since the start.
    pub(crate) fn now(&self) -> f64 {
        self.t
    }

    /// Lets `seconds` of the simulated world pass.
    pub(crate) async fn pass(&mut self, seconds: f64) {
        let seconds = seconds.max(0.0);
        self.open = Some((Instant::now(), self.pace.speed, seconds));
        tokio::time::sleep(self.pace.wall(seconds)).await;
        self.open = None;
        self.t += seconds;
    }

    /// Waits for Carillon, counting the time it takes.
    pub(crate) async fn wait<F: Future>(&mut self, answer: F) -> F::Output {
        let began = Instant::now();
        self.open = Some((began, self.pace.webhook_speed, f64::MAX));
        let out = answer.await;
        self.open = None;
        self.t += began.elapsed().as_secs_f64() * self.pace.webhook_speed;
        out
    }

    /// Books what passed of a stretch that was interrupted.
    pub(crate) fn settle(&mut self) {
        if let Some((began, rate, most)) = self.open.take() {
            self.t += (began.elapsed().as_secs_f64() * rate).min(most);
        }
    }
}

/// A number in 0..1 that depends on nothing but `seed` and `parts`.
pub(crate) fn chance(seed: u64, parts: &[&str], n: u64) -> f64 {
    // FNV-1a over the parts, then the finaliser of splitmix64: plenty for choosing who suffers a fault.
    let mut h = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    for part in parts {
        for b in part.bytes().chain([0xff]) {
            h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let mut z = h.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    #[allow(clippy::cast_precision_loss)] // 53 bits are what a double holds
    let unit = (z >> 11) as f64 / (1_u64 << 53) as f64;
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_repeatable_and_spread() {
        assert!((chance(7, &["a", "b"], 1) - chance(7, &["a", "b"], 1)).abs() < f64::EPSILON);
        let hits = (0..1000).filter(|n| chance(7, &["+15550000000"], *n) < 0.3).count();
        assert!((220..380).contains(&hits), "{hits} of 1000 at probability 0.3");
        let by_seed = (0..1000).filter(|s| chance(*s, &["+15550000000"], 0) < 0.3).count();
        assert!((220..380).contains(&by_seed), "{by_seed} of 1000 seeds at probability 0.3");
    }

    #[tokio::test]
    async fn an_interrupted_stretch_counts_what_passed() {
        let mut clock = CallClock::new(Pace::new(100.0, 1.0));
        clock.pass(5.0).await;
        assert!((clock.now() - 5.0).abs() < 1e-9);
        assert!(tokio::time::timeout(Duration::from_millis(20), clock.pass(3_000.0)).await.is_err());
        clock.settle();
        // 20 ms at 100 times life are 2 s; a busy machine makes them more, never less, nor more than was planned.
        assert!((6.9..=3_005.0).contains(&clock.now()), "{}", clock.now());
        clock.settle();
        let before = clock.now();
        clock.wait(tokio::time::sleep(Duration::from_millis(5))).await;
        assert!(clock.now() >= before + 0.005, "Carillon's time is counted as it is");
    }
}
