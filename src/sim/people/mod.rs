//! The simulated people: a stand-in of the room's signatures until the real one is merged.

use serde::Serialize;

/// Everybody who has a phone.
#[derive(Clone, Copy, Debug)]
pub struct World {
    seed: u64,
}

/// How somebody behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    Cooperative,
    Terse,
    Evasive,
    Hostile,
    OptsOut,
    WantsCallback,
    WrongNumber,
    Voicemail,
    Busy,
    NoAnswer,
    Invalid,
    HangsUp,
    Silent,
    LongGap,
    Overlapping,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Cooperative,
        Self::Terse,
        Self::Evasive,
        Self::Hostile,
        Self::OptsOut,
        Self::WantsCallback,
        Self::WrongNumber,
        Self::Voicemail,
        Self::Busy,
        Self::NoAnswer,
        Self::Invalid,
        Self::HangsUp,
        Self::Silent,
        Self::LongGap,
        Self::Overlapping,
    ];
}

impl World {
    /// The world of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Who answers this number.
    #[must_use]
    pub fn person(&self, e164: &str) -> Person {
        let last: usize = e164.get(e164.len().saturating_sub(2)..).and_then(|d| d.parse().ok()).unwrap_or(0);
        Person { kind: Kind::ALL[last % 15], name: format!("Person {} {}", self.seed, last) }
    }

    /// A number whose owner is of this kind.
    #[must_use]
    pub fn number(&self, kind: Kind, i: u32) -> String {
        let k = Kind::ALL.iter().position(|x| *x == kind).unwrap_or(0);
        format!("+1212{:03}{:02}{k:02}", 200 + i / 100, i % 100)
    }
}

/// Somebody with a phone.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    /// How they behave.
    pub kind: Kind,
    /// Their name.
    pub name: String,
}

/// What happens when their phone rings.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Pickup {
    Answers { after_s: f64 },
    Machine { after_s: f64, greeting: String, beep_after_s: f64, answered_by: &'static str },
    Busy,
    NoAnswer,
    Invalid,
}

impl Person {
    /// What the `leg`-th ring of their phone leads to.
    #[must_use]
    pub fn pickup(&self, leg: u32) -> Pickup {
        match self.kind {
            Kind::Busy => Pickup::Busy,
            Kind::NoAnswer => Pickup::NoAnswer,
            Kind::Invalid => Pickup::Invalid,
            Kind::Voicemail => Pickup::Machine {
                after_s: 4.0,
                greeting: "You have reached the voicemail of somebody. Leave a message after the tone."
                    .into(),
                beep_after_s: 6.0,
                answered_by: "machine_end_beep",
            },
            _ => Pickup::Answers { after_s: 2.0 + f64::from(leg % 3) },
        }
    }

    /// A conversation with them.
    #[must_use]
    pub fn talk(&self, _salt: u64) -> Talk {
        Talk { kind: self.kind, turns: 0 }
    }
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Talk {
    kind: Kind,
    turns: u32,
}

/// What somebody does after they were spoken to.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Reply {
    Says { text: String, confidence: f64, after_s: f64 },
    Keys { digits: String, after_s: f64 },
    Silent,
    HangsUp { after_s: f64 },
}

impl Talk {
    /// What they do, having heard `said`.
    pub fn hear(&mut self, said: &str) -> Reply {
        self.turns += 1;
        match self.kind {
            Kind::Silent => Reply::Silent,
            Kind::HangsUp if self.turns > 1 => Reply::HangsUp { after_s: 1.0 },
            _ if said.contains("press") => Reply::Keys { digits: "1".into(), after_s: 1.0 },
            _ => Reply::Says { text: format!("Yes, {}.", self.turns), confidence: 0.93, after_s: 0.8 },
        }
    }
}
