//! Live calls made ready through the store itself, as dialing and the carrier's callbacks would have written them; the
//! requests for their turns; and servers that play the outside without thinking.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use carillon::base::clock::Clock;
use carillon::carrier::twilio::signature;
use carillon::domain::call::{Call, Event, Leg, Rules};
use carillon::domain::campaign::Dedupe;
use carillon::domain::ids::{CampaignId, Shard};
use carillon::store::{
    Account, Applied, Ask, Caller, Feedback, Request, Start, StartChecks, Started, Store, Wants,
};
use futures::{StreamExt as _, stream};
use secrecy::SecretString;
use serde_json::json;
use url::form_urlencoded;

use super::stage::{ACCOUNT, CALLERS, TOKEN};
use super::wire::{Post, reply, serve};
use crate::kit::calls::Maker;

/// Calls made ready in one script.
const BATCH: usize = 50;
/// A lease that does not end.
const LONG: u64 = 3_600_000;

/// A call that is being talked on.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) id: String,
    pub(crate) sid: String,
    pub(crate) to: String,
}

/// A sid that is this call's.
fn sid_of(n: u64) -> String {
    format!("CA{n:032x}")
}

/// So many calls of one campaign, dialed and answered; numbers and sids come after the `after`-th.
pub(crate) async fn talks(store: &Store, campaign: &CampaignId, after: u64, count: usize) -> Vec<Talk> {
    let mut maker = Maker::after(after);
    let batches: Vec<(u64, Shard, Vec<Call>)> = (0..count.div_ceil(BATCH))
        .map(|i| {
            let shard = Shard(u16::try_from(i % 64).unwrap_or(0));
            let size = BATCH.min(count - i * BATCH);
            (after + (i * BATCH) as u64, shard, maker.of_shard(store, shard, size, Some(campaign)))
        })
        .collect();
    // Of one shard a batch at a time, so that each claims what it put there.
    let mut by_shard: HashMap<u16, Vec<(u64, Shard, Vec<Call>)>> = HashMap::new();
    for batch in batches {
        by_shard.entry(batch.1.0).or_default().push(batch);
    }
    let made = stream::iter(by_shard.into_values())
        .map(|batches| async move {
            let mut out = Vec::new();
            for (first, shard, calls) in batches {
                out.extend(answered(store, campaign, first, shard, calls).await);
            }
            out
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>();
    made.await.into_iter().flatten().collect()
}

async fn answered(
    store: &Store,
    campaign: &CampaignId,
    first: u64,
    shard: Shard,
    calls: Vec<Call>,
) -> Vec<Talk> {
    let rules = Rules::default();
    let size = calls.len();
    store.submit_list(&calls, Dedupe::Campaign, Clock::System.now()).await.expect("Redis answers");
    let n = u32::try_from(size).expect("a batch");
    let wants = Wants { live: 0, urgent: 0, campaigns: vec![(campaign.clone(), n)] };
    let claims = store.claim(shard, LONG, &wants).await.expect("Redis answers");
    assert_eq!(claims.calls.len(), size, "what was put in is claimed");
    let calls: Vec<Call> = claims.calls.into_iter().map(|claimed| claimed.call).collect();
    let asks: Vec<Ask> = calls
        .iter()
        .map(|call| Ask {
            id: call.id.clone(),
            epoch: call.head.epoch,
            campaign: Some(campaign.clone()),
            destination: call.body.phone.destination().to_owned(),
            callers: vec![0],
        })
        .collect();
    let caller = Caller { key: "0123456789ab".into(), max_cps: 0.0, max_concurrent: 0, max_daily: 0 };
    let request = Request {
        account: Account::default(),
        callers: std::slice::from_ref(&caller),
        asks: &asks,
        waiting: &[],
        releases: &[],
        feedback: &Feedback::default(),
        most: 1,
    };
    let permits = store.permit(request).await.expect("Redis answers");
    if let Some(denied) = permits.grants.iter().find_map(|grant| grant.as_ref().err()) {
        panic!("an account without limits grants everything, and denied {denied:?}");
    }
    let starts = calls.into_iter().map(|call| Start {
        call,
        caller: CALLERS[0].into(),
        caller_key: caller.key.clone(),
        evidence: json!({"zones_from": "number", "rules": ["window"], "hours": "00:00-24:00"}),
    });
    let started = store.start(starts.collect(), &rules, StartChecks { leg_wait: 5_000 }).await;
    let talks = started.into_iter().enumerate().map(|(i, started)| {
        let rules = &rules;
        async move {
            let mut call = match started {
                Started::Done(call) => call,
                other => panic!("not started: {other:?}"),
            };
            let sid = sid_of(first + i as u64);
            let leg = Leg { attempt: 1, sid: sid.clone() };
            for event in [Event::Accepted(leg.clone()), Event::Answered(leg)] {
                call = match store.apply(*call, event, rules).await {
                    Ok(Applied::Done(call, _)) => call,
                    other => panic!("not written: {other:?}"),
                };
            }
            Talk { id: call.id.to_string(), sid, to: call.body.phone.e164().to_owned() }
        }
    });
    futures::future::join_all(talks).await
}

/// What callees say: no two alike in a row, nothing that ends a call.
const SAID: [&str; 6] = [
    "I worked at Harbor Logistics as a forklift driver from March 2015 until June 2019.",
    "Before that I was a cashier at Miller's Market for about three years.",
    "I am a team leader at Northwind Storage, I started there in July 2019.",
    "I was looking after my mother that year.",
    "I can drive a forklift, and I know the warehouse software.",
    "My name is Ada Lovelace.",
];

/// Requests for turns, signed as the carrier signs.
#[derive(Clone)]
pub(crate) struct Turns {
    base: String,
    token: SecretString,
}

impl Turns {
    /// `base` is the nodes' `BASE_URL`.
    pub(crate) fn of(base: String) -> Self {
        Self { base, token: SecretString::from(TOKEN) }
    }

    /// The request for the `turn`-th turn of a call.
    pub(crate) fn post(&self, talk: &Talk, turn: u64) -> Post {
        let path = format!("/api/calls/webhook/{}?attempt=1&turn={turn}", talk.id);
        let mut form: Vec<(String, String)> = [
            ("CallSid", talk.sid.as_str()),
            ("AccountSid", ACCOUNT),
            ("From", CALLERS[0]),
            ("To", talk.to.as_str()),
            ("CallStatus", "in-progress"),
            ("ApiVersion", "2010-04-01"),
            ("Direction", "outbound-api"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        if turn > 0 {
            let said =
                if turn == 1 { "Yes, that is fine." } else { SAID[(turn % SAID.len() as u64) as usize] };
            form.push(("SpeechResult".into(), said.into()));
            form.push(("Confidence".into(), "0.93".into()));
            form.push(("Language".into(), "en-US".into()));
        }
        let signed = signature::sign(&self.token, &format!("{}{path}", self.base), &form);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        let headers = vec![
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("x-twilio-signature", signed),
        ];
        Post { path, headers, body: Bytes::from(body) }
    }
}

/// A model without a thought of its own: it streams one sentence, after a tool call first where `tools`. Answers its URL.
pub(crate) async fn model(tools: bool) -> String {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    };
    let words = "Thank you. And what did you do before that?".split_inclusive(' ');
    let mut says: String = words.map(|word| chunk(json!({"content": word}), None)).collect();
    says += &chunk(json!({}), Some("stop"));
    says += "data: [DONE]\n\n";
    let function = json!({"name": "record_skills", "arguments": r#"{"skills":["forklift"]}"#});
    let calls = [
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}),
            None,
        ),
        chunk(json!({}), Some("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let (says, calls) = (Bytes::from(says), Bytes::from(calls));
    let addr = serve(move |_, body| {
        // The last message says what is asked: what was heard, or how a tool fared.
        let text = String::from_utf8_lossy(&body);
        let last = text
            .rfind(r#""role":"tool""#)
            .zip(text.rfind(r#""role":"user""#))
            .map(|(tool, user)| tool > user);
        let answer = if tools && last != Some(true) { &calls } else { &says };
        reply(200, "text/event-stream", answer.clone())
    })
    .await;
    format!("http://{addr}/v1")
}

/// A carrier that takes every call and tells of none; asked, it says that nobody answered. It notes who was called, and when the last of them was.
#[derive(Clone, Default)]
pub(crate) struct Carrier {
    creates: Arc<AtomicU64>,
    by_number: Arc<Mutex<HashMap<String, u32>>>,
}

impl Carrier {
    /// Starts it. Answers its URL.
    pub(crate) async fn serve(&self) -> String {
        let carrier = self.clone();
        let addr = serve(move |path, body| {
            if !path.ends_with("/Calls.json") {
                let sid = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
                return reply(200, "application/json", format!(r#"{{"sid":"{sid}","status":"no-answer"}}"#));
            }
            let to =
                form_urlencoded::parse(&body).find(|(name, _)| name == "To").map(|(_, to)| to.into_owned());
            let n = carrier.creates.fetch_add(1, Ordering::Relaxed);
            let mut by_number = carrier.by_number.lock().unwrap_or_else(PoisonError::into_inner);
            *by_number.entry(to.unwrap_or_default()).or_default() += 1;
            let answer = format!(r#"{{"sid":"{}","status":"queued","queue_time":"0"}}"#, sid_of(1 << 40 | n));
            reply(201, "application/json", answer)
        })
        .await;
        format!("http://{addr}")
    }

    /// Calls it took.
    pub(crate) fn creates(&self) -> u64 {
        self.creates.load(Ordering::Relaxed)
    }

    /// Numbers that were called more than once.
    pub(crate) fn twice(&self) -> usize {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|n| **n > 1).count()
    }
}

/// A receiver of webhooks that remembers which events it got.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    ids: Arc<Mutex<HashMap<String, u32>>>,
}

impl Receiver {
    /// Starts it. Answers its URL.
    pub(crate) async fn serve(&self) -> String {
        let ids = Arc::clone(&self.ids);
        let addr = serve(move |_, body| {
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let call = event["call_id"].as_str().unwrap_or_default();
            let id = format!("{call} {}", event["event_type"].as_str().unwrap_or_default());
            *ids.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
            reply(204, "text/plain", "")
        })
        .await;
        format!("http://{addr}/hook")
    }

    /// Different events so far.
    pub(crate) fn events(&self) -> usize {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Deliveries of events that had come before.
    pub(crate) fn repeats(&self) -> u32 {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).values().map(|n| n - 1).sum()
    }
}
