//! Identities: call, campaign and event ids, the shard a person lives in, and the keyed hash a number is known by.

use std::fmt;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many shards the keyspace has. Written into Redis at first start; a node that disagrees refuses to start.
pub const SHARDS: u16 = 64;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A 128-bit number as 22 base-62 digits, most significant first.
fn base62(mut n: u128) -> String {
    // Ten digits at a time: what is left of them divides in one instruction each.
    const TEN: u128 = 62_u128.pow(10);
    let mut out = [b'0'; 22];
    for ten in out.rchunks_mut(10) {
        let mut part = (n % TEN) as u64;
        n /= TEN;
        for slot in ten.iter_mut().rev() {
            *slot = DIGITS[(part % 62) as usize];
            part /= 62;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where a person's keys live: a function of the number alone, the same on every node and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of a number in E.164. FNV-1a, since it must never change under us as a library's hash could.
    #[must_use]
    pub fn of(e164: &str) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in e164.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(u16::try_from((hash ^ (hash >> 32)) % u64::from(SHARDS)).unwrap_or(0))
    }

    /// Every shard, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

/// A call's id: `call_`, two digits of shard, 22 base-62 digits. It carries its shard, so that an id alone finds its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(String);

impl CallId {
    /// A new id, ordered by time within its shard.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self::from_parts(shard, Uuid::now_v7().as_u128())
    }

    /// The id that `seed` always gives in `shard`: for rows of a campaign and for children of a call, so that a
    /// repeated request makes no second call.
    #[must_use]
    pub fn derived(shard: Shard, seed: &str) -> Self {
        let hash = Sha256::digest(seed.as_bytes());
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self::from_parts(shard, u128::from_be_bytes(bytes))
    }

    fn from_parts(shard: Shard, n: u128) -> Self {
        Self(format!("call_{:02}{}", shard.0, base62(n)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shard it carries.
    #[must_use]
    pub fn shard(&self) -> Shard {
        Shard(self.0[5..7].parse().unwrap_or(0))
    }

    /// Reads an id; `None` for anything that is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("call_")?;
        let well_formed = rest.len() == 24
            && rest.bytes().all(|b| b.is_ascii_alphanumeric())
            && rest[..2].parse::<u16>().is_ok_and(|s| s < SHARDS);
        well_formed.then(|| Self(text.to_owned()))
    }
}

impl TryFrom<String> for CallId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a call id"))
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> Self {
        id.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A campaign's id: `cmp_` and 22 base-62 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CampaignId(String);

impl CampaignId {
    /// A new id.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("cmp_{}", base62(Uuid::now_v7().as_u128())))
    }

    /// The id that `seed` always gives: for a list posted with an idempotency key.
    #[must_use]
    pub fn derived(seed: &str) -> Self {
        let hash = Sha256::digest(seed.as_bytes());
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self(format!("cmp_{}", base62(u128::from_be_bytes(bytes))))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an id; `None` for anything that is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("cmp_")?;
        (rest.len() == 22 && rest.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| Self(text.to_owned()))
    }
}

impl TryFrom<String> for CampaignId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a campaign id"))
    }
}

impl From<CampaignId> for String {
    fn from(id: CampaignId) -> Self {
        id.0
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a number is called in keys, logs and metrics: 24 hex digits of HMAC-SHA256 under `PHONE_HASH_KEY`.
/// Keyed, because the plain hash of a telephone number is found by trying them all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneHash(pub String);

impl PhoneHash {
    /// The hash of a number in E.164 under `key`.
    #[must_use]
    pub fn of(key: &[u8], e164: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(key)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(e164.as_bytes());
        Self(hex::encode(&mac.finalize().into_bytes()[..12]))
    }

    /// The hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhoneHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_shard() {
        for shard in Shard::all() {
            let id = CallId::new(shard);
            assert_eq!(id.shard(), shard);
            assert_eq!(CallId::parse(id.as_str()), Some(id));
        }
    }

    #[test]
    fn a_derived_id_is_the_same_each_time() {
        let shard = Shard::of("+14155550100");
        assert_eq!(CallId::derived(shard, "a:b"), CallId::derived(shard, "a:b"));
        assert_ne!(CallId::derived(shard, "a:b"), CallId::derived(shard, "a:c"));
    }

    #[test]
    fn base_62_counts_in_its_digits() {
        assert_eq!(base62(0), "0000000000000000000000");
        assert_eq!(base62(61), "000000000000000000000z");
        assert_eq!(base62(62), "0000000000000000000010");
        // All of them, worked out digit by digit.
        for n in [62_u128.pow(10) - 1, 62_u128.pow(10), 62_u128.pow(20) + 62, u128::MAX, u128::MAX / 3] {
            let (mut left, mut slow) = (n, [b'0'; 22]);
            for slot in slow.iter_mut().rev() {
                *slot = DIGITS[(left % 62) as usize];
                left /= 62;
            }
            assert_eq!(base62(n).as_bytes(), slow);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "call_",
            "call_99aaaaaaaaaaaaaaaaaaaaaa",
            "call_07short",
            "cmp_0000000000000000000000",
            "call_07aaaaaaaaaaaaaaaaaaaa:é",
        ] {
            assert_eq!(CallId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn shards_fill_evenly() {
        let mut counts = [0_u32; SHARDS as usize];
        for n in 0..64_000 {
            counts[usize::from(Shard::of(&format!("+1415{n:07}")).0)] += 1;
        }
        assert!(counts.iter().all(|c| (800..1200).contains(c)), "{counts:?}");
    }
}
