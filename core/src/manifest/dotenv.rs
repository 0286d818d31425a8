//! `.env` files.
//!
//! The common ground of the many readers, and an error where they differ: `KEY=value` lines, an
//! `export ` before the key, comments on their own line or behind a value (` #`), text in single
//! quotes as it stands, text in double quotes with `\n \r \t \\ \" \$`. Quoted text may span lines.
//! `$` is an ordinary character everywhere: nothing is expanded.

use thiserror::Error;
use zeroize::Zeroizing;

use super::ManifestError;
use crate::{Secret, seal::DataKey};

/// What is wrong in a line. Never says what stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvProblem {
    /// The key stood in an earlier line already.
    #[error("this key stands twice")]
    DuplicateKey,
    /// Something other than a comment follows the closing quote.
    #[error("nothing but a comment may follow the closing quote")]
    BehindQuote,
    /// A backslash that readers take differently.
    #[error(
        "only \\n \\r \\t \\\\ \\\" and \\$ may stand in double quotes; use single quotes for text as it is"
    )]
    Escape,
    /// The name before `=` cannot be a key of a Secret.
    #[error("expected KEY=VALUE, the key of letters, digits, '-', '_' and '.'")]
    Key,
    /// No `=`.
    #[error("expected KEY=VALUE")]
    NoEquals,
    /// The quote that opens here is never closed.
    #[error("the quote is never closed")]
    OpenQuote,
}

/// Reads an `.env` file, in the order of its lines.
pub fn dotenv(text: &str) -> Result<Vec<(DataKey, Secret)>, ManifestError> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    let mut values: Vec<(DataKey, Secret)> = Vec::new();
    while !rest.is_empty() {
        let wrong = |problem| ManifestError::Env { line, problem };
        let (entry, used) = entry(rest).map_err(wrong)?;
        if let Some((key, value)) = entry {
            if values.iter().any(|(other, _)| *other == key) {
                return Err(wrong(EnvProblem::DuplicateKey));
            }
            values.push((key, value));
        }
        let (read, more) = rest.split_at(used);
        line += read.matches('\n').count();
        rest = more;
    }
    Ok(values)
}

type Entry = (DataKey, Secret);

/// Reads what begins here up to the end of its last line.
fn entry(text: &str) -> Result<(Option<Entry>, usize), EnvProblem> {
    let end = text.find('\n').map_or(text.len(), |newline| newline + 1);
    let line = text[..end].trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok((None, end));
    }
    let equals = text[..end].find('=').ok_or(EnvProblem::NoEquals)?;
    let name = text[..equals].trim();
    let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name);
    let key: DataKey = name.trim().parse().map_err(|_| EnvProblem::Key)?;
    let start = equals + 1 + spaces(&text[equals + 1..]);
    let (value, used) = match text[start..].chars().next() {
        Some(quote @ ('\'' | '"')) => {
            quoted(&text[start + 1..], quote).map(|(value, used)| (value, start + 1 + used))?
        }
        _ => (bare(&text[start.min(end)..end]), end),
    };
    Ok((Some((key, value)), used))
}

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// Up to the line's end, or to a comment behind a space.
fn bare(line: &str) -> Secret {
    let comment = line.match_indices('#').find(|(at, _)| *at == 0 || line[..*at].ends_with([' ', '\t']));
    let text = line[..comment.map_or(line.len(), |(at, _)| at)].trim_end();
    Secret::new(text.as_bytes().to_vec())
}

/// What stands in quotes, and how many bytes it takes with the rest of its last line.
fn quoted(text: &str, quote: char) -> Result<(Secret, usize), EnvProblem> {
    let close = closing(text, quote).ok_or(EnvProblem::OpenQuote)?;
    let inner = &text[..close];
    let mut value = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut bytes = inner.bytes();
    while let Some(byte) = bytes.next() {
        value.push(match (byte, quote) {
            (b'\\', '"') => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(same @ (b'\\' | b'"' | b'$')) => same,
                _ => return Err(EnvProblem::Escape),
            },
            (byte, _) => byte,
        });
    }
    let behind = &text[close + 1..];
    let end = behind.find('\n').map_or(behind.len(), |newline| newline + 1);
    let tail = behind[..end].trim_end();
    let comment = tail.trim_start_matches([' ', '\t']);
    if !comment.is_empty() && (!comment.starts_with('#') || comment.len() == tail.len()) {
        return Err(EnvProblem::BehindQuote);
    }
    Ok((Secret::from(value), close + 1 + end))
}

/// The quote that closes; in double quotes, one behind a backslash does not.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let closes = character == quote && !escaped;
        escaped = quote == '"' && character == '\\' && !escaped;
        closes.then_some(at)
    })
}
