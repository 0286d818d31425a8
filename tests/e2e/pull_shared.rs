//! What many objects cost together, and what one object does to others: shared reads, merges, namespaces, restarts.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use waxwing_crds::names;
use waxwing_tests::pull::one;
use waxwing_tests::{scene, vault, wait};

/// Guard: the needs of one path are one, and the broker shares what many ask.
#[test]
fn reads_of_one_entry_by_many_objects_and_properties_are_one_request() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        scene.vault_store(vault, "vault").await?;
        scene.store_is("vault", "True", "StoreValid").await;
        let paths: Vec<String> = (0..5).map(|number| format!("{}/{number}", scene.namespace)).collect();
        for path in &paths {
            vault.put("secret", path, json!({"a": "1", "b": "2", "c": "3"})).await?;
        }
        let mark = vault.mark();
        for number in 0..50 {
            let path = &paths[number % paths.len()];
            let data: Vec<_> = ["a", "b", "c"]
                .iter()
                .map(|key| json!({"secretKey": key, "remoteRef": {"key": path, "property": key}}))
                .collect();
            let spec = json!({"secretStoreRef": {"name": "vault"}, "refreshInterval": "1h", "data": data});
            scene.put("ExternalSecret", &format!("n{number}"), spec).await?;
        }
        for number in 0..50 {
            scene.pulled(&format!("n{number}")).await?;
        }
        let calls = vault.calls_since(mark);
        let prefix = format!("secret/data/{}/", scene.namespace);
        let reads =
            calls.iter().filter(|call| call.operation == "read" && call.path.starts_with(&prefix)).count();
        // Each object asks once; what is asked within seconds is one request. A slow machine may need a second round.
        assert!((paths.len()..=4 * paths.len()).contains(&reads), "{reads} reads of {} paths", paths.len());
        Ok(())
    });
}

#[test]
fn two_objects_merge_into_one_secret_and_a_contested_key_is_reported_once() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        scene.vault_store(vault, "vault").await?;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"a": "1", "b": "2"})).await?;
        scene.put_secret("shared", &[("theirs", "x")]).await?;
        scene.merge_secret("shared", json!({"metadata": {"annotations": {names::ADOPT: "true"}}})).await?;
        let merge = |secret_key: &str, property: &str| {
            let mut spec = one("vault", secret_key, &key, property);
            spec["target"] = json!({"name": "shared", "creationPolicy": "Merge"});
            spec
        };
        scene.put("ExternalSecret", "first", merge("a", "a")).await?;
        scene.put("ExternalSecret", "second", merge("b", "b")).await?;
        scene.pulled("first").await?;
        let secret = scene.pulled("second").await?;
        scene.until_value("shared", "a", "1").await;
        assert_eq!(wait::value_of(&secret, "theirs"), b"x");
        scene.put("ExternalSecret", "third", merge("a", "b")).await?;
        scene.not_pulled("third", "FieldConflict").await;
        scene.until_value("shared", "a", "1").await;
        scene.external().delete("second", &DeleteParams::default()).await?;
        wait::until_gone(&scene.external(), "second").await;
        scene.until_value("shared", "a", "1").await;
        Ok(())
    });
}

#[test]
fn a_changed_value_restarts_the_workload_that_asks_for_it_and_nothing_else_does() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        scene.vault_store(vault, "vault").await?;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        let deployments: Api<Deployment> = Api::namespaced(scene.client(), &scene.namespace);
        let web: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            }},
        }))?;
        deployments.create(&PostParams::default(), &web).await?;
        let mut spec = one("vault", "password", &key, "password");
        spec["target"] = json!({"rollout": [{"kind": "Deployment", "name": "web"}]});
        spec["refreshInterval"] = json!("1s");
        scene.put("ExternalSecret", "db", spec).await?;
        scene.pulled("db").await?;
        let restarted = |found: Option<&Deployment>| {
            let template = found.and_then(|found| found.spec.as_ref()).map(|spec| &spec.template);
            let metadata = template.and_then(|template| template.metadata.as_ref());
            let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
            annotations.is_some_and(|annotations| annotations.contains_key(names::RESTARTED_FOR))
        };
        assert!(!restarted(Some(&deployments.get("web").await?)), "what is new is not restarted");
        vault.put("secret", &key, json!({"password": "two"})).await?;
        scene.until_value("db", "password", "two").await;
        let web = wait::until(&deployments, "web", "restarted", restarted).await;
        let managers = web.metadata.managed_fields.unwrap_or_default();
        let ours = managers
            .iter()
            .find(|entry| entry.manager.as_deref() == Some(&names::field_manager("ExternalSecret", "db")));
        let ours = serde_json::to_string(&ours.and_then(|entry| entry.fields_v1.as_ref()))?;
        assert!(ours.contains(names::RESTARTED_FOR) && !ours.contains("f:replicas"), "{ours}");
        Ok(())
    });
}

#[test]
fn a_cluster_external_secret_follows_the_labels_of_namespaces() {
    scene::shared(async |scene| -> Result<()> {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(scene.client());
        let label = |value: Option<&str>| Patch::Merge(json!({"metadata": {"labels": {"team": value}}}));
        let team = scene.namespace.as_str();
        let spec = json!({
            "namespaceSelector": {"matchLabels": {"team": team}},
            "externalSecretName": "stamped",
            "externalSecretSpec": one("vault", "a", "app", "a"),
        });
        let name = format!("all-{team}");
        scene.put("ClusterExternalSecret", &name, spec).await?;
        namespaces.patch(team, &PatchParams::default(), &label(Some(team))).await?;
        wait::until(&scene.external(), "stamped", "made", |object: Option<&waxwing_crds::ExternalSecret>| {
            object.is_some()
        })
        .await;
        namespaces.patch(team, &PatchParams::default(), &label(None)).await?;
        wait::until_gone(&scene.external(), "stamped").await;
        let namespace = namespaces.get(team).await?;
        let finalizers = namespace.metadata.finalizers.unwrap_or_default();
        assert!(finalizers.iter().all(|one| !one.contains("waxwing")), "{finalizers:?}");
        let all: Api<waxwing_crds::ClusterExternalSecret> = Api::all(scene.client());
        all.delete(&name, &DeleteParams::default()).await?;
        Ok(())
    });
}

#[test]
fn a_secret_is_deleted_only_when_its_entry_is_gone_for_good() {
    let values = ["stores.allowEndpoints={http://127.0.0.1}", "stores.deletion=true"];
    scene::alone(&values, async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let vault = vault::shared().await;
        scene.vault_store(vault, "vault").await?;
        let key = format!("{}/db", scene.namespace);
        vault.put("secret", &key, json!({"password": "one"})).await?;
        let mut spec = one("vault", "password", &key, "password");
        spec["refreshInterval"] = json!("1s");
        spec["target"] = json!({"deletionPolicy": "Delete"});
        scene.put("ExternalSecret", "db", spec).await?;
        scene.pulled("db").await?;
        vault.delete(&format!("secret/metadata/{key}")).await?;
        wait::until_gone(&scene.secrets(), "db").await;
        vault.put("secret", &key, json!({"password": "two"})).await?;
        scene.until_value("db", "password", "two").await;
        Ok(())
    });
}
