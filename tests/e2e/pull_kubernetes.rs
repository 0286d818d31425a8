//! Pulling from another namespace, as a ServiceAccount that may read there.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// The ServiceAccount `reader` of the scene's namespace may get this Secret of another one.
async fn allow(scene: &Scene, there: &str, secret: &str) -> Result<()> {
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}],
    }))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": scene.namespace}],
    }))?;
    Api::namespaced(scene.client(), there).create(&PostParams::default(), &role).await?;
    Api::namespaced(scene.client(), there).create(&PostParams::default(), &binding).await?;
    Ok(())
}

fn of(key: &str) -> Value {
    json!({
        "secretStoreRef": {"name": "there"},
        "refreshInterval": "1s",
        "data": [{"secretKey": "password", "remoteRef": {"key": key, "property": "password"}}],
    })
}

/// K05. Guard: the token is made for the store's own ServiceAccount, so its rights decide and the operator's own do not.
#[test]
fn a_secret_of_another_namespace_is_pulled_under_the_rights_of_the_store_s_service_account() {
    let values = ["stores.serviceAccountTokens={$namespace}"];
    scene::alone(&values, async |scene, release| -> Result<()> {
        let there = format!("{}-there", scene.namespace);
        scene.plane.create_namespace(&there).await?;
        scene.plane.service_account(&scene.namespace, "reader").await?;
        scene.put_secret_in(&there, "db", &[("password", "one")]).await?;
        scene.put_secret_in(&there, "other", &[("password", "canary-3c")]).await?;
        let _operator = scene.operator(release, "a").await?;
        let spec = json!({"provider": {"kubernetes": {
            "remoteNamespace": there, "auth": {"serviceAccount": {"name": "reader"}},
        }}});
        scene.put("SecretStore", "there", spec).await?;

        scene.put("ExternalSecret", "db", of("db")).await?;
        scene.not_pulled("db", "ProviderForbidden").await;
        allow(scene, &there, "db").await?;
        let secret = scene.pulled("db").await?;
        assert_eq!(wait::value_of(&secret, "password"), b"one");
        scene.put_secret_in(&there, "db", &[("password", "two")]).await?;
        scene.until_value("db", "password", "two").await;

        scene.put("ExternalSecret", "other", of("other")).await?;
        let message = scene.not_pulled("other", "ProviderForbidden").await;
        assert!(!message.contains("canary"), "{message}");
        assert!(scene.secrets().get_opt("other").await?.is_none());

        let bindings: Api<RoleBinding> = Api::namespaced(scene.client(), &there);
        bindings.delete("reader", &DeleteParams::default()).await?;
        scene.not_pulled("db", "ProviderForbidden").await;
        assert_eq!(wait::value_of(&scene.secrets().get("db").await?, "password"), b"two");
        Ok(())
    });
}
