//! Injecting: native configurations of Alertmanager and Grafana with credentials in them.
//!
//! An injection is looked at when it, a Secret that it refers to or has published, a store, or an AlertReceiver changes.
//! What is published lies in Secrets; what an endpoint has loaded is read from its metrics.

pub(crate) mod alertmanager;
mod delivery;
pub(crate) mod grafana;
mod grafana_api;
mod grafana_farewell;
mod grafana_watch;
mod history;
mod load;
mod look;
mod publish;
mod records;
mod resolve;
mod samples;
pub(crate) mod teams;

use std::collections::BTreeMap;

use waxwing_core::injection::plan::Memory;
use waxwing_crds::ReceiverState;

use crate::{
    context::Context,
    memories::Memories,
    queue::{Class, Queue},
    store::{ObjectKey, Store},
};

pub(crate) use delivery::Delivered;
pub(crate) use records::{
    AlertReceiverRecord, AlertmanagerRecord, ForAlertmanager, ForGrafana, GrafanaRecord, OfTeam,
};

/// What is known of injections.
pub struct Inject {
    pub(crate) alertmanager: Store<AlertmanagerRecord>,
    pub(crate) grafana: Store<GrafanaRecord>,
    pub(crate) receivers: Store<AlertReceiverRecord>,
    /// The AlertmanagerInjections that are to be looked at.
    pub(crate) alertmanager_queue: Queue,
    /// The GrafanaInjections that are to be looked at.
    pub(crate) grafana_queue: Queue,
    /// The AlertReceivers that are to be told of.
    pub(crate) receivers_queue: Queue,
    /// What was found about them.
    pub(crate) found: Memories<teams::Found>,
    pub(crate) memories: Memories<Memory>,
    pub(crate) grafana_memories: Memories<Memory>,
    /// What the replicas had delivered at the last look.
    pub(crate) delivered: Memories<Delivered>,
    /// When the last canary alert was sent.
    pub(crate) canaries: Memories<Option<i64>>,
}

impl Inject {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            alertmanager: Store::default(),
            grafana: Store::default(),
            receivers: Store::default(),
            alertmanager_queue: Queue::new(),
            grafana_queue: Queue::new(),
            receivers_queue: Queue::new(),
            found: Memories::default(),
            memories: Memories::default(),
            grafana_memories: Memories::default(),
            delivered: Memories::default(),
            canaries: Memories::default(),
        }
    }

    /// How many receivers are in each state, and how many replicas lack what is published, by namespace. From the statuses.
    pub(crate) fn counts(&self) -> BTreeMap<String, ([i64; 4], i64)> {
        let mut counts: BTreeMap<String, ([i64; 4], i64)> = BTreeMap::new();
        let mut add = |namespace: &str, status: &waxwing_crds::InjectionStatus| {
            let (states, unloaded) = counts.entry(namespace.to_owned()).or_default();
            for receiver in &status.receivers {
                states[slot(receiver.state)] += 1;
            }
            let replicas = status.loaded_replicas.as_deref().and_then(|text| text.split_once('/'));
            let replicas = replicas
                .and_then(|(loaded, all)| Some((loaded.parse::<i64>().ok()?, all.parse::<i64>().ok()?)));
            *unloaded += replicas.map_or(0, |(loaded, all)| (all - loaded).max(0));
        };
        self.alertmanager.each(|key, record| add(key.namespace(), &record.status()));
        self.grafana.each(|key, record| add(key.namespace(), &record.status()));
        counts
    }
}

/// The states of receivers, in the order of [`slot`].
pub(crate) const STATES: [&str; 4] = ["Live", "Stale", "Quarantined", "Failing"];

fn slot(state: ReceiverState) -> usize {
    match state {
        ReceiverState::Live => 0,
        ReceiverState::Stale => 1,
        ReceiverState::Quarantined => 2,
        ReceiverState::Failing => 3,
    }
}

impl Context {
    /// Puts an AlertmanagerInjection into the queue, if this replica is the one that works.
    pub(crate) fn look_alertmanager(&self, key: &ObjectKey, class: Class) {
        if self.leadership.is_held() {
            self.inject.alertmanager_queue.add(key, class);
        }
    }

    /// Puts a GrafanaInjection into the queue, if this replica is the one that works.
    pub(crate) fn look_grafana(&self, key: &ObjectKey, class: Class) {
        if self.leadership.is_held() {
            self.inject.grafana_queue.add(key, class);
        }
    }

    /// A GrafanaInjection is new, has changed or is gone: policies of its neighbours may name its contact points.
    pub(crate) fn look_grafana_neighbours(&self, of: &ObjectKey) {
        let keys = self.inject.grafana.keys();
        let near = keys.iter().filter(|key| key.namespace() == of.namespace() && *key != of);
        near.for_each(|key| self.look_grafana(key, Class::Changed));
    }

    /// A Secret has changed that a GrafanaInjection may have published: by default they are named after it.
    pub(crate) fn look_grafana_because_of(&self, secret: &ObjectKey) {
        let bases = ["", "-alerting", "-datasources"].map(|end| secret.name().strip_suffix(end));
        for base in bases.into_iter().flatten() {
            let key = ObjectKey::new(secret.namespace(), base);
            if self.inject.grafana.get(&key).is_some() {
                self.look_grafana(&key, Class::Changed);
            }
        }
    }

    /// An AlertReceiver has changed, or is gone: every injection may have taken it in, and there are few.
    pub(crate) fn look_team(&self, team: &ObjectKey) {
        self.look_receiver(team);
        let named = self.inject.receivers.get(team).and_then(|record| record.injection());
        self.inject.alertmanager.each(|key, record| {
            if named.as_ref() == Some(key) || record.includes() {
                self.look_alertmanager(key, Class::Changed);
            }
        });
    }

    /// The labels of a namespace have changed, by which its AlertReceivers are selected.
    pub(crate) fn look_including(&self) {
        self.inject.alertmanager.each(|key, record| {
            if record.includes() {
                self.look_alertmanager(key, Class::Changed);
            }
        });
    }

    /// Looks at every injection whose spec has this word: a Secret's name, or a store's. A word too many costs a look.
    pub(crate) fn look_injections(&self, is_concerned: impl Fn(&ObjectKey, &str) -> bool) {
        let mut found = Vec::new();
        self.inject.alertmanager.each(|key, record| {
            if is_concerned(key, record.spec_json()) {
                found.push(key.clone());
            }
        });
        self.inject.receivers.each(|key, record| {
            if is_concerned(key, record.spec_json()) {
                found.extend(record.injection());
            }
        });
        found.iter().for_each(|key| self.look_alertmanager(key, Class::Changed));
        let mut found = Vec::new();
        self.inject.grafana.each(|key, record| {
            if is_concerned(key, record.spec_json()) {
                found.push(key.clone());
            }
        });
        found.iter().for_each(|key| self.look_grafana(key, Class::Changed));
    }
}
