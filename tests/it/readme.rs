//! The README's promise: what it prints to be pasted works as printed, against a node that `carillon dev` leaves up.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::support::process::Spawn;
use super::support::readme::{curl_blocks, readme};

/// The address that the README prints; the only thing that is replaced.
const PRINTED: &str = "127.0.0.1:8080";

const SOON: Duration = Duration::from_secs(60);

async fn paste(block: &str, addr: &str) -> Output {
    let script = format!("set -eo pipefail\n{}", block.replace(PRINTED, addr));
    let shell = tokio::process::Command::new("bash")
        .args(["-c", &script])
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(SOON, shell).await.expect("an answer in time").expect("bash runs")
}

/// The lines of an answer that are JSON.
fn answers(output: &str) -> Vec<Value> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn every_curl_line_works_as_it_is_printed() {
    let server = std::env::var("CARILLON_REDIS_SERVER").unwrap_or_default();
    let mut dev = Spawn::carillon("dev")
        .arg("--bind=127.0.0.1:0")
        .arg("--calls=15")
        .envs((!server.is_empty()).then_some(("CARILLON_REDIS_SERVER", server.as_str())))
        .start();
    let addr = dev
        .line("its address", SOON, |line| {
            let url = line.strip_prefix("API")?.trim_start().strip_prefix("http://")?;
            Some(url.split_whitespace().next()?.to_owned())
        })
        .await;

    let blocks = curl_blocks(&readme());
    assert!(blocks.len() >= 5, "the README shows less than it did");
    let mut all = Vec::new();
    for block in &blocks {
        assert!(block.contains(PRINTED), "this asks another address:\n{block}");
        let output = paste(block, &addr).await;
        let (said, grumbled) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && grumbled.is_empty(), "{block}\n{said}\n{grumbled}");
        assert!(said.ends_with('\n'), "an answer runs into the prompt:\n{block}\n{said}");
        assert!(!said.contains("/problems/"), "{block}\n{said}");
        if block.contains("/metrics") {
            assert!(said.contains("\ncalls_started_total "), "{said}");
        }
        all.extend(answers(&said));
    }
    // SIGTERM, so that it takes its Redis along.
    dev.terminate().await;

    let has = |pointer: &str, wanted: &dyn Fn(&Value) -> bool| {
        assert!(
            all.iter().any(|a| a.pointer(pointer).is_some_and(wanted)),
            "no {pointer} as told in {all:#?}"
        );
    };
    has("/call_id", &|id| id.as_str().is_some_and(|id| id.starts_with("call_")));
    has("/errors/0/row", &|row| row == 3);
    has("/accepted", &|n| n == 2);
    has("/transcript", &Value::is_array);
    has("/calls/0/status", &Value::is_string);
    has("/cancel_requested", &Value::is_boolean);
    has("/dependencies", &|all| all.is_array() || all.is_object());
}
