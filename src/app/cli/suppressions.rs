//! `carillon suppressions`: the do-not-call list of a running API: import, export, add, remove, check.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use futures::StreamExt;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::app::cli::client::{Client, Failure};
use crate::app::cli::table::table;

/// How many mistakes of a file are printed.
const SHOWN_ERRORS: usize = 20;

/// Read and change the do-not-call list.
#[derive(Clone, Debug, clap::Args)]
pub struct SuppressionsArgs {
    #[command(subcommand)]
    command: Command,
    /// The API.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The API key; of a comma-separated list the first.
    #[arg(long, global = true, env = "API_KEYS", hide_env_values = true)]
    api_key: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Put a CSV file on the list. Columns: phone_number (a `*` at its end makes a prefix), prefix, campaign_id, source,
    /// evidence, expires_at.
    Import {
        /// The file; it may have any length.
        file: PathBuf,
        /// Where the list comes from.
        #[arg(long)]
        source: Option<String>,
        /// What proves it.
        #[arg(long)]
        evidence: Option<String>,
        /// The campaign whose calls it concerns; else every call.
        #[arg(long)]
        campaign: Option<String>,
        /// What a column means, `Rufnummer:phone_number`; more separated by commas.
        #[arg(long)]
        map: Option<String>,
    },
    /// Write the whole list out; the CSV may be imported again.
    Export {
        /// Where to; else standard output.
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// csv or ndjson.
        #[arg(long, default_value = "csv", value_parser = ["csv", "ndjson"])]
        format: String,
        /// Only the entries of this campaign.
        #[arg(long)]
        campaign: Option<String>,
        /// Only the entries of this source.
        #[arg(long)]
        source: Option<String>,
    },
    /// Put one number on the list, or with a `*` at its end all numbers that begin so.
    Add {
        /// The number in any notation, or `+1900*`.
        number: String,
        /// The campaign whose calls it concerns; else every call.
        #[arg(long)]
        campaign: Option<String>,
        /// Where it comes from.
        #[arg(long, default_value = "cli")]
        source: String,
        /// What proves it.
        #[arg(long)]
        evidence: Option<String>,
        /// Until when (RFC 3339); else for good.
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// Take one number or prefix off the list.
    Remove {
        /// The number in any notation, or `+1900*`.
        number: String,
        /// Off the list of this campaign; else off everybody's.
        #[arg(long)]
        campaign: Option<String>,
    },
    /// Show what forbids calling a number; ends 1 where something does.
    Check {
        /// The number in any notation.
        number: String,
        /// Only what forbids a call of this campaign.
        #[arg(long)]
        campaign: Option<String>,
    },
}

/// Runs the command. Failure: a row was rejected, a number is on the list that was checked, or nothing answered.
pub async fn run(args: &SuppressionsArgs) -> ExitCode {
    match suppressions(args, &mut std::io::stdout()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("carillon suppressions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn suppressions(args: &SuppressionsArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let key = args.api_key.as_deref().and_then(|keys| keys.split(',').map(str::trim).find(|k| !k.is_empty()));
    let client = Client::new(&args.url, key)?;
    match &args.command {
        Command::Import { file, source, evidence, campaign, map } => {
            let query = [
                ("source", source.as_deref()),
                ("evidence", evidence.as_deref()),
                ("campaign_id", campaign.as_deref()),
                ("map", map.as_deref()),
            ];
            let content = tokio::fs::File::open(file)
                .await
                .with_context(|| format!("cannot read {}", file.display()))?;
            // The whole file is streamed: it may be longer than memory.
            let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(content));
            let request =
                client.request(Method::POST, &path(&query)).header(header::CONTENT_TYPE, "text/csv");
            let report = told(client.send(request.body(body)).await)?;
            if args.json {
                writeln!(out, "{report:#}")?;
            } else {
                let count = |name: &str| report[name].as_u64().unwrap_or(0);
                writeln!(
                    out,
                    "{} added, {} replaced, {} stood there already, {} rejected",
                    count("added"),
                    count("replaced"),
                    count("kept"),
                    count("rejected")
                )?;
            }
            print_errors(&report);
            Ok(report["rejected"].as_u64() == Some(0))
        }
        Command::Export { output, format, campaign, source } => {
            let query = [
                ("format", Some(format.as_str())),
                ("campaign_id", campaign.as_deref()),
                ("source", source.as_deref()),
            ];
            let answer = client.open(client.request(Method::GET, &path(&query))).await;
            let mut pieces = told(answer)?.bytes_stream();
            let mut file: Box<dyn Write + Send> = match output {
                Some(name) => {
                    let made = std::fs::File::create(name);
                    Box::new(made.with_context(|| format!("cannot write {}", name.display()))?)
                }
                None => Box::new(Vec::new()),
            };
            while let Some(piece) = pieces.next().await {
                let piece = piece.context("the connection broke; what was written is not the whole list")?;
                match output {
                    Some(_) => file.write_all(&piece)?,
                    None => out.write_all(&piece)?,
                }
            }
            file.flush()?;
            Ok(true)
        }
        Command::Add { number, campaign, source, evidence, expires_at } => {
            let mut entry = json!({ "phone_number": number, "source": source });
            let rest = [("campaign_id", campaign), ("evidence", evidence), ("expires_at", expires_at)];
            for (name, value) in rest {
                if let Some(value) = value {
                    entry[name] = json!(value);
                }
            }
            let entry = told(client.send(client.request(Method::POST, &path(&[])).json(&entry)).await)?;
            show(args, out, std::slice::from_ref(&entry)).map(|()| true)
        }
        Command::Remove { number, campaign } => {
            let whom = match number.strip_suffix('*') {
                Some(prefix) => ("prefix", Some(prefix)),
                None => ("phone_number", Some(number.as_str())),
            };
            let query = [whom, ("campaign_id", campaign.as_deref())];
            told(client.send(client.request(Method::DELETE, &path(&query))).await)?;
            Ok(true)
        }
        Command::Check { number, campaign } => {
            let query = [("phone_number", Some(number.as_str())), ("campaign_id", campaign.as_deref())];
            let answer = told(client.send(client.request(Method::GET, &path(&query))).await)?;
            let entries = answer["suppressions"].as_array().cloned().unwrap_or_default();
            if entries.is_empty() && !args.json {
                writeln!(out, "not on the list")?;
            } else {
                show(args, out, &entries)?;
            }
            Ok(entries.is_empty())
        }
    }
}

fn path(query: &[(&str, Option<&str>)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in query {
        if let Some(value) = value {
            text.append_pair(name, value);
        }
    }
    match text.finish() {
        query if query.is_empty() => "/api/suppressions".to_owned(),
        query => format!("/api/suppressions?{query}"),
    }
}

/// An answer, or its failure with every mistake printed.
fn told<T>(answer: Result<T, Failure>) -> anyhow::Result<T> {
    answer.map_err(|failure| {
        if let Failure::Final(_, Some(problem)) = &failure
            // The detail of a single error says it already.
            && problem["errors"].as_array().is_some_and(|errors| errors.len() > 1)
        {
            print_errors(problem);
        }
        failure.into_error()
    })
}

fn print_errors(answer: &Value) {
    let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice);
    for error in errors.iter().take(SHOWN_ERRORS) {
        let row = error["row"].as_u64().map(|n| format!("row {n}: ")).unwrap_or_default();
        eprintln!(
            "  {row}{} {}",
            error["field"].as_str().unwrap_or(""),
            error["reason"].as_str().unwrap_or("")
        );
    }
    if errors.len() > SHOWN_ERRORS {
        eprintln!("  … and {} more", errors.len() - SHOWN_ERRORS);
    }
}

fn show(args: &SuppressionsArgs, out: &mut impl Write, entries: &[Value]) -> anyhow::Result<()> {
    if args.json {
        writeln!(out, "{:#}", json!(entries))?;
        return Ok(());
    }
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| {
            let whom = match e["prefix"].as_str() {
                Some(prefix) => format!("{prefix}*"),
                None => text(&e["phone_number"]),
            };
            let scope = e["campaign_id"].as_str().unwrap_or("every call").to_owned();
            let until = e["expires_at"].as_str().unwrap_or("for good").to_owned();
            vec![whom, scope, until, text(&e["source"]), text(&e["evidence"])]
        })
        .collect();
    write!(out, "{}", table(&["number", "concerns", "until", "source", "evidence"], &rows))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SuppressionsArgs,
    }

    /// What a line prints and how it ends, against an API of the test's own.
    async fn ask(url: &str, words: &[&str]) -> anyhow::Result<(bool, String)> {
        let line = ["suppressions"].into_iter().chain(words.iter().copied()).chain(["--url", url]);
        let args = Line::try_parse_from(line)?.args;
        let mut out = Vec::new();
        let fine = suppressions(&args, &mut out).await?;
        Ok((fine, String::from_utf8(out)?))
    }

    #[tokio::test]
    async fn a_list_goes_in_is_looked_at_and_comes_out() {
        let api = crate::api::tests::Fixture::start().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = api.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let dir = tempfile::tempdir().unwrap();
        let (list, out) = (dir.path().join("list.csv"), dir.path().join("out.csv"));
        let (list, out) = (list.to_str().unwrap(), out.to_str().unwrap());
        std::fs::write(list, "Tel,Why\n+14155552671,letter\n12,short\n+1900*,premium\n").unwrap();
        let said = ask(&url, &["import", list, "--map", "Why:evidence", "--source", "vendor"]).await.unwrap();
        assert_eq!(said, (false, "2 added, 0 replaced, 0 stood there already, 1 rejected\n".into()));

        let (free, text) = ask(&url, &["check", "(415) 555-2671"]).await.unwrap();
        assert!(!free && text.contains("+14155552671") && text.contains("letter"), "{text}");
        assert_eq!(ask(&url, &["check", "+14155552672"]).await.unwrap(), (true, "not on the list\n".into()));

        let until = "2099-01-01T00:00:00Z";
        let (_, text) =
            ask(&url, &["add", "+1901*", "--evidence", "ticket 7", "--expires-at", until]).await.unwrap();
        assert!(text.contains("+1901*  every call  2099-01-01T00:00:00.000Z  cli     ticket 7"), "{text}");
        assert!(ask(&url, &["remove", "+14155552671"]).await.unwrap().0);
        let error = ask(&url, &["remove", "+14155552671"]).await.unwrap_err();
        assert!(error.to_string().contains("not on the do-not-call list"), "{error}");
        assert!(ask(&url, &["add", "12"]).await.unwrap_err().to_string().contains("phone_number"));
        assert!(ask(&url, &["add", "12", "--campaign", "May"]).await.is_err());

        assert_eq!(ask(&url, &["export", "-o", out]).await.unwrap(), (true, String::new()));
        let written = std::fs::read_to_string(out).unwrap();
        assert!(
            written.starts_with("phone_number,prefix,campaign_id,source,") && written.lines().count() == 3,
            "{written}"
        );
        assert!(ask(&url, &["import", out]).await.unwrap().0);
        let (_, lines) = ask(&url, &["export", "--format", "ndjson", "--source", "vendor"]).await.unwrap();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(ask(&url, &["import", "nowhere.csv"]).await.unwrap_err().to_string().contains("cannot read"));
    }
}
