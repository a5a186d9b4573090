//! The rules of the house, checked on every file of the tree. Each checker is itself tried on bad examples, beside its
//! code: a check that cannot fail is worth nothing.

mod layers;
mod lex;
mod text;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Crates that one room, or one file, alone may use.
const CONFINED: [(&str, &str); 3] =
    [("fred", "src/store/"), ("backoff", "src/base/backoff.rs"), ("aws_sdk_s3", "src/archive/")];

/// The project, where cargo runs it; a target directory that was copied along with a tree knows only the old place.
fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    &ROOT
}

/// Every file of the project, its path from the root with `/`, that git tracks or would track; without git, every
/// file that is not built or hidden.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut files: Vec<String> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stdout).split('\0').map(str::to_owned).collect()
        }
        _ => walk(),
    };
    // What is deleted and not yet committed is listed and not there.
    files.retain(|file| !file.is_empty() && root().join(file).is_file());
    assert!(files.iter().any(|file| file == "src/lib.rs"), "the tree was not found");
    files
}

fn walk() -> Vec<String> {
    let skipped = |path: &Path| path == root().join("target") || path == root().join(".git");
    walkdir::WalkDir::new(root())
        .into_iter()
        .filter_entry(|entry| !skipped(entry.path()))
        .filter_map(Result::ok)
        .filter_map(|entry| {
            Some(entry.path().strip_prefix(root()).ok()?.to_string_lossy().replace('\\', "/"))
        })
        .collect()
}

/// The texts of all files that `wanted` accepts; files that are not UTF-8 are no texts.
fn texts(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let read = |path: String| {
        let full: PathBuf = root().join(&path);
        Some((path, std::fs::read_to_string(full).ok()?))
    };
    files().into_iter().filter(|path| wanted(path)).filter_map(read).collect()
}

fn rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn room_file(path: &str) -> bool {
    rust(path) && path.starts_with("src/")
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let map = layers::Map::parse(&lib);
    for room in map.rooms() {
        assert!(lib.contains(&format!("pub mod {room};")), "{room} is on the map and not in the crate");
    }
    let files = texts(room_file);
    none(files.iter().flat_map(|(path, source)| layers::breaches(&map, path, source)).collect());
}

#[test]
fn a_confined_crate_stays_in_its_room() {
    let mut complaints = Vec::new();
    for (path, source) in texts(room_file) {
        for (name, home) in CONFINED.iter().filter(|(_, home)| !path.starts_with(home)) {
            for line in layers::uses_crate(&source, name) {
                complaints.push(format!("{path}:{line}: {name} is for {home} alone"));
            }
        }
    }
    none(complaints);
}

#[test]
fn files_are_short_and_say_what_they_are_about() {
    let check = |(path, source): &(String, String)| [text::length(path, source), text::header(path, source)];
    none(texts(rust).iter().flat_map(check).flatten().collect());
}

#[test]
fn every_script_has_its_header() {
    let scripts = texts(|path| path.ends_with(".lua"));
    none(scripts.iter().flat_map(|(path, source)| text::script_header(path, source)).collect());
}

#[test]
fn no_test_is_ignored_and_no_thread_sleeps() {
    none(texts(rust).iter().flat_map(|(path, source)| text::habits(path, source)).collect());
}

#[test]
fn every_path_that_a_document_names_exists() {
    let exists = |path: &str| root().join(path).exists();
    let documents = texts(|path| path.ends_with(".md"));
    none(documents.iter().flat_map(|(path, text)| text::named_paths(path, text, &exists)).collect());
}

#[test]
fn no_file_names_a_registry_or_a_developers_directory() {
    // Cargo writes its own lock file.
    let files = texts(|path| path != "Cargo.lock");
    none(files.iter().flat_map(|(path, source)| text::places(path, source)).collect());
}
