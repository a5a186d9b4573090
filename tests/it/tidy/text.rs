//! Rules about files as texts: length, headers, what must never stand in one. Each rule answers with its complaints.

use std::collections::BTreeSet;

use super::lex::{find, tokens};

/// No Rust file is longer; the aim is two thirds of it.
pub(super) const MAX_LINES: usize = 600;

/// Length of a Rust file.
pub(super) fn length(path: &str, source: &str) -> Option<String> {
    let lines = source.lines().count();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, at most {MAX_LINES}"))
}

/// A Rust file says first what it is about.
pub(super) fn header(path: &str, source: &str) -> Option<String> {
    let said = source
        .lines()
        .next()
        .is_some_and(|line| line.strip_prefix("//! ").is_some_and(|text| text.trim().len() >= 10));
    (!said).then(|| format!("{path}: begins without a `//!` line that says what it is about"))
}

/// A Lua script says in comments at its head which keys and arguments it takes, what it returns and why it may run
/// twice.
pub(super) fn script_header(path: &str, source: &str) -> Vec<String> {
    let head: Vec<&str> =
        source.lines().take_while(|line| line.starts_with("--") || line.trim().is_empty()).collect();
    ["KEYS:", "ARGV:", "RETURNS:", "IDEMPOTENT BY:"]
        .into_iter()
        .filter(|field| {
            !head.iter().any(|line| {
                line.trim_start_matches(['-', ' '])
                    .strip_prefix(field)
                    .is_some_and(|said| !said.trim().is_empty())
            })
        })
        .map(|field| format!("{path}: no `-- {field} …` in its header"))
        .collect()
}

/// Ignored tests and blocked threads.
pub(super) fn habits(path: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let ignored = find(&tokens, &["#", "[", "ignore"]);
    let sleeps = find(&tokens, &["thread", "::", "sleep"]);
    let say = |lines: Vec<usize>, what: &'static str| {
        lines.into_iter().map(move |line| format!("{path}:{line}: {what}")).collect::<Vec<_>>()
    };
    [say(ignored, "an ignored test"), say(sleeps, "a blocking sleep; wait for the event")].concat()
}

/// Hosts of package registries: where packages come from is each machine's own setting. Written in halves, so that
/// this file does not break its own rule.
const REGISTRIES: [(&str, &str); 9] = [
    ("crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("registry.npmjs", ".org"),
    ("rubygems", ".org"),
    ("proxy.golang", ".org"),
    ("deb.debian", ".org"),
    ("archive.ubuntu", ".com"),
    ("repo.maven.apache", ".org"),
];

/// Directories of the machine on which the project was made; in halves too.
const MACHINE_PATHS: [(&str, &str); 2] = [("/wo", "rk"), ("/fa", "rm")];

/// What ties a file to one machine or one network: a registry's host, an absolute path of a developer's machine.
pub(super) fn places(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (a, b) in REGISTRIES {
            if line.contains(&format!("{a}{b}")) {
                found.push(format!("{path}:{}: names the package registry {a}{b}", number + 1));
            }
        }
        for (a, b) in MACHINE_PATHS {
            if names_path(line, &format!("{a}{b}")) {
                found.push(format!("{path}:{}: names the directory {a}{b} of one machine", number + 1));
            }
        }
    }
    found
}

/// Whether `dir` stands in `line` as the beginning of an absolute path, and not as a part of a longer one.
fn names_path(line: &str, dir: &str) -> bool {
    line.match_indices(dir).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + dir.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/})*".contains(c))
            && !after.is_some_and(|c| c.is_alphanumeric() || "_-".contains(c))
    })
}

/// Where the files of the project lie; a text in backticks that begins so names one of them.
const FOLDERS: [&str; 7] = ["src/", "tests/", "docs/", "deploy/", "scripts/", "benches/", ".ci/"];

/// Paths in backticks and relative links of a document that lead nowhere. `{a,b}` stands for each of both.
pub(super) fn named_paths(document: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let quoted = text.split('`').skip(1).step_by(2).flat_map(|span| {
        let path = span.trim_start_matches("./");
        let path = path.split_whitespace().next().unwrap_or("");
        if FOLDERS.iter().any(|f| path.starts_with(f)) { alternatives(path) } else { Vec::new() }
    });
    let linked = text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split_once(')')?.0.split('#').next()?;
        let outside = target.is_empty() || target.contains("://");
        (!outside).then(|| if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") })
    });
    let missing = |path: &String| !exists(path);
    quoted.chain(linked).filter(missing).map(|path| format!("{document}: there is no {path}")).collect()
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn alternatives(path: &str) -> Vec<String> {
    match path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?))) {
        Some((head, (words, tail))) => words.split(',').map(|word| format!("{head}{word}{tail}")).collect(),
        None => vec![path.to_owned()],
    }
}

/// Where `.env.example` and the config table (name, default, doc) differ. A variable stands as `NAME=value`, or as
/// `# NAME=value` where it is optional; a value that is not commented out is the default.
pub(super) fn env_example(text: &str, variables: &[(&str, &str, &str)]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut listed = BTreeSet::new();
    for line in text.lines() {
        let (active, body) = match line.strip_prefix('#') {
            Some(rest) => (false, rest.strip_prefix(' ').unwrap_or(rest)),
            None => (true, line),
        };
        let Some((name, value)) = body.split_once('=') else { continue };
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            continue;
        }
        if !listed.insert(name) {
            complaints.push(format!(".env.example lists {name} twice"));
        }
        match variables.iter().find(|(known, _, _)| *known == name) {
            None => complaints.push(format!(".env.example lists {name}, which nothing reads")),
            Some((_, default, _)) if active && !default.is_empty() && *default != value => {
                complaints.push(format!(".env.example gives {name} {value:?}; its default is {default:?}"));
            }
            Some(_) => {}
        }
    }
    for (name, _, doc) in variables {
        if !listed.contains(name) {
            complaints.push(format!(".env.example does not list {name}"));
        }
        if doc.trim().is_empty() {
            complaints.push(format!("the config table does not say what {name} is for"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_a_bare_one_are_found() {
        assert_eq!(length("a.rs", &"x\n".repeat(MAX_LINES)), None);
        assert!(length("a.rs", &"x\n".repeat(MAX_LINES + 1)).is_some());
        assert_eq!(header("a.rs", "//! What this file is about.\n"), None);
        for bare in
            ["", "use std::fmt;\n", "//!\n//! Later.\n", "// A comment of no rank.\n", "\n//! Too late.\n"]
        {
            assert!(header("a.rs", bare).is_some(), "{bare:?}");
        }
    }

    #[test]
    fn a_script_without_its_header_is_found() {
        let good = "-- Commits.\n-- KEYS: record\n-- ARGV: epoch\n-- RETURNS: ok\n-- IDEMPOTENT BY: version\nreturn 1";
        assert_eq!(script_header("a.lua", good), [""; 0]);
        assert_eq!(script_header("a.lua", &good.replace("RETURNS: ok", "RETURNS:")).len(), 1);
        assert_eq!(script_header("a.lua", "return 1\n-- KEYS: late").len(), 4);
    }

    #[test]
    fn bad_habits_are_found_in_code_and_not_in_talk() {
        assert_eq!(habits("a.rs", "// #[ignore] and thread::sleep\nlet s = \"#[ignore]\";"), [""; 0]);
        assert_eq!(habits("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}").len(), 1);
        assert_eq!(habits("a.rs", "use std::thread;\nfn f() { thread::sleep(d) }").len(), 1);
        assert_eq!(habits("a.rs", "fn f() { std :: thread ::sleep(d) }").len(), 1);
    }

    #[test]
    fn places_are_found() {
        for (a, b) in REGISTRIES {
            assert_eq!(places("a", &format!("see https://{a}{b}/x")).len(), 1);
        }
        for (a, b) in MACHINE_PATHS {
            let dir = format!("{a}{b}");
            for line in [format!("cat {dir}/x"), format!("\"{dir}\""), format!("A={dir}/x"), dir.clone()] {
                assert_eq!(places("a", &line).len(), 1, "{line}");
            }
            for line in [format!("src{dir}/x"), format!("{dir}er"), format!("..{dir}/x"), format!("{dir}-it")]
            {
                assert_eq!(places("a", &line), [""; 0], "{line}");
            }
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_found() {
        let exists =
            |path: &str| ["src/a.rs", "src/b.rs", "scripts/dev", "docs/d.md", "LICENSE"].contains(&path);
        let good =
            "`src/{a,b}.rs`, `./scripts/dev --once`, `fred`, [d](d.md#x), [w](https://w/x), [l](../LICENSE)";
        let parent = |path: &str| exists(path) || path == "docs/../LICENSE";
        assert_eq!(named_paths("docs/x.md", good, &parent), [""; 0]);
        assert_eq!(named_paths("x.md", "`src/{a,c}.rs` [gone](docs/gone.md)", &exists).len(), 2);
    }

    #[test]
    fn an_example_that_differs_from_the_table_is_found() {
        let table = [("A", "1", "a"), ("B_2", "", "b"), ("C", "x", "c")];
        assert_eq!(env_example("# What A is\nA=1\nB_2=yours\n# C=other\n#  prose = no\n", &table), [""; 0]);
        assert_eq!(env_example("A=2\nB_2=\nC=x\n", &table).len(), 1, "another default");
        assert_eq!(env_example("A=1\nB_2=\n", &table).len(), 1, "one missing");
        assert_eq!(env_example("A=1\nB_2=\nC=x\nD=1\n", &table).len(), 1, "one too many");
        assert_eq!(env_example("A=1\nA=1\nB_2=\nC=x\n", &table).len(), 1, "one twice");
        assert_eq!(env_example("A=1\n", &[("A", "1", " ")]).len(), 1, "one without a word on it");
    }
}
