//! Restarts workloads: by an annotation on their pod template, with a field manager of our own, so that a GitOps tool sees
//! no drift in what it owns.

use std::time::Duration;

use hyper::Method;
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::json;
use tracing::{info, warn};
use waxwing_core::{
    external::{
        RolloutKind,
        plan::{
            Report,
            rollout::{Due, done},
        },
    },
    plan::Next,
};
use waxwing_crds::{ExternalSecretStatus, Reason, names};

use super::EXTERNAL_SECRET;
use crate::{
    apply::{Ask, JSON, Refusal, escaped, send},
    context::Context,
    store::ObjectKey,
};

/// When a restart that failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Carries out what is due, notes it in the status that is to be written, and sees to it that the rest is not forgotten.
pub(crate) async fn carry_out(
    ctx: &Context,
    key: &ObjectKey,
    about: &ObjectReference,
    before: &ExternalSecretStatus,
    report: &mut Report,
) {
    let now = ctx.now();
    for due in std::mem::take(&mut report.rollouts) {
        let wait = if due.at > now {
            Duration::from_secs((due.at - now).unsigned_abs())
        } else {
            let what = format!("{} {}", kind(&due).0, due.rollout.name);
            match restart(ctx, key, &due).await {
                Ok(()) => {
                    done(report.status.get_or_insert_with(|| before.clone()), &due, now);
                    info!(object = %key, workload = what, "restarted, because a value in its Secret has changed");
                    ctx.events.normal(about, Reason::RolloutStarted, &what).await;
                    continue;
                }
                Err(refusal) => {
                    let note = format!("{what}: {}. {}", refusal.describe(), Reason::RolloutFailed.advice());
                    warn!(object = %key, "{note}");
                    ctx.events.warning(about, Reason::RolloutFailed, &note).await;
                    AGAIN
                }
            }
        };
        let wait = wait.as_secs().max(1);
        report.next = match report.next {
            Next::OnChange => Next::After(wait),
            Next::After(seconds) => Next::After(seconds.min(wait)),
            sooner @ (Next::Soon | Next::Backoff | Next::Ceiling) => sooner,
        };
    }
}

async fn restart(ctx: &Context, key: &ObjectKey, due: &Due) -> Result<(), Refusal> {
    let (kind, plural) = kind(due);
    let name = &due.rollout.name;
    let path = format!("/apis/apps/v1/namespaces/{}/{plural}/{}", escaped(key.namespace()), escaped(name));
    // An apply to a name that is not there would make one.
    let ask = Ask { verb: "get", method: Method::GET, path: &path, content: JSON };
    #[derive(serde::Deserialize)]
    struct Found {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    }
    let found: Found = send(&ctx.client, ask, JSON, hyper::body::Bytes::new()).await?;
    let manager = names::field_manager(EXTERNAL_SECRET, key.name());
    let annotations = json!({names::RESTARTED_FOR: due.digest});
    let body = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": key.namespace(), "uid": found.metadata.uid},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    });
    // With force: two ExternalSecrets may restart one workload, and the annotation has no other writer.
    let path = format!("{path}?fieldManager={}&force=true", escaped(&manager));
    let ask =
        Ask { verb: "patch", method: Method::PATCH, path: &path, content: "application/apply-patch+yaml" };
    send::<serde::de::IgnoredAny>(&ctx.client, ask, JSON, body.to_string().into()).await.map(drop)
}

fn kind(due: &Due) -> (&'static str, &'static str) {
    match due.rollout.kind {
        RolloutKind::Deployment => ("Deployment", "deployments"),
        RolloutKind::StatefulSet => ("StatefulSet", "statefulsets"),
        RolloutKind::DaemonSet => ("DaemonSet", "daemonsets"),
    }
}
