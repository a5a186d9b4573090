//! How a list ended, call by call, against who the people are and what the carrier saw.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use carillon::sim::people::Kind;

use crate::support::Fleet;

/// One number of a list at the end of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) number: String,
    pub(super) kind: Kind,
    pub(super) call: String,
    pub(super) disposition: String,
    /// Attempts that were made.
    pub(super) attempts: usize,
    /// Legs at the carrier that bear this call's name.
    pub(super) legs: usize,
    /// A final event arrived, verified.
    pub(super) told: bool,
}

impl Outcome {
    /// Did it end as this person dictates?
    pub(super) fn as_dictated(&self) -> bool {
        super::dictated(self.kind, &self.disposition)
    }
}

/// Waits until the whole list has ended and all that follows is done; how it ended, and every broken invariant.
pub(super) async fn of_list(
    fleet: &mut Fleet,
    campaign: &str,
    people: &[(String, Kind)],
    deadline: Duration,
) -> (Vec<Outcome>, Vec<String>) {
    let rows = fleet.ended(campaign, people.len(), deadline).await;
    fleet.settled(deadline).await;
    let mut broken = fleet.invariants().await;
    broken.extend(dialed_twice(fleet));

    let mut outcomes = Vec::new();
    for row in rows {
        let Some((number, kind)) = whose(fleet, &row.call, people).await else {
            broken.push(format!("{} ended and is nobody's on the list", row.call));
            continue;
        };
        let (legs, told) = fleet.sim.ledger().with(|book| {
            let legs = book.legs.iter().filter(|leg| leg.call_id.as_deref() == Some(&row.call)).count();
            let told = book.webhooks.iter().any(|d| {
                d.call_id.as_deref() == Some(&row.call)
                    && d.problem.is_none()
                    && (200..300).contains(&d.answered)
                    && matches!(d.event_type.as_str(), "call_completed" | "call_failed")
            });
            (legs, told)
        });
        let attempts = usize::try_from(row.attempts).unwrap_or(usize::MAX);
        let (call, disposition) = (row.call, row.disposition);
        outcomes.push(Outcome { number, kind, call, disposition, attempts, legs, told });
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for outcome in &outcomes {
        *seen.entry(&outcome.number).or_default() += 1;
    }
    for (number, _) in people {
        let n = seen.get(number.as_str()).copied().unwrap_or_default();
        if n != 1 {
            broken.push(format!("{number} ended {n} times"));
        }
    }
    (outcomes, broken)
}

/// Numbers of one list: fewer live answers than the abandonment brake asks for, since a busy machine may answer late and
/// what the brake stops waits for an operator.
const LIST: usize = 30;

/// Lists that were posted: the campaign of each, and who is on it.
pub(super) type Lists = Vec<(String, Vec<(String, Kind)>)>;

/// Posts people, some to each list.
pub(super) async fn post(fleet: &Fleet, people: &[(String, Kind)]) -> Lists {
    let mut lists = Lists::new();
    for some in people.chunks(LIST) {
        let numbers: Vec<String> = some.iter().map(|(number, _)| number.clone()).collect();
        lists.push((fleet.post(&numbers).await, some.to_vec()));
    }
    lists
}

/// As [`of_list`], for several.
pub(super) async fn of_lists(
    fleet: &mut Fleet,
    lists: &Lists,
    deadline: Duration,
) -> (Vec<Outcome>, Vec<String>) {
    let (mut outcomes, mut broken) = (Vec::new(), Vec::new());
    for (campaign, people) in lists {
        fleet.ended(campaign, people.len(), deadline).await;
    }
    for (campaign, people) in lists {
        let (ends, wrong) = of_list(fleet, campaign, people, deadline).await;
        outcomes.extend(ends);
        broken.extend(wrong);
    }
    (outcomes, broken)
}

/// Whose call this is. The record alone knows the number.
async fn whose(fleet: &Fleet, call: &str, people: &[(String, Kind)]) -> Option<(String, Kind)> {
    let key = fleet.redis.keys(&format!("CALL_SESSION:*:{call}")).await.pop()?;
    let record = fleet.redis.cmd(&["GET", &key]).await.text()?;
    people.iter().find(|(number, _)| record.contains(&format!("\"{number}\""))).cloned()
}

/// C1, more strictly than by what rang: one attempt of a call is one leg at the carrier.
pub(super) fn dialed_twice(fleet: &Fleet) -> Vec<String> {
    let mut legs: BTreeMap<(String, String), usize> = BTreeMap::new();
    fleet.sim.ledger().with(|book| {
        for leg in book.legs.iter().filter(|leg| leg.parent.is_none()) {
            let name = (leg.call_id.clone().unwrap_or_default(), leg.attempt.clone().unwrap_or_default());
            *legs.entry(name).or_default() += 1;
        }
    });
    let twice = legs.into_iter().filter(|(_, n)| *n > 1);
    twice.map(|((call, attempt), n)| format!("C1 {call}: attempt {attempt} was dialed {n} times")).collect()
}

/// Prints how the kinds ended, and each call that ended otherwise than its person dictates.
pub(super) fn print(title: &str, outcomes: &[Outcome]) {
    println!("\n{title}");
    println!("{:<15} {:>5} {:>6} {:>8}  ended as", "person", "calls", "legs", "webhook");
    for kind in Kind::ALL {
        let of_kind: Vec<&Outcome> = outcomes.iter().filter(|o| o.kind == kind).collect();
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for outcome in &of_kind {
            *ends.entry(&outcome.disposition).or_default() += 1;
        }
        let ends: Vec<String> = ends.iter().map(|(end, n)| format!("{n} {end}")).collect();
        println!(
            "{:<15} {:>5} {:>6} {:>8}  {}",
            kind.as_str(),
            of_kind.len(),
            of_kind.iter().map(|o| o.legs).sum::<usize>(),
            of_kind.iter().filter(|o| o.told).count(),
            ends.join(", "),
        );
    }
    let changed: Vec<&Outcome> = outcomes.iter().filter(|o| !o.as_dictated()).collect();
    println!("{} of {} as their people dictate", outcomes.len() - changed.len(), outcomes.len());
    for outcome in changed {
        println!(
            "  {} ({}): {} with {} legs at the carrier",
            outcome.call,
            outcome.kind.as_str(),
            outcome.disposition,
            outcome.legs
        );
    }
}
