//! The command line and the operator together: what a developer types, what is committed, what comes out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use waxwing_crds::{KeyState, Reason, names};
use waxwing_tests::folder::Folder;
use waxwing_tests::ring::{is_serving, keys_in};
use waxwing_tests::scene;
use waxwing_tests::wait;

#[test]
fn what_the_command_line_seals_for_a_cluster_opens_there_and_one_value_changes_one_line() {
    scene::shared(async |scene| -> Result<()> {
        scene.ring().await;
        let folder = Folder::of(scene)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": scene.namespace},
            "stringData": {"user": "ada", "password": "first"},
        });
        folder.run(&["seal", "-", "-o", "app.yaml"], &secret.to_string())?;
        folder.run(&["verify", "."], "")?;
        folder.apply(scene, "app.yaml").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let made = scene.secrets().get("app").await?;
        assert_eq!(wait::value_of(&made, "user"), b"ada");
        assert_eq!(wait::value_of(&made, "password"), b"first");

        let before = folder.read("app.yaml");
        folder.run(&["set", "app.yaml", "password"], "second")?;
        let after = folder.read("app.yaml");
        assert_eq!(changed_tokens(&before, &after), ["password"]);
        folder.apply(scene, "app.yaml").await?;
        let second = |secret: &_| wait::value_of(secret, "password") == b"second";
        wait::until_secret(&scene.secrets(), "app", "has the new value", second).await;

        folder.run(&["unset", "app.yaml", "user"], "")?;
        folder.apply(scene, "app.yaml").await?;
        let gone =
            |secret: &k8s_openapi::api::core::v1::Secret| !secret.data.as_ref().unwrap().contains_key("user");
        wait::until_secret(&scene.secrets(), "app", "has lost the removed key", gone).await;
        Ok(())
    });
}

/// C02. Guard: `core: seal::binding`; the message is the one that a user of kustomize needs.
#[test]
fn a_file_that_is_renamed_after_sealing_is_refused_in_the_cluster() {
    scene::shared(async |scene| -> Result<()> {
        scene.ring().await;
        let folder = Folder::of(scene)?;
        let env = folder.0.join("env");
        std::fs::write(&env, "TOKEN=abc\n")?;
        folder.run(
            &["seal", "--from-env-file", "env", "--name", "app", "-n", &scene.namespace, "-o", "app.yaml"],
            "",
        )?;
        let renamed = folder.read("app.yaml").replace("name: app", "name: staging-app");
        std::fs::write(folder.0.join("app.yaml"), renamed)?;
        folder.apply(scene, "app.yaml").await?;
        let failing = wait::until_failing(&scene.sealed(), "staging-app", Reason::BindingMismatch).await;
        assert!(wait::message(&failing).contains("namePrefix"), "{}", wait::message(&failing));
        Ok(())
    });
}

#[test]
fn after_a_rotation_the_difference_is_shown_and_old_files_still_open() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let folder = Folder::of(scene)?;
        let diff = ["recipients", "diff", "--from-cluster", "test=prod", "--keyring", &scene.ring];
        assert_eq!(folder.try_run(&diff, "")?.status.code(), Some(0));
        std::fs::write(folder.0.join("env"), "TOKEN=abc\n")?;
        folder.run(
            &["seal", "--from-env-file", "env", "--name", "app", "-n", &scene.namespace, "-o", "app.yaml"],
            "",
        )?;

        let first = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active);
        scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
        wait::until_ring(&scene.rings(), &scene.ring, "has rotated", |ring| {
            is_serving(ring) && keys_in(ring, KeyState::OpenOnly).contains(&first[0])
        })
        .await;
        scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
        scene.ring().await;
        let output = folder.try_run(&diff, "")?;
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        folder.apply(scene, "app.yaml").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "TOKEN"), b"abc");

        // The operator calls its key like the ring, and the repository calls it like the cluster.
        std::fs::remove_file(folder.0.join(".waxwing.yaml"))?;
        folder.run(&["init", "--from-cluster", "test=prod", "--keyring", &scene.ring], "")?;
        let rewrap = ["rewrap", "app.yaml", "--from-cluster"];
        let unasked = folder.try_run(&rewrap, "")?;
        let told = String::from_utf8(unasked.stderr)?;
        assert!(unasked.status.code() == Some(1) && told.contains(names::PROPOSE_REWRAP), "{told}");
        scene.merge("app", json!({"metadata": {"annotations": {names::PROPOSE_REWRAP: "one"}}})).await?;
        wait::until_sealed(&scene.sealed(), "app", "has a proposal", |object| {
            object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_some())
        })
        .await;
        let before = folder.read("app.yaml");
        folder.run(&rewrap, "")?;
        let tokens = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.contains("wax1.")).map(str::to_owned).collect()
        };
        let after = folder.read("app.yaml");
        assert!(after != before && after.contains("prod/") && tokens(&after) == tokens(&before), "{after}");
        assert_eq!(
            folder.try_run(&["rewrap", "app.yaml", "--check", "--from-cluster"], "")?.status.code(),
            Some(0)
        );
        folder.apply(scene, "app.yaml").await?;
        wait::until_sealed(&scene.sealed(), "app", "is ready, and its proposal is gone", |object| {
            wait::is_ready(object)
                && object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_none())
        })
        .await;
        Ok(())
    });
}

/// L06. Guard: no verb takes a value as an argument (`cli: args`).
#[test]
fn a_value_is_never_in_the_arguments_or_the_environment_of_the_process() {
    scene::shared(async |scene| -> Result<()> {
        scene.ring().await;
        let folder = Folder::of(scene)?;
        std::fs::write(folder.0.join("env"), "TOKEN=abc\n")?;
        folder.run(
            &["seal", "--from-env-file", "env", "--name", "app", "-n", &scene.namespace, "-o", "app.yaml"],
            "",
        )?;
        let before = folder.read("app.yaml");
        let output = folder.try_run(&["set", "app.yaml", "TOKEN", "argument-canary"], "")?;
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(folder.read("app.yaml"), before);
        let said = [output.stdout, output.stderr].concat();
        assert!(!files_below(&folder.0).iter().any(|file| holds(file, "argument-canary")));
        assert!(said.len() > 20);
        Ok(())
    });
}

/// The keys whose tokens differ.
fn changed_tokens(before: &str, after: &str) -> Vec<String> {
    let tokens = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter(|line| line.contains("wax1."));
        let pairs = lines.filter_map(|line| line.trim().split_once(": "));
        pairs.map(|(key, token)| (key.trim_matches('"').to_owned(), token.to_owned())).collect()
    };
    let (before, after) = (tokens(before), tokens(after));
    assert!(before.len() >= 2, "the tokens were found");
    after.into_iter().filter(|(key, token)| before.get(key) != Some(token)).map(|(key, _)| key).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

fn holds(file: &Path, needle: &str) -> bool {
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(needle)
}
