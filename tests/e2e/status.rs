//! Status is a hint: who forges one may cost the operator work, and never skips a check.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::ResourceExt;
use serde_json::{Value, json};
use waxwing_crds::{Reason, SealedSecret, SealedSecretStatus, conditions};
use waxwing_tests::operator::Release;
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// K15. Guard: the digest covers what decides, under a key that only the ring has (`core: plan::applied`).
#[test]
fn each_forged_field_is_put_right_and_the_secret_stays() {
    scene::shared(async |scene| -> Result<()> {
        let (sealed, secret) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let truth = sealed.status.clone().unwrap();
        let key = &truth.keys[0];
        let forgeries: [(&str, Value); 9] = [
            ("observedGeneration", json!({"observedGeneration": 99})),
            ("conditions", json!({"conditions": []})),
            ("keys, lower", json!({"keys": [{"name": "k", "seq": 1, "keyId": key.key_id}]})),
            ("keys, another's", json!({"keys": [{"name": "k", "seq": key.seq, "keyId": "00000000"}]})),
            ("source", json!({"source": {"tool": "flux", "name": "forged/forged", "revision": "forged"}})),
            ("applied.digest", json!({"applied": {"digest": "A".repeat(43)}})),
            ("applied.keyId", json!({"applied": {"keyId": "00000000"}})),
            ("applied.resourceVersion", json!({"applied": {"resourceVersion": "1"}})),
            ("applied.secretUid", json!({"applied": {"secretUid": "someone-else"}})),
        ];
        for (field, forged) in forgeries {
            scene.merge_status("app", json!({"status": forged})).await?;
            let what = format!("tells the truth again after a forged {field}");
            let object =
                wait::until_sealed(&scene.sealed(), "app", &what, |object| is_true(object, &truth)).await;
            let now = scene.secrets().get("app").await?;
            assert_eq!((now.uid(), &now.data), (secret.uid(), &secret.data), "{field}");
            let applied = object.status.unwrap_or_default().applied.unwrap_or_default();
            assert_eq!(Some(applied.resource_version), now.resource_version(), "{field}");
        }
        Ok(())
    });
}

/// K15. Guard: `proposedEnvelopes` is covered by the digest and made only when asked (`core: plan::propose`).
#[test]
fn forged_envelopes_are_not_proposed() {
    scene::shared(async |scene| -> Result<()> {
        let (sealed, _) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let (id, envelope) = sealed.spec.envelopes.first_key_value().unwrap();
        let forged = json!({"status": {"proposedEnvelopes": {"recipients": "x", "envelopes": {id.as_str(): envelope}}}});
        scene.merge_status("app", forged).await?;
        wait::until_sealed(&scene.sealed(), "app", "has no proposal", |object| {
            wait::is_ready(object)
                && object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_none())
        })
        .await;
        Ok(())
    });
}

/// K15. Guard: the digest is over this very spec (`core: plan::applied`).
#[test]
fn a_status_that_says_all_is_well_hides_no_tampered_spec() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (mut sealed, status) = ready_and_stopped(scene, release, "a").await?;
        let (a, b) = (sealed.spec.data["a"].clone(), sealed.spec.data["b"].clone());
        sealed.spec.data.extend([("a".to_owned(), b), ("b".to_owned(), a)]);
        let generation = scene.commit(&sealed).await?.metadata.generation;
        forge(scene, status, generation, None).await?;
        let _operator = scene.operator(release, "b").await?;
        wait::until_failing(&scene.sealed(), "app", Reason::BindingMismatch).await;
        Ok(())
    });
}

/// K15. Guard: the digest is over the Secret's resource version (`core: plan::applied`).
#[test]
fn a_status_that_says_all_is_well_hides_no_edited_secret() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (sealed, status) = ready_and_stopped(scene, release, "a").await?;
        let wrong = json!({"data": {"a": BASE64_STANDARD.encode("wrong")}});
        let edited = scene.merge_secret("app", wrong).await?;
        forge(scene, status, sealed.metadata.generation, edited.resource_version()).await?;
        let _operator = scene.operator(release, "b").await?;
        let right = |secret: &_| wait::value_of(secret, "a") == b"1";
        wait::until_secret(&scene.secrets(), "app", "is repaired", right).await;
        Ok(())
    });
}

/// C06, K15. Guard: the floor is kept in the Secret as well (`core: plan::floor`).
#[test]
fn a_status_that_forgets_what_was_seen_hides_no_rollback() {
    scene::alone(&["keyring.policy.rollback=Deny"], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let old = ring.seal(&scene.namespace, "app", &[("k", "old")]);
        scene.commit(&old).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let mut new = old.clone();
        ring.set(&mut new, &[("k", "new")]);
        scene.commit(&new).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        operator.terminate().await?;
        scene
            .merge_status("app", json!({"status": {"keys": null, "applied": null, "conditions": null}}))
            .await?;
        scene.commit(&old).await?;
        operator.start_again()?;
        operator.until_ready().await?;
        wait::until_failing(&scene.sealed(), "app", Reason::RolledBack).await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"new");
        Ok(())
    });
}

/// An object of two keys that is ready, and no operator any more.
async fn ready_and_stopped(
    scene: &Scene,
    release: &Release,
    replica: &str,
) -> Result<(SealedSecret, SealedSecretStatus)> {
    let mut operator = release.start(replica)?;
    scene.watch_log(&operator).await;
    operator.until_ready().await?;
    let (sealed, _) = scene.sealed_and_ready("app", &[("a", "1"), ("b", "2")]).await?;
    operator.terminate().await?;
    let status = sealed.status.clone().unwrap();
    Ok((sealed, status))
}

/// Writes a status that says that this generation, and this version of the Secret, were applied.
async fn forge(
    scene: &Scene,
    mut status: SealedSecretStatus,
    generation: Option<i64>,
    secret_version: Option<String>,
) -> Result<()> {
    status.observed_generation = generation;
    status.conditions.iter_mut().for_each(|condition| condition.observed_generation = generation);
    if let (Some(applied), Some(version)) = (&mut status.applied, secret_version) {
        applied.resource_version = version;
    }
    scene.merge_status("app", json!({"status": status})).await?;
    Ok(())
}

/// Whether it says what it said before, but for the moments of transitions and the mark over the Secret's version, which
/// a repair may have raised. What was forged into any field is not the truth.
fn is_true(object: &SealedSecret, truth: &SealedSecretStatus) -> bool {
    let plain = |status: &SealedSecretStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = conditions::time(0);
        }
        let applied = status.applied.take().unwrap_or_default();
        (status, applied.key_id, applied.secret_uid)
    };
    let Some(status) = &object.status else { return false };
    let applied = status.applied.clone().unwrap_or_default();
    plain(status) == plain(truth) && applied.digest != "A".repeat(43) && applied.resource_version != "1"
}
