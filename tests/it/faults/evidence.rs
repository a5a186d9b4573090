//! The node that seals evidence is killed before and after it put a segment; then the evidence itself is tampered with.
//! Both are judged by what `carillon audit` says.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Fleet, FleetConfig, until};

const PATIENCE: Duration = Duration::from_secs(150);

/// What `carillon audit` prints, and whether it is content.
async fn audit(fleet: &Fleet, args: &[&str]) -> (bool, String) {
    let command = args.iter().fold(fleet.command("audit"), |command, arg| command.arg(arg));
    let mut process = command.start();
    let status = process.ended(PATIENCE).await;
    (status.success(), process.output())
}

async fn verify(fleet: &Fleet) -> (bool, Value) {
    let (content, output) = audit(fleet, &["verify", "--json"]).await;
    let report = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    (content, report)
}

fn sum(report: &Value, field: &str) -> u64 {
    let chains = report["chains"].as_array().expect("chains");
    chains.iter().map(|chain| chain[field].as_u64().expect("a number")).sum()
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn evidence_outlives_its_sealer_and_tells_of_tampering() {
    let _room = super::room(1).await;
    let mut fleet = Fleet::start(FleetConfig::default()).await;
    let later = carillon::base::clock::rfc3339(crate::support::fleet::now_ms() + 3_600_000);
    let mut calls = Vec::new();
    for (round, point) in ["audit_before_put:1", "audit_before_commit:1"].into_iter().enumerate() {
        fleet.restart_worker(0, &[("CARILLON_KILL_AT", point)]).await;
        for n in 0..5 {
            let number = format!("+1415555{:04}", 100 + round * 10 + n);
            let call = fleet.call(&number, json!({"schedule_at": later})).await;
            let (status, answer) =
                fleet.ask(|http, base| http.post(format!("{base}/api/calls/{call}/cancel"))).await;
            assert_eq!(status, 202, "{answer}");
            calls.push(call);
        }
        let died = fleet.worker(0).ended(PATIENCE).await;
        assert!(died.signal().is_some(), "{point}: it ended by itself: {died}");
        fleet.restart_worker(0, &[]).await;
        until("all evidence sealed", PATIENCE, || async {
            fleet.redis.keys("AUDIT:*").await.is_empty().then_some(())
        })
        .await;
        let (content, report) = verify(&fleet).await;
        assert!(content && report["heads_compared"] == true, "{report}");
        assert_eq!(sum(&report, "entries"), calls.len() as u64, "{report}");
        let unnamed = sum(&report, "unnamed");
        assert_eq!(unnamed > 0, point.starts_with("audit_before_commit"), "{report}");
    }

    let (found, output) = audit(&fleet, &["show", "--call", &calls[7]]).await;
    assert!(found && output.contains("\"event\":\"not_dialed\""), "{output}");
    assert!(!output.contains("4155550112"), "no number: {output}");
    // Redis forgets it 48 hours later.
    for key in fleet.redis.keys("CALL_SESSION:*").await {
        fleet.redis.cmd(&["DEL", &key]).await;
    }
    let status = fleet.status(&calls[7]).await;
    assert_eq!((&status["status"], &status["disposition"]), (&json!("ended"), &json!("canceled")));

    let all = files(&fleet.sim.s3_root().join("carillon").join("audit"));
    let victim = all.into_iter().max().expect("a segment");
    let whole = std::fs::read(&victim).expect("readable");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&victim, changed).expect("writable");
    let (content, output) = audit(&fleet, &["verify"]).await;
    let name = victim.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(!content && output.contains("first break at segment") && output.contains(&name), "{output}");
    std::fs::write(&victim, &whole).expect("writable");
    let (content, output) = audit(&fleet, &["verify"]).await;
    assert!(content && output.contains("compared with the heads in Redis: intact"), "{output}");
}
