//! The operator's rights at work: what its ServiceAccount is refused, and what the operator never even asks for.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use waxwing_crds::{KeyRing, SealedSecret};
use waxwing_tests::scene;

/// K13. Guard: the Roles of `rbac.mode: namespaces` (`charts/waxwing`).
#[test]
fn with_a_list_of_namespaces_the_account_is_refused_everything_elsewhere() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let client = release.client().await?;
        let elsewhere = format!("{}-elsewhere", scene.namespace);
        scene.plane.create_namespace(&elsewhere).await?;
        let all: Api<Secret> = Api::all(client.clone());
        is_forbidden(all.list(&ListParams::default()).await);
        let theirs: Api<Secret> = Api::namespaced(client.clone(), &elsewhere);
        is_forbidden(theirs.get("any").await);
        is_forbidden(theirs.list(&ListParams::default()).await);
        is_forbidden(theirs.create(&PostParams::default(), &secret("any")).await);
        let sealed: Api<SealedSecret> = Api::namespaced(client.clone(), &elsewhere);
        is_forbidden(sealed.list(&ListParams::default()).await);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        is_forbidden(namespaces.list(&ListParams::default()).await);
        refused_everywhere(client, &release.ring, &scene.namespace, &release.namespace).await
    });
}

/// K13. Guard: `waxwing.workRules` and `rbac-keyring.yaml` (`charts/waxwing`).
#[test]
fn in_cluster_mode_the_account_deletes_nothing_and_writes_no_spec() {
    scene::shared(async |scene| -> Result<()> {
        let release = &scene.world().release;
        refused_everywhere(release.client().await?, &release.ring, &scene.namespace, &release.namespace).await
    });
}

/// What no mode grants.
async fn refused_everywhere(client: Client, ring: &str, served: &str, own: &str) -> Result<()> {
    for namespace in [served, own] {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        is_forbidden(secrets.delete("any", &DeleteParams::default()).await);
    }
    let sealed: Api<SealedSecret> = Api::namespaced(client.clone(), served);
    let spec = Patch::Merge(json!({"spec": {"immutable": true}}));
    is_forbidden(sealed.patch("any", &PatchParams::default(), &spec).await);
    is_forbidden(sealed.delete("any", &DeleteParams::default()).await);
    let rings: Api<KeyRing> = Api::all(client.clone());
    let spec = Patch::Merge(json!({"spec": {"trusted": []}}));
    is_forbidden(rings.patch(ring, &PatchParams::default(), &spec).await);
    is_forbidden(rings.delete(ring, &DeleteParams::default()).await);
    is_forbidden(
        rings.patch_status("another", &PatchParams::default(), &Patch::Merge(json!({"status": {}}))).await,
    );
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client, own);
    is_forbidden(accounts.create_token_request("default", &PostParams::default(), &Default::default()).await);
    Ok(())
}

/// K06. Guard: one watch for each served namespace (`operator: watch`).
#[test]
fn with_a_list_of_namespaces_secrets_are_never_asked_for_elsewhere() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mark = scene.plane.audit.mark();
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let daily = scene.plane.audit.since(mark, &release.user()).len();
        assert!(daily > 5, "the log has the operator's requests");
        operator.terminate().await?;
        for (index, call) in scene.plane.audit.since(mark, &release.user()).iter().enumerate() {
            let place = call.namespace();
            let ours = place == scene.namespace || place == release.namespace;
            let of_the_cluster = ["keyrings", "clustersecretstores", "events"];
            let is_such = of_the_cluster.iter().any(|resource| call.resource().starts_with(resource));
            assert!(ours || is_such, "{}", call.line());
            // 429: one that is busy says so, and is asked again. What is cut off at the end is nobody's failure.
            let is_fine = call.code() < 300 || [404, 409, 429].contains(&call.code());
            assert!(is_fine || index >= daily, "{}", call.line());
        }
        Ok(())
    });
}

/// K13. Guard: what the operator asks for is what it is granted; a right that nobody uses would be wider than needed.
#[test]
fn nothing_that_the_operator_asks_for_in_daily_work_is_refused() {
    scene::shared(async |scene| -> Result<()> {
        let mark = scene.plane.audit.mark();
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        scene.delete_secret("app").await?;
        scene.sealed_and_ready("later", &[("k", "v")]).await?;
        let calls = scene.plane.audit.since(mark, &scene.world().release.user());
        let refused: Vec<String> = calls
            .iter()
            .filter(|call| call.namespace() == scene.namespace && call.code() == 403)
            .map(|call| call.line())
            .collect();
        assert!(refused.is_empty(), "{refused:#?}");
        Ok(())
    });
}

fn secret(name: &str) -> Secret {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn is_forbidden<T>(answer: kube::Result<T>) {
    match answer {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{}", status.message),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is granted"),
    }
}
