//! The Lua scripts, called by hash; a server that does not know one (after a failover the cache is empty) is sent it.

use std::fmt;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fred::prelude::*;
use fred::util::sha1_hash;

use crate::store::connect::{Store, StoreError};

/// One script: its source, its hash, how often it ran and how often Redis did not answer it.
pub(super) struct Script {
    pub(super) name: &'static str,
    source: &'static str,
    hash: LazyLock<String>,
    runs: AtomicU64,
    errors: AtomicU64,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $script:literal $(of [$($part:literal),+ $(,)?])?),* $(,)?) => {
        $( $(#[$doc])* pub(super) static $name: Script = Script {
            name: $script,
            source: scripts!(@source $script $($($part)+)?),
            hash: LazyLock::new(|| sha1_hash(scripts!(@source $script $($($part)+)?))),
            runs: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }; )*
        /// All of them, for the metrics.
        pub(super) static ALL: &[&Script] = &[$(&$name),*];
    };
    (@source $script:literal) => { include_str!(concat!("scripts/", $script, ".lua")) };
    // A long one is kept in parts, which see each other's locals.
    (@source $script:literal $($part:literal)+) => {
        concat!($(include_str!(concat!("scripts/", $part, ".lua")), "\n"),+)
    };
}

scripts! {
    SUBMIT = "submit",
    BIND = "bind",
    CLAIM = "claim",
    YIELD = "yield",
    HAND_BACK = "hand_back",
    DEFER = "defer",
    FENCE = "fence",
    START = "start",
    COMMIT = "commit",
    PERMIT = "permit" of [
        "permit_head",
        "permit_health",
        "permit_share",
        "permit_release",
        "permit_rate",
        "permit_grant",
        "permit_plan",
    ],
    TURN_BEGIN = "turn_begin",
    TURN_HOLD = "turn_hold",
    OUTBOX_CLAIM = "outbox_claim",
    OUTBOX_SETTLE = "outbox_settle",
    OUTBOX_REPLAY = "outbox_replay",
    OUTBOX_ERASE = "outbox_erase",
    SUPPRESS = "suppress",
    AUDIT_SEAL = "audit_seal",
    REPLACE_TRANSCRIPT = "replace_transcript",
    CAMPAIGN_PUT = "campaign_put",
    HASTEN = "hasten",
    UNLIST = "unlist",
    PREVIEW = "preview",
}

/// Run together with a WAIT, see `fence`.
pub(super) const CONFIRM: &str = include_str!("scripts/confirm.lua");
/// The same of calls that were handed in.
pub(super) const LANDED: &str = include_str!("scripts/landed.lua");

/// Arguments of a script, written one behind the other into one piece of memory: a list has many thousand of them, and
/// they may have to be sent again.
#[derive(Debug, Default)]
pub(super) struct Args {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Args {
    /// Room for so many arguments of about `each` bytes.
    pub(super) fn with_room(count: usize, each: usize) -> Self {
        Self { text: Vec::with_capacity(count * each), ends: Vec::with_capacity(count) }
    }

    /// Adds a text.
    pub(super) fn push(&mut self, text: &str) {
        self.push_with(|out| out.extend_from_slice(text.as_bytes()));
    }

    /// Adds what shows itself as text: a number, an id.
    pub(super) fn push_shown(&mut self, shown: impl fmt::Display) {
        // Writing to a Vec cannot fail.
        self.push_with(|out| drop(write!(out, "{shown}")));
    }

    /// Adds what `write` appends.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends.push(self.text.len());
    }

    fn packed(self) -> Packed {
        Packed { text: Bytes::from(self.text), ends: self.ends }
    }
}

impl From<Vec<String>> for Args {
    fn from(texts: Vec<String>) -> Self {
        let mut args = Self {
            text: Vec::with_capacity(texts.iter().map(String::len).sum()),
            ends: Vec::with_capacity(texts.len()),
        };
        for text in &texts {
            args.push(text);
        }
        args
    }
}

/// Arguments as they are sent: slices of one piece of memory.
struct Packed {
    text: Bytes,
    ends: Vec<usize>,
}

impl Packed {
    fn slices(&self) -> impl Iterator<Item = Bytes> {
        let mut from = 0;
        self.ends.iter().map(move |to| self.text.slice(std::mem::replace(&mut from, *to)..*to))
    }

    fn keys(&self) -> Vec<Key> {
        self.slices().map(Key::from).collect()
    }

    fn values(&self) -> Value {
        Value::Array(self.slices().map(Value::Bytes).collect())
    }
}

impl Script {
    /// Runs it.
    pub(super) async fn run(
        &self,
        store: &Store,
        keys: Vec<String>,
        args: impl Into<Args>,
    ) -> Result<Value, StoreError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let (client, keys, args) = (store.client(), Args::from(keys).packed(), args.into().packed());
        let mut answer = client.evalsha::<Value, _, _, _>(&*self.hash, keys.keys(), args.values()).await;
        if answer.as_ref().is_err_and(|error| error.details().starts_with("NOSCRIPT")) {
            answer = client.eval::<Value, _, _, _>(self.source, keys.keys(), args.values()).await;
        }
        if answer.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer?)
    }

    /// How often it failed in this process.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// How often it ran in this process.
    pub(super) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }
}

/// A script's answer that is text, where it stands; empty for anything else.
pub(super) fn word(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        Value::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        _ => "",
    }
}

/// Reads a script's answer as text; numbers come as text too.
pub(super) fn text(value: &Value) -> String {
    value.as_string().unwrap_or_default()
}

/// Reads a script's answer as a number.
pub(super) fn number(value: Option<&Value>) -> i64 {
    value.and_then(Value::as_i64).or_else(|| value.and_then(|v| v.as_string()?.parse().ok())).unwrap_or(0)
}
