//! How a GrafanaInjection takes leave: what it has put into Grafana is deleted there first.
//!
//! A file that is gone deletes nothing, so the finalizer holds the injection until its tombstones are published and, as far
//! as that can be known, read. No finalizer may hold up a namespace for ever: after some minutes it is given up, and an event
//! says what is left.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tracing::{debug, warn};
use waxwing_core::{
    Secret,
    grafana::{FileKind, Inventory, Scope, files},
    injection::{
        grafana::{Around, Earlier, KIND, farewell},
        plan::{Input, Writes},
    },
    plan::{Event, Outcome},
};
use waxwing_crds::{GrafanaTargetKind, Reason, names};

use super::{
    grafana::{Observed, earlier, wishes},
    grafana_watch::reach,
    history,
    look::few,
    publish::{Published, publish},
    records::ForGrafana,
};
use crate::{
    apply::{Ask, JSON, JSON_PATCH, Refusal, escaped, send},
    context::Context,
    queue::Verdict,
    records::{Decoded, Incoming},
    store::ObjectKey,
    told,
};

/// Seconds that Grafana may take to delete, where it can be asked.
const PATIENCE: i64 = 180;
/// Seconds that a sidecar has to copy the tombstones, and Grafana to read them, where nobody can be asked.
const QUIET: i64 = 60;
/// Between two tries.
const BETWEEN: Duration = Duration::from_secs(5);

/// How far it has come.
pub(super) enum Leave {
    /// Nothing is left to do.
    Done,
    /// Not yet.
    Wait,
    /// Something is left in Grafana: why.
    GivenUp(String),
}

/// Deletes, or has deleted, all that the injection has put into Grafana. `since`: when the injection was deleted.
pub(super) async fn leave(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    observed: &Observed,
    mut around: Around,
    since: i64,
) -> Leave {
    let spec = &observed.spec;
    let scope = Scope { namespace: key.namespace(), name: key.name() };
    let age = input.now.saturating_sub(since);
    let not_yet = |problem: String| if age < PATIENCE { Leave::Wait } else { Leave::GivenUp(problem) };
    let is_api = spec.target.kind == GrafanaTargetKind::Api;
    if input.place.terminating && !is_api {
        // Nothing can be written there any more, and the Secrets are going by themselves.
        return Leave::Done;
    }
    match history::read(ctx, key.namespace(), input.object.uid).await {
        Ok(revisions) => around.published = earlier(&revisions, spec, input.object.status, input.now),
        Err(fault) => return not_yet(fault.message),
    }
    if around.published.is_empty() && input.object.status.published.is_some() {
        // The history is gone already, such as with its namespace: what the spec has is as good a guess as any.
        let files = files(scope, &spec.document, &Inventory::default());
        let files = files.into_iter().map(|file| Secret::from(file.content)).collect();
        around.published.push(Earlier { files, is_read: false });
    }
    let (tombstones, files) = farewell(scope, &around);
    if tombstones.0.is_empty() {
        return Leave::Done;
    }
    let grafana = match reach(ctx, key, input.object.uid, observed).await.transpose() {
        Ok(grafana) => grafana,
        Err(trouble) => return not_yet(trouble.message),
    };
    if let (true, Some(grafana)) = (is_api, &grafana) {
        let troubles = grafana.delete(&tombstones).await;
        let messages: Vec<_> = troubles.into_iter().map(|trouble| trouble.message).collect();
        return if messages.is_empty() { Leave::Done } else { not_yet(few(&messages)) };
    }
    let published = waxwing_core::injection::plan::farewell(input, wishes(spec, files));
    let writes = Writes { published, ..Writes::default() };
    let _permit = ctx.writes.acquire().await;
    match publish(ctx, key.namespace(), &writes, input.targets).await {
        Published::Done(_) => {}
        // Where namespaces may not be watched, this is how it is learnt.
        Published::Refused(_, Outcome::NamespaceTerminating, _) => return Leave::Done,
        Published::Refused(..) => {
            return not_yet("what is to be deleted could not be written into the Secret".to_owned());
        }
    }
    let Some(grafana) = grafana else {
        return if age < QUIET { Leave::Wait } else { Leave::Done };
    };
    let read = async {
        grafana.reload(&[FileKind::Alerting, FileKind::Datasources]).await?;
        grafana.remaining(&tombstones).await
    };
    match read.await {
        Err(trouble) => not_yet(trouble.message),
        Ok(remaining) if remaining.0.is_empty() => Leave::Done,
        Ok(remaining) => {
            let entries: Vec<_> = remaining.0.iter().map(ToString::to_string).collect();
            not_yet(format!("grafana still has {}", few(&entries)))
        }
    }
}

/// Lets the injection go, or says when to look again.
pub(super) async fn carry_out(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<ForGrafana>,
    leave: impl Future<Output = Leave>,
) -> Verdict {
    let metadata = &object.metadata;
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == names::GRAFANA_FINALIZER) {
        return Verdict::Done;
    }
    match leave.await {
        Leave::Wait => return Verdict::After(BETWEEN),
        Leave::Done => {}
        Leave::GivenUp(problem) => {
            let note = format!("what this injection had put into Grafana may be left there: {problem}");
            let event = Event { warning: true, reason: Reason::GrafanaRefused, note };
            told::tell(ctx, key, &told::about(KIND, key, metadata), &[event], None).await;
        }
    }
    let others =
        finalizers.iter().filter(|finalizer| *finalizer != names::GRAFANA_FINALIZER).collect::<Vec<_>>();
    match patch(ctx, key, object, &json!(others)).await {
        Ok(_) => Verdict::Done,
        Err(Refusal::Api { status, .. }) if status.code == 404 => Verdict::Done,
        Err(refusal) => {
            debug!(object = %key, answer = refusal.describe(), "the finalizer was not removed");
            Verdict::Backoff
        }
    }
}

/// Sees that the injection has its finalizer; says when to look again where nothing may be published yet.
pub(super) async fn promise(ctx: &Context, key: &ObjectKey, object: &Decoded<ForGrafana>) -> Option<Verdict> {
    let metadata = &object.metadata;
    let is_suspended = metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(names::SUSPEND))
        .is_some_and(|value| value == "true");
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    if is_suspended || finalizers.iter().any(|finalizer| finalizer == names::GRAFANA_FINALIZER) {
        return None;
    }
    finalizers.push(names::GRAFANA_FINALIZER.to_owned());
    match patch(ctx, key, object, &json!(finalizers)).await {
        Ok(object) => {
            let (key, record) = object.into();
            // Where the watch was faster, what it has brought stays.
            let _newer = ctx.inject.grafana.put(&key, record);
            None
        }
        Err(Refusal::Api { status, .. }) if status.code == 404 => Some(Verdict::Done),
        // What is published without it is left behind when the injection goes, which is the smaller harm.
        Err(refusal @ Refusal::Api { .. }) if is_forbidden(&refusal) => {
            warn!(object = %key, "no finalizer may be set, so what leaves Grafana with this injection is left there");
            None
        }
        Err(refusal) => {
            debug!(object = %key, answer = refusal.describe(), "the finalizer was not set");
            Some(Verdict::Backoff)
        }
    }
}

fn is_forbidden(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Api { status, .. } if status.code == 403)
}

/// Replaces the finalizers of this very object, as it is known.
async fn patch(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<ForGrafana>,
    finalizers: &serde_json::Value,
) -> Result<Incoming<ForGrafana>, Refusal> {
    let (group, version) = (names::GROUP, names::VERSION);
    let (namespace, name) = (escaped(key.namespace()), escaped(key.name()));
    let path = format!(
        "/apis/{group}/{version}/namespaces/{namespace}/grafanainjections/{name}?fieldManager={}",
        names::MANAGER
    );
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": object.metadata.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": object.metadata.resource_version},
        {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
    ]);
    let ask = Ask { verb: "patch", method: Method::PATCH, path: &path, content: JSON_PATCH };
    send(&ctx.client, ask, JSON, patch.to_string().into()).await
}

#[cfg(test)]
mod tests;
