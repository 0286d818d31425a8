//! What is kept of stores and ExternalSecrets: as for SealedSecrets, JSON text that is decoded when it is looked at.

use waxwing_crds::{
    ClusterExternalSecret, ClusterExternalSecretSpec, ClusterExternalSecretStatus, ClusterSecretStore,
    ClusterSecretStoreSpec, Condition, ExternalSecret, ExternalSecretSpec, ExternalSecretStatus, SecretStore,
    SecretStoreSpec, SecretStoreStatus,
};

use crate::{
    records::{Incoming, ObjectRecord, Served},
    store::ObjectKey,
};

/// Marks ExternalSecrets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum External {}

/// Marks SecretStores.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecretStoreKind {}

/// Marks ClusterSecretStores.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClusterStoreKind {}

/// Marks ClusterExternalSecrets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClusterExternal {}

/// What is kept of a ClusterExternalSecret.
pub(crate) type ClusterExternalRecord = ObjectRecord<ClusterExternal>;
/// What is kept of an ExternalSecret.
pub(crate) type ExternalRecord = ObjectRecord<External>;
/// What is kept of a SecretStore.
pub(crate) type SecretStoreRecord = ObjectRecord<SecretStoreKind>;
/// What is kept of a ClusterSecretStore.
pub(crate) type ClusterStoreRecord = ObjectRecord<ClusterStoreKind>;
/// An ExternalSecret as it comes from the API server.
pub(crate) type IncomingExternal = Incoming<External>;

impl Served for External {
    type Crd = ExternalSecret;
    type Spec = ExternalSecretSpec;
    type Status = ExternalSecretStatus;
    const KIND: &'static str = super::EXTERNAL_SECRET;

    fn said(status: &ExternalSecretStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl Served for ClusterExternal {
    type Crd = ClusterExternalSecret;
    type Spec = ClusterExternalSecretSpec;
    type Status = ClusterExternalSecretStatus;
    const KIND: &'static str = waxwing_core::external::cluster::KIND;

    fn said(status: &ClusterExternalSecretStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl Served for SecretStoreKind {
    type Crd = SecretStore;
    type Spec = SecretStoreSpec;
    type Status = SecretStoreStatus;
    const KIND: &'static str = "SecretStore";

    fn said(status: &SecretStoreStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl Served for ClusterStoreKind {
    type Crd = ClusterSecretStore;
    type Spec = ClusterSecretStoreSpec;
    type Status = SecretStoreStatus;
    const KIND: &'static str = "ClusterSecretStore";

    fn said(status: &SecretStoreStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }
}

impl ExternalRecord {
    /// Whether the spec names this store somewhere. Read off the text: a name too many costs a look.
    pub(crate) fn names(&self, key: &ObjectKey, store: &ObjectKey) -> bool {
        let is_near = store.namespace().is_empty() || store.namespace() == key.namespace();
        is_near && contains(self.spec_json(), store.name())
    }

    /// The first remote key that the spec mentions; empty where it finds what it reads.
    pub(crate) fn reads_first(&self) -> String {
        let Ok(spec) = self.decode().spec else { return String::new() };
        let data = spec.data.into_iter().next().map(|data| data.remote_ref.key);
        let extract = || spec.data_from.into_iter().find_map(|from| from.extract).map(|remote| remote.key);
        data.or_else(extract).unwrap_or_default()
    }
}

impl<K: Served> ObjectRecord<K> {
    /// Whether the spec names this Secret somewhere. Read off the text: a name too many costs a look.
    pub(crate) fn refers_to_secret(&self, name: &str) -> bool {
        contains(self.spec_json(), name)
    }
}

/// Whether this is a whole JSON text in `json`. Names need no escapes.
pub(crate) fn contains(json: &str, name: &str) -> bool {
    json.match_indices(name).any(|(start, _)| {
        let bytes = json.as_bytes();
        let end = start + name.len();
        start > 0 && bytes.get(start - 1) == Some(&b'"') && bytes.get(end) == Some(&b'"')
    })
}
