//! Writing: the same value always gives the same text.
//!
//! Two spaces a level, lists at the column of their key, short lists of scalars on one line. Text
//! is plain where every YAML reader takes it for text, else in double quotes; nothing is ever
//! folded, so a long base64 value stays on one line and changes as one line. Map keys are quoted
//! where a reader could take them for a number or another type. Maps keep the order of their type;
//! a `serde_json::Value` is sorted.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use zeroize::Zeroizing;

use super::error::YamlError;

/// Writes a value as one YAML document, ending in a line feed.
///
/// # Errors
/// [`YamlError::Unwritable`] for what JSON cannot say, and for keys longer than YAML takes.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, YamlError> {
    // By way of JSON text, because that keeps the order of a type's fields; of its numbers, the
    // exact ones are in the value.
    let json = Zeroizing::new(serde_json::to_string(value).map_err(|_| YamlError::Unwritable)?);
    let mut node: Node = serde_json::from_str(&json).map_err(|_| YamlError::Unwritable)?;
    node.take_numbers(&serde_json::to_value(value).map_err(|_| YamlError::Unwritable)?);
    if !node.keys_fit() {
        return Err(YamlError::Unwritable);
    }
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    match node.inline() {
        Some(text) => out.push_str(&text),
        None => node.block(&mut out, 0, "\n"),
    }
    out.push('\n');
    Ok(out)
}

/// A value to write. Maps keep their order, texts are wiped.
#[derive(Clone)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A short list may fill this many columns, without its key.
const SHORT_LIST: usize = 100;
/// YAML takes a key on one line with its value up to 1024 characters, quotes and escapes counted.
const MAX_KEY: usize = 1000;

impl Node {
    /// The text of a value that fits behind its key: a scalar, an empty collection or a short list.
    pub(super) fn inline(&self) -> Option<Zeroizing<String>> {
        let mut out = Zeroizing::new(String::new());
        match self {
            Self::Map(entries) if !entries.is_empty() => return None,
            Self::List(items) if !items.iter().all(Self::is_scalar) => return None,
            _ => self.flow(&mut out, &Style::Yaml),
        }
        (!matches!(self, Self::List(_)) || out.len() <= SHORT_LIST).then_some(out)
    }

    /// Writes a collection over several lines, without the last line's end. The first line begins
    /// where `out` ends, the others at `indent`.
    pub(super) fn block(&self, out: &mut String, indent: usize, eol: &str) {
        let newline = |out: &mut String| {
            out.push_str(eol);
            out.extend(std::iter::repeat_n(' ', indent));
        };
        match self {
            Self::Map(entries) if !entries.is_empty() => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        newline(out);
                    }
                    value.entry(out, &quoted_key(key, false), indent, eol);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        newline(out);
                    }
                    out.push_str("- ");
                    match item.inline() {
                        Some(text) => out.push_str(&text),
                        None => item.block(out, indent + 2, eol),
                    }
                }
            }
            scalar => scalar.flow(out, &Style::Yaml),
        }
    }

    /// Writes `key: value`, where the key stands at `indent`.
    pub(super) fn entry(&self, out: &mut String, key: &str, indent: usize, eol: &str) {
        out.push_str(key);
        out.push(':');
        match (self.inline(), self) {
            (Some(text), _) => {
                out.push(' ');
                out.push_str(&text);
            }
            (None, collection) => {
                let deeper = if matches!(collection, Self::Map(_)) { indent + 2 } else { indent };
                out.push_str(eol);
                out.extend(std::iter::repeat_n(' ', deeper));
                collection.block(out, deeper, eol);
            }
        }
    }

    /// Writes the value in the style that stands between brackets.
    pub(super) fn flow(&self, out: &mut String, style: &Style) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(text) if matches!(style, Style::Yaml) && is_plain(text) => out.push_str(text),
            Self::Text(text) => quote(out, text),
            Self::List(items) => {
                let inner = style.deeper();
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    style.between(out, index);
                    item.flow(out, &inner);
                }
                style.close(out, items.is_empty());
                out.push(']');
            }
            Self::Map(entries) => {
                let inner = style.deeper();
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    style.between(out, index);
                    out.push_str(&quoted_key(key, !matches!(style, Style::Yaml)));
                    out.push_str(": ");
                    value.flow(out, &inner);
                }
                style.close(out, entries.is_empty());
                out.push('}');
            }
        }
    }

    fn take_numbers(&mut self, value: &Value) {
        match (self, value) {
            (Self::Number(number), Value::Number(exact)) => *number = exact.clone(),
            (Self::List(items), Value::Array(values)) => {
                items.iter_mut().zip(values).for_each(|(item, value)| item.take_numbers(value));
            }
            (Self::Map(entries), Value::Object(values)) => entries.iter_mut().for_each(|(key, entry)| {
                entry.take_numbers(values.get(key).unwrap_or(&Value::Null));
            }),
            _ => {}
        }
    }

    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_))
    }

    fn keys_fit(&self) -> bool {
        match self {
            Self::List(items) => items.iter().all(Self::keys_fit),
            Self::Map(entries) => {
                entries.iter().all(|(key, value)| quoted_key(key, true).len() <= MAX_KEY && value.keys_fit())
            }
            _ => true,
        }
    }
}

/// How to write between brackets.
#[derive(Clone)]
pub(super) enum Style {
    /// On one line; plain where safe.
    Yaml,
    /// On one line; JSON.
    Json,
    /// JSON over several lines: the column of the bracket's line, and the step.
    Pretty { indent: usize, step: usize, eol: &'static str },
}

impl Style {
    fn deeper(&self) -> Self {
        match self {
            Self::Pretty { indent, step, eol } => Self::Pretty { indent: indent + step, step: *step, eol },
            other => other.clone(),
        }
    }

    fn between(&self, out: &mut String, index: usize) {
        match self {
            Self::Pretty { indent, step, eol } => {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(eol);
                out.extend(std::iter::repeat_n(' ', indent + step));
            }
            _ => out.push_str(if index > 0 { ", " } else { "" }),
        }
    }

    fn close(&self, out: &mut String, empty: bool) {
        if let (Self::Pretty { indent, eol, .. }, false) = (self, empty) {
            out.push_str(eol);
            out.extend(std::iter::repeat_n(' ', *indent));
        }
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Zeroizing::new(text.clone())),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(entries) => {
                let mut entries: Vec<_> =
                    entries.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect();
                // `serde_json` sorts them itself unless some crate turns on its `preserve_order`.
                entries.sort_by(|left, right| left.0.cmp(&right.0));
                Self::Map(entries)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Number::from_f64(number).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

/// Words that some YAML reader takes for another type, in lower case.
const RESERVED: [&str; 12] =
    ["false", "inf", "infinity", "n", "nan", "no", "null", "off", "on", "true", "y", "yes"];

/// Whether every YAML 1.1 and 1.2 reader takes these bare characters for text, also between
/// brackets. Narrow on purpose: what begins like a number, a date or an indicator is out.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins =
        bytes.first().is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'/' | b'_'));
    let ends = bytes.last().is_some_and(|last| !matches!(last, b' ' | b':'));
    begins
        && ends
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
        && bytes.iter().zip(bytes.iter().skip(1).chain([&b' '])).all(|(byte, next)| match byte {
            b':' => next.is_ascii_alphanumeric() || *next == b'/',
            b' ' => next.is_ascii_alphanumeric(),
            byte => byte.is_ascii_alphanumeric() || b"_./+=@-".contains(byte),
        })
}

/// A word as a map key or an item on one line, quoted where it could be taken for anything else.
pub(crate) fn key_text(word: &str) -> String {
    quoted_key(word, false)
}

/// A map key, quoted where it could be taken for anything but text, or `always`.
pub(super) fn quoted_key(key: &str, always: bool) -> String {
    if !always && is_plain(key) && !key.contains([' ', ':', '=', '@', '+']) {
        return key.to_owned();
    }
    let mut out = String::with_capacity(key.len() + 2);
    quote(&mut out, key);
    out
}

/// Double quotes as JSON has them, and escapes for what YAML takes for a line end or refuses.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            character => out.push(character),
        }
    }
    out.push('"');
}
