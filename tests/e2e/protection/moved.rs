//! Wrapped identities in other hands: moved, replaced, planted.

use waxwing_core::keys::Identity;
use waxwing_tests::ring::{Ring, named};
use waxwing_tests::scene;

use super::*;

/// K30. Guard: ring and recipient are what Vault authenticates (`providers: protect::Bond`), and the recipient that derives
/// from what was opened is the whole one that is named (`operator: protection::open`).
#[test]
fn what_was_wrapped_for_one_key_stands_in_for_no_other() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let block = transit.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let mut operator = scene.operator(release, "a").await?;
        let (_, good) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let first = identities(release).await?.remove(0);
        let ring = rotate(scene).await?;
        let listed = ring.status.unwrap_or_default().keys.len();
        let active = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
        let own = identities(release).await?;
        let own = own.iter().find(|secret| text_of(secret, names::IDENTITY_RECIPIENT) == active).unwrap();
        let name = own.name_any();

        // The older key's bytes in the active one's place: whoever reads the older one would read all new seals. It is done
        // while nobody looks, for a Secret that is gone for a moment is another story.
        operator.terminate().await?;
        unplant(release, &name).await?;
        let older = text_of(&first, names::IDENTITY_WRAPPED);
        replant(release, own, &name, &[(names::IDENTITY_WRAPPED, &older)]).await?;
        operator.start_again()?;
        let ring = until_locked(scene).await;
        let words = message(&ring, ConditionType::Ready);
        assert!(words.contains("did not wrap this for this ring and recipient"), "{words}");
        assert_eq!(keys_in(&ring, KeyState::Active), [active.as_str()], "and nothing stands in for it");
        assert_eq!(ring.status.unwrap_or_default().keys.len(), listed, "no key was made");

        // A stranger's key, wrapped by somebody who may wrap for that name.
        let stranger = Identity::generate();
        let text = String::from_utf8(stranger.to_text().expose().to_vec())?;
        let wrapped = transit.wrap(&text, &release.ring, &active).await?;
        operator.terminate().await?;
        unplant(release, &name).await?;
        replant(release, own, &name, &[(names::IDENTITY_WRAPPED, &wrapped)]).await?;
        operator.start_again()?;
        let ring = until_ring(scene, "tells of what is not what it says", |ring| {
            message(ring, ConditionType::Degraded).contains("hold no usable identity")
        })
        .await;
        assert!(!keys_in(&ring, KeyState::Active).contains(&stranger.recipient().to_string()));
        let sealed = Ring::of(vec![named("stranger", stranger.recipient().as_str())]);
        scene.commit(&sealed.seal(&scene.namespace, "theirs", &[("k", "v")])).await?;
        wait::until_failing(&scene.sealed(), "theirs", Reason::NoMatchingKey).await;

        // Put back, it opens again.
        operator.terminate().await?;
        unplant(release, &name).await?;
        replant(release, own, &name, &[]).await?;
        operator.start_again()?;
        let sealed = Ring::of(vec![named("ring", &active)]);
        scene.commit(&sealed.seal(&scene.namespace, "late", &[("k", "v")])).await?;
        wait::within(AGAIN, &scene.sealed(), "late", "is ready", |object| object.is_some_and(wait::is_ready))
            .await;
        assert_eq!(scene.secrets().get("app").await?.resource_version(), good.resource_version());
        Ok(())
    });
}

/// K30. Guard: the ring of the bond is the operator's own, whatever the Secret says (`operator: protection`), and one that
/// nobody knows is not opened.
#[test]
fn what_was_wrapped_for_one_ring_opens_nothing_in_another() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let block = transit.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let _operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let own = identities(release).await?.remove(0);

        // One of another ring that the same key wraps; its Secret says whatever its maker wants.
        let other = Identity::generate();
        let text = String::from_utf8(other.to_text().expose().to_vec())?;
        let wrapped = transit.wrap(&text, "other", other.recipient().as_str()).await?;
        let start = transit.vault.mark();
        let values = [
            (names::IDENTITY_WRAPPED, wrapped.as_str()),
            (names::IDENTITY_RECIPIENT, other.recipient().as_str()),
        ];
        replant(release, &own, "waxwing-planted", &values).await?;
        let ring = until_ring(scene, "tells of the planted identity", |ring| {
            says(ring, ConditionType::Degraded, "True", Reason::UntrustedIdentity)
        })
        .await;
        assert!(is_serving(&ring));
        assert_eq!(transit.all_requests(start), 0, "what nobody knows makes no request");

        // Also when an administrator is talked into trusting it.
        scene.merge_ring(json!({"trusted": [other.recipient().as_str()]})).await?;
        let ring = until_ring(scene, "tells that it cannot be opened", |ring| {
            says(ring, ConditionType::Degraded, "True", Reason::ProtectionUnavailable)
        })
        .await;
        assert!(is_serving(&ring) && message(&ring, ConditionType::Degraded).contains("waxwing-planted"));
        assert!(transit.requests("decrypt", start) > 0);
        let sealed = Ring::of(vec![named("other", other.recipient().as_str())]);
        scene.commit(&sealed.seal(&scene.namespace, "theirs", &[("k", "v")])).await?;
        wait::until_failing(&scene.sealed(), "theirs", Reason::NoMatchingKey).await;

        // And when it says so itself, nobody is asked.
        unplant(release, "waxwing-planted").await?;
        let by = json!({"kind": "VaultTransit", "key": "waxwing", "ring": "other"}).to_string();
        let values = [values[0], values[1], (names::IDENTITY_PROTECTION, by.as_str())];
        replant(release, &own, "waxwing-planted", &values).await?;
        until_ring(scene, "tells of what is not for this ring", |ring| {
            says(ring, ConditionType::Degraded, "True", Reason::MalformedIdentity)
        })
        .await;
        Ok(())
    });
}
