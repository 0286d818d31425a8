//! What one tenant's objects can reach: grants, endpoints, references, and other tenants' connections.

use anyhow::Result;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use waxwing_tests::pull::{one, vault_spec};
use waxwing_tests::{scene, vault};

/// K18. Guard: `Reached::permits` in the operator, default deny in `Grants`.
#[test]
fn a_cluster_store_gives_nothing_that_it_does_not_grant() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let (store, mine) = (format!("shared-{}", scene.namespace), scene.namespace.clone());
        for name in ["db", "other"] {
            vault.put("secret", &format!("{mine}/{name}"), json!({"password": name})).await?;
        }
        let token = scene.vault_token(vault).await?;
        let home = &scene.world().release.namespace;
        scene.put_secret_in(home, &store, &[("token", &token)]).await?;
        let mut spec = vault_spec(&vault.url, &store);
        scene.put("ClusterSecretStore", &store, spec.clone()).await?;
        let of = |key: &str| -> Value {
            let mut spec = one(&store, "password", key, "password");
            spec["secretStoreRef"]["kind"] = json!("ClusterSecretStore");
            spec
        };
        scene.put("ExternalSecret", "db", of(&format!("{mine}/db"))).await?;
        scene.not_pulled("db", "PathNotGranted").await;
        spec["grants"] = json!([{"namespaces": [mine], "paths": [format!("{mine}/db")]}]);
        scene.put("ClusterSecretStore", &store, spec.clone()).await?;
        scene.pulled("db").await?;
        for (name, key) in [
            ("other", format!("{mine}/other")),
            ("climb", format!("{mine}/db/../other")),
            ("slashes", format!("{mine}//other")),
            ("encoded", format!("{mine}/db%2F..%2Fother")),
        ] {
            scene.put("ExternalSecret", name, of(&key)).await?;
            let object = waxwing_tests::wait::until(
                &scene.external(),
                name,
                "refused",
                |object: Option<&waxwing_crds::ExternalSecret>| {
                    let ready = object.and_then(waxwing_tests::pull::ready);
                    ready.is_some_and(|ready| {
                        ["PathNotGranted", "InvalidSpec", "EntryMissing"].contains(&ready.reason.as_str())
                    })
                },
            )
            .await;
            drop(object);
            assert!(scene.secrets().get_opt(name).await?.is_none(), "{name}");
        }
        scene.cluster_stores().delete(&store, &DeleteParams::default()).await?;
        Ok(())
    });
}

/// K16. Guard: `endpoint::check` with the caller's namespace.
#[test]
fn a_store_reaches_no_host_that_its_namespace_may_not_name() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("token", &[("token", "canary-1f")]).await?;
        for (name, url) in [
            ("metadata", "https://169.254.169.254"),
            ("elsewhere", "https://attacker.example.com"),
            ("service", "https://vault.other-namespace.svc:8200"),
            ("user", "https://127.0.0.1@attacker.example.com"),
        ] {
            scene.put("SecretStore", name, vault_spec(url, "token")).await?;
            let message = scene.store_is(name, "False", "EndpointRefused").await;
            assert!(!message.contains("canary"), "{message}");
        }
        Ok(())
    });
}

/// K05. Guard: there is no such field: `deny_unknown_fields` in the types, and the rules of the CRDs.
#[test]
fn no_reference_can_name_a_namespace() {
    scene::shared(async |scene| -> Result<()> {
        let mut store = vault_spec("https://vault.example.com", "token");
        store["provider"]["vault"]["auth"]["tokenSecretRef"]["namespace"] = json!("kube-system");
        let refused = scene.put("SecretStore", "vault", store).await.unwrap_err();
        assert!(refused.to_string().contains("namespace"), "{refused}");
        Ok(())
    });
}

/// K06. Guard: `store_key`: the namespace is the ExternalSecret's own.
#[test]
fn a_store_of_another_namespace_is_not_found() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        scene.vault_store(vault, "vault").await?;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "mine"})).await?;
        let name = format!("{}-x", scene.namespace);
        scene.plane.create_namespace(&name).await?;
        let next_door: kube::Api<waxwing_crds::ExternalSecret> = kube::Api::namespaced(scene.client(), &name);
        let object = serde_json::from_value(json!({
            "apiVersion": "waxwing.dev/v1alpha1", "kind": "ExternalSecret", "metadata": {"name": "db"},
            "spec": one("vault", "password", &key, "password"),
        }))?;
        next_door.create(&Default::default(), &object).await?;
        waxwing_tests::wait::until(
            &next_door,
            "db",
            "refused",
            |object: Option<&waxwing_crds::ExternalSecret>| {
                object
                    .and_then(waxwing_tests::pull::ready)
                    .is_some_and(|ready| ready.reason == "StoreNotFound")
            },
        )
        .await;
        Ok(())
    });
}
