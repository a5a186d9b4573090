//! The soak as a program of its own: `./scripts/soak` builds and runs it. Its exit status is the verdict.

// What the tests beside it use is not all used here.
#[allow(dead_code, unused_imports)]
#[path = "it/openapi.rs"]
mod openapi;
#[allow(dead_code, unused_imports)]
#[path = "it/soak/mod.rs"]
mod soak;
#[path = "it/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use soak::{Faults, Soak};

const USAGE: &str = "usage: soak --calls N --faults all|none|name,name --seed N [--minutes M] [--cps N] [--speed N] [--wait REPLICAS]\n\
                     --faults help names the faults";

fn read(args: impl Iterator<Item = String>) -> Result<Soak, String> {
    let mut soak = Soak {
        calls: 1_000,
        faults: Faults::parse("all")?,
        seed: 1,
        limit: Duration::from_secs(45 * 60),
        cps: 80.0,
        speed: 60.0,
        wait: 1,
    };
    let mut args = args.peekable();
    while let Some(name) = args.next() {
        if name == "--help" || name == "-h" {
            return Err(USAGE.to_owned());
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        let wrong = |_| format!("{name}: {value:?} is no number");
        match name.as_str() {
            "--calls" => {
                soak.calls = value.parse().map_err(|_| format!("--calls: {value:?} is no number"))?
            }
            "--faults" => soak.faults = Faults::parse(&value)?,
            "--seed" => soak.seed = value.parse().map_err(|_| format!("--seed: {value:?} is no number"))?,
            "--minutes" => {
                let minutes: f64 = value.parse().map_err(wrong)?;
                soak.limit = Duration::try_from_secs_f64(minutes * 60.0).map_err(|e| e.to_string())?;
            }
            "--cps" => soak.cps = value.parse().map_err(wrong)?,
            "--wait" => soak.wait = value.parse().map_err(|_| format!("--wait: {value:?} is no number"))?,
            "--speed" => soak.speed = value.parse().map_err(wrong)?,
            other => return Err(format!("{other} is not known\n{USAGE}")),
        }
    }
    if soak.calls == 0 || soak.cps.is_nan() || soak.cps <= 0.0 || soak.speed.is_nan() || soak.speed <= 0.0 {
        return Err("--calls, --cps and --speed must be above 0".to_owned());
    }
    Ok(soak)
}

fn main() -> ExitCode {
    let soak = match read(std::env::args().skip(1)) {
        Ok(soak) => soak,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if runtime.block_on(soak::run(soak)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
