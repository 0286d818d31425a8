//! From a store's name to a connection, or to the reason why there is none.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use waxwing_core::external::{Grants, StoreKind, StoreRef};
use waxwing_core::store::Kind;
use waxwing_crds::{Reason, StoreProvider};
use waxwing_providers::{
    Place, References,
    broker::{Call, Observer},
    fetch::{Granted, is_dynamic},
    identity::{ClientKey, Version},
};

pub(crate) use waxwing_providers::fetch::{Reached, Refused};

use super::{references::InNamespace, store_key};
use crate::{
    context::Context,
    metrics::Metrics,
    store::{ObjectKey, Record},
};

/// A store as it is: what it is called, what it holds and where its references lie.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) provider: StoreProvider,
    /// For a ClusterSecretStore: what it grants.
    pub(crate) grants: Option<Grants>,
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
        uid: metadata.uid.unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        provider,
        grants,
    })
}

/// Connects to a store, or gives the connection that there is. It is made anew when the store, or a Secret that it refers
/// to, has changed.
pub(crate) async fn reach(ctx: &Context, namespace: &str, store: &StoreRef) -> Result<Reached, Refused> {
    let described = describe(ctx, namespace, store)?;
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
    let granted = described.grants.map(|grants| Granted {
        grants,
        namespace: namespace.to_owned(),
        labels: ctx.pull.labels_of(namespace),
    });
    Ok(Reached { broker, dynamic: is_dynamic(&described.provider), granted })
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
