//! Envelopes that the operator proposes, and keys that wait for their backup.

use anyhow::Result;
use kube::ResourceExt;
use serde_json::json;
use waxwing_core::keys::{Identities, Identity};
use waxwing_crds::{KeyRing, KeyState, Reason, SealedSecret, conditions, names};
use waxwing_tests::ring::{is_serving, keys_in, now, parse};
use waxwing_tests::{scene, wait};

#[test]
fn envelopes_are_proposed_when_asked_for_recipients_of_the_flag_and_not_of_the_ring() {
    let added = Identity::generate();
    let flag = format!("operator.rewrapRecipients={{{}}}", added.recipient());
    scene::alone(&[&flag], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        // Whoever can write the KeyRing can add a recipient for new seals, and none for what is sealed already.
        let slipped_in = Identity::generate();
        let (sealed, _) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let recipients = json!([{"name": "slipped-in", "recipient": slipped_in.recipient().as_str()}]);
        scene.put_in_effect(json!({"recipients": recipients})).await?;
        assert!(
            sealed.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_none()),
            "nobody has asked"
        );

        scene.merge("app", json!({"metadata": {"annotations": {names::PROPOSE_REWRAP: "one"}}})).await?;
        let proposed = wait::until_sealed(&scene.sealed(), "app", "has a proposal", |object| {
            let proposal = object.status.as_ref().and_then(|status| status.proposed_envelopes.as_ref());
            proposal.is_some_and(|proposal| proposal.nonce.as_deref() == Some("one"))
        })
        .await;
        wait::until_event(&scene.events(), "app", Reason::EnvelopesProposed).await;

        // What a person commits: the same values, in the proposed envelopes.
        let proposal = proposed.status.clone().unwrap_or_default().proposed_envelopes.unwrap_or_default();
        let mut rewrapped: SealedSecret = sealed.clone();
        rewrapped.annotations_mut().insert(names::PROPOSE_REWRAP.to_owned(), "one".to_owned());
        rewrapped.spec.envelopes = proposal.envelopes;
        let opens = |identity: &Identity| {
            parse(&rewrapped).open(&Identities::from_iter([identity.clone()]), now()).is_ok()
        };
        assert!(opens(&added) && !opens(&slipped_in));
        rewrapped.metadata.managed_fields = None;
        scene.commit(&rewrapped).await?;
        wait::until_sealed(&scene.sealed(), "app", "is ready, and its proposal is gone", |object| {
            wait::is_ready(object)
                && object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_none())
        })
        .await;
        Ok(())
    });
}

#[test]
fn a_new_key_waits_for_its_backup_when_the_ring_says_so() {
    scene::alone(&["keyring.activateAfterBackup=true"], async |scene, release| -> Result<()> {
        let operator = release.start("a")?;
        scene.watch_log(&operator).await;
        let waiting = |ring: &KeyRing| {
            let all = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let ready = conditions::get(all, waxwing_crds::ConditionType::Ready);
            ready.is_some_and(|ready| {
                ready.status == "False" && ready.reason == Reason::BackupAwaited.as_str()
            })
        };
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "waits for the backup", waiting).await;
        let pending = keys_in(&ring, KeyState::Pending);
        assert_eq!((pending.len(), keys_in(&ring, KeyState::Active).len()), (1, 0));
        scene.merge_ring(json!({"backedUp": pending})).await?;
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "serves", is_serving).await;
        assert_eq!(keys_in(&ring, KeyState::Active), pending);
        scene.sealed_and_ready("app", &[("k", "v")]).await.map(drop)
    });
}
