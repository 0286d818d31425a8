//! What every part of the operator shares: clients, caches, the ring, metrics, events.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use kube::Client;
use tokio::sync::{Semaphore, watch};
use waxwing_core::plan::Memory;
use waxwing_providers::Rules;

use crate::{
    events::Events,
    flags::Flags,
    inject::{ForAlertmanager, ForGrafana, Inject, OfTeam},
    lease::Leadership,
    memories::Memories,
    metrics::{Counts, KEY_RING, Metrics, SEALED_SECRET},
    pull::{EXTERNAL_SECRET, Pull},
    queue::{Class, Queue},
    records::{SealedRecord, SecretRecord, Served},
    ring::Ring,
    source::Sources,
    store::{ObjectKey, Store},
};

/// Shared by all tasks.
pub struct Context {
    /// For requests: an answer that does not come within 30 seconds is an error.
    pub client: Client,
    /// What the command line says.
    pub flags: Flags,
    /// The ring as it was read last.
    pub ring: watch::Receiver<Arc<Ring>>,
    /// The SealedSecrets that are served.
    pub sealed_secrets: Store<SealedRecord>,
    /// The metadata of all Secrets in the served namespaces.
    pub secrets: Store<SecretRecord>,
    /// The namespaces that are being deleted.
    pub terminating: Terminating,
    /// The SealedSecrets that are to be looked at.
    pub queue: Queue,
    /// What is remembered of single SealedSecrets.
    pub memories: Memories<Memory>,
    /// What the GitOps tools have said.
    pub(crate) sources: Sources,
    /// What is known of stores and ExternalSecrets.
    pub pull: Pull,
    /// What is known of injections.
    pub inject: Inject,
    /// Places for those who write what they have fetched.
    pub(crate) writes: Semaphore,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Events for people.
    pub events: Events,
    /// Whether this replica is the one that works.
    pub leadership: Leadership,
}

impl Context {
    /// A context with empty caches.
    pub fn new(
        client: Client,
        flags: Flags,
        ring: watch::Receiver<Arc<Ring>>,
        leadership: Leadership,
        events: Events,
    ) -> Self {
        Self {
            client,
            ring,
            sealed_secrets: Store::default(),
            secrets: Store::default(),
            terminating: Terminating::default(),
            queue: Queue::new(),
            memories: Memories::default(),
            sources: Sources::default(),
            pull: Pull::new(Rules::new(flags.allow_endpoints.iter().cloned().collect())),
            inject: Inject::new(),
            writes: Semaphore::new(flags.concurrency.into()),
            metrics: Arc::new(Metrics::new()),
            events,
            leadership,
            flags,
        }
    }

    /// The ring as it is now.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.borrow().clone()
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        unix_now()
    }

    /// Puts an object into the queue, if this replica is the one that works. One that begins to work looks at all.
    pub(crate) fn look(&self, key: &ObjectKey, class: Class) {
        if self.leadership.is_held() {
            self.queue.add(key, class);
        }
    }

    /// The object is gone, and with it whatever was known of it besides its record.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.queue.forget(key);
        self.memories.forget(key);
        self.sources.forget(SEALED_SECRET, key);
        self.metrics.forget(key);
    }

    /// What the metrics count in the caches.
    pub(crate) fn counts(&self) -> Counts {
        let (ring, now) = (self.ring(), self.now());
        let age = |since: Option<i64>| since.map_or(0, |since| (now - since).max(0));
        let mut counts = Counts {
            active_key_age: age(ring.active_since),
            key_backup_age: age(ring.unsaved_since),
            waiting: self.queue.waiting().map(|waiting| i64::try_from(waiting).unwrap_or(i64::MAX)),
            leader: self.leadership.is_held(),
            ..Counts::default()
        };
        let (mut external, mut stores, mut cluster) = ([0; 2], [0; 2], [0; 2]);
        let (mut injections, mut grafana, mut teams) = ([0; 2], [0; 2], [0; 2]);
        let tally = |counts: &mut [i64; 2], ready: bool| counts[usize::from(!ready)] += 1;
        self.pull.external.each(|_, record| tally(&mut external, record.is_ready()));
        self.pull.secret_stores.each(|_, record| tally(&mut stores, record.is_ready()));
        self.pull.cluster_stores.each(|_, record| tally(&mut cluster, record.is_ready()));
        self.inject.alertmanager.each(|_, record| tally(&mut injections, record.is_ready()));
        self.inject.grafana.each(|_, record| tally(&mut grafana, record.is_ready()));
        self.inject.receivers.each(|_, record| tally(&mut teams, record.is_ready()));
        counts.injections = self.inject.counts();
        counts.others = vec![
            (EXTERNAL_SECRET, external[0], external[1]),
            ("SecretStore", stores[0], stores[1]),
            ("ClusterSecretStore", cluster[0], cluster[1]),
            (ForAlertmanager::KIND, injections[0], injections[1]),
            (ForGrafana::KIND, grafana[0], grafana[1]),
            (OfTeam::KIND, teams[0], teams[1]),
            (KEY_RING, i64::from(ring.ready), i64::from(!ring.ready)),
        ];
        counts.oldest_refresh = self.pull.memories.oldest(now);
        for (class, waiting) in self.pull.queue.waiting().into_iter().enumerate() {
            counts.waiting[class] += i64::try_from(waiting).unwrap_or(i64::MAX / 2);
        }
        let newest = ring.newest();
        self.sealed_secrets.each(|_, record| {
            *if record.is_ready() { &mut counts.ready } else { &mut counts.not_ready } += 1;
            let by_old = record.opened_by().iter().filter(|id| !newest.contains(id)).count();
            counts.opened_by_old_keys += i64::try_from(by_old).unwrap_or_default();
        });
        counts
    }
}

/// Unix seconds.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The namespaces that are being deleted. Empty where namespaces may not be watched: the API server tells then.
#[derive(Default)]
pub struct Terminating {
    names: RwLock<HashSet<String>>,
}

impl Terminating {
    /// Whether this namespace is being deleted.
    pub fn contains(&self, namespace: &str) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains(namespace)
    }

    pub(crate) fn replace(&self, terminating: HashSet<String>) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = terminating;
    }

    pub(crate) fn set(&self, namespace: &str, terminating: bool) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if terminating {
            names.insert(namespace.to_owned());
        } else {
            names.remove(namespace);
        }
    }
}
