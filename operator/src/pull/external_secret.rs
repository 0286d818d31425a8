//! One look at one ExternalSecret: observe, fetch, plan, apply, report. Every decision is in
//! `waxwing_core::external::plan`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ObjectReference;
use tracing::debug;
use waxwing_core::{
    external::{
        Spec, StoreRef,
        plan::{First, Input, Memory, Object, Plan, Report, StoreFact, first, report, then, wants_source},
    },
    plan::{Outcome, Place, Target},
};

use super::{
    EXTERNAL_SECRET,
    fetch::fetch,
    records::{External, ExternalRecord, IncomingExternal},
    rollout, store_key, stores,
};
use crate::{
    context::Context,
    outcome,
    queue::{Queue, Verdict},
    records::Decoded,
    source::{self, Commit},
    status,
    store::ObjectKey,
    target, told,
    workers::Work,
};

/// Places for looks that wait for a provider; what is written at once is bounded by `--concurrency`.
const PLACES: usize = 256;
/// The share of them that one store can take.
const OF_ONE_STORE: usize = PLACES / 2;

/// The loop over ExternalSecrets.
pub(crate) enum ExternalSecrets {}

impl Work for ExternalSecrets {
    const KIND: &'static str = EXTERNAL_SECRET;

    fn queue(ctx: &Context) -> &Queue {
        &ctx.pull.queue
    }
    /// Those that read the same thing come one after the other, so that they share the request.
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        let mut keys = Vec::new();
        ctx.pull.external.each(|key, record| keys.push((record.reads_first(), key.clone())));
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.pull.external.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.forget_external(key);
    }
    fn at_once(_: &Context) -> usize {
        PLACES
    }
}

impl Context {
    /// The ExternalSecret is gone, and with it whatever was known of it besides its record.
    pub(crate) fn forget_external(&self, key: &ObjectKey) {
        self.pull.queue.forget(key);
        self.pull.targets.forget(key);
        self.sources.forget(EXTERNAL_SECRET, key);
        if let Some(Memory { leases, lessor: Some(store), .. }) = self.pull.memories.forget(key)
            && !leases.is_empty()
        {
            // Whoever looked at it has made sure that the leases are its own. Nobody listens only at the end.
            let _ = self.pull.ended.0.send(Ended { namespace: key.namespace().to_owned(), store, leases });
        }
    }
}

/// Leases of an object that is gone.
pub(crate) struct Ended {
    namespace: String,
    store: StoreRef,
    leases: Vec<String>,
}

/// Ends the leases of objects that are gone. There is no finalizer, which would hold up the deletion of namespaces: what is
/// missed, because the store is down or nobody was there, ends with its time.
pub(crate) async fn end_leases(ctx: Arc<Context>) {
    let mut ended = ctx.pull.ended.1.lock().await;
    while let Some(Ended { namespace, store, leases }) = ended.recv().await {
        let Ok(reached) = stores::reach(&ctx, &namespace, &store).await else { continue };
        for lease in leases {
            if let Err(failure) = reached.broker.revoke(&lease).await {
                debug!(namespace, %store, reason = failure.reason().as_str(), "a lease was left to its end");
            }
        }
    }
}

/// How often it is looked which logins leases hang on.
const LOGINS: Duration = Duration::from_secs(15);

/// Keeps the logins alive that leases hang on: a lease ends with its login.
pub(crate) async fn keep_logins(ctx: Arc<Context>) {
    let mut due: HashMap<(String, StoreRef), tokio::time::Instant> = HashMap::new();
    loop {
        tokio::time::sleep(LOGINS).await;
        let mut held = HashSet::new();
        ctx.pull.memories.each(|key, memory| {
            held.extend(memory.lessor.clone().map(|store| (key.namespace().to_owned(), store)));
        });
        due.retain(|login, _| held.contains(login));
        for (namespace, store) in held {
            let now = tokio::time::Instant::now();
            let login = (namespace, store);
            if due.get(&login).is_some_and(|at| *at > now) {
                continue;
            }
            let Ok(reached) = stores::reach(&ctx, &login.0, &login.1).await else { continue };
            let next = reached.broker.keep_alive().await.map_or(3600, |seconds| seconds.max(1));
            due.insert(login, now + Duration::from_secs(next));
        }
    }
}

/// Looks at one object once. Measures itself; says when to look again.
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    let began = Instant::now();
    let Some(record) = ctx.pull.external.get(key) else {
        ctx.forget_external(key);
        return Verdict::Done;
    };
    let object: Decoded<External> = record.decode();
    drop(record);
    let spec = object.spec.as_ref().ok();
    let spec = spec.and_then(|spec| Spec::read(spec, key.namespace(), key.name()).ok()).map(Arc::new);
    let main = spec.as_ref().and_then(|spec| spec.stores().into_iter().next().cloned());
    let _turn = match main.map(|store| store_key(key.namespace(), &store)) {
        Some(store) => match ctx.pull.in_hand.enter(&ctx.pull.queue, &store, key, OF_ONE_STORE) {
            Some(turn) => Some(turn),
            // It is called when its turn comes.
            None => return Verdict::Done,
        },
        None => None,
    };
    let memory = ctx.pull.memories.of(key);
    let (mut report, again) = look(ctx, key, &object, spec.as_ref(), &memory).await;
    let about = told::about(EXTERNAL_SECRET, key, &object.metadata);
    rollout::carry_out(ctx, key, &about, &object.status, &mut report).await;
    if let (Some(before), Some(now)) = (memory.fetched, report.memory.fetched)
        && now > before
    {
        let after = Duration::from_secs((now - before).unsigned_abs());
        ctx.metrics.refreshed(EXTERNAL_SECRET, after);
    }
    if memory != report.memory {
        ctx.pull.memories.set(key, report.memory.clone());
    }
    let said = tell(ctx, key, &object, &about, &report).await;
    ctx.metrics.reconciled(EXTERNAL_SECRET, began.elapsed(), report.failure);
    told::verdict(said, report.next, again)
}

async fn look(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<External>,
    spec: Option<&Arc<Spec>>,
    memory: &Memory,
) -> (Report, Option<Duration>) {
    let (ring, none) = (ctx.ring(), BTreeMap::new());
    let facts = facts(ctx, key, spec.map(Arc::as_ref));
    let input = Input {
        object: Object {
            namespace: key.namespace(),
            name: key.name(),
            uid: object.metadata.uid.as_deref().unwrap_or_default(),
            generation: object.metadata.generation,
            deleting: object.metadata.deletion_timestamp.is_some(),
            annotations: object.metadata.annotations.as_ref().unwrap_or(&none),
            spec: object.spec.as_ref().map_err(String::as_str),
            checked: spec,
            status: &object.status,
        },
        target: None,
        stores: &facts,
        identities: &ring.identities,
        unusable: ring.unusable,
        place: Place {
            operator_namespace: &ctx.flags.operator_namespace,
            terminating: ctx.terminating.contains(key.namespace()),
        },
        source: None,
        now: ctx.now(),
    };
    let secret = ObjectKey::new(key.namespace(), spec.map_or(key.name(), |spec| &spec.target));
    let target = target::cached(ctx, &secret);
    let input = Input { target: target.as_ref(), ..input };
    let decided = first(&input, memory);
    // The commit decides nothing, so reading it delays nothing.
    let is_wanted = wants_source(&input, &decided);
    let generation = input.object.generation;
    let last = object.status.source.as_ref();
    let commit = source::commit(ctx, EXTERNAL_SECRET, key, &object.metadata, last, is_wanted);
    let (acted, commit) = futures::join!(act(ctx, &secret, &input, memory, decided), commit);
    let again = ctx.sources.note(EXTERNAL_SECRET, key, generation, commit.as_ref());
    let synced = if let Some(Commit::Known(synced)) = commit { Some(synced) } else { None };
    let Acted { target, plan, outcome } = acted;
    told::applied(ctx, synced.as_ref(), std::slice::from_ref(&outcome));
    let source = synced.as_ref().map(|synced| &synced.source);
    let report = report(&Input { target: target.as_ref(), source, ..input }, memory, &plan, &outcome);
    (report, again)
}

/// What stands behind the names of its stores.
fn facts(ctx: &Context, key: &ObjectKey, spec: Option<&Spec>) -> Vec<StoreFact> {
    let names = spec.map(Spec::stores).unwrap_or_default();
    let fact = |store| {
        let (uid, generation) = match stores::describe(ctx, key.namespace(), store) {
            Ok(described) => (described.uid.clone(), described.generation),
            Err(_) => Default::default(),
        };
        StoreFact { store: store.clone(), uid, generation }
    };
    names.into_iter().map(fact).collect()
}

/// A plan, for what Secret it was made, and what became of it.
struct Acted {
    target: Option<Target>,
    plan: Plan,
    outcome: Outcome,
}

async fn act(
    ctx: &Context,
    secret: &ObjectKey,
    input: &Input<'_>,
    memory: &Memory,
    mut decided: First,
) -> Acted {
    let mut target = input.target.cloned();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let seen = Input { target: target.as_ref(), ..*input };
        let plan = match decided {
            First::Done(plan) => *plan,
            First::Fetch(wanted) => {
                let fetched = fetch(ctx, &seen, &wanted).await;
                then(&seen, memory, &wanted, fetched)
            }
        };
        // Nobody shuts this down before the loops have ended.
        let _permit = ctx.writes.acquire().await;
        let refusal = match target::write(ctx, secret, &plan.write, target.as_ref()).await {
            Ok(outcome) => return Acted { target, plan, outcome },
            Err(refusal) => refusal,
        };
        debug!(object = %secret, answer = refusal.describe(), "the Secret was not written");
        if !refusal.is_outdated() || attempts == target::ATTEMPTS {
            return Acted { target, plan, outcome: outcome::of(&refusal) };
        }
        match target::read(ctx, secret).await {
            Ok(read) => target = read,
            Err(refusal) => return Acted { target, plan, outcome: outcome::of(&refusal) },
        }
        decided = first(&Input { target: target.as_ref(), ..*input }, memory);
    }
}

/// Status, events, metrics, log; each only when there is something new.
async fn tell(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<External>,
    about: &ObjectReference,
    report: &Report,
) -> Result<(), status::NotSaid> {
    if report.drift_corrected {
        ctx.metrics.drift_corrected(EXTERNAL_SECRET);
    }
    let said = match &report.status {
        Some(status) => {
            let uid = object.metadata.uid.as_deref();
            let _permit = ctx.writes.acquire().await;
            status::write(ctx, "externalsecrets", key, uid, status).await.map(|object: IncomingExternal| {
                let (key, record): (ObjectKey, ExternalRecord) = object.into();
                // Where the watch was faster, what it has brought stays.
                let _newer = ctx.pull.external.put(&key, record);
            })
        }
        None => Ok(()),
    };
    let source = report.status.as_ref().unwrap_or(&object.status).source.as_ref();
    told::tell(ctx, key, about, &report.events, source).await;
    said
}
