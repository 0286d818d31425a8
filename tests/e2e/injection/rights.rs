//! What an injection may not do.

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_crds::ReceiverState;
use waxwing_tests::inject::secret;
use waxwing_tests::{chart, scene};

use super::{KEYS, plain, two};

/// K23. Guard: the types that `operator: inject::resolve::read_secret` refuses.
#[test]
fn a_secret_that_gives_rights_in_the_cluster_goes_into_no_configuration() {
    scene::shared(async |scene| -> Result<()> {
        scene.plane.service_account(&scene.namespace, "robot").await?;
        let token = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"namespace": scene.namespace, "name": "robot", "annotations": {"kubernetes.io/service-account.name": "robot"}},
            "stringData": {"token": "canary-8b"},
        });
        chart::apply(&scene.client(), &token).await?;
        scene.put_secret("keys", &KEYS).await?;
        let mut config = two();
        config["receivers"][1]["pagerduty_configs"][0]["routing_key"] = secret("robot", "token");
        scene.put("AlertmanagerInjection", "main", plain(&config, None)).await?;
        let status = scene.receiver_is("main", "db", ReceiverState::Quarantined).await;
        let problem = status.receivers[1].credentials[0].problem.clone().unwrap_or_default();
        assert!(problem.contains("give rights"), "{problem}");
        assert!(!scene.published("published").await?.to_string().contains("canary-8b"));
        Ok(())
    });
}

/// K16. Guard: the endpoint rules (`core: store::endpoint`, `Caller::Injection`).
#[test]
fn an_endpoint_outside_of_the_namespace_is_not_asked() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.put_secret("keys", &KEYS).await?;
        for url in ["http://127.0.0.1:1", "http://169.254.169.254", "http://alertmanager.other.svc:9093"] {
            let mut spec = plain(&two(), None);
            spec["verify"] = json!({"endpoints": [url], "within": "1s"});
            scene.put("AlertmanagerInjection", "main", spec).await?;
            let status = scene
                .injection_is("main", url, |status| {
                    status
                        .conditions
                        .iter()
                        .any(|one| one.type_ == "Loaded" && one.message.contains("--allow-endpoint"))
                        || status
                            .conditions
                            .iter()
                            .any(|one| one.type_ == "Loaded" && one.message.contains("never connected"))
                })
                .await;
            assert_eq!(status.loaded_replicas.as_deref(), Some("0/1"));
        }
        Ok(())
    });
}

/// K01. Guard: `Claim::of` before anything is published.
#[test]
fn a_secret_of_somebody_else_is_not_overwritten() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        scene.put_secret("published", &[("alertmanager.yaml", "theirs")]).await?;
        scene.put("AlertmanagerInjection", "main", plain(&two(), None)).await?;
        let message = scene.not_injected("main", "Conflict").await;
        assert!(message.contains("Secret published exists"), "{message}");
        scene
            .merge_secret("published", json!({"metadata": {"annotations": {"waxwing.dev/adopt": "true"}}}))
            .await?;
        scene.injected("main").await;
        scene.put("AlertmanagerInjection", "other", plain(&two(), None)).await?;
        let message = scene.not_injected("other", "Conflict").await;
        assert!(message.contains("AlertmanagerInjection/main"), "{message}");
        Ok(())
    });
}

/// K15. Guard: the mark covers the whole status but for its conditions.
#[test]
fn a_forged_status_of_a_receiver_is_put_right() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        scene.put("AlertmanagerInjection", "main", plain(&two(), None)).await?;
        let good = scene.injected("main").await;
        let forged: Value = json!({"status": {
            "receivers": [{"name": "db", "state": "Failing"}], "literals": ["x"], "loadedReplicas": "0/9",
        }});
        let merge = kube::api::Patch::Merge(forged);
        scene.injections().patch_status("main", &kube::api::PatchParams::default(), &merge).await?;
        let status =
            scene.injection_is("main", "put right", |status| status.receivers == good.receivers).await;
        assert!(status.literals.is_empty());
        assert_eq!(status.loaded_replicas, None);
        Ok(())
    });
}
