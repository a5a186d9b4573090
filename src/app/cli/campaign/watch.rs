//! A campaign watched to its end: by its events, and by asking wherever they do not come.

use std::io::{IsTerminal, Write};
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Desk, path, show};
use crate::app::cli::client::{Client, Failure};
use crate::base::sse::{Event, events};

/// How often the campaign is asked for while no events come, and how often a lost stream is asked for again.
const POLL: Duration = Duration::from_secs(1);
/// A stream that says nothing for so long is not trusted alone.
const QUIET: Duration = Duration::from_secs(5);
/// How long the API may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may end until it is asked why.
const STALL: Duration = Duration::from_secs(5);

type Events = Pin<Box<dyn Stream<Item = Option<Event>> + Send>>;

/// What is known of the campaign, and how it is shown.
struct Watch<'a> {
    client: &'a Client,
    path: String,
    view: Value,
    bar: ProgressBar,
    /// Where there is no terminal: the line printed last.
    said: String,
    quiet: bool,
    /// The last event seen, for a stream that is taken up again.
    last_event: Option<String>,
    moved: Instant,
    ended: u64,
    why: String,
}

impl<W: Write> Desk<'_, W> {
    /// Watches a campaign until it is over. True: it was completed.
    pub(super) async fn watch(&mut self, id: &str) -> anyhow::Result<bool> {
        let mut watch = Watch {
            client: &self.client,
            path: path(id, "")?,
            view: self.ask(Method::GET, &path(id, "")?, None).await?,
            bar: bar(self.json),
            said: String::new(),
            quiet: self.json,
            last_event: None,
            moved: Instant::now(),
            ended: 0,
            why: String::new(),
        };
        let view = watch.watch_to_the_end().await?;
        self.tell(&view, show::outcome)?;
        Ok(show::state(&view) == "completed")
    }
}

impl Watch<'_> {
    async fn watch_to_the_end(&mut self) -> anyhow::Result<Value> {
        let mut every = interval(POLL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events: Option<Events> = None;
        let mut heard = Instant::now();
        let mut away_since: Option<Instant> = None;
        loop {
            if show::is_over(&self.view) {
                // The last counts may be later than the last event.
                if let Ok(view) = self.client.get(&self.path, &[]).await {
                    self.view = view;
                }
                self.show();
                self.bar.finish_and_clear();
                return Ok(self.view.take());
            }
            self.show();
            let event = tokio::select! {
                event = next(&mut events) => Some(event),
                _ = every.tick() => None,
            };
            match event {
                Some(Some(event)) => {
                    heard = Instant::now();
                    self.take(&event);
                    continue;
                }
                Some(None) => events = None,
                None => {}
            }
            if events.is_some() && heard.elapsed() < QUIET {
                self.ask_why().await;
                continue;
            }
            match self.client.get(&self.path, &[]).await {
                Ok(view) => {
                    self.view = view;
                    away_since = None;
                }
                Err(Failure::Passing(error)) => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE {
                        return Err(error.context("the campaign goes on, but cannot be watched"));
                    }
                    self.bar.set_message("waiting for the API …");
                    continue;
                }
                Err(failure) => return Err(failure.into_error()),
            }
            if events.is_none() {
                events = self.subscribe().await;
                heard = Instant::now();
            }
            self.ask_why().await;
        }
    }

    /// The campaign's events; `None` where there are none to be had at the moment.
    async fn subscribe(&self) -> Option<Events> {
        let mut request = self.client.request(Method::GET, &format!("{}/events", self.path));
        request = request.header(reqwest::header::ACCEPT, "text/event-stream");
        if let Some(last) = &self.last_event {
            request = request.header("last-event-id", last);
        }
        let answer = self.client.stream(request).await.ok()?;
        let events = events(answer.bytes_stream()).map(Result::ok);
        Some(Box::pin(events))
    }

    fn take(&mut self, event: &Event) {
        if !event.id.is_empty() {
            self.last_event = Some(event.id.clone());
        }
        let Ok(Value::Object(news)) = serde_json::from_str(&event.data) else { return };
        match event.event.as_str() {
            "progress" => {
                for (name, value) in news {
                    self.view[name] = value;
                }
            }
            "state" => {
                let news = Value::Object(news);
                let to = ["to", "state"]
                    .into_iter()
                    .map(|name| show::state_word(&news[name]))
                    .find(|w| !w.is_empty());
                if let Some(to) = to {
                    self.note(&show::transition(&news));
                    self.view["state"] = Value::String(to);
                }
            }
            "fleet" => self.note(&show::fleet_event(&Value::Object(news))),
            _ => {}
        }
    }

    /// A line of its own, above the bar.
    fn note(&self, line: &str) {
        if line.is_empty() || self.quiet {
            return;
        }
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Where nothing ends any more: the first reason.
    async fn ask_why(&mut self) {
        let ended = show::count(&self.view, "ended");
        if ended != self.ended {
            (self.ended, self.moved) = (ended, Instant::now());
            self.why.clear();
        } else if self.moved.elapsed() > STALL && show::state(&self.view) == "running" {
            self.moved = Instant::now();
            if let Ok(blockers) = self.client.get(&format!("{}/blockers", self.path), &[]).await {
                self.why = show::first_blocker(&blockers).unwrap_or_default();
            }
        }
    }

    fn show(&mut self) {
        let (ended, all) = (show::count(&self.view, "ended"), show::count(&self.view, "accepted"));
        let mut line = show::progress(&self.view);
        if !self.why.is_empty() {
            line.push_str("  ");
            line.push_str(&self.why);
        }
        self.bar.set_length(all.max(ended));
        self.bar.set_position(ended);
        self.bar.set_message(line.clone());
        let line = format!("{ended} of {all} ended  {line}");
        if self.bar.is_hidden() && !self.quiet && line != self.said {
            eprintln!("{line}");
            self.said = line;
        }
    }
}

/// The next event, `None` where the stream broke; waits for ever where there is no stream.
async fn next(events: &mut Option<Events>) -> Option<Event> {
    match events {
        Some(events) => events.next().await.flatten(),
        None => std::future::pending().await,
    }
}

/// A bar on a terminal; hidden elsewhere, where lines are printed.
fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{elapsed_precise} {bar:30} {pos}/{len}  {msg}";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
