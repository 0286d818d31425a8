//! Tokens, key names and envelope ids: parsing to one canonical spelling, and back.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{FORMAT, FormatError, limits, padding::padded_len};

/// Nonce and tag around the ciphertext.
pub(super) const OVERHEAD: usize = 12 + 16;

/// Name of one key of a Secret: `[-._a-zA-Z0-9]{1,253}`, not `.`, and not beginning with `..`.
///
/// The API server's own rule for Secret keys, so a key is also a safe file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKey(String);

impl DataKey {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DataKey {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let good = (1..=253).contains(&text.len())
            && text.bytes().all(allowed)
            && text != "."
            && !text.starts_with("..");
        if good { Ok(Self(text.to_owned())) } else { Err(FormatError::MalformedKeyName) }
    }
}

impl fmt::Display for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for DataKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Key of an envelope in `spec.envelopes`: the first five bytes of its commitment, in lower-case
/// base32 (RFC 4648 alphabet), eight characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeId([u8; 8]);

impl EnvelopeId {
    /// The id that a commitment gives its envelope.
    pub(super) fn of(commit: &[u8; 32]) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let bits = commit[..5].iter().fold(0_u64, |bits, &byte| (bits << 8) | u64::from(byte));
        // 40 bits are eight digits of five bits, the most significant first.
        let digit = |i: usize| ALPHABET[(bits >> (35 - 5 * i)) as usize & 31];
        Self(std::array::from_fn(digit))
    }

    /// The eight characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII is ever stored")
    }
}

impl FromStr for EnvelopeId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let digit = |b: &u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(b);
        match <[u8; 8]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(digit) => Ok(Self(bytes)),
            _ => Err(FormatError::MalformedEnvelopeId),
        }
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One sealed value: `wax1.ENVELOPE.SEQ.BLOB`, the blob base64url without padding of
/// `nonce || ciphertext || tag`. What parses prints to the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub(super) envelope: EnvelopeId,
    pub(super) seq: u64,
    pub(super) blob: Vec<u8>,
}

impl Token {
    /// The envelope whose data key opens it.
    pub fn envelope(&self) -> EnvelopeId {
        self.envelope
    }

    /// Its sequence number: unix seconds of the sealing act, or more.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Bytes of padded plaintext inside.
    pub(super) fn padded_len(&self) -> usize {
        self.blob.len() - OVERHEAD
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next().ok_or(TokenError);
        if next()? != FORMAT {
            return Err(TokenError);
        }
        let envelope = next()?.parse().map_err(|_| TokenError)?;
        let seq = canonical_seq(next()?).ok_or(TokenError)?;
        // The decoder refuses padding, other alphabets and non-zero trailing bits.
        let blob = BASE64_URL_SAFE_NO_PAD.decode(next()?).map_err(|_| TokenError)?;
        let padded = blob.len().checked_sub(OVERHEAD).ok_or(TokenError)?;
        // A size that no value pads to can't be canonical: refuse it before any cryptography.
        // (Sizes are fixed points of padding: 4 bytes of length prefix, then the rest.)
        if padded < 64 || padded_len(padded - 4) != padded {
            return Err(TokenError);
        }
        Ok(Self { envelope, seq, blob })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = BASE64_URL_SAFE_NO_PAD.encode(&self.blob);
        write!(f, "{FORMAT}.{}.{}.{blob}", self.envelope, self.seq)
    }
}

/// A token's text is not canonical. What it was is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical wax1 token")]
pub struct TokenError;

/// Decimal digits without a sign or leading zeros, below 2^53.
fn canonical_seq(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    let seq = canonical.then(|| text.parse::<u64>().ok()).flatten()?;
    (seq < limits::SEQ).then_some(seq)
}
