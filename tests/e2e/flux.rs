//! The real kustomize-controller of Flux reads our status: a good commit turns Ready, a bad one fails fast.
//!
//! Its source-controller is replaced by a file server and a status that a test writes: an artifact is a URL, a
//! revision and a digest.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use waxwing_crds::{Reason, SealedSecret};
use waxwing_tests::process::{self, Process};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::tools::tool;
use waxwing_tests::{chart, scrape, wait};

#[test]
fn a_good_commit_turns_ready_and_a_bad_one_fails_fast_because_it_is_stalled() {
    scene::shared(async |scene| -> Result<()> {
        let flux = Flux::running(scene).await;
        let ring = scene.ring().await;
        let good = ring.seal(&scene.namespace, "app", &[("a", "1"), ("b", "2")]);
        let revision = flux.push(scene, &[&good]).await?;
        create_kustomization(scene).await?;
        let first = until_reconciled(scene, "True").await;
        assert_eq!(first.data["status"]["lastAttemptedRevision"], revision);
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "a"), b"1");

        let mut bad = good.clone();
        let (a, b) = (bad.spec.data["a"].clone(), bad.spec.data["b"].clone());
        bad.spec.data.extend([("a".to_owned(), b), ("b".to_owned(), a)]);
        let pushed = Instant::now();
        let revision = flux.push(scene, &[&bad]).await?;
        let failed = until_reconciled(scene, "False").await;
        // Its timeout is five minutes: without `Stalled` it would wait for all of them.
        assert!(pushed.elapsed() < Duration::from_secs(30), "{:?}", pushed.elapsed());
        let ready = ready_of(&failed).unwrap();
        assert_eq!(ready["reason"], "HealthCheckFailed", "{ready}");
        let message = ready["message"].as_str().unwrap_or_default();
        // It names the object; what is wrong with it stands on the object itself.
        let named = message.contains(&format!("SealedSecret/{}/app", scene.namespace));
        assert!(named && message.contains("stalled"), "{ready}");
        assert_eq!(failed.data["status"]["lastAttemptedRevision"], revision);
        assert_ne!(
            failed.data["status"]["lastAttemptedRevision"],
            first.data["status"]["lastAttemptedRevision"]
        );
        wait::until_failing(&scene.sealed(), "app", Reason::BindingMismatch).await;
        assert_eq!(
            wait::value_of(&scene.secrets().get("app").await?, "a"),
            b"1",
            "the last good Secret stays"
        );

        flux.push(scene, &[&good]).await?;
        until_reconciled(scene, "True").await;
        Ok(())
    });
}

#[test]
fn the_status_and_a_metric_say_at_which_commit_an_object_was_synced() {
    scene::shared(async |scene| -> Result<()> {
        let flux = Flux::running(scene).await;
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "1")]);
        let first = flux.push(scene, &[&sealed]).await?;
        create_kustomization(scene).await?;
        until_source(scene, &first).await;
        ring.set(&mut sealed, &[("k", "2")]);
        let second = flux.push(scene, &[&sealed]).await?;
        until_source(scene, &second).await;
        let applied =
            scene.world().operator.metrics().await?.sum("waxwing_commit_to_applied_seconds_count", &[]);
        assert!(applied >= 1.0, "{applied}");
        Ok(())
    });
}

/// K17. Guard: a commit counts only if the tool's own status lists this very object (`operator: sealed_secret::source`).
#[test]
fn the_mark_of_another_teams_kustomization_tells_nothing_of_its_commits() {
    scene::shared(async |scene| -> Result<()> {
        let flux = Flux::running(scene).await;
        let theirs = scene.ring().await.seal(&scene.namespace, "theirs", &[("k", "1")]);
        flux.push(scene, &[&theirs]).await?;
        create_kustomization(scene).await?;
        until_reconciled(scene, "True").await;
        let other = format!("{}-other", scene.namespace);
        scene.plane.create_namespace(&other).await?;
        let mut marked = scene.ring().await.seal(&other, "marked", &[("k", "1")]);
        let marks = [("name", "apps"), ("namespace", scene.namespace.as_str())];
        let label =
            |(mark, value): (&str, &str)| (format!("kustomize.toolkit.fluxcd.io/{mark}"), value.to_owned());
        marked.metadata.labels = Some(marks.map(label).into());
        let api: Api<SealedSecret> = Api::namespaced(scene.client(), &other);
        api.create(&PostParams::default(), &marked).await?;
        let object = wait::until_ready(&api, "marked").await;
        assert_eq!(object.status.unwrap_or_default().source, None);
        Ok(())
    });
}

/// Waits until the object is ready and says that this revision was synced.
async fn until_source(scene: &Scene, revision: &str) {
    wait::until_sealed(&scene.sealed(), "app", "names the commit", |object| {
        let source = object.status.as_ref().and_then(|status| status.source.as_ref());
        let name = format!("{}/apps", scene.namespace);
        wait::is_ready(object)
            && source.is_some_and(|source| {
                (source.tool.as_str(), source.name.as_str(), source.revision.as_str())
                    == ("flux", &name, revision)
            })
    })
    .await;
}

#[test]
fn what_flux_prunes_is_the_object_and_the_secret_follows() {
    scene::shared(async |scene| -> Result<()> {
        let flux = Flux::running(scene).await;
        let ring = scene.ring().await;
        let (stays, goes) = (
            ring.seal(&scene.namespace, "stays", &[("k", "1")]),
            ring.seal(&scene.namespace, "goes", &[("k", "2")]),
        );
        flux.push(scene, &[&stays, &goes]).await?;
        create_kustomization(scene).await?;
        until_reconciled(scene, "True").await;
        let labels = scene.secrets().get("goes").await?.metadata.labels.unwrap_or_default();
        assert!(!labels.keys().any(|key| key.contains("fluxcd")), "the Secret is not tracked: {labels:?}");
        flux.push(scene, &[&stays]).await?;
        wait::until_gone(&scene.sealed(), "goes").await;
        wait::until_gone(&scene.secrets(), "goes").await;
        assert!(scene.secrets().get_opt("stays").await?.is_some());
        Ok(())
    });
}

/// The controller, and what it fetches.
struct Flux {
    files: Files,
    _controller: Process,
}

impl Flux {
    async fn running(scene: &Scene) -> &'static Self {
        static FLUX: OnceCell<Flux> = OnceCell::const_new();
        FLUX.get_or_init(|| async { Self::start(scene).await.expect("Flux starts") }).await
    }

    async fn start(scene: &Scene) -> Result<Self> {
        let files = Files::serve().await?;
        let dir = process::folder("flux");
        std::fs::create_dir(dir.join("tmp"))?;
        scene.plane.create_namespace("flux-system").await?;
        let health = process::free_port();
        let args = [
            format!("--metrics-addr=127.0.0.1:{}", process::free_port()),
            format!("--health-addr=127.0.0.1:{health}"),
            "--events-addr=".to_owned(),
            "--no-remote-bases=true".to_owned(),
        ];
        let env = [
            ("KUBECONFIG".to_owned(), scene.plane.admin_kubeconfig.display().to_string()),
            ("RUNTIME_NAMESPACE".to_owned(), "flux-system".to_owned()),
            ("TMPDIR".to_owned(), dir.join("tmp").display().to_string()),
        ];
        let mut controller =
            Process::start("kustomize-controller", &tool("kustomize-controller"), args, &env, &dir)?;
        let began = Instant::now();
        while !scrape::get(health, "/readyz").await.is_ok_and(|(code, _)| code == 200) {
            controller.check_alive()?;
            anyhow::ensure!(began.elapsed() < wait::DEADLINE, "{}", controller.log_tail(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { files, _controller: controller })
    }

    /// Makes a commit of these objects, as source-controller would tell of it. Gives its revision.
    async fn push(&self, scene: &Scene, objects: &[&SealedSecret]) -> Result<String> {
        let archive = archive(scene, objects)?;
        let digest = hex(&Sha256::digest(&archive));
        let revision = format!("main@sha1:{}", &digest[..40]);
        let path = format!("/{digest}.tar.gz");
        let url = format!("http://127.0.0.1:{}{path}", self.files.port);
        self.files.add(path.clone(), archive);
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "repository", "namespace": scene.namespace},
            "spec": {"url": "https://example.com/repository", "interval": "1h"},
        });
        chart::apply(&scene.client(), &source).await?;
        let now = jiff::Timestamp::now().to_string();
        let status = json!({"status": {
            "artifact": {"url": url, "path": path, "revision": revision, "digest": format!("sha256:{digest}"), "lastUpdateTime": now},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": now}],
        }});
        let (api, name) = chart::api_of(&scene.client(), &source)?;
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(revision)
    }
}

/// The objects as files, packed by the system's `tar`.
fn archive(scene: &Scene, objects: &[&SealedSecret]) -> Result<Vec<u8>> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let dir = process::folder(&format!("commit-{}-{number}", scene.namespace));
    for object in objects {
        let name = object.metadata.name.as_deref().context("a name")?;
        std::fs::write(dir.join(format!("{name}.yaml")), serde_json::to_string(object)?)?;
    }
    let output =
        Command::new("tar").args(["-czf", "-", "."]).current_dir(&dir).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "tar failed");
    Ok(output.stdout)
}

async fn create_kustomization(scene: &Scene) -> Result<()> {
    let object = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "apps", "namespace": scene.namespace},
        "spec": {
            "interval": "1h", "retryInterval": "1h", "timeout": "5m", "path": "./", "prune": true, "wait": true,
            "sourceRef": {"kind": "GitRepository", "name": "repository"},
        },
    });
    chart::apply(&scene.client(), &object).await?;
    Ok(())
}

/// Waits until the Kustomization is or is not Ready, for the revision that the source has now.
async fn until_reconciled(scene: &Scene, status: &str) -> DynamicObject {
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository"));
    let sources: Api<DynamicObject> = Api::namespaced_with(scene.client(), &scene.namespace, &resource);
    let source = sources.get("repository").await.expect("the source is there");
    let wanted = source.data["status"]["artifact"]["revision"].clone();
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"));
    let api: Api<DynamicObject> = Api::namespaced_with(scene.client(), &scene.namespace, &resource);
    // A dynamic object has no static type to watch by.
    let began = Instant::now();
    loop {
        let object = api.get("apps").await.expect("the Kustomization is there");
        let attempted = object.data["status"]["lastAttemptedRevision"] == wanted;
        if attempted && ready_of(&object).is_some_and(|ready| ready["status"] == status) {
            return object;
        }
        assert!(began.elapsed() < 2 * wait::DEADLINE, "Ready is not {status}: {:#}", object.data["status"]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ready_of(object: &DynamicObject) -> Option<Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready").cloned()
}

/// A server of files that lie in memory.
struct Files {
    port: u16,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Files {
    async fn serve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let served = Arc::clone(&files);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let length = stream.read(&mut head).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let file = served.lock().unwrap().get(path).cloned();
                    let (status, body) = file.map_or(("404 Not Found", Vec::new()), |file| ("200 OK", file));
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    // Whoever asked may have gone.
                    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                });
            }
        });
        Ok(Self { port, files })
    }

    fn add(&self, path: String, content: Vec<u8>) {
        self.files.lock().unwrap().insert(path, content);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
