//! The numbers we call from: which of them may call whom, the best first.
//!
//! Nothing is stored: the order is a function of the callee and the pool, so that every node, and every later call, comes
//! to the same number. Which of the candidates has room now is the permit's to say.

use std::sync::Arc;

use crate::domain::call::Call;
use crate::domain::campaign::Campaign;
use crate::domain::ids::PhoneHash;
use crate::domain::phone::Phone;
use crate::domain::window::Rules;
use crate::store::Caller;

/// The most candidates of a call: beyond them it waits rather than show the callee yet another number.
const MOST: usize = 5;
/// Characters of a number's keyed hash that stand for it in keys and events.
const KEY: usize = 12;

/// The limits of each number we call from; 0 = none.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerLimits {
    /// Calls started per second.
    pub max_cps: f64,
    /// Calls at once.
    pub max_concurrent: u32,
    /// Calls in one UTC day.
    pub max_daily: u32,
}

/// A number we call from, as a callee's choice looks at it.
#[derive(Clone, Debug)]
struct Own {
    phone: Phone,
    /// Its state or province (ISO 3166-2), where the rules know its area code.
    region: Option<String>,
    seed: u64,
}

/// The pool. Its `Debug` shows no number whole.
#[derive(Clone, Debug)]
pub struct Callers {
    own: Vec<Own>,
    table: Vec<Caller>,
    rules: Arc<Rules>,
}

impl Callers {
    /// A pool of `numbers`, each with the same `limits`. `hash` is the keyed hash that numbers are known by.
    #[must_use]
    pub fn new(
        numbers: &[Phone],
        limits: CallerLimits,
        rules: Arc<Rules>,
        hash: impl Fn(&str) -> PhoneHash,
    ) -> Self {
        let hashes: Vec<PhoneHash> = numbers.iter().map(|number| hash(number.e164())).collect();
        let own = numbers.iter().zip(&hashes).map(|(number, hash)| Own {
            phone: number.clone(),
            region: rules.region(number).map(str::to_owned),
            seed: seed(hash.as_str()),
        });
        let table = hashes.iter().map(|hash| Caller {
            key: hash.as_str().chars().take(KEY).collect(),
            max_cps: limits.max_cps,
            max_concurrent: limits.max_concurrent,
            max_daily: limits.max_daily,
        });
        Self { own: own.collect(), table: table.collect(), rules }
    }

    /// The numbers as the permit knows them; a candidate is an index into this.
    #[must_use]
    pub fn table(&self) -> &[Caller] {
        &self.table
    }

    /// The number of an index, E.164; empty for an index that nobody gave out.
    #[must_use]
    pub fn number(&self, index: u16) -> &str {
        self.own.get(usize::from(index)).map_or("", |own| own.phone.e164())
    }

    /// The index of a number; `None` where it is not in the pool (any more).
    #[must_use]
    pub fn index_of(&self, e164: &str) -> Option<u16> {
        let at = self.own.iter().position(|own| own.phone.e164() == e164)?;
        u16::try_from(at).ok()
    }

    /// The numbers that `call` may be made from, the best first, at most five: the one its last attempt came from, then
    /// those of the callee's area code, of the same state, the rest. Empty where the campaign names only numbers that
    /// are not in the pool: then it is not called at all.
    #[must_use]
    pub fn candidates(&self, call: &Call, campaign: Option<&Campaign>) -> Vec<u16> {
        let callee = &call.body.phone;
        let (area, region) = (callee.area_code(), self.rules.region(callee));
        let person = seed(call.phone_hash.as_str());
        let allowed = campaign.map_or(&[][..], |campaign| &campaign.caller_ids);
        // (how near, what the callee draws for it): the least comes first.
        let mut ranked: Vec<(u8, u64, u16)> = (0..)
            .zip(&self.own)
            .filter(|(_, own)| allowed.is_empty() || allowed.iter().any(|e164| e164 == own.phone.e164()))
            .map(|(index, own)| {
                let near = if call.body.caller.as_deref() == Some(own.phone.e164()) {
                    0
                } else if area.is_some() && own.phone.area_code() == area {
                    1
                } else if region.is_some() && own.region.as_deref() == region {
                    2
                } else {
                    3
                };
                (near, mix(person ^ own.seed), index)
            })
            .collect();
        if ranked.len() > MOST {
            ranked.select_nth_unstable(MOST);
            ranked.truncate(MOST);
        }
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, _, index)| index).collect()
    }
}

/// A keyed hash as a number. It holds hex digits, but whatever it is, it always gives the same.
fn seed(hash: &str) -> u64 {
    let mut seed: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in hash.bytes() {
        seed = (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(seed)
}

/// SplitMix64's finisher: every bit of the input moves every bit of the output. Written out, since it must stay the same
/// for ever, as no library's hasher promises.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::call::Body;
    use crate::domain::ids::{CallId, CampaignId, Shard};

    fn hash(e164: &str) -> PhoneHash {
        PhoneHash::of(b"a key for tests", e164)
    }

    fn pool(numbers: &[&str]) -> Callers {
        let numbers: Vec<Phone> = numbers.iter().map(|n| Phone::from_e164(n).expect("shape")).collect();
        let rules = Arc::new(Rules::builtin().clone());
        Callers::new(&numbers, CallerLimits { max_cps: 1.0, max_concurrent: 2, max_daily: 3 }, rules, hash)
    }

    fn call(e164: &str) -> Call {
        let phone = Phone::from_e164(e164).expect("shape");
        Call::new(CallId::new(Shard::of(e164)), hash(e164), None, Body::new(phone, 0))
    }

    fn chosen<'a>(pool: &'a Callers, call: &Call, campaign: Option<&Campaign>) -> Vec<&'a str> {
        pool.candidates(call, campaign).into_iter().map(|i| pool.number(i)).collect()
    }

    #[test]
    fn near_numbers_come_first_and_the_last_one_before_them() {
        // Alabama has 205 and 251; 305 is Florida, 44 another country.
        let pool = pool(&["+442079460001", "+13055550101", "+12515550102", "+12055550103", "+12055550104"]);
        let mut callee = call("+12055550177");
        let first = chosen(&pool, &callee, None);
        let mut own_area = first[..2].to_vec();
        own_area.sort_unstable();
        assert_eq!(own_area, ["+12055550103", "+12055550104"]);
        assert_eq!(first[2], "+12515550102", "{first:?}");
        assert_eq!(first.len(), 5);

        callee.body.caller = Some("+442079460001".into());
        let again = chosen(&pool, &callee, None);
        assert_eq!(again[0], "+442079460001");
        assert_eq!(again[1..], first.iter().copied().filter(|n| *n != "+442079460001").collect::<Vec<_>>());
        // One that has left the pool is nothing to hold on to.
        callee.body.caller = Some("+442079460009".into());
        assert_eq!(chosen(&pool, &callee, None), first);
    }

    #[test]
    fn a_campaign_calls_from_its_own_numbers_alone() {
        let pool = pool(&["+13055550101", "+12055550103", "+12515550102"]);
        let mut campaign = Campaign::new(CampaignId::random(), 0);
        let callee = call("+12055550177");
        assert_eq!(chosen(&pool, &callee, Some(&campaign)), chosen(&pool, &callee, None));
        campaign.caller_ids = vec!["+13055550101".into(), "+19995550000".into()];
        assert_eq!(chosen(&pool, &callee, Some(&campaign)), ["+13055550101"]);
        campaign.caller_ids = vec!["+19995550000".into()];
        assert!(pool.candidates(&callee, Some(&campaign)).is_empty(), "never from a number it did not name");
    }

    #[test]
    fn a_number_is_known_by_its_hash_and_found_again() {
        let numbers = ["+13055550101", "+12055550103"];
        let pool = pool(&numbers);
        for (i, number) in (0..).zip(numbers) {
            assert_eq!(pool.index_of(number), Some(i));
            assert_eq!(pool.number(i), number);
            let caller = &pool.table()[usize::from(i)];
            assert_eq!(caller.key, hash(number).as_str()[..KEY]);
            assert_eq!((caller.max_cps, caller.max_concurrent, caller.max_daily), (1.0, 2, 3));
        }
        assert_eq!((pool.index_of("+10000000000"), pool.number(9)), (None, ""));
        assert!(!format!("{pool:?}").contains("3055550101"));
    }

    fn toll_free(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("+1800555{i:04}")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn callees_spread_evenly(size in 2_usize..9, offset in 0_u32..9_000_000) {
            let numbers = toll_free(size);
            let pool = pool(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
            let each = 2_500;
            let mut first: HashMap<u16, usize> = HashMap::new();
            for n in 0..size * each {
                let callee = call(&format!("+4420{:08}", offset as usize + n));
                *first.entry(pool.candidates(&callee, None)[0]).or_default() += 1;
            }
            for (index, got) in first {
                prop_assert!(got.abs_diff(each) <= each / 10, "number {} has {} of {}", index, got, each);
            }
        }

        #[test]
        fn who_loses_no_number_keeps_it(size in 2_usize..40, gone in 0_usize..40, offset in 0_u32..9_000_000) {
            let gone = gone % size;
            let mut numbers = toll_free(size);
            let before = pool(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
            let lost = numbers.remove(gone);
            let after = pool(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
            for n in 0..200 {
                let callee = call(&format!("+4420{:08}", offset + n));
                let (old, new) = (chosen(&before, &callee, None), chosen(&after, &callee, None));
                let kept: Vec<&str> = old.iter().copied().filter(|n| *n != lost).collect();
                prop_assert_eq!(&new[..kept.len()], &kept[..]);
            }
        }
    }
}
