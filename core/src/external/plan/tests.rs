//! Decisions on values: a small world with one ExternalSecret, one Secret and a provider, in which plans are carried
//! out.

mod deletion;
mod forged;
mod leases;
mod policies;
mod steady;

use std::sync::Arc;

use serde_json::{Value, json};
use waxwing_crds::{Condition, ConditionType, ExternalSecret, conditions};

use super::*;
use crate::{
    Secret,
    external::Answer,
    keys::Identity,
    plan::{Event, Next, Outcome, Produced},
    store::Entry,
};

/// Some Tuesday, in seconds.
const NOW: i64 = 1_789_000_000;

/// One object, its Secret, a provider, and what decides about them.
struct World {
    identities: Identities,
    object: ExternalSecret,
    /// The Secret's metadata and keys.
    target: Option<Target>,
    secret: Option<Data>,
    produced: Option<Produced>,
    /// What the provider has under the key `app`: value and version. Without it, it says that there is none.
    entry: Option<(Vec<u8>, Option<String>)>,
    /// For how long it gives it, if not for good. It is prolonged when that is asked for.
    lease: Option<Lease>,
    /// Why the provider gives nothing.
    trouble: Option<Reason>,
    stores: Vec<StoreFact>,
    memory: Memory,
    unusable: Option<Reason>,
    terminating: bool,
    now: i64,
    version: u64,
    fetches: usize,
    /// Why the last fetch was made.
    cause: Option<Cause>,
    /// Answers the next write instead of the API server.
    answer: Option<Outcome>,
}

/// What one look did.
#[derive(Debug)]
struct Look {
    plan: Plan,
    report: Report,
    fetched: bool,
}

impl World {
    /// An ExternalSecret `db` in `apps` with one key, which has not been looked at.
    fn new(spec: Value) -> Self {
        let mut object: ExternalSecret = serde_json::from_value(json!({
            "apiVersion": "waxwing.dev/v1alpha1",
            "kind": "ExternalSecret",
            "metadata": {"name": "db", "namespace": "apps", "uid": "object-1", "generation": 1},
            "spec": {
                "secretStoreRef": {"name": "vault"},
                "data": [{"secretKey": "password", "remoteRef": {"key": "app", "property": "password"}}],
            },
        }))
        .unwrap();
        let mut whole = serde_json::to_value(&object.spec).unwrap();
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object.spec = serde_json::from_value(whole).unwrap();
        let store = StoreRef { kind: crate::external::StoreKind::SecretStore, name: "vault".to_owned() };
        Self {
            identities: [Identity::generate()].into_iter().collect(),
            object,
            target: None,
            secret: None,
            produced: None,
            entry: Some((br#"{"password":"one"}"#.to_vec(), Some("1".to_owned()))),
            lease: None,
            trouble: None,
            stores: vec![StoreFact { store, uid: "store-1".to_owned(), generation: 1 }],
            memory: Memory::default(),
            unusable: None,
            terminating: false,
            now: NOW,
            version: 100,
            fetches: 0,
            cause: None,
            answer: None,
        }
    }

    /// One that was looked at and is in order.
    fn settled(spec: Value) -> Self {
        let mut world = Self::new(spec);
        world.look();
        assert_eq!(world.ready(), ("True", "Synced"), "{:?}", world.object.status);
        world
    }

    fn with_input<T>(&self, use_it: impl FnOnce(&Input<'_>) -> T) -> T {
        let none = (BTreeMap::new(), ExternalSecretStatus::default());
        let metadata = &self.object.metadata;
        use_it(&Input {
            object: Object {
                namespace: "apps",
                name: "db",
                uid: metadata.uid.as_deref().unwrap(),
                generation: metadata.generation,
                deleting: metadata.deletion_timestamp.is_some(),
                annotations: metadata.annotations.as_ref().unwrap_or(&none.0),
                spec: Ok(&self.object.spec),
                checked: None,
                status: self.object.status.as_ref().unwrap_or(&none.1),
            },
            target: self.target.as_ref(),
            stores: &self.stores,
            identities: &self.identities,
            unusable: self.unusable,
            place: Place { operator_namespace: "waxwing-system", terminating: self.terminating },
            source: None,
            now: self.now,
        })
    }

    /// Looks, fetches, writes, and takes the status over.
    fn look(&mut self) -> Look {
        let before = self.fetches;
        let memory = self.memory.clone();
        let (mut fetches, mut cause) = (0, None);
        let plan = self.with_input(|input| match first(input, &memory) {
            First::Done(plan) => *plan,
            First::Fetch(fetch) => {
                fetches += 1;
                cause = Some(fetch.cause);
                then(input, &memory, &fetch, self.fetch(&fetch, input))
            }
        });
        self.fetches += fetches;
        self.cause = cause.or(self.cause);
        let outcome = self.answer.take().unwrap_or_else(|| self.write(&plan.write));
        let report = self.with_input(|input| report(input, &memory, &plan, &outcome));
        self.memory = report.memory.clone();
        if let Some(status) = &report.status {
            self.object.status = Some(status.clone());
        }
        Look { plan, report, fetched: self.fetches > before }
    }

    fn fetch(&self, fetch: &Fetch, input: &Input<'_>) -> Fetched {
        if let Some(reason) = self.trouble {
            return Fetched::Failed { reason, message: "trouble".to_owned(), all_missing: false };
        }
        let Some((value, version)) = &self.entry else {
            let message = "app: there is no such entry".to_owned();
            return Fetched::Failed { reason: Reason::EntryMissing, message, all_missing: true };
        };
        if let (Some([known]), Some(lease)) = (fetch.known(input), &self.lease)
            && known.lease.is_some()
        {
            return Fetched::Same(vec![entry_status("app", version.clone(), Some(lease), input.now)]);
        }
        if let Some([known]) = fetch.known(input)
            && known.version.is_some()
            && known.version == *version
        {
            return Fetched::Same(vec![known.clone()]);
        }
        let entry =
            Entry { value: Secret::new(value.clone()), version: version.clone(), lease: self.lease.clone() };
        let needs = fetch.spec.needs("");
        let answers = needs.into_iter().map(|need| (need, Answer::Entry(Arc::new(entry.clone()))));
        Fetched::Values {
            answers: answers.collect(),
            entries: vec![entry_status("app", version.clone(), self.lease.as_ref(), input.now)],
            store: Some(self.stores[0].store.clone()),
        }
    }

    fn write(&mut self, write: &Write) -> Outcome {
        self.version += 1;
        let resource_version = self.version.to_string();
        match write {
            Write::None => Outcome::None,
            Write::Create(produced) => {
                let uid = format!("secret-{}", self.version);
                self.hold(produced, &uid);
                Outcome::Created { uid, resource_version }
            }
            Write::Apply { uid, produced, .. } => {
                let is_same = self.secret.as_ref() == Some(&produced.data);
                self.hold(produced, uid);
                Outcome::Applied { uid: uid.clone(), resource_version, changed: !is_same }
            }
            Write::Merge { uid, data, .. } => {
                let merged = self.secret.take().unwrap_or_default().with(data.clone());
                self.secret = Some(merged);
                let target = self.target.as_mut().unwrap();
                target.resource_version.clone_from(&resource_version);
                Outcome::Applied { uid: uid.clone(), resource_version, changed: true }
            }
            Write::Delete { uid, resource_version, .. } => {
                let target = self.target.take().unwrap();
                assert_eq!((&target.uid, &target.resource_version), (uid, resource_version));
                self.secret = None;
                Outcome::Deleted
            }
        }
    }

    fn hold(&mut self, produced: &Produced, uid: &str) {
        self.target = Some(Target {
            uid: uid.to_owned(),
            resource_version: self.version.to_string(),
            annotations: produced.annotations.clone(),
            owners: produced.owner.clone().into_iter().collect(),
        });
        self.secret = Some(produced.data.clone());
        self.produced = Some(produced.clone());
    }

    /// Somebody else's Secret is there.
    fn found(&mut self, annotations: &[(&str, &str)]) {
        let map = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.target = Some(Target {
            uid: "secret-0".to_owned(),
            resource_version: "7".to_owned(),
            annotations: map.collect(),
            owners: Vec::new(),
        });
        self.secret = Some([("other".parse().unwrap(), secret("theirs"))].into_iter().collect());
    }

    /// Somebody else changes the Secret.
    fn drift(&mut self) {
        self.version += 1;
        self.target.as_mut().unwrap().resource_version = self.version.to_string();
        self.secret = Some([("password".parse().unwrap(), secret("forged"))].into_iter().collect());
    }

    /// Somebody else deletes the Secret.
    fn delete(&mut self) {
        (self.target, self.secret) = (None, None);
    }

    /// The provider has another value.
    fn rotate(&mut self, value: &str, version: &str) {
        let text = json!({"password": value}).to_string();
        self.entry = Some((text.into_bytes(), Some(version.to_owned())));
    }

    fn edit(&mut self, spec: Value) {
        let mut whole = serde_json::to_value(&self.object.spec).unwrap();
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.object.spec = serde_json::from_value(whole).unwrap();
        *self.object.metadata.generation.as_mut().unwrap() += 1;
    }

    fn annotate(&mut self, key: &str, value: &str) {
        let annotations = self.object.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
    }

    fn ready(&self) -> (&str, &str) {
        let status = self.object.status.as_ref().unwrap();
        let Condition { status, reason, .. } =
            conditions::get(&status.conditions, ConditionType::Ready).unwrap();
        (status, reason)
    }

    fn password(&self) -> Option<&[u8]> {
        Some(self.secret.as_ref()?.get("password")?.expose())
    }

    /// Another process goes on.
    fn restart(&mut self) {
        self.memory = Memory::default();
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn reasons(events: &[Event]) -> Vec<Reason> {
    events.iter().map(|event| event.reason).collect()
}
