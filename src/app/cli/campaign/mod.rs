//! `carillon campaign`: make campaigns, give them lists, start and stop them, watch them, fetch their results.
//!
//! | file | what |
//! | --- | --- |
//! | `args` | its command line |
//! | `define` | what a campaign is made of, from the command line |
//! | `show` | what the API answered, for a person to read |
//! | `watch` | a campaign to its end |

mod args;
mod define;
mod show;
#[cfg(test)]
mod tests;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::cli::client::{Client, Failure};
use crate::app::cli::upload::{self, Upload};
pub use args::CampaignArgs;
use args::{Action, Format, OutArgs, StepArgs};
use define::CreateArgs;

/// Runs the command.
pub async fn run(args: &CampaignArgs) -> ExitCode {
    match Box::pin(act(args, &mut std::io::stdout())).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("carillon campaign: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command under way.
struct Desk<'a, W> {
    client: Client,
    json: bool,
    out: &'a mut W,
}

async fn act(args: &CampaignArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut desk = Desk { client: args.api.client()?, json: args.json, out };
    match &args.action {
        Action::Create(create) => desk.create(create).await?,
        Action::Add { id, file, map } => desk.add(id, file, &map.map).await?,
        Action::Preflight { id, file, map } => desk.preflight(id, file.as_deref(), &map.map).await?,
        Action::Start(step) => desk.step("start", step).await?,
        Action::Pause(step) => desk.step("pause", step).await?,
        Action::Resume(step) => desk.step("resume", step).await?,
        Action::Cancel(step) => desk.step("cancel", step).await?,
        Action::Watch { id } => return desk.watch(id).await,
        Action::Results { id, out } => desk.rows(id, "results", out).await?,
        Action::Rejections { id, out } => desk.rows(id, "rejections", out).await?,
        Action::List { limit } => desk.list(*limit).await?,
        Action::Show { id } => {
            let campaign = desk.ask(Method::GET, &path(id, "")?, None).await?;
            desk.tell(&campaign, show::campaign)?;
        }
        Action::Blockers { id } => {
            let blockers = desk.ask(Method::GET, &path(id, "/blockers")?, None).await?;
            desk.tell(&blockers, show::blockers)?;
        }
        Action::Redial { id, disposition, name, start } => {
            desk.redial(id, disposition, name.as_deref(), *start).await?;
        }
    }
    Ok(true)
}

/// The path of a campaign's resource.
fn path(id: &str, rest: &str) -> anyhow::Result<String> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    anyhow::ensure!(plain && !id.is_empty(), "{id:?} is no campaign's id: they look like cmp_…");
    Ok(format!("/api/campaigns/{id}{rest}"))
}

/// The error of a failure, after its fields were told.
fn told(failure: Failure) -> anyhow::Error {
    if let Failure::Final(_, Some(problem)) = &failure
        // The detail of a single error says it already.
        && problem["errors"].as_array().is_some_and(|errors| errors.len() > 1)
    {
        upload::print_errors(problem);
    }
    failure.into_error()
}

impl<W: Write> Desk<'_, W> {
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = self.client.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.client.send(request).await.map_err(told)
    }

    /// Prints an answer: as JSON where that is wanted, else as `words` puts it.
    fn tell(&mut self, answer: &Value, words: fn(&Value) -> String) -> anyhow::Result<()> {
        if self.json {
            writeln!(self.out, "{answer:#}")?;
        } else {
            write!(self.out, "{}", words(answer))?;
        }
        Ok(())
    }

    async fn create(&mut self, args: &CreateArgs) -> anyhow::Result<()> {
        // A file that cannot be read must not leave an empty campaign behind.
        let list = match &args.list {
            Some(file) => Some(Upload::open(file, &args.map.map).await?),
            None => None,
        };
        let mut body = args.body()?;
        if args.start && list.is_none() {
            body["start"] = json!(true);
        }
        let made = self.ask(Method::POST, "/api/campaigns", Some(&body)).await?;
        let id = made["campaign_id"].as_str().context("the API's answer names no campaign")?.to_owned();
        let mut answer = made;
        if let Some(list) = list {
            let rows = match self.post(&path(&id, "/calls")?, list).await {
                Ok(rows) => rows,
                Err(failure) => return Err(self.without_list(&id, failure).await),
            };
            eprintln!("{}", upload::accepted(&rows));
            upload::print_errors(&rows);
            if args.start {
                answer = self.ask(Method::POST, &path(&id, "/start")?, Some(&json!({}))).await?;
            }
            answer["intake"] = rows;
        }
        if self.json {
            writeln!(self.out, "{answer:#}")?;
        } else {
            eprintln!("{}", show::state_of(&answer));
            // Alone on standard output, so that a script can keep it.
            writeln!(self.out, "{id}")?;
        }
        Ok(())
    }

    async fn post(&self, path: &str, list: Upload) -> Result<Value, Failure> {
        let request = list.onto(|query| self.client.request(Method::POST, &format!("{path}{query}")));
        self.client.send(request).await
    }

    /// What becomes of a campaign that was made for a list which then failed: where the list was refused, and no row of
    /// it was taken, the campaign is not left lying about as a draft.
    async fn without_list(&self, id: &str, failure: Failure) -> anyhow::Error {
        let refused = matches!(failure, Failure::Final(..));
        let error = told(failure);
        if refused && self.take_back(id).await.unwrap_or(false) {
            error.context(format!("campaign {id} was cancelled again: no row of its list was taken"))
        } else {
            error.context(format!("campaign {id} was made, but its list was not added, or not all of it"))
        }
    }

    /// Cancels a campaign that has no calls. Does it have none?
    async fn take_back(&self, id: &str) -> anyhow::Result<bool> {
        let campaign = self.ask(Method::GET, &path(id, "")?, None).await?;
        let empty = show::count(&campaign, "accepted") == 0;
        if empty {
            let why = json!({ "why": "no row of its list was taken" });
            self.ask(Method::POST, &path(id, "/cancel")?, Some(&why)).await?;
        }
        Ok(empty)
    }

    async fn add(&mut self, id: &str, file: &std::path::Path, map: &[String]) -> anyhow::Result<()> {
        let list = Upload::open(file, map).await?;
        let answer = self.post(&path(id, "/calls")?, list).await.map_err(told)?;
        if self.json {
            writeln!(self.out, "{answer:#}")?;
        } else {
            writeln!(self.out, "{}", upload::accepted(&answer))?;
            upload::print_errors(&answer);
        }
        Ok(())
    }

    async fn preflight(
        &mut self,
        id: &str,
        file: Option<&std::path::Path>,
        map: &[String],
    ) -> anyhow::Result<()> {
        let path = path(id, "/preflight")?;
        let answer = match file {
            Some(file) => self.post(&path, Upload::open(file, map).await?).await.map_err(told)?,
            None => self.ask(Method::POST, &path, None).await?,
        };
        self.tell(&answer, show::preflight)?;
        if !self.json {
            upload::print_errors(&answer);
        }
        Ok(())
    }

    async fn step(&mut self, word: &str, step: &StepArgs) -> anyhow::Result<()> {
        let body = match &step.why {
            Some(why) => json!({ "why": why }),
            None => json!({}),
        };
        let answer = self.ask(Method::POST, &path(&step.id, &format!("/{word}"))?, Some(&body)).await?;
        self.tell(&answer, |answer| format!("{}\n", show::state_of(answer)))
    }

    async fn list(&mut self, limit: u32) -> anyhow::Result<()> {
        let answer = self.ask(Method::GET, &format!("/api/campaigns?limit={limit}"), None).await?;
        self.tell(&answer, show::list)
    }

    async fn redial(
        &mut self,
        id: &str,
        dispositions: &[String],
        name: Option<&str>,
        start: bool,
    ) -> anyhow::Result<()> {
        let mut body = json!({ "dispositions": dispositions });
        if let Some(name) = name {
            body["name"] = json!(name);
        }
        if start {
            body["start"] = json!(true);
        }
        let answer = self.ask(Method::POST, &path(id, "/redial")?, Some(&body)).await?;
        if self.json {
            writeln!(self.out, "{answer:#}")?;
        } else {
            eprintln!("{}; {}", upload::accepted(&answer), show::state_of(&answer));
            writeln!(self.out, "{}", answer["campaign_id"].as_str().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Results or rejections: the first in columns, or all of them as they come.
    async fn rows(&mut self, id: &str, what: &str, args: &OutArgs) -> anyhow::Result<()> {
        let resource = path(id, &format!("/{what}"))?;
        let format = args.format();
        let wanted = if format == Format::Table { Format::Ndjson } else { format };
        let request = self.client.request(Method::GET, &format!("{resource}?format={}", wanted.word()));
        let mut answer = self.client.stream(request).await.map_err(told)?;
        if format == Format::Table {
            let rows = show::first_lines(&mut answer).await?;
            let shown = if what == "results" { show::results(&rows) } else { show::rejections(&rows) };
            write!(self.out, "{shown}")?;
            return Ok(());
        }
        let mut file = match &args.out {
            Some(path) => Some(
                std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
            ),
            None => None,
        };
        let mut bytes = 0_u64;
        while let Some(piece) =
            answer.chunk().await.context("the connection broke; what came so far is kept")?
        {
            bytes += piece.len() as u64;
            match &mut file {
                Some(file) => file.write_all(&piece)?,
                None => self.out.write_all(&piece)?,
            }
        }
        if let (Some(file), Some(path)) = (file, &args.out) {
            file.sync_all()?;
            eprintln!("{bytes} bytes in {}", path.display());
        }
        Ok(())
    }
}
