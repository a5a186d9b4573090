//! What an extraction may fill and what it may not.

use serde_json::json;

use super::*;

const TODAY: Date = Date { year: 2026, month: Some(11) };

fn lines() -> Vec<Line> {
    let line = |turn, speaker, text: &str| Line {
        turn,
        attempt: 1,
        speaker,
        text: text.to_owned(),
        at: 0,
        confidence: None,
    };
    vec![
        line(0, Speaker::Agent, "Did you ever work at Globex?"),
        line(1, Speaker::Callee, "My name is John Smith."),
        line(2, Speaker::Callee, "I am a welder at Acme in Ohio since March 2015."),
        line(3, Speaker::Callee, "Before that I was at Harbor and Sons, from 2003 to twenty ten."),
        line(4, Speaker::Callee, "I was caring for my mother. I know welding."),
    ]
}

fn run(notes: &mut Notes, extraction: &Value) {
    reconcile(notes, extraction, &lines(), TODAY);
}

#[test]
fn null_is_filled_where_the_words_were_said() {
    let mut notes = Notes::default();
    run(
        &mut notes,
        &json!({
            "name": {"value": "John Smith", "turns": [1]},
            "jobs": [
                {"company": "Acme", "title": "welder", "start": "2015-03", "end": null, "current": true, "location": "Ohio",
                 "reason_for_leaving": "was fired", "turns": [2]},
                {"company": "Harbor & Sons", "title": "manager", "start": "2003-04", "end": "2010", "turns": [3]},
            ],
            "skills": [{"value": "welding", "turns": [4]}, {"value": "Python", "turns": [4]}],
            "education": [{"institution": "Yale", "turns": [4]}],
            "gaps": [{"start": "2011", "end": "2015", "kind": "caring", "explanation": "caring for my mother", "turns": [4]}],
        }),
    );
    assert_eq!(notes.name, Some(Said::new("John Smith", 1)));
    let acme = &notes.jobs[0];
    assert_eq!((acme.title.as_deref(), acme.location.as_deref()), (Some("welder"), Some("Ohio")));
    assert_eq!(acme.start.map(|d| d.to_string()).as_deref(), Some("2015-03"));
    assert_eq!((acme.reason_for_leaving.as_deref(), acme.extracted), (None, true));
    let harbor = &notes.jobs[1];
    assert_eq!(
        (harbor.title.as_deref(), harbor.start.map(|d| d.to_string()).as_deref()),
        (None, Some("2003"))
    );
    assert_eq!(harbor.end.map(|d| d.to_string()).as_deref(), Some("2010"));
    assert_eq!(notes.skills, [Said::new("welding", 4)]);
    assert!(notes.education.is_empty());
}

#[test]
fn what_a_tool_recorded_stands() {
    let mut notes = Notes { name: Some(Said::new("Jon Smyth", 1)), ..Notes::default() };
    notes.jobs.push(Job { company: "Acme".into(), title: Some("foreman".into()), ..Job::default() });
    run(
        &mut notes,
        &json!({"name": {"value": "John Smith", "turns": [1]},
                "jobs": [{"company": "Acme", "title": "welder", "start": "2015-03", "turns": [2]}]}),
    );
    assert_eq!(notes.name.as_ref().map(|n| n.value.as_str()), Some("Jon Smyth"));
    assert_eq!(notes.jobs[0].title.as_deref(), Some("foreman"));
    assert_eq!(notes.jobs[0].start.map(|d| d.to_string()).as_deref(), Some("2015-03"));
    assert!(!notes.jobs[0].extracted);
}

#[test]
fn nothing_is_invented() {
    let globex = |turns: Value| json!({"jobs": [{"company": "Globex", "title": "welder", "turns": turns}]});
    for turns in [json!([0]), json!([2]), json!([99]), json!([]), json!("2"), Value::Null] {
        let mut notes = Notes::default();
        run(&mut notes, &globex(turns.clone()));
        assert!(notes.jobs.is_empty(), "{turns}");
    }
    let mut notes = Notes::default();
    for nonsense in [
        Value::Null,
        json!([]),
        json!({"jobs": 3}),
        json!({"jobs": [7]}),
        json!({"name": {"value": "Bob", "turns": [1]}}),
    ] {
        run(&mut notes, &nonsense);
    }
    assert_eq!(notes, Notes::default());
}

#[test]
fn confirmed_and_removed_jobs_stay_so() {
    let acme = json!({"jobs": [{"company": "Acme", "turns": [2]}]});
    let mut confirmed = Notes::default();
    confirmed.read_back.confirmed = true;
    run(&mut confirmed, &acme);
    assert!(confirmed.jobs.is_empty());
    let mut removed = Notes { removed: vec!["ACME Inc".into()], ..Notes::default() };
    run(&mut removed, &acme);
    assert!(removed.jobs.is_empty());
    let mut plain = Notes::default();
    run(&mut plain, &acme);
    assert_eq!(plain.jobs.len(), 1);
}
