//! What a provider in trouble means: which reason is told, that the Secret stays as it was, and that recovery needs no
//! hand.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use waxwing_tests::faults::{Fault, Faults};
use waxwing_tests::pull::{one, vault_spec};
use waxwing_tests::vault::{self, Vault};
use waxwing_tests::{scene, wait};

/// A store before which faults can be injected, and an ExternalSecret of it that is ready with value `one` and is
/// refreshed each second.
async fn behind_a_proxy(scene: &scene::Scene, vault: &Vault) -> Result<Faults> {
    let faults = Faults::before_http(&vault.url).await?;
    let token = scene.vault_token(vault).await?;
    scene.put_secret("token", &[("token", &token)]).await?;
    scene.put("SecretStore", "vault", vault_spec(&faults.url, "token")).await?;
    let key = format!("{}/db", scene.namespace);
    vault.put("secret", &key, json!({"password": "one"})).await?;
    let mut spec = one("vault", "password", &key, "password");
    spec["refreshInterval"] = json!("1s");
    scene.put("ExternalSecret", "db", spec).await?;
    scene.pulled("db").await?;
    Ok(faults)
}

async fn stays(scene: &scene::Scene) -> Result<()> {
    let secret = scene.secrets().get("db").await?;
    assert_eq!(wait::value_of(&secret, "password"), b"one");
    Ok(())
}

/// D07. Guard: a failure plans no write, and each kind of failure has its own reason.
#[test]
fn each_answer_of_a_provider_in_trouble_has_its_reason_and_the_secret_stays() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let faults = behind_a_proxy(scene, vault).await?;
        let cases: [(Fault, &str); 5] = [
            (Fault::status(500), "ProviderUnavailable"),
            (Fault::too_many(1), "ProviderThrottled"),
            (Fault::status(403), "ProviderForbidden"),
            (Fault::status(400), "ProviderRejected"),
            // Whatever answers there is not Vault.
            (Fault::Body(200, "{\"data\": canary-5d1e".into()), "ProviderUnavailable"),
        ];
        for (fault, reason) in cases {
            let held = faults.inject(fault, |call| call.path.contains("/data/"));
            let message = scene.not_pulled("db", reason).await;
            assert!(!message.contains("canary"), "{message}");
            stays(scene).await?;
            drop(held);
            scene.pulled("db").await?;
        }
        Ok(())
    });
}

#[test]
fn a_store_that_is_down_says_so_and_wakes_its_dependents_when_it_is_back() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let faults = behind_a_proxy(scene, vault).await?;
        faults.shut();
        scene.not_pulled("db", "ProviderUnavailable").await;
        scene.store_is("vault", "False", "ProviderUnavailable").await;
        stays(scene).await?;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "two"})).await?;
        faults.open();
        scene.until_value("db", "password", "two").await;
        scene.store_is("vault", "True", "StoreValid").await;
        Ok(())
    });
}

#[test]
fn a_store_that_is_slow_beyond_the_timeout_delays_no_other() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let faults = behind_a_proxy(scene, vault).await?;
        let _slow = faults.inject(Fault::Late(Duration::from_secs(60)), |call| call.path.contains("/data/"));
        let key = format!("{}/other", scene.namespace);
        vault.put("secret", &key, json!({"password": "fast"})).await?;
        for number in 0..20 {
            let spec = one("vault", "password", &format!("{}/{number}", scene.namespace), "password");
            scene.put("ExternalSecret", &format!("slow-{number}"), spec).await?;
        }
        scene.vault_store(vault, "well").await?;
        scene.put("ExternalSecret", "fast", one("well", "password", &key, "password")).await?;
        scene.pulled("fast").await?;
        let slow = scene.external().get("slow-19").await?;
        let is_ready = waxwing_tests::pull::ready(&slow).is_some_and(|ready| ready.status == "True");
        assert!(!is_ready, "the slow ones have not been answered yet");
        scene.not_pulled("db", "ProviderUnavailable").await;
        stays(scene).await
    });
}

#[test]
fn the_next_store_of_the_list_is_asked_when_the_first_is_down_and_not_when_it_says_no() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let faults = behind_a_proxy(scene, vault).await?;
        scene.vault_store(vault, "backup").await?;
        // Another entry than the one that was just read, which may be served for some seconds.
        let key = format!("{}/both", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        let mut spec = one("vault", "password", &key, "password");
        spec.as_object_mut().unwrap().remove("secretStoreRef");
        spec["secretStoreRefs"] = json!([{"name": "vault"}, {"name": "backup"}]);
        faults.shut();
        scene.put("ExternalSecret", "both", spec.clone()).await?;
        scene.pulled("both").await?;
        let store = scene.external().get("both").await?.status.unwrap().store.unwrap();
        assert_eq!(store.name, "backup");
        faults.open();
        scene.store_is("vault", "True", "StoreValid").await;
        let key = format!("{}/refused", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        spec["data"][0]["remoteRef"]["key"] = json!(key);
        let _no = faults.inject(Fault::status(403), |call| call.path.contains("/data/"));
        scene.put("ExternalSecret", "refused", spec).await?;
        scene.not_pulled("refused", "ProviderForbidden").await;
        Ok(())
    });
}

#[test]
fn what_does_not_exist_what_has_no_such_part_and_what_matches_nothing_are_told_apart() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        scene.vault_store(vault, "vault").await?;
        let key = |name: &str| format!("{}/{name}", scene.namespace);
        vault.put("secret", &key("db"), json!({"password": "one", "json": "{\"a\": canary-88"})).await?;
        let mut encoded = one("vault", "a", &key("db"), "json");
        encoded["data"][0]["remoteRef"]["decodingStrategy"] = json!("Base64");
        let find = json!({"secretStoreRef": {"name": "vault"}, "dataFrom": [
            {"find": {"path": scene.namespace, "name": {"regexp": "^nothing$"}}},
        ]});
        let cases = [
            ("missing", one("vault", "a", &key("no"), "password"), "EntryMissing"),
            ("part", one("vault", "a", &key("db"), "nope"), "PropertyMissing"),
            ("base64", encoded, "InvalidValue"),
            ("find", find, "NothingFound"),
            ("store", one("nope", "a", &key("db"), "password"), "StoreNotFound"),
        ];
        for (name, spec, reason) in cases {
            scene.put("ExternalSecret", name, spec).await?;
            let message = scene.not_pulled(name, reason).await;
            assert!(!message.contains("canary"), "{message}");
            assert_eq!(scene.secrets().get_opt(name).await?.map(|_| ()), None, "{name}");
        }
        vault.put("secret", &key("no"), json!({"password": "late"})).await?;
        scene.refresh("missing", "1").await?;
        scene.until_value("missing", "a", "late").await;
        Ok(())
    });
}

#[test]
fn a_sealed_vault_is_told_and_a_revoked_token_is_replaced_by_a_rotated_credential() {
    scene::shared(async |scene| -> Result<()> {
        let vault = Vault::start(&format!("vault-{}", scene.namespace)).await?;
        let token = scene.vault_token(&vault).await?;
        scene.put_secret("token", &[("token", &token)]).await?;
        scene.put("SecretStore", "vault", vault_spec(&vault.url, "token")).await?;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        let mut spec = one("vault", "password", &key, "password");
        spec["refreshInterval"] = json!("1s");
        scene.put("ExternalSecret", "db", spec).await?;
        scene.pulled("db").await?;
        vault.seal().await?;
        scene.not_pulled("db", "ProviderSealed").await;
        stays(scene).await?;
        vault.unseal().await?;
        scene.pulled("db").await?;
        vault.revoke(&token).await?;
        scene.not_pulled("db", "ProviderUnauthenticated").await;
        stays(scene).await?;
        // Nothing but the Secret changes: the store's recovery is noticed, and wakes what reads from it.
        let token = scene.vault_token(&vault).await?;
        scene.put_secret("token", &[("token", &token)]).await?;
        scene.pulled("db").await?;
        Ok(())
    });
}
