//! The faults of a soak: which there are by name, those that strike all the time by chance, and those that come one after
//! the other. All follow from the seed: the same seed gives the same plan.

use std::time::Duration;

use carillon::sim::faults::{Fault, Rule, Target};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rig::Way;

/// Every kind of fault and what it does.
const NAMES: [(&str, &str); 13] = [
    ("nodes", "a node is killed each second (SIGKILL) and started again at once"),
    ("primary", "a primary of the cluster is killed; its replica takes over, it comes back as a replica"),
    ("redis", "connections to Redis are cut, dropped, delayed, or lose answers"),
    ("carrier-wire", "the same for requests to the carrier"),
    ("model-wire", "the same for requests to the model"),
    ("archive-wire", "the same for requests to S3"),
    ("webhook-wire", "the same for webhooks"),
    ("dials", "creates answered 503, lost before or after, delayed; bursts of 429 and 10004"),
    ("queue", "the carrier queues"),
    ("callbacks", "callbacks lost, twice, late, reordered, reversed"),
    ("calls", "calls that the carrier took and could not complete"),
    ("lookups", "GET and POST of single calls refused, lost, delayed"),
    ("services", "model, S3 and receiver refuse, break off, delay; the receiver is down for a while"),
];

/// Which faults a run has, from `all`, `none` or names with commas.
#[derive(Clone, Debug)]
pub(crate) struct Faults(Vec<&'static str>);

impl Faults {
    /// # Errors
    /// The name that is none, and those there are.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let all = || NAMES.iter().map(|(name, _)| *name);
        match text {
            "all" => return Ok(Self(all().collect())),
            "none" => return Ok(Self(Vec::new())),
            _ => {}
        }
        let known = |wanted: &str| {
            all().find(|name| *name == wanted).ok_or_else(|| {
                let names: Vec<String> =
                    NAMES.iter().map(|(name, what)| format!("  {name:<13} {what}")).collect();
                format!(
                    "--faults: {wanted:?} is not known; all, none, or with commas between them:\n{}",
                    names.join("\n")
                )
            })
        };
        Ok(Self(text.split(',').map(known).collect::<Result<_, _>>()?))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    /// As on the command line.
    pub(super) fn shown(&self) -> String {
        match self.0.len() {
            0 => "none".to_owned(),
            n if n == NAMES.len() => "all".to_owned(),
            _ => self.0.join(","),
        }
    }
}

/// What befalls a wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire {
    /// The connections there are break once.
    Drop,
    /// None passes.
    Cut,
    /// Nothing passes, and all of it later.
    Stall,
    /// Everything takes this long.
    Delay(Duration),
    /// What is asked is done and not answered.
    LoseAnswers,
}

/// One of those that come one after the other.
#[derive(Clone, Debug)]
pub(super) enum Strike {
    /// A way of the nodes'.
    Way(Way, Wire),
    /// The way to one node of Redis.
    Redis(usize, Wire),
    /// A primary of Redis: the n-th of those there are.
    Primary(usize),
    /// Rules of the world, as long as the strike lasts.
    Rules(Vec<Rule>),
    /// The carrier lets so small a share of the fleet's rate out of its queue. What it queued meanwhile keeps its places
    /// after the strike, some seconds of it.
    Queue(f64),
}

/// A strike and its times.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Quiet before it.
    pub(super) pause: Duration,
    pub(super) name: &'static str,
    pub(super) strike: Strike,
    pub(super) lasts: Duration,
}

fn status(code: u16, retry_after_s: Option<u64>, error_code: Option<&str>) -> Fault {
    Fault::Status { code, retry_after_s, error_code: error_code.map(str::to_owned) }
}

/// What strikes all the time, by chance.
pub(super) fn always(faults: &Faults) -> Vec<Rule> {
    use Target as T;
    let mut rules = Vec::new();
    let mut add = |name: &str, more: Vec<(Target, Fault, f64)>| {
        if faults.has(name) {
            rules.extend(more.into_iter().map(|(target, fault, p)| Rule::likely(target, fault, p)));
        }
    };
    add(
        "dials",
        vec![
            (T::TwilioCreate, Fault::AcceptThenDrop, 0.01),
            (T::TwilioCreate, Fault::DropBefore, 0.001),
            (T::TwilioCreate, status(503, None, None), 0.001),
            (T::TwilioCreate, status(429, None, Some("20429")), 0.001),
            (T::TwilioCreate, Fault::DelayMs(400), 0.02),
        ],
    );
    add(
        "callbacks",
        vec![
            (T::Callbacks, Fault::Missing, 0.03),
            (T::Callbacks, Fault::Duplicate, 0.05),
            (T::Callbacks, Fault::LateMs(1_500), 0.05),
            (T::Callbacks, Fault::Reorder, 0.05),
            (T::Callbacks, Fault::Reverse, 0.03),
        ],
    );
    add("calls", vec![(T::Calls, Fault::CallFails { error_code: 32014, sip: 503 }, 0.01)]);
    add(
        "lookups",
        vec![
            (T::TwilioGet, status(500, None, None), 0.1),
            (T::TwilioGet, Fault::DropBefore, 0.05),
            (T::TwilioGet, Fault::DelayMs(500), 0.05),
            (T::TwilioUpdate, status(503, None, None), 0.05),
            (T::TwilioUpdate, Fault::AcceptThenDrop, 0.05),
        ],
    );
    add(
        "services",
        vec![
            (T::Model, status(500, None, None), 0.01),
            (T::Model, status(429, Some(1), Some("rate_limit_exceeded")), 0.005),
            (T::Model, Fault::DropMidStream, 0.01),
            (T::Model, Fault::Malformed, 0.005),
            (T::Model, Fault::DelayMs(1_000), 0.01),
            (T::S3, status(503, None, None), 0.03),
            (T::S3, Fault::DropBefore, 0.01),
            (T::S3, Fault::AcceptThenDrop, 0.02),
            (T::S3, Fault::DelayMs(300), 0.03),
            (T::Receiver, status(500, None, None), 0.02),
            (T::Receiver, status(429, Some(1), None), 0.01),
            (T::Receiver, Fault::AcceptThenDrop, 0.01),
            (T::Receiver, Fault::DelayMs(300), 0.02),
        ],
    );
    rules
}

/// A dice of its own for each purpose, so that what one takes longer for changes nothing for the others.
pub(super) fn dice(seed: u64, purpose: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose)
}

/// What comes one after the other, without end.
pub(super) fn steps(faults: &Faults, seed: u64) -> impl Iterator<Item = Step> + Send + use<> {
    const KINDS: [(&str, u32); 9] = [
        ("primary", 2),
        ("redis", 3),
        ("carrier-wire", 3),
        ("model-wire", 2),
        ("archive-wire", 2),
        ("webhook-wire", 2),
        ("dials", 2),
        ("queue", 1),
        ("services", 1),
    ];
    let kinds: Vec<&'static str> = KINDS
        .iter()
        .filter(|(name, _)| faults.has(name))
        .flat_map(|(name, weight)| std::iter::repeat_n(*name, *weight as usize))
        .collect();
    let mut dice = dice(seed, 2);
    std::iter::from_fn(move || {
        let name = *kinds.get(dice.random_range(0..kinds.len().max(1)))?;
        let pause = Duration::from_millis(dice.random_range(1_500..5_000));
        let (strike, ms) = strike(name, &mut dice);
        Some(Step { pause, name, strike, lasts: Duration::from_millis(ms) })
    })
}

fn strike(name: &str, dice: &mut StdRng) -> (Strike, u64) {
    // A request that is held back longer than an unconfirmed dial is looked for would ring after its call was over. At
    // the pace of a rehearsal that is three seconds, in life two minutes.
    let (wire, ms) = match dice.random_range(0..5) {
        0 => (Wire::Drop, 10),
        1 => (Wire::Cut, dice.random_range(100..1_000)),
        2 => (Wire::Stall, dice.random_range(100..1_000)),
        3 => (Wire::Delay(Duration::from_millis(dice.random_range(5..60))), dice.random_range(1_000..3_000)),
        _ => (Wire::LoseAnswers, dice.random_range(50..300)),
    };
    match name {
        "redis" => (Strike::Redis(dice.random_range(0..6), wire), ms),
        "carrier-wire" => (Strike::Way(Way::Carrier, wire), ms),
        "model-wire" => (Strike::Way(Way::Model, wire), ms),
        "archive-wire" => (Strike::Way(Way::Archive, wire), ms),
        "webhook-wire" => (Strike::Way(Way::Webhooks, wire), ms),
        "primary" => (Strike::Primary(dice.random_range(0..3)), 0),
        "queue" => (Strike::Queue(0.25), 2_000),
        "dials" => {
            let refused = match dice.random_bool(0.5) {
                true => status(429, Some(1), Some("20429")),
                false => status(429, None, Some("10004")),
            };
            (Strike::Rules(vec![Rule::always(Target::TwilioCreate, refused)]), 1_500)
        }
        _ => (Strike::Rules(vec![Rule::always(Target::Receiver, status(503, None, None))]), 8_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let shown = |seed, names: &str| {
            let faults = Faults::parse(names).expect("known");
            steps(&faults, seed).take(40).map(|step| format!("{step:?}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(3, "all"), shown(3, "all"));
        assert_ne!(shown(3, "all"), shown(4, "all"));
        assert!(shown(3, "none").is_empty() && shown(3, "nodes").is_empty());
        assert!(shown(3, "redis").iter().all(|step| step.contains("Redis(")));
        assert!(Faults::parse("redis,primry").is_err_and(|why| why.contains("primry")));
    }
}
