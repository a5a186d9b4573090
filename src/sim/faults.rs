//! Faults on request: what goes wrong, where, for whom, and how often; repeatable by seed and number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use super::pace::chance;
use super::serve::slam;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `POST Calls.json`; the key is the number called.
    TwilioCreate,
    /// A call that the carrier took, before it rings; the key is the number called.
    Calls,
    /// Every GET of the carrier's REST API; the key is the path.
    TwilioGet,
    /// Every other POST and DELETE of the carrier's REST API; the key is the path.
    TwilioUpdate,
    /// A status, machine-detection or recording callback; the key is `number event`, such as `+1… ringing`.
    Callbacks,
    /// The model; the key is the path.
    Model,
    /// The object store; the key is `METHOD path`.
    S3,
    /// The webhook receiver; the key is the path.
    Receiver,
}

/// What goes wrong. All times are of the wall, since it is Carillon's patience that is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The answer (or the callback) starts this many milliseconds later.
    DelayMs(u64),
    /// The request is taken and never answered.
    Hang,
    /// The request is refused with this status, and nothing is done.
    Status {
        /// The HTTP status.
        code: u16,
        /// Seconds for a `Retry-After` header.
        #[serde(default)]
        retry_after_s: Option<u64>,
        /// The vendor's own error code: a number at the carrier (20429), a word at the model.
        #[serde(default)]
        error_code: Option<String>,
    },
    /// The connection closes, and nothing was done.
    DropBefore,
    /// What was asked is done, then the connection closes before the answer.
    AcceptThenDrop,
    /// Calls: it fails, as the carrier tells by status `failed`.
    CallFails {
        /// The carrier's error code.
        #[serde(default = "failed_code")]
        error_code: u32,
        /// The far end's SIP answer.
        #[serde(default = "unavailable")]
        sip: u16,
    },
    /// Callbacks: sent twice, with the same idempotency token.
    Duplicate,
    /// Callbacks: sent this many milliseconds late, while later ones overtake it.
    LateMs(u64),
    /// Callbacks: held until the next one of the same call has been sent.
    Reorder,
    /// Callbacks: held until the call has ended, then sent newest first.
    Reverse,
    /// Callbacks: never sent.
    Missing,
    /// Model: the stream breaks off in the middle.
    DropMidStream,
    /// Model: a line of the stream is no JSON.
    Malformed,
    /// Model: it does what anybody in the conversation bids it: asks for tools it has and tools it has not, with a number
    /// of its own, and says that number in every way it knows.
    Obey,
}

/// One rule: the `next` times (or always) that a request to `target` whose key contains `matching` comes by, `fault`
/// strikes with `probability`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Where.
    pub target: Target,
    /// What.
    pub fault: Fault,
    /// How likely, 0 to 1, decided by seed, key and how often that key came by.
    #[serde(default = "always")]
    pub probability: f64,
    /// How many strikes are left; none given: without end.
    #[serde(default)]
    pub next: Option<u32>,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    pub after: u32,
    /// For how long from the moment it was set, in milliseconds of the wall; none given: without end.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Only keys that contain this text.
    #[serde(default)]
    pub matching: Option<String>,
}

fn always() -> f64 {
    1.0
}

/// 32014: the carrier's word for a call that another network would not complete.
fn failed_code() -> u32 {
    32014
}

/// SIP's "service unavailable".
fn unavailable() -> u16 {
    503
}

impl Rule {
    /// `fault` at `target`, every time.
    #[must_use]
    pub fn always(target: Target, fault: Fault) -> Self {
        Self { target, fault, probability: 1.0, next: None, after: 0, for_ms: None, matching: None }
    }

    /// `fault` at `target`, the next `n` times.
    #[must_use]
    pub fn next(target: Target, fault: Fault, n: u32) -> Self {
        Self { next: Some(n), ..Self::always(target, fault) }
    }

    /// `fault` at `target` with `probability`.
    #[must_use]
    pub fn likely(target: Target, fault: Fault, probability: f64) -> Self {
        Self { probability, ..Self::always(target, fault) }
    }

    /// The same rule for keys that contain `text` alone.
    #[must_use]
    pub fn matching(self, text: impl Into<String>) -> Self {
        Self { matching: Some(text.into()), ..self }
    }

    /// The same rule for so long from the moment it is set.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { for_ms: Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)), ..self }
    }

    /// The same rule, once `n` matching requests have passed.
    #[must_use]
    pub fn after(self, n: u32) -> Self {
        Self { after: n, ..self }
    }
}

fn from_now(rules: Vec<Rule>) -> Vec<(Rule, Instant)> {
    let now = Instant::now();
    rules.into_iter().map(|rule| (rule, now)).collect()
}

#[derive(Debug, Default)]
struct Plan {
    /// With the moment since which each holds.
    rules: Vec<(Rule, Instant)>,
    seen: HashMap<(Target, String), u64>,
}

/// The handle on the faults of a run. Clones share the rules.
#[derive(Clone, Debug)]
pub struct Faults {
    seed: u64,
    plan: Arc<Mutex<Plan>>,
}

impl Faults {
    pub(crate) fn new(seed: u64, rules: Vec<Rule>) -> Self {
        Self { seed, plan: Arc::new(Mutex::new(Plan { rules: from_now(rules), seen: HashMap::new() })) }
    }

    /// The rules as they stand, with the strikes that are left.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.rules.iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// Replaces all rules; an empty list heals the world.
    pub fn set(&self, rules: Vec<Rule>) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.rules = from_now(rules);
        plan.seen.clear();
    }

    /// Adds one rule behind the others.
    pub fn add(&self, rule: Rule) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).rules.push((rule, Instant::now()));
    }

    /// What strikes a request to `target` with this `key` now; counts it as come by.
    #[must_use]
    pub fn strike(&self, target: Target, key: &str) -> Vec<Fault> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if !plan.rules.iter().any(|(r, _)| r.target == target) {
            return Vec::new();
        }
        let seen = plan.seen.entry((target, key.to_owned())).or_default();
        let n = *seen;
        *seen += 1;
        let mut struck = Vec::new();
        for (i, (rule, since)) in plan.rules.iter_mut().enumerate() {
            let meant =
                rule.target == target && rule.matching.as_ref().is_none_or(|m| key.contains(m.as_str()));
            let over = rule.for_ms.is_some_and(|ms| since.elapsed() >= Duration::from_millis(ms));
            if !meant || over || rule.next == Some(0) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            if rule.probability < 1.0 && chance(self.seed, &[key, &i.to_string()], n) >= rule.probability {
                continue;
            }
            if let Some(left) = rule.next.as_mut() {
                *left -= 1;
            }
            struck.push(rule.fault.clone());
        }
        struck
    }

    /// Answers a request under the faults that strike it: `refusal` shapes a [`Fault::Status`] as the vendor would,
    /// `work` is done unless a fault stands before it.
    pub(crate) async fn guard<F>(
        &self,
        target: Target,
        key: &str,
        refusal: impl Fn(u16, Option<&str>) -> Response,
        work: F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let mut drop_after = false;
        for fault in self.strike(target, key) {
            match fault {
                Fault::DelayMs(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Fault::Hang => std::future::pending().await,
                Fault::Status { code, retry_after_s, error_code } => {
                    let mut response = refusal(code, error_code.as_deref());
                    if let Some(s) = retry_after_s {
                        response.headers_mut().insert(http::header::RETRY_AFTER, s.into());
                    }
                    return response;
                }
                Fault::DropBefore => return slam(),
                Fault::AcceptThenDrop => drop_after = true,
                _ => {}
            }
        }
        let response = work.await;
        if drop_after { slam() } else { response }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_n_strikes_n_times_after_the_first_passed() {
        let faults = Faults::new(1, vec![]);
        faults.add(Rule::next(Target::Receiver, Fault::DropBefore, 2).after(1).matching("/hook/dead"));
        assert!(faults.strike(Target::Receiver, "/hook/live").is_empty());
        let struck: Vec<_> = (0..5).map(|_| faults.strike(Target::Receiver, "/hook/dead").len()).collect();
        assert_eq!(struck, [0, 1, 1, 0, 0]);
    }

    #[test]
    fn likely_faults_depend_on_seed_and_key_alone() {
        let run = |seed, keys: &[String]| -> Vec<String> {
            let faults = Faults::new(seed, vec![Rule::likely(Target::TwilioCreate, Fault::Missing, 0.5)]);
            let mut hit: Vec<_> =
                keys.iter().filter(|k| !faults.strike(Target::TwilioCreate, k).is_empty()).cloned().collect();
            hit.sort();
            hit
        };
        let keys: Vec<_> = (0..64).map(|i| format!("+1212555{i:04}")).collect();
        let back: Vec<_> = keys.iter().rev().cloned().collect();
        assert_eq!(run(3, &keys), run(3, &back), "the order of arrival changes nothing");
        assert_ne!(run(3, &keys), run(4, &keys));
    }

    #[test]
    fn a_rule_lasts_as_long_as_it_was_given() {
        let rule = Rule::always(Target::Calls, Fault::CallFails { error_code: 1, sip: 503 });
        let over = Faults::new(1, vec![rule.clone().lasting(Duration::ZERO)]);
        assert!(over.strike(Target::Calls, "+13125550100").is_empty());
        let holds = Faults::new(1, vec![rule.lasting(Duration::from_secs(3600)).matching("+1312")]);
        assert_eq!(holds.strike(Target::Calls, "+13125550100").len(), 1);
        assert!(holds.strike(Target::Calls, "+12125550100").is_empty());
    }

    #[test]
    fn rules_read_from_json() {
        let rules: Vec<Rule> = serde_json::from_str(
            r#"[{"target":"twilio_create","fault":{"status":{"code":429}},"next":3},
                {"target":"callbacks","fault":"reverse","probability":0.5},
                {"target":"calls","fault":{"call_fails":{}},"probability":0.6,"matching":"+1312","for_ms":60000},
                {"target":"model","fault":{"delay_ms":30000}}]"#,
        )
        .expect("the rules are well formed");
        assert_eq!(rules[1].fault, Fault::Reverse);
        assert_eq!(rules[2].fault, Fault::CallFails { error_code: 32014, sip: 503 });
        assert!(serde_json::from_str::<Rule>(r#"{"target":"s3","fault":"hang","nxt":1}"#).is_err());
    }
}
