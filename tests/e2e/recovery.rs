//! Game days: a cluster is lost with everything in etcd, and comes back from a Git repository, a backup and the recovery
//! key; or from Git and the recovery key alone. `docs/runbooks/disaster.md` has the same commands in the same order.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::OnceCell;
use waxwing_crds::{ConditionType, KeyRing, KeyState, Reason, SealedSecret, conditions, names};
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::ring::{is_serving, keys_in};
use waxwing_tests::work::Work;
use waxwing_tests::{block_on, chart, tools, wait};

/// Where the applications are.
const NAMESPACES: [&str; 2] = ["shop", "billing"];
const RESOURCES: usize = 50;
const RING: &str = "default";

/// What each Secret held, by namespace and name.
type Data = BTreeMap<(String, String), BTreeMap<String, ByteString>>;

/// One cluster with the chart installed, and the operator running.
struct Site {
    plane: &'static ControlPlane,
    release: Release,
    operator: Operator,
}

impl Site {
    /// An empty cluster; then the chart, and its operator.
    async fn new(name: &str) -> Result<Self> {
        // Releases are made for clusters that live as long as the tests.
        let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(name).await?));
        let release = Release::install(plane, "system", None, &[]).await?;
        let mut operator = release.start(name)?;
        operator.until_ready().await?;
        for namespace in NAMESPACES {
            plane.create_namespace(namespace).await?;
        }
        Ok(Self { plane, release, operator })
    }

    fn rings(&self) -> Api<KeyRing> {
        Api::all(self.plane.admin.clone())
    }

    async fn serves(&self) -> KeyRing {
        wait::until_ring(&self.rings(), RING, "serves", is_serving).await
    }

    /// How many identities there are.
    async fn identities(&self) -> Result<usize> {
        let api: Api<Secret> = Api::namespaced(self.plane.admin.clone(), &self.release.namespace);
        let of_type = ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE));
        Ok(api.list(&of_type).await?.items.len())
    }

    /// The produced Secrets.
    async fn data(&self) -> Result<Data> {
        let mut all = Data::new();
        for namespace in NAMESPACES {
            let api: Api<Secret> = Api::namespaced(self.plane.admin.clone(), namespace);
            for secret in api.list(&ListParams::default().fields("type=Opaque")).await? {
                all.insert((namespace.to_owned(), secret.name_any()), secret.data.unwrap_or_default());
            }
        }
        Ok(all)
    }

    /// Waits until every resource is ready, with a Secret of its own.
    async fn until_ready(&self) -> Result<()> {
        for number in 0..RESOURCES {
            let (namespace, name) = place(number);
            let sealed: Api<SealedSecret> = Api::namespaced(self.plane.admin.clone(), namespace);
            let uid = wait::until_ready(&sealed, &name).await.metadata.uid;
            let secrets: Api<Secret> = Api::namespaced(self.plane.admin.clone(), namespace);
            wait::until_secret(&secrets, &name, "belongs to its SealedSecret", |secret| {
                secret.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref())
            })
            .await;
        }
        Ok(())
    }

    /// The cluster is lost.
    fn lose(&mut self) {
        self.operator.kill();
        self.plane.lose();
    }
}

/// Where the resource of a number lies.
fn place(number: usize) -> (&'static str, String) {
    (NAMESPACES[number % NAMESPACES.len()], format!("app-{number}"))
}

/// What is left of the first cluster: a Git repository, a backup, the recovery key; and what its Secrets held.
struct Left {
    work: Work,
    data: Data,
}

/// A cluster that was in use, and is lost.
async fn left() -> &'static Left {
    static LEFT: OnceCell<Left> = OnceCell::const_new();
    LEFT.get_or_init(|| async { first_cluster().await.expect("the first cluster was in use") }).await
}

async fn first_cluster() -> Result<Left> {
    let mut site = Site::new("recovery-first").await?;
    let first = keys_in(&site.serves().await, KeyState::Active).remove(0);
    let work = Work::new("recovery");
    work.use_cluster(&site.plane.admin_kubeconfig)?;
    std::fs::create_dir(work.path().join("repo"))?;
    git(&work, "repo", &["init", "--quiet", "--initial-branch=main"])?;
    // `--force`: the folders of tests lie in a work tree.
    let recovery = work.done(&["keys", "generate", "--file", "recovery.txt", "--force"])?.stdout;
    let init = |work: &Work| {
        work.run_in("repo", &["init", "--from-cluster", "test=prod", "--recovery", recovery.trim()], "")
    };
    ensure!(init(&work)?.code == 0);
    seal(&work, 0..RESOURCES / 2)?;
    // Half of it is sealed for an older key.
    let rings = site.rings();
    let every = |every: &str| json!({"spec": {"rotation": {"every": every}}});
    let patch = |value| kube::api::Patch::Merge(value);
    rings.patch(RING, &Default::default(), &patch(every("1s"))).await?;
    wait::until_ring(&rings, RING, "has rotated", |ring| keys_in(ring, KeyState::OpenOnly).contains(&first))
        .await;
    rings.patch(RING, &Default::default(), &patch(every("30d"))).await?;
    site.serves().await;
    std::fs::remove_file(work.path().join("repo/.waxwing.yaml"))?;
    ensure!(init(&work)?.code == 0);
    seal(&work, RESOURCES / 2..RESOURCES)?;
    git(&work, "repo", &["add", "."])?;
    git(&work, "repo", &["commit", "--quiet", "--message=Seal what the applications need"])?;
    work.apply(&site.plane.admin, "repo").await?;
    site.until_ready().await?;
    let data = site.data().await?;
    assert_eq!(data.len(), RESOURCES);

    let made = work.done(&["keys", "backup", "--to", recovery.trim(), "--out", "backup.age"])?;
    assert!(made.stdout.lines().count() >= 2, "{made:?}");
    site.lose();
    Ok(Left { work, data })
}

fn seal(work: &Work, numbers: std::ops::Range<usize>) -> Result<()> {
    for number in numbers {
        let (namespace, name) = place(number);
        let bytes: Vec<u8> = (0..=255).cycle().skip(number).take(100 + number).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"password": format!("value {number} \u{fc}")},
            "data": {"bytes": ByteString(bytes)},
        });
        let said = work.run_in("repo", &["seal", "-", "-o", &format!("{name}.yaml")], &secret.to_string())?;
        ensure!(said.code == 0, "{said:?}");
    }
    Ok(())
}

fn git(work: &Work, folder: &str, args: &[&str]) -> Result<String> {
    let who = ["-C", folder, "-c", "user.name=test", "-c", "user.email=test@localhost"];
    work.tool(Path::new("git"), &[&who[..], args].concat())
}

/// What a step took, for the runbook.
#[expect(clippy::print_stderr, reason = "a game day tells how long it took")]
fn took(what: &str, since: Instant) {
    eprintln!("recovery: {what}: {:.1} s", since.elapsed().as_secs_f64());
}

/// K33, K34. Guard: `cli: keys::restore`; the ring trusts what comes back, and makes one key of its own.
#[test]
fn a_lost_cluster_comes_back_from_git_a_backup_and_the_recovery_key_byte_for_byte() {
    block_on(async {
        let left = left().await;
        let (work, began) = (&left.work, Instant::now());
        git(work, ".", &["clone", "--quiet", "repo", "second"]).unwrap();
        let site = Site::new("recovery-second").await.unwrap();
        took("an empty cluster with the chart in it", began);
        work.use_cluster(&site.plane.admin_kubeconfig).unwrap();
        let new = keys_in(&site.serves().await, KeyState::Active).remove(0);

        let step = Instant::now();
        work.apply(&site.plane.admin, "second").await.unwrap();
        took("apply the repository", step);
        let (namespace, name) = place(0);
        let sealed: Api<SealedSecret> = Api::namespaced(site.plane.admin.clone(), namespace);
        wait::until_failing(&sealed, &name, Reason::NoMatchingKey).await;
        let step = Instant::now();
        let restore = ["keys", "restore", "../backup.age", "-i", "../recovery.txt"];
        let check = work.run_in("second", &[&restore[..], &["--check"]].concat(), "").unwrap();
        assert!(check.code == 3 && check.stderr.contains("another cluster"), "{check:?}");
        // The new ring knows none of them. A person compares what is shown.
        let trust = trust(&check.stdout);
        assert!(check.stdout.contains("opens 50 values here"), "{check:?}");
        // In waves: the active key of the lost cluster first.
        let active = check.stdout.lines().find(|line| line.contains("Active")).unwrap();
        let id = active.split(' ').next().unwrap();
        let trusting = |more: &[&str]| {
            let trust = trust.iter().flat_map(|key| ["--trust", key]);
            let args: Vec<&str> = restore.into_iter().chain(more.iter().copied()).chain(trust).collect();
            work.run_in("second", &args, "").unwrap()
        };
        let one = trusting(&["--only", id]);
        assert!(one.code == 0 && one.stdout.contains("its Secret was made"), "{one:?}");
        let all = trusting(&[]);
        assert_eq!(all.code, 0, "{all:?}");
        site.until_ready().await.unwrap();
        took("restore the keys until every Secret is there", step);
        took("all of it", began);

        assert!(site.data().await.unwrap() == left.data, "byte for byte");
        let ring = site.serves().await;
        assert_eq!(
            keys_in(&ring, KeyState::Active),
            [&*new],
            "the new cluster's own key stays the active one"
        );
        assert_eq!(site.identities().await.unwrap(), ring.spec.trusted.len() + 1);
        definitions_gone(site, work, left, &trust, &new).await.unwrap();
    });
}

/// The public keys of what was left out.
fn trust(shown: &str) -> Vec<String> {
    let left = shown.lines().filter(|line| line.contains("left out"));
    left.filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned())).collect()
}

/// The definitions are deleted, and with them every resource of ours; they come back, and everything with them.
async fn definitions_gone(site: Site, work: &Work, left: &Left, trust: &[String], new: &str) -> Result<()> {
    let identities = site.identities().await?;
    let crds: Api<CustomResourceDefinition> = Api::all(site.plane.admin.clone());
    let ours: Vec<String> = crds
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter(|crd| crd.spec.group == names::GROUP)
        .map(|crd| crd.name_any())
        .collect();
    for name in &ours {
        crds.delete(name, &DeleteParams::default()).await?;
    }
    for name in &ours {
        wait::until_gone(&crds, name).await;
    }
    assert_eq!(site.identities().await?, identities, "private keys have no owner");
    let restore = |more: &[&str]| {
        let trust = trust.iter().flat_map(|key| ["--trust", key]);
        let restore = ["keys", "restore", "../backup.age", "-i", "../recovery.txt"];
        let args: Vec<&str> = restore.into_iter().chain(more.iter().copied()).chain(trust).collect();
        work.run_in("second", &args, "")
    };
    // Without them no ring can be made, and no private key is written for none.
    let (early, nowhere) = (restore(&["--create-ring", "--namespace", "default"])?, "default");
    assert!(early.code == 1 && early.stderr.contains("helm show crds"), "{early:?}");
    let secrets: Api<Secret> = Api::namespaced(site.plane.admin.clone(), nowhere);
    assert!(secrets.list(&ListParams::default()).await?.items.is_empty(), "nothing was written");
    // With their owners, the Secrets go too, as the garbage collector comes to it. The worst is that it has been everywhere.
    for (namespace, name) in site.data().await?.into_keys() {
        let secrets: Api<Secret> = Api::namespaced(site.plane.admin.clone(), &namespace);
        let deleted = secrets.delete(&name, &DeleteParams::default()).await;
        assert!(deleted.is_ok() || secrets.get_opt(&name).await?.is_none(), "{namespace}/{name}");
    }
    let step = Instant::now();
    chart::install_crds(&site.plane.admin, &chart::in_folder(&tools::root().join("crds/yaml"))?).await?;
    let release = Release::install(site.plane, "system", None, &[]).await?;
    let stalled = |ring: &KeyRing| {
        let all = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        conditions::get(all, ConditionType::Stalled)
            .is_some_and(|stalled| stalled.reason == Reason::UntrustedIdentities.as_str())
    };
    wait::until_ring(&site.rings(), RING, "is stalled by untrusted identities", stalled).await;
    assert_eq!(site.identities().await?, identities, "no key was made in silence");
    work.apply(&site.plane.admin, "second").await?;
    let restored = restore(&[])?;
    assert_eq!(restored.code, 0, "{restored:?}");
    site.until_ready().await?;
    took("the definitions back, with everything of them", step);
    assert!(site.data().await? == left.data, "byte for byte");
    // The key that the ring had made meanwhile is in no backup. Nobody says whose it is, so no other is made before
    // somebody does.
    assert!(restored.stderr.contains(&format!("the KeyRing knows: {new}")), "{restored:?}");
    let ring =
        wait::until_ring(&site.rings(), RING, "is stalled by the key that nobody names", stalled).await;
    assert_eq!((site.identities().await?, keys_in(&ring, KeyState::Active).len()), (identities, 0));
    let add = json!([{"op": "add", "path": "/spec/trusted/-", "value": new}]);
    let patch = kube::api::Patch::Json::<()>(serde_json::from_value(add)?);
    site.rings().patch(RING, &Default::default(), &patch).await?;
    site.serves().await;
    assert_eq!(site.identities().await?, identities + 1, "and one new active key");
    drop(release);
    Ok(())
}

/// Guard: the recovery key is a recipient of every envelope (`required: true` in `.waxwing.yaml`).
#[test]
fn a_lost_cluster_comes_back_from_nothing_but_git_and_the_recovery_key() {
    block_on(async {
        let left = left().await;
        // A work folder of its own: only the repository and the recovery key are brought there.
        let work = Work::new("recovery-bare");
        let repo = left.work.path().join("repo").display().to_string();
        git(&work, ".", &["clone", "--quiet", &repo, "third"]).unwrap();
        work.write("recovery.txt", &left.work.read("recovery.txt")).unwrap();
        // What can't wait for a cluster.
        let step = Instant::now();
        let render = ["render", ".", "--into", "../out", "--layout", "files", "-i", "../recovery.txt"];
        let rendered = work.run_in("third", &render, "").unwrap();
        assert_eq!(rendered.code, 0, "{rendered:?}");
        took("render every Secret without a cluster", step);
        for ((namespace, name), keys) in &left.data {
            for (key, value) in keys {
                let file = work.path().join("out").join(namespace).join(name).join(key);
                assert!(std::fs::read(&file).unwrap() == value.0, "{}", file.display());
            }
        }
        let began = Instant::now();
        let site = Site::new("recovery-third").await.unwrap();
        took("an empty cluster with the chart in it", began);
        work.use_cluster(&site.plane.admin_kubeconfig).unwrap();
        site.serves().await;
        let step = Instant::now();
        let diff = work.run_in("third", &["recipients", "diff", "--from-cluster", "test=prod"], "").unwrap();
        assert_eq!(diff.code, 3, "{diff:?}");
        let (old, new) = changed(&diff.stdout);
        let config = work.read("third/.waxwing.yaml").replace(&old, &new);
        std::fs::write(work.path().join("third/.waxwing.yaml"), config).unwrap();
        let rewrapped = work.run_in("third", &["rewrap", "-i", "../recovery.txt"], "").unwrap();
        assert!(rewrapped.code == 0, "{rewrapped:?}");
        assert_eq!(work.run_in("third", &["verify"], "").unwrap().code, 0);
        took("rewrap the repository for the new cluster", step);
        let changed = git(&work, "third", &["diff", "--unified=0"]).unwrap();
        let touched = changed.lines().filter(|line| line.starts_with("+ ") && line.contains("wax1.")).count();
        assert_eq!(touched, 0, "no value was touched");
        git(&work, "third", &["commit", "--quiet", "--all", "--message=Seal for the new cluster"]).unwrap();
        let step = Instant::now();
        work.apply(&site.plane.admin, "third").await.unwrap();
        site.until_ready().await.unwrap();
        took("apply the repository until every Secret is there", step);
        took("all of it", began);
        assert!(site.data().await.unwrap() == left.data, "byte for byte");
        assert_eq!(site.identities().await.unwrap(), 1);
    });
}

/// The old and the new key of `recipients diff`.
fn changed(diff: &str) -> (String, String) {
    let of = |sign: &str| {
        let line = diff.lines().find(|line| line.starts_with(sign)).unwrap();
        line.split(' ').nth(2).unwrap().to_owned()
    };
    (of("- "), of("+ "))
}

/// Guard: `helm.sh/resource-policy: keep` on the KeyRing; identities are no objects of the chart. The definitions are not part
/// of this release.
#[test]
fn the_chart_uninstalled_and_installed_anew_finds_its_keys_again() {
    waxwing_tests::scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        let ours = scene.ring().await;
        let (_, before) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let ring = scene.rings().get(&scene.ring).await?;
        operator.terminate().await?;
        let serves = format!("rbac.namespaces={{{}}}", scene.namespace);
        let values = [
            format!("keyring.name={}", release.ring),
            "rbac.mode=namespaces".to_owned(),
            serves,
            "crds.install=false".to_owned(),
        ];
        for object in chart::render("waxwing", &release.namespace, &values)? {
            if object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" {
                continue;
            }
            let (api, name) = chart::api_of(&scene.client(), &object)?;
            if api.get_opt(&name).await?.is_some() {
                api.delete(&name, &DeleteParams::default()).await?;
            }
        }
        let after = scene.secrets().get("app").await?;
        assert_eq!(before.data, after.data, "the last good Secret stays");
        let served = std::slice::from_ref(&scene.namespace);
        let name = release.namespace.trim_start_matches("waxwing-");
        let anew = Release::install(scene.plane, name, Some(served), &[]).await?;
        let _operator = scene.operator(&anew, "b").await?;
        scene.delete_secret("app").await?;
        wait::until_secret(&scene.secrets(), "app", "is there again", |_| true).await;
        assert_eq!(scene.ring().await.recipients(), ours.recipients());
        let keys = |ring: KeyRing| ring.status.unwrap_or_default().keys;
        assert_eq!(keys(scene.rings().get(&scene.ring).await?), keys(ring));
        Ok(())
    });
}
