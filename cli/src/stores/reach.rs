//! Connections to stores of manifests, one for each store as long as a command looks at it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use waxwing_core::{
    external::{GrantError, Grants, StoreKind, StoreRef, plan::StoreFact},
    store::Failure,
};
use waxwing_crds::{ClusterSecretStoreSpec, LabelSelector, Reason, StoreProvider};
use waxwing_providers::{
    Broker, Place, Provider, Rules, connect,
    fetch::{Granted, Reached, Refused, Stores, is_dynamic},
};

use super::{Manifests, home, references::InManifests};
use crate::error::Result as Outcome;

/// The way to every store that manifests have.
pub(crate) struct Reach {
    manifests: Arc<Manifests>,
    operator_namespace: String,
    rules: Arc<Rules>,
    brokers: Mutex<BTreeMap<(String, StoreRef), Broker>>,
}

/// The stores that objects of one namespace can name.
pub(crate) struct InNamespace<'a> {
    reach: &'a Reach,
    namespace: &'a str,
}

/// What the loops of brokers run on. One thread waits for all of them.
pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl Reach {
    pub(crate) fn new(manifests: Manifests, options: &super::Options) -> Self {
        Self {
            manifests: Arc::new(manifests),
            operator_namespace: options.operator_namespace().to_owned(),
            rules: options.rules(),
            brokers: Mutex::default(),
        }
    }

    /// As objects of one namespace see it.
    pub(crate) fn within<'a>(&'a self, namespace: &'a str) -> InNamespace<'a> {
        InNamespace { reach: self, namespace }
    }

    /// The manifests.
    pub(crate) fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// The same as an operator would do it, to which a SecretStore is a stranger's.
    pub(crate) fn connect_as_operator(
        &self,
        namespace: &str,
        store: &StoreRef,
        provider: &StoreProvider,
    ) -> Result<Arc<dyn Provider>, Refused> {
        let place =
            Place { ambient: store.kind == StoreKind::ClusterSecretStore, ..self.place(namespace, store) };
        self.make(namespace, store, provider, &place)
    }

    /// Makes the provider of a store. `namespace` is empty for a ClusterSecretStore. Nobody is asked for anything yet.
    pub(crate) fn connect(
        &self,
        namespace: &str,
        store: &StoreRef,
        provider: &StoreProvider,
    ) -> Result<Arc<dyn Provider>, Refused> {
        if let Some((word, feature)) = missing_feature(provider) {
            let message = format!(
                "{store}: this build reaches no store of provider {word}; one that does: cargo install --locked --path cli --features {feature}"
            );
            return Err(Refused::new(Reason::NotSupportedByProvider, message));
        }
        self.make(namespace, store, provider, &self.place(namespace, store))
    }

    fn place(&self, namespace: &str, store: &StoreRef) -> Place {
        Place {
            namespace: (store.kind == StoreKind::SecretStore).then(|| namespace.to_owned()),
            store: store.to_string(),
            // Whoever runs this command acts as nobody but themselves.
            ambient: true,
            rules: Arc::clone(&self.rules),
        }
    }

    fn make(
        &self,
        namespace: &str,
        store: &StoreRef,
        provider: &StoreProvider,
        place: &Place,
    ) -> Result<Arc<dyn Provider>, Refused> {
        let references = InManifests {
            manifests: Arc::clone(&self.manifests),
            namespace: home(namespace, store, &self.operator_namespace).to_owned(),
        };
        let refused = |failure: Failure| Refused::of(store, &failure);
        connect(provider, place, Arc::new(references)).map_err(refused)
    }
}

impl InNamespace<'_> {
    /// Which store stands behind a name: another spec is another store.
    pub(crate) fn fact(&self, store: &StoreRef) -> StoreFact {
        let spec = self.spec(store).ok().and_then(|spec| serde_json::to_vec(spec).ok());
        let uid = spec.map(|spec| Sha256::digest(spec).iter().map(|byte| format!("{byte:02x}")).collect());
        StoreFact { store: store.clone(), uid: uid.unwrap_or_default(), generation: 0 }
    }

    /// Whether a store is a directory of this machine.
    pub(crate) fn is_directory(&self, store: &StoreRef) -> bool {
        self.spec(store).is_ok_and(|spec| spec.provider.file.is_some())
    }

    /// What a store grants. Where no manifest says which labels the namespace has, a grant by labels is nobody's.
    fn grants(&self, spec: &ClusterSecretStoreSpec) -> Result<Grants, GrantError> {
        let all = Grants::read(&spec.grants)?;
        if self.reach.manifests.labels(self.namespace).is_some() {
            return Ok(all);
        }
        let is_of_all = |selector: &LabelSelector| {
            selector.match_labels.iter().all(BTreeMap::is_empty)
                && selector.match_expressions.iter().all(Vec::is_empty)
        };
        let by_name = spec.grants.iter().cloned().filter_map(|mut grant| {
            grant.namespace_selector = grant.namespace_selector.filter(is_of_all);
            (!grant.namespaces.is_empty() || grant.namespace_selector.is_some()).then_some(grant)
        });
        Grants::read(&by_name.collect::<Vec<_>>())
    }

    fn key(&self, store: &StoreRef) -> (String, StoreRef) {
        let is_cluster = store.kind == StoreKind::ClusterSecretStore;
        (if is_cluster { String::new() } else { self.namespace.to_owned() }, store.clone())
    }

    fn spec(&self, store: &StoreRef) -> Result<&ClusterSecretStoreSpec, Refused> {
        match self.reach.manifests.stores.get(&self.key(store)).map(Vec::as_slice) {
            None | Some([]) => {
                let message = format!("no manifest here gives {store}");
                Err(Refused::new(Reason::StoreNotFound, message))
            }
            Some([found]) => found
                .spec
                .as_ref()
                .map_err(|what| Refused::new(Reason::InvalidStore, format!("{store}: {what}"))),
            Some(_) => {
                let message = format!("{store} stands more than once in the manifests");
                Err(Refused::new(Reason::InvalidStore, message))
            }
        }
    }
}

#[async_trait]
impl Stores for InNamespace<'_> {
    async fn reach(&self, store: &StoreRef) -> Result<Reached, Refused> {
        let (spec, key) = (self.spec(store)?, self.key(store));
        let grants = match store.kind {
            StoreKind::SecretStore => None,
            StoreKind::ClusterSecretStore => Some(
                self.grants(spec)
                    .map_err(|error| Refused::new(Reason::InvalidStore, format!("{store}: {error}")))?,
            ),
        };
        let mut brokers = self.reach.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = match brokers.get(&key) {
            Some(broker) => broker.clone(),
            None => {
                let provider = self.reach.connect(&key.0, store, &spec.provider)?;
                let broker = Broker::new(provider, Arc::new(()));
                brokers.insert(key, broker.clone());
                broker
            }
        };
        let granted = grants.map(|grants| Granted {
            grants,
            namespace: self.namespace.to_owned(),
            labels: self.reach.manifests.labels(self.namespace).cloned().unwrap_or_default(),
        });
        Ok(Reached { broker, dynamic: is_dynamic(&spec.provider), granted })
    }
}

/// The provider's word and the cargo feature that this build lacks for it.
pub(crate) fn missing_feature(provider: &StoreProvider) -> Option<(&'static str, &'static str)> {
    let StoreProvider { vault, aws, gcpsm, azurekv, kubernetes, file: _ } = provider;
    let lacks = [
        (vault.is_some() && cfg!(not(feature = "vault")), ("vault", "vault")),
        (aws.is_some() && cfg!(not(feature = "aws")), ("aws", "aws")),
        (gcpsm.is_some() && cfg!(not(feature = "gcp")), ("gcpsm", "gcp")),
        (azurekv.is_some() && cfg!(not(feature = "azure")), ("azurekv", "azure")),
        (kubernetes.is_some() && cfg!(not(feature = "kubernetes")), ("kubernetes", "kubernetes")),
    ];
    lacks.into_iter().find_map(|(lacks, names)| lacks.then_some(names))
}
