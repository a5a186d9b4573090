//! The keeper of campaigns: one worker of the fleet at a time moves them along where no client does: they start and expire
//! at their times, drain and end when their calls are over, and what a cancelled one leaves is brought to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::api::Performer;
use crate::base::clock::{Clock, MINUTE, Millis, SECOND, rfc3339};
use crate::domain::call::{Event, Rules};
use crate::domain::campaign::{Campaign, Command, State, Toward};
use crate::domain::ids::{CampaignId, Shard};
use crate::store::{Applied, CampaignCounts, Changed, OpenCampaign, Pulse, Store, StoreError};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);
/// How long it stays the keeper without a word: another takes over then.
const LEASE: Millis = 5 * SECOND;
/// Campaigns whose counters are read in one round; where more are open, they take turns.
const COUNTED: usize = 8;
/// How long a list may take between two of its rows: a reader that died does not keep a campaign open for ever.
const READING: Millis = 10 * MINUTE;
/// Live calls hung up at once.
const WIDTH: usize = 16;
/// How soon the calls of a campaign that ends are looked for again, and how late at the most.
const HASTEN: (Millis, Millis) = (2 * SECOND, 16 * SECOND);

/// A node's keeper, who works while no other node's does.
#[derive(Clone)]
pub(super) struct Keeper {
    /// Redis.
    pub store: Store,
    /// Does what a commit left to do.
    pub perform: Performer,
    /// The machine's policy.
    pub rules: Arc<Rules>,
    /// Now.
    pub clock: Clock,
    /// This node's own name.
    pub name: String,
}

/// What a keeper remembers between two rounds. Lost with it, it is learned anew.
#[derive(Default)]
pub(super) struct Memory {
    turn: usize,
    /// When the calls of a campaign that ends are looked for next, and after which wait again.
    hasten: HashMap<CampaignId, (Millis, Millis)>,
}

impl Keeper {
    /// Keeps until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut memory = Memory::default();
        let mut away = false;
        while !stop.is_cancelled() {
            match self.round(&mut memory).await {
                Ok(()) => away = false,
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(%error, "campaigns are not kept until Redis is back");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// One round over all campaigns that are not over; nothing where another node keeps them.
    ///
    /// # Errors
    /// Where Redis does not answer; whatever was left undone is done in a later round.
    pub(super) async fn round(&self, memory: &mut Memory) -> Result<(), StoreError> {
        // Whose clock is wrong starts and expires nothing; its lease goes to another.
        if !self.store.clocks_agree() || !self.store.keep_campaigns(&self.name, LEASE).await? {
            return Ok(());
        }
        let now = self.clock.now();
        let open = self.store.open_campaigns().await?;
        memory.hasten.retain(|id, _| open.iter().any(|it| it.id == *id));
        let mut counted = Vec::new();
        for it in &open {
            if let Some((command, by, why)) = due(it, now) {
                self.command(&it.id, command, by, &why, |_| true).await?;
                if it.brake.is_some() {
                    self.store.note_brake(&it.id).await?;
                }
            } else if it.life == State::Running.as_str() || it.toward.is_some() {
                counted.push(it);
            }
        }
        let many = counted.len().max(1);
        for i in 0..counted.len().min(COUNTED) {
            if i > 0 {
                // A long round must not outlive its lease.
                self.store.keep_campaigns(&self.name, LEASE).await?;
            }
            self.look(&counted[(memory.turn + i) % many].id, memory).await?;
        }
        memory.turn = (memory.turn + COUNTED) % many;
        Ok(())
    }

    /// Counts a campaign's calls and takes the step that follows.
    async fn look(&self, id: &CampaignId, memory: &mut Memory) -> Result<(), StoreError> {
        // The campaign first: a step that follows from the counts is taken only where nobody wrote since.
        let Some(campaign) = self.store.campaign_fresh(id).await? else { return Ok(()) };
        let counts = CampaignCounts { counters: self.store.counters(id.as_str()).await?, ready: 0 };
        let now = self.clock.now();
        let started = counts.counters.get("started").copied().unwrap_or(0);
        self.store.note_pulse(id, Pulse { at: now, started, ended: counts.ended() }).await?;
        if let Some((command, why)) = follows(&campaign, &counts, now) {
            self.command(id, command, "keeper", why, |it| it.version == campaign.version).await?;
        } else if let Some(toward) = campaign.state.ends_waiting() {
            let (next, wait) = memory.hasten.get(id).copied().unwrap_or((0, HASTEN.0));
            if now >= next {
                memory.hasten.insert(id.clone(), (now + wait, (wait * 2).min(HASTEN.1)));
                self.hasten(id, toward).await?;
            }
        }
        Ok(())
    }

    async fn command(
        &self,
        id: &CampaignId,
        command: Command,
        by: &str,
        why: &str,
        still: impl Fn(&Campaign) -> bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let changed = self
            .store
            .change_campaign(id, |it| {
                if !still(it) {
                    return Ok(false);
                }
                it.command(command, by, Some(why).filter(|w| !w.is_empty()), now)
            })
            .await?;
        if let Changed::Done(it) = changed {
            tracing::info!(campaign_id = %id, state = it.state.as_str(), by, why, "a campaign moved on");
        }
        Ok(())
    }

    /// Brings what a campaign that ends has left in the future to now, and hangs up what lives of a cancelled one.
    async fn hasten(&self, id: &CampaignId, toward: Toward) -> Result<(), StoreError> {
        let passes = futures::stream::iter(Shard::all()).map(|shard| self.store.hasten(id, shard));
        let done: Vec<_> = passes.buffer_unordered(WIDTH).collect().await;
        let mut live = Vec::new();
        for pass in done {
            live.extend(pass?.1);
        }
        if toward != Toward::Cancelled {
            return Ok(());
        }
        let hang_up = |call_id| async move {
            let Some(call) = self.store.load(&call_id).await? else { return Ok(()) };
            if let Applied::Done(call, effects) = self.store.apply(call, Event::Cancel, &self.rules).await? {
                (self.perform)(*call, effects).await;
            }
            Ok::<_, StoreError>(())
        };
        let ends: Vec<_> = futures::stream::iter(live).map(hang_up).buffer_unordered(WIDTH).collect().await;
        ends.into_iter().collect()
    }
}

/// What the time, or pacing's brake, asks of a campaign; with who asks and why.
fn due(it: &OpenCampaign, now: Millis) -> Option<(Command, &'static str, String)> {
    let ends = it.toward.as_deref().is_some_and(|toward| toward != State::Completed.as_str());
    if ends {
        return None;
    }
    if let Some(at) = it.expires_at.filter(|at| *at <= now) {
        return Some((Command::Expire, "keeper", format!("expired at {}", rfc3339(at))));
    }
    if let Some(at) = it.starts_at.filter(|at| *at <= now && it.life == State::Scheduled.as_str()) {
        return Some((Command::Start, "keeper", format!("scheduled for {}", rfc3339(at))));
    }
    let dials = it.life == State::Running.as_str() || it.toward.is_some();
    it.brake.as_deref().filter(|_| dials).map(|counts| {
        let (abandoned, answers) = counts.split_once('/').unwrap_or((counts, "?"));
        let why = format!("{abandoned} of {answers} live answers in 30 days heard no voice of ours in time");
        (Command::Pause, "brake", why)
    })
}

/// What follows from how far a campaign is.
fn follows(it: &Campaign, counts: &CampaignCounts, now: Millis) -> Option<(Command, &'static str)> {
    let reading = it.reading_since.is_some_and(|since| now < since + READING);
    match it.state {
        State::Running if counts.accepted() > 0 && counts.waiting() == 0 && !it.keep_open && !reading => {
            Some((Command::Drain, "no call waits any more"))
        }
        State::Draining { toward: Toward::Completed } if counts.waiting() > 0 => {
            Some((Command::Refill, "calls wait again"))
        }
        State::Draining { .. } if counts.open() == 0 && !reading => {
            Some((Command::Finish, "all its calls are over"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
