//! `carillon call`: posts numbers or a file and watches the calls until each has ended.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::app::cli::client::{ApiArgs, Client, Failure};
use crate::app::cli::table::table;
use crate::app::cli::upload::{self, Upload};

/// How often the campaign is asked for.
const POLL: Duration = Duration::from_secs(1);
/// How long the API may be away while calls are watched.
const PATIENCE: Duration = Duration::from_secs(60);

/// Post numbers and watch their calls.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "carillon call [OPTIONS] <NUMBERS>...\n       carillon call [OPTIONS] --file <FILE>"
)]
pub struct CallArgs {
    /// Numbers in any notation.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub numbers: Vec<String>,
    /// A list: CSV with a header row (`.csv`), or a JSON object a line (`.ndjson`, `.jsonl`).
    #[arg(long, short)]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) api: ApiArgs,
    /// The agent that talks.
    #[arg(long)]
    pub agent: Option<String>,
    /// Watch until every call has ended (the default).
    #[arg(long, overrides_with = "no_watch")]
    pub watch: bool,
    /// Do not wait.
    #[arg(long, overrides_with = "watch")]
    pub no_watch: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command. Success: every row was accepted and, where they were watched, every call reached its end.
pub async fn run(args: &CallArgs) -> ExitCode {
    match call(args, &mut std::io::stdout()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("carillon call: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn call(args: &CallArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let client = args.api.client()?;
    let answer = match post(&client, args).await? {
        Ok(answer) => answer,
        Err(Failure::Final(error, Some(problem))) => {
            if args.json {
                writeln!(out, "{problem:#}")?;
            }
            // The detail of a single error says it already.
            if problem["errors"].as_array().is_some_and(|errors| errors.len() > 1) {
                upload::print_errors(&problem);
            }
            return Err(error);
        }
        Err(failure) => return Err(failure.into_error()),
    };
    let campaign = answer["campaign_id"].as_str().context("the API's answer names no campaign")?.to_owned();
    let count = |name: &str| answer[name].as_u64().unwrap_or(0);
    eprintln!("{}; campaign {campaign}", upload::accepted(&answer));
    upload::print_errors(&answer);

    let mut result = answer.clone();
    if !args.no_watch {
        let calls = watch(&client, &campaign, count("accepted") + count("duplicates"), args.json).await?;
        if !args.json {
            write!(out, "{}", render(&calls))?;
        }
        result["calls"] = Value::Array(calls);
    }
    if args.json {
        writeln!(out, "{result:#}")?;
    } else if args.no_watch {
        writeln!(out, "{campaign}")?;
    }
    Ok(count("rejected") == 0)
}

async fn post(client: &Client, args: &CallArgs) -> anyhow::Result<Result<Value, Failure>> {
    let path = "/api/calls/initiate";
    let Some(file) = &args.file else {
        let mut body = json!({"phone_numbers": args.numbers});
        if let Some(agent) = &args.agent {
            body["agent"] = json!(agent);
        }
        return Ok(client.send(client.request(Method::POST, path).json(&body)).await);
    };
    let list = Upload::open(file, &[]).await?;
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("campaign", &name);
    if let Some(agent) = &args.agent {
        query.append_pair("agent", agent);
    }
    let query = query.finish();
    let request = list.onto(|_| client.request(Method::POST, &format!("{path}?{query}")));
    Ok(client.send(request).await)
}

/// Waits until every call of the list has ended, and answers them, oldest first. A call that a callee asked for later
/// is not waited for.
async fn watch(client: &Client, campaign: &str, expected: u64, quiet: bool) -> anyhow::Result<Vec<Value>> {
    let bar = progress(expected, quiet);
    let path = format!("/api/campaigns/{campaign}");
    let mut every = interval(POLL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away_since: Option<Instant> = None;
    let mut told = None;
    loop {
        every.tick().await;
        match look(client, campaign, &path, &bar, &mut told).await {
            Ok(Some(calls)) => {
                bar.finish_and_clear();
                return Ok(calls);
            }
            Ok(None) => away_since = None,
            Err(Failure::Passing(error)) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    return Err(error.context("the calls go on, but cannot be watched"));
                }
                bar.set_message("waiting for the API …");
            }
            Err(failure) => return Err(failure.into_error()),
        }
    }
}

async fn look(
    client: &Client,
    campaign: &str,
    path: &str,
    bar: &ProgressBar,
    told: &mut Option<u64>,
) -> Result<Option<Vec<Value>>, Failure> {
    let state = client.get(path, &[]).await?;
    let ended = state["ended"].as_u64().unwrap_or(0);
    let words: Vec<String> = state["dispositions"]
        .as_object()
        .map(|all| all.iter().map(|(name, n)| format!("{n} {name}")).collect())
        .unwrap_or_default();
    bar.set_position(ended);
    bar.set_message(words.join(", "));
    if bar.is_hidden() && told.replace(ended) != Some(ended) && bar.length().is_some() {
        eprintln!("{ended} of {} ended  {}", bar.length().unwrap_or(0), words.join(", "));
    }
    if state["open"].as_i64().unwrap_or(0) > 0 {
        return Ok(None);
    }
    let calls = calls_of(client, campaign).await?;
    let ours: Vec<Value> = calls.into_iter().filter(|c| c["parent_call_id"].is_null()).collect();
    Ok(ours.iter().all(|c| c["status"] == "ended").then_some(ours))
}

async fn calls_of(client: &Client, campaign: &str) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = vec![("campaign_id", campaign), ("limit", "200")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let mut page = client.get("/api/calls", &query).await?;
        if let Value::Array(calls) = page["calls"].take() {
            all.extend(calls);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    all.reverse();
    Ok(all)
}

/// A bar on a terminal; hidden elsewhere, where lines are printed, and without a length where nothing is.
fn progress(expected: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(expected), ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(expected), ProgressDrawTarget::stderr());
    let template = "{elapsed_precise} {bar:30} {pos}/{len}  {msg}";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn render(calls: &[Value]) -> String {
    let text = |v: &Value| match v {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = calls
        .iter()
        .map(|c| {
            let columns = ["call_id", "phone_hash", "disposition", "reason", "attempt", "duration_seconds"];
            columns.iter().map(|name| text(&c[*name])).collect()
        })
        .collect();
    table(&["call_id", "phone_hash", "disposition", "reason", "attempts", "seconds"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> CallArgs {
        CallArgs {
            numbers: vec!["+14155550100".into()],
            file: None,
            api: ApiArgs { url: url.into(), api_key: None },
            agent: None,
            watch: false,
            no_watch: false,
            json: false,
        }
    }

    #[tokio::test]
    async fn an_api_that_is_not_there_is_told_so() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = call(&args(&format!("http://127.0.0.1:{port}")), &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("nothing answers at"), "{error}");
        let error = call(&args("ftp://x"), &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("must begin with http"), "{error}");
    }

    /// Answers each path with what a Carillon API answers there.
    async fn api(answers: fn(&str) -> (u16, Value)) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(move |uri: axum::http::Uri| async move {
            let (status, body) = answers(uri.path());
            (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(body))
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn calls_are_watched_to_their_end_and_shown() {
        let url = api(|path| match path {
            "/api/calls/initiate" => (202, json!({"campaign_id": "cmp_1", "accepted": 1, "rejected": 0})),
            "/api/campaigns/cmp_1" => (200, json!({"ended": 1, "open": 0, "dispositions": {"busy": 1}})),
            "/api/calls" => (200, json!({"calls": [
                {"call_id": "call_2", "status": "queued", "parent_call_id": "call_1"},
                {"call_id": "call_1", "phone_hash": "ab", "status": "ended", "disposition": "busy", "reason": "busy", "attempt": 3}]})),
            _ => (404, json!({})),
        })
        .await;
        let mut out = Vec::new();
        assert!(call(&args(&url), &mut out).await.unwrap());
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("call_1   ab          busy         busy           3"), "{out}");
        assert!(!out.contains("call_2"), "a call that the callee asked for is not waited for");
    }

    #[tokio::test]
    async fn a_file_is_posted_to_the_real_api_and_watched() {
        let api = crate::api::tests::Fixture::start().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = api.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("people.csv");
        std::fs::write(&file, "phone,name\n+14155552671,Ann\n+14155552672,Bob\n12,Eve\n").unwrap();
        let posted = CallArgs {
            numbers: Vec::new(),
            file: Some(file),
            agent: Some("interview".into()),
            no_watch: true,
            json: true,
            ..args(&url)
        };
        let mut out = Vec::new();
        assert!(!call(&posted, &mut out).await.unwrap(), "a row was rejected");
        let answer: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((answer["accepted"].as_u64(), answer["rejected"].as_u64()), (Some(2), Some(1)));

        let campaign = answer["campaign_id"].as_str().unwrap();
        for listed in api.get("/api/calls").await.body["calls"].as_array().unwrap() {
            let path = format!("/api/calls/{}/cancel", listed["call_id"].as_str().unwrap());
            assert!(api.send(Method::POST, &path).await.status.is_success());
        }
        let client = Client::new(&url, None).unwrap();
        let calls = watch(&client, campaign, 2, true).await.unwrap();
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().all(|c| c["disposition"] == "canceled"), "{calls:?}");

        let wrong = CallArgs { numbers: vec!["12".into()], ..args(&url) };
        let error = call(&wrong, &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("422"), "{error}");
    }

    #[tokio::test]
    async fn rejected_rows_and_wrong_keys_fail() {
        let url =
            api(|_| (202, json!({"campaign_id": "cmp_1", "accepted": 1, "rejected": 1, "errors": []}))).await;
        let args_no_watch = CallArgs { no_watch: true, ..args(&url) };
        assert!(!call(&args_no_watch, &mut Vec::new()).await.unwrap());
        let url = api(|_| (401, json!({"title": "An API key is required"}))).await;
        let error = call(&args(&url), &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("--api-key"), "{error}");
    }
}
