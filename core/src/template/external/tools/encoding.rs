//! Encodings and digests. They take any bytes, except `urlencode`.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use minijinja::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    Secret,
    template::{
        external::{
            Fault,
            run::{Run, collected},
        },
        percent_encoded,
    },
};

type Made = Result<Value, Fault>;

pub(super) fn b64encode(run: &Run, arguments: &[Value]) -> Made {
    encode(run, &arguments[0], &BASE64_STANDARD)
}

pub(super) fn b64url(run: &Run, arguments: &[Value]) -> Made {
    encode(run, &arguments[0], &BASE64_URL_SAFE_NO_PAD)
}

pub(super) fn b64decode(run: &Run, arguments: &[Value]) -> Made {
    run.made(decode(run.read(&arguments[0])?.bytes(), &STANDARD)?)
}

pub(super) fn b64urldecode(run: &Run, arguments: &[Value]) -> Made {
    run.made(decode(run.read(&arguments[0])?.bytes(), &URL)?)
}

/// The padding may be left out, as in JSON Web Tokens.
pub(super) const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD);
const URL: GeneralPurpose = engine(&alphabet::URL_SAFE);

const fn engine(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

fn encode(run: &Run, value: &Value, engine: &GeneralPurpose) -> Made {
    let content = run.read(value)?;
    let mut encoded = Zeroizing::new(vec![0; content.bytes().len().div_ceil(3) * 4]);
    let length = engine.encode_slice(content.bytes(), &mut encoded).map_err(|_| Fault::TooMuchWork)?;
    encoded.truncate(length);
    run.made(Secret::from(encoded))
}

/// White space is skipped: line breaks are common in base64 files.
pub(super) fn decode(bytes: &[u8], engine: &GeneralPurpose) -> Result<Secret, Fault> {
    let packed = collected(bytes.len(), bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
    let mut decoded = Zeroizing::new(vec![0; packed.len()]);
    let length = engine.decode_slice(&packed, &mut decoded).map_err(|_| Fault::NotBase64)?;
    decoded.truncate(length);
    Ok(Secret::from(decoded))
}

pub(super) fn hex(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    run.made(hex_of(content.bytes()))
}

pub(super) fn sha256(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    run.made(hex_of(&Sha256::digest(content.bytes())))
}

fn hex_of(bytes: &[u8]) -> Secret {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Secret::from(collected(bytes.len() * 2, digits.map(|digit| b"0123456789abcdef"[usize::from(digit)])))
}

pub(super) fn urlencode(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    let text = content.as_str()?;
    run.made(Secret::from(collected(text.len() * 3, percent_encoded(text.as_bytes()))))
}
