//! `carillon audit`: is the evidence in the archive what was sealed, and what does it say about a call?

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use crate::app::cli::table::table;
use crate::app::config::Config;
use crate::archive::Archive;
use crate::base::clock::{Clock, Millis};
use crate::base::telemetry::Metrics;
use crate::domain::ids::CallId;
use crate::store::Store;
use crate::wrapup::chain::{Heads, Report, lines_of, verify};

/// Look at the evidence in the archive.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum AuditCommand {
    /// Read and hash every segment, walk every chain, and compare the heads with Redis where it answers.
    Verify(VerifyArgs),
    /// Print the lines of evidence about a call.
    Show(ShowArgs),
}

/// Verify the chains.
#[derive(Clone, Debug, clap::Args)]
struct VerifyArgs {
    /// From the segments of this day (UTC, 2026-01-31) on. What was sealed before is not read.
    #[arg(long, value_parser = day)]
    since: Option<Millis>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// Show a call's evidence.
#[derive(Clone, Debug, clap::Args)]
struct ShowArgs {
    /// The call's id.
    #[arg(long, value_parser = call_id)]
    call: CallId,
    /// From the segments of this day (UTC, 2026-01-31) on.
    #[arg(long, value_parser = day)]
    since: Option<Millis>,
}

fn day(text: &str) -> Result<Millis, String> {
    let wrong = || format!("{text:?} is not a day such as 2026-01-31");
    let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
    Millis::try_from(midnight.timestamp().as_millisecond()).map_err(|_| wrong())
}

fn call_id(text: &str) -> Result<CallId, String> {
    CallId::parse(text).ok_or_else(|| format!("{text:?} is not a call's id"))
}

/// Runs the command. Success: every chain is whole, or the call has evidence.
pub async fn run(args: &AuditArgs) -> ExitCode {
    match audit(args, &mut std::io::stdout()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("carillon audit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn audit(args: &AuditArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let (s3, redis) = Config::archive_alone()?;
    let archive = Archive::connect(s3.archive(), Metrics::new()).await;
    let store = match redis {
        Some(redis) => Store::connect(redis, Clock::System).await.map_err(|error| anyhow!("{error}")),
        None => Err(anyhow!("PHONE_HASH_KEY or REDIS_URL is not set")),
    };
    let store = match store {
        Ok(store) => Some(store),
        Err(error) => {
            eprintln!("Redis is not asked ({error:#}): missing newest segments do not show");
            None
        }
    };
    let passed = match &args.command {
        AuditCommand::Verify(args) => {
            let heads = match &store {
                Some(store) => Some(Heads::read(store).await.context("the heads of the chains")?),
                None => None,
            };
            let report = Box::pin(verify(&archive, heads.as_ref(), args.since)).await?;
            if args.json {
                writeln!(out, "{:#}", serde_json::to_value(&report)?)?;
            } else {
                print(&report, out)?;
            }
            report.intact
        }
        AuditCommand::Show(args) => {
            let lines = Box::pin(lines_of(&archive, store.as_ref(), &args.call, args.since)).await?;
            for (key, line) in &lines {
                writeln!(out, "{line}")?;
                eprintln!("  in {}", key.as_deref().unwrap_or("Redis, not sealed yet"));
            }
            if lines.is_empty() {
                eprintln!("there is no evidence about this call");
            }
            !lines.is_empty()
        }
    };
    if let Some(store) = store {
        store.close().await;
    }
    Ok(passed)
}

fn print(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = report
        .chains
        .iter()
        .map(|chain| {
            let numbers =
                [chain.segments, chain.entries, chain.waiting, chain.unnamed].map(|n| n.to_string());
            let verdict = if chain.breaks.is_empty() { "intact" } else { "BROKEN" };
            std::iter::once(chain.chain.clone()).chain(numbers).chain([verdict.to_owned()]).collect()
        })
        .collect();
    write!(out, "{}", table(&["chain", "segments", "entries", "waiting", "unnamed", "verdict"], &rows))?;
    for chain in &report.chains {
        if let Some(first) = chain.breaks.first() {
            writeln!(out, "\n{}: first break at segment {}: {}", chain.chain, first.seq, first.why)?;
            if let Some(key) = &first.key {
                writeln!(out, "  {key}")?;
            }
            if chain.breaks.len() > 1 {
                writeln!(out, "  and {} more", chain.breaks.len() - 1)?;
            }
        }
    }
    let broken = report.chains.iter().filter(|chain| !chain.breaks.is_empty()).count();
    let entries: u64 = report.chains.iter().map(|chain| chain.entries).sum();
    let segments: u64 = report.chains.iter().map(|chain| chain.segments).sum();
    let heads = if report.heads_compared { "compared with the heads in Redis" } else { "heads not compared" };
    let verdict = if broken == 0 { "intact".to_owned() } else { format!("{broken} of them broken") };
    writeln!(
        out,
        "\n{} chains, {segments} segments, {entries} entries, {heads}: {verdict}",
        report.chains.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrapup::chain::{Break, ChainReport};

    #[test]
    fn a_day_and_a_call_are_read_strictly() {
        assert_eq!(day("1970-01-02"), Ok(86_400_000));
        for wrong in ["", "today", "2026-13-01", "1960-01-01"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
        assert!(call_id("call_070000000000000000000007").is_ok());
        assert!(call_id("call_7").is_err());
    }

    #[test]
    fn the_first_break_is_printed_with_its_object() {
        let whole = ChainReport { chain: "s01".into(), segments: 2, entries: 9, ..ChainReport::default() };
        let at =
            |seq, key: Option<&str>| Break { seq, key: key.map(str::to_owned), why: "it is gone".into() };
        let broken = ChainReport {
            chain: "s02".into(),
            breaks: vec![at(3, Some("audit/x")), at(4, None)],
            ..ChainReport::default()
        };
        let report = Report { intact: false, heads_compared: false, chains: vec![whole, broken] };
        let mut out = Vec::new();
        print(&report, &mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.contains("s02: first break at segment 3: it is gone\n  audit/x\n  and 1 more\n"),
            "{text}"
        );
        assert!(
            text.contains("2 chains, 2 segments, 9 entries, heads not compared: 1 of them broken"),
            "{text}"
        );
    }
}
