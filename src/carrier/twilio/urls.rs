//! Every URL that we give Twilio, and how it is read when Twilio asks for it.
//!
//! `BASE_URL/api/calls/webhook/{call_id}[/status|/recording|/amd]?attempt=…`. Call id and attempt stand in each, so that a
//! call whose creation was never answered identifies itself. The fragment is Twilio's connection overrides: it never
//! reaches us and takes no part in the signature.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::domain::ids::CallId;

/// Two retries, whatever went wrong; 2 s to connect, 5 s to answer: a turn is answered within 4 s, if only by a bridge
/// line, so who is silent longer is gone, and another node may be reached inside Twilio's 15 s.
const OVERRIDES: &str = "#rc=2&rp=all&ct=2000&rt=5000";

/// Why Twilio asks for a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The call was answered, or something was heard.
    #[default]
    Heard,
    /// Nothing was heard: the redirect behind a gather.
    Silence,
    /// A bridge line was spoken; the turn is asked for again.
    Bridge,
    /// A transfer ended.
    Transfer,
    /// Another URL of ours failed; the open turn is wanted.
    Fallback,
    /// We sent the call here ourselves, by REST (a machine was detected).
    Machine,
}

impl Via {
    fn as_str(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Silence => "silence",
            Self::Bridge => "bridge",
            Self::Transfer => "transfer",
            Self::Fallback => "fallback",
            Self::Machine => "machine",
        }
    }
}

/// Which leg a status callback speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// The callee's.
    #[default]
    Callee,
    /// The person a call is transferred to.
    Transfer,
}

/// The query of a URL of ours, read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookQuery {
    /// The attempt, from 1.
    pub attempt: u32,
    /// The turn asked for; 0 is the greeting.
    #[serde(default)]
    pub turn: u32,
    /// How many bridge lines were spoken in this turn.
    #[serde(default)]
    pub bridge: u32,
    /// Why it is asked for.
    #[serde(default)]
    pub via: Via,
    /// Which leg a status speaks of.
    #[serde(default)]
    pub leg: Leg,
}

impl WebhookQuery {
    /// Reads a query string; `None` where it is not one of ours (no attempt, or a value that is none). Parameters that
    /// are not ours (`bodySHA256`) are passed over.
    #[must_use]
    pub fn parse(query: Option<&str>) -> Option<Self> {
        serde_urlencoded::from_str(query.unwrap_or_default()).ok()
    }
}

/// Builds the URLs of one public base.
#[derive(Clone, Debug)]
pub struct Urls {
    base: String,
}

impl Urls {
    /// `base` is `BASE_URL`: http or https, with or without a path, without query and fragment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(base: &str) -> Result<Self, String> {
        let url = url::Url::parse(base).map_err(|e| format!("not a URL: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err("neither http nor https".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a base URL has neither query nor fragment".to_owned());
        }
        Ok(Self { base: base.trim_end_matches('/').to_owned() })
    }

    /// Asked for when the call is answered: the greeting.
    #[must_use]
    pub fn answer(&self, call: &CallId, attempt: u32) -> String {
        self.turn(call, attempt, 0)
    }

    /// Asked for where another URL of ours failed: repeats the open turn, whichever that is by then.
    #[must_use]
    pub fn fallback(&self, call: &CallId, attempt: u32) -> String {
        self.build(call, "", attempt, &[("via", Via::Fallback.as_str())])
    }

    /// Where what was heard is posted as turn `turn`.
    #[must_use]
    pub fn turn(&self, call: &CallId, attempt: u32, turn: u32) -> String {
        self.build(call, "", attempt, &[("turn", &turn.to_string())])
    }

    /// Where turn `turn` goes when nothing was heard.
    #[must_use]
    pub fn silence(&self, call: &CallId, attempt: u32, turn: u32) -> String {
        self.turn_via(call, attempt, turn, Via::Silence)
    }

    /// Asks for turn `turn` again after its `bridge`-th bridge line (from 1).
    #[must_use]
    pub fn bridge(&self, call: &CallId, attempt: u32, turn: u32, bridge: u32) -> String {
        let (turn, bridge) = (turn.to_string(), bridge.to_string());
        self.build(call, "", attempt, &[("turn", &turn), ("bridge", &bridge), ("via", Via::Bridge.as_str())])
    }

    /// Asked for as turn `turn` when a transfer has ended.
    #[must_use]
    pub fn transfer_ended(&self, call: &CallId, attempt: u32, turn: u32) -> String {
        self.turn_via(call, attempt, turn, Via::Transfer)
    }

    /// Where a live call is sent as turn `turn` once a machine was detected.
    #[must_use]
    pub fn machine(&self, call: &CallId, attempt: u32, turn: u32) -> String {
        self.turn_via(call, attempt, turn, Via::Machine)
    }

    /// Status callbacks of the callee's leg.
    #[must_use]
    pub fn status(&self, call: &CallId, attempt: u32) -> String {
        self.build(call, "/status", attempt, &[])
    }

    /// Status callbacks of the leg that a transfer dials.
    #[must_use]
    pub fn transfer_status(&self, call: &CallId, attempt: u32) -> String {
        self.build(call, "/status", attempt, &[("leg", "transfer")])
    }

    /// Recording callbacks.
    #[must_use]
    pub fn recording(&self, call: &CallId, attempt: u32) -> String {
        self.build(call, "/recording", attempt, &[])
    }

    /// The result of detecting machines.
    #[must_use]
    pub fn amd(&self, call: &CallId, attempt: u32) -> String {
        self.build(call, "/amd", attempt, &[])
    }

    /// The public URL of a request that reached us as `path_and_query`, as Twilio signed it.
    #[must_use]
    pub fn public(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    fn turn_via(&self, call: &CallId, attempt: u32, turn: u32, via: Via) -> String {
        self.build(call, "", attempt, &[("turn", &turn.to_string()), ("via", via.as_str())])
    }

    fn build(&self, call: &CallId, tail: &str, attempt: u32, more: &[(&str, &str)]) -> String {
        let mut url = format!("{}/api/calls/webhook/{call}{tail}?", self.base);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("attempt", &attempt.to_string())
            .extend_pairs(more)
            .finish();
        let _ = write!(url, "{query}{OVERRIDES}");
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query_of(url: &str) -> WebhookQuery {
        let (before, _) = url.split_once('#').expect("overrides");
        WebhookQuery::parse(before.split_once('?').map(|(_, q)| q)).expect("ours")
    }

    #[test]
    fn what_is_built_is_read_back() {
        let urls = Urls::new("https://calls.example.com/").expect("base");
        let call = CallId::parse("call_07AAAAAAAAAAAAAAAAAAAAAA").expect("id");
        let plain = WebhookQuery { attempt: 2, turn: 0, bridge: 0, via: Via::Heard, leg: Leg::Callee };
        assert_eq!(
            urls.turn(&call, 2, 5),
            "https://calls.example.com/api/calls/webhook/call_07AAAAAAAAAAAAAAAAAAAAAA?attempt=2&turn=5#rc=2&rp=all&ct=2000&rt=5000"
        );
        for (url, want) in [
            (urls.answer(&call, 2), plain.clone()),
            (urls.turn(&call, 2, 5), WebhookQuery { turn: 5, ..plain.clone() }),
            (urls.silence(&call, 2, 5), WebhookQuery { turn: 5, via: Via::Silence, ..plain.clone() }),
            (
                urls.bridge(&call, 2, 5, 1),
                WebhookQuery { turn: 5, bridge: 1, via: Via::Bridge, ..plain.clone() },
            ),
            (urls.transfer_ended(&call, 2, 5), WebhookQuery { turn: 5, via: Via::Transfer, ..plain.clone() }),
            (urls.machine(&call, 2, 5), WebhookQuery { turn: 5, via: Via::Machine, ..plain.clone() }),
            (urls.fallback(&call, 2), WebhookQuery { via: Via::Fallback, ..plain.clone() }),
            (urls.status(&call, 2), plain.clone()),
            (urls.transfer_status(&call, 2), WebhookQuery { leg: Leg::Transfer, ..plain.clone() }),
            (urls.recording(&call, 2), plain.clone()),
            (urls.amd(&call, 2), plain.clone()),
        ] {
            assert_eq!(query_of(&url), want, "{url}");
            assert!(url.starts_with("https://calls.example.com/api/calls/webhook/call_07"), "{url}");
        }
    }

    #[test]
    fn a_query_that_is_not_ours_is_none() {
        for query in [None, Some(""), Some("turn=1"), Some("attempt=x"), Some("attempt=1&via=magic")] {
            assert_eq!(WebhookQuery::parse(query), None, "{query:?}");
        }
        assert!(WebhookQuery::parse(Some("attempt=1&bodySHA256=00")).is_some());
    }

    #[test]
    fn a_base_is_checked() {
        for base in ["calls.example.com", "ftp://x.test", "https://x.test/?a=1", "https://x.test/#f"] {
            assert!(Urls::new(base).is_err(), "{base}");
        }
        let urls = Urls::new("http://127.0.0.1:8080/prefix/").expect("base");
        assert_eq!(urls.public("/api/x?y=1"), "http://127.0.0.1:8080/prefix/api/x?y=1");
    }
}
