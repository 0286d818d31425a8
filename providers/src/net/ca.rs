//! The certificate authorities that a store names.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use waxwing_core::store::{Failure, Kind};
use waxwing_crds::{CaProvider, CaProviderType};

use crate::References;

/// What a store's `caBundle` or `caProvider` says, in PEM. `None` when there is neither.
///
/// # Errors
/// `BadStore` when there are both, or what they hold has no certificate; `CredentialMissing` when it is not there.
pub(crate) async fn authorities(
    inline: Option<&str>,
    provider: Option<&CaProvider>,
    references: &dyn References,
) -> Result<Option<Vec<u8>>, Failure> {
    let provider = match (inline, provider) {
        (None, None) => return Ok(None),
        (Some(text), None) => return bundle(text).map(Some),
        (None, Some(provider)) => provider,
        (Some(_), Some(_)) => {
            return Err(Failure::new(Kind::BadStore, "set one of caBundle and caProvider").at("caProvider"));
        }
    };
    let key = provider.key.as_deref().unwrap_or("ca.crt");
    let (bytes, kind) = match provider.kind {
        CaProviderType::ConfigMap => {
            (references.config_map(&provider.name, key).await?.into_bytes(), "ConfigMap")
        }
        // A certificate is no secret.
        CaProviderType::Secret => (references.secret(&provider.name, key).await?.expose().to_vec(), "Secret"),
    };
    pem(bytes).map(Some).map_err(|failure| failure.at(format!("{kind} {}, key {key}", provider.name)))
}

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
