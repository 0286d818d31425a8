//! Requests and answers without a server; `tests/` has the ones with a real one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::core::{
    Status,
    response::{StatusCause, StatusDetails},
};
use waxwing_core::{Secret, plan::Data};

use super::*;

fn produced() -> Produced {
    Produced {
        namespace: "apps".to_owned(),
        name: "db".to_owned(),
        secret_type: "Opaque".to_owned(),
        immutable: false,
        labels: [("app.kubernetes.io/managed-by".to_owned(), "waxwing".to_owned())].into(),
        annotations: [("waxwing.dev/owned-by".to_owned(), "SealedSecret/db".to_owned())].into(),
        owner: Some(Owner {
            api_version: "waxwing.dev/v1alpha1".to_owned(),
            kind: "SealedSecret".to_owned(),
            name: "db".to_owned(),
            uid: "u-1".to_owned(),
            controller: true,
        }),
        data: Data::from_iter([("password".parse().unwrap(), Secret::new(b"pw\n".to_vec()))]),
        manager: "waxwing/sealedsecret/0a1b2c3d4e5f".to_owned(),
    }
}

#[test]
fn a_secret_is_written_as_the_api_takes_it() {
    let body: serde_json::Value = serde_json::from_slice(&body::of(&produced(), Some("s-1"))).unwrap();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "namespace": "apps",
            "name": "db",
            "uid": "s-1",
            "labels": {"app.kubernetes.io/managed-by": "waxwing"},
            "annotations": {"waxwing.dev/owned-by": "SealedSecret/db"},
            "ownerReferences": [{
                "apiVersion": "waxwing.dev/v1alpha1", "kind": "SealedSecret", "name": "db", "uid": "u-1",
                "controller": true,
            }],
        },
        "data": {"password": "cHcK"},
    });
    assert_eq!(body, expected);
    let created: serde_json::Value = serde_json::from_slice(&body::of(&produced(), None)).unwrap();
    assert!(created["metadata"].get("uid").is_none());
}

fn entry(operation: &str, fields: serde_json::Value) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some("waxwing/sealedsecret/0a1b2c3d4e5f".to_owned()),
        operation: Some(operation.to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..ManagedFieldsEntry::default()
    }
}

fn metadata(entries: Vec<ManagedFieldsEntry>) -> ObjectMeta {
    ObjectMeta { managed_fields: Some(entries), ..ObjectMeta::default() }
}

fn check(update: serde_json::Value, apply: serde_json::Value, took: bool, merged: Option<serde_json::Value>) {
    let metadata = metadata(vec![entry("Update", update), entry("Apply", apply)]);
    let entries = ownership::Entries::of(&metadata, "waxwing/sealedsecret/0a1b2c3d4e5f").unwrap();
    assert_eq!(entries.took_something(), took);
    let fields = entries.merged().map(|list| {
        assert_eq!(list.as_array().map(Vec::len), Some(1));
        list[0]["fieldsV1"].clone()
    });
    assert_eq!(fields, merged);
}

#[test]
fn what_a_post_left_is_found_by_comparing_both_entries() {
    let both = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:type": {}});
    let bare = json!({"f:data": {"f:a": {}, "f:b": {}}, "f:type": {}});
    check(both.clone(), bare.clone(), false, None);
    // Somebody had changed b, so the POST's entry lost it and the apply took it.
    check(json!({"f:data": {".": {}, "f:a": {}}, "f:type": {}}), bare, true, None);
    // b is no longer in the spec, and the POST's entry keeps it.
    let one = json!({"f:data": {"f:a": {}}, "f:type": {}});
    check(both.clone(), one, false, Some(both));
}

#[test]
fn entries_of_others_are_not_ours() {
    let other =
        ManagedFieldsEntry { manager: Some("kubectl".to_owned()), ..entry("Update", json!({"f:data": {}})) };
    let metadata = metadata(vec![other, entry("Apply", json!({"f:data": {"f:a": {}}}))]);
    assert!(ownership::Entries::of(&metadata, "waxwing/sealedsecret/0a1b2c3d4e5f").is_none());
}

fn answer(code: u16, causes: &[(&str, &str)]) -> Refusal {
    let causes = causes.iter().map(|(field, reason)| StatusCause {
        reason: (*reason).to_owned(),
        message: "Invalid value: \"canary-value\"".to_owned(),
        field: (*field).to_owned(),
    });
    let details = StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: causes.collect(),
        retry_after_seconds: 0,
    };
    let status = Status::failure("data: canary-value", "Invalid").with_code(code).with_details(details);
    Refusal::Api { verb: "patch", status: Box::new(status) }
}

/// The answers are those that a real API server gave.
#[test]
fn refusals_are_told_apart_by_fields() {
    let uid = answer(422, &[("metadata.uid", "FieldValueInvalid"), ("metadata.uid", "FieldValueInvalid")]);
    assert!(uid.is_outdated() && uid.is_other_uid() && !uid.is_immutable());
    let gone = answer(409, &[]);
    assert!(gone.is_outdated() && !gone.is_other_uid());
    let failed_test = answer(422, &[]);
    assert!(failed_test.is_outdated());
    let type_ = answer(422, &[("type", "FieldValueInvalid"), ("data[username]", "FieldValueRequired")]);
    assert!(type_.is_immutable() && !type_.is_outdated());
    for field in ["data", "immutable"] {
        assert!(answer(422, &[(field, "FieldValueForbidden")]).is_immutable(), "{field}");
    }
    let large = answer(422, &[("data", "FieldValueTooLong")]);
    assert!(!large.is_immutable() && !large.is_outdated());
    assert_eq!(type_.fields(), ["data[username]", "type"]);
}

/// L02. Guard: only `Status.code`, `reason` and the fields' names leave a refusal.
#[test]
fn the_api_servers_texts_are_not_repeated() {
    let refusal = answer(422, &[("data", "FieldValueInvalid")]);
    assert!(!refusal.describe().contains("canary"));
    assert!(!refusal.fields().concat().contains("canary"));
}

#[test]
fn names_are_escaped_in_paths() {
    assert_eq!(escaped("waxwing/sealedsecret/ab"), "waxwing%2Fsealedsecret%2Fab");
    assert_eq!(escaped("../x?y"), "..%2Fx%3Fy");
}
