//! The verdict: what the outside saw and what stands in S3, against who the people are.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::app::dev::sample::Entry;
use crate::domain::ids::{CallId, CampaignId};
use crate::sim::people::Kind;
use crate::sim::{Sim, judge};
use crate::store::Store;

/// The share of profile fields that must be right for people who cooperate.
const RIGHT: f64 = 0.95;
/// Kinds that answer truthfully and fully when asked.
const COOPERATIVE: [Kind; 3] = [Kind::Cooperative, Kind::LongGap, Kind::Overlapping];

struct Row<'a> {
    entry: &'a Entry,
    call: Option<CallId>,
    disposition: String,
    attempts: String,
    rang: usize,
    webhook: bool,
    /// Fields right and fields in all of the profile, where there is one.
    profile: Option<(u32, u32)>,
}

/// Prints the summary and answers the verdict.
pub(super) async fn print(
    sim: &Sim,
    store: &Store,
    campaign: &CampaignId,
    list: &[Entry],
    ended: bool,
    settled: bool,
) -> anyhow::Result<bool> {
    let book = sim.ledger().snapshot();
    // Which call rang which number: the URL that the dial handed to the carrier says so.
    let mut by_number: HashMap<String, CallId> = HashMap::new();
    for create in &book.creates {
        let field = |name: &str| create.form.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
        if let Some(id) = field("Url").split('/').find_map(|part| CallId::parse(part.split('?').next()?)) {
            by_number.entry(field("To").to_owned()).or_insert(id);
        }
    }
    let results: HashMap<String, (String, String)> = store
        .results(campaign)
        .await?
        .iter()
        .filter_map(|row| {
            let mut words = row.split(' ');
            Some((words.next()?.to_owned(), (words.next()?.to_owned(), words.next()?.to_owned())))
        })
        .collect();
    let told: HashSet<&str> = book
        .webhooks
        .iter()
        .filter(|w| w.problem.is_none() && matches!(w.event_type.as_str(), "call_completed" | "call_failed"))
        .filter_map(|w| w.call_id.as_deref())
        .collect();

    let mut rows = Vec::new();
    let mut misses: Vec<String> = Vec::new();
    let mut missing_objects = 0;
    let mut recordings = 0;
    for entry in list {
        let call = by_number.get(&entry.number).cloned();
        let result = call.as_ref().and_then(|id| results.get(id.as_str()));
        let mut profile = None;
        if let Some(id) = &call
            && let Some(record) = store.load(id).await?
        {
            for artefact in &record.body.artefacts {
                let object = read_object(sim, &artefact.key);
                missing_objects += usize::from(object.is_none());
                recordings += usize::from(artefact.kind == "recording");
                if artefact.kind == "outcome"
                    && let Some(document) =
                        object.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
                {
                    let truth = sim.world().person(&entry.number).truth;
                    let score = judge::compare(&document, &truth);
                    profile = Some((score.right, score.fields));
                    if COOPERATIVE.contains(&entry.kind) {
                        misses.extend(score.misses.iter().map(|m| format!("{id}: {m}")));
                    }
                }
            }
        }
        rows.push(Row {
            entry,
            webhook: call.as_ref().is_some_and(|id| told.contains(id.as_str())),
            disposition: result.map_or_else(|| "(not ended)".to_owned(), |r| r.0.clone()),
            attempts: result.map_or_else(|| "–".to_owned(), |r| r.1.clone()),
            rang: book.legs.iter().filter(|l| l.to == entry.number && l.rang_at.is_some()).count(),
            call,
            profile,
        });
    }

    // Whoever tries the API meanwhile has calls of his own under way; they are no fault of the list's.
    let listed: HashSet<&str> = list.iter().map(|entry| entry.number.as_str()).collect();
    let others = by_number.keys().any(|number| !listed.contains(number.as_str()));

    table(&rows);
    let unexpected: Vec<String> = rows
        .iter()
        .filter(|r| !r.entry.kind.expected_dispositions().contains(&r.disposition.as_str()))
        .map(|r| {
            format!(
                "…{}: {} for a person of kind {}",
                tail(&r.entry.number),
                r.disposition,
                r.entry.kind.as_str()
            )
        })
        .collect();
    let untold = rows.iter().filter(|r| !r.webhook).count();
    let share = share_of(&rows, &COOPERATIVE);
    let unprofiled =
        rows.iter().filter(|r| COOPERATIVE.contains(&r.entry.kind) && r.profile.is_none()).count();
    let summary = sim.ledger().summary();
    let outbox = store.outbox_counts().await?;
    let slots = store.slots_held().await?;

    println!("\nby kind of person");
    by_kind(&rows);
    println!();
    let mut verdict = Verdict(true);
    verdict.line("every call ended", ended, &format!("{} of {}", results.len(), list.len()));
    verdict.line("dispositions as the people dictate", unexpected.is_empty(), &unexpected.join("; "));
    verdict.line(
        "every ended call told downstream, signature verified",
        untold == 0 && summary.webhooks_unverified == 0,
        &format!(
            "{} deliveries, {} events, {untold} calls untold, {} unverified",
            summary.webhooks, summary.webhooks_unique, summary.webhooks_unverified
        ),
    );
    verdict.line(
        "outbox empty, no dead letter",
        (outbox.pending == 0 && settled || others) && outbox.dead == 0,
        &format!("{} pending, {} dead", outbox.pending, outbox.dead),
    );
    verdict.line(
        "what records name stands in S3",
        missing_objects == 0,
        &format!(
            "{} profiles, {recordings} recordings, {missing_objects} objects missing",
            rows.iter().filter(|r| r.profile.is_some()).count()
        ),
    );
    verdict.line(
        "profile fields of cooperative people right",
        share >= RIGHT && unprofiled == 0,
        &format!("{:.1} % (at least {:.0} %), {unprofiled} without a profile", share * 100.0, RIGHT * 100.0),
    );
    verdict.line("no slot held after the last call", slots == 0 || others, &format!("{slots} held"));
    verdict.line(
        "no invariant broken, as the outside saw it",
        summary.broken.is_empty(),
        &summary.broken.join("; "),
    );
    if others {
        println!(
            "     (calls that are not of the list ran beside it: they may still hold slots and webhooks)"
        );
    }
    println!(
        "carrier: {} dials, {} legs, at most {} at once, {} callbacks, {} TwiML fetches; longest dead air {:.1} simulated s",
        summary.creates,
        summary.legs,
        summary.peak_concurrent,
        summary.callbacks,
        summary.fetches,
        summary.longest_dead_air.seconds
    );
    for miss in misses.iter().take(5) {
        println!("  profile: {miss}");
    }
    println!("\n{}", if verdict.0 { "PASSED" } else { "FAILED" });
    Ok(verdict.0)
}

struct Verdict(bool);

impl Verdict {
    fn line(&mut self, what: &str, holds: bool, detail: &str) {
        self.0 &= holds;
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        println!("{} {what}{detail}", if holds { "ok  " } else { "FAIL" });
    }
}

/// An object as the simulated S3 keeps it, a file below its root.
fn read_object(sim: &Sim, key: &str) -> Option<Vec<u8>> {
    std::fs::read(sim.s3_root().join(&sim.config().s3.bucket).join(key)).ok()
}

fn tail(number: &str) -> &str {
    number.get(number.len().saturating_sub(4)..).unwrap_or(number)
}

fn table(rows: &[Row<'_>]) {
    println!(
        "{:<14} {:<15} {:<15} {:>8} {:>5} {:>8} {:>9}  call",
        "number", "person", "disposition", "attempts", "rang", "profile", "webhook"
    );
    for row in rows {
        let profile = row.profile.map_or_else(|| "–".to_owned(), |(right, all)| format!("{right}/{all}"));
        println!(
            "{:<14} {:<15} {:<15} {:>8} {:>5} {:>8} {:>9}  {}",
            format!("+1…{}", tail(&row.entry.number)),
            row.entry.kind.as_str(),
            row.disposition,
            row.attempts,
            row.rang,
            profile,
            if row.webhook { "verified" } else { "–" },
            row.call.as_ref().map_or("–", CallId::as_str),
        );
    }
}

fn share_of(rows: &[Row<'_>], kinds: &[Kind]) -> f64 {
    let (right, all) = rows
        .iter()
        .filter(|r| kinds.contains(&r.entry.kind))
        .filter_map(|r| r.profile)
        .fold((0, 0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    if all == 0 { 0.0 } else { f64::from(right) / f64::from(all) }
}

fn by_kind(rows: &[Row<'_>]) {
    for kind in Kind::ALL {
        let of_kind: Vec<&Row<'_>> = rows.iter().filter(|r| r.entry.kind == kind).collect();
        let mut dispositions: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &of_kind {
            *dispositions.entry(&row.disposition).or_default() += 1;
        }
        let words: Vec<String> = dispositions.iter().map(|(d, n)| format!("{n} {d}")).collect();
        let profiles = of_kind.iter().filter(|r| r.profile.is_some()).count();
        let share = match profiles {
            0 => String::new(),
            n => format!("{n} profiles, {:.1} % of their fields right", share_of(rows, &[kind]) * 100.0),
        };
        println!("  {:<15} {:>4}  {:<40} {share}", kind.as_str(), of_kind.len(), words.join(", "));
    }
}
