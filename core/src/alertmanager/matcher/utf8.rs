//! The syntax for any UTF-8 label name: strict, names and values quoted where they need it.

use std::{iter::Peekable, str::CharIndices};

use super::{Make, MatcherError, Operator, is_reserved};

/// Reads matchers separated by commas, with or without braces around them.
pub(super) fn parse<T>(text: &str, make: Make<T>) -> Result<Vec<T>, MatcherError> {
    let mut tokens =
        Tokens { text, characters: text.char_indices().peekable() }.all()?.into_iter().peekable();
    let has_brace = tokens.next_if(|token| *token == Token::Open).is_some();
    let mut matchers = Vec::new();
    while !matches!(tokens.peek(), None | Some(Token::Close)) {
        let Some(Token::Quoted(name) | Token::Unquoted(name)) = tokens.next() else {
            return Err(MatcherError::Name);
        };
        let Some(Token::Operator(operator)) = tokens.next() else { return Err(MatcherError::Operator) };
        let Some(Token::Quoted(value) | Token::Unquoted(value)) = tokens.next() else {
            return Err(MatcherError::Value);
        };
        matchers.push(make(name, operator, value)?);
        // One at the end is none too many.
        if tokens.next_if(|token| *token == Token::Comma).is_none()
            && !matches!(tokens.peek(), None | Some(Token::Close))
        {
            return Err(MatcherError::Comma);
        }
    }
    let has_end = tokens.next().is_some();
    if has_brace != has_end || tokens.next().is_some() {
        return Err(MatcherError::Brace);
    }
    Ok(matchers)
}

#[derive(PartialEq)]
enum Token {
    Close,
    Comma,
    Open,
    Operator(Operator),
    Quoted(String),
    Unquoted(String),
}

struct Tokens<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
}

impl Tokens<'_> {
    fn all(mut self) -> Result<Vec<Token>, MatcherError> {
        let mut tokens = Vec::new();
        while let Some((at, character)) = self.characters.next() {
            tokens.push(match character {
                '{' => Token::Open,
                '}' => Token::Close,
                ',' => Token::Comma,
                '=' if self.accept('~') => Token::Operator(Operator::Matches),
                '=' => Token::Operator(Operator::Equal),
                '!' if self.accept('=') => Token::Operator(Operator::NotEqual),
                '!' if self.accept('~') => Token::Operator(Operator::NotMatches),
                '!' => return Err(MatcherError::Operator),
                '"' => Token::Quoted(unquote(self.quoted(at + 1)?)?),
                _ if !is_reserved(character) => {
                    while self.characters.next_if(|(_, next)| !is_reserved(*next)).is_some() {}
                    let end = self.characters.peek().map_or(self.text.len(), |(end, _)| *end);
                    Token::Unquoted(self.text[at..end].to_owned())
                }
                _ if character.is_whitespace() => continue,
                _ => return Err(MatcherError::Format),
            });
        }
        Ok(tokens)
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.characters.next_if(|(_, character)| *character == wanted).is_some()
    }

    /// What stands up to the closing quote, escapes as they are.
    fn quoted(&mut self, start: usize) -> Result<&str, MatcherError> {
        let mut is_escaped = false;
        for (at, character) in self.characters.by_ref() {
            match character {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => return Ok(&self.text[start..at]),
                _ => {}
            }
        }
        Err(MatcherError::Quote)
    }
}

/// The escapes of a Go string in double quotes. Some give bytes, which have to be UTF-8 in the end.
fn unquote(text: &str) -> Result<String, MatcherError> {
    const WRONG: MatcherError = MatcherError::Escape;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '\n' {
            return Err(WRONG);
        }
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.chars().next().ok_or(WRONG)?;
        rest = &rest[escape.len_utf8()..];
        let mut number = |digits: usize, radix: u32| {
            let part =
                rest.get(..digits).filter(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let number = part.and_then(|part| u32::from_str_radix(part, radix).ok()).ok_or(WRONG)?;
            rest = &rest[digits..];
            Ok::<u32, MatcherError>(number)
        };
        match escape {
            'a' => bytes.push(0x07),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(0x0b),
            '\\' | '"' => bytes.push(escape as u8),
            'x' => bytes.push(u8::try_from(number(2, 16)?).map_err(|_| WRONG)?),
            '0'..='7' => {
                let value = u32::from(escape) - u32::from('0');
                bytes.push(u8::try_from(value * 64 + number(2, 8)?).map_err(|_| WRONG)?);
            }
            'u' | 'U' => {
                let code = number(if escape == 'u' { 4 } else { 8 }, 16)?;
                let character = char::from_u32(code).ok_or(WRONG)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(WRONG),
        }
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}
