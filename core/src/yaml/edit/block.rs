//! Edits of what is written in lines: block mappings, and the values in them.

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::super::write;
use super::tree::{Entry, Kind, Node, Source};
use super::{EditError, Path, Place, Seat, Splice, model};

/// Replaces the value of a block entry, of a list item, or the document.
pub(super) fn replace(
    source: &Source<'_>,
    place: Place<'_>,
    value: &Value,
    at: Path,
) -> Result<Vec<Splice>, EditError> {
    let old = place.node;
    let new = write::Node::from(value);
    let is_block = matches!(old.kind, Kind::Map { flow: false, .. } | Kind::List { flow: false, .. });
    let is_flow = matches!(old.kind, Kind::Map { flow: true, .. } | Kind::List { flow: true, .. });
    if is_block && old.properties.is_some() {
        return Err(EditError::Unsupported { at, what: "a block with a tag" });
    }
    let inline = match (&old.kind, value) {
        (Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. }, Value::String(text)) => {
            let mut out = String::new();
            write::quote(&mut out, text);
            Some(out)
        }
        _ if is_block && matches!(value, Value::Array(items) if !items.is_empty()) => None,
        _ if is_flow => {
            let mut out = String::new();
            new.flow(&mut out, &write::Style::Yaml);
            Some(out)
        }
        _ => new.inline().map(|text| text.to_string()),
    };
    let (column, colon) = match place.seat {
        Seat::Value { column, colon } => (Some(column), colon),
        _ => (None, None),
    };
    let own_line = source.begins_line(old.start);
    let Some(text) = inline else {
        return Ok(match (column, colon) {
            // `key: old` becomes `key:` and a block below.
            (Some(column), Some(colon)) if !own_line || old.is_absent() => {
                let mut splices = vec![];
                if !old.is_absent() {
                    splices.push(Splice::delete(colon, old.end));
                }
                let indent = if value.is_object() { column + 2 } else { column };
                splices.push(Splice::insert(source.line_end(old.end), lines_below(source, &new, indent)));
                splices
            }
            (Some(column), _) => {
                let here = source.column(old.start);
                let indent = match (value.is_object(), &old.kind) {
                    (true, _) if here <= column => column + 2,
                    (false, Kind::Map { .. }) => column,
                    _ => here,
                };
                let mut out = " ".repeat(indent);
                new.block(&mut out, indent, source.eol);
                vec![Splice::replace(source.line_start(old.start), old.end, out)]
            }
            _ if old.is_absent() => return Err(EditError::Unsupported { at, what: "an empty list item" }),
            _ => {
                let mut out = String::new();
                new.block(&mut out, source.column(old.outer_start()), source.eol);
                vec![Splice::replace(old.outer_start(), old.end, out)]
            }
        });
    };
    Ok(match colon {
        Some(colon) if old.is_absent() => vec![Splice::insert(colon, format!(" {text}"))],
        None if old.is_absent() => {
            return Err(EditError::Unsupported { at, what: "a value without its colon" });
        }
        Some(colon) if is_block && own_line => vec![
            Splice::insert(colon, format!(" {text}")),
            delete_lines(source, source.line_start(old.start), old.end, false),
        ],
        _ => vec![Splice::replace(old.outer_start(), old.end, text)],
    })
}

/// Puts a new entry into a block mapping.
pub(super) fn insert(
    source: &Source<'_>,
    place: Place<'_>,
    key: &str,
    value: &Value,
    at: Path,
) -> Result<Vec<Splice>, EditError> {
    let Kind::Map { entries, .. } = &place.node.kind else { return Err(EditError::NotAMapping { at }) };
    let Some(first) = entries.first() else { return Err(EditError::NotAMapping { at }) };
    let column = source.column(first.start());
    let all_quoted = entries.iter().all(|entry| is_quoted(&entry.key));
    let mut entry = String::new();
    write::Node::from(value).entry(&mut entry, &write::quoted_key(key, all_quoted), column, source.eol);
    let indent = " ".repeat(column);
    let eol = source.eol;

    let before = entry_before(entries, key);
    if entries[before.unwrap_or(0)].colon.is_none() {
        return Err(EditError::Unsupported { at, what: "entries written as `? key`" });
    }
    let Some(before) = before else {
        return Ok(vec![if source.begins_line(first.start()) {
            Splice::insert(comments_above(source, entries, 0), format!("{indent}{entry}{eol}"))
        } else {
            Splice::insert(first.start(), format!("{entry}{eol}{indent}"))
        }]);
    };
    let previous = &entries[before];
    let end = behind_comments(source, previous.end(), column);
    let unfinished = end == source.text.len();
    if unfinished && previous.value.final_block_scalar().is_some() {
        // A line end behind it would become part of its text: the new entry goes before it.
        if !source.begins_line(previous.start()) {
            return Err(EditError::Unsupported {
                at,
                what: "behind a block scalar without a final line end",
            });
        }
        return Ok(vec![Splice::insert(
            comments_above(source, entries, before),
            format!("{indent}{entry}{eol}"),
        )]);
    }
    Ok(vec![Splice::insert(end, format!("{eol}{indent}{entry}"))])
}

/// Takes an entry out of a block mapping.
pub(super) fn remove(
    source: &Source<'_>,
    place: Place<'_>,
    index: usize,
    at: Path,
) -> Result<Vec<Splice>, EditError> {
    let Kind::Map { entries, .. } = &place.node.kind else { return Err(EditError::NotAMapping { at }) };
    let entry = &entries[index];
    if entry.colon.is_none() {
        return Err(EditError::Unsupported { at, what: "an entry written as `? key`" });
    }
    let own_line = source.begins_line(entry.start());
    let column = source.column(entry.start());
    if entries.len() == 1 {
        return replace(source, place, &Value::Object(serde_json::Map::new()), at);
    }
    let end = behind_comments(source, entry.end(), column);
    if !own_line {
        // `- first: …`: the next entry moves up behind the dash.
        let rest = source.text.get(end..).unwrap_or_default();
        let next = end + rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        return match index {
            0 => Ok(vec![Splice::delete(entry.start(), next)]),
            _ => Err(EditError::Unsupported { at, what: "an entry that does not begin its line" }),
        };
    }
    let scalar = index.checked_sub(1).and_then(|before| entries[before].value.final_block_scalar());
    let end = match scalar {
        Some(scalar) if keeps_blank_lines(source, scalar) => behind_blank_lines(source, end),
        _ => end,
    };
    Ok(vec![delete_lines(source, comments_above(source, entries, index), end, scalar.is_some())])
}

/// Puts the first entry into `{}` as a block below its key; none where the place allows no block.
pub(super) fn grow(source: &Source<'_>, place: Place<'_>, key: &str, value: &Value) -> Option<Vec<Splice>> {
    let Seat::Value { column, colon: Some(colon) } = place.seat else { return None };
    let braces = source.text.get(place.node.start..place.node.end)?;
    let inside = braces.strip_prefix('{')?.strip_suffix('}')?;
    if !inside.trim().is_empty() || source.begins_line(place.node.start) || place.node.properties.is_some() {
        return None;
    }
    let block = write::Node::from(&model::nested(&[key.into()], value)?);
    Some(vec![
        Splice::delete(colon, place.node.end),
        Splice::insert(source.line_end(place.node.end), lines_below(source, &block, column + 2)),
    ])
}

/// Index of the entry behind which a new one goes; none if it goes first.
pub(super) fn entry_before(entries: &[Entry<'_>], key: &str) -> Option<usize> {
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.text().unwrap_or_default()).collect();
    if keys.is_sorted() { keys.iter().rposition(|other| *other < key) } else { keys.len().checked_sub(1) }
}

pub(super) fn is_quoted(key: &Node<'_>) -> bool {
    matches!(key.kind, Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. })
}

fn lines_below(source: &Source<'_>, node: &write::Node, indent: usize) -> String {
    let mut out = String::from(source.eol);
    out.extend(std::iter::repeat_n(' ', indent));
    node.block(&mut out, indent, source.eol);
    out
}

/// Behind the comment lines that follow directly and are indented deeper than the column: they
/// speak of what is inside. Gives the end of the last line, without its line end.
fn behind_comments(source: &Source<'_>, at: usize, column: usize) -> usize {
    let mut end = source.line_end(at);
    loop {
        let next = source.next_line(end);
        let line = source.text.get(next..source.line_end(next)).unwrap_or_default();
        if next >= source.text.len()
            || source.indent(next) <= column
            || !line.trim_start_matches(' ').starts_with('#')
        {
            return end;
        }
        end = source.line_end(next);
    }
}

/// Whether blank lines behind a block scalar become part of its text (`|+`).
fn keeps_blank_lines(source: &Source<'_>, scalar: &Node<'_>) -> bool {
    let header = source.text.get(scalar.start..source.line_end(scalar.start)).unwrap_or_default();
    header.split('#').next().unwrap_or_default().contains('+')
}

/// The end of the last of the blank lines that follow directly.
fn behind_blank_lines(source: &Source<'_>, at: usize) -> usize {
    let mut end = source.line_end(at);
    loop {
        let next = source.next_line(end);
        let line = source.text.get(next..source.line_end(next)).unwrap_or_default();
        if next >= source.text.len() || !line.trim().is_empty() {
            return end;
        }
        end = source.line_end(next);
    }
}

/// The first of the comment lines directly above an entry that belong to it, or its own line.
fn comments_above(source: &Source<'_>, entries: &[Entry<'_>], index: usize) -> usize {
    let entry = &entries[index];
    let own = source.line_start(entry.start());
    let column = source.column(entry.start());
    let floor = index.checked_sub(1).map_or(0, |before| source.next_line(entries[before].end()));
    let line_above = |top: usize| {
        top.checked_sub(1).map(|newline| source.line_start(newline)).filter(|above| *above >= floor)
    };
    let mut top = own;
    while let Some(above) = line_above(top) {
        let line = source.text.get(above..source.line_end(above)).unwrap_or_default();
        if source.indent(above) != column || !line.trim_start_matches(' ').starts_with('#') {
            break;
        }
        top = above;
    }
    let parted = line_above(top).is_some_and(|above| {
        source.text.get(above..source.line_end(above)).is_some_and(|line| line.trim().is_empty())
    });
    if index > 0 || parted { top } else { own }
}

/// Deletes whole lines. Where they are the text's last and it has no final line end, the line end
/// before them goes instead, unless it is part of a value.
fn delete_lines(source: &Source<'_>, start: usize, end: usize, keep_newline: bool) -> Splice {
    let next = source.next_line(end);
    let unfinished = !source.text.ends_with('\n') && next == source.text.len();
    if unfinished && start > 0 && !keep_newline {
        let before = source.text.get(..start).unwrap_or_default();
        let line = before.strip_suffix('\n').unwrap_or(before);
        return Splice::delete(line.strip_suffix('\r').unwrap_or(line).len(), next);
    }
    Splice::delete(start, next)
}
