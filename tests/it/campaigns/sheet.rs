//! As a new user would: a spreadsheet's CSV with mistakes in it, from the command line alone, to finished results.

use std::time::Duration;

use carillon::sim::SimConfig;
use carillon::sim::people::Kind;

use super::in_order;
use super::shell::Shell;
use crate::support::fleet::{Fleet, FleetConfig, seed};

const KEY: &str = "a-key-for-tests-0123456789";

/// What a spreadsheet of another country exports: a byte order mark, semicolons, CRLF, quotes, empty rows and columns,
/// and what people type.
fn sheet(good: &[String]) -> String {
    let spaced = |n: &str| format!("({}) {}-{}", &n[2..5], &n[5..8], &n[8..]);
    let mut rows = vec!["Telefon;Vorname;Bemerkung;Time Zone;".to_owned()];
    rows.push(format!("{};Ann;\"speaks; often\";;", good[0]));
    rows.push(format!("{};Bob;\"two\r\nlines\";;", spaced(&good[1])));
    rows.push(format!("'{};Cem;;;", good[2]));
    rows.push("12;Dora;too short;;".to_owned());
    rows.push(format!("{};Ann again;;;", spaced(&good[0])));
    rows.push("4,15555E+09;Emil;what a spreadsheet makes of a number;;".to_owned());
    rows.push(format!("{};Fay;;Mars/Olympus;", good[3]));
    rows.push(";Gus;no number;;".to_owned());
    rows.push(format!("  {}  ;Hal;;America/Chicago;", good[4]));
    rows.push(";;;;".to_owned());
    rows.push(";;;;".to_owned());
    format!("\u{feff}{}\r\n", rows.join("\r\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spreadsheet_with_mistakes_to_finished_results() {
    let sim = SimConfig { seed: seed(), speed: 30.0, max_cps: 20.0, ..SimConfig::default() };
    let env = [("API_KEYS", KEY)].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut fleet = Fleet::start(FleetConfig { sim, env, ..FleetConfig::default() }).await;
    println!("\n== a spreadsheet with mistakes, from the command line alone (seed {}) ==", seed());
    let world = fleet.sim.world();
    let good: Vec<String> =
        [(Kind::Terse, 0), (Kind::Busy, 0), (Kind::Cooperative, 1), (Kind::Invalid, 1), (Kind::HangsUp, 2)]
            .map(|(kind, i)| world.number(kind, i))
            .to_vec();
    let url = fleet.api_url(0);
    let shell = Shell::new(&format!("# mine\nAPI_KEYS={KEY}\n"), &["--url", &url]);
    shell.file("people.csv", sheet(&good).as_bytes());
    let map = "Telefon:phone_number,Vorname:variables.first_name";

    let made = shell.run(&["campaign", "create", "--name", "spring", "--weight", "0"]).await;
    assert!(made.code == 1 && made.err.contains("weight"), "a wrong value is told by its field");
    let made =
        shell.run(&["campaign", "create", "--name", "spring", "--retries", r#"{"max_attempts":1}"#]).await;
    assert_eq!(made.code, 0);
    let id = made.out.trim().to_owned();
    let looked = shell.run(&["campaign", "preflight", &id, "people.csv", "--map", map]).await;
    assert_eq!(looked.code, 0);
    for word in ["invalid", "duplicate"] {
        assert!(looked.out.contains(word), "the preflight counts what is {word}: {}", looked.out);
    }
    let added = shell.run(&["campaign", "add", &id, "people.csv", "--map", map]).await;
    assert_eq!(added.code, 0, "{}", added.err);
    let told = format!("{}{}", added.out, added.err);
    assert!(told.contains("4 accepted"), "{told}");
    for part in ["row 5: phone_number", "row 7: phone_number", "row 8: time_zone", "row 9: phone_number"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let again = shell.run(&["campaign", "add", &id, "people.csv", "--map", map]).await;
    assert!(format!("{}{}", again.out, again.err).contains("0 accepted"), "nothing is doubled");
    let rejected = shell.run(&["campaign", "rejections", &id]).await;
    assert!(rejected.code == 0 && rejected.out.contains("time_zone"), "{}", rejected.out);

    assert_eq!(shell.run(&["campaign", "start", &id]).await.code, 0);
    let watched = shell.run(&["campaign", "watch", &id]).await;
    assert_eq!(watched.code, 0, "it was completed");
    assert!(watched.out.contains("busy") && watched.out.contains("4 of 4 calls ended"), "{}", watched.out);
    let results = shell.run(&["campaign", "results", &id, "--format", "csv", "--out", "results.csv"]).await;
    assert_eq!(results.code, 0);
    let csv = shell.read("results.csv");
    println!("  results.csv:");
    csv.lines().for_each(|line| println!("  {line}"));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().expect("a header").clone();
    let at = head.iter().position(|name| name == "disposition").expect("a disposition");
    let mut ends: Vec<String> = reader.records().map(|row| row.expect("a row")[at].to_owned()).collect();
    ends.sort();
    assert_eq!(ends.len(), 4, "{csv}");
    assert!(ends.contains(&"busy".to_owned()), "{ends:?}");

    assert_eq!(shell.run(&["campaign", "results", &id]).await.code, 0);
    let listed = shell.run(&["campaign", "list"]).await;
    assert!(listed.out.contains(&id) && listed.out.contains("completed"), "{}", listed.out);
    let again = shell.run(&["campaign", "redial", &id, "--disposition", "busy", "--start"]).await;
    assert_eq!(again.code, 0);
    let child = again.out.trim().to_owned();
    assert!(child != id && child.starts_with("cmp_"), "{child}");
    assert_eq!(shell.run(&["campaign", "cancel", &child, "--why", "seen enough"]).await.code, 0);
    let ended = shell.run(&["campaign", "watch", &child]).await;
    assert_eq!(ended.code, 1, "a cancelled campaign is no success");
    let rung = fleet.sim.ledger().with(|book| book.creates.len());
    assert!((4..=6).contains(&rung), "{rung} dials for four rows and a redial");
    tokio::time::timeout(Duration::from_secs(90), in_order(&mut fleet)).await.expect("nothing is left");
}
