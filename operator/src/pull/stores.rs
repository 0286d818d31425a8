//! From a store's name to a connection, or to the reason why there is none.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use waxwing_core::external::{Ask, Grants, Need, StoreKind, StoreRef};
use waxwing_core::store::{Failure, Kind};
use waxwing_crds::{Reason, StoreProvider, VaultEngine};
use waxwing_providers::{
    Broker, Place, References,
    broker::{Call, Observer},
    identity::{ClientKey, Version},
};

use super::{references::InNamespace, store_key};
use crate::{
    context::Context,
    metrics::Metrics,
    store::{ObjectKey, Record},
};

/// Why a store gives nothing, in words that are safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// Whether another store may be asked instead.
    pub(crate) outage: bool,
    /// Whether the provider has said positively that the entry does not exist.
    pub(crate) missing: bool,
}

impl Refused {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), outage: false, missing: false }
    }

    /// A provider's failure, at a store.
    pub(crate) fn of(store: &impl fmt::Display, failure: &Failure) -> Self {
        Self {
            reason: failure.reason(),
            message: format!("{store}: {failure}"),
            outage: failure.kind.is_outage(),
            missing: failure.kind == Kind::EntryMissing,
        }
    }
}

/// A store as it is: what it is called, what it holds and where its references lie.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) store: StoreRef,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) provider: StoreProvider,
    /// For a ClusterSecretStore: what it grants.
    pub(crate) grants: Option<Grants>,
}

/// A store that can be asked.
#[derive(Clone)]
pub(crate) struct Reached {
    pub(crate) broker: Broker,
    /// Whether what it gives belongs to one object each.
    pub(crate) dynamic: bool,
    described: Arc<Described>,
}

impl Reached {
    /// Whether the store lets this namespace ask this.
    pub(crate) fn permits(&self, ctx: &Context, namespace: &str, need: &Need) -> bool {
        let grants = self.described.grants.as_ref();
        grants.is_none_or(|grants| grants.permits(namespace, &ctx.pull.labels_of(namespace), &need.ask))
    }

    /// Whether it lets this namespace read an entry that was found.
    pub(crate) fn permits_key(&self, ctx: &Context, namespace: &str, key: &str) -> bool {
        let grants = self.described.grants.as_ref();
        grants.is_none_or(|grants| grants.permits_key(namespace, &ctx.pull.labels_of(namespace), key))
    }

    /// What to ask in the place of this need.
    pub(crate) fn ask(&self, need: &Need, uid: &str) -> Ask {
        if self.dynamic { need.clone().of_consumer(uid).ask } else { need.ask.clone() }
    }
}

/// What the store of this name says, for an object in this namespace.
pub(crate) fn describe(ctx: &Context, namespace: &str, store: &StoreRef) -> Result<Described, Refused> {
    let key = store_key(namespace, store);
    let absent = || Refused::new(Reason::StoreNotFound, format!("there is no {store}"));
    let malformed = |what: String| Refused::new(Reason::InvalidStore, format!("{store}: {what}"));
    let (metadata, provider, grants) = match store.kind {
        StoreKind::SecretStore => {
            let decoded = ctx.pull.secret_stores.get(&key).ok_or_else(absent)?.decode();
            (decoded.metadata, decoded.spec.map_err(malformed)?.provider, None)
        }
        StoreKind::ClusterSecretStore => {
            let decoded = ctx.pull.cluster_stores.get(&key).ok_or_else(absent)?.decode();
            let spec = decoded.spec.map_err(malformed)?;
            let grants = Grants::read(&spec.grants).map_err(|error| malformed(error.to_string()))?;
            (decoded.metadata, spec.provider, Some(grants))
        }
    };
    Ok(Described {
        store: store.clone(),
        uid: metadata.uid.unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        provider,
        grants,
    })
}

/// Connects to a store, or gives the connection that there is. It is made anew when the store, or a Secret that it refers
/// to, has changed.
pub(crate) async fn reach(ctx: &Context, namespace: &str, store: &StoreRef) -> Result<Reached, Refused> {
    let described = Arc::new(describe(ctx, namespace, store)?);
    let home = match store.kind {
        StoreKind::SecretStore => namespace,
        StoreKind::ClusterSecretStore => &ctx.flags.operator_namespace,
    };
    let referenced = waxwing_providers::references(&described.provider);
    let secrets = referenced.secrets.iter().map(|name| {
        let version = ctx.secrets.get(&ObjectKey::new(home, name)).map(|record| Version {
            uid: record.uid().to_owned(),
            resource_version: record.resource_version(),
        });
        (name.clone(), version)
    });
    let key = ClientKey {
        kind: store.kind,
        uid: described.uid.clone(),
        generation: described.generation,
        namespace: home.to_owned(),
        secrets: secrets.collect::<BTreeMap<_, _>>(),
        service_accounts: referenced.service_accounts.clone(),
    };
    let references: Arc<dyn References> = Arc::new(InNamespace::new(ctx.client.clone(), home));
    let is_cluster = store.kind == StoreKind::ClusterSecretStore;
    let place = Place {
        namespace: (!is_cluster).then(|| home.to_owned()),
        store: store.to_string(),
        // The operator's own identity is for whoever runs the cluster.
        ambient: is_cluster,
        rules: ctx.pull.rules.clone(),
    };
    let observer: Arc<dyn Observer> = Arc::new(Requests(ctx.metrics.clone()));
    let broker = ctx
        .pull
        .clients
        .reach(&key, &described.provider, &place, references, observer)
        .map_err(|failure| Refused::of(store, &failure))?;
    let vault = described.provider.vault.as_ref();
    let dynamic = vault.is_some_and(|vault| vault.engine == Some(VaultEngine::Dynamic));
    Ok(Reached { broker, dynamic, described })
}

/// Counts what providers are asked.
struct Requests(Arc<Metrics>);

impl Observer for Requests {
    fn requested(&self, provider: &'static str, call: Call, outcome: Result<(), Kind>, took: Duration) {
        let outcome = outcome.map_or_else(|kind| kind.reason().as_str(), |()| "ok");
        self.0.provider_asked(provider, call.as_str(), outcome, took);
    }
}

/// How many objects wait for each store, so that one that does not answer leaves room for the others.
#[derive(Default)]
pub(crate) struct InHand(Mutex<HashMap<ObjectKey, usize>>);

/// A place among those who wait for a store.
pub(crate) struct Waiting<'a> {
    all: &'a InHand,
    store: ObjectKey,
}

impl InHand {
    /// A place, unless there are so many already.
    pub(crate) fn enter(&self, store: &ObjectKey, most: usize) -> Option<Waiting<'_>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(store.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Waiting { all: self, store: store.clone() })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.store) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.store);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guard: `InHand::enter` counts by store.
    #[test]
    fn one_store_takes_no_more_than_its_share_of_places() {
        let (all, sick, well) = (InHand::default(), ObjectKey::new("a", "sick"), ObjectKey::new("a", "well"));
        let held: Vec<_> = (0..3).map(|_| all.enter(&sick, 2)).collect();
        assert_eq!(held.iter().filter(|place| place.is_some()).count(), 2);
        assert!(all.enter(&well, 2).is_some());
        drop(held);
        assert!(all.enter(&sick, 2).is_some());
        assert_eq!(all.0.lock().unwrap().len(), 0);
    }
}
