//! The same by way of the operator.

use anyhow::Result;
use serde_json::json;
use waxwing_crds::Reason;
use waxwing_tests::keyvault::KeyVault;
use waxwing_tests::{scene, wait};

use super::{APP, APP_SECRET, by_secret};

#[test]
fn secrets_of_key_vault_become_a_secret_and_what_is_missing_changes_nothing() {
    scene::shared(async |scene| -> Result<()> {
        let vault = KeyVault::start("azure-cluster").await?;
        vault.app_with_secret(APP, APP_SECRET).await?;
        vault.put_with("db", json!({"value": r#"{"password":"one"}"#, "tags": {"app": "shop"}})).await?;
        vault.put_with("mail", json!({"value": "m", "tags": {"app": "shop"}})).await?;
        scene
            .put_secret("azure", &[("id", APP), ("secret", APP_SECRET), ("ca.crt", &vault.certs.ca_pem)])
            .await?;
        let mut azurekv = by_secret();
        azurekv["vaultUrl"] = json!(vault.url);
        azurekv["authorityHost"] = json!(vault.url);
        azurekv["caProvider"] = json!({"type": "Secret", "name": "azure"});
        scene.put("SecretStore", "azure", json!({"provider": {"azurekv": azurekv}})).await?;
        let spec = json!({
            "secretStoreRef": {"name": "azure"},
            "refreshInterval": "1s",
            "data": [{"secretKey": "password", "remoteRef": {"key": "secret/db", "property": "password"}}],
            "dataFrom": [{"find": {"tags": {"app": "shop"}}}],
        });
        scene.put("ExternalSecret", "shop", spec).await?;
        let secret = scene.pulled("shop").await?;
        assert_eq!(wait::value_of(&secret, "password"), b"one");
        assert_eq!(wait::value_of(&secret, "mail"), b"m");
        scene.store_is("azure", "True", Reason::StoreValid.as_str()).await;

        vault.put("db", r#"{"password":"two"}"#).await?;
        scene.until_value("shop", "password", "two").await;
        vault.set_enabled("db", false).await?;
        let message = scene.not_pulled("shop", Reason::ProviderForbidden.as_str()).await;
        assert!(message.contains("the secret is disabled"), "{message}");
        scene.until_value("shop", "password", "two").await;
        Ok(())
    });
}
