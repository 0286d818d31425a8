//! Secrets that were there before: whose they are, who may give them to us, and what happens to them afterwards.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use waxwing_crds::{Reason, names};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// K01. Guard: `core: plan::claim`.
#[test]
fn a_secret_that_is_not_ours_is_a_conflict_and_stays_as_it_is() {
    scene::shared(async |scene| -> Result<()> {
        let before = foreign(scene, json!({})).await?;
        scene.commit(&scene.ring().await.seal(&scene.namespace, "app", &[("k", "ours")])).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::Conflict).await;
        assert!(wait::message(&failing).contains(names::ADOPT), "{}", wait::message(&failing));
        assert_eq!(scene.secrets().get("app").await?.resource_version(), before.resource_version());
        // When its owner removes it, we go on without being asked.
        scene.delete_secret("app").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"ours");
        Ok(())
    });
}

/// K02. Guard: the annotation counts on the Secret only (`core: plan::claim`).
#[test]
fn an_annotation_on_our_own_object_or_its_template_adopts_nothing() {
    scene::shared(async |scene| -> Result<()> {
        let before = foreign(scene, json!({})).await?;
        let mut sealed = scene.ring().await.seal(&scene.namespace, "app", &[("k", "ours")]);
        sealed.annotations_mut().insert(names::ADOPT.to_owned(), "true".to_owned());
        scene.commit(&sealed).await?;
        wait::until_failing(&scene.sealed(), "app", Reason::Conflict).await;
        assert_eq!(scene.secrets().get("app").await?.resource_version(), before.resource_version());
        Ok(())
    });
}

#[test]
fn an_adopted_secret_keeps_its_other_keys_and_outlives_the_object() {
    scene::shared(async |scene| -> Result<()> {
        let before = foreign(scene, json!({names::ADOPT: "true"})).await?;
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "ours"), ("second", "x")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        wait::until_event(&scene.events(), "app", Reason::Adopted).await;
        let secret = scene.secrets().get("app").await?;
        assert_eq!(secret.uid(), before.uid(), "it is the same Secret");
        assert_eq!(wait::value_of(&secret, "k"), b"ours");
        assert_eq!(wait::value_of(&secret, "theirs"), b"kept");
        assert!(secret.owner_references().is_empty(), "what was adopted is not collected with us");
        // A key that goes from the spec goes from the Secret; the others' does not.
        sealed.spec.data.remove("second");
        scene.commit(&sealed).await?;
        let without = |secret: &Secret| !secret.data.as_ref().unwrap().contains_key("second");
        let secret = wait::until_secret(&scene.secrets(), "app", "has lost the removed key", without).await;
        assert_eq!(wait::value_of(&secret, "theirs"), b"kept");
        delete_with_its_dependents(scene, "app").await?;
        assert_eq!(scene.secrets().get("app").await?.uid(), before.uid());
        Ok(())
    });
}

#[test]
fn another_controllers_secret_is_a_conflict_even_if_it_offers_itself() {
    scene::shared(async |scene| -> Result<()> {
        let before = foreign(scene, json!({names::ADOPT: "true"})).await?;
        let maps: Api<ConfigMap> = Api::namespaced(scene.client(), &scene.namespace);
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "controller"}}))?;
        let uid = maps.create(&PostParams::default(), &map).await?.uid();
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "controller", "uid": uid, "controller": true}]);
        scene.merge_secret("app", json!({"metadata": {"ownerReferences": owner}})).await?;
        scene.commit(&scene.ring().await.seal(&scene.namespace, "app", &[("k", "ours")])).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::Conflict).await;
        assert!(wait::message(&failing).contains("ConfigMap controller"), "{}", wait::message(&failing));
        assert_eq!(scene.secrets().get("app").await?.uid(), before.uid());
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"theirs");
        Ok(())
    });
}

#[test]
fn another_waxwing_object_of_the_same_name_is_a_conflict() {
    scene::shared(async |scene| -> Result<()> {
        foreign(scene, json!({names::OWNED_BY: "ExternalSecret/app"})).await?;
        scene.commit(&scene.ring().await.seal(&scene.namespace, "app", &[("k", "ours")])).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::Conflict).await;
        assert!(wait::message(&failing).contains("ExternalSecret/app"), "{}", wait::message(&failing));
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"theirs");
        Ok(())
    });
}

#[test]
fn an_object_that_is_created_anew_takes_its_secret_back() {
    scene::shared(async |scene| -> Result<()> {
        let (sealed, secret) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        // As a restore or a move between clusters does it: the Secret stays, with the reference to an object that is
        // gone.
        let orphan =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..Default::default() };
        scene.sealed().delete("app", &orphan).await?;
        wait::until_gone(&scene.sealed(), "app").await;
        let stale = json!([{
            "apiVersion": names::API_VERSION, "kind": "SealedSecret", "name": "app", "uid": sealed.uid(),
        }]);
        // The collector would delete a Secret all of whose owners are gone, so a second one holds it.
        let holder = holder(scene).await?;
        let owners = json!([stale[0], holder]);
        scene.merge_secret("app", json!({"metadata": {"ownerReferences": owners}})).await?;
        let mut anew = sealed.clone();
        anew.metadata = kube::api::ObjectMeta { name: Some("app".to_owned()), ..Default::default() };
        let anew_uid = scene.commit(&anew).await?.uid().unwrap();
        wait::until_ready(&scene.sealed(), "app").await;
        let taken = |secret: &Secret| secret.owner_references().iter().any(|owner| owner.uid == anew_uid);
        let again = wait::until_secret(&scene.secrets(), "app", "is owned by the new object", taken).await;
        assert_eq!(again.uid(), secret.uid(), "it is the same Secret");
        assert!(
            !again.owner_references().iter().any(|owner| Some(&owner.uid) == sealed.uid().as_ref()),
            "the stale one is gone"
        );
        Ok(())
    });
}

/// A Secret `app` that somebody else made.
async fn foreign(scene: &Scene, annotations: Value) -> Result<Secret> {
    let encode = |value: &str| BASE64_STANDARD.encode(value);
    let secret = json!({
        "metadata": {"name": "app", "annotations": annotations},
        "data": {"k": encode("theirs"), "theirs": encode("kept")},
    });
    Ok(scene.secrets().create(&PostParams::default(), &serde_json::from_value(secret)?).await?)
}

/// Deletes a SealedSecret and waits until everything that belongs to it is deleted too.
async fn delete_with_its_dependents(scene: &Scene, name: &str) -> Result<()> {
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..Default::default() };
    scene.sealed().delete(name, &foreground).await?;
    wait::until_gone(&scene.sealed(), name).await;
    Ok(())
}

/// An owner reference to an object that exists.
async fn holder(scene: &Scene) -> Result<Value> {
    let maps: Api<ConfigMap> = Api::namespaced(scene.client(), &scene.namespace);
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "holder"}}))?;
    let uid = maps.create(&PostParams::default(), &map).await?.uid();
    Ok(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "holder", "uid": uid}))
}
