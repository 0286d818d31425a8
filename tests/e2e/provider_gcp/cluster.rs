//! The same by way of the operator.

use anyhow::Result;
use serde_json::json;
use waxwing_crds::Reason;
use waxwing_tests::gsm::{ACCESSOR, Gsm, VIEWER};
use waxwing_tests::{scene, wait};

use super::{PARENT, PROJECT, READER, by_key};

#[test]
fn secrets_of_google_cloud_become_a_secret_and_what_is_missing_changes_nothing() {
    scene::shared(async |scene| -> Result<()> {
        let gsm = Gsm::start("gcp-cluster").await?;
        gsm.put_with(PARENT, "db", br#"{"user":"ada","password":"one"}"#, json!({"labels": {"app": "shop"}}))
            .await?;
        gsm.put_with(PARENT, "tls", b"\x00\xff", json!({"labels": {"app": "shop"}})).await?;
        let key = gsm.service_account_key(READER, PROJECT).await?;
        for role in [ACCESSOR, VIEWER] {
            gsm.grant(READER, role, PROJECT).await?;
        }
        scene.put_secret("gcp", &[("key.json", &key.to_string())]).await?;
        let gcpsm = json!({"projectID": PROJECT, "endpoint": gsm.url, "auth": by_key()});
        scene.put("SecretStore", "gcp", json!({"provider": {"gcpsm": gcpsm}})).await?;
        let spec = json!({
            "secretStoreRef": {"name": "gcp"},
            "refreshInterval": "1s",
            "data": [{"secretKey": "password", "remoteRef": {"key": "db", "property": "password"}}],
            "dataFrom": [{"find": {"tags": {"app": "shop"}}}],
        });
        scene.put("ExternalSecret", "shop", spec).await?;
        let secret = scene.pulled("shop").await?;
        assert_eq!(wait::value_of(&secret, "password"), b"one");
        assert_eq!(wait::value_of(&secret, "tls"), b"\x00\xff");
        scene.store_is("gcp", "True", Reason::StoreValid.as_str()).await;

        gsm.put(PARENT, "db", br#"{"user":"ada","password":"two"}"#).await?;
        scene.until_value("shop", "password", "two").await;
        gsm.set_state(PARENT, "db", 2, "DISABLED").await?;
        let message = scene.not_pulled("shop", Reason::ProviderForbidden.as_str()).await;
        assert!(message.contains("the version is disabled or destroyed"), "{message}");
        scene.until_value("shop", "password", "two").await;
        Ok(())
    });
}
