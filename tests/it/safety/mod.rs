//! What must not come out, and what must not get in: numbers and secrets in logs, metrics and keys; a person's data after
//! they were forgotten; instructions in names, variables and speech; keys that changed.

mod erasure;
mod injection;
mod keys;
mod leaks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::Fleet;

const CALL_WITHIN: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);

/// Every object in the simulated S3: key and content.
fn objects(fleet: &Fleet) -> Vec<(String, Vec<u8>)> {
    let bucket = fleet.sim.s3_root().join(&fleet.sim.config().s3.bucket);
    let key =
        |path: &Path| path.strip_prefix(&bucket).expect("in the bucket").to_string_lossy().replace('\\', "/");
    files(&bucket).into_iter().map(|path| (key(&path), std::fs::read(&path).expect("readable"))).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
