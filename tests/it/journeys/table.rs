//! A list of people and what became of them, as rows to print and to judge.

use std::collections::{BTreeSet, HashMap};

use carillon::sim::people::Kind;

use crate::support::fleet::{Ended, Fleet};

/// An interview that takes its course has fewer turns; the agent's own limit lies above.
const MOST_TURNS: usize = 45;

/// What became of one number.
pub(super) struct Row {
    pub(super) number: String,
    pub(super) kind: Kind,
    pub(super) call: String,
    pub(super) disposition: String,
    pub(super) attempts: u32,
    /// Legs that rang.
    pub(super) rang: usize,
    /// API nodes that took turns of it.
    pub(super) nodes: BTreeSet<String>,
    /// Requests for TwiML.
    pub(super) turns: usize,
    /// Events that told its end, verified.
    pub(super) told: usize,
}

/// The rows of a list, in its order. Which call rang which number, the dials say.
pub(super) fn rows(fleet: &Fleet, list: &[(String, Kind)], ended: &[Ended]) -> Vec<Row> {
    let book = fleet.sim.ledger().snapshot();
    let mut calls: HashMap<&str, &str> = HashMap::new();
    for create in &book.creates {
        let field = |name: &str| create.form.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
        let id = field("Url").split(['/', '?']).find(|part| part.starts_with("call_"));
        calls.entry(field("To")).or_insert(id.unwrap_or_default());
    }
    list.iter()
        .map(|(number, kind)| {
            let call = calls.get(number.as_str()).copied().unwrap_or_default();
            let end = ended.iter().find(|end| end.call == call);
            let legs: Vec<_> = book.legs.iter().filter(|leg| &leg.to == number).collect();
            let fetches = || legs.iter().flat_map(|leg| &leg.fetches);
            let told: BTreeSet<&str> = book
                .webhooks
                .iter()
                .filter(|w| w.problem.is_none() && w.call_id.as_deref() == Some(call))
                .filter(|w| matches!(w.event_type.as_str(), "call_completed" | "call_failed"))
                .map(|w| w.id.as_str())
                .collect();
            Row {
                number: number.clone(),
                kind: *kind,
                call: call.to_owned(),
                disposition: end.map_or_else(|| "(not ended)".into(), |end| end.disposition.clone()),
                attempts: end.map_or(0, |end| end.attempts),
                rang: legs.iter().filter(|leg| leg.rang_at.is_some()).count(),
                nodes: fetches()
                    .filter(|fetch| fetch.status == Some(200))
                    .filter_map(|fetch| fetch.sent_to.split('/').nth(2).map(str::to_owned))
                    .collect(),
                turns: fetches().count(),
                told: told.len(),
            }
        })
        .collect()
}

/// Prints the rows.
pub(super) fn print(rows: &[Row]) {
    println!(
        "{:<9} {:<15} {:<15} {:>8} {:>5} {:>6} {:>6} {:>9}  call",
        "number", "person", "disposition", "attempts", "rang", "turns", "nodes", "webhook"
    );
    for row in rows {
        println!(
            "+1…{:<6} {:<15} {:<15} {:>8} {:>5} {:>6} {:>6} {:>9}  {}",
            &row.number[row.number.len() - 4..],
            row.kind.as_str(),
            row.disposition,
            row.attempts,
            row.rang,
            row.turns,
            row.nodes.len(),
            if row.told == 1 { "verified".to_owned() } else { format!("{} events", row.told) },
            row.call,
        );
    }
}

/// What is wrong with the rows: an end that the person did not dictate, a phone that rang more or less often than it
/// was tried, an end told not once.
pub(super) fn wrong(rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows {
        let mut say = |what: String| wrong.push(format!("{} ({}): {what}", row.call, row.kind.as_str()));
        if !row.kind.expected_dispositions().contains(&row.disposition.as_str()) {
            say(format!("ended {}", row.disposition));
        }
        // A busy line does not ring, and a number that does not exist never does.
        let silent = matches!(row.kind, Kind::Busy | Kind::Invalid);
        let rung = u32::try_from(row.rang).unwrap_or(u32::MAX);
        if rung > row.attempts || (!silent && rung != row.attempts) {
            say(format!("rang {rung} times in {} attempts", row.attempts));
        }
        if row.turns > MOST_TURNS {
            say(format!("took {} turns: the interview went round in circles", row.turns));
        }
        if row.told != 1 {
            say(format!("its end was told by {} events", row.told));
        }
    }
    wrong
}
