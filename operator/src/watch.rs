//! The watches that fill the caches and the queue.
//!
//! Each watch lists in pages, then follows. Whatever goes wrong is tried again for ever, with a growing delay, and
//! shows in the log and in `waxwing_watch_errors_total`. An object that cannot be made sense of is kept as it is and
//! reported when it is looked at, so it never stops the others.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Debug,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    pin,
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, info, warn};
use waxwing_crds::KeyRing;

mod inject;
mod pull;

use crate::{
    api_error,
    client::WATCH_SECONDS,
    context::Context,
    identities,
    queue::{Class, jittered},
    records::{IncomingSealed, IncomingSecret, SealedRecord, SecretRecord},
    store::{ObjectKey, Record, Store},
};

/// The first delay after an error, and the longest.
const FIRST: Duration = Duration::from_millis(500);
const CEILING: Duration = Duration::from_secs(30);
/// Objects of a page. A page is in memory as text and once more as records.
const PAGE: u32 = 250;

/// Whether every cache that work depends on has been filled once.
#[derive(Clone)]
pub(crate) struct Synced {
    missing: Arc<AtomicUsize>,
    all: Arc<watch::Sender<bool>>,
}

impl Synced {
    /// Of so many watches.
    pub(crate) fn new(watches: usize) -> Self {
        Self { missing: Arc::new(AtomicUsize::new(watches)), all: Arc::new(watch::Sender::new(watches == 0)) }
    }

    /// Whether it is so.
    pub(crate) fn is_done(&self) -> bool {
        *self.all.borrow()
    }

    /// Waits until it is so.
    pub(crate) async fn done(&self) {
        // The sender lives as long as `self`.
        let _ = self.all.subscribe().wait_for(|all| *all).await;
    }

    fn one_more(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all.send_replace(true);
        }
    }
}

/// Starts every watch. `ring_changed` is rung for the KeyRing and the identities.
pub(crate) fn start(
    context: &Arc<Context>,
    client: &Client,
    ring_changed: &Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Synced {
    let flags = &context.flags;
    let scopes = flags.scopes();
    let synced = Synced::new(
        scopes.len() * 7 + usize::from(flags.cluster_stores) + usize::from(flags.namespaces.is_empty()),
    );
    for scope in scopes {
        let sealed = SealedSecrets { context: context.clone() };
        let api = served(client, scope.as_deref());
        tasks.spawn(follow(
            api,
            page(),
            "sealedsecrets",
            context.clone(),
            Cache::new(scope.clone(), &synced, sealed),
        ));
        let secrets = Secrets { context: context.clone() };
        let api = served(client, scope.as_deref());
        let cache = Cache::new(scope.clone(), &synced, secrets);
        tasks.spawn(follow(api, page(), "secrets", context.clone(), cache));
        let cache = Cache::new(scope.clone(), &synced, pull::ExternalSecrets(context.clone()));
        let api = served(client, scope.as_deref());
        tasks.spawn(follow(api, page(), "externalsecrets", context.clone(), cache));
        let cache = Cache::new(scope.clone(), &synced, inject::AlertmanagerInjections(context.clone()));
        let api = served(client, scope.as_deref());
        tasks.spawn(follow(api, page(), "alertmanagerinjections", context.clone(), cache));
        let cache = Cache::new(scope.clone(), &synced, inject::GrafanaInjections(context.clone()));
        let api = served(client, scope.as_deref());
        tasks.spawn(follow(api, page(), "grafanainjections", context.clone(), cache));
        let cache = Cache::new(scope.clone(), &synced, inject::AlertReceivers(context.clone()));
        let api = served(client, scope.as_deref());
        tasks.spawn(follow(api, page(), "alertreceivers", context.clone(), cache));
        let api = served(client, scope.as_deref());
        let cache = Cache::new(scope, &synced, pull::SecretStores(context.clone()));
        tasks.spawn(follow(api, page(), "secretstores", context.clone(), cache));
    }
    if flags.cluster_stores {
        let cache = Cache::new(None, &synced, pull::ClusterStores(context.clone()));
        let api = Api::all(client.clone());
        tasks.spawn(follow(api, page(), "clustersecretstores", context.clone(), cache));
    }
    if flags.namespaces.is_empty() {
        // In a list of namespaces nothing is known of the others, so there is nothing to select from.
        let cache = Cache::new(None, &synced, pull::ClusterExternalSecrets(context.clone()));
        tasks.spawn(follow(
            Api::all(client.clone()),
            page(),
            "clusterexternalsecrets",
            context.clone(),
            cache,
        ));
        let api = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
        let namespaces =
            Namespaces { context: context.clone(), seen: HashSet::new(), labels: BTreeMap::new() };
        tasks.spawn(follow(api, page(), "namespaces", context.clone(), namespaces));
    }
    let api = Api::<PartialObjectMeta<KeyRing>>::all(client.clone());
    let only = page().fields(&format!("metadata.name={}", flags.keyring));
    tasks.spawn(follow(api, only, "keyrings", context.clone(), Ring(ring_changed.clone())));
    // Metadata only: the ring's loop reads the private keys when it has a reason to.
    let api = Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), &flags.operator_namespace);
    let only = page().fields(&identities::selector());
    tasks.spawn(follow(api, only, "identities", context.clone(), Ring(ring_changed.clone())));
    synced
}

fn served<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn page() -> watcher::Config {
    watcher::Config::default().page_size(PAGE).timeout(WATCH_SECONDS)
}

/// What is done with the events of one watch.
trait Follower<K>: Send {
    fn event(&mut self, event: Event<K>);
    /// The resource does not exist, or may not be read.
    fn unavailable(&mut self) {}
}

/// Follows one watch for ever.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    resource: &'static str,
    context: Arc<Context>,
    mut follower: impl Follower<K>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, config);
    pin!(events);
    let mut delay = FIRST;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                // Beginning to list is no success yet.
                if !matches!(event, Event::Init) {
                    delay = FIRST;
                }
                if matches!(event, Event::InitDone) {
                    debug!(resource, "listed");
                }
                follower.event(event);
            }
            Err(error) => {
                let (cause, text) = explain(&error);
                if matches!(cause, "forbidden" | "not_found") {
                    follower.unavailable();
                }
                context.metrics.watch_failed(resource, cause);
                if cause == "gone" {
                    debug!(resource, "the watch is too old and begins anew");
                } else {
                    warn!(resource, cause, "a watch failed and is tried again: {text}");
                }
                sleep(jittered(delay)).await;
                delay = (delay * 2).min(CEILING);
            }
        }
    }
}

fn explain(error: &watcher::Error) -> (&'static str, String) {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => (api_error::cause(error), api_error::describe_read(error)),
        watcher::Error::WatchError(status) => {
            let error = kube::Error::Api(status.clone());
            (api_error::cause(&error), api_error::describe_read(&error))
        }
        watcher::Error::NoResourceVersion => {
            ("undecodable", "an answer without a resource version".to_owned())
        }
    }
}

/// Fills one store from one watch.
struct Cache<F: Fills> {
    fills: F,
    /// The namespace that the watch is limited to.
    scope: Option<String>,
    /// The keys of the list that is being read.
    listed: Option<HashSet<ObjectKey>>,
    synced: Option<Synced>,
}

/// A store, and what follows from its changes.
trait Fills: Send {
    /// Whether work begins without it where it is not installed.
    const MAY_LACK: bool = false;
    type Incoming;
    type Record: Record;
    fn split(object: Self::Incoming) -> (ObjectKey, Self::Record);
    fn store(&self) -> &Store<Self::Record>;
    fn changed(&self, key: &ObjectKey, is_new: bool);
    /// The object of this uid is no longer there; another one may have its name.
    fn gone(&self, key: &ObjectKey, uid: &str);
}

impl<F: Fills> Cache<F> {
    fn new(scope: Option<String>, synced: &Synced, fills: F) -> Self {
        Self { fills, scope, listed: None, synced: Some(synced.clone()) }
    }

    /// A fresh list is the truth, also where it is older: a cluster may have been restored from a backup.
    fn listed(&mut self, key: ObjectKey, record: F::Record) {
        let store = self.fills.store();
        let known = store.get(&key);
        let is_same = known
            .as_ref()
            .is_some_and(|known| known.uid() == record.uid() && known.version() == record.version());
        if !is_same {
            let uid = record.uid().to_owned();
            store.replace(&key, record);
            self.put(&key, known.as_deref(), &uid);
        }
        self.listed.get_or_insert_default().insert(key);
    }

    /// An object is in the store now, where `old` was. Of another uid, it is a new one.
    fn put(&self, key: &ObjectKey, old: Option<&F::Record>, uid: &str) {
        let same = old.filter(|old| old.uid() == uid);
        if let Some(old) = old.filter(|old| old.uid() != uid) {
            self.fills.gone(key, old.uid());
        }
        self.fills.changed(key, same.is_none());
    }

    fn list_ended(&mut self) {
        let listed = self.listed.take().unwrap_or_default();
        let scope = self.scope.as_deref();
        let is_elsewhere = |key: &ObjectKey| scope.is_some_and(|scope| key.namespace() != scope);
        let gone = self.fills.store().retain(|key| is_elsewhere(key) || listed.contains(key));
        gone.iter().for_each(|(key, record)| self.fills.gone(key, record.uid()));
        if let Some(synced) = self.synced.take() {
            synced.one_more();
        }
    }
}

impl<F: Fills> Follower<F::Incoming> for Cache<F> {
    /// What the others need is not held up by a kind that is not installed, or not granted.
    fn unavailable(&mut self) {
        if F::MAY_LACK
            && let Some(synced) = self.synced.take()
        {
            synced.one_more();
        }
    }

    fn event(&mut self, event: Event<F::Incoming>) {
        match event {
            Event::Init => self.listed = Some(HashSet::new()),
            Event::InitApply(object) => {
                let (key, record) = F::split(object);
                self.listed(key, record);
            }
            Event::InitDone => self.list_ended(),
            Event::Apply(object) => {
                let (key, record) = F::split(object);
                // What is already there is the echo of our own write.
                let uid = record.uid().to_owned();
                if let Ok(old) = self.fills.store().put(&key, record) {
                    self.put(&key, old.as_deref(), &uid);
                }
            }
            Event::Delete(object) => {
                let (key, record) = F::split(object);
                if self.fills.store().remove(&key, record.uid()) {
                    self.fills.gone(&key, record.uid());
                }
            }
        }
    }
}

/// The SealedSecrets.
struct SealedSecrets {
    context: Arc<Context>,
}

impl Fills for SealedSecrets {
    type Incoming = IncomingSealed;
    type Record = SealedRecord;

    fn split(object: IncomingSealed) -> (ObjectKey, SealedRecord) {
        object.into()
    }
    fn store(&self) -> &Store<SealedRecord> {
        &self.context.sealed_secrets
    }
    fn changed(&self, key: &ObjectKey, is_new: bool) {
        self.context.look(key, if is_new { Class::New } else { Class::Changed });
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.context.forget(key);
    }
}

/// The Secrets, which concern a SealedSecret of the same name.
struct Secrets {
    context: Arc<Context>,
}

impl Secrets {
    fn wake_owner(&self, key: &ObjectKey) {
        self.context.look_because_of_secret(key);
        if self.context.sealed_secrets.get(key).is_some() {
            self.context.look(key, Class::Changed);
        }
    }
}

impl Fills for Secrets {
    type Incoming = IncomingSecret;
    type Record = SecretRecord;

    fn split(object: IncomingSecret) -> (ObjectKey, SecretRecord) {
        object.into()
    }
    fn store(&self) -> &Store<SecretRecord> {
        &self.context.secrets
    }
    fn changed(&self, key: &ObjectKey, _is_new: bool) {
        self.wake_owner(key);
    }
    fn gone(&self, key: &ObjectKey, _uid: &str) {
        self.wake_owner(key);
    }
}

/// The namespaces, of which only the labels are remembered, and which are being deleted.
struct Namespaces {
    context: Arc<Context>,
    /// Those found to be terminating in the list that is being read.
    seen: HashSet<String>,
    /// The labels in it.
    labels: BTreeMap<String, BTreeMap<String, String>>,
}

impl Namespaces {
    /// Other labels may be other grants.
    fn labelled(&self, name: &str, labels: Option<BTreeMap<String, String>>) {
        let changed = {
            let mut known = self.context.pull.namespaces.write().unwrap_or_else(PoisonError::into_inner);
            match labels {
                Some(labels) => known.insert(name.to_owned(), labels.clone()) != Some(labels),
                None => known.remove(name).is_some(),
            }
        };
        if changed {
            self.context.look_namespace(name);
        }
    }
}

impl Follower<PartialObjectMeta<Namespace>> for Namespaces {
    fn event(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        let terminating = &self.context.terminating;
        match event {
            Event::Init => {
                self.seen.clear();
                self.labels.clear();
            }
            Event::InitApply(namespace) => {
                if namespace.meta().deletion_timestamp.is_some() {
                    self.seen.insert(namespace.name_any());
                }
                self.labels.insert(namespace.name_any(), namespace.labels().clone());
            }
            Event::InitDone => {
                terminating.replace(std::mem::take(&mut self.seen));
                let known = &self.context.pull.namespaces;
                *known.write().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.labels);
                self.context.look_cluster_external();
            }
            Event::Apply(namespace) => {
                terminating.set(&namespace.name_any(), namespace.meta().deletion_timestamp.is_some());
                self.labelled(&namespace.name_any(), Some(namespace.labels().clone()));
            }
            Event::Delete(namespace) => {
                terminating.set(&namespace.name_any(), false);
                self.labelled(&namespace.name_any(), None);
            }
        }
    }
}

/// The KeyRing and the identities: any change rings the bell.
struct Ring(Arc<Notify>);

impl<K> Follower<K> for Ring {
    fn event(&mut self, event: Event<K>) {
        if !matches!(event, Event::Init | Event::InitApply(_)) {
            self.0.notify_one();
        }
    }
}

/// Says how much the caches hold, once.
pub(crate) fn tell(context: &Context) {
    info!(
        sealed_secrets = context.sealed_secrets.len(),
        external_secrets = context.pull.external.len(),
        stores = context.pull.secret_stores.len() + context.pull.cluster_stores.len(),
        secrets = context.secrets.len(),
        "the caches are filled"
    );
}

#[cfg(test)]
mod tests;
