//! Whole interviews through the tools and the state, as an engine would drive them.

use std::collections::BTreeMap;

use futures::FutureExt;
use serde_json::{Value, json};

use super::*;
use crate::domain::agent::{Agent, CallTimes, ToolContext};
use crate::domain::draft::Draft;
use crate::domain::talk::{Act, Line, Note, Speaker};

/// November 18, 2026.
const NOW: u64 = 1_795_000_000_000;

/// A call of the interview without model and engine.
struct Call {
    agent: Agent,
    context: ToolContext,
    lines: Vec<Line>,
    question: String,
}

impl Call {
    fn new() -> Self {
        let book = crate::agents::Book::embedded().expect("the embedded agents");
        let agent = book.get("interview").expect("the interview");
        let context = ToolContext {
            draft: Draft::default(),
            turn: 0,
            heard: String::new(),
            consent: None,
            now: NOW,
            times: CallTimes::always("America/New_York"),
            variables: BTreeMap::new(),
            acts: Vec::new(),
            notes: Vec::new(),
        };
        Self { agent: Agent::clone(&agent), context, lines: Vec::new(), question: String::new() }
    }

    fn consented() -> Self {
        let mut call = Self::new();
        call.hear("Yes, go ahead");
        assert_eq!(call.tool("record_consent", json!({"given": true}))["ok"], true);
        call
    }

    fn state(&self) -> Value {
        let context = &self.context;
        let view = StateView {
            draft: &context.draft,
            consent: context.consent,
            now: context.now,
            variables: &context.variables,
        };
        (self.agent.state)(&view)
    }

    fn hear(&mut self, text: &str) -> Observation {
        self.context.turn += 1;
        self.context.heard = text.to_owned();
        let turn = self.context.turn;
        self.question = self.state()["ask"].as_str().unwrap_or_default().to_owned();
        self.lines.push(Line {
            turn,
            attempt: 1,
            speaker: Speaker::Callee,
            text: text.to_owned(),
            at: NOW,
            confidence: Some(0.9),
        });
        let heard = Heard::Speech { text: text.to_owned(), confidence: Some(0.9) };
        let observed = Observed {
            turn,
            heard: &heard,
            question: &self.question,
            consent: self.context.consent,
            now: NOW,
        };
        (self.agent.observe)(&mut self.context.draft, &observed)
    }

    fn tool(&mut self, name: &str, args: Value) -> Value {
        let tool = self.agent.tools.iter().find(|t| t.name() == name).expect("a tool").clone();
        tool.call(&args, &mut self.context).now_or_never().expect("answers at once")
    }

    fn said(&mut self, text: &str, name: &str, args: Value) -> Value {
        self.hear(text);
        self.tool(name, args)
    }

    fn ending(&self) -> Option<String> {
        self.context.acts.iter().find_map(|act| match act {
            Act::HangUp { ending } => Some(format!("{} {}", ending.disposition.as_str(), ending.reason)),
            _ => None,
        })
    }

    fn conclude(&self, extraction: Option<&Value>) -> Outcome {
        let ending = Ending::new(Disposition::Completed, "done");
        (self.agent.conclude)(&Conclusion {
            draft: &self.context.draft,
            lines: &self.lines,
            extraction,
            phone_hash: "a1b2",
            consent: self.context.consent,
            ending: &ending,
            now: NOW,
        })
    }
}

#[test]
fn a_whole_interview() {
    let mut call = Call::new();
    assert_eq!(call.state()["stage"], "consent");
    call.hear("Yes, go ahead");
    assert_eq!(call.tool("record_consent", json!({"given": true}))["stage"], "situation");
    assert_eq!(call.context.notes, [Note::Consent { given: true }]);
    let next = call.said("John Smith", "record_person", json!({"name": "John Smith"}));
    assert_eq!((&next["ok"], &next["stage"]), (&json!(true), &json!("situation")));
    let job = json!({"company": "Acme", "title": "welder", "start": "2004", "end": "present"});
    let next = call.said("I'm a welder at Acme since 2004", "record_job", job);
    assert_eq!(next["ask"], "What did you do before that, before Acme?");
    let next =
        call.said("A cook at Joe's Diner", "record_job", json!({"company": "Joe's Diner", "title": "cook"}));
    assert_eq!(next["ask"], "When did you start at Joe's Diner, and when did you leave?");
    let job = json!({"company": "Joe's Diner", "start": "1975", "end": "December 1976"});
    call.said("1975 to December 1976", "record_job", job);
    let next = call.said("That was my first job", "history_complete", json!({}));
    assert_eq!(next["stage"], "gaps");
    assert_eq!(next["gap"], json!({"start": "1977-01", "end": "1985-01", "months": 96}));
    assert!(next["ask"].as_str().is_some_and(|ask| ask.contains("between 1977 and 1985")));
    for (start, end, kind) in
        [("1977-01", "1985-01", "prison"), ("1985", "1995", "abroad"), ("1995-01", "2004-01", "unknown")]
    {
        let args = json!({"start": start, "end": end, "kind": kind, "explanation": "time"});
        assert_eq!(call.said("You know, that time", "explain_gap", args)["ok"], true);
    }
    assert_eq!(call.state()["stage"], "skills");
    call.said("Welding and cooking", "record_skills", json!({"skills": ["welding", "cooking"]}));
    let next = call.said("High school", "record_education", json!({"institution": "High school"}));
    assert_eq!(next["stage"], "read_back");
    let text = next["read_back"].as_str().unwrap_or_default().to_owned();
    assert!(
        text.contains("as a welder at Acme since 2004") && text.contains("from 1975 to December 1976"),
        "{text}"
    );
    assert_eq!(call.tool("confirm_read_back", json!({"correct": true}))["ok"], false, "it was not heard yet");
    assert_eq!(call.tool("finish_interview", json!({"reason": "done"}))["ok"], false);
    let next = call.said("Yes, that's right", "confirm_read_back", json!({"correct": true}));
    assert_eq!(next["stage"], "goodbye");
    assert_eq!(call.tool("finish_interview", json!({"reason": "done"}))["ok"], true);
    assert_eq!(call.ending().as_deref(), Some("completed done"));

    let outcome = call.conclude(None);
    let profile = outcome.document.expect("a profile");
    assert_eq!(profile["name"], "John Smith");
    assert_eq!(profile["current_job"], json!({"title": "welder", "company": "Acme", "start": "2004"}));
    assert_eq!(profile["complete"], true);
    assert_eq!(profile["employment_history"][1]["end"], "1976-12");
    assert_eq!(profile["employment_history"][1]["location"], Value::Null);
    assert_eq!(profile["employment_history"][1]["turns"], json!([4, 5]));
    assert_eq!(profile["sources"]["name"], json!([2]));
    assert_eq!(profile["skills"], json!(["welding", "cooking"]));
    let resolved: Vec<&Value> =
        profile["employment_gaps"].as_array().expect("gaps").iter().map(|g| &g["resolved"]).collect();
    assert_eq!(resolved, [true, true, false]);
    assert!(profile["confidence_score"].as_f64().is_some_and(|c| c > 0.8 && c <= 1.0));
    assert_eq!(outcome.document_field, "profile");
}

#[test]
fn nothing_is_recorded_before_consent() {
    let mut call = Call::new();
    let answer = call.said("Who is this?", "record_person", json!({"name": "John"}));
    assert_eq!(answer["ok"], false);
    assert!(answer["problems"][0].as_str().is_some_and(|p| p.starts_with("consent")));
    assert_eq!(call.tool("record_consent", json!({"given": true}))["ok"], false, "a question is no consent");
    assert_eq!(call.context.consent, None);
    assert_eq!(call.said("No thanks", "record_consent", json!({"given": false}))["ok"], true);
    assert_eq!(call.ending().as_deref(), Some("rejected consent_refused"));
    assert!(call.conclude(None).document.is_none());
}

#[test]
fn consent_without_a_fact_leaves_no_profile() {
    let call = Call::consented();
    assert!(call.conclude(None).document.is_none());
}

#[test]
fn impossible_dates_are_asked_again() {
    let mut call = Call::consented();
    call.context.variables.insert("birth_year".to_owned(), "1990".to_owned());
    call.said("John", "record_person", json!({"name": "John"}));
    let answer = call.said("Acme since 2031", "record_job", json!({"company": "Acme", "start": "2031"}));
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["ask"], "I understood that 2031 is in the future. When did you start at Acme?");
    assert_eq!(call.state()["jobs"][0]["start"], Value::Null);
    let answer = call.said("1995", "record_job", json!({"company": "Acme", "start": "1995"}));
    assert!(answer["problems"][0].as_str().is_some_and(|p| p.contains("before the age of 14")));
    call.said("2015", "record_job", json!({"company": "Acme", "start": "2015"}));
    let answer = call.said("until 2012", "record_job", json!({"company": "Acme", "end": "2012"}));
    assert_eq!(answer["ask"], "I understood that 2012 is before the start, 2015. When did you leave Acme?");
    let answer = call.said("2018", "record_job", json!({"company": "Acme Inc.", "end": "2018"}));
    assert_eq!(answer["ok"], true);
    let jobs = call.state()["jobs"].clone();
    assert_eq!(
        jobs,
        json!([{"company": "Acme", "title": null, "start": "2015", "end": "2018", "current": false}])
    );
}

#[test]
fn the_same_company_twice_and_corrections() {
    let mut call = Call::consented();
    call.said("Acme 2015 to now", "record_job", json!({"company": "Acme", "start": "2015", "current": true}));
    call.said(
        "before that 2008 to 2010",
        "record_job",
        json!({"company": "Acme", "start": "2008", "end": "2010"}),
    );
    assert_eq!(call.state()["jobs"].as_array().map(Vec::len), Some(2));
    call.said(
        "And 2016 as a lead",
        "record_job",
        json!({"company": "Acme", "title": "lead", "start": "2016"}),
    );
    assert_eq!(call.state()["jobs"].as_array().map(Vec::len), Some(2));
    assert_eq!(call.said("no", "remove_job", json!({"company": "Acme"}))["ok"], false);
    assert_eq!(call.said("the first", "remove_job", json!({"company": "Acme", "start": "2008"}))["ok"], true);
    assert_eq!(call.state()["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(call.said("x", "remove_job", json!({"company": "Nobody"}))["ok"], false);
}

#[test]
fn a_read_back_is_corrected_and_read_again() {
    let mut call = Call::consented();
    call.said("Jo", "record_person", json!({"name": "Jo"}));
    let job = json!({"company": "Acme", "title": "cook", "start": "2015", "current": true});
    call.said("Acme cook 2015", "record_job", job);
    call.said("First job", "history_complete", json!({}));
    call.said("Cooking and such", "record_skills", json!({"skills": ["cooking"]}));
    call.hear("No schooling");
    assert_eq!(call.state()["stage"], "read_back");
    let next = call.said("No, that's wrong", "confirm_read_back", json!({"correct": false}));
    assert_eq!(next["ask"], "What should I correct?");
    let next = call.said("I started in 2012", "record_job", json!({"company": "Acme", "start": "2012"}));
    assert_eq!(next["stage"], "read_back");
    assert!(next["read_back"].as_str().is_some_and(|t| t.contains("since 2012")));
    assert!(
        call.context.draft.value()["score"]["points"].as_array().is_none_or(Vec::is_empty),
        "a correction is no contradiction"
    );
    let next = call.said("Yes", "confirm_read_back", json!({"correct": true}));
    assert_eq!(next["stage"], "goodbye");
}

#[test]
fn a_changed_year_is_a_contradiction() {
    let mut call = Call::consented();
    call.said("Acme 2015", "record_job", json!({"company": "Acme", "start": "2015", "current": true}));
    call.said("2003", "record_job", json!({"company": "Acme", "start": "2003"}));
    assert_eq!(
        call.context.draft.value()["score"]["points"],
        json!([{"turn": 3, "reason": "contradiction"}])
    );
    call.said("Sorry, it was 2001", "record_job", json!({"company": "Acme", "start": "2001"}));
    assert_eq!(call.context.draft.value()["score"]["points"].as_array().map(Vec::len), Some(1));
}

#[test]
fn nothing_is_asked_for_ever() {
    let mut call = Call::consented();
    for i in 0.. {
        assert!(i < 40, "still asking: {}", call.state());
        if call.state()["stage"] == "goodbye" {
            break;
        }
        call.hear(&format!("well let me tell you story number {i} about my garden"));
    }
    assert_eq!(call.tool("finish_interview", json!({"reason": "over"}))["ok"], true);
    assert!(call.conclude(None).document.is_none());
}

#[test]
fn hostility_softens_and_then_ends() {
    let mut call = Call::consented();
    call.said("Jo", "record_person", json!({"name": "Jo"}));
    let first = call.hear("You idiot.");
    assert!(first.end.is_none() && first.score >= 3.0);
    assert_eq!(call.state()["style"], "soft");
    let second = call.hear("Fuck off");
    let (line, ending) = second.end.expect("it ends");
    assert!(line.contains("Thank you"));
    assert_eq!((ending.disposition, ending.reason.as_str()), (Disposition::Completed, "hostile"));
    let profile = call.conclude(None).document.expect("a name is a fact");
    assert_eq!((&profile["complete"], &profile["adversarial"]["level"]), (&json!(false), &json!("high")));

    let mut call = Call::consented();
    call.hear("You idiot.");
    let end = call.hear("Shut up, you moron").end.map(|(_, ending)| ending.disposition);
    assert_eq!(end, Some(Disposition::Rejected));
}

#[test]
fn ways_out() {
    let mut call = Call::new();
    let answer =
        call.said("Call me tomorrow at three", "schedule_callback", json!({"when": "tomorrow at three"}));
    assert!(
        answer["ask"]
            .as_str()
            .is_some_and(|ask| ask.contains("tomorrow") && ask.contains("at three in the afternoon")),
        "{answer}"
    );
    assert_eq!(call.ending().as_deref(), Some("completed callback_scheduled"));
    assert!(matches!(call.context.notes[0], Note::CallBack { .. }));

    let mut call = Call::new();
    let answer = call.said("Call me at midnight", "schedule_callback", json!({"when": "at midnight"}));
    assert_eq!((&answer["ok"], call.ending()), (&json!(false), None));

    let mut call = Call::new();
    call.said("Wrong number", "wrong_number", json!({}));
    assert_eq!(call.ending().as_deref(), Some("rejected wrong_number"));

    let mut call = Call::new();
    call.said("Never call me again", "opt_out", json!({"words": "never call"}));
    assert_eq!(call.ending().as_deref(), Some("opted_out asked"));
    assert_eq!(call.context.notes, [Note::OptedOut { words: "Never call me again".to_owned() }]);

    let mut call = Call::consented();
    call.said("A human please", "transfer_to_person", json!({"reason": "asked"}));
    assert_eq!((call.context.notes.last(), call.ending()), (Some(&Note::HumanRequested), None));

    let mut call = Call::consented();
    assert_eq!(call.said("I work at Acme", "finish_interview", json!({"reason": "x"}))["ok"], false);
    assert_eq!(call.said("I have to go now", "finish_interview", json!({"reason": "x"}))["ok"], true);
    assert_eq!(call.ending().as_deref(), Some("completed ended_early"));
}

#[test]
fn a_threshold_is_a_variable() {
    let mut call = Call::consented();
    call.said("Jo", "record_person", json!({"name": "Jo"}));
    call.said(
        "A",
        "record_job",
        json!({"company": "Beta", "title": "t", "start": "2020-01", "current": true}),
    );
    call.said(
        "B",
        "record_job",
        json!({"company": "Acme", "title": "t", "start": "2010-01", "end": "2019-09"}),
    );
    assert_eq!(call.said("No more", "history_complete", json!({}))["stage"], "skills");
    call.context.variables.insert("gap_threshold_months".to_owned(), "3".to_owned());
    assert_eq!(call.state()["gap"]["months"], 3);
}

#[test]
fn no_work_and_no_schooling_are_answers() {
    let mut call = Call::consented();
    call.said("Jo", "record_person", json!({"name": "Jo"}));
    call.hear("I'm not working at the moment.");
    assert_eq!(call.state()["ask"], "What was your last job, where was it and what were you there?");
    call.said("I never had one", "history_complete", json!({}));
    assert_eq!(call.state()["stage"], "skills");
    call.hear("None really");
    call.hear("No, nothing special");
    assert_eq!(call.state()["stage"], "read_back");
}

#[test]
fn a_topic_is_not_used_up_by_another_question() {
    let mut call = Call::consented();
    let observe = |call: &mut Call, turn, question| {
        let heard = Heard::Speech { text: "Well, let me see".to_owned(), confidence: None };
        let observed = Observed { turn, heard: &heard, question, consent: Some(true), now: NOW };
        (call.agent.observe)(&mut call.context.draft, &observed);
    };
    for turn in 10..15 {
        observe(&mut call, turn, "How is the weather over there?");
    }
    assert_eq!(call.state()["stage"], "situation");
    assert!(call.state()["ask"].as_str().is_some_and(|ask| ask.contains("name")));
    observe(&mut call, 16, "May I have your full name, please?");
    assert!(call.state()["ask"].as_str().is_some_and(|ask| ask.contains("working")));
}

/// Asked for on the day before the clocks go forward: three o'clock stays three o'clock.
#[test]
fn a_callback_over_a_change_of_the_clocks() {
    let instant = |text: &str| {
        let at: jiff::Zoned = text.parse().expect("a zoned time");
        u64::try_from(at.timestamp().as_millisecond()).expect("after 1970")
    };
    let mut call = Call::consented();
    call.context.now = instant("2026-03-07T15:20[America/New_York]");
    let answer = call.said(
        "I'm at work, call me tomorrow at three",
        "schedule_callback",
        json!({"when": "tomorrow at three"}),
    );
    assert_eq!(
        answer["ask"],
        "Of course. I will call you again tomorrow, Sunday, March 8th, at three in the afternoon, your time. Thank you, \
         and goodbye."
    );
    let at = instant("2026-03-08T15:00-04:00[America/New_York]");
    assert_eq!(at - call.context.now, (22 * 60 + 40) * 60_000, "a night of twenty-three hours");
    let words = "I'm at work, call me tomorrow at three".to_owned();
    assert_eq!(call.context.notes.last(), Some(&Note::CallBack { at, words }));
    assert_eq!(call.ending().as_deref(), Some("completed callback_scheduled"));

    // Twenty-four hours are twenty-four hours.
    let mut call = Call::consented();
    call.context.now = instant("2026-03-07T15:20[America/New_York]");
    let answer = call.said("Try in 24 hours", "schedule_callback", json!({"when": "in 24 hours"}));
    let ask = answer["ask"].as_str().unwrap_or_default();
    assert!(ask.contains("tomorrow, Sunday, March 8th, at four twenty in the afternoon, your time"), "{ask}");
}
