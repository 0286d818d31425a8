//! The ring's keys: made once and safely, rotated, never taken from strangers, never made in silence where the ring
//! has lost its memory.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use waxwing_core::keys::Identity;
use waxwing_crds::{ConditionType, KeyRing, KeyState, Reason, conditions, names};
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::operator::Release;
use waxwing_tests::ring::{Ring, is_serving, keys_in, named};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// The identities in the operator's namespace.
async fn identities(release: &Release) -> Result<Vec<Secret>> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    let of_type = ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE));
    Ok(api.list(&of_type).await?.items)
}

/// The recipient of an identity's Secret.
fn recipient_of(secret: &Secret) -> String {
    let text = std::str::from_utf8(wait::value_of(secret, "identity")).unwrap();
    Identity::parse(text).ok().unwrap().recipient().to_string()
}

/// Plants a Secret of an identity's type in the operator's namespace.
async fn plant(release: &Release, name: &str, content: &str) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    let secret = json!({
        "metadata": {"name": name, "labels": {names::KEY_RING: release.ring, names::MANAGED_BY: names::MANAGER}},
        "type": names::IDENTITY_TYPE,
        "stringData": {"identity": content},
    });
    api.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    Ok(())
}

/// Waits for a ring in order and checks what must hold then: one active key whose private half is there, and no
/// private key that the ring does not know.
async fn check_ring(scene: &Scene, release: &Release) -> Result<KeyRing> {
    let deadline = Duration::from_secs(60);
    let served = |ring: Option<&KeyRing>| ring.is_some_and(is_serving);
    let ring = wait::within(deadline, &scene.rings(), &release.ring, "is ready, with one active key", served)
        .await
        .unwrap();
    let made = ring.status.iter().flat_map(|status| &status.keys).map(|key| &key.recipient);
    let listed: BTreeSet<_> = made.chain(&ring.spec.trusted).cloned().collect();
    let stored: BTreeSet<_> = identities(release).await?.iter().map(recipient_of).collect();
    assert!(stored.is_subset(&listed), "an identity that the ring does not know: {stored:?} {listed:?}");
    let active = keys_in(&ring, KeyState::Active);
    assert!(stored.contains(&active[0]), "the active key's private half is there");
    Ok(ring)
}

/// K12. Guard: the order status, Secret, status (`operator: key_ring`).
#[test]
fn a_crash_at_any_write_while_the_first_key_is_made_loses_nothing_and_makes_no_second_key() {
    scene::alone(&[], async |scene, _| -> Result<()> {
        // The writes are: the key's name into the status, its Secret, the status again. At each the operator dies,
        // once before the API server has it, once after.
        let points = (0..3).flat_map(|nth| [(nth, Fault::NoAnswer), (nth, Fault::LostAnswer)]);
        let crashes = points.enumerate().map(|(number, (nth, fault))| crash(scene, number, nth, fault));
        for outcome in futures::future::join_all(crashes).await {
            outcome?;
        }
        Ok(())
    });
}

async fn crash(scene: &Scene, number: usize, nth: usize, fault: Fault) -> Result<()> {
    let name = format!("{}-{number}", scene.namespace);
    let release =
        Release::install(scene.plane, &name, Some(std::slice::from_ref(&scene.namespace)), &[]).await?;
    let proxy = Faults::before(scene.plane).await?;
    let is_step = |call: &Call| {
        call.is_write()
            && (call.path.ends_with("/status") && call.is_for("keyrings") || call.path.ends_with("/secrets"))
    };
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let rule = proxy.inject(fault, move |call| {
        is_step(call) && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == nth
    });
    let mut operator = release.start_at("a", &proxy.url, &[])?;
    scene.watch_log(&operator).await;
    rule.until_hit().await;
    operator.kill();
    drop(rule);
    operator.start_again()?;
    let ring = check_ring(scene, &release).await?;
    assert_eq!(ring.status.unwrap_or_default().keys.len(), 1, "crash {number}: one key was made");
    Ok(())
}

/// K12. Guard: `core: plan::key_ring`; each write is a state of its own.
#[test]
fn being_killed_again_and_again_while_a_ring_is_new_ends_with_one_active_key() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = release.start("a")?;
        scene.watch_log(&operator).await;
        for round in 0..12 {
            // Not a wait: the moment of the crash, somewhere between the start and the last write.
            tokio::time::sleep(Duration::from_millis(40 + 30 * round)).await;
            operator.kill();
            operator.start_again()?;
        }
        check_ring(scene, release).await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await.map(drop)
    });
}

/// K12. Guard: the KeyRing's resource version in each write of its status (`operator: key_ring`); here without a lease.
#[test]
fn two_operators_that_both_believe_to_hold_the_lease_make_one_key() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operators = Vec::new();
        let (one, two) = (Faults::before(scene.plane).await?, Faults::before(scene.plane).await?);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": format!("waxwing-{}", release.ring), "namespace": release.namespace, "resourceVersion": "1"},
            "spec": {},
        });
        let (mut rules, mut proxies) = (Vec::new(), Vec::new());
        for (replica, proxy) in [("a", one), ("b", two)] {
            // Every question about the lease is answered: nobody holds it, and yes.
            rules.push(proxy.inject(Fault::Body(200, lease.to_string()), |call| call.is_for("leases")));
            operators.push(release.start_at(replica, &proxy.url, &[])?);
            proxies.push(proxy);
        }
        for operator in &mut operators {
            scene.watch_log(operator).await;
            operator.until_ready().await?;
        }
        let ring = check_ring(scene, release).await?;
        assert_eq!(ring.status.unwrap_or_default().keys.len(), 1);
        assert_eq!(identities(release).await?.len(), 1);
        // Both work, and do not disturb each other.
        scene.sealed_and_ready("app", &[("k", "v")]).await.map(drop)
    });
}

#[test]
fn after_a_rotation_new_seals_are_for_the_new_key_and_old_values_still_open() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        let before = scene.ring().await;
        scene.sealed_and_ready("old", &[("k", "old")]).await?;
        let first = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active);
        scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
        wait::until_ring(&scene.rings(), &scene.ring, "has rotated", |ring| {
            is_serving(ring) && keys_in(ring, KeyState::OpenOnly).contains(&first[0])
        })
        .await;
        scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
        let after = scene.ring().await;
        assert_ne!(before.recipients()[0].recipient(), after.recipients()[0].recipient());
        wait::until_event(&scene.ring_events(), &scene.ring, Reason::KeyActivated).await;
        wait::until_event(&scene.ring_events(), &scene.ring, Reason::RecipientsChanged).await;
        // The old one opens what was sealed before, what was sealed since by someone who did not notice, and again
        // from nothing.
        scene.commit(&before.seal(&scene.namespace, "late", &[("k", "late")])).await?;
        wait::until_ready(&scene.sealed(), "late").await;
        scene.delete_secret("old").await?;
        let back = wait::until_secret(&scene.secrets(), "old", "is there again", |_| true).await;
        assert_eq!(wait::value_of(&back, "k"), b"old");
        scene.sealed_and_ready("new", &[("k", "new")]).await?;
        operator
            .until_metrics("two values are opened by an old key", |scrape| {
                scrape.sum("waxwing_values_opened_by_old_keys", &[]) == 2.0
                    && scrape.sum("waxwing_recipients_changed_total", &[]) >= 1.0
            })
            .await;
        Ok(())
    });
}

/// K08. Guard: only recipients in the ring's status or `spec.trusted` are used (`core: plan::key_ring`).
#[test]
fn a_planted_identity_is_reported_and_opens_nothing_until_an_administrator_trusts_it() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let ours = scene.ring().await;
        let planted = Identity::generate();
        let text = String::from_utf8(planted.to_text().expose().to_vec())?;
        plant(release, &format!("waxwing-{}-{}", release.ring, planted.id()), &text).await?;
        let told = |ring: &KeyRing| {
            let status = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            conditions::get(status, ConditionType::Degraded)
                .is_some_and(|c| c.reason == Reason::UntrustedIdentity.as_str())
        };
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "tells of the planted identity", told).await;
        assert!(is_serving(&ring), "it serves on");
        assert_eq!(scene.ring().await.recipients(), ours.recipients(), "nothing new is published");
        let sealed = Ring::of(vec![named("planted", planted.recipient().as_str())]).seal(
            &scene.namespace,
            "app",
            &[("k", "v")],
        );
        scene.commit(&sealed).await?;
        wait::until_failing(&scene.sealed(), "app", Reason::NoMatchingKey).await;
        // And it stays so, once the workers have heard of whatever the ring has found.
        scene.sealed_and_ready("later", &[("k", "v")]).await?;
        scene.merge("app", json!({"metadata": {"annotations": {names::REFRESH: "now"}}})).await?;
        scene.sealed_and_ready("later-still", &[("k", "v")]).await?;
        assert!(wait::is_failing(&scene.sealed().get("app").await?, Reason::NoMatchingKey));

        scene.merge_ring(json!({"trusted": [planted.recipient().as_str()]})).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(scene.ring().await.recipients(), ours.recipients(), "trusted is not published");
        Ok(())
    });
}

/// K15. Guard: only what was read back is active (`core: plan::key_ring`).
#[test]
fn a_forged_ring_status_publishes_no_key_and_loses_none() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let ours = scene.ring().await;
        let before = scene.rings().get(&scene.ring).await?;
        let stranger = Identity::generate();
        // The stranger's key as the newest active one, and ours as retired never to be used.
        let mut forged = before.status.clone().unwrap_or_default();
        let mut theirs = forged.keys[0].clone();
        theirs.recipient = stranger.recipient().to_string();
        forged.keys.push(theirs);
        forged.recipients_digest = None;
        let patch = Patch::Merge(json!({"status": forged}));
        scene.rings().patch_status(&scene.ring, &PatchParams::default(), &patch).await?;
        let settled = |ring: &KeyRing| {
            is_serving(ring) && ring.status.as_ref().is_some_and(|status| status.recipients_digest.is_some())
        };
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "has settled", settled).await;
        let active = keys_in(&ring, KeyState::Active);
        assert_eq!(
            active,
            [ours.recipients()[0].recipient().as_str()],
            "a key that was not read back is not published"
        );
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        // Forgotten altogether: no key is made in silence, as for a ring that was made anew.
        let nothing = Patch::Merge(json!({"status": {"keys": null, "recipientsDigest": null}}));
        scene.rings().patch_status(&scene.ring, &PatchParams::default(), &nothing).await?;
        let stalled = |ring: &KeyRing| {
            let status = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            conditions::get(status, ConditionType::Stalled)
                .is_some_and(|c| c.status == "True" && c.reason == Reason::UntrustedIdentities.as_str())
        };
        wait::until_ring(&scene.rings(), &scene.ring, "is stalled", stalled).await;
        assert_eq!(identities(release).await?.len(), 1);
        Ok(())
    });
}

/// K09. Guard: an identity that does not parse is none (`operator: identities`).
#[test]
fn malformed_identities_are_reported_and_skipped() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        plant(release, "waxwing-empty", "").await?;
        plant(release, "waxwing-text", "AGE-SECRET-KEY-1NOTONE").await?;
        plant(release, "waxwing-two", "AGE-SECRET-KEY-1\nAGE-SECRET-KEY-1\n").await?;
        let _operator = scene.operator(release, "a").await?;
        let told = |ring: &KeyRing| {
            let status = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let degraded = conditions::get(status, ConditionType::Degraded);
            degraded.is_some_and(|c| {
                c.reason == Reason::MalformedIdentity.as_str() && c.message.contains("waxwing-two")
            })
        };
        wait::until_ring(&scene.rings(), &scene.ring, "tells of the malformed identities", told).await;
        scene.sealed_and_ready("app", &[("k", "v")]).await.map(drop)
    });
}

/// Guard: `Facts::all_untrusted` (`core: plan::key_ring`).
#[test]
fn a_ring_that_was_deleted_and_made_anew_gets_no_new_key_in_silence() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let ours = scene.ring().await;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let ring = scene.rings().get(&scene.ring).await?;
        scene.rings().delete(&scene.ring, &DeleteParams::default()).await?;
        wait::until_sealed(&scene.sealed(), "app", "tells that there is no ring", |object| {
            wait::is_failing(object, Reason::KeyRingNotReady)
        })
        .await;
        assert_eq!(
            wait::value_of(&scene.secrets().get("app").await?, "k"),
            b"v",
            "the last good Secret stays"
        );

        let mut anew = KeyRing::new(&scene.ring, ring.spec);
        anew.status = None;
        scene.rings().create(&PostParams::default(), &anew).await?;
        let stalled = |ring: &KeyRing| {
            let status = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            conditions::get(status, ConditionType::Stalled)
                .is_some_and(|c| c.status == "True" && c.reason == Reason::UntrustedIdentities.as_str())
        };
        let anew =
            wait::until_ring(&scene.rings(), &scene.ring, "is stalled by untrusted identities", stalled)
                .await;
        assert!(anew.status.unwrap_or_default().keys.is_empty());
        assert_eq!(identities(release).await?.len(), 1, "no key was made");
        wait::until_failing(&scene.sealed(), "app", Reason::UntrustedIdentities).await;

        // Nor when one that is there is trusted, as by values of the chart.
        let other = Identity::generate();
        plant(release, "waxwing-restored", std::str::from_utf8(other.to_text().expose())?).await?;
        let other = other.recipient().as_str();
        scene.merge_ring(json!({"trusted": [other]})).await?;
        wait::until_failing(&scene.sealed(), "app", Reason::NoMatchingKey).await;
        let anew = scene.rings().get(&scene.ring).await?;
        assert!(stalled(&anew) && anew.status.unwrap_or_default().keys.is_empty());
        assert_eq!(identities(release).await?.len(), 2, "no key was made");

        // What the message says helps.
        scene.merge_ring(json!({"trusted": [other, ours.recipients()[0].recipient().as_str()]})).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        check_ring(scene, release).await.map(drop)
    });
}

#[test]
fn a_key_whose_secret_is_gone_is_reported_and_no_longer_published() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let lost = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let secret = identities(release).await?.remove(0);
        secrets.delete(&secret.name_any(), &DeleteParams::default()).await?;
        let told = |ring: &KeyRing| {
            let status = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let tells = |type_| {
                conditions::get(status, type_).is_some_and(|c| c.reason == Reason::IdentityMissing.as_str())
            };
            tells(ConditionType::Ready) || tells(ConditionType::Degraded)
        };
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "tells of the missing identity", told).await;
        assert!(!is_serving(&ring) || !keys_in(&ring, KeyState::Active).contains(&lost));
        // Restored from a backup, it serves again.
        let mut restored = secret.clone();
        restored.metadata = kube::api::ObjectMeta {
            name: secret.metadata.name.clone(),
            labels: secret.metadata.labels.clone(),
            ..Default::default()
        };
        secrets.create(&PostParams::default(), &restored).await?;
        scene
            .commit(&Ring::of(vec![named("ring", &lost)]).seal(&scene.namespace, "app", &[("k", "v")]))
            .await?;
        wait::until_ready(&scene.sealed(), "app").await;
        Ok(())
    });
}

#[test]
fn a_changed_list_of_recipients_is_an_event_and_a_metric() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let other = Identity::generate();
        scene
            .merge_ring(json!({"recipients": [{"name": "added", "recipient": other.recipient().as_str()}]}))
            .await?;
        let event = wait::until_event(&scene.ring_events(), &scene.ring, Reason::RecipientsChanged).await;
        assert!(event.note.unwrap_or_default().contains("added/"), "the event names whom");
        operator
            .until_metrics("the change is counted", |scrape| {
                scrape.sum("waxwing_recipients_changed_total", &[]) == 1.0
            })
            .await;
        Ok(())
    });
}
