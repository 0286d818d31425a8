//! What Secrets of the identity type hold. The operator and `waxwing keys` read and write them, and have to agree on which
//! of them can be used: a key that one of them counts and the other cannot open would be taken for safe.

use std::collections::BTreeMap;

use waxwing_crds::{ProtectionKind, WrappedBy, names};

use crate::keys::{Identity, Recipient};

/// What a Secret of the identity type holds.
#[derive(Clone)]
pub enum Stored {
    /// A private key as it is.
    Identity(Box<Identity>),
    /// One that only whoever may use a key of Vault's or AWS's can open.
    Wrapped(WrappedIdentity),
    /// Nothing that could be used.
    Malformed,
}

/// A wrapped identity as its Secret has it. Nothing of it is believed until it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrappedIdentity {
    /// Whose private half it is said to be.
    pub recipient: Recipient,
    /// By what.
    pub by: WrappedBy,
    /// What is wrapped.
    pub text: String,
}

/// The data of a Secret, decoded. A private key in it is not wiped: it is on its way to the API server.
pub type Data = BTreeMap<&'static str, Vec<u8>>;

impl Stored {
    /// Reads it; `value` gives that of a key of the Secret's data.
    pub fn read<'a>(value: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let found = match (value(names::IDENTITY_KEY), value(names::IDENTITY_WRAPPED)) {
            (Some(text), None) => read_identity(text).map(|identity| Self::Identity(Box::new(identity))),
            (None, Some(text)) => read_wrapped(text, value).map(Self::Wrapped),
            // One that is both is neither: nobody can say which of the two was meant.
            (Some(_), Some(_)) | (None, None) => None,
        };
        found.unwrap_or(Self::Malformed)
    }

    /// Whose private key it holds, or is said to.
    pub fn recipient(&self) -> Option<&Recipient> {
        match self {
            Self::Identity(identity) => Some(identity.recipient()),
            Self::Wrapped(wrapped) => Some(&wrapped.recipient),
            Self::Malformed => None,
        }
    }
}

fn read_identity(text: &[u8]) -> Option<Identity> {
    Identity::parse(std::str::from_utf8(text).ok()?).ok()
}

/// A wrapped identity, when all of it has its form.
fn read_wrapped<'a>(text: &[u8], value: impl Fn(&str) -> Option<&'a [u8]>) -> Option<WrappedIdentity> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    let recipient = std::str::from_utf8(value(names::IDENTITY_RECIPIENT)?).ok()?.parse().ok()?;
    let by: WrappedBy = serde_json::from_slice(value(names::IDENTITY_PROTECTION)?).ok()?;
    let is_wrapped = by.kind != ProtectionKind::None;
    is_wrapped.then(|| WrappedIdentity { recipient, by, text: text.to_owned() })
}

/// What a Secret holds that has an identity as it is.
pub fn data_of(identity: &Identity) -> Data {
    // Why exposed: such a Secret is where a private key is stored.
    [(names::IDENTITY_KEY, identity.to_text().expose().to_vec())].into()
}

impl WrappedIdentity {
    /// What a Secret holds that has it.
    pub fn data(&self) -> Data {
        let by = serde_json::to_vec(&self.by).expect("three texts can be written as JSON");
        [
            (names::IDENTITY_WRAPPED, self.text.clone().into_bytes()),
            (names::IDENTITY_RECIPIENT, self.recipient.to_string().into_bytes()),
            (names::IDENTITY_PROTECTION, by),
        ]
        .into()
    }
}
