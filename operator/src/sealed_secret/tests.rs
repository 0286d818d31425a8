//! One look against an API server that answers by a script: which requests are made, in which order, and no others.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use clap::Parser;
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use waxwing_core::{
    Secret,
    keys::{Identity, NamedRecipient},
    seal::{Binding, Scope, Sealed},
};
use waxwing_crds::{SealedSecretSpec, SealedSecretStatus};

use super::*;
use crate::{events::Events, flags::Flags, lease::Elector, memories::Memories, records::SecretRecord, ring};

/// Unanswered requests get this, so that a wrong order shows.
const UNEXPECTED: u16 = 599;

/// What was asked, and what will be answered.
#[derive(Clone, Default)]
struct Script {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

struct Asked {
    line: String,
    accept: String,
    content: String,
    body: Value,
}

enum Answer {
    /// Code and body.
    Json(u16, Value),
    /// The connection breaks.
    Broken,
}

impl Script {
    fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move { script.answer(request).await }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let header = |name| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let path = parts.uri.path_and_query().unwrap().as_str();
        let asked = Asked {
            line: format!("{} {path}", parts.method),
            accept: header("Accept"),
            content: header("Content-Type"),
            body: serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default(),
        };
        // Events are for people and have no order to keep.
        if path.contains("/events") {
            return Ok(json_response(201, &asked.body));
        }
        self.asked.lock().unwrap().push(asked);
        match self.answers.lock().unwrap().pop_front() {
            Some(Answer::Json(code, body)) => Ok(json_response(code, &body)),
            Some(Answer::Broken) => Err(std::io::Error::other("connection reset by peer")),
            None => Ok(json_response(UNEXPECTED, &json!({}))),
        }
    }

    fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// Method and path of what was asked since the last call, without names that are always the same.
    fn lines(&self) -> Vec<String> {
        let asked: Vec<_> = self.asked.lock().unwrap().drain(..).map(|asked| asked.line).collect();
        assert!(self.answers.lock().unwrap().is_empty(), "answers are left: {asked:?}");
        asked
    }
}

fn json_response(code: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::from(body.to_string())).unwrap()
}

const CREATE: &str =
    "POST /api/v1/namespaces/apps/secrets?fieldManager=waxwing%2Fsealedsecret%2F7bdc25d1694e";
const APPLY: &str =
    "PATCH /api/v1/namespaces/apps/secrets/db?fieldManager=waxwing%2Fsealedsecret%2F7bdc25d1694e&force=true";
const PATCH: &str =
    "PATCH /api/v1/namespaces/apps/secrets/db?fieldManager=waxwing%2Fsealedsecret%2F7bdc25d1694e";
const READ: &str = "GET /api/v1/namespaces/apps/secrets/db";
const STATUS: &str =
    "PATCH /apis/waxwing.dev/v1alpha1/namespaces/apps/sealedsecrets/db/status?fieldManager=waxwing";

const FLUX: &str = "GET /apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/apps";

/// A Kustomization that has applied these SealedSecrets.
fn kustomization(applied: &[&str]) -> Answer {
    let entries: Vec<_> =
        applied.iter().map(|id| json!({"id": format!("{id}_waxwing.dev_SealedSecret"), "v": "v1"})).collect();
    let status = json!({"lastAttemptedRevision": "main@sha1:a", "inventory": {"entries": entries}});
    Answer::Json(200, json!({"status": status}))
}

/// One object in the caches.
struct Stage {
    ctx: Context,
    script: Script,
    key: ObjectKey,
    spec: SealedSecretSpec,
    version: u64,
}

impl Stage {
    fn new() -> Self {
        let identity = Identity::generate();
        let (namespace, name) = ("apps".to_owned(), "db".to_owned());
        let mut sealed = Sealed::empty(Binding {
            scope: Scope::Strict,
            namespace,
            name,
            secret_type: "Opaque".to_owned(),
        });
        let recipients = [NamedRecipient::new("test", identity.recipient().clone()).unwrap()];
        let value = Secret::new(b"one".to_vec());
        sealed
            .seal(&[("password".parse().unwrap(), value)], &recipients, crate::context::unix_now())
            .unwrap();
        let mut spec = SealedSecretSpec::default();
        sealed.write_into(&mut spec);

        let script = Script::default();
        let client = script.client();
        let ring = ring::Ring { identities: [identity].into_iter().collect(), ..ring::Ring::default() };
        let (_, ring) = watch::channel(Arc::new(ring));
        let (_, leadership) =
            Elector::new(client.clone(), "waxwing-system", "default", "me", Arc::new(Notify::new()));
        let flags = Flags::parse_from(["waxwing-operator", "--operator-namespace=waxwing-system"]);
        let events = Events::new(client.clone(), "me");
        let ctx = Context::new(client, flags, ring, leadership, events);
        let mut stage = Self { ctx, script, key: ObjectKey::new("apps", "db"), spec, version: 10 };
        stage.put_object(1, &json!({}));
        stage
    }

    /// The object as the API server has it.
    fn object(&self, generation: i64, status: &Value) -> Value {
        json!({
            "metadata": {
                "namespace": "apps", "name": "db", "uid": "object-1", "generation": generation,
                "resourceVersion": self.version.to_string(),
            },
            "spec": self.spec,
            "status": status,
        })
    }

    fn put_object(&mut self, generation: i64, status: &Value) {
        self.version += 1;
        let object: IncomingSealed = serde_json::from_value(self.object(generation, status)).unwrap();
        let (key, record) = object.into();
        self.ctx.sealed_secrets.put(&key, record).unwrap();
    }

    /// The object as it is, with the marks of a Kustomization.
    fn put_labelled(&mut self) {
        let status = serde_json::to_value(self.status()).unwrap();
        self.version += 1;
        let mut object = self.object(1, &status);
        object["metadata"]["labels"] = json!({
            "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        });
        let object: IncomingSealed = serde_json::from_value(object).unwrap();
        let (key, record) = object.into();
        self.ctx.sealed_secrets.put(&key, record).unwrap();
    }

    fn put_secret(&self, metadata: &Value) {
        let metadata = serde_json::from_value(metadata.clone()).unwrap();
        self.ctx.secrets.put(&self.key, SecretRecord::from(&metadata)).unwrap();
    }

    /// Looks, and takes the status that was written back into the caches, as the API server's answer does.
    async fn look(&mut self) -> (Verdict, Vec<String>) {
        let verdict = reconcile(&self.ctx, &self.key).await;
        let status = {
            let asked = self.script.asked.lock().unwrap();
            asked.iter().rev().find(|asked| asked.line == STATUS).map(|asked| asked.body[1]["value"].clone())
        };
        if let Some(status) = status {
            self.put_object(1, &status);
        }
        (verdict, self.script.lines())
    }

    fn status(&self) -> SealedSecretStatus {
        self.ctx.sealed_secrets.get(&self.key).unwrap().status()
    }

    fn ready(&self) -> String {
        let status = self.status();
        let ready =
            waxwing_crds::conditions::get(&status.conditions, waxwing_crds::ConditionType::Ready).cloned();
        ready.map(|ready| format!("{} {}", ready.status, ready.reason)).unwrap_or_default()
    }

    /// The API server takes the status.
    fn takes_status(&self) -> Answer {
        // An older version than the cached one: what is cached is put by `look`.
        Answer::Json(200, self.object(1, &json!({})))
    }
}

/// Metadata of our own Secret.
fn ours(uid: &str, version: u64) -> Value {
    json!({
        "namespace": "apps", "name": "db", "uid": uid, "resourceVersion": version.to_string(),
        "annotations": {"waxwing.dev/owned-by": "SealedSecret/db"},
    })
}

fn answers(metadata: &Value) -> Answer {
    Answer::Json(200, json!({"kind": "PartialObjectMetadata", "metadata": metadata}))
}

fn refuses(code: u16) -> Answer {
    Answer::Json(code, json!({"kind": "Status", "code": code, "reason": "X", "message": "canary"}))
}

fn refuses_field(field: &str, reason: &str) -> Answer {
    let causes = json!([{"field": field, "reason": reason, "message": "canary"}]);
    Answer::Json(
        422,
        json!({"kind": "Status", "code": 422, "reason": "Invalid", "details": {"causes": causes}}),
    )
}

#[tokio::test]
async fn a_new_object_takes_one_post_and_one_status_and_then_nothing() {
    let mut stage = Stage::new();
    stage.script.will([answers(&ours("s-1", 20)), stage.takes_status()]);
    assert_eq!(stage.look().await, (Verdict::Done, vec![CREATE.to_owned(), STATUS.to_owned()]));
    assert_eq!(stage.ready(), "True Synced");
    assert_eq!(stage.status().applied.unwrap().resource_version, "20");
    assert_eq!(stage.look().await, (Verdict::Done, vec![]));
    // A restart: whatever was in memory is gone.
    stage.ctx.memories = Memories::default();
    assert_eq!(stage.look().await, (Verdict::Done, vec![]));
}

#[tokio::test]
async fn only_metadata_is_asked_for_and_an_apply_names_the_uid() {
    let stage = Stage::new();
    stage.put_secret(&ours("s-1", 20));
    stage.script.will([answers(&ours("s-1", 21)), stage.takes_status()]);
    reconcile(&stage.ctx, &stage.key).await;
    let asked = stage.script.asked.lock().unwrap();
    assert_eq!(asked[0].line, APPLY);
    assert_eq!(asked[0].accept, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    assert_eq!(asked[0].content, "application/apply-patch+yaml");
    assert_eq!(asked[0].body["metadata"]["uid"], "s-1");
    assert_eq!(asked[0].body["data"], json!({"password": "b25l"}));
    assert_eq!(asked[1].body[0], json!({"op": "test", "path": "/metadata/uid", "value": "object-1"}));
}

/// K01. Guard: create is a POST, and what it meets is looked at before anything else is done.
#[tokio::test]
async fn a_secret_that_the_caches_do_not_know_is_not_touched() {
    let mut stage = Stage::new();
    let foreign = json!({"uid": "s-9", "resourceVersion": "5", "name": "db", "namespace": "apps"});
    stage.script.will([refuses(409), answers(&foreign), stage.takes_status()]);
    assert_eq!(
        stage.look().await,
        (Verdict::Ceiling, vec![CREATE.to_owned(), READ.to_owned(), STATUS.to_owned()])
    );
    assert_eq!(stage.ready(), "False Conflict");
}

#[tokio::test]
async fn our_own_secret_that_the_caches_do_not_know_yet_is_applied() {
    let mut stage = Stage::new();
    stage.script.will([
        refuses(409),
        answers(&ours("s-1", 20)),
        answers(&ours("s-1", 21)),
        stage.takes_status(),
    ]);
    let (verdict, lines) = stage.look().await;
    assert_eq!((verdict, lines), (Verdict::Done, [CREATE, READ, APPLY, STATUS].map(str::to_owned).to_vec()));
    assert_eq!(stage.ready(), "True Synced");
}

#[tokio::test]
async fn a_secret_that_has_vanished_is_made_again() {
    let mut stage = Stage::new();
    stage.put_secret(&ours("s-1", 20));
    stage.script.will([refuses(409), refuses(404), answers(&ours("s-2", 30)), stage.takes_status()]);
    let (verdict, lines) = stage.look().await;
    assert_eq!((verdict, lines), (Verdict::Done, [APPLY, READ, CREATE, STATUS].map(str::to_owned).to_vec()));
    assert_eq!(stage.status().applied.unwrap().secret_uid, "s-2");
}

/// Guard: the apply's body has the uid; what stands there now is not ours.
#[tokio::test]
async fn a_secret_that_was_swapped_for_a_foreign_one_is_not_touched() {
    let mut stage = Stage::new();
    stage.put_secret(&ours("s-1", 20));
    let foreign = json!({"uid": "s-9", "resourceVersion": "30", "name": "db", "namespace": "apps"});
    stage.script.will([
        refuses_field("metadata.uid", "FieldValueInvalid"),
        answers(&foreign),
        stage.takes_status(),
    ]);
    let (verdict, lines) = stage.look().await;
    assert_eq!((verdict, lines), (Verdict::Ceiling, [APPLY, READ, STATUS].map(str::to_owned).to_vec()));
    assert_eq!(stage.ready(), "False Conflict");
}

#[tokio::test]
async fn an_endless_race_is_given_up_for_this_look() {
    let mut stage = Stage::new();
    stage.put_secret(&ours("s-1", 20));
    stage.script.will([
        refuses(409),
        answers(&ours("s-1", 21)),
        refuses(409),
        answers(&ours("s-1", 22)),
        refuses(409),
        stage.takes_status(),
    ]);
    let (verdict, lines) = stage.look().await;
    let expected = [APPLY, READ, APPLY, READ, APPLY, STATUS].map(str::to_owned).to_vec();
    assert_eq!((verdict, lines), (Verdict::Soon, expected));
    assert_eq!(stage.ready(), "False ApiConflict");
}

#[tokio::test]
async fn each_refusal_is_told_and_tried_again_at_its_pace() {
    for (answer, verdict, ready) in [
        (refuses(403), Verdict::Backoff, "False ApiForbidden"),
        (refuses(429), Verdict::Backoff, "False ApiThrottled"),
        (refuses(500), Verdict::Backoff, "False ApiUnavailable"),
        (refuses(503), Verdict::Backoff, "False ApiUnavailable"),
        (Answer::Json(200, json!("no object")), Verdict::Backoff, "False InternalError"),
        (Answer::Broken, Verdict::Backoff, "False ApiUnavailable"),
        (refuses_field("data", "FieldValueForbidden"), Verdict::Ceiling, "False ImmutableTarget"),
        (refuses_field("type", "FieldValueInvalid"), Verdict::Ceiling, "False ImmutableTarget"),
        (refuses_field("data[username]", "FieldValueRequired"), Verdict::Ceiling, "False ApiRejected"),
    ] {
        let mut stage = Stage::new();
        stage.put_secret(&ours("s-1", 20));
        stage.script.will([answer, stage.takes_status()]);
        let (found, lines) = stage.look().await;
        assert_eq!((found, lines), (verdict, vec![APPLY.to_owned(), STATUS.to_owned()]), "{ready}");
        assert_eq!(stage.ready(), ready);
        let status = serde_json::to_string(&stage.status()).unwrap();
        assert!(!status.contains("canary"), "{status}");
    }
}

#[tokio::test]
async fn a_status_that_was_not_written_is_written_by_the_next_look() {
    let mut stage = Stage::new();
    stage.script.will([answers(&ours("s-1", 20)), refuses(500)]);
    assert_eq!(reconcile(&stage.ctx, &stage.key).await, Verdict::Backoff);
    assert_eq!(stage.script.lines().len(), 2);
    // The Secret is there; the mark is not, so it is applied once more, which changes nothing.
    stage.script.will([answers(&ours("s-1", 20)), stage.takes_status()]);
    let (verdict, lines) = stage.look().await;
    assert_eq!((verdict, lines), (Verdict::Done, vec![APPLY.to_owned(), STATUS.to_owned()]));
    assert_eq!(stage.ready(), "True Synced");
}

#[tokio::test]
async fn an_object_that_is_gone_is_forgotten() {
    let mut stage = Stage::new();
    stage.script.will([answers(&ours("s-1", 20)), refuses(404)]);
    assert_eq!(reconcile(&stage.ctx, &stage.key).await, Verdict::Done);
    assert_eq!(stage.script.lines().len(), 2);
    assert!(stage.ctx.sealed_secrets.remove(&stage.key, "object-1"));
    assert_eq!(stage.look().await, (Verdict::Done, vec![]));
}

/// A restore has set the owner reference, so our own apply would not take it away.
#[tokio::test]
async fn a_stale_owner_reference_is_removed_before_the_apply() {
    let stage = Stage::new();
    let mut restored = ours("s-1", 20);
    restored["ownerReferences"] = json!([{
        "apiVersion": "waxwing.dev/v1alpha1", "kind": "SealedSecret", "name": "db", "uid": "object-0",
        "controller": true,
    }]);
    stage.put_secret(&restored);
    stage.script.will([answers(&ours("s-1", 21)), answers(&ours("s-1", 22)), stage.takes_status()]);
    reconcile(&stage.ctx, &stage.key).await;
    let asked = stage.script.asked.lock().unwrap();
    assert_eq!(asked.iter().map(|asked| asked.line.as_str()).collect::<Vec<_>>(), [PATCH, APPLY, STATUS]);
    let expected = json!([
        {"op": "test", "path": "/metadata/uid", "value": "s-1"},
        {"op": "test", "path": "/metadata/ownerReferences/0/uid", "value": "object-0"},
        {"op": "remove", "path": "/metadata/ownerReferences/0"},
    ]);
    assert_eq!(asked[0].body, expected);
    assert_eq!(asked[1].body["metadata"]["ownerReferences"][0]["uid"], "object-1");
}

#[tokio::test]
async fn the_commit_is_read_once_a_generation_and_its_absence_stops_nothing() {
    for (answer, revision) in [(kustomization(&["apps_db"]), Some("main@sha1:a")), (refuses(403), None)] {
        let mut stage = Stage::new();
        stage.put_labelled();
        stage.script.will([answers(&ours("s-1", 20)), answer, stage.takes_status()]);
        let (verdict, lines) = stage.look().await;
        assert_eq!(
            (verdict, lines),
            (Verdict::Done, vec![CREATE.to_owned(), FLUX.to_owned(), STATUS.to_owned()])
        );
        assert_eq!(stage.status().source.map(|source| source.revision).as_deref(), revision);
    }
}

/// K17. Guard: `source::of` takes a commit only from a tool that lists this very object.
#[tokio::test]
async fn a_mark_that_anybody_can_write_tells_nothing_of_another_namespaces_commits() {
    let lists: [&[&str]; 4] = [&[], &["other_db"], &["apps_other"], &["apps_d", "apps_db_db"]];
    for listed in lists {
        let mut stage = Stage::new();
        stage.put_labelled();
        stage.script.will([answers(&ours("s-1", 20)), kustomization(listed), stage.takes_status()]);
        let (verdict, lines) = stage.look().await;
        assert_eq!((verdict, lines.len()), (Verdict::After(Duration::from_secs(5)), 3), "{listed:?}");
        assert_eq!(stage.status().source, None, "{listed:?}");
    }
}

/// Flux lists a new object after it has applied everything else.
#[tokio::test(start_paused = true)]
async fn the_commit_of_a_new_object_is_read_once_more_when_its_tool_lists_it() {
    let mut stage = Stage::new();
    stage.put_labelled();
    stage.script.will([answers(&ours("s-1", 20)), kustomization(&[]), stage.takes_status()]);
    let (Verdict::After(delay), _) = stage.look().await else { panic!("it is not asked again") };
    // Looks for other causes in between change nothing of that.
    stage.put_labelled();
    assert_eq!(stage.look().await, (Verdict::After(delay), vec![]));
    tokio::time::advance(delay).await;
    stage.put_labelled();
    stage.script.will([kustomization(&["apps_db"]), stage.takes_status()]);
    assert_eq!(stage.look().await, (Verdict::Done, vec![FLUX.to_owned(), STATUS.to_owned()]));
    assert_eq!(stage.status().source.map(|source| source.revision).as_deref(), Some("main@sha1:a"));
    stage.put_labelled();
    assert_eq!(stage.look().await, (Verdict::Done, vec![]));
}

#[tokio::test]
async fn an_object_whose_status_the_api_server_refuses_is_tried_at_the_slowest_pace() {
    let stage = Stage::new();
    stage.script.will([answers(&ours("s-1", 20)), refuses_field("spec.data", "FieldValueInvalid")]);
    assert_eq!(reconcile(&stage.ctx, &stage.key).await, Verdict::Ceiling);
    assert_eq!(stage.script.lines().len(), 2);
}
