//! What documents say about tests, compared with the tests that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use waxwing_tests::tools::root;

#[test]
fn every_threat_has_a_test_and_every_test_that_is_named_covers_its_threat() {
    let tested = tested();
    let document = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut listed = BTreeSet::new();
    for row in document.lines().filter_map(|line| line.strip_prefix("| ")) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [id, _, _, tests, ..] = columns[..] else { continue };
        if !is_id(id) {
            continue;
        }
        listed.insert(id.to_owned());
        let known = tested.get(id).cloned().unwrap_or_default();
        assert!(!known.is_empty(), "{id}: no test's doc comment begins with `/// {id}.`");
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{id}: SECURITY.md names no test; there are {known:?}");
        for name in named {
            assert!(known.contains(name), "{id}: {name} is not a test of it; these are: {known:?}");
        }
    }
    assert!(listed.len() > 50, "the tables were found");
    let unlisted: Vec<_> = tested.keys().filter(|id| !listed.contains(*id)).collect();
    assert!(unlisted.is_empty(), "SECURITY.md has no row for {unlisted:?}");
}

#[test]
fn a_test_that_names_a_threat_names_its_guard() {
    let without: Vec<_> = comments().into_iter().filter(|comment| !comment.text.contains("Guard")).collect();
    let places: Vec<_> =
        without.iter().map(|comment| format!("{}: {}", comment.file.display(), comment.test)).collect();
    assert!(places.is_empty(), "{places:#?}");
}

/// The cases of this issue, whether or not the document of threats has a row for each.
#[test]
fn every_case_that_was_promised_has_a_test() {
    let ranges = [
        ("C", 1..=13),
        ("C", 15..=18),
        ("T", 1..=6),
        ("T", 9..=9),
        ("K", 1..=2),
        ("K", 4..=10),
        ("K", 12..=15),
    ];
    let more = [("L", 1..=3), ("L", 5..=7), ("D", 1..=3), ("D", 5..=6), ("D", 9..=10), ("F", 2..=4)];
    let tested = tested();
    let promised = ranges
        .into_iter()
        .chain(more)
        .flat_map(|(letter, numbers)| numbers.map(move |n| format!("{letter}{n:02}")));
    let missing: Vec<String> = promised.filter(|id| !tested.contains_key(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_file_of_tests_is_part_of_this_program() {
    let folder = root().join("tests/e2e");
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not compiled");
    }
}

/// A test with a doc comment that begins with ids of threats.
#[derive(Debug)]
struct Comment {
    file: PathBuf,
    test: String,
    ids: Vec<String>,
    text: String,
}

/// Which tests are there for each threat.
fn tested() -> BTreeMap<String, BTreeSet<String>> {
    let mut tested: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for comment in comments() {
        for id in comment.ids {
            tested.entry(id).or_default().insert(comment.test.clone());
        }
    }
    tested
}

/// Those of all functions in the work tree.
fn comments() -> Vec<Comment> {
    let mut found = Vec::new();
    for file in sources(root()) {
        let mut text: Vec<String> = Vec::new();
        for line in std::fs::read_to_string(&file).unwrap().lines().map(str::trim_start) {
            if let Some(comment) = line.strip_prefix("/// ") {
                text.push(comment.to_owned());
            } else if !line.starts_with("#[") {
                let ids = text.first().map(|first| ids(first)).unwrap_or_default();
                if let Some((_, rest)) = line.split_once("fn ").filter(|_| !ids.is_empty()) {
                    let name =
                        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                    found.push(Comment {
                        file: file.clone(),
                        test: name.to_owned(),
                        ids,
                        text: text.join(" "),
                    });
                }
                text.clear();
            }
        }
    }
    found
}

/// `C01, C02. Guard: …` gives both; anything else none.
fn ids(line: &str) -> Vec<String> {
    let Some((head, _)) = line.split_once('.') else { return Vec::new() };
    let ids: Vec<&str> = head.split(", ").collect();
    if ids.iter().all(|id| is_id(id)) { ids.into_iter().map(str::to_owned).collect() } else { Vec::new() }
}

fn is_id(text: &str) -> bool {
    matches!(text.as_bytes(), [b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9'])
}

/// Every Rust file of ours.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}
