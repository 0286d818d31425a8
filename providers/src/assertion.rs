//! Tokens that we sign ourselves (RFC 7515 and 7519), by which an account says who it is without sending its key.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::SigningKey,
};
use serde_json::Value;
use zeroize::Zeroize as _;

/// An RSA private key.
pub(crate) struct Key(Arc<dyn SigningKey>);

/// There is no RSA private key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoKey;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PSS with SHA-256.
    #[cfg(feature = "azure")]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[cfg(feature = "gcp")]
    Rs256,
}

impl Key {
    /// The first private key of a PEM text, PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// When there is none, or it is not RSA's.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, NoKey> {
        let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| NoKey)?;
        let key = any_supported_type(&der);
        der.zeroize();
        let key = Self(key.map_err(|_| NoKey)?);
        // An elliptic key is a key, too.
        key.0.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).map(drop).ok_or(NoKey)?;
        Ok(key)
    }

    /// A token with these claims. The header is given without `alg` and `typ`.
    ///
    /// # Errors
    /// When the key is too small to sign with.
    pub(crate) fn token(
        &self,
        algorithm: Algorithm,
        mut header: Value,
        claims: &Value,
    ) -> Result<String, NoKey> {
        let (name, scheme) = match algorithm {
            #[cfg(feature = "azure")]
            Algorithm::Ps256 => ("PS256", SignatureScheme::RSA_PSS_SHA256),
            #[cfg(feature = "gcp")]
            Algorithm::Rs256 => ("RS256", SignatureScheme::RSA_PKCS1_SHA256),
        };
        header["alg"] = name.into();
        header["typ"] = "JWT".into();
        let mut token =
            [&header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signer = self.0.choose_scheme(&[scheme]).ok_or(NoKey)?;
        let signature = signer.sign(token.as_bytes()).map_err(|_| NoKey)?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_in_pem_cannot_sign() {
        for text in ["", "canary", "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"] {
            assert!(Key::from_pem(text.as_bytes()).is_err(), "{text}");
        }
    }
}
