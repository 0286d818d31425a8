//! Another protection while everything runs.

use waxwing_crds::ProtectionKind;
use waxwing_tests::scene;

use super::*;

/// Waits until the active key is protected so.
async fn until_protected(scene: &Scene, kind: ProtectionKind) -> KeyRing {
    until_ring(scene, "has an active key of this protection", |ring| {
        let keys = ring.status.iter().flat_map(|status| &status.keys);
        let mut active = keys.filter(|key| key.state == KeyState::Active);
        is_serving(ring) && active.all(|key| key.protection.unwrap_or_default() == kind)
    })
    .await
}

/// How each identity is stored, in the order of the ring's keys.
async fn kinds(release: &Release, ring: &KeyRing) -> Result<Vec<String>> {
    let stored = identities(release).await?;
    let keys = ring.status.iter().flat_map(|status| &status.keys);
    Ok(keys
        .filter_map(|key| {
            let of_key =
                |secret: &&Secret| secret.name_any() == format!("waxwing-{}-{}", release.ring, key.key_id);
            let data = stored.iter().find(of_key)?.data.clone()?;
            let by = data.get(names::IDENTITY_PROTECTION).map(|by| serde_json::from_slice::<Value>(&by.0));
            let kind = by.and_then(Result::ok).map(|by| by["kind"].as_str().unwrap_or_default().to_owned());
            Some(kind.unwrap_or_else(|| "None".to_owned()))
        })
        .collect())
}

#[test]
fn another_protection_makes_one_new_key_and_every_older_one_still_opens() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let (transit, kms) = (Transit::new(&scene.namespace).await?, Kms::new(&scene.namespace).await?);
        let (vault_block, kms_block) = (transit.block(release).await?, kms.block(release).await?);
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("v0", &[("k", "0")]).await?;

        let steps = [
            (ProtectionKind::VaultTransit, json!({"kind": "VaultTransit", "vaultTransit": vault_block})),
            (ProtectionKind::AwsKms, json!({"kind": "AwsKms", "awsKms": kms_block})),
            (ProtectionKind::None, json!({"kind": "None"})),
        ];
        for (number, (kind, change)) in steps.into_iter().enumerate() {
            let stored = states(release).await?;
            // A merge: the blocks that are there stay.
            scene.merge_ring(json!({"protection": change})).await?;
            let ring = until_protected(scene, kind).await;
            assert_eq!(keys_in(&ring, KeyState::OpenOnly).len(), number + 1, "one new key");
            let now = states(release).await?;
            assert!(stored.iter().all(|state| now.contains(state)), "the older ones are as they were");
            scene.sealed_and_ready(&format!("v{}", number + 1), &[("k", "x")]).await?;
        }
        let ring = scene.rings().get(&scene.ring).await?;
        assert_eq!(kinds(release, &ring).await?, ["None", "VaultTransit", "AwsKms", "None"]);

        operator.start_again()?;
        operator.until_ready().await?;
        for name in ["v0", "v1", "v2", "v3"] {
            scene.delete_secret(name).await?;
            wait::until_secret(&scene.secrets(), name, "is there again", |_| true).await;
        }

        // Without its block an older one stays open as long as the operator runs, and that is said.
        scene.merge_ring(json!({"protection": {"vaultTransit": null}})).await?;
        let ring = until_ring(scene, "tells that a restart would lock one", |ring| {
            says(ring, ConditionType::Degraded, "True", Reason::ProtectionUnavailable)
        })
        .await;
        let words = message(&ring, ConditionType::Degraded);
        assert!(words.starts_with("1 identities are open in memory alone"), "{words}");
        scene.delete_secret("v1").await?;
        wait::until_secret(&scene.secrets(), "v1", "is there again", |_| true).await;

        // Then it is locked, and said to be; nothing is made in its place.
        operator.start_again()?;
        operator.until_ready().await?;
        let ring = until_ring(scene, "tells which block is missing", |ring| {
            message(ring, ConditionType::Degraded).contains("could not be unwrapped")
        })
        .await;
        let words = message(&ring, ConditionType::Degraded);
        assert!(words.contains("spec.protection.vaultTransit is not there"), "{words}");
        assert!(is_serving(&ring) && kinds(release, &ring).await?.len() == 4);
        // And nobody is told to seal anew what it will open again.
        scene.delete_secret("v1").await?;
        let waits = wait::until_failing(&scene.sealed(), "v1", Reason::ProtectionUnavailable).await;
        assert!(wait::message(&waits).contains("could not be unwrapped"), "{}", wait::message(&waits));
        let block = transit.block_with(json!({"appRole": {
            "roleId": transit.login.id, "secretRef": {"name": "transit-login", "key": "secret"},
        }}));
        scene.merge_ring(json!({"protection": {"vaultTransit": block}})).await?;
        until_ring(scene, "opens all again", |ring| {
            is_serving(ring) && !says(ring, ConditionType::Degraded, "True", Reason::ProtectionUnavailable)
        })
        .await;
        wait::until_ready(&scene.sealed(), "v1").await;
        assert_eq!(wait::value_of(&scene.secrets().get("v1").await?, "k"), b"x");
        Ok(())
    });
}

/// Guard: the rules of `spec.protection` in the CRD (`crds: schema::protection`).
#[test]
fn a_protection_that_makes_no_sense_is_not_admitted() {
    scene::alone(&[], async |scene, _| -> Result<()> {
        let auth = json!({"tokenSecretRef": {"name": "vault", "key": "token"}});
        let transit = |key: &str| json!({"server": "https://vault.example.com", "key": key, "auth": auth});
        let cases = [
            (json!({"kind": "VaultTransit"}), "kind VaultTransit needs the block vaultTransit"),
            (
                json!({"kind": "AwsKms", "vaultTransit": transit("waxwing")}),
                "kind AwsKms needs the block awsKms",
            ),
            (json!({"kind": "Other"}), "Unsupported value"),
            (json!({"kind": "VaultTransit", "vaultTransit": transit("../x")}), "vaultTransit.key"),
            (json!({"kind": "None", "awsKms": {"region": "eu-central-1", "keyId": "a b"}}), "awsKms.keyId"),
            (
                json!({"kind": "None", "vaultTransit": {"server": "vault:8200", "key": "waxwing", "auth": auth}}),
                "server is a URL",
            ),
            (
                json!({"kind": "None", "vaultTransit": {"server": "https://vault", "key": "waxwing", "auth": {}}}),
                "set exactly one of tokenSecretRef",
            ),
        ];
        for (protection, expected) in cases {
            let refused = scene.merge_ring(json!({"protection": protection})).await.unwrap_err().to_string();
            assert!(refused.contains(expected), "{protection}: {refused}");
            scene.merge_ring(json!({"protection": null})).await?;
        }
        scene
            .merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": transit("a.b-C_1")}}))
            .await?;
        Ok(())
    });
}
