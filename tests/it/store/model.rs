//! The real store beside a model of it: workers that hold what they once claimed, however old, do anything in any order,
//! and after each step the store must have done what the model says. Time is the model's: a lease ends, or a call comes
//! due, when it says so. A failing run is shrunk to the shortest one that fails.

use std::collections::{BTreeMap, BTreeSet};

use carillon::base::clock::Clock;
use carillon::domain::call::{Call, Effect, Event, HangUpCause, Leg, Phase, Rules, Timings};
use carillon::domain::disposition::{Disposition, Ending};
use carillon::domain::ids::Shard;
use carillon::store::{Applied, Started, Wants};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Bed, LONG};
use crate::support::{Backend, RedisServer, invariants};

const SHARD: Shard = Shard(7);
const WORKERS: usize = 3;
const PEOPLE: usize = 3;
/// Two to each person, so that legs stand in each other's way.
const CALLS: usize = 2 * PEOPLE;
/// The store's own cap.
const CAP: usize = 3;
const RUNS: u32 = 12;

/// One step: a worker, one of its calls, what it does.
#[derive(Clone, Debug)]
enum Step {
    Claim(usize),
    Start(usize, usize),
    PutBack(usize, usize),
    Say(usize, usize, Word),
    /// The lease of a call ends, or its time comes.
    Lapse(usize),
}

/// What can be said of a call.
#[derive(Clone, Copy, Debug)]
enum Word {
    Defer,
    NotSent,
    RefusedForNow,
    RefusedForGood,
    Unknown,
    Absent,
    Expired,
    Watched,
    MaxDuration,
    Concluded,
    Accepted,
    Rang,
    Answered,
    Busy,
    Completed,
    Cancel,
    OptOut,
    CallBack,
}

fn word() -> impl Strategy<Value = Word> {
    use Word as W;
    proptest::sample::select(vec![
        W::Defer,
        W::NotSent,
        W::RefusedForNow,
        W::RefusedForGood,
        W::Unknown,
        W::Absent,
        W::Expired,
        W::Watched,
        W::MaxDuration,
        W::Concluded,
        W::Accepted,
        W::Rang,
        W::Answered,
        W::Busy,
        W::Completed,
        W::Completed,
        W::Concluded,
        W::Cancel,
        W::OptOut,
        W::CallBack,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let (worker, call) = (0..WORKERS, 0..CALLS);
    prop_oneof![
        3 => worker.clone().prop_map(Step::Claim),
        3 => (worker.clone(), call.clone()).prop_map(|(w, c)| Step::Start(w, c)),
        1 => (worker.clone(), call.clone()).prop_map(|(w, c)| Step::PutBack(w, c)),
        8 => (worker, call.clone(), word()).prop_map(|(w, c, word)| Step::Say(w, c, word)),
        3 => call.prop_map(Step::Lapse),
    ]
}

/// What the model knows.
struct Model {
    rules: Rules,
    /// The calls as they should stand in the store, their heads included.
    truth: Vec<Call>,
    /// Whom nobody may claim now: claimed, and neither written to, given back nor lapsed since.
    held: BTreeSet<usize>,
    /// What each worker has in its hands.
    copies: BTreeMap<(usize, usize), Call>,
    /// Dials that count against a person's cap, by person.
    dials: BTreeMap<usize, BTreeSet<(usize, u32)>>,
    /// Who has opted out.
    suppressed: BTreeSet<usize>,
}

fn person(call: usize) -> usize {
    call % PEOPLE
}

impl Model {
    fn of(calls: &[Call]) -> Self {
        // The model has no time: look-ups may end a search at once.
        let timings = Timings { lookup_for: 0, lookups: 2, ..Timings::default() };
        Self {
            rules: Rules { timings, ..Rules::default() },
            truth: calls.to_vec(),
            held: BTreeSet::new(),
            copies: BTreeMap::new(),
            dials: BTreeMap::new(),
            suppressed: BTreeSet::new(),
        }
    }

    fn same_version(&self, copy: &Call, i: usize) -> bool {
        copy.head.version == self.truth[i].head.version
    }

    fn same_epoch(&self, copy: &Call, i: usize) -> bool {
        copy.head.epoch == self.truth[i].head.epoch
    }

    /// What a start should answer.
    fn may_start(&self, copy: &Call, i: usize) -> &'static str {
        if copy.phase() != Phase::Queued
            || !self.same_epoch(copy, i)
            || self.truth[i].phase() != Phase::Queued
        {
            return "lost";
        }
        let leg_out =
            |other: usize| other != i && person(other) == person(i) && self.truth[other].phase().holds_slot();
        let dials = self.dials.get(&person(i));
        let counted = dials.is_some_and(|d| d.contains(&(i, self.truth[i].body.attempt)));
        if self.suppressed.contains(&person(i)) {
            "suppressed"
        } else if (0..CALLS).any(leg_out) {
            "leg_outstanding"
        } else if dials.map_or(0, BTreeSet::len) >= CAP && !counted {
            "frequency"
        } else {
            "started"
        }
    }

    /// Writes an event to the call as it stands, from `copy` on; `false`: it changes nothing.
    fn write(&mut self, copy: &Call, i: usize, event: &Event) -> bool {
        let (mut base, now) = (copy.clone(), Clock::System.now());
        loop {
            let mut change = base.clone().change();
            if change.apply(event.clone(), &self.rules, now).is_err() {
                return false;
            }
            let conflict = !self.same_version(&base, i) || (change.decides && !self.same_epoch(&base, i));
            if conflict && change.decides && !self.same_epoch(copy, i) {
                return false;
            }
            if conflict {
                base = self.truth[i].clone();
                continue;
            }
            let attempt = base.body.attempt;
            let dials = self.dials.entry(person(i)).or_default();
            if change.unplaced {
                dials.remove(&(i, attempt));
            }
            if matches!(event, Event::DialStarted { .. }) {
                dials.insert((i, attempt));
            }
            dials.extend(change.adopted.map(|attempt| (i, attempt)));
            if change.effects.iter().any(|effect| matches!(effect, Effect::Suppress { .. })) {
                self.suppressed.insert(person(i));
                // The person's other calls are looked at at once.
                let others = (0..CALLS).filter(|other| person(*other) == person(i) && *other != i);
                for other in others.collect::<Vec<_>>() {
                    self.held.remove(&other);
                }
            }
            let (was, epoch) = (self.truth[i].phase(), self.truth[i].head.epoch);
            self.truth[i] = change.call;
            self.truth[i].head.epoch = epoch;
            self.truth[i].head.version = base.head.version.wrapping_add(1);
            // What is learned of a waiting call leaves it where it stands; all else gives it a time of its own.
            if change.decides || was != Phase::Queued || self.truth[i].phase() != Phase::Queued {
                self.held.remove(&i);
            }
            return true;
        }
    }
}

/// What two records of one call must agree in; moments are the machine's own.
fn digest(call: &Call) -> (String, u32, u32, u32, Option<String>, bool, bool, usize) {
    let state = match call.ending() {
        Some(ending) => {
            format!("{} {} {}", call.phase().as_str(), ending.disposition.as_str(), ending.reason)
        }
        None => format!("{} {:?}", call.phase().as_str(), call.state.sid()),
    };
    let body = &call.body;
    let head = call.head;
    let flags = (body.cancel_requested, body.opted_out);
    (state, head.version, head.epoch, body.attempt, body.last_sid.clone(), flags.0, flags.1, body.past.len())
}

fn event(word: Word, copy: &Call) -> Event {
    let later = Clock::System.now() + LONG;
    let leg = Leg { attempt: copy.body.attempt, sid: format!("CA{}{}", copy.body.attempt, copy.id) };
    let over = |cause| Event::HungUp { leg: leg.clone(), cause, code: None, duration_s: Some(1) };
    match word {
        Word::Defer => Event::Deferred { until: later, reason: "window" },
        Word::NotSent => Event::NotSent { until: later },
        Word::RefusedForNow => Event::RefusedForNow { until: later },
        Word::RefusedForGood => {
            Event::RefusedForGood { ending: Ending::new(Disposition::InvalidNumber, "refused") }
        }
        Word::Unknown => Event::DialUnknown,
        Word::Absent => Event::LookedUpAbsent,
        Word::Expired => Event::Expired,
        Word::Watched => Event::Watched,
        Word::MaxDuration => Event::MaxDuration,
        Word::Concluded => Event::Concluded {
            artefacts: Vec::new(),
            outcome: None,
            adversarial_score: None,
            employment_gaps: None,
        },
        Word::Accepted => Event::Accepted(leg),
        Word::Rang => Event::Rang(leg),
        Word::Answered => Event::Answered(leg),
        Word::Busy => over(HangUpCause::Busy),
        Word::Completed => over(HangUpCause::Completed),
        Word::Cancel => Event::Cancel,
        Word::OptOut => Event::OptedOut { words: "stop".into() },
        // A callback that comes late, of an attempt before.
        Word::CallBack => {
            let attempt = copy.body.attempt.saturating_sub(1);
            Event::Rang(Leg { attempt, sid: format!("CA{attempt}{}", copy.id) })
        }
    }
}

async fn run(bed: &Bed, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut calls = bed.calls_in(SHARD, PEOPLE, None);
    calls.extend(bed.calls_in(SHARD, PEOPLE, None));
    bed.store.submit(&calls, Clock::System.now()).await.expect("in");
    let mut model = Model::of(&calls);
    for step in steps {
        match step {
            Step::Claim(worker) => Box::pin(claim(bed, &mut model, *worker)).await?,
            Step::Start(worker, i) => {
                let Some(copy) = model.copies.get(&(*worker, *i)).cloned() else { continue };
                let wanted = model.may_start(&copy, *i);
                let got = match bed.start(&copy).await {
                    Started::Done(call) => {
                        model.copies.insert((*worker, *i), *call);
                        "started".to_owned()
                    }
                    Started::Refused { reason, .. } => reason,
                    Started::Lost(_) => "lost".to_owned(),
                    Started::Unclear(_, error) => panic!("{error}"),
                    other @ (Started::Held(_) | Started::Unreplicated(_)) => panic!("{other:?}"),
                };
                prop_assert_eq!(&got, wanted, "{:?}: a start", step);
                if got == "started" {
                    let event = Event::DialStarted { caller: "+14155550199".into(), evidence: None };
                    let base = model.truth[*i].clone();
                    prop_assert!(model.write(&base, *i, &event));
                }
            }
            Step::PutBack(worker, i) => {
                let Some(copy) = model.copies.get(&(*worker, *i)).cloned() else { continue };
                bed.store.put_back(&[&copy]).await.expect("redis answers");
                if model.same_epoch(&copy, *i) && model.truth[*i].phase() == Phase::Queued {
                    model.truth[*i].head.epoch += 1;
                    model.held.remove(i);
                }
            }
            Step::Say(worker, i, word) => {
                let Some(copy) = model.copies.get(&(*worker, *i)).cloned() else { continue };
                let event = event(*word, &copy);
                let wanted = model.write(&copy, *i, &event);
                let done = bed.store.apply(copy, event, &model.rules).await.expect("redis answers");
                let got = matches!(done, Applied::Done(..));
                prop_assert_eq!(got, wanted, "{:?}: is it written?", step);
                if let Applied::Done(call, _) | Applied::Stale(call) = done {
                    model.copies.insert((*worker, *i), *call);
                }
            }
            Step::Lapse(i) => {
                let id = model.truth[*i].id.as_str().to_owned();
                let due = format!("DUE:{{s{:02}}}", SHARD.0);
                bed.redis.cmd(&["ZADD", &due, "XX", "1", &id]).await;
                model.held.remove(i);
            }
        }
        for (i, truth) in model.truth.iter().enumerate() {
            let stored = bed.load(&truth.id).await;
            prop_assert_eq!(digest(&stored), digest(truth), "call {} after {:?}", i, step);
        }
    }
    let broken = invariants::check(&bed.redis).await;
    prop_assert!(broken.is_empty(), "{:?}", broken);
    // Q1: whatever happened, each call that is not over is somebody's next.
    for i in 0..CALLS {
        let id = model.truth[i].id.as_str().to_owned();
        bed.redis.cmd(&["ZADD", &format!("DUE:{{s{:02}}}", SHARD.0), "XX", "1", &id]).await;
    }
    model.held.clear();
    model.copies.clear();
    Box::pin(claim(bed, &mut model, 0)).await?;
    for (i, call) in model.truth.iter().enumerate() {
        let claimed = model.copies.contains_key(&(0, i));
        prop_assert!(claimed || call.phase() == Phase::Ended, "call {} is nobody's: {:?}", i, call.phase());
    }
    Ok(())
}

/// A worker claims all there is: nothing that is another's, each once, and with a higher epoch than ever before.
async fn claim(bed: &Bed, model: &mut Model, worker: usize) -> Result<(), TestCaseError> {
    let wants = Wants { live: 100, urgent: 100, ..Wants::default() };
    let claims = bed.store.claim(SHARD, LONG, &wants).await.expect("redis answers");
    prop_assert_eq!(claims.lost, 0);
    let mut taken = BTreeSet::new();
    for claimed in claims.calls {
        let Some(i) = model.truth.iter().position(|call| call.id == claimed.call.id) else {
            return Err(TestCaseError::fail("a call that nobody posted"));
        };
        prop_assert!(taken.insert(i), "call {} comes twice", i);
        prop_assert!(!model.held.contains(&i), "call {} is another's", i);
        prop_assert!(claimed.call.head.epoch > model.truth[i].head.epoch, "the epoch of {} did not rise", i);
        let waits = claimed.call.phase() == Phase::Queued;
        prop_assert_eq!(claimed.suppressed, waits && model.suppressed.contains(&person(i)));
        model.truth[i].head.epoch = claimed.call.head.epoch;
        prop_assert_eq!(digest(&claimed.call), digest(&model.truth[i]));
        model.held.insert(i);
        model.copies.insert((worker, i), claimed.call);
    }
    // A waiting call whose lease ended goes back into its lane first, and its epoch rises there too.
    for call in &mut model.truth {
        call.head.epoch = bed.load(&call.id).await.head.epoch.max(call.head.epoch);
    }
    Ok(())
}

#[test]
fn the_store_does_what_the_model_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config =
        Config { cases: RUNS, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let steps = proptest::collection::vec(step(), 20..60);
    // One server for all runs, empty for each.
    let server = std::cell::RefCell::new(Some(Backend::One(runtime.block_on(RedisServer::start()))));
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        let redis = server.borrow_mut().take().expect("the run before gave it back");
        let (told, redis) = runtime.block_on(async {
            redis.cmd(&["FLUSHALL"]).await;
            let bed = Bed::on(redis).await;
            let told = Box::pin(run(&bed, &steps)).await;
            bed.store.close().await;
            (told, bed.redis)
        });
        server.replace(Some(redis));
        told
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}
