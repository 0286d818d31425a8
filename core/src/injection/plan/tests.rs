//! Decisions on values: a small world with one injection, its Secrets and its history, in which plans are carried out.

mod loading;
mod steady;

use waxwing_crds::{CredentialStatus, ReceiverState};

use super::*;
use crate::{
    injection::alertmanager::KIND,
    keys::Identity,
    plan::{Event, Next, Outcome},
};

/// Some Tuesday, in seconds.
const NOW: i64 = 1_789_000_000;

/// One injection, its published Secret, its history, and what decides about them.
struct World {
    identities: Identities,
    status: InjectionStatus,
    annotations: BTreeMap<String, String>,
    generation: i64,
    spec: String,
    deleting: bool,
    terms: Terms,
    facts: Vec<Fact>,
    targets: Vec<Option<Target>>,
    /// What the published Secret holds.
    published: Data,
    history: Vec<Revision>,
    /// What is made of the document, or why nothing is.
    text: Result<String, Reason>,
    receivers: Vec<ReceiverStatus>,
    memory: Memory,
    now: i64,
    version: u64,
    /// Which revision every endpoint has; none where that is not looked at.
    load: Option<(usize, usize)>,
    /// Answers the next write of the published Secret instead of the API server.
    answer: Option<Outcome>,
}

/// What one look did.
struct Look {
    report: Report,
    cause: Option<Cause>,
    writes: usize,
}

impl World {
    /// An injection `main` in `apps`, which has not been looked at.
    fn new() -> Self {
        Self {
            identities: [Identity::generate()].into_iter().collect(),
            status: InjectionStatus::default(),
            annotations: BTreeMap::new(),
            generation: 1,
            spec: "{}".to_owned(),
            deleting: false,
            terms: Terms {
                secrets: vec!["published".to_owned()],
                max_stale: 3600,
                history: 3,
                ..Terms::default()
            },
            facts: vec![Fact {
                what: "Secret/keys".to_owned(),
                uid: "s".to_owned(),
                version: "1".to_owned(),
            }],
            targets: vec![None],
            published: Data::default(),
            history: Vec::new(),
            text: Ok("one".to_owned()),
            receivers: vec![ReceiverStatus { name: "ops".to_owned(), ..ReceiverStatus::default() }],
            memory: Memory::default(),
            now: NOW,
            version: 100,
            load: None,
            answer: None,
        }
    }

    /// One that was looked at and is in order.
    fn settled() -> Self {
        let mut world = Self::new();
        world.look();
        assert_eq!(world.ready(), ("True".to_owned(), "Published".to_owned()));
        world
    }

    fn with_input<T>(&self, use_it: impl FnOnce(&Input<'_>) -> T) -> T {
        use_it(&Input {
            object: Object {
                kind: KIND,
                namespace: "apps",
                name: "main",
                uid: "00000000-object",
                generation: Some(self.generation),
                deleting: self.deleting,
                annotations: &self.annotations,
                spec: &self.spec,
                status: &self.status,
            },
            terms: Ok(&self.terms),
            targets: &self.targets,
            facts: &self.facts,
            identities: &self.identities,
            unusable: None,
            place: Place { operator_namespace: "waxwing-system", terminating: false },
            source: None,
            now: self.now,
        })
    }

    fn wanted(&self) -> Result<Wanted, Fault> {
        let text = self.text.as_ref();
        let text = text.map_err(|reason| Fault { reason: *reason, message: "it is so".to_owned() })?;
        let value = Secret::new(text.as_bytes().to_vec());
        let data = [("alertmanager.yaml".parse().unwrap(), value.clone())].into_iter().collect();
        let reference = Reference::Secret { name: "keys".to_owned(), key: "k".to_owned() };
        Ok(Wanted {
            secrets: vec![Wish { data, ..Wish::default() }],
            receivers: self.receivers.clone(),
            credentials: [(reference, value)].into_iter().collect(),
            ..Wanted::default()
        })
    }

    /// One look, and everything that follows from it.
    fn look(&mut self) -> Look {
        let (plan, cause, late) = self.with_input(|input| match first(input, &self.memory) {
            First::Done(plan) => (*plan, None, None),
            First::Gather(gather) => {
                let history = self.copies();
                let plan = then(input, &gather, Gathered { made: self.wanted(), history });
                (plan, Some(gather.cause), gather.late)
            }
        });
        if let Some(late) = late {
            let asked = self.annotations.get(names::REFRESH).cloned().unwrap_or_default();
            self.history
                .iter_mut()
                .filter(|one| one.number == late)
                .for_each(|one| one.failed = Some(asked.clone()));
        }
        let writes = usize::from(plan.writes.history.is_some())
            + plan.writes.published.len()
            + plan.writes.pruned.len();
        if let Some(write) = &plan.writes.history {
            self.keep(write);
        }
        let mut outcomes = Vec::new();
        for write in &plan.writes.published {
            outcomes.push(self.answer.take().unwrap_or_else(|| self.publish(write)));
        }
        for write in &plan.writes.pruned {
            let Write::Delete { name, .. } = write else { panic!("{write:?}") };
            self.history.retain(|one| one.name != *name);
        }
        let load = self.load.map(|(loaded, all)| Load { loaded, all, problem: None });
        let refused = outcomes
            .iter()
            .position(|outcome| matches!(outcome, Outcome::Unavailable | Outcome::Forbidden { .. }));
        let report = self.with_input(|input| {
            let outcomes = match refused {
                Some(index) => Err((&plan.writes.published[index], &outcomes[index])),
                None => Ok(outcomes.as_slice()),
            };
            report(input, &self.memory, &plan, outcomes, &Seen { load, ..Seen::default() })
        });
        if let Some(status) = &report.status {
            self.status = status.clone();
        }
        if let Some(loaded) = report.newly_loaded {
            self.history.iter_mut().filter(|one| one.number == loaded).for_each(|one| one.loaded = true);
        }
        self.memory = report.memory.clone();
        Look { report, cause, writes }
    }

    fn copies(&self) -> Vec<Revision> {
        let copy = |one: &Revision| Revision {
            number: one.number,
            name: one.name.clone(),
            uid: one.uid.clone(),
            resource_version: one.resource_version.clone(),
            data: one.data.clone(),
            credentials: one.credentials.clone(),
            loaded: one.loaded,
            failed: one.failed.clone(),
        };
        self.history.iter().map(copy).collect()
    }

    fn keep(&mut self, write: &Write) {
        let (Write::Create(produced) | Write::Apply { produced, .. }) = write else { panic!("{write:?}") };
        self.version += 1;
        self.history.retain(|one| one.name != produced.name);
        let id = (produced.name.clone(), format!("u-{}", produced.name), self.version.to_string());
        let revision = Revision::read(id, &produced.annotations, produced.data.clone());
        self.history.push(revision.expect("what was written is read"));
        self.history.sort_by_key(|one| one.number);
    }

    fn publish(&mut self, write: &Write) -> Outcome {
        let (Write::Create(produced) | Write::Apply { produced, .. }) = write else { panic!("{write:?}") };
        let changed = self.published != produced.data || self.targets[0].is_none();
        self.version += u64::from(changed);
        self.published = produced.data.clone();
        let target = Target {
            uid: "published-1".to_owned(),
            resource_version: if changed {
                self.version.to_string()
            } else {
                self.targets[0].as_ref().map(|target| target.resource_version.clone()).unwrap_or_default()
            },
            annotations: produced.annotations.clone(),
            owners: produced.owner.iter().cloned().collect(),
        };
        let (uid, resource_version) = (target.uid.clone(), target.resource_version.clone());
        self.targets = vec![Some(target)];
        match write {
            Write::Create(_) => Outcome::Created { uid, resource_version },
            _ => Outcome::Applied { uid, resource_version, changed },
        }
    }

    /// The text that is published.
    fn text(&self) -> String {
        let value = self.published.get("alertmanager.yaml").map(|value| value.expose().to_vec());
        String::from_utf8(value.unwrap_or_default()).unwrap()
    }

    fn ready(&self) -> (String, String) {
        let ready = conditions::get(&self.status.conditions, ConditionType::Ready).expect("it is said");
        (ready.status.clone(), ready.reason.clone())
    }

    /// A Secret that it refers to has another version.
    fn touch_source(&mut self) {
        self.version += 1;
        self.facts[0].version = self.version.to_string();
    }

    fn said(&self, look: &Look, reason: Reason) -> bool {
        look.report.events.iter().any(|event: &Event| event.reason == reason)
    }
}

fn stale(since: i64) -> ReceiverStatus {
    ReceiverStatus {
        name: "ops".to_owned(),
        state: ReceiverState::Stale,
        credentials: vec![CredentialStatus {
            field: "x".to_owned(),
            from: "Secret/keys, key k".to_owned(),
            problem: Some("there is no such Secret".to_owned()),
            stale_since: Some(conditions::time(since)),
            ..CredentialStatus::default()
        }],
    }
}
