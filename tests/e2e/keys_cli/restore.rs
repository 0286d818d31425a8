//! What a restore takes from a backup, and what it does not.

use waxwing_core::backup::{Origin, Saved};

use super::*;

/// K33. Guard: `trusted` in `cli: keys::restore` takes only what the KeyRing knows by its full recipient, or `--trust` names.
#[test]
fn a_forged_backup_makes_no_key_trusted_and_nothing_is_written_over() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        seal(&work, scene, "app", "one")?;
        apply(&work, scene, "app").await?;
        assert_eq!(run(&["keys", "backup", "--to", &to(&work), "--out", "backup.age"])?.code, 0);

        // Anybody can read the recovery key's recipient, and write a backup for it.
        let foreign = Identity::generate();
        let forged = Backup {
            of: Origin {
                ring: scene.ring.clone(),
                namespace: release.namespace.clone(),
                created_at: "2026-01-01T00:00:00Z".to_owned(),
                ..Origin::default()
            },
            keys: vec![Saved {
                identity: foreign.clone(),
                state: "Active".to_owned(),
                created_at: String::new(),
            }],
        };
        let file = forged.encrypt(&[recovery(&work).recipient().clone()])?;
        work.write("forged.age", &String::from_utf8(file)?)?;
        let restore = |file: &str, more: &[&str]| {
            run(&[&["keys", "restore", file, "-i", "recovery.txt"], more].concat())
        };
        let listed = restore("forged.age", &["--list"])?;
        assert!(listed.code == 0 && listed.stdout.contains(foreign.recipient().as_str()), "{listed:?}");
        // Whoever may commit can name it in .waxwing.yaml, and seal something for it.
        let config = work.read(".waxwing.yaml");
        let named = format!("\n  dr: {{key: {}}}\nrules:", foreign.recipient());
        work.write(".waxwing.yaml", &config.replacen("\nrules:", &named, 1))?;
        let left = restore("forged.age", &[])?;
        let shown = left.stdout.contains("left out") && left.stdout.contains("dr in .waxwing.yaml");
        assert!(left.code == 5 && shown, "{left:?}");
        let check = restore("forged.age", &["--check"])?;
        assert!(check.code == 3 && check.stdout.contains("left out"), "{check:?}");
        work.write(".waxwing.yaml", &config)?;
        let short = restore("forged.age", &["--trust", &foreign.id().to_string()])?;
        assert!(short.code != 0 && short.stderr.contains("whole public key"), "{short:?}");
        let ring_now = scene.rings().get(&scene.ring).await?;
        assert!(ring_now.spec.trusted.is_empty(), "{:?}", ring_now.spec.trusted);
        assert_eq!(identities(release).await?.len(), 1);
        let other = restore("backup.age", &["--only", &foreign.id().to_string()])?;
        assert_eq!(other.code, 2, "{other:?}");
        let nobody = work.run(&["keys", "restore", "backup.age", "-i", "nobody.txt", "--list"])?;
        assert_ne!(nobody.code, 0);

        // Everything is there already.
        let there = restore("backup.age", &["--check"])?;
        assert!(there.code == 0 && there.stdout.contains("known by the KeyRing"), "{there:?}");

        // One Secret is lost, and something else lies under its name.
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let lost = identities(release).await?.remove(0);
        secrets.delete(&lost.name_any(), &DeleteParams::default()).await?;
        let squatter = json!({
            "metadata": {"name": lost.name_any()}, "type": names::IDENTITY_TYPE,
            "stringData": {"identity": String::from_utf8(foreign.to_text().expose().to_vec())?},
        });
        secrets.create(&Default::default(), &serde_json::from_value(squatter)?).await?;
        let taken = restore("backup.age", &[])?;
        assert!(taken.code == 1 && taken.stderr.contains("holds something else"), "{taken:?}");
        secrets.delete(&lost.name_any(), &DeleteParams::default()).await?;
        let check = restore("backup.age", &["--check"])?;
        assert_eq!(check.code, 3, "{check:?}");
        assert!(identities(release).await?.is_empty(), "nothing was written");
        let back = restore("backup.age", &[])?;
        assert_eq!(back.code, 0, "{back:?}");
        let again = restore("backup.age", &[])?;
        assert!(again.code == 0 && again.stdout.contains("its Secret was there"), "{again:?}");
        wait::until_ring(&scene.rings(), &scene.ring, "serves again", is_serving).await;
        scene.delete_secret("app").await?;
        wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;
        Ok(())
    });
}

/// Guard: `spec.trusted` is written by a merge with the ring's resource version (`cli: cluster::keys::change_ring`).
#[test]
fn a_ring_that_was_deleted_and_made_anew_is_told_to_trust_its_keys_again_by_a_restore() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        seal(&work, scene, "app", "one")?;
        apply(&work, scene, "app").await?;
        let first = rotate(scene).await?;
        assert_eq!(run(&["keys", "backup", "--to", &to(&work), "--out", "backup.age"])?.code, 0);
        let before = scene.rings().get(&scene.ring).await?;
        scene.rings().delete(&scene.ring, &DeleteParams::default()).await?;
        wait::until_gone(&scene.rings(), &scene.ring).await;
        let anew = KeyRing::new(&scene.ring, Default::default());
        scene.rings().create(&Default::default(), &anew).await?;
        wait::until_failing(&scene.sealed(), "app", waxwing_crds::Reason::UntrustedIdentities).await;
        assert_eq!(identities(release).await?.len(), 2, "no key was made in silence");

        // In waves: first the active one, which .waxwing.yaml does not know; the other opens a file that is here, which
        // is shown, and is no proof.
        let active = keys_in(&before, KeyState::Active).remove(0);
        let restore = ["keys", "restore", "backup.age", "-i", "recovery.txt"];
        let one = run(&[&restore[..], &["--only", &id_of(&active), "--trust", &active]].concat())?;
        assert_eq!(one.code, 0, "{one:?}");
        assert_eq!(scene.rings().get(&scene.ring).await?.spec.trusted, std::slice::from_ref(&active));
        let left = run(&restore)?;
        let shown = left.stdout.contains("opens 1 value here, prod in .waxwing.yaml");
        assert!(left.code == 5 && shown && left.stdout.contains("left out"), "{left:?}");
        let all = run(&[&restore[..], &["--trust", &first]].concat())?;
        assert_eq!(all.code, 0, "{all:?}");
        assert_eq!(scene.rings().get(&scene.ring).await?.spec.trusted, [active, first]);
        wait::until_ready(&scene.sealed(), "app").await;
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "serves", is_serving).await;
        assert_eq!(ring.status.unwrap_or_default().keys.len(), 1, "one new active key");
        let live = parse(&scene.sealed().get("app").await?);
        assert!(live.open(&Identities::from_iter([recovery(&work)]), waxwing_tests::ring::now()).is_ok());
        Ok(())
    });
}

/// K33. Guard: `cli: keys::restore` makes the Secrets before the ring, and the ring with what it trusts and what is retired.
#[test]
fn a_restore_without_a_ring_makes_one_and_what_was_retired_stays_so() {
    scene::alone(&["keyring.create=false"], async |scene, release| -> Result<()> {
        let (used, retired, recovery) = (Identity::generate(), Identity::generate(), Identity::generate());
        let work = Work::new(&scene.namespace);
        work.use_cluster(&scene.plane.admin_kubeconfig)?;
        work.write("recovery.txt", &String::from_utf8(recovery.to_text().expose().to_vec())?)?;
        let member = |name: &str, key: &Identity| format!("  {name}: {{key: {}}}\n", key.recipient());
        let members =
            [member("used", &used), member("retired", &retired), member("recovery", &recovery)].concat();
        let rules = "rules:\n- {path: old.yaml, recipients: [retired]}\n- recipients: [used]\n";
        work.write(".waxwing.yaml", &format!("version: 1\nrecipients:\n{members}{rules}"))?;
        seal(&work, scene, "app", "one")?;
        seal(&work, scene, "old", "two")?;
        let saved = |identity: &Identity, state: &str| Saved {
            identity: identity.clone(),
            state: state.to_owned(),
            created_at: String::new(),
        };
        let of =
            Origin { ring: scene.ring.clone(), namespace: release.namespace.clone(), ..Origin::default() };
        let backup = Backup { of, keys: vec![saved(&used, "Active"), saved(&retired, "Retired")] };
        let file = backup.encrypt(&[recovery.recipient().clone()])?;
        work.write("backup.age", &String::from_utf8(file)?)?;

        let operator = release.start("a")?;
        scene.watch_log(&operator).await;
        // Without a ring nothing is known: each is named.
        let keys = [&used, &retired].map(|identity| identity.recipient().to_string());
        let restore =
            ["keys", "restore", "backup.age", "-i", "recovery.txt", "--trust", &keys[0], "--trust", &keys[1]];
        let none = work.run(&restore)?;
        assert!(none.code == 1 && none.stderr.contains("--create-ring"), "{none:?}");
        assert!(identities(release).await?.is_empty(), "nothing was written");
        let unknown = work.run(&[&restore[..5], &["--create-ring"]].concat())?;
        assert_eq!((unknown.code, identities(release).await?.len()), (5, 0), "{unknown:?}");
        let made = work.run(&[&restore[..], &["--create-ring"]].concat())?;
        assert!(made.code == 0 && made.stdout.contains("it stays retired"), "{made:?}");
        let spec = scene.rings().get(&scene.ring).await?.spec;
        assert_eq!(spec.retired, [retired.recipient().to_string()]);
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "serves", is_serving).await;
        assert!(
            keys_in(&ring, KeyState::Active)[0] != used.recipient().as_str(),
            "the ring makes a key of its own"
        );
        apply(&work, scene, "app").await?;
        for object in waxwing_tests::chart::objects(&work.read("old.yaml"))? {
            waxwing_tests::chart::apply(&scene.client(), &object).await?;
        }
        wait::until_failing(&scene.sealed(), "old", waxwing_crds::Reason::NoMatchingKey).await;
        let again = work.run(&[&restore[..], &["--create-ring"]].concat())?;
        assert!(again.code == 0 && again.stdout.contains("it stays retired"), "{again:?}");
        assert_eq!(scene.rings().get(&scene.ring).await?.spec, spec);
        scene.merge_ring(json!({"retired": []})).await?;
        wait::until_ready(&scene.sealed(), "old").await;
        Ok(())
    });
}

/// K32, K33. Guard: `namespace` in `cli: keys::restore`; a Secret of the identity type is no sign of the operator's namespace.
#[test]
fn a_planted_secret_draws_no_private_key_into_its_namespace() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        assert_eq!(run(&["keys", "backup", "--to", &to(&work), "--out", "backup.age"])?.code, 0);
        drop(operator);
        // The operator's Secrets are lost, and a tenant makes one in a namespace of their own.
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        for secret in identities(release).await? {
            secrets.delete(&secret.name_any(), &DeleteParams::default()).await?;
        }
        let planted = json!({
            "metadata": {"name": "planted", "labels": {names::KEY_RING: scene.ring}}, "type": names::IDENTITY_TYPE,
            "stringData": {"identity": String::from_utf8(Identity::generate().to_text().expose().to_vec())?},
        });
        scene.secrets().create(&Default::default(), &serde_json::from_value(planted)?).await?;
        let count = async || -> Result<usize> {
            let of_type = ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE));
            Ok(scene.secrets().list(&of_type).await?.items.len())
        };
        let restore = ["keys", "restore", "backup.age", "-i", "recovery.txt"];
        let refused = run(&restore)?;
        assert!(refused.code == 2 && refused.stderr.contains("--namespace"), "{refused:?}");
        assert!(refused.stderr.contains(&scene.namespace), "{refused:?}");
        assert_eq!((count().await?, identities(release).await?.len()), (1, 0), "nothing was written");
        let done = run(&[&restore[..], &["--namespace", &release.namespace]].concat())?;
        assert!(
            done.code == 0 && done.stderr.contains(&format!("into namespace {}", release.namespace)),
            "{done:?}"
        );
        assert_eq!((count().await?, identities(release).await?.len()), (1, 1));
        // Two namespaces now: nothing is guessed.
        let unclear = run(&["keys", "backup", "--to", &to(&work), "--out", "second.age"])?;
        assert!(unclear.code == 2 && unclear.stderr.contains("several namespaces"), "{unclear:?}");
        // The backup's own namespace is taken without a word where nothing contradicts it.
        scene.secrets().delete("planted", &DeleteParams::default()).await?;
        assert_eq!(run(&restore)?.code, 0);
        Ok(())
    });
}

/// Guard: `is_there` in `cli: keys::restore` and `create_identity` in `cli: cluster::keys`; what is wrapped may be lost, and
/// `cli: keys::private_keys` backs up all that is not.
#[test]
fn a_key_whose_secret_is_wrapped_by_what_is_lost_comes_back_beside_it() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let work = work(scene)?;
        let ring = ["--keyring", scene.ring.as_str()];
        let run = |args: &[&str]| work.run(&[args, &ring[..]].concat());
        seal(&work, scene, "app", "one")?;
        apply(&work, scene, "app").await?;
        assert_eq!(run(&["keys", "backup", "--to", &to(&work), "--out", "backup.age"])?.code, 0);
        drop(operator);
        // As a Vault that is gone leaves it.
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let clear = identities(release).await?.remove(0);
        let key = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
        secrets.delete(&clear.name_any(), &DeleteParams::default()).await?;
        let wrapped = json!({
            "metadata": {"name": clear.name_any(), "labels": clear.labels()}, "type": names::IDENTITY_TYPE,
            "stringData": {
                names::IDENTITY_WRAPPED: "vault:v1:lost", names::IDENTITY_RECIPIENT: key,
                names::IDENTITY_PROTECTION: json!({"kind": "VaultTransit", "key": "waxwing", "ring": scene.ring}).to_string(),
            },
        });
        secrets.create(&Default::default(), &serde_json::from_value(wrapped)?).await?;
        let restore = ["keys", "restore", "backup.age", "-i", "recovery.txt"];
        let check = run(&[&restore[..], &["--check"]].concat())?;
        assert!(check.code == 3 && check.stdout.contains("would be made"), "{check:?}");
        let made = run(&restore)?;
        assert!(made.code == 0 && made.stdout.contains("beside one that is wrapped"), "{made:?}");
        assert_eq!(identities(release).await?.len(), 2);
        let again = run(&restore)?;
        assert!(again.code == 0 && again.stdout.contains("its Secret was there"), "{again:?}");
        scene.delete_secret("app").await?;
        let _operator = scene.operator(release, "b").await?;
        let back = wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;
        assert_eq!(wait::value_of(&back, "TOKEN"), b"one");

        // The lost one comes first by its name, and keeps no key out of the next backup.
        let backup = |file| run(&["keys", "backup", "--to", &to(&work), "--out", file, "--output", "json"]);
        let whole = backup("whole.age")?;
        assert_eq!((whole.code, &whole.json()["missing"]), (0, &json!([])), "{whole:?}");
        // A key that is lost altogether is named, and the others are saved.
        let gone = Identity::generate().recipient().to_string();
        scene.merge_ring(json!({"trusted": [gone]})).await?;
        let of = |ring: &str| {
            let by = json!({"kind": "VaultTransit", "key": "waxwing", "ring": ring}).to_string();
            json!({
                "metadata": {"name": ring, "labels": clear.labels()}, "type": names::IDENTITY_TYPE,
                "stringData": {
                    names::IDENTITY_WRAPPED: "vault:v1:lost", names::IDENTITY_RECIPIENT: gone,
                    names::IDENTITY_PROTECTION: by,
                },
            })
        };
        // What was wrapped for another ring is nobody's here.
        secrets.create(&Default::default(), &serde_json::from_value(of("another"))?).await?;
        let partly = backup("partly.age")?;
        let missing = partly.json()["missing"].clone();
        assert_eq!((partly.code, &missing[0]["recipient"]), (5, &json!(gone)), "{partly:?}");
        assert!(
            missing[0]["why"].is_null() && partly.stderr.contains("another holds no identity"),
            "{partly:?}"
        );
        secrets.create(&Default::default(), &serde_json::from_value(of(&scene.ring))?).await?;
        let partly = backup("lost.age")?;
        let (keys, missing) = (partly.json()["keys"].clone(), partly.json()["missing"].clone());
        assert_eq!((partly.code, &keys[0]["recipient"]), (5, &json!(key)), "{partly:?}");
        assert!(missing[0]["why"].to_string().contains("vaultTransit is not there"), "{partly:?}");
        assert_eq!(scene.rings().get(&scene.ring).await?.spec.backed_up, [key]);
        Ok(())
    });
}

/// Guard: in `cli: keys::restore`, a key that fails stops neither the others nor `trust`; `create_identity` goes beside what
/// nobody can use.
#[test]
fn a_secret_in_the_way_of_one_key_stops_the_restore_of_no_other() {
    scene::alone(&["keyring.create=false"], async |scene, release| -> Result<()> {
        let keys = [(); 3].map(|()| Identity::generate());
        let recovery = Identity::generate();
        let work = Work::new(&scene.namespace);
        work.use_cluster(&scene.plane.admin_kubeconfig)?;
        work.write("recovery.txt", std::str::from_utf8(recovery.to_text().expose())?)?;
        let saved = |identity: &Identity| Saved {
            identity: identity.clone(),
            state: "OpenOnly".to_owned(),
            created_at: String::new(),
        };
        let of =
            Origin { ring: scene.ring.clone(), namespace: release.namespace.clone(), ..Origin::default() };
        let file = Backup { of, keys: keys.iter().map(saved).collect() };
        let file = file.encrypt(&[recovery.recipient().clone()])?;
        work.write("backup.age", &String::from_utf8(file)?)?;

        // Under the name of the first lies another key; under that of the second what nobody can use.
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let name = |key: &Identity| waxwing_core::plan::key_ring::secret_name(&scene.ring, key.recipient());
        let other = String::from_utf8(Identity::generate().to_text().expose().to_vec())?;
        for (key, text) in [(&keys[0], &*other), (&keys[1], "damaged")] {
            let squatter = json!({
                "metadata": {"name": name(key)}, "type": names::IDENTITY_TYPE, "stringData": {"identity": text},
            });
            secrets.create(&Default::default(), &serde_json::from_value(squatter)?).await?;
        }
        let texts = keys.each_ref().map(|key| key.recipient().to_string());
        let trust: Vec<&str> = texts.iter().flat_map(|text| ["--trust", text]).collect();
        let restore = ["keys", "restore", "backup.age", "-i", "recovery.txt", "--create-ring"];
        let restore = || work.run(&[&restore[..], &trust].concat());
        let partly = restore()?;
        assert!(partly.code == 5 && partly.stderr.contains("holds something else"), "{partly:?}");
        for (text, done) in texts.iter().zip([
            "not restored",
            "beside one that is wrapped or that nobody can use",
            "was made",
        ]) {
            let line = partly.stdout.lines().find(|line| line.contains(text)).unwrap();
            assert!(line.contains(done), "{partly:?}");
        }
        assert_eq!(scene.rings().get(&scene.ring).await?.spec.trusted, texts[1..]);
        assert_eq!(identities(release).await?.len(), 4);
        secrets.delete(&name(&keys[0]), &DeleteParams::default()).await?;
        let all = restore()?;
        assert_eq!(all.code, 0, "{all:?}");
        assert_eq!(scene.rings().get(&scene.ring).await?.spec.trusted.len(), 3);
        Ok(())
    });
}
