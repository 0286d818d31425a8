//! From a store's name to a connection, or to the reason why there is none.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use waxwing_core::external::{Grants, StoreKind, StoreRef};
use waxwing_core::store::Kind;
use waxwing_crds::{Reason, StoreProvider};
use waxwing_providers::{
    Place, Referenced, References,
    broker::{Call, Observer},
    fetch::{Granted, is_dynamic},
    identity::{ClientKey, Version},
};

pub(crate) use waxwing_providers::fetch::{Reached, Refused};

use super::{references::InNamespace, store_key};
use crate::{
    context::Context,
    metrics::Metrics,
    queue::{Class, Queue},
    records::{Decoded, ObjectRecord, Served},
    store::{ObjectKey, Record},
};

/// A store as it is.
#[derive(Debug)]
pub(crate) struct Described {
    /// Of which record this was read.
    version: u64,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) provider: StoreProvider,
    /// What it refers to.
    referenced: Referenced,
    /// For a ClusterSecretStore: what it grants.
    pub(crate) grants: Option<Grants>,
}

/// The stores that were decoded: each is asked for by every object that reads from it.
#[derive(Default)]
pub(crate) struct Descriptions(Mutex<HashMap<ObjectKey, Arc<Described>>>);

impl Descriptions {
    /// The store is gone.
    pub(crate) fn forget(&self, store: &ObjectKey) {
        self.lock().remove(store);
    }

    fn of<K: Served>(
        &self,
        key: &ObjectKey,
        record: &ObjectRecord<K>,
        read: impl FnOnce(Decoded<K>) -> Result<(StoreProvider, Option<Grants>), Refused>,
    ) -> Result<Arc<Described>, Refused> {
        let known = self.lock().get(key).cloned();
        if let Some(known) =
            known.filter(|known| known.uid == record.uid() && known.version == record.version())
        {
            return Ok(known);
        }
        let decoded = record.decode();
        let generation = decoded.metadata.generation.unwrap_or_default();
        let (provider, grants) = read(decoded)?;
        let referenced = waxwing_providers::references(&provider);
        let (version, uid) = (record.version(), record.uid().to_owned());
        let described = Arc::new(Described { version, uid, generation, provider, referenced, grants });
        self.lock().insert(key.clone(), described.clone());
        Ok(described)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Arc<Described>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the store of this name says, for an object in this namespace.
pub(crate) fn describe(ctx: &Context, namespace: &str, store: &StoreRef) -> Result<Arc<Described>, Refused> {
    let key = store_key(namespace, store);
    let absent = || Refused::new(Reason::StoreNotFound, format!("there is no {store}"));
    let malformed = |what: String| Refused::new(Reason::InvalidStore, format!("{store}: {what}"));
    let descriptions = &ctx.pull.descriptions;
    match store.kind {
        StoreKind::SecretStore => {
            let record = ctx.pull.secret_stores.get(&key).ok_or_else(absent)?;
            descriptions.of(&key, &*record, |decoded| Ok((decoded.spec.map_err(malformed)?.provider, None)))
        }
        StoreKind::ClusterSecretStore if !ctx.flags.cluster_stores => {
            let what = format!(
                "{store} is not served here: this operator was told to leave stores of the cluster to another one"
            );
            Err(Refused::new(Reason::StoreNotFound, what))
        }
        StoreKind::ClusterSecretStore => {
            let record = ctx.pull.cluster_stores.get(&key).ok_or_else(absent)?;
            descriptions.of(&key, &*record, |decoded| {
                let spec = decoded.spec.map_err(malformed)?;
                let grants = Grants::read(&spec.grants).map_err(|error| malformed(error.to_string()))?;
                Ok((spec.provider, Some(grants)))
            })
        }
    }
}

/// Connects to a store, or gives the connection that there is. It is made anew when the store, or a Secret that it refers
/// to, has changed.
pub(crate) async fn reach(ctx: &Context, namespace: &str, store: &StoreRef) -> Result<Reached, Refused> {
    let described = describe(ctx, namespace, store)?;
    let home = match store.kind {
        StoreKind::SecretStore => namespace,
        StoreKind::ClusterSecretStore => &ctx.flags.operator_namespace,
    };
    let secrets = described.referenced.secrets.iter().map(|name| {
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
        service_accounts: described.referenced.service_accounts.clone(),
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
    let granted = described.grants.as_ref().map(|grants| Granted {
        grants: grants.clone(),
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

/// Who is in hand at each store, so that one that does not answer leaves room for the others.
#[derive(Default)]
pub(crate) struct InHand(Mutex<HashMap<ObjectKey, Line>>);

/// Those of one store.
#[derive(Default)]
struct Line {
    in_hand: usize,
    /// Objects that found no place, in the order in which they came.
    waiting: VecDeque<ObjectKey>,
    /// The same, to find them.
    known: HashSet<ObjectKey>,
    /// Those whose turn has come. Who finds the place taken by then is the next one.
    called: HashSet<ObjectKey>,
}

/// A place among those who wait for a store's answer.
pub(crate) struct Turn<'a> {
    all: &'a InHand,
    queue: &'a Queue,
    store: ObjectKey,
}

impl InHand {
    /// A place; where there are `most` already, the object stands in line, and is put into the queue when its turn comes.
    pub(crate) fn enter<'a>(
        &'a self,
        queue: &'a Queue,
        store: &ObjectKey,
        object: &ObjectKey,
        most: usize,
    ) -> Option<Turn<'a>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = all.entry(store.clone()).or_default();
        let was_called = line.called.remove(object);
        if line.in_hand >= most {
            if line.known.insert(object.clone()) {
                match was_called {
                    true => line.waiting.push_front(object.clone()),
                    false => line.waiting.push_back(object.clone()),
                }
            }
            return None;
        }
        line.in_hand += 1;
        Some(Turn { all: self, queue, store: store.clone() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = all.get_mut(&self.store) else { return };
        line.in_hand -= 1;
        let next: Vec<ObjectKey> = if line.in_hand == 0 {
            // All of them: who is called may be gone, or want another store by now, and then calls nobody.
            all.remove(&self.store).into_iter().flat_map(|line| line.waiting).collect()
        } else {
            let next = line.waiting.pop_front();
            if let Some(next) = &next {
                line.known.remove(next);
                line.called.insert(next.clone());
            }
            next.into_iter().collect()
        };
        drop(all);
        // They have waited for their turn already.
        next.iter().for_each(|next| self.queue.add(next, Class::New));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guard: `InHand::enter` counts by store.
    #[tokio::test]
    async fn one_store_takes_no_more_than_its_share_of_places_and_who_waits_comes_in_order() {
        let (all, queue) = (InHand::default(), Queue::new());
        let (sick, well) = (ObjectKey::new("a", "sick"), ObjectKey::new("a", "well"));
        let object = |number: usize| ObjectKey::new("a", &number.to_string());
        let mut held: Vec<_> =
            (0..5).filter_map(|number| all.enter(&queue, &sick, &object(number), 2)).collect();
        assert_eq!(held.len(), 2);
        assert!(all.enter(&queue, &sick, &object(3), 2).is_none(), "who stands in line does so once");
        assert!(all.enter(&queue, &well, &object(9), 2).is_some());
        assert_eq!(queue.waiting(), [0, 0, 0]);
        held.pop();
        assert_eq!(queue.take().await, Some(object(2)));
        held.push(all.enter(&queue, &sick, &object(2), 2).expect("a place is free"));
        held.clear();
        assert_eq!([queue.take().await, queue.take().await], [Some(object(3)), Some(object(4))]);
        assert!(all.0.lock().unwrap().is_empty());
    }
}
