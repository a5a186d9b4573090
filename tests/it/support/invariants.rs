//! What must be true of a Redis whatever happened: read from the keys alone, without the store's own code.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::Backend;

/// Where the state's letter stands in a record.
const LETTER: usize = 24;

/// Q1 (every open call stands in DUE or one lane exactly once), K2 (ended calls hold no slot), and that the index of
/// persons holds open calls alone. Answers what is wrong, in words. Ask when nobody writes.
pub(crate) async fn check(redis: &Backend) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut letters = BTreeMap::new();
    for key in redis.keys("CALL_SESSION:*").await {
        let record = redis.cmd(&["GET", &key]).await.text().unwrap_or_default();
        let id = key.rsplit(':').next().unwrap_or_default().to_owned();
        letters.insert(id, record.as_bytes().get(LETTER).copied().unwrap_or(b'?'));
    }
    let mut entries = BTreeMap::<String, usize>::new();
    for key in redis.keys("DUE:*").await {
        for id in redis.cmd(&["ZRANGE", &key, "0", "-1"]).await.texts() {
            *entries.entry(id).or_default() += 1;
        }
    }
    for key in redis.keys("READY:*").await {
        for id in redis.cmd(&["LRANGE", &key, "0", "-1"]).await.texts() {
            *entries.entry(id).or_default() += 1;
        }
    }
    for (id, letter) in &letters {
        let (want, got) = (usize::from(*letter != b'E'), entries.get(id).copied().unwrap_or(0));
        if want != got {
            wrong.push(format!("Q1: {id} in state {} has {got} entries", char::from(*letter)));
        }
    }
    let slots: BTreeSet<String> =
        redis.cmd(&["HKEYS", "CAPACITY_SLOTS:{cap}"]).await.texts().into_iter().collect();
    for id in slots {
        if !matches!(letters.get(&id), Some(b'Q' | b'D' | b'U' | b'R' | b'P')) {
            wrong.push(format!("K2: {id} holds a slot"));
        }
    }
    for key in redis.keys("PHONE:*").await {
        let shard: String = key.chars().filter(char::is_ascii_digit).take(2).collect();
        for tokens in redis.cmd(&["HVALS", &key]).await.texts() {
            for token in tokens.split_whitespace() {
                let id = format!("call_{shard}{}", token.trim_start_matches('*'));
                let letter = letters.get(&id).copied().unwrap_or(b'?');
                let leg = matches!(letter, b'D' | b'U' | b'R' | b'P');
                if matches!(letter, b'E' | b'?') || token.starts_with('*') != leg {
                    wrong.push(format!("PHONE: {token} of a call in state {}", char::from(letter)));
                }
            }
        }
    }
    wrong
}
