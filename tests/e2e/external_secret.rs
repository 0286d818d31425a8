//! Pulling values: the main path, and what the status tells about it.

use anyhow::Result;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use waxwing_crds::{Reason, names};
use waxwing_tests::pull::{one, ready};
use waxwing_tests::{scene, vault, wait};

#[test]
fn a_value_of_vault_becomes_the_same_bytes_in_a_secret() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"user": "ada", "password": "p\"w\u{1f9ed}"})).await?;
        scene.vault_store(vault, "vault").await?;
        let spec = json!({
            "secretStoreRef": {"name": "vault"},
            "target": {"name": "database"},
            "data": [{"secretKey": "password", "remoteRef": {"key": key, "property": "password"}}],
            "dataFrom": [{"extract": {"key": key}}],
        });
        scene.put("ExternalSecret", "db", spec).await?;
        let secret = scene.pulled("db").await?;
        assert_eq!(wait::value_of(&secret, "password"), "p\"w\u{1f9ed}".as_bytes());
        assert_eq!(wait::value_of(&secret, "user"), b"ada");
        assert_eq!((secret.name_any().as_str(), secret.data.as_ref().unwrap().len()), ("database", 2));
        let object = scene.external().get("db").await?;
        assert_eq!(secret.owner_references()[0].uid, object.uid().unwrap());
        assert_eq!(secret.annotations()[names::OWNED_BY], "ExternalSecret/db");
        let status = object.status.clone().unwrap();
        assert_eq!(ready(&object).unwrap().reason, Reason::Synced.as_str());
        assert_eq!(status.entries.len(), 1, "two uses of one entry are one read");
        assert_eq!(status.entries[0].version.as_deref(), Some("1"));
        assert_eq!(Some(status.applied.unwrap().resource_version), secret.resource_version());
        assert!(status.refresh_time.is_some());
        scene.store_is("vault", "True", Reason::StoreValid.as_str()).await;
        Ok(())
    });
}

#[test]
fn a_rotated_value_arrives_at_the_next_refresh_and_at_once_when_asked() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        scene.vault_store(vault, "vault").await?;
        let mut spec = one("vault", "password", &key, "password");
        scene.put("ExternalSecret", "asked", spec.clone()).await?;
        spec["refreshInterval"] = json!("1s");
        scene.put("ExternalSecret", "periodic", spec).await?;
        scene.pulled("asked").await?;
        scene.pulled("periodic").await?;
        vault.put("secret", &key, json!({"password": "two"})).await?;
        scene.until_value("periodic", "password", "two").await;
        scene.refresh("asked", "1").await?;
        scene.until_value("asked", "password", "two").await;
        Ok(())
    });
}

#[test]
fn a_secret_that_is_changed_or_deleted_by_hand_is_put_right_and_goes_with_its_object() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        scene.vault_store(vault, "vault").await?;
        scene.put("ExternalSecret", "db", one("vault", "password", &key, "password")).await?;
        scene.pulled("db").await?;
        scene.merge_secret("db", json!({"stringData": {"password": "forged"}})).await?;
        scene.until_value("db", "password", "one").await;
        wait::until_event(&scene.events(), "db", Reason::DriftCorrected).await;
        scene.delete_secret("db").await?;
        scene.until_value("db", "password", "one").await;
        scene.external().delete("db", &DeleteParams::default()).await?;
        wait::until_gone(&scene.secrets(), "db").await;
        Ok(())
    });
}
