//! What is not as it was published last.
//!
//! Grafana never shows a credential, so whether it has the right one is known only from what it was given. Files are written
//! in one way only: an item of a list is a run of lines, and the same item gives the same lines. So files are compared without
//! reading the values in them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Secret,
    grafana::{CONTACT_POINTS, DATASOURCES, Entry, File, Inventory, POLICIES},
    inject::Node,
};

/// The entries of a document whose lines the files of `before` do not have.
pub(super) fn changed(document: &Node, files: &[File], before: &[Secret]) -> BTreeSet<Entry> {
    let mut had = BTreeMap::<_, BTreeSet<_>>::new();
    for (list, items) in before.iter().flat_map(|file| items(file.expose())) {
        // To compare whole items.
        had.entry(list).or_default().extend(items);
    }
    let mut changed = BTreeSet::new();
    for (list, items) in files.iter().flat_map(|file| items(&file.content)) {
        let Some(name) =
            [CONTACT_POINTS, DATASOURCES, POLICIES].into_iter().find(|name| list == name.as_bytes())
        else {
            continue;
        };
        let entries = document.get(name).and_then(Node::as_list).unwrap_or_default();
        for (entry, item) in entries.iter().zip(items) {
            if had.get(list).is_none_or(|had| !had.contains(item)) {
                let alone = [(name.to_owned(), Node::List(vec![entry.clone()]))];
                changed.extend(Inventory::of(&Node::Map(alone.into())).0);
            }
        }
    }
    changed
}

/// The lines of a list's items.
type Items<'a> = Vec<&'a [u8]>;

/// The lists of a file, by name.
fn items(file: &[u8]) -> Vec<(&[u8], Items<'_>)> {
    let mut lists: Vec<(&[u8], Items<'_>)> = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(run(rest));
        if run.starts_with(b" ") {
            if let Some((_, items)) = lists.last_mut() {
                items.push(run);
            }
        } else {
            let name = run.strip_prefix(b"\"").and_then(|run| run.split(|byte| *byte == b'"').next());
            lists.push((name.unwrap_or_default(), Vec::new()));
        }
        rest = after;
    }
    lists
}

/// How many bytes there are until the next item or name of a list begins.
fn run(file: &[u8]) -> usize {
    let mut length = 0;
    for (number, line) in file.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if number > 0 && (!line.starts_with(b" ") || line.starts_with(b"  -")) {
            break;
        }
        length += line.len();
    }
    length
}
