//! One look at one store: connect, ask whether it takes the credentials, and say so.
//!
//! The status follows what is seen: when an ExternalSecret finds the store in trouble, and when it is well again.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use tracing::{info, warn};
use waxwing_core::{
    external::{StoreKind, StoreRef},
    plan::{Next, with_advice},
};
use waxwing_crds::{ConditionType, Reason, SecretStoreStatus, conditions};
use waxwing_providers::broker::Health;

use super::{
    records::{ClusterStoreKind, SecretStoreKind},
    stores::{self, Reached, Refused},
};
use crate::{
    context::Context,
    queue::{Queue, Verdict, jittered},
    records::{Incoming, ObjectRecord, Served},
    status,
    store::{ObjectKey, Store},
    told,
    workers::Work,
};

/// How often a store that is well is asked whether it still takes the credentials.
const AGAIN: Duration = Duration::from_secs(3600);

/// How often it is looked whether one in trouble is well again.
const SICK: Duration = Duration::from_secs(1);

/// The loop over stores.
pub(crate) enum Stores {}

impl Work for Stores {
    const KIND: &'static str = "SecretStore";

    fn queue(ctx: &Context) -> &Queue {
        &ctx.pull.stores_queue
    }
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        let mut keys = ctx.pull.secret_stores.keys();
        keys.extend(ctx.pull.cluster_stores.keys());
        keys
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.pull.secret_stores.get(key).is_some() || ctx.pull.cluster_stores.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.pull.stores_queue.forget(key);
    }
    fn at_once(ctx: &Context) -> usize {
        ctx.flags.concurrency.into()
    }
}

/// Looks at one store once.
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    if key.namespace().is_empty() {
        one::<ClusterStoreKind>(ctx, key, &ctx.pull.cluster_stores, StoreKind::ClusterSecretStore).await
    } else {
        one::<SecretStoreKind>(ctx, key, &ctx.pull.secret_stores, StoreKind::SecretStore).await
    }
}

async fn one<K: Served<Status = SecretStoreStatus>>(
    ctx: &Context,
    key: &ObjectKey,
    store: &Store<ObjectRecord<K>>,
    kind: StoreKind,
) -> Verdict {
    let began = Instant::now();
    let Some(record) = store.get(key) else { return Verdict::Done };
    let object = record.decode();
    if object.metadata.deletion_timestamp.is_some() {
        return Verdict::Done;
    }
    let name = StoreRef { kind, name: key.name().to_owned() };
    let found = match stores::reach(ctx, key.namespace(), &name).await {
        Ok(reached) => match check(&reached).await {
            Ok(()) => Ok(reached),
            Err(failure) => Err(Refused::of(&name, &failure)),
        },
        Err(refused) => Err(refused),
    };
    let before = &object.status;
    let status = status_of(before, object.metadata.generation, &found, ctx.now());
    let was_ready = conditions::is_true(&before.conditions, ConditionType::Ready)
        && before.observed_generation == object.metadata.generation;
    let failure = found.as_ref().err().map(|refused| refused.reason);
    ctx.metrics.reconciled(K::KIND, began.elapsed(), failure);
    if status != *before {
        let uid = object.metadata.uid.as_deref();
        let plural = K::Crd::plural(&());
        let said = status::write(ctx, &plural, key, uid, &status).await.map(|object: Incoming<K>| {
            let (key, record): (ObjectKey, ObjectRecord<K>) = object.into();
            let _newer = store.put(&key, record);
        });
        match said {
            Ok(()) => tell::<K>(ctx, key, &object.metadata, before, &found).await,
            Err(status::NotSaid::Gone) => return Verdict::Done,
            Err(status::NotSaid::Refused) => return Verdict::Backoff,
            Err(status::NotSaid::Rejected) => return Verdict::Ceiling,
        }
    }
    // Whatever waited for it need not wait for its own next look.
    if failure.is_none() && !was_ready {
        ctx.look_dependents(key);
    }
    match failure.map(Next::after) {
        // The broker asks by itself whether it is back; nobody is asked by looking at what it found.
        Some(_) if found.as_ref().is_err_and(|refused| refused.outage) => Verdict::After(SICK),
        None => Verdict::After(jittered(AGAIN)),
        Some(Next::Ceiling) => Verdict::Ceiling,
        Some(_) => Verdict::Backoff,
    }
}

/// Whether it is well: as its users have just seen it, or by asking.
async fn check(reached: &Reached) -> Result<(), waxwing_core::store::Failure> {
    let health = reached.broker.health().borrow().clone();
    match health {
        Health::Sick(failure) => Err(failure),
        Health::Unknown | Health::Well => reached.broker.check().await,
    }
}

fn status_of(
    before: &SecretStoreStatus,
    generation: Option<i64>,
    found: &Result<Reached, Refused>,
    now: i64,
) -> SecretStoreStatus {
    let mut status = before.clone();
    match found {
        Ok(_) => {
            let what = "the provider takes the credentials";
            conditions::ready(&mut status.conditions, Reason::StoreValid, what, generation, now);
        }
        Err(Refused { reason, message, .. }) => {
            let message = with_advice(message, *reason);
            conditions::failing(&mut status.conditions, *reason, &message, generation, now);
        }
    }
    status.capabilities = Some("ReadOnly".to_owned());
    status.observed_generation = generation.or(status.observed_generation);
    status
}

async fn tell<K: Served>(
    ctx: &Context,
    key: &ObjectKey,
    metadata: &ObjectMeta,
    before: &SecretStoreStatus,
    found: &Result<Reached, Refused>,
) {
    let ready = conditions::get(&before.conditions, ConditionType::Ready);
    let about = told::about(K::KIND, key, metadata);
    match found {
        Ok(_) if ready.is_some_and(|ready| ready.status == "False") => {
            info!(store = %key, kind = K::KIND, "the store is well again");
            ctx.events.normal(&about, Reason::StoreValid, "the store is well again").await;
        }
        Ok(_) => {}
        Err(Refused { reason, message, .. }) if ready.is_none_or(|ready| ready.reason != reason.as_str()) => {
            warn!(store = %key, kind = K::KIND, reason = reason.as_str(), "{message}");
            ctx.events.warning(&about, *reason, &with_advice(message, *reason)).await;
        }
        Err(_) => {}
    }
}
