//! The people of the simulated world: who answers at a number, how, and what is true about them.
//!
//! Everything follows from the world's seed and the number. **The kind is told by the number's last two digits alone**, for any number
//! at all, so that a list of numbers can be written by hand:
//!
//! | last two digits | kind | | last two digits | kind |
//! | --- | --- | --- | --- | --- |
//! | 00–39 | cooperative | | 72–77 | voicemail |
//! | 40–47 | terse | | 78–81 | busy |
//! | 48–55 | evasive | | 82–85 | no answer |
//! | 56–59 | hostile | | 86–88 | invalid |
//! | 60–63 | opts out | | 89–90 | hangs up |
//! | 64–67 | wants a callback | | 91–92 | silent |
//! | 68–71 | wrong number | | 93–96 | long gap |
//! | | | | 97–99 | overlapping |

mod answers;
mod lists;
mod phrases;
mod readback;
mod seed;
mod talk;
mod truth;

use serde::{Deserialize, Serialize};

use seed::Dice;
pub use talk::Talk;
pub use truth::{Education, Gap, Job, Truth};

/// How a simulated person behaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Answers every question fully and truthfully.
    Cooperative,
    /// Says the least that answers the question; must be asked again for the rest.
    Terse,
    /// "Why do you need that?" before many an answer.
    Evasive,
    /// Insults; may refuse, hang up or forbid further calls.
    Hostile,
    /// Wants no more calls, at once or soon, by word or by key 9.
    OptsOut,
    /// Has no time now and says when to call.
    WantsCallback,
    /// Is somebody else.
    WrongNumber,
    /// A machine answers.
    Voicemail,
    /// The line is busy.
    Busy,
    /// Nobody picks up.
    NoAnswer,
    /// The number does not exist.
    Invalid,
    /// Hangs up in the middle.
    HangsUp,
    /// Picks up and never says a word.
    Silent,
    /// Worked until 1977 and again from 2004.
    LongGap,
    /// Had two jobs at the same time.
    Overlapping,
}

impl Kind {
    /// Every kind.
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

    /// The kind's name as it is serialised.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cooperative => "cooperative",
            Self::Terse => "terse",
            Self::Evasive => "evasive",
            Self::Hostile => "hostile",
            Self::OptsOut => "opts_out",
            Self::WantsCallback => "wants_callback",
            Self::WrongNumber => "wrong_number",
            Self::Voicemail => "voicemail",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Invalid => "invalid",
            Self::HangsUp => "hangs_up",
            Self::Silent => "silent",
            Self::LongGap => "long_gap",
            Self::Overlapping => "overlapping",
        }
    }

    /// The dispositions a correct dialer may reach with such a person.
    #[must_use]
    pub const fn expected_dispositions(self) -> &'static [&'static str] {
        match self {
            Self::Cooperative
            | Self::Terse
            | Self::Evasive
            | Self::LongGap
            | Self::Overlapping
            | Self::WantsCallback => &["completed"],
            Self::HangsUp | Self::Silent => &["completed", "abandoned"],
            Self::Hostile => &["completed", "rejected", "opted_out"],
            Self::OptsOut => &["opted_out"],
            Self::WrongNumber => &["rejected"],
            Self::Voicemail => &["voicemail"],
            Self::Busy => &["busy"],
            Self::NoAnswer => &["no_answer"],
            Self::Invalid => &["invalid_number"],
        }
    }

    /// First and last of the two-digit endings that mean this kind.
    const fn endings(self) -> (u32, u32) {
        match self {
            Self::Cooperative => (0, 39),
            Self::Terse => (40, 47),
            Self::Evasive => (48, 55),
            Self::Hostile => (56, 59),
            Self::OptsOut => (60, 63),
            Self::WantsCallback => (64, 67),
            Self::WrongNumber => (68, 71),
            Self::Voicemail => (72, 77),
            Self::Busy => (78, 81),
            Self::NoAnswer => (82, 85),
            Self::Invalid => (86, 88),
            Self::HangsUp => (89, 90),
            Self::Silent => (91, 92),
            Self::LongGap => (93, 96),
            Self::Overlapping => (97, 99),
        }
    }

    fn of(number: &str) -> Self {
        let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
        let ending = match digits.as_slice() {
            [.., tens, ones] => tens * 10 + ones,
            [one] => *one,
            [] => 0,
        };
        let fits = |kind: &Self| (kind.endings().0..=kind.endings().1).contains(&ending);
        Self::ALL.into_iter().find(fits).unwrap_or(Self::Cooperative)
    }
}

/// Area codes of the lists made here, over all time zones of the country.
const AREAS: [u32; 24] = [
    212, 312, 303, 415, 404, 512, 602, 206, 617, 314, 801, 619, 215, 615, 505, 503, 305, 504, 208, 907, 216,
    414, 808, 702,
];

/// Somebody cast for a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// The manner; otherwise as the number tells.
    pub kind: Option<Kind>,
    /// What somebody says at once who opts out, wants a callback or is the wrong person.
    pub line: Option<String>,
    /// Seconds from the first ring until they pick up; otherwise by chance.
    pub after_s: Option<f64>,
}

/// All the people there are.
#[derive(Clone, Debug)]
pub struct World {
    seed: u64,
}

impl World {
    /// The world of a seed; the same seed gives the same people.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Who is reached at a number. Spaces and punctuation in it do not matter.
    #[must_use]
    pub fn person(&self, e164: &str) -> Person {
        self.person_as(e164, &Role::default())
    }

    /// What decides over everybody.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Who is reached at a number where somebody was cast for it.
    #[must_use]
    pub fn person_as(&self, e164: &str, role: &Role) -> Person {
        let digits: String = e164.chars().filter(char::is_ascii_digit).collect();
        let kind = role.kind.unwrap_or_else(|| Kind::of(&digits));
        let truth = Truth::new(self.seed, &digits, kind);
        let line = role.line.clone();
        Person { kind, name: truth.name.clone(), truth, line, after_s: role.after_s, seed: self.seed, digits }
    }

    /// The `i`-th valid US number, E.164, of this kind. Different for every `i` below 300,000; neighbours lie in different area codes.
    ///
    /// The first ones are of the exchange 555, lines 0100 to 0199, kept for fiction; the rest may belong to somebody and must
    /// therefore never be dialed but in the simulated world.
    #[must_use]
    pub fn number(&self, kind: Kind, i: u32) -> String {
        let areas = u32::try_from(AREAS.len()).unwrap_or(1);
        let area = AREAS[usize::try_from(i % areas).unwrap_or(0)];
        let (first, last) = kind.endings();
        let width = last - first + 1;
        let rest = i / areas;
        let ending = first + rest % width;
        let round = rest / width;
        if round == 0 {
            return format!("+1{area}55501{ending:02}");
        }
        // 220–999 without the exchanges that begin N11 or are reserved (555, 950, 958, 959, 976).
        let usable = |x: &u32| x % 100 != 11 && !matches!(x, 555 | 950 | 958 | 959 | 976);
        let exchanges: Vec<u32> = (220..1000).filter(usable).collect();
        let round = usize::try_from(round - 1).unwrap_or(0);
        let exchange = exchanges[(round * 7) % exchanges.len()];
        let hundreds = (round / exchanges.len() + 20) % 100;
        format!("+1{area}{exchange}{hundreds:02}{ending:02}")
    }
}

/// Somebody who may answer.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    /// The manner.
    pub kind: Kind,
    /// First and last name.
    pub name: String,
    /// What a perfect interview would find out.
    pub truth: Truth,
    /// What they say at once, where they were cast with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    #[serde(skip)]
    after_s: Option<f64>,
    #[serde(skip)]
    seed: u64,
    #[serde(skip)]
    digits: String,
}

/// What happens when the phone rings. Times are simulated seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pickup {
    /// A person says hello.
    Answers {
        /// From the first ring.
        after_s: f64,
    },
    /// An answering machine.
    Machine {
        /// From the first ring.
        after_s: f64,
        /// What it says.
        greeting: String,
        /// From the beginning of the greeting.
        beep_after_s: f64,
        /// What detection with `DetectMessageEnd` would call it.
        answered_by: &'static str,
    },
    /// The line is busy.
    Busy,
    /// It rings until the caller gives up.
    NoAnswer,
    /// No such number.
    Invalid,
}

/// What the person does after having heard the agent. Times are simulated seconds after the agent's last word.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Speaks.
    Says {
        /// As a perfect recogniser would write it.
        text: String,
        /// 0 to 1: how sure the recogniser is.
        confidence: f64,
        /// Thinking time.
        after_s: f64,
    },
    /// Presses keys.
    Keys {
        /// `0`–`9`, `*`, `#`.
        digits: String,
        /// Thinking time.
        after_s: f64,
    },
    /// Says nothing.
    Silent,
    /// Ends the call.
    HangsUp {
        /// Time until then.
        after_s: f64,
    },
}

impl Person {
    /// What happens at the `leg`-th ring (from 0) of this number.
    #[must_use]
    pub fn pickup(&self, leg: u32) -> Pickup {
        let mut dice = Dice::new(self.seed ^ u64::from(leg), &format!("pickup {}", self.digits));
        match self.kind {
            Kind::Busy => Pickup::Busy,
            Kind::NoAnswer => Pickup::NoAnswer,
            Kind::Invalid => Pickup::Invalid,
            Kind::Voicemail => {
                let first = self.name.split(' ').next().unwrap_or("nobody");
                let greeting = match dice.within(0, 2) {
                    0 => format!("Hi, you've reached {first}. I can't come to the phone right now. Please leave a message after the tone."),
                    1 => "The person you are trying to reach is not available. At the tone, please record your message.".to_owned(),
                    _ => format!("This is {first}'s voicemail. Leave your name and number after the beep."),
                };
                let answered_by = ["machine_end_beep", "machine_end_silence", "machine_end_other"]
                    [usize::from(dice.chance(0.3)) + usize::from(dice.chance(0.2))];
                let beep_after_s = dice.between(5.0, 9.0);
                Pickup::Machine { after_s: dice.between(15.0, 22.0), greeting, beep_after_s, answered_by }
            }
            _ => Pickup::Answers { after_s: self.after_s.unwrap_or_else(|| dice.between(3.0, 14.0)) },
        }
    }

    /// A conversation with this person. `salt` is how many conversations there were before; it varies the wording and the whims, never
    /// the truth. Who wanted a callback has time from the second one on.
    #[must_use]
    pub fn talk(&self, salt: u64) -> Talk {
        let dice = Dice::new(self.seed ^ salt.rotate_left(32), &format!("talk {}", self.digits));
        Talk::new(self.clone(), dice, salt > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rlibphonenumber::PHONE_NUMBER_UTIL;

    use super::*;

    #[test]
    fn numbers_are_valid_distinct_and_of_their_kind() {
        let world = World::new(7);
        for kind in Kind::ALL {
            let mut seen = HashSet::new();
            for i in (0..600).chain((600..300_000).step_by(997)) {
                let number = world.number(kind, i);
                assert!(seen.insert(number.clone()), "{number} twice");
                let parsed = PHONE_NUMBER_UTIL.parse(&number, None).expect("parses");
                assert!(PHONE_NUMBER_UTIL.is_valid_number(&parsed), "{number} is not valid");
                assert_eq!(Kind::of(&number), kind, "{number}");
            }
            assert_eq!(world.person(&world.number(kind, 3)).kind, kind);
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.as_str());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_people() {
        let number = World::new(1).number(Kind::Cooperative, 5);
        let one = World::new(1).person(&number);
        assert_eq!(one.truth, World::new(1).person(&number).truth);
        assert_ne!(one.truth, World::new(2).person(&number).truth);
        assert!((3..=5).contains(&one.truth.jobs.len()));
    }

    #[test]
    fn lives_have_the_shape_of_their_kind() {
        let world = World::new(3);
        for i in 0..200 {
            let long = world.person(&world.number(Kind::LongGap, i)).truth;
            assert!(long.gaps.len() >= 3, "a long gap comes in pieces");
            assert!(long.jobs.iter().any(|j| j.end.as_deref().is_some_and(|e| e.starts_with("1977"))));
            let double = world.person(&world.number(Kind::Overlapping, i)).truth;
            let overlap = |a: &Job, b: &Job| a.span().0 < b.span().1 && b.span().0 < a.span().1;
            let jobs = &double.jobs;
            assert!((0..jobs.len()).any(|a| (0..a).any(|b| overlap(&jobs[a], &jobs[b]))));
        }
    }
}
