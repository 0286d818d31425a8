//! One look at one ClusterExternalSecret: makes, changes and removes its ExternalSecrets. What is to be done is decided in
//! `waxwing_core::external::cluster`.
//!
//! Nothing is put on Namespaces, so nothing holds up their deletion. When the object itself is deleted, the garbage
//! collector takes its ExternalSecrets, because they name it as their owner.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hyper::{Method, body::Bytes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tracing::warn;
use waxwing_core::{
    external::cluster::{Child, KIND, Namespace, Plan, Wanted, Write, child_name, plan, summary},
    plan::with_advice,
};
use waxwing_crds::{ClusterExternalSecretStatus, FailedNamespace, Reason, conditions, names};

use super::records::ClusterExternal;
use crate::{
    api_error,
    apply::{Ask, JSON, Refusal, escaped, send},
    context::Context,
    queue::{Queue, Verdict},
    records::{Decoded, Incoming, ObjectRecord},
    status,
    store::{ObjectKey, Record},
    workers::Work,
};

/// How often writes that were refused are tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// The loop over ClusterExternalSecrets.
pub(crate) enum ClusterExternalSecrets {}

impl Work for ClusterExternalSecrets {
    const KIND: &'static str = KIND;

    fn queue(ctx: &Context) -> &Queue {
        &ctx.pull.cluster_external_queue
    }
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        ctx.pull.cluster_external.keys()
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.pull.cluster_external.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.pull.cluster_external_queue.forget(key);
    }
    fn at_once(_: &Context) -> usize {
        4
    }
}

/// Looks at one object once.
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    let began = Instant::now();
    let Some(record) = ctx.pull.cluster_external.get(key) else { return Verdict::Done };
    let object: Decoded<ClusterExternal> = record.decode();
    drop(record);
    if object.metadata.deletion_timestamp.is_some() {
        return Verdict::Done;
    }
    let planned = match &object.spec {
        Ok(spec) => {
            let name = child_name(spec, key.name());
            let labels =
                ctx.pull.namespaces.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            let namespaces: Vec<_> =
                labels.iter().map(|(namespace, labels)| observed(ctx, namespace, labels, name)).collect();
            plan(spec, key.name(), &namespaces)
                .map(|plan| (name.to_owned(), plan))
                .map_err(|error| (error.reason(), error.to_string()))
        }
        Err(what) => Err((Reason::InvalidSpec, what.clone())),
    };
    let mut status = object.status.clone();
    let (generation, now) = (object.metadata.generation, ctx.now());
    let failure = match planned {
        Ok((name, planned)) => {
            let done = carry_out(ctx, key, &object.metadata, &name, planned).await;
            let (reason, message) = summary(&done);
            status.provisioned_namespaces = done.provisioned;
            status.failed_namespaces = done.failed;
            match reason {
                Reason::Synced => {
                    conditions::ready(&mut status.conditions, reason, &message, generation, now);
                    None
                }
                _ => Some((reason, message)),
            }
        }
        Err(failure) => Some(failure),
    };
    if let Some((reason, message)) = &failure {
        let message = with_advice(message, *reason);
        conditions::failing(&mut status.conditions, *reason, &message, generation, now);
    }
    status.observed_generation = generation.or(status.observed_generation);
    let reason = failure.map(|(reason, _)| reason);
    ctx.metrics.reconciled(KIND, began.elapsed(), reason);
    match say(ctx, key, &object, &status).await {
        Err(status::NotSaid::Gone) => Verdict::Done,
        Err(status::NotSaid::Refused) => Verdict::Backoff,
        Err(status::NotSaid::Rejected) => Verdict::Ceiling,
        Ok(()) if reason == Some(Reason::NamespacesFailing) => Verdict::After(AGAIN),
        Ok(()) if reason.is_some() => Verdict::Ceiling,
        Ok(()) => Verdict::Done,
    }
}

fn observed<'a>(
    ctx: &Context,
    namespace: &'a str,
    labels: &'a BTreeMap<String, String>,
    name: &str,
) -> Namespace<'a> {
    let child = ctx.pull.external.get(&ObjectKey::new(namespace, name)).map(|record| {
        let child = record.decode();
        Child {
            uid: record.uid().to_owned(),
            labels: child.metadata.labels.unwrap_or_default(),
            annotations: child.metadata.annotations.unwrap_or_default(),
            spec: child.spec.ok(),
        }
    });
    Namespace { name: namespace, labels, terminating: ctx.terminating.contains(namespace), child }
}

/// Makes the writes; a namespace in which one is refused is told as failed, and hinders no other.
async fn carry_out(ctx: &Context, key: &ObjectKey, owner: &ObjectMeta, name: &str, mut plan: Plan) -> Plan {
    for write in std::mem::take(&mut plan.writes) {
        let Err(refusal) = one(ctx, key, owner, name, &write).await else { continue };
        warn!(object = %key, namespace = write.namespace, answer = refusal.describe(), "the ExternalSecret was not written");
        let reason = match &refusal {
            Refusal::Api { status, .. } => api_error::reason(&kube::Error::Api(status.clone())),
            Refusal::Client(error) => api_error::reason(error),
        };
        plan.provisioned.retain(|namespace| *namespace != write.namespace);
        let reason = reason.as_str().to_owned();
        plan.failed.push(FailedNamespace { namespace: write.namespace, reason });
    }
    plan
}

async fn one(
    ctx: &Context,
    key: &ObjectKey,
    owner: &ObjectMeta,
    name: &str,
    write: &Write,
) -> Result<(), Refusal> {
    let (group, version) = (names::GROUP, names::VERSION);
    let manager = escaped(&names::field_manager(KIND, key.name()));
    let all = format!("/apis/{group}/{version}/namespaces/{}/externalsecrets", escaped(&write.namespace));
    let item = format!("{all}/{}", escaped(name));
    let _permit = ctx.writes.acquire().await;
    match (&write.child, &write.uid) {
        (Some(wanted), uid) => {
            let body = body(key, owner, name, &write.namespace, wanted, uid.as_deref());
            let (verb, method, path, content) = match uid {
                // Only a create is refused where one exists that the cache has not seen.
                None => ("create", Method::POST, format!("{all}?fieldManager={manager}"), JSON),
                Some(_) => {
                    let path = format!("{item}?fieldManager={manager}&force=true");
                    ("patch", Method::PATCH, path, "application/apply-patch+yaml")
                }
            };
            let ask = Ask { verb, method, path: &path, content };
            send::<IgnoredAny>(&ctx.client, ask, JSON, body.to_string().into()).await.map(drop)
        }
        (None, Some(uid)) => {
            let only = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
            let ask = Ask { verb: "delete", method: Method::DELETE, path: &item, content: JSON };
            send::<IgnoredAny>(&ctx.client, ask, JSON, Bytes::from(only.to_string())).await.map(drop)
        }
        (None, None) => Ok(()),
    }
}

fn body(
    key: &ObjectKey,
    owner: &ObjectMeta,
    name: &str,
    namespace: &str,
    wanted: &Wanted,
    uid: Option<&str>,
) -> Value {
    let mut metadata = json!({
        "name": name, "namespace": namespace, "labels": wanted.labels, "annotations": wanted.annotations,
        "ownerReferences": [{
            "apiVersion": names::API_VERSION, "kind": KIND, "name": key.name(), "uid": owner.uid,
            "controller": true,
        }],
    });
    if let Some(uid) = uid {
        metadata["uid"] = json!(uid);
    }
    json!({
        "apiVersion": names::API_VERSION, "kind": super::EXTERNAL_SECRET,
        "metadata": metadata, "spec": wanted.spec,
    })
}

async fn say(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<ClusterExternal>,
    status: &ClusterExternalSecretStatus,
) -> Result<(), status::NotSaid> {
    if *status == object.status {
        return Ok(());
    }
    let uid = object.metadata.uid.as_deref();
    let plural = "clusterexternalsecrets";
    status::write(ctx, plural, key, uid, status).await.map(|object: Incoming<ClusterExternal>| {
        let (key, record): (ObjectKey, ObjectRecord<ClusterExternal>) = object.into();
        let _newer = ctx.pull.cluster_external.put(&key, record);
    })
}
