//! What objects are called. The date is that of the call's creation in UTC, as `yyyy/mm/dd`, so that every artefact of a
//! call is found by its id and that date alone.

use sha2::{Digest as _, Sha256};

use crate::base::clock::Millis;
use crate::domain::ids::{CallId, PhoneHash};

/// The call's recording, as fetched from the carrier.
#[must_use]
pub fn recording(created: Millis, call: &CallId) -> String {
    format!("calls/audio/{}/{call}/recording.wav", date(created))
}

/// The call's transcript.
#[must_use]
pub fn transcript(created: Millis, call: &CallId) -> String {
    format!("calls/transcripts/{}/{call}/transcript.json", date(created))
}

/// What the call gave, by its agent's definition: for the interview `folder` is `profiles`, `file` `worker_profile.json`.
#[must_use]
pub fn outcome(created: Millis, call: &CallId, folder: &str, file: &str) -> String {
    format!("calls/{folder}/{}/{call}/{file}", date(created))
}

/// The last word on a call's status, found by its id alone once Redis has forgotten the call.
#[must_use]
pub fn index(call: &CallId) -> String {
    format!("calls/index/{:02}/{call}.json", call.shard().0)
}

/// Says that a call was this person's, so that what is older than Redis remembers is found by the number's keyed hash.
#[must_use]
pub fn person(hash: &PhoneHash, call: &CallId) -> String {
    format!("{}{call}.json", of_person(hash))
}

/// What the keys of [`person`] begin with.
#[must_use]
pub fn of_person(hash: &PhoneHash) -> String {
    format!("calls/people/{hash}/")
}

/// The call that a key of [`person`] names.
#[must_use]
pub fn call_of_person(key: &str) -> Option<CallId> {
    CallId::parse(key.rsplit_once('/')?.1.strip_suffix(".json")?)
}

/// An entry of the audit trail: `at` is when the thing happened (not when it is written), `id` comes from [`audit_id`].
#[must_use]
pub fn audit(at: Millis, id: &str) -> String {
    let time = time(at);
    format!("audit/{}/audit_{}_{id}.json", time.strftime("%Y/%m/%d"), time.strftime("%Y%m%dT%H%M%S%3fZ"))
}

/// The id of an audit entry: 16 hex digits, always the same for the `n`th entry of a `kind` about a call.
#[must_use]
pub fn audit_id(call: &CallId, kind: &str, n: u32) -> String {
    hex::encode(&Sha256::digest(format!("{call}:{kind}:{n}").as_bytes())[..8])
}

/// A sealed segment of evidence: which chain (`s07`), its number in it, and the first 16 hex digits of its bytes' SHA-256,
/// so that a changed object no longer fits its name.
#[must_use]
pub fn segment(made_at: Millis, chain: &str, seq: u64, sha256: &str) -> String {
    audit(made_at, &format!("{chain}-{seq:08}-{}", sha256.get(..16).unwrap_or(sha256)))
}

/// What a segment's key says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentName {
    /// The chain, such as `s07`.
    pub chain: String,
    /// Its number in the chain, from 1.
    pub seq: u64,
    /// The first 16 hex digits of its bytes' SHA-256.
    pub short: String,
}

/// Reads a segment's key; `None` for the key of anything else in the audit trail.
#[must_use]
pub fn read_segment(key: &str) -> Option<SegmentName> {
    let (_, id) =
        key.strip_prefix(AUDIT_PREFIX)?.rsplit_once("/audit_")?.1.strip_suffix(".json")?.split_once('_')?;
    let mut parts = id.split('-');
    let (chain, seq, short) = (parts.next()?, parts.next()?, parts.next()?);
    let shard = chain.strip_prefix('s')?;
    let shaped = parts.next().is_none()
        && shard.len() == 2
        && shard.bytes().all(|b| b.is_ascii_digit())
        && seq.len() >= 8
        && short.len() == 16
        && short.bytes().all(|b| b.is_ascii_hexdigit());
    let seq = seq.parse().ok()?;
    shaped.then(|| SegmentName { chain: chain.to_owned(), seq, short: short.to_owned() })
}

/// What every key of the audit trail begins with.
pub const AUDIT_PREFIX: &str = "audit/";

/// What the keys of the audit trail of a day, and of all days after it, are not less than.
#[must_use]
pub fn audit_day(at: Millis) -> String {
    format!("{AUDIT_PREFIX}{}", date(at))
}

fn date(at: Millis) -> String {
    time(at).strftime("%Y/%m/%d").to_string()
}

fn time(at: Millis) -> jiff::Timestamp {
    i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_function_of_the_call() {
        let call = CallId::parse("call_070000000000000000000007").expect("an id");
        let at = 1_705_314_600_123; // 2024-01-15T10:30:00.123Z
        assert_eq!(recording(at, &call), format!("calls/audio/2024/01/15/{call}/recording.wav"));
        assert_eq!(transcript(at, &call), format!("calls/transcripts/2024/01/15/{call}/transcript.json"));
        assert_eq!(
            outcome(at, &call, "profiles", "worker_profile.json"),
            format!("calls/profiles/2024/01/15/{call}/worker_profile.json")
        );
        assert_eq!(index(&call), format!("calls/index/07/{call}.json"));
        let hash = PhoneHash("a1b2c3d4".into());
        assert_eq!(person(&hash, &call), format!("calls/people/a1b2c3d4/{call}.json"));
        assert!(person(&hash, &call).starts_with(&of_person(&hash)));
        assert_eq!(call_of_person(&person(&hash, &call)), Some(call.clone()));
        let id = audit_id(&call, "attempt", 1);
        assert_eq!(audit(at, &id), format!("audit/2024/01/15/audit_20240115T103000123Z_{id}.json"));
        assert_eq!(id, audit_id(&call, "attempt", 1));
        assert_ne!(id, audit_id(&call, "attempt", 2));
    }

    #[test]
    fn a_segment_is_known_by_its_name() {
        let at = 1_705_314_600_123;
        let sha = "0123456789abcdef0123456789abcdef";
        let key = segment(at, "s07", 12, sha);
        assert_eq!(key, "audit/2024/01/15/audit_20240115T103000123Z_s07-00000012-0123456789abcdef.json");
        let name = SegmentName { chain: "s07".into(), seq: 12, short: "0123456789abcdef".into() };
        assert_eq!(read_segment(&key), Some(name));
        assert!(key > audit_day(at) && key < audit_day(at + 86_400_000));
        let call = CallId::parse("call_070000000000000000000007").expect("an id");
        for other in [
            audit(at, &audit_id(&call, "call_concluded", 0)),
            key.replace("s07", "x07"),
            key.replace("-0123456789abcdef", ""),
            key.replace(".json", ""),
            format!("calls/{key}"),
        ] {
            assert_eq!(read_segment(&other), None, "{other}");
        }
    }

    #[test]
    fn a_day_ends_at_midnight_utc_and_no_time_is_too_far() {
        assert_eq!(date(1_705_363_199_999), "2024/01/15");
        assert_eq!(date(1_705_363_200_000), "2024/01/16");
        assert_eq!(date(Millis::MAX), "9999/12/30");
    }
}
