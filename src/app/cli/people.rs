//! `carillon people`: what a running API holds of one person, exported and erased on their request.

use std::io::Write;
use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::app::cli::client::{ApiArgs, Failure};

/// One person's data.
#[derive(Clone, Debug, clap::Args)]
pub struct PeopleArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Print all that is held of a person, as JSON.
    Export {
        /// Their number in any notation.
        number: String,
    },
    /// Erase a person: waiting calls end, live ones are hung up, what is over is erased here and in the archive. Ends 1
    /// while something is still being ended; ask again then.
    Erase {
        /// Their number in any notation.
        number: String,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command. Failure: nothing answered, the number is none, or some calls are still being ended.
pub async fn run(args: &PeopleArgs) -> ExitCode {
    match people(args, &mut std::io::stdout()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("carillon people: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn people(args: &PeopleArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let client = args.api.client()?;
    match &args.command {
        Command::Export { number } => {
            let held = client.get(&path(number), &[]).await.map_err(Failure::into_error)?;
            writeln!(out, "{held:#}")?;
            Ok(true)
        }
        Command::Erase { number, json } => {
            let request = client.request(Method::DELETE, &path(number));
            let answer = client.send(request).await.map_err(Failure::into_error)?;
            if *json {
                writeln!(out, "{answer:#}")?;
            } else {
                let count = |name: &str| answer[name].as_array().map_or(0, Vec::len);
                writeln!(out, "{} calls erased, {} still being ended", count("erased"), count("pending"))?;
                if answer["suppressed"] == Value::Bool(true) {
                    writeln!(out, "the number stays on the do-not-call list, or it would be called again")?;
                }
            }
            Ok(answer["pending"].as_array().is_none_or(Vec::is_empty))
        }
    }
}

/// The number stands in the path, where a plus sign, a blank or a slash would mean something else.
fn path(number: &str) -> String {
    let number: String = url::form_urlencoded::byte_serialize(number.as_bytes()).collect();
    format!("/api/people/{}", number.replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: PeopleArgs,
    }

    #[tokio::test]
    async fn a_person_is_exported_and_erased() {
        let api = crate::api::tests::Fixture::start().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = api.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ask = async |words: &[&str]| -> anyhow::Result<(bool, String)> {
            let line = ["people"].into_iter().chain(words.iter().copied()).chain(["--url", &url]);
            let mut out = Vec::new();
            let fine = people(&Line::try_parse_from(line)?.args, &mut out).await?;
            Ok((fine, String::from_utf8(out)?))
        };
        let body = serde_json::json!({"phone_number": "+14155552671", "variables": {"name": "Ann"}});
        let client = crate::app::cli::client::Client::new(&url, None).unwrap();
        client.send(client.request(Method::POST, "/api/calls/initiate").json(&body)).await.unwrap();
        let (_, held) = ask(&["export", "(415) 555-2671"]).await.unwrap();
        assert!(held.contains("\"name\": \"Ann\"") && !held.contains("4155552671"), "{held}");
        let erased = ask(&["erase", "+1 415 555 2671"]).await.unwrap();
        assert_eq!(erased, (true, "1 calls erased, 0 still being ended\n".to_owned()));
        let (_, held) = ask(&["export", "+14155552671"]).await.unwrap();
        assert!(!held.contains("Ann"), "{held}");
        assert!(ask(&["erase", "12"]).await.unwrap_err().to_string().contains("422"));
    }
}
