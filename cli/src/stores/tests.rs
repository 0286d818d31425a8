//! Whose Secrets a store can mean.

use std::sync::Arc;

use serde_json::json;
use waxwing_core::{
    external::{StoreKind, StoreRef},
    store::Kind,
};
use waxwing_providers::References;

use super::{Manifests, home, references::InManifests, runtime};

/// K05. Guards: `home`, and `InManifests`, which looks in no other namespace.
#[test]
fn what_a_store_refers_to_lies_in_its_own_namespace() {
    let mut manifests = Manifests::default();
    for namespace in ["operator", "team-a", "team-b"] {
        manifests.referable(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "login", "namespace": namespace},
            "stringData": {"token": format!("of-{namespace}")},
        }));
    }
    let manifests = Arc::new(manifests);
    let runtime = runtime().unwrap();
    let token = |namespace: &str, kind| {
        let store = StoreRef { kind, name: "store".to_owned() };
        let namespace = home(namespace, &store, "operator").to_owned();
        let references = InManifests { manifests: Arc::clone(&manifests), namespace };
        let value = runtime.block_on(references.secret("login", "token"));
        value.map(|value| String::from_utf8(value.expose().to_vec()).unwrap())
    };
    assert_eq!(token("team-a", StoreKind::SecretStore).unwrap(), "of-team-a");
    assert_eq!(token("team-b", StoreKind::SecretStore).unwrap(), "of-team-b");
    assert_eq!(token("", StoreKind::ClusterSecretStore).unwrap(), "of-operator");
    let missing = token("team-c", StoreKind::SecretStore).unwrap_err();
    assert_eq!(missing.kind, Kind::CredentialMissing);
    assert_eq!(missing.place.as_deref(), Some("Secret team-c/login"));
}

/// Guard: `is_ours`; other tools have kinds of the same names.
#[test]
fn stores_of_other_tools_are_none_of_ours() {
    let mut manifests = Manifests::default();
    let mut take = |version: &str| {
        let value = json!({
            "apiVersion": version, "kind": "ClusterSecretStore", "metadata": {"name": "s"},
            "spec": {"provider": {"file": {"directory": "/x"}}},
        });
        let path = std::path::Path::new("s.yaml");
        manifests.store(path, path, 1, &value)
    };
    assert!(!take("external-secrets.io/v1") && !take("v1") && take("waxwing.dev/v1alpha1"));
    assert_eq!(manifests.stores.len(), 1);
}
