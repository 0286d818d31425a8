//! Leave is taken in the end, whatever Grafana does.

use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::{inject::grafana::reconcile, testing};

const DAY: i64 = 86_400;

/// An injection that was deleted so many seconds ago.
fn deleted(target: &Value, seconds: i64) -> Incoming<ForGrafana> {
    let at = jiff::Timestamp::from_second(crate::context::unix_now() - seconds).unwrap();
    let document = json!({
        "metadata": {"name": "main", "namespace": "a", "uid": "u", "resourceVersion": "5", "generation": 2,
            "deletionTimestamp": at.to_string(), "finalizers": ["other", names::GRAFANA_FINALIZER]},
        "spec": {"datasources": [{"name": "prom", "type": "prometheus", "uid": "prom"}], "target": target},
    });
    serde_json::from_value(document).unwrap()
}

/// What the API server was asked, with the bodies.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Looks at it once, where one revision was published. Gives the verdict and what was asked.
async fn look(object: Incoming<ForGrafana>, terminating: bool) -> (Verdict, Vec<(String, Value)>) {
    let asked = Asked::default();
    let log = asked.clone();
    let file = "apiVersion: 1\ndatasources:\n  - {name: prom, type: prometheus}\n";
    let client = testing::client_with_body(move |line, body| {
        log.lock().unwrap().push((line.to_owned(), body.clone()));
        if line.contains("labelSelector") {
            let metadata = json!({"name": "main-u-1", "uid": "h", "resourceVersion": "1",
                "annotations": {names::REVISION: "1"}});
            let data = json!({"a.main.datasources.yaml": BASE64_STANDARD.encode(file)});
            return (200, json!({"items": [{"metadata": metadata, "data": data}]}));
        }
        if line.starts_with("GET /api/v1/namespaces/a/secrets/grafana") {
            let data = json!({"token": BASE64_STANDARD.encode("glsa_x")});
            return (200, json!({"metadata": {"resourceVersion": "1"}, "data": data}));
        }
        if line.contains("/secrets") {
            let metadata = json!({"name": "x", "namespace": "a", "uid": "s", "resourceVersion": "9"});
            return (201, json!({"metadata": metadata}));
        }
        (200, body.clone())
    });
    let (ctx, _) = testing::context(client, &["--allow-endpoint=http://127.0.0.1"]);
    ctx.terminating.set("a", terminating);
    let (key, record) = object.into();
    ctx.inject.grafana.put(&key, record).unwrap();
    let verdict = reconcile(&ctx, &key).await;
    let asked = asked.lock().unwrap().clone();
    (verdict, asked)
}

/// The finalizers that are left, where they were changed.
fn finalizers(asked: &[(String, Value)]) -> Option<&Value> {
    let patch =
        asked.iter().find(|(line, _)| line.starts_with("PATCH") && line.contains("grafanainjections"));
    patch.and_then(|(_, body)| body.as_array()?.last()?.get("value"))
}

/// Where nobody listens.
fn unreachable() -> Value {
    json!({"kind": "API", "url": "http://127.0.0.1:1", "auth": {"token": {"name": "grafana", "key": "token"}}})
}

#[tokio::test]
async fn grafana_gets_its_time_and_no_more() {
    let (verdict, asked) = look(deleted(&unreachable(), 10), false).await;
    assert_eq!((verdict, finalizers(&asked)), (Verdict::After(BETWEEN), None));
    let (verdict, asked) = look(deleted(&unreachable(), DAY), false).await;
    assert_eq!((verdict, finalizers(&asked)), (Verdict::Done, Some(&json!(["other"]))));
    let event = asked.iter().find(|(line, _)| line.contains("/events")).unwrap();
    assert!(
        event.1["note"].as_str().unwrap().contains("may be left there: data source prom: grafana: "),
        "{}",
        event.1
    );
}

#[tokio::test]
async fn a_sidecar_gets_tombstones_and_a_minute() {
    let target = json!({"kind": "Sidecar"});
    let (verdict, asked) = look(deleted(&target, 10), false).await;
    assert_eq!((verdict, finalizers(&asked)), (Verdict::After(BETWEEN), None));
    let written: Vec<_> =
        asked.iter().filter(|(line, _)| line.starts_with("POST /api/v1/namespaces/a/secrets")).collect();
    assert_eq!(written.len(), 2);
    let file = written[1].1["data"]["a.main.datasources.yaml"].as_str().unwrap();
    let file = String::from_utf8(BASE64_STANDARD.decode(file).unwrap()).unwrap();
    assert!(file.contains("deleteDatasources"), "{file}");
    let (verdict, asked) = look(deleted(&target, DAY), false).await;
    assert_eq!((verdict, finalizers(&asked)), (Verdict::Done, Some(&json!(["other"]))));
    assert!(!asked.iter().any(|(line, _)| line.contains("/events")));
}

/// Guard: `terminating` in `leave`. A namespace that is being deleted takes no Secrets.
#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_not_held_up() {
    let (verdict, asked) = look(deleted(&json!({"kind": "Sidecar"}), 1), true).await;
    assert_eq!((verdict, finalizers(&asked)), (Verdict::Done, Some(&json!(["other"]))));
    assert_eq!(asked.len(), 1, "nothing else is tried");
}
