//! One look at one SealedSecret: observe, plan, apply, report.
//!
//! Every decision is in `waxwing_core::plan`; this only carries facts in and effects out. What is observed comes from
//! the caches, and past them only when the API server has answered that they are behind.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tracing::debug;
use waxwing_core::plan::{
    Input, Memory, Next, Object, Outcome, Place, Plan, Report, Ring, Target, plan, report, wants_source,
};

use crate::{
    context::Context,
    metrics::SEALED_SECRET,
    outcome,
    queue::{Queue, Verdict},
    records::{DecodedSealed, IncomingSealed, SealedRecord},
    source::{self, Commit},
    status,
    store::ObjectKey,
    target, told,
    workers::Work,
};

/// The loop over SealedSecrets.
pub(crate) enum SealedSecrets {}

impl Work for SealedSecrets {
    const KIND: &'static str = SEALED_SECRET;

    fn queue(ctx: &Context) -> &Queue {
        &ctx.queue
    }
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        ctx.sealed_secrets.keys()
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.sealed_secrets.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.forget(key);
    }
    fn at_once(ctx: &Context) -> usize {
        ctx.flags.concurrency.into()
    }
}

/// Looks at one object once. Measures itself; says when to look again.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    let began = Instant::now();
    let Some(record) = ctx.sealed_secrets.get(key) else {
        ctx.memories.forget(key);
        ctx.sources.forget(SEALED_SECRET, key);
        ctx.metrics.forget(key);
        return Verdict::Done;
    };
    let object = record.decode();
    let memory = ctx.memories.of(key);
    let (report, again) = look(ctx, key, &object, &memory).await;
    if memory != report.memory {
        ctx.memories.set(key, report.memory.clone());
    }
    let said = tell(ctx, key, &object, &report).await;
    ctx.metrics.reconciled(SEALED_SECRET, began.elapsed(), report.failure);
    // While another writer is waited out, the commit waits too.
    told::verdict(said, report.next, again.filter(|_| report.next == Next::OnChange))
}

/// Plans and applies, until the plan was made for the Secret that is really there. Also says when to look again for
/// nothing but the commit.
async fn look(
    ctx: &Context,
    key: &ObjectKey,
    object: &DecodedSealed,
    memory: &Memory,
) -> (Report, Option<Duration>) {
    let ring = ctx.ring();
    let none = BTreeMap::new();
    let input = Input {
        object: Object {
            namespace: key.namespace(),
            name: key.name(),
            uid: object.metadata.uid.as_deref().unwrap_or_default(),
            generation: object.metadata.generation,
            deleting: object.metadata.deletion_timestamp.is_some(),
            annotations: object.metadata.annotations.as_ref().unwrap_or(&none),
            spec: object.spec.as_ref().map_err(String::as_str),
            status: &object.status,
        },
        target: None,
        ring: Ring {
            identities: &ring.identities,
            rewrap_to: &ring.rewrap_to,
            required: &ring.required,
            rollback: ring.policy.rollback,
            cluster_scope: ring.policy.cluster_scope,
            unusable: ring.unusable,
            locked: ring.locked,
        },
        place: Place {
            operator_namespace: &ctx.flags.operator_namespace,
            terminating: ctx.terminating.contains(key.namespace()),
        },
        source: None,
        now: ctx.now(),
    };
    // The commit decides nothing, so reading it delays nothing.
    let generation = input.object.generation;
    let last = object.status.source.as_ref();
    let is_wanted = wants_source(&input);
    let commit = source::commit(ctx, SEALED_SECRET, key, &object.metadata, last, is_wanted);
    let (acted, commit) = futures::join!(act(ctx, key, &input, memory), commit);
    let again = ctx.sources.note(SEALED_SECRET, key, generation, commit.as_ref());
    let synced = if let Some(Commit::Known(synced)) = commit { Some(synced) } else { None };
    let Acted { target, plan, outcome } = acted;
    told::applied(ctx, synced.as_ref(), std::slice::from_ref(&outcome));
    let source = synced.as_ref().map(|synced| &synced.source);
    let report = report(&Input { target: target.as_ref(), source, ..input }, memory, &plan, &outcome);
    (report, again)
}

/// A plan, for what Secret it was made, and what became of it.
struct Acted {
    target: Option<Target>,
    plan: Plan,
    outcome: Outcome,
}

async fn act(ctx: &Context, key: &ObjectKey, input: &Input<'_>, memory: &Memory) -> Acted {
    let mut target = target::cached(ctx, key);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let plan = plan(&Input { target: target.as_ref(), ..*input }, memory);
        let refusal = match target::write(ctx, key, &plan.write, target.as_ref()).await {
            Ok(outcome) => return Acted { target, plan, outcome },
            Err(refusal) => refusal,
        };
        debug!(object = %key, answer = refusal.describe(), "the Secret was not written");
        if !refusal.is_outdated() || attempts == target::ATTEMPTS {
            return Acted { target, plan, outcome: outcome::of(&refusal) };
        }
        match target::read(ctx, key).await {
            Ok(read) => target = read,
            Err(refusal) => return Acted { target, plan, outcome: outcome::of(&refusal) },
        }
    }
}

/// Status, events, metrics, log; each only when there is something new.
async fn tell(
    ctx: &Context,
    key: &ObjectKey,
    object: &DecodedSealed,
    report: &Report,
) -> Result<(), status::NotSaid> {
    if report.drift_corrected {
        ctx.metrics.drift_corrected(SEALED_SECRET);
    }
    if let Some(values) = report.rolled_back {
        ctx.metrics.rolled_back(key, u32::try_from(values).unwrap_or(u32::MAX));
    }
    let said = match &report.status {
        Some(status) => {
            let uid = object.metadata.uid.as_deref();
            status::write(ctx, "sealedsecrets", key, uid, status).await.map(|object: IncomingSealed| {
                let (key, record): (ObjectKey, SealedRecord) = object.into();
                // Where the watch was faster, what it has brought stays.
                let _newer = ctx.sealed_secrets.put(&key, record);
            })
        }
        None => Ok(()),
    };
    let about = told::about(SEALED_SECRET, key, &object.metadata);
    let source = report.status.as_ref().unwrap_or(&object.status).source.as_ref();
    told::tell(ctx, key, &about, &report.events, source).await;
    said
}
