//! The adversarial score, 0 to 10: how difficult this talk is. Deterministic, so that it can be tested and
//! explained: every point has its reason and its turn.
//!
//! Each turn gets points for what is in it (at most 10). The call's score is a recency-weighted mean of the turns: a
//! turn above the mean moves it half of the way, a turn below moves it a seventh. So it rises fast and falls slowly.

use serde::{Deserialize, Serialize};

use super::judge::{self, Answer, Question};

/// How far a turn above the mean moves it.
const RISE: f64 = 0.5;
/// How far a turn below the mean moves it.
const FALL: f64 = 1.0 / 7.0;
/// How many earlier answers are remembered for repetition and contradiction.
const REMEMBERED: usize = 12;

/// Why a turn got points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Abuse aimed at the caller.
    Insult,
    /// Anger without a term of abuse: "stop wasting my time".
    Hostility,
    /// Will not answer.
    Refusal,
    /// Ridicule, deliberate nonsense.
    Mockery,
    /// "I don't know", "why do you need that", "I'd rather not say".
    Evasion,
    /// Says the opposite of an earlier answer.
    Contradiction,
    /// Gives the answer to one question to another one again.
    Repetition,
    /// One word to a question that asked to tell.
    OneWord,
}

impl Reason {
    /// Its points.
    pub(crate) fn points(self) -> f64 {
        match self {
            Self::Insult => 9.0,
            Self::Refusal => 7.0,
            Self::Hostility => 6.0,
            Self::Mockery => 5.0,
            Self::Evasion | Self::Contradiction => 4.0,
            Self::Repetition => 3.0,
            Self::OneWord => 2.0,
        }
    }

    /// The word as it is written in the profile.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Insult => "insult",
            Self::Hostility => "hostility",
            Self::Refusal => "refusal",
            Self::Mockery => "mockery",
            Self::Evasion => "evasion",
            Self::Contradiction => "contradiction",
            Self::Repetition => "repetition",
            Self::OneWord => "one_word",
        }
    }
}

/// Points of one turn for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// The turn.
    pub(crate) turn: u32,
    /// Why.
    pub(crate) reason: Reason,
}

/// How difficult, in a word. Low < 3 ≤ medium < 6 ≤ high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Below 3.
    Low,
    /// From 3.
    Medium,
    /// From 6.
    High,
}

impl Level {
    /// The word as it is written in profile and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// An answer that is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Memory {
    question: String,
    answer: String,
}

/// The score so far and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Score {
    /// The turns that were scored, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<u32>,
    /// Every point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<Point>,
    /// The newest answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    memory: Vec<Memory>,
}

/// One turn to be scored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    /// Its number.
    pub(crate) turn: u32,
    /// What our agent said last.
    pub(crate) question: &'a str,
    /// What the callee said.
    pub(crate) answer: &'a str,
    /// Questions of this kind may well have one and the same answer (the pieces of a long gap, a read-back).
    pub(crate) may_repeat: bool,
}

impl Score {
    /// Scores a turn. A turn that was scored before is not scored again.
    pub(crate) fn hear(&mut self, heard: Heard<'_>) {
        if self.turns.contains(&heard.turn) {
            return;
        }
        self.turns.push(heard.turn);
        let question = Question::of(heard.question);
        let answer = Answer::of(heard.answer);
        let mut reasons = judge::reasons(&question, &answer);
        let memory = Memory { question: question.topic(), answer: answer.text() };
        if reasons.is_empty() || reasons == [Reason::Evasion] || reasons == [Reason::OneWord] {
            if !heard.may_repeat && self.repeats(&memory, &answer) {
                reasons.push(Reason::Repetition);
            }
            if self.contradicts(&memory, &question, &answer) {
                reasons.push(Reason::Contradiction);
            }
        }
        for reason in reasons {
            self.add(heard.turn, reason);
        }
        if !memory.answer.is_empty() {
            self.memory.push(memory);
            let surplus = self.memory.len().saturating_sub(REMEMBERED);
            self.memory.drain(..surplus);
        }
    }

    /// A tool found that what is said now contradicts what was said before.
    pub(crate) fn contradiction(&mut self, turn: u32) {
        self.add(turn, Reason::Contradiction);
    }

    fn add(&mut self, turn: u32, reason: Reason) {
        let point = Point { turn, reason };
        if !self.points.contains(&point) {
            self.points.push(point);
        }
    }

    /// The same substantial answer to another question.
    fn repeats(&self, now: &Memory, answer: &Answer) -> bool {
        if !answer.is_substantial() {
            return false;
        }
        self.memory
            .iter()
            .rev()
            .take(3)
            .any(|old| old.answer == now.answer && !judge::alike(&old.question, &now.question))
    }

    /// The same question answered yes before and no now, or the other way round, without saying so ("actually", …).
    fn contradicts(&self, now: &Memory, question: &Question, answer: &Answer) -> bool {
        let Some(polarity) = answer.polarity() else { return false };
        if !question.stands_alone() || answer.corrects_itself() {
            return false;
        }
        let old = self.memory.iter().rev().find(|old| old.question == now.question);
        old.and_then(|old| Answer::of(&old.answer).polarity()).is_some_and(|before| before != polarity)
    }

    /// The score, 0 to 10.
    pub(crate) fn value(&self) -> f64 {
        self.turns.iter().fold(0.0, |mean, turn| {
            let points: f64 = self.points.iter().filter(|p| p.turn == *turn).map(|p| p.reason.points()).sum();
            let step = points.min(10.0) - mean;
            mean + step * if step > 0.0 { RISE } else { FALL }
        })
    }

    /// The score as a word.
    pub(crate) fn level(&self) -> Level {
        match self.value() {
            value if value >= 6.0 => Level::High,
            value if value >= 3.0 => Level::Medium,
            _ => Level::Low,
        }
    }

    /// High with an insult or repeated refusal: thank and end.
    pub(crate) fn is_hopeless(&self) -> bool {
        let count = |reason| self.points.iter().filter(|p| p.reason == reason).count();
        self.level() == Level::High
            && (count(Reason::Insult) > 0 || count(Reason::Refusal) + count(Reason::Hostility) > 1)
    }

    /// Every point, in the order of the turns.
    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
#[path = "score_cases.rs"]
mod cases;
