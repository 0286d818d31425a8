//! Old values that come back: a revert, or a replay. C06, once for each policy.

use anyhow::Result;
use waxwing_crds::{ConditionType, Reason, conditions};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// Commits an old value, then a new one, then the old one again.
async fn revert(scene: &Scene) -> Result<()> {
    let ring = scene.ring().await;
    let old = ring.seal(&scene.namespace, "app", &[("k", "old"), ("other", "x")]);
    scene.commit(&old).await?;
    wait::until_ready(&scene.sealed(), "app").await;
    let mut new = old.clone();
    ring.set(&mut new, &[("k", "new")]);
    scene.commit(&new).await?;
    wait::until_ready(&scene.sealed(), "app").await;
    scene.commit(&old).await?;
    Ok(())
}

/// C06. Guard: `core: plan::floor`, and the policy's default.
#[test]
fn by_default_a_reverted_value_is_applied_and_reported_until_it_is_sealed_anew() {
    scene::shared(async |scene| -> Result<()> {
        revert(scene).await?;
        wait::until_sealed(&scene.sealed(), "app", "is degraded by a rollback", |object| {
            let conditions =
                object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            wait::is_ready(object)
                && conditions::get(conditions, ConditionType::Degraded).is_some_and(|degraded| {
                    degraded.status == "True" && degraded.reason == Reason::RolledBack.as_str()
                })
        })
        .await;
        wait::until_event(&scene.events(), "app", Reason::RolledBack).await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"old");
        assert!(scene.world().operator.metrics().await?.sum("waxwing_rolled_back_values", &[]) >= 1.0);
        Ok(())
    });
}

/// C06. Guard: `core: plan::floor` and `RollbackPolicy::Deny`.
#[test]
fn with_policy_deny_a_reverted_value_is_refused_and_the_new_one_stays() {
    scene::alone(&["keyring.policy.rollback=Deny"], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        revert(scene).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::RolledBack).await;
        assert!(wait::message(&failing).contains('k'), "{}", wait::message(&failing));
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"new");
        Ok(())
    });
}

#[test]
fn with_policy_allow_a_reverted_value_is_applied_in_silence() {
    scene::alone(&["keyring.policy.rollback=Allow"], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        revert(scene).await?;
        let old = |secret: &_| wait::value_of(secret, "k") == b"old";
        wait::until_secret(&scene.secrets(), "app", "has the old value", old).await;
        let object = wait::until_ready(&scene.sealed(), "app").await;
        assert!(!conditions::is_true(&object.status.unwrap().conditions, ConditionType::Degraded));
        Ok(())
    });
}

/// C06. Guard: removed keys keep their number (`core: plan::floor`).
#[test]
fn a_removed_key_that_comes_back_with_an_older_value_is_a_rollback_too() {
    scene::alone(&["keyring.policy.rollback=Deny"], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let old = ring.seal(&scene.namespace, "app", &[("k", "old"), ("other", "x")]);
        scene.commit(&old).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let mut new = old.clone();
        ring.set(&mut new, &[("k", "new")]);
        scene.commit(&new).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        new.spec.data.remove("k");
        scene.commit(&new).await?;
        let gone =
            |secret: &k8s_openapi::api::core::v1::Secret| !secret.data.as_ref().unwrap().contains_key("k");
        wait::until_secret(&scene.secrets(), "app", "has lost the removed key", gone).await;
        wait::until_ready(&scene.sealed(), "app").await;
        scene.commit(&old).await?;
        wait::until_failing(&scene.sealed(), "app", Reason::RolledBack).await;
        Ok(())
    });
}
