//! The life of a campaign: draft → scheduled → running ⇄ paused → draining → completed | cancelled | expired. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Millis;
use crate::domain::campaign::Campaign;

/// How many transitions a campaign remembers: pausing and resuming by a script may not grow it without end.
const HISTORY: usize = 200;

/// Where a campaign is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Being put together; nothing is dialed.
    #[default]
    Draft,
    /// Starts by itself at `starts_at`.
    Scheduled,
    /// Dials.
    Running,
    /// Dials nothing; what lives goes on.
    Paused,
    /// No call waits any more (or none may), the last ones are under way.
    Draining {
        /// What it becomes when they are over.
        toward: Toward,
    },
    /// All its calls are over.
    Completed,
    /// A client ended it.
    Cancelled,
    /// Its time ran out.
    Expired,
}

/// What a draining campaign becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Toward {
    /// Completed; what comes back for another attempt is still dialed.
    Completed,
    /// Cancelled: what waits is ended.
    Cancelled,
    /// Expired: what waits is ended.
    Expired,
}

/// What a client or the keeper wants of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start at this moment, by itself.
    Schedule {
        /// When, Unix ms.
        at: Millis,
    },
    /// Dial.
    Start,
    /// Dial nothing until resumed.
    Pause,
    /// Dial again.
    Resume,
    /// End it: what waits is canceled, what lives is hung up.
    Cancel,
    /// Its time ran out.
    Expire,
    /// Nothing waits any more.
    Drain,
    /// Further rows came, or a call came back, while it drained.
    Refill,
    /// Nothing lives any more: the end it drained toward.
    Finish,
}

/// One step of a campaign's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// From where.
    pub from: State,
    /// To where.
    pub to: State,
    /// When, Unix ms.
    pub at: Millis,
    /// Who: `api:<fingerprint of the key>`, `keeper`, `brake`.
    pub by: String,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A command that this state does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state it is in.
    pub state: State,
}

impl State {
    /// The word as it is written on every wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining { .. } => "draining",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// What a draining campaign is in the end.
    #[must_use]
    pub fn after_draining(toward: Toward) -> Self {
        match toward {
            Toward::Completed => Self::Completed,
            Toward::Cancelled => Self::Cancelled,
            Toward::Expired => Self::Expired,
        }
    }

    /// Is it over for good?
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Expired)
    }

    /// May its calls be dialed?
    #[must_use]
    pub fn dials(self) -> bool {
        matches!(self, Self::Running | Self::Draining { toward: Toward::Completed })
    }

    /// Are its waiting calls to be ended, and as what?
    #[must_use]
    pub fn ends_waiting(self) -> Option<Toward> {
        match self {
            Self::Draining { toward: Toward::Completed } => None,
            Self::Draining { toward } => Some(toward),
            Self::Cancelled => Some(Toward::Cancelled),
            Self::Expired => Some(Toward::Expired),
            _ => None,
        }
    }

    /// Does it take further rows?
    #[must_use]
    pub fn takes_rows(self) -> bool {
        matches!(
            self,
            Self::Draft
                | Self::Scheduled
                | Self::Running
                | Self::Paused
                | Self::Draining { toward: Toward::Completed }
        )
    }

    /// The state after a command; the same state means that it was so already, `None` that it cannot be.
    #[must_use]
    pub fn after(self, command: Command) -> Option<Self> {
        use Command as C;
        use State as S;
        use Toward as T;
        let next = match (self, command) {
            (S::Draft | S::Scheduled, C::Schedule { .. }) => S::Scheduled,
            (S::Draft | S::Scheduled | S::Running, C::Start) => S::Running,
            (S::Running | S::Paused | S::Draining { toward: T::Completed }, C::Pause) => S::Paused,
            (S::Running | S::Paused, C::Resume) => S::Running,
            (S::Draining { toward: T::Completed }, C::Resume | C::Start) => self,
            (S::Draining { toward: T::Cancelled } | S::Cancelled, C::Cancel) => self,
            (S::Completed | S::Expired, _) | (S::Cancelled, _) => return None,
            (_, C::Cancel) => S::Draining { toward: T::Cancelled },
            (S::Draining { toward: T::Cancelled }, _) if command != C::Finish => return None,
            (S::Draining { toward: T::Expired }, C::Expire) => self,
            (_, C::Expire) => S::Draining { toward: T::Expired },
            // Both are the keeper's, who may come late: the campaign is there already.
            (S::Running | S::Draining { toward: T::Completed }, C::Drain) => {
                S::Draining { toward: T::Completed }
            }
            (S::Running | S::Draining { toward: T::Completed }, C::Refill) => S::Running,
            (S::Draining { toward }, C::Finish) => S::after_draining(toward),
            _ => return None,
        };
        Some(next)
    }
}

impl Campaign {
    /// Carries a command out and remembers who, when and why. True: something changed.
    ///
    /// # Errors
    /// [`Refusal`] where its state does not take the command.
    pub fn command(
        &mut self,
        command: Command,
        by: &str,
        why: Option<&str>,
        now: Millis,
    ) -> Result<bool, Refusal> {
        let from = self.state;
        let to = from.after(command).ok_or(Refusal { state: from })?;
        if let Command::Schedule { at } = command {
            self.starts_at = Some(at);
        }
        if to == from {
            return Ok(matches!(command, Command::Schedule { .. }));
        }
        self.state = to;
        self.history.push(Transition { from, to, at: now, by: by.to_owned(), why: why.map(str::to_owned) });
        if self.history.len() > HISTORY {
            // When it first dialed is kept: its calls expire by it.
            let first = self.history.first().is_some_and(|step| step.to == State::Running);
            self.history.remove(usize::from(first));
        }
        Ok(true)
    }

    /// From when its calls may be dialed: when it was first started, else when it starts by itself. `None`: it waits to be
    /// started.
    #[must_use]
    pub fn first_dials_at(&self) -> Option<Millis> {
        let started = self.history.iter().find(|step| step.to == State::Running).map(|step| step.at);
        match self.state {
            State::Draft => None,
            State::Scheduled => self.starts_at,
            _ => Some(started.unwrap_or(self.created_at)),
        }
    }
}
