//! Tests of the types as a whole: what the API server sends and gets, and what the schemas promise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::*;

mod cases;
mod injection;

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

/// The schema of every kind.
fn schemas() -> BTreeMap<&'static str, Value> {
    let crds = [
        ("AlertReceiver", AlertReceiver::crd()),
        ("AlertmanagerInjection", AlertmanagerInjection::crd()),
        ("ClusterExternalSecret", ClusterExternalSecret::crd()),
        ("ClusterSecretStore", ClusterSecretStore::crd()),
        ("ExternalSecret", ExternalSecret::crd()),
        ("GrafanaInjection", GrafanaInjection::crd()),
        ("KeyRing", KeyRing::crd()),
        ("SealedSecret", SealedSecret::crd()),
        ("SecretStore", SecretStore::crd()),
    ];
    let schema = |(kind, crd)| {
        let crd = serde_json::to_value(crd).expect("writes");
        (kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    crds.map(schema).into()
}

/// Reads an object as what its kind says, and writes it again.
fn read(object: &Value) -> Result<Value, String> {
    fn as_type<K: serde::Serialize + serde::de::DeserializeOwned>(object: &Value) -> Result<Value, String> {
        let read: K = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(read).expect("writes"))
    }
    match object["kind"].as_str().expect("has a kind") {
        "AlertReceiver" => as_type::<AlertReceiver>(object),
        "AlertmanagerInjection" => as_type::<AlertmanagerInjection>(object),
        "ClusterExternalSecret" => as_type::<ClusterExternalSecret>(object),
        "ClusterSecretStore" => as_type::<ClusterSecretStore>(object),
        "ExternalSecret" => as_type::<ExternalSecret>(object),
        "GrafanaInjection" => as_type::<GrafanaInjection>(object),
        "KeyRing" => as_type::<KeyRing>(object),
        "SealedSecret" => as_type::<SealedSecret>(object),
        "SecretStore" => as_type::<SecretStore>(object),
        kind => panic!("{kind}"),
    }
}

/// The cases of `crds/admission`.
fn admission_cases() -> Vec<cases::Case> {
    cases::all(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/admission")))
}

/// What an object says without those fields that it sets to nothing.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
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
fn the_status_of_an_external_secret_with_every_field_survives_a_round_trip() {
    let status = json!({
        "observedGeneration": 3,
        "refreshTime": "2026-01-02T03:04:05Z",
        "refreshed": "1",
        "store": {"name": "vault", "kind": "ClusterSecretStore"},
        "entries": [
            {"key": "shop/db", "version": "3"},
            {"key": "database/creds/shop", "lease": {"id": "l", "renewable": true, "expiresAt": "2026-01-02T04:04:05Z"}},
        ],
        "applied": {
            "digest": "d", "keyId": "3fa9c1d2", "resourceVersion": "12", "secretUid": "u", "values": "v",
        },
        "missingSince": "2026-01-02T03:04:05Z",
        "source": {"tool": "flux", "name": "flux-system/apps", "revision": "main@sha1:1"},
        "rollouts": [
            {"kind": "Deployment", "name": "shop", "digest": "v", "restartedAt": "2026-01-02T03:04:06Z"},
        ],
    });
    assert_eq!(round_trip::<ExternalSecretStatus>(&status), status);
    let status = json!({"observedGeneration": 1, "capabilities": "ReadOnly"});
    assert_eq!(round_trip::<SecretStoreStatus>(&status), status);
    let status = json!({
        "observedGeneration": 1,
        "provisionedNamespaces": ["team-a"],
        "failedNamespaces": [{"namespace": "team-b", "reason": "Conflict"}],
    });
    assert_eq!(round_trip::<ClusterExternalSecretStatus>(&status), status);
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
    assert_eq!(round_trip::<ExternalSecretSpec>(&json!({})), json!({}));
    assert_eq!(round_trip::<ExternalSecretStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<SecretStoreStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<ClusterExternalSecretStatus>(&json!({})), json!({}));
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
            {"recipient": "age1b", "state": "Active", "createdAt": "yesterday", "announcedAt": 3},
        ],
        "recipientsDigest": 5,
    }))
    .expect("reads");
    let key = RingKey { recipient: "age1b".to_owned(), state: KeyState::Active, ..RingKey::default() };
    assert_eq!(status, KeyRingStatus { keys: vec![key], ..KeyRingStatus::default() });

    let status: ExternalSecretStatus = serde_json::from_value(json!({
        "observedGeneration": [],
        "conditions": "none",
        "refreshTime": "yesterday",
        "refreshed": 7,
        "store": {"name": "vault", "kind": "Shelf"},
        "entries": [{"key": 1}, {"key": "a", "lease": {"id": "l"}}, {"key": "b"}],
        "applied": {"digest": "d"},
        "missingSince": {},
        "rollouts": {"kind": "Deployment"},
    }))
    .expect("reads");
    let entry = EntryStatus { key: "b".to_owned(), ..EntryStatus::default() };
    assert_eq!(status, ExternalSecretStatus { entries: vec![entry], ..ExternalSecretStatus::default() });
    let status: SecretStoreStatus =
        serde_json::from_value(json!({"conditions": 1, "capabilities": []})).expect("reads");
    assert_eq!(status, SecretStoreStatus::default());
    let status: ClusterExternalSecretStatus = serde_json::from_value(json!({
        "provisionedNamespaces": ["a", 1], "failedNamespaces": [{"namespace": "b"}],
    }))
    .expect("reads");
    let provisioned_namespaces = vec!["a".to_owned()];
    assert_eq!(
        status,
        ClusterExternalSecretStatus { provisioned_namespaces, ..ClusterExternalSecretStatus::default() }
    );
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
        rotation: Some(Rotation { every: "12h".to_owned(), ..Rotation::default() }),
        activate_after_backup: Some(true),
        protection: Some(Protection { kind: ProtectionKind::AwsKms, ..Protection::default() }),
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
    assert!(spec.waits_for_backup());
}

#[test]
fn the_api_server_writes_no_default_into_any_object() {
    for schema in schemas().into_values() {
        let mut found = Vec::new();
        places(&schema, "", |name, _| name == "default", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

/// L01. Guard: no pattern on the values of `spec.data` (`schema`); the API server repeats what a pattern refused.
#[test]
fn the_api_server_never_repeats_what_stands_in_place_of_a_sealed_value() {
    let values =
        &schemas()["SealedSecret"]["properties"]["spec"]["properties"]["data"]["additionalProperties"];
    for keyword in ["pattern", "enum", "x-kubernetes-validations"] {
        assert!(values[keyword].is_null(), "{keyword}");
    }
}

/// An unbounded list, map or string in a spec would make the API server refuse the rules above it.
#[test]
fn everything_in_a_spec_is_bounded() {
    for schema in schemas().into_values() {
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
    for (kind, schema) in schemas() {
        let mut found = Vec::new();
        places(&schema, "", |name, value| name == "rule" && value.is_string(), &mut found);
        // What an AlertReceiver may say is up to the document that takes it in.
        assert_eq!(found.is_empty(), kind == "AlertReceiver", "{kind}");
        for path in found {
            let message = schema.pointer(&path.replace("/rule", "/message")).and_then(Value::as_str);
            assert!(message.is_some_and(|message| message.len() > 20), "{path}");
        }
    }
}

#[test]
fn what_the_api_server_accepts_the_types_read_and_write_without_loss() {
    let mut count = BTreeMap::new();
    for case in admission_cases().iter().filter(|case| case.is_accepted()) {
        let mut object = case.object.clone();
        without_nulls(&mut object);
        assert_eq!(read(&case.object).as_ref(), Ok(&object), "{}", case.name);
        *count.entry(case.kind().to_owned()).or_insert(0) += 1;
    }
    for kind in schemas().keys() {
        assert!(count[*kind] >= 2, "{kind}");
    }
}

#[test]
fn every_rule_has_an_admission_case_that_it_refuses() {
    let cases = admission_cases();
    for (kind, schema) in schemas() {
        // What the cluster's kinds have of the namespace's ones is refused by the same code, and a ring logs in to what
        // wraps its identities as a store does.
        let alike = |other: &str| {
            other == kind
                || kind.strip_prefix("Cluster") == Some(other)
                || kind == "KeyRing" && other == "SecretStore"
        };
        let expected: Vec<_> =
            cases.iter().filter(|case| alike(case.kind())).map(|case| case.expect.as_str()).collect();
        let mut found = Vec::new();
        places(&schema, "", |name, value| name == "rule" && value.is_string(), &mut found);
        for path in found {
            let rule = schema.pointer(path.trim_end_matches("/rule")).expect("holds the rule");
            // Fields that are refused whatever they hold have a test of their own.
            if rule["rule"] == "false" {
                continue;
            }
            let message = rule["message"].as_str().expect("has a message");
            // What is made for the object at hand is shown instead of the message.
            let shown = match rule["messageExpression"].as_str() {
                Some(expression) => expression.rsplit('\'').nth(1).expect("ends with a text"),
                None => message,
            };
            assert!(
                expected.iter().any(|part| shown.contains(part) || part.contains(shown)),
                "{kind}{path}: {shown}"
            );
        }
    }
}

/// K05, K06. Guard: `deny_unknown_fields` on the types, for objects that no admission has seen.
#[test]
fn every_field_that_the_api_server_refuses_by_name_the_types_refuse_too() {
    let cases = admission_cases();
    for (kind, schema) in schemas() {
        let mut left: BTreeSet<_> = cases::refused_fields(&schema).into_iter().collect();
        // Only these take after kinds of a neighbour's; a ring has the logins of a store.
        let is_alike = matches!(
            kind,
            "ClusterExternalSecret" | "ClusterSecretStore" | "ExternalSecret" | "KeyRing" | "SecretStore"
        );
        assert_eq!(left.is_empty(), !is_alike, "{kind}");
        for case in cases.iter().filter(|case| case.kind() == kind && case.is_accepted()) {
            for (field, object) in cases::with_refused_fields(&schema, &case.object) {
                let name = field.rsplit('.').next().unwrap();
                let error = read(&object).expect_err(&field);
                assert!(error.contains(&format!("unknown field `{name}`")), "{field}: {error}");
                left.remove(&field);
            }
        }
        assert_eq!(left, BTreeSet::new(), "no accepted case of {kind} could have these");
    }
}

/// K05. Guard: the schemas of references (`schema::refused`).
#[test]
fn no_reference_names_a_namespace() {
    for kind in ["ClusterSecretStore", "SecretStore"] {
        let schema = &schemas()[kind];
        let mut names = Vec::new();
        places(schema, "", |name, value| name == "namespace" && value.is_object(), &mut names);
        let of_vault = ["/vault/properties/namespace", "/auth/properties/namespace"];
        let names: Vec<_> =
            names.iter().filter(|path| !of_vault.iter().any(|own| path.ends_with(own))).collect();
        assert!(names.len() > 20, "the references were found");
        for path in names {
            let rule = schema.pointer(&format!("{path}/x-kubernetes-validations/0/rule"));
            assert_eq!(rule, Some(&json!("false")), "{path}");
        }
    }
}
