//! The life of a key on a real API server: announced, active, older, retired, destroyed; in waves; and with the leader
//! killed at every step of a rotation.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use waxwing_core::keys::{Identities, Identity};
use waxwing_crds::{ConditionType, KeyRing, KeyState, Reason, conditions, names};
use waxwing_tests::control_plane;
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::operator::Release;
use waxwing_tests::ring::{Ring, is_serving, keys_in, named, parse};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// The identities in the operator's namespace.
async fn identities(release: &Release) -> Result<Vec<Secret>> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    Ok(api.list(&ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE))).await?.items)
}

fn identity_of(secret: &Secret) -> Identity {
    Identity::parse(std::str::from_utf8(wait::value_of(secret, "identity")).unwrap()).ok().unwrap()
}

/// Makes the active key so old that a rotation by the default interval is due, once.
async fn grow_old(release: &Release) -> Result<()> {
    let rings: Api<KeyRing> = Api::all(release.plane.admin.clone());
    let ring = rings.get(&release.ring).await?;
    let mut keys = ring.status.unwrap_or_default().keys;
    for key in &mut keys {
        key.created_at = Some(conditions::time(waxwing_tests::ring::now() - 31 * 86_400));
    }
    let patch = Patch::Merge(json!({"status": {"keys": keys}}));
    rings.patch_status(&release.ring, &PatchParams::default(), &patch).await?;
    Ok(())
}

fn states(ring: &KeyRing) -> Vec<KeyState> {
    ring.status.iter().flat_map(|status| &status.keys).map(|key| key.state).collect()
}

fn condition(ring: &KeyRing, type_: ConditionType) -> Option<(bool, String, String)> {
    let status = ring.status.as_ref()?;
    let found = conditions::get(&status.conditions, type_)?;
    Some((found.status == "True", found.reason.clone(), found.message.clone()))
}

/// K12. Guards: the order status, Secret, status (`KeyRingLoop::step`), and that what was listed and has no Secret is given
/// up after a while (`core: plan::key_ring`).
#[test]
fn a_leader_that_is_killed_at_any_step_of_a_rotation_leaves_one_active_key_and_loses_none() {
    scene::alone(&[], async |scene, _| -> Result<()> {
        // The writes of a rotation: the new recipient into the status, its Secret, the status again.
        let points = (0..3).flat_map(|nth| [(nth, Fault::NoAnswer), (nth, Fault::LostAnswer)]);
        let kills = points
            .enumerate()
            .map(|(number, (nth, fault))| kill(scene, number, nth, fault, Rotation::Due, &[]));
        for outcome in futures::future::join_all(kills).await {
            outcome?;
        }
        Ok(())
    });
}

/// K12. Guards: as above. A key that is announced is written once more before it is active.
#[test]
fn a_leader_that_is_killed_while_a_key_is_announced_leaves_one_active_key_and_loses_none() {
    scene::alone(&[], async |scene, _| -> Result<()> {
        let kills = (0..4).map(|nth| {
            kill(scene, nth, nth, Fault::LostAnswer, Rotation::Due, &["keyring.rotation.announce=5s"])
        });
        for outcome in futures::future::join_all(kills).await {
            outcome?;
        }
        Ok(())
    });
}

/// K12. Guards: as above. The active key is gone from the first write on.
#[test]
fn a_leader_that_is_killed_while_it_replaces_a_retired_key_leaves_one_active_key() {
    scene::alone(&[], async |scene, _| -> Result<()> {
        let kills = (0..3).map(|nth| kill(scene, nth, nth, Fault::LostAnswer, Rotation::Retired, &[]));
        for outcome in futures::future::join_all(kills).await {
            outcome?;
        }
        Ok(())
    });
}

/// Why a ring makes a new key.
#[derive(Clone, Copy)]
enum Rotation {
    /// The active key is old.
    Due,
    /// The active key was retired.
    Retired,
}

/// One leader dies at one write; the replica that waits takes over.
async fn kill(
    scene: &Scene,
    number: usize,
    nth: usize,
    fault: Fault,
    rotation: Rotation,
    values: &[&str],
) -> Result<()> {
    let name = format!("{}-{number}", scene.namespace);
    let beside = scene.beside(&name, &name).await?;
    let release = Release::install(scene.plane, &name, Some(std::slice::from_ref(&name)), values).await?;
    let proxy = Faults::before(scene.plane).await?;
    let mut leading = release.start_at("a", &proxy.url, &[])?;
    scene.watch_log(&leading).await;
    leading.until_ready().await?;
    beside.sealed_and_ready("old", &[("k", "old")]).await?;
    let settled = |ring: Option<&KeyRing>| {
        ring.is_some_and(|ring| condition(ring, ConditionType::Converged).is_some_and(|(is, ..)| is))
    };
    let (api, deadline) = (beside.rings(), Duration::from_secs(90));
    let ring =
        wait::within(deadline, &api, &release.ring, "has nothing more to write", settled).await.unwrap();
    let first = keys_in(&ring, KeyState::Active);
    let _waiting = scene.operator(&release, "b").await?;

    let is_step = |call: &Call| {
        let is_status = call.path.ends_with("/status") && call.is_for("keyrings");
        let is_secret = call.path.contains("/namespaces/waxwing-") && call.path.ends_with("/secrets");
        call.is_write() && (is_status || is_secret)
    };
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let rule = proxy.inject(fault, move |call| {
        is_step(call) && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == nth
    });
    let older = match rotation {
        Rotation::Due => {
            grow_old(&release).await?;
            KeyState::OpenOnly
        }
        Rotation::Retired => {
            let patch = Patch::Merge(json!({"spec": {"retired": first}}));
            api.patch(&release.ring, &PatchParams::default(), &patch).await?;
            KeyState::Retired
        }
    };
    rule.until_hit().await;
    leading.kill();

    let rotated =
        |ring: Option<&KeyRing>| ring.is_some_and(|ring| is_serving(ring) && keys_in(ring, older) == first);
    let ring = wait::within(deadline, &api, &release.ring, "has rotated", rotated).await.unwrap();
    assert_eq!(states(&ring), [older, KeyState::Active], "kill {number}: one key was made");
    let listed: BTreeSet<_> =
        ring.status.iter().flat_map(|status| &status.keys).map(|key| key.recipient.clone()).collect();
    let stored: BTreeSet<_> = identities(&release)
        .await?
        .iter()
        .map(|secret| identity_of(secret).recipient().to_string())
        .collect();
    assert_eq!(listed, stored, "kill {number}: no key was lost, and none is left over");
    // What was sealed before opens from nothing unless its key was retired, and what is sealed now opens.
    match rotation {
        Rotation::Due => {
            beside.delete_secret("old").await?;
            wait::until_secret(&beside.secrets(), "old", "is there again", |_| true).await;
        }
        Rotation::Retired => {
            wait::until_failing(&beside.sealed(), "old", Reason::NoMatchingKey).await;
        }
    }
    beside.sealed_and_ready("new", &[("k", "new")]).await.map(drop)
}

#[test]
fn a_key_is_announced_becomes_active_grows_old_is_retired_and_destroyed() {
    scene::alone(&["keyring.rotation.announce=20s"], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let before = scene.ring().await;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let old = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);

        grow_old(release).await?;
        let (rings, name) = (scene.rings(), scene.ring.clone());
        let announced = wait::until_ring(&rings, &name, "lists the next key", |ring| {
            is_serving(ring) && keys_in(ring, KeyState::Pending).len() == 1
        })
        .await;
        assert_eq!(
            keys_in(&announced, KeyState::Active),
            std::slice::from_ref(&old),
            "the old one is active still"
        );
        // Somebody who took it up at once is not too early.
        let next = keys_in(&announced, KeyState::Pending).remove(0);
        let early = Ring::of(vec![named("next", &next)]).seal(&scene.namespace, "early", &[("k", "v")]);
        scene.commit(&early).await?;
        wait::until_ready(&scene.sealed(), "early").await;
        assert_eq!(scene.ring().await.recipients(), before.recipients());
        let active = |ring: Option<&KeyRing>| {
            ring.is_some_and(|ring| is_serving(ring) && keys_in(ring, KeyState::Active)[0] == next)
        };
        let deadline = Duration::from_secs(60);
        wait::within(deadline, &rings, &name, "has made it active", active).await.unwrap();
        let is_old = |ring: Option<&KeyRing>| {
            let converged = ring.and_then(|ring| condition(ring, ConditionType::Converged));
            converged.is_some_and(|(_, reason, _)| reason == Reason::OlderKeysInUse.as_str())
        };
        wait::within(deadline, &rings, &name, "says that older keys are in use", is_old).await.unwrap();

        // Rewrapped, no value needs the old key.
        let stored = identities(release).await?;
        let all: Identities = stored.iter().map(identity_of).collect();
        let mut object = scene.sealed().get("app").await?;
        let mut sealed = parse(&object);
        sealed.rewrap(&all, scene.ring().await.recipients())?;
        sealed.write_into(&mut object.spec);
        scene.commit(&object).await?;
        let converged = |ring: Option<&KeyRing>| {
            ring.and_then(|ring| condition(ring, ConditionType::Converged)).is_some_and(|(is, ..)| is)
        };
        wait::within(deadline, &rings, &name, "has converged", converged).await.unwrap();

        // Sealed for it again by somebody who was not told: in order, until the key is retired.
        let late = before.seal(&scene.namespace, "late", &[("k", "v")]);
        scene.commit(&late).await?;
        wait::until_ready(&scene.sealed(), "late").await;
        scene.put_in_effect(json!({"retired": [old]})).await?;
        wait::until_ring(&rings, &name, "has retired it", |ring| {
            keys_in(ring, KeyState::Retired) == [old.clone()]
        })
        .await;
        wait::until_event(&scene.ring_events(), &name, Reason::KeyRetired).await;
        wait::until_failing(&scene.sealed(), "late", Reason::NoMatchingKey).await;
        assert!(wait::is_ready(&scene.sealed().get("app").await?), "what was rewrapped is not concerned");
        // Taken back, it opens again.
        scene.merge_ring(json!({"retired": null})).await?;
        wait::until_ready(&scene.sealed(), "late").await;

        scene.merge_ring(json!({"retired": [old]})).await?;
        wait::until_ring(&rings, &name, "has retired it", |ring| {
            keys_in(ring, KeyState::Retired) == [old.clone()]
        })
        .await;
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let its = stored.iter().find(|secret| identity_of(secret).recipient().as_str() == old).unwrap();
        secrets.delete(&its.name_any(), &DeleteParams::default()).await?;
        let ring = wait::until_ring(&rings, &name, "knows that it is destroyed", |ring| {
            keys_in(ring, KeyState::Destroyed) == [old.clone()]
        })
        .await;
        assert!(
            is_serving(&ring) && condition(&ring, ConditionType::Degraded).is_none(),
            "nothing is missing"
        );
        scene.merge_ring(json!({"retired": null})).await?;
        wait::until_ring(&rings, &name, "has forgotten it", |ring| states(ring) == [KeyState::Active]).await;
        Ok(())
    });
}

/// Two clusters: the ring in one rotates after the ring in the other.
#[test]
fn a_ring_rotates_after_another_clusters_ring_has_rotated_and_converged() {
    scene::alone(&["stores.allowEndpoints={127.0.0.1}"], async |scene, second| -> Result<()> {
        let plane = control_plane::main().await;
        let name = format!("{}-first", scene.namespace);
        plane.create_namespace(&name).await?;
        let first = Release::install(plane, &name, Some(std::slice::from_ref(&name)), &[]).await?;
        let mut leading = first.start("a")?;
        scene.watch_log(&leading).await;
        leading.until_ready().await?;
        let first_rings: Api<KeyRing> = Api::all(plane.admin.clone());
        Ring::published(&plane.admin, &first.ring).await;

        // A kubeconfig that may read that one ring, and nothing else.
        plane.service_account(&name, "wave").await?;
        let token = plane.token(&name, "wave", &[]).await?;
        let role = json!({"metadata": {"name": format!("{name}-wave")}, "rules": [{
            "apiGroups": ["waxwing.dev"], "resources": ["keyrings"], "resourceNames": [first.ring], "verbs": ["get"],
        }]});
        let binding = json!({"metadata": {"name": format!("{name}-wave")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{name}-wave")},
            "subjects": [{"kind": "ServiceAccount", "name": "wave", "namespace": name}]});
        let params = PostParams::default();
        Api::<ClusterRole>::all(plane.admin.clone()).create(&params, &serde_json::from_value(role)?).await?;
        Api::<ClusterRoleBinding>::all(plane.admin.clone())
            .create(&params, &serde_json::from_value(binding)?)
            .await?;
        let authority = base64_of(&plane.certs.ca_pem);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": plane.url, "certificate-authority-data": authority}}],
            "users": [{"name": "a", "user": {"token": token}}],
        });
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &second.namespace);
        let secret =
            json!({"metadata": {"name": "first-ring"}, "stringData": {"kubeconfig": kubeconfig.to_string()}});

        let after =
            json!({"every": "30d", "after": {"kubeconfig": {"name": "first-ring"}, "keyRing": first.ring}});
        scene.merge_ring(json!({"rotation": after})).await?;
        let _operator = scene.operator(second, "a").await?;
        Ring::published(&scene.client(), &scene.ring).await;
        let rings = scene.rings();
        let says = |what: &'static str| {
            move |ring: &KeyRing| {
                states(ring) == [KeyState::Active]
                    && condition(ring, ConditionType::Ready)
                        .is_some_and(|(is, _, message)| is && message.contains(what))
            }
        };
        grow_old(second).await?;
        wait::until_ring(&rings, &scene.ring, "waits for the kubeconfig", says("cannot be read: ")).await;
        // The first ring was made within this test, which counts as this round to one that is a month old; so it is made
        // as old as the other one.
        grow_old_and_hold(&first_rings, &first.ring).await?;
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        touch(scene, 1).await?;
        wait::until_ring(&rings, &scene.ring, "waits for the first ring", says("still has key")).await;

        // A value in the first cluster that only its old key opens.
        let there = named("first", &keys_in(&first_rings.get(&first.ring).await?, KeyState::Active)[0]);
        let sealed = Ring::of(vec![there]).seal(&name, "app", &[("k", "v")]);
        let first_sealed: Api<waxwing_crds::SealedSecret> = Api::namespaced(plane.admin.clone(), &name);
        first_sealed.create(&PostParams::default(), &sealed).await?;
        wait::until_ready(&first_sealed, "app").await;
        let release_hold = Patch::Merge(json!({"spec": {"rotation": {"every": "30d"}}}));
        first_rings.patch(&first.ring, &PatchParams::default(), &release_hold).await?;
        wait::until_ring(&first_rings, &first.ring, "has rotated", |ring| {
            is_serving(ring) && keys_in(ring, KeyState::OpenOnly).len() == 1
        })
        .await;
        touch(scene, 2).await?;
        let what = "not every value there opens with it yet";
        wait::until_ring(&rings, &scene.ring, "waits for convergence", says(what)).await;

        first_sealed.delete("app", &DeleteParams::default()).await?;
        let converged = |ring: Option<&KeyRing>| {
            ring.and_then(|ring| condition(ring, ConditionType::Converged)).is_some_and(|(is, ..)| is)
        };
        let deadline = Duration::from_secs(60);
        wait::within(deadline, &first_rings, &first.ring, "has converged", converged).await.unwrap();
        touch(scene, 3).await?;
        wait::until_ring(&rings, &scene.ring, "has rotated too", |ring| {
            is_serving(ring) && keys_in(ring, KeyState::OpenOnly).len() == 1
        })
        .await;
        Ok(())
    });
}

fn base64_of(text: &str) -> String {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec()))
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap()
}

/// Makes a ring's key old, without a rotation.
async fn grow_old_and_hold(rings: &Api<KeyRing>, name: &str) -> Result<()> {
    let hold = Patch::Merge(json!({"spec": {"rotation": {"every": "9000d"}}}));
    rings.patch(name, &PatchParams::default(), &hold).await?;
    let mut keys = rings.get(name).await?.status.unwrap_or_default().keys;
    for key in &mut keys {
        key.created_at = Some(conditions::time(waxwing_tests::ring::now() - 31 * 86_400));
    }
    let patch = Patch::Merge(json!({"status": {"keys": keys}}));
    rings.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Has the operator look at the ring now.
async fn touch(scene: &Scene, number: u32) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"test": number.to_string()}}}));
    scene.rings().patch(&scene.ring, &PatchParams::default(), &patch).await?;
    Ok(())
}
