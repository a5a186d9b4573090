//! What the load bench may be told.

use std::path::PathBuf;

/// The command line of `cargo bench --bench load -- …`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Smaller counts: a first look, and what CI runs.
    pub(crate) quick: bool,
    /// Calls of the counted sections, instead of their own numbers.
    pub(crate) calls: Option<u64>,
    /// The one rate of whole calls, a second, instead of rising ones.
    pub(crate) rate: Option<f64>,
    /// Where the results are written.
    pub(crate) json: PathBuf,
    /// Sections to run; all where none is named.
    pub(crate) sections: Vec<String>,
    /// How often.
    pub(crate) runs: usize,
    /// Variables that every node gets besides the bench's own; they win.
    pub(crate) env: Vec<(String, String)>,
    /// Other builds of the program, measured beside this one in the same run.
    pub(crate) against: Vec<PathBuf>,
}

/// How it is used.
pub(crate) const USAGE: &str = "cargo bench --bench load -- [--quick] [--calls N] [--rate R] [--runs N] [--json FILE] [--section NAME]… \
     [--env NAME=VALUE]… [--against PROGRAM]…";

impl Options {
    /// Reads the arguments; `Ok(None)`: it was not `cargo bench` that started us, so that nothing is to be measured.
    pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let mut options = Self {
            quick: false,
            calls: None,
            rate: None,
            json: PathBuf::from(target).join("bench").join("load.json"),
            sections: Vec::new(),
            runs: 1,
            env: Vec::new(),
            against: Vec::new(),
        };
        let (mut args, mut bench) = (args, false);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" => bench = true,
                "--quick" => options.quick = true,
                "--calls" => options.calls = Some(above_zero(&arg, &value()?)?),
                "--rate" => {
                    let rate: f64 = above_zero(&arg, &value()?)?;
                    options.rate = Some(rate).filter(|rate| rate.is_finite());
                }
                "--runs" => options.runs = above_zero(&arg, &value()?)?,
                "--json" => options.json = value()?.into(),
                "--section" => options.sections.push(value()?),
                "--env" => {
                    let text = value()?;
                    let (name, value) = text.split_once('=').ok_or(format!("--env {text}: NAME=VALUE"))?;
                    options.env.push((name.to_owned(), value.to_owned()));
                }
                "--against" => {
                    let path = value()?;
                    // Nodes run in directories of their own.
                    let whole =
                        std::fs::canonicalize(&path).map_err(|why| format!("--against {path}: {why}"))?;
                    options.against.push(whole);
                }
                other => return Err(format!("{other} is not known")),
            }
        }
        Ok(bench.then_some(options))
    }

    /// A count: what was asked for, else the first in a quick run and the second in a whole one.
    pub(crate) fn count(&self, quick: u64, whole: u64) -> u64 {
        self.calls.unwrap_or(if self.quick { quick } else { whole })
    }
}

fn above_zero<T: std::str::FromStr + PartialOrd + Default>(name: &str, text: &str) -> Result<T, String> {
    text.parse().ok().filter(|n| *n > T::default()).ok_or_else(|| format!("{name} {text}: a number above 0"))
}
