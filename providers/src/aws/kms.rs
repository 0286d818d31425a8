//! Identities wrapped by a symmetric KMS key. The request and the answer pass through the SDK's buffers, which are not wiped.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_kms::{Client, primitives::Blob};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};
use waxwing_crds::{AwsKms, ProtectionKind};

use super::{Access, login::Login};
use crate::{
    References,
    connect::Place,
    protect::{self, Bond, Protector, Wrapped},
};

/// Makes the protector of a KMS key. Nothing is sent and no Secret is read before it is first used.
///
/// # Errors
/// `BadStore` when the spec makes no sense, `EndpointRefused` when it may not name an endpoint.
pub fn protector(
    spec: &AwsKms,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Protector>, Failure> {
    let Access { client, login } = Access::of(&spec.as_store(), place, references)?;
    Ok(Arc::new(Kms { client: Client::new(&client), login, key: spec.key_id.clone() }))
}

/// A key, and who may use it.
struct Kms {
    client: Client,
    login: Arc<Login>,
    /// The key that wraps, as the spec names it.
    key: String,
}

#[async_trait]
impl Protector for Kms {
    fn kind(&self) -> ProtectionKind {
        ProtectionKind::AwsKms
    }

    async fn wrap(&self, identity: &Secret, bond: &Bond) -> Result<Wrapped, Failure> {
        let mut request = self
            .client
            .encrypt()
            .key_id(&self.key)
            // Why exposed: to be wrapped.
            .plaintext(Blob::new(identity.expose()));
        for (name, value) in bond.context() {
            request = request.encryption_context(name, value);
        }
        let answer = protect::asked(|| self.login.ask(|| request.clone().send())).await;
        let answer = answer.map_err(|failure| told(failure, &self.key))?;
        let (Some(bytes), Some(key)) = (answer.ciphertext_blob, answer.key_id) else { return Err(UNCLEAR) };
        // An alias may be moved to another key: what is written down is the key itself.
        Ok(Wrapped { key, text: BASE64_STANDARD.encode(bytes.into_inner()) })
    }

    async fn unwrap(&self, wrapped: &Wrapped, bond: &Bond) -> Result<Secret, Failure> {
        let bytes = BASE64_STANDARD
            .decode(&wrapped.text)
            .map_err(|_| Failure::new(Kind::BadData, "what is wrapped is not base64"))?;
        // The key is always said: without it AWS would take whatever key the bytes name, of any account.
        let mut request = self.client.decrypt().key_id(&wrapped.key).ciphertext_blob(Blob::new(bytes));
        for (name, value) in bond.context() {
            request = request.encryption_context(name, value);
        }
        let answer = protect::asked(|| self.login.ask(|| request.clone().send())).await;
        let answer = answer.map_err(|failure| told(failure, &wrapped.key))?;
        Ok(Secret::new(answer.plaintext.ok_or(UNCLEAR)?.into_inner()))
    }
}

/// Which key a failure is about, and what its policies have to allow.
fn told(failure: Failure, key: &str) -> Failure {
    let failure = match failure.kind {
        Kind::Forbidden if failure.what != DISABLED => Failure { what: FORBIDDEN, ..failure },
        _ => failure,
    };
    if failure.place.is_none() { failure.at(key) } else { failure }
}

pub(super) const DISABLED: &str = "the KMS key is disabled, or about to be deleted";
const FORBIDDEN: &str = "the policies of the KMS key and of whoever uses it have to allow kms:Encrypt and kms:Decrypt with this \
                         encryption context";
const UNCLEAR: Failure = Failure::new(Kind::Unavailable, "the answer of AWS KMS lacks what was asked for");
