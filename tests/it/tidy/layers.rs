//! Who may use whom. The floors are read from the table in `src/lib.rs`, so that the map a newcomer reads is the one
//! that is enforced.

use std::collections::BTreeMap;

use super::lex::{Token, find, tokens};

/// The crate's floors, from the surface down.
pub(super) struct Map {
    floors: Vec<(String, Vec<String>)>,
}

impl Map {
    /// Reads the table of `src/lib.rs`: a row `| floor | [`room`], [`room`] |` for each floor.
    pub(super) fn parse(lib: &str) -> Self {
        let rows = lib.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("//! |")?.split('|');
            let (floor, rooms) = (cells.next()?.trim(), cells.next()?);
            let rooms: Vec<String> = rooms
                .split("[`")
                .skip(1)
                .filter_map(|rest| rest.split_once("`]").map(|(room, _)| room.to_owned()))
                .collect();
            (!rooms.is_empty()).then(|| (floor.to_owned(), rooms))
        });
        Self { floors: rows.collect() }
    }

    fn floor(&self, room: &str) -> Option<(usize, &str)> {
        let at = self.floors.iter().position(|(_, rooms)| rooms.iter().any(|name| name == room))?;
        Some((at, &self.floors[at].0))
    }

    /// Why `room` may not use `other`; `None` where it may.
    pub(super) fn forbids(&self, room: &str, other: &str) -> Option<String> {
        if room == other {
            return None;
        }
        let Some((from, floor)) = self.floor(room) else {
            return Some(format!("{room} is not on the map in src/lib.rs"));
        };
        let (to, below) = self.floor(other)?;
        let allowed = match (floor, below) {
            ("apart", _) => other == "base",
            ("composition", _) => true,
            (_, "apart") => false,
            ("ground", _) => (room, other) == ("domain", "base"),
            // Agents know the talk and its rules; neither wire nor store.
            ("agents", _) => below == "ground" || other == "conversation",
            _ => to > from,
        };
        (!allowed).then(|| format!("{room} ({floor}) may not use {other} ({below})"))
    }

    /// The rooms there are.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.floors.iter().flat_map(|(_, rooms)| rooms.iter().map(String::as_str))
    }
}

/// Every breach of the map in one file, `path` as `src/store/keys.rs`.
pub(super) fn breaches(map: &Map, path: &str, source: &str) -> Vec<String> {
    let module = module_of(path);
    let Some(room) = module.first() else { return Vec::new() };
    let used = rooms_used(&tokens(source), module.len());
    used.iter()
        .filter_map(|(other, line)| Some(format!("{path}:{line}: {}", map.forbids(room, other)?)))
        .collect()
}

/// The module of a file below `src`: empty for the crate's own two roots.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<&str> = inner.split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// What follows the crate's root in each path, with the first line of it: `crate::x`, `crate::{x::…, y}`, and chains
/// of `super` that climb to the root. `depth` is the file's own depth below the root.
fn rooms_used(tokens: &[Token], depth: usize) -> BTreeMap<String, usize> {
    let mut used = BTreeMap::new();
    let (mut braces, mut inline) = (0_usize, Vec::new());
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    for at in 0..tokens.len() {
        match text(at) {
            "{" => {
                if at >= 2 && text(at - 2) == "mod" {
                    inline.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
            }
            "crate" if text(at + 1) == "::" => after_root(tokens, at + 2, &mut used),
            "super" if at < 2 || text(at - 1) != "::" || text(at - 2) != "super" => {
                let mut climbs = 1;
                let mut next = at + 1;
                while text(next) == "::" && text(next + 1) == "super" {
                    climbs += 1;
                    next += 2;
                }
                if text(next) == "::" && climbs == depth + inline.len() {
                    after_root(tokens, next + 1, &mut used);
                }
            }
            _ => {}
        }
    }
    used
}

/// Notes the names at `at`: one word, or the first words of each member of a `{…}` group.
fn after_root(tokens: &[Token], at: usize, used: &mut BTreeMap<String, usize>) {
    let mut note = |token: &Token| {
        used.entry(token.text.clone()).or_insert(token.line);
    };
    match tokens.get(at) {
        Some(token) if token.text == "{" => {
            let (mut depth, mut starts) = (1_usize, true);
            for token in &tokens[at + 1..] {
                match token.text.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    "," if depth == 1 => {
                        starts = true;
                        continue;
                    }
                    _ if starts && depth == 1 => note(token),
                    _ => {}
                }
                if depth == 0 {
                    return;
                }
                starts = false;
            }
        }
        Some(token) => note(token),
        None => {}
    }
}

/// The lines on which `name`, a crate, is used by a path that begins with it. A module of the same name that the file
/// imports, be it with all that its parent imports, is no use of the crate.
pub(super) fn uses_crate(source: &str, name: &str) -> Vec<usize> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut lines = Vec::new();
    let mut is_module =
        [&["mod", name][..], &["super", "::", "*"]].iter().any(|p| !find(&tokens, p).is_empty());
    let mut begins = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.text != name {
            continue;
        }
        let before = if at == 0 { "" } else { text(at - 1) };
        let absolute = before == "::" && (at < 2 || text(at - 2) == "use" || !is_name(text(at - 2)));
        if before == "use" || before == "crate" || absolute {
            lines.push(token.line);
        } else if matches!(before, "::" | "{" | ",") && matches!(text(at + 1), ";" | "," | "}" | "as") {
            is_module = true;
        } else if before != "::" && before != "." && text(at + 1) == "::" {
            begins.push(token.line);
        }
    }
    if !is_module {
        lines.extend(begins);
    }
    lines.sort_unstable();
    lines
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Map {
        Map::parse(
            "//! | floor | rooms |\n//! | --- | --- |\n//! | composition | [`app`] |\n\
             //! | surface | [`api`], [`transport`] |\n//! | agents | [`agents`] |\n\
             //! | engines | [`dialing`], [`conversation`], [`outbox`] |\n\
             //! | edges | [`store`], [`carrier`] |\n//! | ground | [`domain`], [`base`] |\n\
             //! | apart | [`sim`] (imports `base` alone) |\n",
        )
    }

    #[test]
    fn what_the_map_allows_passes() {
        for (path, source) in [
            ("src/store/keys.rs", "use crate::{base::clock, domain::{ids, call}};"),
            ("src/dialing/mod.rs", "fn f() { crate::store::x(); crate::carrier::y(); }"),
            ("src/agents/interview/mod.rs", "use crate::conversation::Tool;"),
            ("src/app/mod.rs", "use crate::{api, sim, store};"),
            (
                "src/sim/twilio/rest.rs",
                "use crate::base::clock; use crate::sim::ledger; use super::super::store;",
            ),
            ("src/api/mod.rs", "use crate::agents::Book;"),
            ("src/domain/call.rs", "mod tests { use super::super::store; }"),
        ] {
            assert_eq!(breaches(&map(), path, source), [""; 0], "{path}: {source}");
        }
    }

    #[test]
    fn every_way_up_or_across_is_found() {
        for (path, source) in [
            ("src/store/keys.rs", "use crate::carrier::x;"),
            ("src/store/keys.rs", "use crate::{base::clock,\n outbox::x};"),
            ("src/base/clock.rs", "use crate::domain::ids;"),
            ("src/domain/call.rs", "use crate::store;"),
            ("src/dialing/mod.rs", "fn f() -> crate::outbox::X {}"),
            ("src/agents/x/mod.rs", "use crate::store;"),
            ("src/agents/x/mod.rs", "use crate::dialing;"),
            ("src/api/mod.rs", "use crate::transport;"),
            ("src/api/mod.rs", "use crate::app::config;"),
            ("src/api/mod.rs", "use crate::sim;"),
            ("src/sim/twilio/rest.rs", "use crate::domain::phone;"),
            ("src/sim/mod.rs", "#[cfg(test)] mod tests { use crate::carrier::x; }"),
            ("src/carrier/twilio/rest.rs", "use super::super::super::store::x;"),
            ("src/carrier/mod.rs", "mod tests { use super::super::store; }"),
            ("src/carrier/mod.rs", "use super::{base::x, store::y};"),
            ("src/cellar/mod.rs", "use crate::base;"),
        ] {
            assert!(!breaches(&map(), path, source).is_empty(), "not found in {path}: {source}");
        }
    }

    #[test]
    fn a_crate_is_told_from_a_module_of_its_name() {
        for source in [
            "use backoff::ExponentialBackoff;",
            "let x = backoff::retry();",
            "use ::backoff::Error;",
            "extern crate backoff;",
            "use super::*; use backoff::Error;",
            "type T = ::backoff::E;",
        ] {
            assert_eq!(uses_crate(source, "backoff").len(), 1, "{source}");
        }
        for source in [
            "use crate::base::backoff; let d = backoff::delay();",
            "use crate::base::{backoff, clock}; backoff::delay();",
            "pub mod backoff; pub use self::backoff::x;",
            "use super::*; fn f() { backoff::delay(); }",
            "let backoff = 1; self.backoff.next();",
            "// use backoff::x;\nlet s = \"backoff::x\";",
        ] {
            assert_eq!(uses_crate(source, "backoff"), [0; 0], "{source}");
        }
    }
}
