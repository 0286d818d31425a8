//! What is to be done about one injection: pure functions of what was observed and gathered.
//!
//! ```text
//! observe -> first(Input, Memory) -> First -> gather, make -> then(.., Gathered) -> Plan -> apply -> watch over -> report
//! ```
//! [`first`] says whether anything is to be gathered at all; a restart with nothing to do ends there. [`then`] decides what
//! is written: the new revision into a history Secret, then the published Secrets, then the removal of old revisions. What
//! was published is kept there and nowhere else: the last good values, and what a rollback goes back to. A failure writes
//! nothing, so what is published stays.

mod history;
mod mark;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use waxwing_crds::{
    Condition, ConditionType, InjectionStatus, PublishedSecret, Reason, ReceiverStatus, Source, conditions,
    names,
};

use super::Fault;
use crate::{
    Secret,
    external::check_size,
    inject::Reference,
    keys::Identities,
    plan::{
        self, Data, Held, Holder, Look, Owner, Place, Produced, Target, Write,
        claim::{self, Claim},
        stamp::Mark,
        with_advice,
    },
};

pub use history::{CREDENTIALS, Revision, last_good};
pub use report::{Load, Report, Seen, report};

/// Everything that a decision depends on, besides [`Memory`] and what is gathered.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The injection.
    pub object: Object<'a>,
    /// What the spec asks for, or what is wrong with it.
    pub terms: Result<&'a Terms, &'a Fault>,
    /// The Secrets that it publishes, in the order of the terms; none where there is none of that name yet.
    pub targets: &'a [Option<Target>],
    /// What decides the published bytes besides the spec, as it is at the moment.
    pub facts: &'a [Fact],
    /// The ring's identities: the mark in the status is made with one.
    pub identities: &'a Identities,
    /// Why there is none, when that is so.
    pub unusable: Option<Reason>,
    /// Where this happens.
    pub place: Place<'a>,
    /// The commit that the GitOps tool synced at, where it was read.
    pub source: Option<&'a Source>,
    /// Unix seconds.
    pub now: i64,
}

/// An injection as it is.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its generation.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Its spec, as the API server has it.
    pub spec: &'a str,
    /// Its status: a hint, as far as it is not under the mark.
    pub status: &'a InjectionStatus,
}

impl<'a> Object<'a> {
    /// The object as the owner of Secrets.
    pub fn holder(&self) -> Holder<'a> {
        Holder { kind: self.kind, name: self.name, uid: self.uid }
    }

    /// The value of the annotation that asks for a look right now.
    pub fn refresh(&self) -> Option<&'a String> {
        self.annotations.get(names::REFRESH)
    }

    fn is_suspended(&self) -> bool {
        self.annotations.get(names::SUSPEND).is_some_and(|value| value == "true")
    }
}

/// What the spec asks of this plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The names of the Secrets that are published.
    pub secrets: Vec<String>,
    /// Whether they go with the injection.
    pub goes_along: bool,
    /// Seconds between two reads of the stores; none where there is no reference to one.
    pub refresh: Option<i64>,
    /// Seconds between two looks at a document that nobody tells of a change.
    pub poll: Option<u64>,
    /// For how many seconds the last good value of a credential is no trouble yet.
    pub max_stale: i64,
    /// How many revisions are kept.
    pub history: usize,
    /// How many seconds loading may take, where it is looked at.
    pub within: Option<i64>,
    /// Whether that can be looked at only with what was made.
    pub looks_with_made: bool,
    /// Whether delivery is looked at.
    pub watches_delivery: bool,
    /// Whether the last loaded revision is published again after that.
    pub rolls_back: bool,
}

/// Something that decides what is published, and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is, such as `Secret/receivers`.
    pub what: String,
    /// Its uid; empty where there is none.
    pub uid: String,
    /// Its version.
    pub version: String,
}

/// What a process remembers of one injection. Losing it costs a look, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// As for every produced Secret.
    pub secret: plan::Memory,
    /// Receivers through which notifications fail at the moment: name, and what Alertmanager says of it.
    pub failing: BTreeMap<String, String>,
}

/// What comes first.
pub enum First {
    /// Nothing needs to be gathered: this is the plan.
    Done(Box<Plan>),
    /// The document, the credentials and the history are to be gathered.
    Gather(Gather),
}

/// Why everything is gathered.
pub struct Gather {
    /// Why.
    pub cause: Cause,
    /// The published revision, where it was not loaded in time: to be remembered as such.
    pub late: Option<i64>,
    claims: Vec<Claim>,
}

/// Why everything is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The injection, or what it refers to, is new or has changed.
    Changed,
    /// Somebody else has changed or deleted a published Secret.
    Drift,
    /// It is time to look at the stores, or something was not to be had at the last look.
    Due,
    /// The annotation `waxwing.dev/refresh` asks for it.
    Forced,
}

/// What was gathered.
pub struct Gathered {
    /// What is to be published, or why nothing is.
    pub made: Result<Wanted, Fault>,
    /// The revisions that were published before, oldest first.
    pub history: Vec<Revision>,
}

/// What is to be published.
#[derive(Default)]
pub struct Wanted {
    /// The Secrets, in the order of the terms.
    pub secrets: Vec<Wish>,
    /// The receivers, contact points or data sources.
    pub receivers: Vec<ReceiverStatus>,
    /// Places of credentials that stand in the document itself.
    pub literals: Vec<String>,
    /// The value of each reference that is published.
    pub credentials: BTreeMap<Reference, Secret>,
}

/// One Secret to be published.
#[derive(Default)]
pub struct Wish {
    /// Labels that whoever reads it looks for.
    pub labels: BTreeMap<String, String>,
    /// What is in it.
    pub data: Data,
}

/// What is to be done.
pub struct Plan {
    /// The writes, in their order.
    pub writes: Writes,
    /// What is to be said when they succeed.
    pub finding: Finding,
}

/// The writes of one look, in their order.
#[derive(Debug, Default)]
pub struct Writes {
    /// The new revision.
    pub history: Option<Write>,
    /// The published Secrets, in the order of the terms.
    pub published: Vec<Write>,
    /// Revisions that are kept no longer.
    pub pruned: Vec<Write>,
}

/// What was found.
pub enum Finding {
    /// The object is being deleted.
    Deleting,
    /// The object is paused.
    Suspended,
    /// Another writer causes looks too often; the next one is due in so many seconds.
    Waiting {
        /// Seconds.
        seconds: u64,
    },
    /// Something is wrong, and nothing is published.
    Failing(Fault),
    /// What is published is right, or will be with the writes.
    Good(Box<Good>),
}

/// The facts about an injection that is published.
pub struct Good {
    /// The number of the published revision.
    pub revision: i64,
    /// The one that was not loaded, where this one stands in for it.
    pub rolled_back_from: Option<i64>,
    /// Whether every endpoint was seen with it.
    pub loaded: bool,
    /// The receivers.
    pub receivers: Vec<ReceiverStatus>,
    /// Places of credentials in the document itself.
    pub literals: Vec<String>,
    /// Whether a Secret becomes ours by adoption.
    pub adopts: bool,
    /// Whether nothing but the published Secrets had changed.
    pub touched: bool,
    /// Whether the stores were read.
    pub gathered: bool,
}

impl Plan {
    /// Nothing is done, because of this.
    #[must_use]
    pub fn failing(fault: &Fault) -> Self {
        Self { writes: Writes::default(), finding: failing(&fault.message, fault.reason) }
    }
}

/// Decides whether anything is to be gathered.
///
/// # Flow
/// deletion, suspension, spec, names, ring, ownership, mark, time, namespace, restraint against other writers. The first
/// that fails is the finding, and nothing is gathered.
pub fn first(input: &Input<'_>, memory: &Memory) -> First {
    let done = |finding| First::Done(Box::new(Plan { writes: Writes::default(), finding }));
    if input.object.deleting {
        return done(Finding::Deleting);
    }
    if input.object.is_suspended() {
        return done(Finding::Suspended);
    }
    decide(input, memory).unwrap_or_else(done)
}

fn decide(input: &Input<'_>, memory: &Memory) -> Result<First, Finding> {
    let object = &input.object;
    let terms = input.terms.map_err(|fault| failing(&fault.message, fault.reason))?;
    let is_operators = object.namespace == input.place.operator_namespace;
    if is_operators && terms.secrets.iter().any(|name| name.starts_with(names::RESERVED_NAME_PREFIX)) {
        let what = "the target's name begins with waxwing-, in the operator's own namespace";
        return Err(failing(what, Reason::NameReserved));
    }
    if let Some(reason) = input.unusable {
        return Err(failing("no identity can be used, and the status is marked with one", reason));
    }
    let claims = terms
        .secrets
        .iter()
        .zip(input.targets)
        .map(|(name, target)| Claim::of(&object.holder(), name, target.as_ref()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|(reason, message)| Finding::Failing(Fault { reason, message }))?;
    let mark = if claims.contains(&Claim::Adoptable) { Mark::Stale } else { mark::check(input, terms) };
    let Some(cause) = cause(input, terms, mark) else {
        let finding = Finding::Good(Box::new(unchanged(input)));
        return Ok(First::Done(Box::new(Plan { writes: Writes::default(), finding })));
    };
    if input.place.terminating {
        return Err(failing("the namespace is being deleted", Reason::NamespaceTerminating));
    }
    plan::restrain(&input.look(), &memory.secret, cause == Cause::Drift).map_err(|held| match held {
        Held::Failing(reason, message) => Finding::Failing(Fault { reason, message }),
        Held::Waiting(seconds) => Finding::Waiting { seconds },
    })?;
    let published = object.status.published.as_ref().filter(|_| mark != Mark::Stale);
    let late = published.filter(|published| is_late(input, terms, published));
    Ok(First::Gather(Gather { cause, late: late.map(|published| published.revision), claims }))
}

/// Why everything is to be gathered, if it is.
fn cause(input: &Input<'_>, terms: &Terms, mark: Mark) -> Option<Cause> {
    let status = input.object.status;
    if input.object.refresh().is_some_and(|asked| status.refreshed.as_ref() != Some(asked)) {
        return Some(Cause::Forced);
    }
    match mark {
        Mark::Stale => return Some(Cause::Changed),
        Mark::Touched => return Some(Cause::Drift),
        Mark::InSync => {}
    }
    let published = status.published.as_ref();
    // Where it has to be rolled back, what to is in the history.
    let is_late = published.is_some_and(|published| is_late(input, terms, published));
    let is_read = status.refreshed_at.as_ref().map(|at| at.0.as_second());
    let is_due = terms.refresh.is_some_and(|every| is_read.is_none_or(|at| at + every <= input.now));
    let lacks =
        status.receivers.iter().flat_map(|receiver| &receiver.credentials).any(|one| one.problem.is_some());
    let was_ready = conditions::is_true(&status.conditions, ConditionType::Ready);
    let is_rolled_back = published.is_some_and(|published| published.rolled_back_from.is_some());
    // What is only not loaded yet need not be made again: nobody's stores are to be asked every few seconds for that.
    let waits = [Reason::LoadPending, Reason::NotLoaded];
    let waits = waits.iter().any(|reason| is_condition(&status.conditions, ConditionType::Ready, *reason));
    let lacks = lacks && !is_condition(&status.conditions, ConditionType::Ready, Reason::LoadPending);
    let is_made = was_ready || is_rolled_back || waits && !terms.looks_with_made;
    (is_late || is_due || lacks || !is_made).then_some(Cause::Due)
}

/// Whether the published revision should have been loaded by now, and can still be rolled back.
fn is_late(input: &Input<'_>, terms: &Terms, published: &waxwing_crds::Published) -> bool {
    let (Some(within), Some(at)) = (terms.within, &published.at) else { return false };
    terms.rolls_back
        && published.loaded_at.is_none()
        && published.rolled_back_from.is_none()
        && at.0.as_second() + within <= input.now
        && is_condition(&input.object.status.conditions, ConditionType::Loaded, Reason::NotLoaded)
}

fn is_condition(conditions: &[Condition], type_: ConditionType, reason: Reason) -> bool {
    conditions::get(conditions, type_).is_some_and(|condition| condition.reason == reason.as_str())
}

/// What the status says, which is under the mark.
fn unchanged(input: &Input<'_>) -> Good {
    let status = input.object.status;
    let published = status.published.as_ref();
    Good {
        revision: published.map_or(0, |published| published.revision),
        rolled_back_from: published.and_then(|published| published.rolled_back_from),
        loaded: published.is_some_and(|published| published.loaded_at.is_some()),
        receivers: status.receivers.clone(),
        literals: status.literals.clone(),
        adopts: false,
        touched: false,
        gathered: false,
    }
}

/// Decides what is written, from what was gathered.
pub fn then(input: &Input<'_>, gather: &Gather, gathered: Gathered) -> Plan {
    let Gathered { made, mut history } = gathered;
    let without = |finding| Plan { writes: Writes::default(), finding };
    let Ok(terms) = input.terms else { return without(Finding::Deleting) };
    let mut wanted = match made {
        Ok(wanted) => wanted,
        Err(fault) => return without(failing(&fault.message, fault.reason)),
    };
    if let Some(late) = gather.late
        && let Some(revision) = history.iter_mut().find(|revision| revision.number == late)
    {
        revision.failed = Some(input.object.refresh().cloned().unwrap_or_default());
    }
    // Also where somebody has removed the history: no number comes twice.
    let said = input.object.status.published.as_ref().map_or(0, |published| published.revision);
    let newest = history.last().map_or(0, |revision| revision.number).max(said);
    let all = history::joined(&wanted.secrets);
    let same = history.iter().rev().find(|revision| revision.data == all);
    let failed = same.filter(|revision| {
        let asked = input.object.refresh().map(String::as_str).unwrap_or_default();
        // One that was loaded after all, late, is as good as another.
        terms.rolls_back && !revision.loaded && revision.failed.as_deref() == Some(asked)
    });
    let back = failed.and_then(|failed| {
        history.iter().rev().find(|revision| revision.loaded && revision.number != failed.number)
    });
    let (revision, rolled_back_from, loaded) = match (failed, back) {
        (Some(failed), Some(back)) => {
            wanted.secrets = history::split(&wanted.secrets, &back.data);
            (back.number, Some(failed.number), true)
        }
        // What was published last is published still.
        _ => match same.filter(|revision| revision.number == newest) {
            Some(same) => (same.number, None, same.loaded),
            None => (newest + 1, None, false),
        },
    };
    let history_write = (revision > newest).then(|| {
        history::write(&input.object, revision, all, &wanted.credentials, (&history, terms.history))
    });
    // With the credentials beside it, it is the larger of the two; nothing is published that could not be kept.
    if let Some(Write::Create(kept) | Write::Apply { produced: kept, .. }) = &history_write
        && let Err(error) = check_size(&kept.data)
    {
        return without(failing(&error.to_string(), error.reason()));
    }
    let adopts = gather.claims.contains(&Claim::Adoptable);
    let published = terms.secrets.iter().zip(wanted.secrets).zip(input.targets.iter().zip(&gather.claims));
    let published = published
        .map(|((name, wish), (target, claim))| {
            publish(&input.object, terms, name, wish, target.as_ref(), *claim)
        })
        .collect();
    let pruned = history::prune(&input.object, &history, terms.history, revision);
    let good = Good {
        revision,
        rolled_back_from,
        loaded,
        receivers: wanted.receivers,
        literals: wanted.literals,
        adopts,
        touched: gather.cause == Cause::Drift,
        gathered: true,
    };
    Plan {
        writes: Writes { history: history_write, published, pruned },
        finding: Finding::Good(Box::new(good)),
    }
}

/// What is written when the injection goes, where its reader has to be told so. A Secret that is not its own is left alone.
#[must_use]
pub fn farewell(input: &Input<'_>, secrets: Vec<Wish>) -> Vec<Write> {
    let Ok(terms) = input.terms else { return Vec::new() };
    let one = |((name, wish), target): ((&String, Wish), &Option<Target>)| {
        let claim = Claim::of(&input.object.holder(), name, target.as_ref());
        claim.map_or(Write::None, |claim| publish(&input.object, terms, name, wish, target.as_ref(), claim))
    };
    terms.secrets.iter().zip(secrets).zip(input.targets).map(one).collect()
}

fn publish(
    object: &Object<'_>,
    terms: &Terms,
    name: &str,
    wish: Wish,
    target: Option<&Target>,
    claim: Claim,
) -> Write {
    let mut annotations = produced_annotations(object);
    if claim.is_adopted() {
        annotations.insert(names::ADOPTED.to_owned(), "true".to_owned());
    }
    let mut labels = wish.labels;
    labels.insert(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned());
    let produced = Produced {
        namespace: object.namespace.to_owned(),
        name: name.to_owned(),
        secret_type: "Opaque".to_owned(),
        immutable: false,
        labels,
        annotations,
        owner: (terms.goes_along && !claim.is_adopted()).then(|| owner(object)),
        data: wish.data,
        manager: names::field_manager(object.kind, object.name),
    };
    match target {
        None => Write::Create(produced),
        Some(target) => Write::Apply {
            uid: target.uid.clone(),
            stale_owners: claim::stale_owners(&object.holder(), target),
            produced,
        },
    }
}

fn produced_annotations(object: &Object<'_>) -> BTreeMap<String, String> {
    let fixed = names::PRODUCED_ANNOTATIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let owned_by = (names::OWNED_BY.to_owned(), names::owned_by(object.kind, object.name));
    fixed.into_iter().chain([owned_by]).collect()
}

fn owner(object: &Object<'_>) -> Owner {
    Owner {
        api_version: names::API_VERSION.to_owned(),
        kind: object.kind.to_owned(),
        name: object.name.to_owned(),
        uid: object.uid.to_owned(),
        controller: true,
    }
}

impl<'a> Input<'a> {
    /// What restraint against other writers depends on.
    fn look(&self) -> Look<'a> {
        let uids = self.targets.iter().map(|target| target.as_ref().map(|target| target.uid.as_str()));
        Look {
            generation: self.object.generation,
            refresh: self.object.refresh(),
            // One that is gone is made again at once.
            secret_uid: uids.min().flatten(),
            now: self.now,
        }
    }
}

fn failing(what: &str, reason: Reason) -> Finding {
    Finding::Failing(Fault { reason, message: with_advice(what, reason) })
}

/// The published Secrets as the status names them.
fn named(terms: &Terms, secrets: &[(String, String)]) -> Vec<PublishedSecret> {
    let one = |(name, (uid, version)): (&String, &(String, String))| PublishedSecret {
        name: name.clone(),
        uid: uid.clone(),
        resource_version: version.clone(),
    };
    terms.secrets.iter().zip(secrets).map(one).collect()
}
