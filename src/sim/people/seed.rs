//! A small seeded generator (SplitMix64), so that a world is the same on every machine and with every version of every crate.

/// A reproducible source of choices.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of `seed` for `what`; different things get unrelated throws.
    pub(crate) fn new(seed: u64, what: &str) -> Self {
        // FNV-1a over the name, then mixed with the seed by the generator itself.
        let name = what
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut dice = Self(seed ^ name);
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: i32, high: i32) -> i32 {
        let span = u64::from(high.abs_diff(low)) + 1;
        low + i32::try_from(self.next() % span).unwrap_or(0)
    }

    /// A number from `low` up to, but without, `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        #[allow(clippy::cast_precision_loss)] // 53 bits fit a double exactly
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.between(0.0, 1.0) < p
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[usize::try_from(self.next() % list.len().max(1) as u64).unwrap_or(0)]
    }

    /// `n` different ones of a list.
    pub(crate) fn some<'a>(&mut self, n: usize, list: &[&'a str]) -> Vec<&'a str> {
        let mut left = list.to_vec();
        let mut out = Vec::new();
        while out.len() < n && !left.is_empty() {
            let at = usize::try_from(self.next() % left.len() as u64).unwrap_or(0);
            out.push(left.swap_remove(at));
        }
        out
    }
}
