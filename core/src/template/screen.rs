//! What a template may consist of, looked at before the engine compiles it: the engine folds constants while it
//! compiles, and there `"x" * 1000000000` costs memory before any fuel is counted.
//!
//! The screen reads strings, parentheses and delimiters by the engine's own rules and lets no other bracket through,
//! so the two agree on where an expression ends. The opaque objects of `text` hold even if they did not.

use super::{TemplateFault, limits};

/// Words of the expression language that compare, choose or test.
const REFUSED_WORDS: [&str; 7] = ["and", "else", "if", "in", "is", "not", "or"];

/// Refuses statements and operators; says in which line.
pub(super) fn check(source: &str) -> Result<(), (usize, TemplateFault)> {
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        rest = &rest[start + 1..];
        let line = |rest: &str| source[..source.len() - rest.len()].matches('\n').count() + 1;
        let at = |rest: &str, fault| (line(rest), fault);
        if let Some(comment) = rest.strip_prefix('#') {
            match comment.find("#}") {
                Some(end) => rest = &comment[end + 2..],
                None => return Err(at(rest, TemplateFault::Syntax)),
            }
        } else if rest.starts_with('%') {
            return Err(at(rest, TemplateFault::Statement));
        } else if let Some(inner) = rest.strip_prefix('{') {
            let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
            rest = expression(inner).map_err(|(rest, fault)| at(rest, fault))?;
        }
    }
    Ok(())
}

/// What follows the expression that `rest` begins with, or where the expression is refused.
fn expression(mut rest: &str) -> Result<&str, (&str, TemplateFault)> {
    let (mut depth, mut links) = (0_usize, 0_usize);
    loop {
        rest = rest.trim_ascii_start();
        if depth == 0 {
            let end = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if let Some(after) = end.strip_prefix("}}") {
                return Ok(after);
            }
        }
        let Some(c) = rest.chars().next() else {
            return Err((rest, TemplateFault::Syntax));
        };
        let taken = match c {
            '"' | '\'' => string_len(rest, c).ok_or((rest, TemplateFault::Syntax))?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                if REFUSED_WORDS.contains(&&rest[..len]) {
                    return Err((rest, TemplateFault::Operator));
                }
                len
            }
            '(' | '[' => {
                depth += 1;
                1
            }
            ')' | ']' => {
                depth = depth.checked_sub(1).ok_or((rest, TemplateFault::Syntax))?;
                1
            }
            // `=` names an argument; twice, it compares.
            '=' if !rest.starts_with("==") => 1,
            '0'..='9' | '|' | ',' | '.' => 1,
            '=' | '!' | '<' | '>' | '+' | '-' | '*' | '/' | '%' | '~' | ':' | '{' => {
                return Err((rest, TemplateFault::Operator));
            }
            _ => return Err((rest, TemplateFault::Syntax)),
        };
        // Every filter, field and index is one more level of the engine's recursion, which has no limit of its own.
        links += usize::from(matches!(c, '|' | '.' | '(' | '['));
        if links > limits::LINKS {
            return Err((rest, TemplateFault::TooDeep));
        }
        rest = &rest[taken..];
    }
}

/// Bytes of the quoted string that `text` begins with; a backslash takes the next character along.
fn string_len(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
