//! Identities wrapped by a key of the transit engine. The key's versions are Vault's business: what is wrapped says its own.

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use std::sync::Arc;
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};
use waxwing_crds::{ProtectionKind, VaultTransit};
use zeroize::Zeroizing;

use super::{Vault, login::document, refusal, wire::At};
use crate::{
    References,
    connect::Place,
    protect::{self, Bond, Protector, Wrapped},
};

/// Makes the protector of a transit key. Nothing is sent and no Secret is read before it is first used.
///
/// # Errors
/// `BadStore` when the spec makes no sense, `EndpointRefused` when it may not name the server.
pub fn protector(
    spec: &VaultTransit,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Protector>, Failure> {
    if !is_key_name(&spec.key) {
        return Err(
            Failure::new(Kind::BadStore, "it is not the name of a transit key").at("vaultTransit.key")
        );
    }
    let vault = Vault::new(&spec.as_store(), place, references)?;
    let mount = vault.settings.mount.clone().unwrap_or_else(|| VaultTransit::DEFAULT_MOUNT.to_owned());
    Ok(Arc::new(Transit { vault, mount, key: spec.key.clone() }))
}

/// A key of one transit engine.
struct Transit {
    vault: Vault,
    mount: String,
    /// The key that wraps. What was wrapped by another one of the same engine says so.
    key: String,
}

#[async_trait]
impl Protector for Transit {
    fn kind(&self) -> ProtectionKind {
        ProtectionKind::VaultTransit
    }

    async fn wrap(&self, identity: &Secret, bond: &Bond) -> Result<Wrapped, Failure> {
        #[derive(Deserialize)]
        struct Data<'a> {
            ciphertext: &'a str,
        }
        // Why exposed: to be wrapped.
        let fields = [("plaintext", encoded(identity.expose())), associated(bond)];
        let path = format!("{}/encrypt/{}", self.mount, self.key);
        let answer = self.ask(&path, &fields).await?;
        let Data { ciphertext } = answer.data()?;
        Ok(Wrapped { key: self.key.clone(), text: ciphertext.to_owned() })
    }

    async fn unwrap(&self, wrapped: &Wrapped, bond: &Bond) -> Result<Secret, Failure> {
        #[derive(Deserialize)]
        struct Data<'a> {
            /// Base64, which JSON does not escape: it can be borrowed and leaves no copy.
            plaintext: &'a str,
        }
        if !is_key_name(&wrapped.key) {
            return Err(Failure::new(Kind::BadData, "it is not the name of a transit key"));
        }
        let fields = [("ciphertext", Secret::new(wrapped.text.clone().into_bytes())), associated(bond)];
        let path = format!("{}/decrypt/{}", self.mount, wrapped.key);
        let answer = self.ask(&path, &fields).await?;
        let Data { plaintext } = answer.data()?;
        let mut bytes = Zeroizing::new(vec![0; plaintext.len() / 4 * 3 + 3]);
        let length = BASE64_STANDARD.decode_slice(plaintext, &mut bytes).map_err(|_| answer.not_vault())?;
        bytes.truncate(length);
        Ok(Secret::from(bytes))
    }
}

impl Transit {
    async fn ask(&self, path: &str, fields: &[(&str, Secret)]) -> Result<super::answer::Answer, Failure> {
        let answer = protect::asked(|| async {
            let body = document(fields).ok_or(Failure::new(Kind::BadData, "what is wrapped is not text"))?;
            let answer = self.vault.ask(&At::post(path.to_owned(), body)).await?;
            if answer.is_ok() { Ok(answer) } else { Err(refusal::of_answer(&answer)) }
        });
        answer.await.map_err(|failure| super::placed(failure, || path.to_owned()))
    }
}

fn associated(bond: &Bond) -> (&'static str, Secret) {
    ("associated_data", encoded(bond.associated_data().as_bytes()))
}

/// As base64, in a vector that never moves.
fn encoded(bytes: &[u8]) -> Secret {
    let mut text = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
    let length = BASE64_STANDARD.encode_slice(bytes, &mut text).unwrap_or_default();
    text.truncate(length);
    Secret::from(text)
}

/// A name that Vault's engine takes; it stands in a path.
fn is_key_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = name.as_bytes();
    bytes.first().copied().is_some_and(is_word)
        && bytes.last().copied().is_some_and(is_word)
        && bytes.iter().all(|&byte| is_word(byte) || byte == b'-' || byte == b'.')
        && bytes.len() <= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_of_a_key_stands_in_no_path() {
        for good in ["waxwing", "a", "A-1.b_c"] {
            assert!(is_key_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../sys/seal", "a b", "-a", "a.", "a\n", &"a".repeat(129)] {
            assert!(!is_key_name(bad), "{bad}");
        }
    }

    #[test]
    fn text_is_encoded_as_base64() {
        for (bytes, text) in [(&b""[..], &b""[..]), (b"a", b"YQ=="), (b"abcd", b"YWJjZA==")] {
            assert_eq!(encoded(bytes).expose(), text);
        }
    }
}
