//! Tests of the process environment and `.env` together.

use std::ffi::OsString;
use std::io;

use super::*;

fn sources(real: &[(&str, &str)], file: io::Result<Option<String>>) -> Sources {
    Sources::new(real.iter().map(|(n, v)| (OsString::from(n), OsString::from(v))), file)
}

fn as_file(lines: &[(&str, &str)]) -> String {
    lines.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect()
}

#[test]
fn the_real_environment_wins_over_the_file() {
    let file = format!("\u{feff}{}CALL_WINDOW=09:00-20:00\nRECORDING=off\n", as_file(GOOD));
    let real = [("CALL_WINDOW", "10:00-19:00"), ("RECORDING", "")];
    let config = Config::from_sources(sources(&real, Ok(Some(file))), Role::All).expect("good");
    assert_eq!(config.calling.window, "10:00-19:00".parse().expect("a window"));
    assert_eq!(config.calling.recording, Recording::AfterConsent, "set to nothing is set");
    assert_eq!(config.warnings, []);
}

#[test]
fn a_line_that_cannot_be_read_is_found_and_not_quoted() {
    let file = format!("{}# a remark\nTWILIO_AUTH_TOKEN=two words-5ecret\n", as_file(GOOD));
    let problems = Config::from_sources(sources(&[], Ok(Some(file))), Role::All).expect_err("refused");
    assert_eq!(problems.problems.len(), 1, "{problems}");
    assert!(problems.to_string().contains(&format!(".env line {}", GOOD.len() + 2)), "{problems}");
    assert!(!problems.to_string().contains("5ecret"), "{problems}");

    let unreadable = sources(&[], Err(io::ErrorKind::PermissionDenied.into()));
    let problems = Config::from_sources(unreadable, Role::All).expect_err("refused");
    assert_eq!(problems.problems[0].to_string(), ".env cannot be read: permission denied");
    assert!(problems.problems.len() > 1, "the rest is reported too");
}

#[test]
fn suspicious_lines_are_warnings() {
    let file = format!(
        "{}AWS_PROFILE=x\nLOG_LEVEL=info\nLOG_LEVEL=debug\nRECORDING=\nRECORDING=off\n",
        as_file(GOOD)
    );
    let real = [("TWILIO_ACOUNT_SID", "AC1"), ("PATH", "/bin")];
    let config = Config::from_sources(sources(&real, Ok(Some(file))), Role::All).expect("good");
    let names: Vec<&str> = config.warnings.iter().map(|w| w.variable.as_str()).collect();
    assert_eq!(names, ["AWS_PROFILE", "LOG_LEVEL", "TWILIO_ACOUNT_SID"]);
    assert_eq!(config.log.level, "debug", "the last counts, as in a shell");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_a_mistake() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = |name: &str| (OsString::from(name), OsString::from_vec(vec![0xff]));
    let found = Sources::new([broken("BASE_URL"), broken("LS_COLORS")], Ok(None));
    assert_eq!(found.problems.len(), 1);
    assert_eq!(found.problems[0].variable, "BASE_URL");
}
