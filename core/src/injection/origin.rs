//! A document that somebody else makes, in a ConfigMap or a Secret.

use std::fmt;

use waxwing_crds::ConfigFrom;

use super::Fault;

/// Where a document lies, in the namespace of its injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What holds it.
    pub kind: OriginKind,
    /// The name of that.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// What can hold a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl Origin {
    /// # Errors
    /// Not exactly one of the two is named.
    pub(super) fn read(from: &ConfigFrom) -> Result<Self, Fault> {
        let (kind, key) = match (&from.config_map_key_ref, &from.secret_key_ref) {
            (Some(key), None) => (OriginKind::ConfigMap, key),
            (None, Some(key)) => (OriginKind::Secret, key),
            _ => return Err(Fault::spec("configFrom: set either configMapKeyRef or secretKeyRef")),
        };
        Ok(Self { kind, name: key.name.clone(), key: key.key.clone() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}, key {}", self.kind, self.name, self.key)
    }
}
