//! What is to be done about one ExternalSecret: pure functions of what was observed and fetched.
//!
//! ```text
//! observe  ->  first(Input, Memory) -> First  ->  fetch  ->  then(.., Fetched) -> Plan  ->  apply  ->  report
//! ```
//! [`first`] says whether anything is to be fetched at all; a restart with nothing to do ends there. [`then`] decides
//! what is written. Both hold to the rules of [`crate::plan`]: a failure writes nothing, no status is believed except
//! through the mark, and nothing outside of the object's own namespace is written.

mod due;
mod mark;
mod produce;
mod report;
pub mod rollout;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use waxwing_crds::{EntryStatus, ExternalSecretSpec, ExternalSecretStatus, Reason, Source, names};

use super::{Answers, Ask, Creation, Deletion, Refresh, Rollout, Spec, StoreRef, assemble, check_size};
use crate::{
    keys::Identities,
    plan::{
        self, Data, Holder, Look, Place, Target, Write,
        claim::{self, Claim},
        stamp::Mark,
        with_advice,
    },
    store::Lease,
};
use due::Times;

pub use report::{Report, report};

/// The kind, as `waxwing.dev/owned-by` names it.
pub const KIND: &str = "ExternalSecret";

/// Everything that a decision depends on, besides [`Memory`] and what is fetched.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The ExternalSecret.
    pub object: Object<'a>,
    /// The Secret of its target's name, if there is one.
    pub target: Option<&'a Target>,
    /// The stores that it names, as far as they exist, in the order of its list.
    pub stores: &'a [StoreFact],
    /// The ring's identities: the mark in the status is made with one.
    pub identities: &'a Identities,
    /// Why there is none, when that is so.
    pub unusable: Option<Reason>,
    /// Where this happens.
    pub place: Place<'a>,
    /// The commit that the GitOps tool synced at, where it was read; see [`wants_source`].
    pub source: Option<&'a Source>,
    /// Unix seconds.
    pub now: i64,
}

/// An ExternalSecret as it is.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid; empty outside of a cluster.
    pub uid: &'a str,
    /// Its generation; none outside of a cluster.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Its spec, or which field is not of its type.
    pub spec: Result<&'a ExternalSecretSpec, &'a str>,
    /// The same, checked, where the caller has done that already.
    pub checked: Option<&'a Arc<Spec>>,
    /// Its status: a hint.
    pub status: &'a ExternalSecretStatus,
}

impl<'a> Input<'a> {
    /// What restraint against other writers depends on.
    fn look(&self) -> Look<'a> {
        Look {
            generation: self.object.generation,
            refresh: self.object.annotations.get(names::REFRESH),
            secret_uid: self.target.map(|target| target.uid.as_str()),
            now: self.now,
        }
    }
}

impl<'a> Object<'a> {
    /// The object as the owner of Secrets.
    pub fn holder(&self) -> Holder<'a> {
        Holder { kind: KIND, name: self.name, uid: self.uid }
    }

    /// Whether its author has paused it.
    pub fn is_suspended(&self) -> bool {
        self.annotations.get(names::SUSPEND).is_some_and(|value| value == "true")
    }

    /// What asks for a refresh now, if that has not been done yet.
    fn asked(&self) -> Option<&'a String> {
        let asked = self.annotations.get(names::REFRESH);
        asked.filter(|asked| self.status.refreshed.as_ref() != Some(asked))
    }
}

/// Which store stands behind a name at the moment. Another one, or another spec of it, gives other values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreFact {
    /// Kind and name.
    #[serde(flatten)]
    pub store: StoreRef,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// What a process remembers of one object. Losing it costs a look, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// As for every produced Secret.
    pub secret: plan::Memory,
    /// When the values were fetched last by this process.
    pub fetched: Option<i64>,
    /// Whether they are fetched again by time.
    pub by_time: bool,
    /// When leases are to be prolonged.
    pub lease_due: Option<i64>,
    /// The leases that this object holds.
    pub leases: Vec<String>,
    /// The store that gave them.
    pub lessor: Option<StoreRef>,
    /// When the provider first said that the entries do not exist. It counts only within one process: it decides about
    /// a deletion, and anybody may have written the status.
    pub missing_since: Option<i64>,
}

/// What comes first.
pub enum First {
    /// Nothing needs to be fetched: this is the plan.
    Done(Box<Plan>),
    /// This is to be fetched.
    Fetch(Box<Fetch>),
}

/// What is to be fetched, and why.
pub struct Fetch {
    /// The checked spec.
    pub spec: Arc<Spec>,
    /// Why.
    pub cause: Cause,
    /// What the Secret's own metadata allow.
    claim: Claim,
    mark: Mark,
}

/// Why values are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The object, or a store, is new or has changed.
    Changed,
    /// Somebody else has changed or deleted the Secret.
    Drift,
    /// It is time to look whether the values have changed.
    Due,
    /// It is time to prolong leases.
    Lease,
    /// The annotation `waxwing.dev/refresh` asks for it: no value may be older than the wish.
    Forced,
}

impl Fetch {
    /// The entries as they were when the Secret was written, in the order of the reads among [`Spec::needs`]. Only where
    /// they are certain, and where finding the same versions again means that nothing is to be done.
    pub fn known<'a>(&self, input: &Input<'a>) -> Option<&'a [EntryStatus]> {
        let entries = input.object.status.entries.as_slice();
        let is_refresh = matches!(self.cause, Cause::Due | Cause::Lease) && self.mark == Mark::InSync;
        let needs = self.spec.needs(input.object.uid);
        let is_all_read = needs.iter().all(|need| matches!(need.ask, Ask::Read(_)));
        (is_refresh && is_all_read && entries.len() == needs.len()).then_some(entries)
    }
}

/// What was fetched.
pub enum Fetched {
    /// Every entry still has the version that it had, so has the Secret. Leases may have been prolonged.
    Same(Vec<EntryStatus>),
    /// The values, in the order of [`Spec::needs`] where they are reads, and the store that gave them.
    Values {
        /// The answers.
        answers: Answers,
        /// Versions and leases of the reads.
        entries: Vec<EntryStatus>,
        /// Who gave them.
        store: Option<StoreRef>,
    },
    /// They could not be had.
    Failed {
        /// Why.
        reason: Reason,
        /// What is wrong; safe to show.
        message: String,
        /// Whether the provider has said of every entry that it does not exist.
        all_missing: bool,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The write, if one is needed.
    pub write: Write,
    /// What is to be said, when the write succeeds or none is needed.
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The object is being deleted; its Secret goes with it where it has an owner reference.
    Deleting,
    /// Something is wrong.
    Failing {
        /// Why.
        reason: Reason,
        /// What is wrong, and what to do.
        message: String,
        /// Whether the provider has said of every entry that it does not exist.
        all_missing: bool,
    },
    /// All is well, or will be with the write.
    Good(Box<Good>),
    /// The object is paused.
    Suspended,
    /// Another writer causes looks too often; the next one is due in so many seconds.
    Waiting {
        /// Seconds.
        seconds: u64,
    },
}

/// The facts about an object whose Secret is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Good {
    /// How many keys the Secret has from this object; none when nothing was fetched.
    pub keys: Option<usize>,
    /// The store that gave the values.
    pub store: Option<StoreRef>,
    /// Versions and leases.
    pub entries: Vec<EntryStatus>,
    /// The keyed digest of the produced values.
    pub values: String,
    /// Whether values were fetched by this look.
    pub fetched: bool,
    /// Whether they are others than before.
    pub changed: bool,
    /// Whether the Secret becomes ours with this write, by adoption.
    pub adopts: bool,
    /// Whether nothing but the Secret itself had changed.
    pub touched: bool,
    /// Whether the Secret is not there because its entries are not.
    pub gone: bool,
    /// The Secret that was found right, as uid and resource version, when nothing needs to be written.
    pub in_sync: Option<(String, String)>,
    /// When to fetch again, in Unix seconds.
    pub due: Option<i64>,
    /// When to prolong leases, in Unix seconds.
    pub lease_due: Option<i64>,
    /// Seconds between two fetches; none where time does not bring one.
    pub interval: Option<i64>,
    /// What is restarted when values change.
    pub rollouts: Vec<Rollout>,
}

/// Decides whether anything is to be fetched.
///
/// # Flow
/// deletion, suspension, grammar and limits, names, ring, ownership, mark, time, namespace, restraint against other
/// writers. The first that fails is the finding, and nothing is fetched.
pub fn first(input: &Input<'_>, memory: &Memory) -> First {
    let object = &input.object;
    let done = |finding| First::Done(Box::new(Plan { write: Write::None, finding }));
    if object.deleting {
        return done(Finding::Deleting);
    }
    if object.is_suspended() {
        return done(Finding::Suspended);
    }
    decide(input, memory).unwrap_or_else(done)
}

/// Whether the commit is to be read: the generation is new, or what the status says of it is not ours.
pub fn wants_source(input: &Input<'_>, first: &First) -> bool {
    let object = &input.object;
    let is_new = object.status.observed_generation != object.generation;
    let is_stale = || match first {
        First::Fetch(fetch) => fetch.mark == Mark::Stale,
        First::Done(plan) => {
            !matches!(plan.finding, Finding::Good(_)) && mark::check(input, None) == Mark::Stale
        }
    };
    !object.deleting && (is_new || is_stale())
}

fn decide(input: &Input<'_>, memory: &Memory) -> Result<First, Finding> {
    let object = &input.object;
    let spec = object.spec.map_err(|what| failing(what, Reason::InvalidSpec))?;
    let spec = match object.checked {
        Some(checked) => Arc::clone(checked),
        None => Spec::read(spec, object.namespace, object.name)
            .map(Arc::new)
            .map_err(|error| failing(&error.to_string(), error.reason()))?,
    };
    let is_operators = !object.namespace.is_empty() && object.namespace == input.place.operator_namespace;
    if is_operators && spec.target.starts_with(names::RESERVED_NAME_PREFIX) {
        let what = "the target's name begins with waxwing-, in the operator's own namespace";
        return Err(failing(what, Reason::NameReserved));
    }
    if let Some(reason) = input.unusable {
        return Err(failing("no identity can be used, and the status is marked with one", reason));
    }
    let claim = claim_of(input, &spec)?;
    let mark = mark::check(input, input.target.filter(|_| claim != Claim::Adoptable));
    let due = due::of(input, memory, &spec, mark);
    let cause = cause(input, &spec, mark, due);
    let Some(cause) = cause else {
        return Ok(First::Done(Box::new(Plan {
            write: Write::None,
            finding: Finding::Good(Box::new(unchanged(input, &spec, due))),
        })));
    };
    if input.place.terminating {
        return Err(failing("the namespace is being deleted", Reason::NamespaceTerminating));
    }
    plan::restrain(&input.look(), &memory.secret, cause == Cause::Drift).map_err(|held| match held {
        plan::Held::Failing(reason, message) => Finding::Failing { reason, message, all_missing: false },
        plan::Held::Waiting(seconds) => Finding::Waiting { seconds },
    })?;
    Ok(First::Fetch(Box::new(Fetch { spec, cause, claim, mark })))
}

/// Whether the Secret may be written, by its own metadata.
fn claim_of(input: &Input<'_>, spec: &Spec) -> Result<Claim, Finding> {
    let refuse = |(reason, message)| Finding::Failing { reason, message, all_missing: false };
    match spec.creation {
        Creation::Owner | Creation::Orphan => {
            Claim::of(&input.object.holder(), &spec.target, input.target).map_err(refuse)
        }
        Creation::None => Ok(Claim::Absent),
        Creation::Merge => {
            let Some(target) = input.target else {
                return Err(failing(&format!("there is no Secret {}", spec.target), Reason::TargetMissing));
            };
            // Who may decide about a Secret is who may write it: it says so itself, or is another Waxwing object's.
            let consents = target.annotations.get(names::ADOPT).is_some_and(|value| value == "true")
                || target.annotations.contains_key(names::OWNED_BY);
            match consents {
                true => Ok(Claim::Adopted),
                false => {
                    let what = format!("Secret {} does not allow that keys are merged into it", spec.target);
                    Err(failing(&what, Reason::Conflict))
                }
            }
        }
    }
}

/// Why values are to be fetched, if they are.
fn cause(input: &Input<'_>, spec: &Spec, mark: Mark, due: Times) -> Option<Cause> {
    if input.object.asked().is_some() {
        return Some(Cause::Forced);
    }
    let is_once = spec.refresh == Refresh::CreatedOnce;
    match mark {
        Mark::Stale => return Some(Cause::Changed),
        // What is left to itself is put right when its time comes, and not before.
        Mark::Touched if spec.creation == Creation::Orphan => {}
        Mark::Touched if is_once && input.target.is_some() => {}
        Mark::Touched => return Some(Cause::Drift),
        Mark::InSync => {}
    }
    // What failed is in order only when it has been fetched.
    let was_ready = waxwing_crds::conditions::is_true(
        &input.object.status.conditions,
        waxwing_crds::ConditionType::Ready,
    );
    if !was_ready && !is_once {
        return Some(Cause::Due);
    }
    let is_due = |at: Option<i64>| at.is_some_and(|at| at <= input.now);
    match (is_due(due.values), is_due(due.lease)) {
        (true, _) => Some(Cause::Due),
        (false, true) => Some(Cause::Lease),
        (false, false) => None,
    }
}

/// All as it was.
fn unchanged(input: &Input<'_>, spec: &Spec, due: Times) -> Good {
    let status = input.object.status;
    let applied = status.applied.as_ref();
    Good {
        keys: None,
        store: status.store.as_ref().map(StoreRef::from),
        entries: status.entries.clone(),
        values: applied.map(|applied| applied.values.clone()).unwrap_or_default(),
        fetched: false,
        changed: false,
        adopts: false,
        touched: false,
        gone: is_gone(input),
        in_sync: Some(secret(input)),
        due: due.first(),
        lease_due: due.lease,
        interval: due::interval(spec),
        rollouts: spec.rollouts.clone(),
    }
}

/// Whether the Secret was deleted because its entries do not exist: that is what the mark says where it names none.
fn is_gone(input: &Input<'_>) -> bool {
    let applied = input.object.status.applied.as_ref();
    // Without values there is no digest of them; with `creationPolicy: None` there is one, and no Secret.
    applied.is_some_and(|applied| applied.values.is_empty())
}

/// Uid and version that the mark is about: of the Secret as it is, or as it was when its drift is left alone.
fn secret(input: &Input<'_>) -> (String, String) {
    match &input.object.status.applied {
        Some(applied) => (applied.secret_uid.clone(), applied.resource_version.clone()),
        None => Default::default(),
    }
}

/// Decides what is written, from what was fetched.
pub fn then(input: &Input<'_>, memory: &Memory, fetch: &Fetch, fetched: Fetched) -> Plan {
    conclude(input, memory, fetch, fetched).unwrap_or_else(|finding| Plan { write: Write::None, finding })
}

fn conclude(input: &Input<'_>, memory: &Memory, fetch: &Fetch, fetched: Fetched) -> Result<Plan, Finding> {
    let spec = &fetch.spec;
    let due = due::by_time(spec, input, Some(input.now));
    let good = |good: Good, write| {
        let due = Times { values: due, lease: due::of_leases(&good.entries, input.now) };
        let good = Good { due: due.first(), lease_due: due.lease, ..good };
        Ok(Plan { write, finding: Finding::Good(Box::new(good)) })
    };
    let (answers, entries, store) = match fetched {
        Fetched::Same(entries) => {
            return good(
                Good { fetched: true, entries, ..unchanged(input, spec, Times::default()) },
                Write::None,
            );
        }
        Fetched::Values { answers, entries, store } => (answers, entries, store),
        Fetched::Failed { all_missing: true, .. } if is_deletion_due(input, memory, fetch) => {
            let write = match input.target {
                Some(target) => Write::Delete {
                    namespace: input.object.namespace.to_owned(),
                    name: spec.target.clone(),
                    uid: target.uid.clone(),
                    resource_version: target.resource_version.clone(),
                },
                None => Write::None,
            };
            let in_sync = input.target.is_none().then(Default::default);
            let store = None;
            let gone = Good {
                keys: None,
                store,
                entries: Vec::new(),
                values: String::new(),
                fetched: true,
                changed: input.target.is_some(),
                adopts: false,
                touched: false,
                gone: true,
                in_sync,
                due: None,
                lease_due: None,
                interval: due::interval(spec),
                rollouts: spec.rollouts.clone(),
            };
            return good(gone, write);
        }
        Fetched::Failed { reason, message, all_missing } => {
            let message = with_advice(&message, reason);
            return Err(Finding::Failing { reason, message, all_missing });
        }
    };
    let values = assemble(spec, &answers).map_err(|error| failing(&error.to_string(), error.reason()))?;
    let keys =
        produce::compose(input, spec, values).map_err(|error| failing(&error.to_string(), error.reason()))?;
    check_size(&keys).map_err(|error| failing(&error.to_string(), error.reason()))?;
    let tag = mark::values(input, &keys);
    let before = input.object.status.applied.as_ref().map(|applied| applied.values.as_str());
    let is_same = before == Some(tag.as_str());
    let found = Good {
        keys: Some(keys.len()),
        store,
        entries,
        values: tag,
        fetched: true,
        changed: !is_same,
        adopts: fetch.claim == Claim::Adoptable,
        touched: fetch.cause == Cause::Drift,
        gone: false,
        in_sync: None,
        due: None,
        lease_due: None,
        interval: due::interval(spec),
        rollouts: spec.rollouts.clone(),
    };
    let is_right = fetch.mark == Mark::InSync && is_same;
    if is_right || spec.creation == Creation::None {
        let in_sync = Some(if is_right { secret(input) } else { Default::default() });
        return good(Good { in_sync, ..found }, Write::None);
    }
    let write = write(input, fetch, keys);
    good(found, write)
}

/// Whether the Secret goes, because the provider has said twice, a refresh apart, that its entries do not exist.
fn is_deletion_due(input: &Input<'_>, memory: &Memory, fetch: &Fetch) -> bool {
    let spec = &fetch.spec;
    // Once it is gone, and while there is none, nothing is deleted: one word of the provider is enough.
    if spec.deletion != Deletion::Delete || input.target.is_none() {
        return spec.deletion == Deletion::Delete && is_gone(input);
    }
    let apart = due::interval(spec).unwrap_or(due::DEFAULT);
    fetch.claim == Claim::Ours && memory.missing_since.is_some_and(|since| input.now - since >= apart)
}

fn write(input: &Input<'_>, fetch: &Fetch, keys: Data) -> Write {
    let (object, spec) = (&input.object, &fetch.spec);
    let manager = names::field_manager(KIND, object.name);
    match (spec.creation, input.target) {
        (Creation::Merge, Some(target)) => Write::Merge {
            uid: target.uid.clone(),
            namespace: object.namespace.to_owned(),
            name: spec.target.clone(),
            data: keys,
            manager,
        },
        (_, None) => Write::Create(produce::produce(input, spec, fetch.claim, keys, manager)),
        (_, Some(target)) => Write::Apply {
            uid: target.uid.clone(),
            stale_owners: claim::stale_owners(&object.holder(), target),
            produced: produce::produce(input, spec, fetch.claim, keys, manager),
        },
    }
}

fn failing(what: &str, reason: Reason) -> Finding {
    Finding::Failing { reason, message: with_advice(what, reason), all_missing: false }
}

/// The status of the entry under this key.
pub fn entry_status(key: &str, version: Option<String>, lease: Option<&Lease>, now: i64) -> EntryStatus {
    let expires = |lease: &Lease| now.saturating_add(i64::try_from(lease.seconds).unwrap_or(i64::MAX / 2));
    EntryStatus {
        key: key.to_owned(),
        version,
        lease: lease.map(|lease| waxwing_crds::LeaseStatus {
            id: lease.id.clone(),
            renewable: lease.renewable,
            expires_at: waxwing_crds::conditions::time(expires(lease)),
        }),
    }
}
