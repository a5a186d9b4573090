//! `carillon check`: what is wrong with the configuration, or how each dependency answered, in words or as JSON.
//!
//! Rendering and exit status alone; whoever calls [`run`] has done the pinging.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::config::{Problem, Problems};
use crate::base::telemetry::redact::redact;

/// Arguments of the command.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What a node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// Redis.
    Redis,
    /// Twilio's API.
    Twilio,
    /// The language model.
    Model,
    /// The archive's bucket.
    S3,
}

impl Dependency {
    /// Its name in the table and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Twilio => "twilio",
            Self::Model => "model",
            Self::S3 => "s3",
        }
    }

    /// What to look at where it does not answer.
    fn advice(self) -> &'static str {
        match self {
            Self::Redis => {
                "is the server up, and is REDIS_URL right (host, port, password, rediss:// for TLS)?"
            }
            Self::Twilio => {
                "are TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN of one account, and TWILIO_API_BASE_URL right?"
            }
            Self::Model => {
                "are the key, the model and the address right: OPENAI_API_KEY, OPENAI_MODEL, OPENAI_BASE_URL, \
                 or the AZURE_OPENAI_ variables?"
            }
            Self::S3 => {
                "does S3_BUCKET_NAME exist in AWS_REGION (or at S3_ENDPOINT_URL), and may these keys list and write?"
            }
        }
    }
}

/// How one dependency answered.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Which.
    pub dependency: Dependency,
    /// How long its answer took, or why there was none. Secrets and telephone numbers in the text are masked.
    pub result: Result<Duration, String>,
    /// What an operator should change although it answered, such as Redis' own advice.
    pub advice: Vec<String>,
}

/// What was found out.
#[derive(Clone, Debug)]
pub enum Report {
    /// The configuration is wrong, so nothing was pinged.
    Misconfigured(Problems),
    /// The configuration stands and these were asked.
    Asked {
        /// What is suspicious in the configuration.
        warnings: Vec<Problem>,
        /// One for each dependency.
        probes: Vec<Probe>,
    },
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything answers.
    Fine,
    /// Something does not answer.
    Failed,
    /// The configuration is wrong.
    Misconfigured,
}

impl Verdict {
    /// The exit status: 0, 1, 2.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Misconfigured => 2,
        }
    }
}

impl From<Verdict> for std::process::ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(verdict.status())
    }
}

/// Prints the report and says how the command ends.
///
/// # Errors
/// Where `out` cannot be written.
pub fn run(report: &Report, args: CheckArgs, out: &mut dyn Write) -> io::Result<Verdict> {
    let verdict = verdict(report);
    if args.json {
        writeln!(out, "{:#}", as_json(report, verdict))?;
    } else {
        as_table(report, verdict, out)?;
    }
    out.flush()?;
    Ok(verdict)
}

fn verdict(report: &Report) -> Verdict {
    match report {
        Report::Misconfigured(_) => Verdict::Misconfigured,
        // To have asked nobody proves nothing.
        Report::Asked { probes, .. } if probes.is_empty() => Verdict::Failed,
        Report::Asked { probes, .. } if probes.iter().all(|p| p.result.is_ok()) => Verdict::Fine,
        Report::Asked { .. } => Verdict::Failed,
    }
}

fn as_table(report: &Report, verdict: Verdict, out: &mut dyn Write) -> io::Result<()> {
    match report {
        Report::Misconfigured(problems) => writeln!(out, "{problems}"),
        Report::Asked { warnings, probes } => {
            writeln!(out, "configuration  ok")?;
            for warning in warnings {
                writeln!(out, "  warning: {warning}")?;
            }
            for probe in probes {
                let name = probe.dependency.name();
                match &probe.result {
                    Ok(latency) => writeln!(out, "{name:<13}  ok      {:>8.1} ms", ms(*latency))?,
                    Err(why) => {
                        writeln!(out, "{name:<13}  FAILED  {}", one_line(why))?;
                        writeln!(out, "  advice: {}", probe.dependency.advice())?;
                    }
                }
                for advice in &probe.advice {
                    writeln!(out, "  advice: {}", one_line(advice))?;
                }
            }
            let failed = probes.iter().filter(|p| p.result.is_err()).count();
            match verdict {
                Verdict::Fine => writeln!(out, "everything answers"),
                _ if probes.is_empty() => writeln!(out, "nothing was asked"),
                _ => writeln!(out, "{failed} of {} do not answer", probes.len()),
            }
        }
    }
}

fn as_json(report: &Report, verdict: Verdict) -> Value {
    let (problems, warnings, probes): (&[Problem], &[Problem], &[Probe]) = match report {
        Report::Misconfigured(found) => (&found.problems, &found.warnings, &[]),
        Report::Asked { warnings, probes } => (&[], warnings, probes),
    };
    let dependencies: Vec<Value> = probes
        .iter()
        .map(|probe| {
            let mut advice: Vec<String> = probe.advice.iter().map(|text| one_line(text)).collect();
            if probe.result.is_err() {
                advice.insert(0, probe.dependency.advice().to_owned());
            }
            json!({
                "name": probe.dependency.name(),
                "ok": probe.result.is_ok(),
                "latency_ms": probe.result.as_ref().ok().map(|latency| ms(*latency)),
                "error": probe.result.as_ref().err().map(|why| one_line(why)),
                "advice": advice,
            })
        })
        .collect();
    json!({
        "ok": verdict == Verdict::Fine,
        "problems": problems,
        "warnings": warnings,
        "dependencies": dependencies,
    })
}

fn ms(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 10_000.0).round() / 10.0
}

/// What another system said, fit for a line of a terminal.
fn one_line(text: &str) -> String {
    redact(text)
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(dependency: Dependency, result: Result<u64, &str>) -> Probe {
        let result = result.map(Duration::from_micros).map_err(str::to_owned);
        Probe { dependency, result, advice: Vec::new() }
    }

    fn rendered(report: &Report, json: bool) -> (String, Verdict) {
        let mut out = Vec::new();
        let verdict = run(report, CheckArgs { json }, &mut out).expect("a vector takes everything");
        (String::from_utf8(out).expect("text"), verdict)
    }

    #[test]
    fn a_healthy_world_ends_zero() {
        let mut redis = probe(Dependency::Redis, Ok(840));
        redis.advice.push("turn the append-only file on".into());
        let report = Report::Asked {
            warnings: vec![Problem { variable: "API_KEY".into(), message: "is not ours".into() }],
            probes: vec![redis, probe(Dependency::S3, Ok(12_345))],
        };
        let (text, verdict) = rendered(&report, false);
        assert_eq!(verdict.status(), 0);
        assert_eq!(
            text,
            "configuration  ok\n  warning: API_KEY is not ours\nredis          ok           0.8 ms\n  \
             advice: turn the append-only file on\ns3             ok          12.3 ms\neverything answers\n"
        );
    }

    #[test]
    fn what_does_not_answer_is_named_with_advice_and_without_secrets() {
        let probes = vec![
            probe(Dependency::Redis, Ok(500)),
            probe(Dependency::Twilio, Err("401 for\nBearer abcdefghijkl from +14155550100\u{1b}[2J")),
        ];
        let report = Report::Asked { warnings: Vec::new(), probes };
        let (text, verdict) = rendered(&report, false);
        assert_eq!(verdict.status(), 1);
        assert!(text.contains("twilio         FAILED  401 for Bearer [secret] from [phone]"), "{text}");
        assert!(text.contains("TWILIO_AUTH_TOKEN") && text.contains("1 of 2 do not answer"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");

        let (text, verdict) = rendered(&report, true);
        let json: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(verdict, Verdict::Failed);
        assert_eq!(json["ok"], false);
        assert_eq!(json["dependencies"][0]["latency_ms"], 0.5);
        assert!(json["dependencies"][1]["error"].as_str().is_some_and(|e| e.starts_with("401")), "{json}");
        assert!(
            json["dependencies"][1]["advice"][0].as_str().is_some_and(|a| a.contains("TWILIO_ACCOUNT_SID"))
        );
    }

    #[test]
    fn a_wrong_configuration_ends_two() {
        let one = |variable: &str| Problem { variable: variable.into(), message: "is not set".into() };
        let report = Report::Misconfigured(Problems {
            problems: vec![one("BASE_URL"), one("REDIS_URL")],
            warnings: vec![],
        });
        let (text, verdict) = rendered(&report, false);
        assert_eq!(verdict.status(), 2);
        assert_eq!(
            text,
            "the configuration has 2 mistake(s):\n  BASE_URL is not set\n  REDIS_URL is not set\n"
        );
        let json: Value = serde_json::from_str(&rendered(&report, true).0).expect("json");
        assert_eq!(json["problems"][1]["variable"], "REDIS_URL");
        assert_eq!(json["dependencies"], json!([]));
    }

    #[test]
    fn asking_nobody_is_no_success() {
        let report = Report::Asked { warnings: Vec::new(), probes: Vec::new() };
        assert_eq!(rendered(&report, false).1, Verdict::Failed);
    }
}
