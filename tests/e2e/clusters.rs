//! One resource for several clusters and an offline recovery key, from `.waxwing.yaml`: two real clusters, an operator in
//! each, and the commands of `docs/CLUSTERS.md`.

use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;
use tokio::sync::OnceCell;
use waxwing_core::keys::Identity;
use waxwing_crds::{ConditionType, KeyState, Reason, SealedSecret, conditions};
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::folder::Folder;
use waxwing_tests::operator::Release;
use waxwing_tests::ring::{Ring, is_serving, keys_in};
use waxwing_tests::scene::{self, Scene, World};
use waxwing_tests::{process, wait};

/// A second cluster, which one operator serves for all tests. The first one is the shared one of all tests.
async fn west() -> &'static World {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    static WEST: OnceCell<World> = OnceCell::const_new();
    let start = async || -> Result<World> {
        let plane = PLANE.get_or_try_init(|| ControlPlane::start("west")).await?;
        let release = Release::install(plane, "system", None, &[]).await?;
        let mut operator = release.start("west-0")?;
        operator.until_ready().await?;
        Ok(World { release, operator })
    };
    WEST.get_or_init(async || start().await.expect("the second cluster starts")).await
}

/// Both clusters, a repository, and a recovery identity that is in neither.
struct Both<'a> {
    east: &'a Scene,
    west: &'static World,
    repository: Folder,
    /// Where the identities of people are.
    offline: std::path::PathBuf,
}

impl<'a> Both<'a> {
    async fn of(east: &'a Scene) -> Result<Self> {
        let west = west().await;
        west.release.plane.create_namespace(&east.namespace).await?;
        east.ring().await;
        wait::until_ring(&Api::all(west.release.plane.admin.clone()), "default", "serves", is_serving).await;
        let clusters = [("east", east.plane), ("west", west.release.plane)];
        let repository = Folder::new(&east.namespace, &clusters)?;
        let offline = process::folder(&format!("offline-{}", east.namespace));
        repository.write(".gitignore", "/kubeconfig\n/.cache/\n/.config/\n");
        let both = Self { east, west, repository, offline };
        let recovery = both.identity("recovery")?;
        both.repository.run(
            &["init", "--from-cluster", "east", "--from-cluster", "west", "--recovery", &recovery],
            "",
        )?;
        both.repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(both)
    }

    /// Makes an identity in the offline folder, and gives its recipient.
    fn identity(&self, name: &str) -> Result<String> {
        let file = self.file(name);
        let said = self.repository.run(&["keys", "generate", "--force", "--file", &file], "")?;
        said.split_whitespace()
            .find(|word| word.starts_with("age1"))
            .map(str::to_owned)
            .context("a recipient")
    }

    fn file(&self, name: &str) -> String {
        self.offline.join(format!("{name}.txt")).display().to_string()
    }

    /// Seals values into a file.
    fn seal(&self, file: &str, name: &str, values: &[(&str, &str)]) -> Result<()> {
        let values: serde_json::Map<_, _> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.east.namespace},
            "stringData": values,
        });
        self.repository.run(&["seal", "-", "-o", file], &secret.to_string()).map(drop)
    }

    fn commit(&self, message: &str) -> Result<()> {
        self.repository.git(&["add", "."])?;
        self.repository.git(&["commit", "--quiet", "-m", message]).map(drop)
    }

    async fn apply(&self, file: &str) -> Result<()> {
        self.repository.apply_to(self.east.plane, file).await?;
        self.repository.apply_to(self.west.release.plane, file).await
    }

    fn sealed_in_west(&self) -> Api<SealedSecret> {
        Api::namespaced(self.west.release.plane.admin.clone(), &self.east.namespace)
    }

    fn secrets_in_west(&self) -> Api<Secret> {
        Api::namespaced(self.west.release.plane.admin.clone(), &self.east.namespace)
    }

    /// One edit of `.waxwing.yaml`.
    fn edit(&self, from: &str, to: &str) {
        let before = self.repository.read(".waxwing.yaml");
        assert!(before.contains(from), "{from} is in {before}");
        self.repository.write(".waxwing.yaml", &before.replacen(from, to, 1));
    }
}

/// What `git diff` adds and removes in one file.
fn changed_lines(repository: &Folder, file: &str) -> Result<Vec<String>> {
    let diff = repository.git(&["diff", "--unified=0", "--", file])?;
    let lines = diff.lines().filter(|line| !line.starts_with("+++") && !line.starts_with("---"));
    Ok(lines.filter(|line| line.starts_with(['+', '-'])).map(str::to_owned).collect())
}

/// Whether only lines of envelopes changed: the names in `to`, and the age file.
fn only_envelopes(repository: &Folder, file: &str) -> Result<()> {
    let changed = changed_lines(repository, file)?;
    assert!(!changed.is_empty(), "{file} has changed");
    for line in &changed {
        let text = line[1..].trim();
        let armored = text.contains("AGE ENCRYPTED FILE")
            || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)));
        let of_envelope = text.starts_with("to:") || text.starts_with("age:") || armored;
        assert!(of_envelope && !text.contains("wax1."), "{file}: {line}\nof {changed:#?}");
    }
    Ok(())
}

/// C19. Guard: `core: seal::sealed` writes envelopes and nothing else on a rewrap.
#[test]
fn one_file_opens_in_two_clusters_and_offline_and_a_further_one_is_one_edit_and_one_rewrap() {
    scene::shared(async |east| -> Result<()> {
        let both = Both::of(east).await?;
        let repository = &both.repository;
        both.seal("app.yaml", "app", &[("user", "ada"), ("password", "first")])?;
        both.seal("deep/other.yaml", "other", &[("k", "v")])?;
        repository.run(&["verify"], "")?;
        let diff = ["recipients", "diff", "--from-cluster", "east", "--from-cluster", "west"];
        repository.run(&diff, "")?;
        both.commit("Seal for both clusters")?;
        both.apply("app.yaml").await?;
        wait::until_ready(&east.sealed(), "app").await;
        wait::until_ready(&both.sealed_in_west(), "app").await;
        for secrets in [east.secrets(), both.secrets_in_west()] {
            assert_eq!(wait::value_of(&secrets.get("app").await?, "password"), b"first");
        }
        let open = ["open", "app.yaml", "--key", "password", "-i", &both.file("recovery")];
        assert_eq!(repository.run(&open, "")?, "first");

        // A third reader: one edit, one command.
        let auditor = both.identity("audit")?;
        both.edit("rules:", &format!("  audit: {{key: {auditor}}}\nrules:"));
        let rule = repository.read(".waxwing.yaml");
        let list = rule.lines().find(|line| line.contains("recipients: [")).context("a rule")?.to_owned();
        both.edit(&list, &list.replace("recipients: [", "recipients: [audit, "));
        let (code, said) = repository.refused(&["verify"])?;
        assert!(code == 3 && said.contains("is not for audit/"), "{said}");
        let recovery = both.file("recovery");
        repository.run(&["rewrap", "-i", &recovery], "")?;
        for file in ["app.yaml", "deep/other.yaml"] {
            only_envelopes(repository, file)?;
        }
        repository.run(&["verify"], "")?;
        let open = ["open", "deep/other.yaml", "--key", "k", "-i", &both.file("audit")];
        assert_eq!(repository.run(&open, "")?, "v");
        both.commit("Let the auditors read")?;
        both.apply("app.yaml").await?;
        wait::until_ready(&east.sealed(), "app").await;
        wait::until_ready(&both.sealed_in_west(), "app").await;
        // Nothing to do, nothing changed.
        repository.run(&["rewrap", "-i", &recovery], "")?;
        assert_eq!(repository.git(&["status", "--porcelain"])?, "");
        Ok(())
    });
}

/// C19. Guard: `core: seal::sealed`; what a removed cluster keeps is in `docs/CLUSTERS.md`.
#[test]
fn a_removed_cluster_opens_nothing_new_and_keeps_what_it_could_read() {
    scene::shared(async |east| -> Result<()> {
        let both = Both::of(east).await?;
        let repository = &both.repository;
        both.seal("app.yaml", "app", &[("password", "first")])?;
        both.commit("Seal for both clusters")?;
        let old = repository.read("app.yaml");
        both.apply("app.yaml").await?;
        wait::until_ready(&east.sealed(), "app").await;
        wait::until_ready(&both.sealed_in_west(), "app").await;

        let config = repository.read(".waxwing.yaml");
        let without: Vec<_> = config.lines().filter(|line| !line.trim().starts_with("west:")).collect();
        let without = without.join("\n") + "\n";
        repository.write(".waxwing.yaml", &without.replace(", west", "").replace("west, ", ""));
        let (code, said) = repository.refused(&["verify"])?;
        assert!(code == 3 && said.contains("whom no rule names"), "{said}");
        repository.run(&["rewrap", "-i", &both.file("recovery")], "")?;
        only_envelopes(repository, "app.yaml")?;
        repository.run(&["verify"], "")?;
        let (code, said) = repository.refused(&["recipients", "diff", "--from-cluster", "west=west"])?;
        assert!(code == 3 && said.contains("+ west "), "{said}");
        both.commit("Take the west out")?;
        both.apply("app.yaml").await?;
        wait::until_ready(&east.sealed(), "app").await;
        let failing = wait::until_failing(&both.sealed_in_west(), "app", Reason::NoMatchingKey).await;
        assert!(wait::message(&failing).contains("east/"), "{}", wait::message(&failing));
        // Its last good Secret stays, and what is in the history still opens there.
        assert_eq!(wait::value_of(&both.secrets_in_west().get("app").await?, "password"), b"first");
        repository.write("app.yaml", &old);
        repository.apply_to(both.west.release.plane, "app.yaml").await?;
        wait::until_ready(&both.sealed_in_west(), "app").await;
        // A new value is out of its reach.
        repository.git(&["checkout", "--quiet", "app.yaml"])?;
        repository.run(&["set", "app.yaml", "password"], "second")?;
        both.apply("app.yaml").await?;
        let second = |secret: &Secret| wait::value_of(secret, "password") == b"second";
        wait::until_secret(&east.secrets(), "app", "has the new value", second).await;
        wait::until_failing(&both.sealed_in_west(), "app", Reason::NoMatchingKey).await;
        assert_eq!(wait::value_of(&both.secrets_in_west().get("app").await?, "password"), b"first");
        Ok(())
    });
}

#[test]
fn what_was_sealed_without_the_required_recipient_is_found_before_the_merge() {
    scene::shared(async |east| -> Result<()> {
        let both = Both::of(east).await?;
        let repository = &both.repository;
        let reviewed = repository.read(".waxwing.yaml");
        let careless: Vec<_> =
            reviewed.lines().filter(|line| !line.trim().starts_with("recovery:")).collect();
        let careless = careless.join("\n") + "\n";
        repository.write("elsewhere.yaml", &careless.replace(", recovery", ""));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": east.namespace},
            "stringData": {"k": "v"},
        });
        repository
            .run(&["--config", "elsewhere.yaml", "seal", "-", "-o", "app.yaml"], &secret.to_string())?;
        let (code, said) = repository.refused(&["verify"])?;
        assert!(code == 3 && said.contains("is not for recovery/"), "{said}");
        // Whoever can open it mends it; the recovery key itself cannot, because it was left out.
        let (_, said) = repository.refused(&["rewrap", "-i", &both.file("recovery")])?;
        assert!(said.contains("app.yaml"), "{said}");
        Ok(())
    });
}

/// C19. Guard: `core: plan::report` compares hints with what the ring requires; it says so, and opens all the same.
#[test]
fn an_operator_whose_ring_requires_a_recipient_tells_of_seals_without_it() {
    let recovery = Identity::generate();
    let values = [
        "keyring.recipients[0].name=recovery".to_owned(),
        format!("keyring.recipients[0].recipient={}", recovery.recipient()),
        "keyring.recipients[0].required=true".to_owned(),
    ];
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    scene::alone(&values, async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let with = scene.ring().await;
        let without = Ring::of(with.recipients()[..1].to_vec());
        scene.commit(&without.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        let object = wait::until_ready(&scene.sealed(), "app").await;
        let all = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let degraded = conditions::get(all, ConditionType::Degraded).context("a condition")?;
        assert_eq!(degraded.reason, Reason::RequiredRecipientMissing.as_str());
        assert!(degraded.status == "True" && degraded.message.contains("recovery"), "{degraded:?}");
        scene.commit(&with.seal(&scene.namespace, "fine", &[("k", "v")])).await?;
        let object = wait::until_ready(&scene.sealed(), "fine").await;
        let all = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        assert!(!conditions::is_true(all, ConditionType::Degraded), "{}", wait::shown(&object));
        Ok(())
    });
}

#[test]
fn a_rotation_in_one_cluster_is_shown_and_taken_over_by_one_edit() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let repository = Folder::of(scene)?;
        repository.write("env", "TOKEN=abc\n");
        let seal =
            ["seal", "--from-env-file", "env", "--name", "app", "-n", &scene.namespace, "-o", "app.yaml"];
        repository.run(&seal, "")?;
        let first = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
        scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
        wait::until_ring(&scene.rings(), &scene.ring, "has rotated", |ring| {
            is_serving(ring) && keys_in(ring, KeyState::OpenOnly).contains(&first)
        })
        .await;
        let ring = scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
        let ring = wait::until_ring(&scene.rings(), &scene.ring, "serves", move |now| {
            is_serving(now) && now.metadata.generation >= ring.metadata.generation
        })
        .await;
        let second = keys_in(&ring, KeyState::Active).remove(0);
        let diff = ["recipients", "diff", "--from-cluster", "test=prod", "--keyring", &scene.ring];
        let (code, said) = repository.refused(&diff)?;
        assert!(code == 3 && said.contains(&format!("- prod {first}\n+ prod {second}")), "{said}");
        let config = repository.read(".waxwing.yaml").replace(&first, &second);
        repository.write(".waxwing.yaml", &config);
        repository.run(&diff, "")?;
        assert!(Path::new(&repository.0).join("app.yaml").exists());
        let (code, said) = repository.refused(&["verify", "app.yaml"])?;
        assert!(code == 3 && said.contains("run waxwing rewrap"), "{said}");
        Ok(())
    });
}
