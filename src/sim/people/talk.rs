//! One conversation with a simulated person: hears what the agent said, by its words alone, and answers in the person's manner.

use super::lists::{FILLERS, GAPS};
use super::phrases;
use super::readback::{self, Mistake};
use super::seed::Dice;
use super::truth::Job;
use super::{Kind, Person, Reply};
use crate::sim::model::dates::{self, Date, says};
use crate::sim::model::question::{self, Question, Topic};

/// The state of one conversation. Not `Clone`: a person speaks with one agent at a time.
#[derive(Debug)]
pub struct Talk {
    who: Person,
    dice: Dice,
    /// How often the person was spoken to.
    turn: u32,
    consented: bool,
    /// The job last spoken of.
    at: Option<usize>,
    /// Jobs that were told so far.
    told: Vec<bool>,
    /// The last answer, for an agent that did not catch it.
    last: Option<String>,
    /// It was said again just now.
    repeated: bool,
    /// Has asked who calls.
    asked_who: bool,
    /// The last summary heard.
    summary: Option<String>,
    evaded: bool,
    puzzled: u32,
    corrections: u32,
    /// The turn at which a person of an impatient kind has had enough.
    patience: u32,
    /// Has said what ends the call from this side (opt-out, wrong number, call me later).
    done: bool,
}

impl Talk {
    pub(super) fn new(who: Person, mut dice: Dice) -> Self {
        let patience = match who.kind {
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
        self.consented || agreed.iter().any(|a| dates::place(&text, a).is_some())
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

    fn answer(&mut self, topic: Topic, q: &Question, said: &str) -> String {
        let terse = matches!(self.who.kind, Kind::Terse | Kind::Hostile);
        match topic {
            Topic::Consent => "Yes.".into(),
            Topic::Presence => "Yes, I'm here.".into(),
            Topic::More => self
                .dice
                .pick(&["No, that's all.", "No, that's everything.", "Nothing else, thank you."])
                .into(),
            Topic::Name if terse => format!("{}.", self.who.name),
            Topic::Name => phrases::name(&self.who.name, &mut self.dice),
            Topic::Current => self.current(),
            Topic::Previous => self.previous(said),
            Topic::Start | Topic::End | Topic::Dates | Topic::Title | Topic::Company | Topic::Reason => {
                self.detail(topic, said)
            }
            Topic::Gap => self.gap(q),
            Topic::Skills if terse => {
                format!("{}.", phrases::capital(&phrases::listed(&self.who.truth.skills)))
            }
            Topic::Skills => phrases::skills(&self.who.truth.skills, &mut self.dice),
            Topic::Education => match &self.who.truth.education {
                Some(e) => {
                    format!("I have {} from {}, {}.", phrases::with_article(&e.degree), e.institution, e.year)
                }
                None => "No, nothing special.".into(),
            },
            Topic::ReadBack | Topic::Correction => self.read_back(topic, said),
            Topic::Email => "I don't use e-mail much, sorry.".into(),
            Topic::City => "I'd rather not say where I live.".into(),
            Topic::CallbackTime => "Tomorrow at ten in the morning.".into(),
        }
    }

    fn job(&self, i: usize) -> Job {
        self.who.truth.jobs[i].clone()
    }

    /// Jobs told in one breath: those held at the same time as job `i` and next to it in the list.
    fn group(&self, i: usize) -> Vec<usize> {
        let jobs = &self.who.truth.jobs;
        if self.who.kind != Kind::Overlapping {
            return vec![i];
        }
        let together = |a: &Job, b: &Job| a.span().0 < b.span().1 && b.span().0 < a.span().1;
        (i..jobs.len().min(i + 2)).filter(|&j| j == i || together(&jobs[i], &jobs[j])).collect()
    }

    fn tell(&mut self, first: usize) -> String {
        let group = self.group(first);
        for &i in &group {
            self.told[i] = true;
        }
        self.at = group.last().copied();
        let jobs: Vec<Job> = group.iter().map(|&i| self.job(i)).collect();
        let job = &jobs[0];
        let company = phrases::company(&job.company, &mut self.dice);
        match self.who.kind {
            Kind::Terse | Kind::Hostile => match self.dice.within(0, 3) {
                0 => format!("{company}."),
                1 => format!("{}.", phrases::capital(&job.title)),
                2 => format!("{} at {company}.", phrases::capital(&job.title)),
                _ => format!("{company}, {}.", job.title),
            },
            Kind::Evasive if self.dice.chance(0.3) => {
                let was = if job.current { "I work" } else { "I worked" };
                format!("{was} at {company} as {}.", phrases::with_article(&job.title))
            }
            _ if jobs.len() > 1 => phrases::both(&jobs.iter().collect::<Vec<_>>(), &mut self.dice),
            _ if job.current => phrases::present(job, &mut self.dice),
            _ => phrases::past(job, &mut self.dice),
        }
    }

    fn current(&mut self) -> String {
        if self.who.truth.jobs.first().is_some_and(|j| j.current) {
            return self.tell(0);
        }
        match self.who.kind {
            Kind::Terse | Kind::Hostile => "Not working.".into(),
            _ => self
                .dice
                .pick(&[
                    "I'm not working at the moment.",
                    "I'm out of work right now.",
                    "I don't have a job at the moment.",
                ])
                .into(),
        }
    }

    fn previous(&mut self, said: &str) -> String {
        let jobs = self.who.truth.jobs.len();
        let base = readback::named(said, &self.who.truth.jobs).or(self.at);
        let mut next = match base {
            None => self.told.iter().position(|t| !t).unwrap_or(jobs),
            Some(base) => base + 1,
        };
        // The other of two jobs at once was told together with its neighbour.
        if let Some(base) = base
            && self.group(base).contains(&next)
            && self.told.get(next) == Some(&true)
        {
            next += 1;
        }
        if next < jobs {
            return self.tell(next);
        }
        if let Some(left) = self.told.iter().position(|t| !t) {
            return self.tell(left);
        }
        match self.who.kind {
            Kind::Terse | Kind::Hostile => {
                self.dice.pick(&["Nothing.", "That was my first job.", "No."]).into()
            }
            _ => self
                .dice
                .pick(&[
                    "That was my first job.",
                    "Nothing before that, that was the first one.",
                    "No, there was nothing before that.",
                    "I was still in school before that.",
                ])
                .into(),
        }
    }

    fn detail(&mut self, topic: Topic, said: &str) -> String {
        let at = readback::named(said, &self.who.truth.jobs)
            .or(self.at)
            .or_else(|| self.told.iter().position(|t| *t));
        let Some(at) = at.or(if self.who.truth.jobs.is_empty() { None } else { Some(0) }) else {
            return "I don't know.".into();
        };
        self.at = Some(at);
        self.told[at] = true;
        let job = self.job(at);
        let dice = &mut self.dice;
        let terse = matches!(self.who.kind, Kind::Terse | Kind::Hostile);
        match topic {
            Topic::Start if terse => format!("{}.", phrases::date(job.from(), dice)),
            Topic::Start => phrases::start(&job, dice),
            Topic::End if terse => {
                job.to().map_or("Still there.".into(), |e| format!("{}.", phrases::date(e, dice)))
            }
            Topic::End => phrases::end(&job, dice),
            Topic::Dates => phrases::dates(&job, dice),
            Topic::Title if terse => format!("{}.", phrases::capital(&job.title)),
            Topic::Title => phrases::title(&job, dice),
            Topic::Company if terse => format!("{}.", job.company),
            Topic::Company => phrases::employer(&job, dice),
            _ => dice
                .pick(&[
                    "It was just time for something new.",
                    "The pay was better elsewhere.",
                    "They closed the place.",
                ])
                .into(),
        }
    }

    fn gap(&mut self, q: &Question) -> String {
        let (from, to) = match q.dates.as_slice() {
            [] => (0, 0),
            [one] => (one.date.first(), i32::MAX / 2),
            [one, .., two] => (one.date.first(), two.date.first().max(one.date.first() + 1)),
        };
        let overlap = |span: (i32, i32)| span.1.min(to) - span.0.max(from);
        let truth = &self.who.truth;
        let gap = if q.dates.is_empty() {
            truth.gaps.first()
        } else {
            truth.gaps.iter().max_by_key(|g| overlap(g.span())).filter(|g| overlap(g.span()) >= 2)
        };
        if let Some(gap) = gap.cloned() {
            return match self.who.kind {
                Kind::Terse | Kind::Hostile => GAPS
                    .iter()
                    .find(|(kind, _)| *kind == gap.kind)
                    .map_or(gap.explanation, |(_, w)| w[0].to_owned()),
                _ => gap.explanation,
            };
        }
        let working = truth.jobs.iter().position(|j| overlap(j.span()) >= 1);
        let Some(i) = working else { return "I don't remember.".into() };
        let job = self.job(i);
        self.at = Some(i);
        self.told[i] = true;
        format!(
            "I was at {} then. {}",
            job.company,
            if job.current {
                phrases::present(&job, &mut self.dice)
            } else {
                phrases::past(&job, &mut self.dice)
            }
        )
    }

    fn read_back(&mut self, topic: Topic, said: &str) -> String {
        // "What should I correct?" is about the summary heard before.
        let before = self.summary.take();
        let said = if topic == Topic::Correction { before.unwrap_or_default() } else { said.to_owned() };
        self.summary = Some(said.clone());
        let said = said.as_str();
        let yes: &[&str] = match self.who.kind {
            Kind::Terse => &["Yes.", "Right.", "Yep."],
            Kind::Evasive => &["I guess so.", "Yes, I think so."],
            Kind::Hostile => &["Yeah, whatever.", "Yes."],
            _ => &["Yes, that's right.", "Yes, all correct.", "That's correct.", "Yes, exactly."],
        };
        let mistake = readback::mistakes(said, &self.who.truth).into_iter().next();
        self.corrections += 1;
        let Some(mistake) = mistake.filter(|_| self.corrections <= 5) else {
            return self.dice.pick(yes).into();
        };
        let when = |d: Option<Date>| d.map_or_else(|| "never".to_owned(), Date::spoken);
        match mistake {
            Mistake::Name => format!("No, my name is {}.", self.who.name),
            Mistake::Start(i) => {
                format!("No, at {} I started in {}.", self.job(i).company, when(Some(self.job(i).from())))
            }
            Mistake::End(i) => format!("No, I left {} in {}.", self.job(i).company, when(self.job(i).to())),
            Mistake::Missing(i) => {
                let job = self.job(i);
                let told = if job.current {
                    phrases::present(&job, &mut self.dice)
                } else {
                    phrases::past(&job, &mut self.dice)
                };
                format!("No, one job is missing. {told}")
            }
            Mistake::Invented(name) => format!("No, I never worked at {name}."),
        }
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
