//! The watches of stores and ExternalSecrets.

use std::sync::Arc;

use waxwing_core::external::StoreKind;

use super::Fills;
use crate::{
    context::Context,
    pull::{
        ClusterExternal, ClusterExternalRecord, ClusterStoreKind, ClusterStoreRecord, External,
        ExternalRecord, SecretStoreKind, SecretStoreRecord,
    },
    queue::Class,
    records::Incoming,
    store::{ObjectKey, Store},
};

/// The ExternalSecrets.
pub(super) struct ExternalSecrets(pub(super) Arc<Context>);

impl Fills for ExternalSecrets {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<External>;
    type Record = ExternalRecord;

    fn split(object: Incoming<External>) -> (ObjectKey, ExternalRecord) {
        object.into()
    }
    fn store(&self) -> &Store<ExternalRecord> {
        &self.0.pull.external
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        if let Some(record) = self.0.pull.external.get(key) {
            let spec = record.decode().spec.ok();
            let target = spec.and_then(|spec| spec.target?.name);
            self.0.pull.targets.set(key, target.as_deref().unwrap_or(key.name()));
        }
        self.0.look_external(key, if is_new { Class::New } else { Class::Changed });
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.0.look_cluster_external();
        self.0.forget_external(key);
    }
}

/// The ClusterExternalSecrets.
pub(super) struct ClusterExternalSecrets(pub(super) Arc<Context>);

impl Fills for ClusterExternalSecrets {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<ClusterExternal>;
    type Record = ClusterExternalRecord;

    fn split(object: Incoming<ClusterExternal>) -> (ObjectKey, ClusterExternalRecord) {
        object.into()
    }
    fn store(&self) -> &Store<ClusterExternalRecord> {
        &self.0.pull.cluster_external
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        if self.0.leadership.is_held() {
            let class = if is_new { Class::New } else { Class::Changed };
            self.0.pull.cluster_external_queue.add(key, class);
        }
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.0.pull.cluster_external_queue.forget(key);
    }
}

/// The SecretStores.
pub(super) struct SecretStores(pub(super) Arc<Context>);

impl Fills for SecretStores {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<SecretStoreKind>;
    type Record = SecretStoreRecord;

    fn split(object: Incoming<SecretStoreKind>) -> (ObjectKey, SecretStoreRecord) {
        object.into()
    }
    fn store(&self) -> &Store<SecretStoreRecord> {
        &self.0.pull.secret_stores
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        store_changed(&self.0, key, is_new);
    }
    fn gone(&self, key: &ObjectKey, uid: &str) {
        self.0.pull.forget_store(StoreKind::SecretStore, key, uid);
        store_changed(&self.0, key, false);
    }
}

/// The ClusterSecretStores.
pub(super) struct ClusterStores(pub(super) Arc<Context>);

impl Fills for ClusterStores {
    const MAY_LACK: bool = true;
    type Incoming = Incoming<ClusterStoreKind>;
    type Record = ClusterStoreRecord;

    fn split(object: Incoming<ClusterStoreKind>) -> (ObjectKey, ClusterStoreRecord) {
        object.into()
    }
    fn store(&self) -> &Store<ClusterStoreRecord> {
        &self.0.pull.cluster_stores
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        store_changed(&self.0, key, is_new);
    }
    fn gone(&self, key: &ObjectKey, uid: &str) {
        self.0.pull.forget_store(StoreKind::ClusterSecretStore, key, uid);
        store_changed(&self.0, key, false);
    }
}

/// A store that is new, changed or gone concerns all that read from it. A status is no change of a store, and whether
/// it is one is seen cheaply there: nothing is fetched where nothing has changed.
fn store_changed(ctx: &Context, key: &ObjectKey, is_new: bool) {
    ctx.look_store(key, if is_new { Class::New } else { Class::Changed });
    ctx.look_dependents(key);
}
