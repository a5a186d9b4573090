//! One conversation with a simulated person: hears what the agent said, by its words alone, and answers in the person's manner.

use super::lists::FILLERS;
use super::seed::Dice;
use super::{Kind, Person, Reply};
use crate::sim::model::dates::{self, says};
use crate::sim::model::question::{self, Question, Topic};

/// The state of one conversation. Not `Clone`: a person speaks with one agent at a time.
#[derive(Debug)]
pub struct Talk {
    pub(super) who: Person,
    pub(super) dice: Dice,
    /// How often the person was spoken to.
    turn: u32,
    consented: bool,
    /// The job last spoken of.
    pub(super) at: Option<usize>,
    /// Jobs that were told so far.
    pub(super) told: Vec<bool>,
    /// The last answer, for an agent that did not catch it.
    last: Option<String>,
    /// It was said again just now.
    repeated: bool,
    /// Has asked who calls.
    asked_who: bool,
    /// The last summary heard.
    pub(super) summary: Option<String>,
    evaded: bool,
    puzzled: u32,
    pub(super) corrections: u32,
    /// The turn at which a person of an impatient kind has had enough.
    patience: u32,
    /// Has said what ends the call from this side (opt-out, wrong number, call me later).
    done: bool,
    /// This is not the first call to the person.
    later: bool,
}

impl Talk {
    pub(super) fn new(who: Person, mut dice: Dice, later: bool) -> Self {
        let patience = match who.kind {
            Kind::OptsOut if who.line.is_some() => 0,
            Kind::HangsUp => dice.within(0, 4),
            Kind::OptsOut => dice.within(0, 1) * dice.within(0, 3),
            Kind::Hostile => dice.within(5, 9),
            _ => i32::MAX,
        };
        Self {
            told: vec![false; who.truth.jobs.len()],
            who,
            dice,
            turn: 0,
            consented: false,
            at: None,
            last: None,
            repeated: false,
            asked_who: false,
            summary: None,
            evaded: false,
            puzzled: 0,
            corrections: 0,
            patience: u32::try_from(patience).unwrap_or(u32::MAX),
            done: false,
            later,
        }
    }

    /// What the person does after `said`: all that the agent said since the person last spoke.
    pub fn hear(&mut self, said: &str) -> Reply {
        let q = question::read(said);
        let turn = self.turn;
        if q.bridge {
            return Reply::Silent;
        }
        self.turn += 1;
        match self.who.kind {
            Kind::Silent | Kind::Voicemail | Kind::Busy | Kind::NoAnswer | Kind::Invalid => {
                return Reply::Silent;
            }
            Kind::HangsUp if turn >= self.patience => {
                return Reply::HangsUp { after_s: self.dice.between(0.3, 1.5) };
            }
            _ => {}
        }
        if q.goodbye && q.topics.is_empty() {
            return Reply::HangsUp { after_s: self.dice.between(0.5, 1.5) };
        }
        // Said again once; who still does not understand gets an answer to the question instead.
        self.repeated = q.repeat && !self.repeated;
        if self.repeated
            && let Some(last) = self.last.clone()
        {
            return self.say_clearly(last);
        }
        if let Some(reply) = self.manner(&q, said, turn) {
            return reply;
        }
        if !self.consented {
            return self.consent(&q, said);
        }
        self.respond(&q, said)
    }

    /// What some kinds do whatever was asked.
    fn manner(&mut self, q: &Question, said: &str, turn: u32) -> Option<Reply> {
        if let Some(reply) = self.line(q, said, turn) {
            return Some(reply);
        }
        match self.who.kind {
            Kind::OptsOut if turn >= self.patience => {
                if turn == 0 && self.dice.chance(0.25) {
                    return Some(Reply::Keys { digits: "9".into(), after_s: self.dice.between(1.0, 3.0) });
                }
                let words = [
                    "Stop calling me.",
                    "Take me off your list, please.",
                    "Please don't call me again.",
                    "Don't ever call this number again.",
                    "Remove my number from your list.",
                ];
                Some(self.say_one(&words))
            }
            Kind::WrongNumber => {
                if self.done && q.topics.is_empty() {
                    return Some(Reply::HangsUp { after_s: 1.0 });
                }
                self.done = true;
                let words = [
                    "Sorry, you have the wrong number.",
                    "I think you've got the wrong person.",
                    "There's nobody here by that name, wrong number.",
                    "No, wrong number.",
                ];
                Some(self.say_one(&words))
            }
            Kind::WantsCallback if !self.expects(said) => {
                if q.asks(Topic::CallbackTime) {
                    return Some(self.say_one(&[
                        "Tomorrow at ten in the morning.",
                        "Tomorrow afternoon is good.",
                        "In an hour or so.",
                    ]));
                }
                if self.done && q.topics.is_empty() {
                    return Some(Reply::HangsUp { after_s: 1.0 });
                }
                self.done = true;
                let words = [
                    "I'm driving right now. Can you call me back tomorrow at ten?",
                    "This is a bad time. Call me back in an hour.",
                    "I'm at work, could you call me again tomorrow afternoon?",
                    "I can't talk right now, please call back tomorrow morning.",
                ];
                Some(self.say_one(&words))
            }
            Kind::Hostile => self.hostility(turn),
            _ => None,
        }
    }

    /// What the person was cast to say.
    fn line(&mut self, q: &Question, said: &str, turn: u32) -> Option<Reply> {
        let line = self.who.line.clone()?;
        let now = match self.who.kind {
            Kind::OptsOut | Kind::WrongNumber => turn == 0,
            Kind::WantsCallback => !self.expects(said) && (turn == 0 || q.asks(Topic::CallbackTime)),
            _ => false,
        };
        self.done |= now;
        now.then(|| self.say_clearly(line))
    }

    /// True once the agent says that this is the call that was asked for.
    fn expects(&self, said: &str) -> bool {
        let text = dates::lower(said);
        let agreed = [
            "you asked us to call",
            "you asked me to call",
            "as you asked",
            "calling you back",
            "calling back",
            "as agreed",
            "as you wished",
            "as requested",
        ];
        self.consented || self.later || agreed.iter().any(|a| dates::place(&text, a).is_some())
    }

    fn hostility(&mut self, turn: u32) -> Option<Reply> {
        if turn >= self.patience {
            return Some(match self.dice.within(0, 2) {
                0 => Reply::HangsUp { after_s: 0.8 },
                1 => self.say_one(&["Stop calling me, you idiots.", "Never call me again, you hear?"]),
                _ => self.say_one(&["Leave me alone, you stupid machine.", "Get lost."]),
            });
        }
        if turn == 0 && self.dice.chance(0.3) {
            return Some(self.say_one(&[
                "No. Leave me alone.",
                "No way. Not interested.",
                "No, I don't want that.",
            ]));
        }
        let insults = [
            "You people are idiots.",
            "What a stupid question.",
            "Mind your own damn business.",
            "Why don't you get a real job?",
            "None of your business.",
        ];
        (turn > 0 && self.dice.chance(0.3)).then(|| self.aside(&insults))
    }

    fn consent(&mut self, q: &Question, said: &str) -> Reply {
        if !self.asked_who && self.who.kind != Kind::Terse && self.dice.chance(0.12) {
            let words = ["Who is this?", "Who's calling, please?", "Is this a robot?"];
            self.asked_who = true;
            return self.aside(&words);
        }
        self.consented = true;
        let asks_name_only =
            q.asks(Topic::Name) && !says(&dates::lower(said), "recorded|okay|ok|all right|agree|mind");
        if asks_name_only {
            return self.respond(q, said);
        }
        let words: &[&str] = match self.who.kind {
            Kind::Terse => &["Yes.", "Okay.", "Sure.", "Yeah."],
            Kind::Evasive => &["I guess so.", "If it doesn't take long, okay.", "Hm, all right."],
            Kind::Hostile => &["Yeah, fine, make it quick.", "Ugh. Okay, go on then."],
            _ => &[
                "Yes, that's fine.",
                "Sure, go ahead.",
                "Yes, okay.",
                "Of course, no problem.",
                "Yeah, that works for me.",
                "All right, go ahead.",
            ],
        };
        self.say_one(words)
    }

    fn respond(&mut self, q: &Question, said: &str) -> Reply {
        let Some(&first) = q.topics.first() else {
            return self.puzzle(said);
        };
        let open = !matches!(first, Topic::ReadBack | Topic::More | Topic::Presence | Topic::Consent);
        if self.who.kind == Kind::Evasive && open && !self.evaded && self.dice.chance(0.35) {
            self.evaded = true;
            let words = [
                "Why do you need that?",
                "I don't know.",
                "I'd rather not say.",
                "Does that matter?",
                "That's a bit personal.",
            ];
            return self.aside(&words);
        }
        self.evaded = false;
        let topics: Vec<Topic> = if self.who.kind == Kind::Terse { vec![first] } else { q.topics.clone() };
        let parts: Vec<String> = topics.into_iter().map(|t| self.answer(t, q, said)).collect();
        let mut text = parts.join(" ");
        if self.talkative() && !text.starts_with("No") {
            let filler = self.dice.pick(FILLERS);
            if filler.ends_with(". ") || filler.is_empty() || text.starts_with("I'") || text.starts_with("I ")
            {
                text = format!("{filler}{text}");
            }
        }
        self.say(text)
    }

    const fn talkative(&self) -> bool {
        !matches!(self.who.kind, Kind::Terse | Kind::Hostile)
    }

    fn puzzle(&mut self, said: &str) -> Reply {
        if !said.contains('?') {
            return Reply::Silent;
        }
        // A plain yes-or-no question, whatever it is about.
        let text = dates::lower(said);
        if says(&text, "will you be there|can you come|will you come|can you make it|will you make it") {
            return self.say_one(&[
                "Yes, I'll be there.",
                "Yes.",
                "Sure, I'm coming.",
                "No, I can't make it, sorry.",
            ]);
        }
        self.puzzled += 1;
        if self.puzzled > 2 {
            return self.say_one(&["Okay.", "Sure.", "Yes."]);
        }
        self.aside(&["Sorry, what do you mean?", "I don't understand the question."])
    }

    fn say_one(&mut self, wordings: &[&str]) -> Reply {
        let text = self.dice.pick(wordings).to_owned();
        self.say(text)
    }

    /// Words that answer nothing and are not worth saying again.
    fn aside(&mut self, wordings: &[&str]) -> Reply {
        let reply = self.say_one(wordings);
        self.last = None;
        reply
    }

    /// Now and then the recogniser is unsure, though the words are right.
    fn say(&mut self, text: String) -> Reply {
        let confidence = if self.dice.chance(0.03) {
            self.dice.between(0.30, 0.45)
        } else {
            self.dice.between(0.80, 0.98)
        };
        self.reply(text, confidence)
    }

    fn say_clearly(&mut self, text: String) -> Reply {
        let confidence = self.dice.between(0.85, 0.98);
        self.reply(text, confidence)
    }

    fn reply(&mut self, text: String, confidence: f64) -> Reply {
        self.last = Some(text.clone());
        let slow = if self.who.kind == Kind::Evasive { 1.0 } else { 0.0 };
        let round = |x: f64| (x * 100.0).round() / 100.0;
        Reply::Says {
            text,
            confidence: round(confidence),
            after_s: round(self.dice.between(0.4, 2.2) + slow),
        }
    }
}
