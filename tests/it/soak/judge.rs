//! How a soak ended: the ledger's table, and for each call that ended otherwise than its person dictates the fault that
//! made it so. What no fault explains is a finding.

use std::collections::{BTreeMap, HashMap};

use carillon::sim::ledger::{Book, Create, Leg};
use carillon::sim::people::Kind;

use super::causes::cause;
use super::look::{Left, Record};

/// Something that was done to the fleet, and when, Unix ms.
#[derive(Clone, Debug)]
pub(super) struct Blow {
    pub(super) name: &'static str,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// All that is known of a run.
pub(super) struct Evidence<'a> {
    pub(super) people: &'a HashMap<String, Kind>,
    pub(super) records: &'a [Record],
    pub(super) left: &'a Left,
    /// Calls whose last event is parked.
    pub(super) parked: &'a HashMap<String, String>,
    pub(super) blows: &'a [Blow],
    pub(super) book: &'a Book,
    /// How late this process' own timer was at worst.
    pub(super) late_ms: u64,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) ended: usize,
    pub(super) by_person: usize,
    /// Fault → how often it made something else of a call.
    pub(super) by_fault: BTreeMap<String, usize>,
    pub(super) told: usize,
    pub(super) parked: usize,
    /// Legs that rang, and the most rings of one attempt.
    pub(super) rings: (usize, usize),
    /// Ended calls whose recording is still to be fetched, or deleted, at the carrier.
    pub(super) recordings: usize,
    pub(super) dispositions: BTreeMap<String, usize>,
    /// What must not be.
    pub(super) findings: Vec<String>,
}

/// What the outside saw of one call.
pub(super) struct OfCall<'a> {
    pub(super) legs: Vec<&'a Leg>,
    pub(super) creates: Vec<&'a Create>,
    /// Ids of the final events that arrived.
    told: Vec<&'a str>,
}

pub(super) fn table(evidence: &Evidence<'_>) -> Table {
    let mut of: HashMap<&str, OfCall<'_>> = HashMap::new();
    let none = || OfCall { legs: Vec::new(), creates: Vec::new(), told: Vec::new() };
    for leg in &evidence.book.legs {
        if let Some(id) = &leg.call_id {
            of.entry(id).or_insert_with(none).legs.push(leg);
        }
    }
    for create in &evidence.book.creates {
        if let Some(id) = &create.call_id {
            of.entry(id).or_insert_with(none).creates.push(create);
        }
    }
    let mut table = Table::default();
    for delivery in &evidence.book.webhooks {
        if let Some(problem) = &delivery.problem {
            table.findings.push(format!("O1 {}: a webhook was not verified: {problem}", delivery.id));
        }
        let last = matches!(delivery.event_type.as_str(), "call_completed" | "call_failed");
        if let Some(id) =
            delivery.call_id.as_deref().filter(|_| last && (200..300).contains(&delivery.answered))
        {
            let told = &mut of.entry(id).or_insert_with(none).told;
            if !told.contains(&delivery.id.as_str()) {
                told.push(&delivery.id);
            }
        }
    }
    let nothing = none();
    let mut accepted: HashMap<&str, usize> = HashMap::new();
    for record in evidence.records {
        let call = of.get(record.id.as_str()).unwrap_or(&nothing);
        if !record.is_child() {
            *accepted.entry(record.text("p")).or_default() += 1;
        }
        one(evidence, record, call, &mut table);
    }
    for number in evidence.people.keys() {
        let n = accepted.get(number.as_str()).copied().unwrap_or(0);
        if n != 1 {
            // Not the number itself: it is the world's, but a habit is a habit.
            table
                .findings
                .push(format!("an accepted number …{} has {n} records", &number[number.len() - 4..]));
        }
    }
    queues(evidence, &mut table);
    rings(evidence.book, &mut table);
    table
}

fn one(evidence: &Evidence<'_>, record: &Record, call: &OfCall<'_>, table: &mut Table) {
    if record.letter != 'E' {
        if !record.is_scheduled() {
            table.findings.push(format!("{} did not end: state {}", record.id, record.letter));
        }
        return;
    }
    let parked = evidence.parked.contains_key(&record.id);
    match (call.told.len(), parked) {
        (1, _) => table.told += usize::from(!record.is_child()),
        (0, true) => table.parked += 1,
        (n, _) => table.findings.push(format!("O1 {}: its end was told by {n} events", record.id)),
    }
    if record.is_child() {
        return;
    }
    table.ended += 1;
    *table.dispositions.entry(record.ended_as().to_owned()).or_default() += 1;
    let Some(kind) = evidence.people.get(record.text("p")) else {
        table.findings.push(format!("{} is nobody's on the list", record.id));
        return;
    };
    if kind.expected_dispositions().contains(&record.ended_as()) {
        table.by_person += 1;
        return;
    }
    match cause(evidence, *kind, record, call) {
        Ok(fault) => *table.by_fault.entry(format!("{}: {fault}", record.ended_as())).or_default() += 1,
        Err(why) => table.findings.push(format!(
            "{} ({}) ended {} ({}) after {} attempts and {} legs: {why}",
            record.id,
            kind.as_str(),
            record.ended_as(),
            record.body["s"]["ending"]["reason"].as_str().unwrap_or("?"),
            record.attempt(),
            call.legs.len()
        )),
    }
}

fn queues(evidence: &Evidence<'_>, table: &mut Table) {
    let mut entries = evidence.left.entries.clone();
    for record in evidence.records.iter().filter(|record| record.letter == 'E' && record.fetches_recording())
    {
        // Over, told, and due again only for what the carrier recorded.
        table.recordings += usize::from(entries.remove(&record.id).is_some());
    }
    for record in evidence.records.iter().filter(|record| record.letter != 'E') {
        let n = entries.remove(&record.id).unwrap_or(0);
        if n != 1 {
            table.findings.push(format!("Q1 {} (state {}) has {n} entries", record.id, record.letter));
        }
    }
    table.findings.extend(entries.into_keys().map(|id| format!("Q1 {id} is over and still in a queue")));
    table.findings.extend(evidence.left.slots.iter().map(|id| format!("K2 {id} holds a slot")));
    if evidence.left.pending != 0 {
        table
            .findings
            .push(format!("O1 {} webhooks are neither delivered nor parked", evidence.left.pending));
    }
}

fn rings(book: &Book, table: &mut Table) {
    let mut of_attempt: HashMap<(&str, &str), usize> = HashMap::new();
    for leg in book.legs.iter().filter(|leg| leg.parent.is_none() && leg.rang_at.is_some()) {
        table.rings.0 += 1;
        let key = (leg.call_id.as_deref().unwrap_or("?"), leg.attempt.as_deref().unwrap_or("?"));
        let n = of_attempt.entry(key).or_default();
        *n += 1;
        table.rings.1 = table.rings.1.max(*n);
    }
}
