//! What is in the cluster, and how often the key is used.

use waxwing_crds::ProtectionKind;
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::scene;

use super::*;

/// Whether etcd's files hold these bytes.
fn in_etcd(plane: &ControlPlane, bytes: &[u8]) -> Result<bool> {
    let mut folders = vec![plane.dir().join("etcd")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path)?.windows(bytes.len()).any(|window| window == bytes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// K29. Guard: `NewIdentity::wrapped` has no clear key, and `Safe::make` gives no other (`operator: identities`,
/// `operator: protection`).
#[test]
fn a_protected_ring_leaves_no_private_key_in_the_cluster() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let block = transit.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let _operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let ring = rotate(scene).await?;
        scene.sealed_and_ready("late", &[("k", "v")]).await?;

        let keys = ring.status.unwrap_or_default().keys;
        assert!(
            keys.len() > 1 && keys.iter().all(|key| key.protection == Some(ProtectionKind::VaultTransit))
        );
        let stored = identities(release).await?;
        assert_eq!(stored.len(), keys.len());
        for secret in &stored {
            let holds: Vec<_> = secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
            assert_eq!(holds, ["protection", "recipient", "wrapped"]);
            let wrapped = text_of(secret, names::IDENTITY_WRAPPED);
            let identity = transit.open(secret, &release.ring).await?;
            assert!(identity.starts_with("AGE-SECRET-KEY-1") && wrapped.starts_with("vault:v1:"));
            assert!(in_etcd(scene.plane, wrapped.as_bytes())?, "the search finds what is there");
            assert!(!in_etcd(scene.plane, identity.as_bytes())?, "a private key is in etcd");
        }
        Ok(())
    });
}

/// Guard: what `Safe` keeps by what was wrapped (`operator: protection`). The operator logs in with a token of its own
/// ServiceAccount.
#[test]
fn each_identity_is_opened_once_when_an_operator_starts_and_never_again() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let transit = Transit::new(&scene.namespace).await?;
        let user = release.user();
        let account = user.rsplit(':').next().unwrap_or_default();
        let (namespace, mount) = (release.namespace.as_str(), &transit.mount);
        transit.vault.kubernetes(scene.plane, mount, "waxwing", (namespace, account), "vault", mount).await?;
        let block = transit.block_with(json!({"kubernetes": {
            "mountPath": mount, "role": "waxwing", "serviceAccountRef": {"name": account},
        }}));
        scene.merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": block}})).await?;
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("old", &[("k", "v")]).await?;
        let ring = rotate(scene).await?;
        let keys = ring.status.unwrap_or_default().keys.len();

        let start = transit.vault.mark();
        // Whatever becomes of their metadata.
        let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
        for secret in identities(release).await? {
            let label = Patch::Merge(json!({"metadata": {"labels": {"example.com/seen": "yes"}}}));
            api.patch(&secret.name_any(), &PatchParams::default(), &label).await?;
        }
        for days in 40..43 {
            let ring = scene.merge_ring(json!({"rotation": {"every": format!("{days}d")}})).await?;
            let generation = ring.metadata.generation;
            until_ring(scene, "was looked at", |ring| {
                ring.status.as_ref().is_some_and(|status| status.observed_generation == generation)
            })
            .await;
        }
        scene.sealed_and_ready("new", &[("k", "v")]).await?;
        assert_eq!(transit.all_requests(start), 0, "a look asks Vault for nothing at all");

        operator.terminate().await?;
        let start = transit.vault.mark();
        operator.start_again()?;
        operator.until_ready().await?;
        scene.delete_secret("old").await?;
        wait::until_secret(&scene.secrets(), "old", "is there again", |_| true).await;
        scene.sealed_and_ready("newest", &[("k", "v")]).await?;
        assert_eq!((transit.requests("decrypt", start), transit.requests("encrypt", start)), (keys, 0));
        // A new version of the key in Vault concerns nobody: what is wrapped says its own.
        transit.vault.write(&format!("{mount}/keys/waxwing/rotate"), json!({})).await?;
        operator.start_again()?;
        operator.until_ready().await?;
        rotate(scene).await?;
        let newest = identities(release).await?.pop().unwrap();
        assert!(text_of(&newest, names::IDENTITY_WRAPPED).starts_with("vault:v2:"));
        Ok(())
    });
}

/// K29. Guard: as for Vault. Also that the key is named and the context given in every request (`providers: aws::kms`).
#[test]
fn aws_kms_wraps_for_a_ring_and_a_recipient() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let kms = Kms::new(&scene.namespace).await?;
        let block = kms.block(release).await?;
        scene.merge_ring(json!({"protection": {"kind": "AwsKms", "awsKms": block}})).await?;
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let secret = identities(release).await?.remove(0);
        let recipient = text_of(&secret, names::IDENTITY_RECIPIENT);
        let by: Value = serde_json::from_str(&text_of(&secret, names::IDENTITY_PROTECTION))?;
        assert_eq!(by, json!({"kind": "AwsKms", "key": kms.arn, "ring": release.ring}));
        assert!(!secret.data.clone().unwrap_or_default().contains_key(names::IDENTITY_KEY));

        let decrypt = |ring: &str| {
            let context = json!({"waxwing.dev/keyring": ring, "waxwing.dev/recipient": recipient});
            let body = json!({
                "CiphertextBlob": text_of(&secret, names::IDENTITY_WRAPPED), "KeyId": kms.arn, "EncryptionContext": context,
            });
            async move { kms.moto.call_as(None, REGION, "TrentService.Decrypt", &body).await }
        };
        let opened = decrypt(&release.ring).await?.ok()?.json();
        let identity = unbase64(&opened["Plaintext"])?;
        assert!(identity.starts_with("AGE-SECRET-KEY-1"));
        assert!(!in_etcd(scene.plane, identity.as_bytes())?);
        assert!(decrypt("other").await?.text().contains("InvalidCiphertext"));

        // Moved to another key, the alias is followed by new identities only.
        let made = kms.moto.call("TrentService.CreateKey", json!({})).await?;
        let other = made["KeyMetadata"]["Arn"].clone();
        let target = json!({"AliasName": kms.alias, "TargetKeyId": other});
        kms.moto.call("TrentService.UpdateAlias", target).await?;
        rotate(scene).await?;
        operator.start_again()?;
        operator.until_ready().await?;
        scene.delete_secret("app").await?;
        wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;

        let calls = kms.proxy.calls();
        let calls: Vec<_> =
            calls.iter().filter(|call| call.header("x-amz-target").contains("crypt")).collect();
        assert!(calls.len() > 4);
        for call in calls {
            let body: Value = serde_json::from_slice(&call.body)?;
            let keys = [json!(kms.alias), json!(kms.arn), other.clone()];
            assert!(keys.contains(&body["KeyId"]), "the key is named");
            assert_eq!(body["EncryptionContext"]["waxwing.dev/keyring"], json!(release.ring));
        }
        Ok(())
    });
}
