//! Fuzz target of what Redis holds: another version may have written it, or an operator's hand.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::clock::Clock;
use crate::base::fuzz::choice;
use crate::domain::call::Call;
use crate::domain::campaign::Campaign;
use crate::domain::ids::{CallId, Shard};
use crate::domain::talk::{Act, Heard, Line, Turn};
use crate::store::campaign_events::StreamEvent;
use crate::store::capacity::{Gate, GateKind};
use crate::store::nodes::Node;
use crate::store::outbox::OutboxEntry;
use crate::store::stats::listed;
use crate::store::suppression::{ListCursor, Suppression};
use crate::store::{RedisConfig, Store};

/// A record of any kind is read or refused; one that is read is written as it would be read again.
pub(crate) fn records(data: &[u8]) {
    let (way, bytes) = choice(data);
    // As they come from Redis, whose texts are read as UTF-8.
    let text = String::from_utf8_lossy(bytes);
    match way % 10 {
        0..=3 => call(&text),
        4 => {
            if let Some(entry) = Suppression::decode(&text) {
                assert_eq!(Suppression::decode(&entry.encode()).as_ref(), Some(&entry));
                let _ = entry.forbids("+14155550100", None, 1);
            }
        }
        5 => again::<Campaign>(&text),
        6 => {
            again::<Vec<Act>>(&text);
            again::<Heard>(&text);
        }
        7 => {
            again::<Line>(&text);
            again::<Turn>(&text);
        }
        8 => {
            again::<OutboxEntry>(&text);
            again::<Node>(&text);
        }
        _ => {
            if let Some(cursor) = ListCursor::parse(&text) {
                assert_eq!(ListCursor::parse(&cursor.text()), Some(cursor));
            }
            let _ = Gate::parse(GateKind::Model, &text);
            let _ = StreamEvent::is_id(&text);
            for shard in [Shard(0), Shard(63)] {
                assert!(listed(shard, &text).iter().all(|id| text.contains(&id.as_str()[7..])));
            }
        }
    }
}

fn call(text: &str) {
    let id = CallId::derived(Shard(7), "a call");
    let Ok(call) = Call::decode(&id, text) else { return };
    let written = call.encode();
    let Ok(read) = Call::decode(&id, &written) else { panic!("{text:?} is written as {written:?}") };
    // A number that is no number (NaN) cannot come from JSON, so equality means equality.
    assert_eq!(read, call);
    assert_eq!(read.encode(), written);
    let _ = (call.expires_at(), call.waits_for(), call.adversarial_level(), call.lane());
}

fn again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &str) {
    let Ok(read) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&read).unwrap_or_else(|why| panic!("{read:?}: {why}"));
    let again: T = serde_json::from_str(&written).unwrap_or_else(|why| panic!("{written}: {why}"));
    assert_eq!(again, read);
}

/// A store that was never connected, for targets that need one and ask it nothing.
pub(crate) fn unconnected(clock: Clock) -> Store {
    let config = RedisConfig {
        url: "redis://127.0.0.1:1".into(),
        phone_hash_key: std::sync::Arc::new(secrecy::SecretBox::new(Box::new(b"a key for fuzzing".to_vec()))),
        default_webhook_url: None,
        frequency_cap: 3,
        allow_eviction: false,
        wait_replicas: 0,
    };
    Store::open(config, clock).unwrap_or_else(|why| unreachable!("{why}"))
}
