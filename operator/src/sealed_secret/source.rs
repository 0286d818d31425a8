//! The commit that a GitOps tool had synced when it changed an object: for people, metrics and logs. Nothing is decided
//! by it, and where it can't be read, it is unknown.
//!
//! Flux labels what it applies with the Kustomization's name, Argo CD annotates it with the Application's. Many objects
//! change with one commit, so an answer is kept for a few seconds, and a refusal for longer.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::{Method, body::Bytes};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
    jiff::Timestamp,
};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::debug;
use waxwing_crds::{Source, names};

use crate::{
    apply::{Ask, JSON, escaped, send},
    context::Context,
    metrics::SEALED_SECRET,
    store::ObjectKey,
};

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(3);
/// How long a refusal is: most likely nobody has allowed the operator to read it.
const REFUSED: Duration = Duration::from_secs(60);
/// So many answers are kept.
const KEPT: usize = 1000;
/// Where Argo CD's Applications are, unless the annotation says otherwise.
const ARGO_CD: &str = "argocd";

/// What is known of a commit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Synced {
    /// For the status.
    pub(super) source: Source,
    /// When the tool began to sync it, in Unix seconds.
    pub(super) since: Option<i64>,
}

/// The object of a GitOps tool that an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tracker {
    tool: Tool,
    namespace: String,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tool {
    ArgoCd,
    Flux,
}

/// Answers that are still good.
#[derive(Default)]
pub(super) struct Sources(Mutex<HashMap<Tracker, (Instant, Option<Synced>)>>);

/// The commit that this tool has synced, as far as it can be found out.
pub(super) async fn of(ctx: &Context, sources: &Sources, tracker: Tracker) -> Option<Synced> {
    if let Some(known) = sources.get(&tracker) {
        return known;
    }
    let synced = read(ctx, &tracker).await;
    sources.put(tracker, synced.clone());
    synced
}

impl Sources {
    fn get(&self, tracker: &Tracker) -> Option<Option<Synced>> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, synced) = answers.get(tracker)?;
        let good_for = if synced.is_some() { FRESH } else { REFUSED };
        (at.elapsed() < good_for).then(|| synced.clone())
    }

    fn put(&self, tracker: Tracker, synced: Option<Synced>) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KEPT {
            answers.clear();
        }
        answers.insert(tracker, (Instant::now(), synced));
    }
}

/// Whose an object is, by the marks that the tool has put on it.
pub(super) fn tracker(key: &ObjectKey, metadata: &ObjectMeta) -> Option<Tracker> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).filter(|value| !value.is_empty()).cloned();
    if let (Some(namespace), Some(name)) =
        (label("kustomize.toolkit.fluxcd.io/namespace"), label("kustomize.toolkit.fluxcd.io/name"))
    {
        return Some(Tracker { tool: Tool::Flux, namespace, name });
    }
    // APP:GROUP/KIND:NAMESPACE/NAME; one that names another object was copied.
    let id = metadata.annotations.as_ref()?.get("argocd.argoproj.io/tracking-id")?;
    let (app, object) = id.split_once(':')?;
    if object != format!("{}/{SEALED_SECRET}:{key}", names::GROUP) || app.is_empty() {
        return None;
    }
    let (namespace, name) = app.split_once('_').unwrap_or((ARGO_CD, app));
    Some(Tracker { tool: Tool::ArgoCd, namespace: namespace.to_owned(), name: name.to_owned() })
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Status,
}

/// Both tools' status, as far as it says something.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    /// Flux.
    last_attempted_revision: Option<String>,
    /// Flux.
    conditions: Vec<Condition>,
    /// Argo CD.
    operation_state: Option<Operation>,
    /// Argo CD.
    sync: Option<Revision>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Operation {
    started_at: Option<Timestamp>,
    sync_result: Option<Revision>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Revision {
    revision: String,
}

async fn read(ctx: &Context, tracker: &Tracker) -> Option<Synced> {
    let (group_version, plural) = match tracker.tool {
        Tool::ArgoCd => ("argoproj.io/v1alpha1", "applications"),
        Tool::Flux => ("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    };
    let (namespace, name) = (escaped(&tracker.namespace), escaped(&tracker.name));
    let path = format!("/apis/{group_version}/namespaces/{namespace}/{plural}/{name}");
    let ask = Ask { verb: "get", method: Method::GET, path: &path, content: JSON };
    match send::<Answer>(&ctx.client, ask, JSON, Bytes::new()).await {
        Ok(answer) => synced(tracker, answer.status),
        Err(refusal) => {
            debug!(plural, answer = refusal.describe(), "the commit of a synced object is unknown");
            None
        }
    }
}

fn synced(tracker: &Tracker, status: Status) -> Option<Synced> {
    let (tool, revision, since) = match tracker.tool {
        Tool::ArgoCd => {
            let operation = status.operation_state.unwrap_or_default();
            let revision = operation.sync_result.or(status.sync)?.revision;
            ("argocd", revision, operation.started_at.map(Timestamp::as_second))
        }
        Tool::Flux => {
            let condition = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
            // While it applies, `Reconciling` says since when; after that, only `Ready` is left.
            let since = condition("Reconciling").or_else(|| condition("Ready"));
            (
                "flux",
                status.last_attempted_revision?,
                since.map(|since| since.last_transition_time.0.as_second()),
            )
        }
    };
    let name = format!("{}/{}", tracker.namespace, tracker.name);
    // A revision is copied into a status; a real one is much shorter.
    let revision: String = revision.chars().filter(|c| !c.is_control()).take(256).collect();
    let source = Source { tool: tool.to_owned(), name, revision };
    (!source.revision.is_empty()).then_some(Synced { source, since })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> ObjectMeta {
        let map = |entries: &[(&str, &str)]| {
            Some(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        ObjectMeta { labels: map(labels), annotations: map(annotations), ..ObjectMeta::default() }
    }

    fn check(metadata: &ObjectMeta, expected: Option<(Tool, &str, &str)>) {
        let found = tracker(&ObjectKey::new("apps", "db"), metadata);
        let expected = expected.map(|(tool, namespace, name)| Tracker {
            tool,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn both_tools_marks_are_read_and_copied_ones_are_not() {
        let flux = [
            ("kustomize.toolkit.fluxcd.io/name", "apps"),
            ("kustomize.toolkit.fluxcd.io/namespace", "flux-system"),
        ];
        check(&metadata(&flux, &[]), Some((Tool::Flux, "flux-system", "apps")));
        check(&metadata(&flux[..1], &[]), None);
        let argo = |id| metadata(&[], &[("argocd.argoproj.io/tracking-id", id)]);
        check(&argo("shop:waxwing.dev/SealedSecret:apps/db"), Some((Tool::ArgoCd, "argocd", "shop")));
        check(&argo("team_shop:waxwing.dev/SealedSecret:apps/db"), Some((Tool::ArgoCd, "team", "shop")));
        check(&argo("shop:waxwing.dev/SealedSecret:apps/other"), None);
        check(&argo("shop"), None);
        check(&metadata(&[], &[]), None);
    }

    #[test]
    fn revision_and_time_come_from_where_each_tool_has_them() {
        let read = |tool, status| {
            let tracker = Tracker { tool, namespace: "ns".to_owned(), name: "app".to_owned() };
            synced(&tracker, serde_json::from_value(status).unwrap())
        };
        let expected = |tool: &str, revision: &str| Synced {
            source: Source {
                tool: tool.to_owned(),
                name: "ns/app".to_owned(),
                revision: revision.to_owned(),
            },
            since: Some(1_789_000_000),
        };
        let at = "2026-09-10T00:26:40Z";
        let condition = |type_: &str, at: &str| json!({"type": type_, "status": "True", "reason": "X", "message": "", "lastTransitionTime": at});
        let status = json!({
            "lastAttemptedRevision": "main@sha1:abc",
            "conditions": [condition("Ready", "2026-01-01T00:00:00Z"), condition("Reconciling", at)],
        });
        assert_eq!(read(Tool::Flux, status), Some(expected("flux", "main@sha1:abc")));
        let status = json!({"operationState": {"startedAt": at, "syncResult": {"revision": "def"}}, "sync": {"revision": "old"}});
        assert_eq!(read(Tool::ArgoCd, status), Some(expected("argocd", "def")));
        assert_eq!(read(Tool::Flux, json!({})), None);
        assert_eq!(read(Tool::ArgoCd, json!({})), None);
    }
}
