//! `decodingStrategy`: values that are kept as base64.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use waxwing_crds::DecodingStrategy;
use zeroize::Zeroizing;

use crate::Secret;

/// A value is not what the resource says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBase64;

/// The decoded value. With `Auto` it is whatever it looks like, and as it is when that is nothing: a word of four letters
/// is base64 too.
pub(super) fn decode(strategy: DecodingStrategy, value: Secret) -> Result<Secret, NotBase64> {
    let is_space = |byte: u8| byte.is_ascii_whitespace();
    let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
    match strategy {
        DecodingStrategy::None => Ok(value),
        DecodingStrategy::Base64 => decoded(&STANDARD, &value, is_space).ok_or(NotBase64),
        DecodingStrategy::Base64Url => decoded(&URL, &value, is_space).ok_or(NotBase64),
        DecodingStrategy::Auto => {
            let either = [&STRICT, &STRICT_URL];
            Ok(either.into_iter().find_map(|engine| decoded(engine, &value, is_break)).unwrap_or(value))
        }
    }
}

/// Decodes what is left without the bytes to skip.
fn decoded(engine: &GeneralPurpose, value: &Secret, skip: fn(u8) -> bool) -> Option<Secret> {
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

    fn bytes(strategy: DecodingStrategy, text: &[u8]) -> Option<Vec<u8>> {
        decode(strategy, Secret::new(text.to_vec())).ok().map(|value| value.expose().to_vec())
    }

    fn check(strategy: DecodingStrategy, text: &str, expected: Option<&[u8]>) {
        assert_eq!(bytes(strategy, text.as_bytes()).as_deref(), expected, "{strategy:?} {text}");
    }

    #[test]
    fn each_strategy_decodes_its_own_alphabet() {
        check(DecodingStrategy::Base64, "+/+/", Some(&[0xfb, 0xff, 0xbf]));
        check(DecodingStrategy::Base64, "-_-_", None);
        check(DecodingStrategy::Base64Url, "-_-_", Some(&[0xfb, 0xff, 0xbf]));
        check(DecodingStrategy::Base64Url, "+/+/", None);
        for text in ["+/+/", "-_-_"] {
            check(DecodingStrategy::Auto, text, Some(&[0xfb, 0xff, 0xbf]));
            check(DecodingStrategy::None, text, Some(text.as_bytes()));
        }
    }

    #[test]
    fn white_space_and_missing_padding_do_no_harm_where_it_is_sure_to_be_base64() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n", " aGVsbG8=\r\n"] {
            check(DecodingStrategy::Base64, text, Some(b"hello"));
            check(DecodingStrategy::Base64Url, text, Some(b"hello"));
        }
        check(DecodingStrategy::Base64, "", Some(b""));
        for text in ["a", "a===", "aGVsbG8==", "aGVs*G8=", "=", "aGVs=bG8"] {
            check(DecodingStrategy::Base64, text, None);
        }
    }

    #[test]
    fn auto_leaves_what_is_no_base64() {
        check(DecodingStrategy::Auto, "aGVs\r\nbG8=\n", Some(b"hello"));
        for text in ["aGVsbG8", "p@ssw0rd", "aGVs bG8=", "hunter2", "{\"a\": 1}", "a+b_", ""] {
            check(DecodingStrategy::Auto, text, Some(text.as_bytes()));
        }
        assert_eq!(bytes(DecodingStrategy::Auto, &[0, 159, 255]), Some(vec![0, 159, 255]));
    }

    proptest! {
        #[test]
        fn bytes_come_back_from_either_alphabet(all in any::<Vec<u8>>()) {
            let (standard, url) = (BASE64_STANDARD.encode(&all), BASE64_URL_SAFE.encode(&all));
            let short = BASE64_URL_SAFE_NO_PAD.encode(&all);
            for (strategy, text) in [
                (DecodingStrategy::Base64, &standard),
                (DecodingStrategy::Base64Url, &url),
                (DecodingStrategy::Base64Url, &short),
                (DecodingStrategy::Auto, &standard),
                (DecodingStrategy::Auto, &url),
            ] {
                prop_assert_eq!(bytes(strategy, text.as_bytes()), Some(all.clone()));
            }
            prop_assert_eq!(bytes(DecodingStrategy::None, &all), Some(all));
        }
    }
}
