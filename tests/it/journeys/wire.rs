//! The wire to Twilio, both ways: what we send agrees with the vendor's own description, and what does not come from
//! Twilio is turned away.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::people::Kind;
use serde_json::json;

use super::signed;
use crate::openapi::Validator;
use crate::support::fleet::{Fleet, FleetConfig, seed};

const CALL_WITHIN: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);

async fn fleet(speed: f64) -> Fleet {
    let sim = SimConfig { seed: seed(), speed, max_cps: 20.0, ..SimConfig::default() };
    Fleet::start(FleetConfig { sim, ..FleetConfig::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_to_twilio_is_one_that_twilio_describes() {
    let Some(validator) = Validator::load() else { return };
    let mut fleet = fleet(30.0).await;
    let number = |kind| fleet.sim.world().number(kind, 0);
    // An answer that is lost, and callbacks that never come: the dialer asks after the call.
    let busy = number(Kind::Busy);
    let lost = Rule::next(Target::TwilioCreate, Fault::AcceptThenDrop, 1).matching(&busy);
    fleet.sim.faults().add(lost);
    fleet.sim.faults().add(Rule::always(Target::Callbacks, Fault::Missing).matching(&busy));
    let lost = fleet.call(&busy, json!({})).await;
    let interview = fleet.call(&number(Kind::Cooperative), json!({})).await;
    let machine = fleet.call(&number(Kind::Voicemail), json!({})).await;
    for call in [&interview, &machine, &lost] {
        fleet.call_ended(call, CALL_WITHIN).await;
    }
    fleet.settled(SOON).await;

    let checked = validator.book(&fleet.sim.ledger().snapshot(), &fleet.sim.config().account_sid);
    println!("\n== requests to Twilio, checked against its own description ==");
    for (request, times) in &checked.seen {
        println!("{times:>4} {request}");
    }
    assert!(checked.wrong.is_empty(), "{:#?}", checked.wrong);
    for needed in ["POST Calls.json", "GET Calls.json", "GET Calls/", "POST Calls/", "Recordings.json"] {
        assert!(
            checked.seen.keys().any(|request| request.contains(needed)),
            "no {needed}: {:?}",
            checked.seen
        );
    }
    let broken = fleet.invariants().await;
    assert!(broken.is_empty(), "{broken:#?}");
}

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_twilios_is_turned_away() {
    let fleet = fleet(10.0).await;
    let (base, config) = (fleet.api_url(0), fleet.sim.config().clone());
    let call = fleet.call(&fleet.sim.world().number(Kind::Cooperative, 0), json!({})).await;
    let answered = fleet.sim.ledger().until(|book| book.legs.first()?.answered_at);
    tokio::time::timeout(CALL_WITHIN, answered).await.expect("somebody answers");
    let before = fleet.status(&call).await;
    let sid = before["twilio_call_sid"].as_str().unwrap_or_default().to_owned();
    let hung_up =
        form(&[("CallSid", &sid), ("AccountSid", &config.account_sid), ("CallStatus", "completed")]);
    let status_url = format!("{base}/api/calls/webhook/{call}/status?attempt=1");
    let turn_url = format!("{base}/api/calls/webhook/{call}?attempt=1&turn=0");
    println!("\n== what is not Twilio's ==");
    let show = |what: &str, answer: &(u16, String)| println!("{what:<48} {} {}", answer.0, answer.1);

    for url in [&status_url, &turn_url] {
        let unsigned = signed::send(&base, url, &hung_up, None).await;
        show("unsigned", &unsigned);
        let forged = signed::sign("another token", url, &hung_up);
        let forged = signed::send(&base, url, &hung_up, Some(&forged)).await;
        show("signed with another token", &forged);
        let moved = signed::sign(&config.auth_token, &format!("{url}&turn=1"), &hung_up);
        let moved = signed::send(&base, url, &hung_up, Some(&moved)).await;
        show("signed for another URL", &moved);
        for answer in [unsigned, forged, moved] {
            assert_eq!(answer.0, 403);
            assert!(answer.1.contains("/problems/forged_callback"), "{}", answer.1);
        }
    }
    let mut others = hung_up.clone();
    others[1].1 = "AC99999999999999999999999999999999".into();
    let answer = signed::post(&base, &status_url, &others, &config.auth_token).await;
    show("another account's", &answer);
    assert_eq!(answer.0, 403);

    let unknown = "call_07AAAAAAAAAAAAAAAAAAAAAA";
    let url = format!("{base}/api/calls/webhook/{unknown}/status?attempt=1");
    let answer = signed::post(&base, &url, &hung_up, &config.auth_token).await;
    show("a status of an unknown call", &answer);
    assert!(answer.0 == 404 && answer.1.contains("/problems/unknown_call"));
    let url = format!("{base}/api/calls/webhook/{unknown}?attempt=1&turn=0");
    let answer = signed::post(&base, &url, &hung_up, &config.auth_token).await;
    show("a turn of an unknown call", &answer);
    assert!(answer.0 == 200 && answer.1.contains("<Response>") && answer.1.contains("<Hangup"));
    let url = format!("{base}/api/calls/webhook/{call}/status?attempt=first");
    let answer = signed::post(&base, &url, &hung_up, &config.auth_token).await;
    show("a URL that is not ours", &answer);
    assert_eq!(answer.0, 400);
    let mut stranger = hung_up.clone();
    stranger[0].1 = "CA99999999999999999999999999999999".into();
    let answer = signed::post(&base, &status_url, &stranger, &config.auth_token).await;
    show("the end of a leg that is not this call's", &answer);
    assert_eq!(answer.0, 204, "an answer and no error");

    let after = fleet.status(&call).await;
    assert_eq!(after["status"], "in_progress", "none of it touched the call: {after}");
    assert_eq!(fleet.call_ended(&call, CALL_WITHIN).await["disposition"], "completed");
}
