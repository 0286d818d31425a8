//! The commit that a GitOps tool had synced when it changed an object: for people, metrics and logs. Nothing is decided
//! by it, and where it can't be read, it is unknown.
//!
//! Flux labels what it applies with the Kustomization's name, Argo CD annotates it with the Application's. Anybody can
//! write such a mark, so a commit counts only if the tool's own status lists the object: nobody learns by a mark what
//! goes on in another namespace. Flux lists a new object only after it has applied all others, so it is asked again.
//!
//! Many objects change with one commit, so an answer is kept for a few seconds, and a refusal for longer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    store::ObjectKey,
};

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(3);
/// How long one is that says no other commit than the object's last: it may be from before the new one.
const NO_NEWS: Duration = Duration::from_millis(20);
/// How long a refusal is: most likely nobody has allowed the operator to read it.
const REFUSED: Duration = Duration::from_secs(60);
/// When a tool that does not list a new object yet is asked again, after the looks before.
const AGAIN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// So many answers are kept.
const KEPT: usize = 1000;
/// Where Argo CD's Applications are, unless the annotation says otherwise.
const ARGO_CD: &str = "argocd";

/// What is known of a commit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Synced {
    /// For the status.
    pub(crate) source: Source,
    /// When the tool began to sync it, in Unix seconds.
    pub(crate) since: Option<i64>,
}

/// The object of a GitOps tool that an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tracker {
    tool: Tool,
    namespace: String,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tool {
    ArgoCd,
    Flux,
}

/// What a tool says.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    synced: Synced,
    /// The objects of our kinds that it has applied, as `Kind namespace/name`.
    applied: Arc<HashSet<String>>,
}

/// What is known of an object's commit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Commit {
    /// The tool lists the object.
    Known(Synced),
    /// The tool does not list it: not yet, or it is not the tool's.
    Unlisted,
    /// The tool can't be read, or has synced nothing.
    Unknown,
}

/// Answers that are still good, and the objects for which a tool is asked again.
#[derive(Default)]
pub(crate) struct Sources {
    answers: Mutex<HashMap<Tracker, (Instant, Option<Told>)>>,
    unlisted: Mutex<HashMap<Named, Unlisted>>,
}

/// Kind and key.
type Named = (&'static str, ObjectKey);

/// An object that its tool does not list.
#[derive(Clone, Copy)]
struct Unlisted {
    generation: Option<i64>,
    /// How often it was asked in vain.
    times: usize,
    /// When to ask again, if at all.
    due: Option<Instant>,
}

/// The commit of an object, where it is wanted now, or waited for. It decides nothing, so whoever asks goes on meanwhile.
pub(crate) async fn commit(
    ctx: &Context,
    kind: &'static str,
    key: &ObjectKey,
    metadata: &ObjectMeta,
    last: Option<&Source>,
    is_wanted: bool,
) -> Option<Commit> {
    let is_wanted = is_wanted || ctx.sources.waits(kind, key, metadata.generation);
    let tracker = tracker(kind, key, metadata).filter(|_| is_wanted)?;
    Some(of(ctx, &ctx.sources, kind, key, tracker, last).await)
}

/// The commit at which this tool has synced an object, as far as it can be found out. `last` is the one that its status
/// names.
pub(crate) async fn of(
    ctx: &Context,
    sources: &Sources,
    kind: &'static str,
    key: &ObjectKey,
    tracker: Tracker,
    last: Option<&Source>,
) -> Commit {
    let told = match sources.get(&tracker, last) {
        Some(known) => known,
        None => {
            let told = read(ctx, &tracker).await;
            sources.put(tracker, told.clone());
            told
        }
    };
    match told {
        None => Commit::Unknown,
        Some(told) if told.applied.contains(&format!("{kind} {key}")) => Commit::Known(told.synced),
        Some(_) => Commit::Unlisted,
    }
}

impl Sources {
    fn get(&self, tracker: &Tracker, last: Option<&Source>) -> Option<Option<Told>> {
        let answers = lock(&self.answers);
        let (at, told) = answers.get(tracker)?;
        let good_for = match told {
            Some(told) if last == Some(&told.synced.source) => NO_NEWS,
            Some(_) => FRESH,
            None => REFUSED,
        };
        (at.elapsed() < good_for).then(|| told.clone())
    }

    fn put(&self, tracker: Tracker, told: Option<Told>) {
        let mut answers = lock(&self.answers);
        if answers.len() >= KEPT {
            answers.clear();
        }
        answers.insert(tracker, (Instant::now(), told));
    }

    /// Whether it is time to ask an object's tool again.
    pub(crate) fn waits(&self, kind: &'static str, key: &ObjectKey, generation: Option<i64>) -> bool {
        let unlisted = lock(&self.unlisted);
        let of_this = unlisted.get(&(kind, key.clone())).filter(|entry| entry.generation == generation);
        of_this.and_then(|entry| entry.due).is_some_and(|due| due <= Instant::now())
    }

    /// Takes note of an answer, if the tool was asked; says in how long to ask again.
    pub(crate) fn note(
        &self,
        kind: &'static str,
        key: &ObjectKey,
        generation: Option<i64>,
        commit: Option<&Commit>,
    ) -> Option<Duration> {
        let mut unlisted = lock(&self.unlisted);
        let now = Instant::now();
        let named = (kind, key.clone());
        let known = unlisted.get(&named).copied().filter(|entry| entry.generation == generation);
        let next = match (commit, known) {
            (Some(Commit::Known(_) | Commit::Unknown), _) | (None, None) => None,
            (None, Some(entry)) => Some(entry),
            // Looks between cost no turn.
            (Some(Commit::Unlisted), Some(entry)) if entry.due.is_none_or(|due| due > now) => Some(entry),
            (Some(Commit::Unlisted), entry) => {
                let times = entry.map_or(0, |entry| entry.times);
                let due = AGAIN.get(times).map(|delay| now + *delay);
                Some(Unlisted { generation, times: times + 1, due })
            }
        };
        match next {
            Some(next) => unlisted.insert(named, next),
            None => unlisted.remove(&named),
        };
        next?.due.map(|due| due.saturating_duration_since(now))
    }

    pub(crate) fn forget(&self, kind: &'static str, key: &ObjectKey) {
        lock(&self.unlisted).remove(&(kind, key.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose an object is, by the marks that the tool has put on it.
pub(crate) fn tracker(kind: &str, key: &ObjectKey, metadata: &ObjectMeta) -> Option<Tracker> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).filter(|value| !value.is_empty()).cloned();
    if let (Some(namespace), Some(name)) =
        (label("kustomize.toolkit.fluxcd.io/namespace"), label("kustomize.toolkit.fluxcd.io/name"))
    {
        return Some(Tracker { tool: Tool::Flux, namespace, name });
    }
    // APP:GROUP/KIND:NAMESPACE/NAME; one that names another object was copied.
    let id = metadata.annotations.as_ref()?.get("argocd.argoproj.io/tracking-id")?;
    let (app, object) = id.split_once(':')?;
    if object != format!("{}/{kind}:{key}", names::GROUP) || app.is_empty() {
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
    /// Flux.
    inventory: Option<Inventory>,
    /// Argo CD.
    resources: Vec<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inventory {
    entries: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    /// `NAMESPACE_NAME_GROUP_KIND`.
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Status {
    /// The objects of our group that the tool has applied.
    fn applied(&self, tool: Tool) -> HashSet<String> {
        let in_inventory = |entry: &Entry| {
            let (rest, kind) = entry.id.rsplit_once('_')?;
            let (namespace, name) = rest.strip_suffix(names::GROUP)?.strip_suffix('_')?.split_once('_')?;
            Some(format!("{kind} {namespace}/{name}"))
        };
        let entries = self.inventory.iter().flat_map(|inventory| &inventory.entries);
        let resources = self.resources.iter().filter(|resource| resource.group == names::GROUP);
        let in_resources = |one: &Resource| format!("{} {}/{}", one.kind, one.namespace, one.name);
        match tool {
            Tool::ArgoCd => resources.map(in_resources).collect(),
            Tool::Flux => entries.filter_map(in_inventory).collect(),
        }
    }
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

async fn read(ctx: &Context, tracker: &Tracker) -> Option<Told> {
    let (group_version, plural) = match tracker.tool {
        Tool::ArgoCd => ("argoproj.io/v1alpha1", "applications"),
        Tool::Flux => ("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    };
    let (namespace, name) = (escaped(&tracker.namespace), escaped(&tracker.name));
    let path = format!("/apis/{group_version}/namespaces/{namespace}/{plural}/{name}");
    let ask = Ask { verb: "get", method: Method::GET, path: &path, content: JSON };
    match send::<Answer>(&ctx.client, ask, JSON, Bytes::new()).await {
        Ok(answer) => {
            let applied = Arc::new(answer.status.applied(tracker.tool));
            synced(tracker, answer.status).map(|synced| Told { synced, applied })
        }
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

    const KIND: &str = "SealedSecret";

    fn metadata(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> ObjectMeta {
        let map = |entries: &[(&str, &str)]| {
            Some(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        ObjectMeta { labels: map(labels), annotations: map(annotations), ..ObjectMeta::default() }
    }

    fn check(metadata: &ObjectMeta, expected: Option<(Tool, &str, &str)>) {
        let found = tracker(KIND, &ObjectKey::new("apps", "db"), metadata);
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

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_news_for_an_object_is_soon_asked_for_again() {
        let (sources, key) = (Sources::default(), ObjectKey::new("apps", "db"));
        let tracker = Tracker { tool: Tool::Flux, namespace: "ns".to_owned(), name: "app".to_owned() };
        let source = |revision: &str| Source {
            tool: "flux".to_owned(),
            name: "ns/app".to_owned(),
            revision: revision.to_owned(),
        };
        let synced = Synced { source: source("a"), since: None };
        let told = Told { synced, applied: Arc::new(HashSet::from([format!("{KIND} {key}")])) };
        sources.put(tracker.clone(), Some(told));
        tokio::time::advance(NO_NEWS).await;
        assert!(sources.get(&tracker, Some(&source("a"))).is_none());
        assert!(sources.get(&tracker, Some(&source("b"))).is_some() && sources.get(&tracker, None).is_some());
        tokio::time::advance(FRESH).await;
        assert!(sources.get(&tracker, None).is_none());
    }

    #[test]
    fn each_tool_lists_what_it_has_applied() {
        let list = |tool, status| {
            let mut applied: Vec<_> =
                serde_json::from_value::<Status>(status).unwrap().applied(tool).into_iter().collect();
            applied.sort();
            applied
        };
        let status = json!({
            "inventory": {"entries": [
                {"id": "apps_db_waxwing.dev_SealedSecret", "v": "v1alpha1"},
                {"id": "apps_a.b_waxwing.dev_SealedSecret", "v": "v1alpha1"},
                {"id": "apps_db_waxwing.dev_ExternalSecret", "v": "v1alpha1"},
                {"id": "apps_db_bitnami.com_SealedSecret", "v": "v1"},
                {"id": "apps_db__Secret", "v": "v1"},
                {"id": "_waxwing.dev_SealedSecret"},
                {"id": ""},
            ]},
            "resources": [
                {"group": "waxwing.dev", "kind": "SealedSecret", "namespace": "shop", "name": "db"},
                {"group": "bitnami.com", "kind": "SealedSecret", "namespace": "shop", "name": "x"},
                {"kind": "Secret", "namespace": "shop", "name": "y", "version": "v1"},
            ],
        });
        assert_eq!(
            list(Tool::Flux, status.clone()),
            ["ExternalSecret apps/db", "SealedSecret apps/a.b", "SealedSecret apps/db"]
        );
        assert_eq!(list(Tool::ArgoCd, status), ["SealedSecret shop/db"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_not_listed_is_asked_for_again_and_not_for_ever() {
        let (sources, key) = (Sources::default(), ObjectKey::new("apps", "db"));
        let note = |generation, commit| sources.note(KIND, &key, Some(generation), commit);
        let unlisted = Some(&Commit::Unlisted);
        assert!(!sources.waits(KIND, &key, Some(1)));
        for delay in AGAIN {
            assert_eq!(note(1, unlisted), Some(delay));
            tokio::time::advance(delay / 2).await;
            // Looks between cost no turn.
            assert_eq!((note(1, None), note(1, unlisted)), (Some(delay / 2), Some(delay / 2)));
            assert!(!sources.waits(KIND, &key, Some(1)));
            tokio::time::advance(delay / 2).await;
            assert!(sources.waits(KIND, &key, Some(1)) && !sources.waits(KIND, &key, Some(2)));
        }
        for commit in [unlisted, unlisted, None] {
            assert_eq!((note(1, commit), sources.waits(KIND, &key, Some(1))), (None, false));
        }
        assert_eq!(note(2, unlisted), Some(AGAIN[0]));
        assert_eq!(note(2, Some(&Commit::Unknown)), None);
        assert_eq!(note(2, None), None);
    }
}
