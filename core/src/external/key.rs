//! Remote keys that may be asked for.
//!
//! Providers put a key into a URL, a path or a request. A key that climbs, that has an empty step, or that becomes such a
//! one when somebody decodes it once more, means another entry to the provider than to whoever granted it.

/// What is wrong with a remote key or path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Control characters.
    #[error("it has control characters")]
    Control,
    /// `.` or `..` between slashes, plainly or percent-encoded.
    #[error("it has a step of dots")]
    Dots,
    /// Two slashes in a row, or one at the end.
    #[error("it has an empty step")]
    EmptyStep,
    /// Percent-encoded again and again.
    #[error("it is percent-encoded more than {DECODED} times over")]
    Encoded,
    /// White space at an end.
    #[error("it begins or ends with white space")]
    Space,
    /// Too long.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
}

/// Whether a store may be asked for this key. One slash at its start is a part of it.
///
/// # Errors
/// The first thing wrong with it.
pub fn check_key(key: &str) -> Result<(), KeyFault> {
    if key.is_empty() {
        return Err(KeyFault::Empty);
    }
    if key.len() > LONGEST {
        return Err(KeyFault::TooLong);
    }
    if key.trim() != key {
        return Err(KeyFault::Space);
    }
    check_steps(key)?;
    // It must be harmless however often somebody decodes it.
    let mut text = key.as_bytes().to_vec();
    for _ in 0..=DECODED {
        let Some(decoded) = percent_decoded(&text) else {
            return Ok(());
        };
        // What is not UTF-8 has no other steps than its ASCII part.
        check_steps(&String::from_utf8_lossy(&decoded))?;
        text = decoded;
    }
    Err(KeyFault::Encoded)
}

/// Whether a store may be asked for what lies below this path, which may end with a slash.
///
/// # Errors
/// The first thing wrong with it.
pub fn check_path(path: &str) -> Result<(), KeyFault> {
    match path.strip_suffix('/') {
        Some("") => Ok(()),
        Some(path) => check_key(path),
        None => check_key(path),
    }
}

fn check_steps(text: &str) -> Result<(), KeyFault> {
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(KeyFault::Control);
    }
    let steps = text.strip_prefix('/').unwrap_or(text);
    for step in steps.split(['/', '\\']) {
        match step.trim() {
            "" => return Err(KeyFault::EmptyStep),
            "." | ".." => return Err(KeyFault::Dots),
            _ => {}
        }
    }
    Ok(())
}

/// Line and paragraph separators, marks of direction, and what has no width: two keys that look the same would differ.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text with every `%xx` taken for its byte; none if it has no such.
pub(super) fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let (mut at, mut any) = (0, false);
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                (at, any) = (at + 3, true);
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    any.then_some(decoded)
}

/// Bytes of a key: more than any provider takes.
const LONGEST: usize = 2048;
/// How often a key is decoded to look at what it would become.
const DECODED: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(key: &str, expected: Option<KeyFault>) {
        assert_eq!(check_key(key).err(), expected, "{key:?}");
    }

    #[test]
    fn keys_of_every_provider_are_taken() {
        for key in [
            "db",
            "team-a/db/password",
            "/prod/db/password",
            "/prod/db:3",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:team/db-AbCdEf",
            "projects/1/secrets/a",
            "cert/my-cert",
            "a.b/..c/d../.e",
            "user@example.com/100%",
            "a b/ü",
            "user%40host",
        ] {
            check(key, None);
            assert_eq!(check_path(&format!("{key}/")), Ok(()), "{key}");
        }
        assert_eq!(check_path("/"), Ok(()));
        check(&"k".repeat(2048), None);
    }

    /// K05. Guard: `check_steps` and its being asked of every decoded form.
    #[test]
    fn keys_that_could_mean_another_entry_are_refused() {
        for key in [
            "..",
            ".",
            "../x",
            "a/../b",
            "a/..",
            "a/./b",
            "/..",
            "a/%2e%2e/b",
            "a/%2E./b",
            "a%2f..%2fb",
            "a/%252e%252e/b",
            "a/%25252e%25252e/b",
            "a\\..\\b",
            "a%5c..%5cb",
            "a/ .. /b",
            "a/..%20/b",
            "%ff/%2e%2e/b",
        ] {
            check(key, Some(KeyFault::Dots));
        }
        for key in ["a//b", "//a", "a/", "/", "a%2f%2fb", "a\\\\b", "a/%20/b", "\\", "a/b%2f"] {
            check(key, Some(KeyFault::EmptyStep));
        }
        for key in [
            "a\nb",
            "a\0",
            "a%00b",
            "a%0d%0aHost: x",
            "a%250ab",
            "\u{7f}",
            "a\u{202e}b",
            "a\u{200b}",
            "\u{feff}a",
        ] {
            check(key, Some(KeyFault::Control));
        }
        for key in [" a", "a ", "a\n", "\u{3000}a"] {
            check(key, Some(KeyFault::Space));
        }
        check("", Some(KeyFault::Empty));
        check(&"k".repeat(2049), Some(KeyFault::TooLong));
        check("%2525252525", Some(KeyFault::Encoded));
        check("%252525252", None);
        assert_eq!(check_path("a//"), Err(KeyFault::EmptyStep));
        assert_eq!(check_path(""), Err(KeyFault::Empty));
        assert_eq!(check_path("../"), Err(KeyFault::Dots));
    }

    proptest! {
        #[test]
        fn what_is_taken_climbs_nowhere_however_often_it_is_decoded(key in "(\\.|/|\\\\|%|2|5|e|E|f|c|a){1,14}") {
            if check_key(&key).is_ok() {
                let mut text = key.clone().into_bytes();
                loop {
                    let plain = String::from_utf8_lossy(&text).into_owned();
                    let plain = plain.strip_prefix('/').unwrap_or(&plain);
                    prop_assert!(plain.split(['/', '\\']).all(|step| !["", ".", ".."].contains(&step)), "{key}");
                    match percent_decoded(&text) {
                        Some(decoded) => text = decoded,
                        None => break,
                    }
                }
            }
        }
    }
}
