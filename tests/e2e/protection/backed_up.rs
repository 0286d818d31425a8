//! Backups of wrapped identities: made by an administrator with rights of their own.

use waxwing_core::keys::Identity;
use waxwing_tests::work::Work;
use waxwing_tests::{scene, tools};

use super::*;

/// K38. Guard: `cli: cluster::wrapped` sends credentials where the administrator's environment says, never where the KeyRing does.
#[test]
fn an_administrator_backs_up_what_vault_and_kms_wrap_with_rights_of_their_own() {
    scene::alone(&VALUES, async |scene, release| -> Result<()> {
        let (transit, kms) = (Transit::new(&scene.namespace).await?, Kms::new(&scene.namespace).await?);
        let (vault_block, kms_block) = (transit.block(release).await?, kms.block(release).await?);
        scene
            .merge_ring(json!({"protection": {"kind": "VaultTransit", "vaultTransit": vault_block}}))
            .await?;
        let _operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let work = Work::new(&scene.namespace);
        work.use_cluster(&scene.plane.admin_kubeconfig)?;
        let recovery = Identity::generate();
        work.write("recovery.txt", std::str::from_utf8(recovery.to_text().expose())?)?;
        let to = recovery.recipient().to_string();
        let args = ["keys", "backup", "--keyring", &scene.ring, "--to", &to, "--out", "backup.age"];
        let refused = work.run(&args)?;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("VAULT_ADDR is not set"), "{refused:?}");
        assert!(!work.path().join("backup.age").exists());

        let before = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active);
        scene.merge_ring(json!({"protection": {"kind": "AwsKms", "awsKms": kms_block}})).await?;
        let ring = until_rotated(scene, &before).await;
        let keys = ring.status.unwrap_or_default().keys;

        let (asked, asked_kms) = (transit.proxy.calls().len(), kms.proxy.calls().len());
        let token = transit.vault.token(&transit.mount, "1h").await?;
        work.write(".vault-token", &format!("{token}\n"))?;
        let (vault, aws) =
            (format!("VAULT_ADDR={}", transit.vault.url), format!("AWS_ENDPOINT_URL_KMS={}", kms.moto.url));
        let cli = tools::cli().display().to_string();
        let env = [&vault, &aws, "AWS_ACCESS_KEY_ID=AKIAADMIN", "AWS_SECRET_ACCESS_KEY=key", &cli];
        let said = work.tool("/usr/bin/env".as_ref(), &[&env[..], &args].concat())?;
        for key in &keys {
            assert!(said.contains(&key.key_id), "{said}");
        }
        assert_eq!(transit.proxy.calls().len(), asked, "no token goes where the KeyRing says");
        assert_eq!(kms.proxy.calls().len(), asked_kms, "and no signature");
        let listed = work.done(&["keys", "restore", "--list", "backup.age", "-i", "recovery.txt"])?;
        for key in &keys {
            assert!(listed.stdout.contains(&key.key_id), "{listed:?}");
        }
        let saved = scene.rings().get(&scene.ring).await?.spec.backed_up;
        assert!(keys.iter().all(|key| saved.contains(&key.recipient)));
        Ok(())
    });
}
