//! A template's tokens.

use super::{Fault, OPEN};

const CLOSE: &str = "}}";

/// A token. Texts and comments between actions matter only as far as there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Something between actions that is not only space.
    Text,
    /// `{{`
    Left,
    /// `}}`
    Right,
    Space,
    Assign,
    Declare,
    Pipe,
    /// The inside of a double-quoted or raw text.
    Quoted(&'a str),
    /// `'x'`, a number, `true`, `nil`: a value that no pipeline may go into.
    Value(Value),
    /// `$x`, with the dollar.
    Variable(&'a str),
    /// `.Field`
    Field,
    Word(&'a str),
    LeftParen,
    RightParen,
    Comma,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Bool,
    Dot,
    Nil,
    Number,
}

/// All tokens of a template.
pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(OPEN) {
        push_text(&rest[..open], &mut tokens);
        rest = &rest[open + OPEN.len()..];
        let mut inside = rest;
        if inside.starts_with('-') && inside[1..].starts_with(is_space) {
            inside = &inside[2..];
        }
        let trimmed;
        if let Some(comment) = inside.strip_prefix("/*") {
            let end = comment.find("*/").ok_or(Fault::Comment)?;
            (rest, trimmed) = close(&comment[end + 2..]).ok_or(Fault::Comment)?;
        } else {
            tokens.push(Token::Left);
            (rest, trimmed) = action(inside, &mut tokens)?;
            tokens.push(Token::Right);
        }
        if trimmed {
            rest = rest.trim_start_matches(is_space);
        }
    }
    push_text(rest, &mut tokens);
    Ok(tokens)
}

fn push_text(text: &str, tokens: &mut Vec<Token<'_>>) {
    if !text.trim().is_empty() {
        tokens.push(Token::Text);
    }
}

/// What comes behind `}}`, and whether space before it goes.
fn close(rest: &str) -> Option<(&str, bool)> {
    if let Some(rest) = rest.strip_prefix(CLOSE) {
        return Some((rest, false));
    }
    let rest = rest.strip_prefix(is_space)?.strip_prefix('-')?.strip_prefix(CLOSE)?;
    Some((rest, true))
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// Whether a word, field or variable may end before this.
fn is_end(rest: &str) -> bool {
    rest.is_empty()
        || rest.starts_with(is_space)
        || rest.starts_with(['.', ',', '|', ':', ')', '('])
        || rest.starts_with(CLOSE)
}

/// The tokens of one action, and what comes behind it.
fn action<'a>(mut rest: &'a str, tokens: &mut Vec<Token<'a>>) -> Result<(&'a str, bool), Fault> {
    let mut depth = 0_usize;
    loop {
        if let Some(end) = close(rest) {
            return if depth == 0 { Ok(end) } else { Err(Fault::Parenthesis) };
        }
        let first = rest.chars().next().ok_or(Fault::Unclosed)?;
        let (token, length) = match first {
            _ if is_space(first) => (Token::Space, spaces(rest)),
            '=' => (Token::Assign, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            ':' => return Err(Fault::Unexpected),
            '|' => (Token::Pipe, 1),
            ',' => (Token::Comma, 1),
            '(' => {
                depth += 1;
                (Token::LeftParen, 1)
            }
            ')' => {
                depth = depth.checked_sub(1).ok_or(Fault::Parenthesis)?;
                (Token::RightParen, 1)
            }
            '"' => {
                let length = quoted(rest, '"')?;
                unescape(&rest[1..length - 1], '"').ok_or(Fault::Escape)?;
                (Token::Quoted(&rest[1..length - 1]), length)
            }
            '`' => {
                let length = rest[1..].find('`').ok_or(Fault::Quote)? + 2;
                (Token::Quoted(&rest[1..length - 1]), length)
            }
            '\'' => {
                let length = quoted(rest, '\'')?;
                let characters = unescape(&rest[1..length - 1], '\'').ok_or(Fault::Escape)?;
                if characters != 1 {
                    return Err(Fault::Escape);
                }
                (Token::Value(Value::Number), length)
            }
            '$' => {
                let length = 1 + word(&rest[1..]);
                ends(&rest[length..])?;
                (Token::Variable(&rest[..length]), length)
            }
            '.' if !rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                let length = 1 + word(&rest[1..]);
                ends(&rest[length..])?;
                (if length == 1 { Token::Value(Value::Dot) } else { Token::Field }, length)
            }
            '.' | '+' | '-' | '0'..='9' => (Token::Value(Value::Number), number(rest)?),
            _ if is_word(first) => {
                let length = word(rest);
                ends(&rest[length..])?;
                let token = match &rest[..length] {
                    "true" | "false" => Token::Value(Value::Bool),
                    "nil" => Token::Value(Value::Nil),
                    word => Token::Word(word),
                };
                (token, length)
            }
            _ if first.is_ascii_graphic() && !matches!(first, '/' | '#') => (Token::Other, 1),
            _ => return Err(Fault::Character),
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

/// The length of a run of spaces; the last one belongs to a ` -}}` behind them.
fn spaces(rest: &str) -> usize {
    let length = rest.len() - rest.trim_start_matches(is_space).len();
    if length > 1 && rest[length..].starts_with("-}}") { length - 1 } else { length }
}

fn word(rest: &str) -> usize {
    rest.find(|character| !is_word(character)).unwrap_or(rest.len())
}

fn ends(rest: &str) -> Result<(), Fault> {
    if is_end(rest) { Ok(()) } else { Err(Fault::Character) }
}

/// The length of a quoted text with its quotes.
fn quoted(rest: &str, quote: char) -> Result<usize, Fault> {
    let mut characters = rest.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '\n' => return Err(Fault::Quote),
            '\\' if characters.next().is_none_or(|(_, next)| next == '\n') => return Err(Fault::Quote),
            _ if character == quote => return Ok(index + 1),
            _ => {}
        }
    }
    Err(Fault::Quote)
}

/// How many characters or bytes a quoted text stands for; `None` where an escape is none.
fn unescape(text: &str, quote: char) -> Option<usize> {
    let (mut rest, mut count) = (text, 0);
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        if first == '\\' {
            let digits = |from: usize, count: usize, radix: u32| {
                let digits = rest.get(from..from + count)?;
                let is_number = digits.chars().all(|digit| digit.is_digit(radix));
                if is_number { u32::from_str_radix(digits, radix).ok() } else { None }
            };
            length = match rest[1..].chars().next()? {
                'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => 2,
                character if character == quote => 2,
                'x' => digits(2, 2, 16).map(|_| 4)?,
                'u' => digits(2, 4, 16).and_then(char::from_u32).map(|_| 6)?,
                'U' => digits(2, 8, 16).and_then(char::from_u32).map(|_| 10)?,
                '0'..='7' => digits(1, 3, 8).filter(|byte| *byte < 256).map(|_| 4)?,
                _ => return None,
            };
        }
        rest = &rest[length..];
        count += 1;
    }
    Some(count)
}

/// The length of a number.
fn number(rest: &str) -> Result<usize, Fault> {
    let length = number_run(rest);
    let (text, behind) = rest.split_at(length);
    if behind.starts_with(['+', '-']) {
        // A complex number: its second half ends with i, and both are decimal.
        let length = length + number_run(behind);
        let imaginary = rest[text.len()..length].strip_suffix('i');
        let is_complex =
            is_decimal(text) && imaginary.is_some_and(is_decimal) && !rest[length..].starts_with(['+', '-']);
        return if is_complex { Ok(length) } else { Err(Fault::Number) };
    }
    if let Some(text) = text.strip_suffix('i') {
        return if is_decimal(text) { Ok(length) } else { Err(Fault::Number) };
    }
    let plain = text.trim_start_matches(['+', '-']).replace('_', "").to_ascii_lowercase();
    let whole = |digits: &str, radix| u64::from_str_radix(digits, radix).is_ok();
    let is_number = match plain.as_bytes() {
        [b'0', b'x', ..] if plain.contains(['.', 'p']) => is_hexadecimal_float(&plain[2..]),
        [b'0', b'x', ..] => whole(&plain[2..], 16),
        [b'0', b'o', ..] => whole(&plain[2..], 8),
        [b'0', b'b', ..] => whole(&plain[2..], 2),
        [b'0', _, ..] if plain.bytes().all(|byte| byte.is_ascii_digit()) => whole(&plain, 8),
        _ if plain.contains(['.', 'e']) => is_decimal(&plain),
        _ => whole(&plain, 10),
    };
    if is_number { Ok(length) } else { Err(Fault::Number) }
}

/// The length of what looks like a number: a sign goes on with it only at its begin and in its exponent.
fn number_run(rest: &str) -> usize {
    let is_hexadecimal = rest.trim_start_matches(['+', '-']).starts_with("0x");
    let exponent: &[char] = if is_hexadecimal { &['p', 'P'] } else { &['e', 'E'] };
    let belongs = |(index, character): (usize, char)| {
        let may_be_sign = index == 0 || rest[..index].ends_with(exponent);
        is_word(character) || character == '.' || matches!(character, '+' | '-') && may_be_sign
    };
    rest.char_indices().find(|at| !belongs(*at)).map_or(rest.len(), |(index, _)| index)
}

/// `1`, `-1.5`, `.5e3`
fn is_decimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-_".contains(&byte))
        && text.replace('_', "").parse::<f64>().is_ok_and(f64::is_finite)
}

/// `1.8p-3`, whose exponent is not optional.
fn is_hexadecimal_float(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once('p') else { return false };
    let digits = mantissa.replacen('.', "", 1);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && exponent.parse::<i16>().is_ok()
}
