//! JSON in an entry, read where it lies: nothing is copied but the part that is taken out, and that into memory that is
//! wiped.
//!
//! `serde_json` finds the syntax errors and the borders of the parts, by borrowed raw values. It is never asked for a
//! `Value` or a `String` of what may be secret: both leave copies behind. Only names of fields become plain strings. Of
//! its errors nothing is taken but the position, because they quote what they found.

use std::fmt;

use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::Secret;

/// A JSON text that is known to parse.
#[derive(Clone, Copy)]
pub(super) struct Json<'a>(&'a str);

/// What is wrong with a JSON text. Positions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// One object has the same name twice, so what it means depends on who reads it.
    #[error("a JSON object has the same name twice")]
    Ambiguous,
    /// A `\u` escape that stands for no character.
    #[error("a JSON text has an escape that stands for no character")]
    Escape,
    /// Another kind of value stands where an object belongs.
    #[error("a JSON object belongs here, and there is another kind of value")]
    NotAnObject,
    /// It does not parse.
    #[error("the JSON does not parse, from line {line} column {column} on")]
    Syntax {
        /// In which line.
        line: usize,
        /// At which byte of it.
        column: usize,
    },
}

impl<'a> Json<'a> {
    /// Reads all of it once, so that no part can fail to parse later on.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, JsonFault> {
        match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(raw) => Ok(Self(raw.get())),
            Err(error) => Err(JsonFault::Syntax { line: error.line(), column: error.column() }),
        }
    }

    /// The fields of an object in their order.
    pub(super) fn fields(self) -> Result<Vec<(String, Self)>, JsonFault> {
        if !self.0.starts_with('{') {
            return Err(JsonFault::NotAnObject);
        }
        // It parses, so what can still be wrong is an escape in a name.
        let fields = serde_json::Deserializer::from_str(self.0).deserialize_map(Fields);
        let mut fields = fields.map_err(|_| JsonFault::Escape)?;
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(JsonFault::Ambiguous);
        }
        Ok(fields)
    }

    /// The elements of an array; none if it is something else.
    pub(super) fn elements(self) -> Option<Vec<Self>> {
        let raw = self.0.starts_with('[').then(|| serde_json::from_str::<Vec<&RawValue>>(self.0))?;
        Some(raw.ok()?.into_iter().map(|raw| Self(raw.get())).collect())
    }

    /// What a Secret gets of it: a string's content, nothing for `null`, and of all else the text without white space.
    pub(super) fn content(self) -> Result<Secret, JsonFault> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.0.len()));
        match self.0.strip_prefix('"') {
            Some(quoted) => unescape(quoted.strip_suffix('"').unwrap_or(quoted), &mut out)?,
            None if self.0 == "null" => {}
            None => self.write(&mut out),
        }
        Ok(Secret::from(out))
    }

    /// Appends the text without white space. The buffer must have room for [`Json::size`] bytes more.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let (mut quoted, mut escaped) = (false, false);
        for byte in self.0.bytes() {
            if quoted || !byte.is_ascii_whitespace() {
                out.push(byte);
            }
            quoted ^= byte == b'"' && !escaped;
            escaped = quoted && byte == b'\\' && !escaped;
        }
    }

    /// Bytes that the text takes at most.
    pub(super) fn size(self) -> usize {
        self.0.len()
    }
}

/// Says nothing: it is a value.
impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(JSON)")
    }
}

/// An object, with its values where they are.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, Json<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            fields.push((name, Json(value.get())));
        }
        Ok(fields)
    }
}

/// Takes the escapes out of what stands between two quotes. `out` must have room for as many bytes as `text` has.
fn unescape(mut text: &str, out: &mut Vec<u8>) -> Result<(), JsonFault> {
    while let Some((plain, rest)) = text.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let mut rest = rest.chars();
        let plain = match rest.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (c, after) = unicode(rest.as_str()).ok_or(JsonFault::Escape)?;
                rest = after.chars();
                c
            }
            Some(c) => c,
            None => return Err(JsonFault::Escape),
        };
        // At most 4 bytes, for 6 or 12 of the escape.
        out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
        text = rest.as_str();
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The character that the digits behind `\u` stand for, and what follows: a second escape can be its other half.
fn unicode(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let (high, rest) = (unit(text)?, &text[4..]);
    if let Some(c) = char::from_u32(high) {
        return Some((c, rest));
    }
    let rest = rest.strip_prefix("\\u")?;
    let low = unit(rest)?;
    let is_pair = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
    let c = is_pair.then(|| char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))??;
    Some((c, &rest[4..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(text: &str) -> Result<Vec<u8>, JsonFault> {
        Json::parse(text.as_bytes())?.content().map(|content| content.expose().to_vec())
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(content(text).map(String::from_utf8), Ok(Ok(expected.to_owned())), "{text}");
    }

    #[test]
    fn strings_give_their_content_and_all_else_its_compact_text() {
        check(r#" "plain" "#, "plain");
        check(r#""""#, "");
        check(r#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t");
        check(r#""\u00e9\u20AC\ud83d\ude00x\u0000""#, "é€😀x\0");
        check("null", "");
        check("true", "true");
        // Not by way of a float, which would make another number of it.
        check("12345678901234567890.10", "12345678901234567890.10");
        check("1E400", "1E400");
        check("{ \"b\" : [ 1 , \"x y\\\" z\\\\\" ] ,\n \"a\":null }", r#"{"b":[1,"x y\" z\\"],"a":null}"#);
    }

    #[test]
    fn half_of_a_pair_is_no_character() {
        for text in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\n""#, r#""\ud83d\u0041""#] {
            assert_eq!(content(text), Err(JsonFault::Escape), "{text}");
        }
        let json = Json::parse(br#"{"\ud800": 1}"#).unwrap();
        assert_eq!(json.fields().err(), Some(JsonFault::Escape));
    }

    #[test]
    fn what_does_not_parse_has_a_position() {
        let fault = |text: &[u8]| Json::parse(text).err();
        assert_eq!(fault(b"{\n  \"a\": oops}"), Some(JsonFault::Syntax { line: 2, column: 8 }));
        assert_eq!(fault(b""), Some(JsonFault::Syntax { line: 1, column: 0 }));
        assert_eq!(fault(b"1 2"), Some(JsonFault::Syntax { line: 1, column: 3 }));
        for text in [
            &b"\"\xff\""[..],
            b"{'a': 1}",
            b"{\"a\": 1,}",
            b"[1",
            b"\"a\nb\"",
            b"01",
            b"nul",
            b"\xef\xbb\xbf{}",
        ] {
            assert!(matches!(fault(text), Some(JsonFault::Syntax { .. })), "{text:?}");
        }
    }

    #[test]
    fn an_object_gives_its_fields_and_says_when_they_are_ambiguous() {
        let json = Json::parse(br#"{"b": {"c": 1}, "a\u002e": "x", "": []}"#).unwrap();
        let fields = json.fields().unwrap();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.0)).collect();
        assert_eq!(fields, [("", "[]"), ("a.", r#""x""#), ("b", r#"{"c": 1}"#)]);
        let fault = |text: &'static str| Json::parse(text.as_bytes()).unwrap().fields().err();
        assert_eq!(fault(r#"{"a": 1, "\u0061": 2}"#), Some(JsonFault::Ambiguous));
        for text in ["[]", "1", "\"{}\"", "null"] {
            assert_eq!(fault(text), Some(JsonFault::NotAnObject), "{text}");
        }
        assert!(json.elements().is_none());
        assert_eq!(Json::parse(b"[1, [2]]").unwrap().elements().map(|all| all.len()), Some(2));
    }

    #[test]
    fn a_deep_text_is_no_deep_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(&deep, &deep);
    }

    proptest! {
        #[test]
        fn it_reads_what_another_reader_reads(text in any::<String>(), number in any::<i64>()) {
            let value = serde_json::json!({"text": text, "list": [number, null, {"inner": text}]});
            for written in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
                let json = Json::parse(written.as_bytes()).unwrap();
                let plain = |json: Json<'_>| String::from_utf8(json.content().unwrap().expose().to_vec()).unwrap();
                prop_assert_eq!(plain(json), serde_json::to_string(&value).unwrap());
                let fields = json.fields().unwrap();
                prop_assert_eq!(&plain(fields[1].1), &text);
                let elements = fields[0].1.elements().unwrap();
                prop_assert_eq!(plain(elements[0]), number.to_string());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,0-9a\\\\ ud\n]{0,30}|.{0,40}") {
            if let Ok(json) = Json::parse(text.as_bytes()) {
                let _ = (json.content(), json.fields(), json.elements());
            }
        }
    }
}
