//! For a call that ended otherwise than its person dictates: the fault that made it so, or that there is none. A fault
//! explains only what it could touch: it overlaps in time, or the simulated world wrote down that it struck this call.

use carillon::sim::ledger::{Create, Fetch, Leg};
use carillon::sim::people::Kind;

use super::judge::{Blow, Evidence, OfCall};
use super::look::Record;

/// How long an answer of the carrier's is under way at the most, and a dial that is granted waits for its moment.
const UNDER_WAY_MS: u64 = 2_000;
/// How long after its sender's death, or the healing of its wire, the carrier may get to a request.
const HELD_MS: u64 = 200;
/// A turn that a callee notices as slow, in milliseconds of the wall.
const SLOW_MS: u64 = 2_000;
/// What keeps a worker from writing down what came of a dial.
const FORGETS: [&str; 4] = ["worker killed", "carrier-wire", "primary", "redis"];

/// The fault that makes this end of a call.
///
/// # Errors
/// Why there is none.
pub(super) fn cause(
    evidence: &Evidence<'_>,
    kind: Kind,
    record: &Record,
    call: &OfCall<'_>,
) -> Result<String, String> {
    let attempt = record.attempt().to_string();
    let leg = call.legs.iter().rev().find(|leg| leg.attempt.as_deref() == Some(&attempt));
    match (record.ended_as(), leg) {
        ("unconfirmed", _) => unconfirmed(evidence, record, call, &attempt),
        (_, None) => Err("there is no leg of its last attempt".to_owned()),
        ("carrier_failed", Some(leg)) => carrier_failed(evidence, kind, leg),
        ("agent_failed", Some(leg)) if record.body["s"]["ending"]["reason"] == "model" => {
            model(evidence, leg)
        }
        (_, Some(leg)) => talk(evidence, leg),
    }
}

/// That, where the machine was late itself.
fn under_way(evidence: &Evidence<'_>) -> u64 {
    UNDER_WAY_MS + 2 * evidence.late_ms
}

/// The first of these blows that overlaps a span, Unix ms.
fn during<'a>(evidence: &Evidence<'a>, names: &[&str], from: u64, to: u64) -> Option<&'a Blow> {
    evidence
        .blows
        .iter()
        .find(|blow| (names.is_empty() || names.contains(&blow.name)) && blow.from <= to && blow.to >= from)
}

fn carrier_failed(evidence: &Evidence<'_>, kind: Kind, leg: &Leg) -> Result<String, String> {
    if leg.status != "failed" {
        return Err(format!("its last leg did not fail but was {}", leg.status));
    }
    let last = leg.callbacks.iter().find(|callback| callback.event == "completed");
    let told = last.is_some_and(|c| c.fault.is_none() && c.status.is_some_and(|s| s < 300));
    let code = last.and_then(|c| {
        let named = |name| c.form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        named("ErrorCode").or_else(|| named("SipResponseCode"))
    });
    match (kind, code) {
        (_, Some("32014" | "503")) => Ok("the carrier could not complete the call".to_owned()),
        (Kind::Invalid, _) if !told => Ok("the callback with the reason was struck".to_owned()),
        (Kind::Invalid, _) => {
            // Its api, or the write, may have been lost after its answer had left.
            let at = leg.ended_at.unwrap_or(leg.created_at);
            during(evidence, &["api killed", "primary", "redis"], at, at + under_way(evidence))
                .map(|blow| format!("the callback with the reason was lost ({})", blow.name))
                .ok_or_else(|| format!("its last callback told the reason {code:?}"))
        }
        _ => Err(format!("its leg failed with {code:?}")),
    }
}

/// The agent apologised: the model failed in that very turn, or the turn was kept waiting until it was given up.
fn model(evidence: &Evidence<'_>, leg: &Leg) -> Result<String, String> {
    let words = |fetch: &Fetch| fetch.form.iter().find(|(n, _)| n == "SpeechResult").map(|(_, v)| plain(v));
    let spoken: Vec<&Fetch> = leg.fetches.iter().filter(|fetch| words(fetch).is_some()).collect();
    let Some(last) = spoken.last().copied().or(leg.fetches.first()) else {
        return Err("it was never asked for an answer".to_owned());
    };
    let heard = words(last).unwrap_or_default();
    // A request that was not answered (its api was killed) is made again: the turn began with the first of them.
    let failed = |fetch: &Fetch| fetch.status.is_none_or(|status| status >= 300);
    let again = |pair: &[&Fetch]| failed(pair[0]) && words(pair[0]) == words(pair[1]);
    let tries = spoken.windows(2).rev().take_while(|pair| again(pair)).count();
    let asked = spoken.len().checked_sub(tries + 1).map_or(last, |first| spoken[first]);
    let end = leg.ended_at.unwrap_or(u64::MAX);
    // Both clocks are this machine's.
    let strikes = evidence.book.model_struck.iter().filter(|struck| {
        (asked.at..=end).contains(&struck.at)
            && plain(&struck.heard) == heard
            && struck.faults.iter().any(|fault| !fault.starts_with("DelayMs"))
    });
    let strikes: Vec<_> = strikes.collect();
    let wire = during(evidence, &["model-wire"], asked.at, end);
    let blow = during(evidence, &["api killed", "primary", "redis"], asked.at, end);
    match (strikes.len(), blow) {
        (2.., _) => Ok("the model failed twice in one turn".to_owned()),
        _ if wire.is_some() => Ok("the wire to the model broke".to_owned()),
        (1, Some(blow)) => Ok(format!("the model failed, and {}", blow.name)),
        (_, Some(blow)) if end.saturating_sub(asked.at) >= SLOW_MS => {
            Ok(format!("its turn was kept waiting ({})", blow.name))
        }
        (n, _) => Err(format!(
            "the model failed {n} times in its last turn ({:?}), which took {} ms in {} requests: {:?}; {}",
            strikes.iter().flat_map(|struck| &struck.faults).collect::<Vec<_>>(),
            end.saturating_sub(asked.at),
            tries + 1,
            leg.fetches
                .iter()
                .map(|f| (f.at, f.status, f.took_ms, f.url.split('?').nth(1)))
                .collect::<Vec<_>>(),
            beside(evidence, asked.at)
        )),
    }
}

/// As the model is told: white space is one blank.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The talk took another way than its person's.
fn talk(evidence: &Evidence<'_>, leg: &Leg) -> Result<String, String> {
    if let Some(fetch) = leg.fetches.iter().find(|f| f.status.is_none_or(|s| s >= 300)) {
        return during(evidence, &[], fetch.at, fetch.at + fetch.took_ms)
            .map(|blow| format!("an answer to the carrier failed ({})", blow.name))
            .ok_or_else(|| format!("an answer failed with {:?}", fetch.status));
    }
    if let Some(callback) = leg.callbacks.iter().find(|c| c.event == "amd" && c.fault.is_some()) {
        return Ok(format!("the word of who answered was {}", callback.fault.as_deref().unwrap_or("?")));
    }
    let slowest = leg.fetches.iter().max_by_key(|fetch| fetch.took_ms);
    let blow = slowest.and_then(|fetch| during(evidence, &[], fetch.at, fetch.at + fetch.took_ms));
    let took = slowest.map_or(0, |fetch| fetch.took_ms);
    match blow {
        Some(blow) if took > SLOW_MS => Ok(format!("slow turns ({})", blow.name)),
        _ => Err(format!(
            "its leg ended {} by {:?}; the slowest turn took {took} ms",
            leg.status, leg.ended_by
        )),
    }
}

fn unconfirmed(
    evidence: &Evidence<'_>,
    record: &Record,
    call: &OfCall<'_>,
    attempt: &str,
) -> Result<String, String> {
    if let Some(leg) = call.legs.iter().find(|leg| leg.attempt.as_deref() == Some(attempt)) {
        return Err(format!("the carrier has it as {} ({})", leg.sid, leg.status));
    }
    let at = record.dialed_at();
    let mark = format!("attempt={attempt}");
    // An attempt that was refused for now is dialed again as the same one: what came before is another story.
    let of_attempt = |create: &&&Create| {
        let url = create.form.iter().find(|(name, _)| name == "Url").map_or("", |(_, url)| url.as_str());
        create.at >= at && url.split(['?', '&', '#']).any(|part| part == mark)
    };
    if let Some(create) = call.creates.iter().rev().find(of_attempt) {
        return match create.status {
            0 => Ok("the carrier closed the connection before it took the create".to_owned()),
            500..=599 => Ok(format!("the carrier answered the create with {}", create.status)),
            429 => {
                // The carrier may get to it when who sent it is dead, and when the wire that held it back is healed.
                let from = create.at.saturating_sub(HELD_MS + 2 * evidence.late_ms);
                during(evidence, &FORGETS, from, create.at + under_way(evidence))
                    .map(|blow| format!("the carrier's refusal was lost ({})", blow.name))
                    .ok_or_else(|| {
                        let beside = beside(evidence, create.at);
                        format!("its create was refused with 429, which arrived; {beside}")
                    })
            }
            other => Err(format!("its create was answered {other}")),
        };
    }
    // The nearest explanation first: a worker that died just then.
    for (name, what) in [
        ("worker killed", "a worker was killed between DialStarted and the request"),
        ("carrier-wire", "the wire to the carrier broke before the request arrived"),
        ("primary", "Redis did not answer whether DialStarted was written"),
        ("redis", "Redis did not answer whether DialStarted was written"),
    ] {
        if during(evidence, &[name], at, at + under_way(evidence)).is_some() {
            return Ok(what.to_owned());
        }
    }
    Err(format!("no create left, and nothing befell it at {at}; {}", beside(evidence, at)))
}

/// What struck within ten seconds of a moment, and when, for whoever looks into a finding.
fn beside(evidence: &Evidence<'_>, at: u64) -> String {
    let offset = |moment: u64| i128::from(moment) - i128::from(at);
    let near: Vec<String> = evidence
        .blows
        .iter()
        .filter(|blow| blow.from <= at + 10_000 && blow.to + 10_000 >= at)
        .map(|blow| format!("{} {} to {} ms", blow.name, offset(blow.from), offset(blow.to)))
        .collect();
    format!("beside it: {}", near.join(", "))
}
