//! libFuzzer's entry for every target of the house; which one it runs says `CARILLON_FUZZ_TARGET`.
#![no_main]

use std::sync::LazyLock;

use carillon::app::fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CARILLON_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("CARILLON_FUZZ_TARGET is {name:?}, expected one of {}", names.join(", "));
        std::process::exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN(data));
