//! What is kept of objects as they come.

use serde_json::{Value, json};

use super::*;

fn record(object: &Value) -> (ObjectKey, SealedRecord) {
    // From text, as it comes from the API server.
    serde_json::from_str::<IncomingSealed>(&object.to_string()).expect("any object can be read").into()
}

fn object(spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "waxwing.dev/v1alpha1",
        "kind": "SealedSecret",
        "metadata": {
            "name": "db", "namespace": "apps", "uid": "u", "resourceVersion": "7", "generation": 3,
            "annotations": {LAST_APPLIED: "{}", "waxwing.dev/refresh": "1"},
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": spec,
        "status": status,
    })
}

#[test]
fn what_decisions_need_is_kept_and_managed_fields_are_not() {
    let spec = json!({"format": "wax1", "scope": "strict", "type": "Opaque", "envelopes": {}, "data": {}});
    let (key, record) = record(&object(&spec, &json!({})));
    assert_eq!(key, ObjectKey::new("apps", "db"));
    assert_eq!((record.uid(), record.version()), ("u", 7));
    let decoded = record.decode();
    assert_eq!(decoded.spec.unwrap().format, "wax1");
    assert_eq!(decoded.metadata.generation, Some(3));
    let annotations = decoded.metadata.annotations.unwrap();
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["waxwing.dev/refresh"]);
    assert_eq!(decoded.metadata.managed_fields, None);
}

#[test]
fn an_object_is_ready_when_its_present_generation_is() {
    let status = |ready: &str, generation: i64| {
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "Synced", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let keys = json!([
            {"name": "a", "seq": 1, "keyId": "0a0b0c0d"},
            {"name": "b", "seq": 1, "keyId": "0a0b0c0d", "removed": true},
        ]);
        record(&object(
            &json!({}),
            &json!({"conditions": [condition], "observedGeneration": generation, "keys": keys}),
        ))
        .1
    };
    assert!(status("True", 3).is_ready());
    assert!(!status("True", 2).is_ready());
    assert!(!status("False", 3).is_ready());
    assert_eq!(status("True", 3).opened_by().len(), 1);
}

/// D10, L03. Guard: specs are kept as text, and `decode_spec` names the place only.
#[test]
fn a_malformed_spec_is_kept_and_told_without_being_quoted() {
    for (spec, expected) in [
        (json!("canary-value"), "spec: not of the expected type"),
        (json!(null), "spec: missing field `format`"),
        (json!({"format": {"canary-value": 1}}), "spec.format: not of the expected type"),
        (json!({"format": "wax1", "scope": "strict"}), "spec: missing field `type`"),
        (
            json!({"format": "wax1", "scope": "strict", "type": "Opaque", "envelopes": {}, "data": {"k": 7}}),
            "spec.data.k: not of the expected type",
        ),
    ] {
        let (_, record) = record(&object(&spec, &json!({"conditions": "canary-value"})));
        assert_eq!(record.decode().spec.unwrap_err(), expected);
        assert_eq!(record.status(), SealedSecretStatus::default());
    }
}

#[test]
fn of_a_secret_only_what_concerns_ownership_is_kept() {
    let secret = json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {
            "name": "db", "namespace": "apps", "uid": "s", "resourceVersion": "9",
            "labels": {"app": "db"},
            "annotations": {"waxwing.dev/owned-by": "SealedSecret/db", LAST_APPLIED: "{\"data\": {}}"},
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
    });
    let incoming: IncomingSecret = serde_json::from_value(secret).unwrap();
    assert!(IncomingSecret::metadata_api(), "data is never asked for");
    let (key, record): (ObjectKey, SecretRecord) = incoming.into();
    assert_eq!(key, ObjectKey::new("apps", "db"));
    assert_eq!(record.annotation("waxwing.dev/owned-by"), Some("SealedSecret/db"));
    assert_eq!(record.annotation(LAST_APPLIED), None);
    assert!(record.is_terminating());
    assert_eq!(record.resource_version(), "9");
}

/// A proxy that sorts keys writes an event's object before its type.
#[test]
fn a_watch_event_can_be_read_in_any_order_of_its_fields() {
    let object = r#"{"metadata":{"name":"db","namespace":"a"},"spec":{"data":{"a":"x"},"n":[1,2.5,null,true]},"status":"nonsense"}"#;
    let texts = [
        format!(r#"{{"type":"ADDED","object":{object}}}"#),
        format!(r#"{{"object":{object},"type":"ADDED"}}"#),
    ];
    let [first, second] = texts.map(|text| {
        let event: kube::core::WatchEvent<IncomingSealed> = serde_json::from_str(&text).unwrap();
        let kube::core::WatchEvent::Added(object) = event else { panic!("another event") };
        let (_, record): (ObjectKey, SealedRecord) = object.into();
        (record.spec_json().to_owned(), record.status.clone())
    });
    assert_eq!(first.0, r#"{"data":{"a":"x"},"n":[1,2.5,null,true]}"#);
    assert_eq!(first, second);
}
