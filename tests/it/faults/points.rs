//! kill -9 of one process at one point of one call's life. Each case has a fleet of its own; the victim is started
//! again at once, and the call must end as if nothing had been.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use carillon::sim::faults::{Fault, Rule, Target};
use carillon::sim::ledger::{Ledger, Leg};
use carillon::sim::people::Kind;
use carillon::sim::{Sim, SimConfig};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::verdict::dialed_twice;
use crate::support::fleet::seed;
use crate::support::{Fleet, FleetConfig};

/// How long a case may wait for its moment, and then for the end of its call.
const PATIENCE: Duration = Duration::from_secs(150);

/// Cases at once: whoever else waits for room is let in between them.
static CASES: Semaphore = Semaphore::const_new(3);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    /// The only worker.
    Worker,
    /// One of two API nodes.
    OneApi,
    /// The only API node, which comes back when the carrier has given the call up.
    EveryApi,
}

/// When.
#[derive(Clone, Copy)]
enum Moment {
    /// The n-th time the process passes a named point of `base::fault`.
    Point(&'static str, u32),
    /// When the carrier sees this.
    Seen(&'static str, fn(&Leg) -> bool),
}

#[derive(Clone, Copy)]
struct Case {
    victim: Victim,
    moment: Moment,
    /// Who is called.
    person: Kind,
    /// How the call ends where the fault legitimately changes that; else as the person dictates.
    ends: Option<&'static str>,
    /// Times the phone rings.
    rings: usize,
    /// What else the fault legitimately does, in words.
    but: &'static str,
}

const fn worker(moment: Moment) -> Case {
    Case { victim: Victim::Worker, moment, person: Kind::Cooperative, ends: None, rings: 1, but: "" }
}

/// The same with somebody who soon hangs up, where the talk does not matter.
const fn brief(case: Case) -> Case {
    Case { person: Kind::WrongNumber, ..case }
}

const fn api(moment: Moment) -> Case {
    Case { victim: Victim::OneApi, ..worker(moment) }
}

fn rings(leg: &Leg) -> bool {
    leg.rang_at.is_some()
}

fn answered(leg: &Leg) -> bool {
    leg.answered_at.is_some()
}

/// A turn's answer has just arrived and is being spoken: no turn is under way.
fn between_turns(leg: &Leg) -> bool {
    leg.fetches.len() >= 4 && leg.fetches.last().is_some_and(|fetch| fetch.status == Some(200))
}

fn cases() -> Vec<Case> {
    use Moment::{Point, Seen};
    vec![
        Case {
            ends: Some("unconfirmed"),
            rings: 0,
            but: "nobody can know that the request never left: looked up, never dialed blindly",
            ..brief(worker(Point("before_post", 1)))
        },
        brief(worker(Point("after_post", 1))),
        brief(worker(Seen("ringing", rings))),
        brief(worker(Seen("answered", answered))),
        worker(Point("wrapup_before_archive", 1)),
        worker(Point("wrapup_before_commit", 1)),
        worker(Point("wrapup_after_commit", 1)),
        worker(Point("recording_before_delete", 1)),
        brief(worker(Point("webhook_before_send", 1))),
        brief(worker(Point("webhook_after_send", 1))),
        api(Point("turn_begun", 2)),
        api(Point("turn_journaled", 1)),
        api(Point("turn_before_commit", 2)),
        api(Point("turn_after_commit", 2)),
        api(Seen("between turns", between_turns)),
        Case {
            victim: Victim::EveryApi,
            but: "no node was left to answer: the talk breaks off",
            ..api(Seen("between turns, every api", between_turns))
        },
        Case {
            victim: Victim::EveryApi,
            ends: Some("abandoned"),
            but: "no node was left to greet",
            ..api(Seen("ringing, every api", rings))
        },
    ]
}

/// What became of a case.
struct Report {
    name: String,
    killed_at: String,
    ended_as: String,
    rung: usize,
    webhook: String,
    seconds: f64,
    but: &'static str,
    broken: Vec<String>,
}

impl Case {
    fn name(&self) -> String {
        match self.moment {
            Moment::Point(name, 1) => name.to_owned(),
            Moment::Point(name, nth) => format!("{name} (no. {nth})"),
            Moment::Seen(name, _) => name.to_owned(),
        }
    }

    async fn run(self) -> Report {
        let apis = if self.victim == Victim::OneApi { 2 } else { 1 };
        let faults = match self.moment {
            // The interview's tools are journaled where a turn takes long.
            Moment::Point("turn_journaled", _) => {
                vec![Rule::next(Target::Model, Fault::DelayMs(700), 12).after(3)]
            }
            _ => Vec::new(),
        };
        // Where nobody is left to answer, they must be gone before the callee does the next thing.
        let speed = if matches!(self.victim, Victim::EveryApi) { 10.0 } else { 50.0 };
        let (mut fleet, _balancer) = super::balanced(FleetConfig {
            apis,
            workers: 1,
            // What a dead node had claimed to deliver is left alone for this long and some seconds.
            env: vec![("WEBHOOK_TIMEOUT".into(), "2".into())],
            sim: SimConfig { seed: seed(), speed, max_cps: 20.0, faults, ..SimConfig::default() },
            ..FleetConfig::default()
        })
        .await;
        let number = fleet.sim.world().number(self.person, 0);
        let ledger = fleet.sim.ledger().clone();
        if let Moment::Point(name, nth) = self.moment {
            let at = format!("{name}:{nth}");
            let armed = [("CARILLON_KILL_AT", at.as_str())];
            match self.victim {
                Victim::Worker => fleet.restart_worker(0, &armed).await,
                Victim::OneApi | Victim::EveryApi => fleet.restart_api(0, &armed).await,
            }
        }
        let call = fleet.call(&number, json!({})).await;
        self.strike(&mut fleet, &ledger, &number).await;
        let struck = Instant::now();
        let killed_at = stands_at(&fleet, &call, &number).await;
        match self.victim {
            Victim::Worker => fleet.restart_worker(0, &[]).await,
            Victim::OneApi => fleet.restart_api(0, &[]).await,
            Victim::EveryApi => {
                // The carrier tries, falls back, and gives up, while nobody is there.
                seen(&ledger, &number, "its end", |leg| leg.ended_at.is_some()).await;
                fleet.restart_api(0, &[]).await;
            }
        }
        let status = fleet.call_ended(&call, PATIENCE).await;
        let seconds = struck.elapsed().as_secs_f64();
        fleet.settled(PATIENCE).await;

        let mut broken = fleet.invariants().await;
        broken.extend(dialed_twice(&fleet));
        if self.victim == Victim::EveryApi {
            // What the carrier says where nobody answers it is not ours to prevent, this once.
            broken.retain(|line| !line.contains("heard the carrier's error message"));
        }
        let ended_as = status["disposition"].as_str().unwrap_or("?").to_owned();
        if !self.ends.map_or_else(|| super::dictated(self.person, &ended_as), |end| end == ended_as) {
            broken.push(format!("it ended as {ended_as}: {status}"));
        }
        let rung = rung(&fleet.sim, &number);
        if rung != self.rings {
            broken.push(format!("it rang {rung} times, not {}", self.rings));
        }
        let webhook = webhook(&ledger, &call, &mut broken);
        Report { name: self.name(), killed_at, ended_as, rung, webhook, seconds, but: self.but, broken }
    }

    /// Waits for the moment and sees the victim dead.
    async fn strike(&self, fleet: &mut Fleet, ledger: &Ledger, number: &str) {
        match self.moment {
            Moment::Point(name, _) => {
                let process = match self.victim {
                    Victim::Worker => fleet.worker(0),
                    Victim::OneApi | Victim::EveryApi => fleet.api(0),
                };
                let status = process.ended(PATIENCE).await;
                assert!(status.signal().is_some(), "{name}: it ended by itself: {status}");
            }
            Moment::Seen(what, look) => {
                seen(ledger, number, what, look).await;
                match self.victim {
                    Victim::Worker => fleet.kill_worker(0).await,
                    Victim::OneApi | Victim::EveryApi => fleet.kill_api(0).await,
                }
            }
        }
    }
}

/// Waits until the carrier's leg to `number` is as `look` wants it.
async fn seen(ledger: &Ledger, number: &str, what: &str, look: fn(&Leg) -> bool) {
    let wanted = ledger.until(|book| book.legs.iter().any(|leg| leg.to == number && look(leg)).then_some(()));
    assert!(tokio::time::timeout(PATIENCE, wanted).await.is_ok(), "waited {PATIENCE:?} in vain for {what}");
}

/// Where the call stands now: our record, and the carrier's leg.
async fn stands_at(fleet: &Fleet, call: &str, number: &str) -> String {
    let letter = fleet.open_calls().await.get(call).map_or("E".to_owned(), |(letter, _)| letter.clone());
    let ours = match letter.as_str() {
        "Q" => "queued",
        "D" => "dialing",
        "U" => "unconfirmed",
        "R" => "ringing",
        "P" => "in progress",
        "W" => "wrap-up",
        _ => "ended",
    };
    let leg = fleet.sim.ledger().with(|book| {
        book.legs.iter().rev().find(|leg| leg.to == number).map(|leg| (leg.status.clone(), leg.fetches.len()))
    });
    match leg {
        None => format!("{ours}; no leg"),
        Some((status, turns)) => format!("{ours}; leg {status}, {turns} turns"),
    }
}

fn rung(sim: &Sim, number: &str) -> usize {
    sim.ledger().with(|book| book.legs.iter().filter(|leg| leg.to == number && leg.rang_at.is_some()).count())
}

fn webhook(ledger: &Ledger, call: &str, broken: &mut Vec<String>) -> String {
    let (last, repeats, unverified) = ledger.with(|book| {
        let of_call = || book.webhooks.iter().filter(|d| d.call_id.as_deref() == Some(call));
        let last = of_call()
            .find(|d| matches!(d.event_type.as_str(), "call_completed" | "call_failed"))
            .map(|d| d.event_type.clone());
        let repeats = of_call().filter(|d| d.repeat_of > 0).count();
        (last, repeats, of_call().filter(|d| d.problem.is_some()).count())
    });
    let Some(last) = last.filter(|_| unverified == 0) else {
        broken.push(format!("its end was not told, or {unverified} webhooks were not verified"));
        return "missing".to_owned();
    };
    if repeats == 0 { format!("{last}, verified") } else { format!("{last}, verified, {repeats} again") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_point_of_a_calls_life_changes_nothing() {
    let mut running = JoinSet::new();
    let mut names = std::collections::HashMap::new();
    for (n, case) in cases().into_iter().enumerate() {
        let handle = running.spawn(async move {
            let _place = CASES.acquire().await;
            let _room = super::room(1).await;
            (n, case.run().await)
        });
        names.insert(handle.id(), (n, case.name()));
    }
    let mut reports: Vec<(usize, Report)> = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    while let Some(joined) = running.join_next_with_id().await {
        match joined {
            Ok((_, report)) => reports.push(report),
            Err(error) => {
                let name = names.get(&error.id()).map_or("?", |(_, name)| name.as_str());
                failed.push(format!("{name}: it did not come to its end: {}", why(error)));
            }
        }
    }
    reports.sort_by_key(|(n, _)| *n);

    println!("\nkill -9 at every point of a call's life, seed {}", seed());
    println!(
        "{:<26} {:<36} {:<12} {:>4}  {:<34} {:>7}  ",
        "point", "killed at (ours; the carrier's)", "ended as", "rung", "webhook", "after s"
    );
    for (_, r) in &reports {
        println!(
            "{:<26} {:<36} {:<12} {:>4}  {:<34} {:>7.1}  {}",
            r.name, r.killed_at, r.ended_as, r.rung, r.webhook, r.seconds, r.but
        );
        failed.extend(r.broken.iter().map(|line| format!("{}: {line}", r.name)));
    }
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

fn why(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was canceled".to_owned() };
    match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => panic.downcast_ref::<&str>().map_or_else(|| "a panic".to_owned(), |text| (*text).to_owned()),
    }
}
