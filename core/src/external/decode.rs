//! `decodingStrategy`: values that are kept as base64.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use crate::Secret;

/// How a value is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoding {
    /// Whatever of the other two it is, and as it is when it is neither. A word of four letters is base64 too.
    Auto,
    /// Standard base64.
    Base64,
    /// Base64 for URLs.
    Base64Url,
    /// As it is.
    #[default]
    None,
}

/// A value is not what the resource says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBase64;

impl Decoding {
    /// The decoded value.
    pub(super) fn decode(self, value: Secret) -> Result<Secret, NotBase64> {
        match self {
            Self::None => Ok(value),
            Self::Base64 => decode(&STANDARD, &value, |byte| byte.is_ascii_whitespace()).ok_or(NotBase64),
            Self::Base64Url => decode(&URL, &value, |byte| byte.is_ascii_whitespace()).ok_or(NotBase64),
            Self::Auto => {
                let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
                let tried =
                    [&STRICT, &STRICT_URL].into_iter().find_map(|engine| decode(engine, &value, is_break));
                Ok(tried.unwrap_or(value))
            }
        }
    }
}

/// Decodes what is left without the bytes to skip.
fn decode(engine: &GeneralPurpose, value: &Secret, skip: fn(u8) -> bool) -> Option<Secret> {
    let mut packed = Zeroizing::new(Vec::with_capacity(value.len()));
    // Why exposed: it is what is to be decoded.
    packed.extend(value.expose().iter().copied().filter(|byte| !skip(*byte)));
    let mut decoded = Zeroizing::new(vec![0; packed.len()]);
    let length = engine.decode_slice(&packed, &mut decoded).ok()?;
    decoded.truncate(length);
    Some(Secret::from(decoded))
}

/// The padding may be left out.
const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD, DecodePaddingMode::Indifferent);
const URL: GeneralPurpose = engine(&alphabet::URL_SAFE, DecodePaddingMode::Indifferent);
/// The padding must be there: to guess, one wants all the evidence there is.
const STRICT: GeneralPurpose = engine(&alphabet::STANDARD, DecodePaddingMode::RequireCanonical);
const STRICT_URL: GeneralPurpose = engine(&alphabet::URL_SAFE, DecodePaddingMode::RequireCanonical);

/// Bits behind the last byte are ignored, as the neighbouring tools do.
const fn engine(alphabet: &alphabet::Alphabet, padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config.with_decode_padding_mode(padding))
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn decoded(decoding: Decoding, text: &[u8]) -> Option<Vec<u8>> {
        decoding.decode(Secret::new(text.to_vec())).ok().map(|value| value.expose().to_vec())
    }

    fn check(decoding: Decoding, text: &str, expected: Option<&[u8]>) {
        assert_eq!(decoded(decoding, text.as_bytes()).as_deref(), expected, "{decoding:?} {text}");
    }

    #[test]
    fn each_strategy_decodes_its_own_alphabet() {
        check(Decoding::Base64, "+/+/", Some(&[0xfb, 0xff, 0xbf]));
        check(Decoding::Base64, "-_-_", None);
        check(Decoding::Base64Url, "-_-_", Some(&[0xfb, 0xff, 0xbf]));
        check(Decoding::Base64Url, "+/+/", None);
        for text in ["+/+/", "-_-_"] {
            check(Decoding::Auto, text, Some(&[0xfb, 0xff, 0xbf]));
            check(Decoding::None, text, Some(text.as_bytes()));
        }
    }

    #[test]
    fn white_space_and_missing_padding_do_no_harm_where_it_is_sure_to_be_base64() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n", " aGVsbG8=\r\n"] {
            check(Decoding::Base64, text, Some(b"hello"));
            check(Decoding::Base64Url, text, Some(b"hello"));
        }
        check(Decoding::Base64, "", Some(b""));
        for text in ["a", "a===", "aGVsbG8==", "aGVs*G8=", "=", "aGVs=bG8"] {
            check(Decoding::Base64, text, None);
        }
    }

    #[test]
    fn auto_leaves_what_is_no_base64() {
        check(Decoding::Auto, "aGVs\r\nbG8=\n", Some(b"hello"));
        for text in ["aGVsbG8", "p@ssw0rd", "aGVs bG8=", "hunter2", "{\"a\": 1}", "a+b_", ""] {
            check(Decoding::Auto, text, Some(text.as_bytes()));
        }
        assert_eq!(decoded(Decoding::Auto, &[0, 159, 255]), Some(vec![0, 159, 255]));
    }

    proptest! {
        #[test]
        fn bytes_come_back_from_either_alphabet(bytes in any::<Vec<u8>>()) {
            let (standard, url) = (BASE64_STANDARD.encode(&bytes), BASE64_URL_SAFE.encode(&bytes));
            let short = BASE64_URL_SAFE_NO_PAD.encode(&bytes);
            for (decoding, text) in [
                (Decoding::Base64, &standard),
                (Decoding::Base64Url, &url),
                (Decoding::Base64Url, &short),
                (Decoding::Auto, &standard),
                (Decoding::Auto, &url),
            ] {
                prop_assert_eq!(decoded(decoding, text.as_bytes()), Some(bytes.clone()));
            }
            prop_assert_eq!(decoded(Decoding::None, &bytes), Some(bytes));
        }
    }
}
