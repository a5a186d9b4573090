//! What the ledger concludes: counts, peaks, and the invariants that an outside observer can check.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Book, Heard, Leg, Who};
use crate::base::clock::Millis;

/// A stretch in which the callee waited for us and heard nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeadAir {
    /// The leg.
    pub sid: String,
    /// When it began, in seconds since the answer.
    pub t: f64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
}

/// Counts, peaks and broken invariants of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Create requests, and how each was answered (by HTTP status).
    pub creates: usize,
    /// Create requests by HTTP status.
    pub creates_by_status: BTreeMap<u16, usize>,
    /// The most create requests within any one second of the wall.
    pub peak_creates_per_s: usize,
    /// Legs to callees (transfers not counted).
    pub legs: usize,
    /// Legs by the carrier's status.
    pub legs_by_status: BTreeMap<String, usize>,
    /// Legs that are not over.
    pub live: usize,
    /// The most legs out of the queue and not over at once.
    pub peak_concurrent: usize,
    /// The most legs to one number at once.
    pub peak_per_number: usize,
    /// Transfers tried.
    pub transfers: usize,
    /// Legs whose callee heard the carrier's error message.
    pub carrier_errors_heard: usize,
    /// Requests for TwiML, and those that brought none.
    pub fetches: usize,
    /// Requests for TwiML that brought no usable answer.
    pub fetches_failed: usize,
    /// Callbacks sent.
    pub callbacks: usize,
    /// Callbacks without a 2xx answer.
    pub callbacks_failed: usize,
    /// The longest silence that the callee did not make.
    pub longest_dead_air: DeadAir,
    /// Webhook deliveries.
    pub webhooks: usize,
    /// Different webhook ids accepted.
    pub webhooks_unique: usize,
    /// Deliveries of an id that had been accepted before.
    pub webhooks_repeated: usize,
    /// Deliveries whose signature or time was wrong.
    pub webhooks_unverified: usize,
    /// What must never be: each line names its invariant.
    pub broken: Vec<String>,
}

pub(super) fn summary(book: &Book) -> Summary {
    let mut s = Summary { creates: book.creates.len(), webhooks: book.webhooks.len(), ..Summary::default() };
    for create in &book.creates {
        *s.creates_by_status.entry(create.status).or_default() += 1;
    }
    s.peak_creates_per_s = peak_within(book.creates.iter().map(|c| c.at).collect(), 1000);
    for leg in &book.legs {
        one_leg(leg, &mut s);
    }
    legs_together(book, &mut s);
    webhooks(book, &mut s);
    s
}

fn one_leg(leg: &Leg, s: &mut Summary) {
    s.transfers += leg.transfers.len();
    s.callbacks += leg.callbacks.len();
    s.callbacks_failed +=
        leg.callbacks.iter().filter(|c| c.status.is_none_or(|code| !(200..300).contains(&code))).count();
    s.fetches += leg.fetches.len();
    s.fetches_failed +=
        leg.fetches.iter().filter(|f| f.status.is_none_or(|code| !(200..300).contains(&code))).count();
    if leg.parent.is_some() {
        return;
    }
    s.legs += 1;
    s.live += usize::from(leg.ended_at.is_none());
    *s.legs_by_status.entry(leg.status.clone()).or_default() += 1;
    if leg.heard.iter().any(|h| h.who == Who::CarrierError) {
        s.carrier_errors_heard += 1;
        s.broken.push(format!("{}: the callee heard the carrier's error message", leg.sid));
    }
    for error in &leg.twiml_errors {
        s.broken.push(format!("{}: TwiML the carrier cannot execute: {error}", leg.sid));
    }
    let (t, seconds) = longest_dead_air(&leg.heard);
    if seconds > s.longest_dead_air.seconds {
        s.longest_dead_air = DeadAir { sid: leg.sid.clone(), t, seconds };
    }
}

/// The longest run of [`Who::DeadAir`] not broken by a voice or by the callee's own silence: (start, seconds).
pub(super) fn longest_dead_air(heard: &[Heard]) -> (f64, f64) {
    let mut longest = (0.0, 0.0);
    let mut run: Option<(f64, f64)> = None;
    for h in heard {
        // A stretch without length (an empty Say) breaks nothing.
        if h.dur <= f64::EPSILON {
            continue;
        }
        run = match (h.who, run) {
            (Who::DeadAir, Some((t, seconds))) => Some((t, seconds + h.dur)),
            (Who::DeadAir, None) => Some((h.t, h.dur)),
            _ => None,
        };
        if let Some(r) = run.filter(|r| r.1 > longest.1) {
            longest = r;
        }
    }
    longest
}

fn legs_together(book: &Book, s: &mut Summary) {
    let mut of_number: HashMap<&str, Vec<&Leg>> = HashMap::new();
    let mut of_attempt: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
    for leg in book.legs.iter().filter(|l| l.parent.is_none()) {
        of_number.entry(&leg.to).or_default().push(leg);
        if let (Some(call), Some(attempt), Some(_)) = (&leg.call_id, &leg.attempt, leg.rang_at) {
            of_attempt.entry((call, attempt)).or_default().push(&leg.sid);
        }
    }
    let spans = |legs: &[&Leg]| -> Vec<(Millis, Millis)> {
        legs.iter()
            .filter_map(|l| l.started_at.map(|from| (from, l.ended_at.unwrap_or(Millis::MAX))))
            .collect()
    };
    let all: Vec<&Leg> = book.legs.iter().filter(|l| l.parent.is_none()).collect();
    s.peak_concurrent = peak_overlap(&spans(&all));
    for legs in of_number.values() {
        let peak = peak_overlap(&spans(legs));
        s.peak_per_number = s.peak_per_number.max(peak);
        if peak > 1 {
            s.broken.push(format!("C1 {}: {peak} legs to one number at once", legs[0].sid));
        }
    }
    for ((call, attempt), sids) in of_attempt {
        if sids.len() > 1 {
            s.broken.push(format!(
                "C1 {call}: attempt {attempt} rang {} times: {}",
                sids.len(),
                sids.join(" ")
            ));
        }
    }
    s.broken.sort();
}

fn webhooks(book: &Book, s: &mut Summary) {
    let mut ids: HashMap<&str, &super::Delivery> = HashMap::new();
    for d in &book.webhooks {
        s.webhooks_unverified += usize::from(d.problem.is_some());
        s.webhooks_repeated += usize::from(d.repeat_of > 0);
        if d.problem.is_some() {
            continue;
        }
        match ids.get(d.id.as_str()) {
            Some(first) if first.body != d.body => {
                s.broken.push(format!("O2 {}: two deliveries of one id differ", d.id));
            }
            Some(_) => {}
            None => {
                ids.insert(&d.id, d);
            }
        }
    }
    let accepted = |d: &&super::Delivery| d.problem.is_none() && (200..300).contains(&d.answered);
    let mut unique: Vec<&str> = book.webhooks.iter().filter(accepted).map(|d| d.id.as_str()).collect();
    unique.sort_unstable();
    unique.dedup();
    s.webhooks_unique = unique.len();
}

/// The most of these moments that lie within any `width` milliseconds.
fn peak_within(mut at: Vec<Millis>, width: Millis) -> usize {
    at.sort_unstable();
    let mut from = 0;
    let mut peak = 0;
    for to in 0..at.len() {
        while at[to] - at[from] >= width {
            from += 1;
        }
        peak = peak.max(to - from + 1);
    }
    peak
}

/// The most of these spans that overlap; one that ends in the millisecond in which another starts does not.
fn peak_overlap(spans: &[(Millis, Millis)]) -> usize {
    let mut steps: Vec<(Millis, i8)> = spans.iter().flat_map(|(a, b)| [(*a, 1), (*b, -1)]).collect();
    steps.sort_unstable();
    let (mut now, mut peak) = (0_isize, 0_isize);
    for (_, step) in steps {
        now += isize::from(step);
        peak = peak.max(now);
    }
    usize::try_from(peak).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(t: f64, dur: f64, who: Who) -> Heard {
        Heard { t, dur, who, text: String::new(), cut: false }
    }

    #[test]
    fn dead_air_runs_until_a_voice_or_the_callee() {
        let line = [
            heard(0.0, 1.0, Who::DeadAir),
            heard(1.0, 3.0, Who::Agent),
            heard(4.0, 6.0, Who::Silence),
            heard(10.0, 1.0, Who::DeadAir),
            heard(11.0, 0.0, Who::Agent),
            heard(11.0, 2.5, Who::DeadAir),
            heard(13.5, 1.0, Who::Callee),
        ];
        assert_eq!(longest_dead_air(&line), (10.0, 3.5));
    }

    #[test]
    fn peaks() {
        assert_eq!(peak_within(vec![0, 999, 1000, 1998, 1999], 1000), 3);
        assert_eq!(peak_within(vec![], 1000), 0);
        assert_eq!(peak_overlap(&[(0, 10), (10, 20), (15, Millis::MAX), (16, 17)]), 3);
    }

    #[test]
    fn the_same_attempt_rung_twice_breaks_c1() {
        let leg = |sid: &str, from, to| Leg {
            sid: sid.into(),
            to: "+12125550100".into(),
            call_id: Some("call_1".into()),
            attempt: Some("1".into()),
            started_at: Some(from),
            rang_at: Some(from),
            ended_at: Some(to),
            status: "completed".into(),
            ..Leg::default()
        };
        let book = Book { legs: vec![leg("CA1", 0, 5), leg("CA2", 5, 9)], ..Book::default() };
        let s = summary(&book);
        assert_eq!((s.peak_per_number, s.legs, s.live), (1, 2, 0));
        assert_eq!(s.broken, ["C1 call_1: attempt 1 rang 2 times: CA1 CA2"]);
    }
}
