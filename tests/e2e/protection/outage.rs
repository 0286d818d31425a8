//! What goes on without whoever holds the key, what waits, and what never happens meanwhile.

use waxwing_tests::ring::{Ring, named};
use waxwing_tests::scene;

use super::*;

/// K31. Guard: a locked identity counts as present (`core: plan::key_ring`), and `Safe::open` gives none that was not opened.
/// Where a rotation is due besides, it is `KeyRingLoop::prepare`, which lists no key that could not be wrapped.
#[test]
fn an_operator_that_starts_without_vault_makes_no_key_and_recovers_by_itself() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let block = transit.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let mut operator = scene.operator(release, "a").await?;
        let (_, before) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let ring = rotate(scene).await?;
        let (keys, stored) = (ring.status.unwrap_or_default().keys, states(release).await?);

        operator.terminate().await?;
        transit.proxy.shut();
        operator.start_again()?;
        let locked = until_locked(scene).await;
        let words = message(&locked, ConditionType::Ready);
        assert!(words.contains("could not be unwrapped") && words.contains("127.0.0.1"), "{words}");
        // Also when a rotation is due: it waits until the new key could be wrapped.
        scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
        let active = keys_in(&locked, KeyState::Active).remove(0);
        let sealed = Ring::of(vec![named("ring", &active)]).seal(&scene.namespace, "late", &[("k", "late")]);
        scene.commit(&sealed).await?;
        wait::until_failing(&scene.sealed(), "late", Reason::ProtectionUnavailable).await;
        let during = until_locked(scene).await;
        let recipients = |keys: &[waxwing_crds::RingKey]| -> Vec<_> {
            keys.iter().map(|key| (key.recipient.clone(), key.state)).collect()
        };
        assert_eq!(recipients(&during.status.unwrap_or_default().keys), recipients(&keys), "no key was made");
        assert_eq!(states(release).await?, stored, "no identity was touched");
        let after = scene.secrets().get("app").await?;
        assert_eq!(after.resource_version(), before.resource_version(), "the last good Secret stays");

        scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
        transit.proxy.open();
        until_ring(scene, "is in order again", |ring| {
            is_serving(ring) && says(ring, ConditionType::Ready, "True", Reason::Synced)
        })
        .await;
        wait::until_ready(&scene.sealed(), "late").await;
        assert_eq!(states(release).await?, stored);
        Ok(())
    });
}

/// K31. Guards: as above; a key of KMS is no other than one of Vault's (`providers: aws::kms`).
#[test]
fn an_operator_that_starts_without_kms_makes_no_key_and_recovers_by_itself() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let kms = Kms::new(&scene.namespace).await?;
        let block = kms.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "AwsKms", "awsKms": block}})).await?;
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let stored = states(release).await?;

        operator.terminate().await?;
        kms.proxy.shut();
        operator.start_again()?;
        let words = message(&until_locked(scene).await, ConditionType::Ready);
        assert!(words.contains("1 identities could not be unwrapped") && words.contains(&kms.arn), "{words}");
        // Also when a rotation is due: it waits until the new key could be wrapped.
        let generation = scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?.metadata.generation;
        let during = until_ring(scene, "has read the rotation", |ring| {
            ring.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        })
        .await;
        assert!(says(&during, ConditionType::Ready, "False", Reason::ProtectionUnavailable));
        assert_eq!(during.status.unwrap_or_default().keys.len(), 1, "no key is listed");
        assert_eq!(states(release).await?, stored, "no identity was made or touched");

        scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
        kms.proxy.open();
        until_ring(scene, "is in order again", |ring| {
            is_serving(ring) && says(ring, ConditionType::Ready, "True", Reason::Synced)
        })
        .await;
        scene.delete_secret("app").await?;
        wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;
        assert_eq!(states(release).await?, stored);
        Ok(())
    });
}

/// K31. Guard: `KeyRingLoop::prepare` lists no key that could not be wrapped (`operator: key_ring`).
#[test]
fn a_rotation_waits_for_vault_and_everything_else_goes_on() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let block = transit.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("before", &[("k", "v")]).await?;
        let first = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active);

        transit.proxy.shut();
        scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
        let ring = until_ring(scene, "tells that a rotation waits", |ring| {
            says(ring, ConditionType::Degraded, "True", Reason::ProtectionUnavailable)
        })
        .await;
        assert!(is_serving(&ring), "it serves on");
        assert!(message(&ring, ConditionType::Degraded).contains("could not be wrapped"));
        scene.sealed_and_ready("during", &[("k", "v")]).await?;
        scene.delete_secret("before").await?;
        wait::until_secret(&scene.secrets(), "before", "is there again", |_| true).await;
        assert_eq!(scene.rings().get(&scene.ring).await?.status.unwrap_or_default().keys.len(), 1);
        assert_eq!(identities(release).await?.len(), 1);
        assert!(operator.process_mut().check_alive().is_ok());

        transit.proxy.open();
        until_rotated(scene, &first).await;
        scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
        until_ring(scene, "has nothing to tell any more", |ring| {
            is_serving(ring) && !says(ring, ConditionType::Degraded, "True", Reason::ProtectionUnavailable)
        })
        .await;
        for secret in identities(release).await? {
            assert!(transit.open(&secret, &release.ring).await?.starts_with("AGE-SECRET-KEY-1"));
        }
        Ok(())
    });
}

/// K31. Guard: as above; here for the first key of a ring, and for a policy that does not allow it.
#[test]
fn a_new_ring_without_the_right_to_its_key_makes_none_in_the_clear() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let mut block = transit.block(release).await?;
        block["key"] = json!("another");
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let operator = release.start("a")?;
        scene.watch_log(&operator).await;
        let ring = until_locked(scene).await;
        let words = message(&ring, ConditionType::Ready);
        assert!(words.contains("the token's policies do not allow it"), "{words}");
        assert!(words.contains(&format!("{}/encrypt/another", transit.mount)), "{words}");
        assert!(identities(release).await?.is_empty());
        assert!(ring.status.unwrap_or_default().keys.is_empty(), "and none is listed");
        assert!(
            transit.vault.list(&format!("{}/keys", transit.mount)).await? == ["waxwing"],
            "nor made in Vault"
        );

        scene.merge_ring(json!({"protection": {"vaultTransit": {"key": "waxwing"}}})).await?;
        until_ring(scene, "is in order", is_serving).await;
        scene.sealed_and_ready("app", &[("k", "v")]).await.map(drop)
    });
}
