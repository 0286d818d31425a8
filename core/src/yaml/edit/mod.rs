//! Edits of a YAML text that leave every byte alone that they need not touch.
//!
//! Comments, blank lines, quoting, indentation, line ends, the other documents and a missing final
//! line feed stay as they are. The places come from the spans of the one parser; the result is
//! parsed again and compared with the same edits made on the parsed value, and what differs is an
//! error instead of a changed file.
//!
//! Rules where taste decides:
//! - A new entry stands at its sorted place if its siblings are sorted, else behind the last one;
//!   always behind the line of the entry before it and that entry's deeper indented comments.
//! - Removing an entry takes the comment lines directly above it, at its column, along. Comments
//!   between a mapping's key and its first entry are the mapping's heading and stay, unless a
//!   blank line parts them from what is above.
//! - A mapping that loses its last entry becomes `{}`; `{}` and an absent value grow into a block.
//! - Setting a mapping where one stands sets, adds and removes what differs inside it, nothing else.
//! - Anchors, aliases and merge keys on the way are refused: an edit there would act elsewhere too.

mod block;
mod flow;
mod model;
mod tree;

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use self::tree::{Kind, Node, Source};
use super::error::YamlError;
use super::read::{self, Part};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// One change of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Gives the node at `path` this value, whether it exists or not; missing mappings on the way
    /// are made.
    Set {
        /// Where.
        path: Vec<Step>,
        /// What shall stand there.
        value: Value,
    },
    /// Takes the entry at `path` out of its mapping. Nothing happens where there is none.
    Remove {
        /// Where.
        path: Vec<Step>,
    },
}

/// One step of a path from a document's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, from 0; the item must exist.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Why an edit was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// The node or one on the way has an anchor, is an alias, or merges another mapping.
    #[error("{at} is shared by an anchor, an alias or a merge key; write it out first")]
    Anchor {
        /// The path so far.
        at: Path,
    },
    /// The text has no such document, or it is empty.
    #[error("there is no document {} in the text", .document + 1)]
    NoDocument {
        /// Index, from 0.
        document: usize,
    },
    /// The list ends before this index, or there is no list.
    #[error("there is no list item {at}")]
    NoItem {
        /// The path with the index.
        at: Path,
    },
    /// A key was looked for in something that is no mapping.
    #[error("{at} is not a mapping")]
    NotAMapping {
        /// The path so far.
        at: Path,
    },
    /// A way of writing that this editor does not change.
    #[error("{at}: cannot edit {what}; change it by hand")]
    Unsupported {
        /// The path.
        at: Path,
        /// The construct.
        what: &'static str,
    },
    /// The edited text would not have said what was asked for.
    #[error("the edit would have changed more than asked for; change the file by hand")]
    Verify,
    /// The text cannot be read.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

/// A path for people: `spec.data.password`, `items[2]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the document");
        }
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

impl From<&[Step]> for Path {
    fn from(steps: &[Step]) -> Self {
        Self(steps.to_vec())
    }
}

/// Makes the edits, in order, in one document of a text.
///
/// # Guarantees
/// The new text reads as the old one with the edits made; all bytes outside of the edited entries
/// are the same. On an error nothing was changed.
pub fn apply(text: &str, document: usize, edits: &[Edit]) -> Result<String, EditError> {
    let parts = read::split(text)?;
    let Part { range, line, .. } = parts.get(document).ok_or(EditError::NoDocument { document })?;
    let slice = text.get(range.clone()).ok_or(EditError::NoDocument { document })?;
    let mut expected = read::value(slice, document, *line)?;
    if expected.is_null() {
        return Err(EditError::NoDocument { document });
    }
    let mut leaves = Vec::new();
    for edit in edits {
        for leaf in model::leaves(&expected, edit)? {
            model::change(&mut expected, &leaf)?;
            leaves.push(leaf);
        }
    }
    let edited = splice_all(slice, &leaves)?;
    if edited == slice {
        return Ok(text.to_owned());
    }
    let mut whole = String::with_capacity(text.len() + edited.len());
    whole.push_str(text.get(..range.start).unwrap_or_default());
    whole.push_str(&edited);
    whole.push_str(text.get(range.end..).unwrap_or_default());
    verify(&whole, document, &expected, &parts).then_some(whole).ok_or(EditError::Verify)
}

/// Line and column, from 1, of the entry or item at a path, for an error about its value; none
/// where the path leads through an alias or nowhere. `text` is what the document was read from.
pub fn locate(text: &str, document: &read::Document, path: &[Step]) -> Option<(usize, usize)> {
    let source = Source::parse(text.get(document.range.clone())?).ok()?;
    let (start, left) = follow(&source, path);
    if left.is_empty() { position(&source, document, start) } else { None }
}

/// Line and column of many paths in one document; where one leads nowhere, those of the last entry or item on its way.
pub fn nearest<'p>(
    text: &str,
    document: &read::Document,
    paths: impl IntoIterator<Item = &'p [Step]>,
) -> Vec<(usize, usize)> {
    let source = text.get(document.range.clone()).and_then(|text| Source::parse(text).ok());
    let place = |path| {
        let source = source.as_ref()?;
        position(source, document, follow(source, path).0)
    };
    paths.into_iter().map(|path| place(path).unwrap_or((document.line, 1))).collect()
}

/// The scalars at many paths as they are written, `010` and `Yes` and all; none where a path leads to no scalar, through an
/// alias or a merge key, or to one with a tag.
pub fn written<'p>(
    text: &str,
    document: &read::Document,
    paths: impl IntoIterator<Item = &'p [Step]>,
) -> Vec<Option<String>> {
    let source = text.get(document.range.clone()).and_then(|text| Source::parse(text).ok());
    let scalar = |path: &[Step]| {
        let node = path.iter().try_fold(&source.as_ref()?.root, |node, step| match (&node.kind, step) {
            (Kind::Map { entries, .. }, Step::Key(key)) => {
                entries.iter().find(|entry| entry.key.text() == Some(key)).map(|entry| &entry.value)
            }
            (Kind::List { items, .. }, Step::Index(index)) => items.get(*index),
            _ => None,
        })?;
        node.text().filter(|_| node.properties.is_none()).map(str::to_owned)
    };
    paths.into_iter().map(scalar).collect()
}

/// Where the last entry or item on the way begins, and what of the way leads nowhere.
fn follow<'p>(source: &Source<'_>, path: &'p [Step]) -> (usize, &'p [Step]) {
    let mut node = &source.root;
    let mut start = node.outer_start();
    for (index, step) in path.iter().enumerate() {
        let next = match (&node.kind, step) {
            (Kind::Map { entries, .. }, Step::Key(key)) => {
                let entry = entries.iter().find(|entry| entry.key.text() == Some(key));
                entry.map(|entry| (&entry.value, entry.start()))
            }
            (Kind::List { items, .. }, Step::Index(index)) => {
                items.get(*index).map(|item| (item, item.outer_start()))
            }
            _ => None,
        };
        let Some(next) = next else { return (start, path.get(index..).unwrap_or_default()) };
        (node, start) = next;
    }
    (start, &[])
}

fn position(source: &Source<'_>, document: &read::Document, start: usize) -> Option<(usize, usize)> {
    let line = source.text.get(source.line_start(start)..start)?;
    let above = source.text.get(..start)?.bytes().filter(|byte| *byte == b'\n').count();
    Some((document.line + above, 1 + line.chars().count()))
}

/// Replaces bytes of a text.
#[derive(Debug)]
struct Splice {
    start: usize,
    end: usize,
    text: String,
}

impl Splice {
    fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { start: at, end: at, text: text.into() }
    }

    fn delete(start: usize, end: usize) -> Self {
        Self { start, end, text: String::new() }
    }

    fn replace(start: usize, end: usize, text: impl Into<String>) -> Self {
        Self { start, end, text: text.into() }
    }
}

/// Edits one after the other, each on a fresh parse; but edits that each replace one value in its
/// place go in one pass, so that re-wrapping hundreds of envelopes parses once.
fn splice_all(slice: &str, leaves: &[Edit]) -> Result<String, EditError> {
    let mut text = slice.to_owned();
    let mut rest = leaves;
    while !rest.is_empty() {
        let source = Source::parse(&text)?;
        let mut splices: Vec<Splice> = Vec::new();
        let mut taken = 0;
        for edit in rest {
            let (mut new, in_place) = plan(&source, edit)?;
            let overlaps =
                splices.iter().any(|old| new.iter().any(|new| new.start <= old.end && old.start <= new.end));
            if taken > 0 && (!in_place || overlaps) {
                break;
            }
            splices.append(&mut new);
            taken += 1;
            if !in_place {
                break;
            }
        }
        text = splice(&text, splices)?;
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(text)
}

/// What an edit replaces, and whether it is one value in its place.
fn plan(source: &Source<'_>, edit: &Edit) -> Result<(Vec<Splice>, bool), EditError> {
    match edit {
        Edit::Set { path, value } => set(source, path, value),
        Edit::Remove { path } => Ok((remove(source, path)?, false)),
    }
}

/// A node on the way, and how it hangs in its parent.
#[derive(Clone, Copy)]
struct Place<'a> {
    node: &'a Node<'a>,
    seat: Seat,
}

/// What a node is to its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// The document itself.
    Root,
    /// The value of a block mapping's entry: the entry's column, and the place behind its colon.
    Value { column: usize, colon: Option<usize> },
    /// An item of a block list.
    Item,
    /// Anything between brackets; `after` is the place behind the colon, or behind the key.
    Flow { after: Option<(usize, bool)> },
}

fn set(source: &Source<'_>, path: &[Step], value: &Value) -> Result<(Vec<Splice>, bool), EditError> {
    let mut place = Place { node: &source.root, seat: Seat::Root };
    for (index, step) in path.iter().enumerate() {
        let (so_far, rest) = path.split_at(index);
        check_unshared(place.node, so_far)?;
        match child(source, place, step) {
            Some(next) => place = next,
            None => {
                let Step::Key(key) = step else {
                    return Err(EditError::NoItem { at: path[..=index].into() });
                };
                let inner = model::nested(rest.get(1..).unwrap_or_default(), value)
                    .ok_or_else(|| EditError::NoItem { at: path.into() })?;
                let at = Path::from(so_far);
                let splices = match &place.node.kind {
                    Kind::Map { flow: false, .. } => block::insert(source, place, key, &inner, at)?,
                    Kind::Map { flow: true, .. } => flow::insert(source, place, key, &inner, at)?,
                    Kind::Scalar { .. } if place.node.is_null() => {
                        let map = model::nested(rest, value)
                            .ok_or_else(|| EditError::NoItem { at: path.into() })?;
                        replace(source, place, &map, at)?
                    }
                    _ => return Err(EditError::NotAMapping { at }),
                };
                return Ok((splices, false));
            }
        }
    }
    check_unshared(place.node, path)?;
    if place.node.any(&|node| node.anchored) {
        return Err(EditError::Anchor { at: path.into() });
    }
    let splices = replace(source, place, value, path.into())?;
    let is_block = matches!(place.node.kind, Kind::Map { flow: false, .. } | Kind::List { flow: false, .. });
    let in_place =
        !is_block && matches!(&splices[..], [one] if one.start < one.end && !one.text.contains('\n'));
    Ok((splices, in_place))
}

fn replace(source: &Source<'_>, place: Place<'_>, value: &Value, at: Path) -> Result<Vec<Splice>, EditError> {
    match place.seat {
        Seat::Flow { .. } => flow::replace(source, place, value, at),
        _ => block::replace(source, place, value, at),
    }
}

fn remove(source: &Source<'_>, path: &[Step]) -> Result<Vec<Splice>, EditError> {
    let Some((last, way)) = path.split_last() else {
        return Err(EditError::Unsupported { at: path.into(), what: "away the whole document" });
    };
    let mut place = Place { node: &source.root, seat: Seat::Root };
    for (index, step) in way.iter().enumerate() {
        check_unshared(place.node, &path[..index])?;
        match child(source, place, step) {
            Some(next) => place = next,
            None => return Ok(Vec::new()),
        }
    }
    check_unshared(place.node, way)?;
    let Step::Key(key) = last else {
        return Err(EditError::Unsupported { at: path.into(), what: "away a list item" });
    };
    let Kind::Map { flow, entries } = &place.node.kind else { return Ok(Vec::new()) };
    let Some(index) = entries.iter().position(|entry| entry.key.text() == Some(key)) else {
        return Ok(Vec::new());
    };
    if entries[index].key.anchored || entries[index].value.any(&|node| node.anchored || node.is_alias()) {
        return Err(EditError::Anchor { at: path.into() });
    }
    match flow {
        true => flow::remove(source, place, index, path.into()),
        false => block::remove(source, place, index, path.into()),
    }
}

fn child<'a>(source: &'a Source<'a>, place: Place<'a>, step: &Step) -> Option<Place<'a>> {
    let in_flow = matches!(place.seat, Seat::Flow { .. });
    match (&place.node.kind, step) {
        (Kind::Map { flow, entries }, Step::Key(key)) => {
            let entry = entries.iter().find(|entry| entry.key.text() == Some(key))?;
            let seat = if *flow || in_flow {
                Seat::Flow { after: Some((entry.colon.unwrap_or(entry.key.end), entry.colon.is_some())) }
            } else {
                Seat::Value { column: source.column(entry.key.outer_start()), colon: entry.colon }
            };
            Some(Place { node: &entry.value, seat })
        }
        (Kind::List { flow, items }, Step::Index(index)) => {
            let seat = if *flow || in_flow { Seat::Flow { after: None } } else { Seat::Item };
            Some(Place { node: items.get(*index)?, seat })
        }
        _ => None,
    }
}

fn check_unshared(node: &Node<'_>, at: &[Step]) -> Result<(), EditError> {
    let merges = matches!(&node.kind, Kind::Map { entries, .. }
        if entries.iter().any(|entry| entry.key.is_plain("<<")));
    if node.anchored || node.is_alias() || merges {
        return Err(EditError::Anchor { at: at.into() });
    }
    Ok(())
}

/// Puts the texts in; those at one place in the order given.
fn splice(text: &str, mut splices: Vec<Splice>) -> Result<String, EditError> {
    splices.sort_by_key(|splice| splice.start);
    let mut out =
        String::with_capacity(text.len() + splices.iter().map(|splice| splice.text.len()).sum::<usize>());
    let mut from = 0;
    for splice in splices {
        out.push_str(text.get(from..splice.start).ok_or(EditError::Verify)?);
        out.push_str(&splice.text);
        from = splice.end;
    }
    out.push_str(text.get(from..).ok_or(EditError::Verify)?);
    Ok(out)
}

/// The new text has the same number of documents, and this one says what was asked for. The others
/// need no look: their bytes are the same, and each begins where it did, counted from its end.
fn verify(whole: &str, document: usize, expected: &Value, before: &[Part]) -> bool {
    let Ok(after) = read::split(whole) else { return false };
    let others = |parts: &[Part]| {
        let end = parts.last().map_or(0, |last| last.range.end);
        let tail = parts.iter().skip(document + 1);
        tail.map(|part| (end - part.range.start, part.error.is_some())).collect::<Vec<_>>()
    };
    let Some(Part { range, line, .. }) = after.get(document) else { return false };
    others(&after) == others(before)
        && whole
            .get(range.clone())
            .is_some_and(|slice| read::value(slice, document, *line).is_ok_and(|value| value == *expected))
}
