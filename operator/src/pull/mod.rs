//! Pulling values: the stores, what stands behind them, and the ExternalSecrets that read from them.
//!
//! A store is looked at when it, or what it refers to, changes: it is connected to and its state said. The same
//! connection then serves every ExternalSecret that names the store. When one that was in trouble is well again, all that
//! read from it are looked at.

pub(crate) mod cluster_external_secret;
pub(crate) mod external_secret;
pub(crate) mod fetch;
mod records;
pub(crate) mod references;
mod rollout;
pub(crate) mod secret_store;
pub(crate) mod stores;
mod targets;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;
use waxwing_core::external::{StoreKind, StoreRef, plan::Memory};
use waxwing_providers::{Clients, Rules};

use crate::{
    context::Context,
    memories::Memories,
    queue::{Class, Queue},
    store::{ObjectKey, Store},
};

pub(crate) use records::contains;
pub(crate) use records::{
    ClusterExternal, ClusterExternalRecord, ClusterStoreKind, ClusterStoreRecord, External, ExternalRecord,
    SecretStoreKind, SecretStoreRecord,
};
use targets::Targets;

/// The kinds, as labels and status name them.
pub(crate) const EXTERNAL_SECRET: &str = waxwing_core::external::plan::KIND;

/// What is known of stores and ExternalSecrets.
pub struct Pull {
    pub(crate) external: Store<ExternalRecord>,
    pub(crate) secret_stores: Store<SecretStoreRecord>,
    /// Their keys have no namespace.
    pub(crate) cluster_stores: Store<ClusterStoreRecord>,
    /// The ExternalSecrets that are to be looked at.
    pub(crate) queue: Queue,
    /// The stores that are to be looked at, of both kinds.
    pub(crate) stores_queue: Queue,
    pub(crate) cluster_external: Store<ClusterExternalRecord>,
    /// The ClusterExternalSecrets that are to be looked at.
    pub(crate) cluster_external_queue: Queue,
    pub(crate) memories: Memories<Memory>,
    /// Leases of objects that are gone.
    pub(crate) ended: (
        mpsc::UnboundedSender<external_secret::Ended>,
        tokio::sync::Mutex<mpsc::UnboundedReceiver<external_secret::Ended>>,
    ),
    /// Which ExternalSecrets give which Secret.
    pub(crate) targets: Targets,
    /// The labels of namespaces, for grants; empty where namespaces may not be watched.
    pub(crate) namespaces: RwLock<BTreeMap<String, BTreeMap<String, String>>>,
    /// Connections by the full identity that they were made with.
    clients: Clients,
    pub(crate) rules: Arc<Rules>,
    descriptions: stores::Descriptions,
    in_hand: stores::InHand,
}

impl Pull {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        let (ended, to_end) = mpsc::unbounded_channel();
        Self {
            external: Store::default(),
            secret_stores: Store::default(),
            cluster_stores: Store::default(),
            queue: Queue::new(),
            stores_queue: Queue::new(),
            cluster_external: Store::default(),
            cluster_external_queue: Queue::new(),
            memories: Memories::default(),
            ended: (ended, tokio::sync::Mutex::new(to_end)),
            targets: Targets::default(),
            namespaces: RwLock::default(),
            clients: Clients::default(),
            rules,
            descriptions: stores::Descriptions::default(),
            in_hand: stores::InHand::default(),
        }
    }

    /// A store is gone, and nobody acts by its login any more.
    pub(crate) fn forget_store(&self, kind: StoreKind, key: &ObjectKey, uid: &str) {
        self.descriptions.forget(key);
        self.clients.forget(kind, uid);
    }

    /// How many stores are connected to.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.clients.len()
    }

    /// The labels of a namespace, as far as they are known.
    pub(crate) fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(namespace).cloned().unwrap_or_default()
    }
}

impl Memories<Memory> {
    /// Seconds since the values were fetched that were fetched longest ago, of those that are fetched by time.
    pub(crate) fn oldest(&self, now: i64) -> i64 {
        let mut oldest = now;
        self.each(|_, memory| {
            if let Some(fetched) = memory.fetched.filter(|_| memory.by_time) {
                oldest = oldest.min(fetched);
            }
        });
        now - oldest
    }
}

/// Where a store is in the caches, for an object of this namespace.
fn store_key(namespace: &str, store: &StoreRef) -> ObjectKey {
    match store.kind {
        StoreKind::SecretStore => ObjectKey::new(namespace, &store.name),
        StoreKind::ClusterSecretStore => ObjectKey::new("", &store.name),
    }
}

impl Context {
    /// Puts an ExternalSecret into the queue, if this replica is the one that works.
    pub(crate) fn look_external(&self, key: &ObjectKey, class: Class) {
        if self.leadership.is_held() {
            self.pull.queue.add(key, class);
        }
    }

    /// Puts a store into the queue. One of the cluster has no namespace.
    pub(crate) fn look_store(&self, key: &ObjectKey, class: Class) {
        if self.leadership.is_held() {
            self.pull.stores_queue.add(key, class);
        }
    }

    /// Looks at every ClusterExternalSecret: what one depends on has changed, and there are few.
    pub(crate) fn look_cluster_external(&self) {
        if self.leadership.is_held() {
            let keys = self.pull.cluster_external.keys();
            keys.iter().for_each(|key| self.pull.cluster_external_queue.add(key, Class::Changed));
        }
    }

    /// Looks at every ExternalSecret that names this store.
    pub(crate) fn look_dependents(&self, store: &ObjectKey) {
        let mut dependents = Vec::new();
        self.pull.external.each(|key, record| {
            if record.names(key, store) {
                dependents.push(key.clone());
            }
        });
        dependents.iter().for_each(|key| self.look_external(key, Class::Changed));
        self.look_injections(|key, spec| {
            let is_near = store.namespace().is_empty() || store.namespace() == key.namespace();
            is_near && contains(spec, store.name())
        });
    }

    /// The labels of a namespace have changed, so what it is granted may have.
    pub(crate) fn look_namespace(&self, namespace: &str) {
        let keys = self.pull.external.keys();
        let there = keys.iter().filter(|key| key.namespace() == namespace);
        there.for_each(|key| self.look_external(key, Class::Changed));
        self.look_including();
        self.look_cluster_external();
    }

    /// A Secret has changed: whoever produces it looks at it, and so do the stores that read credentials from it.
    pub(crate) fn look_because_of_secret(&self, secret: &ObjectKey) {
        for key in self.pull.targets.of(secret) {
            self.look_external(&key, Class::Changed);
        }
        self.look_readers_of(secret);
    }

    /// The same without whoever produces it, where that is who has changed it: its write comes back as no news.
    pub(crate) fn look_readers_of(&self, secret: &ObjectKey) {
        let mut stores = Vec::new();
        self.pull.secret_stores.each(|key, record| {
            if key.namespace() == secret.namespace() && record.refers_to_secret(secret.name()) {
                stores.push(key.clone());
            }
        });
        if secret.namespace() == self.flags.operator_namespace {
            self.pull.cluster_stores.each(|key, record| {
                if record.refers_to_secret(secret.name()) {
                    stores.push(key.clone());
                }
            });
        }
        stores.iter().for_each(|key| self.look_store(key, Class::Changed));
        // A sidecar's Secrets have names that the spec only begins.
        let named =
            |spec: &str, end: &str| secret.name().strip_suffix(end).is_some_and(|name| contains(spec, name));
        self.look_injections(|key, spec| {
            key.namespace() == secret.namespace()
                && ["", "-alerting", "-datasources"].iter().any(|end| named(spec, end))
        });
        self.look_grafana_because_of(secret);
    }
}
