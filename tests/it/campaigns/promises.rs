//! What is promised to people and proved afterwards: consent, a callback at the time that was asked for, and a chain of
//! evidence that shows a changed byte.

use std::path::{Path, PathBuf};
use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::people::{Kind, Role};
use serde_json::json;

use super::shell::Shell;
use super::{SOON, add, command, create, in_order, in_state, numbers, plays, send};
use crate::support::fleet::{Fleet, FleetConfig, seed};
use crate::support::until;

async fn fleet(more: &[(&str, &str)]) -> Fleet {
    let sim = SimConfig { seed: seed(), speed: 30.0, max_cps: 20.0, ..SimConfig::default() };
    let env = more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Fleet::start(FleetConfig { sim, env, ..FleetConfig::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gave_no_consent_is_not_called() {
    let mut fleet = fleet(&[]).await;
    let id = create(
        &fleet,
        json!({ "name": "consent", "require_consent": "written", "retries": { "max_attempts": 1 } }),
    )
    .await;
    let all = numbers(&fleet, Kind::Busy, 0..3);
    let row = |number: &String, basis: &str| {
        json!({ "phone_number": number,
            "consent": { "basis": basis, "at": "2025-01-02T03:04:05Z", "source": "form 7" } })
    };
    let rows =
        json!({ "calls": [row(&all[0], "written"), row(&all[1], "express"), { "phone_number": all[2] }] });
    let (status, answer) = send(&fleet, "POST", &format!("/api/campaigns/{id}/calls"), &rows).await;
    println!("\n== consent required, too weak, and missing ==\n{status} {answer:#}");
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (202, &json!(1), &json!(2)), "{answer}");
    let errors = answer["errors"].as_array().expect("errors");
    assert!(
        errors.iter().all(|e| e["field"].as_str().is_some_and(|f| f.contains("consent"))),
        "each error names the field: {errors:?}"
    );
    command(&fleet, &id, "start").await;
    in_state(&fleet, &id, "completed", SOON).await;
    let dialed: Vec<String> =
        fleet.sim.ledger().with(|book| book.creates.iter().map(|c| c.to.clone()).collect());
    assert_eq!(dialed, [all[0].clone()], "only who consented in writing is called");
    in_order(&mut fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_comes_when_it_was_asked_for() {
    let mut fleet = fleet(&[]).await;
    let number = fleet.sim.world().number(Kind::WantsCallback, 1);
    let line = "I'm driving. Call me back in one minute.";
    let role = Role { line: Some(line.into()), after_s: Some(2.0), ..Role::default() };
    plays(&fleet, &number, role);
    let id = create(&fleet, json!({ "name": "later" })).await;
    add(&fleet, &id, std::slice::from_ref(&number)).await;
    command(&fleet, &id, "start").await;
    let first = fleet.ended(&id, 1, SOON).await.remove(0);
    let status = fleet.status(&first.call).await;
    let asked = status["callback_at"].as_str().expect("a time was agreed").to_owned();
    let at: jiff::Timestamp = asked.parse().expect("a time");
    let second = fleet
        .sim
        .ledger()
        .until(|book| book.creates.iter().filter(|c| c.to == number).nth(1).map(|c| (c.at, c.t_us)));
    let second = tokio::time::timeout(Duration::from_secs(100), second).await.expect("they are called back");
    let late = i64::try_from(second.0).expect("a date") - at.as_millisecond();
    println!("\n== a callback asked for in speech ==\n{line:?} → {asked}; called {late} ms after it");
    assert!(late >= 0, "not before it was asked for");
    // Not a schedule's next look a minute later; a busy machine takes its time.
    assert!(late < 30_000, "and soon after it: {late} ms");
    in_state(&fleet, &id, "completed", Duration::from_secs(90)).await;
    in_order(&mut fleet).await;
}

/// All files below `dir` whose name ends in `.json`, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(dir)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file() && entry.path().extension().is_some_and(|e| e == "json"))
        .map(walkdir::DirEntry::into_path)
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_changed_byte_breaks_the_chain_of_evidence() {
    let mut fleet = fleet(&[]).await;
    let id = create(&fleet, json!({ "name": "evidence", "retries": { "max_attempts": 1 } })).await;
    add(&fleet, &id, &numbers(&fleet, Kind::Busy, 0..12)).await;
    command(&fleet, &id, "start").await;
    in_state(&fleet, &id, "completed", SOON).await;
    until("every line of evidence to be sealed", SOON, || async {
        let mut waiting = 0;
        for key in fleet.redis.keys("AUDIT:*").await {
            waiting += fleet.redis.cmd(&["LLEN", &key]).await.int();
        }
        (waiting == 0).then_some(())
    })
    .await;
    let dotenv: String = fleet.env().iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
    let shell = Shell::new(&dotenv, &[]);
    println!("\n== the chain of evidence: whole, with one byte changed, and mended ==");
    let whole = shell.run(&["audit", "verify"]).await;
    assert_eq!(whole.code, 0, "an untouched chain verifies");
    let bucket = fleet.sim.s3_root().join(&fleet.sim.config().s3.bucket);
    let objects: Vec<PathBuf> = files(&bucket.join("audit"))
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("s")))
        .filter(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"entries\"")))
        .collect();
    let object = objects.get(objects.len() / 2).expect("a segment stands in S3");
    let bytes = std::fs::read(object).expect("it can be read");
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(object, &changed).expect("it can be written");
    let broken = shell.run(&["audit", "verify"]).await;
    assert_eq!(broken.code, 1, "one changed byte of {} is found", changed.len());
    let name = object.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(format!("{}{}", broken.out, broken.err).contains(&name), "the object is named: {name}");
    std::fs::write(object, &bytes).expect("it can be written");
    assert_eq!(shell.run(&["audit", "verify"]).await.code, 0, "mended, it verifies again");
    in_order(&mut fleet).await;
}
