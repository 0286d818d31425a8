//! What is to be done about one SealedSecret: a pure function of what was observed.
//!
//! ```text
//! observe  ->  plan(Input, Memory) -> Plan  ->  apply  ->  report(Input, Memory, Plan, Outcome) -> Report
//! ```
//! [`plan`] decides, the shell writes at most one Secret, and [`report`] turns the API server's answer into status,
//! events and the time of the next look. Both are plain values that tests compare. The same two functions run in the
//! operator and in `waxwing render`.
//!
//! Invariants: no check is skipped because of a status, except through the mark in `status.applied`, which only
//! holders of the ring's identities can make. A failure writes nothing, so the last good Secret stays. Only the object's
//! own namespace and name are ever written.

pub(crate) mod claim;
mod floor;
pub mod key_ring;
pub(crate) mod mark;
mod produced;
mod propose;
pub(crate) mod report;
pub(crate) mod spec;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use waxwing_crds::{
    ClusterScopePolicy, KeySeq, ProposedEnvelopes, Reason, RollbackPolicy, SealedSecret, SealedSecretSpec,
    SealedSecretStatus, Source, names,
};

use crate::{
    keys::{Identities, NamedRecipient},
    seal::{DataKey, OpenError, Scope},
};
use claim::Claim;
use stamp::Mark;

pub use claim::Holder;
pub use produced::{Data, KIND, Owner, Ownership, Produced, produce};
pub use propose::Answer;
pub use report::{Denier, Event, Next, Outcome, Report, report};
pub use spec::{Spec, SpecError, is_namespace, is_object_name};

/// Raised when the same spec would give another Secret than before: every object is then looked at once.
pub const RENDER_VERSION: u32 = 1;
/// Seconds between two looks that another writer of the Secret causes, while those looks find nothing to correct.
pub const LOOK_INTERVAL: i64 = 60;
/// So many corrections within [`CONTEST_WINDOW`] mean that somebody else wants the Secret otherwise.
pub const CONTESTED: usize = 5;
/// Seconds that a correction counts.
pub const CONTEST_WINDOW: i64 = 3600;
/// Seconds between two corrections of a contested Secret: the ceiling of the backoff.
pub const CONTEST_INTERVAL: i64 = 300;

/// Seconds between two times that a contested Secret is made again after it was deleted.
pub const GONE_INTERVAL: i64 = 10;

/// Everything that a decision depends on, besides [`Memory`].
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The SealedSecret.
    pub object: Object<'a>,
    /// The Secret of its name, if there is one.
    pub target: Option<&'a Target>,
    /// What the ring holds and allows.
    pub ring: Ring<'a>,
    /// Where this happens.
    pub place: Place<'a>,
    /// The commit that the GitOps tool synced at, where it was read; see [`wants_source`].
    pub source: Option<&'a Source>,
    /// Unix seconds.
    pub now: i64,
}

/// A SealedSecret as it is.
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
    pub spec: Result<&'a SealedSecretSpec, &'a str>,
    /// Its status: a hint.
    pub status: &'a SealedSecretStatus,
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
    /// A whole object. `none` stands for the maps and the status that it may lack.
    pub fn new(object: &'a SealedSecret, none: &'a (BTreeMap<String, String>, SealedSecretStatus)) -> Self {
        let metadata = &object.metadata;
        Self {
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            annotations: metadata.annotations.as_ref().unwrap_or(&none.0),
            spec: Ok(&object.spec),
            status: object.status.as_ref().unwrap_or(&none.1),
        }
    }

    /// The object as the owner of Secrets.
    pub fn holder(&self) -> Holder<'a> {
        Holder { kind: KIND, name: self.name, uid: self.uid }
    }

    /// Whether its author has paused it.
    pub fn is_suspended(&self) -> bool {
        self.annotations.get(names::SUSPEND).is_some_and(|value| value == "true")
    }
}

/// The metadata of a Secret: nothing else of it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// Its annotations, at least those under `waxwing.dev/`.
    pub annotations: BTreeMap<String, String>,
    /// Its owner references, in their order.
    pub owners: Vec<Owner>,
}

/// What the ring holds and allows.
#[derive(Clone, Copy)]
pub struct Ring<'a> {
    /// The identities that may be tried for this namespace.
    pub identities: &'a Identities,
    /// To whom an existing data key may be wrapped again.
    pub rewrap_to: &'a [NamedRecipient],
    /// Who has to be able to open every seal.
    pub required: &'a [NamedRecipient],
    /// What happens to a value that is older than one already seen.
    pub rollback: RollbackPolicy,
    /// Whether values of scope `cluster` are opened.
    pub cluster_scope: ClusterScopePolicy,
    /// Why nothing can be opened, when that is so.
    pub unusable: Option<Reason>,
    /// Whether an identity of the ring is there and cannot be unwrapped now.
    pub locked: bool,
}

/// Where this happens.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace of the operator and its identities; empty outside of a cluster.
    pub operator_namespace: &'a str,
    /// Whether the object's namespace is being deleted, as far as that is known.
    pub terminating: bool,
}

/// What a process remembers of one object. Losing it costs a look, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When the Secret was put right against another writer, within [`CONTEST_WINDOW`].
    pub corrected: Vec<i64>,
    /// When another writer last caused a look that found nothing to correct.
    pub looked: Option<i64>,
    /// The last write that was refused for good.
    pub refused: Option<Refused>,
}

impl Memory {
    /// Forgets what counts no more.
    pub(crate) fn expire(&mut self, now: i64) {
        self.corrected.retain(|at| is_within(now, *at, CONTEST_WINDOW));
        self.looked = self.looked.filter(|at| is_within(now, *at, LOOK_INTERVAL));
    }

    /// Takes note of a Secret that is right now; says whether it was put right against another writer.
    pub(crate) fn settled(&mut self, touched: bool, outcome: &Outcome, now: i64) -> bool {
        let is_made = matches!(outcome, Outcome::Created { .. } | Outcome::Applied { changed: true, .. });
        if touched && is_made {
            self.corrected.push(now);
        } else if touched {
            self.looked = Some(now);
        }
        self.refused = None;
        touched && is_made
    }
}

/// A write that the API server refused for good: the same write is not tried again at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The generation that was to be written.
    pub generation: Option<i64>,
    /// The value of `waxwing.dev/refresh` then: a new one asks to try again.
    pub refresh: Option<String>,
    /// The Secret that was to be written.
    pub secret_uid: String,
    /// Why it was refused.
    pub reason: Reason,
    /// What the status says about it.
    pub message: String,
    /// When.
    pub at: i64,
}

impl Refused {
    /// This write, at this look.
    pub(crate) fn of(look: &Look<'_>, write: &Write, reason: Reason, message: &str) -> Self {
        Self {
            generation: look.generation,
            refresh: look.refresh.cloned(),
            secret_uid: write.uid().to_owned(),
            reason,
            message: message.to_owned(),
            at: look.now,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The write, if one is needed.
    pub write: Write,
    /// What is to be said, when the write succeeds or none is needed.
    pub finding: Finding,
}

/// One write of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    None,
    /// It must not exist yet.
    Create(Produced),
    /// It must still be the one with this uid.
    Apply {
        /// The Secret's uid.
        uid: String,
        /// Owner references to remove first: the object that they meant is gone. With their place in the list.
        stale_owners: Vec<(usize, Owner)>,
        /// What it shall be.
        produced: Produced,
    },
    /// These keys are added to a Secret of others, which must still be the one with this uid. Nothing is taken from
    /// another writer.
    Merge {
        /// The Secret's uid.
        uid: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The keys.
        data: Data,
        /// The field manager to write with.
        manager: String,
    },
    /// It must still be this very one.
    Delete {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
        /// Its resource version.
        resource_version: String,
    },
}

impl Write {
    /// The uid of the Secret that has to be there; empty where none has to.
    pub fn uid(&self) -> &str {
        match self {
            Self::Apply { uid, .. } | Self::Merge { uid, .. } | Self::Delete { uid, .. } => uid,
            Self::Create(_) | Self::None => "",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The object is being deleted; its Secret goes with it.
    Deleting,
    /// Something is wrong.
    Failing {
        /// Why.
        reason: Reason,
        /// What is wrong, and what to do.
        message: String,
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
    /// How far each key has come.
    pub keys: Vec<KeySeq>,
    /// The keys whose value is older than one already seen, where the policy is to report that.
    pub rolled_back: Vec<DataKey>,
    /// Required recipients that an envelope in use does not name.
    pub lacking: Vec<String>,
    /// Envelopes for the ring's present recipients, where somebody asked.
    pub proposed: Option<ProposedEnvelopes>,
    /// Whether they were made just now, or could not be.
    pub answer: Answer,
    /// Whether the Secret becomes ours with this write, by adoption.
    pub adopts: bool,
    /// Whether nothing but the Secret itself had changed.
    pub touched: bool,
    /// The Secret that was found right, as uid and resource version, when nothing needs to be written.
    pub in_sync: Option<(String, String)>,
}

/// Decides what is to be done about one SealedSecret.
///
/// # Flow
/// deletion, suspension, grammar and limits, names, ring, ownership, mark, namespace, restraint against other writers,
/// opening, rollback policy, templates. The first that fails is the finding, and nothing is written.
pub fn plan(input: &Input<'_>, memory: &Memory) -> Plan {
    let object = &input.object;
    if object.deleting {
        return Plan::without_write(Finding::Deleting);
    }
    if object.is_suspended() {
        return Plan::without_write(Finding::Suspended);
    }
    decide(input, memory).unwrap_or_else(Plan::without_write)
}

/// Whether the commit is to be read: the generation is new, or what the status says of it is not ours.
pub fn wants_source(input: &Input<'_>) -> bool {
    let object = &input.object;
    let is_new = object.status.observed_generation != object.generation;
    let is_ours = || object.spec.is_ok_and(|spec| mark::check(mark::RULES, input, spec, None) != Mark::Stale);
    !object.deleting && (is_new || !is_ours())
}

impl Plan {
    fn without_write(finding: Finding) -> Self {
        Self { write: Write::None, finding }
    }
}

fn decide(input: &Input<'_>, memory: &Memory) -> Result<Plan, Finding> {
    let object = &input.object;
    let spec = object.spec.map_err(|what| refuse(&SpecError::Malformed { what: what.to_owned() }))?;
    let checked = Spec::read(spec, object.namespace, object.name).map_err(|error| refuse(&error))?;
    check_place(input, &checked)?;
    if let Some(reason) = input.ring.unusable {
        return Err(failing("no identity can be used", reason));
    }
    let claim = Claim::of(&object.holder(), object.name, input.target)
        .map_err(|(reason, message)| Finding::Failing { reason, message })?;
    let mark = mark::check(mark::RULES, input, spec, input.target.filter(|_| claim != Claim::Adoptable));
    let touched = match mark {
        Mark::InSync => return Ok(in_sync(input, &checked)),
        Mark::Touched => true,
        Mark::Stale => false,
    };
    if input.place.terminating {
        return Err(failing("the namespace is being deleted", Reason::NamespaceTerminating));
    }
    restrain(&input.look(), memory, touched)
        .map_err(|held| held.into_finding(|reason, message| Finding::Failing { reason, message }))?;

    let floor = floor::floor(object, input.target, input.now);
    let older = floor::rolled_back(&checked.sealed, &floor);
    let opened = checked
        .sealed
        .open(input.ring.identities, input.now)
        .map_err(|error| not_opened(&error, input.ring.locked))?;
    // After opening, so that a number that nobody sealed is not taken for a rollback.
    let rolled_back = match input.ring.rollback {
        RollbackPolicy::Allow => Vec::new(),
        RollbackPolicy::Deny if !older.is_empty() => {
            return Err(failing(&older_values(&older), Reason::RolledBack));
        }
        RollbackPolicy::Deny | RollbackPolicy::Warn => older,
    };
    let keys = floor::keys(&opened, &floor);
    let (proposed, answer) = propose::propose(input, &checked.sealed, touched);
    let lacking = propose::lacking(&checked.sealed, input.ring.required);
    let ownership =
        if claim.is_adopted() { Ownership::Adopted } else { Ownership::Owned { uid: object.uid.to_owned() } };
    let produced = produce(&checked, opened, ownership, &floor::annotation(&keys))
        .map_err(|error| failing(&error.to_string(), error.reason()))?;
    let write = match input.target {
        None => Write::Create(produced),
        Some(target) => Write::Apply {
            uid: target.uid.clone(),
            stale_owners: claim::stale_owners(&object.holder(), target),
            produced,
        },
    };
    let adopts = claim == Claim::Adoptable;
    let good = Good { keys, rolled_back, lacking, proposed, answer, adopts, touched, in_sync: None };
    Ok(Plan { write, finding: Finding::Good(Box::new(good)) })
}

/// What the place itself forbids.
fn check_place(input: &Input<'_>, spec: &Spec) -> Result<(), Finding> {
    let object = &input.object;
    // Identities are Secrets named so; one that we produced could replace one, or be taken for one.
    let is_operators = !object.namespace.is_empty() && object.namespace == input.place.operator_namespace;
    if is_operators && object.name.starts_with(names::RESERVED_NAME_PREFIX) {
        let what = "the name begins with waxwing-, in the operator's own namespace";
        return Err(failing(what, Reason::NameReserved));
    }
    let is_cluster = spec.sealed.binding().scope == Scope::Cluster;
    if is_cluster && input.ring.cluster_scope == ClusterScopePolicy::Deny {
        return Err(failing("scope is cluster", Reason::ScopeDenied));
    }
    Ok(())
}

/// Nothing to write: only the status is put right, if somebody else wrote it.
fn in_sync(input: &Input<'_>, spec: &Spec) -> Plan {
    let status = input.object.status;
    let seen = status.keys.iter().map(|key| (key.name.clone(), key.seq)).collect();
    let rolled_back = match input.ring.rollback {
        RollbackPolicy::Allow => Vec::new(),
        RollbackPolicy::Warn | RollbackPolicy::Deny => floor::rolled_back(&spec.sealed, &seen),
    };
    let (proposed, answer) = propose::propose(input, &spec.sealed, true);
    Plan::without_write(Finding::Good(Box::new(Good {
        keys: status.keys.clone(),
        rolled_back,
        lacking: propose::lacking(&spec.sealed, input.ring.required),
        proposed,
        answer,
        adopts: false,
        touched: false,
        in_sync: input.target.map(|target| (target.uid.clone(), target.resource_version.clone())),
    })))
}

/// What restraint depends on, besides memory.
pub(crate) struct Look<'a> {
    pub(crate) generation: Option<i64>,
    /// The value of `waxwing.dev/refresh`.
    pub(crate) refresh: Option<&'a String>,
    /// The Secret that is there.
    pub(crate) secret_uid: Option<&'a str>,
    pub(crate) now: i64,
}

/// Why nothing is written now.
pub(crate) enum Held {
    /// It would be refused, or fought over.
    Failing(Reason, String),
    /// For so many seconds.
    Waiting(u64),
}

impl Held {
    fn into_finding(self, failing: impl Fn(Reason, String) -> Finding) -> Finding {
        match self {
            Self::Failing(reason, message) => failing(reason, message),
            Self::Waiting(seconds) => Finding::Waiting { seconds },
        }
    }
}

/// Whether another writer, or a write that was refused for good, may cause a write now.
pub(crate) fn restrain(look: &Look<'_>, memory: &Memory, touched: bool) -> Result<(), Held> {
    if let Some(refused) = &memory.refused
        && refused.generation == look.generation
        && refused.refresh.as_ref() == look.refresh
        && refused.secret_uid == look.secret_uid.unwrap_or_default()
        && is_within(look.now, refused.at, LOOK_INTERVAL)
    {
        return Err(Held::Failing(refused.reason, refused.message.clone()));
    }
    if !touched {
        return Ok(());
    }
    let within = |window| memory.corrected.iter().filter(move |at| is_within(look.now, **at, window)).count();
    let is_contested = within(CONTEST_WINDOW) >= CONTESTED;
    if look.secret_uid.is_none() {
        // What is gone is made again at once, or soon where somebody deletes it all the time: pods may wait for it.
        return match is_contested && within(GONE_INTERVAL) > 0 {
            true => Err(Held::Waiting(GONE_INTERVAL.unsigned_abs())),
            false => Ok(()),
        };
    }
    if is_contested && within(CONTEST_INTERVAL) > 0 {
        let what = format!("the Secret was put right {CONTESTED} times within an hour and is changed again");
        let reason = Reason::OwnershipContested;
        return Err(Held::Failing(reason, with_advice(&what, reason)));
    }
    match memory.looked.filter(|at| is_within(look.now, *at, LOOK_INTERVAL)) {
        Some(at) => {
            let seconds = u64::try_from(at.saturating_add(LOOK_INTERVAL).saturating_sub(look.now));
            Err(Held::Waiting(seconds.unwrap_or(1)))
        }
        None => Ok(()),
    }
}

/// Whether `at` lies in the last `window` seconds. What lies ahead does not: the clock was set back.
pub(crate) fn is_within(now: i64, at: i64, window: i64) -> bool {
    (0..window).contains(&now.saturating_sub(at))
}

fn refuse(error: &SpecError) -> Finding {
    failing(&error.to_string(), error.reason())
}

fn not_opened(error: &OpenError, locked: bool) -> Finding {
    let reason = match error.reason() {
        Reason::NoMatchingKey if locked => Reason::ProtectionUnavailable,
        reason => reason,
    };
    let hint = match reason {
        Reason::ProtectionUnavailable => "; others of the ring could not be unwrapped, as the KeyRing says",
        Reason::BindingMismatch => {
            "; if kustomize's `namespace:` or `namePrefix:` moved this object, seal it for where it ends up"
        }
        _ => "",
    };
    failing(&format!("{error}{hint}"), reason)
}

fn older_values(keys: &[DataKey]) -> String {
    let names: Vec<&str> = keys.iter().map(DataKey::as_str).collect();
    format!("older than a value that was already there: {}", names.join(", "))
}

fn failing(what: &str, reason: Reason) -> Finding {
    Finding::Failing { reason, message: with_advice(what, reason) }
}

/// What is wrong, then what to do.
pub fn with_advice(what: &str, reason: Reason) -> String {
    format!("{what}. {}", reason.advice())
}
