//! The certificate authorities that a store names.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use waxwing_core::store::{Failure, Kind};

/// A `caBundle`: PEM in base64, as the neighbour writes it. PEM as it is means the same.
///
/// # Errors
/// `BadStore` when it is neither.
pub(crate) fn bundle(text: &str) -> Result<Vec<u8>, Failure> {
    if text.contains(BEGIN) {
        return pem(text.as_bytes().to_vec());
    }
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let decoded = BASE64_STANDARD
        .decode(packed)
        .map_err(|_| Failure::new(Kind::BadStore, "it is neither PEM nor base64 of it").at("caBundle"))?;
    pem(decoded).map_err(|failure| failure.at("caBundle"))
}

/// Bytes that have a certificate in PEM.
///
/// # Errors
/// `BadStore` when they have none.
pub(crate) fn pem(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes()) {
        Ok(bytes)
    } else {
        Err(Failure::new(Kind::BadStore, "it has no certificate in PEM"))
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
