//! What stands in the cluster, read from the primaries themselves and past every proxy.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use serde_json::Value as Json;

use crate::support::fleet::now_ms;
use crate::support::{RawRedis, Value};

/// Records read by one command.
const AT_ONCE: usize = 200;
/// What is due later than this is a callback that somebody asked for, and nobody's unfinished work.
const SCHEDULED_AFTER_MS: u64 = 60_000;

/// A call's record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: String,
    /// The state's letter.
    pub(super) letter: char,
    /// When it is due, Unix ms; 0 = never, or waiting for its turn.
    pub(super) due: u64,
    pub(super) body: Json,
}

impl Record {
    fn read(id: &str, text: &str) -> Option<Self> {
        let (head, body) = text.split_once('\n')?;
        Some(Self {
            id: id.to_owned(),
            letter: head.chars().nth(24)?,
            due: head.get(25..38)?.parse().ok()?,
            body: serde_json::from_str(body).ok()?,
        })
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    pub(super) fn ended_as(&self) -> &str {
        self.body["s"]["ending"]["disposition"].as_str().unwrap_or("?")
    }

    pub(super) fn attempt(&self) -> u64 {
        self.body["n"].as_u64().unwrap_or(1)
    }

    /// When its newest attempt was dialed, ms; of a call that was.
    pub(super) fn dialed_at(&self) -> u64 {
        self.body["d"].as_u64().expect("a call that was dialed says when")
    }

    /// A call that another one asked for.
    pub(super) fn is_child(&self) -> bool {
        self.body.get("parent").is_some()
    }

    /// Is what the carrier recorded still to be stored or deleted? Failures space the tries to some minutes.
    pub(super) fn fetches_recording(&self) -> bool {
        let strays = self.body["stray_recordings"].as_array().is_some_and(|all| !all.is_empty());
        self.due > 0 && (strays || matches!(self.body["r"]["status"].as_str(), Some("ready" | "running")))
    }

    /// Open, and due only when somebody wanted to be called.
    pub(super) fn is_scheduled(&self) -> bool {
        self.letter == 'Q' && self.due > now_ms() + SCHEDULED_AFTER_MS
    }
}

/// The present primaries.
pub(super) struct Look(Vec<RawRedis>);

impl Look {
    /// Of these nodes, those that answer and are primaries.
    pub(super) async fn at(nodes: &[SocketAddr]) -> Self {
        let mut primaries = Vec::new();
        for node in nodes {
            let Ok(mut client) = RawRedis::connect(*node).await else { continue };
            if let Ok(Value::List(role)) = client.try_cmd(&["ROLE"]).await
                && role.first().and_then(Value::text).as_deref() == Some("master")
            {
                primaries.push(client);
            }
        }
        Self(primaries)
    }

    /// A command on the node that has its key; `None` where none has.
    async fn cmd(&mut self, args: &[&str]) -> Option<Value> {
        for client in &mut self.0 {
            match client.try_cmd(args).await {
                Ok(Value::Error(_)) | Err(_) => {}
                Ok(value) => return Some(value),
            }
        }
        None
    }

    /// Rows of results of a campaign.
    pub(super) async fn results(&mut self, campaign: &str) -> usize {
        let mut sum = 0;
        for shard in 0..64 {
            let rows = self.cmd(&["LLEN", &format!("RESULTS:{{s{shard:02}}}:{campaign}")]).await;
            sum += rows.map_or(0, |rows| usize::try_from(rows.int()).unwrap_or(0));
        }
        sum
    }

    async fn keys(&mut self, pattern: &str) -> Vec<String> {
        let mut all = Vec::new();
        for client in &mut self.0 {
            all.extend(client.keys(pattern).await);
        }
        all
    }

    /// Every record.
    pub(super) async fn records(&mut self) -> Vec<Record> {
        let mut by_slot: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in self.keys("CALL_SESSION:*").await {
            let slot = key.split(':').nth(1).unwrap_or_default().to_owned();
            by_slot.entry(slot).or_default().push(key);
        }
        let mut records = Vec::new();
        for keys in by_slot.values() {
            for some in keys.chunks(AT_ONCE) {
                let mut command = vec!["MGET"];
                command.extend(some.iter().map(String::as_str));
                let Some(Value::List(found)) = self.cmd(&command).await else { continue };
                for (key, text) in some.iter().zip(found) {
                    let id = key.rsplit(':').next().unwrap_or_default();
                    records.extend(text.text().and_then(|text| Record::read(id, &text)));
                }
            }
        }
        records
    }

    /// What stands in queues and holds slots: (work that is due or ready, callbacks that were asked for, slots held,
    /// webhooks pending, webhooks parked).
    pub(super) async fn left(&mut self) -> Left {
        let mut left = Left::default();
        let soon = (now_ms() + SCHEDULED_AFTER_MS).to_string();
        for key in self.keys("DUE:*").await {
            let count = self.cmd(&["ZCOUNT", &key, "-inf", &soon]).await.map_or(0, |n| n.int());
            left.due += count;
            for id in self.cmd(&["ZRANGE", &key, "0", "-1"]).await.map(|ids| ids.texts()).unwrap_or_default()
            {
                *left.entries.entry(id).or_default() += 1;
            }
        }
        for key in self.keys("READY:*").await {
            let ids = self.cmd(&["LRANGE", &key, "0", "-1"]).await.map(|ids| ids.texts()).unwrap_or_default();
            left.ready += ids.len();
            for id in ids {
                *left.entries.entry(id).or_default() += 1;
            }
        }
        for key in self.keys("OUTBOX_COUNT:*").await {
            let counts = self.cmd(&["HGETALL", &key]).await.map(|counts| counts.map()).unwrap_or_default();
            left.pending += counts.get("pending").and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
        }
        for key in self.keys("OUTBOX_DEAD:*").await {
            left.parked.extend(
                self.cmd(&["ZRANGE", &key, "0", "-1"]).await.map(|ids| ids.texts()).unwrap_or_default(),
            );
        }
        let slots = self.cmd(&["HKEYS", "CAPACITY_SLOTS:{cap}"]).await;
        left.slots = slots.map(|slots| slots.texts()).unwrap_or_default();
        left.unsealed = self.keys("AUDIT:*").await.len();
        left
    }

    /// Calls of parked events, by event.
    pub(super) async fn calls_of(&mut self, events: &[String]) -> HashMap<String, String> {
        let mut found = HashMap::new();
        for key in self.keys("OUTBOX:*").await {
            let event = key.rsplit(':').next().unwrap_or_default().to_owned();
            if !events.contains(&event) {
                continue;
            }
            let entry = self.cmd(&["GET", &key]).await.and_then(|entry| entry.text()).unwrap_or_default();
            let entry: Json = serde_json::from_str(&entry).unwrap_or_default();
            let last = matches!(entry["kind"].as_str(), Some("call_completed" | "call_failed"));
            if let (true, Some(call)) = (last, entry["call_id"].as_str()) {
                found.insert(call.to_owned(), event);
            }
        }
        found
    }
}

/// What is not done yet.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Entries due within a minute.
    pub(super) due: i64,
    /// Calls in lanes.
    pub(super) ready: usize,
    /// Webhooks that wait.
    pub(super) pending: i64,
    /// Slots held, by call.
    pub(super) slots: Vec<String>,
    /// Lists of evidence that are not sealed.
    pub(super) unsealed: usize,
    /// Events that are dead letters.
    pub(super) parked: Vec<String>,
    /// Entries of each call in all queues.
    pub(super) entries: HashMap<String, u32>,
}

impl Left {
    /// Is all done?
    pub(super) fn nothing(&self) -> bool {
        self.due == 0 && self.ready == 0 && self.pending == 0 && self.slots.is_empty() && self.unsealed == 0
    }
}
