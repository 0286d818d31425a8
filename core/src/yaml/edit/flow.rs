//! Edits of what is written between brackets: JSON, and flow style in YAML.

use serde_json::Value;

use super::super::write::{self, Style};
use super::block::{self, entry_before, is_quoted};
use super::tree::{Kind, Source};
use super::{EditError, Path, Place, Seat, Splice};

/// Replaces a value between brackets.
pub(super) fn replace(
    source: &Source<'_>,
    place: Place<'_>,
    value: &Value,
    at: Path,
) -> Result<Vec<Splice>, EditError> {
    let mut text = String::new();
    write::Node::from(value).flow(&mut text, &style_of(source));
    if !place.node.is_absent() {
        return Ok(vec![Splice::replace(place.node.outer_start(), place.node.end, text)]);
    }
    match place.seat {
        Seat::Flow { after: Some((after, colon)) } => {
            Ok(vec![Splice::insert(after, format!("{} {text}", if colon { "" } else { ":" }))])
        }
        _ => Err(EditError::Unsupported { at, what: "an empty list item" }),
    }
}

/// Puts a new entry into a mapping between braces.
pub(super) fn insert(
    source: &Source<'_>,
    place: Place<'_>,
    key: &str,
    value: &Value,
    at: Path,
) -> Result<Vec<Splice>, EditError> {
    let Kind::Map { entries, .. } = &place.node.kind else { return Err(EditError::NotAMapping { at }) };
    if let Some(splices) = block::grow(source, place, key, value) {
        return Ok(splices);
    }
    let open = place.node.start;
    check_braces(source, open, &at)?;
    let base = style_of(source);
    let all_quoted = !matches!(base, Style::Yaml)
        || (!entries.is_empty() && entries.iter().all(|entry| is_quoted(&entry.key)));
    let spread = entries
        .first()
        .filter(|first| first.start() >= source.next_line(open) && source.begins_line(first.start()));
    let indent = spread.map_or(0, |first| source.column(first.start()));
    let style = match spread {
        Some(_) => {
            let step = indent.saturating_sub(source.indent(open)).max(1);
            Style::Pretty { indent, step, eol: source.eol }
        }
        None => base,
    };
    let mut entry = write::quoted_key(key, all_quoted);
    entry.push_str(": ");
    write::Node::from(value).flow(&mut entry, &style);
    let newline = format!("{}{}", source.eol, " ".repeat(indent));

    let Some(before) = entry_before(entries, key) else {
        return Ok(match entries.first() {
            None => vec![Splice::insert(open + 1, entry)],
            Some(first) if spread.is_some() => {
                vec![Splice::insert(first.start(), format!("{entry},{newline}"))]
            }
            Some(first) => vec![Splice::insert(first.start(), format!("{entry}, "))],
        });
    };
    let end = entries[before].end();
    let comma = source.comma(end).filter(|comma| *comma <= source.line_end(end));
    Ok(match (comma, spread.is_some()) {
        (Some(comma), true) if source.ends_line(comma + 1) => {
            vec![Splice::insert(source.line_end(comma), format!("{newline}{entry},"))]
        }
        (None, true) if source.ends_line(end) && source.comma(end).is_none() => {
            vec![Splice::insert(end, ","), Splice::insert(source.line_end(end), format!("{newline}{entry}"))]
        }
        _ => vec![Splice::insert(end, format!(", {entry}"))],
    })
}

/// Takes an entry out of a mapping between braces.
pub(super) fn remove(
    source: &Source<'_>,
    place: Place<'_>,
    index: usize,
    at: Path,
) -> Result<Vec<Splice>, EditError> {
    let Kind::Map { entries, .. } = &place.node.kind else { return Err(EditError::NotAMapping { at }) };
    let open = place.node.start;
    check_braces(source, open, &at)?;
    let entry = &entries[index];
    let (start, end) = (entry.start(), entry.end());
    if entries.len() == 1 {
        let inside = source.text.get(open + 1..place.node.end.saturating_sub(1)).unwrap_or_default();
        if !inside.contains('#') {
            return Ok(vec![Splice::delete(open + 1, open + 1 + inside.len())]);
        }
    }
    if let Some(comma) = source.comma(end) {
        if source.begins_line(start) && source.ends_line(comma + 1) {
            return Ok(vec![Splice::delete(source.line_start(start), source.next_line(comma))]);
        }
        // The last one with a comma behind it: that comma stays, the one before goes.
        let before = index.checked_sub(1).map(|before| entries[before].end());
        if let (Some(before), true) = (before, index + 1 == entries.len())
            && source.line_start(before) == source.line_start(start)
        {
            return Ok(vec![Splice::delete(before, end)]);
        }
        let rest = source.text.get(comma + 1..).unwrap_or_default();
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        return Ok(vec![Splice::delete(start, comma + 1 + spaces)]);
    }
    let mut splices = Vec::new();
    let comma = index.checked_sub(1).and_then(|before| source.comma(entries[before].end()));
    if let Some(comma) = comma {
        splices.push(Splice::delete(comma, comma + 1));
    }
    splices.push(if source.begins_line(start) && source.ends_line(end) {
        Splice::delete(source.line_start(start), source.next_line(end))
    } else {
        let from =
            comma.map(|comma| comma + 1).filter(|from| source.line_start(*from) == source.line_start(start));
        Splice::delete(from.unwrap_or(start), end)
    });
    Ok(splices)
}

/// `[a: 1]` is a list that holds a mapping without braces.
fn check_braces(source: &Source<'_>, open: usize, at: &Path) -> Result<(), EditError> {
    match source.text.as_bytes().get(open) {
        Some(b'{') => Ok(()),
        _ => Err(EditError::Unsupported { at: at.clone(), what: "a pair in a list without braces" }),
    }
}

/// JSON stays JSON; within a block document, plain text may stay plain.
fn style_of(source: &Source<'_>) -> Style {
    match source.root.kind {
        Kind::Map { flow: true, .. } | Kind::List { flow: true, .. } => Style::Json,
        _ => Style::Yaml,
    }
}
