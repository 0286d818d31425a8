//! Tests of the types as a whole: what the API server sends and gets, and what the schemas promise.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::*;

/// A spec with every field written.
fn full_spec() -> Value {
    json!({
        "format": "wax1",
        "scope": "strict",
        "type": "Opaque",
        "envelopes": {"k3v7f2mq": {"commit": "c", "to": ["prod-eu/3fa9c1d2"], "age": "YQ=="}},
        "data": {"pagerduty-key": "wax1.k3v7f2mq.1789000000.x"},
        "immutable": false,
        "template": {
            "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
            "data": {"url": "{{ key }}"},
        },
    })
}

/// Reads an object and writes it again.
fn round_trip<K: serde::Serialize + serde::de::DeserializeOwned>(object: &Value) -> Value {
    let read: K = serde_json::from_value(object.clone()).expect("reads");
    serde_json::to_value(read).expect("writes")
}

/// Everything in a schema for which `is` holds, by its place.
fn places(schema: &Value, path: &str, is: fn(&str, &Value) -> bool, found: &mut Vec<String>) {
    if let Some(map) = schema.as_object() {
        for (name, value) in map {
            let path = format!("{path}/{name}");
            if is(name, value) {
                found.push(path.clone());
            }
            places(value, &path, is, found);
        }
    }
    for (index, value) in schema.as_array().into_iter().flatten().enumerate() {
        places(value, &format!("{path}/{index}"), is, found);
    }
}

fn schemas() -> [Value; 2] {
    [SealedSecret::crd(), KeyRing::crd()].map(|crd| {
        let crd = serde_json::to_value(crd).expect("writes");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    })
}

#[test]
fn a_sealed_secret_with_every_field_survives_a_round_trip() {
    let object = json!({
        "apiVersion": names::API_VERSION,
        "kind": "SealedSecret",
        "metadata": {"name": "receivers", "namespace": "monitoring"},
        "spec": full_spec(),
        "status": {
            "observedGeneration": 3,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Synced", "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 3,
            }],
            "keys": [
                {"name": "gone", "seq": 7, "removed": true},
                {"name": "pagerduty-key", "seq": 1_789_000_000, "keyId": "3fa9c1d2"},
            ],
            "applied": {"digest": "d", "keyId": "3fa9c1d2", "resourceVersion": "12", "secretUid": "u"},
            "source": {"tool": "flux", "name": "flux-system/apps", "revision": "main@sha1:1"},
            "proposedEnvelopes": {
                "nonce": "1", "recipients": "r",
                "envelopes": {"k3v7f2mq": {"commit": "c", "to": [], "age": "YQ=="}},
            },
        },
    });
    assert_eq!(round_trip::<SealedSecret>(&object), object);
}

#[test]
fn a_key_ring_with_every_field_survives_a_round_trip() {
    let object = json!({
        "apiVersion": names::API_VERSION,
        "kind": "KeyRing",
        "metadata": {"name": "default"},
        "spec": {
            "rotation": {"every": "30d"},
            "recipients": [{"name": "recovery", "recipient": "age1x", "required": true}],
            "trusted": ["age1x"],
            "backedUp": ["age1y"],
            "activateAfterBackup": true,
            "protection": {"kind": "None"},
            "policy": {"rollback": "Deny", "clusterScope": "Allow"},
        },
        "status": {
            "observedGeneration": 1,
            "keys": [{
                "recipient": "age1z", "keyId": "0c11de42", "state": "OpenOnly", "createdAt": "2026-01-02T03:04:05Z",
            }],
            "recipientsDigest": "d",
        },
    });
    assert_eq!(round_trip::<KeyRing>(&object), object);
}

#[test]
fn what_is_not_said_is_not_written() {
    let spec = json!({"format": "wax1", "scope": "strict", "type": "Opaque", "envelopes": {}, "data": {}});
    assert_eq!(round_trip::<SealedSecretSpec>(&spec), spec);
    let mut with_template = spec;
    with_template["template"] = json!({});
    assert_eq!(round_trip::<SealedSecretSpec>(&with_template), with_template);
    assert_eq!(round_trip::<KeyRingSpec>(&json!({})), json!({}));
    assert_eq!(round_trip::<SealedSecretStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<KeyRingStatus>(&json!({})), json!({}));
}

#[test]
fn no_field_of_the_sealed_spec_has_a_default() {
    for field in ["format", "scope", "type", "envelopes", "data"] {
        let mut spec = full_spec();
        spec.as_object_mut().expect("an object").remove(field);
        assert!(serde_json::from_value::<SealedSecretSpec>(spec).is_err(), "{field}");
    }
}

/// K15. Guard: a status is read leniently (`lenient`), so a forged one cannot make its object unreadable.
#[test]
fn a_malformed_status_loses_only_its_malformed_parts() {
    let status: SealedSecretStatus = serde_json::from_value(json!({
        "observedGeneration": "three",
        "conditions": [{"type": "Ready"}, {
            "type": "Stalled", "status": "False", "reason": "Synced", "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
        "keys": [{"name": "a", "seq": -1}, {"name": "b", "seq": 2}, "c", null],
        "applied": "yes",
        "source": {"tool": 1},
        "proposedEnvelopes": {"envelopes": {"k3v7f2mq": {}}},
        "unknown": {},
    }))
    .expect("reads");
    let expected = SealedSecretStatus {
        conditions: status.conditions.clone(),
        keys: vec![KeySeq { name: "b".to_owned(), seq: 2, ..KeySeq::default() }],
        ..SealedSecretStatus::default()
    };
    assert_eq!(status.conditions.len(), 1);
    assert_eq!(status, expected);

    let status: KeyRingStatus = serde_json::from_value(json!({
        "conditions": {"type": "Ready"},
        "keys": [
            {"recipient": "age1a", "state": "Best"},
            {"recipient": "age1b", "state": "Active", "createdAt": "yesterday"},
        ],
        "recipientsDigest": 5,
    }))
    .expect("reads");
    let key = RingKey { recipient: "age1b".to_owned(), state: KeyState::Active, ..RingKey::default() };
    assert_eq!(status, KeyRingStatus { keys: vec![key], ..KeyRingStatus::default() });
}

#[test]
fn a_key_ring_that_says_nothing_rotates_monthly_warns_of_rollback_and_denies_cluster_scope() {
    let spec = KeyRingSpec::default();
    assert_eq!(spec.rotation_every(), duration::parse("30d"));
    assert_eq!(spec.rollback(), RollbackPolicy::Warn);
    assert_eq!(spec.cluster_scope(), ClusterScopePolicy::Deny);
    assert_eq!(spec.protection_kind(), ProtectionKind::None);
    assert!(!spec.waits_for_backup());
}

#[test]
fn a_key_ring_that_says_something_is_heard() {
    let spec = KeyRingSpec {
        rotation: Some(Rotation { every: "12h".to_owned() }),
        activate_after_backup: Some(true),
        protection: Some(Protection { kind: ProtectionKind::AwsKms }),
        policy: Some(RingPolicy {
            rollback: Some(RollbackPolicy::Deny),
            cluster_scope: Some(ClusterScopePolicy::Allow),
        }),
        ..KeyRingSpec::default()
    };
    assert_eq!(spec.rotation_every(), duration::parse("12h"));
    assert_eq!(spec.rollback(), RollbackPolicy::Deny);
    assert_eq!(spec.cluster_scope(), ClusterScopePolicy::Allow);
    assert_eq!(spec.protection_kind(), ProtectionKind::AwsKms);
    assert!(!spec.protection_kind().is_supported());
    assert!(spec.waits_for_backup());
}

#[test]
fn the_api_server_writes_no_default_into_any_object() {
    for schema in schemas() {
        let mut found = Vec::new();
        places(&schema, "", |name, _| name == "default", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

/// L01. Guard: no pattern on the values of `spec.data` (`schema`); the API server repeats what a pattern refused.
#[test]
fn the_api_server_never_repeats_what_stands_in_place_of_a_sealed_value() {
    let [sealed_secret, _] = schemas();
    let values = &sealed_secret["properties"]["spec"]["properties"]["data"]["additionalProperties"];
    for keyword in ["pattern", "enum", "x-kubernetes-validations"] {
        assert!(values[keyword].is_null(), "{keyword}");
    }
}

/// An unbounded list, map or string in a spec would make the API server refuse the rules above it.
#[test]
fn everything_in_a_spec_is_bounded() {
    for schema in schemas() {
        let mut found = Vec::new();
        places(
            &schema["properties"]["spec"],
            "",
            |_, value| match value["type"].as_str() {
                Some("string") => value["maxLength"].is_null() && value["enum"].is_null(),
                Some("array") => value["maxItems"].is_null(),
                Some("object") => {
                    value["additionalProperties"].is_object() && value["maxProperties"].is_null()
                }
                _ => false,
            },
            &mut found,
        );
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn every_rule_has_a_message_that_says_more_than_the_rule() {
    for schema in schemas() {
        let mut found = Vec::new();
        places(&schema, "", |name, value| name == "rule" && value.is_string(), &mut found);
        assert!(!found.is_empty());
        for path in found {
            let message = schema.pointer(&path.replace("/rule", "/message")).and_then(Value::as_str);
            assert!(message.is_some_and(|message| message.len() > 20), "{path}");
        }
    }
}

/// The cases of `crds/admission`: name, expectation, object.
fn admission_cases() -> Vec<(String, String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/admission");
    let paths = std::fs::read_dir(folder).expect("lists").map(|entry| entry.expect("lists").path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| {
        let name = path.file_stem().expect("has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("reads");
        let expect =
            text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("has a header");
        let object = serde_saphyr::from_str(&text).expect("is YAML");
        (name, expect.to_owned(), object)
    })
    .collect()
}

#[test]
fn what_the_api_server_accepts_the_types_read_and_write_without_loss() {
    let accepted = admission_cases().into_iter().filter(|(_, expect, _)| expect == "accepted");
    let mut count = 0;
    for (name, _, mut object) in accepted {
        let written = match name.starts_with("ring-") {
            true => round_trip::<KeyRing>(&object),
            false => round_trip::<SealedSecret>(&object),
        };
        // An explicit null is the same as nothing.
        object["spec"].as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        assert_eq!(written, object, "{name}");
        count += 1;
    }
    assert!(count > 5);
}

#[test]
fn every_rule_has_an_admission_case_that_it_refuses() {
    let expected: Vec<_> = admission_cases().into_iter().map(|(_, expect, _)| expect).collect();
    for schema in schemas() {
        let mut found = Vec::new();
        places(&schema, "", |name, value| name == "rule" && value.is_string(), &mut found);
        for path in found {
            let rule = schema.pointer(path.trim_end_matches("/rule")).expect("holds the rule");
            let message = rule["message"].as_str().expect("has a message");
            // What is made for the object at hand is shown instead of the message.
            let shown = match rule["messageExpression"].as_str() {
                Some(expression) => expression.rsplit('\'').nth(1).expect("ends with a text"),
                None => message,
            };
            assert!(
                expected.iter().any(|part| shown.contains(part) || part.contains(shown)),
                "{path}: {shown}"
            );
        }
    }
}
