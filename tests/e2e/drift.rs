//! Others who write the produced Secret: what is put right, and what is left to them.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::{Either, select};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use waxwing_crds::{Reason, names};
use waxwing_tests::{scene, wait};

#[test]
fn a_hand_edit_is_repaired_reported_and_counted() {
    scene::shared(async |scene| -> Result<()> {
        scene.sealed_and_ready("app", &[("k", "right"), ("other", "x")]).await?;
        let before = scene.world().operator.metrics().await?.sum("waxwing_drift_corrected_total", &[]);
        let wrong = json!({"data": {"k": base64("wrong"), "other": null}});
        scene.merge_secret("app", wrong).await?;
        let repaired = |secret: &Secret| {
            let value = |key: &str| {
                secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.as_slice())
            };
            value("k") == Some(b"right") && value("other") == Some(b"x")
        };
        wait::until_secret(&scene.secrets(), "app", "is repaired", repaired).await;
        wait::until_event(&scene.events(), "app", Reason::DriftCorrected).await;
        let after = scene.world().operator.metrics().await?.sum("waxwing_drift_corrected_total", &[]);
        assert!(after > before);
        Ok(())
    });
}

#[test]
fn a_field_that_is_taken_again_and_again_is_reported_and_fought_over_no_more() {
    scene::shared(async |scene| -> Result<()> {
        scene.sealed_and_ready("app", &[("k", "right")]).await?;
        let (secrets, sealed) = (scene.secrets(), scene.sealed());
        // Five times within an hour, or some more: an edit can fall into the repair of the one before.
        for round in 0..12 {
            scene.merge_secret("app", json!({"data": {"k": base64(&format!("wrong {round}"))}})).await?;
            let repaired = |secret: &Secret| wait::value_of(secret, "k") == b"right";
            let repaired = std::pin::pin!(wait::until_secret(&secrets, "app", "is repaired", repaired));
            let given_up = std::pin::pin!(wait::until_failing(&sealed, "app", Reason::OwnershipContested));
            if let Either::Right(_) = select(repaired, given_up).await {
                assert!(round >= 5, "after {round} repairs");
                break;
            }
        }
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::OwnershipContested).await;
        assert!(wait::message(&failing).contains("5 times"), "{}", wait::message(&failing));
        Ok(())
    });
}

#[test]
fn a_secret_that_has_lost_our_annotations_is_still_ours_by_its_owner() {
    scene::shared(async |scene| -> Result<()> {
        scene.sealed_and_ready("app", &[("k", "right")]).await?;
        let stripped = json!({
            "metadata": {"annotations": {names::OWNED_BY: null, names::SEQ: null}},
            "data": {"k": base64("wrong")},
        });
        scene.merge_secret("app", stripped).await?;
        let repaired = |secret: &Secret| {
            wait::value_of(secret, "k") == b"right" && secret.annotations().contains_key(names::OWNED_BY)
        };
        wait::until_secret(&scene.secrets(), "app", "is repaired", repaired).await;
        wait::until_ready(&scene.sealed(), "app").await;
        Ok(())
    });
}

#[test]
fn a_deleted_secret_comes_back() {
    scene::shared(async |scene| -> Result<()> {
        let (_, secret) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        scene.delete_secret("app").await?;
        let again = wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;
        assert_ne!(again.uid(), secret.uid());
        assert_eq!(wait::value_of(&again, "k"), b"v");
        Ok(())
    });
}

/// K04. Guard: server-side apply owns our fields only (`operator: apply`).
#[test]
fn labels_annotations_keys_and_owners_of_others_stay() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "1")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let secret = scene.secrets().get("app").await?;
        let mut owners: Vec<Value> =
            serde_json::from_value(serde_json::to_value(secret.owner_references())?)?;
        owners.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": config_map(scene).await?}));
        let theirs = json!({
            "metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "2"}, "ownerReferences": owners},
            "data": {"theirs": base64("3")},
        });
        scene.merge_secret("app", theirs).await?;
        ring.set(&mut sealed, &[("k", "2")]);
        scene.commit(&sealed).await?;
        let arrived = |secret: &Secret| wait::value_of(secret, "k") == b"2";
        let secret = wait::until_secret(&scene.secrets(), "app", "has the new value", arrived).await;
        assert_eq!(secret.labels()["theirs"], "1");
        assert_eq!(secret.annotations()["theirs"], "2");
        assert_eq!(wait::value_of(&secret, "theirs"), b"3");
        assert_eq!(secret.owner_references().len(), 2);
        Ok(())
    });
}

#[test]
fn two_writers_who_merge_into_one_secret_keep_each_others_keys() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("ours", "1"), ("also-ours", "1")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        // Another object's field manager, of the form that this operator uses.
        let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "data": {"theirs": base64("2")}});
        let manager = PatchParams::apply(&names::field_manager("ExternalSecret", "app"));
        scene.secrets().patch("app", &manager, &Patch::Apply(theirs)).await?;
        sealed.spec.data.remove("also-ours");
        ring.set(&mut sealed, &[("ours", "2")]);
        scene.commit(&sealed).await?;
        let gone = |secret: &Secret| !secret.data.as_ref().unwrap().contains_key("also-ours");
        let secret = wait::until_secret(&scene.secrets(), "app", "has lost the removed key", gone).await;
        assert_eq!(wait::value_of(&secret, "ours"), b"2");
        assert_eq!(wait::value_of(&secret, "theirs"), b"2");
        let managers: Vec<&str> = secret
            .managed_fields()
            .iter()
            .filter_map(|entry| entry.manager.as_deref())
            .filter(|m| m.starts_with("waxwing/"))
            .collect();
        assert!(managers.contains(&names::field_manager("SealedSecret", "app").as_str()), "{managers:?}");
        let ours_by_update = secret.managed_fields().iter().filter(|entry| {
            entry.operation.as_deref() == Some("Update")
                && entry.manager.as_deref().is_some_and(|m| m.starts_with("waxwing/"))
        });
        assert_eq!(ours_by_update.count(), 0, "an entry of Update would keep keys that are removed later");
        Ok(())
    });
}

#[test]
fn somebody_who_annotates_all_the_time_causes_no_writes_to_the_secret() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let mark = scene.plane.audit.mark();
        for round in 0..50 {
            scene
                .merge_secret("app", json!({"metadata": {"annotations": {"theirs": round.to_string()}}}))
                .await?;
        }
        // A later object's Secret proves that the operator has seen all of it.
        scene.sealed_and_ready("later", &[("k", "v")]).await?;
        let writes = scene.plane.audit.writes_since(mark, &release.user());
        let of_app: Vec<String> =
            writes.iter().filter(|call| call.name() == "app").map(|call| call.line()).collect();
        assert!(of_app.len() <= 4, "one apply and one status write for the first touch: {of_app:#?}");
        assert_eq!(scene.secrets().get("app").await?.annotations()["theirs"], "49");
        Ok(())
    });
}

/// K07. Guard: names in the operator's own namespace (`core: plan`).
#[test]
fn in_the_operators_namespace_no_secret_with_an_identitys_name_is_produced() {
    scene::shared(async |scene| -> Result<()> {
        use waxwing_crds::SealedSecret;
        let own = &scene.world().release.namespace;
        let sealed = scene.ring().await.seal(own, "waxwing-default-00000000", &[("identity", "x")]);
        let api: kube::Api<SealedSecret> = kube::Api::namespaced(scene.client(), own);
        let apply = PatchParams::apply("test-gitops").force();
        api.patch("waxwing-default-00000000", &apply, &Patch::Apply(&sealed)).await?;
        wait::until_failing(&api, "waxwing-default-00000000", Reason::NameReserved).await;
        let secrets: kube::Api<Secret> = kube::Api::namespaced(scene.client(), own);
        assert!(secrets.get_opt("waxwing-default-00000000").await?.is_none());
        Ok(())
    });
}

async fn config_map(scene: &scene::Scene) -> Result<String> {
    use k8s_openapi::api::core::v1::ConfigMap;
    let api: kube::Api<ConfigMap> = kube::Api::namespaced(scene.client(), &scene.namespace);
    let object = serde_json::from_value(json!({"metadata": {"name": "theirs"}}))?;
    Ok(api.create(&Default::default(), &object).await?.uid().unwrap_or_default())
}

fn base64(value: &str) -> String {
    BASE64_STANDARD.encode(value)
}
