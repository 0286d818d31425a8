//! The classic syntax: tolerant, and only for classic label names.

use super::{Make, MatcherError, Operator};

/// What Go's `\s` is.
const SPACE: [char; 5] = ['\t', '\n', '\x0c', '\r', ' '];

/// Reads matchers separated by commas, with or without braces around them.
pub(super) fn parse<T>(text: &str, make: Make<T>) -> Result<Vec<T>, MatcherError> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let mut parts = Vec::new();
    let mut start = 0;
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            ',' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            // Alertmanager's does not touch the escape here either.
            ',' => {}
            '"' if !is_escaped => is_quoted = !is_quoted,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    // A comma at the end is none too many.
    let last = text[start..].trim();
    parts.extend((!last.is_empty()).then_some(last));
    parts.into_iter().map(|part| one(part, make)).collect()
}

fn one<T>(text: &str, make: Make<T>) -> Result<T, MatcherError> {
    let text = text.trim_matches(SPACE);
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let end = text.find(|character| !is_name(character)).ok_or(MatcherError::Format)?;
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|character: char| character.is_ascii_digit()) {
        return Err(MatcherError::Format);
    }
    let rest = rest.trim_start_matches(SPACE);
    let operators = [Operator::Matches, Operator::Equal, Operator::NotEqual, Operator::NotMatches];
    let found =
        operators.into_iter().find_map(|operator| Some((operator, rest.strip_prefix(operator.as_str())?)));
    let (operator, value) = found.ok_or(MatcherError::Format)?;
    make(name.to_owned(), operator, unescape(value.trim_start_matches(SPACE))?)
}

/// A value, with a pair of double quotes around it or without.
fn unescape(text: &str) -> Result<String, MatcherError> {
    let (mut expects_quote, text) = match text.strip_prefix('"') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::with_capacity(text.len());
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        let is_last = at + 1 >= text.len();
        if is_escaped {
            is_escaped = false;
            match character {
                'n' => value.push('\n'),
                '"' | '\\' => value.push(character),
                _ => value.extend(['\\', character]),
            }
            continue;
        }
        match character {
            '\\' if !is_last => is_escaped = true,
            '"' if expects_quote && is_last => expects_quote = false,
            '"' => return Err(MatcherError::Quote),
            _ => value.push(character),
        }
    }
    if expects_quote { Err(MatcherError::Quote) } else { Ok(value) }
}
