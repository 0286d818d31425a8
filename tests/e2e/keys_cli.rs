//! The life of a ring's key by the command line, against a real cluster: seen, replaced, retired, destroyed, and out of a
//! backup again.

mod destroy;
mod restore;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use waxwing_core::backup::Backup;
use waxwing_core::keys::{Identities, Identity};
use waxwing_crds::{KeyRing, KeyState, conditions, names};
use waxwing_tests::operator::Release;
use waxwing_tests::ring::{is_serving, keys_in, named, parse};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::work::Work;
use waxwing_tests::{tools, wait};

/// A person's repository for a ring, with an offline recovery key beside it.
fn work(scene: &Scene) -> Result<Work> {
    let work = Work::new(&scene.namespace);
    work.use_cluster(&scene.plane.admin_kubeconfig)?;
    let init = ["init", "--from-cluster", "test=prod", "--keyring", &scene.ring];
    work.done(&[&init[..], &["--generate-recovery", "recovery.txt", "--force"]].concat())?;
    Ok(work)
}

/// Whom a backup is for.
fn to(work: &Work) -> String {
    recovery(work).recipient().to_string()
}

fn recovery(work: &Work) -> Identity {
    Identity::parse(&work.read("recovery.txt")).ok().unwrap()
}

/// Seals one value into a file of its own.
fn seal(work: &Work, scene: &Scene, name: &str, value: &str) -> Result<()> {
    work.write("env", &format!("TOKEN={value}\n"))?;
    let file = format!("{name}.yaml");
    work.done(&["seal", "--from-env-file", "env", "--name", name, "-n", &scene.namespace, "-o", &file])?;
    Ok(())
}

async fn apply(work: &Work, scene: &Scene, name: &str) -> Result<()> {
    for object in waxwing_tests::chart::objects(&work.read(&format!("{name}.yaml")))? {
        waxwing_tests::chart::apply(&scene.client(), &object).await?;
    }
    wait::until_ready(&scene.sealed(), name).await;
    Ok(())
}

/// One rotation, as if the active key were old: by a short interval a busy operator would make more keys.
async fn rotate(scene: &Scene) -> Result<String> {
    let ring = scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
    let before = keys_in(&ring, KeyState::Active).remove(0);
    let mut keys = ring.status.unwrap_or_default().keys;
    for key in &mut keys {
        key.created_at = Some(conditions::time(waxwing_tests::ring::now() - 31 * 86_400));
    }
    let old = Patch::Merge(json!({"status": {"keys": keys}}));
    scene.rings().patch_status(&scene.ring, &Default::default(), &old).await?;
    wait::until_ring(&scene.rings(), &scene.ring, "has rotated", |ring| {
        is_serving(ring) && keys_in(ring, KeyState::OpenOnly).contains(&before)
    })
    .await;
    Ok(before)
}

async fn identities(release: &Release) -> Result<Vec<Secret>> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    let of_type = ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE));
    Ok(api.list(&of_type).await?.items)
}

fn id_of(recipient: &str) -> String {
    named("key", recipient).recipient().id().to_string()
}

/// K34. Guard: `cli: keys::needs`, which `retire` and `destroy` ask; and `refuse_in_use` for the active key.
#[test]
fn a_key_is_retired_and_destroyed_only_when_nothing_in_sight_needs_it() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        seal(&work, scene, "app", "one")?;
        apply(&work, scene, "app").await?;

        let active = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
        let refused = run(&["keys", "retire", &id_of(&active)])?;
        assert!(refused.code == 1 && refused.stderr.contains("active key"), "{refused:?}");

        let old = rotate(scene).await?;
        let (id, status) = (id_of(&old), ["keys", "status", "--from-cluster", "--output", "json"]);
        let seen = run(&status)?.json();
        let row = |seen: &Value, id: &str| -> Value {
            let rows = seen["keys"].as_array().unwrap();
            rows.iter().find(|row| row["keyId"] == id).unwrap_or_else(|| panic!("{seen}")).clone()
        };
        let of_old = row(&seen, &id);
        assert_eq!(
            (&of_old["state"], &of_old["files"]["values"]),
            (&json!("OpenOnly"), &json!(1)),
            "{of_old}"
        );
        // In the file it is a hint; in the cluster the operator has opened it.
        assert_eq!(
            (&of_old["files"]["proven"], &of_old["live"]["proven"]),
            (&json!(0), &json!(1)),
            "{of_old}"
        );
        assert_eq!(row(&seen, &recovery(&work).id().to_string())["names"], json!(["recovery"]));
        assert!(seen["notLookedAt"].to_string().contains("history"));
        let elsewhere = run(&[&status[..], &["--in-namespace", "kube-system"]].concat())?.json();
        assert_eq!(row(&elsewhere, &id)["live"]["values"], json!(0), "{elsewhere}");
        assert!(elsewhere["notLookedAt"].to_string().contains("other namespaces than kube-system"));

        let needed = run(&["keys", "retire", &id, "--output", "json"])?;
        assert_eq!(needed.code, 3, "{needed:?}");
        let by: Vec<bool> = needed.json()["neededBy"]
            .as_array()
            .unwrap()
            .iter()
            .map(|need| need["file"].is_string())
            .collect();
        assert_eq!(by.iter().filter(|is_file| **is_file).count(), 1, "{needed:?}");
        assert_eq!(by.len(), 2, "{needed:?}");
        assert!(scene.rings().get(&scene.ring).await?.spec.retired.is_empty(), "nothing was written");
        let forced = run(&["keys", "retire", &id, "--force"])?;
        assert!(forced.code == 2 && forced.stderr.contains(&format!("--yes {id}")), "{forced:?}");
        let mistyped = run(&["keys", "retire", &id, "--force", "--yes", "00000000"])?;
        assert_eq!(mistyped.code, 1, "{mistyped:?}");

        // What the hint says: ask for envelopes, take them, commit.
        let diff = ["recipients", "diff", "--from-cluster", "test=prod"];
        assert_eq!(run(&diff)?.code, 3);
        std::fs::remove_file(work.path().join(".waxwing.yaml"))?;
        let init = ["init", "--from-cluster", "test=prod"];
        assert_eq!(run(&init)?.code, 0);
        let asked = run(&["keys", "propose", "--key", &id])?;
        assert!(asked.code == 0 && asked.stdout == format!("{}/app\n", scene.namespace), "{asked:?}");
        wait::until_sealed(&scene.sealed(), "app", "has a proposal", |object| {
            object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_some())
        })
        .await;
        assert!(run(&["keys", "propose", "--key", &id])?.stdout.is_empty(), "it was proposed already");
        work.done(&["rewrap", "app.yaml", "--from-cluster"])?;
        apply(&work, scene, "app").await?;
        wait::until_sealed(&scene.sealed(), "app", "was opened by the new key", |object| {
            object.status.as_ref().is_some_and(|status| status.keys.iter().all(|key| key.key_id != id))
        })
        .await;

        let early = run(&["keys", "destroy", &id, "--yes", &id])?;
        assert!(early.code == 1 && early.stderr.contains("is not retired"), "{early:?}");
        let retired = run(&["keys", "retire", &id])?;
        assert_eq!(retired.code, 0, "{retired:?}");
        assert!(retired.stderr.contains("not at: Git's history"), "{retired:?}");
        wait::until_ring(&scene.rings(), &scene.ring, "has retired the key", |ring| {
            keys_in(ring, KeyState::Retired).contains(&old) && is_serving(ring)
        })
        .await;
        // Other tests have resources in this cluster, of other rings.
        let (namespace, destroy) = (scene.namespace.as_str(), ["keys", "destroy", &id, "--in-namespace"]);
        let unasked = run(&[&destroy[..], &[namespace]].concat())?;
        assert!(unasked.code == 2 && identities(release).await?.len() == 2, "{unasked:?}");
        let elsewhere = run(&["keys", "destroy", &id, "--yes", &id, "-n", &scene.namespace])?;
        assert!(
            elsewhere.code == 1 && elsewhere.stderr.contains("does not say that it is destroyed"),
            "{elsewhere:?}"
        );
        // A second Secret with the same key.
        let api: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let mut copy = Secret::default();
        for secret in identities(release).await? {
            if secret.name_any().ends_with(&id) {
                copy = Secret { data: secret.data, type_: secret.type_, ..Secret::default() };
            }
        }
        copy.metadata.name = Some("copied".to_owned());
        api.create(&Default::default(), &copy).await?;
        let gone = run(&[&destroy[..], &[namespace, "--yes", &id]].concat())?;
        assert!(gone.code == 0 && gone.stderr.contains("can never be opened again"), "{gone:?}");
        let others = format!("live objects of other namespaces than {namespace}");
        assert_eq!(gone.stderr.matches(&others).count(), 2, "{gone:?}");
        assert!(gone.stderr.contains("symbolic links"), "{gone:?}");
        assert_eq!(identities(release).await?.len(), 1, "both are gone");
        wait::until_ring(&scene.rings(), &scene.ring, "knows that the key is gone", |ring| {
            keys_in(ring, KeyState::Destroyed).contains(&old) && is_serving(ring)
        })
        .await;
        scene.delete_secret("app").await?;
        let back = wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;
        assert_eq!(wait::value_of(&back, "TOKEN"), b"one");
        Ok(())
    });
}

/// K34. Guard: `is_free` in `cli: keys::destroy`; `--force` retires, and nothing forces `destroy`.
#[test]
fn a_key_that_was_retired_by_force_is_not_destroyed_while_something_needs_it_and_can_be_taken_back() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        seal(&work, scene, "app", "one")?;
        apply(&work, scene, "app").await?;
        let old = rotate(scene).await?;
        let id = id_of(&old);
        let forced = run(&["keys", "retire", &id, "--force", "--yes", &id])?;
        assert_eq!(forced.code, 0, "{forced:?}");
        wait::until_ring(&scene.rings(), &scene.ring, "has retired the key", |ring| {
            keys_in(ring, KeyState::Retired).contains(&old)
                && ring.status.as_ref().is_some_and(|s| s.observed_generation == ring.metadata.generation)
        })
        .await;
        wait::until_failing(&scene.sealed(), "app", waxwing_crds::Reason::NoMatchingKey).await;
        let kept = run(&["keys", "destroy", &id, "--yes", &id])?;
        assert_eq!(kept.code, 3, "{kept:?}");
        assert_eq!(identities(release).await?.len(), 2);
        scene.merge_ring(json!({"retired": []})).await?;
        wait::until_ring(&scene.rings(), &scene.ring, "opens with it again", |ring| {
            keys_in(ring, KeyState::OpenOnly).contains(&old)
        })
        .await;
        wait::until_ready(&scene.sealed(), "app").await;
        Ok(())
    });
}

/// K32. Guard: `write::create` with `Mode::Private` for the file; identities only in memory that is wiped.
#[test]
fn a_backup_holds_every_key_for_the_recovery_key_alone_and_stock_age_opens_it() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        rotate(scene).await?;
        let before = run(&["keys", "backup", "--check"])?;
        assert_eq!((before.code, before.stdout.lines().count()), (3, 2), "{before:?}");
        // The KeyRing says nothing of the required recipient of the file: no default.
        let unclear = run(&["keys", "backup", "--out", "backup.age"])?;
        assert!(unclear.code == 2 && unclear.stderr.contains("do not have the same key"), "{unclear:?}");
        let to_itself = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
        let useless = run(&["keys", "backup", "--to", &to_itself, "--out", "backup.age"])?;
        assert!(useless.code == 2 && useless.stderr.contains("could open only itself"), "{useless:?}");
        assert!(!work.path().join("backup.age").exists());
        // A name that .waxwing.yaml alone has is nobody's: whoever may commit could have put their own key there.
        let named = run(&["keys", "backup", "--to", "recovery", "--out", "backup.age"])?;
        assert!(named.code == 2 && named.stderr.contains("do not have the same key"), "{named:?}");
        let stranger = Identity::generate().recipient().to_string();
        for (key, code) in [(&stranger, 2), (&to(&work), 0)] {
            scene.merge_ring(json!({"recipients": [{"name": "recovery", "recipient": key}]})).await?;
            let file = format!("named-{code}.age");
            let named = run(&["keys", "backup", "--to", "recovery", "--out", &file])?;
            assert_eq!((named.code, work.path().join(file).exists()), (code, code == 0), "{named:?}");
        }
        // Without a repository the KeyRing alone would name who gets the keys.
        std::fs::create_dir(work.path().join("elsewhere"))?;
        let required = json!({"name": "recovery", "recipient": stranger, "required": true});
        scene.merge_ring(json!({"recipients": [required], "backedUp": []})).await?;
        let alone = ["keys", "backup", "--out", "backup.age", "--keyring", &scene.ring];
        std::fs::rename(work.path().join(".waxwing.yaml"), work.path().join("elsewhere/.waxwing.yaml"))?;
        let alone = work.run(&alone)?;
        assert!(alone.code == 2 && alone.stderr.contains("do not have the same key"), "{alone:?}");
        std::fs::rename(work.path().join("elsewhere/.waxwing.yaml"), work.path().join(".waxwing.yaml"))?;
        scene.merge_ring(json!({"recipients": []})).await?;
        // A file that can't be written is acknowledged by nobody.
        work.write("taken", "")?;
        assert_eq!(run(&["keys", "backup", "--to", &to(&work), "--out", "taken/backup.age"])?.code, 1);
        assert!(scene.rings().get(&scene.ring).await?.spec.backed_up.is_empty());

        let key = to(&work);
        let backup = ["keys", "backup", "--to", &key, "--out", "backup.age", "--output", "json", "--verbose"];
        let made = run(&backup)?;
        assert_eq!(made.code, 0, "{made:?}");
        assert_eq!(made.json()["acknowledged"], true);
        let path = work.path().join("backup.age");
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        let file = std::fs::read_to_string(&path)?;
        for text in [&file, &made.all()] {
            assert!(!text.contains("AGE-SECRET-KEY-"));
        }
        let stored: BTreeSet<String> = identities(release)
            .await?
            .iter()
            .map(|secret| {
                String::from_utf8(wait::value_of(secret, "identity").to_vec()).unwrap().trim().to_owned()
            })
            .collect();
        assert_eq!(stored.len(), 2);
        // Stock age, with nothing of ours.
        let recovery = work.path().join("recovery.txt").display().to_string();
        let plain = work.tool(&tools::tool("age"), &["-d", "-i", &recovery, "backup.age"])?;
        let document: Value = serde_json::from_str(&plain)?;
        let saved: BTreeSet<String> = document["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["identity"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(saved, stored);
        assert_eq!(document["keyRing"], scene.ring.as_str());

        assert_eq!(run(&["keys", "backup", "--check"])?.code, 0);
        let spec = scene.rings().get(&scene.ring).await?.spec;
        assert_eq!(spec.backed_up.len(), 2);
        assert_eq!(
            spec.rotation.map(|rotation| rotation.every).as_deref(),
            Some("30d"),
            "nothing else changed"
        );
        let again = run(&["keys", "backup", "--to", &key, "--out", "backup.age"])?;
        assert!(again.code == 1 && again.stderr.contains("never overwritten"), "{again:?}");
        assert_eq!(std::fs::read_to_string(&path)?, file);
        Ok(())
    });
}

/// K32. Guard: `collect` in `cli: keys::backup` takes only what the KeyRing knows.
#[test]
fn a_key_that_waits_for_its_backup_becomes_active_by_one_which_holds_no_strangers_key() {
    scene::alone(&["keyring.activateAfterBackup=true"], async |scene, release| -> Result<()> {
        let operator = release.start("a")?;
        scene.watch_log(&operator).await;
        wait::until_ring(&scene.rings(), &scene.ring, "has a pending key", |ring| {
            keys_in(ring, KeyState::Pending).len() == 1
        })
        .await;
        let (stranger, recovery) = (Identity::generate(), Identity::generate());
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let planted = json!({
            "metadata": {"name": "planted", "labels": {names::KEY_RING: scene.ring}}, "type": names::IDENTITY_TYPE,
            "stringData": {"identity": String::from_utf8(stranger.to_text().expose().to_vec())?},
        });
        secrets.create(&Default::default(), &serde_json::from_value(planted)?).await?;
        wait::until(&secrets, "planted", "is there", |found: Option<&Secret>| found.is_some()).await;
        // The key's own Secret follows its name in the status.
        let pending = wait::until_ring(&scene.rings(), &scene.ring, "waits for the backup", |ring| {
            let all = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            all.iter().any(|one| one.reason == waxwing_crds::Reason::BackupAwaited.as_str())
        })
        .await;
        assert_eq!(identities(release).await?.len(), 2);
        let work = Work::new(&scene.namespace);
        work.use_cluster(&scene.plane.admin_kubeconfig)?;
        let to = recovery.recipient().to_string();
        let made =
            work.run(&["keys", "backup", "--to", &to, "--out", "backup.age", "--keyring", &scene.ring])?;
        assert!(made.code == 0 && made.stderr.contains("planted"), "{made:?}");
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "serves", is_serving).await;
        assert_eq!(keys_in(&ring, KeyState::Active), keys_in(&pending, KeyState::Pending));
        let file = std::fs::read(work.path().join("backup.age"))?;
        let backup = Backup::open(&file, &Identities::from_iter([recovery])).ok().unwrap();
        let saved: Vec<&str> = backup.keys.iter().map(|key| key.identity.recipient().as_str()).collect();
        assert_eq!(saved, keys_in(&ring, KeyState::Active));
        Ok(())
    });
}

/// K34. Guard: `Care::Final` in `cli: keys::destroy`; a hint is enough to retire a key, and not to destroy it.
#[test]
fn a_hint_at_another_key_frees_no_private_key_for_good_before_the_operator_has_opened_with_that_one() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let old = rotate(scene).await?;
        let (id, active) = (id_of(&old), keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active));
        let both = vec![named("ring", &active[0]), named("old", &old)];
        let mut sealed = waxwing_tests::ring::Ring::of(both).seal(&scene.namespace, "app", &[("k", "v")]);
        sealed.annotations_mut().insert(names::SUSPEND.to_owned(), "true".to_owned());
        scene.commit(&sealed).await?;
        let work = Work::new(&scene.namespace);
        work.use_cluster(&scene.plane.admin_kubeconfig)?;
        let run = |args: &[&str]| work.run(&[args, &["--keyring", scene.ring.as_str()][..]].concat());
        assert_eq!(run(&["keys", "retire", &id])?.code, 0);
        wait::until_ring(&scene.rings(), &scene.ring, "has retired the key", |ring| {
            keys_in(ring, KeyState::Retired).contains(&old)
                && ring.status.as_ref().is_some_and(|s| s.observed_generation == ring.metadata.generation)
        })
        .await;
        let destroy = ["keys", "destroy", &id, "--yes", &id, "--in-namespace", &scene.namespace];
        let kept = run(&destroy)?;
        assert!(kept.code == 3 && kept.stderr.contains("has not opened it with another key"), "{kept:?}");
        assert_eq!(identities(release).await?.len(), 2);
        // A file whose hints lie: the key itself proves that it opens it. It does not say its namespace, either.
        let only_old = waxwing_tests::ring::Ring::of(vec![named("old", &old)]);
        let mut lie = serde_json::to_value(only_old.seal(&scene.namespace, "lie", &[("k", "v")]))?;
        lie["metadata"] = json!({"name": "lie"});
        for envelope in lie["spec"]["envelopes"].as_object_mut().unwrap().values_mut() {
            envelope["to"] = json!([named("ring", &active[0]).hint()]);
        }
        std::fs::create_dir(work.path().join("base"))?;
        std::fs::write(work.path().join("base/lie.yaml"), lie.to_string())?;
        let kept = run(&destroy)?;
        assert!(kept.code == 3 && kept.stderr.contains("base/lie.yaml: ?/lie: k: no other key"), "{kept:?}");
        assert!(!kept.stderr.contains("not read"), "{kept:?}");
        std::fs::remove_file(work.path().join("base/lie.yaml"))?;
        scene.merge("app", json!({"metadata": {"annotations": {names::SUSPEND: null}}})).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let gone = run(&destroy)?;
        assert_eq!(gone.code, 0, "{gone:?}");
        assert_eq!(identities(release).await?.len(), 1);
        Ok(())
    });
}
