//! The two leaves: `{$secret: {name, key}}` and `{$store: {name, kind, key, property}}`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    external::{StoreKind, StoreRef},
    plan::is_object_name,
};

const SECRET: &str = "$secret";
const STORE: &str = "$store";

/// Where the value for a leaf comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Reference {
    /// A key of a Secret in the namespace of the document, whoever makes that Secret.
    Secret {
        /// The Secret.
        name: String,
        /// The key in it.
        key: String,
    },
    /// An entry of a store.
    Store {
        /// The store.
        store: StoreRef,
        /// The entry.
        key: String,
        /// A part of it, where it is JSON.
        property: Option<String>,
        /// A version of it; the newest where none is given.
        version: Option<String>,
    },
    /// A reference in a document of another namespace: an AlertReceiver's. Never read from a document.
    Of {
        /// That namespace.
        namespace: String,
        /// The reference.
        reference: Box<Reference>,
    },
}

/// Why an object with a `$` is no leaf. Never shows what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// It has other names beside.
    #[error("a reference stands alone: nothing may be written beside {SECRET} or {STORE}")]
    NotAlone,
    /// What `$secret` takes.
    #[error("{SECRET} takes name and key, both texts")]
    Secret,
    /// What `$store` takes.
    #[error("{STORE} takes name and key, and may take kind, property and version, all texts")]
    Store,
    /// Such a Secret or store can't exist.
    #[error("no Secret or store can have this name")]
    Name,
    /// Misspelt.
    #[error("names that begin with $ are references, and there are only {SECRET} and {STORE}")]
    Unknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSecret {
    name: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfStore {
    name: String,
    kind: Option<waxwing_crds::StoreKind>,
    key: String,
    property: Option<String>,
    version: Option<String>,
}

impl Reference {
    /// The leaf that an object is; none where it is an ordinary one.
    ///
    /// # Errors
    /// It begins like a leaf and is none: a misspelt reference is never passed on as it stands.
    pub(super) fn read(map: &Map<String, Value>) -> Result<Option<Self>, LeafError> {
        let Some(name) = map.keys().find(|name| name.starts_with('$')) else { return Ok(None) };
        let (SECRET | STORE) = name.as_str() else { return Err(LeafError::Unknown) };
        if map.len() > 1 {
            return Err(LeafError::NotAlone);
        }
        let body = &map[name];
        let reference = if name == SECRET {
            let OfSecret { name, key } = OfSecret::deserialize(body).map_err(|_| LeafError::Secret)?;
            Self::Secret { name, key }
        } else {
            let OfStore { name, kind, key, property, version } =
                OfStore::deserialize(body).map_err(|_| LeafError::Store)?;
            let kind = kind.map_or(StoreKind::SecretStore, StoreKind::from);
            Self::Store { store: StoreRef { kind, name }, key, property, version }
        };
        if is_object_name(reference.name()) { Ok(Some(reference)) } else { Err(LeafError::Name) }
    }

    /// The name of the Secret or the store.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Secret { name, .. } => name,
            Self::Store { store, .. } => &store.name,
            Self::Of { reference, .. } => reference.name(),
        }
    }

    /// The same in a document of another namespace.
    #[must_use]
    pub fn of(self, namespace: &str) -> Self {
        Self::Of { namespace: namespace.to_owned(), reference: Box::new(self) }
    }

    /// The namespace that it means, where its document is of `own`, and the reference there.
    #[must_use]
    pub fn within<'a>(&'a self, own: &'a str) -> (&'a str, &'a Self) {
        match self {
            Self::Of { namespace, reference } => reference.within(namespace),
            Self::Secret { .. } | Self::Store { .. } => (own, self),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { name, key } => write!(f, "Secret/{name}, key {key}"),
            Self::Store { store, key, property: None, .. } => write!(f, "{store}, entry {key}"),
            Self::Store { store, key, property: Some(property), .. } => {
                write!(f, "{store}, entry {key}, property {property}")
            }
            Self::Of { namespace, reference } => write!(f, "{reference} of namespace {namespace}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Option<Reference>, LeafError> {
        Reference::read(value.as_object().unwrap())
    }

    #[test]
    fn a_leaf_is_read_and_an_ordinary_object_is_none() {
        assert_eq!(read(json!({"name": "x"})), Ok(None));
        let secret = read(json!({"$secret": {"name": "smtp", "key": "password"}})).unwrap().unwrap();
        assert_eq!(secret, Reference::Secret { name: "smtp".into(), key: "password".into() });
        let store = read(
            json!({"$store": {"name": "v", "kind": "ClusterSecretStore", "key": "a/b", "property": "c"}}),
        );
        assert_eq!(store.unwrap().unwrap().to_string(), "ClusterSecretStore/v, entry a/b, property c");
    }

    /// A reference that matches nothing is an error, never skipped. Guard: `LeafError::Unknown`, and the unknown fields.
    #[test]
    fn what_looks_like_a_leaf_and_is_none_is_refused() {
        for (value, error) in [
            (json!({"$secrets": {"name": "a", "key": "k"}}), LeafError::Unknown),
            (json!({"$secret": {"name": "a", "key": "k"}, "other": 1}), LeafError::NotAlone),
            (json!({"$secret": {"name": "a"}}), LeafError::Secret),
            (json!({"$secret": {"name": "a", "key": "k", "namespace": "b"}}), LeafError::Secret),
            (json!({"$secret": "a/k"}), LeafError::Secret),
            (json!({"$store": {"name": "a", "key": "k", "kind": "Vault"}}), LeafError::Store),
            (json!({"$secret": {"name": "../a", "key": "k"}}), LeafError::Name),
        ] {
            assert_eq!(read(value), Err(error));
        }
    }
}
