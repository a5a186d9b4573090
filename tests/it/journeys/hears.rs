//! What the callee hears, second by second. People speak and ring at twenty times life; what Carillon takes is real
//! time and counted as such (`webhook_speed` 1), so that a silence is as long here as it would be on a real phone.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::ledger::{Fetch, Leg, Who};
use carillon::sim::people::{Kind, Reply};

use super::signed;
use crate::support::fleet::{Fleet, FleetConfig, seed};
use crate::support::{Monitor, until};

/// Silences longer than this are dead air, in seconds.
const SILENCE: f64 = 5.0;
const CALL_WITHIN: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);

async fn fleet(apis: usize) -> (Fleet, Monitor) {
    let sim = SimConfig { seed: seed(), speed: 20.0, max_cps: 20.0, ..SimConfig::default() };
    let mut fleet = Fleet::start(FleetConfig { apis, sim, ..FleetConfig::default() }).await;
    let monitor = Monitor::journals(fleet.redis.server().addr()).await;
    (fleet, monitor)
}

/// Waits for the call's end, prints what was heard, and judges what holds for every call; its status and its leg.
async fn judged(title: &str, fleet: &mut Fleet, monitor: &Monitor, call: &str) -> (serde_json::Value, Leg) {
    let status = fleet.call_ended(call, CALL_WITHIN).await;
    let leg = fleet
        .sim
        .ledger()
        .with(|book| book.legs.iter().find(|leg| leg.call_id.as_deref() == Some(call)).cloned())
        .expect("the call was dialed");
    println!("\n== {title} ==\n{}", fleet.sim.ledger().timeline(&leg.sid).unwrap_or_default());
    println!("disposition {}, {} tool calls journaled", status["disposition"], monitor.journaled().len());

    let summary = fleet.sim.ledger().summary();
    assert_eq!(summary.carrier_errors_heard, 0, "{title}: the carrier's error message was heard");
    // A node that waits and the one that takes over were each as late as this process.
    let late = 2.0 * fleet.lag.worst(0..=u64::MAX) as f64 / 1e6;
    let longest = summary.longest_dead_air;
    assert!(longest.seconds <= SILENCE + late, "{title}: {longest:?} where a timer was {late:.1} s late");
    let repeated = monitor.repeated();
    assert!(repeated.is_empty(), "{title}: tool calls that ran twice: {repeated:?}");
    fleet.settled(SOON).await;
    let broken = fleet.invariants().await;
    assert!(broken.is_empty(), "{title}: {broken:#?}");
    (status, leg)
}

fn said(leg: &Leg, who: Who, words: &str) -> usize {
    leg.heard.iter().filter(|heard| heard.who == who && heard.text.contains(words)).count()
}

/// Requests of the turn's URL that were answered.
fn fetches_of(leg: &Leg, turn: u32) -> Vec<&Fetch> {
    let wanted = format!("turn={turn}");
    let of_turn = |fetch: &&Fetch| fetch.url.split(['?', '&', '#']).any(|part| part == wanted);
    leg.fetches.iter().filter(of_turn).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_hangs_for_thirty_seconds() {
    let once = async {
        let (mut fleet, monitor) = fleet(1).await;
        fleet.sim.faults().add(Rule::next(Target::Model, Fault::DelayMs(30_000), 1).after(3));
        let number = fleet.sim.world().number(Kind::Cooperative, 1);
        let call = fleet.call(&number, serde_json::json!({})).await;
        let title = "one request to the model hangs for 30 s: a bridge line, then the second try";
        let (status, leg) = judged(title, &mut fleet, &monitor, &call).await;
        assert_eq!(status["disposition"], "completed");
        assert!(said(&leg, Who::Agent, "One moment") > 0, "a bridge line was heard");
        assert!(status["artefacts"].as_array().is_some_and(|all| all.iter().any(|a| a["kind"] == "outcome")));
    };
    let all = async {
        let (mut fleet, monitor) = fleet(1).await;
        fleet.sim.faults().add(Rule::always(Target::Model, Fault::Hang).after(3));
        let number = fleet.sim.world().number(Kind::Cooperative, 2);
        let call = fleet.call(&number, serde_json::json!({})).await;
        let ledger = fleet.sim.ledger().clone();
        let over =
            ledger.until(|book| book.legs.first().is_some_and(|leg| leg.ended_at.is_some()).then_some(()));
        tokio::time::timeout(CALL_WITHIN, over).await.expect("the call is ended");
        // Wrap-up asks the model too; it is there again by then.
        fleet.sim.faults().set(Vec::new());
        let title = "every request to the model hangs: bridge lines, an apology, the end";
        let (status, leg) = judged(title, &mut fleet, &monitor, &call).await;
        assert_eq!(status["disposition"], "agent_failed");
        assert!(said(&leg, Who::Agent, "problem on our side") == 1, "the agent apologised");
    };
    tokio::join!(once, all);
}

/// An api node dies at a named point of a turn; the other takes the turn over.
async fn killed(point: &str, person: u32) {
    let (mut fleet, monitor) = fleet(2).await;
    fleet.restart_api(0, &[("CARILLON_KILL_AT", point)]).await;
    let number = fleet.sim.world().number(Kind::Cooperative, person);
    if point.starts_with("turn_journaled") {
        // What the interview's tools do takes effect with the turn's commit: journaled are those of a turn that takes long.
        fleet.sim.faults().set(vec![Rule::always(Target::Model, Fault::DelayMs(700)).after(3)]);
    }
    let call = fleet.call(&number, serde_json::json!({})).await;
    fleet.api(0).ended(CALL_WITHIN).await;
    fleet.sim.faults().set(Vec::new());
    let title = format!("an api node is killed in mid-turn, at {point}; the other goes on");
    let (status, _) = judged(&title, &mut fleet, &monitor, &call).await;
    assert!(fleet.api(0).has_ended(), "{point}: the node died there");
    assert_eq!(status["disposition"], "completed", "{point}");
    let heard: Vec<&str> = status["transcript"]
        .as_array()
        .map(|lines| {
            lines.iter().filter(|l| l["speaker"] == "callee").filter_map(|l| l["text"].as_str()).collect()
        })
        .unwrap_or_default();
    assert!(heard.len() > 5, "{point}: the interview went on: {heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed_in_the_middle_of_a_turn() {
    tokio::join!(killed("turn_begun:3", 3), killed("turn_journaled:1", 4), killed("turn_before_commit:3", 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_a_refusal_and_callbacks_backwards() {
    let machine = async {
        let (mut fleet, monitor) = fleet(1).await;
        let number = fleet.sim.world().number(Kind::Voicemail, 0);
        let call = fleet.call(&number, serde_json::json!({})).await;
        let (status, leg) = judged("async detection says machine", &mut fleet, &monitor, &call).await;
        assert_eq!(status["disposition"], "voicemail");
        assert!(leg.callbacks.iter().any(|callback| callback.event == "amd"), "the carrier told");
    };
    let refused = async {
        let (mut fleet, monitor) = fleet(1).await;
        let call = fleet.call(&who_refuses(&fleet), serde_json::json!({})).await;
        let (status, leg) = judged("consent is refused", &mut fleet, &monitor, &call).await;
        assert_eq!(status["disposition"], "rejected");
        assert_eq!(status["consent_given"], false);
        assert!(leg.recordings.is_empty(), "nothing was recorded");
        let kinds: Vec<_> =
            status["artefacts"].as_array().into_iter().flatten().map(|a| &a["kind"]).collect();
        assert!(!kinds.iter().any(|kind| *kind == "outcome"), "no profile is kept: {kinds:?}");
    };
    let backwards = async {
        let (mut fleet, monitor) = fleet(2).await;
        fleet.sim.faults().add(Rule::always(Target::Callbacks, Fault::Reverse));
        let number = fleet.sim.world().number(Kind::Cooperative, 6);
        let call = fleet.call(&number, serde_json::json!({})).await;
        let title = "callbacks come in reverse order, after the end";
        let (status, leg) = judged(title, &mut fleet, &monitor, &call).await;
        let order: Vec<_> = leg.callbacks.iter().map(|c| (c.event.as_str(), c.sequence)).collect();
        println!("callbacks as they came: {order:?}");
        assert_eq!(status["disposition"], "completed");
        let numbers: Vec<u32> = leg.callbacks.iter().filter_map(|c| c.sequence).collect();
        assert!(numbers.windows(2).any(|two| two[0] > two[1]), "they came backwards: {numbers:?}");
    };
    tokio::join!(machine, refused, backwards);
}

/// A number of this world whose owner does not agree to go on.
fn who_refuses(fleet: &Fleet) -> String {
    let greeting = "Hello, this is Carillon Careers calling. I am an AI assistant, and this call may be recorded. I \
                    would like to ask you a few questions about your work history, which takes about five minutes. \
                    Is it all right with you if we go on?";
    let world = fleet.sim.world();
    (0..200)
        .map(|i| world.number(Kind::Hostile, i))
        .find(|number| match world.person(number).talk(0).hear(greeting) {
            Reply::Says { text, .. } => text.to_lowercase().starts_with("no"),
            _ => false,
        })
        .expect("somebody refuses")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_repeated_while_it_still_runs() {
    let (mut fleet, monitor) = fleet(2).await;
    // Slow enough that a repeat finds the turn running, quick enough that no bridge line is due.
    fleet.sim.faults().add(Rule::always(Target::Model, Fault::DelayMs(500)).after(1));
    let number = fleet.sim.world().number(Kind::Cooperative, 7);
    let call = fleet.call(&number, serde_json::json!({})).await;
    // The turn that hears the name: it runs a tool.
    let turn = 2;
    let ledger = fleet.sim.ledger().clone();
    let asked = ledger.until(|book| {
        let leg = book.legs.first()?;
        let before = leg.fetches.iter().find(|fetch| {
            fetch.status == Some(200)
                && fetch.body.as_deref().is_some_and(|b| b.contains(&format!("turn={turn}")))
        })?;
        let words = leg.heard.iter().filter(|h| h.who == Who::Callee).nth(turn - 1)?;
        let url = signed::action(before.body.as_deref()?)?;
        Some((url, before.form.clone(), words.text.clone()))
    });
    let (url, mut form, words) = tokio::time::timeout(SOON, asked).await.expect("the turn is asked for");
    form.retain(|(name, _)| {
        !matches!(name.as_str(), "SpeechResult" | "Confidence" | "Digits" | "CallStatus")
    });
    form.push(("CallStatus".into(), "in-progress".into()));
    form.push(("SpeechResult".into(), words));
    form.push(("Confidence".into(), "0.9".into()));
    let token = fleet.sim.config().auth_token.clone();
    let nodes = [fleet.api_url(0), fleet.api_url(1)];
    let (one, two) = tokio::join!(
        signed::post(&nodes[0], &url, &form, &token),
        signed::post(&nodes[1], &url, &form, &token),
    );
    // The carrier's own request of the turn ends at about the same time.
    let turns = u32::try_from(turn).expect("a small number");
    let theirs = until("the carrier's own answer", SOON, || async {
        let book = ledger.snapshot();
        let fetch =
            fetches_of(book.legs.first()?, turns).into_iter().find(|f| f.status == Some(200))?.clone();
        fetch.body
    })
    .await;
    println!("\nthree requests of one turn, two nodes:\n  {}\n  {}\n  {theirs}", one.1, two.1);
    assert_eq!((one.0, two.0), (200, 200));
    assert_eq!(one.1, two.1, "both repeats get one answer");
    assert_eq!(one.1, theirs, "and the carrier's own request the same");
    let title = "a turn is repeated twice, at two nodes, while it still runs";
    let (status, _) = judged(title, &mut fleet, &monitor, &call).await;
    assert_eq!(status["disposition"], "completed");
    let lines = status["transcript"].as_array().cloned().unwrap_or_default();
    let heard = lines.iter().filter(|l| l["speaker"] == "callee" && l["turn"] == turn).count();
    assert_eq!(heard, 1, "the words of the turn stand once in the transcript");
}
