//! One look at one injection, of whatever kind: observe, gather, plan, publish, watch over, report. Every decision is in
//! `waxwing_core::injection`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use waxwing_core::{
    inject::Reference,
    injection::{
        Fault, Refused,
        plan::{
            Cause, Fact, Finding, First, Gather, Gathered, Input, Memory, Object, Plan, Report, Revision,
            Seen, Terms, Wanted, first, report, then,
        },
    },
    plan::{Event, Next, Outcome, Place, Target, Write},
};
use waxwing_crds::{InjectionStatus, names};

use super::{
    history,
    publish::{Published, publish},
    resolve::{Resolved, resolve},
};
use crate::{
    context::Context,
    memories::Memories,
    outcome,
    queue::Verdict,
    records::{Decoded, Incoming, ObjectRecord, Served},
    ring::Ring,
    source::{self, Commit},
    status,
    store::{ObjectKey, Store},
    target, told,
};

/// A kind of injections: what differs from the other.
pub(super) trait Injection: Served<Status = InjectionStatus> {
    /// The resource's name.
    const PLURAL: &'static str;
    /// What the spec says, with everything that decides what is published.
    type Observed: Decided + Send + Sync;
    /// What was made besides what is published, for the look at what came of it.
    type Given: Send + Sync;

    /// The objects.
    fn store(ctx: &Context) -> &Store<ObjectRecord<Self>>;

    /// What is remembered of them.
    fn memories(ctx: &Context) -> &Memories<Memory>;

    /// Reads the spec, and what is beside it.
    fn observe(
        ctx: &Context,
        key: &ObjectKey,
        object: &Decoded<Self>,
    ) -> impl Future<Output = Result<Self::Observed, Fault>> + Send;

    /// Makes what is to be published of what the references give.
    fn make(
        ctx: &Context,
        key: &ObjectKey,
        input: &Input<'_>,
        observed: &Self::Observed,
        resolved: &Resolved,
        history: &[Revision],
    ) -> impl Future<Output = (Result<Wanted, Fault>, Option<Self::Given>)> + Send;

    /// Looks at the servers that read what was published. Gives events of its own.
    fn watch_over(
        ctx: &Context,
        key: &ObjectKey,
        input: &Input<'_>,
        observed: &Self::Observed,
        acted: &Acted<Self>,
        outcomes: &[Outcome],
    ) -> impl Future<Output = (Seen, Vec<Event>)> + Send;

    /// When to look again.
    fn next(report: &Report) -> Next {
        report.next
    }

    /// A status was written.
    fn written(_: &Context, _: &ObjectKey) {}
}

/// What the plan is made with.
pub(super) trait Decided {
    /// What the spec asks of the plan.
    fn terms(&self) -> &Terms;
    /// What decides besides the spec.
    fn facts(&self) -> &[Fact];
    /// What the spec refers to.
    fn references(&self) -> &BTreeSet<Reference>;
}

/// A plan, for which Secrets it was made, and what became of it.
pub(super) struct Acted<K: Injection> {
    targets: Vec<Option<Target>>,
    pub(super) plan: Plan,
    published: Published,
    pub(super) given: Option<K::Given>,
}

/// The object as plans see it. `none` stands for the annotations that it may lack.
pub(super) fn object_of<'a, K: Injection>(
    key: &'a ObjectKey,
    spec_json: &'a str,
    object: &'a Decoded<K>,
    none: &'a BTreeMap<String, String>,
) -> Object<'a> {
    Object {
        kind: K::KIND,
        namespace: key.namespace(),
        name: key.name(),
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        generation: object.metadata.generation,
        deleting: object.metadata.deletion_timestamp.is_some(),
        annotations: object.metadata.annotations.as_ref().unwrap_or(none),
        spec: spec_json,
        status: &object.status,
    }
}

/// What a plan for this object is made from, without what was observed of its spec.
pub(super) fn input_of<'a>(
    ctx: &'a Context,
    ring: &'a Ring,
    object: Object<'a>,
    terms: Result<&'a Terms, &'a Fault>,
) -> Input<'a> {
    Input {
        object,
        terms,
        targets: &[],
        facts: &[],
        identities: &ring.identities,
        unusable: ring.unusable,
        place: Place {
            operator_namespace: &ctx.flags.operator_namespace,
            terminating: ctx.terminating.contains(object.namespace),
        },
        source: None,
        now: ctx.now(),
    }
}

/// The Secrets that are published, as the caches have them.
pub(super) fn targets(ctx: &Context, key: &ObjectKey, terms: &Terms) -> Vec<Option<Target>> {
    let secret = |name: &String| target::cached(ctx, &ObjectKey::new(key.namespace(), name));
    terms.secrets.iter().map(secret).collect()
}

/// Looks at one object once. Measures itself from `began` on; says when to look again.
pub(super) async fn reconcile<K: Injection>(
    ctx: &Context,
    key: &ObjectKey,
    spec_json: &str,
    object: &Decoded<K>,
    began: Instant,
) -> Verdict {
    let memory = K::memories(ctx).of(key);
    let (report, again) = look(ctx, key, spec_json, object, &memory).await;
    if memory != report.memory {
        K::memories(ctx).set(key, report.memory.clone());
    }
    let said = tell(ctx, key, object, &report).await;
    ctx.metrics.reconciled(K::KIND, began.elapsed(), report.failure);
    told::verdict(said, K::next(&report), again)
}

/// Also says when to look again for nothing but the commit.
async fn look<K: Injection>(
    ctx: &Context,
    key: &ObjectKey,
    spec_json: &str,
    object: &Decoded<K>,
    memory: &Memory,
) -> (Report, Option<Duration>) {
    let (ring, none) = (ctx.ring(), BTreeMap::new());
    let observed = K::observe(ctx, key, object).await;
    let terms = observed.as_ref().map(Decided::terms);
    let targets = terms.map(|terms| targets(ctx, key, terms)).unwrap_or_default();
    let input = Input {
        targets: &targets,
        facts: observed.as_ref().map(Decided::facts).unwrap_or_default(),
        ..input_of(ctx, &ring, object_of(key, spec_json, object, &none), terms)
    };
    let generation = input.object.generation;
    let last = object.status.source.as_ref();
    let is_wanted = object.status.observed_generation != generation;
    let commit = source::commit(ctx, K::KIND, key, &object.metadata, last, is_wanted);
    let acted = act::<K>(ctx, key, &input, memory, observed.as_ref().ok());
    let (acted, commit) = futures::join!(acted, commit);
    let again = ctx.sources.note(K::KIND, key, generation, commit.as_ref());
    let synced = if let Some(Commit::Known(synced)) = commit { Some(synced) } else { None };
    let input = Input {
        targets: &acted.targets,
        source: synced.as_ref().map(|synced| &synced.source),
        now: ctx.now(),
        ..input
    };
    let mut looked = (Seen::default(), Vec::new());
    let outcomes = match &acted.published {
        Published::Done(outcomes) => {
            told::applied(ctx, synced.as_ref(), outcomes);
            if let (Ok(observed), Finding::Good(_)) = (&observed, &acted.plan.finding) {
                looked = K::watch_over(ctx, key, &input, observed, &acted, outcomes).await;
            }
            Ok(outcomes.as_slice())
        }
        Published::Refused(write, outcome, _) => Err((&**write, outcome)),
    };
    let (seen, events) = looked;
    let mut report = report(&input, memory, &acted.plan, outcomes, &seen);
    report.events.extend(events);
    if let Some(loaded) = report.newly_loaded
        // Which Secret holds it may have been decided just now.
        && let Ok(revisions) = history::read(ctx, key.namespace(), input.object.uid).await
    {
        note(ctx, key, &revisions, loaded, names::LOADED, &Revision::loaded_value(loaded)).await;
    }
    (report, again)
}

async fn act<K: Injection>(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    memory: &Memory,
    observed: Option<&K::Observed>,
) -> Acted<K> {
    let mut targets = input.targets.to_vec();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let seen = Input { targets: &targets, ..*input };
        let mut given = None;
        let plan = match (first(&seen, memory), observed) {
            (First::Done(plan), _) => *plan,
            (First::Gather(gather), Some(observed)) => {
                let (gathered, made) = gathered::<K>(ctx, key, &seen, &gather, observed).await;
                given = made;
                then(&seen, &gather, gathered)
            }
            // Without a spec there is nothing to gather, and the plan says so.
            (First::Gather(_), None) => Plan::failing(&Fault::spec("the spec was not read")),
        };
        let published = {
            // Nobody shuts this down before the loops have ended.
            let _permit = ctx.writes.acquire().await;
            publish(ctx, key.namespace(), &plan.writes, &targets).await
        };
        let is_outdated = matches!(published, Published::Refused(_, _, true));
        let (true, Some(observed)) = (is_outdated && attempts < target::ATTEMPTS, observed) else {
            return Acted { targets, plan, published, given };
        };
        targets.clear();
        for name in &observed.terms().secrets {
            match target::read(ctx, &ObjectKey::new(key.namespace(), name)).await {
                Ok(read) => targets.push(read),
                Err(refusal) => {
                    let published = Published::Refused(Box::new(Write::None), outcome::of(&refusal), false);
                    return Acted { targets: input.targets.to_vec(), plan, published, given };
                }
            }
        }
    }
}

/// Reads everything that the spec refers to, and the history, and makes what is to be published.
async fn gathered<K: Injection>(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    gather: &Gather,
    observed: &K::Observed,
) -> (Gathered, Option<K::Given>) {
    let uid = input.object.uid;
    let read = futures::join!(
        resolve(ctx, key, uid, observed.references(), gather.cause == Cause::Forced),
        history::read(ctx, key.namespace(), uid)
    );
    let (resolved, history) = match read {
        (Ok(resolved), Ok(history)) => (resolved, history),
        (Err(fault), _) | (_, Err(fault)) => {
            return (Gathered { made: Err(fault), history: Vec::new() }, None);
        }
    };
    // It is kept by the history, because only there it is certain to be found again.
    let asked = input.object.refresh().map(String::as_str).unwrap_or_default();
    if let Some(late) = gather.late
        && history.iter().any(|one| one.number == late && one.failed.as_deref() != Some(asked))
    {
        note(ctx, key, &history, late, names::FAILED, &Revision::failed_value(late, asked)).await;
    }
    let (made, given) = K::make(ctx, key, input, observed, &resolved, &history).await;
    (Gathered { made, history }, given)
}

/// Writes an annotation on the history Secret of a revision.
async fn note(ctx: &Context, key: &ObjectKey, history: &[Revision], number: i64, name: &str, value: &str) {
    if let Some(revision) = history.iter().find(|revision| revision.number == number) {
        history::note(ctx, key.namespace(), &revision.name, name, value).await;
    }
}

/// Status, events, metrics, log; each only when there is something new.
async fn tell<K: Injection>(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<K>,
    report: &Report,
) -> Result<(), status::NotSaid> {
    if report.drift_corrected {
        ctx.metrics.drift_corrected(K::KIND);
    }
    let said = match &report.status {
        Some(status) => {
            let uid = object.metadata.uid.as_deref();
            let written = status::write(ctx, K::PLURAL, key, uid, status).await;
            written.map(|object: Incoming<K>| {
                let (key, record) = object.into();
                // Where the watch was faster, what it has brought stays.
                let _newer = K::store(ctx).put(&key, record);
                K::written(ctx, &key);
            })
        }
        None => Ok(()),
    };
    let about = told::about(K::KIND, key, &object.metadata);
    let source = report.status.as_ref().unwrap_or(&object.status).source.as_ref();
    told::tell(ctx, key, &about, &report.events, source).await;
    said
}

/// Why nothing is published, in short.
pub(super) fn fault(refused: &Refused) -> Fault {
    Fault { reason: refused.reason(), message: few(&refused.messages()) }
}

/// The first few of many messages.
pub(super) fn few(messages: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = messages.len().saturating_sub(SHOWN);
    let shown = messages.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if more == 0 { shown } else { format!("{shown}; and {more} more") }
}
