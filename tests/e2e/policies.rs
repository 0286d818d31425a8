//! Whoever runs the cluster may refuse a Secret: by a quota, or by an admission policy that even quotes the value.

use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use waxwing_crds::{Reason, names};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::{chart, wait};

#[test]
fn a_quota_is_told_as_a_quota_and_not_as_a_missing_right() {
    scene::shared(async |scene| -> Result<()> {
        let quotas: Api<ResourceQuota> = Api::namespaced(scene.client(), &scene.namespace);
        let none = json!({"count/secrets": "0"});
        let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": none}});
        quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
        // No controller counts here.
        let counted = Patch::Merge(json!({"status": {"hard": none, "used": none}}));
        quotas.patch_status("none", &PatchParams::default(), &counted).await?;
        until_secrets_are(scene, "refused").await?;
        scene.commit(&scene.ring().await.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::ApiRejected).await;
        let message = wait::message(&failing);
        assert!(message.contains("quota") && !message.contains("RBAC"), "{message}");
        quotas.delete("none", &DeleteParams::default()).await?;
        until_secrets_are(scene, "taken").await?;
        look_again(scene).await
    });
}

/// L02. Guard: the texts of refusals are read and never repeated (`operator: sealed_secret::outcome`).
#[test]
fn a_policy_that_quotes_what_it_refuses_is_told_without_the_quote() {
    scene::shared(async |scene| -> Result<()> {
        let name = format!("{}.example.com", scene.namespace);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]},
                ]},
                "validations": [{"expression": "false", "messageExpression": "'no: ' + string(object.data['k'])"}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}},
            },
        });
        for object in [&policy, &binding] {
            chart::apply(&scene.client(), object).await?;
        }
        until_secrets_are(scene, "refused").await?;
        scene.commit(&scene.ring().await.seal(&scene.namespace, "app", &[("k", "open-sesame")])).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::ApiRejected).await;
        wait::until_event(&scene.events(), "app", Reason::ApiRejected).await;
        assert!(wait::message(&failing).contains("policy"), "{}", wait::message(&failing));
        let said = [serde_json::to_string(&failing)?, scene.world().operator.process().log()].concat();
        for form in ["open-sesame".to_owned(), BASE64_STANDARD.encode("open-sesame")] {
            assert!(!said.contains(&form), "{form}");
        }
        let (api, _) = chart::api_of(&scene.client(), &binding)?;
        api.delete(&name, &DeleteParams::default()).await?;
        until_secrets_are(scene, "taken").await?;
        look_again(scene).await
    });
}

/// Asks for a look, as a person does who has mended the cause, and waits until all is well.
async fn look_again(scene: &Scene) -> Result<()> {
    scene.merge("app", json!({"metadata": {"annotations": {names::REFRESH: "now"}}})).await?;
    wait::until_ready(&scene.sealed(), "app").await;
    Ok(())
}

/// Waits until the API server has taken notice of a quota or a policy.
async fn until_secrets_are(scene: &Scene, what: &str) -> Result<()> {
    let probe = json!({"metadata": {"name": "probe"}, "data": {"k": ""}});
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let began = Instant::now();
    loop {
        let answer = scene.secrets().create(&dry, &serde_json::from_value(probe.clone())?).await;
        if answer.is_ok() == (what == "taken") {
            return Ok(());
        }
        assert!(began.elapsed() < wait::DEADLINE, "Secrets are not {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
