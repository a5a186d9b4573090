//! Whole interviews between the simulated people and the simulated model, with a small program in the engine's place: it keeps notes,
//! runs the tools and suggests the next question, as the contract of the STATE line says.

use serde_json::{Map, Value, json};

use super::brain;
use super::dates::{self, Date};
use super::wire::{Answer, Request};
use crate::sim::judge::{self, Score};
use crate::sim::people::{Kind, Person, Reply, World};

#[derive(Default)]
struct Notes {
    consent: Option<bool>,
    name: Option<String>,
    jobs: Vec<Map<String, Value>>,
    explained: Vec<Value>,
    skills: Vec<Value>,
    skills_asked: bool,
    complete: bool,
    confirmed: bool,
    ended: Option<String>,
    asked: Vec<String>,
    /// 0 to 2: how the questions are put.
    manner: usize,
}

fn text<'a>(of: &'a Map<String, Value>, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or("")
}

const TODAY: i32 = 2026 * 12 + 10;

impl Notes {
    fn put(&self, one: &str, two: &str, three: &str) -> String {
        [one, two, three][self.manner].to_owned()
    }

    fn missing(&self) -> Option<String> {
        for job in &self.jobs {
            let c = text(job, "company");
            let open = [
                (
                    "title",
                    self.put(
                        "What was your job title at {}?",
                        "What did you do at {}?",
                        "And your job title at {}, what was it?",
                    ),
                ),
                (
                    "start",
                    self.put(
                        "When did you start at {}?",
                        "In which year and month did you begin at {}?",
                        "When did you start at {}? The month and the year, if you know them.",
                    ),
                ),
                (
                    "end",
                    self.put(
                        "And when did you leave {}?",
                        "Until when did you work at {}?",
                        "Are you still at {}, or when did you leave?",
                    ),
                ),
            ];
            for (field, question) in open {
                let current = job.get("current") == Some(&Value::Bool(true));
                let question = question.replace("{}", c);
                if text(job, field).is_empty()
                    && !(field == "end" && current)
                    && self.asked.iter().filter(|a| **a == question).count() < 3
                {
                    return Some(question);
                }
            }
        }
        None
    }

    /// The first unexplained stretch of six months or more, at most ten years of it.
    fn gap(&self) -> Option<(Date, Date)> {
        let span = |m: &Map<String, Value>| {
            let from = Date::iso(text(m, "start"))?.first();
            Some((from, Date::iso(text(m, "end")).map_or(TODAY, Date::last)))
        };
        let mut spans: Vec<(i32, i32)> = self.jobs.iter().filter_map(span).collect();
        spans.extend(self.explained.iter().filter_map(|g| {
            let edge = |key: &str| g.get(key).and_then(Value::as_str).and_then(Date::iso);
            Some((edge("start")?.first(), edge("end").map_or(TODAY, Date::first)))
        }));
        spans.sort_unstable();
        let mut covered = spans.first()?.1;
        spans.push((TODAY, TODAY));
        for (from, to) in spans {
            if from - covered > 6 {
                let end = from.min(covered + 1 + 110);
                return Some((Date::of_index(covered + 1), Date::of_index(end)));
            }
            covered = covered.max(to);
        }
        None
    }

    fn oldest(&self) -> String {
        let oldest =
            self.jobs.iter().min_by_key(|j| Date::iso(text(j, "start")).map_or(i32::MAX, Date::first));
        oldest.map(|j| text(j, "company").to_owned()).unwrap_or_default()
    }

    fn read_back(&self) -> String {
        let mut jobs = self.jobs.clone();
        jobs.sort_by_key(|j| std::cmp::Reverse(Date::iso(text(j, "start")).map_or(0, Date::first)));
        let spoken = |d: &str| Date::iso(d).map_or_else(|| "an unknown date".to_owned(), Date::spoken);
        let lines: Vec<String> = jobs
            .iter()
            .map(|j| {
                let end = if text(j, "end").is_empty() { "today".to_owned() } else { spoken(text(j, "end")) };
                format!(
                    "{} at {}, from {} to {end}",
                    text(j, "title"),
                    text(j, "company"),
                    spoken(text(j, "start"))
                )
            })
            .collect();
        format!("Your name is {}. I have: {}.", self.name.as_deref().unwrap_or("unknown"), lines.join("; "))
    }

    /// Stage, suggestion, gap and read-back.
    fn next(&mut self) -> (&'static str, String, Value, Value) {
        let mut gap = Value::Null;
        let mut back = Value::Null;
        let (stage, ask) = if self.ended.is_some() {
            ("goodbye", "Thank you for your time. Goodbye!".to_owned())
        } else if self.consent.is_none() {
            ("consent", "Is it okay to go on?".to_owned())
        } else if self.consent == Some(false) {
            ("goodbye", "That's all right. Thank you, goodbye!".to_owned())
        } else if self.name.is_none() && self.asked.iter().filter(|a| a.contains("name")).count() < 4 {
            let both = "Could you tell me your name and what you do for work at the moment?";
            (
                "situation",
                self.put("May I have your full name, please?", both, "What name may I put down for you?"),
            )
        } else if self.jobs.is_empty() && !self.complete {
            (
                "situation",
                self.put(
                    "What do you do for work at the moment?",
                    "Are you working these days, and where?",
                    "Are you working at the moment, and if so, where and as what?",
                ),
            )
        } else if let Some(ask) = self.missing() {
            ("history", ask)
        } else if !self.complete {
            let c = self.oldest();
            (
                "history",
                self.put(
                    &format!("What did you do before {c}?"),
                    &format!("And which job did you have before you were at {c}?"),
                    &format!("What did you do before that, before {c}?"),
                ),
            )
        } else if let Some((from, to)) = self.gap() {
            gap = json!({"start": from.to_string(), "end": to.to_string(), "months": to.first() - from.first()});
            let (from, to) = (from.spoken(), to.spoken());
            let one = format!("What were you doing between {from} and {to}?");
            ("gaps", self.put(&one, &format!("I see nothing from {from} to {to}. Were you perhaps at school, caring for family, or working then?"), &format!("What were you doing between {from} and {to}? Was it work, family, school or something else? We can also leave it out.")))
        } else if !self.skills_asked {
            (
                "skills",
                self.put(
                    "What skills do you have?",
                    "Which skills or certificates would you like to mention?",
                    "What skills do you have that an employer should know about?",
                ),
            )
        } else if !self.confirmed {
            back = json!(self.read_back());
            ("read_back", "Ask whether that is right.".to_owned())
        } else {
            ("goodbye", "Thank you for your time. Goodbye!".to_owned())
        };
        (stage, ask, gap, back)
    }

    fn state(&mut self) -> Value {
        let (stage, ask, gap, back) = self.next();
        json!({"agent": "interview", "stage": stage, "consent": self.consent, "name": self.name, "jobs": self.jobs, "gap": gap, "skills": self.skills, "education": [],
            "style": "normal", "ask": ask, "read_back": back})
    }

    fn run(&mut self, name: &str, args: &Map<String, Value>) -> Value {
        let plain = |t: &str| dates::lower(t).replace('&', "and");
        match name {
            "record_consent" => self.consent = args.get("given").and_then(Value::as_bool),
            "record_person" => self.name = args.get("name").and_then(Value::as_str).map(str::to_owned).or(self.name.take()),
            "record_job" => match self.jobs.iter_mut().find(|j| plain(text(j, "company")) == plain(text(args, "company"))) {
                Some(job) => job.extend(args.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone()))),
                None => self.jobs.push(args.clone()),
            },
            "remove_job" => self.jobs.retain(|j| plain(text(j, "company")) != plain(text(args, "company"))),
            "explain_gap" => self.explained.push(json!({"start": args["start"], "end": args["end"], "kind": args["kind"], "resolved": args["kind"] != "unknown"})),
            "record_skills" => {
                self.skills_asked = true;
                self.skills.extend(args["skills"].as_array().cloned().unwrap_or_default());
            }
            "history_complete" => self.complete = true,
            "confirm_read_back" => self.confirmed = args["correct"] == true,
            "finish_interview" | "wrong_number" | "opt_out" | "schedule_callback" | "transfer_to_person" => self.ended = Some(name.to_owned()),
            _ => return json!({"ok": false}),
        }
        let (stage, ask, gap, back) = self.next();
        json!({"ok": true, "stage": stage, "ask": ask, "gap": gap, "read_back": back, "style": "normal"})
    }

    fn profile(&self) -> Value {
        let current = self.jobs.iter().find(|j| j.get("current") == Some(&Value::Bool(true)));
        json!({"name": self.name, "current_job": current, "employment_history": self.jobs, "employment_gaps": self.explained, "skills": self.skills})
    }
}

fn tools() -> Value {
    let tool = |name: &str, properties: Value| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}});
    let s = json!({"type": "string"});
    let b = json!({"type": "boolean"});
    json!([
        tool("record_consent", json!({"given": b})),
        tool("record_person", json!({"name": s, "email": s, "city": s})),
        tool(
            "record_job",
            json!({"company": s, "title": s, "start": s, "end": s, "current": b, "location": s})
        ),
        tool("remove_job", json!({"company": s, "start": s})),
        tool("explain_gap", json!({"start": s, "end": s, "kind": s, "explanation": s})),
        tool("record_skills", json!({"skills": {"type": "array", "items": s}})),
        tool(
            "record_education",
            json!({"institution": s, "degree": s, "field": s, "year": {"type": "integer"}})
        ),
        tool("history_complete", json!({})),
        tool("confirm_read_back", json!({"correct": b})),
        tool("finish_interview", json!({"reason": s})),
        tool("schedule_callback", json!({"when": s})),
        tool("wrong_number", json!({})),
        tool("transfer_to_person", json!({"reason": s})),
        tool("opt_out", json!({"words": s})),
    ])
}

/// One call: the notes and what was said.
fn interview(person: &Person, salt: u64) -> (Notes, Vec<String>) {
    let mut talk = person.talk(salt);
    let mut notes = Notes { manner: usize::try_from(salt % 3).unwrap_or(0), ..Notes::default() };
    let mut said = "Hello, this is Carillon Careers, an AI assistant calling about your work history. This call may be recorded. Is it okay to go on?".to_owned();
    let mut messages = vec![json!({"role": "assistant", "content": said})];
    let mut log = vec![format!("A: {said}")];
    let mut silences = 0;
    for _ in 0..60 {
        if notes.ended.is_some() {
            break;
        }
        let heard = match talk.hear(&said) {
            Reply::Says { text, confidence, .. } => {
                log.push(format!("P: {text} ({confidence})"));
                if confidence < 0.5 {
                    said = "Sorry, I didn't catch that. Could you say that again?".into();
                    log.push(format!("A: {said}"));
                    continue;
                }
                text
            }
            Reply::Silent if silences < 3 => {
                silences += 1;
                continue;
            }
            Reply::Keys { digits, .. } => {
                log.push(format!("P: keys {digits}"));
                notes.ended = Some("opt_out".into());
                break;
            }
            Reply::Silent | Reply::HangsUp { .. } => {
                log.push("P: hangs up".into());
                break;
            }
        };
        messages.push(json!({"role": "user", "content": heard}));
        let mut turn = messages.clone();
        for _ in 0..4 {
            let mut all = vec![
                json!({"role": "system", "content": format!("You are an interviewer.\nSTATE: {}", notes.state())}),
            ];
            all.extend(turn.iter().cloned());
            let body = json!({"model": "gpt-4o", "messages": all, "tools": tools()});
            let request: Request = serde_json::from_value(body).expect("a request");
            request.check().expect("a valid request");
            match brain::think(&request) {
                Answer::Tools(calls) => {
                    let wire: Vec<Value> = calls.iter().enumerate().map(|(i, (name, args))| json!({"id": format!("c{}{i}", turn.len()), "type": "function", "function": {"name": name, "arguments": Value::from(args.clone()).to_string()}})).collect();
                    let ids: Vec<Value> = wire.iter().map(|c| c["id"].clone()).collect();
                    turn.push(json!({"role": "assistant", "content": null, "tool_calls": wire}));
                    for ((name, args), id) in calls.iter().zip(ids) {
                        log.push(format!("   {name} {}", Value::from(args.clone())));
                        let result = notes.run(name, args);
                        turn.push(json!({"role": "tool", "tool_call_id": id, "content": result.to_string()}));
                    }
                }
                Answer::Text(text) => {
                    said = text;
                    break;
                }
                Answer::Refusal(_) => break,
            }
        }
        let ask = notes.next().1;
        notes.asked.push(ask);
        log.push(format!("A: {said}"));
        messages.push(json!({"role": "assistant", "content": said}));
    }
    (notes, log)
}

/// The share of right fields over `n` people of a kind.
fn share(kind: Kind, n: u32) -> (f64, String) {
    let world = World::new(42);
    let (mut total, mut worst) = (Score::default(), (2.0, String::new()));
    for i in 0..n {
        let person = world.person(&world.number(kind, i));
        let (notes, log) = interview(&person, u64::from(i) * 7919 + 1 + u64::from(i % 2));
        let score = judge::compare(&notes.profile(), &person.truth);
        total.fields += score.fields;
        total.right += score.right;
        if score.share() < worst.0 {
            worst = (score.share(), format!("{}\n{:#?}\n{:?}", log.join("\n"), score.misses, person.truth));
        }
    }
    (total.share(), worst.1)
}

#[test]
fn people_who_answer_are_understood() {
    for (kind, least) in [
        (Kind::Cooperative, 0.97),
        (Kind::LongGap, 0.97),
        (Kind::Overlapping, 0.95),
        (Kind::Terse, 0.9),
        (Kind::Evasive, 0.9),
    ] {
        let (share, worst) = share(kind, 60);
        assert!(share >= least, "{}: {share:.3}\n{worst}", kind.as_str());
    }
}

#[test]
fn the_others_end_as_they_should() {
    let world = World::new(9);
    for i in 0..60 {
        for (kind, ends) in [
            (Kind::OptsOut, "opt_out"),
            (Kind::WrongNumber, "wrong_number"),
            (Kind::WantsCallback, "schedule_callback"),
        ] {
            let (notes, log) = interview(&world.person(&world.number(kind, i)), 0);
            assert_eq!(notes.ended.as_deref(), Some(ends), "{}", log.join("\n"));
        }
        for kind in [Kind::Hostile, Kind::HangsUp, Kind::Silent] {
            let (_, log) = interview(&world.person(&world.number(kind, i)), u64::from(i));
            assert!(log.len() < 100, "{}", log.join("\n"));
        }
    }
}

/// The same facts come out of the transcript alone, in the shape that was asked for.
#[test]
fn the_transcript_alone_tells_the_jobs() {
    let world = World::new(5);
    let said = |of: &Value, key: &str| of[key].as_str().unwrap_or("").to_owned();
    let nullable = json!({"type": ["string", "null"]});
    let turns = json!({"type": "array", "items": {"type": "integer"}});
    let job = json!({"type": "object", "additionalProperties": false, "required": ["company", "title", "start", "end", "turns"],
        "properties": {"company": {"type": "string"}, "title": nullable, "start": nullable, "end": nullable, "turns": turns}});
    let skill = json!({"type": "object", "additionalProperties": false, "required": ["name", "turns"], "properties": {"name": {"type": "string"}, "turns": turns}});
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["name", "name_turns", "jobs", "skills"],
        "properties": {"name": nullable, "name_turns": turns, "jobs": {"type": "array", "items": job}, "skills": {"type": "array", "items": skill}}});
    let (mut fields, mut right) = (0, 0);
    for i in 0..25 {
        let person = world.person(&world.number(Kind::Cooperative, i));
        let (_, log) = interview(&person, u64::from(i));
        let lines = log.iter().filter(|l| l.starts_with("A: ") || l.starts_with("P: ")).enumerate();
        let transcript: Vec<String> = lines
            .map(|(n, l)| {
                let (who, text) = l.split_at(3);
                let text = text.rsplit_once(" (").map_or(text, |(t, _)| t);
                format!("[{n}] {}: {text}", if who == "A: " { "agent" } else { "callee" })
            })
            .collect();
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": transcript.join("\n")}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "worker_profile", "strict": true, "schema": schema}}});
        let request: Request = serde_json::from_value(body).expect("a request");
        request.check().expect("a strict schema");
        let Answer::Text(text) = brain::think(&request) else { panic!("no text") };
        let profile: Value = serde_json::from_str(&text).expect("JSON");
        jsonschema::validate(&schema, &profile).expect("the schema holds");
        for truth in &person.truth.jobs {
            let plain = |t: &str| t.replace('&', "and");
            let found = profile["jobs"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|j| plain(&said(j, "company")) == plain(&truth.company));
            let end = truth.end.clone().unwrap_or_default();
            let told = found.map(|j| (said(j, "title"), said(j, "start"), said(j, "end")));
            fields += 1;
            right += u32::from(told == Some((truth.title.clone(), truth.start.clone(), end)));
        }
        assert_eq!(profile["name"], person.name);
        assert!(profile["name_turns"].as_array().is_some_and(|t| !t.is_empty()));
    }
    assert!(f64::from(right) >= 0.95 * f64::from(fields), "{right} of {fields}");
}
