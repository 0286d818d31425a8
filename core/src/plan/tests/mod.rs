//! Decisions on values: a small world with one SealedSecret, one Secret and a ring, in which plans are carried out.

mod binding;
mod forged;
mod ownership;
mod proposals;
mod refusals;
mod rollback;
mod specs;
mod steady;
mod writers;

use std::collections::BTreeMap;

use waxwing_crds::{
    ClusterScopePolicy, Condition, ConditionType, Reason, RollbackPolicy, SealedSecret, SealedSecretStatus,
    conditions, names,
};

use super::*;
use crate::{
    Secret,
    keys::Identity,
    seal::{Binding, Sealed},
};

/// Some Tuesday, in seconds.
const NOW: i64 = 1_789_000_000;

/// One object, its Secret, and what decides about them.
struct World {
    identity: Identity,
    identities: Identities,
    object: SealedSecret,
    target: Option<Target>,
    /// What the Secret holds, as far as we wrote it.
    secret: Option<Produced>,
    memory: Memory,
    rollback: RollbackPolicy,
    cluster_scope: ClusterScopePolicy,
    rewrap_to: Vec<NamedRecipient>,
    required: Vec<NamedRecipient>,
    unusable: Option<Reason>,
    locked: bool,
    terminating: bool,
    source: Option<Source>,
    now: i64,
    version: u64,
    /// Answers the next write instead of the API server.
    answer: Option<Outcome>,
}

/// What one look did.
struct Look {
    plan: Plan,
    report: Report,
}

impl World {
    /// A SealedSecret `db` in `apps` with one value, which has not been looked at.
    fn new() -> Self {
        let identity = Identity::generate();
        let mut object = SealedSecret::new("db", Default::default());
        object.metadata.namespace = Some("apps".to_owned());
        object.metadata.uid = Some("object-1".to_owned());
        object.metadata.generation = Some(1);
        let mut world = Self {
            identities: [identity.clone()].into_iter().collect(),
            identity,
            object,
            target: None,
            secret: None,
            memory: Memory::default(),
            rollback: RollbackPolicy::Warn,
            cluster_scope: ClusterScopePolicy::Deny,
            rewrap_to: Vec::new(),
            required: Vec::new(),
            unusable: None,
            locked: false,
            terminating: false,
            source: None,
            now: NOW,
            version: 100,
            answer: None,
        };
        world.seal_as(Scope::Strict, "Opaque", &[("password", "one")]);
        world
    }

    /// One that was looked at and is in order.
    fn settled() -> Self {
        let mut world = Self::new();
        world.look();
        assert_eq!(world.ready(), ("True", "Synced"));
        world
    }

    fn recipients(&self) -> Vec<NamedRecipient> {
        vec![NamedRecipient::new("test", self.identity.recipient().clone()).unwrap()]
    }

    fn binding(&self, scope: Scope, secret_type: &str) -> Binding {
        Binding {
            scope,
            namespace: self.object.metadata.namespace.clone().unwrap_or_default(),
            name: self.object.metadata.name.clone().unwrap_or_default(),
            secret_type: secret_type.to_owned(),
        }
    }

    /// Seals everything anew.
    fn seal_as(&mut self, scope: Scope, secret_type: &str, values: &[(&str, &str)]) {
        let mut sealed = Sealed::empty(self.binding(scope, secret_type));
        for (key, value) in values {
            self.seal_into(&mut sealed, key, value);
        }
        sealed.write_into(&mut self.object.spec);
    }

    /// One more sealing act in the spec that is there.
    fn set(&mut self, key: &str, value: &str) {
        let mut sealed = self.sealed();
        self.seal_into(&mut sealed, key, value);
        sealed.write_into(&mut self.object.spec);
        self.commit();
    }

    fn unset(&mut self, key: &str) {
        let mut sealed = self.sealed();
        assert!(sealed.unset(&key.parse().unwrap()));
        sealed.write_into(&mut self.object.spec);
        self.commit();
    }

    fn sealed(&self) -> Sealed {
        Sealed::parse(&self.object.spec, "apps", "db").unwrap()
    }

    fn seal_into(&self, sealed: &mut Sealed, key: &str, value: &str) {
        let value = Secret::new(value.as_bytes().to_vec());
        sealed.seal(&[(key.parse().unwrap(), value)], &self.recipients(), self.now).unwrap();
    }

    /// The spec is another one.
    fn commit(&mut self) {
        self.object.metadata.generation = self.object.metadata.generation.map(|generation| generation + 1);
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.object.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    }

    fn status(&mut self) -> &mut SealedSecretStatus {
        self.object.status.get_or_insert_default()
    }

    fn with_input<T>(&self, then: impl FnOnce(&Input<'_>) -> T) -> T {
        let none = Default::default();
        then(&Input {
            object: Object::new(&self.object, &none),
            target: self.target.as_ref(),
            ring: Ring {
                identities: &self.identities,
                rewrap_to: &self.rewrap_to,
                required: &self.required,
                rollback: self.rollback,
                cluster_scope: self.cluster_scope,
                unusable: self.unusable,
                locked: self.locked,
            },
            place: Place { operator_namespace: "waxwing-system", terminating: self.terminating },
            source: self.source.as_ref(),
            now: self.now,
        })
    }

    fn plan(&self) -> Plan {
        self.with_input(|input| plan(input, &self.memory))
    }

    /// Plans, writes and reports, as the shells do.
    fn look(&mut self) -> Look {
        let plan = self.plan();
        let outcome = match self.answer.take() {
            Some(answer) => answer,
            None => self.carry_out(&plan.write),
        };
        // The report is made of what was observed before the write.
        let report = self.with_input(|input| report(input, &self.memory, &plan, &outcome));
        self.follow(&plan.write, &outcome);
        if let Some(status) = &report.status {
            self.object.status = Some(status.clone());
        }
        self.memory = report.memory.clone();
        Look { plan, report }
    }

    /// What the API server would answer.
    fn carry_out(&self, write: &Write) -> Outcome {
        let next = (self.version + 1).to_string();
        match write {
            Write::None => Outcome::None,
            Write::Create(_) => Outcome::Created { uid: format!("secret-{next}"), resource_version: next },
            Write::Apply { uid, produced, .. } => {
                let target = self.target.as_ref().unwrap();
                assert_eq!(*uid, target.uid);
                let changed = self.secret.as_ref() != Some(produced);
                let resource_version = if changed { next } else { target.resource_version.clone() };
                Outcome::Applied { uid: uid.clone(), resource_version, changed }
            }
            Write::Merge { .. } | Write::Delete { .. } => unreachable!("no SealedSecret asks for it"),
        }
    }

    fn follow(&mut self, write: &Write, outcome: &Outcome) {
        let (Outcome::Created { uid, resource_version } | Outcome::Applied { uid, resource_version, .. }) =
            outcome
        else {
            return;
        };
        let (Write::Create(produced) | Write::Apply { produced, .. }) = write else { return };
        let mut annotations = self.target.take().unwrap_or_default().annotations;
        annotations.extend(produced.annotations.clone());
        self.target = Some(Target {
            uid: uid.clone(),
            resource_version: resource_version.clone(),
            annotations,
            owners: produced.owner.clone().into_iter().collect(),
        });
        self.secret = Some(produced.clone());
        self.version += 1;
    }

    /// Somebody else writes the Secret: its metadata, or a value of ours.
    fn touch(&mut self, ours: bool) {
        self.version += 1;
        self.target.as_mut().unwrap().resource_version = self.version.to_string();
        if ours {
            self.secret = None;
        }
    }

    fn value(&self, key: &str) -> Option<String> {
        let value = self.secret.as_ref()?.data.get(key)?;
        Some(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        conditions::get(&self.object.status.as_ref()?.conditions, type_)
    }

    /// Status and reason of `Ready`.
    fn ready(&self) -> (&str, &str) {
        self.condition(ConditionType::Ready)
            .map_or(("", ""), |ready| (ready.status.as_str(), ready.reason.as_str()))
    }
}

/// The plan is to write nothing, because of `reason`; the message.
fn refused(plan: &Plan, reason: Reason) -> &str {
    assert_eq!(plan.write, Write::None);
    match &plan.finding {
        Finding::Failing { reason: found, message } => {
            assert_eq!(*found, reason, "{message}");
            message
        }
        other => panic!("expected {reason}, found {other:?}"),
    }
}

/// A Secret that is there and that we did not write.
fn foreign(annotations: &[(&str, &str)]) -> Target {
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Target {
        uid: "secret-0".to_owned(),
        resource_version: "7".to_owned(),
        annotations: annotations.collect(),
        owners: Vec::new(),
    }
}

#[test]
fn a_new_object_makes_a_secret_and_nothing_else() {
    let mut world = World::new();
    let Look { plan, report } = world.look();
    let Write::Create(produced) = &plan.write else { panic!("{plan:?}") };
    let expected = Produced {
        namespace: "apps".to_owned(),
        name: "db".to_owned(),
        secret_type: "Opaque".to_owned(),
        immutable: false,
        labels: [(names::MANAGED_BY.to_owned(), "waxwing".to_owned())].into(),
        annotations: BTreeMap::from(
            [
                ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
                ("argocd.argoproj.io/sync-options", "Prune=false"),
                ("waxwing.dev/owned-by", "SealedSecret/db"),
                ("waxwing.dev/seq", &format!("{{\"password\":{NOW}}}")),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        ),
        owner: Some(Owner {
            api_version: "waxwing.dev/v1alpha1".to_owned(),
            kind: "SealedSecret".to_owned(),
            name: "db".to_owned(),
            uid: "object-1".to_owned(),
            controller: true,
        }),
        data: [("password".parse().unwrap(), Secret::new(b"one".to_vec()))].into_iter().collect(),
        manager: names::field_manager("SealedSecret", "db"),
    };
    assert_eq!(*produced, expected);
    assert_eq!(report.events, []);
    assert_eq!((report.next, report.failure), (Next::OnChange, None));
    let status = report.status.unwrap();
    assert_eq!(status.observed_generation, Some(1));
    let keys: Vec<_> = status.keys.iter().map(|key| (key.name.as_str(), key.seq, key.removed)).collect();
    assert_eq!(keys, [("password", NOW.unsigned_abs(), None)]);
    assert_eq!(status.keys[0].key_id, world.identity.id().to_string());
}

#[test]
fn what_is_produced_shows_no_value() {
    let mut world = World::new();
    world.set("password", "canary-7Hq2");
    let shown = format!("{:?} {:#?}", world.plan(), world.look().plan);
    assert!(
        shown.contains("password") && !shown.contains("canary") && !shown.contains("Y2FuYXJ5"),
        "{shown}"
    );
}
