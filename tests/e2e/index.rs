//! What documents say about tests, compared with the tests that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use waxwing_tests::tools::root;

#[test]
fn every_threat_in_the_security_document_has_a_test_that_names_it() {
    let listed = threats(&std::fs::read_to_string(root().join("SECURITY.md")).unwrap());
    assert!(listed.len() > 40, "the tables were found: {listed:?}");
    let tested = tested();
    let missing: Vec<_> = listed.iter().filter(|id| !tested.contains_key(*id)).collect();
    assert!(missing.is_empty(), "no test's doc comment begins with: {missing:?}");
}

#[test]
fn a_test_that_names_a_threat_names_its_guard() {
    let without: Vec<_> = comments().into_iter().filter(|comment| !comment.text.contains("Guard")).collect();
    assert!(without.is_empty(), "{without:#?}");
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

/// A doc comment that begins with ids of threats.
#[derive(Debug)]
struct Comment {
    file: PathBuf,
    ids: Vec<String>,
    text: String,
}

/// Which files test which threat.
fn tested() -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut tested: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for comment in comments() {
        for id in comment.ids {
            tested.entry(id).or_default().insert(comment.file.clone());
        }
    }
    tested
}

/// Those of all tests in the work tree: the attribute `#[test]` stands before the next function.
fn comments() -> Vec<Comment> {
    let mut found = Vec::new();
    for file in sources(root()) {
        let source = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let mut at = 0;
        while at < lines.len() {
            let length = lines[at..].iter().take_while(|line| line.starts_with("///")).count();
            let text: Vec<&str> = lines[at..at + length].iter().map(|line| line[3..].trim()).collect();
            let attributes = lines[at + length..].iter().take_while(|line| line.starts_with("#["));
            let is_test = attributes.into_iter().any(|line| line.contains("test"));
            let inside_macro = lines[at + length..]
                .first()
                .is_some_and(|line| line.starts_with("fn ") || line.contains("proptest"));
            let ids = text.first().map(|line| ids(line)).unwrap_or_default();
            if !ids.is_empty() && (is_test || inside_macro) {
                found.push(Comment { file: file.clone(), ids, text: text.join(" ") });
            }
            at += length.max(1);
        }
    }
    found
}

/// `C01, C02. Guard: …` gives both; anything else none.
fn ids(line: &str) -> Vec<String> {
    let Some((head, _)) = line.split_once(". ") else { return Vec::new() };
    let ids: Vec<String> = head.split(", ").map(str::to_owned).collect();
    if ids.iter().all(|id| is_id(id)) { ids } else { Vec::new() }
}

fn is_id(text: &str) -> bool {
    let (letter, digits) = text.split_at(text.len().min(1));
    letter.chars().all(|c| c.is_ascii_uppercase())
        && digits.len() == 2
        && digits.chars().all(|c| c.is_ascii_digit())
}

/// The first cells of all rows that hold an id.
fn threats(document: &str) -> BTreeSet<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.filter(|cell| is_id(cell)).map(str::to_owned).collect()
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
