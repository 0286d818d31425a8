//! The way from a sealed value to an alert.

use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use waxwing_crds::{ConditionType, conditions};
use waxwing_tests::inject::secret;
use waxwing_tests::scene;
use waxwing_tests::sink::Sink;
use waxwing_tests::vault;

use super::{KEYS, at, hook, plain, server, two};

#[test]
fn a_sealed_credential_arrives_with_an_alert_and_a_new_one_with_the_next_alert() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        let server = server(&scene.namespace).await?;
        let _mount = scene.mount("published", &server);
        scene.sealed_and_ready("token", &[("value", "first-1a")]).await?;
        let spec = plain(&hook(&sink.url, &secret("token", "value")), Some(&server));
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let status = scene.injected("main").await;
        assert!(conditions::is_true(&status.conditions, ConditionType::Loaded), "{status:?}");
        assert_eq!(status.loaded_replicas.as_deref(), Some("1/1"));
        assert_eq!(status.published.as_ref().unwrap().revision, 1);
        let credential = &status.receivers[0].credentials[0];
        assert_eq!(credential.field, "webhook_configs[0].http_config.authorization.credentials");
        assert_eq!(credential.from, "Secret/token, key value");
        assert!(!serde_json::to_string(&status)?.contains("first-1a"));
        server.fire(&json!({"alertname": "one"})).await?;
        let request = sink.wait(0, |_| true).await;
        assert_eq!(request.header("authorization"), "Bearer first-1a");

        let object = scene.ring().await.seal(&scene.namespace, "token", &[("value", "second-2b")]);
        scene.commit(&object).await?;
        let status = scene
            .injection_is("main", "the second revision is loaded", |status| {
                status.published.as_ref().is_some_and(|one| one.revision == 2 && one.loaded_at.is_some())
            })
            .await;
        assert!(conditions::is_true(&status.conditions, ConditionType::Ready));
        server.fire(&json!({"alertname": "two"})).await?;
        let request = sink.wait(1, |request| request.text().contains("two")).await;
        assert_eq!(request.header("authorization"), "Bearer second-2b");
        Ok(())
    });
}

#[test]
fn an_entry_of_a_store_is_read_again_by_time() {
    scene::shared(async |scene| -> Result<()> {
        let vault = vault::shared().await;
        let key = format!("{}/pd", scene.namespace);
        vault.put("secret", &key, json!({"eu": KEYS[1].1})).await?;
        scene.vault_store(vault, "vault").await?;
        let mut config = two();
        config["receivers"][1]["pagerduty_configs"][0]["routing_key"] =
            json!({"$store": {"name": "vault", "key": key, "property": "eu"}});
        scene.put_secret("keys", &KEYS).await?;
        let mut spec = plain(&config, None);
        spec["refreshInterval"] = json!("1s");
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let status = scene.injected("main").await;
        assert_eq!(status.receivers[1].credentials[0].version.as_deref(), Some("1"));
        let there = "/receivers/1/pagerduty_configs/0/routing_key";
        assert_eq!(at(&scene.published("published").await?, there), KEYS[1].1);
        vault.put("secret", &key, json!({"eu": "another-0123456789abcdef01234567"})).await?;
        scene
            .published_is("published", "the new key", |config| {
                at(config, there) == "another-0123456789abcdef01234567"
            })
            .await?;
        Ok(())
    });
}

#[test]
fn a_document_of_a_config_map_gets_references_by_set() {
    scene::shared(async |scene| -> Result<()> {
        let mut config = two();
        config["receivers"][0]["slack_configs"][0]["api_url"] = json!("https://placeholder.example.com");
        config["receivers"][1]["pagerduty_configs"][0].as_object_mut().unwrap().remove("routing_key");
        let maps: Api<ConfigMap> = Api::namespaced(scene.client(), &scene.namespace);
        let map = |config: &serde_json::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "am"}, "data": {"a.yaml": config.to_string()}});
        let apply = PatchParams::apply("test-helm").force();
        maps.patch("am", &apply, &Patch::Apply(map(&config))).await?;
        scene.put_secret("keys", &KEYS).await?;
        let spec = json!({
            "configFrom": {"configMapKeyRef": {"name": "am", "key": "a.yaml"}},
            "set": [
                {"receiver": "ops", "field": "slack_configs[0].api_url", "value": secret("keys", "slack")},
                {"receiver": "db", "field": "pagerduty_configs[0].routing_key", "value": secret("keys", "pagerduty")},
            ],
            "target": {"kind": "Plain", "secretName": "published"},
        });
        scene.put("AlertmanagerInjection", "main", spec.clone()).await?;
        scene.injected("main").await;
        let published = scene.published("published").await?;
        assert_eq!(at(&published, "/receivers/0/slack_configs/0/api_url"), KEYS[0].1);
        assert_eq!(at(&published, "/receivers/1/pagerduty_configs/0/routing_key"), KEYS[1].1);

        // The other side takes the receiver away: a reference that matches nothing is an error.
        config["receivers"].as_array_mut().unwrap().pop();
        config["route"].as_object_mut().unwrap().remove("routes");
        maps.patch("am", &apply, &Patch::Apply(map(&config))).await?;
        scene.look_again("main", "1").await?;
        let message = scene.not_injected("main", "InvalidSpec").await;
        assert!(message.contains("set[1]: the document has no receiver db"), "{message}");
        maps.delete("am", &DeleteParams::default()).await?;
        scene.look_again("main", "2").await?;
        scene.not_injected("main", "DocumentMissing").await;
        assert_eq!(scene.published("published").await?, published, "what is published stays");
        Ok(())
    });
}

/// A restart finds out from the mark that nothing is to do.
#[test]
fn a_restart_reads_no_secret_and_writes_nothing() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        let operator = scene.operator(release, "a").await?;
        scene.put("AlertmanagerInjection", "main", plain(&two(), None)).await?;
        scene.injected("main").await;
        drop(operator);
        let mark = scene.plane.audit.once_idle(&release.user()).await;
        let operator = scene.operator(release, "b").await?;
        let looks = "gitops_reconciliation_duration_seconds_count";
        operator
            .until_metrics("it was looked at", |scrape| {
                scrape.sum(looks, &[("controller", "AlertmanagerInjection")]) >= 1.0
            })
            .await;
        let calls = scene.plane.audit.since(mark, &release.user());
        let of_here = |call: &&waxwing_tests::audit::Call| call.namespace() == scene.namespace;
        let asked: Vec<_> = calls.iter().filter(of_here).map(waxwing_tests::audit::Call::line).collect();
        // An event of the one that was stopped may be cut off only now.
        let others = ["list ", "watch ", "create events "];
        let is_read = |line: &&String| !others.iter().any(|other| line.starts_with(other));
        assert!(asked.iter().find(is_read).is_none(), "{asked:#?}");
        Ok(())
    });
}
