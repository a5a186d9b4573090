//! The carrier's bad weather over real HTTP: a queue, calls that fail, callers nobody answers, and the tempo of it all.

use std::time::Duration;

use super::harness::{interview, twiml, world};
use super::wire::get;
use crate::sim::faults::{Fault, Rule, Target};
use crate::sim::people::{Kind, Role};

#[tokio::test]
async fn calls_above_the_rate_queue_and_say_so() {
    let w = world(|_| {}, interview).await;
    w.sim.controls().change(|s| s.max_cps = Some(0.5)).expect("it can be used");
    let mut waits = Vec::new();
    for i in 0..4 {
        let to = w.sim.world().number(Kind::Busy, i);
        let (_, json) = w.create(&to, &[]).await.expect("an answer");
        waits.push(json["queue_time"].as_str().and_then(|t| t.parse::<u64>().ok()).expect("milliseconds"));
    }
    assert!(waits[0] == 0 && waits[1] > 0 && waits.is_sorted(), "{waits:?}");
    w.sim.controls().change(|s| s.max_concurrent = Some(0)).expect("it can be used");
    let (status, json) = w.create(&w.number(Kind::Busy), &[]).await.expect("an answer");
    assert_eq!((status, json["code"].as_u64()), (429, Some(10004)));
    let tempo = w.sim.ledger().tempo(1_000);
    assert_eq!(tempo.dials, 5);
    assert_eq!(tempo.seconds.iter().map(|s| s.refused).sum::<usize>(), 1);
    assert!(tempo.peak_live >= 1 && tempo.fullest.dials <= 5, "{tempo:?}");
    w.sim.stop().await;
}

#[tokio::test]
async fn calls_of_one_prefix_fail_with_the_carriers_code() {
    let w = world(|_| {}, interview).await;
    let fails = Fault::CallFails { error_code: 32014, sip: 503 };
    w.sim.faults().add(Rule::always(Target::Calls, fails).matching("+1312"));
    let (status, json) = w.create("+13125550100", &[]).await.expect("an answer");
    assert_eq!(status, 201, "the request itself is taken");
    let leg = w.over(json["sid"].as_str().expect("a sid"), 2).await;
    assert_eq!((leg.status.as_str(), leg.ended_by.as_deref()), ("failed", Some("carrier")));
    assert!(leg.rang_at.is_none());
    let told = w.got("/status");
    let last = told.last().expect("a callback");
    assert_eq!(get(&last.form, "ErrorCode"), Some("32014"));
    assert_eq!(get(&last.form, "SipResponseCode"), Some("503"));
    let (_, json) = w.create("+12125550100", &[]).await.expect("an answer");
    let leg = w.over(json["sid"].as_str().expect("a sid"), 4).await;
    assert_eq!(leg.status, "completed", "other numbers go on");
}

#[tokio::test]
async fn a_caller_known_as_a_nuisance_is_not_answered() {
    let w = world(|_| {}, interview).await;
    w.sim
        .controls()
        .change(|s| {
            s.answer_rates.insert("+12025550188".into(), 0.0);
        })
        .expect("it can be used");
    for (from, status) in [("+12025550188", "no-answer"), ("+12025550199", "completed")] {
        let (_, json) =
            w.create("+12125550100", &[("From", from), ("Timeout", "20")]).await.expect("an answer");
        assert_eq!(w.over(json["sid"].as_str().expect("a sid"), 3).await.status, status, "{from}");
    }
    let creates = w.sim.ledger().snapshot().creates;
    assert_eq!((creates[0].from.as_str(), creates[0].to.as_str()), ("+12025550188", "+12125550100"));
    assert_eq!(creates[0].call_id.as_deref(), Some("call_07x"));
    assert!(creates[0].t_us < creates[1].t_us);
}

#[tokio::test]
async fn somebody_is_cast_with_a_line() {
    let w = world(
        |_| {},
        |got, n| match n {
            0 => interview(got, 0),
            _ => twiml("<Hangup/>"),
        },
    )
    .await;
    let role = Role {
        kind: Some(Kind::WantsCallback),
        line: Some("Call me tomorrow at three.".into()),
        after_s: Some(1.0),
    };
    w.sim
        .controls()
        .change(|s| {
            s.cast.insert("+12125550100".into(), role);
        })
        .expect("it can be used");
    let (_, json) = w.create("+12125550100", &[]).await.expect("an answer");
    let leg = w.over(json["sid"].as_str().expect("a sid"), 4).await;
    assert!(leg.heard.iter().any(|h| h.text.contains("tomorrow at three")), "{:?}", leg.heard);
    assert_eq!(leg.person["kind"], "wants_callback");
}

#[tokio::test]
async fn controls_are_reached_from_outside() {
    let w = world(|_| {}, interview).await;
    let url = |path: &str| format!("{}{path}", w.sim.control_url());
    let settings = serde_json::json!({"max_cps": 2.5, "model_limits": {"remaining_requests": 4, "reset_requests": "6m0s"}});
    let put = w.client.put(url("/controls")).json(&settings).send().await.expect("an answer");
    assert_eq!(put.status().as_u16(), 200);
    assert_eq!(w.sim.controls().get().max_cps, Some(2.5));
    let wrong = w.client.put(url("/controls")).json(&serde_json::json!({"max_cps": 0})).send().await;
    let wrong = wrong.expect("an answer");
    assert_eq!(wrong.status().as_u16(), 422);
    assert!(wrong.text().await.expect("a text").contains("max_cps"));
    let body = serde_json::json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]});
    let completions = format!("{}/chat/completions", w.sim.model_url());
    let answer = w.client.post(completions).json(&body).send().await.expect("an answer");
    assert_eq!(answer.headers()["x-ratelimit-remaining-requests"], "4");
    assert_eq!(answer.headers()["x-ratelimit-reset-requests"], "6m0s");
    let rule = serde_json::json!({"target": "calls", "fault": {"call_fails": {}}, "for_ms": 1000});
    let added = w.client.post(url("/faults")).json(&rule).send().await.expect("an answer");
    assert_eq!(added.status().as_u16(), 200);
    assert_eq!(w.sim.faults().rules()[0].for_ms, Some(1_000));
    assert_eq!(w.client.delete(url("/faults")).send().await.expect("an answer").status().as_u16(), 204);
    assert!(w.sim.faults().rules().is_empty());
    let tempo =
        w.client.get(url("/ledger/tempo?window_ms=500")).timeout(Duration::from_secs(20)).send().await;
    assert_eq!(tempo.expect("an answer").status().as_u16(), 200);
}
