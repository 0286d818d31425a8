//! One test's place: a namespace of its own, the APIs in it, and a dump of it when the test fails.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use futures::FutureExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};
use waxwing_core::seal::{Binding, Scope};
use waxwing_crds::{KeyRing, SealedSecret, names};

use crate::control_plane::{self, ControlPlane};
use crate::operator::{Operator, Release};
use crate::ring::{self, Ring};
use crate::{block_on, wait};

/// The release that serves every namespace of the main cluster, and its operator.
pub struct World {
    /// The chart.
    pub release: Release,
    /// The operator.
    pub operator: Operator,
}

/// Runs a test in a new namespace of the main cluster, which one operator serves for all tests.
///
/// # Panics
/// When the test does; the state of its namespace is printed first.
pub fn shared(test: impl AsyncFnOnce(&Scene) -> Result<()>) {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    let name = unique();
    block_on(async {
        let world =
            WORLD.get_or_init(|| async { World::start().await.expect("the shared operator starts") }).await;
        let plane = world.release.plane;
        plane.create_namespace(&name).await.expect("the test's namespace");
        let scene = Scene::new(plane, name, "default", Some(world));
        scene.run(test).await;
    });
}

/// Runs a test in a new namespace of the tenants' cluster, with a release of its own that serves that namespace. No
/// operator runs until the test starts one. Each of `values` is `path=value` for the chart, in which `$namespace` stands
/// for that namespace.
///
/// # Panics
/// When the test does; the state of its namespace is printed first.
pub fn alone(values: &[&str], test: impl AsyncFnOnce(&Scene, &Release) -> Result<()>) {
    let name = unique();
    block_on(async {
        let plane = control_plane::tenants().await;
        plane.create_namespace(&name).await.expect("the test's namespace");
        let values: Vec<_> = values.iter().map(|value| value.replace("$namespace", &name)).collect();
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let release = Release::install(plane, &name, Some(std::slice::from_ref(&name)), &values).await;
        let release = release.expect("the chart can be installed");
        let scene = Scene::new(plane, name.clone(), &name, None);
        scene.run(async |scene| test(scene, &release).await).await;
    });
}

/// The values of the shared release: the servers of the tests are at addresses, and some answer in the clear.
const VALUES: [&str; 3] = [
    "gitops.readSource=true",
    "stores.allowEndpoints={http://127.0.0.1,http://localhost}",
    "stores.rollouts=true",
];

impl World {
    async fn start() -> Result<Self> {
        let plane = control_plane::main().await;
        let release = Release::install(plane, "system", None, &VALUES).await?;
        let mut operator = release.start("replica-0")?;
        operator.until_ready().await?;
        Ok(Self { release, operator })
    }
}

/// The namespace of one test.
pub struct Scene {
    /// The cluster.
    pub plane: &'static ControlPlane,
    /// The namespace.
    pub namespace: String,
    /// The KeyRing that is served here.
    pub ring: String,
    world: Option<&'static World>,
    /// Logs to print when the test fails.
    logs: Mutex<Vec<std::path::PathBuf>>,
}

impl Scene {
    fn new(
        plane: &'static ControlPlane,
        namespace: String,
        ring: &str,
        world: Option<&'static World>,
    ) -> Self {
        let logs = world.iter().map(|world| world.operator.process().log_path().to_owned()).collect();
        Self { plane, namespace, ring: ring.to_owned(), world, logs: Mutex::new(logs) }
    }

    /// Another namespace of the same cluster, which is made, and which a release with another ring serves.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn beside(&self, namespace: &str, ring: &str) -> Result<Self> {
        self.plane.create_namespace(namespace).await?;
        Ok(Self::new(self.plane, namespace.to_owned(), ring, None))
    }

    async fn run(self, test: impl AsyncFnOnce(&Self) -> Result<()>) {
        let outcome = AssertUnwindSafe(test(&self)).catch_unwind().await;
        if !matches!(outcome, Ok(Ok(()))) {
            self.dump().await;
        }
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{error:?}"),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// The shared operator and its release.
    ///
    /// # Panics
    /// In a test with a release of its own.
    #[must_use]
    pub fn world(&self) -> &'static World {
        self.world.expect("this test shares the operator")
    }

    /// An administrator's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.plane.admin.clone()
    }

    /// The SealedSecrets here.
    #[must_use]
    pub fn sealed(&self) -> Api<SealedSecret> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The Secrets here.
    #[must_use]
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The rings of the cluster.
    #[must_use]
    pub fn rings(&self) -> Api<KeyRing> {
        Api::all(self.client())
    }

    /// The events here.
    #[must_use]
    pub fn events(&self) -> Api<Event> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The events about KeyRings, which have no namespace: the API server puts them here.
    #[must_use]
    pub fn ring_events(&self) -> Api<Event> {
        Api::namespaced(self.client(), "default")
    }

    /// Merges a patch into the spec of the KeyRing.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn merge_ring(&self, spec: Value) -> kube::Result<KeyRing> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.rings().patch(&self.ring, &PatchParams::default(), &patch).await
    }

    /// As [`Self::merge_ring`], and waits until the operator works by it: until it opens what the same change allows. Once
    /// for each ring.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put_in_effect(&self, mut spec: Value) -> kube::Result<()> {
        spec["policy"] = json!({"clusterScope": "Allow"});
        self.merge_ring(spec).await?;
        let probe = Binding { scope: Scope::Cluster, ..ring::binding(&self.namespace, "probe") };
        let probe = self.ring().await.seal_as(&probe, &[("k", "v")], ring::now());
        self.commit(&probe).await?;
        wait::until_ready(&self.sealed(), "probe").await;
        Ok(())
    }

    /// What a developer seals for here.
    pub async fn ring(&self) -> Ring {
        Ring::published(&self.client(), &self.ring).await
    }

    /// Creates a SealedSecret or changes it to this, as a GitOps tool does: by server-side apply.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn commit(&self, object: &SealedSecret) -> kube::Result<SealedSecret> {
        let SealedSecret { metadata, spec, .. } = object;
        let patch = json!({
            "apiVersion": names::API_VERSION,
            "kind": "SealedSecret",
            "metadata": {"name": metadata.name, "labels": metadata.labels, "annotations": metadata.annotations},
            "spec": spec,
        });
        let params = PatchParams::apply("test-gitops").force();
        self.sealed().patch(&object.name_any(), &params, &Patch::Apply(patch)).await
    }

    /// Seals values, creates the object, waits until it is ready, and gives the Secret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn sealed_and_ready(
        &self,
        name: &str,
        values: &[(&str, &str)],
    ) -> Result<(SealedSecret, Secret)> {
        let object = self.ring().await.seal(&self.namespace, name, values);
        self.commit(&object).await?;
        let object = wait::until_ready(&self.sealed(), name).await;
        let secret = self.secrets().get(name).await?;
        Ok((object, secret))
    }

    /// Merges a patch into a SealedSecret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn merge(&self, name: &str, patch: Value) -> kube::Result<SealedSecret> {
        self.sealed().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Merges a patch into a SealedSecret's status.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn merge_status(&self, name: &str, patch: Value) -> kube::Result<SealedSecret> {
        self.sealed().patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Merges a patch into a Secret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn merge_secret(&self, name: &str, patch: Value) -> kube::Result<Secret> {
        self.secrets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Deletes a Secret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_secret(&self, name: &str) -> kube::Result<()> {
        self.secrets().delete(name, &DeleteParams::default()).await.map(drop)
    }

    /// Starts an operator of a release, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn operator(&self, release: &Release, replica: &str) -> Result<Operator> {
        let mut operator = release.start(replica)?;
        self.watch_log(&operator).await;
        operator.until_ready().await?;
        Ok(operator)
    }

    /// Prints this operator's log as well when the test fails.
    pub async fn watch_log(&self, operator: &Operator) {
        self.logs.lock().await.push(operator.process().log_path().to_owned());
    }

    #[expect(clippy::print_stderr, reason = "a failing test tells what it found")]
    async fn dump(&self) {
        let all = ListParams::default();
        eprintln!("--- namespace {}", self.namespace);
        for object in self.sealed().list(&all).await.into_iter().flatten() {
            let mut brief = object.clone();
            brief.spec.envelopes.clear();
            eprintln!("SealedSecret {}", wait::shown(&brief));
        }
        for secret in self.secrets().list(&all).await.into_iter().flatten() {
            eprintln!("Secret {}", wait::shown(&secret));
        }
        if let Ok(Some(ring)) = self.rings().get_opt(&self.ring).await {
            eprintln!("KeyRing {}", wait::shown(&ring));
        }
        for event in self.events().list(&all).await.into_iter().flatten() {
            let (reason, note) = (event.reason.unwrap_or_default(), event.note.unwrap_or_default());
            eprintln!(
                "event {} {reason}: {note}",
                event.regarding.and_then(|object| object.name).unwrap_or_default()
            );
        }
        for path in self.logs.lock().await.iter() {
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let of_here = |line: &&str| line.contains(&self.namespace) || line.contains("panicked");
            let mut lines: Vec<&str> = log.lines().rev().filter(of_here).take(30).collect();
            lines.reverse();
            eprintln!("--- {}\n{}", path.display(), lines.join("\n"));
        }
    }
}

/// A name for a namespace: the test's own, cut to what fits, and a number.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let thread = std::thread::current();
    let test = thread.name().and_then(|name| name.rsplit("::").next()).unwrap_or_default().replace('_', "-");
    let short: String = test.chars().take(28).collect();
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    format!("t{number}-{}", short.trim_matches('-'))
}
