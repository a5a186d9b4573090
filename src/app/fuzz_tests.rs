//! The corpora replayed, with variants made by chance: what was once found stays found, and everybody's test run looks
//! for a little more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{TARGETS, target};

/// Variants of each input.
const VARIANTS: usize = 20;
/// Most bytes of all corpora.
const MOST: u64 = 200_000;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// What is kept of a target, in the order of the names.
fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = corpus(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("readable"))).collect()
}

/// Bytes changed, taken out, doubled, or taken from another input.
fn variant(random: &mut StdRng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=out.len());
        let until = random.random_range(at..=out.len().min(at + 16));
        match random.random_range(0..5) {
            0 if at < out.len() => out[at] = random.random(),
            1 => drop(out.drain(at..until)),
            2 => {
                let again = out[at..until].to_vec();
                out.splice(at..at, again);
            }
            3 if !other.is_empty() => {
                let from = random.random_range(0..other.len());
                let to = random.random_range(from..=other.len().min(from + 16));
                out.splice(at..until, other[from..to].iter().copied());
            }
            _ => out.insert(at, [0, b'"', b'\n', 0xFF, 0xC3, b'<'][random.random_range(0..6)]),
        }
    }
    out
}

#[test]
fn every_corpus_replays_without_a_finding() {
    let seed = std::env::var("CARILLON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    for (name, run) in TARGETS {
        let inputs = kept(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (i, (path, input)) in inputs.iter().enumerate() {
            let found = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| run(bytes))).is_err();
            assert!(!found(input), "{name}: {}", path.display());
            for _ in 0..VARIANTS {
                let other = &inputs[random.random_range(0..inputs.len())].1;
                let bytes = variant(&mut random, input, other);
                assert!(
                    !found(&bytes),
                    "{name}, seed {seed}, from {}: {}",
                    inputs[i].0.display(),
                    hex::encode(&bytes)
                );
            }
        }
    }
}

#[test]
fn there_is_a_corpus_for_each_target_and_no_other_and_they_are_small() {
    let folder = corpus("");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the corpora")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, _)| name.to_owned()));
    let bytes: u64 =
        TARGETS.iter().flat_map(|(name, _)| kept(name)).map(|(_, input)| input.len() as u64).sum();
    assert!(bytes < MOST, "{bytes} bytes");
    assert!(target("phone").is_some() && target("nonsense").is_none());
}
