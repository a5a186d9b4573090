//! What a simulated person answers to each kind of question, from the truth and in the person's manner.

use super::Kind;
use super::lists::GAPS;
use super::phrases;
use super::readback::{self, Mistake};
use super::talk::Talk;
use super::truth::Job;
use crate::sim::model::dates::Date;
use crate::sim::model::question::{Question, Topic};

impl Talk {
    pub(super) fn answer(&mut self, topic: Topic, q: &Question, said: &str) -> String {
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
}
