//! What is not as it was published last.
//!
//! Grafana never shows a credential, so whether it has the right one is known only from what it was given. Files are written
//! in one way only: an item of a list is a run of lines, and the same item gives the same lines. So files are compared without
//! reading the values in them.

use std::collections::{BTreeMap, BTreeSet};

use super::Earlier;
use crate::{
    grafana::{CONTACT_POINTS, DATASOURCES, Entry, File, Inventory, POLICIES},
    inject::Node,
};

/// The entries of a document whose lines are not in the files that Grafana has read last, or not in some that were published
/// since: of those it may have read a part.
pub(super) fn changed(document: &Node, files: &[File], published: &[Earlier]) -> BTreeSet<Entry> {
    let since =
        published.iter().rposition(|earlier| earlier.is_read).and_then(|index| published.get(index..));
    let had: Vec<_> = since.unwrap_or_default().iter().map(lists).collect();
    let mut changed = BTreeSet::new();
    for (list, items) in files.iter().flat_map(|file| items(&file.content)) {
        let Some(name) =
            [CONTACT_POINTS, DATASOURCES, POLICIES].into_iter().find(|name| list == name.as_bytes())
        else {
            continue;
        };
        let entries = document.get(name).and_then(Node::as_list).unwrap_or_default();
        for (entry, item) in entries.iter().zip(items) {
            let had_it =
                |had: &BTreeMap<&[u8], BTreeSet<&[u8]>>| had.get(list).is_some_and(|had| had.contains(item));
            if had.is_empty() || !had.iter().all(had_it) {
                let alone = [(name.to_owned(), Node::List(vec![entry.clone()]))];
                changed.extend(Inventory::of(&Node::Map(alone.into())).0);
            }
        }
    }
    changed
}

/// The items of all lists that were published at once.
fn lists(earlier: &Earlier) -> BTreeMap<&[u8], BTreeSet<&[u8]>> {
    let mut lists = BTreeMap::<_, BTreeSet<_>>::new();
    // To compare whole items.
    for (list, items) in earlier.files.iter().flat_map(|file| items(file.expose())) {
        lists.entry(list).or_default().extend(items);
    }
    lists
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
