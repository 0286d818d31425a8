//! The private keys of a ring that can be had now: from Secrets that hold them as they are, or opened by the rights of
//! whoever runs this. A Secret that only says to hold one, and that nobody opens, is worth nothing.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::{
    identity_secret::{Stored, WrappedIdentity},
    keys::{Identity, Recipient},
};

use crate::{
    cluster::keys::IdentitySecret,
    error::{Failure, Result},
};

/// What can be had, and what can't.
#[derive(Default)]
pub(super) struct PrivateKeys {
    /// The identities.
    pub(super) had: BTreeMap<Recipient, Identity>,
    /// Why others, which are wrapped, can't be had; the first reason of each.
    pub(super) refused: BTreeMap<Recipient, Failure>,
}

impl PrivateKeys {
    /// Takes those that are wanted. `open` is asked for the wrapped ones of which there is no other Secret.
    pub(super) fn of(
        secrets: &[IdentitySecret],
        is_wanted: &dyn Fn(&Recipient) -> bool,
        open: &mut dyn FnMut(&WrappedIdentity) -> Result<Identity>,
    ) -> Self {
        let mut all = Self::default();
        for secret in secrets {
            if let Stored::Identity(identity) = &secret.stored {
                all.had.insert(identity.recipient().clone(), (**identity).clone());
            }
        }
        all.had.retain(|recipient, _| is_wanted(recipient));
        // Afterwards: what wraps one may be gone, and the same key lie beside it as it is.
        for secret in secrets {
            let Stored::Wrapped(wrapped) = &secret.stored else { continue };
            let recipient = &wrapped.recipient;
            if !is_wanted(recipient) || all.had.contains_key(recipient) {
                continue;
            }
            match open(wrapped) {
                Ok(identity) => drop(all.had.insert(recipient.clone(), identity)),
                Err(failure) => {
                    let failure = failure.at(format!("Secret {}", secret.name));
                    all.refused.entry(recipient.clone()).or_insert(failure);
                }
            }
        }
        let Self { had, refused } = &mut all;
        refused.retain(|recipient, _| !had.contains_key(recipient));
        all
    }

    /// Whose they are.
    pub(super) fn recipients(&self) -> BTreeSet<Recipient> {
        self.had.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{ByteString, api::core::v1::Secret};
    use serde_json::json;
    use waxwing_core::identity_secret;
    use waxwing_crds::names;

    use super::*;

    fn secret(name: &str, data: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> IdentitySecret {
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect();
        let mut secret = Secret { data: Some(data), ..Secret::default() };
        secret.metadata.name = Some(name.to_owned());
        IdentitySecret::of(secret, "default")
    }

    fn wrapped(name: &str, identity: &Identity, ring: &str) -> IdentitySecret {
        let by = json!({"kind": "VaultTransit", "key": "waxwing", "ring": ring});
        secret(
            name,
            [
                (names::IDENTITY_WRAPPED, b"vault:v1:x".to_vec()),
                (names::IDENTITY_RECIPIENT, identity.recipient().to_string().into_bytes()),
                (names::IDENTITY_PROTECTION, by.to_string().into_bytes()),
            ],
        )
    }

    /// K34. Guard: `of` counts a wrapped one only when it was opened, and none that was wrapped for another ring.
    #[test]
    fn what_is_wrapped_and_can_not_be_opened_is_not_had_and_keeps_nothing_else_from_being_had() {
        let keys = [(); 4].map(|()| Identity::generate());
        let [beside, opened, lost, foreign] = &keys;
        // In the order of names a lost one comes first.
        let secrets = [
            wrapped("a", beside, "default"),
            secret("a-restored", identity_secret::data_of(beside)),
            wrapped("b", lost, "default"),
            wrapped("c", opened, "default"),
            wrapped("d", foreign, "payments"),
        ];
        let mut asked = Vec::new();
        let mut open = |wrapped: &WrappedIdentity| {
            asked.push(wrapped.recipient.clone());
            match wrapped.recipient == *opened.recipient() {
                true => Ok(opened.clone()),
                false => Err(Failure::new("the server is gone")),
            }
        };
        let all = PrivateKeys::of(&secrets, &|_| true, &mut open);
        assert_eq!(all.recipients(), [beside, opened].map(|key| key.recipient().clone()).into());
        assert_eq!(all.refused.keys().collect::<Vec<_>>(), [lost.recipient()]);
        assert_eq!(all.refused[lost.recipient()].to_string(), "Secret b: the server is gone");
        assert_eq!(
            asked,
            [lost, opened].map(|key| key.recipient().clone()),
            "nobody is asked for the others"
        );
        let none = PrivateKeys::of(&secrets, &|_| false, &mut |_| panic!("nobody is asked"));
        assert!(none.had.is_empty() && none.refused.is_empty());
    }
}
