//! What downstream systems are told: one event, its id a function of what it tells, so that telling it again is
//! telling the same thing (O2).

use serde_json::{Map, Value, json};

use crate::base::clock::{Millis, rfc3339};
use crate::domain::call::Call;
use crate::domain::ids::{CallId, CampaignId};

/// The event types this program sends beside an agent's own outcome event. Each is documented in `docs/webhooks.md`.
pub const KINDS: [&str; 5] =
    ["call_completed", "call_failed", "opt_out", "human_requested", "artefact_added"];

/// One event for downstream. Where it goes is decided at the commit: the call's URL, its campaign's, the default.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// `evt_…`, the same for the same (call, kind, n).
    pub id: String,
    /// The event's type.
    pub kind: String,
    /// The JSON that is sent.
    pub body: Value,
}

impl Notice {
    /// The id of the `n`-th event `kind` of a call.
    #[must_use]
    pub fn id_of(call: &CallId, kind: &str, n: u32) -> String {
        let seed = format!("{call}:{kind}:{n}");
        CampaignId::derived(&seed).as_str().replacen("cmp_", "evt_", 1)
    }

    /// The event `kind`, the `n`-th of its kind in this call.
    #[must_use]
    pub fn of(call: &Call, kind: &str, n: u32, more: &[(&str, Value)], now: Millis) -> Self {
        let id = Self::id_of(&call.id, kind, n);
        let mut body = Map::new();
        body.insert("event_type".into(), json!(kind));
        body.insert("event_id".into(), json!(id));
        body.insert("timestamp".into(), json!(rfc3339(now)));
        body.insert("call_id".into(), json!(call.id));
        body.insert("phone_hash".into(), json!(call.phone_hash));
        if let Some(campaign) = &call.campaign {
            body.insert("campaign_id".into(), json!(campaign));
        }
        body.insert("attempt".into(), json!(call.body.attempt));
        if let Some(ending) = call.ending() {
            body.insert("disposition".into(), json!(ending.disposition));
            body.insert("result".into(), json!(ending.result));
            body.insert("reason".into(), json!(ending.reason));
            if let Some(code) = &ending.provider_code {
                body.insert("provider_code".into(), json!(code));
            }
        }
        if let Some(duration) = call.body.duration_s {
            body.insert("duration_seconds".into(), json!(duration));
        }
        if let Some(metadata) = &call.body.metadata {
            body.insert("metadata".into(), metadata.clone());
        }
        for (name, value) in more {
            body.insert((*name).to_owned(), value.clone());
        }
        Self { id, kind: kind.to_owned(), body: Value::Object(body) }
    }
}
