//! Where Redis is, and the key that phone numbers are hashed under.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{SecretBox, SecretString};
use url::Url;

use super::Environment;
use super::reader::{Reader, flag, whole};

/// The most connections that the store opens (`?max_connections=`).
const MOST_CONNECTIONS: usize = 64;

/// Redis.
#[derive(Clone, Debug)]
pub struct RedisSection {
    /// `REDIS_URL`, which often holds a password.
    pub url: SecretString,
    /// `PHONE_HASH_KEY`: the bytes of the text as it stands, whatever it encodes, so that every release hashes alike.
    pub phone_hash_key: Arc<SecretBox<Vec<u8>>>,
    /// `REDIS_WAIT_REPLICAS`.
    pub wait_replicas: u32,
    /// `REDIS_ALLOW_EVICTION`.
    pub allow_eviction: bool,
}

impl RedisSection {
    pub(super) fn read(
        from: &mut Reader<'_>,
        environment: Option<Environment>,
        real_carrier: bool,
    ) -> Option<Self> {
        let url = from.read_quiet("REDIS_URL", |text| redis_url(text).map(|()| SecretString::from(text)));
        // A guessable key is no key where real people's numbers are hashed under it.
        let weak = from.set("PHONE_HASH_KEY").and_then(|text| hash_key(&text).err());
        if let (Some(why), false) = (&weak, real_carrier) {
            from.warn("PHONE_HASH_KEY", format!("is good for a rehearsal alone; expected {why}"));
        }
        let phone_hash_key = from.read_quiet("PHONE_HASH_KEY", |text| match weak {
            Some(why) if real_carrier => Err(why),
            _ => Ok(Arc::new(SecretBox::new(Box::new(text.as_bytes().to_vec())))),
        });
        let allow_eviction = from.read("REDIS_ALLOW_EVICTION", flag);
        if allow_eviction == Some(true) && environment == Some(Environment::Production) {
            from.warn("REDIS_ALLOW_EVICTION", "is true in production: a full Redis will lose queued calls");
        }
        let wait_replicas = from.read("REDIS_WAIT_REPLICAS", whole(0, 5));
        Some(Self {
            wait_replicas: wait_replicas?,
            url: url?,
            phone_hash_key: phone_hash_key?,
            allow_eviction: allow_eviction?,
        })
    }
}

fn redis_url(text: &str) -> Result<(), String> {
    const SCHEMES: [&str; 6] =
        ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];
    let url = Url::parse(text)
        .ok()
        .filter(|url| SCHEMES.contains(&url.scheme()) && url.host_str().is_some_and(|h| !h.is_empty()))
        .ok_or("a URL with a host that begins with redis://, redis-sentinel:// or redis-cluster:// (rediss… with TLS)")?;
    let parameter = |name: &str| url.query_pairs().find(|(k, _)| k == name).map(|(_, v)| v.into_owned());
    if url.scheme().ends_with("-sentinel") && parameter("sentinelServiceName").is_none_or(|v| v.is_empty()) {
        return Err("?sentinelServiceName= in a redis-sentinel:// URL".to_owned());
    }
    if let Some(n) = parameter("max_connections")
        && !n.parse::<usize>().is_ok_and(|n| (1..=MOST_CONNECTIONS).contains(&n))
    {
        return Err(format!("max_connections from 1 to {MOST_CONNECTIONS}"));
    }
    const KNOWN: [&str; 5] =
        ["max_connections", "node", "sentinelServiceName", "sentinelUsername", "sentinelPassword"];
    if url.query_pairs().any(|(name, _)| !KNOWN.contains(&name.as_ref())) {
        return Err(format!("no other parameters than {}", KNOWN.join(", ")));
    }
    Ok(())
}

/// Judges strength alone. A telephone number has so few digits that a guessable key would be no key.
fn hash_key(text: &str) -> Result<(), String> {
    let bare = text.trim_end_matches('=');
    let decoded = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare));
    if text.chars().count() < 32 && decoded.map_or(0, |bytes| bytes.len()) < 16 {
        return Err("at least 32 characters, or base64 of at least 16 bytes".to_owned());
    }
    if text.chars().collect::<HashSet<_>>().len() < 8 {
        return Err("a random key, not one of so few different characters".to_owned());
    }
    Ok(())
}
